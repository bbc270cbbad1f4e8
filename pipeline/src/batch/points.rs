//! Data points, their metrics and exemplars, as they are read.

use super::attributes::{AttrRange, Attributes};
use super::buffer::Text;
use super::metrics::{
    BucketsRow, ExemplarRow, MetricKind, MetricRow, MetricRows, Number, PointData, PointRow, Quantile,
};
use super::part::Part;
use super::record::{Resource, Scope};
use super::rows::Rows;

/// A metric, read only.
#[derive(Clone, Copy)]
pub struct Metric<'a> {
    part: &'a Part,
    row: &'a MetricRow,
}

impl<'a> Metric<'a> {
    /// The metric's name.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.part.buffer.text(self.row.name)
    }

    /// What it measures, in words.
    #[must_use]
    pub fn description(self) -> &'a str {
        self.part.buffer.text(self.row.description)
    }

    /// Its unit, as UCUM writes it.
    #[must_use]
    pub fn unit(self) -> &'a str {
        self.part.buffer.text(self.row.unit)
    }

    /// Which kind of data it holds.
    #[must_use]
    pub fn kind(self) -> MetricKind {
        self.row.kind
    }

    /// 1 for delta, 2 for cumulative, 0 where it has no meaning.
    #[must_use]
    pub fn temporality(self) -> i32 {
        self.row.temporality
    }

    /// Whether a sum only grows.
    #[must_use]
    pub fn is_monotonic(self) -> bool {
        self.row.is_monotonic
    }

    /// Attributes about the metric itself, which do not identify its series.
    #[must_use]
    pub fn metadata(self) -> Attributes<'a> {
        Attributes::new(self.part, self.row.metadata)
    }

    /// The metric's data points.
    pub fn points(self) -> impl Iterator<Item = DataPoint<'a>> {
        let part = self.part;
        self.row.points.indices().filter_map(move |index| DataPoint::new(part, index))
    }

    /// Whether two views are of the same metric of the same message.
    #[must_use]
    pub fn is_same(self, other: Metric<'_>) -> bool {
        std::ptr::eq(self.row, other.row)
    }
}

/// A data point, read only.
#[derive(Clone, Copy)]
pub struct DataPoint<'a> {
    part: &'a Part,
    index: usize,
    rows: &'a MetricRows,
    row: &'a PointRow,
}

/// The value of a data point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PointValue<'a> {
    /// Of a gauge or a sum.
    Number(Number),
    /// Of a histogram with explicit bounds.
    Histogram {
        /// Number of measurements.
        count: u64,
        /// Sum of the measurements.
        sum: Option<f64>,
        /// The smallest.
        min: Option<f64>,
        /// The largest.
        max: Option<f64>,
        /// Counts, one more than there are bounds, or none.
        bucket_counts: &'a [u64],
        /// Upper bounds, rising.
        explicit_bounds: &'a [f64],
    },
    /// Of an exponential histogram.
    ExponentialHistogram {
        /// Number of measurements.
        count: u64,
        /// Sum of the measurements.
        sum: Option<f64>,
        /// The smallest.
        min: Option<f64>,
        /// The largest.
        max: Option<f64>,
        /// Resolution: the base is 2^(2^-scale).
        scale: i32,
        /// Measurements within the zero threshold.
        zero_count: u64,
        /// Width of the zero bucket.
        zero_threshold: f64,
        /// Offset and counts of the positive range.
        positive: (i32, &'a [u64]),
        /// Offset and counts of the negative range.
        negative: (i32, &'a [u64]),
    },
    /// Of a summary.
    Summary {
        /// Number of measurements.
        count: u64,
        /// Sum of the measurements.
        sum: f64,
        /// Quantiles.
        quantiles: &'a [Quantile],
    },
}

impl<'a> DataPoint<'a> {
    pub(crate) fn new(part: &'a Part, index: usize) -> Option<Self> {
        let Rows::Metrics(rows) = &part.rows else { return None };
        Some(Self { part, index, rows, row: rows.points.get(index)? })
    }

    /// The metric that the point belongs to.
    #[must_use]
    pub fn metric(self) -> Metric<'a> {
        static EMPTY: MetricRow = MetricRow {
            name: Text::NONE,
            description: Text::NONE,
            unit: Text::NONE,
            metadata: AttrRange { start: 0, len: 0 },
            kind: MetricKind::Empty,
            temporality: 0,
            is_monotonic: false,
            points: AttrRange { start: 0, len: 0 },
            scope: 0,
            raw: Text::NONE,
        };
        Metric { part: self.part, row: self.rows.metric_of(self.index).unwrap_or(&EMPTY) }
    }

    /// Start of the interval, in nanoseconds since the Unix epoch; 0 if unknown.
    #[must_use]
    pub fn start_time_unix_nano(self) -> u64 {
        self.row.start_time
    }

    /// Time of the measurement, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn time_unix_nano(self) -> u64 {
        self.row.time
    }

    /// Bit 0: there is no recorded value.
    #[must_use]
    pub fn flags(self) -> u32 {
        self.row.flags
    }

    /// The attributes that identify the series.
    #[must_use]
    pub fn attributes(self) -> Attributes<'a> {
        Attributes::new(self.part, self.row.attrs)
    }

    /// The value.
    #[must_use]
    pub fn value(self) -> PointValue<'a> {
        let rows = self.rows;
        match self.row.data {
            PointData::Number(number) => PointValue::Number(number),
            PointData::Histogram { count, sum, min, max, buckets, bounds } => PointValue::Histogram {
                count,
                sum,
                min,
                max,
                bucket_counts: rows.counts.get(buckets.indices()).unwrap_or_default(),
                explicit_bounds: rows.bounds.get(bounds.indices()).unwrap_or_default(),
            },
            PointData::Exponential(index) => self.exponential(index),
            PointData::Summary { count, sum, quantiles } => PointValue::Summary {
                count,
                sum,
                quantiles: rows.quantiles.get(quantiles.indices()).unwrap_or_default(),
            },
        }
    }

    fn exponential(self, index: u32) -> PointValue<'a> {
        let row = self.rows.exponential.get(index as usize).copied().unwrap_or_default();
        let side = |buckets: Option<BucketsRow>| {
            let buckets = buckets.unwrap_or_default();
            (buckets.offset, self.rows.counts.get(buckets.counts.indices()).unwrap_or_default())
        };
        PointValue::ExponentialHistogram {
            count: row.count,
            sum: row.sum,
            min: row.min,
            max: row.max,
            scale: row.scale,
            zero_count: row.zero_count,
            zero_threshold: row.zero_threshold,
            positive: side(row.positive),
            negative: side(row.negative),
        }
    }

    /// Example measurements.
    pub fn exemplars(self) -> impl Iterator<Item = Exemplar<'a>> {
        let part = self.part;
        let own = self.rows.exemplars.get(self.row.exemplars.indices()).unwrap_or_default();
        own.iter().map(move |row| Exemplar { part, row })
    }

    /// The resource that the point comes from.
    #[must_use]
    pub fn resource(self) -> Resource<'a> {
        Resource::new(self.part, self.part.resource_of(self.index))
    }

    /// The instrumentation scope that the point comes from.
    #[must_use]
    pub fn scope(self) -> Scope<'a> {
        Scope::new(self.part, self.part.scope_of(self.index))
    }
}

/// An example measurement, read only.
#[derive(Clone, Copy)]
pub struct Exemplar<'a> {
    part: &'a Part,
    row: &'a ExemplarRow,
}

impl<'a> Exemplar<'a> {
    /// Attributes that were left out of the series.
    #[must_use]
    pub fn filtered_attributes(self) -> Attributes<'a> {
        Attributes::new(self.part, self.row.attrs)
    }

    /// Time of the measurement, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn time_unix_nano(self) -> u64 {
        self.row.time
    }

    /// The measurement.
    #[must_use]
    pub fn value(self) -> Number {
        self.row.value
    }

    /// The trace it was made in; all zero if none.
    #[must_use]
    pub fn trace_id(self) -> [u8; 16] {
        self.row.trace_id
    }

    /// The span it was made in; all zero if none.
    #[must_use]
    pub fn span_id(self) -> [u8; 8] {
        self.row.span_id
    }
}
