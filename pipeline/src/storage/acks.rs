//! The log of what the far end has taken: ranges of sequence numbers, in any order, each with its checksum.
//!
//! It is appended to, and written anew (into another file that then takes its name) when it has grown. Losing
//! the end of it in a crash means that some records are delivered again, never that one is not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BufMut;

use super::disk::{Disk, DiskFile};
use super::ranges::Range;
use super::record::take;

const FILE: &str = "acks";
const FRESH: &str = "acks.new";
const MAGIC: [u8; 8] = *b"WSRACKS1";
const PREFACE: usize = 16;
const ENTRY: usize = 32;
/// The log is written anew when it has this many entries more than twice what it needs.
const SLACK: u64 = 4096;

/// A log that can't be read is tried so often.
const ATTEMPTS_MAX: u32 = 3;

/// The log, open for appending.
pub(crate) struct AckLog {
    directory: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    salt: u32,
    written: u64,
    unsynced: bool,
}

/// Reads what is in the log. Entries that are not whole are left out.
///
/// A log that can't be read at all is removed, for what it says must not come back once its sequence numbers could
/// mean other records.
///
/// # Errors
/// When it can neither be read nor removed.
pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<Range>> {
    let path = directory.join(FILE);
    let mut bytes = read_all(disk, &path);
    for _ in 1..ATTEMPTS_MAX {
        if bytes.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            bytes = read_all(disk, &path);
        }
    }
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "could not read what was delivered, it is sent again");
            disk.remove(&path)?;
            disk.sync_directory(directory)?;
            return Ok(Vec::new());
        }
    };
    Ok(parse(&bytes))
}

/// Reads what is in the log, and leaves it alone whatever that is.
pub(crate) fn peek(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<Range>> {
    match read_all(disk, &directory.join(FILE)) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8]) -> Vec<Range> {
    let mut rest = bytes;
    let (magic, salt) = (take::<8>(&mut rest), take::<4>(&mut rest));
    let Some(salt) = salt.filter(|_| magic == Some(MAGIC)) else { return Vec::new() };
    let salt = u32::from_le_bytes(salt);
    let entries = bytes.get(PREFACE..).unwrap_or_default().chunks_exact(ENTRY);
    entries.filter_map(|entry| decode(entry, salt)).collect()
}

fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or_default()];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn encode(range: Range, salt: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.put_u64_le(range.start);
    out.put_u64_le(range.end);
    out.put_u64_le(range.items);
    let crc = crc32c::crc32c_append(salt, out.get(start..).unwrap_or_default());
    out.put_u64_le(u64::from(crc));
}

fn decode(mut entry: &[u8], salt: u32) -> Option<Range> {
    let crc = crc32c::crc32c_append(salt, entry.get(..24)?);
    let start = u64::from_le_bytes(take(&mut entry)?);
    let end = u64::from_le_bytes(take(&mut entry)?);
    let items = u64::from_le_bytes(take(&mut entry)?);
    (u64::from_le_bytes(take(&mut entry)?) == u64::from(crc)).then_some(Range { start, end, items })
}

impl AckLog {
    /// A log that is written on the first append.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, file: None, salt: 0, written: 0, unsynced: false }
    }

    /// Whether the log should be written anew, given how many ranges are in force.
    pub(crate) fn is_long(&self, needed: usize) -> bool {
        self.file.is_none() || self.written / ENTRY as u64 > SLACK + 2 * needed as u64
    }

    /// Puts ranges at the end, without waiting for the disk.
    pub(crate) fn append(&mut self, ranges: &[Range]) -> io::Result<()> {
        let Some(file) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let mut bytes = Vec::with_capacity(ranges.len() * ENTRY);
        for range in ranges {
            encode(*range, self.salt, &mut bytes);
        }
        let written = file.write_at(&bytes, self.written);
        if written.is_err() {
            // Nobody knows what is there now; the next one writes a new file.
            self.file = None;
        }
        written?;
        self.written += bytes.len() as u64;
        self.unsynced = true;
        Ok(())
    }

    /// Waits until everything appended is on disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| self.unsynced) else { return Ok(()) };
        let synced = file.sync();
        if synced.is_err() {
            self.file = None;
        }
        self.unsynced = false;
        synced
    }

    /// Writes a log with these ranges and the next sequence number, and puts it in the place of the old one.
    pub(crate) fn rewrite(
        &mut self,
        disk: &dyn Disk,
        ranges: Vec<Range>,
        next: u64,
        salt: u32,
    ) -> io::Result<()> {
        self.file = None;
        let mut bytes = MAGIC.to_vec();
        bytes.put_u64_le(u64::from(salt));
        // The last one is empty: it only keeps the sequence numbers from being used again.
        for range in ranges.into_iter().chain([Range { start: next, end: next, items: 0 }]) {
            encode(range, salt, &mut bytes);
        }
        let fresh = self.directory.join(FRESH);
        match disk.remove(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&fresh)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(&fresh, &self.directory.join(FILE))?;
        disk.sync_directory(&self.directory)?;
        (self.salt, self.written, self.unsynced) = (salt, bytes.len() as u64, false);
        self.file = Some(file);
        Ok(())
    }
}
