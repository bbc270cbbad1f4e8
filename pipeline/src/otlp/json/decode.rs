//! From JSON text to protobuf bytes: serde visitors that follow the schema and write as they read.
//!
//! There is a visitor for each shape that JSON can have where a field is expected: [`Object`] for the members of a
//! message, [`List`] for a repeated field, and [`Single`] for one value. No tree is built; the length in front of a
//! nested message is filled in when the message ends.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use super::value::{Single, shown};
use super::wire::{Payload, push_number, push_tag, push_varint, varint_width};
use crate::otlp::schema::{Field, Finder, Message, NESTING_LIMIT, Presence, WireType};

/// A step on the way from the request to a value.
pub(super) enum Step {
    Field(&'static str),
    Index(usize),
}

/// What the visitors share: the output, and where they are.
pub(super) struct Decoder {
    pub(super) out: Vec<u8>,
    /// The way to the value that failed, last step first. It is filled while an error travels up.
    pub(super) path: Vec<Step>,
    /// Whether the failure was that the output became larger than `limit`.
    pub(super) is_too_large: bool,
    limit: usize,
    /// How many messages are open.
    depth: usize,
    /// How many attribute values are open.
    values: usize,
    /// How many bytes the lengths of the outermost messages will probably have.
    outer_width: usize,
}

impl Decoder {
    /// Makes a decoder for `input` bytes of JSON whose output may have `limit` bytes.
    pub(super) fn new(input: usize, limit: usize) -> Self {
        // JSON takes about twice the bytes of protobuf, and nearly all of them stand in one resource and one scope.
        let expected = (input / 2).min(limit);
        Self {
            out: Vec::with_capacity(expected),
            path: Vec::new(),
            is_too_large: false,
            limit,
            depth: 0,
            values: 0,
            outer_width: varint_width(expected),
        }
    }

    /// Writes a message in a field: tag, length, members.
    pub(super) fn message<'de, A: MapAccess<'de>>(
        &mut self,
        field: &'static Field,
        message: &'static Message,
        map: A,
    ) -> Result<(), A::Error> {
        let values = self.values;
        if message.is_any_value() {
            self.values += 1;
            if self.values > NESTING_LIMIT {
                return Err(A::Error::custom(format_args!(
                    "attribute values are nested more than {NESTING_LIMIT} deep"
                )));
            }
        }
        self.depth += 1;
        let width = if self.depth <= 2 { self.outer_width } else { 1 };
        push_tag(&mut self.out, field.number, WireType::Length);
        let payload = Payload::begin(&mut self.out, width);
        Object { decoder: self, message }.visit_map(map)?;
        payload.end(&mut self.out);
        self.depth -= 1;
        self.values = values;
        Ok(())
    }

    /// Writes text or bytes in a field, unless they are empty and that is the same as absent.
    pub(super) fn payload(&mut self, field: &'static Field, place: Place, bytes: &[u8]) {
        if bytes.is_empty() && place.omits_default(field) {
            return;
        }
        push_tag(&mut self.out, field.number, WireType::Length);
        push_varint(&mut self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Writes a number in a field, unless it is zero and that is the same as absent.
    pub(super) fn number(&mut self, field: &'static Field, place: Place, bits: u64) {
        if bits == 0 && place.omits_default(field) {
            return;
        }
        let wire_type = field.kind.wire_type();
        if place != Place::Packed {
            push_tag(&mut self.out, field.number, wire_type);
        }
        push_number(&mut self.out, wire_type, bits);
    }

    /// Writes the value that stands for null within a list.
    pub(super) fn default(&mut self, field: &'static Field, place: Place) {
        match field.kind.wire_type() {
            WireType::Length => self.payload(field, place, &[]),
            WireType::Varint | WireType::Fixed64 | WireType::Fixed32 => self.number(field, place, 0),
        }
    }

    /// Refuses output that has grown too large.
    pub(super) fn check_size<E: Error>(&mut self) -> Result<(), E> {
        if self.out.len() <= self.limit {
            return Ok(());
        }
        self.is_too_large = true;
        Err(E::custom("too large"))
    }
}

/// Where a single value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is the value of a field.
    Member,
    /// It is one of a list, with a tag of its own.
    Element,
    /// It is one of a list of numbers with one tag.
    Packed,
}

impl Place {
    pub(super) fn omits_default(self, field: &Field) -> bool {
        self == Self::Member && field.presence == Presence::Implicit
    }
}

/// The members of a message.
pub(super) struct Object<'a> {
    pub(super) decoder: &'a mut Decoder,
    pub(super) message: &'static Message,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an object ({})", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let decoder = self.decoder;
        let mut finder = Finder::new(self.message);
        let mut seen = Seen::default();
        while let Some(known) = map.next_key_seed(Name(&mut finder))? {
            let Some(field) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(Slot { decoder: &mut *decoder, field })
                .and_then(|is_set| if is_set { seen.add(field) } else { Ok(()) })
                .inspect_err(|_| decoder.path.push(Step::Field(field.name)))?;
        }
        Ok(())
    }
}

/// Which fields of a message have been read.
#[derive(Default)]
struct Seen {
    fields: u32,
    oneof: Option<&'static str>,
}

impl Seen {
    /// Adds a field. Two values for what can have one are refused: which of them counts would depend on the reader.
    fn add<E: Error>(&mut self, field: &'static Field) -> Result<(), E> {
        let bit = 1 << field.number;
        if self.fields & bit != 0 {
            return Err(E::custom("the field is there twice; remove one of them"));
        }
        self.fields |= bit;
        if field.presence != Presence::Oneof {
            return Ok(());
        }
        match self.oneof.replace(field.name) {
            None => Ok(()),
            Some(other) => {
                Err(E::custom(format_args!("only one of `{other}` and `{}` can be set", field.name)))
            }
        }
    }
}

/// The name of a member: the field of that name, if there is one.
struct Name<'a>(&'a mut Finder);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<&'static Field>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.name(name))
    }
}

/// Whatever stands behind the name of a field. The answer is whether the field is set, that is, not null.
struct Slot<'a> {
    decoder: &'a mut Decoder,
    field: &'static Field,
}

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self { decoder, field } = self;
        if field.presence == Presence::Repeated {
            deserializer.deserialize_any(List { decoder, field })
        } else {
            Single { decoder, field, place: Place::Member }.deserialize(deserializer)
        }
    }
}

/// The values of a repeated field.
struct List<'a> {
    decoder: &'a mut Decoder,
    field: &'static Field,
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<bool, A::Error> {
        let Self { decoder, field } = self;
        if field.kind.wire_type() == WireType::Length {
            elements(decoder, field, Place::Element, seq)?;
            return Ok(true);
        }
        let start = decoder.out.len();
        push_tag(&mut decoder.out, field.number, WireType::Length);
        let payload = Payload::begin(&mut decoder.out, 1);
        let count = elements(decoder, field, Place::Packed, seq)?;
        payload.end(&mut decoder.out);
        if count == 0 {
            decoder.out.truncate(start);
        }
        Ok(true)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        Err(E::invalid_type(Unexpected::Other(&shown(text)), &self))
    }
}

/// Reads all elements and returns how many there were.
fn elements<'de, A: SeqAccess<'de>>(
    decoder: &mut Decoder,
    field: &'static Field,
    place: Place,
    mut seq: A,
) -> Result<usize, A::Error> {
    let mut index = 0;
    while seq
        .next_element_seed(Single { decoder: &mut *decoder, field, place })
        .inspect_err(|_| decoder.path.push(Step::Index(index)))?
        .is_some()
    {
        index += 1;
    }
    Ok(index)
}
