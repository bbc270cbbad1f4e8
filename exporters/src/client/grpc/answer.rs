//! What a gRPC answer means to the engine: the status table of the OTLP specification, section "OTLP/gRPC Response".

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, StatusCode};
use watershed_pipeline::{Batch, ExportError};

use crate::client::{self, Status};

/// The field that says how a call ended.
pub(super) const GRPC_STATUS: &str = "grpc-status";

/// gRPC's base64 comes with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The names of the status codes, in the order of their numbers (`google/rpc/code.proto`).
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// How servers say that a message is too large: Go, Java, Rust and C++, in this order.
const TOO_LARGE: [&str; 4] = [
    "message larger than max",
    "message exceeds maximum size",
    "message length too large",
    "larger than max",
];

/// How a call ended.
pub(super) struct Outcome<'a> {
    /// The status of HTTP.
    pub(super) code: StatusCode,
    /// The trailers, or the headers of an answer that has nothing else.
    pub(super) fields: &'a HeaderMap,
}

impl Outcome<'_> {
    /// What the engine is to do. `body` is the framed response message.
    ///
    /// # Errors
    /// Everything but full success.
    pub(super) fn result(&self, batch: &Batch, body: &[u8]) -> Result<(), ExportError> {
        match self.field(GRPC_STATUS).map(str::parse) {
            Some(Ok(0)) => {
                let message = body.get(5..).unwrap_or_default();
                let response = client::response_message(batch.signal(), message, false);
                client::partial_success(batch, response.as_ref())
            }
            Some(Ok(number)) => Err(self.failure(batch, number)),
            Some(Err(_)) => Err(self.failure(batch, 2)),
            None => Err(self.without_status(batch)),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }

    fn failure(&self, batch: &Batch, number: usize) -> ExportError {
        let words = unescape(self.field("grpc-message").unwrap_or_default());
        let details = self.field("grpc-status-details-bin").and_then(|text| BASE64.decode(text).ok());
        let after = details.and_then(|bytes| Status::from_protobuf(&bytes)?.retry_delay);
        let name = NAMES.get(number).copied().unwrap_or("an unknown status");
        let reason = match words.as_str() {
            "" => format!("the server answered {name}"),
            words => format!("the server answered {name}: {}", client::quotable(words)),
        };
        match name {
            "RESOURCE_EXHAUSTED" | "OUT_OF_RANGE"
                if TOO_LARGE.iter().any(|phrase| words.contains(phrase)) =>
            {
                ExportError::TooLarge { reason }
            }
            "CANCELLED" | "DEADLINE_EXCEEDED" | "ABORTED" | "OUT_OF_RANGE" | "UNAVAILABLE" | "DATA_LOSS" => {
                ExportError::Retry { reason, after }
            }
            "RESOURCE_EXHAUSTED" if after.is_some() => ExportError::Retry { reason, after },
            _ => ExportError::Reject { count: batch.len(), reason },
        }
    }

    /// An answer of something in between that does not speak gRPC (grpc/doc/http-grpc-status-mapping.md).
    fn without_status(&self, batch: &Batch) -> ExportError {
        let reason = format!("the server answered {} without a gRPC status", self.code);
        match self.code.as_u16() {
            413 => ExportError::TooLarge { reason },
            // Success without a status is a connection that broke off.
            200 | 429 | 502 | 503 | 504 => {
                let after = client::retry_after(self.fields, std::time::SystemTime::now());
                ExportError::Retry { reason, after }
            }
            _ => ExportError::Reject { count: batch.len(), reason },
        }
    }
}

/// Undoes the percent-encoding of `grpc-message`; what is no escape stays as it is.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escape =
            tail.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(decoded) = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(decoded);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use std::time::Duration;
    use watershed_pipeline::Signal;

    /// `Status { details: [RetryInfo { 2 s }] }` without padding.
    const RETRY_IN_TWO_SECONDS: &str = "GjAKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5SZXRyeUluZm8SBAoCCAI";

    fn outcome(code: u16, fields: &[(&'static str, &str)]) -> Result<(), ExportError> {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        let batch = Batch::builder(Signal::Logs).record(|_| ()).build();
        Outcome { code: StatusCode::from_u16(code).unwrap(), fields: &fields }.result(&batch, &[])
    }

    #[test]
    fn each_status_has_one_reaction() {
        for (number, name) in NAMES.iter().enumerate() {
            let reason = format!("the server answered {name}");
            let expected = match number {
                0 => Ok(()),
                1 | 4 | 10 | 11 | 14 | 15 => Err(ExportError::Retry { reason, after: None }),
                _ => Err(ExportError::Reject { count: 1, reason }),
            };
            assert_eq!(outcome(200, &[(GRPC_STATUS, &number.to_string())]), expected);
        }
    }

    #[test]
    fn an_exhausted_server_is_asked_again_only_when_it_says_when() {
        let fields = [(GRPC_STATUS, "8"), ("grpc-status-details-bin", RETRY_IN_TWO_SECONDS)];
        let reason = "the server answered RESOURCE_EXHAUSTED".to_owned();
        let after = Some(Duration::from_secs(2));
        assert_eq!(outcome(200, &fields), Err(ExportError::Retry { reason, after }));
    }

    #[test]
    fn a_message_that_is_too_large_is_known_by_its_words() {
        for (number, words) in [
            ("8", "grpc: received message larger than max (8 vs. 4)"),
            ("8", "gRPC message exceeds maximum size 4: 8"),
            ("11", "Error, decoded message length too large: found 8 bytes, the limit is: 4 bytes"),
        ] {
            let fields = [(GRPC_STATUS, number), ("grpc-message", words)];
            assert!(matches!(outcome(200, &fields), Err(ExportError::TooLarge { .. })), "{words}");
        }
    }

    #[test]
    fn answers_without_a_status_are_judged_by_their_http_status() {
        assert!(matches!(outcome(503, &[]), Err(ExportError::Retry { .. })));
        assert!(matches!(outcome(200, &[]), Err(ExportError::Retry { .. })));
        assert!(matches!(outcome(413, &[]), Err(ExportError::TooLarge { .. })));
        assert!(matches!(outcome(404, &[]), Err(ExportError::Reject { .. })));
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape("100%25 %C3%BC%zz%"), "100% ü%zz%");
    }
}
