//! One record on disk: a header of 64 bytes, a note and a payload, all little-endian.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic `WSR1` |
//! | 4 | 4 | length of note and payload together |
//! | 8 | 8 | sequence number in its queue |
//! | 16 | 16 | batch id |
//! | 32 | 8 | when it was received, nanoseconds since 1970 (in a seal: the items of the segment) |
//! | 40 | 4 | items (in a seal: the records of the segment) |
//! | 44 | 4 | length of the note |
//! | 48 | 1 | signal: 0 logs, 1 traces, 2 metrics |
//! | 49 | 1 | kind: 0 batch, 1 seal |
//! | 50 | 1 | how the payload is written: 0 as it is, 1 compressed (see `payload`) |
//! | 51 | 1 | zero |
//! | 52 | 4 | how many records right before this one were not known to be on disk when it was written |
//! | 56 | 4 | CRC32C of note and payload |
//! | 60 | 4 | CRC32C of the 60 bytes before, begun with the segment's salt |
//!
//! The note is JSON with what the sender's connection said, and the reason of a dead letter; mostly it is empty.
//! The payload is an OTLP request message, or what was made of it by compression. A record begins at a multiple of eight bytes. Because of the salt,
//! which no sender knows, bytes inside a payload can never pass for a record.

use bytes::{BufMut, Bytes};

use super::payload::{Encoding, PayloadError};
use crate::batch::Signal;

/// Bytes of the header.
pub(crate) const HEADER: usize = 64;
/// What each header begins with.
pub(crate) const MAGIC: [u8; 4] = *b"WSR1";
/// A record begins at a multiple of this.
pub(crate) const ALIGNMENT: u64 = 8;

/// A batch as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: u128,
    pub(crate) time: u64,
    pub(crate) items: u32,
    pub(crate) signal: Signal,
    pub(crate) note: Bytes,
    pub(crate) encoding: Encoding,
    pub(crate) payload: Bytes,
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) sequence: u64,
    pub(crate) id: u128,
    pub(crate) time: u64,
    pub(crate) items: u32,
    pub(crate) signal: Signal,
    pub(crate) encoding: Encoding,
    /// How many records right before this one were not known to be on disk when it was written.
    pub(crate) unsynced: u32,
    pub(crate) length: u32,
    pub(crate) note_length: u32,
    pub(crate) checksum: u32,
}

/// What a header stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A batch.
    Batch,
    /// Nothing: the segment is complete. See the table above for what the fields mean then.
    Seal,
}

/// How many records, and how many items in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) items: u64,
}

impl Tally {
    /// One record.
    pub(crate) fn one(items: u32) -> Self {
        Self { records: 1, items: u64::from(items) }
    }

    pub(crate) fn is_zero(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.items += other.items;
    }

    /// What is left without `other`, at least nothing.
    pub(crate) fn without(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_sub(other.records),
            items: self.items.saturating_sub(other.items),
        }
    }
}

impl Record {
    /// The header for this record, as `sequence`.
    pub(crate) fn header(&self, sequence: u64, unsynced: u32, checksum: u32) -> Header {
        Header {
            kind: Kind::Batch,
            sequence,
            id: self.id,
            time: self.time,
            items: self.items,
            signal: self.signal,
            encoding: self.encoding,
            unsynced,
            length: u32::try_from(self.note.len() + self.payload.len()).unwrap_or(u32::MAX),
            note_length: u32::try_from(self.note.len()).unwrap_or(u32::MAX),
            checksum,
        }
    }

    /// Bytes on disk, with the space up to the next record.
    pub(crate) fn size(&self) -> u64 {
        aligned(HEADER as u64 + self.note.len() as u64 + self.payload.len() as u64)
    }

    /// The checksum over note and payload.
    pub(crate) fn checksum(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.note), &self.payload)
    }

    /// Takes a record apart that follows `header`; `None` if it is not what was written.
    pub(crate) fn decode(header: &Header, body: Bytes) -> Option<Self> {
        let note_length = header.note_length as usize;
        if crc32c::crc32c(&body) != header.checksum || note_length > body.len() {
            return None;
        }
        let mut note = body;
        let payload = note.split_off(note_length);
        let Header { id, time, items, signal, encoding, .. } = *header;
        Some(Self { id, time, items, signal, note, encoding, payload })
    }

    /// The OTLP request message.
    ///
    /// # Errors
    /// When the payload is not what was made of one.
    pub(crate) fn message(&self) -> Result<Bytes, PayloadError> {
        self.encoding.decode(&self.payload)
    }
}

impl Header {
    /// A seal behind the last record of a segment.
    pub(crate) fn seal(end: u64, tally: Tally) -> Self {
        Self {
            kind: Kind::Seal,
            sequence: end,
            id: 0,
            time: tally.items,
            items: u32::try_from(tally.records).unwrap_or(u32::MAX),
            signal: Signal::Logs,
            encoding: Encoding::Plain,
            unsynced: 0,
            length: 0,
            note_length: 0,
            checksum: 0,
        }
    }

    /// Bytes on disk of the whole record, with the space up to the next one.
    pub(crate) fn size(&self) -> u64 {
        aligned(HEADER as u64 + u64::from(self.length))
    }

    /// Writes the header behind `out`.
    pub(crate) fn encode(&self, salt: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_slice(&MAGIC);
        out.put_u32_le(self.length);
        out.put_u64_le(self.sequence);
        out.put_u128_le(self.id);
        out.put_u64_le(self.time);
        out.put_u32_le(self.items);
        out.put_u32_le(self.note_length);
        out.put_u8(match self.signal {
            Signal::Logs => 0,
            Signal::Traces => 1,
            Signal::Metrics => 2,
        });
        out.put_u8(match self.kind {
            Kind::Batch => 0,
            Kind::Seal => 1,
        });
        out.put_u8(self.encoding.number());
        out.put_u8(0);
        out.put_u32_le(self.unsynced);
        out.put_u32_le(self.checksum);
        let crc = crc32c::crc32c_append(salt, out.get(start..).unwrap_or_default());
        out.put_u32_le(crc);
    }

    /// Reads a header; `None` if these are not the bytes of one.
    pub(crate) fn decode(bytes: &[u8], salt: u32) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEADER>()?;
        let (mut rest, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c_append(salt, rest) != u32::from_le_bytes(*crc) {
            return None;
        }
        let rest = &mut rest;
        if take::<4>(rest)? != MAGIC {
            return None;
        }
        let length = u32::from_le_bytes(take(rest)?);
        let sequence = u64::from_le_bytes(take(rest)?);
        let id = u128::from_le_bytes(take(rest)?);
        let time = u64::from_le_bytes(take(rest)?);
        let items = u32::from_le_bytes(take(rest)?);
        let note_length = u32::from_le_bytes(take(rest)?);
        let [signal, kind, encoding, _] = take(rest)?;
        let encoding = Encoding::numbered(encoding)?;
        let signal = *Signal::ALL.get(usize::from(signal))?;
        let kind = match kind {
            0 => Kind::Batch,
            1 => Kind::Seal,
            _ => return None,
        };
        let unsynced = u32::from_le_bytes(take(rest)?);
        let checksum = u32::from_le_bytes(take(rest)?);
        Some(Self {
            kind,
            sequence,
            id,
            time,
            items,
            signal,
            encoding,
            unsynced,
            length,
            note_length,
            checksum,
        })
    }
}

/// Takes so many bytes off the front.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// The next multiple of [`ALIGNMENT`].
pub(crate) fn aligned(size: u64) -> u64 {
    size.next_multiple_of(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            id: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
            time: 1_700_000_000_000_000_000,
            items: 2,
            signal: Signal::Traces,
            note: Bytes::from_static(b"{}"),
            encoding: Encoding::Plain,
            payload: Bytes::from_static(b"payload"),
        }
    }

    #[test]
    fn the_format_is_the_one_that_older_versions_wrote() {
        let mut bytes = Vec::new();
        let record = record();
        record.header(7, 3, record.checksum()).encode(0x5a5a_5a5a, &mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "57535231 09000000 0700000000000000 7766554433221100efcdab8967452301\
                        00002a36fe9c9717 02000000 02000000 01000000 03000000";
        assert_eq!(hex[..112], expected.replace(' ', ""));
        assert_eq!(bytes.len(), HEADER);
    }

    #[test]
    fn a_header_is_read_back_and_any_changed_bit_is_noticed() {
        let record = record();
        let header = record.header(7, 3, record.checksum());
        let mut bytes = Vec::new();
        header.encode(1, &mut bytes);
        assert_eq!(Header::decode(&bytes, 1), Some(header));
        assert_eq!(Header::decode(&bytes, 2), None);
        for bit in 0..HEADER * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes, 1), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_changed_body_is_noticed() {
        let record = record();
        let header = record.header(7, 3, record.checksum());
        assert_eq!(Record::decode(&header, Bytes::from_static(b"{}payload")), Some(record));
        assert_eq!(Record::decode(&header, Bytes::from_static(b"{}payloae")), None);
    }
}
