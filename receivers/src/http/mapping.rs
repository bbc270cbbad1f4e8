//! From the keys of a JSON object to the fields of a log record.
//!
//! Each preset says which key plays which [`Role`]. A key without a role, and one whose value does not fit its role (a
//! time that cannot be read, a second message), becomes an attribute by its own name, so that nothing is lost. `null`
//! in a role is as if the key were not there.

use watershed_pipeline::parse::{Zone, severity, time};
use watershed_pipeline::{RecordMut, Value};

/// What a key says about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// When it happened: text in any common form, or a number since the epoch in the unit that its size tells.
    Time,
    /// How severe it is: a name, or a number of pino and bunyan.
    Severity,
    /// What happened.
    Body,
    /// The logger.
    Scope,
    /// The trace, 32 hexadecimal digits.
    Trace,
    /// The span, 16 hexadecimal digits.
    Span,
    /// An attribute of the resource.
    Resource(&'static str),
    /// An attribute by another name.
    Attribute(&'static str),
    /// An object, each key of which is an attribute.
    Attributes,
}

/// The roles of keys.
pub(super) type Roles = fn(&str) -> Option<Role>;

/// Puts keys and values on a record. `now` is when they came, in nanoseconds since the Unix epoch.
pub(super) fn apply<'v>(
    entries: impl Iterator<Item = (&'v str, Value<'v>)>,
    roles: Roles,
    now: u64,
    log: &mut RecordMut<'_>,
) {
    let mut ids = Ids::default();
    for (key, value) in entries {
        let role = roles(key);
        if value == Value::Empty && role.is_some() {
            continue;
        }
        let fits = match role {
            None => false,
            Some(Role::Attributes) => unfold(value, &mut ids, log),
            Some(Role::Trace) => ids.take_trace(value),
            Some(Role::Span) => ids.take_span(value),
            Some(role) => put(role, value, now, log),
        };
        if !fits {
            log.set_attribute(key, value);
        }
    }
    ids.put(log);
}

/// Puts a value where its role says; says whether it fits there.
fn put(role: Role, value: Value<'_>, now: u64, log: &mut RecordMut<'_>) -> bool {
    match role {
        Role::Time => put_time(value, now, log),
        Role::Severity => put_severity(value, log),
        Role::Body => {
            let is_first = log.log().is_some_and(|log| log.body().is_none());
            if is_first {
                log.set_body(value);
            }
            is_first
        }
        Role::Scope => {
            let name = value.as_str().filter(|_| log.scope().name().is_empty());
            name.inspect(|name| log.set_scope_name(name)).is_some()
        }
        Role::Resource(key) => {
            log.set_resource(|resource| resource.set_attribute(key, value));
            true
        }
        Role::Attribute(key) => {
            log.set_attribute(key, value);
            true
        }
        Role::Trace | Role::Span | Role::Attributes => false,
    }
}

fn put_time(value: Value<'_>, now: u64, log: &mut RecordMut<'_>) -> bool {
    if log.log().is_some_and(|log| log.time_unix_nano() > 0) {
        return false;
    }
    let time = unix_nano(value, now);
    time.inspect(|time| log.set_time_unix_nano(*time)).is_some()
}

/// A time in any common form, in nanoseconds since the Unix epoch.
pub(super) fn unix_nano(value: Value<'_>, now: u64) -> Option<u64> {
    match value {
        Value::Str(text) => time::detect(text, &Zone::UTC, now),
        Value::Int(number) => time::epoch(number),
        Value::Double(number) => time::epoch_double(number),
        _ => None,
    }
}

/// A severity keeps its text even if its number is not known.
fn put_severity(value: Value<'_>, log: &mut RecordMut<'_>) -> bool {
    let is_set =
        |log: watershed_pipeline::LogRecord<'_>| !log.severity_text().is_empty() || log.severity_number() > 0;
    if log.log().is_some_and(is_set) {
        return false;
    }
    match value {
        Value::Str(text) => {
            log.set_severity_number(severity::by_name(text).unwrap_or(0));
            log.set_severity_text(text);
            true
        }
        Value::Int(level) => match severity::of_pino(level) {
            Some(number) => {
                log.set_severity_number(number);
                log.set_severity_text(severity::name_of(number));
                true
            }
            None => false,
        },
        _ => false,
    }
}

/// Makes attributes of the keys of an object; ids of traces among them stay ids.
fn unfold(value: Value<'_>, ids: &mut Ids, log: &mut RecordMut<'_>) -> bool {
    let Value::Map(entries) = value else { return false };
    for (key, value) in entries {
        let is_id = match key {
            "trace_id" => ids.take_trace(value),
            "span_id" => ids.take_span(value),
            _ => false,
        };
        if !is_id {
            log.set_attribute(key, value);
        }
    }
    true
}

/// Makes attributes of the keys of an object; says whether it is one.
pub(super) fn attributes(value: Value<'_>, log: &mut RecordMut<'_>) -> bool {
    let mut ids = Ids::default();
    let is_object = unfold(value, &mut ids, log);
    ids.put(log);
    is_object
}

/// The ids of a trace and a span, which are set together.
#[derive(Default)]
struct Ids {
    trace: [u8; 16],
    span: [u8; 8],
}

impl Ids {
    fn take_trace(&mut self, value: Value<'_>) -> bool {
        let found = value.as_str().and_then(|text| super::correlation::hex(text.as_bytes()));
        found.inspect(|id| self.trace = *id).is_some()
    }

    fn take_span(&mut self, value: Value<'_>) -> bool {
        let found = value.as_str().and_then(|text| super::correlation::hex(text.as_bytes()));
        found.inspect(|id| self.span = *id).is_some()
    }

    fn put(self, log: &mut RecordMut<'_>) {
        if self.trace != [0; 16] || self.span != [0; 8] {
            log.set_trace_context(self.trace, self.span, 0);
        }
    }
}
