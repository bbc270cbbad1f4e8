//! No text and no pattern makes the readers of times panic. The first line of the input is the pattern.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watershed_pipeline::parse::{Layout, Zone, time};

const NOW: u64 = 1_734_604_220_000_000_000;

fuzz_target!(|data: &str| {
    let (pattern, text) = data.split_once('\n').unwrap_or(("%Y", data));
    let vienna = Zone::named("Europe/Vienna").expect("a zone of the database");
    for zone in [&Zone::UTC, &vienna] {
        let _ = time::detect(text, zone, NOW);
        for layout in [Layout::strptime(pattern), Layout::gotime(pattern)].into_iter().flatten() {
            let _ = layout.parse(text, zone, NOW);
        }
    }
});
