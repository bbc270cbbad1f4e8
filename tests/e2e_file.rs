//! The receiver `file` in the real program: killed without warning while files are written and rotated, and run until the
//! end of what is there.
//!
//! `KILL_CYCLES` says how often it is killed (default 3).
#![cfg(test)]

mod support {
    pub(crate) mod outcome;
    pub(crate) mod program;
}

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::outcome::watershed;
use tempfile::TempDir;

/// Lines between two rotations.
const LINES_PER_FILE: usize = 500;

fn directory() -> TempDir {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::create_dir(directory.path().join("logs")).unwrap();
    let root = directory.path().display();
    let config = format!(
        "
receivers:
  file:
    include: ['{root}/logs/app.log*']
    start_at: beginning
    retry_on_failure: {{initial_interval: 20ms}}
exporters: {{file: {{path: '{root}/out.json', append: true}}}}
service:
  storage: {{directory: '{root}/state'}}
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [file], exporters: [file]}}}}
"
    );
    std::fs::write(directory.path().join("config.yaml"), config).unwrap();
    directory
}

fn start(root: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_watershed"))
        .args(["run", "--config"])
        .arg(root.join("config.yaml"))
        .env_remove("WATERSHED_LOG")
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Writes numbered lines and rotates by renaming, until told to stop. Gives their number.
fn write(root: &Path, stop: &AtomicBool) -> usize {
    let current = root.join("logs/app.log");
    let mut file = OpenOptions::new().create(true).append(true).open(&current).unwrap();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        writeln!(file, "line {count} {}", "x".repeat(count % 100)).unwrap();
        count += 1;
        if count.is_multiple_of(LINES_PER_FILE) {
            std::fs::rename(&current, root.join(format!("logs/app.log.{count}"))).unwrap();
            file = OpenOptions::new().create(true).append(true).open(&current).unwrap();
        }
        if count.is_multiple_of(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    count
}

/// How often each line arrived, by its number.
fn arrived(root: &Path) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for text in BufReader::new(File::open(root.join("out.json")).unwrap()).lines() {
        // A process that is killed may leave a piece of a record behind, about which nobody was told that it is written;
        // the next record then follows on the same line.
        let text = text.unwrap();
        let whole = text.rfind(r#"{"resourceLogs""#).map_or("", |start| &text[start..]);
        let Ok(request) = serde_json::from_str::<serde_json::Value>(whole) else { continue };
        let scopes = request["resourceLogs"].as_array().unwrap().iter().flat_map(|resource| {
            resource["scopeLogs"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|scope| scope["logRecords"].as_array().unwrap())
        });
        for log in scopes {
            let body = log["body"]["stringValue"].as_str().unwrap();
            let number: usize = body.split(' ').nth(1).unwrap().parse().unwrap();
            assert_eq!(body, format!("line {number} {}", "x".repeat(number % 100)).trim_end());
            *counts.entry(number).or_default() += 1;
        }
    }
    counts
}

#[track_caller]
fn run_until_eof(root: &Path) -> String {
    let config = root.join("config.yaml");
    let outcome = watershed(&["run", "--until-eof", "--config", config.to_str().unwrap()]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, ""), "{}", outcome.stderr);
    outcome.stderr
}

#[test]
fn no_line_is_lost_however_often_the_program_is_killed() {
    let cycles: u64 = std::env::var("KILL_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let directory = directory();
    let root = directory.path();
    let stop = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(root, &stop));
        for cycle in 0..cycles {
            let mut child = start(root);
            std::thread::sleep(Duration::from_millis(300 + cycle * 37 % 200));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    run_until_eof(root);
    let counts = arrived(root);
    let lost: Vec<usize> = (0..written).filter(|number| !counts.contains_key(number)).collect();
    assert!(lost.is_empty(), "lost {} of {written} lines: {lost:?}", lost.len());
    assert_eq!(counts.len(), written);
    // What was on its way when the program was killed comes twice, and no more than that.
    assert!(counts.values().all(|count| *count as u64 <= cycles + 1));
}

#[test]
fn a_run_until_the_end_reads_what_is_there_once_and_ends() {
    let directory = directory();
    let root = directory.path();
    let text: String =
        (0..20_000).map(|number| format!("line {number} {}\n", "x".repeat(number % 100))).collect();
    std::fs::write(root.join("logs/app.log"), text).unwrap();
    let said = run_until_eof(root);
    assert!(said.contains("in 20000 lines"), "{said}");
    let said = run_until_eof(root);
    assert!(said.contains("in 0 lines"), "{said}");
    assert_eq!(arrived(root).into_iter().filter(|(_, count)| *count == 1).count(), 20_000);
}

#[test]
fn a_run_until_the_end_without_files_is_refused() {
    let config = support::program::config_file(
        "until_eof_refused.yaml",
        "{receivers: {otlp: {protocols: {grpc: }}}, exporters: {nop: }, \
         service: {pipelines: {logs: {receivers: [otlp], exporters: [nop]}}}}",
    );
    let outcome = watershed(&["run", "--until-eof", "--config", config.to_str().unwrap()]);
    assert_eq!(outcome.code, 64);
    assert!(
        outcome.stderr.contains("--until-eof needs a receiver that comes to an end"),
        "{}",
        outcome.stderr
    );
}
