//! Reads one block of one file: from its position on, checked to be of the content that the position is of.

use std::io;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use watershed_pipeline::{BudgetExceeded, Reservation};

use super::cut::{Behind, Cut};
use super::follower::{Follower, Round};
use super::identity::{FileKey, Position, TAIL};
use super::records::{Piece, nanoseconds};
use super::source::Source;
use super::trail::{Trail, TrailId};

/// Bytes that are read at once, unless an entry is larger.
pub(super) const BLOCK: usize = 512 << 10;
/// Bytes that a record takes beside its text, for the reservation made before it is known how many there are.
const ROW: usize = 2;

/// What came of opening a file.
pub(super) enum Opened {
    Ready,
    /// It can't be read now.
    Failed,
    /// It holds another content.
    Other,
}

/// What was taken from a file by one read.
struct Taken<'c> {
    /// The position before, and the last bytes before it.
    before: (Position, Vec<u8>),
    block: Bytes,
    cut: &'c Cut,
    is_over: bool,
}

impl Follower {
    /// Reads a block and adds its records to the round.
    ///
    /// # Errors
    /// There is no memory for it; nothing was read.
    pub(super) fn read_block(
        &mut self,
        id: TrailId,
        now: Instant,
        wall: SystemTime,
        round: &mut Round,
    ) -> Result<(), BudgetExceeded> {
        match self.open(id) {
            Opened::Ready => {}
            Opened::Failed => return Ok(()),
            Opened::Other => {
                self.replace(id, now);
                return Ok(());
            }
        }
        let Some(trail) = self.trails.get_mut(&id) else { return Ok(()) };
        let Some(size) =
            trail.source.as_ref().and_then(|source| source.metadata().ok()).map(|data| data.len())
        else {
            return Ok(());
        };
        if !trail.is_archive && size < trail.read.offset {
            self.replace(id, now);
            return Ok(());
        }
        let most = trail.block.max(BLOCK);
        let left = usize::try_from(size - trail.read.offset.min(size)).unwrap_or(usize::MAX);
        let most = if trail.is_archive { most } else { most.min(left) };
        let reservation = self.budget.admit(most.saturating_mul(ROW))?;
        self.note_size(id, size, now);
        let Some(trail) = self.trails.get_mut(&id) else { return Ok(()) };
        let known = trail.fingerprint.0.len();
        let (block, at_end) = match read_checked(trail, most, size, self.options.fingerprint_size) {
            Ok(Some(read)) => read,
            Ok(None) => {
                self.replace(id, now);
                return Ok(());
            }
            Err(error) => {
                self.fail(id, &error);
                return Ok(());
            }
        };
        if trail.fingerprint.0.len() > known {
            self.checkpoints.put(id, trail);
        }
        let is_over = at_end && self.is_over(id, now);
        let cut = self.cut(id, &block, if is_over { Behind::Nothing } else { Behind::More });
        self.metrics.bytes.add(cut.consumed as u64);
        let block = Bytes::from(block);
        let consumed = block.slice(..cut.consumed.min(block.len()));
        round.bytes += consumed.len() as u64;
        let before = self.advance(id, &consumed, &cut);
        let taken = Taken { before, block: consumed, cut: &cut, is_over };
        self.add(id, taken, wall, round, reservation);
        self.follow_up(id, &block, &cut, at_end, now);
        Ok(())
    }

    /// Opens the file of a trail unless it is open, and closes another one if there are too many.
    pub(super) fn open(&mut self, id: TrailId) -> Opened {
        let Some(trail) = self.trails.get(&id).filter(|trail| !trail.is_broken) else {
            return Opened::Failed;
        };
        if trail.source.is_some() {
            return Opened::Ready;
        }
        let Some(path) = trail.path.clone() else { return Opened::Failed };
        if !self.make_room() {
            // One of those that are read to their end will be closed soon.
            return Opened::Failed;
        }
        let Some(trail) = self.trails.get_mut(&id) else { return Opened::Failed };
        let checked = Source::open(&path, self.options.compression).and_then(|mut source| {
            let is_same = is_same(trail, &mut source, self.options.fingerprint_size)?;
            Ok((source, is_same))
        });
        match checked {
            Ok((source, true)) => {
                trail.is_archive = source.is_archive();
                trail.source = Some(source);
                self.open.push_back(id);
                Opened::Ready
            }
            Ok((source, false)) => match source.metadata() {
                // Another file has the name by now; the next look sorts it out.
                Ok(metadata) if Some(FileKey::of(&metadata)) != trail.key => Opened::Failed,
                Ok(_) => Opened::Other,
                Err(_) => Opened::Failed,
            },
            Err(error) => {
                self.fail(id, &error);
                Opened::Failed
            }
        }
    }

    /// Makes room for one more open file; says whether there is.
    fn make_room(&mut self) -> bool {
        if self.open.len() < self.options.files_max {
            return true;
        }
        // A file without a name could not be opened again. Of the others, the one that was written to the longest time
        // ago is the least likely to be needed.
        let named = self.open.iter().enumerate().filter_map(|(position, id)| {
            let trail = self.trails.get(id).filter(|trail| trail.path.is_some())?;
            Some((trail.modified, position))
        });
        if let Some((_, position)) = named.min() {
            let closed = self.open.remove(position).and_then(|id| self.trails.get_mut(&id));
            if let Some(trail) = closed {
                trail.source = None;
            }
            return true;
        }
        let is_read = |id: &&TrailId| {
            let trail = self.trails.get(id);
            let size = trail.and_then(|trail| trail.source.as_ref()?.metadata().ok()).map(|data| data.len());
            trail.zip(size).is_some_and(|(trail, size)| !trail.is_archive && trail.read.offset >= size)
        };
        let done = self.open.iter().find(is_read).copied();
        done.map(|id| self.lose(id)).is_some()
    }

    fn fail(&mut self, id: TrailId, error: &io::Error) {
        let Some(trail) = self.trails.get_mut(&id) else { return };
        if error.kind() != io::ErrorKind::NotFound {
            let path = trail.path.as_deref().unwrap_or(std::path::Path::new("")).display();
            tracing::warn!(%path, %error, "cannot read a file; it is tried again when it changes");
            self.metrics.failed.add(1);
        }
        trail.is_broken = true;
        trail.source = None;
        self.open.retain(|open| *open != id);
    }

    /// Whether what is unfinished at the end of a file counts as finished.
    fn is_over(&self, id: TrailId, now: Instant) -> bool {
        let Some(trail) = self.trails.get(&id) else { return true };
        let period = self.options.flush_period;
        let is_silent = !period.is_zero()
            && trail.grown.is_none_or(|grown| now.saturating_duration_since(grown) >= period);
        trail.is_archive || is_silent || self.until_eof.is_some() || self.is_retired(trail, now)
    }

    fn cut(&self, id: TrailId, block: &[u8], behind: Behind) -> Cut {
        let Some(trail) = self.trails.get(&id) else { return Cut::default() };
        let cutter = &self.options.cutter;
        let mark = if trail.read.offset == 0 { cutter.encoding.mark(block) } else { 0 };
        let mut cut = cutter.cut(block.get(mark..).unwrap_or_default(), trail.read.skipping, behind);
        if mark > 0 {
            cut.consumed += mark;
            cut.entries.iter_mut().for_each(|entry| *entry = entry.start + mark..entry.end + mark);
        }
        cut
    }

    /// Moves the position of what is read, and gives the one before with the bytes before it.
    fn advance(&mut self, id: TrailId, consumed: &[u8], cut: &Cut) -> (Position, Vec<u8>) {
        self.metrics.oversized.add(cut.oversized);
        let Some(trail) = self.trails.get_mut(&id) else { return Default::default() };
        let before = (trail.read, trail.tail.clone());
        if !consumed.is_empty() {
            trail.read = moved(&before.0, &mut trail.tail, consumed, cut.entries.len());
            trail.read.skipping = cut.skipping;
        }
        before
    }

    /// Makes records of what was cut.
    fn add(
        &mut self,
        id: TrailId,
        taken: Taken<'_>,
        wall: SystemTime,
        round: &mut Round,
        mut reservation: Reservation,
    ) {
        let Taken { before: (before, mut tail), block, cut, is_over } = taken;
        let Some(trail) = self.trails.get_mut(&id) else { return };
        if block.is_empty() && !(is_over && trail.parsing.is_holding()) {
            return;
        }
        let piece = Piece {
            path: trail.path.as_deref().or(trail.former.as_deref()),
            encoding: self.options.cutter.encoding,
            offset: before.offset,
            number: before.number,
            observed: nanoseconds(wall),
        };
        let records = &self.options.records;
        let built = records.build(&piece, block.clone(), &cut.entries, &mut trail.parsing, is_over);
        if built.settled == cut.entries.len() && !trail.parsing.is_holding() {
            trail.settled = trail.read;
        } else if let Some(last) = built.settled.checked_sub(1).and_then(|last| cut.entries.get(last)) {
            let settled = block.get(..last.end).unwrap_or_default();
            trail.settled = moved(&before, &mut tail, settled, built.settled);
        }
        self.metrics.parsed(&trail.parsing.take_stats());
        self.metrics.lines.add(cut.entries.len() as u64);
        self.metrics.replaced.add(built.replaced);
        let (mut batch, settled) = (built.batch, trail.settled);
        // Its own memory is at hand already; if it is more than was asked for, it counts all the same.
        if let Err(exceeded) = reservation.resize(batch.memory_size()) {
            tracing::debug!(%exceeded, "lines take more memory than was asked for");
        }
        batch.set_reservation(reservation);
        round.batch.append(batch);
        match round.positions.iter_mut().find(|(own, _)| *own == id) {
            Some((_, last)) => *last = settled,
            None => round.positions.push((id, settled)),
        }
    }

    /// Decides when the file has its next turn.
    fn follow_up(&mut self, id: TrailId, block: &[u8], cut: &Cut, at_end: bool, now: Instant) {
        let Some(trail) = self.trails.get_mut(&id) else { return };
        trail.block = if cut.consumed == 0 && !at_end {
            trail.block.max(BLOCK).saturating_mul(2).min(self.options.cutter.max.saturating_add(BLOCK))
        } else {
            0
        };
        if !at_end {
            return self.enqueue(id);
        }
        trail.at_end = true;
        if cut.consumed < block.len() || trail.parsing.is_holding() {
            self.unfinished.insert(id);
        } else {
            self.unfinished.remove(&id);
        }
        if self.trails.get(&id).is_some_and(|trail| self.is_retired(trail, now)) {
            self.lose(id);
        }
    }
}

/// The position behind so many bytes and entries more; `tail` holds the last bytes before.
fn moved(from: &Position, tail: &mut Vec<u8>, bytes: &[u8], entries: usize) -> Position {
    let recent = bytes.get(bytes.len().saturating_sub(TAIL as usize)..).unwrap_or_default();
    tail.extend_from_slice(recent);
    tail.drain(..tail.len().saturating_sub(TAIL as usize));
    Position {
        offset: from.offset + bytes.len() as u64,
        number: from.number + entries as u64,
        tail: crc32c::crc32c(tail),
        skipping: false,
    }
}

/// Reads from the trail's position on, and then looks whether the file still begins as it should: only then what was read
/// is of the content that the position is of. `None` if not.
fn read_checked(
    trail: &mut Trail,
    most: usize,
    size: u64,
    fingerprint_size: usize,
) -> io::Result<Option<(Vec<u8>, bool)>> {
    let Some(source) = &mut trail.source else { return Ok(Some((Vec::new(), true))) };
    let mut block = Vec::new();
    let found = source.read(trail.read.offset, most, &mut block)?;
    if trail.is_archive {
        return Ok(Some((block, found.at_end)));
    }
    if trail.fingerprint.0.len() < fingerprint_size || !block.is_empty() {
        let head = source.head(fingerprint_size)?;
        if !trail.fingerprint.begins(&head) {
            return Ok(None);
        }
        trail.fingerprint.learn(&head);
    }
    let at_end = trail.read.offset + block.len() as u64 >= size;
    Ok(Some((block, at_end)))
}

/// Whether a file that was just opened holds a trail's content.
fn is_same(trail: &mut Trail, source: &mut Source, fingerprint_size: usize) -> io::Result<bool> {
    if Some(FileKey::of(&source.metadata()?)) != trail.key {
        return Ok(false);
    }
    let head = source.head(fingerprint_size)?;
    if !trail.fingerprint.begins(&head) {
        return Ok(false);
    }
    trail.tail.clear();
    let length = (trail.read.offset - trail.read.tail_start()) as usize;
    source.read(trail.read.tail_start(), length, &mut trail.tail)?;
    trail.tail.truncate(length);
    Ok(trail.tail.len() == length && crc32c::crc32c(&trail.tail) == trail.read.tail)
}
