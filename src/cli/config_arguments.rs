//! The arguments by which every command that reads a configuration is told where it is.

use std::path::Path;

use watershed_config::{ConfigError, ConfigErrors, Source, Sources};

/// Where a configuration is looked for when none is named.
const DEFAULT_PATHS: [&str; 2] = ["watershed.yaml", "/etc/watershed/config.yaml"];

#[derive(clap::Args)]
pub(super) struct ConfigArguments {
    /// A file with settings; may be given several times, later ones win.
    ///
    /// Also `yaml:service::telemetry::logs::level: debug` for settings in place, and `env:NAME` for a variable that
    /// holds YAML. Default: ./watershed.yaml, then /etc/watershed/config.yaml.
    #[arg(long, short, value_name = "FILE")]
    config: Vec<String>,
    /// A single setting, such as `service.telemetry.logs.level=debug`; wins over all files.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

impl ConfigArguments {
    /// What the arguments name, or the first default file that exists.
    pub(super) fn sources(&self) -> Result<Sources, ConfigErrors> {
        let mut files: Vec<Source> = self.config.iter().map(|text| Source::from(text.as_str())).collect();
        if files.is_empty() {
            let found = DEFAULT_PATHS.iter().find(|path| Path::new(path).exists());
            files.push(Source::from(*found.ok_or_else(no_configuration)?));
        }
        Ok(Sources { files, set: self.set.clone() })
    }
}

fn no_configuration() -> ConfigErrors {
    let message = format!(
        "no configuration: neither {} exists; name a file with `--config FILE`",
        DEFAULT_PATHS.map(|path| format!("`{path}`")).join(" nor ")
    );
    ConfigError::new(None, "", message).into()
}
