//! Values within values: `AnyValue`, `ArrayValue` and `KeyValueList` of opentelemetry/proto/common/v1.
//!
//! They are checked to the bottom when they come in and then stay as they are; the iterators here walk them.

use super::wire::{
    BYTES, BackwardWriter, DEPTH_MAX, DecodeError, FIXED64, Reader, Reason, VARINT, fields, tag,
};
use crate::batch::{AnyValue, Array, Buffer, Map, Stored, Text, Value, is_utf8};

const STRING: u32 = tag(1, BYTES);
const BOOL: u32 = tag(2, VARINT);
const INT: u32 = tag(3, VARINT);
const DOUBLE: u32 = tag(4, FIXED64);
const ARRAY: u32 = tag(5, BYTES);
const MAP: u32 = tag(6, BYTES);
const BLOB: u32 = tag(7, BYTES);
const ANY_VALUE: u64 = fields(&[1, 2, 3, 4, 5, 6, 7]);

const ITEM: u32 = tag(1, BYTES);
const KEY: u32 = tag(1, BYTES);
const VALUE: u32 = tag(2, BYTES);

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads an `AnyValue`, checking what is nested in it.
pub(crate) fn any_value(mut reader: Reader<'_>, depth: usize) -> Result<Stored> {
    if depth > DEPTH_MAX {
        return reader.error(Reason::Depth);
    }
    let mut value = Stored::Empty;
    while let Some(tag) = reader.next_tag()? {
        value = match tag {
            STRING => Stored::Str(reader.text()?),
            BOOL => Stored::Bool(reader.varint()? != 0),
            INT => Stored::Int(reader.varint()?.cast_signed()),
            DOUBLE => Stored::Double(reader.double()?),
            ARRAY => {
                let array = reader.nested("ArrayValue")?;
                check_array(array, depth)?;
                Stored::Array(array.place())
            }
            MAP => {
                let map = reader.nested("KeyValueList")?;
                check_map(map, depth)?;
                Stored::Map(map.place())
            }
            BLOB => Stored::Bytes(reader.nested("AnyValue")?.place()),
            unknown => {
                reader.skip(unknown, ANY_VALUE)?;
                value
            }
        };
    }
    Ok(value)
}

fn check_array(mut array: Reader<'_>, depth: usize) -> Result<()> {
    while let Some(tag) = array.next_tag()? {
        match tag {
            ITEM => drop(any_value(array.nested("AnyValue")?, depth + 1)?),
            unknown => array.skip(unknown, fields(&[1]))?,
        }
    }
    Ok(())
}

fn check_map(mut map: Reader<'_>, depth: usize) -> Result<()> {
    while let Some(tag) = map.next_tag()? {
        match tag {
            ITEM => drop(key_value(map.nested("KeyValue")?, depth + 1)?),
            unknown => map.skip(unknown, fields(&[1]))?,
        }
    }
    Ok(())
}

/// Reads a `KeyValue`: the place of its key, and its value.
pub(crate) fn key_value(mut reader: Reader<'_>, depth: usize) -> Result<(Text, Stored)> {
    let mut key = Text::NONE;
    let mut value = Stored::Absent;
    while let Some(tag) = reader.next_tag()? {
        match tag {
            KEY => key = reader.text()?,
            VALUE => value = any_value(reader.nested("AnyValue")?, depth)?,
            unknown => reader.skip(unknown, fields(&[1, 2]))?,
        }
    }
    Ok((key, value))
}

/// The items of an array, in order.
#[derive(Clone, Copy)]
pub struct ArrayItems<'a>(Reader<'a>);

/// The entries of a map, in order.
#[derive(Clone, Copy)]
pub struct MapEntries<'a>(Reader<'a>);

impl<'a> ArrayItems<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes, "ArrayValue"))
    }
}

impl<'a> MapEntries<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes, "KeyValueList"))
    }
}

impl<'a> Iterator for ArrayItems<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        next_item(&mut self.0).map(checked_value)
    }
}

impl<'a> Iterator for MapEntries<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<(&'a str, Value<'a>)> {
        let mut entry = next_item(&mut self.0)?;
        let (mut key, mut value) = ("", Value::Empty);
        while let Ok(Some(tag)) = entry.next_tag() {
            match tag {
                KEY => key = checked_text(&mut entry),
                VALUE => value = entry.nested("AnyValue").map_or(Value::Empty, checked_value),
                unknown => entry.skip(unknown, 0).ok()?,
            }
        }
        Some((key, value))
    }
}

fn next_item<'a>(reader: &mut Reader<'a>) -> Option<Reader<'a>> {
    while let Ok(Some(tag)) = reader.next_tag() {
        match tag {
            ITEM => return reader.nested("AnyValue").ok(),
            unknown => reader.skip(unknown, 0).ok()?,
        }
    }
    None
}

/// The value of bytes that were checked when they came in; what can't be read reads as empty.
fn checked_value(mut reader: Reader<'_>) -> Value<'_> {
    let mut value = Value::Empty;
    while let Ok(Some(tag)) = reader.next_tag() {
        let found = match tag {
            STRING => Some(Value::Str(checked_text(&mut reader))),
            BOOL => reader.varint().ok().map(|value| Value::Bool(value != 0)),
            INT => reader.varint().ok().map(|value| Value::Int(value.cast_signed())),
            DOUBLE => reader.double().ok().map(Value::Double),
            ARRAY => reader.nested("").ok().map(|inner| Value::Array(Array(inner.rest()))),
            MAP => reader.nested("").ok().map(|inner| Value::Map(Map(inner.rest()))),
            BLOB => reader.nested("").ok().map(|inner| Value::Bytes(inner.rest())),
            unknown => reader.skip(unknown, 0).ok().map(|()| value),
        };
        let Some(found) = found else { break };
        value = found;
    }
    value
}

fn checked_text<'a>(reader: &mut Reader<'a>) -> &'a str {
    let content = reader.nested("").map_or(&[][..], |inner| inner.rest());
    std::str::from_utf8(content).unwrap_or_default()
}

/// The bytes of an `ArrayValue`.
pub(crate) fn encode_array(items: &[AnyValue]) -> Vec<u8> {
    let mut writer = BackwardWriter::with_capacity(64);
    array_backwards(&mut writer, items);
    writer.finish().into()
}

/// The bytes of a `KeyValueList`.
pub(crate) fn encode_map(entries: &[(String, AnyValue)]) -> Vec<u8> {
    let mut writer = BackwardWriter::with_capacity(64);
    map_backwards(&mut writer, entries);
    writer.finish().into()
}

/// The bytes of a `KeyValueList` of these entries.
pub(crate) fn encode_entries(entries: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut writer = BackwardWriter::with_capacity(64);
    for (key, value) in entries.iter().rev() {
        let entry = writer.mark();
        value_backwards(&mut writer, *value);
        writer.close(entry, 2);
        writer.text_field(1, key.as_bytes());
        writer.close(entry, 1);
    }
    writer.finish().into()
}

fn array_backwards(writer: &mut BackwardWriter, items: &[AnyValue]) {
    for item in items.iter().rev() {
        let mark = writer.mark();
        any_value_backwards(writer, item);
        writer.close(mark, 1);
    }
}

fn map_backwards(writer: &mut BackwardWriter, entries: &[(String, AnyValue)]) {
    for (key, value) in entries.iter().rev() {
        let entry = writer.mark();
        any_value_backwards(writer, value);
        writer.close(entry, 2);
        writer.text_field(1, key.as_bytes());
        writer.close(entry, 1);
    }
}

fn any_value_backwards(writer: &mut BackwardWriter, value: &AnyValue) {
    let mark = writer.mark();
    match value {
        AnyValue::Empty => {}
        AnyValue::Str(text) => writer.bytes_field(1, text.as_bytes()),
        AnyValue::Bool(value) => scalar(writer, 2, u64::from(*value)),
        AnyValue::Int(value) => scalar(writer, 3, value.cast_unsigned()),
        AnyValue::Double(value) => writer.double_field(4, *value),
        AnyValue::Bytes(bytes) => writer.bytes_field(7, bytes),
        AnyValue::Array(items) => {
            array_backwards(writer, items);
            writer.close(mark, 5);
        }
        AnyValue::Map(entries) => {
            map_backwards(writer, entries);
            writer.close(mark, 6);
        }
    }
}

/// The content of an `AnyValue` message, from how it is read.
fn value_backwards(writer: &mut BackwardWriter, value: Value<'_>) {
    match value {
        Value::Empty => {}
        Value::Str(text) => writer.bytes_field(1, text.as_bytes()),
        Value::Bool(value) => scalar(writer, 2, u64::from(value)),
        Value::Int(value) => scalar(writer, 3, value.cast_unsigned()),
        Value::Double(value) => writer.double_field(4, value),
        Value::Array(Array(items)) => writer.bytes_field(5, items),
        Value::Map(Map(entries)) => writer.bytes_field(6, entries),
        Value::Bytes(bytes) => writer.bytes_field(7, bytes),
    }
}

/// A number that is written also when it is zero, because the field's presence means something.
fn scalar(writer: &mut BackwardWriter, field: u32, value: u64) {
    writer.varint(value);
    writer.tag(field, VARINT);
}

/// The content of an `AnyValue` message, from how a part stores it.
pub(crate) fn stored_backwards(writer: &mut BackwardWriter, buffer: &Buffer, value: Stored) {
    match value {
        Stored::Absent | Stored::Empty => {}
        Stored::Str(place) => writer.bytes_field(1, buffer.bytes(place)),
        Stored::Bool(value) => scalar(writer, 2, u64::from(value)),
        Stored::Int(value) => scalar(writer, 3, value.cast_unsigned()),
        Stored::Double(value) => writer.double_field(4, value),
        Stored::Array(place) => writer.bytes_field(5, buffer.bytes(place)),
        Stored::Map(place) => writer.bytes_field(6, buffer.bytes(place)),
        Stored::Bytes(place) => writer.bytes_field(7, buffer.bytes(place)),
    }
}

/// Reads the common shape of a `KeyValue` in one look: a key and a value of less than 128 bytes each, key first.
#[inline]
pub(crate) fn short_key_value(reader: &Reader<'_>) -> Option<(Text, Stored)> {
    let [0x0A, key_len @ 0..0x80, rest @ ..] = reader.rest() else { return None };
    let key_len = usize::from(*key_len);
    let (_, rest) = rest.split_at_checked(key_len)?;
    let [0x12, value_len @ 0..0x80, value @ ..] = rest else { return None };
    if usize::from(*value_len) != value.len() {
        return None;
    }
    let before_value = key_len + 4;
    let stored = match value {
        [0x0A, len, text @ ..] if usize::from(*len) == text.len() && *len < 0x80 && is_utf8(text) => {
            Stored::Str(reader.place_at(before_value + 2, text.len()))
        }
        [0x18, number @ 0..0x80] => Stored::Int(i64::from(*number)),
        [0x10, value @ 0..=1] => Stored::Bool(*value == 1),
        [0x21, bytes @ ..] => Stored::Double(f64::from_le_bytes(bytes.try_into().ok()?)),
        _ => return None,
    };
    Some((reader.place_at(2, key_len), stored))
}
