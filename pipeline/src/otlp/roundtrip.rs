//! Properties of decoding and encoding, with opentelemetry-proto's structs as the judge.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message;

use super::arbitrary;
use crate::batch::{Batch, Record, Signal, Value};
use crate::testing;

fn bytes_of(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Encodes with every row written from its fields, none copied.
fn rewritten(signal: Signal, message: &impl Message) -> Bytes {
    let mut batch = Batch::from_otlp(signal, bytes_of(message)).unwrap();
    batch.forget_received();
    batch.to_otlp()
}

fn without_default<T: Default + PartialEq>(value: &mut Option<T>) {
    if value.as_ref().is_some_and(|value| *value == T::default()) {
        *value = None;
    }
}

/// Resources, scopes and metrics without records say nothing, and an empty message is as good as none.
fn tidy_logs(mut request: ExportLogsServiceRequest) -> ExportLogsServiceRequest {
    for resource in &mut request.resource_logs {
        without_default::<Resource>(&mut resource.resource);
        resource.scope_logs.retain(|scope| !scope.log_records.is_empty());
        resource
            .scope_logs
            .iter_mut()
            .for_each(|scope| without_default::<InstrumentationScope>(&mut scope.scope));
    }
    request.resource_logs.retain(|resource| !resource.scope_logs.is_empty());
    request
}

fn tidy_traces(mut request: ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    for resource in &mut request.resource_spans {
        without_default::<Resource>(&mut resource.resource);
        resource.scope_spans.retain(|scope| !scope.spans.is_empty());
        resource
            .scope_spans
            .iter_mut()
            .for_each(|scope| without_default::<InstrumentationScope>(&mut scope.scope));
    }
    request.resource_spans.retain(|resource| !resource.scope_spans.is_empty());
    request
}

fn tidy_metrics(mut request: ExportMetricsServiceRequest) -> ExportMetricsServiceRequest {
    for resource in &mut request.resource_metrics {
        without_default::<Resource>(&mut resource.resource);
        for scope in &mut resource.scope_metrics {
            without_default::<InstrumentationScope>(&mut scope.scope);
            scope.metrics.retain(|metric| match &metric.data {
                None => false,
                Some(Data::Gauge(data)) => !data.data_points.is_empty(),
                Some(Data::Sum(data)) => !data.data_points.is_empty(),
                Some(Data::Histogram(data)) => !data.data_points.is_empty(),
                Some(Data::ExponentialHistogram(data)) => !data.data_points.is_empty(),
                Some(Data::Summary(data)) => !data.data_points.is_empty(),
            });
        }
        resource.scope_metrics.retain(|scope| !scope.metrics.is_empty());
    }
    request.resource_metrics.retain(|resource| !resource.scope_metrics.is_empty());
    request
}

proptest! {
    #[test]
    fn property_untouched_logs_pass_byte_for_byte(request in arbitrary::logs()) {
        let bytes = bytes_of(&request);
        let batch = Batch::from_otlp(Signal::Logs, bytes.clone()).unwrap();
        if !batch.is_empty() {
            prop_assert_eq!(batch.to_otlp(), bytes);
        }
    }

    #[test]
    fn property_logs_survive_decoding_and_rewriting(request in arbitrary::logs()) {
        let bytes = rewritten(Signal::Logs, &request);
        prop_assert_eq!(ExportLogsServiceRequest::decode(bytes).unwrap(), tidy_logs(request));
    }

    #[test]
    fn property_traces_survive_decoding_and_rewriting(request in arbitrary::traces()) {
        let bytes = rewritten(Signal::Traces, &request);
        prop_assert_eq!(ExportTraceServiceRequest::decode(bytes).unwrap(), tidy_traces(request));
    }

    #[test]
    fn property_metrics_survive_decoding_and_rewriting(request in arbitrary::metrics()) {
        let bytes = rewritten(Signal::Metrics, &request);
        prop_assert_eq!(ExportMetricsServiceRequest::decode(bytes).unwrap(), tidy_metrics(request));
    }

    #[test]
    fn property_a_subset_of_records_is_that_subset(
        request in arbitrary::logs(), keep in proptest::collection::vec(any::<bool>(), 48)
    ) {
        let mut batch = Batch::from_otlp(Signal::Logs, bytes_of(&request)).unwrap();
        let mut verdicts = keep.iter().copied();
        batch.retain(|_| verdicts.next().unwrap_or(true));
        let mut expected = request;
        let mut verdicts = keep.iter().copied();
        for scope in expected.resource_logs.iter_mut().flat_map(|resource| &mut resource.scope_logs) {
            scope.log_records.retain(|_| verdicts.next().unwrap_or(true));
        }
        let found = ExportLogsServiceRequest::decode(batch.to_otlp()).unwrap();
        prop_assert_eq!(tidy_logs(found), tidy_logs(expected));
    }

    #[test]
    fn property_chosen_records_are_those_that_retain_would_keep(
        batches in Signal::ALL.map(|signal| (testing::any_batch(signal), testing::any_batch(signal))),
        keep in proptest::collection::vec(any::<bool>(), 48)
    ) {
        for (mut batch, other) in batches {
            batch.append(other);
            let chosen = |position: &usize| keep.get(*position).copied().unwrap_or(true);
            let positions: Vec<usize> = (0..batch.len()).filter(chosen).collect();
            let copied = batch.to_otlp_of(&positions);
            let mut position = 0;
            batch.retain(|_| {
                position += 1;
                chosen(&(position - 1))
            });
            // A part of which nothing is taken away is copied as it came, with resources that have no records.
            batch.forget_message();
            prop_assert_eq!(copied, batch.to_otlp());
        }
    }

    #[test]
    fn property_no_old_value_leaves_after_a_change(request in arbitrary::traces(), value in "[a-z]{0,200}") {
        let mut batch = Batch::from_otlp(Signal::Traces, bytes_of(&request)).unwrap();
        let mut records = batch.records_mut();
        while let Some(mut record) = records.next() {
            record.retain_attributes(|_, _| false);
            record.set_attribute("only", value.as_str());
            record.set_span_name(&value);
        }
        batch.events_and_links_mut(|holder| {
            holder.retain_attributes(|_, _| false);
        });
        batch.resources_mut(|resource| resource.set_attribute("only", value.as_str()));
        let only = KeyValue {
            key: "only".into(),
            value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.clone())) }),
            ..KeyValue::default()
        };
        let mut expected = tidy_traces(request);
        for group in &mut expected.resource_spans {
            let resource = group.resource.get_or_insert_default();
            match resource.attributes.iter_mut().find(|attribute| attribute.key == "only") {
                Some(found) => *found = only.clone(),
                None => resource.attributes.push(only.clone()),
            }
            for span in group.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans) {
                span.attributes = vec![only.clone()];
                span.name.clone_from(&value);
                span.events.iter_mut().for_each(|event| event.attributes.clear());
                span.links.iter_mut().for_each(|link| link.attributes.clear());
            }
        }
        prop_assert_eq!(ExportTraceServiceRequest::decode(batch.to_otlp()).unwrap(), expected);
    }

    #[test]
    fn property_arbitrary_bytes_are_refused_or_read_and_written(
        bytes in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        for signal in Signal::ALL {
            if let Ok(mut batch) = Batch::from_otlp(signal, bytes.clone().into()) {
                batch.forget_received();
                drop(batch.to_otlp());
            }
        }
    }

    #[test]
    fn property_damaged_messages_never_panic(
        request in arbitrary::metrics(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        let mut bytes = bytes_of(&request).to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
        }
        if let Ok(mut batch) = Batch::from_otlp(Signal::Metrics, bytes.into()) {
            batch.forget_received();
            drop(batch.to_otlp());
        }
    }

    #[test]
    fn property_what_prost_refuses_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        // Only in this direction: ids of odd lengths and other things that protobuf allows are refused here too.
        if Batch::from_otlp(Signal::Logs, bytes.clone().into()).is_ok() {
            prop_assert!(ExportLogsServiceRequest::decode(&bytes[..]).is_ok());
        }
    }
}

#[test]
fn merging_and_splitting_keep_every_record() {
    let of = |text: &str| Batch::builder(Signal::Logs).record(|log| log.set_body(text)).build();
    let mut batch = of("a");
    batch.append(of("b"));
    batch.append(of("c"));
    let rest = batch.split_off(1).unwrap();
    let bodies = |batch: &Batch| -> Vec<String> {
        batch.logs().filter_map(|log| Some(log.body()?.as_str()?.to_owned())).collect()
    };
    assert_eq!(bodies(&batch), ["a"]);
    assert_eq!(bodies(&rest), ["b", "c"]);
    let decoded = Batch::from_otlp(Signal::Logs, rest.to_otlp()).unwrap();
    assert_eq!(bodies(&decoded), ["b", "c"]);
    let is_c = |record: Record<'_>| record.log().unwrap().body() == Some(Value::Str("c"));
    let parts = decoded.partition(2, |record| usize::from(is_c(record)));
    assert_eq!(parts.len(), 2);
    assert_eq!(bodies(&parts[1].1), ["c"]);
}

#[test]
fn only_log_records_without_any_time_get_an_observed_time() {
    let mut batch = Batch::builder(Signal::Logs)
        .record(|log| log.set_time_unix_nano(5))
        .record(|log| log.set_observed_time_unix_nano(6))
        .record(|_| ())
        .build();
    batch.fill_observed_time(7);
    let times: Vec<_> =
        batch.logs().map(|log| (log.time_unix_nano(), log.observed_time_unix_nano())).collect();
    assert_eq!(times, [(5, 0), (0, 6), (0, 7)]);
}

#[test]
fn a_message_of_empty_records_is_refused_before_it_takes_much_more_memory_than_its_size() {
    let record = [0x12, 0x00];
    let scope: Vec<u8> = record.repeat(1 << 20);
    let mut message = vec![];
    prost::encoding::encode_key(2, prost::encoding::WireType::LengthDelimited, &mut message);
    prost::encoding::encode_varint(scope.len() as u64, &mut message);
    message.extend(scope);
    let mut request = vec![];
    prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut request);
    prost::encoding::encode_varint(message.len() as u64, &mut request);
    request.extend(message);
    let error = Batch::from_otlp(Signal::Logs, request.into()).unwrap_err();
    assert_eq!(error.reason, super::Reason::TooLarge);
}

#[test]
fn values_nested_too_deep_and_texts_that_are_not_utf8_are_refused_with_the_place() {
    let nest = |depth: usize| {
        let mut value = AnyValue { value: Some(any_value::Value::IntValue(1)) };
        for _ in 1..depth {
            let array = opentelemetry_proto::tonic::common::v1::ArrayValue { values: vec![value] };
            value = AnyValue { value: Some(any_value::Value::ArrayValue(array)) };
        }
        let record =
            opentelemetry_proto::tonic::logs::v1::LogRecord { body: Some(value), ..Default::default() };
        let scope = opentelemetry_proto::tonic::logs::v1::ScopeLogs {
            log_records: vec![record],
            ..Default::default()
        };
        let group = opentelemetry_proto::tonic::logs::v1::ResourceLogs {
            scope_logs: vec![scope],
            ..Default::default()
        };
        bytes_of(&ExportLogsServiceRequest { resource_logs: vec![group] })
    };
    assert!(Batch::from_otlp(Signal::Logs, nest(64)).is_ok());
    assert_eq!(Batch::from_otlp(Signal::Logs, nest(65)).unwrap_err().reason, super::Reason::Depth);
    let error =
        Batch::from_otlp(Signal::Logs, Bytes::from_static(b"\x0a\x06\x12\x04\x12\x02\x1a\x01")).unwrap_err();
    assert_eq!(error.reason, super::Reason::Truncated);
    let error = Batch::from_otlp(Signal::Logs, Bytes::from_static(b"\x0a\x07\x12\x05\x12\x03\x1a\x01\xff"))
        .unwrap_err();
    assert_eq!(error.to_string(), "invalid protobuf at byte 8, in LogRecord: a text is not valid UTF-8");
}
