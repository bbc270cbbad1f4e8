//! Opens a store after whatever happened: finds what is there, sets aside what is broken, and never gives up.
//!
//! A torn end, which no sender was told is safe, is cut off. Damage with whole records behind it is stepped over. A file
//! that is no segment goes to the `quarantine` directory. Only a directory that can't be used at all is an error.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::acks;
use super::disk::{Disk, DiskFile};
use super::options::StoreOptions;
use super::ranges::Range;
use super::record::{HEADER, Header, Tally};
use super::segment::{Found, PREFACE, Scanner, Sealed, file_name, first_of, read_salt, read_seal};
use super::state::{Segment, Shared, State};
use super::writer::Writer;
use super::{StorageError, quarantine};

/// The file that a process locks to have a directory for itself.
const LOCK: &str = "lock";

/// A file that can't be read is tried so often.
const ATTEMPTS_MAX: u32 = 3;

/// Opens a store, or makes an empty one.
///
/// # Errors
/// When another process has it, or when the directory can't be made or read.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    options: StoreOptions,
) -> Result<(Arc<Shared>, Writer), StorageError> {
    let wrong = |action: &'static str| {
        let path = directory.clone();
        move |source: io::Error| StorageError::Io { action, path, source }
    };
    disk.create_directory(&directory).map_err(wrong("create"))?;
    let lock = disk.lock(&directory.join(LOCK)).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StorageError::InUse { path: directory.clone() },
        _ => wrong("lock")(error),
    })?;
    let mut names = disk.list(&directory).map_err(wrong("list"))?;
    names.sort_unstable();
    let firsts: Vec<u64> = names.iter().filter_map(|name| first_of(name)).collect();
    let acked = acks::read(&*disk, &directory).map_err(wrong("read"))?;
    let mut state = State::default();
    let mut next = acked.iter().map(|range| range.end).max().unwrap_or_default().max(1);
    for (index, first) in firsts.iter().enumerate() {
        let limit = firsts.get(index + 1).copied().unwrap_or(u64::MAX);
        match load(&*disk, &directory, *first, limit) {
            Loaded::Segment(segment) => {
                next = next.max(segment.end);
                state.segments.insert(*first, segment);
            }
            Loaded::Gone => next = next.max(first + 1),
            Loaded::Unread { records_max } => next = next.max(first.saturating_add(records_max) + 1),
        }
    }
    for range in acked {
        apply(&mut state, range);
    }
    for segment in state.segments.values_mut() {
        segment.acked_ahead = segment.acked.tally();
        state.pending.add(segment.tally.without(segment.acked_ahead));
    }
    state.advance();
    let shared = Arc::new(Shared::new(disk, directory, options, state, lock));
    let writer = Writer::new(Arc::clone(&shared), next);
    Ok((shared, writer))
}

fn apply(state: &mut State, range: Range) {
    let found = state.segments.range_mut(..=range.start).next_back();
    if let Some((_, segment)) = found.filter(|(_, segment)| range.end <= segment.end) {
        segment.acked.insert(range);
    }
}

/// What became of a file.
enum Loaded {
    Segment(Segment),
    Gone,
    /// It stays where it is for the next start; the sequence numbers that it may hold are not used again.
    Unread {
        records_max: u64,
    },
}

fn load(disk: &dyn Disk, directory: &Path, first: u64, limit: u64) -> Loaded {
    let path = directory.join(file_name(first));
    let mut inspected = inspect(disk, &path, first, limit);
    for _ in 1..ATTEMPTS_MAX {
        if inspected.is_err() {
            inspected = inspect(disk, &path, first, limit);
        }
    }
    match inspected {
        Ok(Inspected::Segment(segment)) => Loaded::Segment(segment),
        Ok(Inspected::Empty) => {
            // Made, and nothing written to it that anybody was told is safe.
            if let Err(error) = disk.remove(&path) {
                tracing::warn!(path = %path.display(), %error, "could not remove an empty queue file");
            }
            Loaded::Gone
        }
        Ok(Inspected::Foreign) => {
            tracing::error!(path = %path.display(), "a queue file is damaged from its start, set aside");
            quarantine::put(disk, directory, first);
            Loaded::Gone
        }
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "could not read a queue file, left for the next start");
            let len = disk.open(&path).and_then(|file| file.len());
            Loaded::Unread { records_max: len.map_or(u64::from(u32::MAX), |len| len / HEADER as u64) }
        }
    }
}

/// What a file turned out to be.
enum Inspected {
    Segment(Segment),
    /// No record, and nothing else either.
    Empty,
    /// Bytes that can't be read as a segment.
    Foreign,
}

fn inspect(disk: &dyn Disk, path: &Path, first: u64, limit: u64) -> io::Result<Inspected> {
    let file = disk.open(path)?;
    let Some(salt) = read_salt(&*file, first)? else {
        return Ok(if is_blank(&*file)? { Inspected::Empty } else { Inspected::Foreign });
    };
    let seal = read_seal(&*file, salt)?.filter(|seal| seal.end <= limit);
    if let Some(Sealed { written, end, tally }) = seal {
        return Ok(Inspected::Segment(Segment {
            salt,
            written,
            end,
            tally,
            sealed: true,
            ..Segment::default()
        }));
    }
    let survey = survey(&file, salt, limit)?;
    if survey.tally.is_zero() {
        return Ok(if survey.has_remains { Inspected::Foreign } else { Inspected::Empty });
    }
    if let Err(error) = seal_up(&*file, salt, &survey) {
        tracing::warn!(path = %path.display(), %error, "could not seal a recovered queue file");
    }
    let Survey { written, end, tally, is_damaged, .. } = survey;
    if is_damaged {
        tracing::error!(path = %path.display(), "a queue file is damaged in the middle, the rest is delivered");
    }
    Ok(Inspected::Segment(Segment {
        salt,
        written,
        end,
        tally,
        sealed: true,
        damaged: is_damaged,
        ..Segment::default()
    }))
}

/// What a segment without a seal holds.
struct Survey {
    pub(crate) written: u64,
    pub(crate) end: u64,
    pub(crate) tally: Tally,
    /// Records are missing that had been on disk.
    pub(crate) is_damaged: bool,
    /// There are bytes other than zero that belong to no record.
    pub(crate) has_remains: bool,
}

/// Reads a segment from start to end.
fn survey(file: &Arc<dyn DiskFile>, salt: u32, limit: u64) -> io::Result<Survey> {
    let len = file.len()?;
    let mut scanner = Scanner::new(Arc::clone(file), salt, PREFACE, len);
    let mut survey =
        Survey { written: PREFACE, end: 0, tally: Tally::default(), is_damaged: false, has_remains: false };
    let mut gap_at = None;
    while let Some(found) = scanner.next()? {
        match found {
            Found::Damage(from, to) if to < len => {
                survey.has_remains = true;
                gap_at.get_or_insert((survey.end, from));
            }
            // Up to the end of the file: space that was not used yet, or the torn end of a group.
            Found::Damage(from, to) => survey.has_remains |= !is_zero(&**file, from, to)?,
            Found::Record(header, _, _) if header.sequence >= limit => break,
            Found::Record(header, _, behind) => {
                // What the writer did not yet know to be on disk may be missing without anything being wrong.
                let durable = header.sequence.saturating_sub(u64::from(header.unsynced));
                survey.is_damaged |= gap_at.is_some_and(|(sequence, _)| sequence < durable);
                survey.written = behind;
                survey.end = header.sequence + 1;
                survey.tally.add(Tally::one(header.items));
            }
        }
    }
    Ok(survey)
}

/// Cuts off what is no record at the end, and says for the next start what there is.
fn seal_up(file: &dyn DiskFile, salt: u32, survey: &Survey) -> io::Result<()> {
    file.truncate(survey.written)?;
    let mut seal = Vec::new();
    Header::seal(survey.end, survey.tally).encode(salt, &mut seal);
    file.write_at(&seal, survey.written)?;
    file.sync()
}

fn is_blank(file: &dyn DiskFile) -> io::Result<bool> {
    is_zero(file, 0, file.len()?)
}

pub(crate) fn is_zero(file: &dyn DiskFile, mut from: u64, to: u64) -> io::Result<bool> {
    let mut buffer = vec![0; 1 << 16];
    while from < to {
        let wanted = usize::try_from(to - from).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), from)?;
        if read == 0 {
            break;
        }
        if buffer.iter().take(read).any(|byte| *byte != 0) {
            return Ok(false);
        }
        from += read as u64;
    }
    Ok(true)
}
