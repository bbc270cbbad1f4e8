//! JSON lines against serde_json, and the mistakes that are told.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::batch::Value;

/// A value as serde_json has it, numbers as this reader keeps them.
fn shown(value: Value<'_>) -> serde_json::Value {
    match value {
        Value::Empty => json!(null),
        Value::Str(text) => json!(text),
        Value::Bool(value) => json!(value),
        Value::Int(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::Bytes(bytes) => json!(bytes),
        Value::Array(items) => items.iter().map(shown).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.to_owned(), shown(value))).collect(),
    }
}

#[track_caller]
fn check(line: &str, expected: &serde_json::Value) {
    let mut fields = Fields::default();
    let entries = read(line, &mut fields).unwrap_or_else(|error| panic!("{line}: {error}"));
    let found: serde_json::Map<_, _> =
        entries.iter().map(|(key, value)| (key.to_owned(), shown(value))).collect();
    assert_eq!(serde_json::Value::Object(found), *expected, "{line}");
}

#[track_caller]
fn check_error(line: &str, expected: &str) {
    let mut fields = Fields::default();
    let found = read(line, &mut fields).map(|entries| format!("{entries:?}")).map_err(|e| e.to_string());
    assert_eq!(found, Err(expected.to_owned()), "{line}");
}

#[test]
fn values_of_all_types_are_read() {
    check("{}", &json!({}));
    check(" {\t} \r\n", &json!({}));
    check(
        r#"{"a":"b", "n" : 12,"d":-1.5e3,"t":true,"f":false,"z":null}"#,
        &json!({"a": "b", "n": 12, "d": -1500.0, "t": true, "f": false, "z": null}),
    );
    check(
        r#"{"m":{"a":[1,"x",{"b":[]},null],"c":{}},"l":[[-1],0.5,"\n"],"e":[{}]}"#,
        &json!({"m": {"a": [1, "x", {"b": []}, null], "c": {}}, "l": [[-1], 0.5, "\n"], "e": [{}]}),
    );
    let long = "x".repeat(70_000);
    check(&format!(r#"{{"m":{{"k":["{long}"]}}}}"#), &json!({"m": {"k": [long]}}));
}

#[test]
fn escapes_become_what_they_mean() {
    check(
        r#"{"\u0061\"\\\/\b\f\n\r\t":"\u00e9\ud83d\ude00"}"#,
        &json!({"a\"\\/\u{8}\u{c}\n\r\t": "\u{e9}\u{1f600}"}),
    );
    check(
        r#"{"a":"\ud800","b":"\ud800\u0041","c":"\udc00x"}"#,
        &json!({"a": "\u{fffd}", "b": "\u{fffd}A", "c": "\u{fffd}x"}),
    );
    check("{\"a\":\"tab\there\"}", &json!({"a": "tab\there"}));
    check(r#"{"a":{"k\n":"v\u0041"}}"#, &json!({"a": {"k\n": "vA"}}));
}

#[test]
fn no_digit_of_a_number_is_lost() {
    check(
        r#"{"a":9223372036854775807,"b":-9223372036854775808,"c":9223372036854775808,"d":123456789012345678901}"#,
        &json!({"a": i64::MAX, "b": i64::MIN, "c": "9223372036854775808", "d": "123456789012345678901"}),
    );
    check(
        r#"{"a":0.1,"b":1e400,"c":-0,"d":[1e400,18446744073709551615]}"#,
        &json!({"a": 0.1, "b": "1e400", "c": -0.0, "d": ["1e400", "18446744073709551615"]}),
    );
}

#[test]
fn what_python_writes_for_numbers_that_are_none_is_read() {
    let mut fields = Fields::default();
    let entries = read(r#"{"a":NaN,"b":Infinity,"c":-Infinity}"#, &mut fields).unwrap();
    assert!(matches!(entries.value("a"), Some(Value::Double(number)) if number.is_nan()));
    assert_eq!(entries.value("b"), Some(Value::Double(f64::INFINITY)));
    assert_eq!(entries.value("c"), Some(Value::Double(f64::NEG_INFINITY)));
}

#[test]
fn a_key_that_repeats_is_given_twice_and_the_last_wins() {
    let mut fields = Fields::default();
    let entries = read(r#"{"a":1,"b":2,"a":3}"#, &mut fields).unwrap();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries.value("a"), Some(Value::Int(3)));
}

#[test]
fn mistakes_say_where_they_are() {
    check_error("", "unexpected end of the line at byte 0");
    check_error("[1]", "not an object at byte 0");
    check_error("12", "not an object at byte 0");
    check_error("hello", "unexpected character at byte 0");
    check_error(r#"{"a":1} x"#, "something follows the object at byte 8");
    check_error(r#"{"a":1,}"#, "unexpected character at byte 7");
    check_error(r#"{"a" 1}"#, "unexpected character at byte 5");
    check_error(r#"{"a":01}"#, "unexpected character at byte 6");
    check_error(r#"{"a":1.}"#, "unexpected character at byte 7");
    check_error(r#"{"a":"b"#, "unexpected end of the line at byte 7");
    check_error(r#"{"a":"\x"}"#, "unexpected character at byte 7");
    check_error(r#"{"a":tru}"#, "unexpected character at byte 5");
    check_error(&format!("{{\"a\":{}", "[".repeat(33)), "nested more than 32 deep at byte 38");
    let keys: Vec<String> = (0..1025).map(|key| format!("\"{key}\":1")).collect();
    assert!(read(&format!("{{{}}}", keys.join(",")), &mut Fields::default()).is_err());
}

#[test]
fn values_as_deep_as_allowed_survive_encoding() {
    let line = format!("{{\"a\":{}{}}}", "[".repeat(32), "]".repeat(32));
    let mut fields = Fields::default();
    let entries = read(&line, &mut fields).unwrap();
    let batch = crate::Batch::builder(crate::Signal::Logs)
        .record(|log| entries.iter().for_each(|(key, value)| log.set_attribute(key, value)))
        .build();
    let again = crate::Batch::from_otlp(crate::Signal::Logs, batch.to_otlp()).unwrap();
    assert_eq!(again.logs().next().unwrap().attribute("a"), entries.value("a"));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|number| json!(number)),
        (-1e300..1e300).prop_map(|number: f64| json!(number)),
        "(?s:.{0,30})|[\"\\\\a\u{0}-\u{1f}]{0,12}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(|items| json!(items)),
            proptest::collection::hash_map("(?s:.{0,8})", inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn property_what_serde_json_writes_is_read_as_it_was(
        object in proptest::collection::hash_map("(?s:.{0,8})", any_json(), 0..8),
        pretty in any::<bool>(),
    ) {
        let expected = json!(object);
        let line = if pretty { serde_json::to_string_pretty(&expected) } else { serde_json::to_string(&expected) };
        check(&line.unwrap(), &expected);
    }

    #[test]
    fn property_whatever_is_taken_serde_json_takes_too(
        line in "\\{(\"a\":)?[-{}\\[\\]\":,.0-9eEtrufalsn ]{0,24}\\}?",
    ) {
        let mut fields = Fields::default();
        let taken = read(&line, &mut fields).is_ok();
        let expected = serde_json::from_str::<serde_json::Value>(&line);
        // Numbers beyond a double are the one thing of these that is taken here only.
        let is_range = matches!(&expected, Err(error) if error.to_string().contains("out of range"));
        prop_assert!(taken == expected.is_ok() || is_range, "{line}: {expected:?}");
    }

    #[test]
    fn property_no_text_makes_it_panic(line in "(?s:.{0,60})|\\{[\"\\\\u{}:,d8a0-9\\[\\]]{0,60}") {
        let mut fields = Fields::default();
        let entries = read(&line, &mut fields).map_or(0, |entries| entries.iter().count());
        prop_assert!(entries <= line.len() / 4);
    }
}
