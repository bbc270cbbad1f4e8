//! The messages in the answers of OTLP servers: `google.rpc.Status`, and what was refused of a request.
//!
//! Both are read by way of JSON with the tables of `otlp::schema`; answers with content are rare, so this costs nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use watershed_pipeline::Signal;
use watershed_pipeline::otlp::json;
use watershed_pipeline::otlp::schema::{self, Field, Kind, Message, Presence};

/// An error in a server's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// What happened.
    pub(crate) message: String,
    /// The wait that the server asks for, from `google.rpc.RetryInfo`.
    pub(crate) retry_delay: Option<Duration>,
}

/// What a server says about a request that it took in part.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PartialSuccess {
    #[serde(alias = "rejectedSpans", alias = "rejectedDataPoints", deserialize_with = "integer")]
    pub(crate) rejected_log_records: i64,
    pub(crate) error_message: String,
}

macro_rules! fields {
    ($($number:literal $name:literal $presence:ident $kind:expr;)*) => {
        &[$(Field {
            number: $number,
            name: $name,
            key: concat!("\"", $name, "\":"),
            kind: $kind,
            presence: Presence::$presence,
        }),*]
    };
}

/// `google/rpc/status.proto`, with the details that `schema::STATUS` leaves out.
static STATUS: Message = Message {
    name: "Status",
    fields: fields! {
        2 "message" Implicit Kind::String;
        3 "details" Repeated Kind::Message(&ANY);
    },
};

/// `google/protobuf/any.proto`.
static ANY: Message = Message {
    name: "Any",
    fields: fields! { 1 "typeUrl" Implicit Kind::String; 2 "value" Implicit Kind::Bytes; },
};

/// `google/rpc/error_details.proto`.
static RETRY_INFO: Message =
    Message { name: "RetryInfo", fields: fields! { 1 "retryDelay" Explicit Kind::Message(&DURATION); } };

/// `google/protobuf/duration.proto`.
static DURATION: Message = Message {
    name: "Duration",
    fields: fields! { 1 "seconds" Implicit Kind::Int64; 2 "nanos" Implicit Kind::Int32; },
};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusJson {
    message: String,
    details: Vec<AnyJson>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AnyJson {
    type_url: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RetryInfoJson {
    retry_delay: DurationJson,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DurationJson {
    #[serde(deserialize_with = "integer")]
    seconds: i64,
    nanos: i32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResponseJson {
    partial_success: PartialSuccess,
}

impl Status {
    /// Reads a status in protobuf.
    pub(crate) fn from_protobuf(bytes: &[u8]) -> Option<Self> {
        let status: StatusJson = read(&STATUS, bytes)?;
        Some(Self { message: status.message, retry_delay: status.details.iter().find_map(retry_delay) })
    }

    /// Reads a status in JSON.
    pub(crate) fn from_json(text: &[u8]) -> Option<Self> {
        // Details have another form in JSON; the wait stands in a header of the answer too.
        #[derive(Deserialize)]
        struct MessageOnly {
            message: String,
        }
        let status: MessageOnly = serde_json::from_slice(text).ok()?;
        Some(Self { message: status.message, retry_delay: None })
    }
}

fn retry_delay(detail: &AnyJson) -> Option<Duration> {
    if !detail.type_url.ends_with("/google.rpc.RetryInfo") {
        return None;
    }
    let bytes = STANDARD.decode(&detail.value).ok()?;
    let info: RetryInfoJson = read(&RETRY_INFO, &bytes)?;
    let seconds = u64::try_from(info.retry_delay.seconds).unwrap_or_default();
    let nanoseconds = u32::try_from(info.retry_delay.nanos).unwrap_or_default();
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanoseconds.into())))
}

/// Reads what was refused from a response message, in JSON or in protobuf. Nothing if it is no such message.
pub(crate) fn response_message(signal: Signal, message: &[u8], is_json: bool) -> Option<PartialSuccess> {
    if is_json {
        let response: ResponseJson = serde_json::from_slice(message).ok()?;
        return Some(response.partial_success);
    }
    let table = match signal {
        Signal::Logs => &schema::LOGS_RESPONSE,
        Signal::Traces => &schema::TRACES_RESPONSE,
        Signal::Metrics => &schema::METRICS_RESPONSE,
    };
    read(table, message).map(|response: ResponseJson| response.partial_success)
}

fn read<T: for<'de> Deserialize<'de>>(message: &'static Message, protobuf: &[u8]) -> Option<T> {
    let mut text = Vec::new();
    json::encode(message, protobuf, &mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// A 64-bit integer, which JSON has as text or as a number.
fn integer<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i64),
        Text(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Number(number) => Ok(number),
        Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
    };
    use prost::Message as _;

    /// `Status { code: 8, message: "slow", details: [RetryInfo { 1.5 s }] }`, laid out by hand.
    fn status() -> Vec<u8> {
        let duration = [&[0x08, 1, 0x10][..], &[0x80, 0xca, 0xb5, 0xee, 0x01]].concat();
        let info = [&[0x0a, 8][..], &duration].concat();
        let url = b"type.googleapis.com/google.rpc.RetryInfo";
        let any = [&[0x0a, 40][..], url, &[0x12, 10], &info].concat();
        [&[0x08, 8, 0x12, 4][..], b"slow", &[0x1a, 54], &any].concat()
    }

    #[test]
    fn a_status_is_read_with_its_wait() {
        let expected = Status { message: "slow".into(), retry_delay: Some(Duration::from_millis(1_500)) };
        assert_eq!(Status::from_protobuf(&status()), Some(expected));
        let expected = Status { message: "bad".into(), retry_delay: None };
        assert_eq!(Status::from_json(br#"{"code": 3, "message": "bad", "details": []}"#), Some(expected));
    }

    #[test]
    fn damaged_statuses_are_not_read() {
        let status = status();
        for length in 0..status.len() {
            drop(Status::from_protobuf(&status[..length]));
        }
        assert_eq!(Status::from_protobuf(b"<html>"), None);
        assert_eq!(Status::from_json(b"<html>"), None);
    }

    #[test]
    fn refused_items_are_read_in_both_encodings() {
        let expected = PartialSuccess { rejected_log_records: 7, error_message: "too old".into() };
        let partial_success =
            Some(ExportMetricsPartialSuccess { rejected_data_points: 7, error_message: "too old".into() });
        let bytes = ExportMetricsServiceResponse { partial_success }.encode_to_vec();
        assert_eq!(response_message(Signal::Metrics, &bytes, false).as_ref(), Some(&expected));
        for rejected in ["7", "\"7\""] {
            let text = format!(
                r#"{{"partialSuccess": {{"rejectedDataPoints": {rejected}, "errorMessage": "too old"}}}}"#
            );
            assert_eq!(response_message(Signal::Metrics, text.as_bytes(), true).as_ref(), Some(&expected));
        }
    }
}
