//! What redaction costs a log record, in ns and allocations: rules of values and of keys, without a hit and with one in
//! every record, and by the number of own expressions.
//!
//! `cargo bench -p watershed-processors --bench redaction`. The records are those of the pipeline's benchmark: 1,000 of about
//! 633 bytes with ten attributes each. A record with a hit has a card number in its body.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints and may stop")]

#[path = "../../pipeline/benches/sample/mod.rs"]
#[expect(dead_code, reason = "this benchmark has no use for spans and data points")]
mod sample;

use std::alloc::System;
use std::time::{Duration, Instant};

use prost::Message as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use watershed_config::Section;
use watershed_pipeline::{Batch, Signal};
use watershed_processors::Redactor;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const RECORDS: usize = 1_000;
const ROUNDS: u32 = 300;

/// Eight kinds of values and no keys.
const EIGHT: &str = "default_keys: false
values: [credit_card, ssn, email, iban, jwt, aws_key, github_token, private_key]";

fn main() {
    println!("ns and allocations a record: no hit, one hit in each");
    let message = bytes(None);
    let decode = || drop(Batch::from_otlp(Signal::Logs, message.clone()).expect("the sample is valid"));
    println!("{:<42} {:>6.0}", "to compare: decode and drop", best(decode));
    let one = "default_keys: false\nvalues: [credit_card]";
    row("1 known value", one, "4111111111111111");
    row("8 known values", EIGHT, "4111111111111111");
    row("all 15 known values", &format!("default_keys: false\nvalues: [{}]", all()), "4111111111111111");
    row("defaults: 11 known values, 41 keys", "", "4111111111111111");
    row("defaults, hit by key", "", "password=hunter2");
    for count in [1, 8, 32, 128] {
        let rules: Vec<String> = (0..count).map(|number| format!("'SEC{number:03}-[0-9]{{6}}'")).collect();
        let settings = format!("default_keys: false\nvalues: []\nblocked_values: [{}]", rules.join(", "));
        row(&format!("{count} own expressions, rare literals"), &settings, "SEC000-123456");
    }
    for count in [1, 8, 32, 128] {
        let rules: Vec<String> =
            (0..count).map(|number| format!(r"'\b[k-z][A-F]{number:03}[0-9]{{6}}\b'")).collect();
        let settings = format!("default_keys: false\nvalues: []\nblocked_values: [{}]", rules.join(", "));
        row(&format!("{count} own expressions, common literals"), &settings, "xA000123456");
    }
    for count in [8, 128] {
        let keys: Vec<String> = (0..count).map(|number| format!("key_{number}_hidden")).collect();
        row(
            &format!("{count} own keys"),
            &format!("default_keys: false\nvalues: []\nkeys: [{}]", keys.join(", ")),
            "key_5_hidden=x",
        );
    }
}

fn all() -> &'static str {
    "credit_card, ssn, iban, jwt, bearer_token, aws_key, gcp_key, github_token, slack_token, private_key, url_password, \
     email, phone, ipv4, ipv6"
}

fn row(name: &str, settings: &str, secret: &str) {
    let section = Section::from_text("redaction", settings).expect("the settings are YAML");
    let mut redactor =
        Redactor::new(&section).map_err(|errors| errors.to_string()).expect("the settings are valid");
    let (plain, plain_allocations) = measure(&mut redactor, &batch(None));
    let before: u64 = redactor.hits().map(|(_, count)| count).sum();
    let (hit, hit_allocations) = measure(&mut redactor, &batch(Some(secret)));
    let hits: u64 = redactor.hits().map(|(_, count)| count).sum::<u64>() - before;
    println!(
        "{name:<42} {plain:>6.0} ({plain_allocations:.2})  {hit:>6.0} ({hit_allocations:.2})  hits a record: {:.1}, {:.1}",
        before as f64 / (f64::from(ROUNDS + 2) * RECORDS as f64),
        hits as f64 / (f64::from(ROUNDS + 2) * RECORDS as f64)
    );
}

/// The nanoseconds a record of the best of all rounds, for the machine is shared.
fn best(mut once: impl FnMut()) -> f64 {
    let time = |_| {
        let started = Instant::now();
        once();
        started.elapsed()
    };
    let best = (0..ROUNDS).map(time).min().unwrap_or(Duration::ZERO);
    best.as_secs_f64() * 1e9 / RECORDS as f64
}

fn batch(secret: Option<&str>) -> Batch {
    Batch::from_otlp(Signal::Logs, bytes(secret)).expect("the sample is valid")
}

/// The sample, with a secret in each body if there is one.
fn bytes(secret: Option<&str>) -> bytes::Bytes {
    let message = bytes::Bytes::from(sample::logs(RECORDS).encode_to_vec());
    let Some(secret) = secret else { return message };
    let mut batch = Batch::from_otlp(Signal::Logs, message).expect("the sample is valid");
    let place = "payment authorised";
    batch.map_text(|_, text| {
        text.contains(place).then(|| text.replace(place, &format!("payment {secret} authorised")))
    });
    batch.to_otlp()
}

/// Nanoseconds and allocations a record.
fn measure(redactor: &mut Redactor, sample: &Batch) -> (f64, f64) {
    let mut once = || {
        let mut batch = sample.clone();
        redactor.redact_batch(&mut batch);
    };
    once();
    let region = Region::new(ALLOCATOR);
    once();
    let change = region.change();
    let allocations = (change.allocations + change.reallocations) as f64 / RECORDS as f64;
    (best(once), allocations)
}
