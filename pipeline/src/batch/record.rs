//! What is read from a batch: records of any signal, resources and scopes, log records and spans.
//!
//! All of these are two or three words that point into the batch; copying one is free.

use super::Signal;
use super::attributes::Attributes;
use super::buffer::Text;
use super::metrics::DataPoint;
use super::part::{EventRow, LinkRow, LogRow, Part, ResourceRow, Rows, ScopeRow, SpanRow};
use super::value::Value;

/// One item of a batch, whatever its signal: a log record, a span or a data point.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub(crate) part: &'a Part,
    pub(crate) row: usize,
}

impl<'a> Record<'a> {
    /// The signal.
    #[must_use]
    pub fn signal(self) -> Signal {
        self.part.signal()
    }

    /// The record's own attributes.
    #[must_use]
    pub fn attributes(self) -> Attributes<'a> {
        Attributes::new(self.part, self.part.attributes_of(super::part::Holder::Row(self.row)))
    }

    /// The value of the record's own attribute with this key.
    #[must_use]
    pub fn attribute(self, key: &str) -> Option<Value<'a>> {
        self.attributes().value(key)
    }

    /// The resource that the record comes from.
    #[must_use]
    pub fn resource(self) -> Resource<'a> {
        Resource::new(self.part, self.part.resource_of(self.row))
    }

    /// The instrumentation scope that the record comes from.
    #[must_use]
    pub fn scope(self) -> Scope<'a> {
        Scope::new(self.part, self.part.scope_of(self.row))
    }

    /// The trace id; all zero if the record has none (data points never do).
    #[must_use]
    pub fn trace_id(self) -> [u8; 16] {
        match &self.part.rows {
            Rows::Logs(rows) => rows.get(self.row).map(|row| row.trace_id),
            Rows::Spans(rows) => rows.spans.get(self.row).map(|row| row.trace_id),
            Rows::Metrics(_) => None,
        }
        .unwrap_or_default()
    }

    /// The record as a log record, if it is one.
    #[must_use]
    pub fn log(self) -> Option<LogRecord<'a>> {
        let Rows::Logs(rows) = &self.part.rows else { return None };
        Some(LogRecord { part: self.part, row: rows.get(self.row)? })
    }

    /// The record as a span, if it is one.
    #[must_use]
    pub fn span(self) -> Option<Span<'a>> {
        let Rows::Spans(rows) = &self.part.rows else { return None };
        Some(Span { part: self.part, row: rows.spans.get(self.row)? })
    }

    /// The record as a data point, if it is one.
    #[must_use]
    pub fn point(self) -> Option<DataPoint<'a>> {
        DataPoint::new(self.part, self.row)
    }

    /// The bytes of the record's protobuf message as received, if nothing in it was changed.
    #[must_use]
    pub fn raw(self) -> Option<&'a [u8]> {
        let raw = match &self.part.rows {
            Rows::Logs(rows) => rows.get(self.row)?.raw,
            Rows::Spans(rows) => rows.spans.get(self.row)?.raw,
            Rows::Metrics(rows) => rows.points.get(self.row)?.raw,
        };
        (!raw.is_none()).then(|| self.part.buffer.bytes(raw))
    }
}

/// What produced telemetry: a service, a host, a process.
#[derive(Clone, Copy)]
pub struct Resource<'a> {
    part: &'a Part,
    row: &'a ResourceRow,
}

static NO_RESOURCE: ResourceRow = ResourceRow {
    attrs: super::attributes::AttrRange { start: 0, len: 0 },
    dropped_attributes: 0,
    schema_url: Text::NONE,
    raw: Text::NONE,
    entities: Text::NONE,
};

static NO_SCOPE: ScopeRow = ScopeRow {
    resource: 0,
    name: Text::NONE,
    version: Text::NONE,
    attrs: super::attributes::AttrRange { start: 0, len: 0 },
    dropped_attributes: 0,
    schema_url: Text::NONE,
    raw: Text::NONE,
};

impl<'a> Resource<'a> {
    pub(crate) fn new(part: &'a Part, index: usize) -> Self {
        Self { part, row: part.resources.get(index).unwrap_or(&NO_RESOURCE) }
    }

    /// The resource's attributes.
    #[must_use]
    pub fn attributes(self) -> Attributes<'a> {
        Attributes::new(self.part, self.row.attrs)
    }

    /// The value of the resource's attribute with this key.
    #[must_use]
    pub fn attribute(self, key: &str) -> Option<Value<'a>> {
        self.attributes().value(key)
    }

    /// Attributes that the sender dropped.
    #[must_use]
    pub fn dropped_attributes_count(self) -> u32 {
        self.row.dropped_attributes
    }

    /// The schema of the resource's attributes.
    #[must_use]
    pub fn schema_url(self) -> &'a str {
        self.part.buffer.text(self.row.schema_url)
    }

    /// Whether two views are of the same resource of the same message, so that work done for one serves both.
    #[must_use]
    pub fn is_same(self, other: Resource<'_>) -> bool {
        std::ptr::eq(self.row, other.row)
    }
}

/// The library or logger that produced telemetry.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    part: &'a Part,
    row: &'a ScopeRow,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(part: &'a Part, index: usize) -> Self {
        Self { part, row: part.scopes.get(index).unwrap_or(&NO_SCOPE) }
    }

    /// The scope's name.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.part.buffer.text(self.row.name)
    }

    /// The scope's version.
    #[must_use]
    pub fn version(self) -> &'a str {
        self.part.buffer.text(self.row.version)
    }

    /// The scope's attributes.
    #[must_use]
    pub fn attributes(self) -> Attributes<'a> {
        Attributes::new(self.part, self.row.attrs)
    }

    /// Attributes that the sender dropped.
    #[must_use]
    pub fn dropped_attributes_count(self) -> u32 {
        self.row.dropped_attributes
    }

    /// The schema of the scope's records.
    #[must_use]
    pub fn schema_url(self) -> &'a str {
        self.part.buffer.text(self.row.schema_url)
    }

    /// Whether two views are of the same scope of the same message, so that work done for one serves both.
    #[must_use]
    pub fn is_same(self, other: Scope<'_>) -> bool {
        std::ptr::eq(self.row, other.row)
    }
}

/// A log record, read only.
#[derive(Clone, Copy)]
pub struct LogRecord<'a> {
    part: &'a Part,
    row: &'a LogRow,
}

impl<'a> LogRecord<'a> {
    /// When it happened, in nanoseconds since the Unix epoch; 0 if unknown.
    #[must_use]
    pub fn time_unix_nano(self) -> u64 {
        self.row.time
    }

    /// When it was first seen by a collector or SDK, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn observed_time_unix_nano(self) -> u64 {
        self.row.observed_time
    }

    /// The severity from 1 (trace) to 24 (fatal); 0 if unknown.
    #[must_use]
    pub fn severity_number(self) -> i32 {
        self.row.severity_number
    }

    /// The severity as the source wrote it.
    #[must_use]
    pub fn severity_text(self) -> &'a str {
        self.part.buffer.text(self.row.severity_text)
    }

    /// The body, if there is one.
    #[must_use]
    pub fn body(self) -> Option<Value<'a>> {
        self.row.body.read(&self.part.buffer)
    }

    /// The name of the event, for records that are events.
    #[must_use]
    pub fn event_name(self) -> &'a str {
        self.part.buffer.text(self.row.event_name)
    }

    /// The trace it belongs to; all zero if none.
    #[must_use]
    pub fn trace_id(self) -> [u8; 16] {
        self.row.trace_id
    }

    /// The span it belongs to; all zero if none.
    #[must_use]
    pub fn span_id(self) -> [u8; 8] {
        self.row.span_id
    }

    /// W3C trace flags in the lowest eight bits.
    #[must_use]
    pub fn flags(self) -> u32 {
        self.row.flags
    }

    /// Attributes that the sender dropped.
    #[must_use]
    pub fn dropped_attributes_count(self) -> u32 {
        self.row.dropped_attributes
    }

    /// The record's attributes.
    #[must_use]
    pub fn attributes(self) -> Attributes<'a> {
        Attributes::new(self.part, self.row.attrs)
    }

    /// The value of the record's own attribute with this key.
    #[must_use]
    pub fn attribute(self, key: &str) -> Option<Value<'a>> {
        self.attributes().value(key)
    }

    /// The resource that the record comes from.
    #[must_use]
    pub fn resource(self) -> Resource<'a> {
        let scope = self.part.scopes.get(self.row.scope as usize);
        Resource::new(self.part, scope.map_or(0, |scope| scope.resource as usize))
    }

    /// The instrumentation scope that the record comes from.
    #[must_use]
    pub fn scope(self) -> Scope<'a> {
        Scope::new(self.part, self.row.scope as usize)
    }
}

/// A span, read only.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    part: &'a Part,
    row: &'a SpanRow,
}

impl<'a> Span<'a> {
    /// The trace it belongs to.
    #[must_use]
    pub fn trace_id(self) -> [u8; 16] {
        self.row.trace_id
    }

    /// Its id.
    #[must_use]
    pub fn span_id(self) -> [u8; 8] {
        self.row.span_id
    }

    /// The id of the span that caused it; all zero for a root span.
    #[must_use]
    pub fn parent_span_id(self) -> [u8; 8] {
        self.row.parent_span_id
    }

    /// W3C trace state.
    #[must_use]
    pub fn trace_state(self) -> &'a str {
        self.part.buffer.text(self.row.trace_state)
    }

    /// W3C trace flags in the lowest eight bits, and whether the parent is remote.
    #[must_use]
    pub fn flags(self) -> u32 {
        self.row.flags
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.part.buffer.text(self.row.name)
    }

    /// 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    #[must_use]
    pub fn kind(self) -> i32 {
        self.row.kind
    }

    /// Its start, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn start_time_unix_nano(self) -> u64 {
        self.row.start_time
    }

    /// Its end, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn end_time_unix_nano(self) -> u64 {
        self.row.end_time
    }

    /// 0 unset, 1 ok, 2 error.
    #[must_use]
    pub fn status_code(self) -> i32 {
        self.row.status_code
    }

    /// What the status says in words.
    #[must_use]
    pub fn status_message(self) -> &'a str {
        self.part.buffer.text(self.row.status_message)
    }

    /// Attributes, events and links that the sender dropped.
    #[must_use]
    pub fn dropped_counts(self) -> (u32, u32, u32) {
        (self.row.dropped_attributes, self.row.dropped_events, self.row.dropped_links)
    }

    /// The span's attributes.
    #[must_use]
    pub fn attributes(self) -> Attributes<'a> {
        Attributes::new(self.part, self.row.attrs)
    }

    /// The value of the span's own attribute with this key.
    #[must_use]
    pub fn attribute(self, key: &str) -> Option<Value<'a>> {
        self.attributes().value(key)
    }

    /// What happened during the span, in order.
    pub fn events(self) -> impl Iterator<Item = SpanEvent<'a>> {
        let part = self.part;
        let events = match &part.rows {
            Rows::Spans(rows) => rows.events.get(self.row.events.indices()).unwrap_or_default(),
            Rows::Logs(_) | Rows::Metrics(_) => &[],
        };
        events.iter().map(move |row| SpanEvent { part, row })
    }

    /// Spans that this one is linked to, in order.
    pub fn links(self) -> impl Iterator<Item = SpanLink<'a>> {
        let part = self.part;
        let links = match &part.rows {
            Rows::Spans(rows) => rows.links.get(self.row.links.indices()).unwrap_or_default(),
            Rows::Logs(_) | Rows::Metrics(_) => &[],
        };
        links.iter().map(move |row| SpanLink { part, row })
    }

    /// The resource that the span comes from.
    #[must_use]
    pub fn resource(self) -> Resource<'a> {
        let scope = self.part.scopes.get(self.row.scope as usize);
        Resource::new(self.part, scope.map_or(0, |scope| scope.resource as usize))
    }

    /// The instrumentation scope that the span comes from.
    #[must_use]
    pub fn scope(self) -> Scope<'a> {
        Scope::new(self.part, self.row.scope as usize)
    }
}

/// Something that happened during a span, read only.
#[derive(Clone, Copy)]
pub struct SpanEvent<'a> {
    part: &'a Part,
    row: &'a EventRow,
}

impl<'a> SpanEvent<'a> {
    /// When, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn time_unix_nano(self) -> u64 {
        self.row.time
    }

    /// What.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.part.buffer.text(self.row.name)
    }

    /// Its attributes.
    #[must_use]
    pub fn attributes(self) -> Attributes<'a> {
        Attributes::new(self.part, self.row.attrs)
    }

    /// Attributes that the sender dropped.
    #[must_use]
    pub fn dropped_attributes_count(self) -> u32 {
        self.row.dropped_attributes
    }
}

/// A span that another one is linked to, read only.
#[derive(Clone, Copy)]
pub struct SpanLink<'a> {
    part: &'a Part,
    row: &'a LinkRow,
}

impl<'a> SpanLink<'a> {
    /// The trace of the other span.
    #[must_use]
    pub fn trace_id(self) -> [u8; 16] {
        self.row.trace_id
    }

    /// The other span.
    #[must_use]
    pub fn span_id(self) -> [u8; 8] {
        self.row.span_id
    }

    /// W3C trace state.
    #[must_use]
    pub fn trace_state(self) -> &'a str {
        self.part.buffer.text(self.row.trace_state)
    }

    /// W3C trace flags in the lowest eight bits, and whether the other span is remote.
    #[must_use]
    pub fn flags(self) -> u32 {
        self.row.flags
    }

    /// Attributes of the link.
    #[must_use]
    pub fn attributes(self) -> Attributes<'a> {
        Attributes::new(self.part, self.row.attrs)
    }

    /// Attributes that the sender dropped.
    #[must_use]
    pub fn dropped_attributes_count(self) -> u32 {
        self.row.dropped_attributes
    }
}
