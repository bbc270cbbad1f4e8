//! What is changed in a batch. Every setter forgets the received bytes of what it changes; see [`Part::touch`].

use super::attributes::Attributes;
use super::log::LogRecord;
use super::part::{Holder, Part};
use super::points::DataPoint;
use super::record::{Record, Resource, Scope};
use super::rows::{LogRow, Rows, SpanRow};
use super::span::Span;
use super::value::{IntoValue, Value, store};

/// A record in hand, whatever its signal: read it like a map, change it like a map.
pub struct RecordMut<'a> {
    pub(crate) part: &'a mut Part,
    pub(crate) row: usize,
}

impl RecordMut<'_> {
    /// The record, to be read.
    #[must_use]
    pub fn view(&self) -> Record<'_> {
        Record { part: self.part, row: self.row }
    }

    /// The record as a log record, if it is one.
    #[must_use]
    pub fn log(&self) -> Option<LogRecord<'_>> {
        self.view().log()
    }

    /// The record as a span, if it is one.
    #[must_use]
    pub fn span(&self) -> Option<Span<'_>> {
        self.view().span()
    }

    /// The record as a data point, if it is one.
    #[must_use]
    pub fn point(&self) -> Option<DataPoint<'_>> {
        self.view().point()
    }

    /// The record's own attributes.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        self.view().attributes()
    }

    /// The value of the record's own attribute with this key.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<Value<'_>> {
        self.view().attribute(key)
    }

    /// Sets an attribute: writes over the first one with this key, or adds one at the end.
    pub fn set_attribute(&mut self, key: &str, value: impl IntoValue) {
        self.part.set_attribute(Holder::Row(self.row), key, &value);
    }

    /// Removes the attributes with this key; says whether there was one.
    pub fn remove_attribute(&mut self, key: &str) -> bool {
        self.part.remove_attribute(Holder::Row(self.row), key)
    }

    /// Keeps the attributes for which `keep` says so; says whether any went.
    pub fn retain_attributes(&mut self, keep: impl Fn(&str, Value<'_>) -> bool) -> bool {
        retain(self.part, Holder::Row(self.row), keep)
    }

    /// The resource that the record comes from. To change it, see [`Batch::resources_mut`](super::Batch::resources_mut).
    #[must_use]
    pub fn resource(&self) -> Resource<'_> {
        self.view().resource()
    }

    /// The instrumentation scope that the record comes from.
    #[must_use]
    pub fn scope(&self) -> Scope<'_> {
        self.view().scope()
    }

    /// Has the record come from the scope (the logger) of this name, without changing other records: it moves to
    /// a scope of the same resource, a new one if need be.
    pub fn set_scope_name(&mut self, name: &str) {
        let resource = row_number(self.part.resource_of(self.row));
        let scope = self.part.scope_named(resource, name);
        self.move_to(scope);
    }

    /// Has the record come from a resource of its own, like the one it came from but changed by `change`; other
    /// records stay. A resource that the change makes equal to the one before it is not repeated.
    pub fn set_resource(&mut self, change: impl FnOnce(&mut AttributesMut<'_>)) {
        let name = self.scope().name().to_owned();
        let resource = self.part.derived_resource(self.part.resource_of(self.row), change);
        let scope = self.part.scope_named(resource, &name);
        self.move_to(scope);
    }

    fn move_to(&mut self, scope: u32) {
        self.part.touch(Holder::Row(self.row));
        match &mut self.part.rows {
            Rows::Logs(rows) => rows.get_mut(self.row).into_iter().for_each(|row| row.scope = scope),
            Rows::Spans(rows) => rows.spans.get_mut(self.row).into_iter().for_each(|row| row.scope = scope),
            // The points of a metric share its scope.
            Rows::Metrics(_) => {}
        }
    }

    /// Sets the body of a log record; other records have none and stay as they are.
    pub fn set_body(&mut self, value: impl IntoValue) {
        let value = store(&value, &mut self.part.buffer);
        self.edit_log(|row| row.body = value);
    }

    /// Sets the severity of a log record, from 1 (trace) to 24 (fatal).
    pub fn set_severity_number(&mut self, number: i32) {
        self.edit_log(|row| row.severity_number = number);
    }

    /// Sets the severity of a log record as the source would write it.
    pub fn set_severity_text(&mut self, text: &str) {
        let text = self.part.buffer.push(text.as_bytes());
        self.edit_log(|row| row.severity_text = text);
    }

    /// Sets the name of the event that a log record is.
    pub fn set_event_name(&mut self, name: &str) {
        let name = self.part.buffer.push(name.as_bytes());
        self.edit_log(|row| row.event_name = name);
    }

    /// Sets the time of a log record, in nanoseconds since the Unix epoch.
    pub fn set_time_unix_nano(&mut self, time: u64) {
        self.edit_log(|row| row.time = time);
    }

    /// Sets the time at which a log record was first seen, in nanoseconds since the Unix epoch.
    pub fn set_observed_time_unix_nano(&mut self, time: u64) {
        self.edit_log(|row| row.observed_time = time);
    }

    /// Sets the trace and the span of a log record.
    pub fn set_trace_context(&mut self, trace_id: [u8; 16], span_id: [u8; 8], flags: u32) {
        self.edit_log(|row| {
            row.trace_id = trace_id;
            row.span_id = span_id;
            row.flags = flags;
        });
    }

    /// Sets the name of a span; other records have none and stay as they are.
    pub fn set_span_name(&mut self, name: &str) {
        let name = self.part.buffer.push(name.as_bytes());
        self.edit_span(|row| row.name = name);
    }

    /// Sets the ids of a span: its trace, itself, and the span that caused it (all zero for none).
    pub fn set_span_ids(&mut self, trace_id: [u8; 16], span_id: [u8; 8], parent_span_id: [u8; 8]) {
        self.edit_span(|row| {
            row.trace_id = trace_id;
            row.span_id = span_id;
            row.parent_span_id = parent_span_id;
        });
    }

    /// Sets start and end of a span, in nanoseconds since the Unix epoch.
    pub fn set_span_times(&mut self, start: u64, end: u64) {
        self.edit_span(|row| {
            row.start_time = start;
            row.end_time = end;
        });
    }

    /// Sets the kind of a span: 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub fn set_span_kind(&mut self, kind: i32) {
        self.edit_span(|row| row.kind = kind);
    }

    /// Sets the status of a span: 0 unset, 1 ok, 2 error.
    pub fn set_status(&mut self, code: i32, message: &str) {
        let message = self.part.buffer.push(message.as_bytes());
        self.edit_span(|row| {
            row.has_status = true;
            row.status_code = code;
            row.status_message = message;
        });
    }

    /// Sets the W3C trace state of a span.
    pub fn set_trace_state(&mut self, trace_state: &str) {
        let trace_state = self.part.buffer.push(trace_state.as_bytes());
        self.edit_span(|row| row.trace_state = trace_state);
    }

    pub(crate) fn edit_log(&mut self, change: impl FnOnce(&mut LogRow)) {
        if let Rows::Logs(rows) = &mut self.part.rows
            && let Some(row) = rows.get_mut(self.row)
        {
            change(row);
            self.part.touch(Holder::Row(self.row));
        }
    }

    pub(crate) fn edit_span(&mut self, change: impl FnOnce(&mut SpanRow)) {
        if let Rows::Spans(rows) = &mut self.part.rows
            && let Some(row) = rows.spans.get_mut(self.row)
        {
            change(row);
            self.part.touch(Holder::Row(self.row));
        }
    }
}

/// The records of a batch, one in hand at a time.
///
/// ```
/// # use watershed_pipeline::{Batch, Signal};
/// # let mut batch = Batch::builder(Signal::Logs).record(|log| log.set_body("paid with 4111")).build();
/// let mut records = batch.records_mut();
/// while let Some(mut record) = records.next() {
///     if record.attribute("user.id").is_none() {
///         record.set_attribute("user.id", "unknown");
///     }
/// }
/// ```
pub struct RecordsMut<'a> {
    pub(crate) parts: std::slice::IterMut<'a, std::sync::Arc<Part>>,
    pub(crate) part: Option<&'a mut Part>,
    pub(crate) row: usize,
}

impl RecordsMut<'_> {
    /// The next record, until there is none. (Not an [`Iterator`]: only one record is in hand at a time.)
    #[expect(clippy::should_implement_trait, reason = "the item borrows from the cursor")]
    pub fn next(&mut self) -> Option<RecordMut<'_>> {
        while self.part.as_ref().is_none_or(|part| self.row >= part.len()) {
            self.part = Some(std::sync::Arc::make_mut(self.parts.next()?));
            self.row = 0;
        }
        let row = self.row;
        self.row += 1;
        self.part.as_deref_mut().map(|part| RecordMut { part, row })
    }
}

/// A resource or a scope in hand. A change to it is a change for each of its records, made once.
pub struct AttributesMut<'a> {
    pub(crate) part: &'a mut Part,
    pub(crate) holder: Holder,
}

impl AttributesMut<'_> {
    /// The attributes, to be read.
    #[must_use]
    pub fn view(&self) -> Attributes<'_> {
        Attributes::new(self.part, self.part.attributes_of(self.holder))
    }

    /// The value of the attribute with this key.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<Value<'_>> {
        self.view().value(key)
    }

    /// Sets an attribute: writes over the first one with this key, or adds one at the end.
    pub fn set_attribute(&mut self, key: &str, value: impl IntoValue) {
        self.part.set_attribute(self.holder, key, &value);
    }

    /// Removes the attributes with this key; says whether there was one.
    pub fn remove_attribute(&mut self, key: &str) -> bool {
        self.part.remove_attribute(self.holder, key)
    }

    /// Keeps the attributes for which `keep` says so; says whether any went.
    pub fn retain_attributes(&mut self, keep: impl Fn(&str, Value<'_>) -> bool) -> bool {
        retain(self.part, self.holder, keep)
    }
}

fn row_number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Keeps the attributes of a holder for which `keep` says so; says whether any went.
pub(crate) fn retain(part: &mut Part, holder: Holder, mut keep: impl FnMut(&str, Value<'_>) -> bool) -> bool {
    let wanted: Vec<bool> = Attributes::new(part, part.attributes_of(holder))
        .iter()
        .map(|(key, value)| keep(key, value))
        .collect();
    let mut wanted = wanted.into_iter();
    part.retain_attributes(holder, |_| wanted.next().unwrap_or(true))
}
