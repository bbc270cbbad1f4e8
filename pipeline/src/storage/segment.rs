//! A segment: a file of records, named by the sequence number of its first one, and how to read it.
//!
//! It begins with 64 bytes: magic `WSRSEGMT`, format version, salt, first sequence number and CRC32C, the rest
//! zero. A complete segment ends with a seal, a header without a record, so that a start needs to read
//! only the ends of segments. A segment is never rewritten.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::disk::{BLOCK, DiskFile, lead, phase};
use super::record::{ALIGNMENT, HEADER, Header, Kind, MAGIC, Record, Tally, take};

/// Bytes before the first record.
pub(crate) const PREFACE: u64 = 64;
/// How much is read at once, unless a record is larger.
const CHUNK: usize = 1 << 20;
const PREFACE_MAGIC: [u8; 8] = *b"WSRSEGMT";
const VERSION: u32 = 1;
const SUFFIX: &str = ".seg";

/// The file name of a segment.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// The first sequence number of the segment with this name; `None` for another file.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?.parse().ok()
}

/// The bytes that a segment begins with.
pub(crate) fn preface(first: u64, salt: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.put_slice(&PREFACE_MAGIC);
    bytes.put_u32_le(VERSION);
    bytes.put_u32_le(salt);
    bytes.put_u64_le(first);
    bytes.put_bytes(0, 36);
    bytes.put_u32_le(crc32c::crc32c(&bytes));
    bytes
}

/// The salt of a segment; `None` if the file does not begin as a segment of this format.
pub(crate) fn read_salt(file: &dyn DiskFile, first: u64) -> io::Result<Option<u32>> {
    let mut bytes = [0; 64];
    let read = file.read_at(&mut bytes, 0)?;
    let mut rest = bytes.get(8..).unwrap_or_default();
    let _version = take::<4>(&mut rest);
    let salt = take::<4>(&mut rest).map(u32::from_le_bytes);
    Ok(salt.filter(|salt| read == bytes.len() && bytes == *preface(first, *salt)))
}

/// What a seal says about its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Where the records end.
    pub(crate) written: u64,
    /// The sequence number after the last record.
    pub(crate) end: u64,
    /// What the segment holds.
    pub(crate) tally: Tally,
}

/// Reads the seal at the end of the file, if there is one.
pub(crate) fn read_seal(file: &dyn DiskFile, salt: u32) -> io::Result<Option<Sealed>> {
    let len = file.len()?;
    let Some(written) = len.checked_sub(HEADER as u64).filter(|written| *written >= PREFACE) else {
        return Ok(None);
    };
    let mut bytes = [0; HEADER];
    let read = file.read_at(&mut bytes, written)?;
    let header = Header::decode(&bytes, salt).filter(|header| header.kind == Kind::Seal && read == HEADER);
    Ok(header.map(|header| {
        let tally = Tally { records: u64::from(header.items), items: header.time };
        Sealed { written, end: header.sequence, tally }
    }))
}

/// Reads the records of a segment one after the other, and finds its way past damage.
pub(crate) struct Scanner {
    file: Arc<dyn DiskFile>,
    salt: u32,
    offset: u64,
    end: u64,
    buffer: Bytes,
    buffer_start: u64,
}

/// What a scanner came to.
#[derive(Debug)]
pub(crate) enum Found {
    /// A whole record, and the offset behind it.
    Record(Header, Record, u64),
    /// Bytes that are no record: from, to. After it comes a record or the end.
    Damage(u64, u64),
}

impl Scanner {
    /// Begins at `offset`, and stops at `end`.
    pub(crate) fn new(file: Arc<dyn DiskFile>, salt: u32, offset: u64, end: u64) -> Self {
        Self { file, salt, offset, end, buffer: Bytes::new(), buffer_start: 0 }
    }

    /// Where the next record is looked for.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the reading stops.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// How much is at hand without reading from the file.
    pub(crate) fn buffered(&self) -> u64 {
        (self.buffer_start + self.buffer.len() as u64).min(self.end).saturating_sub(self.offset)
    }

    /// The next record or damage; `None` at the end.
    ///
    /// # Errors
    /// When the file can't be read. The next call tries the same place again.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        let damage = self.offset;
        loop {
            let at = self.offset;
            let Some(window) = self.window(HEADER)? else {
                self.offset = self.end;
                return Ok((damage < self.end).then_some(Found::Damage(damage, self.end)));
            };
            let Some(header) = Header::decode(&window, self.salt) else {
                self.skip()?;
                continue;
            };
            if header.kind == Kind::Seal {
                self.offset += header.size();
                continue;
            }
            if damage < at {
                return Ok(Some(Found::Damage(damage, at)));
            }
            let body = self.window(HEADER + header.length as usize)?.map(|whole| whole.slice(HEADER..));
            let record = body.and_then(|body| Record::decode(&header, body));
            // The header is whole, so its length can be trusted even when the body is not what it was.
            self.offset = (at + header.size()).min(self.end);
            let Some(record) = record else { return Ok(Some(Found::Damage(at, self.offset))) };
            return Ok(Some(Found::Record(header, record, self.offset)));
        }
    }

    /// Moves on to the next place where a record may begin.
    fn skip(&mut self) -> io::Result<()> {
        self.offset += ALIGNMENT;
        while self.offset < self.end {
            let Some(window) = self.window(HEADER)? else { return Ok(()) };
            let start = usize::try_from(self.offset - self.buffer_start).unwrap_or(usize::MAX);
            drop(window);
            let rest = self.buffer.get(start..).unwrap_or_default();
            let mut places = rest.chunks_exact(8);
            if let Some(place) = places.position(|place| place.starts_with(&MAGIC)) {
                self.offset += place as u64 * ALIGNMENT;
                return Ok(());
            }
            self.offset += (rest.len() as u64 / ALIGNMENT).max(1) * ALIGNMENT;
        }
        Ok(())
    }

    /// Reads at least so many bytes from the offset on, if there are, in whole blocks; those at hand are kept.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        let before = phase(self.offset);
        let start = self.offset - before as u64;
        let len = (before + wanted).next_multiple_of(BLOCK);
        let mut buffer = BytesMut::zeroed(len + BLOCK);
        buffer.advance(lead(buffer.as_ptr(), start));
        buffer.truncate(len);
        let at_hand = start.checked_sub(self.buffer_start).and_then(|skip| usize::try_from(skip).ok());
        let at_hand = at_hand.and_then(|skip| self.buffer.get(skip..)).unwrap_or_default();
        let (kept, rest) = buffer.split_at_mut(at_hand.len().min(len));
        kept.copy_from_slice(at_hand.get(..kept.len()).unwrap_or_default());
        let read = kept.len() + self.file.read_at(rest, start + kept.len() as u64)?;
        buffer.truncate(read);
        self.buffer = buffer.freeze();
        self.buffer_start = start;
        Ok(())
    }

    /// So many bytes from the offset on; `None` if there are not so many before the end.
    fn window(&mut self, len: usize) -> io::Result<Option<Bytes>> {
        let left = self.end.saturating_sub(self.offset);
        if (len as u64) > left {
            return Ok(None);
        }
        let start = self.offset.wrapping_sub(self.buffer_start);
        let in_buffer = self.offset >= self.buffer_start && start + len as u64 <= self.buffer.len() as u64;
        if !in_buffer {
            let wanted = len.max(CHUNK.min(usize::try_from(left).unwrap_or(CHUNK)));
            self.fill(wanted)?;
        }
        let start = usize::try_from(self.offset - self.buffer_start).unwrap_or(usize::MAX);
        let end = start.saturating_add(len);
        Ok((end <= self.buffer.len()).then(|| self.buffer.slice(start..end)))
    }
}
