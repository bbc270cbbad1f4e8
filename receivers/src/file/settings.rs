//! The settings of the receiver that have a shape of their own, with the Collector's names and defaults.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::Period;

/// Where reading begins in files that are there at the first start.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum StartAt {
    /// With the first line.
    Beginning,
    /// With what is written from now on.
    #[default]
    End,
}

/// What becomes of an entry that is larger than `max_log_size`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnOversize {
    /// It becomes several records.
    #[default]
    Split,
    /// Its beginning is a record and the rest is left out.
    Truncate,
}

/// Which files are decompressed while they are read.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Compression {
    /// Those that begin like gzip or zstd.
    #[default]
    Auto,
    /// Those that begin like gzip.
    Gzip,
    /// Those that begin like zstd.
    Zstd,
    /// None.
    #[serde(alias = "")]
    None,
}

/// How a batch that was refused is sent again: after growing intervals, while nothing more is read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetrySettings {
    /// Whether it is sent again. Default `true`, unlike in the Collector. If not, it is dropped and counted.
    pub(super) enabled: bool,
    /// The first interval. Default `1s`.
    pub(super) initial_interval: Period,
    /// The longest interval, from which on it grows no more. Default `30s`.
    pub(super) max_interval: Period,
    /// When to give up, to drop the batch and to count it; `0` means never. Default `0`, unlike in the Collector.
    pub(super) max_elapsed_time: Period,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Period::seconds(1),
            max_interval: Period::seconds(30),
            max_elapsed_time: Period::seconds(0),
        }
    }
}

impl RetrySettings {
    /// How long to wait before attempt number `attempt` (from 1), `elapsed` after the first one; `None` to give up.
    /// A receiver of its own waits, so that chance need not spread the attempts.
    pub(super) fn delay(&self, attempt: u32, elapsed: Duration, after: Option<Duration>) -> Option<Duration> {
        let limit = self.max_elapsed_time.duration();
        let grown = self.initial_interval.duration().saturating_mul(2_u32.saturating_pow(attempt - 1));
        let delay = grown
            .min(self.max_interval.duration())
            .max(after.unwrap_or_default().min(self.max_interval.duration()));
        (self.enabled && (limit.is_zero() || elapsed + delay <= limit)).then_some(delay)
    }
}

/// Keeps the first files of an order, and leaves the others out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ordering {
    /// A regular expression with named groups, which the rules of `sort_by` name by `regex_key`.
    pub(super) regex: Option<String>,
    /// How many files are followed. Default 1.
    pub(super) top_n: Option<usize>,
    /// The order, the most important rule first.
    pub(super) sort_by: Vec<serde_json::Value>,
    /// A regular expression whose first group splits the files into groups.
    pub(super) group_by: Option<String>,
}

/// The first lines of a file as attributes of its records.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Header {
    /// A regular expression that header lines match.
    pub(super) pattern: Option<String>,
    /// What reads them.
    pub(super) metadata_operators: Vec<serde_json::Value>,
}
