//! What is hidden and what is not, by batches in and out.

use watershed_pipeline::testing::{Drive, build};
use watershed_pipeline::{AnyValue, Batch, Record, Signal, Value};

use super::*;

/// Redacts a batch; what comes out has gone through the bytes that an exporter would send.
pub(super) fn redact(yaml: &str, batch: Batch) -> Batch {
    let mut passed = Drive::new(build::<Config>(yaml).unwrap()).process(batch);
    let signal = Signal::Logs;
    let batch = if passed.is_empty() { Batch::new(signal) } else { passed.remove(0) };
    Batch::from_otlp(batch.signal(), batch.to_otlp()).unwrap()
}

fn log(body: &str) -> Batch {
    Batch::builder(Signal::Logs).record(|log| log.set_body(body)).build()
}

fn body(record: Record<'_>) -> String {
    record.log().and_then(|log| log.body()).map_or_else(String::new, |body| body.to_text().into_owned())
}

/// Redacts a body.
#[track_caller]
fn check(yaml: &str, before: &str, after: &str) {
    let batch = redact(yaml, log(before));
    assert_eq!(batch.records().map(body).collect::<Vec<_>>(), [after], "{before}");
}

#[test]
fn values_are_hidden_where_they_stand() {
    for (before, after) in [
        ("card 4111 1111 1111 1111 ok", "card **** ok"),
        ("card 4111111111111111.", "card ****."),
        ("card 4111111111111112.", "card 4111111111111112."),
        ("ssn 078-05-1120, date 2024-12-19", "ssn ****, date 2024-12-19"),
        ("to DE89 3704 0044 0532 0130 00!", "to ****!"),
        ("key AKIAIOSFODNN7EXAMPLE", "key ****"),
        ("Authorization: Bearer abcdefghijklmnop123", "Authorization: ****"),
        ("got bearer abcdefghijklmnop123 now", "got bearer **** now"),
        ("postgres://app:pa:ss@db:5432/x", "postgres://app:****@db:5432/x"),
        ("mail ann@example.com", "mail ann@example.com"),
    ] {
        check("{}", before, after);
    }
}

#[test]
fn values_of_keys_in_texts_are_hidden() {
    for (before, after) in [
        ("login password=hunter2 ok", "login password=**** ok"),
        ("login password: hunter2, ok", "login password: ****, ok"),
        ("login password = 'hunter 2' ok", "login password = '****' ok"),
        (r#"{"password":"hun\"ter2","a":1}"#, r#"{"password":"****","a":1}"#),
        (r#"{"apiKey": 12345, "n": 1}"#, r#"{"apiKey": "****", "n": 1}"#),
        (r#"{"token":{"a":["}"]},"n":1}"#, r#"{"token":"****","n":1}"#),
        (r#"{"b":"{\"password\":\"hunter2\",\"c\":1}"}"#, r#"{"b":"{\"password\":\"****\",\"c\":1}"}"#),
        (r#"{"password":null,"token":true}"#, r#"{"password":null,"token":true}"#),
        ("GET /x?api_key=abc&y=1", "GET /x?api_key=****&y=1"),
        ("r=%2Fx%3Fapi_key%3Dabc%26y%3D1", "r=%2Fx%3Fapi_key%3D****%26y%3D1"),
        ("user[password]=abc&x=1", "user[password]=****&x=1"),
        ("Cookie: a=b; c=d status=200", "Cookie: **** status=200"),
        ("Authorization: Basic YWJj rest", "Authorization: **** rest"),
        ("token_count=5 tokenizer=x password_hash=abc", "token_count=5 tokenizer=x password_hash=abc"),
        ("std::token::Kind, secret://x", "std::token::Kind, secret://x"),
        ("password12=abc userPassword=abc", "password12=**** userPassword=****"),
    ] {
        check("{}", before, after);
    }
}

#[test]
fn attributes_are_hidden_by_key_whatever_their_type() {
    let nested = AnyValue::Map(vec![
        ("user".into(), AnyValue::Map(vec![("apiKey".into(), "abc".into()), ("name".into(), "ann".into())])),
        ("note".into(), AnyValue::Bytes(b"card 4111111111111111".to_vec())),
    ]);
    let batch = Batch::builder(Signal::Logs)
        .resource(|resource| resource.set_attribute("db.password", "x"))
        .record(|log| {
            log.set_attribute("http.request.header.authorization", AnyValue::Array(vec!["Bearer x".into()]));
            log.set_attribute("user.pin_token", 5);
            log.set_attribute("has_password", true);
            log.set_attribute("payload", &nested);
            log.set_attribute("count", 4_111_111_111_111_111_i64);
        })
        .build();
    let batch = redact("{}", batch);
    let record = batch.records().next().unwrap();
    let shown: Vec<_> =
        record.attributes().iter().map(|(key, value)| format!("{key}={}", value.to_text())).collect();
    assert_eq!(
        shown,
        [
            "http.request.header.authorization=****",
            "user.pin_token=****",
            "has_password=true",
            "payload={\"user\":{\"apiKey\":\"****\",\"name\":\"ann\"},\"note\":\"Y2FyZCAqKioq\"}",
            "count=4111111111111111",
        ]
    );
    assert_eq!(record.resource().attribute("db.password"), Some(Value::Str("****")));
}
