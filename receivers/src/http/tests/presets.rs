//! What clients really send, and what it becomes.

use prost::Message as _;

use super::*;
use crate::http::decode_body as decode;

/// Records without what every request adds.
#[track_caller]
fn check(path: &str, content_type: &str, body: &str, expected: &[&str]) {
    let batch = decode(path, content_type, Bytes::copy_from_slice(body.as_bytes()), false);
    let batch = batch.unwrap_or_else(|error| panic!("{body}: {error:?}"));
    assert_eq!(shown(&[batch]), expected, "{body}");
}

#[test]
fn flat_json_keeps_its_ten_keys_where_they_belong() {
    check(
        "/logs",
        "application/json",
        r#"{"timestamp":"2024-12-19T10:30:15.123Z","level":"ERROR","logger":"app.core","message":"failed",
            "correlation_id":"c-1","user_id":"u1","operation":"checkout","service":"shop","module":"cart",
            "metadata":{"items":3,"price":9.5,"tags":["a"],"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}}"#,
        &[
            "1734604215123000000 ERROR=17 \"failed\" {correlation.id: \"c-1\", user.id: \"u1\", operation.name: \
           \"checkout\", log.module: \"cart\", items: 3, price: 9.5, tags: [\"a\"], trace_id: \"4bf92f3577b34da6a3ce929d0e0e4736\"} resource={service.name: \
           \"shop\"} scope=app.core trace=4bf92f3577b34da6a3ce929d0e0e4736/0000000000000000",
        ],
    );
}

#[test]
fn log_libraries_are_understood() {
    for (content_type, body, expected) in [
        // pino, by way of pino-http-send: NDJSON with levels in numbers and times in milliseconds.
        (
            "application/x-ndjson",
            "{\"level\":30,\"time\":1531171074631,\"msg\":\"hello\",\"pid\":657,\"hostname\":\"box\"}\n\
             {\"level\":50,\"time\":1531171074632,\"msg\":\"oh\",\"pid\":657,\"hostname\":\"box\"}\n",
            &[
                "1531171074631000000 INFO=9 \"hello\" {process.pid: 657} resource={host.name: \"box\"}",
                "1531171074632000000 ERROR=17 \"oh\" {process.pid: 657} resource={host.name: \"box\"}",
            ][..],
        ),
        // winston's Http transport, with a time stamp in its format.
        (
            "application/json",
            r#"{"level":"warn","message":"disk","timestamp":"2024-12-19T10:30:15.123Z","free":12}"#,
            &["1734604215123000000 warn=13 \"disk\" {free: 12}"],
        ),
        // structlog with its JSON renderer.
        (
            "application/json",
            r#"{"event":"signed in","level":"info","timestamp":"2024-12-19T10:30:15Z","user_id":7}"#,
            &["1734604215000000000 info=9 \"signed in\" {user.id: 7}"],
        ),
        // Vector's sink http, with the codec json.
        (
            "application/json",
            r#"[{"host":"n1","message":"a","timestamp":"2024-12-19T10:30:15.123456789Z"},{"message":"b"}]"#,
            &["1734604215123456789 =0 \"a\" {host: \"n1\"}", "0 =0 \"b\" {}"],
        ),
        // A page: `navigator.sendBeacon(url, JSON.stringify(batch))`.
        (
            "text/plain;charset=UTF-8",
            r#"[{"level":"ERROR","message":"x is undefined","service":"web","metadata":{"url":"/cart"}}]"#,
            &["0 ERROR=17 \"x is undefined\" {url: \"/cart\"} resource={service.name: \"web\"}"],
        ),
        ("text/plain", "[info] started\r\n\nstopped", &["0 =0 \"[info] started\" {}", "0 =0 \"stopped\" {}"]),
        ("application/x-www-form-urlencoded", r#"{"message":"curl -d"}"#, &["0 =0 \"curl -d\" {}"]),
        ("application/x-www-form-urlencoded", "payload=%7B%22msg%22%3A%22a%20b%22%7D", &["0 =0 \"a b\" {}"]),
        (
            "application/json",
            r#" {"msg":"a"}{"msg":"b"} [] [{"msg":"c"}]"#,
            &["0 =0 \"a\" {}", "0 =0 \"b\" {}", "0 =0 \"c\" {}"],
        ),
        // What does not fit its key stays an attribute.
        (
            "application/json",
            r#"{"timestamp":"soon","level":{"a":1},"message":"m","msg":"n","user_id":null,"trace_id":"x","metadata":1}"#,
            &["0 =0 \"m\" {timestamp: \"soon\", level: {a: 1}, msg: \"n\", trace_id: \"x\", metadata: 1}"],
        ),
        ("application/json", "", &[]),
        ("application/json", "[]", &[]),
    ] {
        check("/logs", content_type, body, expected);
    }
}

#[test]
fn fluent_bit_is_understood_in_all_its_json_formats() {
    let expected =
        ["1734604215123456000 =0 \"started\" {stream: \"stdout\"}", "1734604216000000000 =0 \"stopped\" {}"];
    let (first, second) = (
        r#"{"date":1734604215.123456,"log":"started","stream":"stdout"}"#,
        r#"{"date":1734604216.0,"log":"stopped"}"#,
    );
    check("/fluent", "application/json", &format!("[{first},{second}]"), &expected);
    check("/fluent", "application/json", &format!("{first}{second}"), &expected);
    check("/fluent", "application/x-ndjson", &format!("{first}\n{second}\n"), &expected);
    assert_eq!(decode("/fluent", "application/msgpack", Bytes::new(), false).unwrap_err().0, 415);
}

#[test]
fn datadog_is_understood() {
    check(
        "/api/v2/logs",
        "application/json",
        r#"[{"message":"2019-11-19T14:37:58,995 INFO [process.name][20081] Hello World","status":"info",
             "timestamp":1734604215123,"ddsource":"nginx","ddtags":"env:staging,version:5.1,canary,team:web",
             "hostname":"i-012345678","service":"payment"},{}]"#,
        &["1734604215123000000 info=9 \"2019-11-19T14:37:58,995 INFO [process.name][20081] Hello World\" \
           {datadog.log.source: \"nginx\", canary: true, team: \"web\"} resource={service.name: \"payment\", \
           host.name: \"i-012345678\", deployment.environment.name: \"staging\", service.version: \"5.1\"}"],
    );
    check("/v1/input", "text/plain", "one\ntwo", &["0 =0 \"one\" {}", "0 =0 \"two\" {}"]);
}

#[test]
fn splunk_events_are_understood() {
    check(
        "/services/collector/event",
        "application/json",
        "{\"time\":1426279439.123,\"host\":\"localhost\",\"source\":\"random-data-generator\",\"sourcetype\":\"my_sample\",\
         \"index\":\"main\",\"event\":\"Hello world!\",\"fields\":{\"device\":\"macbook\"}}\n\
         {\"time\":\"1447828325\",\"event\":{\"message\":\"Something happened\",\"severity\":\"INFO\"}}",
        &[
            "1426279439123000000 =0 \"Hello world!\" {device: \"macbook\"} resource={host.name: \"localhost\", \
           com.splunk.source: \"random-data-generator\", com.splunk.sourcetype: \"my_sample\", com.splunk.index: \
           \"main\"}",
            "1447828325000000000 INFO=9 \"Something happened\" {}",
        ],
    );
    check(
        "/services/collector/raw/1.0",
        "text/plain",
        "{\"a\":1}\nb",
        &["0 =0 \"{\\\"a\\\":1}\" {}", "0 =0 \"b\" {}"],
    );
}

#[test]
fn elastic_bulk_requests_are_understood() {
    check(
        "/logs-app/_bulk",
        "application/x-ndjson",
        "{\"create\":{}}\n\
         {\"@timestamp\":\"2024-12-19T10:30:15.123Z\",\"message\":\"m\",\"log\":{\"level\":\"error\",\"logger\":\"l\"},\
         \"service\":{\"name\":\"shop\"},\"trace\":{\"id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"},\"http\":{\"request\":\
         {\"method\":\"GET\"}}}\n\
         {\"index\":{\"_index\":\"other\",\"_id\":\"7\"}}\n{\"log.level\":\"info\",\"message\":\"n\"}\n",
        &[
            "1734604215123000000 error=17 \"m\" {http.request.method: \"GET\", elastic.index: \"logs-app\"} \
           resource={service.name: \"shop\"} scope=l trace=4bf92f3577b34da6a3ce929d0e0e4736/0000000000000000",
            "0 info=9 \"n\" {elastic.index: \"other\", log.record.uid: \"7\"}",
        ],
    );
}

/// `logproto.PushRequest`, by another implementation of protobuf.
#[derive(prost::Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(prost::Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
    #[prost(uint64, tag = "3")]
    hash: u64,
}

#[derive(prost::Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Pair>,
}

#[derive(prost::Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(prost::Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[test]
fn loki_means_the_same_in_protobuf_and_json() {
    let pair = |name: &str, value: &str| Pair { name: name.into(), value: value.into() };
    let request = PushRequest {
        streams: vec![Stream {
            labels: r#"{service_name="shop", level="warn", job="a\"b"}"#.into(),
            entries: vec![
                Entry {
                    timestamp: Some(Timestamp { seconds: 1_734_604_215, nanos: 123_456_789 }),
                    line: "m".into(),
                    metadata: vec![
                        pair("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
                        pair("span_id", "00f067aa0ba902b7"),
                        pair("user", "u1"),
                    ],
                },
                Entry { timestamp: None, line: "n".into(), metadata: vec![pair("detected_level", "error")] },
            ],
            hash: 7,
        }],
    };
    let expected = [
        "1734604215123456789 warn=13 \"m\" {user: \"u1\"} resource={service.name: \"shop\", level: \"warn\", job: \
         \"a\\\"b\"} trace=4bf92f3577b34da6a3ce929d0e0e4736/00f067aa0ba902b7",
        "0 error=17 \"n\" {detected_level: \"error\"} resource={service.name: \"shop\", level: \"warn\", job: \
         \"a\\\"b\"}",
    ];
    let body = Bytes::from(request.encode_to_vec());
    let batch = decode("/loki/api/v1/push", "application/x-protobuf", body, false).unwrap();
    assert_eq!(shown(&[batch]), expected);
    check(
        "/loki/api/v1/push",
        "application/json",
        r#"{"streams":[{"stream":{"service_name":"shop","level":"warn","job":"a\"b"},"values":[
            ["1734604215123456789","m",{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7",
             "user":"u1"}],["0","n",{"detected_level":"error"}]]}]}"#,
        &expected,
    );
}

/// Bodies with mistakes: the status, and what the client is told.
#[track_caller]
fn check_refused(cases: &[(&str, &str, &str, u16, &str)]) {
    for (path, content_type, body, status, expected) in cases {
        let outcome = decode(path, content_type, Bytes::copy_from_slice(body.as_bytes()), false);
        let (got, text) = outcome.map_or_else(|error| error, |_| (200, String::new()));
        assert_eq!(got, *status, "{path} {body} {text}");
        assert!(text.starts_with(expected), "{path} {body}: {text}");
    }
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    check_refused(&[
        (
            "/logs",
            "application/json",
            "{\"a\":1}\n{\"a\":}",
            400,
            "record 1 (line 2, byte 13): unexpected character",
        ),
        (
            "/logs",
            "application/json",
            "[{\"a\":1},",
            400,
            "record 1 (line 1, byte 9): unexpected end of the line",
        ),
        (
            "/logs",
            "application/json",
            "[{\"a\":1} {}]",
            400,
            "record 1 (line 1, byte 9): unexpected character",
        ),
        ("/logs", "application/json", "3", 400, "record 0 (line 1, byte 0): not an object"),
        ("/logs", "application/json", "[[{}]]", 400, "record 0 (line 1, byte 1): not an object"),
        (
            "/logs",
            "application/x-ndjson",
            "{}\n\n{\n{}",
            400,
            "record 1 (line 3, byte 5): unexpected end of the line",
        ),
        ("/logs", "text/plain", "a\u{0}b\u{fffd}", 200, ""),
        ("/logs", "image/png", "", 415, "the content type `image/png` is not supported here"),
    ]);
    let error = decode("/logs", "text/plain", Bytes::from_static(b"ab\xff"), false).unwrap_err();
    assert_eq!(error, (400, "the body is no UTF-8 at byte 2".to_owned()));
}

#[test]
fn what_a_preset_cannot_read_is_told_with_its_place() {
    check_refused(&[
        (
            "/_bulk",
            "application/x-ndjson",
            "{\"create\":{}}\n",
            400,
            "record 0 (line 1, byte 13): the document is",
        ),
        ("/_bulk", "application/x-ndjson", "{\"x\":{}}\n{}", 400, "record 0 (line 1, byte 0): an action is"),
        (
            "/_bulk",
            "application/x-ndjson",
            "{\"delete\":{}}",
            400,
            "record 0 (line 1, byte 0): a log cannot be",
        ),
        (
            "/services/collector",
            "application/json",
            "{\"event\":\"a\"}{\"x\":1}",
            400,
            "record 1 (line 1, byte 13): Event field is required",
        ),
        ("/services/collector", "application/json", "", 400, "No data"),
        (
            "/loki/api/v1/push",
            "application/x-protobuf",
            "\u{1}",
            400,
            "record 0 (line 1, byte 1): the message is",
        ),
        (
            "/loki/api/v1/push",
            "application/json",
            "{\"streams\":1}",
            400,
            "record 0 (line 1, byte 0): `streams` is no",
        ),
    ]);
}
