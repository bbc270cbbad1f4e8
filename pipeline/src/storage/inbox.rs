//! Where records wait for the writer's thread, and when it wakes up.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::options::{Fsync, StoreOptions};
use super::state::Shared;
use super::store::AppendError;
use super::writer::{Append, Writer};

/// How long an acknowledgement may wait to be written down.
const ACK_DELAY: Duration = Duration::from_millis(20);
/// How long an acknowledgement may wait to be synced.
const ACK_SYNC: Duration = Duration::from_secs(1);
/// No more is committed at once, unless a single record is larger.
const GROUP_MAX: u64 = 8 << 20;

/// How often a disk that takes nothing is complained about.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// What the writer's thread is asked to do.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    appends: Vec<Append>,
    bytes: u64,
    /// When the first of them came.
    since: Option<Instant>,
    acks_since: Option<Instant>,
    closing: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a record over; says no if the writer has ended.
    pub(crate) fn push(&self, append: Append, group_size: u64) -> bool {
        let mut waiting = self.lock();
        if waiting.closing {
            return false;
        }
        let first = waiting.appends.is_empty();
        let small = waiting.bytes < group_size;
        waiting.bytes += append.record.size();
        waiting.appends.push(append);
        if first {
            waiting.since = Some(Instant::now());
        }
        // The writer sleeps until the first record is old enough; only a full group needs it earlier.
        if first || (small && waiting.bytes >= group_size) {
            self.wake.notify_one();
        }
        true
    }

    /// Something was acknowledged.
    pub(crate) fn acked(&self) {
        self.lock().acks_since.get_or_insert_with(Instant::now);
        self.wake.notify_one();
    }

    /// Lets the thread end once it has done what it was asked.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    /// Waits until there is something to do; says whether to end after it.
    fn next(&self, options: &StoreOptions, group: &mut Vec<Append>, timer: Option<Instant>) -> bool {
        let mut waiting = self.lock();
        loop {
            let now = Instant::now();
            let group_due = waiting.since.map(|since| since + options.commit_delay);
            let acks_due = waiting.acks_since.map(|since| since + ACK_DELAY);
            let due = [group_due, acks_due, timer].into_iter().flatten().min();
            let ripe = waiting.bytes >= options.group_size || due.is_some_and(|due| due <= now);
            if ripe || waiting.closing {
                break;
            }
            waiting = match due {
                Some(due) => {
                    let waited = self.wake.wait_timeout(waiting, due - now);
                    waited.map_or_else(|poisoned| poisoned.into_inner().0, |(waiting, _)| waiting)
                }
                None => self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
        waiting.acks_since = None;
        waiting.take_group(group);
        waiting.closing && waiting.appends.is_empty()
    }

    /// Waits before a failed group is tried again; says whether the end was asked for.
    fn pause(&self, delay: Duration) -> bool {
        let waiting = self.lock();
        let waited = self.wake.wait_timeout_while(waiting, delay, |waiting| !waiting.closing);
        waited.map_or_else(|poisoned| poisoned.into_inner().0.closing, |(waiting, _)| waiting.closing)
    }
}

impl Waiting {
    /// Takes what is to be committed at once, everything if it is not too much.
    fn take_group(&mut self, group: &mut Vec<Append>) {
        let mut size = 0;
        let mut count = 0;
        for append in &self.appends {
            size += append.record.size();
            if count > 0 && size > GROUP_MAX {
                break;
            }
            count += 1;
        }
        group.extend(self.appends.drain(..count));
        self.bytes = self.appends.iter().map(|append| append.record.size()).sum();
        if self.appends.is_empty() {
            self.since = None;
        }
    }
}

/// The writer's thread, until the inbox is closed.
pub(crate) fn run(mut writer: Writer, shared: &Shared, inbox: &Arc<Inbox>) {
    let mut group = Vec::new();
    let mut complaint = None;
    let mut acks_synced = Instant::now();
    let mut records_synced = Instant::now();
    loop {
        let period = match shared.options.fsync {
            Fsync::Interval(period) => Some(period),
            Fsync::Group | Fsync::None => None,
        };
        let timer = period.map(|period| records_synced + period);
        let last = inbox.next(&shared.options, &mut group, timer);
        commit(&mut writer, shared, inbox, &mut group, &mut complaint);
        writer.settle();
        if period.is_some_and(|period| records_synced.elapsed() >= period) {
            writer.sync_records();
            records_synced = Instant::now();
        }
        if acks_synced.elapsed() >= ACK_SYNC {
            writer.sync_acks();
            acks_synced = Instant::now();
        }
        if last {
            return writer.close();
        }
    }
}

/// Commits a group, however long it takes; while the disk does not take it, senders wait or are refused.
fn commit(
    writer: &mut Writer,
    shared: &Shared,
    inbox: &Inbox,
    group: &mut Vec<Append>,
    complaint: &mut Option<Instant>,
) {
    while !group.is_empty() {
        let Err(error) = writer.commit(group) else { break };
        let reason = format!("can't write the queue at {}: {error}", shared.directory.display());
        shared.state().stuck = Some(reason.clone());
        if complaint.is_none_or(|last: Instant| last.elapsed() >= COMPLAINT_INTERVAL) {
            *complaint = Some(Instant::now());
            tracing::error!(reason, "senders have to wait until the disk takes their data");
        }
        refuse(shared, group, |append| !append.patient || append.done.is_closed(), &reason);
        // Removing what is delivered may be what makes room.
        writer.settle();
        if inbox.pause(shared.options.retry_delay) {
            refuse(shared, group, |_| true, &reason);
        }
    }
    // When the whole group gave up, the next one has to find out whether the disk takes data again.
    if shared.state().stuck.take().is_some() {
        shared.room.notify_waiters();
    }
}

fn refuse(shared: &Shared, group: &mut Vec<Append>, which: impl Fn(&Append) -> bool, reason: &str) {
    for append in group.extract_if(.., |append| which(append)) {
        let mut state = shared.state();
        state.reserved = state.reserved.saturating_sub(append.record.size());
        drop(append.done.send(Err(AppendError::Full { reason: reason.to_owned() })));
    }
    shared.room.notify_waiters();
}
