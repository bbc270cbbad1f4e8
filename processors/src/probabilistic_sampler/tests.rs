//! What is kept, what is written down, and that both fit together.

use proptest::prelude::*;

use super::*;
use crate::probability::{Randomness, Threshold};
use watershed_pipeline::testing::{Drive, any_batch, build};
use watershed_pipeline::{Record, Value};

fn spans(count: u64, trace_state: &str) -> Batch {
    let mut builder = Batch::builder(Signal::Traces);
    for number in 0..count {
        builder.push(|span| {
            // The last seven bytes are evenly spread, as those of random ids are.
            let randomness = number.wrapping_mul((1 << 56) / count.max(1));
            span.set_span_ids(trace_id(randomness), [1; 8], [0; 8]);
            span.set_trace_state(trace_state);
        });
    }
    builder.build()
}

fn trace_id(randomness: u64) -> [u8; 16] {
    (u128::from(randomness) | 1 << 100).to_be_bytes()
}

fn logs(severities: &[i32]) -> Batch {
    let mut builder = Batch::builder(Signal::Logs);
    for severity in severities {
        builder.push(|log| {
            log.set_severity_number(*severity);
            log.set_attribute("request", i64::from(*severity));
        });
    }
    builder.build()
}

fn sampled(yaml: &str, batch: Batch) -> Batch {
    let signal = batch.signal();
    let mut drive = Drive::new(build::<Config>(yaml).unwrap());
    let passed = drive.process(batch).pop().unwrap_or_else(|| Batch::new(signal));
    // What counts is what leaves the process.
    Batch::from_otlp(signal, passed.to_otlp()).unwrap()
}

#[track_caller]
fn check_spans(yaml: &str, batch: Batch, kept: usize, trace_state: &str) {
    let passed = sampled(yaml, batch);
    assert_eq!(passed.len(), kept);
    assert!(
        passed.spans().all(|span| span.trace_state() == trace_state),
        "{:?}",
        passed.spans().next().map(|span| span.trace_state().to_owned())
    );
}

#[test]
fn the_share_that_was_asked_for_is_kept_and_written_down() {
    check_spans("{sampling_percentage: 25, mode: proportional}", spans(1024, ""), 256, "ot=th:c");
    check_spans("{sampling_percentage: 25, mode: equalizing}", spans(1024, "a=b"), 256, "ot=th:c,a=b");
    check_spans("{sampling_percentage: 100, mode: equalizing}", spans(10, ""), 10, "ot=th:0");
    check_spans("{sampling_percentage: 0}", spans(1024, ""), 0, "");
}

#[test]
fn proportional_takes_a_share_of_what_arrives_and_equalizing_of_what_there_was() {
    let half = || sampled("{sampling_percentage: 50, mode: equalizing}", spans(1024, ""));
    check_spans("{sampling_percentage: 50, mode: proportional}", half(), 256, "ot=th:c");
    check_spans("{sampling_percentage: 25, mode: equalizing}", half(), 256, "ot=th:c");
    check_spans("{sampling_percentage: 75, mode: equalizing}", half(), 512, "ot=th:8");
}

#[test]
fn a_hash_keeps_about_the_share_and_says_what_it_decided_by() {
    let passed = sampled("{sampling_percentage: 10, hash_seed: 22}", spans(10_000, ""));
    assert!((900..1100).contains(&passed.len()), "{}", passed.len());
    for span in passed.spans() {
        let state = OtelState::parse(span.trace_state()).unwrap();
        assert!(state.threshold.unwrap().keeps(state.randomness.unwrap()));
    }
    // A second one decides by the same numbers.
    assert_eq!(sampled("sampling_percentage: 10", passed.clone()).len(), passed.len());
}

#[test]
fn rules_come_before_the_common_share() {
    let yaml = "{sampling_percentage: 0, from_attribute: request, adjusted_count_attribute: count,
        log_rules: [{condition: 'severity_number >= 17', sampling_percentage: 100}]}";
    let passed = sampled(yaml, logs(&[5, 9, 17, 21]));
    let severities: Vec<_> = passed.logs().map(|log| log.severity_number()).collect();
    assert_eq!(severities, [17, 21]);
    let first = passed.logs().next().unwrap();
    assert_eq!(first.attribute("sampling.threshold"), Some(Value::Str("0")));
    assert_eq!(first.attribute("count"), Some(Value::Double(1.0)));
    assert!(first.attribute("sampling.randomness").is_some());
}

#[test]
fn records_without_randomness_are_dropped_or_kept_by_choice_and_counted() {
    assert_eq!(sampled("sampling_percentage: 100", logs(&[9])).len(), 0);
    let yaml = "{sampling_percentage: 0, fail_closed: false}";
    let kept = sampled(yaml, logs(&[9]));
    assert_eq!(kept.len(), 1);
    assert_eq!(kept.logs().next().unwrap().attribute("sampling.threshold"), None);
    let mut drive = Drive::new(build::<Config>(yaml).unwrap());
    drive.process(logs(&[9, 9]));
    let [dropped, kept] = &drive.processor.counters[0].0[Policy::MissingRandomness as usize];
    assert_eq!((dropped.value(), kept.value()), (0, 2));
}

#[test]
fn a_span_may_ask_to_be_kept_or_dropped() {
    let asking = |priority: i64| {
        Batch::builder(Signal::Traces)
            .record(|span| span.set_attribute("sampling.priority", priority))
            .build()
    };
    assert_eq!(sampled("sampling_percentage: 0", asking(1)).len(), 1);
    assert_eq!(sampled("sampling_percentage: 100", asking(0)).len(), 0);
}

#[test]
fn a_log_record_may_name_its_own_share() {
    let yaml = "{sampling_percentage: 0, from_attribute: request, sampling_priority: request}";
    assert_eq!(sampled(yaml, logs(&[0, 100])).len(), 1);
}

#[test]
fn a_lie_about_earlier_sampling_is_not_believed() {
    // Randomness 0 cannot have passed a threshold of one half.
    let yaml = |closed| format!("{{sampling_percentage: 100, mode: proportional, fail_closed: {closed}}}");
    assert_eq!(sampled(&yaml(true), spans(1, "ot=th:8")).len(), 0);
    assert_eq!(sampled(&yaml(false), spans(1, "ot=th:8")).len(), 1);
    assert_eq!(sampled(&yaml(true), spans(1, "ot=th:nonsense")).len(), 0);
}

#[test]
fn mistakes_name_the_setting_and_what_it_takes() {
    let error = |yaml: &str| build::<Config>(yaml).err().unwrap().to_string();
    assert!(error("{sampling_percentage: 5, sampling_precision: 15}").contains("give 1 to 14 digits"));
    assert!(error("{sampling_percentage: 5, attribute_source: record}").contains("name the attribute"));
    assert!(error("{sampling_percentage: 101}").contains("not a percentage"));
}

proptest! {
    #[test]
    fn property_spans_of_a_trace_share_a_fate(
        share in 0..=100_u8, seed: u32, mode in 0..3_usize, low in 0..1_u64 << 56,
    ) {
        let mode = ["hash_seed", "proportional", "equalizing"][mode];
        let yaml = format!("{{sampling_percentage: {share}, hash_seed: {seed}, mode: {mode}}}");
        let mut builder = Batch::builder(Signal::Traces);
        for span_id in 1..4 {
            builder.push(|span| span.set_span_ids(trace_id(low), [span_id; 8], [0; 8]));
        }
        prop_assert!([0, 3].contains(&sampled(&yaml, builder.build()).len()));
    }

    #[test]
    fn property_what_is_kept_is_in_order_and_carries_a_threshold_that_keeps_it(batch in any_batch(Signal::Traces)) {
        let ids = |batch: &Batch| batch.spans().map(|span| span.span_id()).collect::<Vec<_>>();
        let before = ids(&batch);
        let passed = sampled("{sampling_percentage: 60, mode: proportional}", batch);
        let mut rest = before.iter();
        prop_assert!(ids(&passed).iter().all(|id| rest.any(|other| other == id)));
        for record in passed.records() {
            let Some(state) = record.span().and_then(|span| OtelState::parse(span.trace_state()).ok()) else { continue };
            let own = || Randomness::of_trace(Record::trace_id(record)).unwrap_or(Randomness::MAX);
            let randomness = state.randomness.unwrap_or_else(own);
            prop_assert!(state.threshold.unwrap_or(Threshold::ALWAYS).keeps(randomness));
        }
    }
}
