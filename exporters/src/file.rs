//! Writes telemetry to files: OTLP/JSON lines, or OTLP messages with their length in front.
//!
//! ```yaml
//! file:
//!   path: /var/lib/watershed/telemetry.jsonl
//!   rotation:
//!     max_megabytes: 100
//!     max_backups: 10
//! ```
//!
//! `format: json` is one OTLP/JSON request a line. With `format: proto`, or with compression, each message has its length
//! in four bytes in front, most significant first. Files of the Collector's exporter of this name have the same form.
//!
//! With `rotation` a file that is full is renamed to `telemetry-2026-01-02T15-04-05.000.jsonl` (UTC), and the oldest of
//! those are deleted. Without it, and without `append`, a file that exists is emptied at the start. With `group_by` the `*`
//! in `path` stands for an attribute of the resource, so that each tenant or service has a file of its own; slashes in
//! it make folders, and what would lead out of them is left out.
//!
//! Signals: all. Order: kept. Loss: a batch is handed to the operating system before it counts as delivered, so it
//! survives the end of this process; what `flush_interval` has not yet forced to the disk does not survive the end of the
//! machine. A disk that is full, or any other failed write, takes back what it wrote in part and is tried again. Memory:
//! the text of one batch for each export that runs, and at most `max_open_files` open files.

mod group;
mod rotation;
mod target;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Period};
use watershed_pipeline::{Batch, Context, ExportError, Exporter, ExporterConfig, Reach, StartError};

use self::group::{Groups, Pattern};
use self::rotation::Rotation;
use self::target::{Directory, Opening};
use crate::client::{Compression, CompressionParameters, Compressor};
use crate::otlp_json;

/// Settings of the exporter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The file; with `group_by`, a path with one `*` in it. Required.
    path: PathBuf,
    /// Whether a file that exists is continued. Default `false`, which empties it at the start.
    #[serde(default)]
    append: bool,
    /// When a file is full and what becomes of it. Default: files grow without end.
    rotation: Option<Rotation>,
    /// How messages are written: `json` or `proto`. Default `json`.
    #[serde(default)]
    format: Format,
    /// `zstd` makes each message smaller by itself. Default none.
    #[serde(default)]
    compression: FileCompression,
    /// How hard the compression tries.
    #[serde(default)]
    compression_params: CompressionParameters,
    /// How often what is written is forced to the disk. Default `1s`, which is also the shortest but for 0: with each
    /// batch, which is slow.
    #[serde(default = "flush_interval")]
    flush_interval: Period,
    /// A file for each value of a resource's attribute.
    #[serde(default)]
    group_by: GroupBy,
    /// Whether a folder that is missing is made. Default `false`.
    #[serde(default)]
    create_directory: bool,
    /// The permissions of such a folder, in octal digits. Default `0755`.
    #[serde(default = "directory_permissions")]
    directory_permissions: String,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// OTLP/JSON.
    #[default]
    Json,
    /// Protobuf.
    Proto,
}

/// How messages are made smaller.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum FileCompression {
    /// Not at all.
    #[default]
    #[serde(alias = "")]
    None,
    /// With zstd.
    Zstd,
}

/// A file for each value of a resource's attribute.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct GroupBy {
    /// Whether there are several files. Default `false`.
    enabled: bool,
    /// The attribute. Default `fileexporter.path_segment`; resources without it go to `MISSING`.
    resource_attribute: String,
    /// Files that are open at the same time; the one used longest ago is closed first. Default 100.
    max_open_files: std::num::NonZeroUsize,
}

impl Default for GroupBy {
    fn default() -> Self {
        let max_open_files = std::num::NonZeroUsize::MIN.saturating_add(99);
        Self { enabled: false, resource_attribute: "fileexporter.path_segment".into(), max_open_files }
    }
}

fn flush_interval() -> Period {
    Period::seconds(1)
}

fn directory_permissions() -> String {
    "0755".into()
}

impl ExporterConfig for Config {
    const TYPE: &'static str = "file";
    const SOURCE: &'static str = include_str!("file.rs");
    const REACH: Reach = Reach::Local;
    type Exporter = FileExporter;

    fn build(&self, _cx: &Context) -> Result<FileExporter, BuildError> {
        self.check()?;
        let pattern = if self.group_by.enabled {
            let attribute = self.group_by.resource_attribute.clone();
            Pattern::new(&self.path, attribute).map_err(|message| BuildError::at("path", message))?
        } else {
            Pattern::single(&self.path)
        };
        let directory = Directory { is_made: self.create_directory, permissions: self.permissions()? };
        // Grouped files are closed and opened again at any time, so they are always continued.
        let is_continued = self.append || self.rotation.is_some() || self.group_by.enabled;
        let opening = Opening { is_emptied: !is_continued, directory, rotation: self.rotation };
        let compression = match self.compression {
            FileCompression::None => Compression::None,
            FileCompression::Zstd => Compression::Zstd,
        };
        let files = Groups::new(pattern, opening, self.group_by.max_open_files.get());
        Ok(FileExporter {
            files: Arc::new(Mutex::new(files)),
            attribute: self.group_by.enabled.then(|| self.group_by.resource_attribute.clone()),
            format: self.format,
            compressor: Compressor::new(compression, self.compression_params)?,
            flush_interval: self.flush_interval,
            flushed: Mutex::new(Instant::now()),
        })
    }
}

impl Config {
    fn check(&self) -> Result<(), BuildError> {
        if self.append && self.rotation.is_some() {
            return Err(BuildError::at(
                "append",
                "cannot stand beside rotation, which always continues a file; remove it",
            ));
        }
        if self.append && self.compression != FileCompression::None {
            return Err(BuildError::at("append", "cannot stand beside compression; remove one of them"));
        }
        self.rotation.map_or(Ok(()), Rotation::check)
    }

    fn permissions(&self) -> Result<u32, BuildError> {
        let read = u32::from_str_radix(&self.directory_permissions, 8).ok().filter(|mode| *mode <= 0o7777);
        read.ok_or_else(|| {
            let message = format!(
                "`{}` are no permissions; write octal digits, as in 0755",
                self.directory_permissions
            );
            BuildError::at("directory_permissions", message)
        })
    }
}

/// Writes batches to files.
pub(crate) struct FileExporter {
    files: Arc<Mutex<Groups>>,
    /// The attribute that files are chosen by, if there are several.
    attribute: Option<String>,
    format: Format,
    compressor: Compressor,
    flush_interval: Period,
    flushed: Mutex<Instant>,
}

#[async_trait]
impl Exporter for FileExporter {
    async fn start(&self) -> Result<(), StartError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.open_single().map_err(|(path, source)| StartError::Io {
            what: format!("cannot open {} for writing", path.display()),
            source,
        })
    }

    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        let groups = group::split(batch, self.attribute.as_deref());
        let messages: Result<Vec<(String, Vec<u8>)>, ExportError> =
            groups.into_iter().map(|(segment, part)| Ok((segment, self.encode(&part)?))).collect();
        let messages = messages?;
        let is_synced = self.flush_interval.is_zero();
        self.with_files(move |files| {
            for (segment, message) in &messages {
                files.write(segment, message, unix_nano(SystemTime::now()))?;
            }
            if is_synced { files.sync() } else { Ok(()) }
        })
        .await
    }

    async fn flush(&self) -> Result<(), ExportError> {
        {
            let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
            if flushed.elapsed() < self.flush_interval.duration() {
                return Ok(());
            }
            *flushed = Instant::now();
        }
        self.with_files(Groups::sync).await
    }
}

impl FileExporter {
    /// The bytes of a batch as they are appended.
    fn encode(&self, batch: &Batch) -> Result<Vec<u8>, ExportError> {
        let reject = |reason| ExportError::Reject { count: batch.len(), reason };
        let message = match self.format {
            Format::Proto => batch.to_otlp(),
            Format::Json => {
                let mut text = Vec::new();
                otlp_json::push_batch(&mut text, batch)?;
                text.into()
            }
        };
        let message = self.compressor.compress(message).map_err(reject)?;
        if self.format == Format::Json && self.compressor.encoding().is_none() {
            let mut line = Vec::from(message);
            line.push(b'\n');
            return Ok(line);
        }
        let length =
            u32::try_from(message.len()).map_err(|_| reject("the message has more than 4 GiB".to_owned()))?;
        Ok([&length.to_be_bytes(), &*message].concat())
    }

    /// Runs `work` where a slow disk holds up nobody else. It runs to its end even if nobody waits for it any more.
    async fn with_files(
        &self,
        work: impl FnOnce(&mut Groups) -> Result<(), target::Failure> + Send + 'static,
    ) -> Result<(), ExportError> {
        let files = Arc::clone(&self.files);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut files.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let reason = match done.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err((path, error))) => format!("cannot write to {}: {error}", path.display()),
            Err(stopped) => format!("cannot write: {stopped}"),
        };
        Err(ExportError::Retry { reason, after: None })
    }
}

fn unix_nano(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::path::Path;
    use watershed_config::Section;
    use watershed_pipeline::Signal;

    fn build(path: &Path, settings: &str) -> Result<FileExporter, String> {
        let yaml = format!("path: {}\n{settings}", path.display());
        let config: Config =
            Section::from_text("file", &yaml).unwrap().read().map_err(|errors| errors.to_string())?;
        ExporterConfig::build(&config, &testing::context("file")).map_err(|error| error.to_string())
    }

    async fn export(path: &Path, settings: &str, batch: &Batch) {
        let exporter = build(path, settings).unwrap();
        exporter.start().await.unwrap();
        exporter.export(batch).await.unwrap();
        exporter.flush().await.unwrap();
    }

    /// The messages of a file with lengths.
    fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
            let (message, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            messages.push(message.to_vec());
            bytes = rest;
        }
        messages
    }

    #[tokio::test]
    async fn json_is_a_line_a_batch_and_append_continues_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl");
        for (settings, lines) in [("", 1), ("", 1), ("append: true", 2)] {
            export(&path, settings, &testing::logs(2)).await;
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), lines);
            assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
        }
    }

    #[tokio::test]
    async fn proto_and_compressed_messages_have_their_length_in_front() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.bin");
        let batch = testing::logs(3);
        export(&path, "format: proto", &batch).await;
        assert_eq!(messages(&std::fs::read(&path).unwrap()), [batch.to_otlp()]);
        export(&path, "format: proto\ncompression: zstd", &batch).await;
        let compressed = messages(&std::fs::read(&path).unwrap());
        assert_eq!(zstd::bulk::decompress(&compressed[0], 1 << 20).unwrap(), batch.to_otlp());
    }

    #[tokio::test]
    async fn each_resource_has_its_file_within_the_folder() {
        let directory = tempfile::tempdir().unwrap();
        let mut builder = Batch::builder(Signal::Logs);
        for tenant in ["a", "../../b", "a"] {
            builder.begin_resource(|resource| resource.set_attribute("tenant", tenant));
            builder.push(|log| log.set_body(tenant));
        }
        builder.begin_resource(|_| ());
        builder.push(|log| log.set_body("none"));
        let settings = "group_by: {enabled: true, resource_attribute: tenant, max_open_files: 1}";
        export(&directory.path().join("logs/*.jsonl"), settings, &builder.build()).await;
        for (name, bodies) in [("a", 2), ("b", 1), ("MISSING", 1)] {
            let text = std::fs::read_to_string(directory.path().join(format!("logs/{name}.jsonl"))).unwrap();
            assert_eq!(text.matches("\"body\"").count(), bodies, "{text}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_missing_is_made_only_when_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/a.jsonl");
        let error = build(&path, "").unwrap().start().await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot open {} for writing", path.display()));
        build(&path, "create_directory: true").unwrap().start().await.unwrap();
        assert!(path.exists());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_tried_again() {
        let exporter = build(Path::new("/dev/full"), "append: true").unwrap();
        exporter.start().await.unwrap();
        let error = exporter.export(&testing::logs(1)).await.unwrap_err();
        assert!(
            matches!(&error, ExportError::Retry { reason, .. } if reason.contains("/dev/full: No space left")),
            "{error:?}"
        );
    }

    #[test]
    fn settings_that_do_not_fit_together_are_refused() {
        for (settings, expected) in [
            (
                "append: true\nrotation: {}",
                "append: cannot stand beside rotation, which always continues a file; remove it",
            ),
            (
                "append: true\ncompression: zstd",
                "append: cannot stand beside compression; remove one of them",
            ),
            (
                "group_by: {enabled: true}",
                "path: `/tmp/a` needs exactly one `*`, which stands for the value of the attribute",
            ),
            (
                "directory_permissions: rwx",
                "directory_permissions: `rwx` are no permissions; write octal digits, as in 0755",
            ),
        ] {
            assert_eq!(build(Path::new("/tmp/a"), settings).err().unwrap(), expected);
        }
    }
}
