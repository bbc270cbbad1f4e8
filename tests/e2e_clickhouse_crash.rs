//! What the program says it has taken is stored in ClickHouse, unaltered and once, however often either of them is
//! killed and while ClickHouse hangs.
//!
//! Stored once: each record is sent once, or again only after it was refused. A client that sends a record again because
//! the program died before it answered has sent two, and nothing here could tell.
//!
//! `KILL_CYCLES` says how often the program and ClickHouse are killed (default 3).
#![cfg(test)]

mod support {
    #[expect(dead_code, reason = "other tests use more of it")]
    pub(crate) mod clickhouse;
    pub(crate) mod kill;
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::clickhouse::{Server, free_port};
use support::kill::{RECORDS, SENDERS, cycles, kill_under_load};
use support::program::{config_file, program};
use support::running::Running;

/// Nothing here takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(240);
/// How many records are on their way while ClickHouse is away.
const COUNT: u64 = 30_000;

/// Merges a few requests, so that there are many inserts.
const BATCH: &str = "min_size: 250, flush_timeout: 20ms";

/// The program with a queue on disk in front of a database. Its patience with ClickHouse is short, so that it often
/// sends again what ClickHouse has taken.
fn config(name: &str, server: &Server, database: &str, timeout: &str, batch: &str) -> PathBuf {
    let queues = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  clickhouse:
    endpoint: {}
    database: {database}
    timeout: {timeout}
    sending_queue: {{batch: {{{batch}}}}}
    retry_on_failure: {{initial_interval: 20ms, max_interval: 100ms}}
service:
  storage: {{directory: '{}'}}
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [clickhouse]}}}}
",
        server.url(),
        queues.display()
    );
    config_file(name, &text)
}

/// How many rows there are; none while there is no table.
fn stored(server: &Server, database: &str) -> u64 {
    let query = format!(
        "SELECT sum(rows) FROM system.parts WHERE active AND database = '{database}' AND table = 'otel_logs'"
    );
    server.query(&query).parse().unwrap()
}

fn wait_for(server: &Server, database: &str, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = stored(server, database);
        if found >= count {
            return;
        }
        assert!(Instant::now() < deadline, "{found} of {count} records were stored");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// All bodies in the table, once it has those that are awaited; at the latest when patience is at its end.
fn bodies_with(server: &Server, database: &str, awaited: &BTreeSet<String>) -> String {
    let deadline = Instant::now() + PATIENCE;
    // There is no table before the first batch.
    wait_for(server, database, awaited.len() as u64);
    loop {
        let text = server.query(&format!("SELECT Body FROM {database}.otel_logs FORMAT TSVRaw"));
        let found: BTreeSet<&str> = text.lines().collect();
        if awaited.iter().all(|body| found.contains(body.as_str())) || Instant::now() > deadline {
            return text;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn check_kills(name: &str, batch: &str) {
    let server = Server::shared();
    let database = server.database();
    let config = config(name, server, &database, "5s", batch);
    let next = AtomicU64::new(0);
    let mut acknowledged = BTreeSet::new();
    for cycle in 0..cycles() {
        acknowledged.extend(kill_under_load(&config, cycle, &next));
    }
    assert!(!acknowledged.is_empty(), "nothing was under way");
    let running = Running::start(&config);
    let text = bodies_with(server, &database, &acknowledged);
    let (status, _, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
    let rows = text.lines().count();
    let stored: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let missing = acknowledged.difference(&stored).count();
    assert_eq!(missing, 0, "of {} acknowledged records these are lost or altered", acknowledged.len());
    assert_eq!(rows - stored.len(), 0, "of {} records these are doubled", stored.len());
    let unanswered = stored.len() - acknowledged.len();
    let unanswered_max = cycles() * SENDERS * RECORDS;
    assert!(unanswered as u64 <= unanswered_max, "{unanswered} records that nobody was told of");
}

#[test]
fn what_a_client_was_told_is_taken_is_stored_once_however_often_the_program_is_killed() {
    check_kills("killed_before_clickhouse.yaml", "min_size: 1");
}

#[test]
fn merged_batches_are_stored_once_however_often_the_program_is_killed() {
    // Each batch is made of several requests, and most requests are cut between two batches.
    check_kills("killed_merging.yaml", "min_size: 50, max_size: 70, flush_timeout: 20ms");
}

fn generate(running: &Running) -> Child {
    let endpoint = running.address("protocol", "http").to_string();
    program()
        .args(["generate", "logs", "--retry", "--protocol", "http", "--endpoint", &endpoint])
        .args(["--count", &COUNT.to_string(), "--batch", "100", "--connections", "4"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Takes ClickHouse away once records have begun to arrive, until all of them have been taken over by the program.
fn check_outage(name: &str, away: fn(&mut Server), back: fn(&mut Server)) {
    let mut server = Server::own(free_port());
    let database = server.database();
    let config = config(&format!("clickhouse_{name}.yaml"), &server, &database, "2s", BATCH);
    let running = Running::start(&config);
    let generator = generate(&running);
    wait_for(&server, &database, 1);
    away(&mut server);
    check_taken(generator);
    back(&mut server);
    check_all_stored_once(running, &server, &database);
}

fn check_taken(generator: Child) {
    let report = generator.wait_with_output().unwrap().stdout;
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["accepted"], COUNT, "{report}");
}

fn check_all_stored_once(running: Running, server: &Server, database: &str) {
    wait_for(server, database, COUNT);
    let (status, _, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
    let query = format!(
        "SELECT count(), uniqExact(n), min(n), max(n) FROM \
         (SELECT toUInt64(LogAttributes['sequence']) AS n FROM {database}.otel_logs) FORMAT CSV"
    );
    assert_eq!(server.query(&query), format!("{COUNT},{COUNT},0,{}", COUNT - 1));
}

#[test]
fn while_clickhouse_hangs_nothing_is_lost_and_afterwards_nothing_is_doubled() {
    check_outage("hangs", |server| server.signal("STOP"), |server| server.signal("CONT"));
}

#[test]
fn however_often_clickhouse_is_killed_while_it_stores_nothing_is_lost_or_doubled() {
    let mut server = Server::own(free_port());
    let database = server.database();
    let config = config("clickhouse_is_killed.yaml", &server, &database, "5s", BATCH);
    let running = Running::start(&config);
    let generator = generate(&running);
    for cycle in 1..=cycles() {
        // Each time it has stored something since it was killed last, and more is on its way.
        wait_for(&server, &database, cycle * COUNT / (cycles() + 1) / 2);
        server.crash();
        server.recover();
    }
    check_taken(generator);
    check_all_stored_once(running, &server, &database);
}
