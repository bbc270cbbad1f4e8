//! What each format makes of its lines, through settings as users write them.

mod operators;

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use watershed_config::Section;
use watershed_pipeline::{Batch, LogRecord, Signal, Value};

/// 2024-12-19T10:30:20Z, some seconds after the times of the samples.
const NOW: u64 = 1_734_604_220_000_000_000;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    format: Format,
    #[serde(default)]
    operators: Vec<Operator>,
}

fn compile(yaml: &str) -> Result<Parser, String> {
    let section = Section::from_text("test", yaml).unwrap();
    let settings: Settings = section.read().map_err(|errors| errors.to_string())?;
    let rules = Rules { format: &settings.format, time_zone: "UTC", operators: &settings.operators };
    Parser::compile(&rules).map_err(|error| section.build_error(error).to_string())
}

fn run(yaml: &str, text: &str) -> (Batch, Source) {
    let parser = compile(yaml).unwrap();
    let mut source = parser.source();
    let block = bytes::Bytes::copy_from_slice(text.as_bytes());
    let mut builder = Batch::builder_over(Signal::Logs, block.clone());
    for line in block.split(|byte| *byte == b'\n') {
        parser.parse(&mut source, line, NOW, &mut builder, &mut |_| ());
    }
    parser.flush(&mut source, NOW, &mut builder, &mut |_| ());
    // What goes out must be what was set.
    (Batch::from_otlp(Signal::Logs, builder.build().to_otlp()).unwrap(), source)
}

fn values<'a>(entries: impl Iterator<Item = (&'a str, Value<'a>)>) -> String {
    let one = |(key, value): (&str, Value<'_>)| match value {
        Value::Str(text) => format!("{key}={text:?}"),
        other => format!("{key}={}", other.to_text()),
    };
    entries.map(one).collect::<Vec<_>>().join(" ")
}

/// A record as one line: seconds after 10:30:00, severity, scope, body, attributes, resource, trace.
fn show(log: LogRecord<'_>) -> String {
    let mut text = String::new();
    if log.time_unix_nano() > 0 {
        write!(text, "{}ms ", (i128::from(log.time_unix_nano()) - 1_734_604_200_000_000_000) / 1_000_000)
            .unwrap();
    }
    if log.severity_number() != 0 || !log.severity_text().is_empty() {
        write!(text, "{}/{} ", log.severity_number(), log.severity_text()).unwrap();
    }
    if !log.scope().name().is_empty() {
        write!(text, "<{}> ", log.scope().name()).unwrap();
    }
    write!(text, "{:?}", log.body().map_or("".into(), Value::to_text)).unwrap();
    if !log.attributes().is_empty() {
        write!(text, " {}", values(log.attributes().iter())).unwrap();
    }
    if !log.resource().attributes().is_empty() {
        write!(text, " resource: {}", values(log.resource().attributes().iter())).unwrap();
    }
    if log.trace_id() != [0; 16] || log.span_id() != [0; 8] {
        write!(text, " trace: {:x}/{:x}/{}", log.trace_id()[15], log.span_id()[7], log.flags()).unwrap();
    }
    text
}

#[track_caller]
fn check(yaml: &str, text: &str, expected: &[&str]) -> Source {
    let (batch, source) = run(yaml, text);
    let found: Vec<String> = batch.logs().map(show).collect();
    assert_eq!(found, expected, "{text}");
    source
}

#[test]
fn json_of_common_loggers_becomes_records() {
    for (line, expected) in [
        (
            r#"{"timestamp":"2024-12-19T10:30:15.123Z","level":"INFO","logger":"app.core","message":"hi","correlation_id":"c1","user_id":"u1","operation":"op","service":"shop","module":"m","metadata":{"a":1,"b":{"c":2}}}"#,
            r#"15123ms 9/INFO <app.core> "hi" correlation.id="c1" user.id="u1" operation.name="op" log.module="m" a=1 b={"c":2} resource: service.name="shop""#,
        ),
        (
            r#"{"level":30,"time":1734604215123,"pid":7,"hostname":"h","name":"app","msg":"hi"}"#,
            r#"15123ms 9/INFO <app> "hi" pid=7 hostname="h""#,
        ),
        (
            r#"{"level":50,"time":1734604215123,"msg":"oh","err":{"type":"E","message":"bad","stack":"at x","code":5}}"#,
            r#"15123ms 17/ERROR "oh" exception.type="E" exception.message="bad" exception.stacktrace="at x" exception.code=5"#,
        ),
        (
            r#"{"level":"warn","ts":1734604215.123,"logger":"db","caller":"a.go:1","msg":"slow"}"#,
            r#"15123ms 13/warn <db> "slow" caller="a.go:1""#,
        ),
        (
            r#"{"event":"placed","level":"error","timestamp":"2024-12-19 10:30:15","order":5}"#,
            r#"15000ms 17/error "placed" order=5"#,
        ),
        (
            r#"{"@timestamp":"2024-12-19T10:30:15Z","log.level":"ERROR","message":"x","log.logger":"a.B","error.stack_trace":"at y","trace.id":"000102030405060708090a0b0c0d0e0f","span.id":"0001020304050607"}"#,
            r#"15000ms 17/ERROR <a.B> "x" exception.stacktrace="at y" trace: f/7/0"#,
        ),
        (
            r#"{"instant":{"epochSecond":1734604215,"nanoOfSecond":5000000},"thread":"main","level":"FATAL","loggerName":"a.B","message":"x"}"#,
            r#"15005ms 21/FATAL <a.B> "x" thread.name="main""#,
        ),
        (
            r#"{"message":"x","traceparent":"00-000102030405060708090a0b0c0d0e0f-0001020304050607-01"}"#,
            r#""x" trace: f/7/1"#,
        ),
        (r#"{"short_message":"x","level":4}"#, r#"13/warning "x""#),
        (
            r#"{"time":"soon","level":{"a":1},"trace_id":"zz","name":"n"}"#,
            concat!(
                r#""{\"time\":\"soon\",\"level\":{\"a\":1},\"trace_id\":\"zz\",\"name\":\"n\"}" "#,
                r#"time="soon" level={"a":1} trace_id="zz" name="n""#
            ),
        ),
        (r#"{"msg":"a","message":"b"}"#, r#""a" message="b""#),
    ] {
        check("format: json", line, &[expected]);
    }
}

/// A format, a line of it, and the record.
const LINES: &[(&str, &str, &str)] = &[
    (
        "logfmt",
        r#"time=2024-12-19T10:30:15Z level=info msg="order placed" took=12"#,
        r#"15000ms 9/info "order placed" took=12"#,
    ),
    (
        "python",
        "2024-12-19 10:30:15 - personal_assistant.core - INFO - message",
        r#"15000ms 9/INFO <personal_assistant.core> "message""#,
    ),
    ("python", "2024-12-19 10:30:15,123 - a - ERROR - x - y", r#"15123ms 17/ERROR <a> "x - y""#),
    ("python", "WARNING:root:careful: it is hot", r#"13/WARNING <root> "careful: it is hot""#),
    ("python", "2024-12-19 10:30:15,123 [DEBUG] a.b: x", r#"15123ms 5/DEBUG <a.b> "x""#),
    (
        "klog",
        "I1219 10:30:15.123456    17 main.go:42] started up",
        r#"15123ms 9/I "started up" thread.id=17 code.file.path="main.go" code.line.number=42"#,
    ),
    (
        "log4j",
        "10:30:15.123 [main] WARN  com.shop.Order - late",
        r#"15123ms 13/WARN <com.shop.Order> "late" thread.name="main""#,
    ),
    (
        "log4j",
        "2024-12-19 10:30:15,123 ERROR [http-1] c.s.Order:42 - no",
        r#"15123ms 17/ERROR <c.s.Order> "no" thread.name="http-1""#,
    ),
    (
        "log4j",
        "2024-12-19T10:30:15.123Z  INFO 99 --- [shop] [           main] c.s.Application : Started",
        r#"15123ms 9/INFO <c.s.Application> "Started" process.pid=99 thread.name="main""#,
    ),
    (
        "postgresql",
        "2024-12-19 10:30:15.123 UTC [99] ann@shop ERROR:  relation \"x\" does not exist",
        r#"15123ms 17/ERROR "relation \"x\" does not exist" process.pid=99 user.name="ann" db.namespace="shop""#,
    ),
    (
        "access_log",
        r#"10.0.0.1 - ann [19/Dec/2024:10:30:15 +0000] "GET /a?b=c HTTP/1.1" 200 5 "-" "curl/8""#,
        concat!(
            r#"15000ms "10.0.0.1 - ann [19/Dec/2024:10:30:15 +0000] \"GET /a?b=c HTTP/1.1\" 200 5 \"-\" \"curl/8\"" "#,
            r#"client.address="10.0.0.1" user.name="ann" http.request.method="GET" url.original="/a?b=c" "#,
            r#"network.protocol.version="1.1" http.response.status_code=200 http.response.body.size=5 user_agent.original="curl/8""#
        ),
    ),
    (
        "syslog",
        "<34>Dec 19 10:30:15 host su[7]: failed for ann",
        r#"15000ms 18/crit "failed for ann" syslog.facility.code=4 syslog.procid="7" resource: host.name="host" service.name="su""#,
    ),
    (
        "syslog",
        r#"<165>1 2024-12-19T10:30:15.003Z host app - ID47 [a@1 k="v\"x" l="m"][b] text"#,
        concat!(
            r#"15003ms 10/notice "text" syslog.facility.code=20 syslog.msgid="ID47" "#,
            r#"syslog.structured_data={"a@1":{"k":"v\"x","l":"m"},"b":{}} resource: host.name="host" service.name="app""#
        ),
    ),
    (
        "syslog",
        "2024-12-19T11:30:15.123456+01:00 host cron[1]: run",
        r#"15123ms "run" syslog.procid="1" resource: host.name="host" service.name="cron""#,
    ),
    (
        "{csv: {header: [time, level, msg, n]}}",
        "2024-12-19T10:30:15Z,warn,\"a \"\"b\"\", c\",",
        r#"15000ms 13/warn "a \"b\", c""#,
    ),
    (
        r"{regex: {regex: '^(?P<level>\w+) (?P<user>\w+)?: (?P<message>.*)$'}}",
        "info ann: hi",
        r#"9/info "hi" user="ann""#,
    ),
    ("none", "2024-12-19 x", r#""2024-12-19 x""#),
];

#[test]
fn lines_of_each_format_become_records() {
    for (format, line, expected) in LINES.iter().copied() {
        check(&format!("format: {format}"), line, &[expected]);
        // Those without settings are told by the line itself.
        if !format.starts_with('{') {
            let source = check("", line, &[expected]);
            assert_eq!(source.detected().unwrap_or("none"), format);
        }
    }
}

#[test]
fn unreadable_lines_go_on_as_they_are_and_are_counted() {
    let mut source = check(
        "format: json",
        "{\"a\":\nhello\n{\"msg\":\"x\"}",
        &[
            r#""{\"a\":" log.parse.error="json: unexpected end""#,
            r#""hello" log.parse.error="json: syntax""#,
            r#""x""#,
        ],
    );
    let stats = source.take_stats();
    assert_eq!(stats.parsed, 1);
    let failed: Vec<_> = stats.failed().map(|(failure, count)| (failure.to_string(), count)).collect();
    assert_eq!(failed, [("json: unexpected end".to_owned(), 1), ("json: syntax".to_owned(), 1)]);
    assert_eq!(source.take_stats(), Stats::default());
    let parser = compile("format: json").unwrap();
    let mut source = parser.source();
    let mut builder = Batch::builder(Signal::Logs);
    parser.parse(&mut source, b"{\"a\":\"\xff\"}", NOW, &mut builder, &mut |_| ());
    assert_eq!(builder.build().logs().next().unwrap().attribute("a"), Some(Value::Str("\u{fffd}")));
}

#[test]
fn pieces_of_a_containers_line_are_put_together() {
    let cri = "2024-12-19T10:30:15.1Z stdout P {\"level\":\"in\n\
               2024-12-19T10:30:15.2Z stderr F oh\n\
               2024-12-19T10:30:15.3Z stdout F fo\",\"msg\":\"hi\"}\n\
               2024-12-19T10:30:16Z stdout P left";
    let expected = [
        r#"15200ms "oh" log.iostream="stderr""#,
        r#"15300ms 9/info "hi" log.iostream="stdout""#,
        r#"16000ms "left" log.iostream="stdout" log.parse.error="json: syntax""#,
    ];
    check("format: cri", cri, &expected);
    let source = check("", cri, &expected);
    assert_eq!(source.detected(), Some("cri"));
    check(
        "format: docker",
        r#"{"log":"a ","stream":"stdout","time":"2024-12-19T10:30:15Z"}
{"log":"b\n","stream":"stdout","time":"2024-12-19T10:30:16Z"}
nonsense"#,
        &[r#"16000ms "a b" log.iostream="stdout""#, r#""nonsense" log.parse.error="docker: syntax""#],
    );
    check(
        "format: {container: {content: none}}",
        "2024-12-19T10:30:15Z stdout F {\"msg\":\"x\"}",
        &[r#"15000ms "{\"msg\":\"x\"}" log.iostream="stdout""#],
    );
}

#[test]
fn a_detected_format_is_kept_until_many_lines_do_not_fit() {
    let mut lines = vec!["a banner".to_owned(), "{\"msg\":\"x\"}".to_owned(), "Traceback".to_owned()];
    lines.push("level=info msg=y".to_owned());
    let (batch, source) = run("", &lines.join("\n"));
    assert_eq!(source.detected(), Some("json"));
    let marked = |batch: &Batch| batch.logs().filter(|log| log.attribute(PARSE_ERROR).is_some()).count();
    assert_eq!(marked(&batch), 2);
    lines.extend(std::iter::repeat_n("level=info msg=y".to_owned(), 20));
    let (batch, source) = run("", &lines.join("\n"));
    assert_eq!(source.detected(), Some("logfmt"));
    assert_eq!(marked(&batch), 16);
}

#[test]
fn texts_point_into_the_block() {
    let parser = compile("format: json").unwrap();
    let line = format!("{{\"msg\":\"{}\",\"a\":\"{}\"}}", "x".repeat(50_000), "y".repeat(50_000));
    let block = bytes::Bytes::from(line.into_bytes());
    let mut builder = Batch::builder_over(Signal::Logs, block.clone());
    parser.parse(&mut parser.source(), &block, NOW, &mut builder, &mut |_| ());
    let batch = builder.build();
    assert!(batch.memory_size() < block.len() + 2_000, "{}", batch.memory_size());
}

#[test]
fn what_real_loggers_write_is_read_whole() {
    macro_rules! sample {
        ($name:literal) => {
            ($name, include_str!(concat!("../../testdata/loggers/", $name, ".log")))
        };
    }
    for ((name, text), format, lines) in [
        (sample!("python-dash"), "python", 5),
        (sample!("python-seconds"), "python", 5),
        (sample!("python-default"), "python", 5),
        (sample!("python-brackets"), "python", 5),
        (sample!("pino"), "json", 6),
        (sample!("winston"), "json", 7),
        (sample!("log4j2-default"), "log4j", 6),
        (sample!("log4j2-full"), "log4j", 6),
        (sample!("log4j2-ecs"), "json", 7),
        (sample!("log4j2-json"), "json", 7),
    ] {
        let (batch, source) = run("", text.trim_end());
        assert_eq!((source.detected(), batch.len()), (Some(format), lines), "{name}");
        for log in batch.logs() {
            let shown = show(log);
            assert_eq!(log.attribute(PARSE_ERROR), None, "{name}: {shown}");
            assert!(log.severity_number() > 0, "{name}: {shown}");
            assert!(name == "python-default" || log.time_unix_nano() > 0, "{name}: {shown}");
            let body = log.body().and_then(Value::as_str).unwrap_or_default();
            assert!(!body.is_empty() && !body.starts_with('{'), "{name}: {shown}");
            assert!(name == "winston" || !log.scope().name().is_empty(), "{name}: {shown}");
        }
    }
}

fn formats() -> Vec<String> {
    let names = [
        "auto",
        "none",
        "json",
        "logfmt",
        "syslog",
        "access_log",
        "klog",
        "python",
        "log4j",
        "postgresql",
        "cri",
        "docker",
    ];
    let mut all: Vec<String> = names.iter().map(|name| format!("format: {name}")).collect();
    all.push("format: {csv: {header: [a, b]}}".to_owned());
    for parser in ["json_parser", "key_value_parser", "syslog_parser", "uri_parser", "container"] {
        all.push(format!("format: none\noperators: [{{type: {parser}}}]"));
    }
    all
}

proptest! {
    #[test]
    fn property_no_line_is_lost_or_makes_it_panic(
        lines in proptest::collection::vec("(?s:.{0,50})|[-<>0-9a-zA-Z:. =\"{}\\[\\],%]{0,50}|\\{\"(level|time|msg)\":[0-9\"a]{0,9}\\}", 1..6),
    ) {
        for yaml in formats() {
            let parser = compile(&yaml).unwrap();
            let mut source = parser.source();
            let mut builder = Batch::builder(Signal::Logs);
            for line in &lines {
                parser.parse(&mut source, line.as_bytes(), NOW, &mut builder, &mut |_| ());
            }
            parser.flush(&mut source, NOW, &mut builder, &mut |_| ());
            let joins = yaml.contains("cri") || yaml.contains("docker") || yaml.contains("auto") || yaml.contains("container");
            let skips_header = yaml.contains("csv");
            let count = builder.build().len();
            prop_assert!(count == lines.len() || ((joins || skips_header) && count <= lines.len()), "{} {:?}", yaml, lines);
            prop_assert!(!source.is_holding());
        }
    }
}
