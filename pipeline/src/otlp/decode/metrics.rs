//! `Metric`, its five kinds of data and `Exemplar` of opentelemetry/proto/metrics/v1.

use super::traces::extend;
use super::{AttrRange, BYTES, Decoder, Reader, Reason, Result, VARINT, fields, tag};
use crate::batch::{
    BucketsRow, ExemplarRow, ExponentialRow, MetricKind, MetricRow, MetricRows, Number, PointData, PointRow,
    Quantile, Rows,
};
use crate::otlp::wire::FIXED64;

const NAME: u32 = tag(1, BYTES);
const DESCRIPTION: u32 = tag(2, BYTES);
const UNIT: u32 = tag(3, BYTES);
const GAUGE: u32 = tag(5, BYTES);
const SUM: u32 = tag(7, BYTES);
const HISTOGRAM: u32 = tag(9, BYTES);
const EXPONENTIAL: u32 = tag(10, BYTES);
const SUMMARY: u32 = tag(11, BYTES);
const METADATA: u32 = tag(12, BYTES);
const KNOWN: u64 = fields(&[1, 2, 3, 5, 7, 9, 10, 11, 12]);

const POINTS: u32 = tag(1, BYTES);
const TEMPORALITY: u32 = tag(2, VARINT);
const MONOTONIC: u32 = tag(3, VARINT);

/// Where the two kinds of histogram and the others put what they share, as field numbers.
struct Shared {
    attributes: u32,
    exemplars: u32,
    flags: u32,
}

const NUMBER: Shared = Shared { attributes: tag(7, BYTES), exemplars: tag(5, BYTES), flags: tag(8, VARINT) };
const BUCKETED: Shared =
    Shared { attributes: tag(9, BYTES), exemplars: tag(8, BYTES), flags: tag(10, VARINT) };
const SCALED: Shared =
    Shared { attributes: tag(1, BYTES), exemplars: tag(11, BYTES), flags: tag(10, VARINT) };
/// Summaries have no exemplars; tag 0 never occurs.
const QUANTILED: Shared = Shared { attributes: tag(7, BYTES), exemplars: 0, flags: tag(8, VARINT) };

const START_TIME: u32 = tag(2, FIXED64);
const TIME: u32 = tag(3, FIXED64);

impl Decoder {
    pub(super) fn metric(&mut self, mut reader: Reader<'_>, scope: u32) -> Result<()> {
        let index = self.rows().metrics.len();
        let points = AttrRange { start: self.rows().points.len() as u32, len: 0 };
        let mut row = MetricRow { scope, raw: reader.place(), points, ..MetricRow::default() };
        self.rows().metrics.push(MetricRow::default());
        while let Some(tag) = reader.next_tag()? {
            let kind = match tag {
                NAME => {
                    row.name = reader.text()?;
                    continue;
                }
                DESCRIPTION => {
                    row.description = reader.text()?;
                    continue;
                }
                UNIT => {
                    row.unit = reader.text()?;
                    continue;
                }
                METADATA => {
                    self.attribute(reader.nested("KeyValue")?, &mut row.metadata, AttrRange::default())?;
                    continue;
                }
                GAUGE => MetricKind::Gauge,
                SUM => MetricKind::Sum,
                HISTOGRAM => MetricKind::Histogram,
                EXPONENTIAL => MetricKind::ExponentialHistogram,
                SUMMARY => MetricKind::Summary,
                unknown => {
                    reader.skip(unknown, KNOWN)?;
                    continue;
                }
            };
            if row.kind != kind {
                // Of several members of a oneof the last one counts.
                self.rows().points.truncate(points.start as usize);
                row = MetricRow { kind, temporality: 0, is_monotonic: false, ..row };
            }
            self.data(reader.nested(data_name(kind))?, &mut row, index)?;
        }
        let end = self.rows().points.len() as u32;
        row.points.len = end - row.points.start;
        if let Some(slot) = self.rows().metrics.get_mut(index) {
            *slot = row;
        }
        Ok(())
    }

    fn rows(&mut self) -> &mut MetricRows {
        if !matches!(self.part.rows, Rows::Metrics(_)) {
            self.part.rows = Rows::Metrics(MetricRows::default());
        }
        match &mut self.part.rows {
            Rows::Metrics(rows) => rows,
            Rows::Logs(_) | Rows::Spans(_) => unreachable!("the rows were just made those of metrics"),
        }
    }

    fn data(&mut self, mut reader: Reader<'_>, row: &mut MetricRow, metric: usize) -> Result<()> {
        let known = match row.kind {
            MetricKind::Sum => fields(&[1, 2, 3]),
            MetricKind::Histogram | MetricKind::ExponentialHistogram => fields(&[1, 2]),
            MetricKind::Gauge | MetricKind::Summary | MetricKind::Empty => fields(&[1]),
        };
        while let Some(tag) = reader.next_tag()? {
            match tag {
                POINTS => self.point(reader.nested(point_name(row.kind))?, row.kind, metric)?,
                TEMPORALITY if known & 4 != 0 => row.temporality = reader.varint()? as i32,
                MONOTONIC if known & 8 != 0 => row.is_monotonic = reader.varint()? != 0,
                unknown => reader.skip(unknown, known)?,
            }
        }
        Ok(())
    }

    fn point(&mut self, mut reader: Reader<'_>, kind: MetricKind, metric: usize) -> Result<()> {
        let mut row = PointRow {
            metric: metric as u32,
            flags: 0,
            start_time: 0,
            time: 0,
            attrs: AttrRange::default(),
            exemplars: AttrRange::default(),
            data: PointData::Number(Number::None),
            raw: reader.place(),
        };
        let shared = match kind {
            MetricKind::Histogram => BUCKETED,
            MetricKind::ExponentialHistogram => SCALED,
            MetricKind::Summary => QUANTILED,
            MetricKind::Gauge | MetricKind::Sum | MetricKind::Empty => NUMBER,
        };
        let mut data = PointFields::default();
        let previous = self.previous;
        while let Some(tag) = reader.next_tag()? {
            match tag {
                START_TIME => row.start_time = reader.fixed64()?,
                TIME => row.time = reader.fixed64()?,
                _ if tag == shared.attributes => {
                    self.attribute(reader.nested("KeyValue")?, &mut row.attrs, previous)?;
                }
                _ if tag == shared.exemplars => {
                    self.exemplar(reader.nested("Exemplar")?, &mut row.exemplars)?;
                }
                _ if tag == shared.flags => row.flags = reader.varint()? as u32,
                _ => match kind {
                    MetricKind::Histogram => self.histogram_field(&mut reader, tag, &mut data)?,
                    MetricKind::ExponentialHistogram => {
                        self.exponential_field(&mut reader, tag, &mut data)?
                    }
                    MetricKind::Summary => self.summary_field(&mut reader, tag, &mut data)?,
                    MetricKind::Gauge | MetricKind::Sum | MetricKind::Empty => {
                        number_field(&mut reader, tag, &mut data)?;
                    }
                },
            }
        }
        self.previous = row.attrs;
        row.data = self.point_data(kind, data);
        self.rows().points.push(row);
        Ok(())
    }

    fn point_data(&mut self, kind: MetricKind, data: PointFields) -> PointData {
        let PointFields { number, buckets, bounds, quantiles, exponential } = data;
        match kind {
            MetricKind::Histogram => PointData::Histogram {
                count: exponential.count,
                sum: exponential.sum,
                min: exponential.min,
                max: exponential.max,
                buckets,
                bounds,
            },
            MetricKind::ExponentialHistogram => {
                let rows = self.rows();
                rows.exponential.push(exponential);
                PointData::Exponential(rows.exponential.len() as u32 - 1)
            }
            MetricKind::Summary => PointData::Summary {
                count: exponential.count,
                sum: exponential.sum.unwrap_or_default(),
                quantiles,
            },
            MetricKind::Gauge | MetricKind::Sum | MetricKind::Empty => PointData::Number(number),
        }
    }

    fn histogram_field(&mut self, reader: &mut Reader<'_>, tag: u32, data: &mut PointFields) -> Result<()> {
        const COUNT: u32 = tag_of(4, FIXED64);
        const SUM: u32 = tag_of(5, FIXED64);
        const COUNTS: u32 = tag_of(6, BYTES);
        const ONE_COUNT: u32 = tag_of(6, FIXED64);
        const BOUNDS: u32 = tag_of(7, BYTES);
        const ONE_BOUND: u32 = tag_of(7, FIXED64);
        const MIN: u32 = tag_of(11, FIXED64);
        const MAX: u32 = tag_of(12, FIXED64);
        match tag {
            COUNT => data.exponential.count = reader.fixed64()?,
            SUM => data.exponential.sum = Some(reader.double()?),
            MIN => data.exponential.min = Some(reader.double()?),
            MAX => data.exponential.max = Some(reader.double()?),
            COUNTS => packed(reader.nested("HistogramDataPoint")?, |number| {
                push(&mut self.rows().counts, &mut data.buckets, u64::from_le_bytes(number));
            })?,
            ONE_COUNT => push(&mut self.rows().counts, &mut data.buckets, reader.fixed64()?),
            BOUNDS => packed(reader.nested("HistogramDataPoint")?, |number| {
                push(&mut self.rows().bounds, &mut data.bounds, f64::from_le_bytes(number));
            })?,
            ONE_BOUND => push(&mut self.rows().bounds, &mut data.bounds, reader.double()?),
            unknown => reader.skip(unknown, fields(&[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]))?,
        }
        Ok(())
    }

    fn exponential_field(&mut self, reader: &mut Reader<'_>, tag: u32, data: &mut PointFields) -> Result<()> {
        const COUNT: u32 = tag_of(4, FIXED64);
        const SUM: u32 = tag_of(5, FIXED64);
        const SCALE: u32 = tag_of(6, VARINT);
        const ZERO_COUNT: u32 = tag_of(7, FIXED64);
        const POSITIVE: u32 = tag_of(8, BYTES);
        const NEGATIVE: u32 = tag_of(9, BYTES);
        const MIN: u32 = tag_of(12, FIXED64);
        const MAX: u32 = tag_of(13, FIXED64);
        const ZERO_THRESHOLD: u32 = tag_of(14, FIXED64);
        let row = &mut data.exponential;
        match tag {
            COUNT => row.count = reader.fixed64()?,
            SUM => row.sum = Some(reader.double()?),
            SCALE => row.scale = zigzag(reader.varint()?),
            ZERO_COUNT => row.zero_count = reader.fixed64()?,
            POSITIVE => row.positive = Some(self.buckets(reader.nested("Buckets")?, row.positive)?),
            NEGATIVE => row.negative = Some(self.buckets(reader.nested("Buckets")?, row.negative)?),
            MIN => row.min = Some(reader.double()?),
            MAX => row.max = Some(reader.double()?),
            ZERO_THRESHOLD => row.zero_threshold = reader.double()?,
            unknown => reader.skip(unknown, fields(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]))?,
        }
        Ok(())
    }

    fn buckets(&mut self, mut reader: Reader<'_>, earlier: Option<BucketsRow>) -> Result<BucketsRow> {
        const OFFSET: u32 = tag_of(1, VARINT);
        const COUNTS: u32 = tag_of(2, BYTES);
        const ONE_COUNT: u32 = tag_of(2, VARINT);
        let mut row = earlier.unwrap_or_default();
        while let Some(tag) = reader.next_tag()? {
            match tag {
                OFFSET => row.offset = zigzag(reader.varint()?),
                COUNTS => {
                    let mut numbers = reader.nested("Buckets")?;
                    while !numbers.is_empty() {
                        push(&mut self.rows().counts, &mut row.counts, numbers.varint()?);
                    }
                }
                ONE_COUNT => push(&mut self.rows().counts, &mut row.counts, reader.varint()?),
                unknown => reader.skip(unknown, fields(&[1, 2]))?,
            }
        }
        Ok(row)
    }

    fn summary_field(&mut self, reader: &mut Reader<'_>, tag: u32, data: &mut PointFields) -> Result<()> {
        const COUNT: u32 = tag_of(4, FIXED64);
        const SUM: u32 = tag_of(5, FIXED64);
        const QUANTILES: u32 = tag_of(6, BYTES);
        match tag {
            COUNT => data.exponential.count = reader.fixed64()?,
            SUM => data.exponential.sum = Some(reader.double()?),
            QUANTILES => {
                let quantile = quantile(reader.nested("ValueAtQuantile")?)?;
                push(&mut self.rows().quantiles, &mut data.quantiles, quantile);
            }
            unknown => reader.skip(unknown, fields(&[2, 3, 4, 5, 6, 7, 8]))?,
        }
        Ok(())
    }

    fn exemplar(&mut self, mut reader: Reader<'_>, range: &mut AttrRange) -> Result<()> {
        const TIME: u32 = tag_of(2, FIXED64);
        const DOUBLE: u32 = tag_of(3, FIXED64);
        const SPAN_ID: u32 = tag_of(4, BYTES);
        const TRACE_ID: u32 = tag_of(5, BYTES);
        const INT: u32 = tag_of(6, FIXED64);
        const ATTRIBUTES: u32 = tag_of(7, BYTES);
        let mut row = ExemplarRow { raw: reader.place(), ..ExemplarRow::default() };
        while let Some(tag) = reader.next_tag()? {
            match tag {
                TIME => row.time = reader.fixed64()?,
                DOUBLE => row.value = Number::Double(reader.double()?),
                INT => row.value = Number::Int(reader.fixed64()?.cast_signed()),
                SPAN_ID => row.span_id = reader.id()?,
                TRACE_ID => row.trace_id = reader.id()?,
                ATTRIBUTES => {
                    self.attribute(reader.nested("KeyValue")?, &mut row.attrs, AttrRange::default())?
                }
                unknown => reader.skip(unknown, fields(&[2, 3, 4, 5, 6, 7]))?,
            }
        }
        let rows = self.rows();
        extend(range, rows.exemplars.len());
        rows.exemplars.push(row);
        Ok(())
    }
}

/// What the fields of one point have said so far. Histograms of both kinds and summaries share most of it.
#[derive(Clone, Copy, Default)]
struct PointFields {
    number: Number,
    buckets: AttrRange,
    bounds: AttrRange,
    quantiles: AttrRange,
    exponential: ExponentialRow,
}

const fn tag_of(field: u32, wire_type: u32) -> u32 {
    tag(field, wire_type)
}

const fn data_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Gauge => "Gauge",
        MetricKind::Sum => "Sum",
        MetricKind::Histogram => "Histogram",
        MetricKind::ExponentialHistogram => "ExponentialHistogram",
        MetricKind::Summary => "Summary",
        MetricKind::Empty => "Metric",
    }
}

const fn point_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Histogram => "HistogramDataPoint",
        MetricKind::ExponentialHistogram => "ExponentialHistogramDataPoint",
        MetricKind::Summary => "SummaryDataPoint",
        MetricKind::Gauge | MetricKind::Sum | MetricKind::Empty => "NumberDataPoint",
    }
}

fn number_field(reader: &mut Reader<'_>, tag: u32, data: &mut PointFields) -> Result<()> {
    const DOUBLE: u32 = tag_of(4, FIXED64);
    const INT: u32 = tag_of(6, FIXED64);
    match tag {
        DOUBLE => data.number = Number::Double(reader.double()?),
        INT => data.number = Number::Int(reader.fixed64()?.cast_signed()),
        unknown => reader.skip(unknown, fields(&[2, 3, 4, 5, 6, 7, 8]))?,
    }
    Ok(())
}

fn quantile(mut reader: Reader<'_>) -> Result<Quantile> {
    const QUANTILE: u32 = tag_of(1, FIXED64);
    const VALUE: u32 = tag_of(2, FIXED64);
    let mut row = Quantile::default();
    while let Some(tag) = reader.next_tag()? {
        match tag {
            QUANTILE => row.quantile = reader.double()?,
            VALUE => row.value = reader.double()?,
            unknown => reader.skip(unknown, fields(&[1, 2]))?,
        }
    }
    Ok(row)
}

/// Adds a number to a point's range, which is moved to the end if another range came between.
fn push<T: Copy>(numbers: &mut Vec<T>, range: &mut AttrRange, number: T) {
    if range.len == 0 {
        range.start = numbers.len() as u32;
    } else if range.indices().end != numbers.len() {
        let start = numbers.len() as u32;
        numbers.extend_from_within(range.indices());
        range.start = start;
    }
    numbers.push(number);
    range.len += 1;
}

fn packed(reader: Reader<'_>, mut each: impl FnMut([u8; 8])) -> Result<()> {
    let (numbers, rest) = reader.rest().as_chunks::<8>();
    if !rest.is_empty() {
        return reader.error(Reason::Packed);
    }
    numbers.iter().for_each(|number| each(*number));
    Ok(())
}

fn zigzag(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
