//! No body sent to the receiver `http` makes it panic: it is records or a refusal of the client. The first byte of the
//! input says where it is sent, and as what.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watershed_receivers::http::decode_body;

const PATHS: [&str; 7] =
    ["/logs", "/_bulk", "/services/collector", "/services/collector/raw", "/loki/api/v1/push", "/v1/input", "/fluent"];
const TYPES: [&str; 5] = [
    "application/json",
    "application/x-ndjson",
    "application/x-protobuf",
    "application/x-www-form-urlencoded",
    "text/plain",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else { return };
    let choice = usize::from(*choice);
    let (path, content_type) = (PATHS[choice % PATHS.len()], TYPES[choice / PATHS.len() % TYPES.len()]);
    let is_partial = choice >= 128;
    if let Err((status, _)) = decode_body(path, content_type, body.to_vec().into(), is_partial) {
        assert!((400..500).contains(&status));
    }
});
