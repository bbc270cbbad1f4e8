//! What is read of a row for one column.

use watershed_pipeline::{Attributes, Value};

use super::row::{Per, Row};
use super::wire::Kind;

/// Reads a row's value for one column.
#[derive(Clone, Copy)]
pub(super) enum Field {
    /// Nanoseconds since the Unix epoch.
    Time(fn(Row<'_>) -> u64),
    Text(Per, for<'a> fn(Row<'a>) -> &'a str),
    /// A value as text; empty if there is none.
    Value(Per, for<'a> fn(Row<'a>) -> Option<Value<'a>>),
    /// 16 bytes as lower-case hexadecimal digits; empty if all are zero.
    TraceId(fn(Row<'_>) -> [u8; 16]),
    SpanId(fn(Row<'_>) -> [u8; 8]),
    Unsigned(fn(Row<'_>) -> u64),
    Signed(fn(Row<'_>) -> i64),
    Float(fn(Row<'_>) -> f64),
    Bool(fn(Row<'_>) -> bool),
    Attributes(Per, for<'a> fn(Row<'a>) -> Option<Attributes<'a>>),
    /// The sorted paths of the attributes, those inside maps included, as the Collector writes them beside JSON.
    AttributeKeys(for<'a> fn(Row<'a>) -> Option<Attributes<'a>>),
    Counts(for<'a> fn(Row<'a>) -> &'a [u64]),
    Bounds(for<'a> fn(Row<'a>) -> &'a [f64]),
    /// One value for each of the row's events, links, exemplars or quantiles.
    Each(for<'a> fn(Row<'a>, &mut Vec<Row<'a>>), &'static Self),
}

impl Field {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Time(_) => Kind::Time,
            Self::Text(..) | Self::Value(..) | Self::TraceId(_) | Self::SpanId(_) => Kind::Text,
            Self::Unsigned(_) => Kind::Whole { is_signed: false },
            Self::Signed(_) => Kind::Whole { is_signed: true },
            Self::Float(_) => Kind::Float,
            Self::Bool(_) => Kind::Bool,
            Self::Attributes(..) => Kind::Attributes,
            Self::AttributeKeys(_) => Kind::Array(&Kind::Text),
            Self::Counts(_) => Kind::Array(&Kind::Whole { is_signed: false }),
            Self::Bounds(_) => Kind::Array(&Kind::Float),
            Self::Each(_, inner) => match inner.kind() {
                Kind::Time => Kind::Array(&Kind::Time),
                Kind::Float => Kind::Array(&Kind::Float),
                Kind::Attributes => Kind::Array(&Kind::Attributes),
                _ => Kind::Array(&Kind::Text),
            },
        }
    }
}

/// A column that this exporter can fill.
pub(super) struct Wanted {
    /// Its name in the Collector's tables.
    pub(super) name: &'static str,
    pub(super) field: Field,
    /// Whether a table without it is refused. Only columns that older versions of the tables lack may be missing.
    pub(super) is_needed: bool,
}

pub(super) const fn needed(name: &'static str, field: Field) -> Wanted {
    Wanted { name, field, is_needed: true }
}

pub(super) const fn optional(name: &'static str, field: Field) -> Wanted {
    Wanted { name, field, is_needed: false }
}
