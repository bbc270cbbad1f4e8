//! The exporter against the real ClickHouse engine.

#[path = "../../../tests/support/clickhouse.rs"]
mod support;

#[path = "columns.rs"]
mod columns;
#[path = "crash.rs"]
mod crash;
#[path = "distributed.rs"]
mod distributed;
#[path = "failures.rs"]
mod failures;
#[path = "versions.rs"]
mod versions;

use std::time::Duration;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use watershed_config::Section;
use watershed_pipeline::otlp::{json, schema};
use watershed_pipeline::testing::any_batch;
use watershed_pipeline::{Batch, ExportError, Exporter as _, ExporterConfig as _, MetricKind, Signal};

use self::support::{PASSWORD, READER, Server, USER, free_port};
use super::tables::Table;
use super::{ClickHouse, Config, check};
use crate::check::{Report, Severity};
use crate::testing;

/// Takes a section's text; `{url}` and `{database}` stand for the server's.
fn exporter(yaml: &str) -> ClickHouse {
    let section = Section::from_text("clickhouse", yaml).unwrap();
    section.read::<Config>().unwrap().build(&testing::context("clickhouse")).unwrap()
}

fn exporter_to(server: &Server, database: &str, more: &str) -> ClickHouse {
    exporter(&format!("endpoint: {}\ndatabase: '{database}'\n{more}", server.url()))
}

/// Requests are written as OTLP/JSON, which is shorter than structs.
fn decode(signal: Signal, request: &Value) -> Batch {
    let message = match signal {
        Signal::Logs => &schema::LOGS_REQUEST,
        Signal::Traces => &schema::TRACES_REQUEST,
        Signal::Metrics => &schema::METRICS_REQUEST,
    };
    let protobuf = json::decode(message, request.to_string().as_bytes(), usize::MAX).unwrap();
    Batch::from_otlp(signal, protobuf.into()).unwrap()
}

fn logs(records: &Value) -> Batch {
    let request = json!({"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "checkout"}},
            {"key": "host.name", "value": {"stringValue": "node-1"}},
        ]},
        "schemaUrl": "https://schema/resource",
        "scopeLogs": [{
            "scope": {"name": "orders", "version": "1.2", "attributes": [{"key": "s", "value": {"boolValue": true}}]},
            "schemaUrl": "https://schema/scope",
            "logRecords": records,
        }],
    }]});
    decode(Signal::Logs, &request)
}

fn full_log() -> Value {
    json!({
        "timeUnixNano": "1732000000123456789",
        "observedTimeUnixNano": "1732000001000000000",
        "severityNumber": 9,
        "severityText": "INFO",
        "body": {"stringValue": "order placed \u{1f600}"},
        "attributes": [
            {"key": "z", "value": {"stringValue": "last"}},
            {"key": "a.b", "value": {"intValue": "-7"}},
            {"key": "d", "value": {"doubleValue": 0.5}},
            {"key": "nested", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": false}}]}}},
        ],
        "traceId": "0102030405060708090a0b0c0d0e0f10",
        "spanId": "a1a2a3a4a5a6a7a8",
        "flags": 257,
        "eventName": "order.placed",
    })
}

fn bare_log() -> Value {
    json!({"observedTimeUnixNano": "1732000002000000000"})
}

/// A row for each log record of so many.
fn many_logs(count: usize) -> Batch {
    let record = |number: usize| {
        json!({
            "timeUnixNano": format!("{}", 1_732_000_000_000_000_000_u64 + number as u64),
            "severityText": format!("S{}", number % 300),
            "body": {"stringValue": format!("record {number}")},
            "attributes": [{"key": format!("key {}", number % 1000), "value": {"intValue": format!("{number}")}}],
        })
    };
    logs(&(0..count).map(record).collect())
}

fn rows(server: &Server, query: &str) -> Vec<Value> {
    let text = server
        .query(&format!("{query} FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0, session_timezone = 'UTC'"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn count(server: &Server, table: &str) -> String {
    server.query(&format!("SELECT count() FROM {table}"))
}

fn expected_logs() -> [Value; 2] {
    let full = json!({
        "Timestamp": "2024-11-19 07:06:40.123456789",
        "TraceId": "0102030405060708090a0b0c0d0e0f10",
        "SpanId": "a1a2a3a4a5a6a7a8",
        "TraceFlags": 1,
        "SeverityText": "INFO",
        "SeverityNumber": 9,
        "ServiceName": "checkout",
        "Body": "order placed \u{1f600}",
        "ResourceSchemaUrl": "https://schema/resource",
        "ResourceAttributes": {"host.name": "node-1", "service.name": "checkout"},
        "ScopeSchemaUrl": "https://schema/scope",
        "ScopeName": "orders",
        "ScopeVersion": "1.2",
        "ScopeAttributes": {"s": "true"},
        "LogAttributes": {"a.b": "-7", "d": "0.5", "nested": "{\"k\":false}", "z": "last"},
        "EventName": "order.placed",
    });
    let mut bare = full.clone();
    for (name, value) in [
        ("Timestamp", json!("2024-11-19 07:06:42.000000000")),
        ("TraceId", json!("")),
        ("SpanId", json!("")),
        ("TraceFlags", json!(0)),
        ("SeverityText", json!("")),
        ("SeverityNumber", json!(0)),
        ("Body", json!("")),
        ("LogAttributes", json!({})),
        ("EventName", json!("")),
    ] {
        bare[name] = value;
    }
    [full, bare]
}

#[tokio::test]
async fn logs_arrive_field_by_field_in_tables_created_here() {
    for compress in ["lz4", "zstd", "none"] {
        let server = Server::shared();
        let database = server.database();
        let exporter = exporter_to(server, &database, &format!("compress: {compress}"));
        exporter.export(&logs(&json!([full_log(), bare_log()]))).await.unwrap();
        let found = rows(server, &format!("SELECT * FROM {database}.otel_logs ORDER BY Timestamp"));
        assert_eq!(found, expected_logs(), "{compress}");
    }
}

#[tokio::test]
async fn logs_arrive_in_the_collectors_older_tables() {
    let server = Server::shared();
    for drops_event_name in [false, true] {
        let database = server.database();
        let ddl = include_str!("logs_v0.150.sql");
        server.query(&ddl.replace("otel_logs", &format!("{database}.otel_logs")));
        let mut expected = expected_logs();
        for (row, second) in expected.iter_mut().zip(["2024-11-19 07:06:40", "2024-11-19 07:06:42"]) {
            row["TimestampTime"] = json!(second);
        }
        if drops_event_name {
            server.query(&format!("ALTER TABLE {database}.otel_logs DROP COLUMN EventName"));
            expected.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("EventName")));
        }
        let exporter = exporter_to(server, &database, "");
        exporter.export(&logs(&json!([full_log(), bare_log()]))).await.unwrap();
        let found = rows(server, &format!("SELECT * FROM {database}.otel_logs ORDER BY Timestamp"));
        assert_eq!(found, expected);
    }
}

fn spans() -> Batch {
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]},
        "scopeSpans": [{
            "scope": {"name": "orders", "version": "1.2"},
            "spans": [
                {
                    "traceId": "0102030405060708090a0b0c0d0e0f10",
                    "spanId": "a1a2a3a4a5a6a7a8",
                    "parentSpanId": "b1b2b3b4b5b6b7b8",
                    "traceState": "k=v",
                    "name": "POST /orders",
                    "kind": 2,
                    "startTimeUnixNano": "1732000000000000001",
                    "endTimeUnixNano": "1732000000000000026",
                    "attributes": [{"key": "http.route", "value": {"stringValue": "/orders"}}],
                    "status": {"code": 2, "message": "broken"},
                    "events": [
                        {"timeUnixNano": "1732000000000000002", "name": "first",
                         "attributes": [{"key": "n", "value": {"intValue": "1"}}]},
                        {"timeUnixNano": "1732000000000000003", "name": "second"},
                    ],
                    "links": [{"traceId": "1102030405060708090a0b0c0d0e0f10", "spanId": "c1a2a3a4a5a6a7a8",
                               "traceState": "l=1", "attributes": [{"key": "why", "value": {"stringValue": "retry"}}]}],
                },
                {
                    "traceId": "2102030405060708090a0b0c0d0e0f10",
                    "spanId": "d1a2a3a4a5a6a7a8",
                    "name": "backwards",
                    "startTimeUnixNano": "1732000000000000009",
                    "endTimeUnixNano": "1732000000000000001",
                },
            ],
        }],
    }]});
    decode(Signal::Traces, &request)
}

fn expected_spans() -> Vec<Value> {
    let first = json!({
        "Timestamp": "2024-11-19 07:06:40.000000001",
        "TraceId": "0102030405060708090a0b0c0d0e0f10",
        "SpanId": "a1a2a3a4a5a6a7a8",
        "ParentSpanId": "b1b2b3b4b5b6b7b8",
        "TraceState": "k=v",
        "SpanName": "POST /orders",
        "SpanKind": "Server",
        "ServiceName": "checkout",
        "ResourceAttributes": {"service.name": "checkout"},
        "ScopeName": "orders",
        "ScopeVersion": "1.2",
        "SpanAttributes": {"http.route": "/orders"},
        "Duration": 25,
        "StatusCode": "Error",
        "StatusMessage": "broken",
        "Events.Timestamp": ["2024-11-19 07:06:40.000000002", "2024-11-19 07:06:40.000000003"],
        "Events.Name": ["first", "second"],
        "Events.Attributes": [{"n": "1"}, {}],
        "Links.TraceId": ["1102030405060708090a0b0c0d0e0f10"],
        "Links.SpanId": ["c1a2a3a4a5a6a7a8"],
        "Links.TraceState": ["l=1"],
        "Links.Attributes": [{"why": "retry"}],
    });
    let second = json!({
        "Timestamp": "2024-11-19 07:06:40.000000009",
        "TraceId": "2102030405060708090a0b0c0d0e0f10",
        "SpanId": "d1a2a3a4a5a6a7a8",
        "ParentSpanId": "",
        "TraceState": "",
        "SpanName": "backwards",
        "SpanKind": "Unspecified",
        "ServiceName": "checkout",
        "ResourceAttributes": {"service.name": "checkout"},
        "ScopeName": "orders",
        "ScopeVersion": "1.2",
        "SpanAttributes": {},
        "Duration": 0,
        "StatusCode": "Unset",
        "StatusMessage": "",
        "Events.Timestamp": [],
        "Events.Name": [],
        "Events.Attributes": [],
        "Links.TraceId": [],
        "Links.SpanId": [],
        "Links.TraceState": [],
        "Links.Attributes": [],
    });
    vec![first, second]
}

#[tokio::test]
async fn spans_arrive_field_by_field_and_their_times_are_looked_up() {
    let server = Server::shared();
    let database = server.database();
    exporter_to(server, &database, "").export(&spans()).await.unwrap();
    let found = rows(server, &format!("SELECT * FROM {database}.otel_traces ORDER BY Timestamp"));
    assert_eq!(found, expected_spans());
    let times = format!(
        "SELECT TraceId, toUnixTimestamp(Start) AS s FROM {database}.otel_traces_trace_id_ts ORDER BY TraceId"
    );
    assert_eq!(
        rows(server, &times),
        [
            json!({"TraceId": "0102030405060708090a0b0c0d0e0f10", "s": 1_732_000_000}),
            json!({"TraceId": "2102030405060708090a0b0c0d0e0f10", "s": 1_732_000_000}),
        ]
    );
}

fn metrics() -> Batch {
    let point = |more: Value| {
        let mut point = json!({
            "startTimeUnixNano": "1732000000000000000",
            "timeUnixNano": "1732000001250000000",
            "attributes": [{"key": "route", "value": {"stringValue": "/"}}],
            "flags": 1,
        });
        point.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([point])
    };
    let exemplars = json!([{"timeUnixNano": "1732000001000000000", "asDouble": 2.5, "traceId": "0102030405060708090a0b0c0d0e0f10",
        "spanId": "a1a2a3a4a5a6a7a8", "filteredAttributes": [{"key": "user", "value": {"intValue": "4"}}]}]);
    let request = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]},
        "schemaUrl": "r",
        "scopeMetrics": [{
            "scope": {"name": "meter", "version": "3", "droppedAttributesCount": 2},
            "schemaUrl": "s",
            "metrics": [
                {"name": "temperature", "description": "d", "unit": "Cel",
                 "gauge": {"dataPoints": point(json!({"asDouble": 21.5, "exemplars": exemplars}))}},
                {"name": "orders", "sum": {"aggregationTemporality": 2, "isMonotonic": true,
                    "dataPoints": point(json!({"asInt": "7"}))}},
                {"name": "latency", "histogram": {"aggregationTemporality": 1, "dataPoints": point(json!({
                    "count": "3", "sum": 6.0, "min": 1.0, "max": 3.0, "bucketCounts": ["1", "2"], "explicitBounds": [1.5]}))}},
                {"name": "size", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": point(json!({
                    "count": "5", "scale": -1, "zeroCount": "1",
                    "positive": {"offset": -2, "bucketCounts": ["1", "3"]},
                    "negative": {"offset": 4, "bucketCounts": []}}))}},
                {"name": "quantiles", "summary": {"dataPoints": point(json!({
                    "count": "9", "sum": 4.5, "quantileValues": [{"quantile": 0.5, "value": 1.0}, {"quantile": 1.0, "value": 2.0}]}))}},
            ],
        }],
    }]});
    decode(Signal::Metrics, &request)
}

/// What rows of all metrics have in common, with what one of them has besides.
fn expected_point(name: &str, time: &str, own: &Value) -> Value {
    let mut row = json!({
        "ResourceAttributes": {"service.name": "checkout"},
        "ResourceSchemaUrl": "r",
        "ScopeName": "meter",
        "ScopeVersion": "3",
        "ScopeAttributes": {},
        "ScopeDroppedAttrCount": 2,
        "ScopeSchemaUrl": "s",
        "ServiceName": "checkout",
        "MetricName": name,
        "MetricDescription": "",
        "MetricUnit": "",
        "Attributes": {"route": "/"},
        "StartTimeUnix": "2024-11-19 07:06:40",
        "TimeUnix": time,
        "Flags": 1,
    });
    row.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    row
}

fn without_exemplars(mut own: Value) -> Value {
    for name in ["FilteredAttributes", "TimeUnix", "Value", "SpanId", "TraceId"] {
        own[format!("Exemplars.{name}")] = json!([]);
    }
    own
}

fn expected_metrics() -> [(MetricKind, &'static str, Value); 5] {
    let time = "2024-11-19 07:06:41";
    [
        (
            MetricKind::Gauge,
            "otel_metrics_gauge",
            expected_point(
                "temperature",
                time,
                &json!({
                    "MetricDescription": "d", "MetricUnit": "Cel", "Value": 21.5,
                    "Exemplars.FilteredAttributes": [{"user": "4"}], "Exemplars.TimeUnix": ["2024-11-19 07:06:41"],
                    "Exemplars.Value": [2.5], "Exemplars.SpanId": ["a1a2a3a4a5a6a7a8"],
                    "Exemplars.TraceId": ["0102030405060708090a0b0c0d0e0f10"],
                }),
            ),
        ),
        (
            MetricKind::Sum,
            "otel_metrics_sum",
            expected_point(
                "orders",
                time,
                &without_exemplars(json!({
                    "Value": 7, "AggregationTemporality": 2, "IsMonotonic": true,
                })),
            ),
        ),
        (
            MetricKind::Histogram,
            "otel_metrics_histogram",
            expected_point(
                "latency",
                time,
                &without_exemplars(json!({
                    "Count": 3, "Sum": 6, "BucketCounts": [1, 2], "ExplicitBounds": [1.5], "Min": 1, "Max": 3,
                    "AggregationTemporality": 1,
                })),
            ),
        ),
        (
            MetricKind::ExponentialHistogram,
            "otel_metrics_exponential_histogram",
            expected_point(
                "size",
                time,
                &without_exemplars(json!({
                    "Count": 5, "Sum": 0, "Scale": -1, "ZeroCount": 1, "PositiveOffset": -2, "PositiveBucketCounts": [1, 3],
                    "NegativeOffset": 4, "NegativeBucketCounts": [], "Min": 0, "Max": 0, "AggregationTemporality": 2,
                })),
            ),
        ),
        (
            MetricKind::Summary,
            "otel_metrics_summary",
            expected_point(
                "quantiles",
                time,
                &json!({
                    "Count": 9, "Sum": 4.5, "ValueAtQuantiles.Quantile": [0.5, 1], "ValueAtQuantiles.Value": [1, 2],
                }),
            ),
        ),
    ]
}

#[tokio::test]
async fn every_kind_of_metric_arrives_field_by_field() {
    let server = Server::shared();
    let database = server.database();
    exporter_to(server, &database, "").export(&metrics()).await.unwrap();
    for (_, table, expected) in expected_metrics() {
        assert_eq!(rows(server, &format!("SELECT * FROM {database}.{table}")), [expected], "{table}");
    }
}

#[tokio::test]
async fn the_collectors_older_metrics_tables_keep_nanoseconds() {
    let server = Server::shared();
    let database = server.database();
    let exporter = exporter_to(server, &database, "");
    for (kind, _, _) in expected_metrics() {
        let statement = exporter.0.naming().create(Table::Metrics(kind), (26, 9)).remove(0).statement;
        let older = statement
            .replace("Unix DateTime", "Unix DateTime64(9)")
            .replace("MetricName LowCardinality(String)", "MetricName String");
        server.query(&older);
    }
    exporter.export(&metrics()).await.unwrap();
    for (kind, table, mut expected) in expected_metrics() {
        expected["StartTimeUnix"] = json!("2024-11-19 07:06:40.000000000");
        expected["TimeUnix"] = json!("2024-11-19 07:06:41.250000000");
        if kind == MetricKind::Gauge {
            expected["Exemplars.TimeUnix"] = json!(["2024-11-19 07:06:41.000000000"]);
        }
        assert_eq!(rows(server, &format!("SELECT * FROM {database}.{table}")), [expected], "{table}");
    }
}

#[tokio::test]
async fn attributes_may_be_json() {
    let server = Server::shared();
    let database = server.database();
    let exporter = exporter_to(server, &database, "json: true");
    exporter.export(&logs(&json!([full_log()]))).await.unwrap();
    let columns = "ResourceAttributes, ResourceAttributesKeys, LogAttributes, LogAttributesKeys, EventName";
    assert_eq!(
        rows(server, &format!("SELECT {columns} FROM {database}.otel_logs")),
        [json!({
            "ResourceAttributes": {"host": {"name": "node-1"}, "service": {"name": "checkout"}},
            "ResourceAttributesKeys": ["host.name", "service.name"],
            "LogAttributes": {"a": {"b": -7}, "d": 0.5, "nested": {"k": false}, "z": "last"},
            "LogAttributesKeys": ["a.b", "d", "nested.k", "z"],
            "EventName": "order.placed",
        })]
    );
    exporter.export(&spans()).await.unwrap();
    let columns = "SpanAttributes, SpanAttributesKeys, Events.Attributes, Links.Attributes";
    assert_eq!(
        rows(server, &format!("SELECT {columns} FROM {database}.otel_traces ORDER BY Timestamp LIMIT 1")),
        [json!({
            "SpanAttributes": {"http": {"route": "/orders"}},
            "SpanAttributesKeys": ["http.route"],
            "Events.Attributes": [{"n": 1}, {}],
            "Links.Attributes": [{"why": "retry"}],
        })]
    );
}

#[tokio::test]
async fn large_batches_arrive_whole() {
    let server = Server::shared();
    let database = server.database();
    exporter_to(server, &database, "").export(&many_logs(70_000)).await.unwrap();
    let query = format!(
        "SELECT count() AS rows, uniqExact(Body) AS bodies, uniqExact(SeverityText) AS severities, \
         countIf(LogAttributes['key ' || toString(n % 1000)] = toString(n)) AS attributes \
         FROM (SELECT *, toUInt64(substring(Body, 8)) AS n FROM {database}.otel_logs)"
    );
    assert_eq!(
        rows(server, &query),
        [json!({"rows": 70_000, "bodies": 70_000, "severities": 300, "attributes": 70_000})]
    );
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_stored_once() {
    let server = Server::shared();
    let database = server.database();
    for batch in [many_logs(10), spans(), metrics()] {
        // A second exporter stands for the process after a restart.
        for _ in 0..2 {
            exporter_to(server, &database, "").export(&batch).await.unwrap();
        }
    }
    for (table, rows) in [
        ("otel_logs", "10"),
        ("otel_traces", "2"),
        ("otel_metrics_sum", "1"),
        ("otel_traces_trace_id_ts", "2"),
    ] {
        assert_eq!(count(server, &format!("{database}.{table}")), rows, "{table}");
    }
    exporter_to(server, &database, "").export(&many_logs(11)).await.unwrap();
    assert_eq!(count(server, &format!("{database}.otel_logs")), "21");
}

#[track_caller]
fn check_fatal(result: Result<(), ExportError>, parts: &[&str]) {
    let Err(ExportError::Fatal { reason }) = result else { panic!("{result:?}") };
    assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
}

#[tokio::test]
async fn settings_that_only_a_person_can_mend_stop_the_process_with_advice() {
    let server = Server::with_users();
    let database = server.database();
    let batch = many_logs(1);
    let result = exporter_to(server, &database, "username: otel\npassword: wrong").export(&batch).await;
    check_fatal(result, &["Code: 516", "check username and password"]);
    let result = exporter_to(server, "no_such_database", "create_schema: false").export(&batch).await;
    check_fatal(result, &["Code: 81", "no_such_database", "create the database"]);
    let result = exporter_to(server, &database, "create_schema: false").export(&batch).await;
    check_fatal(result, &["Code: 60", "create the table, or set `create_schema: true`"]);
    let result = exporter_to(server, &database, &format!("username: {READER}")).export(&batch).await;
    check_fatal(result, &["Code: 497", "give the user the right"]);
    exporter_to(server, &database, &format!("username: {USER}\npassword: {PASSWORD}"))
        .export(&batch)
        .await
        .unwrap();
    let result = exporter_to(server, &database, &format!("username: {READER}")).export(&many_logs(2)).await;
    check_fatal(result, &["Code: 497", "INSERT"]);
}

#[tokio::test]
async fn a_missing_column_is_named() {
    let server = Server::shared();
    let database = server.database();
    let exporter = exporter_to(server, &database, "");
    exporter.export(&many_logs(1)).await.unwrap();
    server.query(&format!("ALTER TABLE {database}.otel_logs DROP COLUMN ScopeVersion"));
    let result = exporter_to(server, &database, "").export(&many_logs(2)).await;
    check_fatal(result, &["has no column `ScopeVersion`", "ALTER TABLE", "logs_table_name"]);
    // Where inserts have worked before, somebody is at work on the table, and nothing is lost meanwhile.
    for _ in 0..2 {
        let result = exporter.export(&many_logs(2)).await;
        assert!(matches!(result, Err(ExportError::Retry { .. })), "{result:?}");
    }
    server.query(&format!("ALTER TABLE {database}.otel_logs ADD COLUMN ScopeVersion String"));
    exporter.export(&many_logs(2)).await.unwrap();
}

#[tokio::test]
async fn a_column_that_cannot_hold_its_values_is_named() {
    let server = Server::shared();
    let database = server.database();
    let exporter = exporter_to(server, &database, "");
    let statement = exporter.0.naming().create(Table::Logs, (25, 0)).remove(0).statement;
    let kept: Vec<&str> = statement.lines().filter(|line| !line.contains("INDEX idx_log_attr")).collect();
    server.query(
        &kept
            .join("\n")
            .replace("`LogAttributes` Map(LowCardinality(String), String)", "`LogAttributes` UInt8"),
    );
    check_fatal(exporter.export(&many_logs(1)).await, &["`LogAttributes` is UInt8 and should be Map("]);
}

#[tokio::test]
async fn records_that_break_a_constraint_are_found_by_halving() {
    let server = Server::shared();
    let database = server.database();
    let exporter = exporter_to(server, &database, "");
    exporter.export(&many_logs(1)).await.unwrap();
    server.query(&format!("ALTER TABLE {database}.otel_logs ADD CONSTRAINT c CHECK Body != 'record 1'"));
    let result = exporter.export(&many_logs(2)).await;
    assert!(matches!(result, Err(ExportError::TooLarge { .. })), "{result:?}");
    let mut bad = many_logs(2);
    bad.retain(|record| record.log().is_some_and(|log| log.time_unix_nano() % 2 == 1));
    let result = exporter.export(&bad).await;
    assert!(
        matches!(&result, Err(ExportError::Reject { count: 1, reason }) if reason.contains("Code: 469")),
        "{result:?}"
    );
}

#[tokio::test]
async fn an_insert_over_too_many_days_is_halved() {
    let server = Server::shared();
    let database = server.database();
    let day = |number: u64| json!({"timeUnixNano": format!("{}", 1_732_000_000_000_000_000 - number * 86_400_000_000_000)});
    let result = exporter_to(server, &database, "").export(&logs(&(0..150).map(day).collect())).await;
    assert!(
        matches!(&result, Err(ExportError::TooLarge { reason }) if reason.contains("Code: 252")),
        "{result:?}"
    );
}

#[tokio::test]
async fn another_server_is_asked_when_one_is_down() {
    let server = Server::shared();
    let database = server.database();
    let endpoint = format!("http://127.0.0.1:{},{}", free_port(), server.url().trim_start_matches("http://"));
    for strategy in ["in_order", "round_robin", "random"] {
        let text = format!("endpoint: {endpoint}/{database}?connection_open_strategy={strategy}");
        exporter(&text).export(&many_logs(1)).await.unwrap();
    }
    assert_eq!(count(server, &format!("{database}.otel_logs")), "1");
}

#[tokio::test]
async fn a_server_that_is_down_is_waited_for_and_one_that_hangs_stores_once() {
    let port = free_port();
    let exporter = exporter(&format!("endpoint: http://127.0.0.1:{port}/late"));
    let result = exporter.export(&many_logs(5)).await;
    assert!(matches!(&result, Err(ExportError::Retry { .. })), "{result:?}");
    let server = Server::own(port);
    exporter.export(&many_logs(5)).await.unwrap();
    server.signal("STOP");
    let attempt = tokio::time::timeout(Duration::from_millis(300), exporter.export(&many_logs(6))).await;
    assert!(attempt.is_err(), "{attempt:?}");
    server.signal("CONT");
    exporter.export(&many_logs(6)).await.unwrap();
    assert_eq!(count(&server, "late.otel_logs"), "11");
}

#[tokio::test]
async fn names_and_settings_of_all_sorts_are_taken() {
    let server = Server::shared();
    let database = server.database();
    let strange = format!("{database} `x`");
    let more = "logs_table_name: \"o'clock \\\"logs\\\"\"\nasync_insert: true\nttl: 175200h\n\
                connection_params: {max_threads: 1}\ntable_engine: {name: ReplacingMergeTree, params: Timestamp}";
    exporter_to(server, &strange, more).export(&many_logs(3)).await.unwrap();
    let table = format!("`{database} \\`x\\``.`o'clock \"logs\"`");
    assert_eq!(count(server, &table), "3");
    let created = server.query(&format!("SHOW CREATE TABLE {table} FORMAT TabSeparatedRaw"));
    assert!(created.contains("ENGINE = ReplacingMergeTree(Timestamp)"), "{created}");
    assert!(created.contains("TTL toDateTime(Timestamp) + toIntervalDay(7300)"), "{created}");
}

#[tokio::test]
async fn the_doctor_reports_version_tables_and_rights_without_writing() {
    let server = Server::with_users();
    let database = server.database();
    let examine = async |more: &str| {
        let yaml = format!("endpoint: {}\ndatabase: {database}\ntimeout: 9s\n{more}", server.url());
        check(&Section::from_text("clickhouse", &yaml).unwrap(), &std::sync::Arc::default()).await.unwrap()
    };
    let texts = |report: &Report, severity: Severity| -> Vec<String> {
        let all = report.servers.iter().flat_map(|server| &server.findings);
        all.filter(|finding| finding.severity == severity).map(|finding| finding.text.clone()).collect()
    };
    let report = examine("").await;
    assert_eq!(report.severity(), Severity::Good, "{report:?}");
    let good = texts(&report, Severity::Good).join("\n");
    assert!(good.contains("ClickHouse 26.") && good.contains("signed in as default"), "{good}");
    assert_eq!(good.matches("will be created").count(), 7, "{good}");
    assert_eq!(count(server, &format!("system.tables WHERE database = '{database}'")), "0");

    exporter_to(server, &database, "").export(&many_logs(1)).await.unwrap();
    server.query(&format!("ALTER TABLE {database}.otel_logs DROP INDEX idx_lower_body, DROP COLUMN Body"));
    let problems = texts(&examine(&format!("username: {READER}")).await, Severity::Problem).join("\n");
    assert!(problems.contains("has no column `Body`"), "{problems}");
    assert!(problems.contains("GRANT INSERT"), "{problems}");

    server.query(&format!("DROP TABLE {database}.otel_logs"));
    let older = include_str!("logs_v0.150.sql").replace("otel_logs", &format!("{database}.otel_logs"));
    server.query(&older);
    let warnings = texts(&examine("").await, Severity::Warning).join("\n");
    assert!(warnings.contains("non_replicated_deduplication_window = 1000"), "{warnings}");

    let problems = texts(&examine("username: nobody").await, Severity::Problem).join("\n");
    assert!(problems.contains("check username and password"), "{problems}");
}

#[tokio::test]
async fn whatever_can_be_received_can_be_stored() {
    let server = Server::shared();
    let mut runner = TestRunner::deterministic();
    for json in [false, true] {
        let database = server.database();
        let exporter = exporter_to(server, &database, &format!("json: {json}"));
        for signal in Signal::ALL {
            let mut sent = 0;
            for _ in 0..24 {
                let batch = any_batch(signal).new_tree(&mut runner).unwrap().current();
                sent += batch.points().filter(|point| point.metric().kind() != MetricKind::Empty).count();
                sent += if signal == Signal::Metrics { 0 } else { batch.len() };
                // An arbitrary batch may span more days than ClickHouse takes in one insert, and repeat an earlier one.
                let mut waiting = vec![batch];
                while let Some(mut batch) = waiting.pop() {
                    match exporter.export(&batch).await {
                        Err(ExportError::TooLarge { .. }) => {
                            let half = batch.split_off(batch.len() / 2).unwrap();
                            waiting.extend([batch, half]);
                        }
                        result => assert_eq!(result, Ok(()), "{signal}"),
                    }
                }
            }
            let tables = match signal {
                Signal::Logs => "otel_logs$",
                Signal::Traces => "otel_traces$",
                Signal::Metrics => "otel_metrics_",
            };
            let stored = count(server, &format!("merge('{database}', '{tables}')"));
            assert!(sent > 20, "{sent} is too few to show anything");
            assert_eq!(stored, sent.to_string(), "{signal}");
        }
    }
}
