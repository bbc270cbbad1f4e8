//! The part of the Collector's expression language (expr-lang) that log pipelines use.
//!
//! Values: `body`, `attributes`, `resource` with `.key`, `?.key`, `["key"]`; `severity_text`, `severity_number`;
//! texts in double quotes, single quotes or backticks, numbers, `true`, `false`, `nil`, lists `["a", "b"]`.
//! Operators: `==` `!=` `<` `<=` `>` `>=`, `in`, `not in`, `matches`, `contains`, `startsWith`, `endsWith`,
//! `and`/`&&`, `or`/`||`, `not`/`!`, `+` and `??`; functions `len`, `lower`, `upper`, `trim`, `string`, `int`, `type`. Everything
//! else (closures, `env`, indexing by numbers, ranges) is refused when it is compiled. Nothing fails while it is evaluated: what can't be
//! compared is not equal, and neither less nor greater.

mod parse;

use std::cmp::Ordering;

use regex::Regex;
use watershed_pipeline::AnyValue;

use super::entry::Entry;
use super::path::{Path, step};

/// A compiled expression.
#[derive(Debug)]
pub(super) enum Expression {
    Literal(AnyValue),
    Path(Path),
    SeverityText,
    SeverityNumber,
    List(Vec<Self>),
    Not(Box<Self>),
    And(Box<(Self, Self)>),
    Or(Box<(Self, Self)>),
    Compare(Comparison, Box<(Self, Self)>),
    Matches(Box<Self>, Regex),
    Text(TextTest, Box<(Self, Self)>),
    In(Box<(Self, Self)>),
    Add(Box<(Self, Self)>),
    Coalesce(Box<(Self, Self)>),
    Call(Function, Box<Self>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    Len,
    Lower,
    Upper,
    Trim,
    String,
    Int,
    Type,
}

impl Expression {
    /// Compiles an expression.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        parse::parse(text).map_err(|(at, message)| format!("`{text}`, at byte {at}: {message}"))
    }

    /// Whether it is true of a record.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        self.value(entry) == AnyValue::Bool(true)
    }

    /// The value; nothing of what is not there or can't be computed.
    pub(super) fn value(&self, entry: &Entry) -> AnyValue {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Path(path) => path.value(entry).cloned().unwrap_or_default(),
            Self::SeverityText => entry.severity_text.as_str().into(),
            Self::SeverityNumber => entry.severity_number.into(),
            Self::List(items) => AnyValue::Array(items.iter().map(|item| item.value(entry)).collect()),
            Self::Not(inner) => AnyValue::Bool(!inner.holds(entry)),
            Self::And(sides) => AnyValue::Bool(sides.0.holds(entry) && sides.1.holds(entry)),
            Self::Or(sides) => AnyValue::Bool(sides.0.holds(entry) || sides.1.holds(entry)),
            Self::Compare(comparison, sides) => {
                AnyValue::Bool(compare(*comparison, &sides.0.value(entry), &sides.1.value(entry)))
            }
            Self::Matches(text, regex) => {
                AnyValue::Bool(self::text(&text.value(entry)).is_some_and(|text| regex.is_match(text)))
            }
            Self::Text(test, sides) => {
                let (left, right) = (sides.0.value(entry), sides.1.value(entry));
                let holds =
                    text(&left).zip(text(&right)).is_some_and(|(left, right)| test.holds(left, right));
                AnyValue::Bool(holds)
            }
            Self::In(sides) => {
                let wanted = sides.0.value(entry);
                AnyValue::Bool(match (sides.1.value(entry), &wanted) {
                    (AnyValue::Array(items), _) => {
                        items.iter().any(|item| compare(Comparison::Equal, item, &wanted))
                    }
                    (map @ AnyValue::Map(_), AnyValue::Str(key)) => step(&map, key).is_some(),
                    _ => false,
                })
            }
            Self::Add(sides) => add(sides.0.value(entry), &sides.1.value(entry)),
            Self::Coalesce(sides) => match sides.0.value(entry) {
                AnyValue::Empty => sides.1.value(entry),
                found => found,
            },
            Self::Call(function, argument) => function.call(argument.value(entry)),
        }
    }
}

impl TextTest {
    fn holds(self, left: &str, right: &str) -> bool {
        match self {
            Self::Contains => left.contains(right),
            Self::StartsWith => left.starts_with(right),
            Self::EndsWith => left.ends_with(right),
        }
    }
}

impl Function {
    fn call(self, value: AnyValue) -> AnyValue {
        let length = |length: usize| AnyValue::Int(i64::try_from(length).unwrap_or(i64::MAX));
        match (self, value) {
            (Self::Len, AnyValue::Str(text)) => length(text.len()),
            (Self::Len, AnyValue::Array(items)) => length(items.len()),
            (Self::Len, AnyValue::Map(entries)) => length(entries.len()),
            (Self::Lower, AnyValue::Str(text)) => text.to_lowercase().into(),
            (Self::Upper, AnyValue::Str(text)) => text.to_uppercase().into(),
            (Self::Trim, AnyValue::Str(text)) => text.trim().into(),
            (Self::String, AnyValue::Str(text)) => text.into(),
            (Self::String, AnyValue::Int(number)) => number.to_string().into(),
            (Self::String, AnyValue::Double(number)) => number.to_string().into(),
            (Self::String, AnyValue::Bool(value)) => value.to_string().into(),
            (Self::Int, AnyValue::Int(number)) => number.into(),
            // A number beyond the whole ones becomes the nearest of them.
            (Self::Int, AnyValue::Double(number)) => (number as i64).into(),
            (Self::Int, AnyValue::Str(text)) => {
                text.trim().parse::<i64>().map_or(AnyValue::Empty, Into::into)
            }
            (Self::Type, value) => type_name(&value).into(),
            _ => AnyValue::Empty,
        }
    }
}

fn type_name(value: &AnyValue) -> &'static str {
    match value {
        AnyValue::Empty => "nil",
        AnyValue::Str(_) => "string",
        AnyValue::Bool(_) => "bool",
        AnyValue::Int(_) => "int",
        AnyValue::Double(_) => "float",
        AnyValue::Bytes(_) | AnyValue::Array(_) => "array",
        AnyValue::Map(_) => "map",
    }
}

fn text(value: &AnyValue) -> Option<&str> {
    if let AnyValue::Str(text) = value { Some(text) } else { None }
}

fn number(value: &AnyValue) -> Option<f64> {
    match value {
        AnyValue::Int(number) => Some(*number as f64),
        AnyValue::Double(number) => Some(*number),
        _ => None,
    }
}

fn compare(comparison: Comparison, left: &AnyValue, right: &AnyValue) -> bool {
    let order = match (left, right) {
        (AnyValue::Int(left), AnyValue::Int(right)) => Some(left.cmp(right)),
        (AnyValue::Str(left), AnyValue::Str(right)) => Some(left.cmp(right)),
        _ => number(left).zip(number(right)).and_then(|(left, right)| left.partial_cmp(&right)),
    };
    let is_equal = order.map_or(left == right, Ordering::is_eq);
    match comparison {
        Comparison::Equal => is_equal,
        Comparison::NotEqual => !is_equal,
        Comparison::Less => order.is_some_and(Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
        Comparison::Greater => order.is_some_and(Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
    }
}

fn add(left: AnyValue, right: &AnyValue) -> AnyValue {
    match (left, right) {
        (AnyValue::Str(left), AnyValue::Str(right)) => (left + right).into(),
        (AnyValue::Int(left), AnyValue::Int(right)) => {
            left.checked_add(*right).map_or(AnyValue::Empty, Into::into)
        }
        (left, right) => {
            let sum = number(&left).zip(number(right)).map(|(left, right)| left + right);
            sum.map_or(AnyValue::Empty, Into::into)
        }
    }
}
