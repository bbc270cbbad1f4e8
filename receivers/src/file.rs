//! Follows files and sends their lines as log records: like `tail -F` over patterns of paths, without losing a line.
//!
//! ```yaml
//! file:
//!   include: [/var/log/shop/*.log]
//!   exclude: [/var/log/shop/debug*.log]
//!   start_at: beginning
//!   multiline: {presets: [java]}
//! ```
//!
//! `watershed run --until-eof` reads what is there, delivers it and ends, for instance to fill a new store with old files;
//! `start_at` then counts as `beginning` for files without a position.
//!
//! Signals: logs. The body is the line, without spaces before and behind it; empty lines are left out. Order: that of each
//! file. Loss: none. A position moves when every pipeline has taken the lines before it: with queues on disk, when they
//! are on disk. What is refused is sent again from memory while reading waits; what is refused for good is dropped and
//! counted. Positions are in `service.storage.directory`, so that a restart goes on where it was, and a killed process
//! reads again what was on its way (at most 4 MiB); after a power failure also what was delivered in the last second.
//!
//! A file is known by its device and inode and by how it begins (`fingerprint_size`), a position by the 64 bytes before it.
//! So it is read once, whatever becomes of it: renamed, deleted (read to its end while it is open), truncated after it
//! was copied (the copy is read on, if it matches `include`), or compressed with gzip or zstd (likewise; only what is
//! missing is read). Of 1000 contents that are gone is remembered how far they were read. Two files that begin alike and
//! of which one has nothing else are taken for copies until they differ.
//!
//! Files are heard of from the kernel (inotify) and looked for every 5 s; where the kernel can't tell, every
//! `poll_interval`. Each file has its turn of 512 KiB at a time. Memory: two rounds of 2 MiB of lines with their records,
//! about twice that for short lines, within the memory limit of the process, and for each compressed file that is open
//! the window of its decoder; 1 to 2 KiB for each file that is known.
//!
//! Metrics begin with `file_`: gauges `open_files`, `followed_files`, `lag_bytes`; counters `read_bytes`, `lines`,
//! `truncated_lines`, `encoding_errors`, `rotations`, `failed_reads`, `vanished_bytes`, `dropped_log_records`.
//!
//! Unlike the Collector: positions are kept and refused lines are sent again unless switched off; compressed files are
//! decompressed by default; patterns of `multiline` are tried line by line.

mod checkpoint;
mod cut;
mod discovery;
mod encoding;
mod follower;
mod globs;
mod identity;
mod metrics;
mod multiline;
mod reader;
mod records;
mod run;
mod settings;
mod source;
mod trail;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, Period};
use watershed_pipeline::storage::StorageDirectory;
use watershed_pipeline::{
    Context, Outlet, Receiver, ReceiverConfig, RunError, Shutdown, StartError, UntilEof,
};

use self::checkpoint::Checkpoints;
use self::cut::Cutter;
use self::encoding::Encoding;
use self::follower::{Follower, Options};
use self::globs::Globs;
use self::metrics::Metrics;
use self::multiline::MultilineSettings;
use self::records::Records;
use self::run::Driver;
use self::settings::{Compression, Header, OnOversize, Ordering, RetrySettings, StartAt};
use crate::parsers::{Format, Operator, Parser, Rules};

/// The smallest `fingerprint_size`, as in the Collector.
const FINGERPRINT_MIN: ByteSize = ByteSize::new(16);
/// The largest `fingerprint_size`: it is kept for each file.
const FINGERPRINT_MAX: ByteSize = ByteSize::new(64 << 10);
/// The largest `max_log_size`: an entry has to be in memory as a whole.
const LOG_SIZE_MAX: ByteSize = ByteSize::mebibytes(256);

/// Settings of the receiver.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Patterns of paths, such as `/var/log/**/*.log`. Required.
    include: Vec<String>,
    /// Patterns of paths that are left out although they are included. Default none.
    exclude: Vec<String>,
    /// Files that were not written to for so long are left out. Default: none is.
    exclude_older_than: Option<Period>,
    /// Where reading begins in files that are there at the first start: `end` or `beginning`. Files that come later are
    /// read from their beginning. Default `end`.
    start_at: StartAt,
    /// How often files are looked for where the kernel does not tell of changes. Default `200ms`.
    poll_interval: Period,
    /// Bytes by which a content is known, `16B` to `64KiB`. Default `1000B`.
    fingerprint_size: ByteSize,
    /// Bytes of an entry at most, up to `256MiB`. Default `1MiB`.
    max_log_size: ByteSize,
    /// What becomes of larger entries: `split` or `truncate`. Default `split`.
    #[serde(alias = "max_log_size_behavior")]
    on_oversize: OnOversize,
    /// Files that are open at the same time at most; also at most half of what the system allows the process. More are
    /// followed in turn. Default 1024.
    max_concurrent_files: usize,
    /// How the files are encoded: `utf-8`, `utf8-raw` (passed on as bytes), `utf-16le`, `utf-16be`, `latin-1` or `ascii`.
    /// Default `utf-8`.
    encoding: String,
    /// How lines become entries of several lines. Default: each line is one.
    multiline: Option<MultilineSettings>,
    /// How lines are written, such as `json`, `cri` or `auto` (detected for each file). Default `none`: the line is the
    /// body.
    format: Format,
    /// The zone of times that name none: `UTC`, `Local`, `+02:00`, `Europe/Vienna`. Default `UTC`.
    time_zone: String,
    /// What to do with each record, in order, as the operators of the Collector. Default nothing.
    operators: Vec<Operator>,
    /// After how long a silence an unfinished entry counts as finished; `0` means never. Default `500ms`.
    force_flush_period: Period,
    /// Whether spaces before an entry are kept, as they are with any `format`. Default `false`.
    preserve_leading_whitespaces: bool,
    /// Whether spaces behind an entry are kept, as they are with any `format` but for a carriage return. Default `false`.
    preserve_trailing_whitespaces: bool,
    /// Whether records have the file's name as `log.file.name`. Default `true`.
    include_file_name: bool,
    /// Whether records have the file's path as `log.file.path`. Default `false`.
    include_file_path: bool,
    /// Whether records have the file's name behind links as `log.file.name_resolved`. Default `false`.
    include_file_name_resolved: bool,
    /// Whether records have the file's path behind links as `log.file.path_resolved`. Default `false`.
    include_file_path_resolved: bool,
    /// Whether records have their number in the file, from 1, as `log.file.record_number`. Default `false`.
    include_file_record_number: bool,
    /// Whether records have their place in the file, in bytes, as `log.file.record_offset`. Default `false`.
    include_file_record_offset: bool,
    /// Attributes of every record. Default none.
    attributes: BTreeMap<String, String>,
    /// Attributes of the resource of every record. Default none.
    resource: BTreeMap<String, String>,
    /// Which files are decompressed: `auto` (those that begin like gzip or zstd), `gzip`, `zstd` or `none`. Default `auto`.
    compression: Compression,
    /// Whether files are deleted once they are read to their end and delivered. Needs `start_at: beginning`. Default
    /// `false`.
    delete_after_read: bool,
    /// Where positions are kept: `disk` or `memory`. The id of a `file_storage` extension means `disk`. Default `disk`.
    storage: Option<String>,
    /// How what was refused is sent again.
    retry_on_failure: RetrySettings,
    /// Not available: files are only read, and many may read one.
    acquire_fs_lock: bool,
    /// Not available.
    header: Option<Header>,
    /// Not available.
    ordering_criteria: Option<Ordering>,
    /// Not available.
    include_file_owner_name: bool,
    /// Not available.
    include_file_owner_group_name: bool,
    /// Without effect: files have their turns.
    max_batches: usize,
    /// Without effect: blocks are as large as what there is to read.
    initial_buffer_size: Option<ByteSize>,
    /// Without effect: how far contents were read that are gone is always remembered.
    polls_to_archive: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            exclude_older_than: None,
            start_at: StartAt::default(),
            poll_interval: Period::milliseconds(200),
            fingerprint_size: ByteSize::new(1000),
            max_log_size: ByteSize::mebibytes(1),
            on_oversize: OnOversize::default(),
            max_concurrent_files: 1024,
            encoding: String::new(),
            multiline: None,
            format: Format::None,
            time_zone: "UTC".to_owned(),
            operators: Vec::new(),
            force_flush_period: Period::milliseconds(500),
            preserve_leading_whitespaces: false,
            preserve_trailing_whitespaces: false,
            include_file_name: true,
            include_file_path: false,
            include_file_name_resolved: false,
            include_file_path_resolved: false,
            include_file_record_number: false,
            include_file_record_offset: false,
            attributes: BTreeMap::new(),
            resource: BTreeMap::new(),
            compression: Compression::default(),
            delete_after_read: false,
            storage: None,
            retry_on_failure: RetrySettings::default(),
            acquire_fs_lock: false,
            header: None,
            ordering_criteria: None,
            include_file_owner_name: false,
            include_file_owner_group_name: false,
            max_batches: 0,
            initial_buffer_size: None,
            polls_to_archive: 0,
        }
    }
}

impl ReceiverConfig for Config {
    const TYPE: &'static str = "file";
    const ALIASES: &'static [&'static str] = &["filelog", "file_log"];
    const SOURCE: &'static str = include_str!("file.rs");
    type Receiver = FileReceiver;

    fn build(&self, cx: &Context) -> Result<FileReceiver, BuildError> {
        self.check()?;
        let until_eof = cx.shared::<UntilEof>();
        Ok(FileReceiver {
            cx: cx.clone(),
            options: Some(self.options()?),
            globs: Some(Globs::new(&self.include, &self.exclude)?),
            directory: self.directory(cx),
            poll_interval: self.poll_interval,
            retry: self.retry_on_failure.clone(),
            until_eof,
            follower: None,
        })
    }
}

impl Config {
    /// Checks what one setting says of another, and what is not available.
    fn check(&self) -> Result<(), BuildError> {
        if self.include.is_empty() {
            return Err(BuildError::at("include", "is required; name files such as `[/var/log/*.log]`"));
        }
        let unavailable = [
            (self.acquire_fs_lock, "acquire_fs_lock", "remove it; a file that is read needs no lock"),
            (
                self.header.is_some(),
                "header",
                "remove it, and parse the first lines where records are stored",
            ),
            (
                self.ordering_criteria.is_some(),
                "ordering_criteria",
                "remove it, and use `exclude` or `exclude_older_than`",
            ),
            (self.include_file_owner_name, "include_file_owner_name", "remove it"),
            (self.include_file_owner_group_name, "include_file_owner_group_name", "remove it"),
            (self.max_batches > 0, "max_batches", "remove it; `max_concurrent_files` bounds open files"),
        ];
        if let Some((_, field, advice)) = unavailable.into_iter().find(|(is_set, ..)| *is_set) {
            return Err(BuildError::at(field, format!("is not available; {advice}")));
        }
        if self.delete_after_read && self.start_at == StartAt::End {
            return Err(BuildError::at(
                "delete_after_read",
                "needs `start_at: beginning`, or lines are lost",
            ));
        }
        let sizes = [
            ("fingerprint_size", self.fingerprint_size, FINGERPRINT_MIN, FINGERPRINT_MAX),
            ("max_log_size", self.max_log_size, ByteSize::new(16), LOG_SIZE_MAX),
        ];
        for (field, size, min, max) in sizes {
            if size < min || size > max {
                return Err(BuildError::at(field, format!("`{size}` must be from {min} to {max}")));
            }
        }
        if self.max_concurrent_files == 0 || self.poll_interval.is_zero() {
            let field = if self.poll_interval.is_zero() { "poll_interval" } else { "max_concurrent_files" };
            return Err(BuildError::at(field, "must be more than 0"));
        }
        Ok(())
    }

    fn options(&self) -> Result<Options, BuildError> {
        let encoding: Encoding =
            self.encoding.parse().map_err(|error: String| BuildError::at("encoding", error))?;
        let multiline = self.multiline.as_ref().map(MultilineSettings::rule).transpose()?;
        if multiline.as_ref().is_some_and(|multiline| multiline.omit) && encoding.unit() > 1 {
            let text = "is not available for UTF-16; remove it";
            return Err(BuildError::at("multiline.omit_pattern", text));
        }
        for (field, map) in [("attributes", &self.attributes), ("resource", &self.resource)] {
            if let Some((key, _)) = map.iter().find(|(_, value)| value.contains("EXPR(")) {
                let text = "expressions are not available here; use the processor `transform`";
                return Err(BuildError::at(format!("{field}.{key}"), text));
            }
        }
        let pairs = |map: &BTreeMap<String, String>| map.clone().into_iter().collect();
        Ok(Options {
            start_at: self.start_at,
            fingerprint_size: self.fingerprint_size.as_usize(),
            files_max: files_max(self.max_concurrent_files),
            flush_period: self.force_flush_period.duration(),
            compression: self.compression,
            delete_after_read: self.delete_after_read,
            exclude_older_than: self.exclude_older_than.map(Period::duration),
            cutter: Cutter {
                encoding,
                multiline,
                max: self.max_log_size.as_usize(),
                on_oversize: self.on_oversize,
                trim: self.trim(),
            },
            records: Records {
                parser: self.parser()?,
                has_operators: !self.operators.is_empty(),
                file_name: self.include_file_name,
                file_path: self.include_file_path,
                file_name_resolved: self.include_file_name_resolved,
                file_path_resolved: self.include_file_path_resolved,
                record_number: self.include_file_record_number,
                record_offset: self.include_file_record_offset,
                attributes: pairs(&self.attributes),
                resource: pairs(&self.resource),
            },
        })
    }

    /// What is left out before and behind an entry. What is parsed may hold spaces that mean something.
    fn trim(&self) -> (&'static [u8], &'static [u8]) {
        const SPACES: &[u8] = b" \t\r\n";
        let before = if self.preserve_leading_whitespaces { b"" } else { SPACES };
        let behind = if self.preserve_trailing_whitespaces { b"" } else { SPACES };
        match self.format {
            Format::None => (before, behind),
            _ if self.preserve_trailing_whitespaces => (b"", b""),
            _ => (b"", b"\r"),
        }
    }

    /// What reads lines, unless they are bodies as they are.
    fn parser(&self) -> Result<Option<Parser>, BuildError> {
        let is_plain = matches!(self.format, Format::None) && self.operators.is_empty();
        let rules = Rules { format: &self.format, time_zone: &self.time_zone, operators: &self.operators };
        let parser = Parser::compile(&rules)?;
        Ok((!is_plain).then_some(parser))
    }

    /// Where positions are kept, if they are.
    fn directory(&self, cx: &Context) -> Option<PathBuf> {
        let in_memory = self.storage.as_deref() == Some("memory");
        let storage = cx.shared::<StorageDirectory>().filter(|_| !in_memory)?;
        Some(storage.of_receiver(&cx.id().to_string()))
    }
}

/// How many files may be open: as many as are asked for, and half of what the process may open at most.
fn files_max(wanted: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = limit.map_or(usize::MAX, |limit| usize::try_from(limit / 2).unwrap_or(usize::MAX));
    wanted.min(half).max(1)
}

/// The running receiver.
pub(crate) struct FileReceiver {
    cx: Context,
    options: Option<Options>,
    globs: Option<Globs>,
    directory: Option<PathBuf>,
    poll_interval: Period,
    retry: RetrySettings,
    until_eof: Option<Arc<UntilEof>>,
    follower: Option<Follower>,
}

#[async_trait]
impl Receiver for FileReceiver {
    async fn bind(&mut self) -> Result<(), StartError> {
        self.open()
    }

    fn is_finite(&self) -> bool {
        self.until_eof.is_some()
    }

    async fn run(self: Box<Self>, outlet: Outlet, shutdown: Shutdown) -> Result<(), RunError> {
        let Some(follower) = self.follower else { return Ok(()) };
        let driver = Driver {
            outlet,
            shutdown,
            poll_interval: self.poll_interval.duration(),
            retry: self.retry,
            metrics: Metrics::new(&self.cx),
            until_eof: self.until_eof.is_some(),
        };
        driver.run(follower).await
    }
}

impl FileReceiver {
    /// Opens the positions. No file is touched yet.
    fn open(&mut self) -> Result<(), StartError> {
        let known = match &self.directory {
            None => (Checkpoints::default(), BTreeMap::new()),
            Some(directory) => Checkpoints::open(directory).map_err(|source| StartError::Io {
                what: format!("cannot use the positions of files in {}", directory.display()),
                source,
            })?,
        };
        if let (Some(options), Some(globs)) = (self.options.take(), self.globs.take()) {
            let (metrics, budget) = (Metrics::new(&self.cx), self.cx.budget().clone());
            self.follower =
                Some(Follower::new(options, globs, metrics, budget, self.until_eof.clone(), known));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
