//! No text makes the reader of JSON lines panic, and what it takes can be encoded and decoded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watershed_pipeline::parse::{Fields, json};
use watershed_pipeline::{Batch, Signal};

fuzz_target!(|line: &str| {
    let mut fields = Fields::default();
    if let Ok(entries) = json::read(line, &mut fields) {
        let batch = Batch::builder(Signal::Logs)
            .record(|log| entries.iter().for_each(|(key, value)| log.set_attribute(key, value)))
            .build();
        let again = Batch::from_otlp(Signal::Logs, batch.to_otlp()).expect("our own bytes are valid");
        assert_eq!(again.len(), 1);
    }
});
