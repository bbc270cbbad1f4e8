//! What the data model costs, in time and allocations a record: decode, encode, edit, clone.
//!
//! The message is 1,000 log records of about 633 bytes with ten attributes each, spans and data points likewise.
//! `cargo bench -p watershed-pipeline --bench batch` prints times for the whole message of 1,000 records, so
//! 300 µs means 300 ns a record.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints and may stop")]

use std::alloc::System;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use prost::Message;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use watershed_pipeline::{Batch, Signal};

mod sample;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RECORDS: usize = 1_000;

fn message(signal: Signal) -> Bytes {
    match signal {
        Signal::Logs => sample::logs(RECORDS).encode_to_vec(),
        Signal::Traces => sample::traces(RECORDS).encode_to_vec(),
        Signal::Metrics => sample::metrics(RECORDS).encode_to_vec(),
    }
    .into()
}

fn decode(signal: Signal, message: &Bytes) -> Batch {
    Batch::from_otlp(signal, message.clone()).expect("the sample is valid")
}

fn allocations(name: &str, mut work: impl FnMut()) {
    work();
    let region = Region::new(ALLOCATOR);
    work();
    let change = region.change();
    let count = change.allocations + change.reallocations;
    println!("{name}: {} allocations a record", count as f64 / RECORDS as f64);
}

fn insert_attribute(batch: &mut Batch) {
    let mut records = batch.records_mut();
    while let Some(mut record) = records.next() {
        record.set_attribute("deployment.environment.name", "production");
    }
}

fn batches(criterion: &mut Criterion) {
    for signal in Signal::ALL {
        let bytes = message(signal);
        println!("{signal}: {} bytes a record", bytes.len() / RECORDS);
        allocations(&format!("decode {signal}"), || drop(decode(signal, &bytes)));
        criterion.bench_function(&format!("decode {signal}"), |bencher| {
            bencher.iter(|| decode(signal, black_box(&bytes)));
        });
        let batch = decode(signal, &bytes);
        criterion.bench_function(&format!("pass through {signal}"), |bencher| {
            bencher.iter(|| black_box(&batch).to_otlp());
        });
        let mut one_less = batch.clone();
        let mut first = true;
        one_less.retain(|_| !std::mem::take(&mut first));
        criterion.bench_function(&format!("encode {signal}, copying records"), |bencher| {
            bencher.iter(|| black_box(&one_less).to_otlp());
        });
        let mut edited = batch.clone();
        insert_attribute(&mut edited);
        criterion.bench_function(&format!("encode {signal}, every record changed"), |bencher| {
            bencher.iter(|| black_box(&edited).to_otlp());
        });
        criterion.bench_function(&format!("decode {signal} and insert an attribute"), |bencher| {
            bencher.iter(|| insert_attribute(&mut decode(signal, black_box(&bytes))));
        });
        criterion.bench_function(&format!("clone {signal} for a write"), |bencher| {
            bencher.iter(|| {
                let mut copy = batch.clone();
                copy.resources_mut(|_| ());
                copy
            });
        });
        criterion.bench_function(&format!("read every attribute of {signal}"), |bencher| {
            bencher.iter(|| batch.records().map(|record| record.attributes().iter().count()).sum::<usize>());
        });
        criterion.bench_function(&format!("find one attribute of {signal}"), |bencher| {
            bencher
                .iter(|| batch.records().filter(|record| record.attribute("http.route").is_some()).count());
        });
    }
}

criterion_group!(benches, batches);
criterion_main!(benches);
