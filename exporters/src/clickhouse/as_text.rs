//! Attribute values as text, the way the Collector's `AsString` writes them, so that queries find the same values
//! whichever of the two wrote a table.
//!
//! Numbers are written as JavaScript writes them (`5`, `0.1`, `1e+21`), bytes in base64, lists and maps as JSON with
//! sorted keys and with `<`, `>` and `&` escaped. One difference: a number that JSON does not have makes the Collector
//! write an empty text for the whole list or map; here it becomes `null`.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use watershed_pipeline::json_text::{push_json_double, push_json_i64, push_json_string};
use watershed_pipeline::{Array, Value};

/// Appends a value as text.
pub(super) fn push_text(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Empty => {}
        Value::Str(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(number) => push_json_i64(out, number),
        Value::Double(number) if number.is_finite() => push_double(out, number),
        Value::Double(number) => {
            out.extend_from_slice(b"json: unsupported value: ");
            out.extend_from_slice(match number {
                f64::INFINITY => b"+Inf",
                f64::NEG_INFINITY => b"-Inf",
                _ => b"NaN",
            });
        }
        Value::Bytes(bytes) => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
        Value::Array(array) => push_array(out, array),
        Value::Map(map) => push_object(out, map.iter().collect()),
    }
}

/// Appends a value as JSON.
pub(super) fn push_json(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Empty => out.extend_from_slice(b"null"),
        Value::Double(number) if !number.is_finite() => out.extend_from_slice(b"null"),
        Value::Str(text) => push_string(out, text),
        Value::Bytes(_) => {
            out.push(b'"');
            push_text(out, value);
            out.push(b'"');
        }
        Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Array(_) | Value::Map(_) => {
            push_text(out, value);
        }
    }
}

/// Appends keys and values as a JSON object, sorted by key. Of equal keys the last stays, as in a Go map.
pub(super) fn push_object(out: &mut Vec<u8>, mut entries: Vec<(&str, Value<'_>)>) {
    entries.sort_by_key(|(key, _)| *key);
    out.push(b'{');
    let mut is_first = true;
    let mut entries = entries.into_iter().peekable();
    while let Some((key, value)) = entries.next() {
        if entries.peek().is_some_and(|(next, _)| *next == key) {
            continue;
        }
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        push_string(out, key);
        out.push(b':');
        push_json(out, value);
    }
    out.push(b'}');
}

fn push_array(out: &mut Vec<u8>, array: Array<'_>) {
    out.push(b'[');
    for (index, item) in array.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_json(out, item);
    }
    out.push(b']');
}

/// Appends a JSON string as Go writes it: safe inside HTML and JavaScript.
fn push_string(out: &mut Vec<u8>, text: &str) {
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return push_json_string(out, text.as_bytes());
    }
    let mut plain = Vec::with_capacity(text.len() + 2);
    push_json_string(&mut plain, text.as_bytes());
    for letter in String::from_utf8_lossy(&plain).chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(letter)).as_bytes());
            }
            _ => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Appends a finite double in the shortest form that reads back as the same double.
fn push_double(out: &mut Vec<u8>, number: f64) {
    let start = out.len();
    push_json_double(out, number);
    let written = out.get(start..).unwrap_or_default();
    if written.ends_with(b".0") {
        out.truncate(out.len() - 2);
    } else if written.contains(&b'e') {
        // The two writers change to exponents at different sizes.
        out.truncate(start);
        let size = number.abs();
        let done = if (1e-6..1e21).contains(&size) {
            write!(out, "{number}")
        } else {
            let text = format!("{number:e}");
            let text = if size >= 1.0 { text.replace('e', "e+") } else { text };
            out.write_all(text.as_bytes())
        };
        debug_assert!(done.is_ok(), "a number can be written to memory");
    }
}

#[cfg(test)]
mod tests {
    use watershed_pipeline::{AnyValue, Batch, Signal};

    use super::*;

    #[track_caller]
    fn check(value: AnyValue, text: &str) {
        let batch = Batch::builder(Signal::Logs).record(|log| log.set_body(value)).build();
        let mut out = Vec::new();
        push_text(&mut out, batch.logs().next().unwrap().body().unwrap());
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn plain_values_are_written_as_the_collector_writes_them() {
        check(AnyValue::Empty, "");
        check("a <b> \n".into(), "a <b> \n");
        check(true.into(), "true");
        check(i64::MIN.into(), "-9223372036854775808");
        check(vec![0_u8, 1, 255].into(), "AAH/");
    }

    #[test]
    fn doubles_are_written_as_javascript_writes_them() {
        for (number, text) in [
            (5.0, "5"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (0.000_001, "0.000001"),
            (0.000_000_1, "1e-7"),
            (-2.5e-10, "-2.5e-10"),
            (f64::NAN, "json: unsupported value: NaN"),
            (f64::NEG_INFINITY, "json: unsupported value: -Inf"),
        ] {
            check(number.into(), text);
        }
    }

    #[test]
    fn nested_values_are_json_with_sorted_keys_safe_inside_html() {
        let map = AnyValue::Map(vec![
            ("z".into(), AnyValue::Array(vec![1_i64.into(), AnyValue::Empty, 0.5.into()])),
            ("a".into(), "<&>\u{2028}\"".into()),
            ("m".into(), AnyValue::Map(vec![("b".into(), vec![1_u8].into()), ("b".into(), true.into())])),
            ("n".into(), f64::NAN.into()),
        ]);
        check(map, r#"{"a":"\u003c\u0026\u003e\u2028\"","m":{"b":true},"n":null,"z":[1,null,0.5]}"#);
        check(AnyValue::Array(vec!["x".into()]), r#"["x"]"#);
    }
}
