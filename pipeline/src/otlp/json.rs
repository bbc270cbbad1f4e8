//! OTLP/JSON: turns JSON text into protobuf bytes and back, for every request and response of OTLP.
//!
//! Both ways follow the table in [`schema`](super::schema), so there is one path for all signals, and both write while
//! they read. The rules are those of the OTLP specification, "JSON Protobuf Encoding":
//!
//! * trace and span ids are hexadecimal text, in either case; other bytes are base64;
//! * enum values are written as integers, and read as integers or names;
//! * 64-bit integers are written as strings, and read as strings or numbers;
//! * names are written in lowerCamelCase, and read in lowerCamelCase or snake_case;
//! * unknown fields are ignored, and null is the default.
//!
//! Where the specification leaves room: null in a list is a default element; a field that is there twice, and two
//! fields of a `oneof`, are refused in JSON, and resolved by protobuf's rules in protobuf.

mod decode;
mod encode;
mod value;
mod wire;

pub use self::wire::WireError;

use std::fmt::Write as _;

use serde::Deserializer as _;

use self::decode::{Decoder, Object, Step};
use self::encode::Encoder;
use super::schema::Message;

/// Why JSON text is not the message that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON, or a value is not what its field needs.
    #[error("{path}: {problem} (line {line}, column {column})")]
    Invalid {
        /// The way to the value, as in `resourceLogs[0].scopeLogs[0].logRecords[3].traceId`; the name of the message
        /// if the fault is outside all fields.
        path: String,
        /// What is wrong and what was expected. Texts from the input are shortened to 64 bytes.
        problem: String,
        /// The line in the text, from 1.
        line: usize,
        /// The column in the line, in bytes.
        column: usize,
    },
    /// The message would become too large.
    #[error("the request is larger than {limit} bytes when decoded; send smaller batches or raise the limit")]
    TooLarge {
        /// How many bytes were allowed.
        limit: usize,
    },
}

/// Why protobuf bytes cannot be turned into JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct EncodeError {
    /// The fields on the way to the fault; the name of the message if it is outside all fields.
    pub path: String,
    /// What is wrong.
    pub problem: WireError,
}

/// Turns JSON text into the protobuf bytes of `message`, of which there may be `limit`.
///
/// # Errors
///
/// Returns [`JsonError`] if the text is not JSON or not this message, if attribute values are nested more than
/// [`NESTING_LIMIT`](super::schema::NESTING_LIMIT) deep, and if the result would be larger than `limit`.
pub fn decode(message: &'static Message, json: &[u8], limit: usize) -> Result<Vec<u8>, JsonError> {
    let mut decoder = Decoder::new(json.len(), limit);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // The schema bounds how deep the visitors recurse. serde_json's own limit counts brackets and would be too low for
    // nested attribute values, of which each takes up to four.
    deserializer.disable_recursion_limit();
    (&mut deserializer)
        .deserialize_map(Object { decoder: &mut decoder, message })
        .and_then(|()| deserializer.end())
        .map_err(|error| {
            if decoder.is_too_large {
                JsonError::TooLarge { limit }
            } else {
                invalid(message, &decoder.path, &error)
            }
        })?;
    Ok(decoder.out)
}

fn invalid(message: &Message, path: &[Step], error: &serde_json::Error) -> JsonError {
    let mut problem = error.to_string();
    if let Some(end) = problem.rfind(" at line ") {
        problem.truncate(end);
    }
    JsonError::Invalid { path: path_text(message, path), problem, line: error.line(), column: error.column() }
}

fn path_text(message: &Message, path: &[Step]) -> String {
    let mut text = String::new();
    for step in path.iter().rev() {
        match step {
            Step::Field(name) if text.is_empty() => text.push_str(name),
            Step::Field(name) => text.extend([".", name]),
            // Writing to a string cannot fail.
            Step::Index(index) => write!(text, "[{index}]").unwrap_or_default(),
        }
    }
    if text.is_empty() { message.name.to_owned() } else { text }
}

/// Appends the protobuf bytes of `message` to `out` as compact JSON. If that fails, `out` is as it was.
///
/// # Errors
///
/// Returns [`EncodeError`] if the bytes are not this message, or if attribute values are nested more than
/// [`NESTING_LIMIT`](super::schema::NESTING_LIMIT) deep.
pub fn encode(message: &'static Message, protobuf: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    // JSON takes about twice the bytes of protobuf.
    out.reserve(protobuf.len() * 2);
    let mut encoder = Encoder { out, path: Vec::new(), values: 0 };
    let result = encoder.object(message, protobuf);
    let mut path = encoder.path;
    result.map_err(|problem| {
        out.truncate(start);
        path.reverse();
        let path = if path.is_empty() { message.name.to_owned() } else { path.join(".") };
        EncodeError { path, problem }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{arbitrary, schema};
    use opentelemetry_proto::tonic::{
        collector::{
            logs::v1::ExportLogsServiceRequest,
            metrics::v1::{
                ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            },
            trace::v1::ExportTraceServiceRequest,
        },
        common::v1::{AnyValue, ArrayValue, EntityRef, KeyValue, any_value::Value},
        logs::v1::LogRecord,
        metrics::v1::{
            Exemplar, HistogramDataPoint, Metric, NumberDataPoint, Summary, SummaryDataPoint, exemplar,
            metric, number_data_point, summary_data_point::ValueAtQuantile,
        },
        resource::v1::Resource,
        trace::v1::{
            Span, Status,
            span::{Event, Link},
        },
    };
    use proptest::prelude::*;
    use prost::Message as _;

    const LIMIT: usize = 1 << 20;

    #[track_caller]
    fn decoded<T: prost::Message + Default>(message: &'static Message, json: &str) -> T {
        let bytes = decode(message, json.as_bytes(), LIMIT).unwrap_or_else(|error| panic!("{error}\n{json}"));
        T::decode(&*bytes).unwrap()
    }

    #[track_caller]
    fn encoded(message: &'static Message, protobuf: &[u8]) -> String {
        let mut out = Vec::new();
        encode(message, protobuf, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Encodes a request to JSON and decodes it again.
    fn over_json<T: prost::Message + Default>(message: &'static Message, request: &T) -> T {
        decoded(message, &encoded(message, &request.encode_to_vec()))
    }

    #[track_caller]
    fn refused(message: &'static Message, json: &str, text: &str) {
        let error = decode(message, json.as_bytes(), LIMIT).expect_err(json);
        assert_eq!(error.to_string(), text, "{json}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn property_logs_survive_json(request in arbitrary::logs()) {
            prop_assert_eq!(over_json(&schema::LOGS_REQUEST, &request), request);
        }

        #[test]
        fn property_traces_survive_json(request in arbitrary::traces()) {
            prop_assert_eq!(over_json(&schema::TRACES_REQUEST, &request), request);
        }

        #[test]
        fn property_metrics_survive_json(request in arbitrary::metrics()) {
            prop_assert_eq!(over_json(&schema::METRICS_REQUEST, &request), request);
        }

        #[test]
        fn property_fields_in_any_order_mean_what_prost_says(
            records in (arbitrary::log_record(), arbitrary::log_record()),
            swaps in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 6),
        ) {
            let bytes = [records.0.encode_to_vec(), vec![0x38, 0], records.1.encode_to_vec()].concat();
            let mut reader = wire::Reader::new(&bytes);
            let mut fields: Vec<&[u8]> = Vec::new();
            while let Some(field) = reader.field().unwrap() {
                fields.push(field.bytes);
            }
            for (left, right) in swaps {
                let count = fields.len();
                fields.swap(left.index(count), right.index(count));
            }
            let shuffled = fields.concat();
            let expected = LogRecord::decode(&*shuffled).unwrap();
            let json = encoded(&schema::LOG_RECORD, &shuffled);
            prop_assert_eq!(decoded::<LogRecord>(&schema::LOG_RECORD, &json), expected);
        }

        #[test]
        fn property_damaged_requests_never_panic(
            request in arbitrary::metrics(), at in any::<prop::sample::Index>(), byte in any::<u8>()
        ) {
            let mut bytes = request.encode_to_vec();
            let mut json = encoded(&schema::METRICS_REQUEST, &bytes).into_bytes();
            let position = at.index(json.len());
            json[position] = byte;
            drop(decode(&schema::METRICS_REQUEST, &json, LIMIT));
            drop(decode(&schema::METRICS_REQUEST, &json[..position], LIMIT));
            if !bytes.is_empty() {
                let position = at.index(bytes.len());
                bytes[position] = byte;
                drop(encode(&schema::METRICS_REQUEST, &bytes, &mut Vec::new()));
                drop(encode(&schema::METRICS_REQUEST, &bytes[..position], &mut Vec::new()));
            }
        }

        #[test]
        fn property_any_bytes_never_panic(bytes in any::<Vec<u8>>()) {
            for message in [&schema::LOGS_REQUEST, &schema::SPAN, &schema::HISTOGRAM_DATA_POINT, &schema::ANY_VALUE] {
                drop(decode(message, &bytes, LIMIT));
                drop(encode(message, &bytes, &mut Vec::new()));
            }
        }
    }

    /// Writes JSON in the one way that we do: lower-case ids, numbers as doubles, no zeros of implicit presence.
    fn normal(json: serde_json::Value) -> serde_json::Value {
        use serde_json::Value::{Array, Number, Object, String};
        match json {
            Object(members) => members
                .into_iter()
                .filter(|(name, value)| !["scale", "zeroThreshold"].contains(&name.as_str()) || value != 0)
                .map(|(name, value)| match value {
                    String(id) if name.ends_with("Id") => (name, String(id.to_lowercase())),
                    value => (name, normal(value)),
                })
                .collect(),
            Array(elements) => Array(elements.into_iter().map(normal).collect()),
            Number(number) => number.as_f64().into(),
            other => other,
        }
    }

    #[test]
    fn examples_of_the_specification_come_back_as_they_were() {
        for (message, json) in [
            (&schema::LOGS_REQUEST, include_str!("json/examples/logs.json")),
            (&schema::LOGS_REQUEST, include_str!("json/examples/events.json")),
            (&schema::TRACES_REQUEST, include_str!("json/examples/trace.json")),
            (&schema::METRICS_REQUEST, include_str!("json/examples/metrics.json")),
        ] {
            let back = encoded(message, &decode(message, json.as_bytes(), LIMIT).unwrap());
            let value = |text: &str| normal(serde_json::from_str(text).unwrap());
            assert_eq!(value(&back), value(json));
        }
    }

    #[test]
    fn the_example_of_a_trace_means_what_it_says() {
        let json = include_str!("json/examples/trace.json");
        let request: ExportTraceServiceRequest = decoded(&schema::TRACES_REQUEST, json);
        let resource = &request.resource_spans[0];
        assert_eq!(
            resource.resource.as_ref().unwrap().attributes[0],
            attribute("service.name", text("my.service"))
        );
        let scope = &resource.scope_spans[0];
        assert_eq!(scope.scope.as_ref().unwrap().name, "my.library");
        let expected = Span {
            trace_id: 0x5B8E_FFF7_9803_8103_D269_B633_813F_C60C_u128.to_be_bytes().to_vec(),
            span_id: 0xEEE1_9B7E_C3C1_B174_u64.to_be_bytes().to_vec(),
            parent_span_id: 0xEEE1_9B7E_C3C1_B173_u64.to_be_bytes().to_vec(),
            name: "I'm a server span".to_owned(),
            start_time_unix_nano: 1_544_712_660_000_000_000,
            end_time_unix_nano: 1_544_712_661_000_000_000,
            kind: 2,
            attributes: vec![attribute("my.span.attr", text("some value"))],
            ..Span::default()
        };
        assert_eq!(scope.spans, [expected]);
    }

    fn text(value: &str) -> Value {
        Value::StringValue(value.to_owned())
    }

    fn attribute(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
    }

    /// Checks that JSON means a struct and that the struct is written as the same JSON.
    #[track_caller]
    fn check<T: prost::Message + Default + PartialEq + std::fmt::Debug>(
        message: &'static Message,
        json: &str,
        expected: &T,
    ) {
        assert_eq!(&decoded::<T>(message, json), expected);
        assert_eq!(encoded(message, &expected.encode_to_vec()), json);
    }

    #[test]
    fn spans_have_events_links_status_and_flags() {
        let expected = Span {
            trace_state: "a=1".to_owned(),
            events: vec![Event {
                time_unix_nano: 5,
                name: "e".to_owned(),
                dropped_attributes_count: 2,
                ..Event::default()
            }],
            dropped_events_count: 3,
            links: vec![Link {
                trace_id: vec![0xab; 16],
                span_id: vec![1; 8],
                trace_state: "b=2".to_owned(),
                attributes: vec![attribute("n", Value::IntValue(-1))],
                dropped_attributes_count: 4,
                flags: 257,
            }],
            dropped_links_count: 6,
            status: Some(Status { message: "no".to_owned(), code: 2 }),
            flags: u32::MAX,
            ..Span::default()
        };
        let json = r#"{"traceState":"a=1","events":[{"timeUnixNano":"5","name":"e","droppedAttributesCount":2}],"droppedEventsCount":3,"links":[{"traceId":"abababababababababababababababab","spanId":"0101010101010101","traceState":"b=2","attributes":[{"key":"n","value":{"intValue":"-1"}}],"droppedAttributesCount":4,"flags":257}],"droppedLinksCount":6,"status":{"message":"no","code":2},"flags":4294967295}"#;
        check(&schema::SPAN, json, &expected);
    }

    #[test]
    fn metrics_have_summaries_exemplars_and_metadata() {
        let summary = Metric {
            name: "s".to_owned(),
            metadata: vec![attribute("m", Value::BoolValue(false))],
            data: Some(metric::Data::Summary(Summary {
                data_points: vec![SummaryDataPoint {
                    count: 7,
                    sum: 0.5,
                    quantile_values: vec![ValueAtQuantile { quantile: 0.99, value: f64::INFINITY }],
                    flags: 1,
                    ..SummaryDataPoint::default()
                }],
            })),
            ..Metric::default()
        };
        let json = r#"{"name":"s","summary":{"dataPoints":[{"count":"7","sum":0.5,"quantileValues":[{"quantile":0.99,"value":"Infinity"}],"flags":1}]},"metadata":[{"key":"m","value":{"boolValue":false}}]}"#;
        check(&schema::METRIC, json, &summary);

        let point = NumberDataPoint {
            exemplars: vec![Exemplar {
                time_unix_nano: 9,
                span_id: vec![2; 8],
                trace_id: vec![3; 16],
                filtered_attributes: vec![attribute("b", Value::BytesValue(vec![251, 255]))],
                value: Some(exemplar::Value::AsDouble(0.0)),
            }],
            value: Some(number_data_point::Value::AsInt(0)),
            ..NumberDataPoint::default()
        };
        let json = r#"{"asInt":"0","exemplars":[{"timeUnixNano":"9","asDouble":0.0,"spanId":"0202020202020202","traceId":"03030303030303030303030303030303","filteredAttributes":[{"key":"b","value":{"bytesValue":"+/8="}}]}]}"#;
        check(&schema::NUMBER_DATA_POINT, json, &point);
    }

    #[test]
    fn resources_have_entities_and_responses_tell_what_was_refused() {
        let entity = EntityRef {
            schema_url: "u".to_owned(),
            r#type: "host".to_owned(),
            id_keys: vec!["host.id".to_owned(), String::new()],
            description_keys: vec!["host.name".to_owned()],
        };
        let json = r#"{"droppedAttributesCount":1,"entityRefs":[{"schemaUrl":"u","type":"host","idKeys":["host.id",""],"descriptionKeys":["host.name"]}]}"#;
        let resource =
            Resource { attributes: Vec::new(), dropped_attributes_count: 1, entity_refs: vec![entity] };
        check(&schema::RESOURCE, json, &resource);

        let partial_success =
            ExportMetricsPartialSuccess { rejected_data_points: 3, error_message: "\"late\"".to_owned() };
        let json = r#"{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"\"late\""}}"#;
        let response = ExportMetricsServiceResponse { partial_success: Some(partial_success) };
        check(&schema::METRICS_RESPONSE, json, &response);
        check(&schema::METRICS_RESPONSE, "{}", &ExportMetricsServiceResponse::default());
    }

    #[test]
    fn attribute_values_are_read_in_every_spelling() {
        for (json, value) in [
            ("{}", None),
            (r#"{"stringValue":null}"#, None),
            (r#"{"stringValue":""}"#, Some(text(""))),
            (r#"{"string_value":"\ud83d\ude00\u00e9"}"#, Some(text("\u{1f600}\u{e9}"))),
            (r#"{"boolValue":false}"#, Some(Value::BoolValue(false))),
            (r#"{"intValue":null,"boolValue":true}"#, Some(Value::BoolValue(true))),
            (r#"{"intValue":"-9223372036854775808"}"#, Some(Value::IntValue(i64::MIN))),
            (r#"{"intValue":-3}"#, Some(Value::IntValue(-3))),
            (r#"{"intValue":3.0}"#, Some(Value::IntValue(3))),
            (r#"{"doubleValue":5}"#, Some(Value::DoubleValue(5.0))),
            (r#"{"doubleValue":"1.5e3"}"#, Some(Value::DoubleValue(1500.0))),
            (r#"{"doubleValue":"-Infinity"}"#, Some(Value::DoubleValue(f64::NEG_INFINITY))),
            (r#"{"bytesValue":"+/8="}"#, Some(Value::BytesValue(vec![251, 255]))),
            (r#"{"bytesValue":"-_8"}"#, Some(Value::BytesValue(vec![251, 255]))),
            (r#"{"bytesValue":""}"#, Some(Value::BytesValue(Vec::new()))),
            (
                r#"{"unknown":{"deep":[[{}]]},"arrayValue":{"values":[null,{"intValue":1}]}}"#,
                Some(Value::ArrayValue(ArrayValue {
                    values: vec![AnyValue::default(), AnyValue { value: Some(Value::IntValue(1)) }],
                })),
            ),
        ] {
            assert_eq!(decoded::<AnyValue>(&schema::ANY_VALUE, json).value, value, "{json}");
        }
        let not_a_number = decoded::<AnyValue>(&schema::ANY_VALUE, r#"{"doubleValue":"NaN"}"#);
        assert!(matches!(not_a_number.value, Some(Value::DoubleValue(number)) if number.is_nan()));
    }

    #[test]
    fn enums_and_ids_are_read_in_every_spelling() {
        for (json, severity_number) in [
            ("9", 9),
            ("\"SEVERITY_NUMBER_INFO\"", 9),
            ("99", 99),
            ("-1", -1),
            ("null", 0),
            ("\"SEVERITY_NUMBER_FATAL4\"", 24),
        ] {
            let json = format!(r#"{{"severityNumber":{json}}}"#);
            assert_eq!(
                decoded::<LogRecord>(&schema::LOG_RECORD, &json).severity_number,
                severity_number,
                "{json}"
            );
        }
        let record: LogRecord = decoded(&schema::LOG_RECORD, r#"{"traceId":"","spanId":"00aBcDeF12345678"}"#);
        assert!(record.trace_id.is_empty());
        assert_eq!(record.span_id, [0, 0xab, 0xcd, 0xef, 0x12, 0x34, 0x56, 0x78]);
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let record = |member: &str| {
            format!("{{\"resourceLogs\":[{{\"scopeLogs\":[\n{{\"logRecords\":[{{}},{{{member}}}]}}]}}]}}")
        };
        for (member, text) in [
            (
                r#""traceId":"5b8e""#,
                "traceId: invalid value: string \"5b8e\", expected a string of 32 hexadecimal digits (line 2, column 35)",
            ),
            (
                r#""spanId":"zzzzzzzzzzzzzzzz""#,
                "spanId: invalid value: string \"zzzzzzzzzzzzzzzz\", expected a string of 16 hexadecimal digits (line 2, column 46)",
            ),
            (
                r#""timeUnixNano":-1"#,
                "timeUnixNano: invalid value: integer `-1`, expected an unsigned 64-bit integer, as number or string (line 2, column 36)",
            ),
            (
                r#""flags":4294967296"#,
                "flags: invalid value: integer `4294967296`, expected an unsigned 32-bit integer (line 2, column 37)",
            ),
            (
                r#""severityNumber":"LOUD""#,
                "severityNumber: invalid value: string \"LOUD\", expected an enum value: an integer or a name such as SEVERITY_NUMBER_FATAL4 (line 2, column 42)",
            ),
            (r#""attributes":{}"#, "attributes: invalid type: map, expected an array (line 2, column 34)"),
            (
                r#""attributes":[{"key":5}]"#,
                "attributes[0].key: invalid value: integer `5`, expected a string (line 2, column 41)",
            ),
            (
                r#""body":"text""#,
                "body: invalid value: string \"text\", expected an object (AnyValue) (line 2, column 32)",
            ),
            (
                r#""body":{"intValue":"1","stringValue":"a"}"#,
                "body.stringValue: only one of `intValue` and `stringValue` can be set (line 2, column 60)",
            ),
            (
                r#""severityText":"a","severity_text":"b""#,
                "severityText: the field is there twice; remove one of them (line 2, column 58)",
            ),
            (r#""body":{"boolValue":tru"#, "body.boolValue: expected ident (line 2, column 43)"),
        ] {
            refused(
                &schema::LOGS_REQUEST,
                &record(member),
                &format!("resourceLogs[0].scopeLogs[0].logRecords[1].{text}"),
            );
        }
    }

    #[test]
    fn faults_outside_all_fields_are_told_with_the_name_of_the_message() {
        for (json, text) in [
            ("", "EOF while parsing a value (line 1, column 0)"),
            (
                "[]",
                "invalid type: sequence, expected an object (ExportLogsServiceRequest) (line 1, column 0)",
            ),
            ("{} {}", "trailing characters (line 1, column 4)"),
        ] {
            refused(&schema::LOGS_REQUEST, json, &format!("ExportLogsServiceRequest: {text}"));
        }
    }

    #[test]
    fn long_texts_are_shortened_in_errors() {
        let json = format!(r#"{{"spanId":"{}"}}"#, "\u{e9}".repeat(500));
        let shown = "\u{e9}".repeat(32);
        let text = format!(
            "spanId: invalid value: string \"{shown}\"… (1000 bytes), expected a string of 16 hexadecimal digits (line 1, column 1012)"
        );
        refused(&schema::LOG_RECORD, &json, &text);
    }

    #[test]
    fn nesting_is_limited_both_ways() {
        let json = |depth: usize| {
            let (open, close) = (r#"{"kvlistValue":{"values":[{"value":"#, "}]}}");
            format!(r#"{{"body":{}{{}}{}}}"#, open.repeat(depth - 1), close.repeat(depth - 1))
        };
        let protobuf = |depth: usize| {
            let body = (1..depth).fold(AnyValue::default(), |value, _| AnyValue {
                value: Some(Value::ArrayValue(ArrayValue { values: vec![value] })),
            });
            LogRecord { body: Some(body), ..LogRecord::default() }.encode_to_vec()
        };
        decode(&schema::LOG_RECORD, json(schema::NESTING_LIMIT).as_bytes(), LIMIT).unwrap();
        encode(&schema::LOG_RECORD, &protobuf(schema::NESTING_LIMIT), &mut Vec::new()).unwrap();

        let error = decode(&schema::LOG_RECORD, json(100_000).as_bytes(), LIMIT).unwrap_err().to_string();
        assert!(error.contains(": attribute values are nested more than 64 deep (line 1"), "{error}");
        decode(&schema::LOG_RECORD, json(schema::NESTING_LIMIT + 1).as_bytes(), LIMIT).unwrap_err();
        let error =
            encode(&schema::LOG_RECORD, &protobuf(schema::NESTING_LIMIT + 1), &mut Vec::new()).unwrap_err();
        assert_eq!(error.problem, WireError::TooDeep(64));
    }

    #[test]
    fn unknown_fields_may_nest_as_they_like() {
        let depth = 100_000;
        let json = format!(r#"{{"unknown":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(decode(&schema::LOGS_REQUEST, json.as_bytes(), LIMIT), Ok(Vec::new()));
    }

    #[test]
    fn the_size_of_the_output_is_limited() {
        let json = r#"{"bucketCounts":[0,0,0,0,0,0,0,0]}"#;
        assert_eq!(decode(&schema::HISTOGRAM_DATA_POINT, json.as_bytes(), 66).unwrap().len(), 66);
        let error = decode(&schema::HISTOGRAM_DATA_POINT, json.as_bytes(), 65).unwrap_err();
        assert_eq!(error, JsonError::TooLarge { limit: 65 });
    }

    #[test]
    fn numbers_may_be_packed_or_not() {
        let expected = HistogramDataPoint { bucket_counts: vec![1, 2, 3], ..HistogramDataPoint::default() };
        let one = |number: u8| [0x31, number, 0, 0, 0, 0, 0, 0, 0];
        let packed = [&[0x32, 8][..], &one(3)[1..]].concat();
        let bytes = [&one(1)[..], &one(2), &[0x32, 0], &packed].concat();
        assert_eq!(HistogramDataPoint::decode(&*bytes).unwrap(), expected);
        assert_eq!(encoded(&schema::HISTOGRAM_DATA_POINT, &bytes), r#"{"bucketCounts":["1","2","3"]}"#);
    }

    #[test]
    fn protobuf_that_repeats_itself_is_resolved_by_its_rules() {
        // A string, a list in two pieces around a body, the string again, and the body again.
        let first = LogRecord {
            severity_text: "first".to_owned(),
            attributes: vec![attribute("a", text("1"))],
            body: Some(AnyValue {
                value: Some(Value::ArrayValue(ArrayValue { values: vec![AnyValue::default()] })),
            }),
            ..LogRecord::default()
        };
        let second = LogRecord {
            severity_text: "second".to_owned(),
            attributes: vec![attribute("b", text("2"))],
            ..first.clone()
        };
        let third =
            LogRecord { body: Some(AnyValue { value: Some(Value::IntValue(0)) }), ..LogRecord::default() };
        for records in [&[&first, &second][..], &[&first, &second, &third], &[&third, &first, &third, &first]]
        {
            let bytes = records.iter().map(|record| record.encode_to_vec()).collect::<Vec<_>>().concat();
            let expected = LogRecord::decode(&*bytes).unwrap();
            assert_eq!(
                decoded::<LogRecord>(&schema::LOG_RECORD, &encoded(&schema::LOG_RECORD, &bytes)),
                expected
            );
        }
    }

    #[test]
    fn broken_protobuf_is_told_with_its_place_and_leaves_no_trace() {
        let mut out = b"before".to_vec();
        for (bytes, text) in [
            (&[0x0a, 5][..], "ExportLogsServiceRequest: the message ends in the middle of a field"),
            (
                &[0x0a, 4, 0x12, 2, 0x12, 9][..],
                "resourceLogs.scopeLogs: the message ends in the middle of a field",
            ),
            (
                &[0x0a, 6, 0x12, 4, 0x12, 2, 0x08, 1][..],
                "resourceLogs.scopeLogs.logRecords.timeUnixNano: the field has another wire type than 64-bit",
            ),
        ] {
            let error = encode(&schema::LOGS_REQUEST, bytes, &mut out).unwrap_err();
            assert_eq!(error.to_string(), text);
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn unknown_fields_of_protobuf_are_left_out() {
        let bytes = [0xfa, 0x3e, 1, 0, 0x10, 9, 0xf8, 0x3e, 1];
        assert_eq!(encoded(&schema::LOG_RECORD, &bytes), r#"{"severityNumber":9}"#);
        let request: ExportLogsServiceRequest = decoded(&schema::LOGS_REQUEST, "{\"other\":1}");
        assert_eq!(request, ExportLogsServiceRequest::default());
        let request: ExportMetricsServiceRequest =
            decoded(&schema::METRICS_REQUEST, "{\"resourceMetrics\":null}");
        assert_eq!(request, ExportMetricsServiceRequest::default());
    }
}
