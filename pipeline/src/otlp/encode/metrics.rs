//! `Metric`, its five kinds of data and `Exemplar` of opentelemetry/proto/metrics/v1, written backwards.

use super::{PartEncoder, each_back};
use crate::batch::{
    ExemplarRow, ExponentialRow, MetricKind, MetricRow, MetricRows, Number, PointData, PointRow, Quantile,
};

impl PartEncoder<'_> {
    pub(super) fn metric(&mut self, rows: &MetricRows, row: &MetricRow) {
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

fn zigzag(value: i32) -> u32 {
    (value << 1 ^ value >> 31).cast_unsigned()
}
