//! Writes JSON text into a byte buffer: strings with their escapes, and numbers.
//!
//! Telemetry is mostly plain ASCII, so a string is copied in runs and only the bytes between the runs are looked at
//! one by one.

use serde::Serialize;

/// How many bytes are looked at together for one that needs an escape. The compiler makes vector code of it.
const STRIDE: usize = 16;

/// Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, one for each faulty
/// sequence, as in [`String::from_utf8_lossy`].
pub fn push_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    match std::str::from_utf8(text) {
        Ok(valid) => push_escaped(out, valid.as_bytes()),
        Err(_) => {
            for chunk in text.utf8_chunks() {
                push_escaped(out, chunk.valid().as_bytes());
                if !chunk.invalid().is_empty() {
                    out.extend_from_slice("\u{fffd}".as_bytes());
                }
            }
        }
    }
    out.push(b'"');
}

/// Appends UTF-8 bytes, copying the runs between those that need an escape.
fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        let (run, tail) = rest.split_at_checked(plain_length(rest)).unwrap_or((rest, &[]));
        out.extend_from_slice(run);
        let Some((&byte, tail)) = tail.split_first() else { return };
        push_escape(out, byte);
        rest = tail;
    }
}

/// Returns how many bytes at the start stand for themselves.
fn plain_length(text: &[u8]) -> usize {
    let (strides, _) = text.as_chunks::<STRIDE>();
    let plain =
        strides.iter().take_while(|stride| !stride.iter().fold(false, |any, &byte| any | is_special(byte)));
    let start = plain.count() * STRIDE;
    let tail = text.get(start..).unwrap_or_default();
    start + tail.iter().position(|&byte| is_special(byte)).unwrap_or(tail.len())
}

fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            return push_hex(out, &[byte]);
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

/// Appends bytes as lower-case hexadecimal digits, without quotes.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.iter().flat_map(|byte| [hex_digit(byte >> 4), hex_digit(byte & 0x0f)]));
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble }
}

/// Appends a signed integer, without quotes.
pub fn push_json_i64(out: &mut Vec<u8>, number: i64) {
    push_number(out, number);
}

/// Appends an unsigned integer, without quotes.
pub fn push_json_u64(out: &mut Vec<u8>, number: u64) {
    push_number(out, number);
}

/// Appends a double in the shortest form that reads back as the same double, always with a point or an exponent.
/// JSON has no other numbers, so the three that are left become the strings `"NaN"`, `"Infinity"` and `"-Infinity"`,
/// as protobuf's JSON mapping has it.
pub fn push_json_double(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        push_number(out, number);
    } else if number.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if number > 0.0 {
        out.extend_from_slice(b"\"Infinity\"");
    } else {
        out.extend_from_slice(b"\"-Infinity\"");
    }
}

fn push_number(out: &mut Vec<u8>, number: impl Serialize) {
    let written = serde_json::to_writer(out, &number);
    debug_assert!(written.is_ok(), "a number can be written to memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &[u8], json: &str) {
        let mut out = Vec::new();
        push_json_string(&mut out, text);
        assert_eq!(String::from_utf8(out).unwrap(), json);
    }

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped() {
        check(b"", r#""""#);
        check(br#"say "hi" \ bye"#, r#""say \"hi\" \\ bye""#);
        check(b"a\nb\tc\rd\x08e\x0cf\x00g\x1fh\x7f", "\"a\\nb\\tc\\rd\\be\\ff\\u0000g\\u001fh\x7f\"");
    }

    #[test]
    fn bytes_that_are_not_utf8_become_replacement_characters() {
        check(b"a\xffb\"", "\"a\u{fffd}b\\\"\"");
        check("gr\u{fc}n \u{1f600}".as_bytes(), "\"gr\u{fc}n \u{1f600}\"");
        check(b"\xe2\x82", "\"\u{fffd}\"");
    }

    #[test]
    fn doubles_are_short_and_keep_their_point() {
        for (number, json) in [
            (5.0, "5.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e300, "1e+300"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            let mut out = Vec::new();
            push_json_double(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), json);
        }
    }

    #[test]
    fn integers_reach_both_ends() {
        let mut out = Vec::new();
        push_json_i64(&mut out, i64::MIN);
        out.push(b' ');
        push_json_u64(&mut out, u64::MAX);
        assert_eq!(out, b"-9223372036854775808 18446744073709551615");
    }

    proptest! {
        #[test]
        fn property_strings_read_back_as_they_were(text in "(?s:.{0,80})|[\\x00-\\x7f]{0,80}") {
            let mut out = Vec::new();
            push_json_string(&mut out, text.as_bytes());
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn property_any_bytes_make_a_json_string(bytes in any::<Vec<u8>>()) {
            let mut out = Vec::new();
            push_json_string(&mut out, &bytes);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), String::from_utf8_lossy(&bytes));
        }
    }
}
