//! Flat JSON, NDJSON and lines of text: what any client can send.
//!
//! Keys are read as `parsers/keys.rs` says: watershed's own flat JSON (`timestamp`, `level`, `logger`, `message`,
//! `correlation_id`, `user_id`, `operation`, `service`, `module`, `metadata`) and what loggers in common use write. Beside
//! these, `date` is the time and `hostname` becomes `host.name` of the resource. Any other key is an attribute.
//!
//! Answers 200 with `{"accepted":10,"rejected":0}` and, when some records were left out, `errors` as in a refusal.

use http::{Response, StatusCode};
use serde::Serialize;

use super::content::Content;
use super::fault::{Fault, Rejection, json};
use super::items::{each_line, each_object};
use super::mapping::{Names, apply};
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
            records.push(|log| apply(item.entries.iter(), &NAMES, now, log))
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

/// What has another name here.
pub(super) const NAMES: Names =
    Names { keys: &[("date", "timestamp"), ("pid", "process.pid")], resource: &[("hostname", "host.name")] };
