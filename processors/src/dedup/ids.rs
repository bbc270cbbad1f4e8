//! `mode: ids`: drops what was seen, and answered with success, before.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use watershed_pipeline::{Batch, Context, Counter, Fate, Out, Record, Unit};

use crate::key::{Hashes, Key};
use crate::memory::Share;

/// What an id takes: its entry in the map, its place in the order, and the room that both have to spare.
const ID_SIZE: usize = 2 * (size_of::<(Key, Arc<Fate>)>() + size_of::<(Instant, Key)>());

/// Remembers ids, in one lane.
pub(crate) struct Ids {
    window: Duration,
    memory: Share,
    attribute: String,
    hashes: Hashes,
    /// What became of the requests that brought the ids.
    seen: HashMap<Key, Arc<Fate>>,
    /// The ids in the order in which they came.
    order: VecDeque<(Instant, Key)>,
    dropped: Counter,
    forgotten: Counter,
}

/// The lane of a record: equal ids have equal lanes.
pub(super) fn lane(record: &Record<'_>, attribute: &str, hashes: &Hashes) -> u64 {
    let mut hasher = hashes.lane();
    match record.span() {
        Some(span) => (span.trace_id(), span.span_id()).hash(&mut hasher),
        None => record.attribute(attribute).hash(&mut hasher),
    }
    hasher.finish()
}

impl Ids {
    pub(super) fn new(
        window: Duration,
        memory: Share,
        attribute: String,
        hashes: Hashes,
        cx: &Context,
    ) -> Self {
        Self {
            window,
            memory,
            attribute,
            hashes,
            seen: HashMap::new(),
            order: VecDeque::new(),
            dropped: cx.counter(
                "dedup_dropped_ids",
                Unit::Items,
                "Records dropped because their id was seen.",
            ),
            forgotten: cx.counter(
                "dedup_forgotten_ids",
                Unit::Items,
                "Ids forgotten early for want of memory.",
            ),
        }
    }

    pub(super) fn process(&mut self, mut batch: Batch, now: Instant, out: &mut Out) {
        self.forget_due(now);
        let fate = Arc::new(batch.fate());
        let before = batch.len();
        let keys: Vec<Option<Key>> = batch.records().map(|record| self.key(record, &batch)).collect();
        let mut keys = keys.into_iter();
        batch.retain(|_| match keys.next().flatten() {
            Some(key) => self.is_new(key, &fate, now),
            None => true,
        });
        self.dropped.add((before - batch.len()) as u64);
        self.shrink();
        out.push(batch);
    }

    /// The id of a record, with its signal and its request's headers, so that tenants do not meet; nothing if it has
    /// none.
    fn key(&self, record: Record<'_>, batch: &Batch) -> Option<Key> {
        let mut hasher = self.hashes.key();
        batch.metadata().map(|metadata| metadata.headers()).hash(&mut hasher);
        match record.span() {
            Some(span) if span.span_id() == [0; 8] => return None,
            Some(span) => ("span", span.trace_id(), span.span_id()).hash(&mut hasher),
            None => ("log", record.attribute(&self.attribute)?).hash(&mut hasher),
        }
        Some(hasher.key())
    }

    fn is_new(&mut self, key: Key, fate: &Arc<Fate>, now: Instant) -> bool {
        match self.seen.get_mut(&key) {
            Some(known) if Arc::ptr_eq(known, fate) || known.is_taken() => false,
            Some(known) => {
                // It was refused, or nobody knows yet: this one may be the one that arrives.
                *known = Arc::clone(fate);
                true
            }
            None => {
                self.memory.add(ID_SIZE);
                self.seen.insert(key, Arc::clone(fate));
                self.order.push_back((now, key));
                true
            }
        }
    }

    fn forget_due(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(seen, _)| *seen + self.window <= now) {
            self.forget_oldest();
        }
    }

    fn shrink(&mut self) {
        while self.memory.is_exceeded() && self.forget_oldest() {
            self.forgotten.add(1);
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_front() else { return false };
        self.seen.remove(&key);
        self.memory.release(ID_SIZE);
        true
    }
}
