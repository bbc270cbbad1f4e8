//! The commands for people who look after a running installation: `queue` and `doctor`.
#![cfg(test)]

mod support {
    pub(crate) mod outcome;
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use support::outcome::{Outcome, watershed};
use support::program::config_file;
use support::running::Running;
use tempfile::TempDir;

/// A port of the loopback address on which nobody listens.
fn dead_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// OTLP in, and out over HTTP to an endpoint, with a queue in a directory.
fn config(name: &str, endpoint: &str, queues: &Path) -> PathBuf {
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters: {{otlp_http/far: {{endpoint: 'http://{endpoint}'}}}}
service:
  storage: {{directory: '{}'}}
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_http/far]}}}}
",
        queues.display()
    );
    config_file(name, &text)
}

fn queue(arguments: &[&str], directory: &TempDir) -> Outcome {
    let directory = directory.path().to_str().unwrap();
    let arguments: Vec<&str> =
        ["queue"].iter().chain(arguments).copied().chain(["--directory", directory]).collect();
    watershed(&arguments)
}

fn generate(running: &Running) {
    let endpoint = running.address("protocol", "grpc").to_string();
    let outcome = watershed(&["generate", "logs", "--endpoint", &endpoint, "--count", "20", "--batch", "10"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
}

/// The queues that a real run leaves behind whose far end is down: two batches of ten log records.
fn filled(name: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = config(name, &dead_port(), directory.path());
    let running = Running::start(&path);
    generate(&running);
    running.stop();
    (directory, path)
}

/// The cells of the only queue in the table of `inspect`.
fn inspected(directory: &TempDir) -> Vec<String> {
    let outcome = queue(&["inspect"], directory);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", outcome.stdout);
    lines[1].split_whitespace().map(str::to_owned).collect()
}

#[test]
fn what_waits_is_counted_listed_and_copied_out() {
    let (directory, path) = filled("queue_looked_at.yaml");
    assert_eq!(inspected(&directory)[..4], ["otlp_http/far", "logs", "2", "20"]);

    let outcome = watershed(&["queue", "inspect", "--records", "--config", path.to_str().unwrap()]);
    let listed = outcome.stdout.lines().filter(|line| line.contains(": 10 items, ")).count();
    assert_eq!(listed, 2, "{outcome:?}");

    let exported = queue(&["export", "--exporter", "otlp_http/far", "--signal", "logs"], &directory);
    assert_eq!((exported.code, exported.stderr.as_str()), (0, "otlp_http/far logs: 2 batches\n"));
    let mut records = 0;
    for line in exported.stdout.lines() {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        records += request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().len();
    }
    assert_eq!(records, 20);
    assert_eq!(queue(&["export", "--dead-letters"], &directory).stdout, "");
}

#[test]
fn a_byte_that_was_changed_on_disk_is_found() {
    let (directory, _) = filled("queue_damaged.yaml");
    let sound = queue(&["verify"], &directory);
    assert_eq!((sound.code, sound.stdout.as_str()), (0, "otlp_http/far logs: sound\n"));

    let folder = directory.path().join("otlp_http%2Ffar/logs");
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let segment = entries.find(|path| path.extension().is_some_and(|extension| extension == "seg")).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    // In the middle of the first batch, of which each has several kilobytes.
    bytes[1000] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let damaged = queue(&["verify"], &directory);
    assert_eq!(damaged.code, 1);
    let expected = format!("otlp_http/far logs: damaged: {}, bytes ", segment.display());
    assert!(damaged.stdout.starts_with(&expected), "{}", damaged.stdout);
    assert!(damaged.stderr.starts_with("damage in 1 place(s); "), "{}", damaged.stderr);
}

#[test]
fn nothing_is_thrown_away_unless_that_is_meant() {
    let (directory, _) = filled("queue_dropped.yaml");
    let refused = queue(&["drop"], &directory);
    assert_eq!(refused.code, 64);
    assert!(refused.stderr.contains("otlp_http/far logs: add `--yes`"), "{}", refused.stderr);
    assert_eq!(inspected(&directory)[2], "2");

    let dropped = queue(&["drop", "--yes"], &directory);
    assert_eq!((dropped.code, dropped.stdout.as_str()), (0, "otlp_http/far logs: 2 batches thrown away\n"));
    assert_eq!(inspected(&directory)[2], "0");
}

#[test]
fn a_queue_in_use_can_be_looked_at_and_not_changed() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let running = Running::start(&config("queue_in_use.yaml", &dead_port(), directory.path()));
    generate(&running);
    assert_eq!(inspected(&directory)[2..4], ["2", "20"]);
    for change in [&["replay"][..], &["drop", "--yes"]] {
        let outcome = queue(change, &directory);
        assert_eq!(outcome.code, 1, "{change:?}");
        assert!(outcome.stderr.contains("is in use by another process; stop that one"), "{}", outcome.stderr);
    }
}

#[test]
fn dead_letters_wait_again_after_a_replay() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // It has no pipeline for log records, and refuses them for good.
    let far = Running::start(&config_file(
        "queue_refusing.yaml",
        "
receivers: {otlp: {protocols: {http: {endpoint: '127.0.0.1:0'}}}}
exporters: {nop: }
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [nop]}}
",
    ));
    let endpoint = far.address("protocol", "http").to_string();
    let running = Running::start(&config("queue_refused.yaml", &endpoint, directory.path()));
    generate(&running);
    running.stop();
    let listed = queue(&["inspect", "--records"], &directory).stdout;
    assert!(
        listed.contains("otlp_http/far logs, dead letters:") && listed.contains(", refused: "),
        "{listed}"
    );
    assert_eq!(queue(&["export", "--dead-letters"], &directory).stdout.lines().count(), 2);

    let replayed = queue(&["replay"], &directory);
    assert_eq!(
        (replayed.code, replayed.stdout.as_str()),
        (0, "otlp_http/far logs: 2 dead letters wait again\n")
    );
    let cells = inspected(&directory);
    assert_eq!((cells[2].as_str(), cells[cells.len() - 2].as_str()), ("2", "0"));
}

#[test]
fn a_queue_that_is_not_there_is_told_with_those_that_are() {
    let (directory, _) = filled("queue_unknown.yaml");
    let outcome = queue(&["inspect", "--exporter", "otlp"], &directory);
    assert_eq!(outcome.code, 64);
    assert!(outcome.stderr.ends_with("there are: otlp_http/far logs\n"), "{}", outcome.stderr);
}

#[test]
fn the_doctor_finds_a_server_that_is_down() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let endpoint = dead_port();
    let path = config("doctor_dead.yaml", &endpoint, directory.path());
    let outcome = watershed(&["doctor", "--config", path.to_str().unwrap()]);
    assert_eq!(outcome.code, 1);
    let expected = format!(
        "fail exporter otlp_http/far, http://{endpoint}/v1/logs: does not take logs: no answer from the server"
    );
    assert!(outcome.stdout.contains(&expected), "{}", outcome.stdout);
    assert!(outcome.stderr.starts_with("1 of "), "{}", outcome.stderr);
}

#[test]
fn the_doctor_asks_stores_of_every_kind() {
    let port = dead_port();
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  clickhouse: {{endpoint: 'http://{port}'}}
  loki: {{endpoint: 'http://{port}', sending_queue: {{storage: memory}}}}
  otlp: {{endpoint: 'http://{port}', timeout: 1s}}
  otlp_http: {{endpoint: 'http://{port}'}}
service: {{pipelines: {{logs: {{receivers: [otlp], exporters: [clickhouse, loki, otlp]}}}}}}
"
    );
    let path = config_file("doctor_stores.yaml", &text);
    let outcome = watershed(&["doctor", "--config", path.to_str().unwrap()]);
    assert_eq!(outcome.code, 1);
    for exporter in ["clickhouse", "loki", "otlp"] {
        assert!(outcome.stdout.contains(&format!("fail exporter {exporter}, ")), "{}", outcome.stdout);
    }
    assert!(outcome.stdout.contains("warn exporter otlp_http: no pipeline uses it"), "{}", outcome.stdout);
}

#[test]
fn the_doctor_is_content_with_a_far_end_that_answers() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let far = Running::start(&config_file(
        "doctor_far_end.yaml",
        "
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
exporters: {stdout: }
service:
  telemetry: {metrics: {level: none}}
  pipelines: {logs: {receivers: [otlp], exporters: [stdout]}}
",
    ));
    let path = config("doctor_good.yaml", &far.address("protocol", "http").to_string(), directory.path());
    let grpc = config_file(
        "doctor_good_grpc.yaml",
        &format!(
            "exporters: {{otlp: {{endpoint: 'http://{}'}}}}\n\
             service: {{pipelines: {{logs/grpc: {{receivers: [otlp], exporters: [otlp]}}}}}}\n",
            far.address("protocol", "grpc")
        ),
    );
    let files = ["doctor", "--config", path.to_str().unwrap(), "--config", grpc.to_str().unwrap()];
    let outcome = watershed(&files);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""), "{}", outcome.stdout);
    for exporter in ["otlp", "otlp_http/far"] {
        let takes = |line: &str| {
            line.starts_with(&format!("ok   exporter {exporter}, ")) && line.ends_with(": takes logs")
        };
        assert!(outcome.stdout.lines().any(takes), "{}", outcome.stdout);
    }
    assert!(outcome.stdout.contains("ok   queues: "), "{}", outcome.stdout);
    let (_, received, _) = far.stop();
    assert_eq!(received, "", "the examination leaves nothing behind");
}

#[test]
fn the_doctor_finds_a_port_that_is_taken_unless_the_program_runs() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{address}'}}}}}}}}
exporters: {{stdout: }}
service:
  storage: {{directory: '{}'}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [stdout]}}}}
",
        directory.path().display()
    );
    let path = config_file("doctor_port.yaml", &text);
    let arguments = ["doctor", "--config", path.to_str().unwrap(), "--running"];
    let outcome = watershed(&arguments[..3]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stdout.contains(&format!("fail receiver otlp: cannot listen on {address}")),
        "{}",
        outcome.stdout
    );
    assert_eq!(watershed(&arguments).code, 0);
}
