//! Does to a part what a look at it found to do. Every change goes through [`Part::touch`].

use super::{Edit, Field, Target};
use crate::batch::attributes::KeyId;
use crate::batch::buffer::Text;
use crate::batch::part::{Holder, Part};
use crate::batch::rows::Rows;
use crate::batch::value::{AnyValue, Stored, store};

pub(super) fn apply(part: &mut Part, edits: Vec<(Target, Edit)>) {
    let mut removed = Vec::new();
    for (target, edit) in edits {
        match (target, edit) {
            (Target::Attribute { holder, position }, Edit::Set(value)) => {
                part.replace_value(holder, position, &value);
            }
            (Target::Attribute { holder, position } | Target::Key { holder, position }, Edit::Remove) => {
                removed.push((holder, position));
            }
            (Target::Key { holder, position }, Edit::Set(name)) => {
                rename(part, holder, position, &text_of(name));
            }
            (Target::Body(row), Edit::Set(value)) => set_body(part, row, &value),
            (Target::Body(row), Edit::Remove) => set_body(part, row, &AnyValue::Empty),
            (Target::Text { holder, field }, Edit::Set(value)) => {
                set_text(part, holder, field, &text_of(value));
            }
            (Target::Text { holder, field }, Edit::Remove) => set_text(part, holder, field, ""),
            (_, Edit::Keep) => {}
        }
    }
    // From the last to the first, so that the positions of those before stay true.
    for (holder, position) in removed.into_iter().rev() {
        let mut current = 0;
        part.retain_attributes(holder, |_| {
            current += 1;
            current != position + 1
        });
    }
}

fn text_of(value: AnyValue) -> String {
    if let AnyValue::Str(text) = value { text } else { value.to_text() }
}

fn rename(part: &mut Part, holder: Holder, position: usize, name: &str) {
    let key: KeyId = part.key_of(name);
    let range = part.attributes_of(holder);
    if let Some(attr) = part.attrs.get_mut(range.indices()).and_then(|own| own.get_mut(position)) {
        attr.key = key;
        part.touch(holder);
    }
}

fn set_body(part: &mut Part, row: usize, value: &AnyValue) {
    let value: Stored = store(value, &mut part.buffer);
    if let Rows::Logs(rows) = &mut part.rows
        && let Some(log) = rows.get_mut(row)
    {
        log.body = value;
        part.touch(Holder::Row(row));
    }
}

fn set_text(part: &mut Part, holder: Holder, field: Field, text: &str) {
    let place = part.buffer.push(text.as_bytes());
    if let Some(slot) = slot(part, holder, field) {
        *slot = place;
        part.touch(holder);
    }
}

/// Where a text of a holder is kept.
fn slot(part: &mut Part, holder: Holder, field: Field) -> Option<&mut Text> {
    Some(match (holder, field, &mut part.rows) {
        (Holder::Resource(index), Field::SchemaUrl, _) => &mut part.resources.get_mut(index)?.schema_url,
        (Holder::Scope(index), Field::SchemaUrl, _) => &mut part.scopes.get_mut(index)?.schema_url,
        (Holder::Scope(index), Field::Name, _) => &mut part.scopes.get_mut(index)?.name,
        (Holder::Scope(index), Field::Version, _) => &mut part.scopes.get_mut(index)?.version,
        (Holder::Row(row), Field::SeverityText, Rows::Logs(rows)) => &mut rows.get_mut(row)?.severity_text,
        (Holder::Row(row), Field::EventName, Rows::Logs(rows)) => &mut rows.get_mut(row)?.event_name,
        (Holder::Row(row), Field::Name, Rows::Spans(rows)) => &mut rows.spans.get_mut(row)?.name,
        (Holder::Row(row), Field::StatusMessage, Rows::Spans(rows)) => {
            &mut rows.spans.get_mut(row)?.status_message
        }
        (Holder::Row(row), Field::TraceState, Rows::Spans(rows)) => &mut rows.spans.get_mut(row)?.trace_state,
        (Holder::Event { event, .. }, Field::Name, Rows::Spans(rows)) => {
            &mut rows.events.get_mut(event)?.name
        }
        (Holder::Link { link, .. }, Field::TraceState, Rows::Spans(rows)) => {
            &mut rows.links.get_mut(link)?.trace_state
        }
        (Holder::Metric(index), Field::Name, Rows::Metrics(rows)) => &mut rows.metrics.get_mut(index)?.name,
        (Holder::Metric(index), Field::Description, Rows::Metrics(rows)) => {
            &mut rows.metrics.get_mut(index)?.description
        }
        (Holder::Metric(index), Field::Unit, Rows::Metrics(rows)) => &mut rows.metrics.get_mut(index)?.unit,
        _ => return None,
    })
}
