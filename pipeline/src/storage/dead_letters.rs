//! Batches that the far end refused for good, kept to be looked at and sent again by hand.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::StorageError;
use super::disk::Disk;
use super::options::StoreOptions;
use super::record::Record;
use super::recovery::open;
use super::state::Shared;
use super::writer::{Append, Writer};

/// The directory inside a queue's.
pub(crate) const DIRECTORY: &str = "dead_letters";
/// Bytes of dead letters kept for one queue; the oldest go first.
pub(crate) const QUOTA: u64 = 1 << 30;
const SEGMENT: u64 = 16 << 20;
/// A failed write is tried in so many segments.
const ATTEMPTS_MAX: u32 = 3;

/// The dead letters of one queue, open for more.
pub(crate) struct DeadLetters {
    shared: Arc<Shared>,
    writer: Writer,
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions { segment_size: SEGMENT, ..StoreOptions::new(QUOTA) }
}

impl DeadLetters {
    /// Opens the dead letters of the queue in `directory`. Blocks on the disk.
    pub(crate) fn open(disk: Arc<dyn Disk>, directory: &Path) -> Result<Self, StorageError> {
        let (shared, writer) = open(disk, directory.join(DIRECTORY), options())?;
        Ok(Self { shared, writer })
    }

    /// Puts a record on disk; says how many items of older ones had to go for it.
    pub(crate) fn put(&mut self, record: &Record) -> io::Result<u64> {
        let dropped = self.make_room(record.size());
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS_MAX {
            let (done, _) = oneshot::channel();
            let (record, checksum) = (record.clone(), record.checksum());
            let append = Append { record, checksum, batch: None, patient: true, done };
            outcome = self.writer.commit(&mut vec![append]);
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map(|()| dropped)
    }

    fn make_room(&mut self, size: u64) -> u64 {
        let mut dropped = 0;
        while self.shared.state().used() + size > self.shared.options.quota {
            let oldest = self.shared.state().segments.first_key_value().map(|(first, _)| *first);
            let Some(first) = oldest else { break };
            self.writer.roll();
            if let Err(error) = self.shared.disk.remove(&self.shared.path(first)) {
                tracing::warn!(%error, "could not remove old dead letters");
            }
            let segment = self.shared.state().segments.remove(&first);
            dropped += segment.map_or(0, |segment| segment.tally.items);
        }
        dropped
    }
}

impl Drop for DeadLetters {
    fn drop(&mut self) {
        self.writer.roll();
    }
}
