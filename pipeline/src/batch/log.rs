//! Log records as they are read.

use super::attributes::Attributes;
use super::part::Part;
use super::record::{Resource, Scope};
use super::rows::LogRow;
use super::value::Value;

/// A log record, read only.
#[derive(Clone, Copy)]
pub struct LogRecord<'a> {
    part: &'a Part,
    row: &'a LogRow,
}

impl<'a> LogRecord<'a> {
    pub(super) fn new(part: &'a Part, row: &'a LogRow) -> Self {
        Self { part, row }
    }

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
