//! Protobuf's wire format: a reader that never copies, and a writer that goes backwards.
//!
//! Rules: <https://protobuf.dev/programming-guides/encoding/>. The reader keeps the place in the whole message,
//! so that texts become offsets and errors name a byte. The writer starts at the end, so that a nested
//! message's length is known when it is written and nothing is moved or measured twice.

use crate::batch::{Text, is_utf8};

/// Values may be nested this deep; an attribute's or a body's own value is at level 1.
pub(crate) const DEPTH_MAX: usize = super::schema::NESTING_LIMIT;

/// What a message looks like when it is not what it should be, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid protobuf at byte {offset}, in {within}: {reason}")]
pub struct DecodeError {
    /// The place in the message.
    pub offset: usize,
    /// The protobuf message that contains it.
    pub within: &'static str,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The message ends in the middle of a field.
    #[error("the message ends in the middle of a field")]
    Truncated,
    /// A variable-length number has more than ten bytes.
    #[error("a number has more than ten bytes")]
    Varint,
    /// A text is not UTF-8.
    #[error("a text is not valid UTF-8")]
    Utf8,
    /// A trace or span id has a length that it can't have.
    #[error("an id has {found} bytes instead of {expected}")]
    IdLength {
        /// Bytes found.
        found: usize,
        /// Bytes that such an id has.
        expected: usize,
    },
    /// A known field has another wire type than the protocol says, or the wire type does not exist.
    #[error("field {field} has wire type {wire_type}, which it can't have")]
    WireType {
        /// The field's number.
        field: u32,
        /// The wire type found.
        wire_type: u32,
    },
    /// Values are nested too deep.
    #[error("values are nested more than {DEPTH_MAX} deep")]
    Depth,
    /// Packed numbers do not fill their field.
    #[error("packed numbers do not fill their field")]
    Packed,
    /// The message would take far more memory than its size justifies, or is beyond 1 GiB.
    #[error("the message has more records than its size justifies, or more than 1 GiB")]
    TooLarge,
}

pub(crate) const VARINT: u32 = 0;
pub(crate) const FIXED64: u32 = 1;
pub(crate) const BYTES: u32 = 2;
pub(crate) const FIXED32: u32 = 5;

/// The tag of a field: its number and wire type.
pub(crate) const fn tag(field: u32, wire_type: u32) -> u32 {
    field << 3 | wire_type
}

/// Reads one message within a larger one.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
    within: &'static str,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], within: &'static str) -> Self {
        Self { rest: bytes, offset: 0, within }
    }

    pub(crate) fn error<T>(&self, reason: Reason) -> Result<T> {
        Err(DecodeError { offset: self.offset, within: self.within, reason })
    }

    /// All that is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The place of all that is left.
    pub(crate) fn place(&self) -> Text {
        place(self.offset, self.rest.len())
    }

    /// The place of `len` bytes that begin `skip` bytes further on.
    pub(crate) fn place_at(&self, skip: usize, len: usize) -> Text {
        place(self.offset + skip, len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field's tag, or none at the end.
    #[inline]
    pub(crate) fn next_tag(&mut self) -> Result<Option<u32>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        match u32::try_from(tag) {
            Ok(tag) if tag >= 8 => Ok(Some(tag)),
            _ => self.error(Reason::WireType { field: 0, wire_type: (tag & 7) as u32 }),
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64> {
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            self.offset += 1;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for (position, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7F) << (7 * position);
            if byte & 0x80 == 0 {
                self.advance(position + 1);
                return Ok(value);
            }
        }
        self.error(if self.rest.len() < 10 { Reason::Truncated } else { Reason::Varint })
    }

    #[inline]
    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((value, rest)) = self.rest.split_first_chunk::<N>() else {
            return self.error(Reason::Truncated);
        };
        self.rest = rest;
        self.offset += N;
        Ok(*value)
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64> {
        self.fixed().map(u64::from_le_bytes)
    }

    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<u32> {
        self.fixed().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn double(&mut self) -> Result<f64> {
        self.fixed().map(f64::from_le_bytes)
    }

    /// A nested message, or the content of any other field that has a length.
    #[inline]
    pub(crate) fn nested(&mut self, within: &'static str) -> Result<Self> {
        let len = self.varint()?;
        let split = usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len));
        let Some((inner, rest)) = split else { return self.error(Reason::Truncated) };
        let nested = Self { rest: inner, offset: self.offset, within };
        self.offset += inner.len();
        self.rest = rest;
        Ok(nested)
    }

    /// A text, checked to be UTF-8.
    #[inline]
    pub(crate) fn text(&mut self) -> Result<Text> {
        let content = self.nested(self.within)?;
        if !is_utf8(content.rest) {
            return content.error(Reason::Utf8);
        }
        Ok(content.place())
    }

    /// An id of `N` bytes; an empty one reads as all zero, which means none.
    #[inline]
    pub(crate) fn id<const N: usize>(&mut self) -> Result<[u8; N]> {
        let content = self.nested(self.within)?;
        match content.rest.try_into() {
            Ok(id) => Ok(id),
            Err(_) if content.is_empty() => Ok([0; N]),
            Err(_) => content.error(Reason::IdLength { found: content.rest.len(), expected: N }),
        }
    }

    /// Passes over a field that the decoder does not know. `known` has a bit for each number that it does know:
    /// such a field got here only by a wrong wire type.
    #[cold]
    pub(crate) fn skip(&mut self, tag: u32, known: u64) -> Result<()> {
        let (field, wire_type) = (tag >> 3, tag & 7);
        if field < 64 && known & 1 << field != 0 {
            return self.error(Reason::WireType { field, wire_type });
        }
        match wire_type {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            BYTES => self.nested(self.within).map(drop),
            FIXED32 => self.fixed32().map(drop),
            _ => self.error(Reason::WireType { field, wire_type }),
        }
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
        self.offset += count;
    }
}

fn place(offset: usize, len: usize) -> Text {
    // The decoder refuses messages beyond 1 GiB before it reads them.
    Text { offset: offset as u32, len: len as u32 }
}

/// A set of field numbers as bits.
pub(crate) const fn fields(numbers: &[u32]) -> u64 {
    let mut set = 0;
    let mut rest = numbers;
    while let [number, others @ ..] = rest {
        set |= 1 << *number;
        rest = others;
    }
    set
}

/// Writes a message from its end to its beginning.
pub(crate) struct BackwardWriter {
    bytes: Vec<u8>,
    start: usize,
}

impl BackwardWriter {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], start: capacity }
    }

    /// Bytes written so far; the mark for [`Self::close`].
    pub(crate) fn mark(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Forgets what was written since the mark.
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.start = self.bytes.len() - mark;
    }

    pub(crate) fn finish(self) -> bytes::Bytes {
        bytes::Bytes::from(self.bytes).slice(self.start..)
    }

    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if self.start < bytes.len() {
            self.grow(bytes.len());
        }
        let start = self.start - bytes.len();
        if let Some(slot) = self.bytes.get_mut(start..self.start) {
            slot.copy_from_slice(bytes);
        }
        self.start = start;
    }

    #[cold]
    fn grow(&mut self, wanted: usize) {
        let more = self.bytes.len().max(wanted).max(1024);
        let mut larger = vec![0; self.bytes.len() + more];
        let written = self.bytes.get(self.start..).unwrap_or_default();
        if let Some(slot) = larger.get_mut(self.start + more..) {
            slot.copy_from_slice(written);
        }
        self.bytes = larger;
        self.start += more;
    }

    #[inline]
    pub(crate) fn varint(&mut self, mut value: u64) {
        if value < 0x80 {
            return self.put(&[value as u8]);
        }
        let mut encoded = [0; 10];
        let mut len = 0;
        for slot in &mut encoded {
            len += 1;
            if value < 0x80 {
                *slot = value as u8;
                break;
            }
            *slot = value as u8 | 0x80;
            value >>= 7;
        }
        self.put(encoded.get(..len).unwrap_or_default());
    }

    #[inline]
    pub(crate) fn tag(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(tag(field, wire_type)));
    }

    /// Puts tag and length in front of what was written since the mark.
    #[inline]
    pub(crate) fn close(&mut self, mark: usize, field: u32) {
        self.varint((self.mark() - mark) as u64);
        self.tag(field, BYTES);
    }

    /// A field with a length, also when it is empty.
    #[inline]
    pub(crate) fn bytes_field(&mut self, field: u32, bytes: &[u8]) {
        self.put(bytes);
        self.varint(bytes.len() as u64);
        self.tag(field, BYTES);
    }

    /// A field with a length, left out when it is empty.
    #[inline]
    pub(crate) fn text_field(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.bytes_field(field, bytes);
        }
    }

    /// An id, left out when it is all zero.
    #[inline]
    pub(crate) fn id_field(&mut self, field: u32, id: &[u8]) {
        if id.iter().any(|byte| *byte != 0) {
            self.bytes_field(field, id);
        }
    }

    /// A number of variable length, left out when it is zero.
    #[inline]
    pub(crate) fn varint_field(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.varint(value);
            self.tag(field, VARINT);
        }
    }

    /// An enumeration or another signed number; negative ones take ten bytes, as protobuf says.
    #[inline]
    pub(crate) fn int_field(&mut self, field: u32, value: i32) {
        self.varint_field(field, i64::from(value).cast_unsigned());
    }

    /// A number of eight bytes, left out when it is zero.
    #[inline]
    pub(crate) fn fixed64_field(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.put(&value.to_le_bytes());
            self.tag(field, FIXED64);
        }
    }

    /// A number of four bytes, left out when it is zero.
    #[inline]
    pub(crate) fn fixed32_field(&mut self, field: u32, value: u32) {
        if value != 0 {
            self.put(&value.to_le_bytes());
            self.tag(field, FIXED32);
        }
    }

    /// A floating-point number, also when it is zero.
    #[inline]
    pub(crate) fn double_field(&mut self, field: u32, value: f64) {
        self.put(&value.to_le_bytes());
        self.tag(field, FIXED64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_back_at_every_length() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1_u64 << shift) - 1, u64::MAX >> shift] {
                let mut writer = BackwardWriter::with_capacity(0);
                writer.varint(value);
                let bytes = writer.finish();
                let mut reader = Reader::new(&bytes, "test");
                assert_eq!(reader.varint(), Ok(value));
                assert!(reader.is_empty());
            }
        }
    }

    #[test]
    fn eleven_byte_numbers_and_cut_ones_are_errors_that_name_the_byte() {
        let mut reader = Reader::new(&[0xFF; 11], "Test");
        assert_eq!(reader.varint().unwrap_err().reason, Reason::Varint);
        let mut reader = Reader::new(&[0x0A, 0x05, b'a'], "Test");
        reader.next_tag().unwrap();
        let error = reader.text().unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid protobuf at byte 2, in Test: the message ends in the middle of a field"
        );
    }

    #[test]
    fn a_known_field_with_the_wrong_wire_type_is_an_error_and_an_unknown_one_is_passed_over() {
        let mut reader = Reader::new(&[0x10, 0x01, 0x18, 0x01], "Test");
        let tag = reader.next_tag().unwrap().unwrap();
        assert!(reader.skip(tag, fields(&[3])).is_ok());
        let tag = reader.next_tag().unwrap().unwrap();
        assert_eq!(
            reader.skip(tag, fields(&[3])).unwrap_err().reason,
            Reason::WireType { field: 3, wire_type: 0 }
        );
    }
}
