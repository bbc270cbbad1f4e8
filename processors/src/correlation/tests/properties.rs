//! What holds for all records.

use proptest::prelude::*;
use watershed_pipeline::testing::any_batch;
use watershed_pipeline::{AnyValue, Record, Value};

use super::*;

/// Attributes that mean something to the processor, beside arbitrary ones.
fn any_attribute() -> impl Strategy<Value = (String, String)> {
    const KEYS: [&str; 15] = [
        "correlation.id",
        "correlation.source",
        "correlation_id",
        "requestId",
        "x-request-id",
        "http.request.header.x-correlation-id",
        "session.id",
        "sessionId",
        "user.id",
        "user_id",
        "trace_id",
        "span_id",
        "traceparent",
        "http.method",
        "other",
    ];
    let values = prop_oneof![
        any::<String>(),
        "[a-z0-9-]{1,12}",
        "[0-9a-f]{16}",
        "[0-9a-f]{32}",
        "00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]",
        Just("generated".to_owned()),
    ];
    (prop::sample::select(&KEYS[..]).prop_map(str::to_owned), values)
}

fn any_logs() -> impl Strategy<Value = Batch> {
    let record = (prop::collection::vec(any_attribute(), 0..6), 0_u8..3);
    prop::collection::vec(record, 1..8).prop_map(|records| {
        let mut builder = Batch::builder(Signal::Logs);
        for (attributes, trace) in records {
            builder.push(|log| {
                log.set_trace_context([trace; 16], [trace; 8], 0);
                attributes.iter().for_each(|(key, value)| log.set_attribute(key, value));
            });
        }
        builder.build()
    })
}

/// The attributes that the processor has nothing to do with.
fn others(record: Record<'_>) -> Vec<(String, AnyValue)> {
    let names = Names::new(&[], &default_headers(), false);
    let rest = record
        .attributes()
        .iter()
        .filter(|(key, _)| names.role(key).is_none() && *key != "correlation.id.original");
    rest.map(|(key, value)| (key.to_owned(), value.to_any_value())).collect()
}

fn is_safe(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/+=-".contains(&byte);
    (1..=128).contains(&id.len()) && id.bytes().all(is_plain)
}

proptest! {
    #[test]
    fn property_every_record_gets_a_safe_id_with_its_source_and_keeps_the_rest(
        batch in prop_oneof![any_logs().boxed(), any_batch(Signal::Logs), any_batch(Signal::Traces)],
        settings in prop::sample::select(&["{}", "back_fill: {}", "headers: []"][..]),
    ) {
        prop_assume!(!batch.is_empty());
        let before: Vec<_> = batch.records().map(others).collect();
        let bodies: Vec<_> = batch.logs().map(|log| log.body().map(Value::to_any_value)).collect();
        let mut drive = processor(settings);
        let passed = pass(&mut drive, batch);
        for record in passed.records() {
            let id = text_of(record, "correlation.id");
            prop_assert!(is_safe(id), "{id:?}");
            prop_assert!(Source::of_label(text_of(record, "correlation.source")).is_some());
        }
        prop_assert_eq!(passed.records().map(others).collect::<Vec<_>>(), before);
        let after: Vec<_> = passed.logs().map(|log| log.body().map(Value::to_any_value)).collect();
        prop_assert_eq!(after, bodies);
        // What has been through it once is not changed by the next one on the way.
        let bytes = passed.to_otlp();
        prop_assert_eq!(pass(&mut processor("{}"), passed).to_otlp(), bytes);
    }

    #[test]
    fn property_the_ids_of_one_trace_agree(batch in any_logs()) {
        let said: Vec<bool> = batch.records().map(|record| record.attribute("correlation.source").is_some()).collect();
        let passed = pass(&mut processor("{}"), batch);
        for (record, said) in passed.records().zip(said) {
            let source = text_of(record, "correlation.source");
            if !said && record.trace_id() != [0; 16] {
                let id = format!("{:032x}", u128::from_be_bytes(record.trace_id()));
                prop_assert!(matches!(source, "attribute" | "header" | "trace"));
                prop_assert!(source != "trace" || text_of(record, "correlation.id") == id);
            }
        }
    }
}
