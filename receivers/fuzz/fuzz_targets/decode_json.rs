//! No text makes the JSON decoder panic, and what it accepts stays within the limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watershed_pipeline::otlp::{json, schema};

const LIMIT: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    for message in [&schema::LOGS_REQUEST, &schema::TRACES_REQUEST, &schema::METRICS_REQUEST] {
        if let Ok(protobuf) = json::decode(message, data, LIMIT) {
            assert!(protobuf.len() <= LIMIT);
        }
    }
});
