//! Names a directory for queues on disk.
//!
//! ```yaml
//! file_storage:
//!   directory: /tmp/watershed/queues
//!   create_directory: true
//! ```
//!
//! An exporter with `sending_queue: {storage: file_storage}` keeps its queue there, instead of in the directory of
//! `service.storage`. Queues have the format of this program, not the Collector's: what a Collector left behind in the
//! directory is neither read nor touched. When a sender is told that its data is on disk, and how much a queue may take,
//! `fsync` and `quota` of the `sending_queue` say.
//!
//! Offers: storage. `watershed queue` finds the queues of these directories too.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use watershed_config::{BuildError, ByteSize, Period};
use watershed_pipeline::{Context, Extension, ExtensionConfig};

/// Settings of the extension.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The directory. Default `/var/lib/otelcol/file_storage`, as in the Collector.
    directory: PathBuf,
    /// Whether the directory is made if it is not there. Default false: then it has to be there.
    create_directory: bool,
    /// Accepted for files of the Collector, and without effect: the process' umask decides.
    #[serde(rename = "directory_permissions")]
    _directory_permissions: Option<String>,
    /// Accepted for files of the Collector, and without effect: a queue that another process has is told at once.
    #[serde(rename = "timeout")]
    _timeout: Option<Period>,
    /// Accepted for files of the Collector, and without effect: `fsync` of the `sending_queue` decides.
    #[serde(rename = "fsync")]
    _fsync: Option<bool>,
    /// Accepted for files of the Collector, and without effect: `quota` of the `sending_queue` decides.
    #[serde(rename = "max_size")]
    _max_size: Option<ByteSize>,
    /// Accepted for files of the Collector, and without effect: damaged files are put aside by themselves.
    #[serde(rename = "recreate")]
    _recreate: Option<bool>,
    /// Accepted for files of the Collector, and without effect: what was delivered is removed by itself.
    #[serde(rename = "compaction")]
    #[schemars(with = "Option<serde_json::Value>")]
    _compaction: Option<IgnoredAny>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("/var/lib/otelcol/file_storage"),
            create_directory: false,
            _directory_permissions: None,
            _timeout: None,
            _fsync: None,
            _max_size: None,
            _recreate: None,
            _compaction: None,
        }
    }
}

impl Config {
    /// The directory, for those who look for queues.
    pub(crate) fn into_directory(self) -> PathBuf {
        self.directory
    }
}

impl ExtensionConfig for Config {
    const TYPE: &'static str = "file_storage";
    const SOURCE: &'static str = include_str!("file_storage.rs");

    fn build(&self, _cx: &Context) -> Result<Extension, BuildError> {
        let shown = self.directory.display();
        if self.directory.as_os_str().is_empty() {
            return Err(BuildError::at("directory", "is empty; name a directory"));
        }
        if self.directory.exists() && !self.directory.is_dir() {
            return Err(BuildError::at("directory", format!("`{shown}` is not a directory")));
        }
        if !self.create_directory && !self.directory.exists() {
            let problem = format!("`{shown}` does not exist; make it, or set `create_directory: true`");
            return Err(BuildError::at("directory", problem));
        }
        Ok(Extension::new().with_storage(self.directory.clone()))
    }
}

#[cfg(test)]
mod tests {
    use watershed_config::Section;
    use watershed_pipeline::Kind;

    use super::*;

    fn build(yaml: &str) -> Result<(), String> {
        let section = Section::from_text("file_storage", yaml).unwrap();
        let config: Config = section.read().map_err(|errors| errors.to_string())?;
        let cx = Context::detached(Kind::Extension, "file_storage".parse().unwrap());
        ExtensionConfig::build(&config, &cx).map(drop).map_err(|error| section.build_error(error).to_string())
    }

    #[test]
    fn a_directory_has_to_be_there_or_may_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("queues");
        assert_eq!(
            build(&format!("directory: {}", missing.display())).unwrap_err(),
            format!(
                "file_storage:1:12: file_storage.directory: `{}` does not exist; make it, or set \
                 `create_directory: true`",
                missing.display()
            )
        );
        assert_eq!(build(&format!("{{directory: {}, create_directory: true}}", missing.display())), Ok(()));
        assert_eq!(build(&format!("directory: {}", folder.path().display())), Ok(()));
        assert!(!missing.exists(), "building makes nothing");
    }

    #[test]
    fn settings_of_the_collector_are_accepted() {
        let yaml = "{directory: /tmp/x, create_directory: true, directory_permissions: '0750', timeout: 1s, fsync: true, \
                    max_size: 0, recreate: false, compaction: {on_start: true, directory: /tmp}}";
        assert_eq!(build(yaml), Ok(()));
    }
}
