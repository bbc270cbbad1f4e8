//! Splunk's HTTP Event Collector (Splunk 9, "Format events for HTTP Event Collector" and "Troubleshoot HEC").
//!
//! `/services/collector` and `/services/collector/event` take events, one behind the other or in a list;
//! `/services/collector/raw` takes lines; `/services/collector/health` is a page. An `event` that is text is the body; of
//! an object the keys are read as flat JSON. `time` is the time, `host` becomes `host.name`, and `source`, `sourcetype`
//! and `index` become `com.splunk.source`, `com.splunk.sourcetype` and `com.splunk.index`, all of the resource; `fields`
//! are attributes. For raw lines these four come from the query.
//!
//! Answers 200 with `{"text":"Success","code":0}`. Everything is stored before that, so there is no acknowledgement to
//! ask for later: leave `useACK` off. Metrics (`"event":"metric"`) are records with attributes.

use http::{Response, StatusCode};
use serde::Serialize;
use watershed_pipeline::parse::Entries;
use watershed_pipeline::{RecordMut, Value};

use super::fault::{Fault, json, refusal};
use super::flat;
use super::items::{Item, each_line, each_object};
use super::mapping::{ENTRIES_MAX, apply, unix_nano};
use super::preset::{Form, Place, Sent};
use super::records::{Outcome, Records};
use crate::parsers::keys::attributes;
use crate::server::Reply;
use crate::server::failure::{Failure, Kind};

/// Keys that describe the source of events, and the attributes of the resource that they become.
const SOURCES: [(&str, &str); 4] = [
    ("host", "host.name"),
    ("source", "com.splunk.source"),
    ("sourcetype", "com.splunk.sourcetype"),
    ("index", "com.splunk.index"),
];

/// What stands at a path.
pub(super) fn place(path: &str) -> Option<Place> {
    let path = path.strip_prefix("/services/collector")?;
    match path.strip_suffix("/1.0").unwrap_or(path) {
        "" | "/event" => Some(Place::Take(&Events)),
        "/raw" => Some(Place::Take(&Raw)),
        "/health" => Some(Place::Health(&Events)),
        _ => None,
    }
}

/// Events in JSON.
struct Events;

/// Lines.
struct Raw;

/// What Splunk answers.
#[derive(Serialize)]
struct Status<'a> {
    text: &'a str,
    code: u32,
    #[serde(rename = "invalid-event-number", skip_serializing_if = "Option::is_none")]
    event: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl Form for Events {
    fn decode(&self, sent: &Sent<'_>, records: &mut Records<'_>) -> Result<(), Fault> {
        each_object(sent.text()?, sent.content.or_json(), records, event)?;
        expect_some(records)
    }

    fn accepted(&self, _: &Outcome) -> Response<Reply> {
        success("Success", 0)
    }

    fn refused(&self, fault: &Fault) -> Response<Reply> {
        refused(fault)
    }

    fn healthy(&self) -> Response<Reply> {
        success("HEC is healthy", 17)
    }
}

impl Form for Raw {
    fn decode(&self, sent: &Sent<'_>, records: &mut Records<'_>) -> Result<(), Fault> {
        let now = records.now();
        let time = sent.query_field("time").and_then(|time| unix_nano(Value::Str(&time), now));
        let sources = SOURCES.map(|(key, name)| (name, sent.query_field(key)));
        records.resource(|resource| {
            for (name, value) in &sources {
                value.iter().for_each(|value| resource.set_attribute(name, value.as_str()));
            }
        });
        each_line(sent.text()?, |line| {
            records.push(|log| {
                log.set_body(line);
                log.set_time_unix_nano(time.unwrap_or(0));
            })
        })?;
        expect_some(records)
    }

    fn accepted(&self, _: &Outcome) -> Response<Reply> {
        success("Success", 0)
    }

    fn refused(&self, fault: &Fault) -> Response<Reply> {
        refused(fault)
    }
}

/// Makes a record of one event.
fn event(records: &mut Records<'_>, item: Item<'_>) -> Result<(), Fault> {
    let (now, entries) = (records.now(), item.entries);
    match entries.value("event") {
        None => records.reject(item.spot.position(), Some("event"), "Event field is required"),
        Some(Value::Empty | Value::Str("")) => {
            records.reject(item.spot.position(), Some("event"), "Event field cannot be blank")
        }
        Some(event) => records.push(|log| {
            describe(entries, now, log);
            match event {
                Value::Map(map) if map.iter().nth(ENTRIES_MAX).is_none() => {
                    apply(map.iter(), &flat::NAMES, now, log)
                }
                event => log.set_body(event),
            }
        }),
    }
}

/// Puts what stands beside the event on its record.
fn describe(entries: Entries<'_>, now: u64, log: &mut RecordMut<'_>) {
    log.set_resource(|resource| {
        for (key, name) in SOURCES {
            let value = entries.value(key).filter(|value| *value != Value::Empty);
            value.into_iter().for_each(|value| resource.set_attribute(name, value));
        }
    });
    for (key, value) in entries.iter() {
        let is_used = match key {
            "event" => true,
            "fields" => attributes(value, log),
            "time" => unix_nano(value, now).inspect(|time| log.set_time_unix_nano(*time)).is_some(),
            key => SOURCES.iter().any(|(known, _)| *known == key),
        };
        if !is_used {
            log.set_attribute(key, value);
        }
    }
}

fn expect_some(records: &Records<'_>) -> Result<(), Fault> {
    if records.count() > 0 { Ok(()) } else { Err(Failure::new(Kind::Empty, "No data").into()) }
}

fn success(text: &str, code: u32) -> Response<Reply> {
    json(StatusCode::OK, &Status { text, code, event: None, detail: None })
}

fn refused(fault: &Fault) -> Response<Reply> {
    let Fault { failure, rejected } = fault;
    let first = rejected.first();
    let (status, text, code) = match failure.kind {
        Kind::CredentialsMissing => (StatusCode::UNAUTHORIZED, "Token is required", 2),
        Kind::CredentialsInvalid => (StatusCode::FORBIDDEN, "Invalid token", 4),
        Kind::Forbidden | Kind::Origin => (StatusCode::FORBIDDEN, "Token disabled", 1),
        Kind::Empty => (StatusCode::BAD_REQUEST, "No data", 5),
        Kind::Invalid => match first.map(|rejection| rejection.detail.as_str()) {
            Some(text @ "Event field is required") => (StatusCode::BAD_REQUEST, text, 12),
            Some(text @ "Event field cannot be blank") => (StatusCode::BAD_REQUEST, text, 13),
            _ => (StatusCode::BAD_REQUEST, "Invalid data format", 6),
        },
        Kind::Memory | Kind::Busy | Kind::Slow | Kind::Rate => (failure.kind.http(), "Server is busy", 9),
        kind => (kind.http(), failure.text.as_str(), 6),
    };
    let detail = Some(failure.text.as_str()).filter(|detail| *detail != text);
    let body = Status { text, code, event: first.map(|rejection| rejection.index), detail };
    refusal(status, failure, "application/json", &body)
}
