//! No secret survives in what any exporter writes: OTLP in, redaction, and out to a terminal, a file, a Loki that the test plays
//! and a real ClickHouse. And the command that tries the rules.
#![cfg(test)]

mod support {
    #[expect(dead_code, reason = "the exporter's own tests use more of the engine")]
    pub(crate) mod clickhouse;
    pub(crate) mod client;
    #[expect(dead_code, reason = "the tests of the Loki gateway look closer")]
    pub(crate) mod loki;
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use support::clickhouse::Server;
use support::client::http;
use support::loki::Loki;
use support::program::{config_file, program};
use support::running::Running;

/// What must not be seen, and how it looks in a text.
const SECRETS: [(&str, &str); 12] = [
    ("hunter2x", "login password=hunter2x failed"),
    ("s3cr3tvalue", r#"{"user":"ann","client_secret":"s3cr3tvalue","n":1}"#),
    ("d33pvalue", r#"{"inner":"{\"apiKey\":\"d33pvalue\"}"}"#),
    ("querytoken9", "GET /x?access_token=querytoken9&page=2"),
    ("encodedtoken9", "redirect=%2Fx%3Faccess_token%3Dencodedtoken9%26page%3D2"),
    ("4111111111111111", "paid with 4111111111111111 today"),
    ("5555 5555 5555 4444", "paid with 5555 5555 5555 4444 today"),
    ("078-05-1120", "number 078-05-1120 given"),
    ("DE89370400440532013000", "to DE89370400440532013000 sent"),
    ("AKIAIOSFODNN7EXAMPLE", "key AKIAIOSFODNN7EXAMPLE used"),
    ("dbpass77", "postgres://app:dbpass77@db/x"),
    ("MIIEsecretsecret", "-----BEGIN PRIVATE KEY-----\nMIIEsecretsecret\n-----END PRIVATE KEY-----"),
];
/// What must be seen, or the others were not looked for in the right place.
const KEPT: &str = "kept-in-sight";

fn text(value: &str) -> Value {
    json!({"stringValue": value})
}

/// An attribute of each kind for a text: plain, in a map within a list, as bytes; and one whose key says it all.
fn attributes(secret: &str, value: &str) -> Value {
    let nested = json!({"arrayValue": {"values": [{"kvlistValue": {"values": [{"key": "note", "value": text(value)}]}}]}});
    let by_key = json!({"kvlistValue": {"values": [{"key": "Refresh-Token", "value": text(secret)}]}});
    let bytes = base64(value.as_bytes());
    json!([
        {"key": "plain", "value": text(value)},
        {"key": "nested", "value": nested},
        {"key": "blob", "value": {"bytesValue": bytes}},
        {"key": "http.request.header.authorization", "value": {"arrayValue": {"values": [text(secret)]}}},
        {"key": "session", "value": by_key},
        {"key": "kept", "value": text(KEPT)},
    ])
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let number =
            chunk.iter().chain([0, 0].iter()).take(3).fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let letter = |place: usize| {
            if place > chunk.len() { '=' } else { LETTERS[(number >> (18 - 6 * place)) as usize & 63].into() }
        };
        (0..4).map(letter).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

fn requests() -> Vec<(&'static str, Value)> {
    let each = |of: fn(&str, &str, Value) -> Value| {
        SECRETS.iter().map(|(secret, value)| of(secret, value, attributes(secret, value))).collect::<Vec<_>>()
    };
    let logs = each(|_, value, attributes| {
        json!({"timeUnixNano": "1732000000000000000", "severityText": value, "eventName": value,
               "body": {"stringValue": format!("{KEPT} {value}")}, "attributes": attributes})
    });
    let spans = each(|_, value, attributes| {
        json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": value, "traceState": value,
               "startTimeUnixNano": "1732000000000000000", "endTimeUnixNano": "1732000000000000001",
               "status": {"code": 2, "message": value}, "attributes": attributes.clone(),
               "events": [{"name": value, "timeUnixNano": "1732000000000000000", "attributes": attributes.clone()}],
               "links": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b175", "traceState": value,
                          "attributes": attributes}]})
    });
    let metrics = each(|_, value, attributes| {
        json!({"name": value, "description": value, "unit": "1", "gauge": {"dataPoints": [{"asInt": "1",
               "timeUnixNano": "1732000000000000000", "attributes": attributes.clone(),
               "exemplars": [{"asInt": "1", "timeUnixNano": "1732000000000000000", "filteredAttributes": attributes}]}]}})
    });
    let (secret, value) = SECRETS[0];
    let resource = json!({"attributes": attributes(secret, value)});
    let scope = json!({"name": value, "version": value, "attributes": attributes(secret, value)});
    vec![
        (
            "/v1/logs",
            json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": logs}]}]}),
        ),
        (
            "/v1/traces",
            json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]}),
        ),
        (
            "/v1/metrics",
            json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"scope": scope, "metrics": metrics}]}]}),
        ),
    ]
}

#[track_caller]
fn check(place: &str, written: &str) {
    assert!(written.contains(KEPT), "{place} has nothing: {written}");
    for (secret, _) in SECRETS {
        let encoded = base64(secret.as_bytes());
        for form in [secret, encoded.trim_end_matches('=')] {
            assert!(!written.contains(form), "{place} has `{form}`: {written}");
        }
    }
}

#[test]
fn no_secret_survives_in_what_any_exporter_writes() {
    let (loki, server) = (Loki::start(), Server::shared());
    let (database, directory) =
        (server.database(), tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let file = directory.path().join("out.jsonl");
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
processors: {{redaction: }}
exporters:
  stdout:
  file: {{path: '{}'}}
  loki: {{endpoint: '{}', limits: {{age_max: 0s}}}}
  clickhouse: {{endpoint: '{}', database: {database}, ttl: 0s}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    logs: {{receivers: [otlp], processors: [redaction], exporters: [stdout, file, loki, clickhouse]}}
    traces: {{receivers: [otlp], processors: [redaction], exporters: [stdout, file, clickhouse]}}
    metrics: {{receivers: [otlp], processors: [redaction], exporters: [stdout, file, clickhouse]}}
",
        file.display(),
        loki.url(),
        server.url(),
    );
    let running = Running::start(&config_file("redaction_everywhere.yaml", &config));
    for (path, request) in requests() {
        let body = request.to_string();
        let (status, answer) =
            http(running.address("protocol", "http"), "POST", path, "application/json", body.as_bytes());
        assert_eq!(status, 200, "{path}: {answer}");
    }
    let (status, stdout, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
    check("stdout", &stdout);
    check("the file", &std::fs::read_to_string(&file).unwrap());
    check("Loki", &format!("{:?}", loki.pushes()));
    for table in ["otel_logs", "otel_traces", "otel_metrics_gauge"] {
        check(table, &server.query(&format!("SELECT * FROM {database}.{table} FORMAT JSONEachRow")));
    }
}

/// Runs the command with a text on its standard input.
fn redact(args: &[&str], input: &str) -> (i32, String, String) {
    let mut command = program();
    command.arg("redact").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn example() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/redaction.yaml").to_str().unwrap().to_owned()
}

#[test]
fn rules_can_be_tried_on_text() {
    let text = "ann@example.com paid CUST-00012345 with 4111 1111 1111 1111, password=hunter2\n";
    let (code, stdout, stderr) = redact(&["--config", &example()], text);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("hmac:"), "{stdout}");
    assert!(stdout.ends_with(" paid [customer] with ****1111, password=****\n"), "{stdout}");
    assert_eq!(stderr, "customer_number: 1\nkeys: 1\ncredit_card: 1\nemail: 1\n");
    assert_eq!(redact(&[], "ssn 078-05-1120"), (0, "ssn ****".to_owned(), "ssn: 1\n".to_owned()));
    assert_eq!(redact(&[], "nothing here\n"), (0, "nothing here\n".to_owned(), String::new()));
    let config = config_file(
        "redact_lines.yaml",
        "processors: {redaction: {actions: {ssn: drop_record}}}\nexporters: {nop: }\nreceivers: {otlp: {protocols: {grpc: }}}\n\
         service: {pipelines: {logs: {receivers: [otlp], processors: [redaction], exporters: [nop]}}}",
    );
    let config = config.to_str().unwrap();
    let (code, stdout, _) = redact(&["--lines", "--config", config], "a\nb 078-05-1120\nc\n");
    assert_eq!((code, stdout.as_str()), (0, "a\nc\n"));
    let (code, _, stderr) = redact(&["--config", config, "--processor", "redaction/other"], "");
    assert_eq!((code, stderr.as_str()), (64, "the configuration has no processor `redaction/other`\n"));
}

#[test]
fn the_rules_are_given_to_browsers() {
    let (code, json, stderr) = redact(&["--config", &example(), "--export", "json"], "");
    assert_eq!(code, 0, "{stderr}");
    let rules: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rules["version"], 1);
    let values = rules["values"].as_array().unwrap();
    let card = values.iter().find(|rule| rule["rule"] == "credit_card").unwrap();
    assert_eq!((card["check"].as_str(), card["action"].as_str()), (Some("luhn"), Some("partial")));
    let own = values.iter().find(|rule| rule["rule"] == "customer_number").unwrap();
    assert_eq!((own["source"].as_str(), own["flags"].as_str()), (Some(r"CUST-\d{8}"), Some("gu")));
    let words: Vec<_> =
        rules["keys"]["words"].as_array().unwrap().iter().map(|rule| &rule["words"]).collect();
    assert!(words.contains(&&json!("apikey")) && words.contains(&&json!("dateofbirth")), "{words:?}");
    assert_eq!(rules["keys"]["patterns"][0]["rule"], "internal");
    assert_eq!(rules["skipped"], json!([]));
    let (_, javascript, _) = redact(&["--config", &example(), "--export", "js"], "");
    assert_eq!(javascript, format!("export default {};\n", json.trim_end()));
}
