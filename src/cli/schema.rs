//! `watershed schema`.

use watershed_pipeline::Registry;

use super::{Failure, print};

/// Prints the JSON Schema of the configuration file, for editors that complete and check YAML.
///
/// It is made from the components of this very program, so that a program with components of its own describes
/// them too.
///
/// Example: watershed schema > watershed.schema.json
/// and in the first line of the YAML: # yaml-language-server: $schema=watershed.schema.json
///
/// Exit codes: 0 printed.
#[derive(clap::Args)]
pub(super) struct Schema {}

impl Schema {
    pub(super) fn execute(&self, registry: &Registry) -> Result<(), Failure> {
        print(format_args!("{:#}\n", crate::schema(registry)));
        Ok(())
    }
}
