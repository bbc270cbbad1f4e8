//! What a store is told: its limits, and when it waits for the disk.

use std::time::Duration;

/// The limits of one store.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    /// Bytes of records that are kept at most; more has to wait.
    pub(crate) quota: u64,
    /// Records and items that are kept at most.
    pub(crate) records_max: u64,
    pub(crate) items_max: u64,
    /// Bytes of one segment, unless a single batch is larger.
    pub(crate) segment_size: u64,
    pub(crate) fsync: Fsync,
    /// How long the first of a group waits for others.
    pub(crate) commit_delay: Duration,
    /// A group of this size does not wait.
    pub(crate) group_size: u64,
    /// Bytes of batches that are kept in memory between being written and being sent.
    pub(crate) hot_max: usize,
    /// How long to wait after a failed write before the next attempt.
    pub(crate) retry_delay: Duration,
}

/// When a sender may be told that its data is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fsync {
    /// When it is on disk.
    Group,
    /// When the operating system has it; the disk has it this much later.
    Interval(Duration),
    /// When the operating system has it.
    None,
}

impl StoreOptions {
    /// The defaults for so many bytes.
    pub(crate) fn new(quota: u64) -> Self {
        const SEGMENT: u64 = 64 << 20;
        const SEGMENT_MIN: u64 = 64 << 10;
        Self {
            quota,
            records_max: u64::MAX,
            items_max: u64::MAX,
            // With a small quota, space comes back in small steps.
            segment_size: (quota / 8).clamp(SEGMENT_MIN, SEGMENT),
            fsync: Fsync::Group,
            commit_delay: Duration::from_millis(2),
            group_size: 4 << 20,
            hot_max: 16 << 20,
            retry_delay: Duration::from_millis(200),
        }
    }

    /// Whether there is a limit beside the quota.
    pub(crate) fn is_counted(&self) -> bool {
        self.records_max != u64::MAX || self.items_max != u64::MAX
    }
}
