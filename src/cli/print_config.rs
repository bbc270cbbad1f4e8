//! `watershed print-config`.

use watershed_config::{load, process_environment};

use super::config_arguments::ConfigArguments;
use super::{Failure, print};

/// Prints the configuration in force: all files, the environment and `--set` merged, variables expanded.
///
/// Values of keys that look secret (passwords, tokens, keys, headers) are shown as `***`. The components' own rules
/// are not checked; that is what `validate` does.
///
/// Example: watershed print-config --config deploy.yaml --redact=false
///
/// Exit codes: 0 printed; 64 the configuration cannot be read.
#[derive(clap::Args)]
pub(super) struct PrintConfig {
    #[command(flatten)]
    config: ConfigArguments,
    /// Whether secrets are shown as `***`.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    redact: bool,
}

impl PrintConfig {
    pub(super) fn execute(&self) -> Result<(), Failure> {
        let loaded = load(&self.config.sources()?, &process_environment)?;
        print(loaded.document.effective(self.redact));
        Ok(())
    }
}
