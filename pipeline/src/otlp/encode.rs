//! Parts of a batch → one OTLP request in protobuf.
//!
//! What was not changed is copied from the bytes it came in: a whole message without even that, else a
//! resource, a scope or a record. The rest is written from the rows, backwards (see [`BackwardWriter`]).

mod metrics;

use bytes::Bytes;

use super::nested::stored_backwards;
use super::wire::{BYTES, BackwardWriter, Reader, tag};
use crate::batch::{
    AttrRange, EventRow, LinkRow, LogRow, Part, ResourceRow, Rows, ScopeRow, SpanRow, SpanRows, Stored, Text,
};

/// Encodes parts of one signal as an `Export…ServiceRequest`.
pub(crate) fn encode<'a>(parts: impl DoubleEndedIterator<Item = &'a Part> + Clone) -> Bytes {
    let mut few = parts.clone();
    if let (Some(only), None) = (few.next(), few.next())
        && only.pristine
    {
        return only.buffer.wire().clone();
    }
    let expected: usize = parts.clone().map(|part| part.buffer.memory_size() + 64 * part.len() + 64).sum();
    let mut writer = BackwardWriter::with_capacity(expected);
    for part in parts.rev() {
        if part.pristine {
            // Requests are lists, so one request behind another is both of them.
            writer.put(part.buffer.wire());
        } else {
            PartEncoder { part, out: &mut writer }.part();
        }
    }
    writer.finish()
}

/// Encodes the rows at these positions, counted over all parts and in ascending order, as a request of their own.
pub(crate) fn encode_chosen<'a>(
    parts: impl DoubleEndedIterator<Item = &'a Part> + Clone,
    positions: &[usize],
) -> Bytes {
    let mut writer = BackwardWriter::with_capacity(512 * (positions.len() + 1));
    let mut before: usize = parts.clone().map(Part::len).sum();
    let mut rest = positions;
    for part in parts.rev() {
        before -= part.len();
        let (others, own) = rest.split_at(rest.partition_point(|position| *position < before));
        // A part may hold metrics without any point, which belong to no record.
        if !own.is_empty() {
            encode_rows(part, own.iter().map(|position| position - before), &mut writer);
        }
        rest = others;
    }
    // Copied, so that the spare room of the writer is not kept.
    Bytes::copy_from_slice(&writer.finish())
}

/// Encodes some rows of a part, in ascending order, in front of what is written already.
fn encode_rows(part: &Part, indices: impl DoubleEndedIterator<Item = usize>, out: &mut BackwardWriter) {
    let mut encoder = PartEncoder { part, out };
    match &part.rows {
        Rows::Logs(rows) => {
            let chosen = indices.filter_map(|index| rows.get(index));
            encoder.groups(chosen, |row| row.scope, |this, row| this.log_record(row));
        }
        Rows::Spans(rows) => {
            let chosen = indices.filter_map(|index| rows.spans.get(index));
            encoder.groups(chosen, |row| row.scope, |this, row| this.span(rows, row));
        }
        Rows::Metrics(_) => {
            // Points are not rows of their own on the wire: what is not wanted is taken out of a copy.
            let mut chosen = indices.peekable();
            let mut copy = part.clone();
            copy.retain(|_, row| chosen.next_if_eq(&row).is_some());
            PartEncoder { part: &copy, out: encoder.out }.part();
        }
    }
}

struct PartEncoder<'a> {
    part: &'a Part,
    out: &'a mut BackwardWriter,
}

impl PartEncoder<'_> {
    fn part(&mut self) {
        match &self.part.rows {
            Rows::Logs(rows) => self.groups(rows.iter(), |row| row.scope, |this, row| this.log_record(row)),
            Rows::Spans(rows) => {
                self.groups(rows.spans.iter(), |row| row.scope, |this, row| this.span(rows, row));
            }
            Rows::Metrics(rows) => {
                self.groups(rows.metrics.iter(), |row| row.scope, |this, row| this.metric(rows, row));
            }
        }
    }

    /// Writes rows within the scopes and resources they belong to, leaving out those in which nothing is left.
    /// Rows of one scope stand together.
    fn groups<'r, R: 'r>(
        &mut self,
        rows: impl DoubleEndedIterator<Item = &'r R>,
        scope_of: fn(&R) -> u32,
        mut write: impl FnMut(&mut Self, &R),
    ) {
        let none = ScopeRow::default();
        let part = self.part;
        let scope_row = |scope: u32| part.scopes.get(scope as usize).unwrap_or(&none);
        let mut rest = rows.rev().peekable();
        while let Some(last) = rest.peek() {
            let resource_index = scope_row(scope_of(last)).resource;
            let default = ResourceRow::default();
            let resource = part.resources.get(resource_index as usize).unwrap_or(&default);
            let group = self.out.mark();
            self.out.text_field(3, part.buffer.bytes(resource.schema_url));
            let scopes = self.out.mark();
            while let Some(last) =
                rest.peek().filter(|row| scope_row(scope_of(row)).resource == resource_index)
            {
                let index = scope_of(last);
                let scope = scope_row(index);
                let scope_group = self.out.mark();
                self.out.text_field(3, part.buffer.bytes(scope.schema_url));
                let records = self.out.mark();
                while let Some(row) = rest.next_if(|row| scope_of(row) == index) {
                    write(self, row);
                }
                if self.out.mark() == records {
                    self.out.rewind(scope_group);
                } else {
                    self.scope(scope);
                    self.out.close(scope_group, 2);
                }
            }
            if self.out.mark() == scopes {
                self.out.rewind(group);
            } else {
                self.resource(resource);
                self.out.close(group, 1);
            }
        }
    }

    fn resource(&mut self, row: &ResourceRow) {
        let mark = self.out.mark();
        if row.raw.is_none() {
            self.entities(row.entities);
            self.out.varint_field(2, u64::from(row.dropped_attributes));
            self.attributes(1, row.attrs);
        } else {
            self.raw(row.raw);
        }
        if self.out.mark() != mark {
            self.out.close(mark, 1);
        }
    }

    /// Copies the entity references out of a resource's received bytes.
    fn entities(&mut self, received: Text) {
        const ENTITY_REFS: u32 = tag(3, BYTES);
        let mut found = Vec::new();
        let mut reader = Reader::new(self.part.buffer.bytes(received), "Resource");
        while let Ok(Some(tag)) = reader.next_tag() {
            match tag {
                ENTITY_REFS => found.extend(reader.nested("EntityRef").map(|entity| entity.rest())),
                other if reader.skip(other, 0).is_err() => break,
                _ => {}
            }
        }
        for entity in found.into_iter().rev() {
            self.out.bytes_field(3, entity);
        }
    }

    fn scope(&mut self, row: &ScopeRow) {
        let mark = self.out.mark();
        if row.raw.is_none() {
            self.out.varint_field(4, u64::from(row.dropped_attributes));
            self.attributes(3, row.attrs);
            self.text(2, row.version);
            self.text(1, row.name);
        } else {
            self.raw(row.raw);
        }
        if self.out.mark() != mark {
            self.out.close(mark, 1);
        }
    }

    fn log_record(&mut self, row: &LogRow) {
        let mark = self.out.mark();
        if row.raw.is_none() {
            self.text(12, row.event_name);
            self.out.fixed64_field(11, row.observed_time);
            self.out.id_field(10, &row.span_id);
            self.out.id_field(9, &row.trace_id);
            self.out.fixed32_field(8, row.flags);
            self.out.varint_field(7, u64::from(row.dropped_attributes));
            self.attributes(6, row.attrs);
            self.any_value(5, row.body);
            self.text(3, row.severity_text);
            self.out.int_field(2, row.severity_number);
            self.out.fixed64_field(1, row.time);
        } else {
            self.raw(row.raw);
        }
        self.out.close(mark, 2);
    }

    fn span(&mut self, rows: &SpanRows, row: &SpanRow) {
        let mark = self.out.mark();
        if row.raw.is_none() {
            self.out.fixed32_field(16, row.flags);
            self.status(row);
            self.out.varint_field(14, u64::from(row.dropped_links));
            each_back(&rows.links, row.links, |link| self.link(link));
            self.out.varint_field(12, u64::from(row.dropped_events));
            each_back(&rows.events, row.events, |event| self.event(event));
            self.out.varint_field(10, u64::from(row.dropped_attributes));
            self.attributes(9, row.attrs);
            self.out.fixed64_field(8, row.end_time);
            self.out.fixed64_field(7, row.start_time);
            self.out.int_field(6, row.kind);
            self.text(5, row.name);
            self.out.id_field(4, &row.parent_span_id);
            self.text(3, row.trace_state);
            self.out.id_field(2, &row.span_id);
            self.out.id_field(1, &row.trace_id);
        } else {
            self.raw(row.raw);
        }
        self.out.close(mark, 2);
    }

    fn status(&mut self, row: &SpanRow) {
        if row.has_status {
            let mark = self.out.mark();
            self.out.int_field(3, row.status_code);
            self.text(2, row.status_message);
            self.out.close(mark, 15);
        }
    }

    fn event(&mut self, row: &EventRow) {
        let mark = self.out.mark();
        if row.raw.is_none() {
            self.out.varint_field(4, u64::from(row.dropped_attributes));
            self.attributes(3, row.attrs);
            self.text(2, row.name);
            self.out.fixed64_field(1, row.time);
        } else {
            self.raw(row.raw);
        }
        self.out.close(mark, 11);
    }

    fn link(&mut self, row: &LinkRow) {
        let mark = self.out.mark();
        if row.raw.is_none() {
            self.out.fixed32_field(6, row.flags);
            self.out.varint_field(5, u64::from(row.dropped_attributes));
            self.attributes(4, row.attrs);
            self.text(3, row.trace_state);
            self.out.id_field(2, &row.span_id);
            self.out.id_field(1, &row.trace_id);
        } else {
            self.raw(row.raw);
        }
        self.out.close(mark, 13);
    }

    fn attributes(&mut self, field: u32, range: AttrRange) {
        let part = self.part;
        each_back(&part.attrs, range, |attr| {
            let mark = self.out.mark();
            self.any_value(2, attr.value);
            self.text(1, part.keys.place(attr.key));
            self.out.close(mark, field);
        });
    }

    fn any_value(&mut self, field: u32, value: Stored) {
        if value != Stored::Absent {
            let mark = self.out.mark();
            stored_backwards(self.out, &self.part.buffer, value);
            self.out.close(mark, field);
        }
    }

    fn text(&mut self, field: u32, place: Text) {
        self.out.text_field(field, self.part.buffer.bytes(place));
    }

    fn raw(&mut self, place: Text) {
        self.out.put(self.part.buffer.bytes(place));
    }
}

/// Calls `write` for each row of a range, the last one first.
fn each_back<R>(rows: &[R], range: AttrRange, write: impl FnMut(&R)) {
    rows.get(range.indices()).unwrap_or_default().iter().rev().for_each(write);
}
