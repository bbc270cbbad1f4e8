//! Tables of the user's own making.

use serde_json::json;
use watershed_pipeline::Exporter as _;

use super::support::{READER, Server};
use super::{check_fatal, count, exporter_to, full_log, logs, many_logs, rows};

const LEFT_OUT: &str = "TraceId: null, SpanId: null, TraceFlags: null, ResourceSchemaUrl: null, \
    ScopeSchemaUrl: null, ScopeName: null, ScopeVersion: null, ScopeAttributes: null, ResourceAttributes: null";

#[tokio::test]
async fn columns_of_the_users_own_names_are_filled_and_others_left_alone() {
    let server = Server::shared();
    let database = server.database();
    server.query(&format!(
        "CREATE TABLE {database}.app (ts DateTime64(3), level LowCardinality(String), SeverityNumber UInt8, \
         service String, message String, tags Map(String, String), note String DEFAULT 'mine') \
         ENGINE = MergeTree ORDER BY ts SETTINGS non_replicated_deduplication_window = 10"
    ));
    let settings = |more: &str| {
        format!(
            "logs_table_name: app\ncolumns: {{logs: {{Timestamp: ts, SeverityText: level, ServiceName: service, \
             LogAttributes: tags, {LEFT_OUT}, {more}}}}}"
        )
    };
    let batch = logs(&json!([full_log()]));
    let wrong = exporter_to(server, &database, &settings("Body: text")).export(&batch).await;
    check_fatal(wrong, &["has no column `text`", "say with `columns` what it is called"]);
    exporter_to(server, &database, &settings("Body: message")).export(&batch).await.unwrap();
    let expected = json!({
        "ts": "2024-11-19 07:06:40.123", "level": "INFO", "SeverityNumber": 9, "service": "checkout",
        "message": "order placed \u{1f600}", "note": "mine",
        "tags": {"a.b": "-7", "d": "0.5", "nested": "{\"k\":false}", "z": "last"},
    });
    assert_eq!(rows(server, &format!("SELECT * FROM {database}.app")), [expected]);
}

#[tokio::test]
async fn a_table_of_the_users_own_is_not_created() {
    let server = Server::shared();
    let database = server.database();
    let exporter = exporter_to(server, &database, "columns: {logs: {Body: message}}");
    check_fatal(exporter.export(&many_logs(1)).await, &["Code: 60", "create the table"]);
    assert_eq!(count(server, &format!("system.tables WHERE database = '{database}'")), "0");
}

#[tokio::test]
async fn a_user_who_may_only_read_is_told_so() {
    let server = Server::with_users();
    let database = server.database();
    exporter_to(server, &database, "").export(&many_logs(1)).await.unwrap();
    let reader = exporter_to(server, &database, &format!("username: {READER}"));
    check_fatal(
        reader.export(&many_logs(1)).await,
        &["INSERT", "give the user the right that is named here"],
    );
    let read_only = exporter_to(server, &database, "connection_params: {readonly: 1}");
    check_fatal(read_only.export(&many_logs(1)).await, &["Code: 164", "readonly"]);
    assert_eq!(count(server, &format!("{database}.otel_logs")), "1");
}
