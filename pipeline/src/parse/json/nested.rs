//! Nested values, written forwards as OTLP's protobuf (`AnyValue`, `ArrayValue`, `KeyValueList`).
//!
//! The length of a message stands before it and is known only behind it. One byte is left for it, which is enough
//! below 128 bytes; a longer message is moved up.

use crate::parse::fields::{Fields, Held};

const STRING: u8 = 0x0A;
const BOOL: u8 = 0x10;
const INT: u8 = 0x18;
const DOUBLE: u8 = 0x21;
const ARRAY: u8 = 0x2A;
const MAP: u8 = 0x32;
/// An item of either list, and the key of an entry: field 1, with a length.
const FIRST: u8 = 0x0A;
/// The value of an entry: field 2, with a length.
const SECOND: u8 = 0x12;

/// Begins a message with this tag; says where its content begins.
fn begin(own: &mut Vec<u8>, tag: u8) -> usize {
    own.extend_from_slice(&[tag, 0]);
    own.len()
}

/// Begins an item of either list, or the key of an entry.
pub(super) fn open(own: &mut Vec<u8>) -> usize {
    begin(own, FIRST)
}

/// Begins the value of an entry.
pub(super) fn open_value(own: &mut Vec<u8>) -> usize {
    begin(own, SECOND)
}

pub(super) fn open_text(own: &mut Vec<u8>) -> usize {
    begin(own, STRING)
}

pub(super) fn open_container(own: &mut Vec<u8>, is_map: bool) -> usize {
    begin(own, if is_map { MAP } else { ARRAY })
}

/// Writes the length of what stands behind `start` in front of it.
pub(super) fn close(own: &mut Vec<u8>, start: usize) {
    let length = own.len() - start;
    if let (Ok(short @ 0..0x80), Some(slot)) = (u8::try_from(length), own.get_mut(start - 1)) {
        *slot = short;
        return;
    }
    let (encoded, size) = varint(length as u64);
    let encoded = encoded.get(..size).unwrap_or_default();
    if size > 1 {
        own.resize(own.len() + size - 1, 0);
        own.copy_within(start..start + length, start + size - 1);
    }
    if let Some(slot) = own.get_mut(start - 1..start - 1 + size) {
        slot.copy_from_slice(encoded);
    }
}

fn varint(mut value: u64) -> ([u8; 10], usize) {
    let mut encoded = [0; 10];
    let mut size = 0;
    for slot in &mut encoded {
        size += 1;
        if value < 0x80 {
            *slot = value as u8;
            break;
        }
        *slot = value as u8 | 0x80;
        value >>= 7;
    }
    (encoded, size)
}

/// Writes a value that holds no others and is no text between quotes.
pub(super) fn scalar(fields: &mut Fields, line: &str, value: Held) {
    match value {
        // The content of an `AnyValue` without a member is nothing.
        Held::Empty | Held::Array(..) | Held::Map(..) => {}
        Held::Bool(value) => fields.own.extend_from_slice(&[BOOL, u8::from(value)]),
        Held::Int(number) => {
            let (encoded, size) = varint(number.cast_unsigned());
            fields.own.push(INT);
            fields.own.extend_from_slice(encoded.get(..size).unwrap_or_default());
        }
        Held::Double(number) => {
            fields.own.push(DOUBLE);
            fields.own.extend_from_slice(&number.to_le_bytes());
        }
        // Digits that no number holds.
        Held::Str(place) => {
            let digits = fields.bytes(line, place).to_vec();
            let mark = open_text(&mut fields.own);
            fields.own.extend_from_slice(&digits);
            close(&mut fields.own, mark);
        }
    }
}
