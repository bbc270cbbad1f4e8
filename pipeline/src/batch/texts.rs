//! Visits every text that a batch carries, for components that look for something in texts: redaction, search.

use std::sync::Arc;

use super::Batch;
use super::edit::RecordMut;
use super::part::{Holder, Part};
use super::rows::Rows;
use super::value::{AnyValue, Stored, Value};

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextPlace<'a> {
    /// The body of a log record, at its top or in a list.
    Body,
    /// The value of an attribute, or of an entry of a nested map, with the nearest key.
    Attribute(&'a str),
    /// The name of a span or of an event of a span.
    Name,
    /// The message of a span's status.
    StatusMessage,
}

impl Batch {
    /// Offers every text to `change`, which may return another to stand in its place; says how many it did.
    ///
    /// The texts are: bodies, attributes of resources, scopes, records, span events, links and exemplars, at any
    /// depth, names of spans and of their events, and status messages. Keys are not offered.
    ///
    /// ```
    /// # use watershed_pipeline::{Batch, Signal, TextPlace};
    /// # let mut batch = Batch::builder(Signal::Logs).record(|log| log.set_body("card 4111")).build();
    /// let changed = batch.map_text(|_, text| text.contains("4111").then(|| text.replace("4111", "****")));
    /// assert_eq!(changed, 1);
    /// ```
    pub fn map_text(&mut self, mut change: impl FnMut(TextPlace<'_>, &str) -> Option<String>) -> usize {
        let mut changed = 0;
        for part in &mut self.parts {
            let part = Arc::make_mut(part);
            changed += (0..part.resources.len())
                .map(|index| attributes(part, Holder::Resource(index), &mut change))
                .sum::<usize>();
            changed += (0..part.scopes.len())
                .map(|index| attributes(part, Holder::Scope(index), &mut change))
                .sum::<usize>();
            changed +=
                (0..part.len()).map(|row| RecordMut { part, row }.map_text(&mut change)).sum::<usize>();
        }
        changed
    }
}

impl RecordMut<'_> {
    /// As [`Batch::map_text`], for one record without its resource and scope.
    pub fn map_text(&mut self, mut change: impl FnMut(TextPlace<'_>, &str) -> Option<String>) -> usize {
        let (part, row) = (&mut *self.part, self.row);
        let mut changed = attributes(part, Holder::Row(row), &mut change);
        for holder in inner_holders(part, row) {
            changed += attributes(part, holder, &mut change) + event_name(part, holder, &mut change);
        }
        changed + body(part, row, &mut change) + span_texts(part, row, &mut change)
    }
}

type Change<'c> = dyn FnMut(TextPlace<'_>, &str) -> Option<String> + 'c;

/// The events, links and exemplars of a record.
fn inner_holders(part: &Part, row: usize) -> Vec<Holder> {
    match &part.rows {
        Rows::Logs(_) => Vec::new(),
        Rows::Spans(rows) => rows.spans.get(row).map_or_else(Vec::new, |span| {
            let events = span.events.indices().map(|event| Holder::Event { span: row, event });
            events.chain(span.links.indices().map(|link| Holder::Link { span: row, link })).collect()
        }),
        Rows::Metrics(rows) => rows.points.get(row).map_or_else(Vec::new, |point| {
            point.exemplars.indices().map(|exemplar| Holder::Exemplar { point: row, exemplar }).collect()
        }),
    }
}

fn attributes(part: &mut Part, holder: Holder, change: &mut Change<'_>) -> usize {
    let range = part.attributes_of(holder);
    let mut changed = 0;
    for position in 0..range.len as usize {
        let attr = part.attrs.get(range.indices()).and_then(|own| own.get(position)).copied();
        let Some(attr) = attr else { break };
        let key = part.buffer.text(part.keys.place(attr.key));
        if let Some(new) = changed_value(part, attr.value, TextPlace::Attribute(key), change) {
            part.replace_value(holder, position, &new);
            changed += 1;
        }
    }
    changed
}

fn body(part: &mut Part, row: usize, change: &mut Change<'_>) -> usize {
    let Rows::Logs(rows) = &part.rows else { return 0 };
    let stored = rows.get(row).map_or(Stored::Absent, |row| row.body);
    let Some(new) = changed_value(part, stored, TextPlace::Body, change) else { return 0 };
    RecordMut { part, row }.set_body(new);
    1
}

fn span_texts(part: &mut Part, row: usize, change: &mut Change<'_>) -> usize {
    let Rows::Spans(rows) = &part.rows else { return 0 };
    let Some(span) = rows.spans.get(row) else { return 0 };
    let code = span.status_code;
    let name = change(TextPlace::Name, part.buffer.text(span.name));
    let message = change(TextPlace::StatusMessage, part.buffer.text(span.status_message));
    let mut record = RecordMut { part, row };
    let mut changed = 0;
    if let Some(name) = name {
        record.set_span_name(&name);
        changed += 1;
    }
    if let Some(message) = message {
        record.set_status(code, &message);
        changed += 1;
    }
    changed
}

fn event_name(part: &mut Part, holder: Holder, change: &mut Change<'_>) -> usize {
    let Holder::Event { event, .. } = holder else { return 0 };
    let Rows::Spans(rows) = &mut part.rows else { return 0 };
    let Some(row) = rows.events.get_mut(event) else { return 0 };
    let Some(new) = change(TextPlace::Name, part.buffer.text(row.name)) else { return 0 };
    row.name = part.buffer.push(new.as_bytes());
    part.touch(holder);
    1
}

/// The value with its texts changed, or none if none was.
fn changed_value(
    part: &Part,
    stored: Stored,
    place: TextPlace<'_>,
    change: &mut Change<'_>,
) -> Option<AnyValue> {
    match stored.read(&part.buffer)? {
        Value::Str(text) => change(place, text).map(AnyValue::Str),
        nested @ (Value::Array(_) | Value::Map(_)) => {
            let mut owned = nested.to_any_value();
            change_nested(&mut owned, place, change).then_some(owned)
        }
        Value::Empty | Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Bytes(_) => None,
    }
}

fn change_nested(value: &mut AnyValue, place: TextPlace<'_>, change: &mut Change<'_>) -> bool {
    let mut changed = false;
    match value {
        AnyValue::Str(text) => {
            if let Some(new) = change(place, text) {
                *text = new;
                changed = true;
            }
        }
        AnyValue::Array(items) => {
            for item in items {
                changed |= change_nested(item, place, change);
            }
        }
        AnyValue::Map(entries) => {
            for (key, value) in entries {
                changed |= change_nested(value, TextPlace::Attribute(key), change);
            }
        }
        AnyValue::Empty | AnyValue::Bool(_) | AnyValue::Int(_) | AnyValue::Double(_) | AnyValue::Bytes(_) => {
        }
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
