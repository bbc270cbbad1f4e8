//! What tail sampling costs a span, in ns, and what a span that waits costs in bytes.
//!
//! `cargo bench -p watershed-processors --bench tail_sampling`. A million spans come in requests of 1,000, decoded before the
//! clock starts; a trace has ten spans, two in each of five requests. Spans are those of the pipeline's benchmark: ten
//! attributes each, and a resource of six. All of it goes through one lane, decisions included, while 100,000 spans wait.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints and may stop")]

#[path = "../../pipeline/benches/sample/mod.rs"]
#[expect(dead_code, reason = "this benchmark has no use for log records and data points")]
mod sample;

use std::time::{Duration, Instant};

use prost::Message as _;
use watershed_pipeline::testing::instance;
use watershed_pipeline::{Batch, Out, Signal};
use watershed_processors::ALL;

const SPANS: usize = 1_000;
const REQUESTS: usize = 1_000;
/// A trace has two spans in each of so many requests, one after another.
const REQUESTS_OF_A_TRACE: usize = 5;
/// Time between two requests; a trace waits for a hundred of them.
const PAUSE: Duration = Duration::from_millis(100);

const SETTINGS: [(&str, &str); 4] = [
    ("all dropped, one test a span", "{name: none, type: status_code, status_code: {status_codes: [UNSET]}}"),
    (
        "5 % kept: errors, slow, an attribute, chance",
        "{name: errors, type: string_attribute, string_attribute: {key: http.route, values: [/never]}},
         {name: slow, type: latency, latency: {threshold_ms: 60000}},
         {name: plan, type: ottl_condition, ottl_condition: {span: ['attributes[\"retry\"] == \"no\"']}},
         {name: rest, type: probabilistic, probabilistic: {sampling_percentage: 5}}",
    ),
    ("50 % kept", "{name: half, type: probabilistic, probabilistic: {sampling_percentage: 50}}"),
    ("all kept", "{name: all, type: always_sample}"),
];

fn main() {
    println!("ns a span; spans kept; bytes held a waiting span");
    for (name, policies) in SETTINGS {
        run(name, policies);
    }
}

/// The trace of a span: the same number in five requests, for two spans each.
fn trace_id(request: usize, span: usize) -> Vec<u8> {
    let traces_of_a_request = SPANS / 2;
    let slot = span % traces_of_a_request;
    // A fifth of the traces ends with each request, so that requests overlap.
    let generation = (request + slot % REQUESTS_OF_A_TRACE) / REQUESTS_OF_A_TRACE;
    let number = (generation * traces_of_a_request + slot) as u128 + 1;
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes().to_vec()
}

fn request(number: usize) -> Batch {
    let mut request = sample::traces(SPANS);
    let spans = request.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans);
    for (index, span) in spans.flat_map(|scope| &mut scope.spans).enumerate() {
        span.trace_id = trace_id(number, index);
        span.status = Some(opentelemetry_proto::tonic::trace::v1::Status { code: 1, ..Default::default() });
    }
    Batch::from_otlp(Signal::Traces, request.encode_to_vec().into()).expect("the sample is valid")
}

fn run(name: &str, policies: &str) {
    let settings =
        format!("{{decision_wait: 10s, max_memory: 256MiB, record_policy: true, policies: [{policies}]}}");
    let mut processor = instance(ALL, "tail_sampling", &settings).expect("the settings are right");
    let (mut now, mut out) = (Instant::now(), Out::default());
    let (mut spent, mut kept, mut bytes, mut held) = (Duration::ZERO, 0, 0, 0);
    for number in 0..REQUESTS {
        let batch = request(number);
        let size = batch.to_otlp().len();
        now += PAUSE;
        let began = Instant::now();
        processor.process(batch, now, &mut out);
        if processor.deadline().is_some_and(|deadline| deadline <= now) {
            processor.tick(now, &mut out);
        }
        let passed = out.take();
        spent += began.elapsed();
        kept += passed.iter().map(Batch::len).sum::<usize>();
        held = held.max(processor.held());
        bytes = bytes.max(size);
    }
    let nanoseconds = spent.as_nanos() as f64 / (SPANS * REQUESTS) as f64;
    println!(
        "{name}: {nanoseconds:.0} ns; {kept} kept; at most {held} held; {} bytes a span sent",
        bytes / SPANS
    );
}
