//! Arbitrary OTLP requests for property tests: every signal, every kind of metric, every kind of attribute value.
//!
//! The strategies make `opentelemetry-proto` structs, so that a test has an independent encoder and decoder at hand.
//! What they promise: ids are empty or have exactly 16 (trace) or 8 (span) bytes that are not all zero; there is no
//! NaN, so that `==` compares whole requests; attribute keys and other strings may repeat, may be empty and may hold
//! anything that UTF-8 can hold; fields of the profiling signal (`*_strindex`) stay at their defaults.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric, number_data_point,
    summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status,
    span::{Event, Link},
};
use proptest::collection::vec;
use proptest::num::f64 as float;
use proptest::option;
use proptest::prelude::*;

/// Makes a request with up to three resources of logs.
pub(crate) fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scope_logs = (option::of(scope()), vec(log_record(), 0..4), text())
        .prop_map(|(scope, log_records, schema_url)| ScopeLogs { scope, log_records, schema_url });
    let resource_logs = (option::of(resource()), vec(scope_logs, 0..3), text())
        .prop_map(|(resource, scope_logs, schema_url)| ResourceLogs { resource, scope_logs, schema_url });
    vec(resource_logs, 0..4).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

/// Makes a request with up to three resources of spans.
pub(crate) fn traces() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope_spans = (option::of(scope()), vec(span(), 0..4), text())
        .prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url });
    let resource_spans = (option::of(resource()), vec(scope_spans, 0..3), text())
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url });
    vec(resource_spans, 0..4).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// Makes a request with up to two resources of metrics.
pub(crate) fn metrics() -> impl Strategy<Value = ExportMetricsServiceRequest> {
    let scope_metrics = (option::of(scope()), vec(metric(), 0..4), text())
        .prop_map(|(scope, metrics, schema_url)| ScopeMetrics { scope, metrics, schema_url });
    let resource_metrics = (option::of(resource()), vec(scope_metrics, 0..3), text()).prop_map(
        |(resource, scope_metrics, schema_url)| ResourceMetrics { resource, scope_metrics, schema_url },
    );
    vec(resource_metrics, 0..3).prop_map(|resource_metrics| ExportMetricsServiceRequest { resource_metrics })
}

/// Makes a log record.
pub(crate) fn log_record() -> impl Strategy<Value = LogRecord> {
    let times = (time(), time());
    let severity = (0..=24_i32, text());
    let ids = (trace_id(), span_id());
    let content = (option::of(any_value()), attributes(), text());
    (times, severity, ids, content, count(), count()).prop_map(
        |(times, severity, ids, (body, attributes, event_name), dropped_attributes_count, flags)| LogRecord {
            time_unix_nano: times.0,
            observed_time_unix_nano: times.1,
            severity_number: severity.0,
            severity_text: severity.1,
            body,
            attributes,
            dropped_attributes_count,
            flags,
            trace_id: ids.0,
            span_id: ids.1,
            event_name,
        },
    )
}

/// Makes a span with events, links and a status.
pub(crate) fn span() -> impl Strategy<Value = Span> {
    let ids = (trace_id(), span_id(), span_id());
    let texts = (text(), text());
    let times = (time(), time());
    let lists = (attributes(), vec(event(), 0..3), vec(link(), 0..3));
    let dropped = (count(), count(), count());
    let status = (text(), 0..=2_i32).prop_map(|(message, code)| Status { message, code });
    (ids, texts, times, lists, dropped, option::of(status), 0..=5_i32, count()).prop_map(
        |(ids, texts, times, lists, dropped, status, kind, flags)| Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: texts.0,
            name: texts.1,
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes: lists.0,
            events: lists.1,
            links: lists.2,
            dropped_attributes_count: dropped.0,
            dropped_events_count: dropped.1,
            dropped_links_count: dropped.2,
            status,
            kind,
            flags,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    (time(), text(), attributes(), count()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (trace_id(), span_id(), text(), attributes(), count(), count()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

/// Makes a metric of any kind, or of no kind.
pub(crate) fn metric() -> impl Strategy<Value = Metric> {
    (text(), text(), text(), attributes(), option::weighted(0.9, metric_data())).prop_map(
        |(name, description, unit, metadata, data)| Metric { name, description, unit, metadata, data },
    )
}

fn metric_data() -> impl Strategy<Value = metric::Data> {
    let gauge = vec(number_point(), 0..4).prop_map(|data_points| metric::Data::Gauge(Gauge { data_points }));
    let sum = (vec(number_point(), 0..4), 0..=2_i32, any::<bool>()).prop_map(
        |(data_points, aggregation_temporality, is_monotonic)| {
            metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
        },
    );
    let histogram =
        (vec(histogram_point(), 0..3), 0..=2_i32).prop_map(|(data_points, aggregation_temporality)| {
            metric::Data::Histogram(Histogram { data_points, aggregation_temporality })
        });
    let exponential =
        (vec(exponential_point(), 0..3), 0..=2_i32).prop_map(|(data_points, aggregation_temporality)| {
            metric::Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
        });
    let summary =
        vec(summary_point(), 0..3).prop_map(|data_points| metric::Data::Summary(Summary { data_points }));
    prop_oneof![gauge, sum, histogram, exponential, summary]
}

fn number_point() -> impl Strategy<Value = NumberDataPoint> {
    let value = prop_oneof![
        number().prop_map(number_data_point::Value::AsDouble),
        any::<i64>().prop_map(number_data_point::Value::AsInt),
        Just(number_data_point::Value::AsInt(0)),
    ];
    (attributes(), time(), time(), exemplars(), count(), option::weighted(0.9, value)).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, exemplars, flags, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            exemplars,
            flags,
            value,
        },
    )
}

fn histogram_point() -> impl Strategy<Value = HistogramDataPoint> {
    let range = (option::of(number()), option::of(number()), option::of(number()));
    let buckets = (vec(any::<u64>(), 0..5), vec(number(), 0..5));
    (attributes(), time(), time(), any::<u64>(), range, buckets, exemplars(), count()).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, count, range, buckets, exemplars, flags)| {
            HistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count,
                sum: range.0,
                bucket_counts: buckets.0,
                explicit_bounds: buckets.1,
                exemplars,
                flags,
                min: range.1,
                max: range.2,
            }
        },
    )
}

fn exponential_point() -> impl Strategy<Value = ExponentialHistogramDataPoint> {
    let range = (option::of(number()), option::of(number()), option::of(number()));
    let counts = (any::<u64>(), any::<u64>(), -10..=20_i32, number());
    let buckets = (option::of(exponential_buckets()), option::of(exponential_buckets()));
    (attributes(), time(), time(), counts, range, buckets, exemplars(), count()).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, counts, range, buckets, exemplars, flags)| {
            ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count: counts.0,
                zero_count: counts.1,
                scale: counts.2,
                zero_threshold: counts.3,
                sum: range.0,
                min: range.1,
                max: range.2,
                positive: buckets.0,
                negative: buckets.1,
                exemplars,
                flags,
            }
        },
    )
}

fn exponential_buckets() -> impl Strategy<Value = Buckets> {
    (any::<i32>(), vec(any::<u64>(), 0..5))
        .prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts })
}

fn summary_point() -> impl Strategy<Value = SummaryDataPoint> {
    let quantile = (number(), number()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value });
    (attributes(), time(), time(), any::<u64>(), number(), vec(quantile, 0..4), count()).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, count, sum, quantile_values, flags)| {
            SummaryDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count,
                sum,
                quantile_values,
                flags,
            }
        },
    )
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let value = prop_oneof![
        number().prop_map(exemplar::Value::AsDouble),
        any::<i64>().prop_map(exemplar::Value::AsInt),
    ];
    let exemplar = (attributes(), time(), span_id(), trace_id(), option::weighted(0.9, value)).prop_map(
        |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id,
            trace_id,
            value,
        },
    );
    vec(exemplar, 0..2)
}

/// Makes a resource.
pub(crate) fn resource() -> impl Strategy<Value = Resource> {
    (attributes(), count(), vec(entity_ref(), 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    )
}

fn entity_ref() -> impl Strategy<Value = EntityRef> {
    (text(), text(), vec(text(), 0..3), vec(text(), 0..3)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| EntityRef {
            schema_url,
            r#type,
            id_keys,
            description_keys,
        },
    )
}

/// Makes an instrumentation scope.
pub(crate) fn scope() -> impl Strategy<Value = InstrumentationScope> {
    (text(), text(), attributes(), count()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    )
}

/// Makes up to five attributes.
pub(crate) fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(key_value(any_value().boxed()), 0..6)
}

fn key_value(value: BoxedStrategy<AnyValue>) -> impl Strategy<Value = KeyValue> {
    let key = prop_oneof![
        3 => prop::sample::select(vec!["http.route", "user.id", "k8s.pod.name", "a"]).prop_map(str::to_owned),
        1 => text(),
    ];
    (key, option::weighted(0.95, value)).prop_map(|(key, value)| KeyValue { key, value, key_strindex: 0 })
}

/// Makes an attribute value, nested up to three levels deep, or without a value.
pub(crate) fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        6 => text().prop_map(any_value::Value::StringValue),
        1 => any::<bool>().prop_map(any_value::Value::BoolValue),
        2 => prop_oneof![Just(0), any::<i64>()].prop_map(any_value::Value::IntValue),
        1 => number().prop_map(any_value::Value::DoubleValue),
        1 => vec(any::<u8>(), 0..8).prop_map(any_value::Value::BytesValue),
    ];
    let leaf = option::weighted(0.95, leaf).prop_map(|value| AnyValue { value }).boxed();
    leaf.prop_recursive(3, 12, 3, |inner| {
        let array =
            vec(inner.clone(), 0..4).prop_map(|values| any_value::Value::ArrayValue(ArrayValue { values }));
        let list = vec(key_value(inner), 0..4)
            .prop_map(|values| any_value::Value::KvlistValue(KeyValueList { values }));
        prop_oneof![array, list].prop_map(|value| AnyValue { value: Some(value) })
    })
}

/// Makes text: often empty or short ASCII, sometimes with quotes and control characters, sometimes any Unicode, and
/// sometimes longer than 127 bytes, so that its length needs two bytes.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        4 => "[a-zA-Z0-9 /._-]{1,20}",
        1 => "[\\x00-\\x7f]{0,20}",
        1 => any::<String>(),
        1 => "[ -~]{120,150}",
    ]
}

/// Makes a double of any kind but NaN: zeros, infinities, subnormal, small and large.
pub(crate) fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(1.5),
        float::POSITIVE | float::NEGATIVE | float::ZERO | float::SUBNORMAL | float::NORMAL | float::INFINITE
    ]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1_600_000_000_000_000_000..1_900_000_000_000_000_000_u64, any::<u64>()]
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 1 => 1..1000_u32, 1 => any::<u32>()]
}

fn trace_id() -> impl Strategy<Value = Vec<u8>> {
    id(16)
}

fn span_id() -> impl Strategy<Value = Vec<u8>> {
    id(8)
}

/// Makes an empty id or one of `length` bytes of which at least one is not zero.
fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    let full = vec(any::<u8>(), length).prop_map(|mut id| {
        id.iter_mut().take(1).for_each(|byte| *byte |= 1);
        id
    });
    prop_oneof![1 => Just(Vec::new()), 3 => full]
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn property_requests_survive_their_own_encoding(logs in logs(), traces in traces(), metrics in metrics()) {
            prop_assert_eq!(ExportLogsServiceRequest::decode(&*logs.encode_to_vec()).unwrap(), logs);
            prop_assert_eq!(ExportTraceServiceRequest::decode(&*traces.encode_to_vec()).unwrap(), traces);
            prop_assert_eq!(ExportMetricsServiceRequest::decode(&*metrics.encode_to_vec()).unwrap(), metrics);
        }
    }
}
