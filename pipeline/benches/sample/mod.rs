//! Requests as services send them: a resource of six attributes, ten attributes a record.

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

const TIME: u64 = 1_732_000_000_000_000_000;

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(crate) fn text(value: impl Into<String>) -> Value {
    Value::StringValue(value.into())
}

fn resource() -> Option<Resource> {
    let attributes = vec![
        attribute("service.name", text("checkout")),
        attribute("service.namespace", text("shop")),
        attribute("service.version", text("1.42.0")),
        attribute("service.instance.id", text("checkout-6d8f9c7b54-x2x7k")),
        attribute("host.name", text("node-17.eu-central-1")),
        attribute("deployment.environment.name", text("production")),
    ];
    Some(Resource { attributes, ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "shop.orders".into(), version: "1.0.0".into(), ..Default::default() })
}

fn attributes(number: usize) -> Vec<KeyValue> {
    vec![
        attribute("http.request.method", text("POST")),
        attribute("http.route", text("/api/v1/orders/{id}/items")),
        attribute("http.response.status_code", Value::IntValue(201)),
        attribute("user.id", text(format!("user-{:06}", number * 7919 % 1_000_000))),
        attribute("session.id", text(format!("{:032x}", number as u128 * 0x9E37_79B9_7F4A_7C15))),
        attribute("order.id", Value::IntValue(1_000_000 + number as i64)),
        attribute("order.total", Value::DoubleValue(number as f64 * 1.25 + 2.0)),
        attribute("retry", Value::BoolValue(number.is_multiple_of(5))),
        attribute(
            "client.address",
            text(format!("10.{}.{}.{}", number % 255, number / 255 % 255, number % 13)),
        ),
        attribute("thread.name", text(format!("worker-{}", number % 16))),
    ]
}

fn trace_id(number: usize) -> Vec<u8> {
    (number as u128 * 0x9E37_79B9_7F4A_7C15_F39C_C060 + 1).to_be_bytes().to_vec()
}

fn span_id(number: usize) -> Vec<u8> {
    (number as u64 * 0x9E37_79B9 + 1).to_be_bytes().to_vec()
}

pub(crate) fn logs(count: usize) -> ExportLogsServiceRequest {
    let record = |number: usize| LogRecord {
        time_unix_nano: TIME + number as u64 * 1_000_003,
        observed_time_unix_nano: TIME + number as u64 * 1_000_003 + 250,
        severity_number: 9,
        severity_text: "INFO".into(),
        body: Some(AnyValue {
            value: Some(text(format!(
                "order {number} accepted for processing: 3 items in 2 parcels, payment authorised by provider after \
                 {} ms, stock reserved in warehouse FRA-2, confirmation mail queued to the customer; the next step is picking in wave {}, then packing and \
                 hand-over to the carrier",
                number % 900,
                number % 40
            ))),
        }),
        attributes: attributes(number),
        trace_id: trace_id(number),
        span_id: span_id(number),
        flags: 1,
        ..LogRecord::default()
    };
    let log_records = (0..count).map(record).collect();
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records, ..Default::default() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource: resource(), scope_logs, ..Default::default() }],
    }
}

pub(crate) fn traces(count: usize) -> ExportTraceServiceRequest {
    let span = |number: usize| Span {
        trace_id: trace_id(number),
        span_id: span_id(number),
        parent_span_id: span_id(number + 1),
        name: "POST /api/v1/orders/{id}/items".into(),
        kind: 2,
        start_time_unix_nano: TIME + number as u64 * 1_000_003,
        end_time_unix_nano: TIME + number as u64 * 1_000_003 + 25_000_000,
        attributes: attributes(number),
        status: Some(Status { code: 1, message: String::new() }),
        flags: 0x101,
        ..Span::default()
    };
    let spans = (0..count).map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..Default::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: resource(), scope_spans, ..Default::default() }],
    }
}

pub(crate) fn metrics(count: usize) -> ExportMetricsServiceRequest {
    let point = |number: usize| NumberDataPoint {
        attributes: attributes(number).into_iter().take(5).collect(),
        start_time_unix_nano: TIME,
        time_unix_nano: TIME + number as u64 * 1_000_003,
        value: Some(number_data_point::Value::AsInt(number as i64)),
        ..NumberDataPoint::default()
    };
    let metric = |first: usize| Metric {
        name: format!("orders.accepted.{}", first / 10),
        description: "Orders accepted for processing.".into(),
        unit: "{order}".into(),
        data: Some(Data::Sum(Sum {
            data_points: (first..first + 10).map(point).collect(),
            aggregation_temporality: 2,
            is_monotonic: true,
        })),
        ..Metric::default()
    };
    let metrics = (0..count).step_by(10).map(metric).collect();
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..Default::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource: resource(), scope_metrics, ..Default::default() }],
    }
}
