//! The columns of the Collector's five tables for metrics, and what each is filled with.

use watershed_pipeline::{DataPoint, MetricKind, Number, PointValue};

use super::columns::{
    ATTRIBUTES, RESOURCE_ATTRIBUTES, RESOURCE_SCHEMA_URL, SCOPE_ATTRIBUTES, SCOPE_NAME, SCOPE_SCHEMA_URL,
    SCOPE_VERSION, SERVICE_NAME, of,
};
use super::field::{Field, Wanted, needed};
use super::row::{Per, Row};

/// What all five tables begin with.
static COMMON: [Wanted; 15] = [
    needed("ResourceAttributes", RESOURCE_ATTRIBUTES),
    needed("ResourceSchemaUrl", RESOURCE_SCHEMA_URL),
    needed("ScopeName", SCOPE_NAME),
    needed("ScopeVersion", SCOPE_VERSION),
    needed("ScopeAttributes", SCOPE_ATTRIBUTES),
    needed(
        "ScopeDroppedAttrCount",
        Field::Unsigned(|row| row.scope().map_or(0, |scope| scope.dropped_attributes_count().into())),
    ),
    needed("ScopeSchemaUrl", SCOPE_SCHEMA_URL),
    needed("ServiceName", SERVICE_NAME),
    needed("MetricName", Field::Text(Per::Row, of!(Point, "", |point| point.metric().name()))),
    needed("MetricDescription", Field::Text(Per::Row, of!(Point, "", |point| point.metric().description()))),
    needed("MetricUnit", Field::Text(Per::Row, of!(Point, "", |point| point.metric().unit()))),
    needed("Attributes", ATTRIBUTES),
    needed("StartTimeUnix", Field::Time(of!(Point, 0, |point| point.start_time_unix_nano()))),
    needed("TimeUnix", Field::Time(of!(Point, 0, |point| point.time_unix_nano()))),
    needed("Flags", Field::Unsigned(of!(Point, 0, |point| point.flags().into()))),
];

static EXEMPLARS: [Wanted; 5] = [
    needed("Exemplars.FilteredAttributes", Field::Each(exemplars, &ATTRIBUTES)),
    needed("Exemplars.TimeUnix", Field::Each(exemplars, &EXEMPLAR_TIME)),
    needed("Exemplars.Value", Field::Each(exemplars, &EXEMPLAR_VALUE)),
    needed("Exemplars.SpanId", Field::Each(exemplars, &EXEMPLAR_SPAN_ID)),
    needed("Exemplars.TraceId", Field::Each(exemplars, &EXEMPLAR_TRACE_ID)),
];

static EXEMPLAR_TIME: Field = Field::Time(of!(Exemplar, 0, |exemplar| exemplar.time_unix_nano()));
static EXEMPLAR_VALUE: Field = Field::Float(of!(Exemplar, 0.0, |exemplar| number(exemplar.value())));
static EXEMPLAR_SPAN_ID: Field = Field::SpanId(of!(Exemplar, [0; 8], |exemplar| exemplar.span_id()));
static EXEMPLAR_TRACE_ID: Field = Field::TraceId(of!(Exemplar, [0; 16], |exemplar| exemplar.trace_id()));
static QUANTILE: Field = Field::Float(of!(Quantile, 0.0, |quantile| quantile.quantile));
static QUANTILE_VALUE: Field = Field::Float(of!(Quantile, 0.0, |quantile| quantile.value));

static TEMPORALITY: [Wanted; 1] = [needed(
    "AggregationTemporality",
    Field::Signed(of!(Point, 0, |point| point.metric().temporality().into())),
)];

static NUMBER: [Wanted; 1] = [needed("Value", Field::Float(of!(Point, 0.0, |point| point_number(point))))];

static MONOTONIC: [Wanted; 1] =
    [needed("IsMonotonic", Field::Bool(of!(Point, false, |point| point.metric().is_monotonic())))];

static COUNT_AND_SUM: [Wanted; 2] = [
    needed("Count", Field::Unsigned(of!(Point, 0, |point| count(point)))),
    needed("Sum", Field::Float(of!(Point, 0.0, |point| extremes(point)[0]))),
];

static MIN_AND_MAX: [Wanted; 2] = [
    needed("Min", Field::Float(of!(Point, 0.0, |point| extremes(point)[1]))),
    needed("Max", Field::Float(of!(Point, 0.0, |point| extremes(point)[2]))),
];

static BUCKETS: [Wanted; 2] =
    [needed("BucketCounts", Field::Counts(bucket_counts)), needed("ExplicitBounds", Field::Bounds(bounds))];

static EXPONENTIAL: [Wanted; 6] = [
    needed("Scale", Field::Signed(of!(Point, 0, |point| exponential(point).scale.into()))),
    needed("ZeroCount", Field::Unsigned(of!(Point, 0, |point| exponential(point).zero_count))),
    needed("PositiveOffset", Field::Signed(of!(Point, 0, |point| exponential(point).positive.0.into()))),
    needed("PositiveBucketCounts", Field::Counts(of!(Point, &[], |point| exponential(point).positive.1))),
    needed("NegativeOffset", Field::Signed(of!(Point, 0, |point| exponential(point).negative.0.into()))),
    needed("NegativeBucketCounts", Field::Counts(of!(Point, &[], |point| exponential(point).negative.1))),
];

static QUANTILES: [Wanted; 2] = [
    needed("ValueAtQuantiles.Quantile", Field::Each(quantiles, &QUANTILE)),
    needed("ValueAtQuantiles.Value", Field::Each(quantiles, &QUANTILE_VALUE)),
];

/// The columns of the table for one kind of metric.
pub(super) fn wanted(kind: MetricKind) -> Vec<&'static Wanted> {
    let own: &[&'static [Wanted]] = match kind {
        MetricKind::Empty => &[],
        MetricKind::Gauge => &[&NUMBER, &EXEMPLARS],
        MetricKind::Sum => &[&NUMBER, &EXEMPLARS, &TEMPORALITY, &MONOTONIC],
        MetricKind::Histogram => &[&COUNT_AND_SUM, &BUCKETS, &EXEMPLARS, &MIN_AND_MAX, &TEMPORALITY],
        MetricKind::ExponentialHistogram => {
            &[&COUNT_AND_SUM, &EXPONENTIAL, &EXEMPLARS, &MIN_AND_MAX, &TEMPORALITY]
        }
        MetricKind::Summary => &[&COUNT_AND_SUM, &QUANTILES],
    };
    COMMON.iter().chain(own.iter().copied().flatten()).collect()
}

/// The parts of an exponential histogram that only it has.
#[derive(Default)]
struct Exponential<'a> {
    scale: i32,
    zero_count: u64,
    positive: (i32, &'a [u64]),
    negative: (i32, &'a [u64]),
}

fn exponential(point: DataPoint<'_>) -> Exponential<'_> {
    match point.value() {
        PointValue::ExponentialHistogram { scale, zero_count, positive, negative, .. } => {
            Exponential { scale, zero_count, positive, negative }
        }
        PointValue::Number(_) | PointValue::Histogram { .. } | PointValue::Summary { .. } => {
            Exponential::default()
        }
    }
}

fn number(number: Number) -> f64 {
    match number {
        Number::None => 0.0,
        Number::Int(number) => number as f64,
        Number::Double(number) => number,
    }
}

fn point_number(point: DataPoint<'_>) -> f64 {
    match point.value() {
        PointValue::Number(value) => number(value),
        PointValue::Histogram { .. }
        | PointValue::ExponentialHistogram { .. }
        | PointValue::Summary { .. } => 0.0,
    }
}

fn count(point: DataPoint<'_>) -> u64 {
    match point.value() {
        PointValue::Number(_) => 0,
        PointValue::Histogram { count, .. }
        | PointValue::ExponentialHistogram { count, .. }
        | PointValue::Summary { count, .. } => count,
    }
}

/// Sum, minimum and maximum; 0 for what the sender left out, as in the Collector's tables.
fn extremes(point: DataPoint<'_>) -> [f64; 3] {
    match point.value() {
        PointValue::Number(_) => [0.0; 3],
        PointValue::Histogram { sum, min, max, .. }
        | PointValue::ExponentialHistogram { sum, min, max, .. } => {
            [sum, min, max].map(Option::unwrap_or_default)
        }
        PointValue::Summary { sum, .. } => [sum, 0.0, 0.0],
    }
}

fn bucket_counts<'a>(row: Row<'a>) -> &'a [u64] {
    match row {
        Row::Point(point) => match point.value() {
            PointValue::Histogram { bucket_counts, .. } => bucket_counts,
            _ => &[],
        },
        _ => &[],
    }
}

fn bounds<'a>(row: Row<'a>) -> &'a [f64] {
    match row {
        Row::Point(point) => match point.value() {
            PointValue::Histogram { explicit_bounds, .. } => explicit_bounds,
            _ => &[],
        },
        _ => &[],
    }
}

fn exemplars<'a>(row: Row<'a>, items: &mut Vec<Row<'a>>) {
    if let Row::Point(point) = row {
        items.extend(point.exemplars().map(Row::Exemplar));
    }
}

fn quantiles<'a>(row: Row<'a>, items: &mut Vec<Row<'a>>) {
    if let Row::Point(point) = row
        && let PointValue::Summary { quantiles, .. } = point.value()
    {
        items.extend(quantiles.iter().copied().map(Row::Quantile));
    }
}
