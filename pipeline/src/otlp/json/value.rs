//! One value of a field, from any form that JSON may give it.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Unexpected, Visitor};

use super::decode::{Decoder, Place};
use crate::otlp::schema::{Field, Kind};

/// How many bytes of a faulty text an error shows.
const SHOWN_BYTES: usize = 64;

/// Senders write base64 with or without padding, in either alphabet.
const BASE64: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, BASE64);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, BASE64);

/// One value of a field. The answer is whether it is set, that is, not null.
pub(super) struct Single<'a> {
    pub(super) decoder: &'a mut Decoder,
    pub(super) field: &'static Field,
    pub(super) place: Place,
}

impl<'de> DeserializeSeed<'de> for Single<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self { decoder, field, place } = self;
        let is_set = deserializer.deserialize_any(Single { decoder: &mut *decoder, field, place })?;
        decoder.check_size()?;
        Ok(is_set)
    }
}

impl<'de> Visitor<'de> for Single<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.kind {
            Kind::Message(message) => write!(formatter, "an object ({})", message.name),
            Kind::String => formatter.write_str("a string"),
            Kind::Bytes => formatter.write_str("a base64 string"),
            Kind::Id(length) => write!(formatter, "a string of {} hexadecimal digits", length * 2),
            Kind::Bool => formatter.write_str("true or false"),
            Kind::Double => formatter.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\""),
            Kind::Fixed64 | Kind::Uint64 => {
                formatter.write_str("an unsigned 64-bit integer, as number or string")
            }
            Kind::Sfixed64 | Kind::Int64 => {
                formatter.write_str("a signed 64-bit integer, as number or string")
            }
            Kind::Fixed32 | Kind::Uint32 => formatter.write_str("an unsigned 32-bit integer"),
            Kind::Int32 | Kind::Sint32 => formatter.write_str("a signed 32-bit integer"),
            Kind::Enum(names) => {
                let last = names.last().copied().unwrap_or_default();
                write!(formatter, "an enum value: an integer or a name such as {last}")
            }
        }
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        if self.place == Place::Member {
            return Ok(false);
        }
        self.decoder.default(self.field, self.place);
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        let Kind::Message(message) = self.field.kind else {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        };
        self.decoder.message(self.field, message, map)?;
        Ok(true)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        if !matches!(self.field.kind, Kind::Bool) {
            return Err(E::invalid_type(Unexpected::Bool(value), &self));
        }
        self.decoder.number(self.field, self.place, u64::from(value));
        Ok(true)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        let bits = integer_bits(self.field.kind, i128::from(value));
        self.number(bits, Unexpected::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        let bits = integer_bits(self.field.kind, i128::from(value));
        self.number(bits, Unexpected::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        let bits = match self.field.kind {
            Kind::Double => Some(value.to_bits()),
            // Some senders write integers as 5.0 or 5e3.
            kind if value.fract() == 0.0 => integer_bits(kind, value as i128),
            _ => None,
        };
        self.number(bits, Unexpected::Float(value))
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<bool, E> {
        let is_written = match self.field.kind {
            Kind::String => {
                self.decoder.payload(self.field, self.place, text.as_bytes());
                true
            }
            Kind::Bytes => self.base64(text),
            Kind::Id(length) => self.hex(length, text),
            kind => match text_bits(kind, text) {
                Some(bits) => {
                    self.decoder.number(self.field, self.place, bits);
                    true
                }
                None => false,
            },
        };
        if is_written { Ok(true) } else { Err(E::invalid_value(Unexpected::Other(&shown(text)), &self)) }
    }
}

impl Single<'_> {
    fn number<E: Error>(self, bits: Option<u64>, unexpected: Unexpected<'_>) -> Result<bool, E> {
        let Some(bits) = bits else { return Err(E::invalid_value(unexpected, &self)) };
        self.decoder.number(self.field, self.place, bits);
        Ok(true)
    }

    /// Writes the bytes that base64 text stands for, or answers that it is none.
    fn base64(&mut self, text: &str) -> bool {
        let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
        let bytes = engine.decode(text);
        if let Ok(bytes) = &bytes {
            self.decoder.payload(self.field, self.place, bytes);
        }
        bytes.is_ok()
    }

    /// Writes the id that hexadecimal text stands for, or answers that it is none.
    fn hex(&mut self, length: usize, text: &str) -> bool {
        let mut id = [0; 16];
        let (digits, odd) = text.as_bytes().as_chunks::<2>();
        let has_length = digits.is_empty() || digits.len() == length;
        let is_hex = digits.iter().zip(&mut id).all(|(&[high, low], byte)| {
            let value = |digit: u8| char::from(digit).to_digit(16);
            let both = value(high).zip(value(low));
            *byte = both.map_or(0, |(high, low)| (high << 4 | low) as u8);
            both.is_some()
        });
        let Some(id) = id.get(..digits.len()) else { return false };
        if !has_length || !is_hex || !odd.is_empty() {
            return false;
        }
        self.decoder.payload(self.field, self.place, id);
        true
    }
}

/// Returns the bits of an integer as its kind is written, or nothing if the kind cannot hold it.
fn integer_bits(kind: Kind, value: i128) -> Option<u64> {
    match kind {
        Kind::Double => Some((value as f64).to_bits()),
        Kind::Fixed64 | Kind::Uint64 => u64::try_from(value).ok(),
        Kind::Sfixed64 | Kind::Int64 => i64::try_from(value).ok().map(i64::cast_unsigned),
        Kind::Fixed32 | Kind::Uint32 => u32::try_from(value).ok().map(u64::from),
        Kind::Int32 | Kind::Enum(_) => {
            i32::try_from(value).ok().map(|value| i64::from(value).cast_unsigned())
        }
        Kind::Sint32 => {
            i32::try_from(value).ok().map(|value| u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()))
        }
        Kind::Message(_) | Kind::String | Kind::Bytes | Kind::Id(_) | Kind::Bool => None,
    }
}

/// Returns the bits of a number or an enum value that is written as text.
fn text_bits(kind: Kind, text: &str) -> Option<u64> {
    match kind {
        Kind::Double => text_double(text).map(f64::to_bits),
        Kind::Enum(names) => {
            let position = names.iter().position(|name| *name == text)?;
            integer_bits(kind, position as i128)
        }
        Kind::Fixed64 | Kind::Uint64 => text.parse::<u64>().ok(),
        _ => integer_bits(kind, i128::from(text.parse::<i64>().ok()?)),
    }
}

/// Reads a double from text. Rust alone would also take `inf`, `nan` and other spellings.
fn text_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// Quotes text for an error, shortened.
pub(super) fn shown(text: &str) -> String {
    if text.len() <= SHOWN_BYTES {
        return format!("string {text:?}");
    }
    let start = text.get(..text.floor_char_boundary(SHOWN_BYTES)).unwrap_or_default();
    format!("string {start:?}… ({} bytes)", text.len())
}
