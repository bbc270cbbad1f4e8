//! Values as text, for lines, labels and metadata: what Loki's own OTLP endpoint makes of them.

use std::borrow::Cow;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use watershed_pipeline::{LogRecord, Value};

use crate::flat_json;

/// The text of a value: that of a text itself; bytes in base64; lists and maps as JSON; nothing for no value.
pub(super) fn text(value: Value<'_>) -> Cow<'_, [u8]> {
    match value {
        Value::Str(text) => text.as_bytes().into(),
        other => {
            let mut out = Vec::new();
            push_text(&mut out, other);
            out.into()
        }
    }
}

/// Appends the text of a value.
pub(super) fn push_text(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Empty => {}
        Value::Str(text) => out.extend_from_slice(text.as_bytes()),
        Value::Bool(_) | Value::Int(_) | Value::Array(_) | Value::Map(_) => flat_json::push_value(out, value),
        Value::Double(number) => push_double(out, number),
        Value::Bytes(bytes) => out.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
    }
}

fn push_double(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    let is_plain = !number.is_finite() || number == 0.0 || (1e-6..1e21).contains(&size);
    let written = if is_plain { write!(out, "{number}") } else { write!(out, "{number:e}") };
    debug_assert!(written.is_ok(), "a number can be written to memory");
}

/// The record's level as Loki calls it, from the severity number and else the text; nothing if neither tells.
pub(super) fn level(log: LogRecord<'_>) -> Option<&'static str> {
    const NAMES: [(&str, &[&str]); 7] = [
        ("trace", &["trace", "trc"]),
        ("debug", &["debug", "dbg"]),
        ("info", &["info", "inf", "information"]),
        ("warn", &["warn", "wrn", "warning"]),
        ("error", &["error", "err"]),
        ("critical", &["critical"]),
        ("fatal", &["fatal"]),
    ];
    Some(match log.severity_number() {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => {
            let written = log.severity_text();
            let is_it = |alias: &&str| alias.eq_ignore_ascii_case(written);
            NAMES.iter().find(|(_, aliases)| aliases.iter().any(is_it))?.0
        }
    })
}

/// The longest start of a text that has at most `limit` bytes and ends between two letters.
pub(super) fn start(text: &[u8], limit: usize) -> &[u8] {
    if text.len() <= limit {
        return text;
    }
    // A byte of the form 10xxxxxx continues a letter.
    let end =
        (0..=limit).rev().find(|end| text.get(*end).is_none_or(|byte| byte & 0xc0 != 0x80)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use watershed_pipeline::{AnyValue, Batch, Signal};

    #[test]
    fn values_have_texts() {
        for (value, expected) in [
            (AnyValue::from("a\nb"), "a\nb"),
            (AnyValue::Bool(true), "true"),
            (AnyValue::Int(-7), "-7"),
            (AnyValue::Double(5.0), "5"),
            (AnyValue::Double(1e300), "1e300"),
            (AnyValue::Double(f64::NAN), "NaN"),
            (AnyValue::Bytes(vec![0xff, 0]), "/wA="),
            (AnyValue::Array(vec![1_i64.into(), "a".into()]), r#"[1,"a"]"#),
            (AnyValue::Map(vec![("k".into(), 1_i64.into())]), r#"{"k":1}"#),
            (AnyValue::Empty, ""),
        ] {
            let batch = Batch::builder(Signal::Logs).record(|log| log.set_body(&value)).build();
            let log = batch.logs().next().unwrap();
            assert_eq!(String::from_utf8_lossy(&text(log.body().unwrap())), expected);
        }
    }

    #[test]
    fn levels_come_from_the_number_and_else_from_the_text() {
        for (number, text, expected) in [
            (17, "whatever", Some("error")),
            (0, "Warning", Some("warn")),
            (0, "CRITICAL", Some("critical")),
            (0, "NOTICE", None),
            (99, "", None),
        ] {
            let batch = Batch::builder(Signal::Logs)
                .record(|log| {
                    log.set_severity_number(number);
                    log.set_severity_text(text);
                })
                .build();
            assert_eq!(level(batch.logs().next().unwrap()), expected, "{number} {text}");
        }
    }

    #[test]
    fn a_text_is_never_cut_within_a_letter() {
        let text = "a\u{20ac}b".as_bytes();
        let lengths: Vec<usize> = (0..=6).map(|limit| start(text, limit).len()).collect();
        assert_eq!(lengths, [0, 1, 1, 1, 4, 5, 5]);
    }
}
