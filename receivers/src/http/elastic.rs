//! Bulk requests as clients of Elasticsearch send them (Elasticsearch 8, "Bulk API"), answered in its words.
//!
//! `create` and `index` make a record of the document; `update` and `delete` are refused, because a log is never changed.
//! Documents are read by the names of the Elastic Common Schema, nested or with points (`log.level`, `log.logger`,
//! `service.name`, `host.name`, `trace.id`, `span.id`), and else as flat JSON; other nested keys become attributes with
//! points. The index becomes `elastic.index`, an `_id` `log.record.uid`.
//!
//! `GET /` answers what clients ask before they send. Templates and lifecycle policies are not there: for Filebeat set
//! `setup.template.enabled: false` and `setup.ilm.enabled: false`.

use http::{HeaderValue, Method, Response, StatusCode};
use serde::Serialize;
use watershed_pipeline::parse::{Entries, Fields, json as reader};
use watershed_pipeline::{RecordMut, Value};

use super::content::Declared;
use super::fault::{Fault, json, refusal};
use super::items::{Spot, lines};
use super::mapping::{ENTRIES_MAX, Names, apply};
use super::preset::{Form, Place, Sent};
use super::records::{Outcome, Records};
use crate::server::Reply;
use crate::server::failure::Kind;

/// The version that clients are told. Those of version 8 go on with it, and those of 7.14 and later too.
const VERSION: &str = "8.17.0";
/// How deep nested keys are joined with points; what is deeper stays an object.
const DEPTH_MAX: usize = 4;

/// What stands at a path.
pub(super) fn place(method: &Method, path: &str) -> Option<Place> {
    let is_root = path == "/" && (*method == Method::GET || *method == Method::HEAD);
    if is_root {
        return Some(Place::Page(root));
    }
    let index = path.strip_suffix("/_bulk")?;
    let is_index = index.is_empty() || index.strip_prefix('/').is_some_and(|index| !index.contains('/'));
    is_index.then_some(Place::Take(&Bulk))
}

/// Bulk requests.
pub(super) struct Bulk;

/// What is done with a document.
#[derive(Clone, Copy)]
enum Action {
    Create,
    Index,
    Update,
    Delete,
}

impl Action {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Create, "create"),
        (Self::Index, "index"),
        (Self::Update, "update"),
        (Self::Delete, "delete"),
    ];

    fn of(entries: Entries<'_>) -> Option<(Self, Value<'_>)> {
        let (name, details) = entries.iter().next()?;
        let (action, _) = Self::ALL.into_iter().find(|(_, known)| *known == name)?;
        Some((action, details))
    }
}

impl Form for Bulk {
    fn takes(&self, declared: Declared) -> bool {
        matches!(declared, Declared::Json | Declared::JsonLines)
    }

    fn decode(&self, sent: &Sent<'_>, records: &mut Records<'_>) -> Result<(), Fault> {
        let (text, now) = (sent.text()?, records.now());
        let at = |offset| Spot::new(text, offset).position();
        let (mut head, mut fields) = (Fields::default(), Fields::default());
        let mut lines = lines(text).filter(|(start, end)| start < end);
        while let Some((start, end)) = lines.next() {
            let line = text.get(start..end).unwrap_or_default();
            let entries = reader::read(line, &mut head)
                .map_err(|error| records.fault(at(start + error.offset), None, &error.reason.to_string()))?;
            let Some((action, details)) = Action::of(entries) else {
                return Err(records.fault(at(start), None, "an action is `create` or `index`"));
            };
            records.note(action as u8);
            if matches!(action, Action::Delete) {
                records.reject(at(start), None, "a log cannot be deleted")?;
                continue;
            }
            let Some((from, to)) = lines.next() else {
                return Err(records.fault(at(end), None, "the document is missing behind the action"));
            };
            if matches!(action, Action::Update) {
                records.reject(at(start), None, "a log cannot be updated")?;
                continue;
            }
            match reader::read(text.get(from..to).unwrap_or_default(), &mut fields) {
                Ok(document) => records.push(|log| {
                    flatten(document.iter(), now, log);
                    name(sent.path, details, log);
                })?,
                Err(error) => records.reject(at(from + error.offset), None, &error.reason.to_string())?,
            }
        }
        Ok(())
    }

    fn accepted(&self, outcome: &Outcome) -> Response<Reply> {
        #[derive(Serialize)]
        struct Items<'a> {
            took: u32,
            errors: bool,
            items: Vec<std::collections::BTreeMap<&'static str, Item<'a>>>,
        }
        #[derive(Serialize)]
        struct Item<'a> {
            status: u16,
            #[serde(skip_serializing_if = "Option::is_none")]
            result: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<Reason<'a>>,
        }
        let mut rejected = outcome.rejected.iter().peekable();
        let item = |(index, action): (usize, &u8)| {
            let name = Action::ALL.get(usize::from(*action)).map_or("create", |(_, name)| name);
            let item = match rejected.next_if(|rejection| rejection.index == index) {
                None => Item { status: 201, result: Some("created"), error: None },
                Some(rejection) => {
                    let error = Reason { kind: "document_parsing_exception", reason: &rejection.detail };
                    Item { status: 400, result: None, error: Some(error) }
                }
            };
            [(name, item)].into()
        };
        let items = outcome.notes.iter().enumerate().map(item).collect();
        let errors = !outcome.rejected.is_empty();
        product(json(StatusCode::OK, &Items { took: 0, errors, items }))
    }

    fn refused(&self, fault: &Fault) -> Response<Reply> {
        #[derive(Serialize)]
        struct Refused<'a> {
            error: Error<'a>,
            status: u16,
        }
        #[derive(Serialize)]
        struct Error<'a> {
            root_cause: [Reason<'a>; 1],
            #[serde(flatten)]
            reason: Reason<'a>,
        }
        let kind = match fault.failure.kind {
            Kind::CredentialsMissing | Kind::CredentialsInvalid | Kind::Forbidden | Kind::Origin => {
                "security_exception"
            }
            Kind::Memory | Kind::Busy | Kind::Rate => "es_rejected_execution_exception",
            _ => "illegal_argument_exception",
        };
        let reason = Reason { kind, reason: &fault.failure.text };
        let status = fault.failure.kind.http();
        let body = Refused { error: Error { root_cause: [reason], reason }, status: status.as_u16() };
        product(refusal(status, &fault.failure, "application/json", &body))
    }
}

#[derive(Clone, Copy, Serialize)]
struct Reason<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    reason: &'a str,
}

/// Clients of Elasticsearch talk to nobody who does not say this (since 7.14).
fn product(mut response: Response<Reply>) -> Response<Reply> {
    response.headers_mut().insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    response
}

fn root() -> Response<Reply> {
    #[derive(Serialize)]
    struct Root {
        name: &'static str,
        cluster_name: &'static str,
        version: Version,
        tagline: &'static str,
    }
    #[derive(Serialize)]
    struct Version {
        number: &'static str,
        build_flavor: &'static str,
    }
    let version = Version { number: VERSION, build_flavor: "default" };
    let root =
        Root { name: "watershed", cluster_name: "watershed", version, tagline: "You Know, for Search" };
    product(json(StatusCode::OK, &root))
}

/// Says which index and which document a record was meant to be.
fn name(path: &str, details: Value<'_>, log: &mut RecordMut<'_>) {
    let detail =
        |key| if let Value::Map(map) = details { map.value(key).and_then(Value::as_str) } else { None };
    let of_path = path.strip_suffix("/_bulk").map(|index| index.trim_start_matches('/'));
    if let Some(index) = detail("_index").or(of_path).filter(|index| !index.is_empty()) {
        log.set_attribute("elastic.index", index);
    }
    if let Some(id) = detail("_id") {
        log.set_attribute("log.record.uid", id);
    }
}

/// Puts a document on a record, joining nested keys with points.
fn flatten<'v>(entries: impl Iterator<Item = (&'v str, Value<'v>)>, now: u64, log: &mut RecordMut<'_>) {
    let mut joined: Vec<(String, Value<'v>)> = Vec::new();
    let mut plain: Vec<(&'v str, Value<'v>)> = Vec::new();
    for (key, value) in entries {
        match value {
            Value::Map(_) => join(key, value, 1, &mut joined),
            _ => plain.push((key, value)),
        }
    }
    let joined = joined.iter().map(|(key, value)| (key.as_str(), *value));
    apply(plain.into_iter().chain(joined), &NAMES, now, log);
}

fn join<'v>(path: &str, value: Value<'v>, depth: usize, out: &mut Vec<(String, Value<'v>)>) {
    match value {
        Value::Map(map)
            if depth < DEPTH_MAX && out.len() + map.iter().take(ENTRIES_MAX).count() < ENTRIES_MAX =>
        {
            map.iter().for_each(|(key, value)| join(&format!("{path}.{key}"), value, depth + 1, out));
        }
        _ => out.push((path.to_owned(), value)),
    }
}

const NAMES: Names = Names {
    keys: &[("error.type", "exception.type"), ("error.message", "exception.message")],
    resource: &[
        ("service.version", "service.version"),
        ("service.environment", "deployment.environment.name"),
        ("host.name", "host.name"),
        ("hostname", "host.name"),
    ],
};
