//! What a body for ClickHouse costs: a batch to Native columns, alone and with compression.
//!
//! The messages are those of `pipeline/benches/batch.rs`, with 10,000 records each.
//! `cargo bench -p watershed-exporters --bench clickhouse` prints times for all of them, so 5 ms means 500 ns a record.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints and may stop")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use prost::Message;
use watershed_exporters::clickhouse::Encoder;
use watershed_pipeline::{Batch, Signal};

#[path = "../../pipeline/benches/sample/mod.rs"]
mod sample;

const RECORDS: usize = 10_000;

fn batch(signal: Signal) -> Batch {
    let message = match signal {
        Signal::Logs => sample::logs(RECORDS).encode_to_vec(),
        Signal::Traces => sample::traces(RECORDS).encode_to_vec(),
        Signal::Metrics => sample::metrics(RECORDS).encode_to_vec(),
    };
    Batch::from_otlp(signal, message.into()).expect("the sample is valid")
}

fn bodies(criterion: &mut Criterion) {
    for signal in Signal::ALL {
        let batch = batch(signal);
        for compression in ["none", "lz4", "zstd"] {
            let encoder = Encoder::new(signal, compression);
            let size: usize = encoder.bodies(&batch).iter().map(Bytes::len).sum();
            println!("{signal}, {compression}: {} bytes a record", size / batch.len());
            criterion.bench_function(&format!("{signal}, {compression}"), |bencher| {
                bencher.iter(|| encoder.bodies(black_box(&batch)));
            });
        }
    }
}

criterion_group!(benches, bodies);
criterion_main!(benches);
