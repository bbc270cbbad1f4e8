//! What a store knows in memory: its segments, how far they are read, and what is on its way to the far end.
//!
//! None of it grows with the backlog: a segment is a few numbers, and only what is read ahead and a bounded part
//! of what was just written are held as records.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::disk::Disk;
use super::options::StoreOptions;
use super::ranges::{Range, Ranges};
use super::record::{Record, Tally};
use super::segment::{PREFACE, file_name};
use crate::batch::Batch;

/// What the writer, the reader and the consumers of one store share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    pub(crate) options: StoreOptions,
    state: Mutex<State>,
    /// Told when there is something to take.
    pub(crate) ready: Notify,
    /// Told when space was given back.
    pub(crate) room: Notify,
    /// Keeps other processes out.
    _lock: Box<dyn Any + Send + Sync>,
}

/// The changing part.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) segments: BTreeMap<u64, Segment>,
    pub(crate) cursor: Cursor,
    /// Read from disk and not yet taken.
    pub(crate) ahead: VecDeque<Taken>,
    /// Written and not yet taken, so that it need not be read again. Everything behind it is unread.
    pub(crate) hot: VecDeque<Taken>,
    pub(crate) hot_bytes: usize,
    /// Taken and given back.
    pub(crate) returned: VecDeque<Ticket>,
    /// Acknowledged and not yet written to the log.
    pub(crate) acked: Vec<Range>,
    /// Segments of which everything is acknowledged.
    pub(crate) complete: Vec<u64>,
    /// What is committed and not acknowledged.
    pub(crate) pending: Tally,
    /// Bytes that were let in and are not committed yet.
    pub(crate) reserved: u64,
    /// What was found damaged and not yet told.
    pub(crate) lost: Tally,
    /// Items that were committed although their sender had gone, not yet told.
    pub(crate) unclaimed: u64,
    /// Somebody waits for room: a segment in use that is wholly acknowledged is not kept.
    pub(crate) crowded: bool,
    /// Why nothing can be written at the moment.
    pub(crate) stuck: Option<String>,
    /// Nothing more is appended.
    pub(crate) closed: bool,
    /// Nothing more is taken.
    pub(crate) taking_closed: bool,
}

/// How far the segments are read, or are in `hot`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

/// One segment.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    pub(crate) salt: u32,
    /// Where the committed records end.
    pub(crate) written: u64,
    /// The sequence number after the last one.
    pub(crate) end: u64,
    /// The committed records.
    pub(crate) tally: Tally,
    /// Nothing more is written to it.
    pub(crate) sealed: bool,
    pub(crate) acked: Ranges,
    /// What was acknowledged when the store was opened, and is not yet passed by the cursor.
    pub(crate) acked_ahead: Tally,
    /// What the cursor has passed.
    pub(crate) seen: Tally,
    /// How many of those are not acknowledged.
    pub(crate) outstanding: u64,
    /// The cursor has passed all of it.
    pub(crate) done: bool,
    /// Something that was acknowledged to a sender could not be read.
    pub(crate) damaged: bool,
}

/// A record on its way to the far end.
pub(crate) struct Taken {
    pub(crate) ticket: Ticket,
    pub(crate) content: Content,
}

/// Where a record is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) segment: u64,
    pub(crate) sequence: u64,
    pub(crate) offset: u64,
    pub(crate) items: u32,
}

/// What a record holds.
pub(crate) enum Content {
    /// As it was written a moment ago.
    Batch(Batch),
    /// As it was read.
    Record(Record),
}

/// An answer to "what is next".
pub(crate) enum Next {
    Taken(Taken),
    /// It is on disk and has to be read first.
    Unread,
    Nothing,
    Closed,
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        options: StoreOptions,
        state: State,
        lock: Box<dyn Any + Send + Sync>,
    ) -> Self {
        let state = Mutex::new(state);
        Self { disk, directory, options, state, ready: Notify::new(), room: Notify::new(), _lock: lock }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(file_name(segment))
    }

    /// The next record, as far as it is in memory.
    pub(crate) fn next(&self) -> Next {
        self.state().next()
    }

    /// The far end, or the dead letters, have the record. Says whether the writer and waiting senders should hear it.
    pub(crate) fn ack(&self, ticket: Ticket) -> (bool, bool) {
        let mut state = self.state();
        (state.ack(ticket), state.crowded && self.options.is_counted())
    }

    /// The record could not be delivered and is taken again.
    pub(crate) fn give_back(&self, ticket: Ticket) {
        self.state().returned.push_back(ticket);
        self.ready.notify_waiters();
    }
}

impl State {
    fn next(&mut self) -> Next {
        if self.taking_closed {
            return Next::Closed;
        }
        if !self.returned.is_empty() {
            // Reading it again takes care of those first, and puts them ahead of all others.
            return Next::Unread;
        }
        if let Some(taken) = self.ahead.pop_front() {
            return Next::Taken(taken);
        }
        if let Some(taken) = self.hot.pop_front() {
            if let Content::Batch(batch) = &taken.content {
                self.hot_bytes = self.hot_bytes.saturating_sub(weight(batch));
            }
            return Next::Taken(taken);
        }
        let unread = self.unread().is_some();
        if unread { Next::Unread } else { Next::Nothing }
    }

    /// Whether a record is committed and not acknowledged.
    pub(crate) fn is_pending(&self, sequence: u64) -> bool {
        let segment = self.segments.range(..=sequence).next_back().map(|(_, segment)| segment);
        segment.is_some_and(|segment| sequence < segment.end && !segment.acked.contains(sequence))
    }

    /// The segment at the cursor, when there is something in it that was not read.
    pub(crate) fn unread(&self) -> Option<(Cursor, &Segment)> {
        let segment = self.segments.get(&self.cursor.segment)?;
        (self.cursor.offset < segment.written).then_some((self.cursor, segment))
    }

    /// Makes a committed record known; keeps the batch if everything before it is read and there is room.
    pub(crate) fn publish(&mut self, ticket: Ticket, next_offset: u64, batch: Option<Batch>, hot_max: usize) {
        let tally = Tally::one(ticket.items);
        self.pending.add(tally);
        let here = Cursor { segment: ticket.segment, offset: ticket.offset };
        let Some(segment) = self.segments.get_mut(&ticket.segment) else { return };
        segment.tally.add(tally);
        segment.written = next_offset;
        segment.end = ticket.sequence + 1;
        let Some(batch) = batch.filter(|_| self.cursor == here) else { return };
        let size = weight(&batch);
        if self.hot_bytes + size > hot_max {
            return;
        }
        segment.seen.add(tally);
        segment.outstanding += 1;
        self.hot_bytes += size;
        self.hot.push_back(Taken { ticket, content: Content::Batch(batch) });
        self.cursor.offset = next_offset;
    }

    /// The cursor has come to a record. Says whether it is to be delivered.
    pub(crate) fn pass(&mut self, ticket: &Ticket) -> bool {
        let Some(segment) = self.segments.get_mut(&ticket.segment) else { return false };
        let tally = Tally::one(ticket.items);
        segment.seen.add(tally);
        if segment.acked.contains(ticket.sequence) {
            segment.acked_ahead = segment.acked_ahead.without(tally);
            return false;
        }
        segment.outstanding += 1;
        true
    }

    /// Moves the cursor over what is read to the end, and notes what of it could not be read.
    pub(crate) fn advance(&mut self) {
        loop {
            let first = self.cursor.segment;
            if let Some(segment) = self.segments.get_mut(&first) {
                if !segment.sealed || self.cursor.offset < segment.written {
                    return;
                }
                let lost = segment.finish();
                self.pending = self.pending.without(lost);
                self.lost.add(lost);
                self.check_complete(first);
            }
            let Some((next, _)) = self.segments.range(first + 1..).next() else { return };
            self.cursor = Cursor { segment: *next, offset: PREFACE };
        }
    }

    fn ack(&mut self, ticket: Ticket) -> bool {
        let Ticket { segment: first, sequence, items, .. } = ticket;
        let Some(segment) = self.segments.get_mut(&first) else { return false };
        let range = Range { start: sequence, end: sequence + 1, items: u64::from(items) };
        if !segment.acked.insert(range) {
            return false;
        }
        segment.outstanding = segment.outstanding.saturating_sub(1);
        self.pending = self.pending.without(Tally::one(items));
        self.acked.push(range);
        self.check_complete(first);
        self.acked.len() == 1
    }

    /// A record that was given back can't be read any more.
    pub(crate) fn lose(&mut self, ticket: Ticket) {
        self.lost.add(Tally::one(ticket.items));
        if let Some(segment) = self.segments.get_mut(&ticket.segment) {
            segment.damaged = true;
        }
        self.ack(ticket);
    }

    fn check_complete(&mut self, first: u64) {
        let is_complete = |segment: &Segment| segment.done && segment.outstanding == 0;
        if self.segments.get(&first).is_some_and(is_complete) && !self.complete.contains(&first) {
            self.complete.push(first);
        }
    }

    /// Bytes of all segments and of what was let in.
    pub(crate) fn used(&self) -> u64 {
        self.segments.values().map(|segment| segment.written).sum::<u64>() + self.reserved
    }

    /// Whether a record of this size has to wait.
    pub(crate) fn is_full(&self, size: u64, options: &StoreOptions) -> bool {
        self.used() + size > options.quota
            || self.pending.records >= options.records_max
            || self.pending.items >= options.items_max
    }

    /// What is acknowledged of the segments that are there.
    pub(crate) fn acked_ranges(&self) -> Vec<Range> {
        self.segments.values().flat_map(|segment| segment.acked.iter()).collect()
    }
}

/// Bytes that a batch takes in memory, with what surrounds it.
fn weight(batch: &Batch) -> usize {
    const SURROUNDINGS: usize = 512;
    batch.memory_size() + SURROUNDINGS
}

impl Segment {
    /// The cursor has passed the end: says what should have been there and was not.
    fn finish(&mut self) -> Tally {
        if std::mem::replace(&mut self.done, true) {
            return Tally::default();
        }
        let lost = self.tally.without(self.seen).without(self.acked_ahead);
        self.damaged |= !lost.is_zero();
        lost
    }
}
