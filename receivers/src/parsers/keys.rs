//! Which names of fields mean the record's own fields.
//!
//! The table is closed: it names what loggers in common use write, and what watershed's own flat JSON has. A value that
//! is not what its name says (a time that can't be read, an id of another length) stays an attribute under its name. Of two
//! names for one thing the first of the line is used and the other stays an attribute.
//!
//! | names | become |
//! | --- | --- |
//! | `timestamp`, `@timestamp`, `time`, `ts`, `datetime`, `asctime`, `@t`; `instant` of log4j2 | time |
//! | `level`, `severity`, `lvl`, `levelname`, `log.level`, `loglevel`, `log_level`, `logLevel`, `severity_text`, `severityText`, `@l`; `severity_number`, `severityNumber` | severity; numbers are pino's and bunyan's from 10, syslog's (GELF) up to 7 |
//! | `message`, `msg`, `@m`, `short_message`; `event` (structlog) if there is none of these | body |
//! | `logger`, `logger_name`, `loggerName`, `log.logger`, `logger.name`; `name` beside `pid` or `levelname` | scope name |
//! | `trace_id`, `traceId`, `traceid`, `trace.id`, `otelTraceID`, `@tr`; `span_id` and its like, `@sp`; `trace_flags`, `traceFlags`; `traceparent` | trace context |
//! | `correlation_id`, `correlationId` | attribute `correlation.id` |
//! | `user_id`, `userId` | attribute `user.id` |
//! | `operation` | attribute `operation.name` |
//! | `service`, `service_name`, `serviceName`, `service.name` | `service.name` of the resource |
//! | `module` | attribute `log.module` |
//! | `metadata` that is an object | its entries become attributes |
//! | `thread`, `threadName`, `thread_name` | attribute `thread.name` |
//! | `exc_info`, `stack_trace`, `stackTrace`, `stacktrace`, `stack`, `error.stack_trace`, `@x` that are texts; `err` that is an object (pino) | `exception.stacktrace`, `exception.type`, `exception.message` |
//!
//! Without a body among the fields, the whole line stays the body.

use watershed_pipeline::parse::{Entries, Layout, Zone, hex, severity, time};
use watershed_pipeline::{Map, RecordMut, Value};

/// What times are read against.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'a> {
    pub(crate) zone: &'a Zone,
    /// The time of reading, in nanoseconds since the Unix epoch.
    pub(crate) observed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Time,
    Instant,
    Level,
    SeverityNumber,
    Body,
    Event,
    Logger,
    Name,
    TraceId,
    SpanId,
    TraceFlags,
    Traceparent,
    Service,
    Metadata,
    Stack,
    Error,
    /// An attribute of another name.
    Attribute(&'static str),
}

/// The names, by their length: every field is looked up here, and so compared with a few names and not with all.
const ROLES: [&[(&str, Role)]; 18] = {
    use Role::*;
    [
        &[],
        &[],
        &[("ts", Time), ("@t", Time), ("@l", Level), ("@m", Body), ("@x", Stack)],
        &[("lvl", Level), ("msg", Body), ("@tr", TraceId), ("@sp", SpanId), ("err", Error)],
        &[("time", Time), ("name", Name)],
        &[("level", Level), ("event", Event), ("stack", Stack)],
        &[
            ("logger", Logger),
            ("spanId", SpanId),
            ("spanid", SpanId),
            ("userId", Attribute("user.id")),
            ("module", Attribute("log.module")),
            ("thread", Attribute("thread.name")),
        ],
        &[
            ("asctime", Time),
            ("instant", Instant),
            ("message", Body),
            ("traceId", TraceId),
            ("traceid", TraceId),
            ("span_id", SpanId),
            ("span.id", SpanId),
            ("service", Service),
            ("user_id", Attribute("user.id")),
        ],
        &[
            ("datetime", Time),
            ("severity", Level),
            ("loglevel", Level),
            ("logLevel", Level),
            ("trace_id", TraceId),
            ("trace.id", TraceId),
            ("metadata", Metadata),
            ("exc_info", Stack),
        ],
        &[
            ("timestamp", Time),
            ("levelname", Level),
            ("log.level", Level),
            ("log_level", Level),
            ("operation", Attribute("operation.name")),
        ],
        &[
            ("@timestamp", Time),
            ("loggerName", Logger),
            ("log.logger", Logger),
            ("otelSpanID", SpanId),
            ("traceFlags", TraceFlags),
            ("stackTrace", Stack),
            ("stacktrace", Stack),
            ("threadName", Attribute("thread.name")),
        ],
        &[
            ("logger_name", Logger),
            ("logger.name", Logger),
            ("otelTraceID", TraceId),
            ("trace_flags", TraceFlags),
            ("trace.flags", TraceFlags),
            ("traceparent", Traceparent),
            ("serviceName", Service),
            ("stack_trace", Stack),
            ("thread_name", Attribute("thread.name")),
        ],
        &[("severityText", Level), ("service_name", Service), ("service.name", Service)],
        &[("severity_text", Level), ("short_message", Body), ("correlationId", Attribute("correlation.id"))],
        &[("severityNumber", SeverityNumber), ("correlation_id", Attribute("correlation.id"))],
        &[("severity_number", SeverityNumber)],
        &[],
        &[("error.stack_trace", Stack)],
    ]
};

fn role(key: &str) -> Option<Role> {
    let names = ROLES.get(key.len())?;
    names.iter().find(|(name, _)| *name == key).map(|(_, role)| *role)
}

/// Whether there is a field among these that a logger writes: a time, a level or a text.
pub(super) fn is_telling(entries: Entries<'_>) -> bool {
    entries.iter().any(|(key, _)| matches!(role(key), Some(Role::Time | Role::Level | Role::Body)))
}

/// The record's own fields, as far as they were found.
#[derive(Default)]
struct Lifted<'a> {
    time: Option<u64>,
    level: Option<(i32, &'a str)>,
    severity_number: Option<i32>,
    body: Option<Value<'a>>,
    event: Option<Value<'a>>,
    logger: Option<&'a str>,
    name: Option<&'a str>,
    service: Option<&'a str>,
    trace_id: Option<[u8; 16]>,
    span_id: Option<[u8; 8]>,
    flags: Option<u32>,
    /// Whether there was a key that only loggers write beside `name`.
    has_logger_key: bool,
}

/// Sets fields on a record: those of the table as its own, the others as attributes. `line` becomes the body if none of
/// them does; `layout` is how the time is written, if that is known.
pub(crate) fn lift<'a>(
    entries: impl Iterator<Item = (&'a str, Value<'a>)>,
    line: Option<&str>,
    moment: Moment<'_>,
    layout: Option<&Layout>,
    record: &mut RecordMut<'_>,
) {
    let mut lifted = Lifted::default();
    for (key, value) in entries {
        lifted.has_logger_key |= matches!(key, "pid" | "levelname");
        let is_taken = role(key).is_some_and(|role| lifted.take(role, value, moment, layout, record));
        if !is_taken {
            record.set_attribute(key, value);
        }
    }
    lifted.apply(line, record);
}

impl<'a> Lifted<'a> {
    /// Takes a field for what its name says; says whether it could.
    fn take(
        &mut self,
        role: Role,
        value: Value<'a>,
        moment: Moment<'_>,
        layout: Option<&Layout>,
        record: &mut RecordMut<'_>,
    ) -> bool {
        match role {
            Role::Time => first(&mut self.time, || time_of(value, moment, layout)),
            Role::Instant => first(&mut self.time, || instant(value)),
            Role::Level => first(&mut self.level, || level(value)),
            Role::SeverityNumber => {
                let number =
                    || i32::try_from(value.as_int()?).ok().filter(|number| (1..=24).contains(number));
                first(&mut self.severity_number, number)
            }
            Role::Body => first(&mut self.body, || (value != Value::Empty).then_some(value)),
            Role::Event => first(&mut self.event, || value.as_str().map(Value::Str)),
            Role::Logger => first(&mut self.logger, || value.as_str()),
            Role::Name => first(&mut self.name, || value.as_str()),
            Role::Service => first(&mut self.service, || value.as_str()),
            Role::TraceId => first(&mut self.trace_id, || hex(value.as_str()?)),
            Role::SpanId => first(&mut self.span_id, || hex(value.as_str()?)),
            Role::TraceFlags => first(&mut self.flags, || flags(value)),
            Role::Traceparent => self.traceparent(value),
            Role::Metadata => {
                self.ids_within(value);
                attributes(value, record)
            }
            Role::Stack => exception(value, record),
            Role::Error => pino_error(value, record),
            Role::Attribute(key) => {
                record.set_attribute(key, value);
                true
            }
        }
    }

    /// Flat JSON keeps the ids of a trace in `metadata`.
    fn ids_within(&mut self, value: Value<'_>) {
        let Value::Map(map) = value else { return };
        first(&mut self.trace_id, || hex(map.value("trace_id")?.as_str()?));
        first(&mut self.span_id, || hex(map.value("span_id")?.as_str()?));
    }

    /// W3C Trace Context, §3.2: `00-<trace id>-<span id>-<flags>`.
    fn traceparent(&mut self, value: Value<'_>) -> bool {
        let parse = || {
            let mut parts = value.as_str()?.split('-');
            let [Some(_), Some(trace), Some(span), Some(flags), None] = std::array::from_fn(|_| parts.next())
            else {
                return None;
            };
            Some((hex(trace)?, hex(span)?, hex::<1>(flags)?))
        };
        let Some((trace, span, [flags])) = parse() else { return false };
        self.trace_id.get_or_insert(trace);
        self.span_id.get_or_insert(span);
        self.flags.get_or_insert(flags.into());
        true
    }

    fn apply(self, line: Option<&str>, record: &mut RecordMut<'_>) {
        match (self.body, self.event) {
            (Some(body), event) => {
                record.set_body(body);
                event.into_iter().for_each(|event| record.set_attribute("event", event));
            }
            (None, Some(event)) => record.set_body(event),
            (None, None) => line.into_iter().for_each(|line| record.set_body(line)),
        }
        if let Some(time) = self.time {
            record.set_time_unix_nano(time);
        }
        if let Some((number, text)) = self.level {
            record.set_severity_number(self.severity_number.unwrap_or(number));
            record.set_severity_text(text);
        } else if let Some(number) = self.severity_number {
            record.set_severity_number(number);
        }
        if self.trace_id.is_some() || self.span_id.is_some() {
            let (trace, span) = (self.trace_id.unwrap_or_default(), self.span_id.unwrap_or_default());
            record.set_trace_context(trace, span, self.flags.unwrap_or(0));
        }
        if let Some(service) = self.service {
            record.set_resource(|resource| resource.set_attribute("service.name", service));
        }
        match (self.logger, self.name) {
            (Some(logger), name) => {
                record.set_scope_name(logger);
                name.into_iter().for_each(|name| record.set_attribute("name", name));
            }
            (None, Some(name)) if self.has_logger_key => record.set_scope_name(name),
            (None, Some(name)) => record.set_attribute("name", name),
            (None, None) => {}
        }
    }
}

/// Fills an empty place; says whether it did.
fn first<T>(slot: &mut Option<T>, value: impl FnOnce() -> Option<T>) -> bool {
    if slot.is_some() {
        return false;
    }
    *slot = value();
    slot.is_some()
}

fn time_of(value: Value<'_>, moment: Moment<'_>, layout: Option<&Layout>) -> Option<u64> {
    match value {
        Value::Str(text) => match layout {
            Some(layout) => layout.parse(text, moment.zone, moment.observed),
            None => time::detect(text, moment.zone, moment.observed),
        },
        Value::Int(number) => time::epoch(number),
        Value::Double(number) => time::epoch_double(number),
        _ => None,
    }
}

/// The `instant` of log4j2's JSON: `{"epochSecond":1734604215,"nanoOfSecond":123000000}`.
fn instant(value: Value<'_>) -> Option<u64> {
    let Value::Map(map) = value else { return None };
    let part = |key| u64::try_from(map.value(key)?.as_int()?).ok();
    part("epochSecond")?.checked_mul(1_000_000_000)?.checked_add(part("nanoOfSecond").unwrap_or(0))
}

/// The number of a level, 0 for one that is not known, and its text.
fn level(value: Value<'_>) -> Option<(i32, &str)> {
    match value {
        Value::Str(text) => {
            let mut letters = text.chars();
            let number = match (letters.next(), letters.next()) {
                (Some(letter), None) => severity::by_letter(letter),
                _ => severity::by_name(text),
            };
            Some((number.unwrap_or(0), text))
        }
        Value::Int(number @ 0..=7) => Some((severity::of_syslog(number)?, severity::syslog_name(number))),
        Value::Int(number) => {
            let number = severity::of_pino(number)?;
            Some((number, severity::name_of(number)))
        }
        _ => None,
    }
}

fn flags(value: Value<'_>) -> Option<u32> {
    match value {
        Value::Int(number) => u32::try_from(number).ok(),
        Value::Str(text) => hex::<1>(text).map(|[flags]| flags.into()),
        _ => None,
    }
}

/// Entries of an object that become attributes at most; one with more stays whole, because setting attributes takes time
/// that grows with the square of their number.
const ENTRIES_MAX: usize = 256;

/// Makes attributes of the entries of an object; says whether it did.
pub(crate) fn attributes(value: Value<'_>, record: &mut RecordMut<'_>) -> bool {
    let Value::Map(map) = value else { return false };
    let is_small = map.iter().nth(ENTRIES_MAX).is_none();
    if is_small {
        map.iter().for_each(|(key, value)| record.set_attribute(key, value));
    }
    is_small
}

fn exception(value: Value<'_>, record: &mut RecordMut<'_>) -> bool {
    let is_text = value.as_str().is_some_and(|text| !text.is_empty());
    if is_text {
        record.set_attribute("exception.stacktrace", value);
    }
    is_text
}

/// An error as pino writes it: `{"type":"Error","message":"…","stack":"…"}`, perhaps with more.
fn pino_error(value: Value<'_>, record: &mut RecordMut<'_>) -> bool {
    let Value::Map(map) = value else { return false };
    let text = |map: Map<'_>, key| map.value(key).is_some_and(|value| value.as_str().is_some());
    let is_error = text(map, "message") || text(map, "stack");
    if !is_error || map.iter().nth(ENTRIES_MAX).is_some() {
        return false;
    }
    for (key, value) in map.iter() {
        match key {
            "type" => record.set_attribute("exception.type", value),
            "message" => record.set_attribute("exception.message", value),
            "stack" => record.set_attribute("exception.stacktrace", value),
            other => record.set_attribute(&format!("exception.{other}"), value),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_with_those_of_its_length() {
        for (length, names) in ROLES.iter().enumerate() {
            for (name, role) in names.iter() {
                assert_eq!((name.len(), super::role(name)), (length, Some(*role)), "{name}");
            }
        }
        assert_eq!(ROLES.iter().map(|names| names.len()).sum::<usize>(), 70);
        assert_eq!(role("colour"), None);
    }
}
