//! A run that reads what is there and ends: how receivers learn of it, and how far they have come.

use std::sync::atomic::{AtomicU64, Ordering};

/// Shared with receivers when the process shall end by itself. A receiver that can come to an end then says so by
/// [`Receiver::is_finite`](crate::Receiver::is_finite), counts its progress here, and returns from `run` when all
/// that was there is delivered.
#[derive(Debug, Default)]
pub struct UntilEof {
    expected: AtomicU64,
    read: AtomicU64,
    lines: AtomicU64,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that there are to be read, as far as is known.
    pub expected: u64,
    /// Bytes that were read and delivered.
    pub read: u64,
    /// Lines that were delivered.
    pub lines: u64,
}

impl UntilEof {
    /// Adds bytes that are to be read.
    pub fn expect(&self, bytes: u64) {
        self.expected.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds what was read and delivered.
    pub fn advance(&self, bytes: u64, lines: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
        self.lines.fetch_add(lines, Ordering::Relaxed);
    }

    /// How far the run has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let read = self.read.load(Ordering::Relaxed);
        Progress {
            expected: self.expected.load(Ordering::Relaxed).max(read),
            read,
            lines: self.lines.load(Ordering::Relaxed),
        }
    }
}
