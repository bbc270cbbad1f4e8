//! The program as its users meet it: arguments, texts, exit codes, signals.
#![cfg(test)]

mod support {
    pub(crate) mod client;
    pub(crate) mod outcome;
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::net::TcpListener;

use support::client::http;
use support::outcome::watershed;
use support::program::config_file;
use support::running::Running;

const ANY_PORTS: &str = "
receivers:
  otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}
exporters: {stdout: }
extensions: {health_check: {endpoint: '127.0.0.1:0', path: /health}}
service:
  extensions: [health_check]
  telemetry: {metrics: {address: '127.0.0.1:0'}}
  pipelines:
    logs: {receivers: [otlp], exporters: [stdout]}
    traces: {receivers: [otlp], exporters: [stdout]}
    metrics: {receivers: [otlp], exporters: [stdout]}
";

const LOG: &[u8] = br#"{"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue":
    "shop"}}]}, "scopeLogs": [{"logRecords": [{"severityText": "INFO", "body": {"stringValue": "hello"}}]}]}]}"#;

#[test]
fn a_valid_file_passes_in_silence() {
    let path = config_file("valid.yaml", ANY_PORTS);
    let outcome = watershed(&["validate", "--config", path.to_str().unwrap()]);
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (0, "", ""));
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    let text = "receivers:
  otlp: {protocols: {grcp: }}
exporters:
  stdout: {format: jsn}
  stdot:
extensions:
  zpages:
service:
  telemetry: {logs: {level: loud}}
  pipeline: {}
  pipelines:
    logs: {receivers: [otpl], exporters: [stdout]}
";
    let path = config_file("mistakes.yaml", text);
    let outcome = watershed(&["validate", "--config", path.to_str().unwrap()]);
    assert_eq!(outcome.code, 64);
    let name = format!("{}:", path.display());
    let lines: Vec<&str> =
        outcome.stderr.lines().map(|line| line.strip_prefix(&name).unwrap_or(line)).collect();
    assert_eq!(
        lines,
        [
            "2:22: receivers.otlp.protocols: unknown key `grcp`; did you mean `grpc`?",
            "4:20: exporters.stdout.format: unknown value `jsn`; did you mean `json`?",
            "5:3: exporters.stdot: unknown type of exporter `stdot`; did you mean `stdout`?",
            "7:3: extensions.zpages: the extension `zpages` is not available; remove it here and from \
         `service.extensions`; available: health_check, bearertokenauth, basicauth, apikey, file_storage",
            "9:29: service.telemetry.logs.level: unknown value `loud`; accepted values: trace, debug, info, \
             warn, error",
            "10:3: service: unknown key `pipeline`; did you mean `pipelines`?",
            "12:24: service.pipelines.logs.receivers: receiver `otpl` is not configured; did you mean `otlp`?",
        ]
    );
}

#[test]
fn extensions_that_cannot_be_used_are_told_with_their_place() {
    let text = "receivers:
  otlp: {protocols: {grpc: {auth: {authenticator: bearertoken/of}}}}
  otlp/b: {protocols: {http: {auth: {authenticator: health_check}}}}
exporters:
  otlp_grpc:
    endpoint: far:4317
    auth: {authenticator: apikey}
    sending_queue: {storage: file_storage/x}
extensions:
  bearertoken/off: {token: hunter2}
  health_check:
  apikey: {keys: [{name: a, sha256: hunter2}]}
service:
  extensions: [health_check, apikey]
  pipelines:
    logs: {receivers: [otlp, otlp/b], exporters: [otlp_grpc]}
";
    let path = config_file("extensions.yaml", text);
    let outcome = watershed(&["validate", "--config", path.to_str().unwrap()]);
    assert_eq!(outcome.code, 64);
    let name = format!("{}:", path.display());
    let lines: Vec<&str> =
        outcome.stderr.lines().map(|line| line.strip_prefix(&name).unwrap_or(line)).collect();
    assert_eq!(
        lines,
        [
            "2:51: receivers.otlp.protocols.grpc.auth.authenticator: the extension `bearertoken/of` is not configured; \
             did you mean `bearertoken/off`?",
            "3:53: receivers.otlp/b.protocols.http.auth.authenticator: the extension `health_check` is no \
             authenticator for servers; use one of: bearertoken/off",
            "8:30: exporters.otlp_grpc.sending_queue.storage: must be `disk`, `memory` or the id of an extension such \
             as `file_storage`: the extension `file_storage/x` is not configured; add one \
             under `extensions`",
            "12:37: extensions.apikey.keys[0].sha256: is no SHA-256 hash, which has 64 hexadecimal digits; make one \
             with `printf %s KEY | sha256sum`",
        ]
    );
}

#[test]
fn without_a_configuration_the_error_says_how_to_name_one() {
    let outcome = watershed(&["run"]);
    assert_eq!(outcome.code, 64);
    assert_eq!(
        outcome.stderr,
        "no configuration: neither `watershed.yaml` nor `/etc/watershed/config.yaml` exists; name a file with \
         `--config FILE`\n"
    );
}

#[test]
fn wrong_arguments_are_told_from_failures_by_the_exit_code() {
    assert_eq!(watershed(&["runn"]).code, 64);
    assert_eq!(watershed(&["generate", "smells"]).code, 64);
    assert_eq!(watershed(&["components", "no_such"]).code, 64);
    assert_eq!(watershed(&["--help"]).code, 0);
    assert_eq!(watershed(&["--version"]).code, 0);
}

#[test]
fn a_port_that_is_taken_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = ANY_PORTS
        .replace("grpc: {endpoint: '127.0.0.1:0'}", &format!("grpc: {{endpoint: '127.0.0.1:{port}'}}"));
    let path = config_file("taken.yaml", &text);
    let outcome = watershed(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(outcome.code, 1);
    let last = outcome.stderr.lines().last().unwrap();
    let expected = format!(
        "`otlp` could not start: cannot listen on 127.0.0.1:{port}; is another process using the port?"
    );
    assert!(last.starts_with(&expected), "{last}");
}

#[test]
fn a_record_that_was_acknowledged_is_on_standard_output_after_the_stop() {
    let running = Running::start(&config_file("run.yaml", ANY_PORTS));
    let receiver = running.address("protocol", "http");
    let (status, _) = http(receiver, "POST", "/v1/logs", "application/json", LOG);
    assert_eq!(status, 200);
    let (status, _) = http(receiver, "POST", "/v1/logs", "application/json", b"{not json");
    assert_eq!(status, 400);

    let (status, page) = http(running.address("message", "metrics available"), "GET", "/metrics", "", b"");
    assert_eq!(status, 200);
    let accepted = page.lines().find(|line| {
        line.starts_with("otelcol_receiver_accepted_log_records{") && line.contains("transport=\"http\"")
    });
    assert!(accepted.is_some_and(|line| line.ends_with(" 1")), "{accepted:?}");
    let (status, body) = http(running.address("message", "health available"), "GET", "/health", "", b"");
    assert_eq!(status, 200);
    assert!(body.starts_with("{\"status\":\"ready\""), "{body}");

    let (status, stdout, stderr) = running.stop();
    assert_eq!(status.code(), Some(0), "{stderr}");
    let line: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&line["message"], &line["service"]), (&"hello".into(), &"shop".into()));
    assert!(stderr.contains("stopped: accepted 1 items, sent 1"), "{stderr}");
}

#[test]
fn generated_records_arrive_each_once() {
    let running = Running::start(&config_file("generate.yaml", ANY_PORTS));
    let mut lines = 0;
    for signal in ["logs", "traces", "metrics"] {
        for protocol in ["grpc", "http"] {
            let endpoint = running.address("protocol", protocol).to_string();
            let outcome = watershed(&[
                "generate",
                signal,
                "--protocol",
                protocol,
                "--endpoint",
                &endpoint,
                "--count",
                "25",
                "--batch",
                "10",
                "--concurrency",
                "2",
                "--compression",
                if protocol == "grpc" { "gzip" } else { "zstd" },
            ]);
            assert_eq!(outcome.code, 0, "{}", outcome.stderr);
            let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
            assert_eq!(
                (&report["signal"], &report["sent"], &report["accepted"]),
                (&signal.into(), &25.into(), &25.into())
            );
            lines += 25;
        }
    }
    let (status, stdout, _) = running.stop();
    assert_eq!(status.code(), Some(0));
    assert_eq!(stdout.lines().count(), lines);
    for number in 0..25 {
        let written = stdout.matches(&format!("\"sequence\":{number},")).count();
        let written = written + stdout.matches(&format!("\"sequence\":{number}}}")).count();
        assert_eq!(written, 6, "sequence {number}");
    }
}

#[test]
fn what_nobody_took_is_said_by_the_generator() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let outcome = watershed(&["generate", "logs", "--endpoint", &closed, "--count", "5"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stdout.contains("\"sent\":5,\"accepted\":0,\"refused\":0,\"failed\":5"),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stderr.starts_with("5 of 5 were not accepted, the last reason: cannot connect to"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn the_configuration_in_force_hides_secrets_unless_told_otherwise() {
    let text = ANY_PORTS
        .replace("stdout: }", "stdout: , otlp_http: {endpoint: 'http://localhost:1', headers: {x: geheim}}}");
    let path = config_file("secret.yaml", &text);
    let path = path.to_str().unwrap();
    let hidden = watershed(&["print-config", "--config", path, "--set", "service.telemetry.logs.level=warn"]);
    assert_eq!(hidden.code, 0, "{}", hidden.stderr);
    assert!(!hidden.stdout.contains("geheim") && hidden.stdout.contains("level: warn"), "{}", hidden.stdout);
    assert!(watershed(&["print-config", "--config", path, "--redact=false"]).stdout.contains("geheim"));
}

#[test]
fn the_graph_is_a_mermaid_flow_chart() {
    let path = config_file("graph.yaml", ANY_PORTS);
    let outcome = watershed(&["graph", "--config", path.to_str().unwrap()]);
    assert_eq!(outcome.code, 0);
    assert!(outcome.stdout.starts_with("flowchart LR"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("stdout"), "{}", outcome.stdout);
}

#[test]
fn components_are_listed_and_have_a_page_each() {
    let list = watershed(&["components"]).stdout;
    assert!(list.contains("receivers:\n  - name: file\n") && list.contains("  - name: otlp\n"), "{list}");
    let page = watershed(&["components", "otlphttp"]).stdout;
    assert!(page.starts_with("### otlp_http (exporter)\n\nAlso called `otlphttp`.\n"), "{page}");
    assert!(page.contains("- `sending_queue.queue_size`: "), "{page}");
}
