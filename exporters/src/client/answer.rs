//! What the answer of a server means to the engine.
//!
//! The rules are those of the OTLP specification, "OTLP/HTTP Response" and "Partial Success".

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use watershed_pipeline::{Batch, ExportError};

use super::status::{PartialSuccess, Status};

/// How much of an answer is read, in bytes.
pub(crate) const BODY_SIZE_MAX: usize = 64 << 10;

/// How much of an answer that is plain text is repeated in a message, in characters.
const QUOTED_MAX: usize = 200;

/// An answer over HTTP other than success.
pub(crate) struct Answer<'a> {
    /// The status code.
    pub(crate) code: StatusCode,
    /// The headers.
    pub(crate) headers: &'a HeaderMap,
    /// The start of the body.
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    /// What the engine is to do; `now` is for waits that the server gives as a date.
    pub(crate) fn error(&self, batch: &Batch, now: SystemTime) -> ExportError {
        let reason = format!("the server answered {}{}", self.code, self.words());
        match self.code.as_u16() {
            429 | 502 | 503 | 504 => ExportError::Retry { reason, after: retry_after(self.headers, now) },
            413 => ExportError::TooLarge { reason },
            _ => ExportError::Reject { count: batch.len(), reason },
        }
    }

    fn words(&self) -> String {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let status = if kind.contains("protobuf") {
            Status::from_protobuf(self.body)
        } else {
            Status::from_json(self.body)
        };
        let words = match status {
            Some(status) => status.message,
            None if kind.contains("protobuf") => String::new(),
            None => String::from_utf8_lossy(self.body).trim().to_owned(),
        };
        if words.is_empty() { words } else { format!(": {}", quotable(&words)) }
    }
}

/// A server's words, short and without characters that could spoil a log.
pub(crate) fn quotable(words: &str) -> String {
    let shown = words.chars().take(QUOTED_MAX).map(|letter| if letter.is_control() { ' ' } else { letter });
    shown.collect()
}

/// The wait that the server asks for: seconds, or a date (RFC 9110 section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Turns what a server says about a request that it took into the engine's terms. What it refused is never sent again.
///
/// # Errors
/// The items that were refused, if any.
pub(crate) fn partial_success(batch: &Batch, answer: Option<&PartialSuccess>) -> Result<(), ExportError> {
    let Some(answer) = answer else {
        tracing::debug!("the server took a request and answered with something that is not OTLP");
        return Ok(());
    };
    let words = quotable(&answer.error_message);
    let count = usize::try_from(answer.rejected_log_records).unwrap_or_default().min(batch.len());
    if count > 0 {
        return Err(ExportError::Reject {
            count,
            reason: format!("the server refused {count} items: {words}"),
        });
    }
    if !words.is_empty() {
        tracing::warn!(answer = words, "the server took everything, with a warning");
    }
    Ok(())
}

/// The first [`BODY_SIZE_MAX`] bytes of an answer's body.
///
/// # Errors
/// The connection broke.
pub(crate) async fn body_start(response: &mut reqwest::Response) -> Result<Bytes, ExportError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(super::transport_error)? {
        let room = BODY_SIZE_MAX.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if chunk.len() >= room {
            break;
        }
    }
    Ok(body.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use watershed_pipeline::Signal;

    fn batch() -> Batch {
        Batch::builder(Signal::Logs).record(|_| ()).record(|_| ()).build()
    }

    #[track_caller]
    fn check(code: u16, body: &str, expected: &ExportError) {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
        let answer =
            Answer { code: StatusCode::from_u16(code).unwrap(), headers: &headers, body: body.as_bytes() };
        assert_eq!(answer.error(&batch(), SystemTime::UNIX_EPOCH), *expected);
    }

    #[test]
    fn each_status_has_one_reaction() {
        for (code, name) in [
            (429, "429 Too Many Requests"),
            (502, "502 Bad Gateway"),
            (503, "503 Service Unavailable"),
            (504, "504 Gateway Timeout"),
        ] {
            let reason = format!("the server answered {name}");
            check(code, "", &ExportError::Retry { reason, after: Some(Duration::from_secs(7)) });
        }
        for (code, name) in [
            (307, "307 Temporary Redirect"),
            (400, "400 Bad Request"),
            (401, "401 Unauthorized"),
            (404, "404 Not Found"),
            (500, "500 Internal Server Error"),
        ] {
            let reason = format!("the server answered {name}: no\u{20}way");
            check(code, "no\nway", &ExportError::Reject { count: 2, reason });
        }
        check(
            413,
            r#"{"message": "4 MiB at most"}"#,
            &ExportError::TooLarge {
                reason: "the server answered 413 Payload Too Large: 4 MiB at most".into(),
            },
        );
    }

    #[test]
    fn waits_are_read_as_seconds_and_as_dates() {
        let after = |text: &'static str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770))
        };
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn a_server_cannot_refuse_more_than_it_got() {
        let answer =
            |rejected| PartialSuccess { rejected_log_records: rejected, error_message: "old".into() };
        let refused = |count| {
            Err(ExportError::Reject { count, reason: format!("the server refused {count} items: old") })
        };
        assert_eq!(partial_success(&batch(), Some(&answer(1))), refused(1));
        assert_eq!(partial_success(&batch(), Some(&answer(99))), refused(2));
        assert_eq!(partial_success(&batch(), Some(&answer(0))), Ok(()));
        assert_eq!(partial_success(&batch(), Some(&answer(-1))), Ok(()));
        assert_eq!(partial_success(&batch(), None), Ok(()));
    }
}
