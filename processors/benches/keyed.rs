//! What processors that remember something for each key cost a log record, in ns, beside one that looks at nothing.
//!
//! `cargo bench -p watershed-processors --bench keyed`. The records are those of the pipeline's benchmark: 1,000 of about
//! 633 bytes with ten attributes each, every body another; they are decoded before the clock starts, in one lane.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints and may stop")]

#[path = "../../pipeline/benches/sample/mod.rs"]
#[expect(dead_code, reason = "this benchmark has no use for spans and data points")]
mod sample;

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use watershed_pipeline::testing::instance;
use watershed_pipeline::{Batch, Out, Signal};
use watershed_processors::ALL;

const RECORDS: u32 = 1_000;
const ROUNDS: u32 = 300;
/// Longer than any window, so that each round begins anew.
const LATER: Duration = Duration::from_secs(3_600);
const AT_ONCE: Duration = Duration::ZERO;

fn main() {
    println!("ns a record");
    row("memory_limiter", "{limit_mib: 100000}", AT_ONCE);
    row("probabilistic_sampler", "{sampling_percentage: 1}", AT_ONCE);
    row("probabilistic_sampler", "{sampling_percentage: 100, mode: proportional}", AT_ONCE);
    row("rate_limit", "{records_per_second: 1000000000}", AT_ONCE);
    row("rate_limit", "{bytes_per_second: 1, key: [trace_id]}", AT_ONCE);
    row("dedup", "{}", LATER);
    row("dedup", "{}", AT_ONCE);
    row("dedup", "{body: template}", AT_ONCE);
    row("dedup", "{mode: ids, id_attribute: number}", AT_ONCE);
    row("debug_on_error", "{hold_below: 1}", LATER);
    row("debug_on_error", "{hold_below: 17}", LATER);
}

/// The best of all rounds, for the machine is shared. `pause` is what passes for the processor between two rounds.
fn row(type_name: &str, settings: &str, pause: Duration) {
    let mut request = sample::logs(RECORDS as usize);
    let scopes = request.resource_logs.iter_mut().flat_map(|resource| &mut resource.scope_logs);
    let number = |(number, record): (usize, &mut LogRecord)| {
        record.attributes.push(sample::attribute("number", sample::text(number.to_string())));
        let text = format!("request {number} of many took its time and is done");
        record.body = Some(AnyValue { value: Some(sample::text(text)) });
    };
    scopes.flat_map(|scope| &mut scope.log_records).enumerate().for_each(number);
    let bytes: bytes::Bytes = request.encode_to_vec().into();
    let mut processor = instance(ALL, type_name, settings).expect("the settings are right");
    let (mut now, mut out, mut best) = (Instant::now(), Out::default(), Duration::MAX);
    for _ in 0..ROUNDS {
        let batch = Batch::from_otlp(Signal::Logs, bytes.clone()).expect("the sample is valid");
        let began = Instant::now();
        processor.process(batch, now, &mut out);
        processor.tick(now, &mut out);
        best = best.min(began.elapsed());
        drop(out.take());
        now += pause;
    }
    let again = if pause.is_zero() { "the same again" } else { "new" };
    println!("{type_name:<22} {settings:<48} {again:<15} {:>6}", (best / RECORDS).as_nanos());
}
