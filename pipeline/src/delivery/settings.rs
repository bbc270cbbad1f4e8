//! The options in front of every exporter, with the names and defaults of the OpenTelemetry Collector.
//!
//! They stand in the exporter's own section, from which the engine takes them before the exporter reads the rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use watershed_config::{ByteSize, ComponentId, ConfigError, ConfigErrors, Period, Section};

use crate::batch::Signal;
use crate::component::Reach;
use crate::extension::Extensions;
use crate::storage::queue_directory;

const MEMORY: &str = "memory";
const DISK: &str = "disk";
const QUOTA_MIN: ByteSize = ByteSize::new(1 << 20);

/// The most batches that one exporter sends at the same time.
const CONSUMERS_MAX: usize = 1000;

/// The options that every exporter has beside its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryOptions {
    /// The queue in front of the exporter. On by default for exporters that send over a network.
    pub sending_queue: Option<SendingQueue>,
    /// How long and how often a failed attempt is repeated. On by default.
    pub retry_on_failure: Option<RetryOnFailure>,
    /// How long one attempt may take, for instance `5s`; `0` means for ever. The default is the exporter's own.
    pub timeout: Option<Period>,
}

/// The queue in front of an exporter: what it has taken, its sender need not send again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SendingQueue {
    /// Whether there is a queue. Without one the sender waits until the far end has answered.
    pub enabled: bool,
    /// How many batches are sent at the same time, from 1 to 1000. Default 10. A batch that waits for its next attempt
    /// lets the next one go first, until 100 batches or 16 MiB wait so; with 1, batches go out in their order instead.
    pub num_consumers: usize,
    /// How much the queue holds, in the unit of `sizer`, from admission until the far end has answered.
    /// Default 1000 in memory; on disk only `quota` counts unless this is given.
    pub queue_size: Option<usize>,
    /// What `queue_size` counts. Default `requests`.
    pub sizer: Sizer,
    /// Whether a full queue makes the sender wait (default, unlike in the Collector) or refuses it at once.
    pub block_on_overflow: bool,
    /// Whether the sender waits until the far end has answered, although there is a queue. Default no.
    pub wait_for_result: bool,
    /// Where the queue is kept: `disk` or `memory`. Default `disk` for exporters that send over a network: a sender is
    /// told that its data is taken when it is on disk. What is in `memory` is lost in a crash. The id of a
    /// `file_storage` extension means on disk, in its directory.
    pub storage: Option<String>,
    /// How much a queue on disk takes at most; more has to wait. Default `10GiB` for each exporter and signal.
    pub quota: ByteSize,
    /// How much memory the batches in a queue in memory take at most, beside `queue_size`; more has to wait, except a
    /// single batch that is larger. Does not count with `sizer: bytes`. Default `64MiB` for each exporter and signal; the
    /// Collector has no such limit.
    pub memory_quota: ByteSize,
    /// How batches in a queue on disk are compressed: `none` (default) or `lz4`, which makes them several times smaller
    /// for about 0.3 µs a record.
    pub compression: QueueCompression,
    /// When a sender is told that its data is on disk. Default `group`.
    pub fsync: FsyncPolicy,
    /// The period of `fsync: interval`. Default `100ms`.
    pub fsync_interval: Period,
    /// Merges small batches and splits large ones. Off unless given, but for exporters whose page says otherwise.
    pub batch: Option<BatchOptions>,
}

/// When a queue on disk waits for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FsyncPolicy {
    /// Before a sender is told, for all that came within a few milliseconds at once.
    #[default]
    Group,
    /// Every `fsync_interval`: a power failure loses what came since; a crash of the process loses nothing.
    Interval,
    /// When the operating system does: a power failure loses what came in the last half minute or so.
    None,
}

/// How batches in a queue on disk are compressed. What was written before a change stays readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueCompression {
    /// Not at all: the least work where the disk is quick.
    #[default]
    None,
    /// With LZ4: fewer bytes on a slow disk, and more batches in the same `quota`.
    Lz4,
}

/// How batches are merged and split on their way out of the queue.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchOptions {
    /// How long the first item of a batch waits at most. Default `200ms`.
    pub flush_timeout: Period,
    /// A batch of this size goes out at once; with 1, batches go out as they come. Default 8192.
    pub min_size: usize,
    /// No batch is larger than this; `0` means no limit. Default 0.
    pub max_size: usize,
    /// What the sizes count: `items` (default, or as the queue if that counts bytes) or `bytes`.
    pub sizer: Option<Sizer>,
}

/// What a size counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sizer {
    /// Batches as they were received.
    #[default]
    Requests,
    /// Log records, spans or data points.
    Items,
    /// Bytes of the OTLP encoding.
    Bytes,
}

/// How a failed attempt is repeated: after growing, randomized intervals.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryOnFailure {
    /// Whether failed attempts are repeated. Default yes.
    pub enabled: bool,
    /// The first interval. Default `5s`.
    pub initial_interval: Period,
    /// How far an interval may be off, from 0 to 1 of its length. Default 0.5.
    pub randomization_factor: f64,
    /// What the interval grows by each time, at least 1. Default 1.5.
    pub multiplier: f64,
    /// The longest interval. Default `30s`.
    pub max_interval: Period,
    /// How long a batch is tried; `0` means for ever. Default `5m`, and for ever with a queue on disk.
    pub max_elapsed_time: Option<Period>,
}

impl Default for SendingQueue {
    fn default() -> Self {
        Self {
            enabled: true,
            num_consumers: 10,
            queue_size: None,
            sizer: Sizer::Requests,
            block_on_overflow: true,
            wait_for_result: false,
            storage: None,
            quota: ByteSize::new(10 << 30),
            memory_quota: ByteSize::new(64 << 20),
            compression: QueueCompression::None,
            fsync: FsyncPolicy::Group,
            fsync_interval: Period::milliseconds(100),
            batch: None,
        }
    }
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { flush_timeout: Period::milliseconds(200), min_size: 8192, max_size: 0, sizer: None }
    }
}

impl Default for RetryOnFailure {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Period::seconds(5),
            randomization_factor: 0.5,
            multiplier: 1.5,
            max_interval: Period::seconds(30),
            max_elapsed_time: None,
        }
    }
}

/// The options of one exporter with its defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct DeliverySettings {
    pub(crate) queue: Option<SendingQueue>,
    pub(crate) retry: Option<RetryOnFailure>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) storage: Storage,
    /// The directory of the extension that the queue is kept in, instead of that of the process.
    pub(crate) root: Option<PathBuf>,
    /// The directory of the queue, if it is kept on disk.
    pub(crate) directory: Option<PathBuf>,
}

/// Where the queue is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Memory,
    /// On disk if the process was given a directory.
    DiskIfPossible,
    Disk,
}

impl DeliverySettings {
    /// Takes the options out of an exporter's section, with all mistakes in them.
    pub(crate) fn take(
        section: &mut Section,
        reach: Reach,
        batch: Option<BatchOptions>,
    ) -> (Self, Vec<ConfigError>) {
        let mut errors = Vec::new();
        let queue = take::<SendingQueue>(section, "sending_queue", &mut errors, SendingQueue::mistakes);
        let retry =
            take::<RetryOnFailure>(section, "retry_on_failure", &mut errors, RetryOnFailure::mistakes);
        let timeout = take::<Option<Period>>(section, "timeout", &mut errors, |_, _| Vec::new());
        let (default_queue, default_timeout) = match reach {
            Reach::Local => (None, Duration::ZERO),
            Reach::Network { timeout } => (Some(SendingQueue::default()), timeout),
        };
        let timeout = timeout.flatten().map_or(default_timeout, Period::duration);
        let asked = queue.as_ref().and_then(|queue| queue.storage.as_deref());
        let waits = queue.as_ref().is_some_and(|queue| queue.wait_for_result);
        let storage = match (asked, reach) {
            (Some(MEMORY), _) | (None, Reach::Local) => Storage::Memory,
            (None, Reach::Network { .. }) if waits => Storage::Memory,
            (None, Reach::Network { .. }) => Storage::DiskIfPossible,
            (Some(_), _) => Storage::Disk,
        };
        let mut queue = queue.or(default_queue).filter(|queue| queue.enabled);
        if let Some(queue) = queue.as_mut().filter(|queue| !queue.wait_for_result && queue.batch.is_none()) {
            queue.batch = batch;
        }
        let settings = Self {
            storage,
            root: None,
            directory: None,
            queue,
            retry: Some(retry.unwrap_or_default()).filter(|retry| retry.enabled),
            timeout: (!timeout.is_zero()).then_some(timeout),
        };
        (settings, errors)
    }
}

impl DeliverySettings {
    /// Finds the extension that the settings of the queue name, if they name one.
    ///
    /// # Errors
    /// There is none of that name that is switched on and offers storage.
    pub(crate) fn find_storage(&mut self, extensions: &Extensions) -> Result<(), String> {
        let named = self.queue.as_ref().and_then(|queue| queue.storage.as_deref());
        let Some(named) = named.filter(|named| ![MEMORY, DISK].contains(named)) else { return Ok(()) };
        let found = named.parse::<ComponentId>().and_then(|id| extensions.storage(&id));
        let found = found.map_err(|problem| {
            format!("must be `disk`, `memory` or the id of an extension such as `file_storage`: {problem}")
        });
        self.root = Some(found?);
        Ok(())
    }

    /// Says where the queues of the process are, if it has such a place, and decides what follows from that.
    pub(crate) fn place(&mut self, root: Option<&Path>, exporter: &str, signal: Signal) {
        if self.storage == Storage::DiskIfPossible {
            self.storage = if root.is_some() { Storage::Disk } else { Storage::Memory };
        }
        if self.queue.is_none() || self.storage == Storage::Memory {
            return;
        }
        let root = self.root.as_deref().or(root);
        self.directory = root.map(|root| queue_directory(root, exporter, signal));
        if let Some(retry) = &mut self.retry {
            // What is on disk can wait for ever.
            retry.max_elapsed_time.get_or_insert(Period::seconds(0));
        }
    }
}

fn take<T: DeserializeOwned>(
    section: &mut Section,
    key: &str,
    errors: &mut Vec<ConfigError>,
    mistakes: impl FnOnce(&T, &Section) -> Vec<ConfigError>,
) -> Option<T> {
    let own = section.take(key)?;
    match own.read::<T>() {
        Ok(value) => {
            errors.extend(mistakes(&value, &own));
            Some(value)
        }
        Err(wrong) => {
            errors.extend(ConfigErrors::into_iter(wrong));
            None
        }
    }
}

impl SendingQueue {
    fn mistakes(&self, section: &Section) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let mut complain = |path: &str, message: &str| errors.push(section.error_at(path, message));
        if self.num_consumers == 0 {
            complain("num_consumers", "must be positive; 1 sends one batch at a time");
        }
        if self.num_consumers > CONSUMERS_MAX {
            complain("num_consumers", "must be at most 1000");
        }
        if self.queue_size == Some(0) {
            complain("queue_size", "must be positive; `enabled: false` switches the queue off");
        }
        if self.wait_for_result && self.storage.as_deref().is_some_and(|storage| storage != MEMORY) {
            complain(
                "wait_for_result",
                "needs `storage: memory`; a queue on disk answers when it is on disk",
            );
        }
        if self.quota < QUOTA_MIN {
            complain("quota", "must be at least `1MiB`");
        }
        if self.memory_quota < QUOTA_MIN {
            complain("memory_quota", "must be at least `1MiB`");
        }
        if self.fsync_interval.is_zero() {
            complain(
                "fsync_interval",
                "must be positive; to wait for the disk each time, use `fsync: group`",
            );
        }
        let Some(batch) = &self.batch else { return errors };
        if batch.flush_timeout.is_zero() {
            complain("batch.flush_timeout", "must be positive; to send batches as they come, remove `batch`");
        }
        if batch.sizer == Some(Sizer::Requests) {
            complain("batch.sizer", "supports only `items` or `bytes`");
        }
        if batch.max_size != 0 && batch.max_size < batch.min_size {
            complain("batch.max_size", "must be at least `min_size`, or 0 for no limit");
        }
        if batch.sizer(self.sizer) == self.sizer && batch.min_size > self.memory_size() {
            complain(
                "batch.min_size",
                "must be at most `queue_size`, or the queue is full before a batch is",
            );
        }
        errors
    }
}

impl SendingQueue {
    /// How much the queue holds in memory.
    pub(crate) fn memory_size(&self) -> usize {
        self.queue_size.unwrap_or(1000)
    }
}

impl BatchOptions {
    /// What the sizes count, given what the queue counts.
    pub(crate) fn sizer(&self, queue: Sizer) -> Sizer {
        self.sizer.unwrap_or(if queue == Sizer::Bytes { Sizer::Bytes } else { Sizer::Items })
    }
}

impl RetryOnFailure {
    fn mistakes(&self, section: &Section) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let mut complain = |path: &str, message: &str| errors.push(section.error_at(path, message));
        if !(0.0..=1.0).contains(&self.randomization_factor) {
            complain("randomization_factor", "must be from 0 to 1");
        }
        if !(1.0..=1000.0).contains(&self.multiplier) {
            complain("multiplier", "must be from 1 to 1000");
        }
        if self.initial_interval.is_zero() {
            complain("initial_interval", "must be positive; `enabled: false` switches repetition off");
        }
        if self.max_interval < self.initial_interval {
            complain("max_interval", "must be at least `initial_interval`");
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut section = Section::from_text("otlp", text).unwrap();
        let (_, errors) = DeliverySettings::take(&mut section, Reach::Local, None);
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, expected);
        assert_eq!(section.keys().collect::<Vec<_>>(), ["endpoint"]);
    }

    #[test]
    fn a_queue_is_kept_in_the_directory_of_the_extension_that_it_names() {
        let mut extensions = Extensions::default();
        let offers = crate::extension::Extension::new().with_storage("/own".into());
        extensions.insert("file_storage/own".parse().unwrap(), offers, true);
        let settings = |storage: &str| {
            let text = format!("endpoint: x\nsending_queue: {{storage: {storage}}}");
            let mut section = Section::from_text("otlp", &text).unwrap();
            let (mut settings, errors) = DeliverySettings::take(&mut section, Reach::Local, None);
            assert_eq!(errors, []);
            settings.find_storage(&extensions)?;
            settings.place(Some(Path::new("/all")), "otlp", Signal::Logs);
            Ok::<_, String>(settings.directory)
        };
        assert_eq!(settings("memory"), Ok(None));
        assert_eq!(settings("disk"), Ok(Some("/all/otlp/logs".into())));
        assert_eq!(settings("file_storage/own"), Ok(Some("/own/otlp/logs".into())));
        assert_eq!(
            settings("dsik").unwrap_err(),
            "must be `disk`, `memory` or the id of an extension such as `file_storage`: the extension `dsik` is not \
             configured; use one of: file_storage/own"
        );
    }

    #[test]
    fn options_of_the_engine_are_taken_out_of_the_section() {
        check(
            "endpoint: x\ntimeout: 3s\nsending_queue: {batch: }\nretry_on_failure: {max_elapsed_time: 0}",
            &[],
        );
    }

    #[test]
    fn mistakes_have_a_place_and_a_way_out() {
        check(
            "endpoint: x\nsending_queue: {queue_size: 0}\ntimeout: soon",
            &[
                "otlp:2:29: otlp.sending_queue.queue_size: must be positive; `enabled: false` switches the queue off",
                "otlp:3:1: otlp.timeout: `soon` is not a period; write `5s`, `1m30s` or `200ms`",
            ],
        );
        check(
            "endpoint: x\nretry_on_failure: {max_interval: 1s}",
            &["otlp:2:34: otlp.retry_on_failure.max_interval: must be at least `initial_interval`"],
        );
    }

    #[test]
    fn reach_decides_what_stands_in_front_by_default() {
        let take = |text: &str, reach| {
            DeliverySettings::take(&mut Section::from_text("x", text).unwrap(), reach, None).0
        };
        let network = Reach::Network { timeout: Duration::from_secs(7) };
        assert!(take("", Reach::Local).queue.is_none());
        assert!(take("sending_queue:", Reach::Local).queue.is_some());
        assert!(take("sending_queue: {enabled: false}", network).queue.is_none());
        assert_eq!(take("", network).timeout, Some(Duration::from_secs(7)));
        assert_eq!(take("timeout: 0", network).timeout, None);
    }

    #[test]
    fn an_exporter_decides_how_batches_are_merged_unless_the_user_does() {
        let network = Reach::Network { timeout: Duration::from_secs(7) };
        let min_size = |text: &str| {
            let own = BatchOptions { min_size: 77, ..BatchOptions::default() };
            let mut section = Section::from_text("x", text).unwrap();
            let queue = DeliverySettings::take(&mut section, network, Some(own)).0.queue;
            queue.and_then(|queue| queue.batch).map(|batch| batch.min_size)
        };
        assert_eq!(min_size(""), Some(77));
        assert_eq!(min_size("sending_queue: {num_consumers: 2}"), Some(77));
        assert_eq!(min_size("sending_queue: {batch: {min_size: 1}}"), Some(1));
        assert_eq!(min_size("sending_queue: {wait_for_result: true}"), None);
        assert_eq!(min_size("sending_queue: {enabled: false}"), None);
    }
}
