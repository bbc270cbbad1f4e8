use std::time::Duration;

use watershed_pipeline::testing::{Drive, build};
use watershed_pipeline::{Batch, Record, Signal};

use super::Config;

/// A span as a test writes it: trace, parent, milliseconds, status.
type Wanted = (u8, bool, u64, i32);

fn spans(wanted: &[Wanted]) -> Batch {
    let mut builder = Batch::builder(Signal::Traces);
    for (number, (trace, is_root, milliseconds, status)) in wanted.iter().enumerate() {
        builder.push(|span| {
            let parent = if *is_root { [0; 8] } else { [9; 8] };
            span.set_span_ids([*trace; 16], [number as u8 + 1; 8], parent);
            span.set_span_times(1_000_000_000, 1_000_000_000 + milliseconds * 1_000_000);
            span.set_status(*status, "");
        });
    }
    builder.build()
}

/// The traces of what came out, with the policy that kept them.
fn shown(batches: &[Batch]) -> Vec<(u8, String)> {
    let show = |record: Record<'_>| {
        let policy = record.attribute("tailsampling.policy").and_then(|value| value.as_str());
        (record.trace_id()[0], policy.unwrap_or_default().to_owned())
    };
    let mut all: Vec<_> = batches.iter().flat_map(Batch::records).map(show).collect();
    all.sort();
    all
}

fn pairs(expected: &[(u8, &str)]) -> Vec<(u8, String)> {
    expected.iter().map(|(trace, policy)| (*trace, (*policy).to_owned())).collect()
}

const ERRORS_AND_SLOW: &str = "{decision_wait: 10s, policies: [
    {name: errors, type: status_code, status_code: {status_codes: [ERROR]}},
    {name: slow, type: latency, latency: {threshold_ms: 500}}]}";

#[test]
fn a_trace_is_decided_as_a_whole_when_its_time_has_come() {
    let mut drive = Drive::new(build::<Config>(ERRORS_AND_SLOW).unwrap());
    assert!(
        drive
            .process(spans(&[(1, false, 10, 0), (2, true, 10, 1), (3, false, 600, 0), (0, true, 1, 0)]))
            .iter()
            .map(Batch::len)
            .eq([1]),
        "what has no trace id passes"
    );
    assert!(drive.advance(Duration::from_secs(9)).is_empty());
    assert!(drive.process(spans(&[(1, true, 20, 2), (3, true, 1, 0)])).is_empty());
    assert_eq!(watershed_pipeline::Processor::held(&drive.processor), 5);
    let passed = drive.advance(Duration::from_secs(1));
    assert_eq!(shown(&passed), pairs(&[(1, "errors"), (1, "errors"), (3, "slow"), (3, "slow")]));
}
