//! Logs as Datadog's agent and libraries send them (Datadog API v2, "Send logs").
//!
//! `message` is the body, `status` the severity, `service` and `hostname` are attributes of the resource, `timestamp` is
//! in milliseconds, `ddsource` becomes `datadog.log.source`. Of `ddtags`, `env` and `version` become
//! `deployment.environment.name` and `service.version`, other tags attributes; a tag without a value is true. The query
//! may have `ddsource`, `ddtags`, `service` and `hostname` too, for records that do not. Answers 202 with `{}`.

use http::{Response, StatusCode};
use serde::Serialize;
use watershed_pipeline::{RecordMut, Value};

use super::content::Content;
use super::fault::{Fault, json, refusal};
use super::items::{each_line, each_object};
use super::mapping::{Names, apply};
use super::preset::{Form, Sent};
use super::records::{Outcome, Records};
use crate::server::Reply;
use crate::server::failure::Kind;

/// Where it sends.
pub(super) const PATHS: [&str; 2] = ["/api/v2/logs", "/v1/input"];

/// Logs of Datadog.
pub(super) struct Logs;

impl Form for Logs {
    fn decode(&self, sent: &Sent<'_>, records: &mut Records<'_>) -> Result<(), Fault> {
        let (text, now) = (sent.text()?, records.now());
        let common = Common::of(sent);
        if sent.content == Content::Text {
            return each_line(text, |line| {
                records.push(|log| {
                    log.set_body(line);
                    common.put(log);
                })
            });
        }
        each_object(text, sent.content, records, |records, item| {
            // The agent sends an empty object to see whether somebody is there.
            if item.entries.is_empty() {
                return Ok(());
            }
            records.push(|log| {
                apply(item.entries.iter().filter(|(key, _)| *key != "ddtags"), &NAMES, now, log);
                let list = item.entries.value("ddtags");
                list.and_then(Value::as_str).into_iter().for_each(|list| tags(list, log));
                common.put(log);
            })
        })
    }

    fn accepted(&self, _: &Outcome) -> Response<Reply> {
        #[derive(Serialize)]
        struct Empty {}
        json(StatusCode::ACCEPTED, &Empty {})
    }

    fn refused(&self, fault: &Fault) -> Response<Reply> {
        #[derive(Serialize)]
        struct Errors<'a> {
            errors: [Problem<'a>; 1],
        }
        #[derive(Serialize)]
        struct Problem<'a> {
            status: &'a str,
            title: &'a str,
            detail: &'a str,
        }
        // What Datadog answers to a wrong key.
        let status = match fault.failure.kind {
            Kind::CredentialsInvalid => StatusCode::FORBIDDEN,
            kind => kind.http(),
        };
        let title = status.canonical_reason().unwrap_or_default();
        let problem = Problem { status: status.as_str(), title, detail: &fault.failure.text };
        refusal(status, &fault.failure, "application/json", &Errors { errors: [problem] })
    }
}

/// What the query says of all records.
struct Common {
    source: Option<String>,
    service: Option<String>,
    host: Option<String>,
    tags: Option<String>,
}

impl Common {
    fn of(sent: &Sent<'_>) -> Self {
        let field = |name| sent.query_field(name);
        Self {
            source: field("ddsource"),
            service: field("service"),
            host: field("hostname"),
            tags: field("ddtags"),
        }
    }

    fn put(&self, log: &mut RecordMut<'_>) {
        self.tags.iter().for_each(|list| tags(list, log));
        if let Some(source) = &self.source
            && log.attribute("datadog.log.source").is_none()
        {
            log.set_attribute("datadog.log.source", source.as_str());
        }
        for (key, value) in [("service.name", &self.service), ("host.name", &self.host)] {
            if let Some(value) = value
                && log.resource().attribute(key).is_none()
            {
                log.set_resource(|resource| resource.set_attribute(key, value.as_str()));
            }
        }
    }
}

/// Tags of a list that become attributes at most; a longer list stays one text.
const TAGS_MAX: usize = 256;

/// Puts a list of tags, `env:prod,version:1.2,canary`, on a record that does not have them.
fn tags(list: &str, log: &mut RecordMut<'_>) {
    if list.split(',').nth(TAGS_MAX).is_some() {
        log.set_attribute("ddtags", list);
        return;
    }
    for tag in list.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        let (key, value) = tag.split_once(':').map_or((tag, None), |(key, value)| (key, Some(value)));
        let resource = match key {
            "env" => Some("deployment.environment.name"),
            "version" => Some("service.version"),
            _ => None,
        };
        match (resource, value) {
            (Some(name), Some(value)) if log.resource().attribute(name).is_none() => {
                log.set_resource(|resource| resource.set_attribute(name, value));
            }
            (Some(_), Some(_)) => {}
            (_, _) if log.attribute(key).is_some() => {}
            (_, Some(value)) => log.set_attribute(key, value),
            (_, None) => log.set_attribute(key, true),
        }
    }
}

const NAMES: Names = Names {
    keys: &[("status", "level"), ("ddsource", "datadog.log.source")],
    resource: &[("hostname", "host.name"), ("host", "host.name")],
};
