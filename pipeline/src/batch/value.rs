//! Values of attributes and bodies: as stored, as read, and as owned by an author's code.
//!
//! Arrays and maps stay in their protobuf bytes, checked once when they came in, and are walked when somebody
//! looks inside.

use super::buffer::{Buffer, Text};
use crate::otlp::nested::{self, ArrayItems, MapEntries};

/// A value as a part stores it: sixteen bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Stored {
    /// The field was not there at all.
    #[default]
    Absent,
    /// An `AnyValue` without a member.
    Empty,
    Str(Text),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Text),
    /// The bytes of an `ArrayValue`.
    Array(Text),
    /// The bytes of a `KeyValueList`.
    Map(Text),
}

/// A value as it is read: OpenTelemetry's `AnyValue`, borrowed from the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Empty,
    /// Text.
    Str(&'a str),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list of values.
    Array(Array<'a>),
    /// Keys and values, in order; a key may repeat.
    Map(Map<'a>),
}

/// A list of values inside a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a>(pub(crate) &'a [u8]);

/// Keys and values inside a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Map<'a>(pub(crate) &'a [u8]);

/// A value that owns what it holds, for building nested values and for code that runs rarely.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum AnyValue {
    /// No value.
    #[default]
    Empty,
    /// Text.
    Str(String),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list of values.
    Array(Vec<Self>),
    /// Keys and values, in order.
    Map(Vec<(String, Self)>),
}

impl Stored {
    pub(crate) fn read(self, buffer: &Buffer) -> Option<Value<'_>> {
        Some(match self {
            Self::Absent => return None,
            Self::Empty => Value::Empty,
            Self::Str(place) => Value::Str(buffer.text(place)),
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Double(value) => Value::Double(value),
            Self::Bytes(place) => Value::Bytes(buffer.bytes(place)),
            Self::Array(place) => Value::Array(Array(buffer.bytes(place))),
            Self::Map(place) => Value::Map(Map(buffer.bytes(place))),
        })
    }
}

impl std::hash::Hash for Value<'_> {
    /// Values that are equal have equal hashes; a number hashes by its bits, nested values by their bytes.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Empty => {}
            Self::Str(text) => text.hash(state),
            Self::Bool(value) => value.hash(state),
            Self::Int(number) => number.hash(state),
            // The two zeros are equal.
            Self::Double(number) => (number + 0.0).to_bits().hash(state),
            Self::Bytes(bytes) | Self::Array(Array(bytes)) | Self::Map(Map(bytes)) => bytes.hash(state),
        }
    }
}

impl<'a> Array<'a> {
    /// The items, in order.
    #[must_use]
    pub fn iter(self) -> ArrayItems<'a> {
        ArrayItems::new(self.0)
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = Value<'a>;
    type IntoIter = ArrayItems<'a>;

    fn into_iter(self) -> ArrayItems<'a> {
        self.iter()
    }
}

impl<'a> Map<'a> {
    /// The entries, in order.
    #[must_use]
    pub fn iter(self) -> MapEntries<'a> {
        MapEntries::new(self.0)
    }

    /// The value of the first entry with this key.
    #[must_use]
    pub fn value(self, key: &str) -> Option<Value<'a>> {
        self.iter().find_map(|(candidate, value)| (candidate == key).then_some(value))
    }
}

impl<'a> IntoIterator for Map<'a> {
    type Item = (&'a str, Value<'a>);
    type IntoIter = MapEntries<'a>;

    fn into_iter(self) -> MapEntries<'a> {
        self.iter()
    }
}

impl<'a> Value<'a> {
    /// The text, if it is text.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// The number, if it is a whole number.
    #[must_use]
    pub fn as_int(self) -> Option<i64> {
        if let Self::Int(number) = self { Some(number) } else { None }
    }

    /// The value with everything it holds copied out of the batch.
    #[must_use]
    pub fn to_any_value(self) -> AnyValue {
        match self {
            Self::Empty => AnyValue::Empty,
            Self::Str(text) => AnyValue::Str(text.into()),
            Self::Bool(value) => AnyValue::Bool(value),
            Self::Int(value) => AnyValue::Int(value),
            Self::Double(value) => AnyValue::Double(value),
            Self::Bytes(bytes) => AnyValue::Bytes(bytes.into()),
            Self::Array(array) => AnyValue::Array(array.iter().map(Value::to_any_value).collect()),
            Self::Map(map) => {
                AnyValue::Map(map.iter().map(|(key, value)| (key.into(), value.to_any_value())).collect())
            }
        }
    }
}

/// Where a value is put that is written into a batch.
pub struct Slot<'a> {
    buffer: &'a mut Buffer,
    stored: Stored,
}

/// What may be written as a value: text, numbers, truth values, [`Value`] and [`AnyValue`]; and types of your
/// own, by putting one of these into the slot.
pub trait IntoValue {
    /// Puts the value into the slot.
    fn put(&self, slot: &mut Slot<'_>);
}

pub(crate) fn store(value: &(impl IntoValue + ?Sized), buffer: &mut Buffer) -> Stored {
    let mut slot = Slot { buffer, stored: Stored::Empty };
    value.put(&mut slot);
    slot.stored
}

impl Slot<'_> {
    /// Puts a borrowed value.
    pub fn value(&mut self, value: Value<'_>) {
        self.stored = match value {
            Value::Empty => Stored::Empty,
            Value::Str(text) => Stored::Str(self.buffer.push(text.as_bytes())),
            Value::Bool(value) => Stored::Bool(value),
            Value::Int(value) => Stored::Int(value),
            Value::Double(value) => Stored::Double(value),
            Value::Bytes(bytes) => Stored::Bytes(self.buffer.push(bytes)),
            Value::Array(array) => Stored::Array(self.buffer.push(array.0)),
            Value::Map(map) => Stored::Map(self.buffer.push(map.0)),
        }
    }

    /// Puts an owned value.
    pub fn any_value(&mut self, value: &AnyValue) {
        match value {
            AnyValue::Empty => self.value(Value::Empty),
            AnyValue::Str(text) => self.value(Value::Str(text)),
            AnyValue::Bool(value) => self.value(Value::Bool(*value)),
            AnyValue::Int(value) => self.value(Value::Int(*value)),
            AnyValue::Double(value) => self.value(Value::Double(*value)),
            AnyValue::Bytes(bytes) => self.value(Value::Bytes(bytes)),
            AnyValue::Array(items) => {
                self.stored = Stored::Array(self.buffer.push(&nested::encode_array(items)))
            }
            AnyValue::Map(entries) => {
                self.stored = Stored::Map(self.buffer.push(&nested::encode_map(entries)))
            }
        }
    }
}

impl<T: IntoValue + ?Sized> IntoValue for &T {
    fn put(&self, slot: &mut Slot<'_>) {
        (**self).put(slot);
    }
}

impl IntoValue for AnyValue {
    fn put(&self, slot: &mut Slot<'_>) {
        slot.any_value(self);
    }
}

macro_rules! into_value {
    ($($from:ty => |$value:ident| $as:expr),* $(,)?) => {
        $(impl IntoValue for $from {
            fn put(&self, slot: &mut Slot<'_>) {
                let $value = self;
                slot.value($as);
            }
        })*
    };
}

into_value! {
    Value<'_> => |value| *value,
    str => |text| Value::Str(text),
    String => |text| Value::Str(text),
    bool => |value| Value::Bool(*value),
    i64 => |value| Value::Int(*value),
    i32 => |value| Value::Int(i64::from(*value)),
    u32 => |value| Value::Int(i64::from(*value)),
    f64 => |value| Value::Double(*value),
}

macro_rules! from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for AnyValue {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from! { &str => Str, String => Str, bool => Bool, i64 => Int, i32 => Int, u32 => Int, f64 => Double, Vec<u8> => Bytes }
