//! Flat JSON: one object a record, always with the same ten keys, for people and programs that read lines.
//!
//! | key | log record | span | data point |
//! | --- | --- | --- | --- |
//! | `timestamp` | time, else time of observation; ISO 8601, UTC, milliseconds | start | time |
//! | `level` | severity text, else the name of the severity number | `ERROR` for status error, else `INFO` | null |
//! | `logger` | name of the scope | the same | the same |
//! | `message` | body, else the name of the event | name | name of the metric |
//! | `correlation_id` | attribute `correlation.id`, else the trace id | the same | the same |
//! | `user_id` | attribute `user.id` | the same | the same |
//! | `operation` | attribute `operation.name` | the same, else the name | the same |
//! | `service` | resource attribute `service.name` | the same | the same |
//! | `module` | attribute `log.module`, else `code.namespace`, `code.function.name`, `code.function` | the same | the same |
//! | `metadata` | everything else | the same, `duration_ms`, `kind`, … | the same, `value`, `unit`, … |
//!
//! The keys are always there. The first nine hold text or null, whatever the type of their source: a number is written as
//! its digits and a structured body as its JSON text, so that a column of a table can hold each of them. `metadata` is an
//! object and keeps types: bytes are base64 text, NaN and the infinities are text, lists and maps are JSON. JSON objects
//! have each key once, so of equal keys the first wins, in this order: what this file adds (`trace_id`, `span_id`, …),
//! the record's attributes, those of its scope, those of its resource.

mod metadata;
mod value;

use watershed_pipeline::json_text::{push_hex, push_json_string};
use watershed_pipeline::{Attributes, Record, Value};

use watershed_pipeline::calendar::Moment;

pub(crate) use metadata::{duration_ms, span_kind, status_name};
use value::push_str;
pub(crate) use value::push_value;

/// Attributes that name the piece of code, best first.
const MODULE_KEYS: [&str; 4] = ["log.module", "code.namespace", "code.function.name", "code.function"];

/// Appends one record as a JSON object, without an end of line.
pub(crate) fn push_record(out: &mut Vec<u8>, record: Record<'_>) {
    let attributes = record.attributes();
    let promoted = Promoted::of(attributes);
    let service = record.resource().attribute("service.name");
    let head = Head::of(record);

    out.extend_from_slice(b"{\"timestamp\":");
    push_timestamp(out, head.time);
    out.extend_from_slice(b",\"level\":");
    push_name(out, head.level);
    out.extend_from_slice(b",\"logger\":");
    push_name(out, record.scope().name());
    out.extend_from_slice(b",\"message\":");
    push_text(out, head.message);
    out.extend_from_slice(b",\"correlation_id\":");
    match promoted.correlation {
        None => push_id(out, &record.trace_id()),
        found => push_text(out, found),
    }
    out.extend_from_slice(b",\"user_id\":");
    push_text(out, promoted.user);
    out.extend_from_slice(b",\"operation\":");
    push_text(out, promoted.operation.or(head.operation));
    out.extend_from_slice(b",\"service\":");
    push_text(out, service);
    out.extend_from_slice(b",\"module\":");
    push_text(out, promoted.module.map(|(_, value)| value));
    out.extend_from_slice(b",\"metadata\":");
    metadata::push(out, record, &promoted);
    out.push(b'}');
}

/// What a record calls its time, its level and itself.
struct Head<'a> {
    time: u64,
    level: &'a str,
    message: Option<Value<'a>>,
    operation: Option<Value<'a>>,
}

impl<'a> Head<'a> {
    fn of(record: Record<'a>) -> Self {
        if let Some(log) = record.log() {
            let name = Some(log.event_name()).filter(|name| !name.is_empty()).map(Value::Str);
            let time = match log.time_unix_nano() {
                0 => log.observed_time_unix_nano(),
                time => time,
            };
            let level = match log.severity_text() {
                "" => severity_name(log.severity_number()),
                text => text,
            };
            return Self { time, level, message: log.body().or(name), operation: None };
        }
        if let Some(span) = record.span() {
            let level = if span.status_code() == 2 { "ERROR" } else { "INFO" };
            let name = Some(Value::Str(span.name()));
            return Self { time: span.start_time_unix_nano(), level, message: name, operation: name };
        }
        let point = record.point();
        Self {
            time: point.map_or(0, |point| point.time_unix_nano()),
            level: "",
            message: point.map(|point| Value::Str(point.metric().name())),
            operation: None,
        }
    }
}

/// The record's attributes, and among them those that have a key of their own in the object.
#[derive(Default)]
struct Promoted<'a> {
    /// All of them: reading one from a batch costs more than remembering it.
    all: Vec<(&'a str, Value<'a>)>,
    correlation: Option<Value<'a>>,
    user: Option<Value<'a>>,
    operation: Option<Value<'a>>,
    /// The rank of the key among [`MODULE_KEYS`], and the value.
    module: Option<(usize, Value<'a>)>,
}

impl<'a> Promoted<'a> {
    fn of(attributes: Attributes<'a>) -> Self {
        let mut found = Self { all: Vec::with_capacity(attributes.len()), ..Self::default() };
        for (key, value) in attributes.iter() {
            found.all.push((key, value));
            match key {
                "correlation.id" => found.correlation = found.correlation.or(Some(value)),
                "user.id" => found.user = found.user.or(Some(value)),
                "operation.name" => found.operation = found.operation.or(Some(value)),
                _ if key.starts_with("code.") || key.starts_with("log.") => found.see_module(key, value),
                _ => {}
            }
        }
        found
    }

    fn see_module(&mut self, key: &str, value: Value<'a>) {
        let Some(rank) = MODULE_KEYS.iter().position(|candidate| *candidate == key) else { return };
        if self.module.is_none_or(|(best, _)| rank < best) {
            self.module = Some((rank, value));
        }
    }

    /// Whether the attribute stands outside `metadata`.
    fn covers(&self, key: &str) -> bool {
        match key {
            "correlation.id" | "user.id" | "operation.name" => true,
            _ => self.module.is_some_and(|(rank, _)| MODULE_KEYS.get(rank) == Some(&key)),
        }
    }
}

/// The name of a severity number, without its grade: 9 to 12 are all `INFO`. Empty if unknown.
pub(crate) fn severity_name(number: i32) -> &'static str {
    match number {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => "",
    }
}

fn push_timestamp(out: &mut Vec<u8>, time: u64) {
    if time == 0 {
        return out.extend_from_slice(b"null");
    }
    out.push(b'"');
    Moment::from_unix_nano(time).push_iso(out);
    out.push(b'"');
}

/// Appends a name, or null if it is empty.
fn push_name(out: &mut Vec<u8>, name: &str) {
    if name.is_empty() { out.extend_from_slice(b"null") } else { push_str(out, name) }
}

/// Appends an id as hexadecimal text, or null if it is all zero.
fn push_id(out: &mut Vec<u8>, id: &[u8]) {
    if id.iter().all(|byte| *byte == 0) {
        return out.extend_from_slice(b"null");
    }
    out.push(b'"');
    push_hex(out, id);
    out.push(b'"');
}

/// Appends a value as text: what is not text already becomes the text of its JSON.
fn push_text(out: &mut Vec<u8>, value: Option<Value<'_>>) {
    match value {
        None | Some(Value::Empty) => out.extend_from_slice(b"null"),
        Some(Value::Str(text)) => push_str(out, text),
        Some(value @ (Value::Array(_) | Value::Map(_))) => {
            let mut json = Vec::new();
            push_value(&mut json, value);
            push_json_string(out, &json);
        }
        // Bytes, NaN and the infinities are text in JSON already.
        Some(value @ (Value::Bytes(_) | Value::Double(_))) if is_text(value) => push_value(out, value),
        Some(value) => {
            out.push(b'"');
            push_value(out, value);
            out.push(b'"');
        }
    }
}

fn is_text(value: Value<'_>) -> bool {
    !matches!(value, Value::Double(number) if number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};
    use watershed_pipeline::testing::any_batch;
    use watershed_pipeline::{AnyValue, Batch, Number, Signal};

    #[track_caller]
    fn json(batch: &Batch) -> Json {
        let mut out = Vec::new();
        push_record(&mut out, batch.records().next().unwrap());
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_full_log_record_fills_every_key() {
        let batch = Batch::builder(Signal::Logs)
            .resource(|resource| {
                resource.set_attribute("service.name", "shop");
                resource.set_attribute("host.name", "a1");
            })
            .scope("orders", "1", |_| ())
            .record(|log| {
                log.set_time_unix_nano(1_767_225_599_123_456_789);
                log.set_severity_number(9);
                log.set_body("placed");
                log.set_attribute("correlation.id", "c-1");
                log.set_attribute("user.id", 42_i64);
                log.set_attribute("operation.name", "order");
                log.set_attribute("code.function", "place");
                log.set_attribute("code.namespace", "shop.orders");
                log.set_attribute("ratio", f64::NAN);
                log.set_attribute("raw", AnyValue::Bytes(vec![0xff, 0]));
                log.set_attribute("list", AnyValue::Array(vec![1_i64.into(), "a".into(), AnyValue::Empty]));
            })
            .build();
        assert_eq!(
            json(&batch),
            json!({
                "timestamp": "2025-12-31T23:59:59.123Z", "level": "INFO", "logger": "orders", "message": "placed",
                "correlation_id": "c-1", "user_id": "42", "operation": "order", "service": "shop",
                "module": "shop.orders",
                "metadata": {"code.function": "place", "ratio": "NaN", "raw": "/wA=", "list": [1, "a", null], "host.name": "a1"},
            })
        );
    }

    #[test]
    fn what_is_unknown_is_null() {
        let batch = Batch::builder(Signal::Logs).record(|_| ()).build();
        assert_eq!(
            json(&batch),
            json!({
                "timestamp": null, "level": null, "logger": null, "message": null, "correlation_id": null,
                "user_id": null, "operation": null, "service": null, "module": null, "metadata": {},
            })
        );
    }

    #[test]
    fn the_trace_is_the_correlation_of_last_resort() {
        let batch =
            Batch::builder(Signal::Logs).record(|log| log.set_trace_context([1; 16], [0; 8], 0)).build();
        let json = json(&batch);
        assert_eq!(json["correlation_id"], "01".repeat(16));
        assert_eq!(json["metadata"]["trace_id"], "01".repeat(16));
    }

    #[test]
    fn a_body_with_structure_is_text_too() {
        let body = AnyValue::Map(vec![("a".into(), AnyValue::Bool(true)), ("a".into(), AnyValue::Int(2))]);
        let batch = Batch::builder(Signal::Logs).record(|log| log.set_body(&body)).build();
        assert_eq!(json(&batch)["message"], r#"{"a":true}"#);
    }

    #[test]
    fn of_equal_keys_the_records_own_wins() {
        let batch = Batch::builder(Signal::Logs)
            .resource(|resource| resource.set_attribute("region", "resource"))
            .record(|log| log.set_attribute("region", "record"))
            .build();
        assert_eq!(json(&batch)["metadata"], json!({"region": "record"}));
    }

    #[test]
    fn a_data_point_shows_its_value() {
        let mut builder = Batch::builder(Signal::Metrics);
        builder.begin_number_metric("requests", "1", Some((2, true)));
        builder.push_point(0, 1_000_000, Number::Int(7), |point| point.set_attribute("method", "GET"));
        let json = json(&builder.build());
        assert_eq!(json["message"], "requests");
        assert_eq!(
            json["metadata"],
            json!({"metric_type": "sum", "unit": "1", "temporality": "cumulative", "value": 7, "method": "GET"})
        );
    }

    /// Values of every kind, nested, with the texts and numbers that JSON has no room for.
    fn any_value() -> impl Strategy<Value = AnyValue> {
        let leaf = prop_oneof![
            Just(AnyValue::Empty),
            "(?s:.{0,12})".prop_map(AnyValue::Str),
            any::<bool>().prop_map(AnyValue::Bool),
            any::<i64>().prop_map(AnyValue::Int),
            proptest::num::f64::ANY.prop_map(AnyValue::Double),
            any::<Vec<u8>>().prop_map(AnyValue::Bytes),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            let entry = ("[a-c]?", inner.clone());
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(AnyValue::Array),
                prop::collection::vec(entry, 0..4).prop_map(AnyValue::Map),
            ]
        })
    }

    /// Attributes with keys that repeat, that are promoted, and that this file writes itself.
    fn any_attributes() -> impl Strategy<Value = Vec<(String, AnyValue)>> {
        let special =
            prop::sample::select(vec!["user.id", "log.module", "code.function", "trace_id", "service.name"]);
        let key = prop_oneof![special.prop_map(str::to_owned), "[a-f]", "(?s:.{0,9})", "[a-z]{3}"];
        prop::collection::vec((key, any_value()), 0..50)
    }

    /// Reads an object and fails on a key that is there twice, which serde_json itself lets pass.
    struct UniqueKeys;

    impl<'de> serde::de::DeserializeSeed<'de> for UniqueKeys {
        type Value = ();

        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }

    impl<'de> serde::de::Visitor<'de> for UniqueKeys {
        type Value = ();

        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            out.write_str("JSON")
        }

        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            while items.next_element_seed(Self)?.is_some() {}
            Ok(())
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
            let mut seen = std::collections::HashSet::new();
            while let Some(key) = entries.next_key::<String>()? {
                if !seen.insert(key.clone()) {
                    return Err(serde::de::Error::custom(format!("{key:?} is there twice")));
                }
                entries.next_value_seed(Self)?;
            }
            Ok(())
        }
    }

    fn assert_valid(batch: &Batch) {
        batch.records().for_each(assert_valid_record);
    }

    fn assert_valid_record(record: Record<'_>) {
        const KEYS: [&str; 10] = [
            "timestamp",
            "level",
            "logger",
            "message",
            "correlation_id",
            "user_id",
            "operation",
            "service",
            "module",
            "metadata",
        ];
        let mut line = Vec::new();
        push_record(&mut line, record);
        assert!(!line.contains(&b'\n'));
        let mut deserializer = serde_json::Deserializer::from_slice(&line);
        serde::de::DeserializeSeed::deserialize(UniqueKeys, &mut deserializer).unwrap();
        deserializer.end().unwrap();
        let json: serde_json::Map<String, Json> = serde_json::from_slice(&line).unwrap();
        assert_eq!(json.len(), KEYS.len());
        for key in KEYS {
            let is_right = if key == "metadata" {
                json[key].is_object()
            } else {
                json[key].is_string() || json[key].is_null()
            };
            assert!(is_right, "{key}: {}", json[key]);
        }
    }

    proptest! {
        #[test]
        fn property_every_log_record_is_valid_json(
            body in any_value(), text in "(?s:.{0,9})", time in any::<u64>(), own in any_attributes(), of_resource in any_attributes(),
        ) {
            let batch = Batch::builder(Signal::Logs)
                .resource(|resource| of_resource.iter().for_each(|(key, value)| resource.set_attribute(key, value)))
                .scope(&text, "", |_| ())
                .record(|log| {
                    log.set_time_unix_nano(time);
                    log.set_severity_text(&text);
                    log.set_body(&body);
                    own.iter().for_each(|(key, value)| log.set_attribute(key, value));
                })
                .build();
            assert_valid(&batch);
        }

        #[test]
        fn property_every_record_of_every_signal_is_valid_json(
            logs in any_batch(Signal::Logs), traces in any_batch(Signal::Traces), metrics in any_batch(Signal::Metrics),
        ) {
            [logs, traces, metrics].iter().for_each(assert_valid);
        }
    }
}
