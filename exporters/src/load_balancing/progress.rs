//! Which records of a batch that comes back are settled, so that no server gets them twice.
//!
//! Records are known by their place in the batch and not by their server, because a retry may meet other servers. The
//! batch is known by its id; one without, which no queue on disk has seen, by its bytes.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::mem::take;
use std::sync::{Mutex, MutexGuard, PoisonError};

use watershed_pipeline::{Batch, ExportError};

/// Bytes that all that is remembered may take; then the oldest is forgotten, and sent again.
const MEMORY_MAX: usize = 4 << 20;

/// What a batch takes beside one byte for each record.
const OVERHEAD: usize = 256;

/// What is settled of batches between their attempts.
#[derive(Default)]
pub(super) struct Progress {
    remembered: Mutex<Remembered>,
    /// Seeded by chance, so that nobody can make two batches look the same.
    hasher: RandomState,
}

#[derive(Default)]
struct Remembered {
    batches: HashMap<u128, Settled>,
    order: VecDeque<u128>,
    size: usize,
}

/// What is settled of one batch.
#[derive(Default)]
struct Settled {
    /// By position; shorter than the batch when nothing is.
    records: Vec<bool>,
    refused: usize,
    reason: String,
}

impl Settled {
    fn size(&self) -> usize {
        self.records.len() + OVERHEAD
    }
}

impl Progress {
    /// Begins an attempt with what earlier ones have settled.
    pub(super) fn attempt<'a>(&'a self, batch: &'a Batch) -> Attempt<'a> {
        let is_empty = lock(&self.remembered).batches.is_empty();
        let name = (!is_empty).then(|| self.name(batch));
        let known = name.and_then(|name| lock(&self.remembered).take(name));
        let settled = known.filter(|settled| settled.records.len() == batch.len()).unwrap_or_default();
        Attempt { progress: self, batch, settled: Mutex::new(settled) }
    }

    fn name(&self, batch: &Batch) -> u128 {
        match batch.id() {
            0 => u128::from(self.hasher.hash_one(batch.to_otlp())),
            id => id,
        }
    }
}

impl Remembered {
    fn take(&mut self, name: u128) -> Option<Settled> {
        let settled = self.batches.remove(&name)?;
        self.order.retain(|other| *other != name);
        self.size -= settled.size();
        Some(settled)
    }

    fn keep(&mut self, name: u128, settled: Settled) {
        drop(self.take(name));
        self.size += settled.size();
        self.order.push_back(name);
        self.batches.insert(name, settled);
        while self.size > MEMORY_MAX
            && let Some(oldest) = self.order.front().copied()
        {
            drop(self.take(oldest));
        }
    }
}

/// One attempt at a batch. What it settled of a batch that has to come back is remembered when it is dropped, by a
/// timeout too.
pub(super) struct Attempt<'a> {
    progress: &'a Progress,
    batch: &'a Batch,
    settled: Mutex<Settled>,
}

impl Attempt<'_> {
    /// Which records were settled by earlier attempts, by position; those beyond the end were not.
    pub(super) fn settled(&self) -> Vec<bool> {
        lock(&self.settled).records.clone()
    }

    /// Settles the records at these positions, of which the server refused so many.
    pub(super) fn settle(&self, positions: &[usize], refused: usize, reason: &str) {
        let mut settled = lock(&self.settled);
        settled.records.resize(self.batch.len(), false);
        for position in positions {
            if let Some(record) = settled.records.get_mut(*position) {
                *record = true;
            }
        }
        settled.refused += refused;
        if settled.reason.is_empty() {
            reason.clone_into(&mut settled.reason);
        }
    }

    /// What a batch came to of which every record is settled.
    ///
    /// # Errors
    /// The records that were refused, if any.
    pub(super) fn outcome(&self) -> Result<(), ExportError> {
        let settled = lock(&self.settled);
        match settled.refused {
            0 => Ok(()),
            count => Err(ExportError::Reject { count, reason: settled.reason.clone() }),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let settled = take(&mut *lock(&self.settled));
        let count = settled.records.iter().filter(|record| **record).count();
        if count > 0 && count < settled.records.len() {
            let name = self.progress.name(self.batch);
            lock(&self.progress.remembered).keep(name, settled);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::logs;
    use watershed_pipeline::testing::with_id;

    #[test]
    fn what_an_attempt_settled_is_known_to_the_next_one_until_all_is_settled() {
        let (progress, batch) = (Progress::default(), with_id(logs(3), 7));
        progress.attempt(&batch).settle(&[0, 2], 1, "too old");
        let attempt = progress.attempt(&batch);
        assert_eq!(attempt.settled(), [true, false, true]);
        attempt.settle(&[1], 0, "");
        let expected = ExportError::Reject { count: 1, reason: "too old".to_owned() };
        assert_eq!(attempt.outcome(), Err(expected));
        drop(attempt);
        assert!(progress.attempt(&batch).settled().is_empty());
        assert_eq!(lock(&progress.remembered).size, 0);
    }

    #[test]
    fn a_batch_without_an_id_is_known_by_its_bytes() {
        let progress = Progress::default();
        progress.attempt(&logs(2)).settle(&[1], 0, "");
        assert!(progress.attempt(&logs(3)).settled().is_empty());
        assert_eq!(progress.attempt(&logs(2)).settled(), [false, true]);
    }

    #[test]
    fn memory_is_bounded() {
        let (progress, batch) = (Progress::default(), logs(2));
        let last = (MEMORY_MAX / OVERHEAD + 1) as u128;
        for id in 1..=last {
            progress.attempt(&with_id(batch.clone(), id)).settle(&[0], 0, "");
        }
        let remembered = lock(&progress.remembered);
        assert!(remembered.size <= MEMORY_MAX && remembered.batches.len() == remembered.order.len());
        assert!(!remembered.batches.contains_key(&1) && remembered.batches.contains_key(&last));
    }
}
