//! Tests of statements: what each editor, function and field does, error texts, and that nothing can break them.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::super::ConditionContext;
use super::{Failure, Statement, Statements};
use crate::batch::{AnyValue, Attributes, Batch, Number, Record, Signal};
use crate::testing::any_batch;

fn logs() -> Batch {
    Batch::builder(Signal::Logs)
        .resource(|resource| resource.set_attribute("service.name", "shop"))
        .scope("orders", "1.2", |scope| scope.set_attribute("team", "red"))
        .record(|log| {
            log.set_body(r#"{"a":1,"b":{"c":"x"}}"#);
            log.set_severity_number(17);
            log.set_attribute("k", "some text");
            log.set_attribute("n", 7_i64);
            let order = vec![
                ("id".into(), "A1".into()),
                ("tags".into(), AnyValue::Array(vec!["x".into(), 7_i64.into()])),
            ];
            log.set_attribute("order", AnyValue::Map(order));
        })
        .build()
}

fn spans() -> Batch {
    let message = br#"{"resourceSpans": [{"scopeSpans": [{"spans": [
        {"name": "GET /user/7", "kind": 2, "events": [{"name": "x"}, {"name": "y"}]}]}]}]}"#;
    let message = crate::otlp::json::decode(&crate::otlp::schema::TRACES_REQUEST, message, 4096).unwrap();
    Batch::from_otlp(Signal::Traces, message.into()).unwrap()
}

fn metrics() -> Batch {
    let mut builder = Batch::builder(Signal::Metrics);
    builder.begin_number_metric("cpu", "seconds", None);
    builder.push_point(0, 1, Number::Int(3), |point| point.set_attribute("pod", "a"));
    builder.push_point(0, 2, Number::Double(1.5), |point| point.set_attribute("pod", "b"));
    builder.build()
}

fn statements(text: &str, signal: Signal) -> Statements {
    let parse = |text: &str| {
        Statement::for_signal(text, signal).unwrap_or_else(|error| panic!("{error}\n{}", error.excerpt()))
    };
    let all: Vec<Statement> = text.split(" ; ").map(parse).collect();
    Statements::new(all[0].context(), Vec::new(), all)
}

/// The batch after a statement (or several, with ` ; ` between them) and a walk over the wire, and what failed.
fn after(text: &str, mut batch: Batch) -> (Batch, Vec<String>) {
    let mut failures = Vec::new();
    let note = |_, failure: Failure| {
        failures.push(failure.to_string());
        ControlFlow::Continue(())
    };
    statements(text, batch.signal()).apply(&mut batch, note).unwrap();
    (Batch::from_otlp(batch.signal(), batch.to_otlp()).unwrap(), failures)
}

fn show(attributes: Attributes<'_>) -> String {
    let shown: Vec<String> =
        attributes.iter().map(|(key, value)| format!("{key}={}", value.to_text())).collect();
    shown.join(" ")
}

const ATTRIBUTES: &str = r#"k=some text n=7 order={"id":"A1","tags":["x",7]}"#;

/// What the attributes of the log record are afterwards, and that nothing failed.
#[track_caller]
fn check(text: &str, expected: &str) {
    let (batch, failures) = after(text, logs());
    let shown = show(batch.records().next().unwrap().attributes());
    assert_eq!((shown.as_str(), failures), (expected, Vec::new()), "{text}");
}

/// What an attribute is set to.
#[track_caller]
fn check_value(value: &str, expected: AnyValue) {
    let (batch, failures) = after(&format!(r#"set(attributes["new"], {value})"#), logs());
    let record = batch.records().next().unwrap();
    let new = record.attribute("new").map(|value| value.to_any_value());
    assert_eq!((new, failures), (Some(expected), Vec::new()), "{value}");
}

#[track_caller]
fn check_failure(text: &str, expected: &str) {
    let before = logs().to_otlp();
    let mut batch = Batch::from_otlp(Signal::Logs, before.clone()).unwrap();
    let mut failures = Vec::new();
    let note = |_, failure: Failure| {
        failures.push(failure.to_string());
        ControlFlow::Continue(())
    };
    statements(text, Signal::Logs).apply(&mut batch, note).unwrap();
    assert_eq!(failures, [expected], "{text}");
    assert_eq!(batch.to_otlp(), before, "{text}");
}

/// What a record is afterwards, as a value of the language.
#[track_caller]
fn check_field(batch: Batch, text: &str, field: &str, expected: &str) {
    let (batch, failures) = after(text, batch);
    let condition = super::Condition::for_signal(&format!("{field} == {expected}"), batch.signal()).unwrap();
    assert!(
        batch.records().all(|record: Record<'_>| condition.matches(record)),
        "{text}: {field} is not {expected}"
    );
    assert_eq!(failures, [""; 0], "{text}");
}

#[test]
fn set_writes_attributes_and_values_within_them() {
    let order = r#"order={"id":"A1","tags":["x",7]}"#;
    check(r#"set(attributes["k"], 5)"#, &format!("k=5 n=7 {order}"));
    check(r#"set(attributes["new"], attributes["order"]["tags"])"#, &format!("{ATTRIBUTES} new=[\"x\",7]"));
    check(r#"set(attributes["order"]["id"], "B")"#, r#"k=some text n=7 order={"id":"B","tags":["x",7]}"#);
    check(
        r#"set(attributes["order"]["tags"][1], "y")"#,
        r#"k=some text n=7 order={"id":"A1","tags":["x","y"]}"#,
    );
    check(r#"set(attributes["p"]["q"]["r"], true)"#, &format!("{ATTRIBUTES} p={{\"q\":{{\"r\":true}}}}"));
    check(r#"set(attributes["k"], nil)"#, ATTRIBUTES);
    check(r#"set(attributes["k"], attributes["absent"])"#, ATTRIBUTES);
    check("set(attributes, ParseJSON(body))", r#"a=1 b={"c":"x"}"#);
    check(
        r#"set(attributes["new"], resource.attributes["service.name"])"#,
        &format!("{ATTRIBUTES} new=shop"),
    );
    check(
        r#"set(attributes["new"], trace_id)"#,
        &format!("{ATTRIBUTES} new=00000000000000000000000000000000"),
    );
    check(r#"set(attributes["k"], 1) where severity_number < 17"#, ATTRIBUTES);
    check(
        r#"set(attributes["k"], 1) where severity_number >= 17 and IsMatch(body, "a")"#,
        &format!("k=1 n=7 {order}"),
    );
}

#[test]
fn editors_of_maps_change_attributes_and_nested_maps_alike() {
    check(r#"delete_key(attributes, "k")"#, r#"n=7 order={"id":"A1","tags":["x",7]}"#);
    check(r#"delete_key(attributes["order"], "id")"#, r#"k=some text n=7 order={"tags":["x",7]}"#);
    check(r#"delete_key(attributes["absent"], "id")"#, ATTRIBUTES);
    check(r#"delete_matching_keys(attributes, "^.$")"#, r#"order={"id":"A1","tags":["x",7]}"#);
    check(r#"keep_keys(attributes, ["n", "z"])"#, "n=7");
    check(r#"keep_keys(attributes["order"], [])"#, "k=some text n=7 order={}");
    check(r#"keep_matching_keys(attributes, "^.$")"#, "k=some text n=7");
    check("limit(attributes, 2)", "k=some text n=7");
    check(r#"limit(attributes, 2, ["order"])"#, r#"k=some text order={"id":"A1","tags":["x",7]}"#);
    check(r#"limit(attributes["order"], 1, ["tags"])"#, r#"k=some text n=7 order={"tags":["x",7]}"#);
    check("truncate_all(attributes, 4)", r#"k=some n=7 order={"id":"A1","tags":["x",7]}"#);
    check(r#"truncate_all(attributes["order"], 1)"#, r#"k=some text n=7 order={"id":"A","tags":["x",7]}"#);
    check(r#"flatten(attributes)"#, "k=some text n=7 order.id=A1 order.tags.0=x order.tags.1=7");
    check(r#"flatten(attributes, "p", 1)"#, r#"p.k=some text p.n=7 p.order.id=A1 p.order.tags=["x",7]"#);
    check(
        r#"append(attributes["order"]["tags"], "z")"#,
        r#"k=some text n=7 order={"id":"A1","tags":["x",7,"z"]}"#,
    );
    check(r#"append(attributes["n"], [8, 9])"#, r#"k=some text n=[7,8,9] order={"id":"A1","tags":["x",7]}"#);
}

#[test]
fn merging_knows_three_strategies() {
    let all = "a=1 b={\"c\":\"x\"}";
    check(r#"merge_maps(attributes, ParseJSON(body), "upsert")"#, &format!("{ATTRIBUTES} {all}"));
    check(
        r#"merge_maps(attributes, ParseJSON("{\"k\":1,\"z\":2}"), "insert")"#,
        &format!("{ATTRIBUTES} z=2"),
    );
    let order = r#"order={"id":"A1","tags":["x",7]}"#;
    check(r#"merge_maps(attributes, ParseJSON("{\"k\":1,\"z\":2}"), "update")"#, &format!("k=1 n=7 {order}"));
    check(
        r#"merge_maps(attributes["order"], ParseJSON("{\"id\":1,\"z\":2}"), "upsert")"#,
        r#"k=some text n=7 order={"id":1,"tags":["x",7],"z":2}"#,
    );
    check(
        r#"merge_maps(attributes["p"], ParseJSON(body), "insert")"#,
        &format!("{ATTRIBUTES} p={{\"a\":1,\"b\":{{\"c\":\"x\"}}}}"),
    );
}

#[test]
fn texts_are_replaced_by_expressions_and_by_shell_patterns() {
    let order = r#"order={"id":"A1","tags":["x",7]}"#;
    check(
        r#"replace_pattern(attributes["k"], "(e)(x?)", "<$2$1>")"#,
        &format!("k=som<e> t<xe>t n=7 {order}"),
    );
    check(r#"replace_pattern(attributes["n"], "7", "8")"#, ATTRIBUTES);
    check(
        r#"replace_pattern(attributes["k"], "some", Concat([severity_number], ""))"#,
        &format!("k=17 text n=7 {order}"),
    );
    check(r#"replace_match(attributes["k"], "some *", "$1")"#, &format!("k=$1 n=7 {order}"));
    check(r#"replace_match(attributes["k"], "some", "x")"#, ATTRIBUTES);
    check(r#"replace_match(attributes["k"], "[!x-z]?{me,us} te[wx]t", "x")"#, &format!("k=x n=7 {order}"));
    check(
        r#"replace_all_patterns(attributes, "value", "[aeiou]", "_")"#,
        &format!("k=s_m_ t_xt n=7 {order}"),
    );
    check(
        r#"replace_all_patterns(attributes, "key", "^(.)$", "x.$1")"#,
        &format!("x.k=some text x.n=7 {order}"),
    );
    check(
        r#"replace_all_matches(attributes["order"], "A*", "B")"#,
        r#"k=some text n=7 order={"id":"B","tags":["x",7]}"#,
    );
}

#[test]
fn functions_make_values() {
    check_value(r#"Concat(["a", 1, attributes["absent"], true], "-")"#, "a-1-<nil>-true".into());
    check_value(r#"ParseJSON(body)["b"]["c"]"#, "x".into());
    check_value(r#"ParseKeyValue("a=1 b=\"x y\" c='' a=2")["b"]"#, "x y".into());
    check_value(r#"Concat([ParseKeyValue("a:1;b:2;", ":", ";")], "")"#, r#"{"a":"1","b":"2"}"#.into());
    check_value(r#"ExtractPatterns(body, "\"a\":(?P<n>[0-9]+)(?P<m>z)?")["n"]"#, "1".into());
    check_value(r#"Len(ExtractPatterns(body, "(?P<n>zzz)"))"#, 0_i64.into());
    check_value(r#"Split("a,b,", ",")"#, AnyValue::Array(vec!["a".into(), "b".into(), "".into()]));
    check_value(r#"Substring("größer", 1, 2)"#, "r".into());
    check_value(r#"Substring(attributes["k"], 5, 4)"#, "text".into());
    check_value(r#"Trim("  a b ")"#, "a b".into());
    check_value(r#"Trim("xyax", "xy")"#, "a".into());
    check_value(
        r#"SHA256("abc")"#,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
    );
    check_value(r#"Hex("az")"#, "617a".into());
    check_value("Hex(258)", "0000000000000102".into());
    check_value(r#"Bool("true")"#, true.into());
    check_value("Bool(0)", false.into());
    check_value(r#"Int("12") + attributes["n"] * 2"#, 26_i64.into());
    check_value(r#"Double("1.5")"#, 1.5.into());
    check_value("String(attributes[\"order\"])", r#"{"id":"A1","tags":["x",7]}"#.into());
    check_value(r#"ToUpperCase(Concat([severity_number, "a"], ""))"#, "17A".into());
    check_value(
        r#"[1, "b", [true]]"#,
        AnyValue::Array(vec![1_i64.into(), "b".into(), AnyValue::Array(vec![true.into()])]),
    );
    check_value(r#"IsMatch(body, "a")"#, true.into());
}

#[test]
fn what_fails_leaves_the_record_and_says_why() {
    let json = "ParseJSON needs the text of one JSON object";
    check_failure(r#"merge_maps(attributes, ParseJSON(attributes["k"]), "upsert")"#, json);
    check_failure(r#"set(body, ToLowerCase(ParseJSON("x")["a"]))"#, json);
    check_failure(r#"set(body, [1, ParseJSON("x")])"#, json);
    check_failure(
        r#"set(attributes["x"], Substring("abc", 1, 3))"#,
        "Substring reaches beyond the end of the text",
    );
    check_failure(r#"set(attributes["x"], SHA256(attributes["absent"]))"#, "SHA256 needs a text");
    check_failure(r#"set(severity_text, attributes["n"])"#, "the field takes a text");
    check_failure(r#"set(severity_number, attributes["n"] * 9)"#, "the field takes a number from 0 to 24");
    check_failure(r#"set(attributes["k"]["x"], 1)"#, "what is to be changed is not a map");
    check_failure(r#"set(attributes["order"]["tags"][9], 1)"#, "the list has no such item");
    check_failure(r#"set(body["a"], 1)"#, "what is to be changed is not a map");
    check_failure(r#"delete_key(attributes["k"], "x")"#, "what is to be changed is not a map");
    check_failure(r#"merge_maps(attributes, body, "upsert")"#, "what is to be merged is not a map");
    check_failure(r#"set(attributes["x"], Bool("maybe"))"#, "Bool needs a text such as true or false");
    check_failure(
        r#"set(attributes["x"], ParseKeyValue("a"))"#,
        "ParseKeyValue needs pairs of keys and values",
    );
}

#[test]
fn fields_of_logs_are_set_where_they_are() {
    for (text, field, expected) in [
        (r#"set(body, "x")"#, "body", r#""x""#),
        ("set(severity_number, SEVERITY_NUMBER_WARN)", "severity_number", "13"),
        (r#"set(severity_text, "W")"#, "severity_text", r#""W""#),
        (r#"set(event_name, "e")"#, "event_name", r#""e""#),
        ("set(time_unix_nano, 5)", "time_unix_nano", "5"),
        ("set(observed_time_unix_nano, Int(\"6\"))", "observed_time_unix_nano", "6"),
        ("set(flags, 1)", "flags", "1"),
        (
            r#"set(trace_id, "0102030405060708090a0b0c0d0e0f10")"#,
            "trace_id.string",
            r#""0102030405060708090a0b0c0d0e0f10""#,
        ),
        ("set(span_id, SpanID(0x0102030405060708))", "span_id", "0x0102030405060708"),
        (r#"set(scope.name, "s")"#, "scope.name", r#""s""#),
        (r#"set(instrumentation_scope.version, "2")"#, "scope.version", r#""2""#),
        (
            r#"set(scope.attributes["team"], body)"#,
            r#"scope.attributes["team"]"#,
            r#""{\"a\":1,\"b\":{\"c\":\"x\"}}""#,
        ),
        (
            r#"set(resource.attributes["service.name"], severity_number)"#,
            r#"resource.attributes["service.name"]"#,
            "17",
        ),
        (r#"set(cache["x"], 5) ; set(attributes["y"], log.cache["x"])"#, r#"attributes["y"]"#, "5"),
    ] {
        check_field(logs(), text, field, expected);
    }
    check_field(logs(), r#"set(body, ParseJSON(body)) ; set(body["b"]["c"], 2)"#, r#"body["b"]["c"]"#, "2");
}

#[test]
fn fields_of_spans_and_events_are_set_where_they_are() {
    for (text, field, expected) in [
        (r#"replace_pattern(name, "/[0-9]+", "/{id}")"#, "name", r#""GET /user/{id}""#),
        ("set(kind, SPAN_KIND_CLIENT)", "kind", "3"),
        ("set(status.code, STATUS_CODE_ERROR)", "status.code", "2"),
        (r#"set(status.message, "bad")"#, "status.message", r#""bad""#),
        (r#"set(trace_state, "a=b")"#, "trace_state", r#""a=b""#),
        ("set(start_time_unix_nano, 1)", "start_time_unix_nano", "1"),
        ("set(end_time_unix_nano, start_time_unix_nano + 2)", "end_time_unix_nano", "2"),
        ("set(flags, 257)", "flags", "257"),
        (
            "set(trace_id, TraceID(0x0102030405060708090a0b0c0d0e0f10))",
            "trace_id",
            "0x0102030405060708090a0b0c0d0e0f10",
        ),
        (r#"set(span_id.string, "0102030405060708")"#, "span_id", "0x0102030405060708"),
        ("set(parent_span_id, 0x0102030405060708)", "parent_span_id", "0x0102030405060708"),
        (r#"set(spanevent.name, "e") where spanevent.name == "x""#, "spanevent.name", r#""e""#),
        ("set(spanevent.time_unix_nano, 4)", "spanevent.time_unix_nano", "4"),
        (r#"set(spanevent.attributes["k"], span.name)"#, r#"spanevent.attributes["k"]"#, r#""GET /user/7""#),
    ] {
        check_field(spans(), text, field, expected);
    }
}

#[test]
fn fields_of_metrics_and_points_are_set_where_they_are() {
    for (text, field, expected) in [
        (r#"set(name, Concat(["host", name], "."))"#, "name", r#""host.cpu""#),
        (r#"set(metric.unit, "s") where metric.unit == "seconds""#, "unit", r#""s""#),
        (r#"set(description, "d")"#, "description", r#""d""#),
        (r#"set(metadata["k"], "v")"#, r#"metadata["k"]"#, r#""v""#),
        ("set(datapoint.value_int, 9)", "datapoint.value_int", "9"),
        ("set(datapoint.value_double, 0.5)", "datapoint.value_double", "0.5"),
        ("set(datapoint.time_unix_nano, 8)", "datapoint.time_unix_nano", "8"),
        ("set(datapoint.start_time_unix_nano, 1)", "datapoint.start_time_unix_nano", "1"),
        ("set(datapoint.flags, 1)", "datapoint.flags", "FLAG_NO_RECORDED_VALUE"),
        (
            r#"set(datapoint.attributes["metric"], metric.name)"#,
            r#"datapoint.attributes["metric"]"#,
            r#""cpu""#,
        ),
    ] {
        check_field(metrics(), text, field, expected);
    }
}

#[test]
fn a_statement_is_on_what_its_paths_name() {
    for (text, signal, expected) in [
        (r#"set(resource.attributes["a"], "x")"#, Signal::Logs, ConditionContext::Resource),
        (r#"set(resource.attributes["a"], scope.name)"#, Signal::Logs, ConditionContext::Scope),
        (r#"set(resource.attributes["a"], log.body)"#, Signal::Logs, ConditionContext::Log),
        (r#"set(resource.attributes["a"], body)"#, Signal::Logs, ConditionContext::Log),
        (r#"set(span.name, "x")"#, Signal::Traces, ConditionContext::Span),
        (r#"set(span.name, spanevent.name)"#, Signal::Traces, ConditionContext::SpanEvent),
        (r#"set(name, "x")"#, Signal::Metrics, ConditionContext::Metric),
        (r#"set(metric.name, "x") where datapoint.flags == 1"#, Signal::Metrics, ConditionContext::DataPoint),
    ] {
        assert_eq!(Statement::for_signal(text, signal).unwrap().context(), expected, "{text}");
    }
}

#[test]
fn mistakes_are_told_with_their_place_and_a_fix() {
    let error = |text: &str| Statement::parse(text, ConditionContext::Log).unwrap_err().to_string();
    for (text, expected) in [
        ("", "at character 1: expected an editor such as `set`, found the end"),
        (
            r#"rename(attributes["a"], "b")"#,
            r#"at character 1: there is no editor `rename`; write `set(attributes["new"], attributes["old"])` and `delete_key(attributes, "old")`"#,
        ),
        (
            "set(body)",
            r#"at character 1: `set` takes 2 arguments, not 1; write `set(attributes["key"], "value")`"#,
        ),
        (r#"set(bdy, "x")"#, "at character 5: unknown field `bdy`; did you mean `body`?"),
        (
            r#"set("x", "y")"#,
            r#"at character 5: expected what to change, such as `attributes["key"]` or `body`"#,
        ),
        (r#"set(severity_number, "x")"#, "at character 22: the field takes a number from 0 to 24"),
        ("set(severity_number, 25)", "at character 22: the field takes a number from 0 to 24"),
        (
            r#"set(severity_text["a"], "x")"#,
            "at character 5: `severity_text` holds nothing that a key could name",
        ),
        (r#"set(attributes, "x")"#, "at character 17: expected a map, such as `ParseJSON(body)`"),
        ("set(attributes[0], 1)", "at character 5: the keys of `attributes` are texts; write them in quotes"),
        (
            r#"set(resource.schema_url, "x")"#,
            "at character 5: `schema_url` can't be changed; what can of a resource is attributes",
        ),
        (
            r#"set(attributes["a"], ParseJsn(body))"#,
            "at character 22: unknown function `ParseJsn`; did you mean `ParseJSON`?",
        ),
        (r#"set(body, "x") if true"#, "at character 16: expected `where` or the end, found `if`"),
        (
            r#"set(body, "x") where body"#,
            "at character 22: `log.body` is a value, not a condition; compare it with something, such as `log.body != nil`",
        ),
        (
            r#"merge_maps(attributes, body, "replace")"#,
            r#"at character 30: expected `"insert"` or `"update"` or `"upsert"`"#,
        ),
        (
            r#"truncate_all(severity_text, 3)"#,
            "at character 14: `log.severity_text` is not a map; attributes, a body and `cache` can be",
        ),
        ("truncate_all(attributes, -3)", "at character 26: expected a whole number that is not negative"),
        (
            r#"keep_keys(attributes, "a")"#,
            r#"at character 23: expected a list of keys, such as `["a", "b"]`"#,
        ),
        (
            r#"delete_matching_keys(attributes, "(")"#,
            "at character 34: `(` is not a regular expression: unclosed group",
        ),
        (
            r#"set(body, ExtractPatterns(body, "x"))"#,
            "at character 33: `ExtractPatterns` needs an expression with a named group, such as `(?P<code>[0-9]+)`",
        ),
        (
            r#"set(body, Concat("a", "b"))"#,
            r#"at character 11: `Concat` needs a list in brackets, such as `Concat([name, kind], " ")`"#,
        ),
        (
            r#"set(resource.cache["a"], 1)"#,
            "at character 5: `cache` belongs to the statements on one thing, and is read and written by these only",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn values_are_never_nested_deeper_than_they_can_be_read_again() {
    let mut batch = logs();
    let nest = statements(r#"set(attributes["order"], [attributes["order"]])"#, Signal::Logs);
    let mut failed = 0;
    for _ in 0..200 {
        let count = |_, _| {
            failed += 1;
            ControlFlow::Continue(())
        };
        nest.apply(&mut batch, count).unwrap();
    }
    assert!(failed > 0);
    Batch::from_otlp(Signal::Logs, batch.to_otlp()).unwrap();
}

#[test]
fn a_map_of_too_many_entries_does_not_become_attributes() {
    let entries = (0..5000).map(|number| (format!("k{number}"), AnyValue::Int(number))).collect();
    let many = || {
        Batch::builder(Signal::Logs).record(|log| log.set_body(AnyValue::Map(Vec::clone(&entries)))).build()
    };
    for text in [r#"merge_maps(attributes, body, "upsert")"#, "set(attributes, body)"] {
        let (batch, failures) = after(text, many());
        assert_eq!(failures, ["the map has more than 1,024 entries"]);
        assert_eq!(batch.records().next().unwrap().attributes().len(), 0);
    }
}

/// Texts made of the pieces of statements, most of them wrong.
fn almost_statements() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "set(",
        "delete_key(",
        "flatten(",
        "append(",
        "limit(",
        "merge_maps(",
        "replace_match(",
        "truncate_all(",
        "attributes",
        "body",
        "severity_number",
        "[\"k\"]",
        "[0]",
        "\"{*,a\"",
        "12",
        "-1",
        "0.5",
        "0x0a",
        "nil",
        "true",
        ",",
        ")",
        "(",
        "[",
        "]",
        " where ",
        "==",
        "ParseJSON(",
        "Concat(",
        "Substring(",
        "cache",
        "\"upsert\"",
        "log.",
        "resource.",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Statements that do all kinds of things to log records.
const MANY: [&str; 16] = [
    r#"set(attributes["a"], body)"#,
    r#"set(body, attributes)"#,
    r#"set(body["x"], 1)"#,
    r#"set(attributes["b"]["c"], attributes)"#,
    r#"set(resource.attributes["n"], severity_number) where severity_number > 4"#,
    r#"set(scope.name, severity_text)"#,
    r#"set(trace_id, body)"#,
    r#"merge_maps(attributes, body, "upsert")"#,
    r#"merge_maps(resource.attributes, attributes, "insert")"#,
    "flatten(attributes)",
    r#"replace_all_patterns(attributes, "key", "^.", "z")"#,
    r#"replace_all_patterns(attributes, "value", "[a-m]", "")"#,
    "truncate_all(attributes, 2)",
    "limit(attributes, 1)",
    r#"append(body, attributes)"#,
    r#"delete_matching_keys(body, "a")"#,
];

proptest! {
    #[test]
    fn property_no_text_breaks_the_parser_or_a_record(text in any::<String>(), almost in almost_statements()) {
        for text in [text, almost] {
            if let Ok(statement) = Statement::for_signal(&text, Signal::Logs) {
                let mut batch = logs();
                let all = Statements::new(statement.context(), Vec::new(), vec![statement]);
                prop_assert!(all.apply(&mut batch, |_, _| ControlFlow::Continue(())).is_ok());
                prop_assert!(Batch::from_otlp(Signal::Logs, batch.to_otlp()).is_ok(), "{}", text);
            }
        }
    }

    #[test]
    fn property_a_statement_that_is_false_leaves_the_bytes(mut batch in any_batch(Signal::Logs), which in 0..MANY.len()) {
        let before = batch.to_otlp();
        let text = MANY[which].split(" where").next().unwrap();
        let copy = batch.clone();
        statements(&format!("{text} where severity_number == -7"), Signal::Logs)
            .apply(&mut batch, |_, _| ControlFlow::Continue(()))
            .unwrap();
        prop_assert_eq!(batch.to_otlp(), before.clone());
        drop(copy);
    }

    #[test]
    fn property_any_batch_can_be_read_after_any_statements(
        mut batch in any_batch(Signal::Logs),
        order in prop::collection::vec(0..MANY.len(), 1..12),
    ) {
        let (copy, before) = (batch.clone(), batch.to_otlp());
        let len = batch.len();
        for which in order {
            statements(MANY[which], Signal::Logs).apply(&mut batch, |_, _| ControlFlow::Continue(())).unwrap();
        }
        let again = Batch::from_otlp(Signal::Logs, batch.to_otlp()).unwrap();
        prop_assert_eq!(again.len(), len);
        prop_assert!(again.records().zip(batch.records()).all(|(again, own)| show(again.attributes()) == show(own.attributes())));
        prop_assert_eq!(copy.to_otlp(), before, "a copy of the batch changed too");
    }
}
