//! Push requests of Loki, as Promtail, Alloy and many libraries send them (Loki 3, "Ingest logs").
//!
//! The body is protobuf compressed with snappy, or JSON. The labels of a stream become attributes of the resource, with
//! `service_name`, `service_namespace` and `deployment_environment_name` as `service.name` and so on; structured
//! metadata becomes attributes, of which `trace_id` and `span_id` are the trace context; the line is the body. A `level`
//! or `detected_level` among either is the severity. Answers 204.

mod labels;
mod wire;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use watershed_pipeline::parse::{hex, severity};
use watershed_pipeline::{AttributesMut, RecordMut, Value};

use super::content::{Content, Declared};
use super::fault::{Fault, retry_after};
use super::items::{Item, each_object};
use super::preset::{Form, Sent};
use super::records::{Outcome, Records};
use super::service::empty;
use crate::server::Reply;

/// Where it sends.
pub(super) const PATH: &str = "/loki/api/v1/push";

/// Labels that stand for an attribute with points in its name, which labels cannot have.
const RENAMED: [(&str, &str); 4] = [
    ("service_name", "service.name"),
    ("service_namespace", "service.namespace"),
    ("service_instance_id", "service.instance.id"),
    ("deployment_environment_name", "deployment.environment.name"),
];

/// Labels of a stream, and pairs of metadata of a line: attributes are set in time that grows with the square of their
/// number. Loki allows 15 and 128.
const PAIRS_MAX: usize = 256;

/// Push requests.
pub(super) struct Push;

impl Form for Push {
    fn takes(&self, declared: Declared) -> bool {
        matches!(declared, Declared::Protobuf | Declared::Json | Declared::Text)
    }

    fn decode(&self, sent: &Sent<'_>, records: &mut Records<'_>) -> Result<(), Fault> {
        if sent.content == Content::Protobuf {
            return wire::decode(sent.body, records);
        }
        each_object(sent.text()?, Content::Json, records, streams)
    }

    fn accepted(&self, _: &Outcome) -> Response<Reply> {
        empty(StatusCode::NO_CONTENT)
    }

    fn refused(&self, fault: &Fault) -> Response<Reply> {
        let mut response = Response::new(Reply::new(fault.failure.text.clone().into()));
        *response.status_mut() = fault.failure.kind.http();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        retry_after(&fault.failure, response)
    }
}

/// `{"streams":[{"stream":{…},"values":[["<nanoseconds>","<line>",{…}]]}]}`
fn streams(records: &mut Records<'_>, item: Item<'_>) -> Result<(), Fault> {
    let Some(Value::Array(streams)) = item.entries.value("streams") else {
        return Err(records.fault(item.spot.position(), Some("streams"), "`streams` is no list"));
    };
    for stream in streams.iter() {
        let Value::Map(stream) = stream else {
            return Err(records.fault(item.spot.position(), Some("streams"), "a stream is no object"));
        };
        let level = match stream.value("stream") {
            Some(Value::Map(labels)) if labels.iter().nth(PAIRS_MAX).is_none() => {
                let labels = labels.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
                begin(labels.clone(), records);
                level(labels)
            }
            _ => {
                return Err(records.fault(
                    item.spot.position(),
                    Some("stream"),
                    "`stream` is no object of at most 256 labels",
                ));
            }
        };
        let Some(Value::Array(values)) = stream.value("values") else {
            return Err(records.fault(item.spot.position(), Some("values"), "`values` is no list"));
        };
        for value in values.iter() {
            entry(records, item, level, value)?;
        }
    }
    Ok(())
}

/// `["<nanoseconds>","<line>",{…}]`
fn entry(
    records: &mut Records<'_>,
    item: Item<'_>,
    level: Option<&str>,
    value: Value<'_>,
) -> Result<(), Fault> {
    let wrong = "a value is no list of a time in nanoseconds, as text, and a line";
    let Value::Array(parts) = value else {
        return records.reject(item.spot.position(), Some("values"), wrong);
    };
    let mut parts = parts.iter();
    let (time, line, metadata) = (parts.next(), parts.next(), parts.next());
    let time = time.and_then(Value::as_str).and_then(|time| time.parse().ok());
    let (Some(time), Some(line)) = (time, line.and_then(Value::as_str)) else {
        return records.reject(item.spot.position(), Some("values"), wrong);
    };
    let metadata = if let Some(Value::Map(metadata)) = metadata { Some(metadata) } else { None };
    if metadata.is_some_and(|metadata| metadata.iter().nth(PAIRS_MAX).is_some()) {
        return records.reject(
            item.spot.position(),
            Some("values"),
            "a line has more than 256 pairs of metadata",
        );
    }
    records.push(|log| {
        log.set_time_unix_nano(time);
        log.set_body(line);
        if let Some(metadata) = metadata {
            metadata.iter().for_each(|(name, value)| describe(name, value, log));
        }
        put_level(level, log);
    })
}

/// Begins the resource of a stream.
fn begin<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>, records: &mut Records<'_>) {
    records.resource(|resource: &mut AttributesMut<'_>| {
        for (name, value) in labels {
            let renamed = RENAMED.iter().find(|(label, _)| *label == name);
            resource.set_attribute(renamed.map_or(name, |(_, name)| name), value);
        }
    });
}

/// The level among labels.
fn level<'l>(mut labels: impl Iterator<Item = (&'l str, &'l str)>) -> Option<&'l str> {
    labels.find(|(name, _)| is_level(name)).map(|(_, value)| value)
}

fn is_level(name: &str) -> bool {
    matches!(name, "level" | "detected_level")
}

/// Puts structured metadata on a record.
fn describe(name: &str, value: Value<'_>, log: &mut RecordMut<'_>) {
    let text = value.as_str().unwrap_or_default();
    let (mut trace, mut span) = log.log().map(|log| (log.trace_id(), log.span_id())).unwrap_or_default();
    let is_used = match name {
        "trace_id" => hex(text).map(|id| trace = id).is_some(),
        "span_id" => hex(text).map(|id| span = id).is_some(),
        _ => false,
    };
    if is_used {
        log.set_trace_context(trace, span, 0);
    } else {
        log.set_attribute(name, value);
    }
    if is_level(name) {
        put_level(value.as_str(), log);
    }
}

fn put_level(level: Option<&str>, log: &mut RecordMut<'_>) {
    if let Some(level) = level
        && log.log().is_some_and(|log| log.severity_text().is_empty())
    {
        log.set_severity_text(level);
        log.set_severity_number(severity::by_name(level).unwrap_or(0));
    }
}
