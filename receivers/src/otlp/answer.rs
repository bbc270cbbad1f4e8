//! The messages that answer an export: `Export…ServiceResponse` and `google.rpc.Status`, in protobuf and JSON.

use std::time::Duration;

use bytes::Bytes;
use watershed_pipeline::Signal;
use watershed_pipeline::otlp::{json, schema};

/// The wire type of a varint.
const VARINT: u8 = 0;
/// The wire type of bytes with a length.
const LENGTH: u8 = 2;

/// Adds a field number and a varint; nothing for 0, which is the default.
fn put_number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value > 0 {
        out.push(field << 3 | VARINT);
        put_varint(out, value);
    }
}

/// Adds a field number, a length and bytes.
fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | LENGTH);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The answer to an accepted export, in protobuf, with what was rejected of it: an empty message if nothing was.
///
/// The field numbers are the same for all signals.
pub(crate) fn accepted(rejected: u64, message: &str) -> Bytes {
    if rejected == 0 && message.is_empty() {
        return Bytes::new();
    }
    let mut partial = Vec::new();
    put_number(&mut partial, 1, rejected);
    put_bytes(&mut partial, 2, message.as_bytes());
    let mut out = Vec::new();
    put_bytes(&mut out, 1, &partial);
    out.into()
}

/// The same in JSON.
pub(crate) fn accepted_json(signal: Signal, rejected: u64, message: &str) -> Bytes {
    let protobuf = accepted(rejected, message);
    if protobuf.is_empty() {
        return Bytes::from_static(b"{}");
    }
    let schema = match signal {
        Signal::Logs => &schema::LOGS_RESPONSE,
        Signal::Traces => &schema::TRACES_RESPONSE,
        Signal::Metrics => &schema::METRICS_RESPONSE,
    };
    to_json(schema, &protobuf)
}

/// A `google.rpc.Status` in protobuf, with a `google.rpc.RetryInfo` if there is a time to wait.
pub(crate) fn status(code: u32, message: &str, retry_after: Option<Duration>) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, 1, code.into());
    put_bytes(&mut out, 2, message.as_bytes());
    if let Some(after) = retry_after {
        let mut delay = Vec::new();
        put_number(&mut delay, 1, after.as_secs());
        put_number(&mut delay, 2, after.subsec_nanos().into());
        let mut retry_info = Vec::new();
        put_bytes(&mut retry_info, 1, &delay);
        let mut detail = Vec::new();
        put_bytes(&mut detail, 1, b"type.googleapis.com/google.rpc.RetryInfo");
        put_bytes(&mut detail, 2, &retry_info);
        put_bytes(&mut out, 3, &detail);
    }
    out
}

/// A `google.rpc.Status` in JSON.
pub(crate) fn status_json(code: u32, message: &str) -> Bytes {
    to_json(&schema::STATUS, &status(code, message, None))
}

fn to_json(message: &'static schema::Message, protobuf: &[u8]) -> Bytes {
    let mut out = Vec::new();
    // We wrote these bytes ourselves just now, so they are the message; if they were not, the body stays empty.
    json::encode(message, protobuf, &mut out).unwrap_or_default();
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_rejected_is_told_in_both_forms() {
        assert_eq!(accepted(0, ""), "");
        assert_eq!(&accepted(300, "old")[..], b"\x0a\x08\x08\xac\x02\x12\x03old");
        assert_eq!(accepted_json(Signal::Logs, 0, ""), "{}");
        assert_eq!(
            accepted_json(Signal::Traces, 300, "old"),
            r#"{"partialSuccess":{"rejectedSpans":"300","errorMessage":"old"}}"#
        );
    }

    #[test]
    fn a_status_is_written_in_both_forms() {
        assert_eq!(status_json(3, "no \"good\""), r#"{"code":3,"message":"no \"good\""}"#);
        let with_delay = status(14, "full", Some(Duration::from_millis(1500)));
        let name = b"type.googleapis.com/google.rpc.RetryInfo";
        let detail =
            [b"\x1a\x36\x0a\x28", &name[..], b"\x12\x0a\x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01"].concat();
        assert_eq!(with_delay, [b"\x08\x0e\x12\x04full", &detail[..]].concat());
    }
}
