//! Own traces: a watershed tells a second one by OTLP what became of each batch, and nothing unless it is told to.
#![cfg(test)]

mod support {
    pub(crate) mod client;
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::net::SocketAddr;

use serde_json::{Value, json};
use support::client::http;
use support::program::config_file;
use support::running::Running;

const LOG: &str =
    r#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "order placed"}}]}]}]}"#;
const RECEIVER: &str = "receivers: {otlp: {protocols: {http: {endpoint: 127.0.0.1:0}}}}\n";

/// Starts a program that prints what it is sent.
fn far_end(name: &str) -> (Running, SocketAddr) {
    let pipeline = "{receivers: [otlp], exporters: [stdout]}";
    let far_end = Running::start(&config_file(
        &format!("{name}_far_end.yaml"),
        &format!(
            "{RECEIVER}exporters: {{stdout: }}\nservice:\n  telemetry: {{metrics: {{level: none}}}}\n  \
             pipelines: {{logs: {pipeline}, traces: {pipeline}}}\n"
        ),
    ));
    let address = far_end.address("protocol", "http");
    (far_end, address)
}

/// What arrives after a program with these settings for own traces has delivered two requests with a log record.
fn arrivals(name: &str, traces: impl FnOnce(SocketAddr) -> String) -> Vec<Value> {
    arrivals_beside(name, 200, |address| format!("endpoint: 'http://{address}'"), traces)
}

/// The same where logs are sent elsewhere, and the sender gets an answer that fits.
fn arrivals_beside(
    name: &str,
    answer: u16,
    exporter: impl FnOnce(SocketAddr) -> String,
    traces: impl FnOnce(SocketAddr) -> String,
) -> Vec<Value> {
    let (far_end, address) = far_end(name);
    let (exporter, traces) = (exporter(address), traces(address));
    let running = Running::start(&config_file(
        &format!("{name}.yaml"),
        &format!(
            "{RECEIVER}exporters: {{otlp_http/far: {{{exporter}, sending_queue: {{enabled: false}}}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}, resource: {{service.name: edge}}, traces: {traces}}}\n  \
             pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_http/far]}}}}\n"
        ),
    ));
    for _ in 0..2 {
        let receiver = running.address("protocol", "http");
        assert_eq!(http(receiver, "POST", "/v1/logs", "application/json", LOG.as_bytes()).0, answer);
    }
    let (status, _, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
    let (status, stdout, _) = far_end.stop();
    assert!(status.success());
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sent_to(address: SocketAddr, more: &str) -> String {
    format!("{{processors: [{{batch: {{exporter: {{otlp: {{endpoint: 'http://{address}'}}}}}}}}]{more}}}")
}

#[test]
fn each_batch_and_each_attempt_is_a_span_that_says_what_became_of_it() {
    let lines = arrivals("own_traces", |address| sent_to(address, ""));
    let named = |name: &str| -> Vec<&Value> { lines.iter().filter(|line| line["message"] == name).collect() };
    assert_eq!(named("order placed").len(), 2);
    let (receptions, attempts) = (named("receiver/otlp/LogsReceived"), named("exporter/otlp_http/far/logs"));
    assert_eq!(lines.len(), 6, "two spans a request and no others: {lines:#?}");
    assert_eq!((receptions.len(), attempts.len()), (2, 2), "{lines:#?}");
    for (reception, attempt) in receptions.iter().zip(&attempts) {
        let expected = [("receiver", "otlp"), ("transport", "http"), ("outcome", "accepted")];
        expected.iter().for_each(|(key, value)| assert_eq!(reception["metadata"][key], *value));
        let expected = [("exporter", "otlp_http/far"), ("outcome", "sent")];
        expected.iter().for_each(|(key, value)| assert_eq!(attempt["metadata"][key], *value));
        assert_eq!((&reception["metadata"]["items"], &attempt["metadata"]["items"]), (&json!(1), &json!(1)));
        assert_eq!(reception["service"], "edge");
        // Without a queue the attempt is a part of the reception.
        assert_eq!(attempt["metadata"]["parent_span_id"], reception["metadata"]["span_id"], "{attempt}");
    }
}

#[test]
fn a_failed_attempt_is_a_failed_span_with_the_reason() {
    // Nobody listens on port 1.
    let nowhere = |_| "endpoint: 'http://127.0.0.1:1', retry_on_failure: {enabled: false}".to_owned();
    let lines = arrivals_beside("failed_traces", 503, nowhere, |address| {
        sent_to(address, ", sampler: {parent_based: }")
    });
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for line in &lines {
        assert_eq!(
            (&line["metadata"]["outcome"], &line["level"]),
            (&json!("retry"), &json!("ERROR")),
            "{line}"
        );
        let reason = line["metadata"]["status_message"].as_str().unwrap_or_default();
        assert!(reason.contains("Connection refused"), "{line}");
    }
}

#[test]
fn there_are_no_spans_unless_they_are_asked_for() {
    for (name, traces) in [("traces_unset", "{}"), ("traces_basic", "{level: basic}")] {
        assert_eq!(arrivals(name, |_| traces.to_owned()).len(), 2, "{name}");
    }
    let lines = arrivals("traces_none", |address| sent_to(address, ", level: none"));
    assert_eq!(lines.len(), 2, "{lines:#?}");
    let lines = arrivals("traces_off", |address| sent_to(address, ", sampler: {always_off: }"));
    assert_eq!(lines.len(), 2, "{lines:#?}");
}
