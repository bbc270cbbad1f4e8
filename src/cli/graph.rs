//! `watershed graph`.

use watershed_pipeline::Registry;

use super::config_arguments::ConfigArguments;
use super::{Failure, print};
use crate::setup::Setup;

/// Draws the pipelines of a configuration as a Mermaid flow chart.
///
/// The text can be put into Markdown, where GitHub, GitLab and many editors show it as a picture.
///
/// Example: watershed graph --config deploy.yaml > pipelines.mmd
///
/// Exit codes: 0 drawn; 64 the configuration is not valid.
#[derive(clap::Args)]
pub(super) struct Graph {
    #[command(flatten)]
    config: ConfigArguments,
}

impl Graph {
    pub(super) fn execute(&self, registry: &Registry) -> Result<(), Failure> {
        let setup = Setup::read(registry, &self.config.sources()?)?;
        let diagram = setup.graph.mermaid();
        print(format_args!("{}\n", diagram.trim_end()));
        Ok(())
    }
}
