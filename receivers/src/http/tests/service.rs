//! Answers, refusals and limits over a real connection.

use http::{StatusCode, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use watershed_config::{ComponentId, Section};
use watershed_pipeline::{Context, Kind, ReceiverConfig as _, Refusal, Signal};

use super::*;

const KEY: &str = "0123456789abcdef";

fn keyed(more: &str) -> String {
    format!("keys: [{{name: web, key: {KEY}{more}}}]\n")
}

#[tokio::test]
async fn a_request_is_answered_once_its_records_were_taken() {
    let bench = start("").await;
    bench.probe.hold();
    let address = bench.address("http");
    let request =
        post("/logs", "application/json").body(Bytes::from_static(b"{\"message\":\"a\"}").into()).unwrap();
    let client = tokio::spawn(async move { send(address, request).await });
    bench.probe.received(1).await;
    assert!(!client.is_finished());
    bench.probe.take();
    let answer = client.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, r#"{"accepted":1,"rejected":0}"#));
    assert_eq!(bench.ended().await, 0);
}

/// Requests and their answers, of a receiver that takes parts of requests.
async fn check_answers(cases: &[(&str, &str, &str, u16, &str)]) {
    let bench = start("partial: true").await;
    for (path, content_type, body, status, expected) in cases {
        let answer = ask(&bench, post(path, content_type), body).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (*status, *expected), "{path} {body}");
    }
}

const BULK: &str = "{\"create\":{}}\n{\"message\":\"m\"}\n{\"delete\":{}}\n{\"index\":{}}\n{\n";

#[tokio::test]
async fn each_preset_accepts_in_its_own_words() {
    check_answers(&[
        (
            "/logs",
            "application/x-ndjson",
            "{}\n{\n",
            200,
            r#"{"accepted":1,"rejected":1,"errors":[{"index":1,"line":2,"offset":4,"detail":"unexpected end of the line"}]}"#,
        ),
        (
            "/_bulk",
            "application/x-ndjson",
            BULK,
            200,
            r#"{"took":0,"errors":true,"items":[{"create":{"status":201,"result":"created"}},{"delete":{"status":400,"error":{"type":"document_parsing_exception","reason":"a log cannot be deleted"}}},{"index":{"status":400,"error":{"type":"document_parsing_exception","reason":"unexpected end of the line"}}}]}"#,
        ),
        (
            "/services/collector",
            "application/json",
            "{\"event\":\"e\"}",
            200,
            r#"{"text":"Success","code":0}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn each_preset_refuses_in_its_own_words() {
    check_answers(&[
        (
            "/_bulk",
            "application/x-ndjson",
            "x",
            400,
            r#"{"error":{"root_cause":[{"type":"illegal_argument_exception","reason":"record 0 (line 1, byte 0): unexpected character"}],"type":"illegal_argument_exception","reason":"record 0 (line 1, byte 0): unexpected character"},"status":400}"#,
        ),
        (
            "/services/collector",
            "application/json",
            "{",
            400,
            r#"{"text":"Invalid data format","code":6,"invalid-event-number":0,"detail":"record 0 (line 1, byte 1): unexpected end of the line"}"#,
        ),
        ("/services/collector", "application/json", "", 400, r#"{"text":"No data","code":5}"#),
        ("/loki/api/v1/push", "application/json", "{\"streams\":[]}", 204, ""),
        (
            "/loki/api/v1/push",
            "application/json",
            "{}",
            400,
            "record 0 (line 1, byte 0): `streams` is no list",
        ),
        ("/api/v2/logs", "application/json", "{}", 202, "{}"),
        (
            "/api/v2/logs",
            "application/json",
            "{",
            400,
            r#"{"errors":[{"status":"400","title":"Bad Request","detail":"record 0 (line 1, byte 1): unexpected end of the line"}]}"#,
        ),
        ("/fluent", "application/json", "[{\"log\":\"a\"}]", 200, r#"{"accepted":1,"rejected":0}"#),
        (
            "/logs",
            "application/json",
            "[{},\n7]",
            400,
            r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"record 1 (line 2, byte 5): not an object","code":"invalid","errors":[{"index":1,"line":2,"offset":5,"detail":"not an object"}]}"#,
        ),
        (
            "/nothing",
            "application/json",
            "",
            404,
            r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"there is nothing at this path; logs are taken at `/logs`","code":"path"}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn pages_are_answered_without_a_key() {
    let bench = start(&keyed("")).await;
    for (path, status, expected) in [
        ("/health", 200, r#"{"status":"ok"}"#),
        ("/services/collector/health/1.0", 200, r#"{"text":"HEC is healthy","code":17}"#),
        (
            "/",
            200,
            r#"{"name":"watershed","cluster_name":"watershed","version":{"number":"8.17.0","build_flavor":"default"},"tagline":"You Know, for Search"}"#,
        ),
    ] {
        let answer = ask(&bench, Request::get(path).header("host", "a"), "").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (status, expected), "{path}");
    }
    let taken = bench.budget.admit(8 << 20).unwrap();
    let answer = ask(&bench, Request::get("/health").header("host", "a"), "").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    drop(taken);
}

#[tokio::test]
async fn keys_are_asked_for_and_refusals_counted_by_reason() {
    let bench = start(&keyed(", scopes: [flat, splunk], rate: {requests_per_second: 1, burst: 3}")).await;
    let splunk =
        |token: &str| post("/services/collector", "").header("authorization", format!("Splunk {token}"));
    for (request, status, challenge) in [
        (post("/logs", ""), 401, "Bearer"),
        (post("/logs", "").header("x-api-key", "wrong"), 401, "Bearer"),
        (post("/logs?key=0123456789abcdef", ""), 200, ""),
        (post("/api/v2/logs", "").header("dd-api-key", KEY), 403, ""),
        (splunk("wrong"), 403, "Bearer"),
        (splunk(KEY), 200, ""),
        (post("/logs", "").header("authorization", format!("Bearer {KEY}")), 200, ""),
        (post("/logs", "").header("x-api-key", KEY), 429, ""),
    ] {
        let what = format!("{request:?}");
        let answer = ask(&bench, request, "{\"event\":\"x\"}").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("www-authenticate")),
            (status, challenge),
            "{what}"
        );
        assert_eq!(answer.headers.contains_key("retry-after"), status == 429);
    }
    let counts =
        ["credentials_missing", "credentials_invalid", "forbidden", "rate"].map(|why| bench.refused(why));
    assert_eq!(counts, [1, 2, 1, 1]);
    assert_eq!(bench.items(), 3);
    // Who sent it is known to processors and exporters.
    assert!(
        bench
            .probe
            .batches()
            .iter()
            .all(|batch| { batch.metadata().unwrap().values("auth.subject").eq(["web"]) })
    );
}

#[tokio::test]
async fn an_extension_may_know_who_sends() {
    let bench = start("auth: {authenticator: doorman}").await;
    for (door, status) in [("anna", 200), ("traces", 403), ("wrong", 401), ("crowd", 503)] {
        let answer = ask(&bench, post("/logs", "application/json").header("x-door", door), "{}").await;
        assert_eq!(answer.status.as_u16(), status, "{door}");
    }
    assert_eq!(ask(&bench, post("/logs", "application/json"), "{}").await.status, StatusCode::UNAUTHORIZED);
    assert!(bench.probe.batches()[0].metadata().unwrap().values("auth.subject").eq(["anna"]));
    refused(
        "{auth: {authenticator: doorman}, keys: [{name: a, key: 0123456789abcdef}]}",
        "http:1:40: http.keys: can't",
    );
}

#[tokio::test]
async fn pages_of_allowed_origins_may_send_and_others_may_not() {
    let bench = start("cors: {allowed_origins: ['https://*.example']}").await;
    let beacon = |origin| post("/logs?key=x", "text/plain;charset=UTF-8").header("origin", origin);
    let batch = r#"[{"message":"a"},{"message":"b"}]"#;
    let answer = ask(&bench, beacon("https://shop.example"), batch).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("access-control-allow-origin")),
        (200, "https://shop.example")
    );
    assert_eq!(ask(&bench, beacon("https://evil.com"), batch).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&bench, beacon("http://edge.example"), batch).await.status, StatusCode::OK);
    assert_eq!((bench.items(), bench.refused("origin")), (4, 1));
    let preflight = Request::options("/logs").header("host", "a").header("origin", "https://shop.example");
    let answer = ask(&bench, preflight.header("access-control-request-method", "POST"), "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let allowed = answer.header("access-control-allow-headers");
    assert!(allowed.contains("X-API-Key") && allowed.contains("traceparent"), "{allowed}");
    let closed = start("").await;
    assert_eq!(ask(&closed, beacon("https://shop.example"), batch).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn headers_and_address_are_put_on_records_that_lack_them_and_the_id_is_sent_back() {
    let bench = start("trusted_proxies: [127.0.0.0/8, '::1']").await;
    let request = post("/logs", "application/json")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("x-request-id", "r-1")
        .header("x-forwarded-for", "6.6.6.6, 203.0.113.9");
    let answer =
        ask(&bench, request, r#"[{"message":"a"},{"correlation_id":"own","client.address":"c"}]"#).await;
    assert_eq!(answer.header("x-correlation-id"), "r-1");
    let trace = "trace=4bf92f3577b34da6a3ce929d0e0e4736/00f067aa0ba902b7";
    let expected = [
        format!("0 =0 \"a\" {{correlation.id: \"r-1\", client.address: \"203.0.113.9\"}} {trace}"),
        format!("0 =0 - {{correlation.id: \"own\", client.address: \"c\"}} {trace}"),
    ];
    assert_eq!(shown(&bench.probe.batches()), expected);
    assert!(bench.probe.batches()[0].logs().all(|log| log.observed_time_unix_nano() > 0));
}

/// Sends the headers of a request alone, and reads the answer to its end.
async fn after_headers(bench: &Bench, length: usize) -> String {
    let mut stream = TcpStream::connect(bench.address("http")).await.unwrap();
    let head = format!("POST /logs HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn limits_are_kept_before_the_body_is_read() {
    let bench = start("max_records: 2\nmax_request_body_size: 5MiB").await;
    let taken = bench.budget.admit(8 << 20).unwrap();
    let answer = after_headers(&bench, 4 << 20).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
    drop(taken);
    assert!(after_headers(&bench, 6 << 20).await.starts_with("HTTP/1.1 413 "));
    assert_eq!(ask(&bench, post("/logs", "text/plain"), "a\nb\n").await.status, StatusCode::OK);
    let answer = ask(&bench, post("/logs", "text/plain"), "a\nb\nc").await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.text().contains("more than 2 records"), "{}", answer.text());
    assert_eq!(ask(&bench, post("/logs", "image/png"), "").await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let answer = ask(&bench, post("/logs", "text/plain").header("content-encoding", "br"), "a").await;
    assert_eq!(answer.header("accept-encoding"), "gzip, zstd, zlib, deflate, identity");
    let answer = ask(&bench, Request::get("/logs").header("host", "a"), "").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"));
    assert_eq!(bench.items(), 2);
    assert_eq!(bench.ended().await, 0);
}

#[tokio::test]
async fn compressed_bodies_and_http_2_are_taken() {
    let bench = start("").await;
    let body = zstd::encode_all(&b"{\"message\":\"a\"}"[..], 1).unwrap();
    let request =
        post("/logs", "application/json").header("content-encoding", "zstd").version(Version::HTTP_2);
    assert_eq!(ask(&bench, request.uri("http://edge.example/logs"), body).await.status, StatusCode::OK);
    // An empty push request, and a block that is no snappy.
    let push = || post("/loki/api/v1/push", "application/x-protobuf");
    assert_eq!(ask(&bench, push(), b"\0").await.status, StatusCode::NO_CONTENT);
    assert_eq!(ask(&bench, push(), b"\x05").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bench.items(), 1);
}

#[tokio::test]
async fn what_the_pipelines_refuse_is_told() {
    let bench = start("").await;
    bench.probe.refuse(Refusal::Retry { reason: "the queue is full".into(), after: None });
    let answer = ask(&bench, post("/logs", "application/json"), "{}").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    let answer = ask(&bench, post("/services/collector", "application/json"), "{\"event\":\"a\"}").await;
    assert!(answer.text().starts_with(r#"{"text":"Server is busy","code":9"#), "{}", answer.text());
    bench.probe.accept_only(&[Signal::Traces]);
    let answer = ask(&bench, post("/logs", "application/json"), "{}").await;
    assert!(
        answer.text().contains("add `http/edge` to the receivers of a logs pipeline"),
        "{}",
        answer.text()
    );
}

#[track_caller]
fn refused(yaml: &str, expected: &str) {
    let section = Section::from_text("http", yaml).unwrap();
    let error = match section.read::<Config>() {
        Err(errors) => errors.to_string(),
        Ok(config) => {
            let id: ComponentId = "http".parse().unwrap();
            let built = config.build(&Context::detached(Kind::Receiver, id));
            built.err().map(|error| section.build_error(error).to_string()).unwrap_or_default()
        }
    };
    assert!(error.starts_with(expected), "{yaml}: {error}");
}

#[test]
fn wrong_settings_are_refused_with_place_and_advice() {
    for (yaml, expected) in [
        ("presets: []", "http:1:10: http.presets: must name at least one"),
        ("max_records: 0", "http:1:14: http.max_records: must be 1 or more"),
        ("health_path: logs", "http:1:14: http.health_path: `/logs` is already the path of logs"),
        ("trusted_proxies: [10.0.0.0/40]", "http:1:19: http.trusted_proxies: `10.0.0.0/40` is no network"),
        ("keys: [{name: a, key: short}]", "http:1:23: http.keys[0].key: is shorter than 16 characters"),
        ("max_connections: 0", "http:1:18: http.max_connections: must be 1 or more"),
        ("tls: {}", "http:1:6: http.tls.cert_file: is required"),
    ] {
        refused(yaml, expected);
    }
}
