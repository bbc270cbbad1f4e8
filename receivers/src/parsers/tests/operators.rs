//! What operators do, through settings as users write them.

use super::*;

#[test]
fn operators_do_what_the_collectors_do() {
    for (operators, line, expected) in [
        ("{type: json_parser}", r#"{"a":{"b":1}}"#, r#""{\"a\":{\"b\":1}}" a={"b":1}"#),
        ("{type: json_parser, parse_to: body}", r#"{"a":1}"#, r#""{\"a\":1}""#),
        (
            r"{type: regex_parser, regex: '^(?P<at>\S+) (?P<sev>\w+) (?P<m>.*)$', timestamp: {parse_from: attributes.at, layout: '%Y-%m-%dT%H:%M:%S'}, severity: {parse_from: attributes.sev, mapping: {warn: [odd]}}}",
            "2024-12-19T10:30:15 odd hi",
            r#"15000ms 13/odd "2024-12-19T10:30:15 odd hi" at="2024-12-19T10:30:15" sev="odd" m="hi""#,
        ),
        ("{type: csv_parser, header: 'a,b'}", "1,\"2,3\"", r#""1,\"2,3\"" a="1" b="2,3""#),
        ("{type: key_value_parser}", "a=1 b='x y'", r#""a=1 b='x y'" a="1" b="x y""#),
        (
            "{type: key_value_parser, delimiter: ':', pair_delimiter: ';'}",
            "a:1;b: x",
            r#""a:1;b: x" a="1" b="x""#,
        ),
        (
            "{type: syslog_parser, protocol: rfc3164}",
            "<34>Dec 19 10:30:15 host su: x",
            r#"15000ms 18/crit "<34>Dec 19 10:30:15 host su: x" priority=34 facility=4 severity=2 hostname="host" appname="su" message="x""#,
        ),
        (
            "{type: uri_parser}",
            "https://u:p@a.b:8/c?d=e%20f&d=2",
            r#""https://u:p@a.b:8/c?d=e%20f&d=2" scheme="https" user="u" host="a.b" port="8" path="/c" query={"d":["e f","2"]}"#,
        ),
        (
            "{type: time_parser, parse_from: body, layout_type: epoch, layout: s.ms}",
            "1734604215.123",
            r#"15123ms "1734604215.123""#,
        ),
        (
            "{type: time_parser, parse_from: body, layout_type: gotime, layout: '2006-01-02 15:04:05', location: Europe/Vienna}",
            "2024-12-19 11:30:15",
            r#"15000ms "2024-12-19 11:30:15""#,
        ),
        (
            "{type: severity_parser, parse_from: body, overwrite_text: true, mapping: {error: 5xx, warn: {min: 400, max: 499}}}",
            "404",
            r#"13/WARN "404""#,
        ),
        ("{type: scope_name_parser, parse_from: body}", "x", r#"<x> "x""#),
        ("{type: move, from: body, to: 'attributes[\"a.b\"].c'}", "x", r#""" a.b={"c":"x"}"#),
        ("{type: copy, from: body, to: resource.r}", "x", r#""x" resource: r="x""#),
        ("{type: add, field: attributes.a, value: [1, b]}", "x", r#""x" a=[1,"b"]"#),
        ("{type: add, field: attributes.a, value: 'EXPR(body + \"!\")'}", "x", r#""x" a="x!""#),
        ("{type: remove, field: body}", "x", r#""""#),
        ("{type: filter, expr: 'body == \"y\"'}", "x", r#""x""#),
        ("{type: remove, field: attributes.a, on_error: send_quiet}", "x", r#""x""#),
        ("{type: remove, field: attributes.a}", "x", r#""x" log.parse.error="remove: no such field""#),
        ("{type: json_parser, if: 'body matches \"^[{]\"'}", "x", r#""x""#),
    ] {
        check(&format!("format: none\noperators: [{operators}]"), line, &[expected]);
    }
    for operators in ["{type: filter, expr: 'body == \"x\"'}", "{type: json_parser, on_error: drop}"] {
        let mut source = check(&format!("format: none\noperators: [{operators}]"), "x", &[]);
        assert_eq!(source.take_stats().dropped, 1);
    }
}

#[test]
fn operators_change_what_a_format_has_read() {
    check(
        "format: json\noperators:\n  - {type: flatten, field: attributes.a}\n  - {type: retain, fields: [attributes.b]}",
        r#"{"msg":"x","a":{"b":1,"c":2},"d":3}"#,
        &[r#""x" b=1"#],
    );
}

#[test]
fn records_go_where_router_and_output_say() {
    let yaml = r#"
format: none
operators:
  - type: router
    routes:
      - {expr: 'body startsWith "{"', output: json}
      - {expr: 'body contains "="', output: pairs}
    default: out
  - {type: json_parser, id: json, output: out}
  - {type: key_value_parser, id: pairs}
  - {type: noop, id: out}
"#;
    check(yaml, "{\"a\":1}\nb=2\nc", &[r#""{\"a\":1}" a=1"#, r#""b=2" b="2""#, r#""c""#]);
    check(
        "format: none\noperators: [{type: noop, output: [a, b]}, {type: add, id: a, field: attributes.a, value: 1, output: c}, {type: noop, id: b}, {type: noop, id: c}]",
        "x",
        &[r#""x" a=1"#, r#""x""#],
    );
}

#[test]
fn lines_are_recombined() {
    let first = "format: none\noperators: [{type: recombine, combine_field: body, is_first_entry: 'body matches \"^[A-Z]\"'}]";
    check(first, "One\n at a\n at b\nTwo", &[r#""One\n at a\n at b""#, r#""Two""#]);
    let last = "format: none\noperators: [{type: recombine, combine_field: body, combine_with: '', is_last_entry: 'not (body endsWith \"-\")', max_batch_size: 2}]";
    check(last, "a-\nb\nc-\nd-\ne", &[r#""a-b""#, r#""c-d-""#, r#""e""#]);
    let container = "format: none\noperators: [{type: container}]";
    check(
        container,
        "2024-12-19T10:30:15Z stdout P a\n2024-12-19T10:30:16Z stdout F b\n2024-12-19T10:30:17Z stdout P c",
        &[r#"16000ms "ab" log.iostream="stdout""#, r#"17000ms "c" log.iostream="stdout""#],
    );
}

#[test]
fn mistakes_in_settings_say_where_and_how_to_mend_them() {
    for (yaml, expected) in [
        ("format: jason", "jason"),
        ("format: {regex: {regex: '('}}", "format.regex.regex: `(` is not a regular expression"),
        ("format: {regex: {regex: 'a'}}", "has no named group"),
        ("format: {csv: {header: [a, a]}}", "format.csv.header: names the column `a` twice"),
        (
            "format: {container: {content: cri}}",
            "format.container.content: a container's text is no container's line",
        ),
        ("operators: [{type: json_parser, parse_from: x}]", "operators[0].parse_from: `x` is no field"),
        (
            "operators: [{type: filter, expr: 'env(\"A\") == 1'}]",
            "operators[0].expr: `env(\"A\") == 1`, at byte 0: `env` is not supported",
        ),
        ("operators: [{type: move, from: body}]", "operators[0].to: is missing"),
        ("operators: [{type: noop, output: x}]", "operators[0].output: no later operator has the id `x`"),
        (
            "operators: [{type: severity_parser, parse_from: body, mapping: {bad: x}}]",
            "operators[0].mapping.bad: `bad` is no level",
        ),
        (
            "operators: [{type: time_parser, parse_from: body, layout: '%Q'}]",
            "operators[0].layout: unknown directive `%Q`",
        ),
        ("operators: [{type: recombine, combine_field: body}]", "operators[0].is_first_entry: needs one of"),
        ("operators: [{type: jsn}]", "jsn"),
        ("operators: [{type: move, regex: a}]", "operators[0].regex: is no setting of `move`; remove it"),
    ] {
        let error = compile(yaml).err().unwrap_or_default();
        assert!(error.contains(expected), "{yaml}: {error}");
    }
}

#[test]
fn expressions_are_evaluated_as_in_the_collector() {
    for (expression, holds) in [
        (r#"body == "x1" and attributes.n > 3"#, true),
        (r#"body != "x1" || attributes["n"] <= 4.5"#, true),
        (r#"attributes.m == nil && attributes?.m?.k == nil"#, true),
        (r#"body matches `^x\d$`"#, true),
        (r#"body matches "^x\\d$" && !(body startsWith 'y')"#, true),
        (r#"body in ["a", "x1"]"#, true),
        (r#"body not in ["a", "x1"]"#, false),
        (r#""n" in attributes"#, true),
        (r#"len(body) == 2 and upper(body) == "X1" and type(attributes.n) == "int""#, true),
        (r#"(attributes.m ?? "none") == "none""#, true),
        (r#"attributes.n > "3""#, false),
        (r#"not true"#, false),
        (r#"attributes.n + 1 == 5 and -1 < 0"#, true),
        (r#"body contains "1" and body endsWith "1""#, true),
    ] {
        let yaml = serde_json::json!({"format": "none", "operators": [
            {"type": "add", "field": "attributes.n", "value": 4},
            {"type": "filter", "expr": expression},
        ]});
        let (batch, _) = run(&yaml.to_string(), "x1");
        assert_eq!(batch.is_empty(), holds, "{expression}");
    }
    for wrong in [
        "",
        "body ==",
        "any(body, {# > 1})",
        "body[0] == 1",
        "(body",
        "body matches attributes.x",
        "a.b == 1",
    ] {
        let yaml = serde_json::json!({"operators": [{"type": "filter", "expr": wrong}]});
        assert!(compile(&yaml.to_string()).is_err(), "{wrong}");
    }
}
