//! Visits every text that a batch carries, for components that look for something in texts: search, replacement.
//!
//! A thin layer over `sweep`, for the plain case.

use super::Batch;
use super::sweep::{Edit, Sweep, TextPlace};
use super::value::{AnyValue, Value};

impl Batch {
    /// Offers every text to `change`, which may return another to stand in its place; says how many things it changed, a
    /// nested value counted once.
    ///
    /// The texts are those of [`Self::sweep`], and within nested values at any depth, each with the nearest key. Bytes
    /// that are UTF-8 count as text. Keys are not offered.
    ///
    /// ```
    /// # use watershed_pipeline::{Batch, Signal, TextPlace};
    /// # let mut batch = Batch::builder(Signal::Logs).record(|log| log.set_body("card 4111")).build();
    /// let changed = batch.map_text(|_, text| text.contains("4111").then(|| text.replace("4111", "****")));
    /// assert_eq!(changed, 1);
    /// ```
    pub fn map_text(&mut self, change: impl FnMut(TextPlace<&str>, &str) -> Option<String>) -> usize {
        self.sweep(&mut MapText { change, keys: Vec::new() })
    }
}

struct MapText<F> {
    change: F,
    /// The keys by their verdicts.
    keys: Vec<String>,
}

impl<F: FnMut(TextPlace<&str>, &str) -> Option<String>> Sweep for MapText<F> {
    type Verdict = usize;

    fn key(&mut self, key: &str) -> (usize, Option<String>) {
        self.keys.push(key.to_owned());
        (self.keys.len() - 1, None)
    }

    fn text(&mut self, place: TextPlace<usize>, text: &[u8]) -> Edit {
        let place = place.map(|key| self.keys.get(key).map_or("", String::as_str));
        let text = std::str::from_utf8(text).unwrap_or_default();
        (self.change)(place, text).map_or(Edit::Keep, |new| Edit::Set(AnyValue::Str(new)))
    }

    fn value(&mut self, place: TextPlace<usize>, value: Value<'_>) -> Edit {
        if let Value::Empty | Value::Bool(_) | Value::Int(_) | Value::Double(_) = value {
            return Edit::Keep;
        }
        let place = place.map(|key| self.keys.get(key).map_or("", String::as_str));
        let mut value = value.to_any_value();
        if nested(&mut value, place, &mut self.change) { Edit::Set(value) } else { Edit::Keep }
    }
}

impl<K> TextPlace<K> {
    /// The same place with something else known of the key.
    #[must_use]
    pub fn map<L>(self, of_key: impl FnOnce(K) -> L) -> TextPlace<L> {
        match self {
            Self::Attribute(key) => TextPlace::Attribute(of_key(key)),
            Self::Body => TextPlace::Body,
            Self::SeverityText => TextPlace::SeverityText,
            Self::EventName => TextPlace::EventName,
            Self::Name => TextPlace::Name,
            Self::Version => TextPlace::Version,
            Self::StatusMessage => TextPlace::StatusMessage,
            Self::TraceState => TextPlace::TraceState,
            Self::Description => TextPlace::Description,
            Self::Unit => TextPlace::Unit,
            Self::SchemaUrl => TextPlace::SchemaUrl,
        }
    }
}

/// Changes the texts of a value; says whether there was one to change.
fn nested(
    value: &mut AnyValue,
    place: TextPlace<&str>,
    change: &mut impl FnMut(TextPlace<&str>, &str) -> Option<String>,
) -> bool {
    let mut changed = false;
    match value {
        AnyValue::Str(text) => {
            if let Some(new) = change(place, text) {
                *text = new;
                changed = true;
            }
        }
        AnyValue::Bytes(bytes) => {
            if let Some(new) = std::str::from_utf8(bytes).ok().and_then(|text| change(place, text)) {
                *bytes = new.into_bytes();
                changed = true;
            }
        }
        AnyValue::Array(items) => {
            for item in items {
                changed |= nested(item, place, change);
            }
        }
        AnyValue::Map(entries) => {
            for (key, value) in entries {
                changed |= nested(value, TextPlace::Attribute(key), change);
            }
        }
        AnyValue::Empty | AnyValue::Bool(_) | AnyValue::Int(_) | AnyValue::Double(_) => {}
    }
    changed
}
#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::super::Signal;
    use super::*;
    use crate::otlp::arbitrary;

    proptest! {
        #[test]
        fn property_no_text_escapes(request in arbitrary::traces()) {
            let mut batch = Batch::from_otlp(Signal::Traces, request.encode_to_vec().into()).unwrap();
            batch.map_text(|_, _| Some("covered".into()));
            let mut seen = Vec::new();
            batch.map_text(|_, text| { seen.push(text.to_owned()); None });
            prop_assert!(seen.iter().all(|text| text == "covered"), "{:?}", seen);
            let again = Batch::from_otlp(Signal::Traces, batch.to_otlp()).unwrap();
            let mut texts = Vec::new();
            let mut again = again;
            again.map_text(|_, text| { texts.push(text.to_owned()); None });
            prop_assert!(texts.iter().all(|text| text == "covered"), "{:?}", texts);
        }
    }

    #[test]
    fn texts_are_offered_with_the_nearest_key_at_any_depth() {
        let nested = AnyValue::Map(vec![
            ("card".into(), "4111".into()),
            (
                "list".into(),
                AnyValue::Array(vec!["a".into(), AnyValue::Map(vec![("deep".into(), "b".into())])]),
            ),
        ]);
        let mut batch = Batch::builder(Signal::Logs)
            .resource(|resource| resource.set_attribute("host.name", "h"))
            .record(|log| {
                log.set_body("body");
                log.set_attribute("payload", &nested);
                log.set_attribute("number", 5);
            })
            .build();
        let mut offered = Vec::new();
        batch.map_text(|place, text| {
            offered.push(format!("{place:?} {text}"));
            None
        });
        let expected = [
            "Attribute(\"host.name\") h",
            "Attribute(\"card\") 4111",
            "Attribute(\"list\") a",
            "Attribute(\"deep\") b",
            "Body body",
        ];
        assert_eq!(offered, expected);
    }
}
