//! From protobuf bytes to JSON text: walks the fields as they lie in the bytes and writes as it reads.
//!
//! Protobuf allows the values of a list to be apart, and allows a field to be there twice. JSON does not. A look over
//! the tags of a message tells whether that is so; only then its fields are put in order first.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::wire::{RawField, Reader, Value, WireError, push_tag, push_varint};
use crate::json_text::{push_hex, push_json_double, push_json_i64, push_json_string, push_json_u64};
use crate::otlp::schema::{Field, Finder, Kind, Message, NESTING_LIMIT, Presence, WireType};

/// The output, and where we are.
pub(super) struct Encoder<'a> {
    pub(super) out: &'a mut Vec<u8>,
    /// The way to the field that failed, last step first. It is filled while an error travels up.
    pub(super) path: Vec<&'static str>,
    /// How many attribute values are open.
    pub(super) values: usize,
}

impl Encoder<'_> {
    /// Writes a message as an object.
    pub(super) fn object(&mut self, message: &'static Message, bytes: &[u8]) -> Result<(), WireError> {
        let values = self.values;
        if message.is_any_value() {
            self.values += 1;
            if self.values > NESTING_LIMIT {
                return Err(WireError::TooDeep(NESTING_LIMIT));
            }
        }
        if is_in_order(message, bytes)? {
            self.members(message, bytes)?;
        } else {
            self.members(message, &in_order(message, bytes)?)?;
        }
        self.values = values;
        Ok(())
    }

    fn members(&mut self, message: &'static Message, bytes: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(bytes);
        let mut finder = Finder::new(message);
        let mut list = None;
        self.out.push(b'{');
        while let Some(raw) = reader.field()? {
            let Some(field) = finder.number(raw.number) else { continue };
            self.member(field, raw.value, &mut list).inspect_err(|_| self.path.push(field.name))?;
        }
        if list.is_some() {
            self.out.push(b']');
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Writes a field. `list` is the number of the list that is open.
    fn member(
        &mut self,
        field: &'static Field,
        value: Value<'_>,
        list: &mut Option<u32>,
    ) -> Result<(), WireError> {
        if field.presence == Presence::Implicit && is_default(value) {
            return Ok(());
        }
        let packed = match (value, field.kind.wire_type()) {
            (Value::Payload(_), WireType::Length) => None,
            (Value::Payload(numbers), _) if field.presence == Presence::Repeated => Some(numbers),
            _ => None,
        };
        if packed.is_some_and(<[u8]>::is_empty) {
            return Ok(());
        }
        self.name(field, list);
        match packed {
            None => self.value(field.kind, value),
            Some(numbers) => self.packed(field.kind, numbers),
        }
    }

    /// Writes what stands before a value: a comma, the name of the field, the bracket of a list.
    fn name(&mut self, field: &'static Field, list: &mut Option<u32>) {
        if *list == Some(field.number) {
            return self.out.push(b',');
        }
        if list.take().is_some() {
            self.out.push(b']');
        }
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.extend_from_slice(field.key.as_bytes());
        if field.presence == Presence::Repeated {
            self.out.push(b'[');
            *list = Some(field.number);
        }
    }

    fn packed(&mut self, kind: Kind, numbers: &[u8]) -> Result<(), WireError> {
        let mut reader = Reader::new(numbers);
        let mut is_first = true;
        while let Some(bits) = reader.packed(kind.wire_type())? {
            if !is_first {
                self.out.push(b',');
            }
            is_first = false;
            self.number(kind, bits);
        }
        Ok(())
    }

    fn value(&mut self, kind: Kind, value: Value<'_>) -> Result<(), WireError> {
        match (kind, value) {
            (Kind::Message(message), Value::Payload(bytes)) => return self.object(message, bytes),
            (Kind::String, Value::Payload(text)) => push_json_string(self.out, text),
            (Kind::Bytes, Value::Payload(bytes)) => self.base64(bytes),
            (Kind::Id(_), Value::Payload(id)) => {
                self.out.push(b'"');
                push_hex(self.out, id);
                self.out.push(b'"');
            }
            (_, Value::Number(wire_type, bits)) if wire_type == kind.wire_type() => self.number(kind, bits),
            _ => return Err(WireError::Mismatch(wire_type_name(kind.wire_type()))),
        }
        Ok(())
    }

    fn base64(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        let start = self.out.len();
        self.out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        let room = self.out.get_mut(start..).unwrap_or_default();
        let written = STANDARD.encode_slice(bytes, room).unwrap_or(0);
        self.out.truncate(start + written);
        self.out.push(b'"');
    }

    fn number(&mut self, kind: Kind, bits: u64) {
        match kind {
            Kind::Bool => self.out.extend_from_slice(if bits == 0 { b"false" } else { b"true" }),
            Kind::Double => push_json_double(self.out, f64::from_bits(bits)),
            Kind::Fixed32 | Kind::Uint32 => push_json_u64(self.out, u64::from(bits as u32)),
            Kind::Int32 | Kind::Enum(_) => push_json_i64(self.out, i64::from(bits as i32)),
            Kind::Sint32 => {
                let zigzag = bits as u32;
                push_json_i64(self.out, i64::from((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32)));
            }
            Kind::Sfixed64 | Kind::Int64 => {
                self.out.push(b'"');
                push_json_i64(self.out, bits.cast_signed());
                self.out.push(b'"');
            }
            Kind::Fixed64 | Kind::Uint64 | Kind::Message(_) | Kind::String | Kind::Bytes | Kind::Id(_) => {
                self.out.push(b'"');
                push_json_u64(self.out, bits);
                self.out.push(b'"');
            }
        }
    }
}

fn is_default(value: Value<'_>) -> bool {
    match value {
        Value::Number(_, bits) => bits == 0,
        Value::Payload(bytes) => bytes.is_empty(),
    }
}

fn wire_type_name(wire_type: WireType) -> &'static str {
    match wire_type {
        WireType::Varint => "varint",
        WireType::Fixed64 => "64-bit",
        WireType::Length => "length-delimited",
        WireType::Fixed32 => "32-bit",
    }
}

/// Reports whether each list of a message is in one piece and everything else is there once. It looks at the fields of
/// the message alone, so that nested messages are not looked at again and again.
fn is_in_order(message: &'static Message, bytes: &[u8]) -> Result<bool, WireError> {
    let mut reader = Reader::new(bytes);
    let mut finder = Finder::new(message);
    let mut seen = 0_u32;
    let mut has_oneof = false;
    let mut list = 0;
    while let Some(raw) = reader.field()? {
        if raw.number == list {
            continue;
        }
        let Some(field) = finder.number(raw.number) else { continue };
        let bit = 1 << field.number;
        let is_oneof = field.presence == Presence::Oneof;
        if seen & bit != 0 || (is_oneof && has_oneof) {
            return Ok(false);
        }
        seen |= bit;
        has_oneof |= is_oneof;
        list = if field.presence == Presence::Repeated { field.number } else { 0 };
    }
    Ok(true)
}

/// Puts the fields of a message in order by protobuf's rules: lists are joined, of other values the last counts, and
/// messages that are there twice are merged, which is to concatenate their bytes.
fn in_order(message: &'static Message, bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut reader = Reader::new(bytes);
    let mut finder = Finder::new(message);
    let mut known: Vec<(&'static Field, RawField<'_>)> = Vec::new();
    // The member of the `oneof` that counts, and the position since which there was no other.
    let mut oneof = (0, 0);
    while let Some(raw) = reader.field()? {
        let Some(field) = finder.number(raw.number) else { continue };
        if field.presence == Presence::Oneof && field.number != oneof.0 {
            oneof = (field.number, known.len());
        }
        known.push((field, raw));
    }
    let mut positions = 0..;
    known.retain(|(field, _)| positions.next() >= Some(oneof.1) || field.presence != Presence::Oneof);
    known.sort_by_key(|(field, _)| field.number);

    let mut out = Vec::with_capacity(bytes.len());
    for same in known.chunk_by(|(left, _), (right, _)| left.number == right.number) {
        match same {
            [(field, _), ..] if field.presence == Presence::Repeated => {
                same.iter().for_each(|(_, raw)| out.extend_from_slice(raw.bytes));
            }
            [(field, _), _, ..] if matches!(field.kind, Kind::Message(_)) => {
                push_merged(&mut out, field, same)?
            }
            [.., (_, last)] => out.extend_from_slice(last.bytes),
            [] => {}
        }
    }
    Ok(out)
}

fn push_merged(
    out: &mut Vec<u8>,
    field: &Field,
    same: &[(&'static Field, RawField<'_>)],
) -> Result<(), WireError> {
    let mut merged = Vec::new();
    for (_, raw) in same {
        let Value::Payload(payload) = raw.value else { return Err(WireError::Mismatch("length-delimited")) };
        merged.extend_from_slice(payload);
    }
    push_tag(out, field.number, WireType::Length);
    push_varint(out, merged.len() as u64);
    out.extend_from_slice(&merged);
    Ok(())
}
