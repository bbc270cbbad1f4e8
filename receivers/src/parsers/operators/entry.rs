//! A record that owns what it holds, for operators to change at will.

use watershed_pipeline::{AnyValue, Attributes, BatchBuilder, LogRecord};

use super::path::Root;
use crate::parsers::{Failure, PARSE_ERROR};

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) body: AnyValue,
    /// A map.
    pub(super) attributes: AnyValue,
    /// A map.
    pub(super) resource: AnyValue,
    pub(super) time: u64,
    pub(super) observed_time: u64,
    pub(super) severity_number: i32,
    pub(super) severity_text: String,
    pub(super) scope_name: String,
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) flags: u32,
}

impl Entry {
    pub(super) fn read(log: LogRecord<'_>) -> Self {
        Self {
            body: log.body().map_or(AnyValue::Empty, |body| body.to_any_value()),
            attributes: owned(log.attributes()),
            resource: owned(log.resource().attributes()),
            time: log.time_unix_nano(),
            observed_time: log.observed_time_unix_nano(),
            severity_number: log.severity_number(),
            severity_text: log.severity_text().to_owned(),
            scope_name: log.scope().name().to_owned(),
            trace_id: log.trace_id(),
            span_id: log.span_id(),
            flags: log.flags(),
        }
    }

    pub(super) fn root(&self, root: Root) -> &AnyValue {
        match root {
            Root::Body => &self.body,
            Root::Attributes => &self.attributes,
            Root::Resource => &self.resource,
        }
    }

    pub(super) fn root_mut(&mut self, root: Root) -> &mut AnyValue {
        match root {
            Root::Body => &mut self.body,
            Root::Attributes => &mut self.attributes,
            Root::Resource => &mut self.resource,
        }
    }

    /// Says on the record why it could not be read.
    pub(super) fn mark(&mut self, failure: Failure) {
        let AnyValue::Map(attributes) = &mut self.attributes else { return };
        attributes.retain(|(key, _)| key != PARSE_ERROR);
        attributes.push((PARSE_ERROR.to_owned(), failure.to_string().into()));
    }

    /// Adds the record to a batch. Its resource is that which the receiver has begun, and on top of it what the lines said.
    pub(super) fn write(&self, builder: &mut BatchBuilder) {
        builder.push(|record| {
            record.set_body(&self.body);
            for (key, value) in entries(&self.attributes) {
                record.set_attribute(key, value);
            }
            record.set_time_unix_nano(self.time);
            record.set_observed_time_unix_nano(self.observed_time);
            if self.severity_number != 0 {
                record.set_severity_number(self.severity_number);
            }
            if !self.severity_text.is_empty() {
                record.set_severity_text(&self.severity_text);
            }
            if self.trace_id != [0; 16] || self.span_id != [0; 8] {
                record.set_trace_context(self.trace_id, self.span_id, self.flags);
            }
            if !entries(&self.resource).is_empty() {
                record.set_resource(|resource| {
                    for (key, value) in entries(&self.resource) {
                        resource.set_attribute(key, value);
                    }
                });
            }
            if !self.scope_name.is_empty() {
                record.set_scope_name(&self.scope_name);
            }
        });
    }
}

fn entries(map: &AnyValue) -> &[(String, AnyValue)] {
    if let AnyValue::Map(entries) = map { entries } else { &[] }
}

fn owned(attributes: Attributes<'_>) -> AnyValue {
    AnyValue::Map(attributes.iter().map(|(key, value)| (key.to_owned(), value.to_any_value())).collect())
}
