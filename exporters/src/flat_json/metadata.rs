//! The `metadata` object: all that has no key of its own.

use watershed_pipeline::json_text::{push_json_double, push_json_i64, push_json_u64};
use watershed_pipeline::{Attributes, DataPoint, LogRecord, MetricKind, Number, PointValue, Record, Span};

use super::value::{Object, push_str, push_value};
use super::{Promoted, push_id, push_name, push_timestamp};

pub(super) fn push<'a>(out: &mut Vec<u8>, record: Record<'a>, promoted: &Promoted<'a>) {
    let mut object = Object::begin(out);
    if let Some(log) = record.log() {
        push_log(&mut object, log);
    } else if let Some(span) = record.span() {
        push_span(&mut object, span);
    } else if let Some(point) = record.point() {
        push_point(&mut object, point);
    }
    for &(key, value) in &promoted.all {
        if !promoted.covers(key)
            && let Some(out) = object.key(key)
        {
            push_value(out, value);
        }
    }
    push_attributes(&mut object, record.scope().attributes());
    for (key, value) in record.resource().attributes().iter() {
        if key != "service.name"
            && let Some(out) = object.key(key)
        {
            push_value(out, value);
        }
    }
    object.end();
}

fn push_attributes<'k>(object: &mut Object<'_, 'k>, attributes: Attributes<'k>) {
    for (key, value) in attributes.iter() {
        if let Some(out) = object.key(key) {
            push_value(out, value);
        }
    }
}

/// Adds an id, unless it is all zero.
fn id(object: &mut Object<'_, '_>, key: &'static str, id: &[u8]) {
    if id.iter().any(|byte| *byte != 0)
        && let Some(out) = object.key(key)
    {
        push_id(out, id);
    }
}

/// Adds a text, unless it is empty.
fn text(object: &mut Object<'_, '_>, key: &'static str, text: &str) {
    if !text.is_empty()
        && let Some(out) = object.key(key)
    {
        push_str(out, text);
    }
}

fn push_log(object: &mut Object<'_, '_>, log: LogRecord<'_>) {
    id(object, "trace_id", &log.trace_id());
    id(object, "span_id", &log.span_id());
    // Without a body the name is the message.
    if log.body().is_some() {
        text(object, "event_name", log.event_name());
    }
}

fn push_span(object: &mut Object<'_, '_>, span: Span<'_>) {
    id(object, "trace_id", &span.trace_id());
    id(object, "span_id", &span.span_id());
    id(object, "parent_span_id", &span.parent_span_id());
    text(object, "trace_state", span.trace_state());
    text(object, "kind", span_kind(span.kind()));
    if let Some(out) = object.key("duration_ms") {
        push_json_double(out, duration_ms(span));
    }
    text(object, "status", status_name(span.status_code()));
    text(object, "status_message", span.status_message());
    let events = span.events().map(|event| {
        move |out: &mut Vec<u8>| {
            let mut own = Object::begin(out);
            if let Some(out) = own.key("timestamp") {
                push_timestamp(out, event.time_unix_nano());
            }
            if let Some(out) = own.key("name") {
                push_name(out, event.name());
            }
            push_attributes(&mut own, event.attributes());
            own.end();
        }
    });
    list(object, "events", events);
    let links = span.links().map(|link| {
        move |out: &mut Vec<u8>| {
            let mut own = Object::begin(out);
            id(&mut own, "trace_id", &link.trace_id());
            id(&mut own, "span_id", &link.span_id());
            push_attributes(&mut own, link.attributes());
            own.end();
        }
    });
    list(object, "links", links);
}

fn push_point(object: &mut Object<'_, '_>, point: DataPoint<'_>) {
    let metric = point.metric();
    text(object, "metric_type", kind_name(metric.kind()));
    text(object, "unit", metric.unit());
    text(object, "temporality", temporality_name(metric.temporality()));
    match point.value() {
        PointValue::Number(Number::None) => {}
        PointValue::Number(number) => {
            if let Some(out) = object.key("value") {
                match number {
                    Number::None => out.extend_from_slice(b"null"),
                    Number::Int(value) => push_json_i64(out, value),
                    Number::Double(value) => push_json_double(out, value),
                }
            }
        }
        PointValue::Histogram { count, sum, min, max, bucket_counts, explicit_bounds } => {
            push_summary(object, count, [("sum", sum), ("min", min), ("max", max)]);
            list(object, "bucket_counts", bucket_counts.iter().map(unsigned));
            list(object, "explicit_bounds", explicit_bounds.iter().map(double));
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
            push_summary(object, count, [("sum", sum), ("min", min), ("max", max)]);
            whole(object, "scale", i64::from(scale));
            if let Some(out) = object.key("zero_count") {
                push_json_u64(out, zero_count);
            }
            whole(object, "positive_offset", i64::from(positive.0));
            list(object, "positive_counts", positive.1.iter().map(unsigned));
            whole(object, "negative_offset", i64::from(negative.0));
            list(object, "negative_counts", negative.1.iter().map(unsigned));
        }
        PointValue::Summary { count, sum, quantiles } => {
            push_summary(object, count, [("sum", Some(sum))]);
            list(object, "quantiles", quantiles.iter().map(|quantile| double(&quantile.quantile)));
            list(object, "quantile_values", quantiles.iter().map(|quantile| double(&quantile.value)));
        }
    }
}

fn push_summary<const N: usize>(
    object: &mut Object<'_, '_>,
    count: u64,
    numbers: [(&'static str, Option<f64>); N],
) {
    if let Some(out) = object.key("count") {
        push_json_u64(out, count);
    }
    for (key, number) in numbers {
        if let Some(number) = number
            && let Some(out) = object.key(key)
        {
            push_json_double(out, number);
        }
    }
}

fn whole(object: &mut Object<'_, '_>, key: &'static str, number: i64) {
    if let Some(out) = object.key(key) {
        push_json_i64(out, number);
    }
}

fn unsigned(number: &u64) -> impl FnOnce(&mut Vec<u8>) + use<> {
    let number = *number;
    move |out| push_json_u64(out, number)
}

fn double(number: &f64) -> impl FnOnce(&mut Vec<u8>) + use<> {
    let number = *number;
    move |out| push_json_double(out, number)
}

/// Adds a list, unless it is empty.
fn list<P: FnOnce(&mut Vec<u8>)>(
    object: &mut Object<'_, '_>,
    key: &'static str,
    items: impl Iterator<Item = P>,
) {
    let mut items = items.peekable();
    if items.peek().is_none() {
        return;
    }
    let Some(out) = object.key(key) else { return };
    for (index, push) in items.enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        push(out);
    }
    out.push(b']');
}

/// How long a span took, in milliseconds; 0 if it ends before it starts.
pub(crate) fn duration_ms(span: Span<'_>) -> f64 {
    span.end_time_unix_nano().saturating_sub(span.start_time_unix_nano()) as f64 / 1e6
}

/// The name of a span's kind; empty if unspecified.
pub(crate) fn span_kind(kind: i32) -> &'static str {
    match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "",
    }
}

/// The name of a span's status; empty if unset.
pub(crate) fn status_name(code: i32) -> &'static str {
    match code {
        1 => "ok",
        2 => "error",
        _ => "",
    }
}

fn kind_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Empty => "",
        MetricKind::Gauge => "gauge",
        MetricKind::Sum => "sum",
        MetricKind::Histogram => "histogram",
        MetricKind::ExponentialHistogram => "exponential_histogram",
        MetricKind::Summary => "summary",
    }
}

fn temporality_name(temporality: i32) -> &'static str {
    match temporality {
        1 => "delta",
        2 => "cumulative",
        _ => "",
    }
}
