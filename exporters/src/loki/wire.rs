//! The bytes of Loki's push request: protobuf message `logproto.PushRequest`, written by hand.
//!
//! ```text
//! PushRequest { repeated Stream streams = 1; }
//! Stream      { string labels = 1; repeated Entry entries = 2; }
//! Entry       { Timestamp timestamp = 1; string line = 2; repeated LabelPair structuredMetadata = 3; }
//! LabelPair   { string name = 1; string value = 2; }
//! Timestamp   { int64 seconds = 1; int32 nanos = 2; }
//! ```
//!
//! Source: `pkg/push/push.proto` of Loki 3.7. Fields are written in order and defaults are left out, so that the same
//! data always makes the same bytes.

use std::ops::Range;

const NANOSECONDS: u64 = 1_000_000_000;

/// The tag of field `number` that holds bytes. All fields of these messages have numbers below 16.
const fn bytes_tag(number: u8) -> u8 {
    number << 3 | 2
}

const fn varint_tag(number: u8) -> u8 {
    number << 3
}

/// Appends a number of variable length.
fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How many bytes [`push_varint`] writes.
fn varint_length(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// How many bytes a field with this much content takes.
fn field_length(content: usize) -> usize {
    1 + varint_length(content as u64) + content
}

fn open(out: &mut Vec<u8>, number: u8, length: usize) {
    out.push(bytes_tag(number));
    push_varint(out, length as u64);
}

fn push_field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    open(out, number, content.len());
    out.extend_from_slice(content);
}

/// Appends one pair of an entry's structured metadata. Returns where its name stands.
pub(super) fn push_pair(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Range<usize> {
    open(out, 3, field_length(name.len()) + field_length(value.len()));
    push_field(out, 1, name);
    let end = out.len();
    push_field(out, 2, value);
    end - name.len()..end
}

/// Appends one entry of a stream; `metadata` is made of [`push_pair`].
pub(super) fn push_entry(out: &mut Vec<u8>, unix_nano: u64, line: &[u8], metadata: &[u8]) {
    let (seconds, nanos) = (unix_nano / NANOSECONDS, unix_nano % NANOSECONDS);
    let part = |number: u64| if number == 0 { 0 } else { 1 + varint_length(number) };
    let time = part(seconds) + part(nanos);
    let line_length = if line.is_empty() { 0 } else { field_length(line.len()) };
    open(out, 2, field_length(time) + line_length + metadata.len());
    open(out, 1, time);
    for (number, value) in [(1, seconds), (2, nanos)] {
        if value != 0 {
            out.push(varint_tag(number));
            push_varint(out, value);
        }
    }
    if !line.is_empty() {
        push_field(out, 2, line);
    }
    out.extend_from_slice(metadata);
}

/// Appends one stream of a request; each slice of `entries` holds whole entries made of [`push_entry`].
pub(super) fn push_stream(out: &mut Vec<u8>, labels: &str, entries: &[&[u8]]) {
    let size: usize = entries.iter().map(|entry| entry.len()).sum();
    open(out, 1, field_length(labels.len()) + size);
    push_field(out, 1, labels.as_bytes());
    for entry in entries {
        out.extend_from_slice(entry);
    }
}

/// More than [`push_stream`] adds to the entries.
pub(super) fn stream_overhead(labels: &str) -> usize {
    labels.len() + 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_exactly_these_bytes() {
        let mut pairs = Vec::new();
        let name = push_pair(&mut pairs, b"k", b"v");
        assert_eq!(pairs[name], *b"k");
        let mut entry = Vec::new();
        push_entry(&mut entry, 1_700_000_000_000_000_001, b"hi", &pairs);
        let mut request = Vec::new();
        push_stream(&mut request, "{a=\"b\"}", &[&entry]);
        assert_eq!(
            request,
            [
                &b"\x0a\x21\x0a\x07{a=\"b\"}"[..],
                b"\x12\x16\x0a\x08\x08\x80\xe2\xcf\xaa\x06\x10\x01\x12\x02hi\x1a\x06\x0a\x01k\x12\x01v",
            ]
            .concat()
        );
    }

    #[test]
    fn defaults_are_left_out() {
        let mut entry = Vec::new();
        push_entry(&mut entry, 0, b"", b"");
        assert_eq!(entry, b"\x12\x02\x0a\x00");
    }

    #[test]
    fn lengths_are_known_beforehand() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            push_varint(&mut out, number);
            assert_eq!(out.len(), varint_length(number), "{number}");
        }
    }
}
