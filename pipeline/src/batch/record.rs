//! What is read from a batch of any signal: records, resources and scopes.
//!
//! All of these, and the views in `log`, `span` and `metrics`, are two or three words that point into the
//! batch; copying one is free.

use super::Signal;
use super::attributes::{AttrRange, Attributes};
use super::buffer::Text;
use super::log::LogRecord;
use super::part::{Holder, Part};
use super::points::DataPoint;
use super::rows::{ResourceRow, Rows, ScopeRow};
use super::span::Span;
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
        Attributes::new(self.part, self.part.attributes_of(Holder::Row(self.row)))
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
        Some(LogRecord::new(self.part, rows.get(self.row)?))
    }

    /// The record as a span, if it is one.
    #[must_use]
    pub fn span(self) -> Option<Span<'a>> {
        let Rows::Spans(rows) = &self.part.rows else { return None };
        Some(Span::new(self.part, rows.spans.get(self.row)?))
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
    attrs: AttrRange { start: 0, len: 0 },
    dropped_attributes: 0,
    schema_url: Text::NONE,
    raw: Text::NONE,
    entities: Text::NONE,
};

static NO_SCOPE: ScopeRow = ScopeRow {
    resource: 0,
    name: Text::NONE,
    version: Text::NONE,
    attrs: AttrRange { start: 0, len: 0 },
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
