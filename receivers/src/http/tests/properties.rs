//! What holds for any bytes.

use proptest::prelude::*;

use super::*;
use crate::http::decode_body as decode;

const PATHS: [&str; 8] = [
    "/logs",
    "/_bulk",
    "/a/_bulk",
    "/services/collector",
    "/services/collector/raw",
    "/loki/api/v1/push",
    "/api/v2/logs",
    "/fluent",
];

const TYPES: [&str; 7] = [
    "",
    "application/json",
    "application/x-ndjson",
    "application/x-protobuf",
    "application/x-www-form-urlencoded",
    "text/plain",
    "image/png",
];

/// Bytes that look a little like what is expected.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"{\"event\":\"x\"}"[..]),
        Just(&b"{\"create\":{\"_id\":1}}\n"[..]),
        Just(&b"{\"message\":\"m\",\"time\":1e300,\"metadata\":{\"a\":[{}]}}\n"[..]),
        Just(&b"{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"l\"]]}]}"[..]),
        Just(&b"[{"[..]),
        Just(&b"}]"[..]),
        Just(&b","[..]),
        Just(&b"\n"[..]),
        Just(&b"\x0a\x05\x0a\x03{}="[..]),
        Just(&b"payload=%7B%7D"[..]),
        Just(&b"\"\\ud800\""[..]),
    ];
    let likely = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    prop_oneof![likely, prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn property_any_bytes_are_records_or_a_refusal_of_the_client(
        path in prop::sample::select(&PATHS[..]),
        content_type in prop::sample::select(&TYPES[..]),
        body in bodies(),
        is_partial: bool,
    ) {
        if let Err((status, text)) = decode(path, content_type, body.into(), is_partial) {
            prop_assert!((400..500).contains(&status) && !text.is_empty(), "{} {}", status, text);
        }
    }

    #[test]
    fn property_a_request_is_taken_whole_or_not_at_all_unless_parts_are_wanted(
        lines in prop::collection::vec(prop::sample::select(&["{\"a\":1}", "{", "{}x", "{\"b\":\"c\"}"][..]), 0..20),
    ) {
        let body = Bytes::from(lines.join("\n"));
        let good = lines.iter().filter(|line| line.ends_with('}')).count();
        // A line is read up to its mistake.
        let begun = lines.iter().filter(|line| **line == "{}x").count();
        let whole = decode("/logs", "application/x-ndjson", body.clone(), false);
        if good == lines.len() {
            prop_assert_eq!(whole.unwrap().len(), good);
        } else {
            prop_assert_eq!(whole.unwrap_err().0, 400);
        }
        prop_assert_eq!(decode("/logs", "application/x-ndjson", body, true).unwrap().len(), good + begun);
    }
}
