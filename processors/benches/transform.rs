//! What statements cost a log record, in ns and allocations.
//!
//! `cargo bench -p watershed-processors --bench transform`. The records are those of the pipeline's benchmark: 1,000 of about
//! 633 bytes with ten attributes each; for `ParseJSON` the body is an object of six keys.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints and may stop")]

#[path = "../../pipeline/benches/sample/mod.rs"]
#[expect(dead_code, reason = "this benchmark has no use for spans and data points")]
mod sample;

use std::alloc::System;
use std::time::{Duration, Instant};

use prost::Message as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use watershed_pipeline::testing::instance;
use watershed_pipeline::{Batch, Out, Signal};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RECORDS: usize = 1_000;
const ROUNDS: u32 = 300;
const BODY: &str = r#"{"user":"ann","took":12,"ok":true,"path":"/orders/4711","ratio":0.25,"trace":"4bf92f3577b34da6a3ce929d0e0e4736"}"#;

fn main() {
    println!("ns and allocations a record");
    let message = sample::logs(RECORDS).encode_to_vec();
    let plain = Batch::from_otlp(Signal::Logs, message.into()).expect("the sample is valid");
    let mut json = plain.clone();
    let mut records = json.records_mut();
    while let Some(mut record) = records.next() {
        record.set_body(BODY);
    }
    let json = Batch::from_otlp(Signal::Logs, json.to_otlp()).expect("the sample is valid");
    row("set a constant", &[r#"set(log.attributes["environment"], "production")"#], &plain);
    row(
        "set a constant, condition false",
        &[r#"set(log.attributes["environment"], "production") where log.severity_number == 99"#],
        &plain,
    );
    row(
        "set from the resource",
        &[r#"set(log.attributes["s"], resource.attributes["service.name"])"#],
        &plain,
    );
    row(
        "ParseJSON of the body, merged",
        &[r#"merge_maps(log.attributes, ParseJSON(log.body), "upsert")"#],
        &json,
    );
    row("replace_pattern in the body", &[r#"replace_pattern(log.body, "[0-9]+", "N")"#], &plain);
    row("truncate_all, nothing too long", &["truncate_all(log.attributes, 4096)"], &plain);
}

/// The best of all rounds, for the machine is shared. Each round changes a batch of its own in place, decoded before.
fn row(name: &str, statements: &[&str], sample: &Batch) {
    let listed: Vec<String> = statements.iter().map(|text| format!("\n  - '{text}'")).collect();
    let mut processor =
        instance(watershed_processors::ALL, "transform", &format!("log_statements:{}", listed.concat()))
            .map_err(|errors| errors.to_string())
            .expect("the settings are valid");
    let mut out = Out::default();
    let mut once = || {
        let message = sample.to_otlp();
        let batch = Batch::from_otlp(Signal::Logs, message).expect("the sample is valid");
        let region = Region::new(ALLOCATOR);
        let started = Instant::now();
        processor.process(batch, started, &mut out);
        let elapsed = started.elapsed();
        let change = region.change();
        drop(out.take());
        (elapsed, change.allocations + change.reallocations)
    };
    let (_, allocations) = once();
    let best = (0..ROUNDS).map(|_| once().0).min().unwrap_or(Duration::ZERO);
    println!(
        "{name:<34} {:>6.0} ({:.2})",
        best.as_secs_f64() * 1e9 / RECORDS as f64,
        allocations as f64 / RECORDS as f64
    );
}
