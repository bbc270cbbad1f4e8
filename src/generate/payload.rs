//! Records put together to OTLP export requests.

use std::time::{Duration, SystemTime};

use watershed_pipeline::Signal;

use super::message::{Message, delimited};
use super::template::{SPANS_PER_TRACE, Template, Values, resource, scope};

/// Data points of one metric in a request.
const POINTS_PER_METRIC: u64 = 50;
const METRICS: [(&str, &str); 4] = [
    ("http.server.request.duration", "ms"),
    ("http.server.request.body.size", "By"),
    ("db.client.operation.duration", "ms"),
    ("queue.wait.duration", "ms"),
];
const HEX_DIGITS: [u8; 16] = *b"0123456789abcdef";

/// Writes export requests of one signal for one connection.
pub(crate) struct Payload {
    signal: Signal,
    templates: Vec<Template>,
    resource: Message,
    scope: Message,
    random: fastrand::Rng,
    /// The records of the request under construction, kept for its capacity.
    records: Vec<u8>,
    points: Vec<u8>,
}

impl Payload {
    pub(crate) fn new(signal: Signal, connection: usize) -> Self {
        Self {
            signal,
            templates: Template::all(signal),
            resource: resource(connection),
            scope: scope(),
            random: fastrand::Rng::new(),
            records: Vec::new(),
            points: Vec::new(),
        }
    }

    /// Appends a request with the records `first..first + count` to `out`.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, first: u64, count: u64, now: SystemTime) {
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        self.records.clear();
        match self.signal {
            Signal::Logs | Signal::Traces => self.write_records(first, count, now),
            Signal::Metrics => self.write_metrics(first, count, now),
        }
        let scope = Message::new().message(1, &self.scope);
        let scope_size = scope.bytes.len() + self.records.len();
        let mut head = Message::new().message(1, &self.resource).bytes;
        delimited(&mut head, 2, scope_size);
        delimited(out, 1, head.len() + scope_size);
        out.extend_from_slice(&head);
        out.extend_from_slice(&scope.bytes);
        out.extend_from_slice(&self.records);
    }

    fn write_records(&mut self, first: u64, count: u64, now: u64) {
        // A request that begins in the middle of a trace holds children of a root that is elsewhere.
        let mut trace_id = self.random.u128(1..).to_le_bytes();
        let mut parent_span_id = self.random.u64(1..).to_le_bytes();
        for offset in 0..count {
            let span_id = self.random.u64(1..).to_le_bytes();
            let is_root = (first + offset).is_multiple_of(SPANS_PER_TRACE);
            if is_root || self.signal == Signal::Logs {
                trace_id = self.random.u128(1..).to_le_bytes();
                parent_span_id = span_id;
            }
            let time = now.saturating_add(offset * 1000);
            let later_time = time.saturating_add(250_000);
            let request_id = self.request_id();
            let values = Values { time, later_time, trace_id, span_id, parent_span_id, request_id };
            self.append(first + offset, 2, &values);
        }
    }

    fn append(&mut self, sequence: u64, field: u32, values: &Values) {
        let index = usize::try_from(sequence).unwrap_or_default() % self.templates.len().max(1);
        if let Some(template) = self.templates.get(index) {
            template.append(&mut self.records, field, values, sequence);
        }
    }

    fn write_metrics(&mut self, first: u64, count: u64, now: u64) {
        let mut metrics = Vec::new();
        let names = METRICS.iter().cycle();
        for (start, (name, unit)) in (0..count).step_by(POINTS_PER_METRIC as usize).zip(names) {
            for offset in start..count.min(start + POINTS_PER_METRIC) {
                let time = now.saturating_sub(10_000_000_000);
                let later_time = now.saturating_add(offset * 1000);
                let nothing = Values {
                    time,
                    later_time,
                    trace_id: [0; 16],
                    span_id: [0; 8],
                    parent_span_id: [0; 8],
                    request_id: [0; 16],
                };
                self.append(first + offset, 1, &nothing);
            }
            std::mem::swap(&mut self.records, &mut self.points);
            let points = Message { bytes: std::mem::take(&mut self.points), slots: Vec::new() };
            let metric = Message::new().text(1, name).text(3, unit).message(5, &points);
            metrics.extend_from_slice(&Message::new().message(2, &metric).bytes);
            self.points = points.bytes;
            self.points.clear();
        }
        self.records = metrics;
    }

    fn request_id(&mut self) -> [u8; 16] {
        let mut bits = self.random.u64(..);
        std::array::from_fn(|_| {
            let digit = HEX_DIGITS.get((bits & 15) as usize).copied().unwrap_or(b'0');
            bits >>= 4;
            digit
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use opentelemetry_proto::tonic::collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    };
    use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use prost::Message as _;

    use super::*;

    fn request(signal: Signal, first: u64, count: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut payload = Payload::new(signal, 3);
        // The second request of a payload must not hold anything of the first one.
        payload.write(&mut Vec::new(), 0, 7, SystemTime::now());
        payload.write(&mut out, first, count, SystemTime::now());
        out
    }

    fn sequence(attributes: &[KeyValue]) -> i64 {
        assert_eq!(attributes.len(), 10);
        let last = attributes.last().unwrap();
        assert_eq!(last.key, "sequence");
        match last.value.clone().unwrap().value.unwrap() {
            Value::IntValue(number) => number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn log_records_are_numbered_and_as_large_as_the_documentation_says() {
        let bytes = request(Signal::Logs, 100, 1000);
        let decoded = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
        let resource = decoded.resource_logs[0].resource.as_ref().unwrap();
        assert_eq!(resource.attributes.len(), 6);
        let records = &decoded.resource_logs[0].scope_logs[0].log_records;
        let numbers: Vec<i64> = records.iter().map(|record| sequence(&record.attributes)).collect();
        assert_eq!(numbers, (100..1100).collect::<Vec<i64>>());
        let ids: BTreeSet<_> = records.iter().map(|record| record.trace_id.clone()).collect();
        assert_eq!(ids.len(), 1000);
        let size = bytes.len() / 1000;
        assert!((620..650).contains(&size), "{size} bytes a record");
    }

    #[test]
    fn spans_form_traces_with_one_root_each() {
        let bytes = request(Signal::Traces, 0, 8);
        let decoded = ExportTraceServiceRequest::decode(&bytes[..]).unwrap();
        let spans = &decoded.resource_spans[0].scope_spans[0].spans;
        assert_eq!(
            spans.iter().map(|span| sequence(&span.attributes)).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5, 6, 7]
        );
        assert!(spans[0].parent_span_id.is_empty());
        assert_eq!(spans[3].parent_span_id, spans[0].span_id);
        assert_eq!(spans[3].trace_id, spans[0].trace_id);
        assert_ne!(spans[4].trace_id, spans[0].trace_id);
    }

    #[test]
    fn data_points_are_spread_over_metrics() {
        let bytes = request(Signal::Metrics, 0, 120);
        let decoded = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
        let metrics = &decoded.resource_metrics[0].scope_metrics[0].metrics;
        let mut numbers = Vec::new();
        for metric in metrics {
            let Some(Data::Gauge(gauge)) = &metric.data else { panic!("{:?}", metric.data) };
            numbers.extend(gauge.data_points.iter().map(|point| sequence(&point.attributes)));
        }
        assert_eq!(metrics.len(), 3);
        assert_eq!(numbers, (0..120).collect::<Vec<i64>>());
    }
}
