//! With which requests something went wrong, for all lanes and pipelines of a processor.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use hashlink::LinkedHashMap;

use crate::key::Key;

/// So many ids are remembered, the last ones.
const IDS_MAX: usize = 100_000;

/// Ids of requests that went wrong. Each lane asks now and then what is new.
#[derive(Default)]
pub(super) struct Trouble(RwLock<Known>);

#[derive(Default)]
struct Known {
    /// When something last went wrong, longest ago first.
    last: LinkedHashMap<Key, Instant>,
    /// The ids in the order in which they became known; the last has the number `count - 1`.
    news: VecDeque<Key>,
    count: u64,
}

impl Trouble {
    /// Adds ids.
    pub(super) fn add(&self, keys: &[Key], now: Instant) {
        if keys.is_empty() {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            known.last.remove(key);
            known.last.insert(*key, now);
            known.news.push_back(*key);
            known.count += 1;
        }
        while known.last.len() > IDS_MAX {
            known.last.pop_front();
        }
        let surplus = known.news.len().saturating_sub(IDS_MAX);
        known.news.drain(..surplus);
    }

    /// What became known after the first `seen`, and how many there are now.
    pub(super) fn since(&self, seen: u64) -> (u64, Vec<Key>) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let new = usize::try_from(known.count - seen.min(known.count)).unwrap_or(usize::MAX);
        let skipped = known.news.len().saturating_sub(new);
        (known.count, known.news.iter().skip(skipped).copied().collect())
    }

    /// Leaves those of which nothing went wrong within `hold`.
    pub(super) fn retain_quiet(&self, waiting: &mut Vec<(Key, usize)>, now: Instant, hold: Duration) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if !known.last.is_empty() {
            waiting.retain(|(key, _)| known.last.get(key).is_none_or(|last| *last + hold <= now));
        }
    }
}
