//! What passes, and that it is never more than the rate allows.

use proptest::prelude::*;

use super::*;
use watershed_pipeline::testing::{Drive, build};

fn logs(service: &str, count: usize) -> Batch {
    let mut builder = Batch::builder(Signal::Logs);
    builder.begin_resource(|resource| resource.set_attribute("service.name", service));
    for _ in 0..count {
        builder.push(|log| log.set_body("a line of some length"));
    }
    Batch::from_otlp(Signal::Logs, builder.build().to_otlp()).unwrap()
}

fn limiter(yaml: &str) -> Drive<RateLimit> {
    Drive::new(build::<Config>(yaml).unwrap())
}

fn passed(drive: &mut Drive<RateLimit>, batch: Batch) -> usize {
    drive.process(batch).iter().map(Batch::len).sum()
}

#[test]
fn a_burst_passes_and_then_the_rate() {
    let mut drive = limiter("{records_per_second: 10, burst: 2s}");
    assert_eq!(passed(&mut drive, logs("shop", 50)), 20);
    drive.advance(Duration::from_millis(500));
    assert_eq!(passed(&mut drive, logs("shop", 50)), 5);
    drive.advance(Duration::from_secs(3600));
    assert_eq!(passed(&mut drive, logs("shop", 50)), 20);
    let [records, bytes] = &drive.processor.dropped;
    assert_eq!((records.value(), bytes.value()), (30 + 45 + 30, 0));
}

#[test]
fn keys_do_not_take_from_each_other() {
    let mut drive = limiter("records_per_second: 5");
    assert_eq!(passed(&mut drive, logs("shop", 10)), 5);
    assert_eq!(passed(&mut drive, logs("cart", 3)), 3);
    let mut common = limiter("{records_per_second: 5, key: []}");
    assert_eq!(passed(&mut common, logs("shop", 3)) + passed(&mut common, logs("cart", 3)), 5);
}

#[test]
fn bytes_are_those_of_the_records() {
    let size = logs("shop", 1).records().next().unwrap().raw().unwrap().len();
    let mut drive = limiter(&format!("bytes_per_second: {}", 3 * size));
    assert_eq!(passed(&mut drive, logs("shop", 10)), 3);
    // A record larger than the burst passes when there is something left, and its debt is paid first.
    let mut small = limiter(&format!("bytes_per_second: {}", size / 2));
    assert_eq!(passed(&mut small, logs("shop", 2)), 1);
    small.advance(Duration::from_secs(1));
    assert_eq!(passed(&mut small, logs("shop", 2)), 0);
    small.advance(Duration::from_secs(2));
    assert_eq!(passed(&mut small, logs("shop", 2)), 1);
}

#[test]
fn what_no_condition_means_passes() {
    let mut drive = limiter("{records_per_second: 1, log_conditions: ['severity_number >= 1']}");
    assert_eq!(passed(&mut drive, logs("shop", 10)), 10);
}

#[test]
fn a_flood_of_keys_takes_no_more_memory_than_allowed() {
    let mut drive = limiter(&format!("{{records_per_second: 1, max_memory: {}}}", 8 * KEY_SIZE));
    for number in 0..100 {
        assert_eq!(passed(&mut drive, logs(&number.to_string(), 1)), 1);
    }
    assert_eq!(drive.processor.allowances.len(), 8);
    assert_eq!(drive.processor.forgotten.value(), 92);
    assert_eq!(passed(&mut drive, logs("99", 1)), 0, "the latest are remembered");
}

#[test]
fn mistakes_name_the_setting_and_what_it_takes() {
    let error = |yaml: &str| build::<Config>(yaml).err().unwrap().to_string();
    assert!(error("{}").contains("set `records_per_second`, `bytes_per_second` or both"));
    assert!(error("records_per_second: 0").contains("give a rate such as 1000"));
    assert!(error("{records_per_second: 5, burst: 0s}").contains("give a time such as 1s"));
    assert!(error("{records_per_second: 5, key: [servce]}").contains("unknown field `servce`"));
}

proptest! {
    #[test]
    fn property_no_stretch_of_time_gets_more_through_than_rate_and_burst(
        rate in 1..50_u32, burst in 1..5_u64, steps in prop::collection::vec((0..1_500_u64, 0..40_usize), 1..40),
    ) {
        let mut drive = limiter(&format!("{{records_per_second: {rate}, burst: {burst}s}}"));
        let began = drive.now;
        let mut log = Vec::new();
        for (pause, count) in steps {
            drive.advance(Duration::from_millis(pause));
            let passed = passed(&mut drive, logs("shop", count));
            log.push(((drive.now - began).as_secs_f64(), passed));
        }
        for (first, (from, _)) in log.iter().enumerate() {
            let mut sum = 0;
            for (to, passed) in log.iter().skip(first) {
                sum += passed;
                let allowed = f64::from(rate) * (to - from + burst as f64);
                prop_assert!(sum as f64 <= allowed + 1e-6, "{sum} of {allowed} between {from} and {to}");
            }
        }
    }
}
