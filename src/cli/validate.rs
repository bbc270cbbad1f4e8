//! `watershed validate`.

use watershed_pipeline::Registry;

use super::config_arguments::ConfigArguments;
use super::{Failure, complain};
use crate::setup::Setup;

/// Reads a configuration and builds everything in it, without binding a port or touching a server.
///
/// Says nothing when all is well. Otherwise every mistake stands on a line of its own on standard error, with file,
/// line, column, setting and what to do. What is allowed and still worth a look begins with `warning`.
///
/// Example: watershed validate --config deploy.yaml --config site.yaml
///
/// Exit codes: 0 valid; 64 not valid.
#[derive(clap::Args)]
pub(super) struct Validate {
    #[command(flatten)]
    config: ConfigArguments,
}

impl Validate {
    pub(super) fn execute(&self, registry: &Registry) -> Result<(), Failure> {
        let setup = Setup::read(registry, &self.config.sources()?)?;
        for warning in setup.warnings() {
            complain(format_args!("warning: {warning}"));
        }
        Ok(())
    }
}
