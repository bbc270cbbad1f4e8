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
        (
            r#"{\u0022password\u0022:\u0022abc\u0022,\u0022b\u0022:1}"#,
            r#"{\u0022password\u0022:\u0022****\u0022,\u0022b\u0022:1}"#,
        ),
        (r"{\u0022n\u0022:\u00224111111111111111\u0022}", r"{\u0022n\u0022:\u0022****\u0022}"),
        ("{&quot;password&quot;:&quot;abc&quot;}", "{&quot;password&quot;:&quot;****&quot;}"),
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

#[test]
fn each_rule_has_its_action() {
    let card = "card 4111111111111111 ok";
    check("{actions: {credit_card: partial}}", card, "card ****1111 ok");
    check("{mask: '[hidden]'}", card, "card [hidden] ok");
    check("{action: partial}", "pwd=abc pwd=abcdefghi", "pwd=**** pwd=****fghi");
    // HMAC-SHA-256 of the found characters, the first half: so that another program can join by it.
    let key = "hash_key: 0123456789abcdef";
    check(
        &format!("{{action: hash, {key}}}"),
        "a password=hunter2",
        "a password=hmac:deda27db21d02fd2c8f56d22f15960ff",
    );
    check("{action: drop}", "a password=hunter2 b", "a password=**** b");
    check("{action: drop}", card, "card **** ok");
    let rules = "rules: [{name: a, patterns: ['CUST-\\d+'], mask: '<a>'}, {name: b, keys: [shoe_size], action: drop}]";
    check(&format!("{{{rules}}}"), "CUST-17 shoeSize: 42,", "<a> shoeSize: ****,");
}

#[test]
fn drop_removes_what_holds_the_secret_and_drop_record_the_record() {
    let list = AnyValue::Array(vec!["a".into(), "078-05-1120".into()]);
    let map = AnyValue::Map(vec![
        ("note".into(), "078-05-1120".into()),
        ("password".into(), "x".into()),
        ("n".into(), 1.into()),
    ]);
    let batch = || {
        let mut builder = Batch::builder(Signal::Logs);
        builder.begin_resource(|resource| resource.set_attribute("host", "a"));
        builder.push(|log| {
            log.set_attribute("a", "ssn 078-05-1120");
            log.set_attribute("list", &list);
            log.set_attribute("map", &map);
            log.set_attribute("api_key", "x");
            log.set_attribute("stays", "x");
        });
        builder.push(|log| log.set_body("stays"));
        builder.build()
    };
    let dropped = redact("{action: drop}", batch());
    let record = dropped.records().next().unwrap();
    let shown: Vec<_> =
        record.attributes().iter().map(|(key, value)| format!("{key}={}", value.to_text())).collect();
    assert_eq!(shown, ["list=[\"a\"]", "map={\"n\":1}", "stays=x"]);
    let without = redact("{actions: {ssn: drop_record}}", batch());
    assert_eq!(without.records().map(body).collect::<Vec<_>>(), ["stays"]);
    let rules = "{rules: [{name: host, keys: [host], action: drop_record}]}";
    assert!(redact(rules, batch()).is_empty());
}

#[test]
fn lists_of_keys_and_values_are_kept_to() {
    let batch = || {
        Batch::builder(Signal::Logs)
            .record(|log| {
                log.set_body("4111111111111111 4242424242424242");
                log.set_attribute("password", "x");
                log.set_attribute("note", "ssn 078-05-1120");
                log.set_attribute("number", 4_111_111_111_111_111_i64);
            })
            .build()
    };
    let shown = |yaml: &str| {
        let batch = redact(yaml, batch());
        let record = batch.records().next().unwrap();
        let of = |(key, value): (&str, Value<'_>)| format!("{key}={}", value.to_text());
        let attributes = record.attributes().iter().map(of).collect::<Vec<_>>().join(" ");
        format!("{} | {attributes}", body(record))
    };
    let hidden = "**** ****";
    assert_eq!(shown("{}"), format!("{hidden} | password=**** note=ssn **** number=4111111111111111"));
    assert_eq!(
        shown("{ignored_keys: [password]}"),
        format!("{hidden} | password=x note=ssn **** number=4111111111111111")
    );
    assert_eq!(
        shown("{ignored_key_patterns: ['^no']}"),
        format!("{hidden} | password=**** note=ssn 078-05-1120 number=4111111111111111")
    );
    assert_eq!(shown("{allowed_keys: [note]}"), format!("{hidden} | note=ssn ****"));
    assert_eq!(shown("{allow_all_keys: false}"), format!("{hidden} | "));
    assert_eq!(
        shown("{allow_all_keys: true, allowed_keys: [note], redact_all_types: true}"),
        format!("{hidden} | password=**** note=ssn **** number=****")
    );
    assert_eq!(
        shown("{allowed_values: ['^4242']}"),
        "**** 4242424242424242 | password=**** note=ssn **** number=4111111111111111"
    );
    assert_eq!(
        shown("{default_keys: false, values: [], blocked_key_patterns: ['^n'], blocked_values: ['42+']}"),
        format!("4111111111111111 {} | password=x note=**** number=****", "****".repeat(8))
            .replace("****424242424242", "****************")
    );
    assert_eq!(
        shown("{summary: debug, allowed_keys: [note, password]}"),
        format!(
            "{hidden} | password=**** note=ssn **** redaction.masked.count=3 redaction.masked.keys=password,note \
             redaction.redacted.count=1 redaction.redacted.keys=number"
        )
    );
    assert_eq!(shown("{summary: info}").matches("redaction.").count(), 1);
}

#[test]
fn keys_are_cleaned_too() {
    let nested = AnyValue::Map(vec![("card 4111111111111111".into(), 1.into())]);
    let batch = Batch::builder(Signal::Logs)
        .record(|log| {
            log.set_attribute("of 078-05-1120", 1);
            log.set_attribute("nested", &nested);
        })
        .build();
    let batch = redact("{}", batch);
    let record = batch.records().next().unwrap();
    let shown: Vec<_> =
        record.attributes().iter().map(|(key, value)| format!("{key}={}", value.to_text())).collect();
    assert_eq!(shown, ["of ****=1", "nested={\"card ****\":1}"]);
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let section =
        watershed_config::Section::from_text("redaction", "{dry_run: true, allowed_keys: [b]}").unwrap();
    let mut redactor = Redactor::new(&section).unwrap();
    let text = "4111111111111111 and 078-05-1120, password=x";
    let mut batch = Batch::builder(Signal::Logs)
        .record(|log| {
            log.set_body(text);
            log.set_attribute("a", text);
        })
        .build();
    let before = batch.to_otlp();
    redactor.redact_batch(&mut batch);
    assert_eq!(batch.to_otlp(), before);
    let hits: Vec<_> = redactor.hits().collect();
    assert_eq!(hits, [("keys", 1), ("credit_card", 1), ("ssn", 1), ("allowed_keys", 1)]);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    for (yaml, expected) in [
        ("{values: [creditcard]}", "did you mean `credit_card`?"),
        ("{action: hash}", "hash_key: `hash` needs a key of at least 16 characters"),
        ("{action: hash, hash_key: short}", "hash_key: `hash` needs a key of at least 16 characters"),
        ("{hash_function: md5}", "hmac-sha256"),
        ("{mask: '\"'}", "redaction.mask: `\"` could break the JSON or URL around it"),
        (
            "{mask: '4111111111111111'}",
            "redaction.mask: `4111111111111111` is itself found by the rule `credit_card`",
        ),
        (
            "{blocked_values: ['(']}",
            "redaction.blocked_values: `(` is not a regular expression: unclosed group",
        ),
        ("{blocked_values: ['a*']}", "redaction.blocked_values: `a*` matches the empty text"),
        ("{rules: [{name: a}]}", "redaction.rules[0]: means nothing; add `keys`"),
        ("{rules: [{name: ssn, keys: [a]}]}", "`ssn` is the name of another rule"),
        ("{rules: [{name: 'a b', keys: [a]}]}", "redaction.rules[0].name: `a b` is no name"),
        ("{keys: ['_']}", "redaction.keys: `_` has no letters"),
        ("{actions: {card: drop}}", "redaction.actions: there is no rule `card` at work"),
    ] {
        let told = build::<Config>(yaml).err().map(|errors| errors.to_string()).unwrap_or_default();
        assert!(told.contains(expected), "{yaml}: {told}");
    }
}

#[test]
fn own_expressions_match_with_literals_and_without() {
    let rules = r"{values: [], blocked_values: ['CUST-\d{4}', '\b[A-F]\d{3}[xy]\b', '(?i)order (?:no|number) \d+', 'ab|abc']}";
    check(rules, "CUST-1234 A123x Order NO 17 xab", "**** **** **** x****");
    check(rules, "CUST-123 A123z ordered", "CUST-123 A123z ordered");
}
