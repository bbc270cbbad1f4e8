//! The log of merged batches: which records each was made of, and the id under which it was sent.
//!
//! It is written before the first attempt, so that after a crash the same batch is put together again and sent under
//! the same id: a far end that took it remembers the id and does not take it twice. Records that are acknowledged need no
//! entry; the log is written anew (into another file that then takes its name) when the store is opened and when it
//! has grown. Losing it means that batches are merged anew, under new ids, never that one is lost.
//!
//! | bytes | are |
//! | --- | --- |
//! | 8 | magic `WSRGRP1` and a zero, once |
//! | 4 | length of the entry behind its checksum |
//! | 4 | CRC32C of it |
//! | 16 | id of the merged batch |
//! | 32 each | sequence number of a record, its id, and its first item and the one after its last |
//!
//! Everything is little-endian. An entry that is not whole ends the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BufMut;

use super::disk::{Disk, DiskFile};
use super::record::take;

const FILE: &str = "groups";
const FRESH: &str = "groups.new";
const MAGIC: [u8; 8] = *b"WSRGRP1\0";
/// Bytes of length and checksum.
const PREFACE: usize = 8;
const PIECE: usize = 32;
/// Below this the log is not written anew.
const SLACK: u64 = 1 << 20;

/// Some items of a record, in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) sequence: u64,
    /// The record's own id, in case the sequence number means another one.
    pub(crate) record: u128,
    pub(crate) start: u32,
    /// The item after the last one.
    pub(crate) end: u32,
}

/// What a merged batch was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) id: u128,
    pub(crate) pieces: Vec<Piece>,
}

/// The log, open for appending.
pub(crate) struct GroupLog {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    written: u64,
    /// The length at which it is written anew.
    limit: u64,
}

impl Group {
    /// Leaves out the records that are not waiting any more; none if no record is left.
    fn without_settled(mut self, is_pending: impl Fn(u64) -> bool) -> Option<Self> {
        self.pieces.retain(|piece| is_pending(piece.sequence));
        (!self.pieces.is_empty()).then_some(self)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut entry = Vec::with_capacity(16 + self.pieces.len() * PIECE);
        entry.put_u128_le(self.id);
        for piece in &self.pieces {
            entry.put_u64_le(piece.sequence);
            entry.put_u128_le(piece.record);
            entry.put_u32_le(piece.start);
            entry.put_u32_le(piece.end);
        }
        out.put_u32_le(u32::try_from(entry.len()).unwrap_or(u32::MAX));
        out.put_u32_le(crc32c::crc32c(&entry));
        out.extend_from_slice(&entry);
    }

    /// Takes the first entry off the bytes; nothing if it is not whole.
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let length = u32::from_le_bytes(take(bytes)?) as usize;
        let crc = u32::from_le_bytes(take(bytes)?);
        let (mut entry, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        if crc32c::crc32c(entry) != crc {
            return None;
        }
        let id = u128::from_le_bytes(take(&mut entry)?);
        let mut pieces = Vec::with_capacity(entry.len() / PIECE);
        while !entry.is_empty() {
            pieces.push(Piece {
                sequence: u64::from_le_bytes(take(&mut entry)?),
                record: u128::from_le_bytes(take(&mut entry)?),
                start: u32::from_le_bytes(take(&mut entry)?),
                end: u32::from_le_bytes(take(&mut entry)?),
            });
        }
        Some(Self { id, pieces })
    }
}

impl GroupLog {
    /// Opens the log of a directory, if there is one, and says what of it still counts.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        is_pending: impl Fn(u64) -> bool,
    ) -> (Self, Vec<Group>) {
        let mut log = Self { disk, directory, file: None, written: 0, limit: SLACK };
        let path = log.directory.join(FILE);
        let groups = match read(&*log.disk, &path) {
            Ok(groups) => groups,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (log, Vec::new()),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "could not read how batches were merged; what was sent and not answered may arrive twice");
                Vec::new()
            }
        };
        let groups: Vec<Group> =
            groups.into_iter().filter_map(|group| group.without_settled(&is_pending)).collect();
        if let Err(error) = log.rewrite(&groups) {
            tracing::warn!(path = %path.display(), %error, "could not write anew how batches were merged");
        }
        (log, groups)
    }

    /// Puts a group at the end. Waits for the disk if `durable`.
    ///
    /// # Errors
    /// The next call writes the log anew, with what of it could be read.
    pub(crate) fn append(
        &mut self,
        group: &Group,
        durable: bool,
        is_pending: impl Fn(u64) -> bool,
    ) -> io::Result<()> {
        if self.file.is_none() || self.written > self.limit {
            let groups = read(&*self.disk, &self.directory.join(FILE)).unwrap_or_default();
            let kept: Vec<Group> =
                groups.into_iter().filter_map(|group| group.without_settled(&is_pending)).collect();
            self.rewrite(&kept)?;
        }
        let Some(file) = self.file.take() else { return Err(io::ErrorKind::NotFound.into()) };
        let mut bytes = Vec::new();
        group.encode(&mut bytes);
        file.write_at(&bytes, self.written)?;
        if durable {
            file.sync()?;
        }
        self.written += bytes.len() as u64;
        self.file = Some(file);
        Ok(())
    }

    fn rewrite(&mut self, groups: &[Group]) -> io::Result<()> {
        self.file = None;
        let mut bytes = MAGIC.to_vec();
        groups.iter().for_each(|group| group.encode(&mut bytes));
        let fresh = self.directory.join(FRESH);
        match self.disk.remove(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(&fresh)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        self.disk.rename(&fresh, &self.directory.join(FILE))?;
        self.disk.sync_directory(&self.directory)?;
        self.written = bytes.len() as u64;
        self.limit = SLACK + 2 * self.written;
        self.file = Some(file);
        Ok(())
    }
}

fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<Group>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or_default()];
    let read = file.read_at(&mut bytes, 0)?;
    let mut rest = bytes.get(..read).unwrap_or_default();
    let mut groups = Vec::new();
    if take(&mut rest) == Some(MAGIC) {
        while rest.len() >= PREFACE
            && let Some(group) = Group::decode(&mut rest)
        {
            groups.push(group);
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::super::disk::OsDisk;
    use super::*;

    fn group(id: u128, sequences: std::ops::Range<u64>) -> Group {
        let piece = |sequence| Piece { sequence, record: u128::from(sequence) << 70, start: 1, end: 9 };
        Group { id, pieces: sequences.map(piece).collect() }
    }

    fn open(directory: &Path, is_pending: impl Fn(u64) -> bool) -> (GroupLog, Vec<Group>) {
        GroupLog::open(Arc::new(OsDisk), directory.to_owned(), is_pending)
    }

    #[test]
    fn groups_are_read_back_without_the_records_that_are_settled() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, groups) = open(directory.path(), |_| true);
        assert_eq!(groups, []);
        for group in [group(1, 1..4), group(2, 4..6), group(3, 6..7)] {
            log.append(&group, true, |_| true).unwrap();
        }
        drop(log);
        let (_, groups) = open(directory.path(), |sequence| sequence == 3 || sequence > 5);
        assert_eq!(groups, [group(1, 3..4), group(3, 6..7)]);
    }

    #[test]
    fn a_torn_end_takes_no_other_group_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = open(directory.path(), |_| true);
        log.append(&group(1, 1..4), false, |_| true).unwrap();
        log.append(&group(2, 4..6), false, |_| true).unwrap();
        drop(log);
        let path = directory.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (mut log, groups) = open(directory.path(), |_| true);
            assert!(groups.len() <= 1 && groups.iter().all(|found| *found == group(1, 1..4)), "{groups:?}");
            log.append(&group(3, 9..10), false, |_| true).unwrap();
            let (_, after) = open(directory.path(), |_| true);
            assert_eq!(after.last(), Some(&group(3, 9..10)));
            assert_eq!(after.len(), groups.len() + 1);
        }
    }

    #[test]
    fn the_log_does_not_grow_with_what_is_settled() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = open(directory.path(), |_| true);
        for number in 0..4000 {
            let first = number * 10;
            log.append(&group(number.into(), first..first + 10), false, |sequence| sequence >= first)
                .unwrap();
        }
        let length = std::fs::metadata(directory.path().join(FILE)).unwrap().len();
        assert!(length < 2 * SLACK, "{length}");
    }
}
