//! What is counted, for the receiver to publish.

use std::fmt;

/// Why a line or a record could not be read. Both texts are of closed sets, fit for the labels of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Failure {
    /// The format or operator, such as `json` or `regex_parser`.
    pub format: &'static str,
    /// What is wrong, such as `syntax`.
    pub reason: &'static str,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.format, self.reason)
    }
}

/// Counts since they were taken last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines that a format took. Pieces of a container's line count as the line that they become.
    pub parsed: u64,
    /// Records that operators dropped, as they were told to (`filter`, `router` without a default, `on_error: drop`).
    pub dropped: u64,
    failed: Vec<(Failure, u64)>,
}

impl Stats {
    pub(super) fn fail(&mut self, failure: Failure) {
        match self.failed.iter_mut().find(|(known, _)| *known == failure) {
            Some((_, count)) => *count += 1,
            None => self.failed.push((failure, 1)),
        }
    }

    /// Lines and records that went on unread, by reason.
    pub fn failed(&self) -> impl Iterator<Item = (Failure, u64)> {
        self.failed.iter().copied()
    }

    /// Adds the counts of another source.
    pub fn add(&mut self, other: &Self) {
        self.parsed += other.parsed;
        self.dropped += other.dropped;
        for (failure, count) in &other.failed {
            match self.failed.iter_mut().find(|(known, _)| known == failure) {
                Some((_, sum)) => *sum += count,
                None => self.failed.push((*failure, *count)),
            }
        }
    }
}
