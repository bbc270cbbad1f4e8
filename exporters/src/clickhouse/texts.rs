//! Columns of texts: in full, or as a dictionary with a number for each row.
//!
//! The bytes are those of ClickHouse's Native format: `SerializationString` and `SerializationLowCardinality` of its
//! source, with a dictionary of its own in every block ("additional keys").

use std::hash::BuildHasher as _;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};
use watershed_pipeline::Value;

use super::as_text::push_text;
use super::body::Body;
use super::wire::Coding;

/// "This block brings its own keys" and "forget those of blocks before"; the lowest bits say how wide numbers are.
const OWN_KEYS: u64 = (1 << 9) | (1 << 10);

/// Texts of a column, held until the column is written.
pub(super) enum Texts {
    Plain(Vec<u8>),
    Dictionary(Dictionary),
}

/// The distinct texts of a column and which one each row has.
#[derive(Default)]
pub(super) struct Dictionary {
    /// The texts with their lengths, as they are sent.
    bytes: Vec<u8>,
    /// Where each text stands in `bytes`, without its length.
    places: Vec<Range<usize>>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    rows: Vec<u32>,
}

impl Texts {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Plain => Self::Plain(Vec::new()),
            Coding::Dictionary => Self::Dictionary(Dictionary::default()),
        }
    }

    pub(super) fn push(&mut self, text: &[u8]) {
        match self {
            Self::Plain(bytes) => push_sized(bytes, text),
            Self::Dictionary(dictionary) => dictionary.push(text),
        }
    }

    /// Adds a value as text; `scratch` is for those that have to be written first.
    pub(super) fn push_value(&mut self, value: Value<'_>, scratch: &mut Vec<u8>) {
        match self {
            Self::Plain(bytes) => push_value_sized(bytes, value, scratch),
            Self::Dictionary(dictionary) => dictionary.push_value(value, scratch),
        }
    }

    /// How much there is, for [`Self::repeat`].
    pub(super) fn mark(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Dictionary(dictionary) => dictionary.rows.len(),
        }
    }

    /// Adds again what was added since the mark, up to an end that is a mark too.
    pub(super) fn repeat(&mut self, marked: Range<usize>) {
        match self {
            Self::Plain(bytes) if marked.end <= bytes.len() => bytes.extend_from_within(marked),
            Self::Dictionary(dictionary) if marked.end <= dictionary.rows.len() => {
                dictionary.rows.extend_from_within(marked);
            }
            Self::Plain(_) | Self::Dictionary(_) => debug_assert!(false, "the mark lies behind the end"),
        }
    }

    pub(super) fn write(&self, body: &mut Body) {
        match self {
            Self::Plain(bytes) => body.write(bytes),
            Self::Dictionary(dictionary) => dictionary.write(body),
        }
    }
}

impl Dictionary {
    pub(super) fn push(&mut self, text: &[u8]) {
        let number = match self.rows.last() {
            Some(last) if self.text(*last) == text => *last,
            _ => self.number(text),
        };
        self.rows.push(number);
    }

    /// Adds a value as text; `scratch` is for those that have to be written first.
    pub(super) fn push_value(&mut self, value: Value<'_>, scratch: &mut Vec<u8>) {
        if let Value::Str(text) = value {
            return self.push(text.as_bytes());
        }
        scratch.clear();
        push_text(scratch, value);
        self.push(scratch);
    }

    /// Adds a row whose number is known.
    #[inline]
    pub(super) fn push_number(&mut self, number: u32) {
        self.rows.push(number);
    }

    /// Adds the last row again.
    pub(super) fn repeat_last(&mut self) {
        if let Some(last) = self.rows.last().copied() {
            self.rows.push(last);
        }
    }

    /// The number of a text, a new one if need be.
    pub(super) fn number(&mut self, text: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(text);
        if let Some(found) = self.table.find(hash, |number| self.text(*number) == text) {
            return *found;
        }
        let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        push_sized(&mut self.bytes, text);
        self.places.push(self.bytes.len() - text.len()..self.bytes.len());
        let Self { bytes, places, table, hasher, .. } = self;
        let hash_of = |number: &u32| {
            let place = places.get(*number as usize).cloned().unwrap_or_default();
            hasher.hash_one(bytes.get(place).unwrap_or_default())
        };
        table.insert_unique(hash, number, hash_of);
        number
    }

    fn text(&self, number: u32) -> &[u8] {
        let place = self.places.get(number as usize).cloned().unwrap_or_default();
        self.bytes.get(place).unwrap_or_default()
    }

    pub(super) fn write(&self, body: &mut Body) {
        if self.rows.is_empty() {
            return;
        }
        let width = match self.places.len() {
            0..=0x100 => 0,
            0x101..=0x1_0000 => 1,
            _ => 2,
        };
        let raw = body.raw();
        raw.extend_from_slice(&(OWN_KEYS | width).to_le_bytes());
        raw.extend_from_slice(&(self.places.len() as u64).to_le_bytes());
        body.write(&self.bytes);
        let raw = body.raw();
        raw.extend_from_slice(&(self.rows.len() as u64).to_le_bytes());
        raw.reserve(self.rows.len() << width);
        match width {
            0 => raw.extend(self.rows.iter().map(|number| *number as u8)),
            1 => self.rows.iter().for_each(|number| raw.extend_from_slice(&(*number as u16).to_le_bytes())),
            _ => self.rows.iter().for_each(|number| raw.extend_from_slice(&number.to_le_bytes())),
        }
        body.settle();
    }
}

/// Appends a length as ClickHouse writes it, seven bits a byte.
#[inline]
pub(super) fn push_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a text behind its length.
#[inline]
pub(super) fn push_sized(out: &mut Vec<u8>, text: &[u8]) {
    push_length(out, text.len());
    out.extend_from_slice(text);
}

/// Appends a value as text behind its length.
#[inline]
pub(super) fn push_value_sized(out: &mut Vec<u8>, value: Value<'_>, scratch: &mut Vec<u8>) {
    if let Value::Str(text) = value {
        return push_sized(out, text.as_bytes());
    }
    scratch.clear();
    push_text(scratch, value);
    push_sized(out, scratch);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::Compression;

    fn written(texts: &Texts) -> Vec<u8> {
        let mut body = Body::new(Compression::None);
        texts.write(&mut body);
        body.finish().unwrap().to_vec()
    }

    #[test]
    fn a_dictionary_has_each_text_once_and_a_number_for_each_row() {
        let mut texts = Texts::new(Coding::Dictionary);
        for text in ["INFO", "WARN", "INFO", "INFO"] {
            texts.push(text.as_bytes());
        }
        texts.repeat(1..3);
        let golden = [
            &[0, 6, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0][..],
            b"\x04INFO\x04WARN",
            &[6, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0],
        ];
        assert_eq!(written(&texts), golden.concat());
    }

    #[test]
    fn numbers_get_wider_with_the_dictionary() {
        for (count, width) in [(256_u32, 1), (257, 2), (65_536, 2), (65_537, 4)] {
            let mut texts = Texts::new(Coding::Dictionary);
            (0..count).for_each(|number| texts.push(format!("{number:06}").as_bytes()));
            let expected = 8 + 8 + 7 * count as usize + 8 + width * count as usize;
            assert_eq!(written(&texts).len(), expected, "{count}");
        }
    }

    #[test]
    fn plain_texts_stand_behind_their_lengths() {
        let mut texts = Texts::new(Coding::Plain);
        texts.push(b"ab");
        texts.push_value(Value::Int(-7), &mut Vec::new());
        let mark = texts.mark();
        texts.push(&[b'x'; 300]);
        texts.repeat(0..mark);
        let golden = [&b"\x02ab\x02-7\xAC\x02"[..], &[b'x'; 300], b"\x02ab\x02-7"];
        assert_eq!(written(&texts), golden.concat());
    }
}
