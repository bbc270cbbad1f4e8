//! What waits, what releases it, and that nothing is lost without being counted.

use proptest::prelude::*;

use super::*;
use watershed_pipeline::LogRecord;
use watershed_pipeline::testing::{Drive, build};

fn log(request: u8, severity: i32, text: &str) -> Batch {
    let log = Batch::builder(Signal::Logs).record(|log| {
        log.set_trace_context([request; 16], [1; 8], 0);
        log.set_severity_number(severity);
        log.set_body(text);
    });
    log.build()
}

fn span(request: u8, status: i32, nanoseconds: u64) -> Batch {
    let span = Batch::builder(Signal::Traces).record(|span| {
        span.set_span_ids([request; 16], [1; 8], [0; 8]);
        span.set_span_times(1, 1 + nanoseconds);
        span.set_status(status, "");
    });
    span.build()
}

fn holder(yaml: &str) -> Drive<DebugOnError> {
    Drive::new(build::<Config>(yaml).unwrap())
}

fn texts(batches: &[Batch]) -> String {
    let text = |log: LogRecord<'_>| log.body().map(|body| body.to_text().into_owned()).unwrap_or_default();
    batches.iter().flat_map(Batch::logs).map(text).collect::<Vec<_>>().join(" ")
}

#[test]
fn details_wait_until_something_goes_wrong_with_their_request() {
    let mut drive = holder("{}");
    assert!(drive.process(log(1, 5, "one")).is_empty());
    assert!(drive.process(log(2, 9, "other")).is_empty());
    assert_eq!(texts(&drive.process(log(1, 13, "warning"))), "warning");
    assert!(drive.process(log(1, 9, "two")).is_empty());
    assert_eq!(texts(&drive.process(log(1, 17, "error"))), "one two error");
    assert_eq!(texts(&drive.process(log(1, 5, "after"))), "after");
    assert_eq!(drive.processor.held(), 1);
}

#[test]
fn what_nothing_goes_wrong_with_is_dropped_in_time_and_counted() {
    let mut drive = holder("hold: 10s");
    assert!(drive.process(log(1, 5, "one")).is_empty());
    assert!(drive.advance(Duration::from_secs(9)).is_empty());
    assert_eq!(drive.processor.held(), 1);
    assert!(drive.advance(Duration::from_secs(2)).is_empty());
    assert_eq!((drive.processor.held(), drive.processor.counters.expired.value()), (0, 1));
    assert_eq!(texts(&drive.process(log(1, 17, "late"))), "late");
    // The error opens the way for as long as records wait.
    drive.advance(Duration::from_secs(11));
    assert!(drive.process(log(1, 5, "later")).is_empty());
}

#[test]
fn spans_that_failed_or_were_slow_release_the_records_of_another_pipeline() {
    let section = watershed_config::Section::from_text("debug_on_error", "slower_than: 1s").unwrap();
    let config = section.read::<Config>().unwrap();
    let cx = Context::detached(watershed_pipeline::Kind::Processor, "debug_on_error".parse().unwrap());
    let (mut logs, mut traces) =
        (Drive::new(config.build(&cx).unwrap()), Drive::new(config.build(&cx).unwrap()));
    for request in 1..=4 {
        assert!(logs.process(log(request, 9, &request.to_string())).is_empty());
    }
    for batch in [span(1, 2, 10), span(2, 0, 1_000_000_001), span(3, 1, 1_000_000_000)] {
        assert_eq!(traces.process(batch).len(), 1, "spans only look");
    }
    assert_eq!(texts(&logs.advance(LOOK)), "1 2");
    assert_eq!(logs.processor.held(), 2);
}

#[test]
fn records_that_cannot_be_told_apart_or_ranked_go_on() {
    let mut drive = holder("{}");
    let without_id = Batch::builder(Signal::Logs).record(|log| log.set_severity_number(5)).build();
    assert_eq!(drive.process(without_id).len(), 1);
    assert_eq!(drive.process(log(1, 0, "unknown")).len(), 1);
}

#[test]
fn short_memory_drops_the_oldest_and_counts_them() {
    let mut drive = holder("max_memory: 4000");
    for request in 0..100 {
        drive.process(log(request + 1, 5, "detail"));
    }
    let held = drive.processor.held();
    assert!(held > 2 && held < 50, "{held}");
    assert_eq!(drive.processor.counters.memory.value() as usize, 100 - held);
    assert_eq!(texts(&drive.process(log(100, 17, "error"))), "detail error");
}

#[test]
fn a_stop_hands_over_what_waits_or_counts_it() {
    let mut drive = holder("{}");
    drive.process(log(1, 5, "one"));
    let mut kept = Suspended::default();
    drive.processor.suspend(&mut kept);
    assert_eq!((kept.items(), drive.processor.held()), (1, 0));
    drive.process(log(1, 5, "two"));
    assert!(drive.drain().is_empty());
    assert_eq!(drive.processor.counters.stopped.value(), 1);
}

#[test]
fn mistakes_name_the_setting_and_what_it_takes() {
    let error = |yaml: &str| build::<Config>(yaml).err().unwrap().to_string();
    assert!(error("hold: 0s").contains("give a time such as 60s"));
    assert!(error("hold_below: 21").contains("above `trigger_severity` (17)"));
    assert!(error("id: [body]").contains("takes `trace_id`"));
}

proptest! {
    /// A record either goes on, waits, or is counted as dropped; and all of a request that failed goes on.
    #[test]
    fn property_every_record_is_accounted_for(
        steps in prop::collection::vec((1..5_u8, prop::sample::select(vec![0, 5, 9, 13, 17]), 0..20_000_u64), 1..80),
        memory in 500..20_000_u64,
    ) {
        let mut drive = holder(&format!("{{hold: 30s, max_memory: {memory}}}"));
        let (mut sent, mut passed) = (0, 0);
        for (request, severity, pause) in steps {
            passed += drive.advance(Duration::from_millis(pause)).iter().map(Batch::len).sum::<usize>();
            sent += 1;
            passed += drive.process(log(request, severity, "x")).iter().map(Batch::len).sum::<usize>();
            let counters = &drive.processor.counters;
            let dropped = counters.expired.value() + counters.memory.value();
            prop_assert_eq!(sent, passed + dropped as usize + drive.processor.held());
            if severity == 17 {
                let id = drive.processor.ids.of(log(request, 5, "x").records().next().unwrap()).unwrap();
                prop_assert!(drive.processor.ring.take(&[id]).is_empty());
            }
        }
    }
}
