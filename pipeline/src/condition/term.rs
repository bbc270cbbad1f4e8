//! A value in the middle of an evaluation, and what can be done with it.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::expression::{Comparison, Key, Operator};
use crate::batch::{AnyValue, Array, Attributes, IntoValue, Map, Slot, Value};
use crate::json_text;
use crate::otlp::nested;

/// A value in the middle of an evaluation; borrowed from the record or the condition wherever possible.
#[derive(Clone)]
pub(super) enum Term<'a> {
    Nil,
    /// What a function could not compute, and why; in conditions the same as `nil`.
    Failed(&'static str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// A trace or span id: so many of the bytes.
    Id([u8; 16], usize),
    /// The bytes of an `ArrayValue`.
    List(Cow<'a, [u8]>),
    /// The bytes of a `KeyValueList`.
    Map(Cow<'a, [u8]>),
    Attributes(Attributes<'a>),
}

impl<'a> From<Value<'a>> for Term<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::Empty => Self::Nil,
            Value::Str(text) => Self::Text(text.into()),
            Value::Bool(value) => Self::Bool(value),
            Value::Int(number) => Self::Int(number),
            Value::Double(number) => Self::Double(number),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
            Value::Array(Array(items)) => Self::List(items.into()),
            Value::Map(Map(entries)) => Self::Map(entries.into()),
        }
    }
}

impl IntoValue for Term<'_> {
    /// An id is written as hexadecimal text, as attributes hold none.
    fn put(&self, slot: &mut Slot<'_>) {
        match self {
            Self::Nil | Self::Failed(_) => slot.value(Value::Empty),
            Self::Bool(value) => slot.value(Value::Bool(*value)),
            Self::Int(number) => slot.value(Value::Int(*number)),
            Self::Double(number) => slot.value(Value::Double(*number)),
            Self::Text(text) => slot.value(Value::Str(text)),
            Self::Bytes(bytes) => slot.value(Value::Bytes(bytes)),
            Self::List(items) => slot.value(Value::Array(Array(items))),
            Self::Map(entries) => slot.value(Value::Map(Map(entries))),
            Self::Id(..) | Self::Attributes(_) => self.clone().into_owned().put(slot),
        }
    }
}

impl<'a> From<&'a str> for Term<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i32> for Term<'_> {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<u32> for Term<'_> {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<u64> for Term<'_> {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<'a> Term<'a> {
    pub(super) fn id(bytes: &[u8]) -> Self {
        let mut own = [0; 16];
        own.iter_mut().zip(bytes).for_each(|(own, byte)| *own = *byte);
        Self::Id(own, bytes.len())
    }

    pub(super) fn hex(bytes: &[u8]) -> Self {
        let mut digits = Vec::with_capacity(2 * bytes.len());
        json_text::push_hex(&mut digits, bytes);
        Self::Text(String::from_utf8(digits).unwrap_or_default().into())
    }

    /// One step into the value; `nil` if there is nothing.
    pub(super) fn step(self, key: &Key) -> Self {
        match (self, key) {
            (failed @ Self::Failed(_), _) => failed,
            (Self::Attributes(attributes), Key::Text(key)) => {
                attributes.value(key).map_or(Self::Nil, Self::from)
            }
            (Self::Map(entries), Key::Text(key)) => look(entries, |entries| Map(entries).value(key)),
            (Self::List(items), Key::Index(index)) => look(items, |items| Array(items).iter().nth(*index)),
            _ => Self::Nil,
        }
    }

    /// The same with everything it holds copied out of the record, and as a value that attributes may have.
    pub(super) fn into_owned(self) -> Term<'static> {
        match self {
            Self::Nil => Term::Nil,
            Self::Failed(reason) => Term::Failed(reason),
            Self::Bool(value) => Term::Bool(value),
            Self::Int(number) => Term::Int(number),
            Self::Double(number) => Term::Double(number),
            Self::Text(text) => Term::Text(text.into_owned().into()),
            Self::Bytes(bytes) => Term::Bytes(bytes.into_owned().into()),
            Self::Id(bytes, length) => Term::hex(bytes.get(..length).unwrap_or_default()),
            Self::List(items) => Term::List(items.into_owned().into()),
            Self::Map(entries) => Term::Map(entries.into_owned().into()),
            Self::Attributes(attributes) => Term::entries(&attributes.iter().collect::<Vec<_>>()),
        }
    }

    /// A map of these entries.
    pub(super) fn entries(entries: &[(&str, Value<'_>)]) -> Term<'static> {
        Term::Map(nested::encode_entries(entries).into())
    }

    /// The value with a copy of everything it holds.
    pub(super) fn to_any_value(&self) -> AnyValue {
        match self {
            Self::Nil | Self::Failed(_) => AnyValue::Empty,
            Self::Bool(value) => AnyValue::Bool(*value),
            Self::Int(number) => AnyValue::Int(*number),
            Self::Double(number) => AnyValue::Double(*number),
            Self::Text(text) => AnyValue::Str(text.as_ref().into()),
            Self::Bytes(bytes) => AnyValue::Bytes(bytes.to_vec()),
            Self::List(items) => Value::Array(Array(items)).to_any_value(),
            Self::Map(entries) => Value::Map(Map(entries)).to_any_value(),
            Self::Id(..) | Self::Attributes(_) => self.clone().into_owned().to_any_value(),
        }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Id(bytes, length) => bytes.get(..*length),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// How two values stand to each other; none for values that can't be compared.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Nil | Self::Failed(_), Self::Nil | Self::Failed(_)) => Some(Ordering::Equal),
            (Self::Bool(left), Self::Bool(right)) => Some(left.cmp(right)),
            (Self::Int(left), Self::Int(right)) => Some(left.cmp(right)),
            (Self::Text(left), Self::Text(right)) => Some(left.as_ref().cmp(right.as_ref())),
            (Self::List(left), Self::List(right)) => (left == right).then_some(Ordering::Equal),
            (Self::Map(left), Self::Map(right)) => (left == right).then_some(Ordering::Equal),
            _ => match (self.bytes(), other.bytes()) {
                (Some(left), Some(right)) => Some(left.cmp(right)),
                _ => self.number()?.partial_cmp(&other.number()?),
            },
        }
    }

    pub(super) fn compare(&self, comparison: Comparison, other: &Self) -> bool {
        let order = self.order(other);
        match comparison {
            Comparison::Equal => order == Some(Ordering::Equal),
            Comparison::NotEqual => order != Some(Ordering::Equal),
            Comparison::Less => order == Some(Ordering::Less),
            Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
            Comparison::Greater => order == Some(Ordering::Greater),
            Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }

    /// Computes with numbers; `nil` for everything else, for an overflow and for a division by the number zero.
    pub(super) fn compute(&self, operator: Operator, other: &Self) -> Self {
        if let (Self::Int(left), Self::Int(right)) = (self, other) {
            let result = match operator {
                Operator::Add => left.checked_add(*right),
                Operator::Subtract => left.checked_sub(*right),
                Operator::Multiply => left.checked_mul(*right),
                Operator::Divide => left.checked_div(*right),
            };
            return result.map_or(Self::Nil, Self::Int);
        }
        if let (Self::Failed(reason), _) | (_, Self::Failed(reason)) = (self, other) {
            return Self::Failed(reason);
        }
        let (Some(left), Some(right)) = (self.number(), other.number()) else { return Self::Nil };
        Self::Double(match operator {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide if right == 0.0 => return Self::Nil,
            Operator::Divide => left / right,
        })
    }

    pub(super) fn length(&self) -> Self {
        let length = match self {
            Self::Text(text) => text.len(),
            Self::List(items) => Array(items).iter().count(),
            Self::Map(entries) => Map(entries).iter().count(),
            Self::Attributes(attributes) => attributes.len(),
            other => match other.bytes() {
                Some(bytes) => bytes.len(),
                None => return Self::Nil,
            },
        };
        Self::Int(i64::try_from(length).unwrap_or(i64::MAX))
    }

    pub(super) fn to_int(&self) -> Self {
        match self {
            Self::Int(number) => Self::Int(*number),
            Self::Bool(value) => Self::Int((*value).into()),
            // A float beyond the whole numbers becomes the nearest of them.
            Self::Double(number) if !number.is_nan() => Self::Int(*number as i64),
            Self::Text(text) => text.parse().map_or(Self::Nil, Self::Int),
            _ => Self::Nil,
        }
    }

    pub(super) fn to_double(&self) -> Self {
        match self {
            Self::Bool(value) => Self::Double(f64::from(u8::from(*value))),
            Self::Text(text) => text.parse().map_or(Self::Nil, Self::Double),
            other => other.number().map_or(Self::Nil, Self::Double),
        }
    }

    /// The value as text, as OTTL writes it: bytes as Base64, lists and maps as JSON. `nil` stays.
    pub(super) fn into_text(self) -> Self {
        match self {
            Self::Nil | Self::Failed(_) | Self::Text(_) => self,
            Self::Bool(value) => Self::Text(Value::Bool(value).to_text()),
            Self::Int(number) => Self::Text(Value::Int(number).to_text()),
            Self::Double(number) => Self::Text(Value::Double(number).to_text()),
            Self::Bytes(bytes) => owned_text(Value::Bytes(&bytes)),
            Self::Id(bytes, length) => Self::hex(bytes.get(..length).unwrap_or_default()),
            Self::List(items) => owned_text(Value::Array(Array(&items))),
            Self::Map(entries) => owned_text(Value::Map(Map(&entries))),
            Self::Attributes(attributes) => Self::Text(attributes.to_text().into()),
        }
    }

    /// The value as text, nothing for `nil`.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        if let Self::Text(text) = self.into_text() { Some(text) } else { None }
    }
}

/// What is found in nested bytes, copied if the bytes are owned.
fn look<'a>(bytes: Cow<'a, [u8]>, find: impl for<'b> Fn(&'b [u8]) -> Option<Value<'b>>) -> Term<'a> {
    match bytes {
        Cow::Borrowed(bytes) => find(bytes).map_or(Term::Nil, Term::from),
        Cow::Owned(bytes) => find(&bytes).map_or(Term::Nil, |found| Term::from(found).into_owned()),
    }
}

fn owned_text<'a>(value: Value<'_>) -> Term<'a> {
    Term::Text(value.to_text().into_owned().into())
}
