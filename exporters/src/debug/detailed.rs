//! `verbosity: detailed`: every field, in the form of the Collector's package `otlptext`.

use watershed_pipeline::{
    Attributes, Batch, DataPoint, Exemplar, LogRecord, Metric, MetricKind, Number, PointValue, Record,
    Signal, Span,
};

use super::text::{Groups, id, time, typed};

/// Appends one line.
macro_rules! line {
    ($out:expr, $($part:tt)*) => {{
        $out.push_str(&format!($($part)*));
        $out.push('\n');
    }};
}

pub(super) fn push(out: &mut String, batch: &Batch) {
    let (resource, scope) = match batch.signal() {
        Signal::Logs => ("ResourceLog", "ScopeLogs"),
        Signal::Traces => ("ResourceSpans", "ScopeSpans"),
        Signal::Metrics => ("ResourceMetrics", "ScopeMetrics"),
    };
    let mut groups = Groups::default();
    let mut number = 0;
    let mut metrics = Metrics::default();
    for record in batch.records() {
        let begins = groups.see(record);
        if let Some(number) = begins.resource {
            line!(out, "{resource} #{number}");
            line!(out, "Resource SchemaURL: {}", record.resource().schema_url());
            push_attributes(out, "Resource attributes", record.resource().attributes(), "");
        }
        if let Some(index) = begins.scope {
            number = 0;
            metrics = Metrics::default();
            push_scope(out, scope, index, record);
        }
        if let Some(log) = record.log() {
            line!(out, "LogRecord #{number}");
            push_log(out, log);
        } else if let Some(span) = record.span() {
            line!(out, "Span #{number}");
            push_span(out, span);
        } else if let Some(point) = record.point() {
            metrics.push(out, point);
        }
        number += 1;
    }
}

fn push_scope(out: &mut String, noun: &str, index: usize, record: Record<'_>) {
    let scope = record.scope();
    line!(out, "{noun} #{index}");
    line!(out, "{noun} SchemaURL: {}", scope.schema_url());
    line!(out, "InstrumentationScope {} {}", scope.name(), scope.version());
    push_attributes(out, "InstrumentationScope attributes", scope.attributes(), "");
}

fn push_attributes(out: &mut String, header: &str, attributes: Attributes<'_>, indent: &str) {
    if attributes.is_empty() {
        return;
    }
    line!(out, "{header}:");
    for (key, value) in attributes.iter() {
        line!(out, "{indent}     -> {key}: {}", typed(value));
    }
}

fn push_log(out: &mut String, log: LogRecord<'_>) {
    line!(out, "ObservedTimestamp: {}", time(log.observed_time_unix_nano()));
    line!(out, "Timestamp: {}", time(log.time_unix_nano()));
    line!(out, "SeverityText: {}", log.severity_text());
    line!(out, "SeverityNumber: {}({})", severity(log.severity_number()), log.severity_number());
    if !log.event_name().is_empty() {
        line!(out, "EventName: {}", log.event_name());
    }
    line!(out, "Body: {}", typed(log.body().unwrap_or(watershed_pipeline::Value::Empty)));
    push_attributes(out, "Attributes", log.attributes(), "");
    line!(out, "Trace ID: {}", id(&log.trace_id()));
    line!(out, "Span ID: {}", id(&log.span_id()));
    line!(out, "Flags: {}", log.flags());
}

fn severity(number: i32) -> String {
    let name = match number {
        1..=4 => "Trace",
        5..=8 => "Debug",
        9..=12 => "Info",
        13..=16 => "Warn",
        17..=20 => "Error",
        21..=24 => "Fatal",
        0 => "Unspecified",
        _ => "",
    };
    match (number - 1).rem_euclid(4) {
        grade @ 1..=3 if (1..=24).contains(&number) => format!("{name}{}", grade + 1),
        _ => name.to_owned(),
    }
}

fn push_span(out: &mut String, span: Span<'_>) {
    let kinds = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
    let codes = ["Unset", "Ok", "Error"];
    let named = |names: &[&'static str], number: i32| {
        usize::try_from(number).ok().and_then(|number| names.get(number).copied()).unwrap_or_default()
    };
    line!(out, "    Trace ID       : {}", id(&span.trace_id()));
    line!(out, "    Parent ID      : {}", id(&span.parent_span_id()));
    line!(out, "    ID             : {}", id(&span.span_id()));
    line!(out, "    Name           : {}", span.name());
    line!(out, "    Kind           : {}", named(&kinds, span.kind()));
    if !span.trace_state().is_empty() {
        line!(out, "    TraceState     : {}", span.trace_state());
    }
    line!(out, "    Start time     : {}", time(span.start_time_unix_nano()));
    line!(out, "    End time       : {}", time(span.end_time_unix_nano()));
    line!(out, "    Status code    : {}", named(&codes, span.status_code()));
    line!(out, "    Status message : {}", span.status_message());
    let (attributes, events, links) = span.dropped_counts();
    for (what, count) in [("Attributes", attributes), ("Events", events), ("Links", links)] {
        if count > 0 {
            line!(out, "    Dropped{what}Count: {count}");
        }
    }
    push_attributes(out, "Attributes", span.attributes(), "");
    push_events(out, span);
    push_links(out, span);
}

fn push_events(out: &mut String, span: Span<'_>) {
    for (index, event) in span.events().enumerate() {
        if index == 0 {
            line!(out, "Events:");
        }
        line!(out, "SpanEvent #{index}");
        line!(out, "     -> Name: {}", event.name());
        line!(out, "     -> Timestamp: {}", time(event.time_unix_nano()));
        line!(out, "     -> DroppedAttributesCount: {}", event.dropped_attributes_count());
        push_attributes(out, "     -> Attributes:", event.attributes(), "     ");
    }
}

fn push_links(out: &mut String, span: Span<'_>) {
    for (index, link) in span.links().enumerate() {
        if index == 0 {
            line!(out, "Links:");
        }
        line!(out, "SpanLink #{index}");
        line!(out, "     -> Trace ID: {}", id(&link.trace_id()));
        line!(out, "     -> ID: {}", id(&link.span_id()));
        line!(out, "     -> TraceState: {}", link.trace_state());
        line!(out, "     -> DroppedAttributesCount: {}", link.dropped_attributes_count());
        push_attributes(out, "     -> Attributes:", link.attributes(), "     ");
    }
}

/// Numbers metrics and the points of each while the points go by.
#[derive(Default)]
struct Metrics<'a> {
    last: Option<Metric<'a>>,
    metric: usize,
    point: usize,
}

impl<'a> Metrics<'a> {
    fn push(&mut self, out: &mut String, point: DataPoint<'a>) {
        let metric = point.metric();
        match self.last.replace(metric) {
            Some(last) if last.is_same(metric) => self.point += 1,
            last => {
                self.metric += usize::from(last.is_some());
                self.point = 0;
                line!(out, "Metric #{}", self.metric);
                push_descriptor(out, metric);
            }
        }
        let noun = match point.value() {
            PointValue::Number(_) => "NumberDataPoints",
            PointValue::Histogram { .. } => "HistogramDataPoints",
            PointValue::ExponentialHistogram { .. } => "ExponentialHistogramDataPoints",
            PointValue::Summary { .. } => "SummaryDataPoints",
        };
        line!(out, "{noun} #{}", self.point);
        push_attributes(out, "Data point attributes", point.attributes(), "");
        line!(out, "StartTimestamp: {}", time(point.start_time_unix_nano()));
        line!(out, "Timestamp: {}", time(point.time_unix_nano()));
        push_value(out, point.value());
        for (index, exemplar) in point.exemplars().enumerate() {
            if index == 0 {
                line!(out, "Exemplars:");
            }
            push_exemplar(out, index, exemplar);
        }
    }
}

fn push_descriptor(out: &mut String, metric: Metric<'_>) {
    let (kind, has_temporality) = match metric.kind() {
        MetricKind::Empty => ("Empty", false),
        MetricKind::Gauge => ("Gauge", false),
        MetricKind::Sum => ("Sum", true),
        MetricKind::Histogram => ("Histogram", true),
        MetricKind::ExponentialHistogram => ("ExponentialHistogram", true),
        MetricKind::Summary => ("Summary", false),
    };
    line!(out, "Descriptor:");
    line!(out, "     -> Name: {}", metric.name());
    line!(out, "     -> Description: {}", metric.description());
    line!(out, "     -> Unit: {}", metric.unit());
    line!(out, "     -> DataType: {kind}");
    if metric.kind() == MetricKind::Sum {
        line!(out, "     -> IsMonotonic: {}", metric.is_monotonic());
    }
    if has_temporality {
        let temporality = match metric.temporality() {
            1 => "Delta",
            2 => "Cumulative",
            _ => "Unspecified",
        };
        line!(out, "     -> AggregationTemporality: {temporality}");
    }
}

fn number(number: Number) -> String {
    match number {
        Number::None => String::new(),
        Number::Int(value) => value.to_string(),
        Number::Double(value) => format!("{value:.6}"),
    }
}

fn push_value(out: &mut String, value: PointValue<'_>) {
    match value {
        PointValue::Number(value) => line!(out, "Value: {}", number(value)),
        PointValue::Histogram { count, sum, min, max, bucket_counts, explicit_bounds } => {
            push_sums(out, count, [("Sum", sum), ("Min", min), ("Max", max)]);
            for (index, bound) in explicit_bounds.iter().enumerate() {
                line!(out, "ExplicitBounds #{index}: {bound:.6}");
            }
            for (index, count) in bucket_counts.iter().enumerate() {
                line!(out, "Buckets #{index}, Count: {count}");
            }
        }
        PointValue::ExponentialHistogram {
            count,
            sum,
            min,
            max,
            scale,
            zero_count,
            positive,
            negative,
            ..
        } => {
            push_sums(out, count, [("Sum", sum), ("Min", min), ("Max", max)]);
            let bound = |index: i64| exponential_bound(scale, index);
            let steps: Vec<(i64, &u64)> = (0_i64..).zip(negative.1).collect();
            for (step, count) in steps.into_iter().rev() {
                let index = i64::from(negative.0) + step;
                line!(out, "Bucket [{:.6}, {:.6}), Count: {count}", -bound(index + 1), -bound(index));
            }
            if zero_count > 0 {
                line!(out, "Bucket [0, 0], Count: {zero_count}");
            }
            for (step, count) in (0_i64..).zip(positive.1) {
                let index = i64::from(positive.0) + step;
                line!(out, "Bucket ({:.6}, {:.6}], Count: {count}", bound(index), bound(index + 1));
            }
        }
        PointValue::Summary { count, sum, quantiles } => {
            push_sums(out, count, [("Sum", Some(sum)), ("", None), ("", None)]);
            for (index, one) in quantiles.iter().enumerate() {
                line!(out, "QuantileValue #{index}: Quantile {:.6}, Value {:.6}", one.quantile, one.value);
            }
        }
    }
}

fn push_sums(out: &mut String, count: u64, numbers: [(&str, Option<f64>); 3]) {
    line!(out, "Count: {count}");
    for (name, number) in numbers {
        if let Some(number) = number {
            line!(out, "{name}: {number:.6}");
        }
    }
}

/// The lower bound of a bucket: `2^(index · 2^-scale)`.
fn exponential_bound(scale: i32, index: i64) -> f64 {
    (index as f64 * (-f64::from(scale)).exp2()).exp2()
}

fn push_exemplar(out: &mut String, index: usize, exemplar: Exemplar<'_>) {
    line!(out, "Exemplar #{index}");
    line!(out, "     -> Trace ID: {}", id(&exemplar.trace_id()));
    line!(out, "     -> Span ID: {}", id(&exemplar.span_id()));
    line!(out, "     -> Timestamp: {}", time(exemplar.time_unix_nano()));
    line!(out, "     -> Value: {}", number(exemplar.value()));
    push_attributes(out, "     -> FilteredAttributes:", exemplar.filtered_attributes(), "     ");
}
