//! What the receiver says about itself.

use crate::parsers::Stats;
use watershed_pipeline::{Context, Counter, Gauge, Unit};

/// Counters and gauges of one receiver.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) open: Gauge,
    pub(super) followed: Gauge,
    pub(super) lag: Gauge,
    pub(super) bytes: Counter,
    pub(super) lines: Counter,
    pub(super) oversized: Counter,
    pub(super) replaced: Counter,
    pub(super) rotated: Counter,
    pub(super) failed: Counter,
    pub(super) vanished: Counter,
    pub(super) dropped: Counter,
    cx: Context,
}

impl Metrics {
    /// Publishes what a parser counted.
    pub(super) fn parsed(&self, stats: &Stats) {
        self.dropped.add(stats.dropped);
        for (failure, count) in stats.failed() {
            let labels = [("format", failure.format), ("reason", failure.reason)];
            let help = "Lines that went on unread, by format and reason.";
            self.cx.labelled_counter("file_unparsed_lines", Unit::Items, help, &labels).add(count);
        }
    }

    pub(super) fn new(cx: &Context) -> Self {
        let counter = |name: &str, unit: Unit, help: &str| cx.counter(&format!("file_{name}"), unit, help);
        let gauge = |name: &str, unit: Unit, help: &str| cx.gauge(&format!("file_{name}"), unit, help);
        Self {
            cx: cx.clone(),
            open: gauge("open_files", Unit::Handles, "Files that are open."),
            followed: gauge("followed_files", Unit::Handles, "Files that are followed."),
            lag: gauge("lag_bytes", Unit::Bytes, "Bytes that are in files and not yet delivered."),
            bytes: counter("read_bytes", Unit::Bytes, "Bytes that were read, before decoding."),
            lines: counter("lines", Unit::Items, "Entries that became records."),
            oversized: counter(
                "truncated_lines",
                Unit::Items,
                "Entries larger than max_log_size, split or truncated.",
            ),
            replaced: counter(
                "encoding_errors",
                Unit::Items,
                "Records in which bytes that are no text were replaced.",
            ),
            rotated: counter("rotations", Unit::Handles, "Files that were renamed, deleted or truncated."),
            failed: counter("failed_reads", Unit::Handles, "Files that could not be opened or read."),
            vanished: counter(
                "vanished_bytes",
                Unit::Bytes,
                "Bytes of files that went before they were read.",
            ),
            dropped: counter(
                "dropped_log_records",
                Unit::Items,
                "Records that were refused for good or too often, or that operators dropped.",
            ),
        }
    }
}
