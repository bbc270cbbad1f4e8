//! Values as JSON, and objects in which each key stands once.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use watershed_pipeline::json_text::{push_json_double, push_json_i64, push_json_string};
use watershed_pipeline::{Map, Value};

/// Appends text as a JSON string. Most text needs no escape and is then copied at once, without being validated again.
pub(super) fn push_str(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let (chunks, rest) = bytes.as_chunks::<8>();
    // The last eight bytes overlap the chunks before them, which does no harm; a short text is filled up.
    let last = bytes.last_chunk::<8>().copied().unwrap_or_else(|| {
        let mut filled = [b' '; 8];
        filled.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
        filled
    });
    if chunks.iter().any(|chunk| needs_escape(*chunk)) || needs_escape(last) {
        return push_json_string(out, bytes);
    }
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
}

/// Whether one of eight bytes is a quote, a backslash or below a space. A byte of 0x80 or more may be taken for one:
/// that is looked at again.
fn needs_escape(chunk: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let word = u64::from_ne_bytes(chunk);
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    let is_quote = is_zero(word ^ (ONES * u64::from(b'"')));
    let is_backslash = is_zero(word ^ (ONES * u64::from(b'\\')));
    (is_control | is_quote | is_backslash) & HIGH != 0
}

/// Appends a value: bytes as base64 text, lists and maps as JSON, no value as null.
pub(crate) fn push_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Empty => out.extend_from_slice(b"null"),
        Value::Str(text) => push_str(out, text),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => push_json_i64(out, number),
        Value::Double(number) => push_json_double(out, number),
        Value::Bytes(bytes) => {
            out.push(b'"');
            push_base64(out, bytes);
            out.push(b'"');
        }
        Value::Array(array) => {
            out.push(b'[');
            for (index, item) in array.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_value(out, item);
            }
            out.push(b']');
        }
        Value::Map(map) => push_map(out, map),
    }
}

fn push_map(out: &mut Vec<u8>, map: Map<'_>) {
    let mut object = Object::begin(out);
    for (key, value) in map.iter() {
        if let Some(out) = object.key(key) {
            push_value(out, value);
        }
    }
    object.end();
}

/// Appends bytes in base64, without quotes.
pub(crate) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    let length = bytes.len().div_ceil(3) * 4;
    out.resize(start + length, 0);
    let written = STANDARD.encode_slice(bytes, out.get_mut(start..).unwrap_or_default());
    debug_assert_eq!(written.ok(), Some(length), "the length of base64 text is known beforehand");
}

/// Up to this many keys are compared one by one.
const COMPARED_MAX: usize = 32;

/// A JSON object in the making. A key that was written already is refused.
pub(super) struct Object<'o, 'k> {
    out: &'o mut Vec<u8>,
    /// One bit for each of 64 classes of keys that have been seen: mostly tells at once that a key is new.
    classes: u64,
    keys: Vec<&'k str>,
    /// The keys, once there are too many to compare.
    many: Option<HashSet<&'k str>>,
}

impl<'o, 'k> Object<'o, 'k> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, classes: 0, keys: Vec::new(), many: None }
    }

    /// Appends a key and hands out the place of its value; nothing if the object has the key already.
    pub(super) fn key(&mut self, key: &'k str) -> Option<&mut Vec<u8>> {
        if !self.is_new(key) {
            return None;
        }
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        push_str(self.out, key);
        self.out.push(b':');
        Some(self.out)
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    /// Remembers the key; says whether it was unknown.
    fn is_new(&mut self, key: &'k str) -> bool {
        if let Some(many) = &mut self.many {
            return many.insert(key);
        }
        let class = class_of(key);
        if self.classes & class != 0 && self.keys.contains(&key) {
            return false;
        }
        self.classes |= class;
        if self.keys.is_empty() {
            self.keys.reserve(COMPARED_MAX);
        }
        self.keys.push(key);
        if self.keys.len() == COMPARED_MAX {
            self.many = Some(self.keys.drain(..).collect());
        }
        true
    }
}

fn class_of(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let last = bytes.last().copied().unwrap_or_default();
    let middle = bytes.get(bytes.len() / 2).copied().unwrap_or_default();
    let mixed = bytes.len().wrapping_mul(7) ^ usize::from(last) ^ usize::from(middle).wrapping_mul(5);
    1 << (mixed % 64)
}
