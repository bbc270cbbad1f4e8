//! Spans, their events and links, as they are read.

use super::attributes::Attributes;
use super::part::Part;
use super::record::{Resource, Scope};
use super::rows::{EventRow, LinkRow, Rows, SpanRow};
use super::value::Value;

/// A span, read only.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    part: &'a Part,
    row: &'a SpanRow,
}

impl<'a> Span<'a> {
    pub(super) fn new(part: &'a Part, row: &'a SpanRow) -> Self {
        Self { part, row }
    }

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
    /// The event of this number in the whole part.
    pub(crate) fn numbered(part: &'a Part, index: usize) -> Option<Self> {
        let Rows::Spans(rows) = &part.rows else { return None };
        Some(Self { part, row: rows.events.get(index)? })
    }

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
