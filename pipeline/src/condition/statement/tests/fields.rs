//! Fields that statements set, of each signal.

use super::*;

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
