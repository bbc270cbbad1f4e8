//! What a condition says of a record.

use std::borrow::Cow;

use super::convert;
use super::expression::{Comparison, Expression, Literal};
use super::function::Function;
use super::term::Term;
use crate::batch::{Array, Record, SpanEvent};

/// What a condition is asked about: a record, and an event of it when the condition is on events.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) record: Record<'a>,
    pub(super) event: Option<SpanEvent<'a>>,
    /// The bytes of the map that statements keep things in while they work on a record.
    pub(super) cache: &'a [u8],
}

impl Expression {
    /// Whether it is true of the subject; an operand that is not a condition is not.
    pub(super) fn holds(&self, subject: Subject<'_>) -> bool {
        match self {
            Self::Or(branches) => branches.iter().any(|branch| branch.holds(subject)),
            Self::And(branches) => branches.iter().all(|branch| branch.holds(subject)),
            Self::Not(inner) => !inner.holds(subject),
            Self::Compare(sides) => {
                let (left, comparison, right) = sides.as_ref();
                left.term(subject).compare(*comparison, &right.term(subject))
            }
            Self::Match { target, pattern } => {
                target.term(subject).text().is_some_and(|text| pattern.0.is_match(&text))
            }
            Self::Literal(Literal::Bool(value)) => *value,
            Self::Call { function, arguments } => function.holds(arguments, subject),
            Self::Literal(_)
            | Self::Compute { .. }
            | Self::Path { .. }
            | Self::List(_)
            | Self::Step { .. }
            | Self::Extract { .. } => false,
        }
    }

    /// Its value for the subject.
    pub(super) fn term<'a>(&'a self, subject: Subject<'a>) -> Term<'a> {
        match self {
            Self::Literal(literal) => literal.term(),
            Self::List(items) => convert::list(items.iter().map(|item| item.term(subject))),
            Self::Step { from, keys } => keys.iter().fold(from.term(subject), Term::step),
            Self::Extract { target, pattern } => convert::extract(target.term(subject), &pattern.0),
            Self::Path { field, keys } => {
                let start = (field.read)(subject).unwrap_or(Term::Nil);
                keys.iter().fold(start, Term::step)
            }
            Self::Compute { first, rest } => {
                let compute = |left: Term<'a>, (operator, right): &'a (_, Self)| {
                    left.compute(*operator, &right.term(subject))
                };
                rest.iter().fold(first.term(subject), compute)
            }
            Self::Call { function, arguments } if !function.is_condition() => {
                function.convert(arguments, subject)
            }
            _ => Term::Bool(self.holds(subject)),
        }
    }
}

impl Literal {
    pub(super) fn term(&self) -> Term<'_> {
        match self {
            Self::Nil => Term::Nil,
            Self::Bool(value) => Term::Bool(*value),
            Self::Int(number) | Self::Named(_, number) => Term::Int(*number),
            Self::Double(number) => Term::Double(*number),
            Self::Text(text) => Term::from(text.as_str()),
            Self::Bytes(bytes) => Term::Bytes(bytes.into()),
        }
    }
}

impl Function {
    /// The answer of a function that is a condition.
    fn holds(self, arguments: &[Expression], subject: Subject<'_>) -> bool {
        let argument =
            |index| arguments.get(index).map_or(Term::Nil, |argument: &Expression| argument.term(subject));
        let texts = || Some((plain_text(argument(0))?, plain_text(argument(1))?));
        match self {
            Self::HasPrefix => texts().is_some_and(|(text, part)| text.starts_with(part.as_ref())),
            Self::HasSuffix => texts().is_some_and(|(text, part)| text.ends_with(part.as_ref())),
            Self::ContainsValue => {
                let Term::List(items) = argument(0) else { return false };
                let wanted = argument(1);
                Array(&items).iter().any(|item| Term::from(item).compare(Comparison::Equal, &wanted))
            }
            Self::IsString => matches!(argument(0), Term::Text(_)),
            Self::IsInt => matches!(argument(0), Term::Int(_)),
            Self::IsDouble => matches!(argument(0), Term::Double(_)),
            Self::IsBool => matches!(argument(0), Term::Bool(_)),
            Self::IsMap => matches!(argument(0), Term::Map(_) | Term::Attributes(_)),
            Self::IsList => matches!(argument(0), Term::List(_)),
            Self::IsRootSpan => subject.record.span().is_some_and(|span| span.parent_span_id() == [0; 8]),
            Self::HasAttrKeyOnDatapoint => plain_text(argument(0)).is_some_and(|key| {
                let mut points = subject.record.point().into_iter().flat_map(|point| point.metric().points());
                points.any(|point| point.attributes().value(&key).is_some())
            }),
            Self::HasAttrOnDatapoint => texts().is_some_and(|(key, wanted)| {
                let mut points = subject.record.point().into_iter().flat_map(|point| point.metric().points());
                let value = |point: crate::batch::DataPoint<'_>| {
                    let value = point.attributes().value(&key)?;
                    Some(Term::from(value).text().is_some_and(|text| text == wanted))
                };
                points.any(|point| value(point) == Some(true))
            }),
            _ => false,
        }
    }
}

/// The text that a value is; none for values of other types.
fn plain_text(term: Term<'_>) -> Option<Cow<'_, str>> {
    if let Term::Text(text) = term { Some(text) } else { None }
}
