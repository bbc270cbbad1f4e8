//! Versions of tables: written down, brought up to date, refused.

use std::sync::Arc;

use serde_json::{Value, json};
use watershed_config::Section;
use watershed_pipeline::Exporter as _;

use super::super::tables::Table;
use super::super::versions::{Migration, PROGRAM};
use super::support::{READER, Server};
use super::{ClickHouse, Severity, check, check_fatal, count, exporter_to, many_logs, metrics, rows, spans};

/// Two versions that a later program might have.
const LATER: &[Migration] = &[
    Migration { table: Table::Logs, version: 2, columns: &["Region LowCardinality(String)"] },
    Migration { table: Table::Logs, version: 3, columns: &["Shard UInt8 CODEC(ZSTD(1))", "Zone String"] },
];

fn later(server: &Server, database: &str, more: &str) -> ClickHouse {
    let mut exporter = exporter_to(server, database, more);
    exporter.0.set_migrations(LATER);
    exporter
}

/// What is written down, as `[table, version]`.
fn versions(server: &Server, database: &str) -> Vec<Value> {
    let query = format!(
        "SELECT DISTINCT table AS t, version AS v FROM {database}.watershed_schema_versions ORDER BY t, v"
    );
    rows(server, &query).iter().map(|row| json!([row["t"], row["v"]])).collect()
}

fn columns(server: &Server, database: &str, names: &str) -> String {
    let query = format!(
        "SELECT arrayStringConcat(groupArray(name), ' ') FROM (SELECT name FROM system.columns \
         WHERE database = '{database}' AND table = 'otel_logs' AND name IN ({names}) ORDER BY position)"
    );
    server.query(&query)
}

const ADDED: &str = "'Region', 'Shard', 'Zone'";

#[tokio::test]
async fn tables_that_are_created_here_are_written_down_with_their_version() {
    let server = Server::shared();
    let database = server.database();
    let exporter = exporter_to(server, &database, "");
    exporter.export(&many_logs(1)).await.unwrap();
    let query = format!(
        "SELECT table, version, applied_by, dateDiff('second', applied_at, now()) < 600 AS is_new \
         FROM {database}.watershed_schema_versions"
    );
    // What is there already is not written down again.
    exporter_to(server, &database, "").export(&many_logs(2)).await.unwrap();
    let expected = json!({"table": "otel_logs", "version": 1, "applied_by": PROGRAM, "is_new": 1});
    assert_eq!(rows(server, &query), [expected]);
    exporter.export(&spans()).await.unwrap();
    exporter.export(&metrics()).await.unwrap();
    let names = versions(server, &database);
    assert_eq!(names.len(), 8, "{names:?}");
    for name in ["otel_traces", "otel_traces_trace_id_ts", "otel_metrics_exponential_histogram"] {
        assert!(names.contains(&json!([name, 1])), "{names:?}");
    }
}

#[tokio::test]
async fn a_table_of_an_older_version_is_brought_up_to_date_and_keeps_its_rows() {
    let server = Server::shared();
    let database = server.database();
    exporter_to(server, &database, "").export(&many_logs(1)).await.unwrap();
    assert_eq!(columns(server, &database, ADDED), "");
    for _ in 0..2 {
        later(server, &database, "").export(&many_logs(2)).await.unwrap();
        assert_eq!(columns(server, &database, ADDED), "Region Shard Zone");
        let expected = [1, 2, 3].map(|version| json!(["otel_logs", version]));
        assert_eq!(versions(server, &database), expected);
    }
    assert_eq!(count(server, &format!("{database}.otel_logs")), "3");
}

#[tokio::test]
async fn a_new_table_has_the_newest_version_at_once() {
    let server = Server::shared();
    for more in ["", "json: true"] {
        let database = server.database();
        later(server, &database, more).export(&many_logs(1)).await.unwrap();
        assert_eq!(columns(server, &database, ADDED), "Region Shard Zone");
        assert_eq!(versions(server, &database).last(), Some(&json!(["otel_logs", 3])));
    }
}

#[tokio::test]
async fn what_a_process_that_died_left_half_done_is_finished() {
    let server = Server::shared();
    let database = server.database();
    exporter_to(server, &database, "").export(&many_logs(1)).await.unwrap();
    // It died after a statement and before that was written down.
    server.query(&format!("ALTER TABLE {database}.otel_logs ADD COLUMN Region LowCardinality(String)"));
    later(server, &database, "").export(&many_logs(2)).await.unwrap();
    assert_eq!(columns(server, &database, ADDED), "Region Shard Zone");
    assert_eq!(versions(server, &database).len(), 3);
    // A table that was dropped is created anew, whatever is written down about its predecessor.
    server.query(&format!("DROP TABLE {database}.otel_logs SYNC"));
    later(server, &database, "").export(&many_logs(3)).await.unwrap();
    assert_eq!(columns(server, &database, ADDED), "Region Shard Zone");
}

#[tokio::test]
async fn a_table_of_somebody_else_is_never_altered() {
    let server = Server::shared();
    let database = server.database();
    let ddl = include_str!("logs_v0.150.sql");
    server.query(&ddl.replace("otel_logs", &format!("{database}.otel_logs")));
    let created = || server.query(&format!("SHOW CREATE TABLE {database}.otel_logs"));
    let before = created();
    let exporter = later(server, &database, "");
    exporter.export(&many_logs(1)).await.unwrap();
    // Other tables of ours do not make it ours.
    exporter.export(&spans()).await.unwrap();
    later(server, &database, "").export(&many_logs(2)).await.unwrap();
    assert_eq!(created(), before);
    let names = versions(server, &database);
    assert_eq!(names, [json!(["otel_traces", 1]), json!(["otel_traces_trace_id_ts", 1])]);
}

#[tokio::test]
async fn a_table_of_a_newer_version_is_refused_with_what_to_do() {
    let server = Server::shared();
    let database = server.database();
    later(server, &database, "").export(&many_logs(1)).await.unwrap();
    let result = exporter_to(server, &database, "").export(&many_logs(2)).await;
    let table = format!("`{database}`.`otel_logs` has version 3, made by {PROGRAM}");
    let versions = format!("delete its rows from `{database}`.`watershed_schema_versions`");
    check_fatal(
        result,
        &[&table, "up to version 1", "run the newer program", "`logs_table_name`", &versions],
    );
    assert_eq!(count(server, &format!("{database}.otel_logs")), "1");
    let yaml = format!("endpoint: {}\ndatabase: {database}", server.url());
    let report = check(&Section::from_text("clickhouse", &yaml).unwrap(), &Arc::default()).await.unwrap();
    let mut findings = report.servers.iter().flat_map(|server| &server.findings);
    assert!(findings.any(|finding| finding.severity == Severity::Problem && finding.text.contains(&table)));
    // Another table is free, and so is one that is not to be created here.
    exporter_to(server, &database, "logs_table_name: other").export(&many_logs(2)).await.unwrap();
    exporter_to(server, &database, "create_schema: false").export(&many_logs(2)).await.unwrap();
}

#[tokio::test]
async fn processes_that_start_together_do_not_disturb_each_other() {
    let server = Server::shared();
    for _ in 0..4 {
        let database = server.database();
        server.query(&format!("DROP DATABASE {database}"));
        let exporters: Vec<ClickHouse> = (0..4).map(|_| later(server, &database, "")).collect();
        let [first, second, third, fourth] = exporters.try_into().ok().unwrap();
        let export = async |exporter: &ClickHouse, records: usize| exporter.export(&many_logs(records)).await;
        let done = tokio::join!(export(&first, 1), export(&second, 2), export(&third, 3), export(&fourth, 4));
        assert_eq!(done, (Ok(()), Ok(()), Ok(()), Ok(())));
        assert_eq!(columns(server, &database, ADDED), "Region Shard Zone");
        let expected = [1, 2, 3].map(|version| json!(["otel_logs", version]));
        assert_eq!(versions(server, &database), expected);
        assert_eq!(count(server, &format!("{database}.otel_logs")), "10");
    }
}

#[tokio::test]
async fn the_table_of_versions_is_made_for_engines_that_need_columns_of_their_own() {
    let server = Server::shared();
    let database = server.database();
    let more = "table_engine: {name: ReplacingMergeTree, params: Timestamp}";
    exporter_to(server, &database, more).export(&many_logs(1)).await.unwrap();
    let query = format!("SELECT engine FROM system.tables WHERE database = '{database}' ORDER BY name");
    assert_eq!(server.query(&query), "ReplacingMergeTree\nMergeTree");
}

#[tokio::test]
async fn a_user_who_may_not_create_uses_the_tables_that_are_there_and_else_is_told_what_to_do() {
    let server = Server::with_users();
    let database = server.database();
    let reader = format!("username: {READER}");
    let result = exporter_to(server, &database, &reader).export(&many_logs(1)).await;
    check_fatal(
        result,
        &[
            "Code: 497",
            "CREATE TABLE",
            "watershed_schema_versions",
            "give the user the right that is named here, or have the tables created by somebody else and set \
             `create_schema: false`",
        ],
    );
    let missing = format!("{database}_missing");
    let result = exporter_to(server, &missing, &reader).export(&many_logs(1)).await;
    check_fatal(result, &["CREATE DATABASE", "set `create_schema: false`"]);
    // A table of ours that would be brought up to date, by a user who may not: it is used as it is.
    exporter_to(server, &database, "").export(&many_logs(1)).await.unwrap();
    let result = later(server, &database, &reader).export(&many_logs(2)).await;
    check_fatal(result, &["INSERT", "give the user the right that is named here"]);
    assert_eq!(columns(server, &database, ADDED), "");
}
