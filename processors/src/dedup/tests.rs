//! What goes on, what is counted, and that nothing else changes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use watershed_pipeline::testing::{Drive, any_batch, build, sent};
use watershed_pipeline::{LogRecord, Metadata, Value};

const SECOND: u64 = 1_000_000_000;

fn log(service: &str, body: &str, second: u64) -> Batch {
    Batch::builder(Signal::Logs)
        .resource(|resource| resource.set_attribute("service.name", service))
        .record(|log| {
            log.set_severity_number(9);
            log.set_body(body);
            log.set_time_unix_nano(second * SECOND);
        })
        .build()
}

fn of_tenant(tenant: &str) -> Batch {
    let mut batch = log("shop", "same", 1);
    let header = ("x-scope-orgid".to_owned(), tenant.to_owned());
    batch.set_metadata(Some(Arc::new(Metadata::new([header], None))));
    batch
}

fn bodies(batches: &[Batch]) -> Vec<String> {
    let text = |log: LogRecord<'_>| log.body().map(|body| body.to_text().into_owned()).unwrap_or_default();
    batches.iter().flat_map(Batch::logs).map(text).collect()
}

fn count(log: LogRecord<'_>) -> i64 {
    log.attribute("dedup.count").and_then(Value::as_int).unwrap_or(1)
}

fn drive(yaml: &str) -> Drive<Dedup> {
    Drive::new(build::<Config>(yaml).unwrap())
}

#[test]
fn the_first_leaves_at_once_and_a_summary_at_the_end_of_the_window() {
    let mut drive = drive("{}");
    assert_eq!(bodies(&drive.process(log("shop", "a", 1))), ["a"]);
    for second in [3, 2, 5] {
        assert!(drive.process(log("shop", "a", second)).is_empty());
    }
    assert_eq!(drive.processor.held(), 1);
    assert!(drive.advance(Duration::from_millis(9_999)).is_empty());
    let summaries = drive.advance(Duration::from_millis(1));
    let [summary] = summaries.as_slice() else { panic!("{summaries:?}") };
    let summary = summary.logs().next().unwrap();
    assert_eq!(count(summary), 3);
    assert_eq!(summary.attribute("dedup.first_seen"), Some(Value::Str("1970-01-01T00:00:01.000Z")));
    assert_eq!(summary.attribute("dedup.last_seen"), Some(Value::Str("1970-01-01T00:00:05.000Z")));
    assert_eq!(summary.time_unix_nano(), 5 * SECOND);
    assert_eq!(summary.resource().attribute("service.name"), Some(Value::Str("shop")));
    assert_eq!(drive.processor.held(), 0);
    // The next one begins a new window.
    assert_eq!(bodies(&drive.process(log("shop", "a", 11))), ["a"]);
    assert!(drive.drain().is_empty());
}

#[test]
fn what_differs_in_service_severity_or_body_is_not_equal() {
    let mut drive = drive("{}");
    for batch in [log("shop", "a", 1), log("shop", "b", 1), log("cart", "a", 1)] {
        assert_eq!(drive.process(batch).len(), 1);
    }
    let mut louder = log("shop", "a", 1);
    louder.records_mut().next().unwrap().set_severity_number(17);
    assert_eq!(drive.process(louder).len(), 1);
}

#[test]
fn messages_of_one_template_are_equal_by_choice() {
    let mut drive = drive("body: template");
    assert_eq!(drive.process(log("shop", "user 17 in", 1)).len(), 1);
    assert_eq!(drive.process(log("shop", "user 18 in", 1)).len(), 0);
    assert_eq!(drive.process(log("shop", "user 18 out", 1)).len(), 1);
    assert_eq!(bodies(&drive.drain()), ["user 18 in"]);
}

#[test]
fn tenants_never_meet() {
    let mut drive = drive("{}");
    assert_eq!(drive.process(of_tenant("a")).len(), 1);
    assert_eq!(drive.process(of_tenant("b")).len(), 1);
    for tenant in ["a", "b", "a"] {
        assert!(drive.process(of_tenant(tenant)).is_empty());
    }
    let summaries = drive.drain();
    let tenants: Vec<_> = summaries
        .iter()
        .map(|batch| batch.metadata().unwrap().values("x-scope-orgid").next().unwrap().to_owned())
        .collect();
    assert_eq!(tenants.len(), 2, "{tenants:?}");
    assert_ne!(tenants[0], tenants[1]);
}

#[test]
fn only_what_the_conditions_mean_is_held_back() {
    let mut drive = drive("conditions: ['severity_number >= 13']");
    for _ in 0..3 {
        assert_eq!(drive.process(log("shop", "a", 1)).len(), 1);
    }
}

#[test]
fn short_memory_ends_the_window_that_was_quiet_for_longest() {
    let mut drive = drive("max_memory: 3000");
    assert_eq!(bodies(&drive.process(log("shop", "quiet", 1))), ["quiet"]);
    drive.process(log("shop", "quiet", 2));
    drive.process(log("shop", "busy", 2));
    let mut passed = Vec::new();
    for number in 0..40 {
        passed.extend(bodies(&drive.process(log("shop", &format!("other {number}"), 3))));
        passed.extend(bodies(&drive.process(log("shop", "busy", 3))));
    }
    assert_eq!(passed.iter().filter(|body| *body == "quiet").count(), 1, "its summary came early");
    assert_eq!(passed.iter().filter(|body| *body == "busy").count(), 0, "its window stays open");
}

#[test]
fn ids_that_were_answered_with_success_are_dropped() {
    let record =
        |id: &str| Batch::builder(Signal::Logs).record(|log| log.set_attribute("log.record.uid", id)).build();
    let mut drive = drive("{mode: ids, window: 10m}");
    assert_eq!(drive.process(record("1")).len(), 1);
    assert_eq!(drive.process(record("1")).len(), 0);
    assert_eq!(drive.process(record("2")).len(), 1);
    assert_eq!(drive.process(log("shop", "without an id", 1)).len(), 1);
    assert_eq!(drive.process(log("shop", "without an id", 1)).len(), 1);
    drive.advance(Duration::from_secs(600));
    assert_eq!(drive.process(record("1")).len(), 1);
}

#[test]
fn what_was_refused_or_is_still_open_may_be_sent_again() {
    let record =
        || Batch::builder(Signal::Logs).record(|log| log.set_attribute("log.record.uid", "1")).build();
    let mut drive = drive("mode: ids");
    let (first, sender) = sent(record());
    let open = drive.process(first);
    assert_eq!(open.len(), 1);
    sender.refuse();
    drop(open);
    let (second, sender) = sent(record());
    let open = drive.process(second);
    assert_eq!(open.len(), 1, "the first was refused");
    assert_eq!(drive.process(sent(record()).0).len(), 1, "nobody knows yet whether the second arrives");
    assert_eq!(drive.process(record()).len(), 0, "the third has arrived");
    drop((open, sender));
}

#[test]
fn a_span_is_known_by_its_ids() {
    let span = |id: u8| {
        Batch::builder(Signal::Traces).record(|span| span.set_span_ids([7; 16], [id; 8], [0; 8])).build()
    };
    let mut drive = drive("mode: ids");
    assert_eq!([1, 2, 1, 0, 0].map(|id| drive.process(span(id)).len()), [1, 1, 0, 1, 1]);
}

#[test]
fn mistakes_name_the_setting_and_what_it_takes() {
    let error = |yaml: &str| build::<Config>(yaml).err().unwrap().to_string();
    assert!(error("window: 0s").contains("give a time such as `10s`"));
    assert!(error("key: []").contains("name fields"));
    assert!(error("key: [sevrity]").contains("unknown field `sevrity`"));
}

/// Which of few messages of few services, and how much time passes before it.
fn steps() -> impl Strategy<Value = Vec<(u8, u8, u64)>> {
    prop::collection::vec((0..3_u8, 0..4_u8, 0..4_000_u64), 1..80)
}

proptest! {
    /// Every record that went in is counted once by what comes out, whatever the memory.
    #[test]
    fn property_counts_add_up(steps in steps(), memory in 0..20_000_u64) {
        let mut drive = drive(&format!("max_memory: {memory}"));
        let mut sent = BTreeMap::<String, i64>::new();
        let mut out = Vec::new();
        for (service, body, pause) in steps {
            out.extend(drive.advance(Duration::from_millis(pause)));
            *sent.entry(format!("{service}/{body}")).or_default() += 1;
            out.extend(drive.process(log(&service.to_string(), &body.to_string(), 1)));
        }
        out.extend(drive.drain());
        prop_assert_eq!(drive.processor.held(), 0);
        let mut told = BTreeMap::<String, i64>::new();
        for log in out.iter().flat_map(Batch::logs) {
            let service = log.resource().attribute("service.name").unwrap().to_text().into_owned();
            *told.entry(format!("{service}/{}", log.body().unwrap().to_text())).or_default() += count(log);
        }
        prop_assert_eq!(told, sent);
    }

    /// At most two records of a kind leave within a window: the first and the summary of the window before.
    #[test]
    fn property_a_window_lets_one_record_through(steps in steps()) {
        let mut drive = drive("{}");
        let mut opened = BTreeMap::new();
        for (service, body, pause) in steps {
            drive.advance(Duration::from_millis(pause));
            let passed = drive.process(log(&service.to_string(), &body.to_string(), 1));
            let since = opened.get(&(service, body)).map(|began| drive.now - *began);
            let is_new = since.is_none_or(|since| since >= Duration::from_secs(10));
            prop_assert_eq!(passed.len(), usize::from(is_new));
            if is_new {
                opened.insert((service, body), drive.now);
            }
        }
    }

    /// What is the first of its kind goes on as it came, byte for byte.
    #[test]
    fn property_what_goes_on_is_not_changed(batch in any_batch(Signal::Logs)) {
        let mut drive = drive("key: [attributes.number]");
        let before: Vec<_> = batch.records().map(|record| record.raw().map(<[u8]>::to_vec)).collect();
        let passed = drive.process(batch);
        let mut rest = before.iter();
        for record in passed.iter().flat_map(Batch::records) {
            let raw = record.raw().map(<[u8]>::to_vec);
            prop_assert!(rest.any(|other| *other == raw));
        }
    }
}
