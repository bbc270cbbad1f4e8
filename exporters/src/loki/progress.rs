//! What was settled of batches that have to be tried again, so that it is not sent twice.
//!
//! A batch may need several requests: tenants, sizes. When one of them has to wait, the whole batch comes back. A retry
//! makes the same bytes, so a request is known by them. Forgetting one is harmless: Loki keeps equal entries once.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use super::answer::Verdict;

/// Settled requests that are remembered at most.
const REMEMBERED_MAX: usize = 4096;

/// The requests that were settled, by their bytes.
#[derive(Default)]
pub(super) struct Progress {
    settled: Mutex<Settled>,
    /// Seeded by chance, so that nobody can make two requests look the same.
    hasher: RandomState,
}

#[derive(Default)]
struct Settled {
    verdicts: HashMap<Key, Verdict>,
    order: VecDeque<Key>,
}

/// Hash and length of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u64, usize);

impl Progress {
    /// The key of a request.
    pub(super) fn key(&self, tenant: Option<&str>, body: &[u8]) -> Key {
        Key(self.hasher.hash_one((tenant, body)), body.len())
    }

    /// What became of a request, if it was settled.
    pub(super) fn find(&self, key: Key) -> Option<Verdict> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).verdicts.get(&key).cloned()
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).order.is_empty()
    }

    /// Remembers what became of a request.
    pub(super) fn settle(&self, key: Key, verdict: Verdict) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if settled.verdicts.insert(key, verdict).is_none() {
            settled.order.push_back(key);
        }
        while settled.order.len() > REMEMBERED_MAX {
            if let Some(oldest) = settled.order.pop_front() {
                settled.verdicts.remove(&oldest);
            }
        }
    }

    /// Forgets the requests of a batch that will not come back.
    pub(super) fn forget(&self, keys: &[Key]) {
        if keys.is_empty() {
            return;
        }
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            settled.verdicts.remove(key);
        }
        let Settled { verdicts, order } = &mut *settled;
        order.retain(|key| verdicts.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_settled_is_known_until_it_is_forgotten() {
        let progress = Progress::default();
        let (mine, other) = (progress.key(Some("a"), b"x"), progress.key(Some("b"), b"x"));
        progress.settle(mine, Verdict::Stored);
        assert_eq!((progress.find(mine), progress.find(other)), (Some(Verdict::Stored), None));
        progress.forget(&[mine]);
        assert_eq!(progress.find(mine), None);
    }

    #[test]
    fn memory_is_bounded() {
        let progress = Progress::default();
        let keys: Vec<Key> =
            (0..=REMEMBERED_MAX).map(|number| progress.key(None, &number.to_le_bytes())).collect();
        keys.iter().for_each(|key| progress.settle(*key, Verdict::Stored));
        assert_eq!(progress.find(keys[0]), None);
        assert_eq!(progress.find(keys[1]), Some(Verdict::Stored));
    }
}
