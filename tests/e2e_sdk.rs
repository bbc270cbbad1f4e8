//! The real SDKs of OpenTelemetry send to the built program: Python over gRPC and HTTP, JavaScript over gRPC,
//! HTTP with protobuf and HTTP with JSON.
//!
//! The SDKs are installed below `target/` by the tests themselves, in the versions that `tests/sdk` names.
#![cfg(test)]

mod support {
    pub(crate) mod installed;
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::installed::{installed, npm, run};
use support::program::config_file;
use support::running::Running;

const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk");

fn python() -> PathBuf {
    let requirements = Path::new(SDK).join("requirements.txt");
    let folder = installed("python-sdk", &requirements, |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "-r"]).arg(&requirements));
    });
    folder.join("bin/python")
}

fn node_modules() -> PathBuf {
    let folder = npm("javascript-sdk", &Path::new(SDK).join("package.json"), |_| {});
    folder.join("node_modules")
}

/// Sends to a program that prints flat JSON, and checks what it printed. Returns the log record's line.
fn check(name: &str, protocol: &str, service: &str, sender: impl FnOnce(u16) -> Command) -> Value {
    let config = config_file(
        &format!("{name}.yaml"),
        "receivers:\n  otlp:\n    protocols:\n      grpc: {endpoint: 127.0.0.1:0}\n      http: {endpoint: 127.0.0.1:0}\n\
         exporters: {stdout: }\n\
         service:\n  telemetry: {metrics: {level: none}}\n  pipelines:\n    \
         logs: {receivers: [otlp], exporters: [stdout]}\n    \
         traces: {receivers: [otlp], exporters: [stdout]}\n    \
         metrics: {receivers: [otlp], exporters: [stdout]}\n",
    );
    let running = Running::start(&config);
    let port = running.address("protocol", protocol).port();
    run(&mut sender(port));
    let (status, stdout, _) = running.stop();
    assert!(status.success(), "{status}");
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |message: &str| {
        let found: Vec<&Value> = lines.iter().filter(|line| line["message"] == message).collect();
        assert_eq!(found.len(), 1, "{message} in {stdout}");
        assert_eq!(found[0]["service"], service);
        found[0].clone()
    };
    let span = of("place order");
    assert_eq!(span["metadata"]["order.id"], 4711);
    let point = of("orders");
    assert_eq!(point["metadata"]["region"], "eu", "{point}");
    let log = of("order placed");
    assert_eq!(log["user_id"], "ada");
    assert_eq!(log["logger"], "shop.orders");
    log
}

fn check_python(protocol: &str) {
    let python = python();
    let log = check(&format!("python-{protocol}"), protocol, &format!("python-{protocol}"), |port| {
        let mut command = Command::new(python);
        command.arg(Path::new(SDK).join("send.py")).args([protocol, &port.to_string()]);
        command
    });
    assert_eq!(log["level"], "WARN");
    assert_eq!(log["correlation_id"].as_str().map(str::len), Some(32), "the trace id stands in: {log}");
}

fn check_javascript(protocol: &str, transport: &str) {
    let modules = node_modules();
    let name = format!("javascript-{}", protocol.replace('/', "-"));
    let log = check(&name, transport, &format!("javascript-{protocol}"), |port| {
        let mut command = Command::new("node");
        command.arg(Path::new(SDK).join("send.js")).args([protocol, &port.to_string()]);
        command.env("NODE_PATH", modules);
        command
    });
    assert_eq!(log["level"], "WARN");
    assert_eq!(log["metadata"]["cart"], json!({"items": [1, 2.5, "three"]}));
}

// One test a language, so that two do not install the same SDK at once.

#[test]
fn the_python_sdk_is_understood_over_grpc_and_http() {
    check_python("grpc");
    check_python("http");
}

#[test]
fn the_javascript_sdk_is_understood_over_grpc_and_http_in_protobuf_and_json() {
    check_javascript("grpc", "grpc");
    check_javascript("http/protobuf", "http");
    check_javascript("http/json", "http");
}
