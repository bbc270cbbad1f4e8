//! Merges small batches and splits large ones on their way out of the queue.
//!
//! Each consumer asks for the next batch; one of them at a time gathers, the others wait for their turn. So
//! merging needs no task of its own, and everything gathered keeps its place in the queue and its receipts. A queue on
//! disk writes down what each batch was made of before the batch is sent; after a crash it is made of the same again.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::ledger::Load;
use super::queue::{Queue, size_of};
use super::reunion::{Part, Reunion, split_off};
use super::settings::{BatchOptions, Sizer};
use crate::storage::Piece;

/// What stands between a queue and its consumers when `sending_queue.batch` is set.
pub(super) struct Batcher {
    queue: Arc<dyn Queue>,
    options: BatchOptions,
    sizer: Sizer,
    groups: Mutex<Groups>,
}

/// What is gathered: loads whose senders' metadata are equal, oldest group first.
#[derive(Default)]
struct Groups {
    /// What an earlier run had merged; asked for at the first call.
    reunion: Option<Reunion>,
    whole: VecDeque<Load>,
    open: Vec<Group>,
    ended: bool,
}

/// What comes next.
enum Gathered {
    /// As an earlier run has sent it.
    Whole(Load),
    New(Group),
}

struct Group {
    load: Load,
    /// What the load is made of, for a queue that remembers it.
    pieces: Vec<Piece>,
    size: usize,
    deadline: Instant,
}

impl Batcher {
    pub(super) fn new(queue: Arc<dyn Queue>, options: BatchOptions, queue_sizer: Sizer) -> Self {
        let sizer = options.sizer(queue_sizer);
        Self { queue, options, sizer, groups: Mutex::default() }
    }

    /// The next batch of the right size, or of the right age; `None` when the queue has ended.
    pub(super) async fn next(&self) -> Option<Load> {
        let Group { mut load, pieces, .. } = match self.gathered().await? {
            Gathered::Whole(load) => return Some(load),
            Gathered::New(group) => group,
        };
        if !pieces.is_empty()
            && let Some(id) = self.queue.unite(pieces).await
        {
            load.batch_mut().set_id(id);
        }
        Some(load)
    }

    async fn gathered(&self) -> Option<Gathered> {
        let mut groups = self.groups.lock().await;
        groups.reunion.get_or_insert_with(|| Reunion::new(self.queue.separated()));
        loop {
            if let Some(load) = groups.whole.pop_front() {
                return Some(Gathered::Whole(load));
            }
            if let Some(group) = self.due(&mut groups) {
                return Some(Gathered::New(group));
            }
            if groups.ended {
                return None;
            }
            let deadlines = groups.open.iter().map(|group| group.deadline);
            let taken = match deadlines.chain(groups.reunion.as_ref().and_then(Reunion::deadline)).min() {
                Some(deadline) => timeout_at(deadline, self.queue.take()).await,
                None => Ok(self.queue.take().await),
            };
            let groups = &mut *groups;
            let Some(reunion) = groups.reunion.as_mut() else { return None };
            let parts = match taken {
                Ok(Some(load)) => reunion.take(load),
                Ok(None) => {
                    groups.ended = true;
                    reunion.give_up(true)
                }
                Err(_) => reunion.give_up(false),
            };
            for part in parts {
                match part {
                    Part::Whole(load) => groups.whole.push_back(load),
                    Part::Loose(load, piece) => self.gather(&mut groups.open, load, piece),
                }
            }
        }
    }

    /// Lets go of what is gathered, once no consumer gathers any more.
    pub(super) fn abandon(&self) {
        if let Ok(mut groups) = self.groups.try_lock() {
            *groups = Groups { ended: true, ..Groups::default() };
        }
    }

    fn gather(&self, open: &mut Vec<Group>, load: Load, piece: Option<Piece>) {
        let size = size_of(load.batch(), self.sizer);
        let same = open.iter_mut().find(|group| group.load.batch().metadata() == load.batch().metadata());
        match same {
            Some(group) => {
                group.load.append(load);
                group.pieces.extend(piece);
                group.size += size;
            }
            None => {
                let deadline = Instant::now() + self.options.flush_timeout.duration();
                open.push(Group { load, pieces: piece.into_iter().collect(), size, deadline });
            }
        }
    }

    /// Takes the first group that is large or old enough, and leaves what is too much for one batch.
    fn due(&self, groups: &mut Groups) -> Option<Group> {
        let now = Instant::now();
        let due =
            |group: &Group| groups.ended || group.size >= self.options.min_size || group.deadline <= now;
        let index = groups.open.iter().position(due)?;
        let mut group = groups.open.remove(index);
        if let Some(rest) = self.cut(&mut group) {
            // The remainder keeps its age, so that it waits no longer than it would have.
            groups.open.insert(index, rest);
        }
        Some(group)
    }

    fn cut(&self, group: &mut Group) -> Option<Group> {
        let max = self.options.max_size;
        if max == 0 || group.size <= max {
            return None;
        }
        let items = group.load.batch().len();
        let mut count = match self.sizer {
            Sizer::Bytes => (items.saturating_mul(max) / group.size).max(1),
            Sizer::Requests | Sizer::Items => max,
        };
        let mut rest = group.load.split_off(count)?;
        // Records differ in size; the estimate is halved until it fits.
        while self.sizer == Sizer::Bytes && count > 1 && size_of(group.load.batch(), self.sizer) > max {
            count /= 2;
            let mut back = group.load.split_off(count)?;
            back.append(rest);
            rest = back;
        }
        let size = size_of(rest.batch(), self.sizer);
        let pieces = split_off(&mut group.pieces, group.load.batch().len());
        Some(Group { load: rest, pieces, size, deadline: group.deadline })
    }
}

#[cfg(test)]
mod tests;
