//! Merges small batches and splits large ones on their way out of the queue.
//!
//! Each consumer asks for the next batch; one of them at a time gathers, the others wait for their turn. So
//! merging needs no task of its own, and everything gathered keeps its place in the queue and its receipts.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::ledger::Load;
use super::queue::{Queue, size_of};
use super::settings::{BatchOptions, Sizer};

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
    open: Vec<Group>,
    ended: bool,
}

struct Group {
    load: Load,
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
        let mut groups = self.groups.lock().await;
        loop {
            if let Some(load) = self.due(&mut groups) {
                return Some(load);
            }
            if groups.ended {
                return None;
            }
            let deadline = groups.open.iter().map(|group| group.deadline).min();
            let taken = match deadline {
                Some(deadline) => timeout_at(deadline, self.queue.take()).await,
                None => Ok(self.queue.take().await),
            };
            match taken {
                Ok(Some(load)) => self.gather(&mut groups, load),
                Ok(None) => groups.ended = true,
                Err(_) => {}
            }
        }
    }

    /// Lets go of what is gathered, once no consumer gathers any more.
    pub(super) fn abandon(&self) {
        if let Ok(mut groups) = self.groups.try_lock() {
            groups.open.clear();
        }
    }

    fn gather(&self, groups: &mut Groups, load: Load) {
        let size = size_of(load.batch(), self.sizer);
        let same =
            groups.open.iter_mut().find(|group| group.load.batch().metadata() == load.batch().metadata());
        match same {
            Some(group) => {
                group.load.append(load);
                group.size += size;
            }
            None => {
                let deadline = Instant::now() + self.options.flush_timeout.duration();
                groups.open.push(Group { load, size, deadline });
            }
        }
    }

    /// Takes the first group that is large or old enough, and leaves what is too much for one batch.
    fn due(&self, groups: &mut Groups) -> Option<Load> {
        let now = Instant::now();
        let due =
            |group: &Group| groups.ended || group.size >= self.options.min_size || group.deadline <= now;
        let index = groups.open.iter().position(due)?;
        let mut group = groups.open.remove(index);
        if let Some(rest) = self.cut(&mut group) {
            // The remainder keeps its age, so that it waits no longer than it would have.
            groups.open.insert(index, rest);
        }
        Some(group.load)
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
        Some(Group { load: rest, size, deadline: group.deadline })
    }
}
