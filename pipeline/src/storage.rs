//! A queue on disk: append-only segments, group commit, acknowledgement out of order, recovery from anything.
//!
//! What is appended is on disk before its sender is told so. What is taken stays on disk until it is
//! acknowledged; after a crash it is taken again, so everything arrives at least once.
//!
//! A queue is a directory:
//!
//! | name | is |
//! | --- | --- |
//! | `lock` | locked by the process that uses the queue |
//! | `00000000000000000001.seg` | a segment of records, named by its first sequence number |
//! | `acks` | ranges of sequence numbers that were delivered |
//! | `quarantine/` | damaged segments, once everything readable in them is delivered |
//! | `dead_letters/` | a queue of its own: what the far end refused for good |
//!
//! Rules that hold at any moment: a sequence number is used once; a record behind the first number of the next
//! segment does not count; a segment that is missing was delivered; a segment is removed only when what was
//! delivered is written down and synced.
//!
//! Read in this order: `record` and `segment` (the format), `disk`, `state`, `recovery`, `writer`, `inbox` and
//! `reader` (the two sides), `store` (what the delivery uses).

mod acks;
mod disk;
#[cfg(test)]
mod faulty;
mod inbox;
#[cfg(test)]
mod model;
mod options;
mod quarantine;
mod ranges;
mod reader;
mod record;
mod recovery;
mod segment;
mod state;
mod store;
mod writer;

use std::io;
use std::path::PathBuf;

/// Bytes of one record at most.
pub(crate) const MAX_RECORD: u64 = 1 << 30;

/// Why a queue's directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process has it.
    #[error("the queue at `{path}` is in use by another process; stop that one or choose another `service.storage.directory`")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("can't {action} the queue at `{path}`; check that the disk is there and that this user may write to it")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
