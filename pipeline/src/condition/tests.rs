//! Tests of the condition language: meaning, error texts, and that no text can break it.

use proptest::prelude::*;

use super::{Condition, ConditionContext};
use crate::batch::{AnyValue, Batch, BatchBuilder, Number, Signal};

fn logs() -> Batch {
    Batch::builder(Signal::Logs)
        .resource(|resource| resource.set_attribute("service.name", "checkout"))
        .scope("orders", "1.2", |scope| scope.set_attribute("team", "shop"))
        .record(|log| {
            log.set_body("Payment failed: code 51");
            log.set_severity_number(13);
            log.set_severity_text("Warn");
            log.set_trace_context([0xab; 16], [0xcd; 8], 1);
            log.set_attribute("http.status", 503_i64);
            log.set_attribute("ratio", 0.25);
            log.set_attribute("retry", true);
            log.set_attribute("big", "12");
            log.set_attribute(
                "order",
                AnyValue::Map(vec![
                    ("id".into(), "A1".into()),
                    ("tags".into(), AnyValue::Array(vec!["x".into(), 7_i64.into()])),
                ]),
            );
        })
        .build()
}

fn spans() -> Batch {
    Batch::builder(Signal::Traces)
        .record(|span| {
            span.set_span_name("GET /orders");
            span.set_status(2, "boom");
        })
        .build()
}

fn metrics() -> Batch {
    let mut builder: BatchBuilder = Batch::builder(Signal::Metrics);
    builder.begin_number_metric("requests", "1", Some((2, true)));
    builder.push_point(0, 1, Number::Int(0), |point| point.set_attribute("path", "/health"));
    builder.push_point(0, 1, Number::Double(1.5), |point| point.set_attribute("path", "/pay"));
    builder.build()
}

/// Which records of the batch the condition is true of, as `1` and `0`.
fn verdicts(text: &str, context: ConditionContext, batch: &Batch) -> String {
    let condition =
        Condition::parse(text, context).unwrap_or_else(|error| panic!("{error}\n{}", error.excerpt()));
    let reparsed = Condition::parse(&condition.to_string(), context).unwrap();
    assert_eq!(condition, reparsed, "{condition}");
    batch.records().map(|record| if condition.matches(record) { '1' } else { '0' }).collect()
}

#[track_caller]
fn check_logs(expected: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(verdicts(text, ConditionContext::Log, &logs()), expected, "{text}");
    }
}

#[test]
fn conditions_on_a_log_record_that_are_true() {
    check_logs(
        "1",
        &[
            "true",
            "severity_number == SEVERITY_NUMBER_WARN",
            "log.severity_number < 17 and log.severity_number >= 13",
            r#"severity_text == "Warn" and trace_id != SpanID(0x0000000000000000)"#,
            r#"IsMatch(body, "(?i)FAILED: code \\d+")"#,
            r#"IsMatch(attributes["http.status"], "^5..$")"#,
            r#"resource.attributes["service.name"] == "checkout""#,
            r#"instrumentation_scope.name == "orders" and scope.version == "1.2""#,
            r#"attributes["order"]["id"] == "A1" and attributes["order"]["tags"][1] == 7"#,
            r#"ContainsValue(attributes["order"]["tags"], "x")"#,
            r#"not (attributes["retry"] == false or attributes["ratio"] > 1)"#,
            r#"not attributes["retry"] == false"#,
            r#"attributes["absent"] == nil and nil == nil and attributes["retry"] != nil"#,
            "trace_id == TraceID(0xabababababababababababababababab)",
            r#"span_id.string == "cdcdcdcdcdcdcdcd""#,
            "attributes[\"ratio\"] == 0.25 and attributes[\"http.status\"] > 502.5",
            r#"HasPrefix(body, "Payment") and HasSuffix(body.string, "51")"#,
            r#"ToLowerCase(severity_text) == "warn" and ToUpperCase(severity_text) == "WARN""#,
            r#"Len(severity_text) == 4 and Int(attributes["big"]) == 12 and Double(attributes["big"]) == 12.0"#,
            r#"IsString(body) and IsInt(flags) and IsDouble(attributes["ratio"]) and IsBool(attributes["retry"])"#,
            r#"IsMap(attributes["order"]) and IsMap(attributes) and IsList(attributes["order"]["tags"])"#,
            r#"String(attributes["order"]) == "{\"id\":\"A1\",\"tags\":[\"x\",7]}""#,
            r#"attributes["http.status"] - 3 * 100 == 203 and (1 + 2) * 3 == 9 and -1 == 0 - 1"#,
            r#"IsMatch(body, "Payment") == true"#,
            "event_name == \"\" and time_unix_nano == 0",
            "true or false and false",
        ],
    );
}

#[test]
fn values_of_different_types_are_different_and_otherwise_not_comparable() {
    check_logs(
        "1",
        &["body != 5", "body != nil", "attributes[\"absent\"] != 5", "attributes[\"big\"] != 12"],
    );
    check_logs(
        "0",
        &[
            "body == 5",
            "body < 5",
            "body >= 5",
            "attributes[\"absent\"] < 5",
            "attributes[\"absent\"] >= 5",
            r#"IsMatch(attributes["absent"], "")"#,
            "1 / 0 == 0",
            "9223372036854775807 + 1 > 0",
            r#"body["key"] == "x""#,
        ],
    );
}

#[test]
fn conditions_on_spans_events_metrics_and_points() {
    let on = verdicts;
    assert_eq!(on(r#"name == "GET /orders" and IsRootSpan()"#, ConditionContext::Span, &spans()), "1");
    assert_eq!(
        on(
            r#"status.code == STATUS_CODE_ERROR and span.status.message == "boom" and kind.string == "Unspecified""#,
            ConditionContext::Span,
            &spans()
        ),
        "1"
    );
    assert_eq!(on("true", ConditionContext::SpanEvent, &spans()), "0");
    let metric = ConditionContext::Metric;
    assert_eq!(on(r#"name == "requests" and type == METRIC_DATA_TYPE_SUM"#, metric, &metrics()), "11");
    assert_eq!(on("is_monotonic == true and aggregation_temporality == 2", metric, &metrics()), "11");
    assert_eq!(on(r#"HasAttrOnDatapoint("path", "/pay")"#, metric, &metrics()), "11");
    assert_eq!(on(r#"HasAttrKeyOnDatapoint("pod")"#, metric, &metrics()), "00");
    let point = ConditionContext::DataPoint;
    assert_eq!(on(r#"value_int == 0 and metric.unit == "1""#, point, &metrics()), "10");
    assert_eq!(on("value_double > 1", point, &metrics()), "01");
    assert_eq!(on(r#"datapoint.attributes["path"] == "/pay""#, point, &metrics()), "01");
}

#[test]
fn the_most_detailed_prefix_says_what_a_condition_on_a_signal_is_on() {
    let context = |text, signal| Condition::for_signal(text, signal).unwrap().context();
    assert_eq!(context(r#"spanevent.name == "x""#, Signal::Traces), ConditionContext::SpanEvent);
    assert_eq!(context(r#"span.name == "x""#, Signal::Traces), ConditionContext::Span);
    assert_eq!(
        context(r#"metric.name == "x" and datapoint.flags == 0"#, Signal::Metrics),
        ConditionContext::DataPoint
    );
    assert_eq!(context(r#"resource.attributes["a"] == "x""#, Signal::Metrics), ConditionContext::Metric);
}

#[test]
fn mistakes_are_named_where_they_are() {
    let deep = "(".repeat(40) + "true" + &")".repeat(40);
    for (text, expected) in [
        ("", "at character 1: expected a field, a value or a function, found the end"),
        ("body == ", "at character 8: expected a field, a value or a function, found the end"),
        ("body = 5", "at character 6: unexpected `=`; to compare, write `==`"),
        (
            "severity_number > 8 and severty_text == \"x\"",
            "at character 25: unknown field `severty_text`; did you mean `severity_text`?",
        ),
        (
            "span.name == \"x\"",
            "at character 1: `span` can't be read in a condition on a log; what can is `log`, `resource`, `scope`",
        ),
        ("version == \"1\"", "at character 1: unknown field `version`; did you mean `scope.version`?"),
        (
            "unit == \"1\"",
            "at character 1: unknown field `unit`; a metric has it, but this condition is on a log",
        ),
        (
            "attributes[\"ä\"]",
            "at character 1: `log.attributes[\"ä\"]` is a value, not a condition; compare it with something, such as `log.attributes[\"ä\"] != nil`",
        ),
        (
            "severity_number > SEVERITY_NUMBER_WARNING",
            "at character 19: unknown name `SEVERITY_NUMBER_WARNING`; did you mean `SEVERITY_NUMBER_WARN`?",
        ),
        ("Ismatch(body, \"x\")", "at character 1: unknown function `Ismatch`; did you mean `IsMatch`?"),
        ("IsMatch(body, \"(\")", "at character 15: `(` is not a regular expression: unclosed group"),
        (
            "IsMatch(body, \"\\d\")",
            "at character 16: unknown escape `\\d`; for a backslash before `d`, as in a regular expression, write `\\\\d`",
        ),
        (
            "trace_id == TraceID(0xab)",
            "at character 21: `TraceID` needs 16 bytes, written as 0x and 32 hexadecimal digits",
        ),
        ("body == \"x", "at character 9: this text has no end; close it with `\"`"),
        ("true true", "at character 6: expected `and`, `or` or the end, found `true`"),
        ("(true", "at character 6: expected `)`, found the end"),
        ("flags == 99999999999999999999", "at character 10: `99999999999999999999` has more than 64 bits"),
        ("Len(body, 1) == 2", "at character 1: `Len` takes 1 arguments, not 2"),
        (
            "HasAttrKeyOnDatapoint(\"k\")",
            "at character 1: `HasAttrKeyOnDatapoint` works in a condition on a metric only; this one is on a log",
        ),
        (deep.as_str(), "at character 34: nested deeper than 32; write it flatter"),
    ] {
        assert_eq!(Condition::parse(text, ConditionContext::Log).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_caret_stands_under_the_first_wrong_character() {
    let error = Condition::parse("body == \"grün\" & true", ConditionContext::Log).unwrap_err();
    assert_eq!(error.excerpt(), "body == \"grün\" & true\n               ^");
}

#[test]
fn a_condition_in_settings_is_an_error_at_its_place() {
    #[derive(Debug, serde::Deserialize)]
    struct Config {
        #[serde(rename = "when")]
        _when: Vec<super::LogCondition>,
    }
    let section =
        watershed_config::Section::from_text("filter", "when:\n  - 'true'\n  - 'bdy == 5'").unwrap();
    assert_eq!(
        section.read::<Config>().unwrap_err().to_string(),
        "filter:3:5: filter.when: at character 1: unknown field `bdy`; did you mean `body`?"
    );
}

/// Texts made of the language's own words, which get far into the parser.
fn almost_conditions() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "and",
        "or",
        "not",
        "(",
        ")",
        "==",
        "!=",
        "<",
        ">=",
        "body",
        "severity_number",
        "attributes[\"a\"]",
        "5",
        "-1.5",
        "1e9",
        "\"t\\n\"",
        "nil",
        "true",
        "0x0a",
        "IsMatch(body, \"a+\")",
        "Len(",
        ",",
        "+",
        "-",
        "*",
        "/",
        "resource.attributes[\"é\"][0]",
        "SPAN_KIND_SERVER",
        "String(body)",
        ".",
        "\u{7}\"",
    ]);
    prop::collection::vec(words, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn property_no_text_breaks_the_parser(text in any::<String>()) {
        for context in ConditionContext::ALL {
            if let Err(error) = Condition::parse(&text, context) {
                prop_assert!(error.excerpt().contains('^'));
            }
        }
    }

    #[test]
    fn property_printing_and_parsing_again_gives_the_same(text in almost_conditions()) {
        if let Ok(condition) = Condition::parse(&text, ConditionContext::Log) {
            let printed = condition.to_string();
            prop_assert_eq!(Condition::parse(&printed, ConditionContext::Log), Ok(condition.clone()), "{}", printed);
            prop_assert!(logs().records().filter(|record| condition.matches(*record)).count() <= 1);
        }
    }
}
