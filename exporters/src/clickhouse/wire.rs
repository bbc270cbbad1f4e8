//! The types of ClickHouse in which columns are sent, chosen by the types that the table has.
//!
//! A column is sent in the table's own type where that is one of those that this exporter writes fast. Otherwise it is
//! sent in the closest one, and ClickHouse converts: text into JSON, Enum, UUID or Nullable, for instance.

/// A type as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// `DateTime`: whole seconds.
    Seconds,
    /// `DateTime64(n)`: ticks of 10^-n seconds.
    Ticks(u32),
    Text(Coding),
    /// A whole number of so many bytes.
    Whole {
        bytes: usize,
        is_signed: bool,
    },
    Float64,
    Float32,
    Bool,
    Map {
        keys: Coding,
        values: Coding,
    },
    /// JSON as text, for columns of type JSON or String.
    Json,
    Array(Box<Self>),
}

/// How texts are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// `String`: each text in full.
    Plain,
    /// `LowCardinality(String)`: distinct texts once a block, and a number for each row.
    Dictionary,
}

/// What a field of ours looks like, for the choice of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Time,
    Text,
    Whole {
        is_signed: bool,
    },
    Float,
    Bool,
    Attributes,
    /// An array of what the second says.
    Array(&'static Self),
}

impl Kind {
    /// The type in which a field of this kind is sent to a column of the table's type; nothing if no conversion fits.
    pub(super) fn wire(self, table_type: &str) -> Option<Wire> {
        let plain = unwrap(table_type, "Nullable").unwrap_or(table_type);
        match self {
            Self::Time => Some(time(plain)),
            Self::Text => is_scalar(plain).then(|| Wire::Text(coding(plain))),
            Self::Whole { is_signed } => is_scalar(plain).then(|| whole(plain, is_signed)),
            Self::Float if plain == "Float32" => Some(Wire::Float32),
            Self::Float => is_scalar(plain).then_some(Wire::Float64),
            Self::Bool => is_scalar(plain).then_some(Wire::Bool),
            Self::Attributes => attributes(plain),
            Self::Array(inner) => Some(Wire::Array(Box::new(inner.wire(unwrap(table_type, "Array")?)?))),
        }
    }

    /// Types that fit, for messages.
    pub(super) fn advice(self) -> String {
        match self {
            Self::Time => "DateTime64(9) or DateTime".to_owned(),
            Self::Text => "String or LowCardinality(String)".to_owned(),
            Self::Whole { is_signed: true } => "Int32 or Int64".to_owned(),
            Self::Whole { is_signed: false } => "UInt32 or UInt64".to_owned(),
            Self::Float => "Float64".to_owned(),
            Self::Bool => "Bool".to_owned(),
            Self::Attributes => "Map(LowCardinality(String), String) or JSON".to_owned(),
            Self::Array(inner) => format!("Array of {}", inner.advice()),
        }
    }
}

impl Wire {
    /// The type's name in ClickHouse.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Seconds => "DateTime".to_owned(),
            Self::Ticks(precision) => format!("DateTime64({precision})"),
            Self::Text(coding) => coding.name().to_owned(),
            Self::Whole { bytes, is_signed } => {
                format!("{}Int{}", if *is_signed { "" } else { "U" }, bytes * 8)
            }
            Self::Float64 => "Float64".to_owned(),
            Self::Float32 => "Float32".to_owned(),
            Self::Bool => "Bool".to_owned(),
            Self::Map { keys, values } => format!("Map({}, {})", keys.name(), values.name()),
            Self::Json => "String".to_owned(),
            Self::Array(inner) => format!("Array({})", inner.name()),
        }
    }
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "String",
            Self::Dictionary => "LowCardinality(String)",
        }
    }
}

/// What stands in the parentheses of a type such as `Array(String)`.
fn unwrap<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.trim().strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')').map(str::trim)
}

fn is_scalar(text: &str) -> bool {
    !["Array(", "Map(", "Tuple(", "Nested("].iter().any(|composed| text.starts_with(composed))
}

fn coding(text: &str) -> Coding {
    if text.starts_with("LowCardinality(") { Coding::Dictionary } else { Coding::Plain }
}

fn time(text: &str) -> Wire {
    if text == "DateTime" || text.starts_with("DateTime(") {
        return Wire::Seconds;
    }
    let precision = unwrap(text, "DateTime64")
        .and_then(|inner| inner.split(',').next()?.trim().parse().ok())
        .filter(|precision| *precision <= 9);
    Wire::Ticks(precision.unwrap_or(9))
}

fn whole(text: &str, is_signed: bool) -> Wire {
    let (of_table, bits) = match text.strip_prefix('U') {
        Some(rest) => (false, rest.strip_prefix("Int")),
        None => (true, text.strip_prefix("Int")),
    };
    match bits.and_then(|bits| bits.parse::<usize>().ok()) {
        Some(bits @ (8 | 16 | 32 | 64)) => Wire::Whole { bytes: bits / 8, is_signed: of_table },
        _ => Wire::Whole { bytes: 8, is_signed },
    }
}

fn attributes(text: &str) -> Option<Wire> {
    if text == "JSON" || text.starts_with("JSON(") || text == "String" || text.starts_with("Object(") {
        return Some(Wire::Json);
    }
    let (keys, values) = unwrap(text, "Map")?.split_once(", ")?;
    let is_text = |text: &str| text.contains("String");
    (is_text(keys) && is_text(values)).then(|| Wire::Map { keys: coding(keys), values: coding(values) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, table_type: &str, sent_as: &str) {
        let wire = kind.wire(table_type);
        assert_eq!(wire.map_or("nothing".to_owned(), |wire| wire.name()), sent_as, "{kind:?} {table_type}");
    }

    #[test]
    fn a_column_is_sent_in_the_tables_type_or_the_closest_one() {
        check(Kind::Time, "DateTime64(9)", "DateTime64(9)");
        check(Kind::Time, "DateTime64(3, 'UTC')", "DateTime64(3)");
        check(Kind::Time, "DateTime('UTC')", "DateTime");
        check(Kind::Time, "Int64", "DateTime64(9)");
        check(Kind::Text, "LowCardinality(Nullable(String))", "LowCardinality(String)");
        check(Kind::Text, "Nullable(String)", "String");
        check(Kind::Text, "Enum8('a' = 1)", "String");
        check(Kind::Whole { is_signed: true }, "UInt8", "UInt8");
        check(Kind::Whole { is_signed: false }, "Decimal(9, 2)", "UInt64");
        check(Kind::Float, "Float32", "Float32");
        check(Kind::Attributes, "Map(LowCardinality(String), String)", "Map(LowCardinality(String), String)");
        check(Kind::Attributes, "Map(String, LowCardinality(String))", "Map(String, LowCardinality(String))");
        check(Kind::Attributes, "JSON(max_dynamic_paths=8)", "String");
        check(Kind::Array(&Kind::Attributes), "Array(JSON)", "Array(String)");
        check(Kind::Array(&Kind::Whole { is_signed: false }), "Array(UInt64)", "Array(UInt64)");
    }

    #[test]
    fn what_cannot_be_converted_has_no_type() {
        check(Kind::Attributes, "Map(String, UInt64)", "nothing");
        check(Kind::Attributes, "Array(String)", "nothing");
        check(Kind::Text, "Map(String, String)", "nothing");
        check(Kind::Array(&Kind::Float), "Float64", "nothing");
    }
}
