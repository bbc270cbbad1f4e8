//! The tree that a condition becomes, and its printing, from which the same tree can be parsed again.

use std::fmt;

use super::field::Field;
use super::function::{EXTRACT_PATTERNS, Function, IS_MATCH};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Or(Vec<Self>),
    And(Vec<Self>),
    Not(Box<Self>),
    Compare(Box<(Self, Comparison, Self)>),
    /// Operators of one precedence, from left to right.
    Compute {
        first: Box<Self>,
        rest: Vec<(Operator, Self)>,
    },
    Literal(Literal),
    Path {
        field: &'static Field,
        keys: Vec<Key>,
    },
    /// Values in brackets.
    List(Vec<Self>),
    /// A look into what a function gave.
    Step {
        from: Box<Self>,
        keys: Vec<Key>,
    },
    Match {
        target: Box<Self>,
        pattern: Pattern,
    },
    /// The named groups of an expression as a map.
    Extract {
        target: Box<Self>,
        pattern: Pattern,
    },
    Call {
        function: Function,
        arguments: Vec<Self>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Nil,
    Bool(bool),
    Int(i64),
    /// A number of OpenTelemetry's that has a name.
    Named(&'static str, i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One step into attributes, a map or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Text(String),
    Index(usize),
}

/// A compiled regular expression, equal to another of the same text.
#[derive(Clone, Debug)]
pub(super) struct Pattern(pub(super) regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Comparison {
    pub(super) fn from_symbol(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Operator {
    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

impl Expression {
    /// Whether it is true or false of a record.
    pub(super) fn is_condition(&self) -> bool {
        match self {
            Self::Or(_) | Self::And(_) | Self::Not(_) | Self::Compare(_) | Self::Match { .. } => true,
            Self::Literal(literal) => matches!(literal, Literal::Bool(_)),
            Self::Call { function, .. } => function.is_condition(),
            Self::Compute { .. }
            | Self::Path { .. }
            | Self::List(_)
            | Self::Step { .. }
            | Self::Extract { .. } => false,
        }
    }

    /// Whether it may stand on either side of a comparison.
    pub(super) fn is_operand(&self) -> bool {
        !matches!(self, Self::Or(_) | Self::And(_) | Self::Not(_) | Self::Compare(_))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(branches) => join(f, branches, " or "),
            Self::And(branches) => join(f, branches, " and "),
            Self::Not(inner) => write!(f, "not {}", Grouped(inner)),
            Self::Compare(sides) => {
                let (left, comparison, right) = sides.as_ref();
                write!(f, "{left} {} {right}", comparison.symbol())
            }
            Self::Compute { first, rest } => {
                Grouped(first).fmt(f)?;
                rest.iter().try_for_each(|(operator, operand)| {
                    write!(f, " {} {}", operator.symbol(), Grouped(operand))
                })
            }
            Self::Literal(literal) => literal.fmt(f),
            Self::Path { field, keys } => {
                write!(f, "{}.{}", field.of.name(), field.name)?;
                keys.iter().try_for_each(|key| key.fmt(f))
            }
            Self::List(items) => {
                f.write_str("[")?;
                commas(f, items)?;
                f.write_str("]")
            }
            Self::Step { from, keys } => {
                from.fmt(f)?;
                keys.iter().try_for_each(|key| key.fmt(f))
            }
            Self::Extract { target, pattern } => {
                write!(f, "{EXTRACT_PATTERNS}({target}, {})", Quoted(pattern.0.as_str()))
            }
            Self::Match { target, pattern } => {
                write!(f, "{IS_MATCH}({target}, {})", Quoted(pattern.0.as_str()))
            }
            Self::Call { function, arguments } => {
                write!(f, "{}(", function.name())?;
                commas(f, arguments)?;
                f.write_str(")")
            }
        }
    }
}

fn commas(f: &mut fmt::Formatter<'_>, values: &[Expression]) -> fmt::Result {
    for (index, value) in values.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(f, "{separator}{value}")?;
    }
    Ok(())
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "[{}]", Quoted(text)),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, branches: &[Expression], word: &str) -> fmt::Result {
    for (index, branch) in branches.iter().enumerate() {
        let word = if index == 0 { "" } else { word };
        let is_compound = matches!(branch, Expression::Or(_) | Expression::And(_));
        if is_compound { write!(f, "{word}({branch})") } else { write!(f, "{word}{branch}") }?;
    }
    Ok(())
}

/// Puts parentheses around what consists of several parts.
struct Grouped<'e>(&'e Expression);

impl fmt::Display for Grouped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expression::Or(_) | Expression::And(_) | Expression::Compare(_) | Expression::Compute { .. } => {
                write!(f, "({})", self.0)
            }
            other => other.fmt(f),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(number) => number.fmt(f),
            Self::Named(name, _) => f.write_str(name),
            Self::Double(number) => write!(f, "{number:?}"),
            Self::Text(text) => Quoted(text).fmt(f),
            Self::Bytes(bytes) => {
                f.write_str("0x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// Text in quotes, escaped so that it reads back the same.
struct Quoted<'t>(&'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for letter in self.0.chars() {
            match letter {
                '"' | '\\' => write!(f, "\\{letter}"),
                '\n' => f.write_str("\\n"),
                _ if letter.is_control() => write!(f, "\\u{:04x}", u32::from(letter)),
                _ => write!(f, "{letter}"),
            }?;
        }
        f.write_str("\"")
    }
}
