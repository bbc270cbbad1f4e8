//! A value in the middle of an evaluation, and what can be done with it.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::expression::{Comparison, Key, Operator};
use crate::batch::{Array, Attributes, Map, Value};
use crate::json_text;

/// A value in the middle of an evaluation; borrowed from the record or the condition wherever possible.
#[derive(Clone)]
pub(super) enum Term<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    /// A trace or span id: so many of the bytes.
    Id([u8; 16], usize),
    List(Array<'a>),
    Map(Map<'a>),
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
            Value::Bytes(bytes) => Self::Bytes(bytes),
            Value::Array(items) => Self::List(items),
            Value::Map(entries) => Self::Map(entries),
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
        let found = match (self, key) {
            (Self::Attributes(attributes), Key::Text(key)) => attributes.value(key),
            (Self::Map(map), Key::Text(key)) => map.value(key),
            (Self::List(items), Key::Index(index)) => items.iter().nth(*index),
            _ => None,
        };
        found.map_or(Self::Nil, Self::from)
    }

    fn bytes(&self) -> Option<&[u8]> {
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
            (Self::Nil, Self::Nil) => Some(Ordering::Equal),
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
            Self::List(items) => items.iter().count(),
            Self::Map(entries) => entries.iter().count(),
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
            Self::Nil | Self::Text(_) => self,
            Self::Bool(value) => Self::Text(Value::Bool(value).to_text()),
            Self::Int(number) => Self::Text(Value::Int(number).to_text()),
            Self::Double(number) => Self::Text(Value::Double(number).to_text()),
            Self::Bytes(bytes) => Self::Text(Value::Bytes(bytes).to_text()),
            Self::Id(bytes, length) => Self::hex(bytes.get(..length).unwrap_or_default()),
            Self::List(items) => Self::Text(Value::Array(items).to_text()),
            Self::Map(entries) => Self::Text(Value::Map(entries).to_text()),
            Self::Attributes(attributes) => Self::Text(attributes.to_text().into()),
        }
    }

    /// The value as text, nothing for `nil`.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        if let Self::Text(text) = self.into_text() { Some(text) } else { None }
    }
}
