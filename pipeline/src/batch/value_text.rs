//! Values as text, as the Collector writes them where a text is wanted.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::attributes::Attributes;
use super::buffer::Buffer;
use super::value::{AnyValue, Value, store};
use crate::json_text;

impl<'a> Value<'a> {
    /// The value as text: text as it is, numbers in decimal, bytes as Base64, lists and maps as JSON, and no value
    /// as the empty text.
    #[must_use]
    pub fn to_text(self) -> Cow<'a, str> {
        match self {
            Self::Empty => "".into(),
            Self::Str(text) => text.into(),
            Self::Bool(value) => if value { "true" } else { "false" }.into(),
            Self::Int(number) => number.to_string().into(),
            Self::Double(number) => number.to_string().into(),
            Self::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Self::Array(_) | Self::Map(_) => {
                let mut out = Vec::new();
                push_json(self, &mut out);
                String::from_utf8(out).unwrap_or_default().into()
            }
        }
    }
}

impl AnyValue {
    /// The value as text; see [`Value::to_text`].
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut buffer = Buffer::default();
        let stored = store(self, &mut buffer);
        stored.read(&buffer).map_or_else(String::new, |value| value.to_text().into_owned())
    }
}

impl Attributes<'_> {
    /// All attributes as a JSON object.
    pub(crate) fn to_text(self) -> String {
        let mut out = Vec::new();
        push_entries(self.iter(), &mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}

/// Writes a value as JSON. Values nest no deeper than the decoder allows.
fn push_json(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Empty => out.extend_from_slice(b"null"),
        Value::Str(text) => json_text::push_json_string(out, text.as_bytes()),
        Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Value::Int(number) => json_text::push_json_i64(out, number),
        Value::Double(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Bytes(bytes) => json_text::push_json_string(out, STANDARD.encode(bytes).as_bytes()),
        Value::Map(entries) => push_entries(entries.iter(), out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json(item, out);
            }
            out.push(b']');
        }
    }
}

fn push_entries<'v>(entries: impl Iterator<Item = (&'v str, Value<'v>)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, value)) in entries.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json_text::push_json_string(out, key.as_bytes());
        out.push(b':');
        push_json(value, out);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use crate::batch::{AnyValue, Batch, Signal};

    #[test]
    fn nested_values_are_written_as_json() {
        let list =
            AnyValue::Array(vec![AnyValue::Empty, 1.5.into(), true.into(), AnyValue::Bytes(vec![255])]);
        let value = AnyValue::Map(vec![("a\"".into(), list), ("b".into(), AnyValue::Map(Vec::new()))]);
        let batch = Batch::builder(Signal::Logs).record(|log| log.set_body(value)).build();
        let body = batch.logs().next().and_then(|log| log.body()).unwrap();
        assert_eq!(body.to_text(), r#"{"a\"":[null,1.5,true,"/w=="],"b":{}}"#);
    }
}
