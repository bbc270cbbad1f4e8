//! Flat JSON, NDJSON and lines of text: what any client can send.
//!
//! | key | becomes |
//! | --- | --- |
//! | `timestamp`, `@timestamp`, `time`, `ts`, `datetime`, `date` | time |
//! | `level`, `severity`, `levelname`, `log.level` | severity |
//! | `message`, `msg`, `event` | body |
//! | `logger`, `logger_name` | name of the scope |
//! | `correlation_id`, `user_id`, `operation`, `module` | `correlation.id`, `user.id`, `operation.name`, `log.module` |
//! | `service`, `hostname` | `service.name`, `host.name` of the resource |
//! | `trace_id`, `traceId`, `span_id`, `spanId` | trace context |
//! | `exc_info`, `stack`, `pid` | `exception.stacktrace`, `exception.stacktrace`, `process.pid` |
//! | `metadata` | attributes, one for each of its keys |
//! | any other | attribute |
//!
//! Answers 200 with `{"accepted":10,"rejected":0}` and, when some records were left out, `errors` as in a refusal.

use http::{Response, StatusCode};
use serde::Serialize;

use super::content::Content;
use super::fault::{Fault, Rejection, json};
use super::items::{each_line, each_object};
use super::mapping::{Role, apply};
use super::preset::{Form, Sent};
use super::records::{Outcome, Records};
use crate::server::Reply;

/// Flat JSON, NDJSON and lines of text.
pub(super) struct Flat;

#[derive(Serialize)]
struct Accepted<'a> {
    accepted: usize,
    rejected: usize,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Rejection],
}

impl Form for Flat {
    fn decode(&self, sent: &Sent<'_>, records: &mut Records<'_>) -> Result<(), Fault> {
        let text = sent.text()?;
        if sent.content == Content::Text {
            return each_line(text, |line| records.push(|log| log.set_body(line)));
        }
        let now = records.now();
        each_object(text, sent.content, records, |records, item| {
            records.push(|log| apply(item.entries.iter(), role, now, log))
        })
    }

    fn accepted(&self, outcome: &Outcome) -> Response<Reply> {
        accepted(outcome)
    }
}

/// The answer that counts.
pub(super) fn accepted(outcome: &Outcome) -> Response<Reply> {
    let Outcome { taken, rejected, .. } = outcome;
    json(StatusCode::OK, &Accepted { accepted: *taken, rejected: rejected.len(), errors: rejected })
}

/// What a key says about a record.
pub(super) fn role(key: &str) -> Option<Role> {
    Some(match key {
        "timestamp" | "@timestamp" | "time" | "ts" | "datetime" | "date" => Role::Time,
        "level" | "severity" | "levelname" | "log.level" => Role::Severity,
        "message" | "msg" | "event" => Role::Body,
        "logger" | "logger_name" => Role::Scope,
        "correlation_id" => Role::Attribute("correlation.id"),
        "user_id" => Role::Attribute("user.id"),
        "operation" => Role::Attribute("operation.name"),
        "module" => Role::Attribute("log.module"),
        "service" => Role::Resource("service.name"),
        "hostname" => Role::Resource("host.name"),
        "trace_id" | "traceId" => Role::Trace,
        "span_id" | "spanId" => Role::Span,
        "exc_info" | "stack" => Role::Attribute("exception.stacktrace"),
        "pid" => Role::Attribute("process.pid"),
        "metadata" => Role::Attributes,
        _ => return None,
    })
}
