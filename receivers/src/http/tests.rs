//! The receiver as its clients see it.

mod presets;
mod properties;
mod service;

use bytes::Bytes;
use http::Request;
use http::request::Builder;
use watershed_pipeline::{Attributes, Batch, Value};

use super::Config;
use crate::testing::{Answer, Bench, Pieces, send};

/// Starts a receiver with these settings on a free port.
async fn start(yaml: &str) -> Bench {
    Bench::run::<Config>("http/edge", &format!("endpoint: localhost:0\n{yaml}")).await
}

/// A request to a path.
fn post(path: &str, content_type: &str) -> Builder {
    Request::post(path).header("host", "edge.example").header("content-type", content_type)
}

async fn ask(bench: &Bench, request: Builder, body: impl AsRef<[u8]>) -> Answer {
    let body = Pieces::from(Bytes::copy_from_slice(body.as_ref()));
    send(bench.address("http"), request.body(body).unwrap()).await
}

/// The records of all batches, each as one line: time, severity, body, attributes, then what differs from nothing.
fn shown(batches: &[Batch]) -> Vec<String> {
    let lines = batches.iter().flat_map(|batch| {
        batch.logs().map(|log| {
            let mut line =
                format!("{} {}={}", log.time_unix_nano(), log.severity_text(), log.severity_number());
            line.push_str(&format!(" {} {}", log.body().map_or("-".into(), value), pairs(log.attributes())));
            let resource = pairs(log.resource().attributes());
            for (name, text) in [("resource", resource.as_str()), ("scope", log.scope().name())] {
                if !text.is_empty() && text != "{}" {
                    line.push_str(&format!(" {name}={text}"));
                }
            }
            if log.trace_id() != [0; 16] {
                let trace = u128::from_be_bytes(log.trace_id());
                line.push_str(&format!(" trace={trace:032x}/{:016x}", u64::from_be_bytes(log.span_id())));
            }
            line
        })
    });
    lines.collect()
}

fn pairs(attributes: Attributes<'_>) -> String {
    let pairs: Vec<String> = attributes.iter().map(|(key, held)| format!("{key}: {}", value(held))).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn value(value: Value<'_>) -> String {
    match value {
        Value::Empty => "null".into(),
        Value::Str(text) => format!("{text:?}"),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => format!("{number:?}"),
        Value::Bytes(bytes) => format!("{bytes:?}"),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(self::value).collect::<Vec<_>>().join(", "))
        }
        Value::Map(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, held)| format!("{key}: {}", self::value(held))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
