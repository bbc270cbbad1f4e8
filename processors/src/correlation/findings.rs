//! What one record says of the operation it belongs to, gathered in one pass over its attributes.

use watershed_pipeline::parse::{TraceContext, hex};
use watershed_pipeline::{Record, Value};

use super::Source;
use super::names::{BODY, HEADER, Names, Rank, Role};
use super::renames::Rename;

/// Entries of a body that are looked at.
const ENTRIES_MAX: usize = 256;

/// A value, under which name it was found, and how good that name is.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) rank: Rank,
    pub(super) key: &'a str,
    pub(super) value: Value<'a>,
}

/// A part of a trace context, and the name of the attribute it was found in.
pub(super) type Part<'a, T> = Option<(&'a str, T)>;

/// What was found.
#[derive(Default)]
pub(super) struct Findings<'a> {
    pub(super) id: Option<Found<'a>>,
    pub(super) source: Option<Source>,
    pub(super) session: Option<Found<'a>>,
    pub(super) user: Option<Found<'a>>,
    pub(super) parent: Part<'a, TraceContext>,
    pub(super) trace_id: Part<'a, [u8; 16]>,
    pub(super) span_id: Part<'a, [u8; 8]>,
    pub(super) flags: Part<'a, u8>,
    pub(super) renames: Vec<&'static Rename>,
}

impl<'a> Findings<'a> {
    pub(super) fn of(record: Record<'a>, names: &Names) -> Self {
        let mut findings = Self::default();
        for (role, key, value) in record.attributes().find_map_keys(|key| names.role(key)) {
            findings.take(role, key, value);
        }
        if let Some(Value::Map(body)) = record.log().and_then(|log| log.body()) {
            for (key, value) in body.iter().take(ENTRIES_MAX) {
                match names.role(key) {
                    Some(Role::Deprecated(_) | Role::Source) | None => {}
                    Some(role) => findings.take(role.within_body(), "", value),
                }
            }
        }
        findings
    }

    fn take(&mut self, role: Role, key: &'a str, value: Value<'a>) {
        match role {
            Role::Id(rank) => better(&mut self.id, Found { rank, key, value: first(rank, value) }),
            Role::Session(rank) => better(&mut self.session, Found { rank, key, value }),
            Role::User(rank) => better(&mut self.user, Found { rank, key, value }),
            Role::Source => self.source = value.as_str().and_then(Source::of_label),
            Role::Traceparent => {
                part(&mut self.parent, key, || TraceContext::from_traceparent(value.as_str()?))
            }
            Role::TraceId => part(&mut self.trace_id, key, || id(hex(value.as_str()?)?)),
            Role::SpanId => part(&mut self.span_id, key, || id(hex(value.as_str()?)?)),
            Role::TraceFlags => part(&mut self.flags, key, || flags(value)),
            Role::DatadogTraceId => part(&mut self.trace_id, key, || id(datadog_trace(value)?)),
            Role::DatadogSpanId => part(&mut self.span_id, key, || id(decimal(value)?.to_be_bytes())),
            Role::Deprecated(rename) => self.renames.push(rename),
        }
    }
}

impl Role {
    fn within_body(self) -> Self {
        let behind = |rank: Rank| if rank < HEADER { BODY + rank } else { rank };
        match self {
            Self::Id(rank) => Self::Id(behind(rank)),
            Self::Session(rank) => Self::Session(behind(rank)),
            Self::User(rank) => Self::User(behind(rank)),
            other => other,
        }
    }
}

/// Keeps the better one of two, if the new one holds anything.
fn better<'a>(slot: &mut Option<Found<'a>>, new: Found<'a>) {
    let is_blank = match new.value {
        Value::Str(text) => text.trim_ascii().is_empty(),
        Value::Empty => true,
        _ => false,
    };
    if !is_blank && slot.is_none_or(|found| new.rank < found.rank) {
        *slot = Some(new);
    }
}

/// Headers are captured as lists of values; the first counts.
fn first(rank: Rank, value: Value<'_>) -> Value<'_> {
    match value {
        Value::Array(values) if rank >= HEADER => values.iter().next().unwrap_or(Value::Empty),
        other => other,
    }
}

/// Fills an empty place.
fn part<'a, T>(slot: &mut Part<'a, T>, key: &'a str, read: impl FnOnce() -> Option<T>) {
    if slot.is_none() {
        *slot = read().map(|value| (key, value));
    }
}

/// What is all zero is no id.
fn id<const N: usize>(bytes: [u8; N]) -> Option<[u8; N]> {
    (bytes != [0; N]).then_some(bytes)
}

fn flags(value: Value<'_>) -> Option<u8> {
    match value {
        Value::Int(number) => u8::try_from(number).ok(),
        Value::Str(text) => hex::<1>(text).map(|[flags]| flags),
        _ => None,
    }
}

/// Datadog writes the lower 64 bits of a trace id as a decimal number, or all of them in hexadecimal.
fn datadog_trace(value: Value<'_>) -> Option<[u8; 16]> {
    let whole = || hex(value.as_str()?);
    whole().or_else(|| Some(u128::from(decimal(value)?).to_be_bytes()))
}

fn decimal(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        Value::Str(text) => text.parse().ok(),
        _ => None,
    }
}
