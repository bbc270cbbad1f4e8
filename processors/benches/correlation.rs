//! What correlation costs a log record, in ns: one that has all, one that gets its trace id, one that gets a new id.
//!
//! `cargo bench -p watershed-processors --bench correlation`. The records are those of the pipeline's benchmark: 1,000 of about
//! 633 bytes with ten attributes each; they are decoded before the clock starts.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints and may stop")]

#[path = "../../pipeline/benches/sample/mod.rs"]
#[expect(dead_code, reason = "this benchmark has no use for spans and data points")]
mod sample;

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use watershed_pipeline::testing::instance;
use watershed_pipeline::{Batch, Out, Signal};
use watershed_processors::ALL;

const RECORDS: u32 = 1_000;
const ROUNDS: u32 = 500;

fn main() {
    println!("ns a record");
    let has_all = |record: &mut LogRecord| {
        let new = |key: &str, value: &str| sample::attribute(key, sample::text(value));
        record.attributes.push(new("correlation.id", "4bf92f3577b34da6a3ce929d0e0e4736"));
        record.attributes.push(new("correlation.source", "trace"));
    };
    let has_none = |record: &mut LogRecord| {
        record.trace_id.clear();
        record.attributes.retain(|attribute| attribute.key != "session.id");
    };
    for settings in ["{}", "{rename_deprecated: true}", "{back_fill: {}}"] {
        row(settings, "has all", has_all);
        row(settings, "trace id", |_| ());
        row(settings, "generated", has_none);
    }
}

fn row(settings: &str, name: &str, prepare: impl Fn(&mut LogRecord)) {
    let mut request = sample::logs(RECORDS as usize);
    let scopes = request.resource_logs.iter_mut().flat_map(|resource| &mut resource.scope_logs);
    scopes.flat_map(|scope| &mut scope.log_records).for_each(prepare);
    let bytes: bytes::Bytes = request.encode_to_vec().into();
    let mut processor = instance(ALL, "correlation", settings).expect("the settings are right");
    let (now, mut out, mut spent) = (Instant::now(), Out::default(), Duration::ZERO);
    for _ in 0..ROUNDS {
        let batch = Batch::from_otlp(Signal::Logs, bytes.clone()).expect("the sample is valid");
        let began = Instant::now();
        processor.process(batch, now, &mut out);
        spent += began.elapsed();
        assert_eq!(out.take().len(), 1);
    }
    println!("{settings:<28} {name:<10} {:>5}", (spent / ROUNDS / RECORDS).as_nanos());
}
