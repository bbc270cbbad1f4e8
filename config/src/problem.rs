//! What the deserializer says when a value does not fit: the path to it and the reason, without a place yet.

use std::fmt;

use serde::de;

use crate::node::Step;

/// A mistake on the way from a tree to a type. Boxed, because it travels through every `Result` of the deserializer.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// From the value outwards; reversed when it is looked at.
    steps: Vec<Step>,
    reason: Reason,
    hidden: bool,
}

#[derive(Debug)]
pub(crate) enum Reason {
    /// The value is of another type than the one expected here.
    Wrong {
        expected: String,
    },
    /// A key without a value, for a setting that is a single value.
    Empty {
        expected: String,
    },
    MissingKey(&'static str),
    UnknownKey {
        key: String,
        accepted: &'static [&'static str],
    },
    UnknownName {
        name: String,
        accepted: &'static [&'static str],
    },
    /// The words of a type's own check.
    Message(String),
}

impl Problem {
    pub(crate) fn new(reason: Reason) -> Self {
        Self(Box::new(Inner { steps: Vec::new(), reason, hidden: false }))
    }

    pub(crate) fn wrong(expected: impl Into<String>) -> Self {
        Self::new(Reason::Wrong { expected: expected.into() })
    }

    /// Adds the step that led to the value.
    pub(crate) fn under(mut self, step: Step) -> Self {
        self.0.steps.push(step);
        self
    }

    /// Keeps the value out of the message.
    pub(crate) fn hide(mut self) -> Self {
        self.0.hidden = true;
        self
    }

    /// The steps from the root to the value, the reason, and whether the value is secret.
    pub(crate) fn into_parts(self) -> (Vec<Step>, Reason, bool) {
        let Inner { mut steps, reason, hidden } = *self.0;
        steps.reverse();
        (steps, reason, hidden)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0.reason)
    }
}

impl std::error::Error for Problem {}

impl de::Error for Problem {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Reason::Message(message.to_string()))
    }

    fn invalid_type(_found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::wrong(expected.to_string())
    }

    fn invalid_value(_found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::wrong(expected.to_string())
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("expected {expected}, found {length}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Reason::UnknownName { name: variant.to_owned(), accepted: expected })
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Reason::UnknownKey { key: field.to_owned(), accepted: expected })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Reason::MissingKey(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format_args!("`{field}` is given twice under different spellings; remove one"))
    }
}
