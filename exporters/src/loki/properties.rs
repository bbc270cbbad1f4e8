//! What holds for any batch: Loki takes what is sent, nothing is lost, and a retry has the same bytes.

use proptest::prelude::*;
use watershed_pipeline::testing::any_batch;
use watershed_pipeline::{Batch, Signal};

use super::mock::{Loki as MockLoki, parse_selector};
use super::push;
use super::requests::divide;
use super::tests::{DAY, NOW, batch, build};

/// A record with what Loki finds hard: strange keys, empty and long texts, times far off.
#[derive(Clone, Debug)]
struct Strange {
    time: u64,
    service: String,
    body: String,
    attributes: Vec<(String, String)>,
}

fn strange() -> impl Strategy<Value = Strange> {
    let time = prop_oneof![Just(0), Just(NOW), NOW - 8 * DAY..NOW + DAY];
    let key = prop_oneof!["[._]{0,3}", "[a-c][._]?[a-c]?", "(?s:.{0,6})", Just("trace_id".to_owned())];
    let value = prop_oneof![4 => "(?s:.{0,9})", 1 => (0..70_000_usize).prop_map(|length| "v".repeat(length))];
    let body =
        prop_oneof![9 => "(?s:.{0,20})", 1 => (0..300_000_usize).prop_map(|length| "b".repeat(length))];
    (time, "(?s:.{0,4})|[ab]", body, prop::collection::vec((key, value), 0..9))
        .prop_map(|(time, service, body, attributes)| Strange { time, service, body, attributes })
}

fn batch_of(records: &[Strange]) -> Batch {
    let mut builder = Batch::builder(Signal::Logs);
    for (number, record) in records.iter().enumerate() {
        builder.begin_resource(|resource| resource.set_attribute("service.name", record.service.as_str()));
        builder.push(|log| {
            log.set_time_unix_nano(record.time);
            log.set_body(record.body.as_str());
            record.attributes.iter().for_each(|(key, value)| log.set_attribute(key, value.as_str()));
            log.set_attribute("number", number as i64);
        });
    }
    builder.build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn property_loki_takes_whatever_is_sent_and_nothing_is_lost(
        records in prop::collection::vec(strange(), 1..12), size_max in 1_000_usize..400_000,
    ) {
        let exporter = build("{endpoint: 'http://h', limits: {streams_max: 3}}").unwrap();
        let batch = batch_of(&records);
        let encoded = exporter.encoder.encode(&batch, &exporter.budget, NOW);
        let again = exporter.encoder.encode(&batch, &exporter.budget, NOW);
        let mut loki = MockLoki::new(NOW);
        for (group, same) in encoded.groups.iter().zip(&again.groups) {
            let requests = divide(group, size_max, false);
            prop_assert_eq!(&requests, &divide(same, size_max, false));
            for request in requests {
                let message = request.message(group);
                prop_assert_eq!(&message, &request.message(same), "a retry has the same bytes");
                prop_assert!(message.len() <= size_max || request.entries == 1);
                let (code, text) = loki.push("t", &push::compress(&message).unwrap());
                prop_assert_eq!(code, 204, "{}", text);
            }
        }
        prop_assert_eq!(loki.stored.len() + encoded.tally.dropped(), records.len());
        for stored in &loki.stored {
            prop_assert!(parse_selector(&stored.labels).is_some());
        }
    }

    #[test]
    fn property_any_batch_becomes_what_loki_takes(batch in any_batch(Signal::Logs), line in 0..3_usize) {
        let line = ["body", "json", "logfmt"][line];
        let yaml = format!("{{endpoint: 'http://h', line: {line}, limits: {{age_max: 0s, future_max: 0s}}}}");
        let exporter = build(&yaml).unwrap();
        let encoded = exporter.encoder.encode(&batch, &exporter.budget, NOW);
        let records: usize = encoded.groups.iter().flat_map(|group| &group.streams).map(|stream| stream.entries.len()).sum();
        prop_assert_eq!(records + encoded.tally.dropped(), batch.len());
        let mut loki = MockLoki { has_clock: false, ..MockLoki::new(NOW) };
        for group in &encoded.groups {
            for request in divide(group, 10_000, false) {
                let (code, text) = loki.push("t", &push::compress(&request.message(group)).unwrap());
                prop_assert_eq!(code, 204, "{}", text);
            }
        }
    }

    #[test]
    fn property_halves_hold_what_the_whole_held(count in 2_u64..40, size_max in 100_usize..2_000) {
        let exporter = build("endpoint: 'http://h'").unwrap();
        let mut all = Batch::new(Signal::Logs);
        for service in ["a", "b", "c"] {
            let records: Vec<(String, u64)> = (0..count).map(|number| (format!("{number}"), NOW + number)).collect();
            let records: Vec<(&str, u64)> = records.iter().map(|(body, time)| (body.as_str(), *time)).collect();
            all.append(batch(service, &records));
        }
        let encoded = exporter.encoder.encode(&all, &exporter.budget, NOW);
        let group = &encoded.groups[0];
        let mut halves = MockLoki::new(NOW);
        let mut whole = MockLoki::new(NOW);
        for request in divide(group, size_max, false) {
            whole.push("t", &push::compress(&request.message(group)).unwrap());
            let parts = match request.halve() {
                Some((first, second)) => vec![first, second],
                None => vec![request],
            };
            for part in parts {
                halves.push("t", &push::compress(&part.message(group)).unwrap());
            }
        }
        prop_assert_eq!(whole.stored.len(), all.len());
        prop_assert_eq!(halves.stored, whole.stored);
    }
}
