//! No body makes a decompressor panic or pass its limits. The first byte of the input says which one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watershed_pipeline::Budget;

#[path = "../../src/server/compression.rs"]
#[allow(dead_code, reason = "the targets use the parts that read")]
mod compression;

use compression::{Encoding, decompress};

const LIMIT: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((kind, body)) = data.split_first() else { return };
    let encoding = match kind % 4 {
        0 => Encoding::Gzip,
        1 => Encoding::Zlib,
        2 => Encoding::Zstd,
        _ => Encoding::Snappy,
    };
    let budget = Budget::new(4 * LIMIT, 4 * LIMIT);
    let mut reservation = budget.admit(body.len()).expect("inputs are smaller than the budget");
    if let Ok(output) = decompress(encoding, body, LIMIT, &mut reservation) {
        assert!(output.len() <= LIMIT && reservation.bytes() >= output.len());
    }
});
