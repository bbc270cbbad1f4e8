//! The receiver `http` in the program: what simple clients send comes out at the other end.
#![cfg(test)]

mod support {
    pub(crate) mod client;
    pub(crate) mod program;
    #[expect(dead_code, reason = "the example is started with other ports than it says")]
    pub(crate) mod running;
}

use std::path::Path;

use serde_json::Value;
use support::client::http;
use support::program::config_file;
use support::running::Running;

const QUERY: &str = "key=change-me-change-me";

/// Starts `examples/http.yaml` on any port.
fn start(test: &str) -> Running {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/http.yaml");
    let config = config_file(&format!("{test}_http.yaml"), &std::fs::read_to_string(path).unwrap());
    let settings = [
        "receivers.http.endpoint=127.0.0.1:0",
        "service.telemetry.metrics.readers=[{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]",
    ];
    Running::start_with(&config, &settings, &[])
}

#[test]
fn what_clients_of_all_kinds_send_is_written() {
    let running = start("clients");
    let address = running.address("protocol", "http");
    let page = r#"[{"level":"ERROR","message":"from a page","service":"web","metadata":{"url":"/cart"}}]"#;
    let bulk =
        "{\"create\":{}}\n{\"@timestamp\":\"2024-12-19T10:30:15.123Z\",\"message\":\"from elastic\"}\n";
    let push =
        r#"{"streams":[{"stream":{"service_name":"api"},"values":[["1734604215123000000","from loki"]]}]}"#;
    for (path, content_type, body, status) in [
        ("/logs", "application/x-www-form-urlencoded", r#"{"message":"from curl -d"}"#, 200),
        ("/logs", "text/plain;charset=UTF-8", page, 200),
        ("/logs", "text/plain", "from a shell", 200),
        ("/_bulk", "application/x-ndjson", bulk, 200),
        ("/services/collector", "application/json", r#"{"event":"from splunk"}"#, 200),
        ("/loki/api/v1/push", "application/json", push, 204),
        ("/api/v2/logs", "application/json", r#"[{"message":"from datadog","status":"warn"}]"#, 202),
        ("/fluent", "application/json", r#"[{"date":1734604215.123,"log":"from fluent"}]"#, 200),
        ("/logs", "application/json", "[{},{]", 400),
    ] {
        let (answered, answer) =
            http(address, "POST", &format!("{path}?{QUERY}"), content_type, body.as_bytes());
        assert_eq!(answered, status, "{path}: {answer}");
    }
    assert_eq!(http(address, "POST", "/logs", "text/plain", b"without a key").0, 401);
    assert_eq!(http(address, "GET", "/health", "", b"").0, 200);
    let (status, stdout, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
    let records: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut messages: Vec<&str> = records.iter().map(|record| record["message"].as_str().unwrap()).collect();
    messages.sort_unstable();
    let expected = ["a page", "a shell", "curl -d", "datadog", "elastic", "fluent", "loki", "splunk"];
    assert_eq!(messages, expected.map(|from| format!("from {from}")));
    let page = records.iter().find(|record| record["message"] == "from a page").unwrap();
    assert_eq!((&page["service"], &page["level"]), (&Value::from("web"), &Value::from("ERROR")));
    assert_eq!(page["metadata"]["url"], "/cart");
    assert_eq!(page["metadata"]["client.address"], "127.0.0.1");
}
