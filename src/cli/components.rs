//! `watershed components`.

use watershed_config::suggest;
use watershed_pipeline::Registry;

use super::{Failure, print};
use crate::manual::{Entry, entries};

/// Lists the components of this program as YAML, or shows the manual's page of one of them.
///
/// Example: watershed components otlp
///
/// Exit codes: 0 shown; 64 there is no such component.
#[derive(clap::Args)]
pub(super) struct Components {
    /// The type of a component, as it stands in a configuration.
    #[arg(value_name = "TYPE")]
    type_name: Option<String>,
}

impl Components {
    pub(super) fn execute(&self, registry: &Registry) -> Result<(), Failure> {
        let entries = entries(registry);
        let Some(wanted) = &self.type_name else {
            print(list(&entries));
            return Ok(());
        };
        let pages: Vec<String> =
            entries.iter().filter(|entry| entry.answers_to(wanted)).map(Entry::page).collect();
        if pages.is_empty() {
            let near = suggest(wanted, entries.iter().map(|entry| entry.type_name));
            let advice = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`watershed components` lists all".to_owned(),
            };
            return Err(Failure::Usage(format!("there is no component `{wanted}`; {advice}")));
        }
        print(pages.join("\n"));
        Ok(())
    }
}

/// The list in the form of the Collector's command of the same name.
fn list(entries: &[Entry]) -> String {
    let mut text = format!("buildinfo:\n  command: watershed\n  version: {}\n", env!("CARGO_PKG_VERSION"));
    let mut kind = "";
    for entry in entries {
        if entry.kind != kind {
            kind = entry.kind;
            text.push_str(&format!("{kind}:\n"));
        }
        text.push_str(&format!("  - name: {}\n", entry.type_name));
        if !entry.aliases.is_empty() {
            text.push_str(&format!("    aliases: [{}]\n", entry.aliases.join(", ")));
        }
        text.push_str(&format!("    description: {:?}\n", entry.summary()));
    }
    text
}
