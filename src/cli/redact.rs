//! `watershed redact`.

use std::io::Read as _;

use clap::ValueEnum;
use watershed_config::{ConfigErrors, Section, load, process_environment};
use watershed_processors::{Redactor, RuleFile};

use super::config_arguments::ConfigArguments;
use super::{Failure, complain, print};

/// The processor whose settings are read.
const TYPE: &str = "redaction";
/// As much as is read from standard input, in bytes.
const INPUT_MAX: u64 = 64 << 20;

/// Tries the rules of a `redaction` processor: hides in the text on standard input what they hide in a log body.
///
/// The text goes to standard output; which rules hit, and how often, to standard error. Without `--config` the default rules
/// are tried. The text is one body of at most 64 MiB; with `--lines`, each line is a body of its own. Bytes that are no UTF-8
/// are replaced.
///
/// `--export` reads no text and writes the rules for a browser: as JSON, or as a JavaScript module with the same object as its
/// default export. Rules that JavaScript can't express stand under `skipped`; hashing becomes masking.
///
/// Example: echo 'login password=hunter2' | watershed redact --config deploy.yaml
/// and: watershed redact --config deploy.yaml --export js > redaction.js
///
/// Exit codes: 0 done, whether something was hidden or not; 64 the configuration is wrong or has no such processor; 1 the
/// text could not be read.
#[derive(clap::Args)]
pub(super) struct Redact {
    #[command(flatten)]
    config: Option<ConfigArguments>,
    /// Which of several processors, such as `redaction/strict`. Default: the first.
    #[arg(long, value_name = "ID")]
    processor: Option<String>,
    /// Takes each line for a body of its own. A line whose record is dropped is left out.
    #[arg(long)]
    lines: bool,
    /// Writes the rules instead of applying them.
    #[arg(long, value_name = "FORM", conflicts_with = "lines")]
    export: Option<Form>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// A JavaScript module.
    Js,
    /// A JSON document.
    Json,
}

impl Redact {
    pub(super) fn execute(&self) -> Result<(), Failure> {
        let mut redactor = Redactor::new(&self.section()?)?;
        if let Some(form) = self.export {
            return export(form, redactor.rule_file());
        }
        let mut input = Vec::new();
        let read = std::io::stdin().lock().take(INPUT_MAX + 1).read_to_end(&mut input);
        read.map_err(|error| Failure::Other(format!("cannot read the text: {error}")))?;
        if input.len() as u64 > INPUT_MAX {
            return Err(Failure::Usage(format!(
                "the text has more than {} MiB; give it in parts",
                INPUT_MAX >> 20
            )));
        }
        let text = String::from_utf8_lossy(&input);
        if self.lines {
            text.split_inclusive('\n').filter_map(|line| redactor.redact_text(line)).for_each(print);
        } else if let Some(text) = redactor.redact_text(&text) {
            print(text);
        }
        for (rule, count) in redactor.hits() {
            complain(format_args!("{rule}: {count}"));
        }
        Ok(())
    }

    /// The settings of the processor that is meant; none for the defaults.
    fn section(&self) -> Result<Section, Failure> {
        let Some(config) = &self.config else {
            return Section::from_text(TYPE, "").map_err(|errors: ConfigErrors| errors.into());
        };
        let document = load(&config.sources()?, &process_environment)?.document;
        let mut own = document.processors.into_iter().filter(|(id, _)| id.kind() == TYPE);
        let found = match &self.processor {
            Some(wanted) => own.find(|(id, _)| id.to_string() == *wanted),
            None => own.next(),
        };
        let wanted = self.processor.as_deref().unwrap_or(TYPE);
        let missing = || Failure::Usage(format!("the configuration has no processor `{wanted}`"));
        found.map(|(_, section)| section).ok_or_else(missing)
    }
}

fn export(form: Form, rules: &RuleFile) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(rules).map_err(|error| Failure::Other(error.to_string()))?;
    match form {
        Form::Js => print(format_args!("export default {text};\n")),
        Form::Json => print(format_args!("{text}\n")),
    }
    Ok(())
}
