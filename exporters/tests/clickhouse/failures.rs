//! Servers that are slow, and tables that take nothing for a while.

use std::time::{Duration, Instant};

use watershed_pipeline::testing::with_id;
use watershed_pipeline::{ExportError, Exporter as _};

use super::support::Server;
use super::{check_fatal, count, exporter_to, many_logs};

/// Nothing here takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(120);

fn wait_for(server: &Server, query: &str, expected: &str) {
    let deadline = Instant::now() + PATIENCE;
    while server.query(query) != expected {
        assert!(Instant::now() < deadline, "{query}: {} instead of {expected}", server.query(query));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn check_retry(result: Result<(), ExportError>, parts: &[&str]) {
    let Err(ExportError::Retry { reason, .. }) = result else { panic!("{result:?}") };
    assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
}

#[tokio::test]
async fn what_a_slow_server_stores_after_the_timeout_is_neither_lost_nor_doubled() {
    let server = Server::shared();
    let database = server.database();
    let exporter = exporter_to(server, &database, "");
    let batch = |number: u128| with_id(many_logs(5), number);
    exporter.export(&batch(1)).await.unwrap();
    // A view makes each insert take a second.
    server.query(&format!("CREATE TABLE {database}.sink (n UInt8) ENGINE = Null"));
    server.query(&format!(
        "CREATE MATERIALIZED VIEW {database}.slow TO {database}.sink AS \
         SELECT sleepEachRow(0.2) AS n FROM {database}.otel_logs"
    ));
    for _ in 0..2 {
        let attempt = tokio::time::timeout(Duration::from_millis(200), exporter.export(&batch(2))).await;
        assert!(attempt.is_err(), "{attempt:?}");
    }
    server.query(&format!("DROP VIEW {database}.slow"));
    exporter.export(&batch(2)).await.unwrap();
    // Attempts that were given up run on in the server; none of them may store anything more.
    let running = format!(
        "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND query LIKE '%{database}%'"
    );
    wait_for(server, &running, "0");
    assert_eq!(count(server, &format!("{database}.otel_logs")), "10");
    exporter.export(&batch(2)).await.unwrap();
    exporter.export(&batch(3)).await.unwrap();
    assert_eq!(count(server, &format!("{database}.otel_logs")), "15");
}

#[tokio::test]
async fn a_table_that_is_read_only_is_waited_for() {
    let server = Server::shared();
    let database = server.database();
    let exporter = exporter_to(server, &database, "");
    exporter.export(&many_logs(1)).await.unwrap();
    let set = |value: u8| {
        server.query(&format!("ALTER TABLE {database}.otel_logs MODIFY SETTING table_readonly = {value}"));
    };
    set(1);
    for exporter in [&exporter, &exporter_to(server, &database, "")] {
        let result = exporter.export(&many_logs(2)).await;
        check_retry(result, &["Code: 774", "readonly", "MODIFY SETTING table_readonly = 0"]);
    }
    set(0);
    exporter.export(&many_logs(2)).await.unwrap();
    assert_eq!(count(server, &format!("{database}.otel_logs")), "3");
}

#[tokio::test]
async fn a_table_that_is_detached_is_waited_for_and_not_taken_for_ours_afterwards() {
    let server = Server::shared();
    let database = server.database();
    let ddl = include_str!("logs_v0.150.sql");
    server.query(&ddl.replace("otel_logs", &format!("{database}.otel_logs")));
    let exporter = exporter_to(server, &database, "");
    exporter.export(&many_logs(1)).await.unwrap();
    server.query(&format!("DETACH TABLE {database}.otel_logs"));
    let advice = format!("ATTACH TABLE `{database}`.`otel_logs`");
    // The first notices that the table is not as it was, the second looks at it.
    check_retry(exporter.export(&many_logs(2)).await, &["Code: 60"]);
    check_retry(exporter.export(&many_logs(2)).await, &["cannot be created", &advice]);
    let started = exporter_to(server, &database, "");
    check_fatal(started.export(&many_logs(2)).await, &["cannot be created", &advice]);
    server.query(&format!("ATTACH TABLE {database}.otel_logs"));
    exporter.export(&many_logs(2)).await.unwrap();
    assert_eq!(count(server, &format!("{database}.otel_logs")), "3");
    assert_eq!(count(server, &format!("{database}.watershed_schema_versions")), "0");
}

#[tokio::test]
async fn a_table_with_too_many_parts_is_waited_for() {
    let server = Server::shared();
    let database = server.database();
    let exporter = exporter_to(server, &database, "");
    exporter.export(&many_logs(1)).await.unwrap();
    let table = format!("{database}.otel_logs");
    server.query(&format!("SYSTEM STOP MERGES {table}"));
    server.query(&format!("ALTER TABLE {table} MODIFY SETTING parts_to_throw_insert = 1"));
    check_retry(exporter.export(&many_logs(2)).await, &["Code: 252", "Too many parts"]);
    server.query(&format!("ALTER TABLE {table} RESET SETTING parts_to_throw_insert"));
    exporter.export(&many_logs(2)).await.unwrap();
    assert_eq!(count(server, &table), "3");
}
