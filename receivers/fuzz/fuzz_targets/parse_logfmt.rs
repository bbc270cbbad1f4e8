//! No text makes the reader of logfmt panic, and it finds no more pairs than there can be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watershed_pipeline::parse::{Fields, logfmt};

fuzz_target!(|line: &str| {
    let mut fields = Fields::default();
    if let Ok(entries) = logfmt::read(line, &mut fields) {
        assert!(entries.iter().count() <= line.len());
    }
});
