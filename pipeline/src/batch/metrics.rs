//! Metrics as a part stores them. `points` is how they are read.

use super::attributes::AttrRange;
use super::buffer::Text;

/// Which kind of data a metric holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricKind {
    /// A metric without data; it has no points.
    #[default]
    Empty,
    /// The last value.
    Gauge,
    /// A sum.
    Sum,
    /// A histogram with explicit bounds.
    Histogram,
    /// A histogram with exponential buckets.
    ExponentialHistogram,
    /// Quantiles computed by the sender.
    Summary,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MetricRow {
    pub(crate) name: Text,
    pub(crate) description: Text,
    pub(crate) unit: Text,
    pub(crate) metadata: AttrRange,
    pub(crate) kind: MetricKind,
    pub(crate) temporality: i32,
    pub(crate) is_monotonic: bool,
    /// The metric's points, a range of the part's.
    pub(crate) points: AttrRange,
    pub(crate) scope: u32,
    pub(crate) raw: Text,
}

/// The value of a number point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Number {
    /// The sender gave none.
    #[default]
    None,
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
}

#[derive(Clone, Debug)]
pub(crate) struct PointRow {
    pub(crate) metric: u32,
    pub(crate) flags: u32,
    pub(crate) start_time: u64,
    pub(crate) time: u64,
    pub(crate) attrs: AttrRange,
    pub(crate) exemplars: AttrRange,
    pub(crate) data: PointData,
    pub(crate) raw: Text,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum PointData {
    Number(Number),
    Histogram {
        count: u64,
        sum: Option<f64>,
        min: Option<f64>,
        max: Option<f64>,
        buckets: AttrRange,
        bounds: AttrRange,
    },
    /// An index of the part's exponential histograms, which are too large to stand in each row.
    Exponential(u32),
    Summary {
        count: u64,
        sum: f64,
        quantiles: AttrRange,
    },
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExponentialRow {
    pub(crate) count: u64,
    pub(crate) sum: Option<f64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) scale: i32,
    pub(crate) zero_count: u64,
    pub(crate) zero_threshold: f64,
    pub(crate) positive: Option<BucketsRow>,
    pub(crate) negative: Option<BucketsRow>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BucketsRow {
    pub(crate) offset: i32,
    pub(crate) counts: AttrRange,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ExemplarRow {
    pub(crate) attrs: AttrRange,
    pub(crate) time: u64,
    pub(crate) value: Number,
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) raw: Text,
}

/// One quantile of a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantile {
    /// From 0.0, the minimum, to 1.0, the maximum.
    pub quantile: f64,
    /// The value at that quantile.
    pub value: f64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MetricRows {
    pub(crate) metrics: Vec<MetricRow>,
    pub(crate) points: Vec<PointRow>,
    pub(crate) exponential: Vec<ExponentialRow>,
    pub(crate) exemplars: Vec<ExemplarRow>,
    /// Bucket counts of all points.
    pub(crate) counts: Vec<u64>,
    /// Bucket bounds of all points.
    pub(crate) bounds: Vec<f64>,
    pub(crate) quantiles: Vec<Quantile>,
}

impl MetricRows {
    pub(crate) fn metric_of(&self, point: usize) -> Option<&MetricRow> {
        self.metrics.get(self.points.get(point)?.metric as usize)
    }

    pub(crate) fn touch_point(&mut self, point: usize) {
        let Some(row) = self.points.get_mut(point) else { return };
        row.raw = Text::NONE;
        if let Some(metric) = self.metrics.get_mut(row.metric as usize) {
            metric.raw = Text::NONE;
        }
    }

    /// Keeps the points for which `keep`, asked once for each in order, says so; empty metrics stay behind as rows.
    pub(crate) fn retain_points(&mut self, mut keep: impl FnMut() -> bool) {
        let Self { metrics, points, .. } = self;
        points.retain(|point| {
            let kept = keep();
            if !kept && let Some(metric) = metrics.get_mut(point.metric as usize) {
                metric.raw = Text::NONE;
                metric.points.len = metric.points.len.saturating_sub(1);
            }
            kept
        });
        let mut start = 0;
        for metric in metrics {
            metric.points.start = start;
            start += metric.points.len;
        }
    }

    pub(crate) fn memory_size(&self) -> usize {
        self.metrics.capacity() * size_of::<MetricRow>()
            + self.points.capacity() * size_of::<PointRow>()
            + self.exponential.capacity() * size_of::<ExponentialRow>()
            + self.exemplars.capacity() * size_of::<ExemplarRow>()
            + self.counts.capacity() * size_of::<u64>()
            + self.bounds.capacity() * size_of::<f64>()
            + self.quantiles.capacity() * size_of::<Quantile>()
    }
}
