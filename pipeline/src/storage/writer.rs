//! Puts groups of records and acknowledgements on disk, in the order that a crash at any moment allows.
//!
//! One thread owns the writer. A group is one write and one sync, and only then known to anybody. After a failed
//! write or sync nobody knows what the file holds (the system may have thrown the data away and will not say so
//! twice), so the segment is left and the group written again, from memory, to a new one.

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::acks::AckLog;
use super::disk::{BLOCK, DiskFile, lead};
use super::options::Fsync;
use super::quarantine;
use super::record::{HEADER, Header, Record, Tally};
use super::segment::{PREFACE, preface};
use super::state::{Segment, Shared, Ticket};
use super::store::{AppendError, Committed};
use crate::batch::Batch;

/// A record on its way to disk.
pub(crate) struct Append {
    pub(crate) record: Record,
    pub(crate) checksum: u32,
    /// The batch itself, to be handed on without being read again.
    pub(crate) batch: Option<Batch>,
    /// Whether the sender waits until the disk takes it.
    pub(crate) patient: bool,
    pub(crate) done: oneshot::Sender<Result<Committed, AppendError>>,
}

/// The writing side of a store.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// The sequence number of the next record.
    next: u64,
    /// The first sequence number that may not be on disk.
    unsynced: u64,
    active: Option<Active>,
    acks: AckLog,
    buffer: Vec<u8>,
    random: fastrand::Rng,
}

/// The segment that is written to.
struct Active {
    first: u64,
    file: Arc<dyn DiskFile>,
    salt: u32,
    written: u64,
    capacity: u64,
    tally: Tally,
}

/// A buffer for a group is not kept when it has grown beyond this, which a group of usual records never does.
const BUFFER_MAX: usize = 9 << 20;

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, next: u64) -> Self {
        let acks = AckLog::new(shared.directory.clone());
        let random = fastrand::Rng::new();
        Self { shared, next, unsynced: next, active: None, acks, buffer: Vec::new(), random }
    }

    /// Puts a group on disk and tells its senders.
    ///
    /// # Errors
    /// The group is then still whole, nobody was told anything, and the next call uses a new segment.
    pub(crate) fn commit(&mut self, group: &mut Vec<Append>) -> io::Result<()> {
        let need = group.iter().map(|append| append.record.size()).sum();
        let mut active = self.active(need)?;
        let (start, sequence) = self.encode(group, need, &active);
        let bytes = self.buffer.get(start..).unwrap_or_default();
        let written = active.file.write_at(bytes, active.written);
        let durable = self.shared.options.fsync == Fsync::Group;
        if let Err(error) = written.and_then(|()| if durable { active.file.sync() } else { Ok(()) }) {
            self.leave(&active);
            return Err(error);
        }
        if self.buffer.capacity() > BUFFER_MAX {
            self.buffer = Vec::new();
        }
        if durable {
            self.unsynced = sequence;
        }
        self.publish(&mut active, group);
        self.active = Some(active);
        Ok(())
    }

    /// Lays a group of so many bytes out in the buffer, where it can go past the page cache. Says where in the buffer
    /// it begins, and what sequence number follows its last record.
    fn encode(&mut self, group: &[Append], size: u64, active: &Active) -> (usize, u64) {
        self.buffer.clear();
        self.buffer.reserve_exact(usize::try_from(size).unwrap_or_default() + BLOCK);
        let start = lead(self.buffer.as_ptr(), active.written);
        self.buffer.resize(start, 0);
        let mut sequence = self.next;
        for Append { record, checksum, .. } in group {
            let unsynced = u32::try_from(sequence - self.unsynced).unwrap_or(u32::MAX);
            record.header(sequence, unsynced, *checksum).encode(active.salt, &mut self.buffer);
            self.buffer.extend_from_slice(&record.note);
            self.buffer.extend_from_slice(&record.payload);
            let end = (self.buffer.len() - start).next_multiple_of(8);
            self.buffer.resize(start + end, 0);
            sequence += 1;
        }
        (start, sequence)
    }

    /// Makes a committed group known to the reader and tells its senders.
    fn publish(&mut self, active: &mut Active, group: &mut Vec<Append>) {
        let mut told = Vec::with_capacity(group.len());
        let was_stuck = {
            let mut state = self.shared.state();
            for Append { record, batch, done, .. } in group.drain(..) {
                let offset = active.written;
                active.written += record.size();
                active.tally.add(Tally::one(record.items));
                let ticket =
                    Ticket { segment: active.first, sequence: self.next, offset, items: record.items };
                self.next += 1;
                state.reserved = state.reserved.saturating_sub(record.size());
                state.publish(ticket, active.written, batch, self.shared.options.hot_max);
                told.push((done, record.items));
            }
            state.stuck.take().is_some()
        };
        if was_stuck {
            self.shared.room.notify_waiters();
        }
        for (done, items) in told {
            let committed = Committed { shared: Arc::clone(&self.shared), items: u64::from(items) };
            // Whoever has hung up will send again; that the data is here twice then is allowed.
            drop(done.send(Ok(committed)));
        }
        self.shared.ready.notify_waiters();
    }

    /// The segment to write so many bytes to.
    fn active(&mut self, need: u64) -> io::Result<Active> {
        let fits = |active: &Active| active.written + need + HEADER as u64 <= active.capacity;
        if self.active.as_ref().is_some_and(|active| !fits(active)) {
            self.roll();
        }
        match self.active.take() {
            Some(active) => Ok(active),
            None => self.begin(need),
        }
    }

    fn begin(&mut self, need: u64) -> io::Result<Active> {
        let first = self.next;
        // Whatever happens, a name is used once.
        self.next += 1;
        let path = self.shared.path(first);
        let file = self.shared.disk.create(&path)?;
        let salt = self.random.u32(..);
        let least = PREFACE + need + HEADER as u64;
        let capacity = least.max(self.shared.options.segment_size);
        let began = file
            .allocate(capacity)
            .map(|()| capacity)
            // A nearly full disk may still have room for this group.
            .or_else(|_| file.allocate(least).map(|()| least))
            .and_then(|capacity| {
                file.write_at(&preface(first, salt), 0)?;
                file.sync()?;
                self.shared.disk.sync_directory(&self.shared.directory)?;
                Ok(capacity)
            });
        let capacity = match began {
            Ok(capacity) => capacity,
            Err(error) => {
                self.discard(first);
                return Err(error);
            }
        };
        self.next = first;
        let mut state = self.shared.state();
        let segment = Segment { salt, written: PREFACE, end: first, ..Segment::default() };
        state.segments.insert(first, segment);
        state.advance();
        Ok(Active { first, file, salt, written: PREFACE, capacity, tally: Tally::default() })
    }

    /// Ends the segment in use, so that it can be read and removed on its own.
    pub(crate) fn roll(&mut self) {
        let Some(active) = self.active.take() else { return };
        if let Err(error) = self.seal(&active, &*active.file) {
            // The next start reads the whole segment instead of its seal.
            tracing::warn!(error = %error, segment = active.first, "could not seal a queue file");
        }
        self.unsynced = self.next;
        self.finish(active.first);
    }

    fn seal(&self, active: &Active, file: &dyn DiskFile) -> io::Result<()> {
        let mut seal = Vec::with_capacity(HEADER);
        Header::seal(self.next, active.tally).encode(active.salt, &mut seal);
        file.truncate(active.written)?;
        file.write_at(&seal, active.written)?;
        file.sync()
    }

    fn finish(&self, first: u64) {
        let mut state = self.shared.state();
        if let Some(segment) = state.segments.get_mut(&first) {
            segment.sealed = true;
        }
        state.advance();
    }

    /// Leaves a segment that could not be written to; what was committed in it stays.
    fn leave(&mut self, active: &Active) {
        if active.tally.is_zero() {
            self.discard(active.first);
            self.next += 1;
            self.shared.state().segments.remove(&active.first);
            return;
        }
        // Through a file of its own, so that nothing rests on what the failed one believes to be written.
        let sealed = self.shared.disk.open(&self.shared.path(active.first));
        if let Err(error) = sealed.and_then(|file| self.seal(active, &*file)) {
            tracing::warn!(%error, segment = active.first, "could not seal a queue file that failed");
        }
        self.finish(active.first);
    }

    fn discard(&self, first: u64) {
        if let Err(error) = self.shared.disk.remove(&self.shared.path(first))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, segment = first, "could not remove an unused queue file");
        }
    }

    /// Writes down what was acknowledged and removes segments that are done with.
    pub(crate) fn settle(&mut self) {
        if self.is_in_the_way() {
            self.roll();
        }
        let (acked, complete) = {
            let mut state = self.shared.state();
            (std::mem::take(&mut state.acked), std::mem::take(&mut state.complete))
        };
        if !acked.is_empty()
            && let Err(error) = self.log_acks(&acked)
        {
            tracing::warn!(%error, "could not write down what was delivered; a restart now would send it again");
        }
        if !complete.is_empty() {
            self.remove(complete);
        }
    }

    /// Whether the segment in use keeps others waiting, and everything in it is acknowledged.
    fn is_in_the_way(&self) -> bool {
        let Some(active) = &self.active else { return false };
        let state = self.shared.state();
        let segment = state.segments.get(&active.first);
        state.crowded
            && segment
                .is_some_and(|own| own.outstanding == 0 && own.seen == own.tally && !own.tally.is_zero())
    }

    fn log_acks(&mut self, acked: &[super::ranges::Range]) -> io::Result<()> {
        let ranges = self.shared.state().acked_ranges();
        if self.acks.is_long(ranges.len()) {
            let salt = self.random.u32(..);
            return self.acks.rewrite(&*self.shared.disk, ranges, self.next, salt);
        }
        self.acks.append(acked)
    }

    /// Waits until the log of acknowledgements is on disk.
    pub(crate) fn sync_acks(&mut self) {
        if let Err(error) = self.acks.sync() {
            tracing::warn!(%error, "could not sync what was delivered; a crash now would send it again");
        }
    }

    /// Syncs what was written without waiting for the disk.
    pub(crate) fn sync_records(&mut self) {
        let Some(active) = self.active.take() else { return };
        match active.file.sync() {
            Ok(()) => {
                self.unsynced = self.next;
                self.active = Some(active);
            }
            Err(error) => {
                tracing::error!(%error, "could not sync the queue; a crash now would lose what it holds");
                self.leave(&active);
            }
        }
    }

    /// Removes segments: what was delivered is on disk first, then the names go, then that is made last.
    ///
    /// When the disk is too full even for the log, the segments go all the same: a missing segment means that
    /// everything in it was delivered, which is true.
    fn remove(&mut self, complete: Vec<u64>) {
        self.sync_acks();
        let Shared { disk, directory, .. } = &*self.shared;
        for first in complete {
            let damaged = self.shared.state().segments.get(&first).is_some_and(|segment| segment.damaged);
            if damaged {
                quarantine::put(&**disk, directory, first);
            } else if let Err(error) = disk.remove(&self.shared.path(first))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, segment = first, "could not remove a queue file, trying again later");
                self.shared.state().complete.push(first);
                continue;
            }
            self.shared.state().segments.remove(&first);
        }
        if let Err(error) = disk.sync_directory(directory) {
            tracing::warn!(%error, "could not sync the queue's directory");
        }
        self.shared.state().crowded = false;
        self.shared.room.notify_waiters();
    }

    /// Leaves everything so that the next start is quick.
    pub(crate) fn close(&mut self) {
        self.settle();
        self.roll();
        self.settle();
        self.sync_acks();
    }
}
