//! What it costs to make records of the bodies that clients of the receiver `http` send.
//!
//! `cargo bench -p watershed-receivers --features testing --bench http` measures one core.

#![expect(clippy::expect_used, reason = "a benchmark may stop")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watershed_receivers::http::decode_body;

const RECORDS: usize = 1_000;

fn flat(number: usize) -> String {
    format!(
        r#"{{"timestamp":"2024-12-19T10:30:15.{:03}Z","level":"INFO","logger":"app.orders","message":"order {number} accepted","correlation_id":"c-{number}","user_id":"u-17","operation":"checkout","service":"shop","module":"cart","metadata":{{"items":{},"price":9.5}}}}"#,
        number % 1000,
        number % 7
    )
}

fn small(number: usize) -> String {
    format!(
        r#"{{"level":30,"time":1734604215{:03},"msg":"order {number} accepted","pid":657}}"#,
        number % 1000
    )
}

fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let lines = |line: fn(usize) -> String| (0..RECORDS).map(line).collect::<Vec<_>>().join("\n");
    let events = (0..RECORDS).map(|n| format!(r#"{{"time":1734604215.5,"host":"a","event":"order {n}"}}"#));
    for (name, path, content_type, body) in [
        ("NDJSON, ten keys", "/logs", "application/x-ndjson", lines(flat)),
        ("NDJSON of pino", "/logs", "application/x-ndjson", lines(small)),
        ("text", "/logs", "text/plain", lines(|number| format!("order {number} accepted"))),
        ("Splunk events", "/services/collector", "application/json", events.collect()),
    ] {
        let body = Bytes::from(body);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let batch =
                    decode_body(path, content_type, black_box(body.clone()), false).expect("it is valid");
                assert_eq!(batch.len(), RECORDS);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, measure);
criterion_main!(benches);
