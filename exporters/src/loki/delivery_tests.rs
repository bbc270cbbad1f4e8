//! Answers of the server: what is split, tried again or given up, and what that does to other tenants.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use watershed_pipeline::ExportError;

use super::mock::{Loki as MockLoki, Server};
use super::tests::{NOW, SECOND, batch, bodies, exporter, lines, of_tenants, rejected, script};

#[track_caller]
fn retried(result: Result<(), ExportError>) -> (String, Option<Duration>) {
    match result {
        Err(ExportError::Retry { reason, after }) => (reason, after),
        other => panic!("expected a retry, got {other:?}"),
    }
}

#[tokio::test]
async fn what_the_server_calls_too_large_is_halved() {
    let loki = MockLoki { grpc_size_max: 2_500, ..MockLoki::new(NOW) };
    let server = Server::start(loki).await;
    let (small, large) = ("x".repeat(1000), "y".repeat(3000));
    let records = [(small.as_str(), NOW), (&small, NOW + 1), (&large, NOW + 2), (&small, NOW + 3)];
    let (count, reason) = rejected(exporter(&server, "").export_at(&batch("a", &records), NOW).await);
    assert_eq!(count, 1);
    assert!(reason.starts_with("dropped 1 too_large; Loki answered 500: rpc error"), "{reason}");
    assert_eq!(server.loki().stored.len(), 3);
}

#[tokio::test]
async fn a_request_above_the_burst_is_halved_instead_of_waiting_for_ever() {
    let loki = MockLoki { rate_limit: 2_500, ..MockLoki::new(NOW) };
    let server = Server::start(loki).await;
    let body = "x".repeat(1000);
    let records: Vec<(&str, u64)> = (0..4).map(|number| (body.as_str(), NOW + number)).collect();
    exporter(&server, "").export_at(&batch("a", &records), NOW).await.unwrap();
    assert_eq!(server.loki().stored.len(), 4);
}

#[tokio::test]
async fn a_retry_sends_the_same_bytes() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let exporter = exporter(&server, "");
    let batch = batch("a", &[("2", NOW), ("1", NOW - 5)]);
    server.loki().script.push_back((
        (429, "slow down".into()),
        HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static("7"))]),
    ));
    let (reason, after) = retried(exporter.export_at(&batch, NOW).await);
    assert_eq!((reason.as_str(), after), ("Loki answered 429: slow down", Some(Duration::from_secs(7))));
    exporter.export_at(&batch, NOW + 8 * SECOND).await.unwrap();
    let loki = server.loki();
    assert_eq!(loki.bodies[0].1, loki.bodies[1].1);
}

#[tokio::test]
async fn a_tenant_that_has_to_wait_does_not_hold_up_others() {
    let loki = MockLoki { auth_enabled: true, ..MockLoki::new(NOW) };
    let server = Server::start(loki).await;
    server.loki().of_tenant.insert("slow".into(), (429, "rate".into()));
    let exporter = exporter(&server, "tenant: {attribute: tenant, id: rest}");
    let batch = of_tenants(&["slow", "a", "b"]);
    retried(exporter.export_at(&batch, NOW).await);
    assert_eq!((lines(&server), bodies(&server)), (vec!["a".to_owned(), "b".into()], 3));
    server.loki().of_tenant.clear();
    exporter.export_at(&batch, NOW + 2 * SECOND).await.unwrap();
    assert_eq!(lines(&server), ["a", "b", "slow"]);
    assert_eq!(bodies(&server), 4, "what was settled is not sent again");
}

#[tokio::test]
async fn a_tenant_that_was_told_to_wait_is_not_asked_before_its_time_by_any_batch() {
    let loki = MockLoki { auth_enabled: true, ..MockLoki::new(NOW) };
    let server = Server::start(loki).await;
    server.loki().of_tenant.insert("slow".into(), (429, "rate".into()));
    let exporter = exporter(&server, "tenant: {attribute: tenant}");
    let (_, after) = retried(exporter.export_at(&of_tenants(&["slow"]), NOW).await);
    assert_eq!((after, bodies(&server)), (Some(Duration::from_secs(1)), 1));
    let later = of_tenants(&["slow", "a"]);
    let (reason, after) = retried(exporter.export_at(&later, NOW + SECOND / 2).await);
    assert_eq!((reason.as_str(), lines(&server)), ("Loki answered 429: rate", vec!["a".to_owned()]));
    assert!(after.is_some_and(|after| after <= Duration::from_secs(1)), "{after:?}");
    assert_eq!(bodies(&server), 2);
    server.loki().of_tenant.clear();
    exporter.export_at(&later, NOW + 3 * SECOND).await.unwrap();
    assert_eq!((lines(&server), bodies(&server)), (vec!["a".to_owned(), "slow".into()], 3));
}

#[tokio::test]
async fn a_batch_comes_back_when_the_first_of_its_tenants_may_be_asked() {
    let loki = MockLoki { auth_enabled: true, ..MockLoki::new(NOW) };
    let server = Server::start(loki).await;
    for seconds in ["60", "7"] {
        let header = (http::header::RETRY_AFTER, HeaderValue::from_static(seconds));
        server.loki().script.push_back(((429, "rate".into()), HeaderMap::from_iter([header])));
    }
    let exporter = exporter(&server, "tenant: {attribute: tenant}");
    let batch = of_tenants(&["slower", "slow"]);
    assert_eq!(retried(exporter.export_at(&batch, NOW).await).1, Some(Duration::from_secs(7)));
    retried(exporter.export_at(&batch, NOW + 8 * SECOND).await);
    assert_eq!((lines(&server), bodies(&server)), (vec!["slow".to_owned()], 3));
}

#[tokio::test]
async fn each_tenant_gets_its_own_request_and_an_impossible_one_none() {
    let loki = MockLoki { auth_enabled: true, ..MockLoki::new(NOW) };
    let server = Server::start(loki).await;
    let exporter = exporter(&server, "tenant: {attribute: tenant}");
    let mut batch = of_tenants(&["a", "b", "a", "x/y"]);
    batch.append(self::batch("s", &[("nobody's", NOW)]));
    let (count, reason) = rejected(exporter.export_at(&batch, NOW).await);
    assert_eq!(count, 2);
    assert!(
        reason.starts_with("dropped 1 invalid_tenant, 1 no_tenant; Loki answered 401: no org id"),
        "{reason}"
    );
    let stored: Vec<String> = server.loki().stored.iter().map(|entry| entry.tenant.clone()).collect();
    assert_eq!((stored, bodies(&server)), (vec!["a".to_owned(), "a".into(), "b".into()], 3));
}

#[tokio::test]
async fn final_answers_are_counted_and_not_tried_again() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let exporter = exporter(&server, "");
    let batch = batch("a", &[("1", NOW), ("2", NOW), ("3", NOW)]);
    for (code, text, expected) in [
        (260, "ingestion blocked for user a", (3, "3 blocked")),
        (
            400,
            "entry with timestamp 1 ignored\nuser 'a', total ignored: 2 out of 3 for stream: {}",
            (2, "2 refused"),
        ),
        (400, "2 errors like: entry for stream '{}' has timestamp too old", (2, "2 refused")),
        (422, "error at least one valid stream is required for ingestion", (3, "3 refused")),
        (501, "", (0, "")),
    ] {
        script(&server, &[(code, text)]);
        let result = exporter.export_at(&batch, NOW).await;
        if code == 501 {
            retried(result);
            continue;
        }
        let (count, reason) = rejected(result);
        assert_eq!(
            (count, reason.split(';').next().unwrap()),
            (expected.0, format!("dropped {}", expected.1).as_str())
        );
    }
    assert_eq!(bodies(&server), 5);
}

#[tokio::test]
async fn a_wrong_password_stops_the_process_at_first_and_waits_later() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let exporter = exporter(&server, "");
    let batch = batch("a", &[("1", NOW)]);
    script(&server, &[(401, "bad credentials")]);
    let error = exporter.export_at(&batch, NOW).await.unwrap_err();
    let reason = "Loki answered 401: bad credentials; check username and password or bearer_token";
    assert_eq!(error, ExportError::Fatal { reason: reason.into() });
    exporter.export_at(&batch, NOW).await.unwrap();
    script(&server, &[(401, "bad credentials")]);
    assert_eq!(retried(exporter.export_at(&batch, NOW).await).0, reason);
}

#[tokio::test]
async fn one_stream_a_request_hears_every_refusal() {
    let server = Server::start(MockLoki::new(NOW)).await;
    let exporter = exporter(&server, "one_stream_per_request: true");
    let mut both = batch("a", &[("1", NOW), ("2", NOW)]);
    both.append(batch("b", &[("3", NOW)]));
    script(&server, &[(400, "user 'a', total ignored: 1 out of 2 for stream: {}")]);
    assert_eq!(rejected(exporter.export_at(&both, NOW).await).0, 1);
    assert_eq!((bodies(&server), lines(&server)), (2, vec!["3".to_owned()]));
}
