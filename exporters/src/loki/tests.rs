//! The exporter against a Loki that enforces its limits.

use std::collections::BTreeMap;

use http::HeaderMap;
use watershed_config::Section;
use watershed_pipeline::{
    AnyValue, Batch, Context, ExportError, ExporterConfig, Kind, Sample, Signal, Telemetry,
};

use super::mock::{Loki as MockLoki, Server, Stored};
use super::{Config, Loki};
use crate::testing;

/// The time of all tests: 2026-01-01.
pub(super) const NOW: u64 = 1_767_225_600_000_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const DAY: u64 = 86_400 * SECOND;

fn build_with(yaml: &str, cx: &Context) -> Result<Loki, String> {
    let section = Section::from_text("loki", yaml).unwrap();
    let config: Config = section.read().map_err(|errors| errors.to_string())?;
    ExporterConfig::build(&config, cx).map_err(|error| error.to_string())
}

pub(super) fn build(yaml: &str) -> Result<Loki, String> {
    build_with(yaml, &testing::context("loki"))
}

/// An exporter to the server, with further settings.
pub(super) fn exporter(server: &Server, settings: &str) -> Loki {
    build(&format!("endpoint: {}\n{settings}", server.url)).unwrap()
}

/// Records of one service: bodies and times.
pub(super) fn batch(service: &str, records: &[(&str, u64)]) -> Batch {
    let mut builder =
        Batch::builder(Signal::Logs).resource(|resource| resource.set_attribute("service.name", service));
    for (body, time) in records {
        builder.push(|log| {
            log.set_time_unix_nano(*time);
            log.set_body(*body);
        });
    }
    builder.build()
}

/// One record for each tenant, in the attribute `tenant`.
pub(super) fn of_tenants(tenants: &[&str]) -> Batch {
    let mut builder = Batch::builder(Signal::Logs);
    for (number, tenant) in tenants.iter().enumerate() {
        builder.push(|log| {
            log.set_time_unix_nano(NOW + number as u64);
            log.set_body(*tenant);
            log.set_attribute("tenant", *tenant);
        });
    }
    builder.build()
}

pub(super) fn lines(server: &Server) -> Vec<String> {
    server.loki().stored.iter().map(|entry| entry.line.clone()).collect()
}

pub(super) fn bodies(server: &Server) -> usize {
    server.loki().bodies.len()
}

pub(super) fn script(server: &Server, answers: &[(u16, &str)]) {
    let scripted = answers.iter().map(|(code, text)| ((*code, (*text).to_owned()), HeaderMap::new()));
    server.loki().script.extend(scripted);
}

#[track_caller]
pub(super) fn rejected(result: Result<(), ExportError>) -> (usize, String) {
    match result {
        Err(ExportError::Reject { count, reason }) => (count, reason),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_record_arrives_with_labels_metadata_and_line() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let batch = Batch::builder(Signal::Logs)
        .resource(|resource| {
            resource.set_attribute("service.name", "shop");
            resource.set_attribute("deployment.environment.name", "prod");
            resource.set_attribute("host.name", "h1");
        })
        .scope("orders", "1.2", |scope| scope.set_attribute("team", "red"))
        .record(|log| {
            log.set_time_unix_nano(NOW - 1);
            log.set_observed_time_unix_nano(NOW);
            log.set_severity_number(17);
            log.set_severity_text("ERROR");
            log.set_body("order failed");
            log.set_event_name("order");
            log.set_trace_context([0xab; 16], [0xcd; 8], 1);
            log.set_attribute("http.route", "/orders");
            log.set_attribute("host.name", "own");
            log.set_attribute("trace_id", "an impostor");
            log.set_attribute(
                "a",
                AnyValue::Map(vec![
                    ("b".into(), 1_i64.into()),
                    ("c".into(), AnyValue::Array(vec![true.into()])),
                ]),
            );
        })
        .build();
    exporter(&server, "").export_at(&batch, NOW).await.unwrap();
    let metadata = [
        ("detected_level", "error"),
        ("trace_id", "abababababababababababababababab"),
        ("span_id", "cdcdcdcdcdcdcdcd"),
        ("severity_text", "ERROR"),
        ("severity_number", "17"),
        ("event_name", "order"),
        ("observed_timestamp", "1767225600000000000"),
        ("flags", "1"),
        ("http_route", "/orders"),
        ("host_name", "own"),
        ("a_b", "1"),
        ("a_c", "[true]"),
        ("scope_name", "orders"),
        ("scope_version", "1.2"),
        ("team", "red"),
    ];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        server.loki().stored,
        [Stored {
            tenant: "fake".into(),
            labels: r#"{deployment_environment_name="prod", service_name="shop"}"#.into(),
            time: NOW - 1,
            line: "order failed".into(),
            metadata: BTreeMap::from(metadata),
        }]
    );
}

#[tokio::test]
async fn a_stream_is_in_the_order_of_time() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let batch = batch("a", &[("2", NOW - 5), ("4", NOW), ("1", NOW - 9), ("3", NOW - 5)]);
    exporter(&server, "").export_at(&batch, NOW).await.unwrap();
    assert_eq!(lines(&server), ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn what_loki_does_not_take_is_dropped_with_its_reason() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let telemetry = Telemetry::new();
    let shared = testing::context("loki");
    let cx = Context::new(
        Kind::Exporter,
        shared.id().clone(),
        telemetry.clone(),
        shared.budget().clone(),
        std::sync::Arc::default(),
    );
    let exporter = build_with(&format!("{{endpoint: '{}', oversize: drop}}", server.url), &cx).unwrap();
    let long = "x".repeat((256 << 10) + 1);
    let records =
        [("old", NOW - 7 * DAY - 1), ("new", NOW + 600 * SECOND + 1), ("good", NOW - 7 * DAY), (&long, NOW)];
    let (count, reason) = rejected(exporter.export_at(&batch("a", &records), NOW).await);
    assert_eq!((count, reason.as_str()), (3, "dropped 1 too_old, 1 too_new, 1 line_too_long"));
    assert_eq!(lines(&server), ["good"]);
    let mut counted: Vec<String> =
        telemetry.samples().iter().filter(|sample| sample.value > 0).map(shown).collect();
    counted.sort();
    assert_eq!(counted, ["1 line_too_long", "1 too_new", "1 too_old"]);
}

fn shown(sample: &Sample) -> String {
    let reason = sample.labels.iter().find(|(name, _)| name == "reason" || name == "what");
    format!("{} {}", sample.value, reason.map_or("", |(_, value)| value))
}

#[tokio::test]
async fn what_is_too_large_is_cut_and_says_so() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let batch = Batch::builder(Signal::Logs)
        .record(|log| {
            log.set_time_unix_nano(NOW);
            log.set_body("\u{20ac}".repeat(100_000));
            for number in 0..200_i64 {
                log.set_attribute(&format!("key{number}"), number);
            }
        })
        .record(|log| {
            log.set_time_unix_nano(NOW);
            log.set_body("small");
            log.set_attribute("large", "x".repeat(65_536));
            log.set_attribute("small", "kept");
        })
        .build();
    exporter(&server, "").export_at(&batch, NOW).await.unwrap();
    let loki = server.loki();
    let [first, second] = &loki.stored[..] else { panic!("{}", loki.stored.len()) };
    assert_eq!(first.line.len(), 262_143);
    assert_eq!(first.metadata["line_cut_from_bytes"], "300000");
    assert_eq!((first.metadata.len(), first.metadata["metadata_dropped"].as_str()), (128, "74"));
    assert_eq!(
        (second.metadata["small"].as_str(), second.metadata["metadata_dropped"].as_str()),
        ("kept", "1")
    );
}

#[tokio::test]
async fn a_server_without_structured_metadata_gets_none_even_with_a_cut_line() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let long = "x".repeat(300_000);
    exporter(&server, "metadata: none").export_at(&batch("a", &[(&long, NOW)]), NOW).await.unwrap();
    assert_eq!(server.loki().stored[0].metadata, BTreeMap::new());
}

#[tokio::test]
async fn an_explosion_of_labels_ends_in_one_stream() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let mut builder = Batch::builder(Signal::Logs);
    for number in 0..10 {
        builder.push(|log| {
            log.set_time_unix_nano(NOW + number);
            log.set_attribute("user.id", format!("u{number}"));
        });
    }
    let exporter = exporter(&server, "labels: [user_id]\nstatic_labels: {site: x}\nlimits: {streams_max: 3}");
    exporter.export_at(&builder.build(), NOW).await.unwrap();
    let loki = server.loki();
    let mut streams: Vec<&str> = loki.stored.iter().map(|entry| entry.labels.as_str()).collect();
    streams.dedup();
    assert_eq!(
        streams,
        [
            r#"{site="x", user_id="u0"}"#,
            r#"{site="x", user_id="u1"}"#,
            r#"{site="x", user_id="u2"}"#,
            r#"{service_name="overflow", site="x"}"#
        ]
    );
    assert_eq!(loki.stored[9].metadata["overflow_user_id"], "u9");
    assert!(!loki.stored[0].metadata.contains_key("user_id"), "a label is not metadata too");
}

#[tokio::test]
async fn a_large_batch_becomes_several_requests() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let body = "x".repeat(100_000);
    let records: Vec<(&str, u64)> = (0..80).map(|number| (body.as_str(), NOW + number)).collect();
    exporter(&server, "").export_at(&batch("a", &records), NOW).await.unwrap();
    assert_eq!((bodies(&server), server.loki().stored.len()), (3, 80));
}

#[tokio::test]
async fn otlp_goes_to_lokis_own_endpoint_by_tenant_and_size() {
    let loki = MockLoki { auth_enabled: true, grpc_size_max: 400, ..MockLoki::new(NOW) };
    let server = Server::start(loki).await;
    let exporter = exporter(&server, "protocol: otlp\ntenant: {attribute: tenant, id: rest}");
    let body = "x".repeat(300);
    let mut batch = of_tenants(&["a", "b"]);
    batch.append(self::batch("s", &[(&body, NOW), (&body, NOW + 1), ("old", NOW - 8 * DAY)]));
    let (count, reason) = rejected(exporter.export_at(&batch, NOW).await);
    assert_eq!((count, reason.as_str()), (1, "dropped 1 too_old"));
    let loki = server.loki();
    let tenants: Vec<&str> = loki.otlp.iter().map(|(tenant, _)| tenant.as_str()).collect();
    assert_eq!(tenants, ["a", "b", "rest", "rest"]);
    assert_eq!(loki.bodies[0].0["content-encoding"], "gzip");
}

#[tokio::test]
async fn who_we_are_stands_in_the_headers() {
    for (settings, expected) in [
        ("username: me\npassword: secret", "Basic bWU6c2VjcmV0"),
        ("bearer_token: t0ken", "Bearer t0ken"),
        ("headers: {authorization: custom}", "custom"),
    ] {
        let server = Server::start(MockLoki::new(NOW)).await;
        let exporter = exporter(&server, &format!("{settings}\ntenant: {{id: team-a}}"));
        exporter.export_at(&batch("a", &[("1", NOW)]), NOW).await.unwrap();
        let headers = server.loki().bodies[0].0.clone();
        assert_eq!(
            (&headers["authorization"], &headers["x-scope-orgid"]),
            (&expected.parse().unwrap(), &"team-a".parse().unwrap())
        );
        assert!(headers["user-agent"].to_str().unwrap().starts_with("watershed/"));
    }
}

#[tokio::test]
async fn only_log_records_are_taken_and_an_empty_batch_sends_nothing() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let exporter = exporter(&server, "");
    let spans = Batch::builder(Signal::Traces).record(|span| span.set_span_name("s")).build();
    let (count, reason) = rejected(watershed_pipeline::Exporter::export(&exporter, &spans).await);
    assert_eq!(
        (count, reason.as_str()),
        (1, "loki stores log records only; take it out of the pipelines of traces")
    );
    exporter.export_at(&Batch::new(Signal::Logs), NOW).await.unwrap();
    assert_eq!(bodies(&server), 0);
}
