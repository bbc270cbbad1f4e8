//! How fast lines become records: the whole way from a block to a batch, one line at a time.
//!
//! `cargo bench -p watershed-receivers --bench parsers`; MiB/s are of the text.

#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first mistake in its own settings")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watershed_pipeline::{Batch, Signal};
use watershed_receivers::parsers::{Format, Operator, Parser, RegexFormat, Rules};

const LINES: usize = 1000;

/// A JSON line of 500 bytes, of eleven fields, as applications write them.
fn json_line(index: usize) -> String {
    let line = format!(
        concat!(
            r#"{{"timestamp":"2024-12-19T10:30:15.{:03}Z","level":"INFO","logger":"app.orders","#,
            r#""message":"order {} placed for customer, payment by card accepted","correlation_id":"5f0c6e4a-9f1d-4a57-b6b4-{:012}","#,
            r#""user_id":"u-{}","operation":"place_order","module":"orders","duration_ms":{}.25,"status":201,"#,
            r#""metadata":{{"region":"eu-central-1","items":3,"total":129.9,"tags":["new","paid"]}},"padding":""#
        ),
        index % 1000,
        index,
        index,
        index % 97,
        index % 300,
    );
    let missing = 498 - line.len();
    format!("{line}{}\"}}", "x".repeat(missing))
}

fn samples() -> Vec<(&'static str, Format, Vec<String>)> {
    let lines = |line: &dyn Fn(usize) -> String| (0..LINES).map(line).collect::<Vec<_>>();
    let access = |index: usize| {
        format!(
            "10.0.{}.7 - ann [19/Dec/2024:10:30:15 +0000] \"GET /orders/{index}?page=2 HTTP/1.1\" 200 {} \"https://shop.example/\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
            index % 256,
            index * 7,
        )
    };
    let logfmt = |index: usize| {
        format!(
            "ts=2024-12-19T10:30:15.{:03}Z level=info logger=orders msg=\"order {index} placed\" user=u-{} took=12.5 status=201 region=eu-central-1",
            index % 1000,
            index % 97,
        )
    };
    let python = |index: usize| {
        format!("2024-12-19 10:30:15,{:03} - app.orders - INFO - order {index} placed", index % 1000)
    };
    let regex = RegexFormat {
        regex: r"^(?P<timestamp>\S+ \S+) - (?P<logger>\S+) - (?P<level>\w+) - (?P<message>.*)$".into(),
    };
    let cri = |index: usize| format!("2024-12-19T10:30:15.{:09}Z stdout F {}", index, python(index));
    let cri_json = |index: usize| format!("2024-12-19T10:30:15.{:09}Z stdout F {}", index, json_line(index));
    vec![
        ("json_500", Format::Json, lines(&json_line)),
        ("json_500_auto", Format::Auto, lines(&json_line)),
        ("logfmt", Format::Logfmt, lines(&logfmt)),
        ("regex", Format::Regex(regex), lines(&python)),
        ("python", Format::Python, lines(&python)),
        ("access_log", Format::AccessLog, lines(&access)),
        ("cri_python", Format::Cri, lines(&cri)),
        ("cri_json", Format::Cri, lines(&cri_json)),
        ("none", Format::None, lines(&python)),
    ]
}

fn parse_block(parser: &Parser, block: &Bytes) -> Batch {
    let mut source = parser.source();
    let mut builder = Batch::builder_over(Signal::Logs, block.clone());
    for line in block.split(|byte| *byte == b'\n') {
        parser.parse(&mut source, line, 1_734_604_220_000_000_000, &mut builder, &mut |_| ());
    }
    builder.build()
}

fn parsers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parsers");
    for (name, format, lines) in samples() {
        let block = Bytes::from(lines.join("\n"));
        let parser = Parser::compile(&Rules { format: &format, time_zone: "UTC", operators: &[] }).unwrap();
        assert_eq!(parse_block(&parser, &block).len(), LINES);
        group.throughput(Throughput::Bytes(block.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| parse_block(&parser, black_box(&block))));
    }
    let operator: Operator = serde_json::from_str(r#"{"type": "json_parser"}"#).unwrap();
    let block = Bytes::from((0..LINES).map(json_line).collect::<Vec<_>>().join("\n"));
    let rules = Rules { format: &Format::None, time_zone: "UTC", operators: &[operator] };
    let parser = Parser::compile(&rules).unwrap();
    group.throughput(Throughput::Bytes(block.len() as u64));
    group.bench_function("operator_json_500", |bencher| {
        bencher.iter(|| parse_block(&parser, black_box(&block)))
    });
    group.finish();
}

criterion_group!(benches, parsers);
criterion_main!(benches);
