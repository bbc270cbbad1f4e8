//! What the line of an entry is made of: the body, the whole record as JSON or logfmt, or a text with places.

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::json_text::{push_hex, push_json_string};
use watershed_pipeline::{LogRecord, Record, Value};

use super::value::{level, push_text};
use crate::flat_json;
use watershed_pipeline::calendar::Moment;

/// What the line of an entry is.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LineFormat {
    /// The body as text: maps and lists as JSON. Without a body, the name of the event.
    #[default]
    Body,
    /// The whole record as one flat JSON object, as the `stdout` exporter writes it.
    Json,
    /// `level=… msg=…` and the record's attributes.
    Logfmt,
    /// The text of `template`.
    Template,
}

/// The same with its template read.
pub(super) enum Line {
    Body,
    Json,
    Logfmt,
    Template(Vec<Part>),
}

/// A part of a template.
pub(super) enum Part {
    Text(String),
    Field(Field),
    Attribute(String),
    Resource(String),
}

/// What a place in a template can hold beside attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Body,
    Level,
    Logger,
    Event,
    Time,
    TraceId,
    SpanId,
}

const FIELDS: [(&str, Field); 7] = [
    ("body", Field::Body),
    ("level", Field::Level),
    ("logger", Field::Logger),
    ("event_name", Field::Event),
    ("time", Field::Time),
    ("trace_id", Field::TraceId),
    ("span_id", Field::SpanId),
];

impl Line {
    /// Reads the settings.
    ///
    /// # Errors
    /// Says what is wrong with the template.
    pub(super) fn new(format: LineFormat, template: Option<&str>) -> Result<Self, BuildError> {
        match (format, template) {
            (LineFormat::Template, Some(text)) => Ok(Self::Template(parse(text)?)),
            (LineFormat::Template, None) => {
                let message = "is missing; write one such as `{level} {body}`, or another `line`";
                Err(BuildError::at("template", message))
            }
            (_, Some(_)) => Err(BuildError::at("template", "is not used; set `line: template` or remove it")),
            (LineFormat::Body, None) => Ok(Self::Body),
            (LineFormat::Json, None) => Ok(Self::Json),
            (LineFormat::Logfmt, None) => Ok(Self::Logfmt),
        }
    }

    /// The line of a record: its body where that is a text already, else what is written into `scratch`.
    pub(super) fn of<'r>(
        &self,
        record: Record<'r>,
        log: LogRecord<'r>,
        scratch: &'r mut Vec<u8>,
    ) -> &'r [u8] {
        scratch.clear();
        match self {
            Self::Body => match log.body() {
                Some(Value::Str(text)) => return text.as_bytes(),
                Some(Value::Empty) | None => return log.event_name().as_bytes(),
                Some(value) => push_text(scratch, value),
            },
            Self::Json => flat_json::push_record(scratch, record),
            Self::Logfmt => push_logfmt(scratch, log),
            Self::Template(parts) => parts.iter().for_each(|part| part.push(scratch, log)),
        }
        scratch
    }
}

impl Part {
    fn push(&self, out: &mut Vec<u8>, log: LogRecord<'_>) {
        let value = match self {
            Self::Text(text) => return out.extend_from_slice(text.as_bytes()),
            Self::Field(field) => return field.push(out, log),
            Self::Attribute(key) => log.attribute(key),
            Self::Resource(key) => log.resource().attribute(key),
        };
        push_text(out, value.unwrap_or(Value::Empty));
    }
}

impl Field {
    fn push(self, out: &mut Vec<u8>, log: LogRecord<'_>) {
        match self {
            Self::Body => push_text(out, log.body().unwrap_or(Value::Empty)),
            Self::Level => out.extend_from_slice(level_or_text(log).as_bytes()),
            Self::Logger => out.extend_from_slice(log.scope().name().as_bytes()),
            Self::Event => out.extend_from_slice(log.event_name().as_bytes()),
            Self::Time => match log.time_unix_nano() {
                0 => Moment::from_unix_nano(log.observed_time_unix_nano()).push_iso(out),
                time => Moment::from_unix_nano(time).push_iso(out),
            },
            Self::TraceId => push_id(out, &log.trace_id()),
            Self::SpanId => push_id(out, &log.span_id()),
        }
    }
}

/// The level as Loki calls it, else as the source wrote it.
fn level_or_text<'r>(log: LogRecord<'r>) -> &'r str {
    level(log).unwrap_or_else(|| log.severity_text())
}

fn push_id(out: &mut Vec<u8>, id: &[u8]) {
    if id.iter().any(|byte| *byte != 0) {
        push_hex(out, id);
    }
}

/// Reads a template: `{place}` is replaced, `{{` and `}}` are single braces.
fn parse(template: &str) -> Result<Vec<Part>, BuildError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(place) = rest.find(['{', '}']) {
        let (before, from_brace) = rest.split_at(place);
        text.push_str(before);
        if let Some(after) = ["{{", "}}"].iter().find_map(|pair| from_brace.strip_prefix(*pair)) {
            text.push_str(from_brace.get(..1).unwrap_or_default());
            rest = after;
            continue;
        }
        let inside = from_brace.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let Some((name, after)) = inside else {
            let message = format!("has a single brace at `{from_brace}`; write `{{{{` or `}}}}` for a brace");
            return Err(BuildError::at("template", message));
        };
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text)));
        }
        parts.push(place_of(name)?);
        rest = after;
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

fn place_of(name: &str) -> Result<Part, BuildError> {
    if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
        return Ok(Part::Field(*field));
    }
    match name.split_once('.') {
        Some(("attribute", key)) if !key.is_empty() => Ok(Part::Attribute(key.to_owned())),
        Some(("resource", key)) if !key.is_empty() => Ok(Part::Resource(key.to_owned())),
        _ => {
            let known: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "`{{{name}}}` is no place; there are {}, `attribute.<key>` and `resource.<key>`",
                known.join(", ")
            );
            Err(BuildError::at("template", message))
        }
    }
}

fn push_logfmt(out: &mut Vec<u8>, log: LogRecord<'_>) {
    push_logfmt_pair(out, "level", level_or_text(log).as_bytes());
    let mut text = Vec::new();
    match log.body() {
        Some(Value::Str(body)) => push_logfmt_pair(out, "msg", body.as_bytes()),
        body => {
            push_text(&mut text, body.unwrap_or(Value::Empty));
            push_logfmt_pair(out, "msg", &text);
        }
    }
    push_logfmt_pair(out, "event", log.event_name().as_bytes());
    push_logfmt_pair(out, "logger", log.scope().name().as_bytes());
    for (key, value) in log.attributes().iter() {
        text.clear();
        push_text(&mut text, value);
        push_logfmt_pair(out, key, &text);
    }
    for (key, id) in [("trace_id", &log.trace_id()[..]), ("span_id", &log.span_id()[..])] {
        text.clear();
        push_id(&mut text, id);
        push_logfmt_pair(out, key, &text);
    }
}

/// Appends `key=value`, the value in quotes where it needs them; nothing for an empty value.
fn push_logfmt_pair(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push(b' ');
    }
    let is_plain = |byte: u8| byte > b' ' && byte != b'"' && byte != b'=' && byte != b'\\' && byte != 0x7f;
    out.extend(key.bytes().map(|byte| if is_plain(byte) { byte } else { b'_' }));
    out.push(b'=');
    if value.iter().copied().all(is_plain) {
        out.extend_from_slice(value);
    } else {
        push_json_string(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watershed_pipeline::{AnyValue, Batch, Signal};

    #[track_caller]
    fn check(format: LineFormat, template: Option<&str>, expected: &str) {
        let batch = Batch::builder(Signal::Logs)
            .resource(|resource| resource.set_attribute("host.name", "h1"))
            .scope("orders", "", |_| ())
            .record(|log| {
                log.set_time_unix_nano(1_767_225_599_123_456_789);
                log.set_severity_number(13);
                log.set_body("slow \"query\"");
                log.set_attribute("db.name", "shop");
                log.set_attribute("rows read", 7_i64);
                log.set_trace_context([0xab; 16], [0; 8], 0);
            })
            .build();
        let record = batch.records().next().unwrap();
        let mut scratch = Vec::new();
        let line = Line::new(format, template).unwrap();
        assert_eq!(String::from_utf8_lossy(line.of(record, record.log().unwrap(), &mut scratch)), expected);
    }

    #[test]
    fn a_line_has_the_format_that_was_asked_for() {
        check(LineFormat::Body, None, "slow \"query\"");
        check(
            LineFormat::Logfmt,
            None,
            "level=warn msg=\"slow \\\"query\\\"\" logger=orders db.name=shop rows_read=7 trace_id=abababababababababababababababab",
        );
        check(
            LineFormat::Template,
            Some(
                "{time} [{level}] {{{logger}}} {body} db={attribute.db.name} on {resource.host.name}{attribute.no}{span_id}!",
            ),
            "2025-12-31T23:59:59.123Z [warn] {orders} slow \"query\" db=shop on h1!",
        );
    }

    #[test]
    fn a_json_line_is_the_flat_object() {
        let batch = Batch::builder(Signal::Logs).record(|log| log.set_body("hi")).build();
        let record = batch.records().next().unwrap();
        let mut scratch = Vec::new();
        let line = Line::new(LineFormat::Json, None).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(line.of(record, record.log().unwrap(), &mut scratch)).unwrap();
        assert_eq!(json["message"], "hi");
    }

    #[test]
    fn a_body_with_structure_is_json_and_none_at_all_is_the_event() {
        let body = AnyValue::Map(vec![("a".into(), 1_i64.into())]);
        let batch = Batch::builder(Signal::Logs)
            .record(|log| log.set_body(&body))
            .record(|log| log.set_event_name("login"))
            .build();
        let mut scratch = Vec::new();
        let lines: Vec<String> = batch
            .records()
            .map(|record| {
                let line = Line::Body.of(record, record.log().unwrap(), &mut scratch);
                String::from_utf8_lossy(line).into_owned()
            })
            .collect();
        assert_eq!(lines, [r#"{"a":1}"#, "login"]);
    }

    #[test]
    fn a_template_that_cannot_work_is_refused_with_advice() {
        for (template, message) in [
            ("{bdy}", "template: `{bdy}` is no place; there are body, level"),
            ("{attribute.}", "is no place"),
            ("a { b", "has a single brace at `{ b`"),
            ("a } b", "has a single brace at `} b`"),
        ] {
            let error = Line::new(LineFormat::Template, Some(template)).err().unwrap().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(Line::new(LineFormat::Template, None).is_err());
        assert!(Line::new(LineFormat::Json, Some("{body}")).is_err());
    }
}
