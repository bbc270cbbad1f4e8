//! Parts of a batch → one OTLP request in protobuf.
//!
//! What was not changed is copied from the bytes it came in: a whole message without even that, else a
//! resource, a scope or a record. The rest is written from the rows, backwards (see [`BackwardWriter`]).

use bytes::Bytes;

use super::nested::stored_backwards;
use super::wire::{BYTES, BackwardWriter, Reader, tag};
use crate::batch::{
    AttrRange, EventRow, ExemplarRow, ExponentialRow, LinkRow, LogRow, MetricKind, MetricRow, MetricRows,
    Number, Part, PointData, PointRow, Quantile, ResourceRow, Rows, ScopeRow, SpanRow, SpanRows, Stored,
    Text,
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

struct PartEncoder<'a> {
    part: &'a Part,
    out: &'a mut BackwardWriter,
}

impl PartEncoder<'_> {
    fn part(&mut self) {
        match &self.part.rows {
            Rows::Logs(rows) => self.groups(rows, |row| row.scope, |this, row| this.log_record(row)),
            Rows::Spans(rows) => self.groups(&rows.spans, |row| row.scope, |this, row| this.span(rows, row)),
            Rows::Metrics(rows) => {
                self.groups(&rows.metrics, |row| row.scope, |this, row| this.metric(rows, row));
            }
        }
    }

    /// Writes rows within the scopes and resources they belong to, leaving out those in which nothing is left.
    /// Rows of one scope stand together.
    fn groups<R>(&mut self, rows: &[R], scope_of: fn(&R) -> u32, mut write: impl FnMut(&mut Self, &R)) {
        let none = ScopeRow::default();
        let part = self.part;
        let scope_row = |scope: u32| part.scopes.get(scope as usize).unwrap_or(&none);
        let mut rest = rows;
        while let Some(last) = rest.last() {
            let resource_index = scope_row(scope_of(last)).resource;
            let default = ResourceRow::default();
            let resource = part.resources.get(resource_index as usize).unwrap_or(&default);
            let group = self.out.mark();
            self.out.text_field(3, part.buffer.bytes(resource.schema_url));
            let scopes = self.out.mark();
            while let Some(last) =
                rest.last().filter(|row| scope_row(scope_of(row)).resource == resource_index)
            {
                let index = scope_of(last);
                let scope = scope_row(index);
                let scope_group = self.out.mark();
                self.out.text_field(3, part.buffer.bytes(scope.schema_url));
                let records = self.out.mark();
                while let Some((row, before)) = rest.split_last().filter(|(row, _)| scope_of(row) == index) {
                    write(self, row);
                    rest = before;
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

    fn metric(&mut self, rows: &MetricRows, row: &MetricRow) {
        let mark = self.out.mark();
        if !row.raw.is_none() {
            self.raw(row.raw);
        } else if row.points.len == 0 {
            // All of its points were dropped, so there is nothing to say of it.
            return;
        } else {
            self.attributes(12, row.metadata);
            self.data(rows, row);
            self.text(3, row.unit);
            self.text(2, row.description);
            self.text(1, row.name);
        }
        self.out.close(mark, 2);
    }

    fn data(&mut self, rows: &MetricRows, row: &MetricRow) {
        let field = match row.kind {
            MetricKind::Empty => return,
            MetricKind::Gauge => 5,
            MetricKind::Sum => 7,
            MetricKind::Histogram => 9,
            MetricKind::ExponentialHistogram => 10,
            MetricKind::Summary => 11,
        };
        let mark = self.out.mark();
        self.out.varint_field(3, u64::from(row.is_monotonic));
        self.out.int_field(2, row.temporality);
        each_back(&rows.points, row.points, |point| self.point(rows, point));
        self.out.close(mark, field);
    }

    fn point(&mut self, rows: &MetricRows, row: &PointRow) {
        let mark = self.out.mark();
        if row.raw.is_none() {
            match row.data {
                PointData::Number(number) => self.number(rows, row, number),
                PointData::Histogram { .. } => self.histogram(rows, row),
                PointData::Exponential(index) => self.exponential(rows, row, index),
                PointData::Summary { .. } => self.summary(rows, row),
            }
        } else {
            self.raw(row.raw);
        }
        self.out.close(mark, 1);
    }

    fn times(&mut self, row: &PointRow) {
        self.out.fixed64_field(3, row.time);
        self.out.fixed64_field(2, row.start_time);
    }

    fn number(&mut self, rows: &MetricRows, row: &PointRow, number: Number) {
        self.out.varint_field(8, u64::from(row.flags));
        self.attributes(7, row.attrs);
        self.one_number(number, 6, 4);
        each_back(&rows.exemplars, row.exemplars, |exemplar| self.exemplar(5, exemplar));
        self.times(row);
    }

    /// A number that is a member of a oneof, and so is written also when it is zero.
    fn one_number(&mut self, number: Number, int_field: u32, double_field: u32) {
        match number {
            Number::None => {}
            // `sfixed64` has the layout of a double.
            Number::Int(value) => self.out.double_field(int_field, f64::from_bits(value.cast_unsigned())),
            Number::Double(value) => self.out.double_field(double_field, value),
        }
    }

    fn histogram(&mut self, rows: &MetricRows, row: &PointRow) {
        let PointData::Histogram { count, sum, min, max, buckets, bounds } = row.data else { return };
        self.optional(12, max);
        self.optional(11, min);
        self.out.varint_field(10, u64::from(row.flags));
        self.attributes(9, row.attrs);
        each_back(&rows.exemplars, row.exemplars, |exemplar| self.exemplar(8, exemplar));
        self.packed(7, rows.bounds.get(bounds.indices()), |bound| bound.to_le_bytes());
        self.packed(6, rows.counts.get(buckets.indices()), |count| count.to_le_bytes());
        self.optional(5, sum);
        self.out.fixed64_field(4, count);
        self.times(row);
    }

    fn exponential(&mut self, rows: &MetricRows, row: &PointRow, index: u32) {
        let data = rows.exponential.get(index as usize).copied().unwrap_or_default();
        let ExponentialRow { count, sum, min, max, scale, zero_count, zero_threshold, positive, negative } =
            data;
        if zero_threshold != 0.0 {
            self.out.double_field(14, zero_threshold);
        }
        self.optional(13, max);
        self.optional(12, min);
        each_back(&rows.exemplars, row.exemplars, |exemplar| self.exemplar(11, exemplar));
        self.out.varint_field(10, u64::from(row.flags));
        for (field, side) in [(9, negative), (8, positive)] {
            if let Some(side) = side {
                let mark = self.out.mark();
                let counts = rows.counts.get(side.counts.indices()).unwrap_or_default();
                for count in counts.iter().rev() {
                    self.out.varint(*count);
                }
                if !counts.is_empty() {
                    self.out.close(mark, 2);
                }
                self.out.varint_field(1, u64::from(zigzag(side.offset)));
                self.out.close(mark, field);
            }
        }
        self.out.fixed64_field(7, zero_count);
        self.out.varint_field(6, u64::from(zigzag(scale)));
        self.optional(5, sum);
        self.out.fixed64_field(4, count);
        self.times(row);
        self.attributes(1, row.attrs);
    }

    fn summary(&mut self, rows: &MetricRows, row: &PointRow) {
        let PointData::Summary { count, sum, quantiles } = row.data else { return };
        self.out.varint_field(8, u64::from(row.flags));
        self.attributes(7, row.attrs);
        each_back(&rows.quantiles, quantiles, |quantile| self.quantile(quantile));
        if sum != 0.0 {
            self.out.double_field(5, sum);
        }
        self.out.fixed64_field(4, count);
        self.times(row);
    }

    fn quantile(&mut self, row: &Quantile) {
        let mark = self.out.mark();
        if row.value != 0.0 {
            self.out.double_field(2, row.value);
        }
        if row.quantile != 0.0 {
            self.out.double_field(1, row.quantile);
        }
        self.out.close(mark, 6);
    }

    fn exemplar(&mut self, field: u32, row: &ExemplarRow) {
        let mark = self.out.mark();
        if row.raw.is_none() {
            self.attributes(7, row.attrs);
            self.out.id_field(5, &row.trace_id);
            self.out.id_field(4, &row.span_id);
            self.one_number(row.value, 6, 3);
            self.out.fixed64_field(2, row.time);
        } else {
            self.raw(row.raw);
        }
        self.out.close(mark, field);
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

    fn optional(&mut self, field: u32, value: Option<f64>) {
        if let Some(value) = value {
            self.out.double_field(field, value);
        }
    }

    fn packed<T: Copy>(&mut self, field: u32, numbers: Option<&[T]>, bytes: fn(T) -> [u8; 8]) {
        let numbers = numbers.unwrap_or_default();
        if !numbers.is_empty() {
            let mark = self.out.mark();
            for number in numbers.iter().rev() {
                self.out.put(&bytes(*number));
            }
            self.out.close(mark, field);
        }
    }
}

/// Calls `write` for each row of a range, the last one first.
fn each_back<R>(rows: &[R], range: AttrRange, write: impl FnMut(&R)) {
    rows.get(range.indices()).unwrap_or_default().iter().rev().for_each(write);
}

fn zigzag(value: i32) -> u32 {
    (value << 1 ^ value >> 31).cast_unsigned()
}
