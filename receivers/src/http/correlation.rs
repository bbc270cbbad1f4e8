//! What the headers of a request say about the operation that its records belong to.
//!
//! `traceparent` is read as W3C Trace Context has it. `X-Correlation-ID`, `X-Request-ID` and `X-Trace-Id`, the first
//! that is there, are free text: what has 1 to 128 characters of `A-Z a-z 0-9 . _ : / + = -` is taken as it is; of
//! anything else the hash is taken, and the original kept beside it. 32 hexadecimal digits in `X-Trace-Id` are a
//! trace id.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};
use watershed_pipeline::RecordMut;

use crate::parsers::keys::hex;

/// Characters of an id.
const ID_MAX: usize = 128;
/// Bytes of an original that are kept.
const ORIGINAL_MAX: usize = 1024;
/// Where an id may stand, in the order of preference.
const ID_HEADERS: [&str; 3] = ["x-correlation-id", "x-request-id", "x-trace-id"];

/// What the headers say; it is put on records that do not say it themselves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Correlation {
    trace: Option<Trace>,
    id: Option<Id>,
}

/// A trace, and the span in it if one is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trace {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u32,
}

/// An id that is safe to store and to send back.
#[derive(Debug, PartialEq, Eq)]
struct Id {
    text: String,
    /// What the client sent, if that was not safe.
    original: Option<String>,
}

impl Correlation {
    /// Reads the headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let parent = headers.get("traceparent").and_then(|value| traceparent(value.to_str().ok()?));
        let legacy: Option<[u8; 16]> =
            headers.get("x-trace-id").and_then(|value| hex(value.to_str().ok()?));
        let is_id = |name: &&&str| !(**name == "x-trace-id" && legacy.is_some());
        let values = ID_HEADERS.iter().filter(is_id).filter_map(|name| headers.get(*name));
        let id = values.map(|value| value.as_bytes().trim_ascii()).find(|text| !text.is_empty()).map(Id::of);
        let legacy = legacy.filter(|trace_id| *trace_id != [0; 16]);
        let legacy = legacy.map(|trace_id| Trace { trace_id, span_id: [0; 8], flags: 0 });
        Self { trace: parent.or(legacy), id }
    }

    /// What the answer says in `X-Correlation-ID`.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.id.as_ref()?.text).ok()
    }

    /// Puts on the record what it lacks.
    pub(super) fn stamp(&self, log: &mut RecordMut<'_>) {
        if let Some(trace) = self.trace
            && log.view().trace_id() == [0; 16]
        {
            log.set_trace_context(trace.trace_id, trace.span_id, trace.flags);
        }
        if let Some(id) = &self.id
            && log.attribute("correlation.id").is_none()
        {
            log.set_attribute("correlation.id", id.text.as_str());
            if let Some(original) = &id.original {
                log.set_attribute("correlation.id.original", original.as_str());
            }
        }
    }
}

impl Id {
    fn of(text: &[u8]) -> Self {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/+=-".contains(byte);
        match std::str::from_utf8(text) {
            Ok(plain) if text.len() <= ID_MAX && text.iter().all(is_plain) => {
                Self { text: plain.to_owned(), original: None }
            }
            _ => {
                let kept = text.get(..ORIGINAL_MAX).unwrap_or(text);
                let original = String::from_utf8_lossy(kept).into_owned();
                Self { text: digest(text), original: Some(original) }
            }
        }
    }
}

/// The first half of the SHA-256 hash, in hexadecimal digits: equal texts give equal ids.
fn digest(text: &[u8]) -> String {
    let mut out = String::from("sha256:");
    for byte in Sha256::digest(text).iter().take(16) {
        // Writing into a text cannot fail.
        write!(out, "{byte:02x}").unwrap_or_default();
    }
    out
}

/// Reads `version-trace_id-parent_id-flags` (W3C Trace Context §3.2). A later version may have more behind that.
fn traceparent(text: &str) -> Option<Trace> {
    let mut parts = text.trim().splitn(5, '-');
    let [version]: [u8; 1] = hex(parts.next()?)?;
    let (trace_id, span_id) = (hex(parts.next()?)?, hex(parts.next()?)?);
    let [flags]: [u8; 1] = hex(parts.next()?)?;
    let is_known = version != 0xff && (version != 0 || parts.next().is_none());
    let is_valid = trace_id != [0; 16] && span_id != [0; 8];
    (is_known && is_valid).then_some(Trace { trace_id, span_id, flags: flags.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use watershed_pipeline::{Batch, Signal, Value};

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const TRACE: [u8; 16] = 0x4bf92f3577b34da6a3ce929d0e0e4736_u128.to_be_bytes();

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it() {
        let span = 0x00f067aa0ba902b7_u64.to_be_bytes();
        let trace = |flags| Some(Trace { trace_id: TRACE, span_id: span, flags });
        for (text, expected) in [
            (PARENT, trace(1)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", trace(0)),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", trace(1)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", None),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", None),
            ("", None),
        ] {
            assert_eq!(traceparent(text), expected, "{text}");
        }
    }

    #[test]
    fn ids_are_taken_in_order_and_made_safe() {
        let plain = |text: &str| Some(Id { text: text.into(), original: None });
        let long = "x".repeat(129);
        for (pairs, expected) in [
            (&[("x-request-id", "r"), ("x-correlation-id", "c")][..], plain("c")),
            (&[("x-request-id", "r/1:2+3=4._-"), ("x-trace-id", "t")], plain("r/1:2+3=4._-")),
            (&[("x-trace-id", "session-7")], plain("session-7")),
            (&[("x-correlation-id", " "), ("x-request-id", "r")], plain("r")),
            (&[("x-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736")], None),
            (
                &[("x-correlation-id", "a b")],
                Some(Id {
                    text: "sha256:c8687a08aa5d6ed2044328fa6a697ab8".into(),
                    original: Some("a b".into()),
                }),
            ),
            (&[("x-correlation-id", long.as_str())], Some(Id::of(long.as_bytes()))),
        ] {
            assert_eq!(Correlation::of(&headers(pairs)).id, expected, "{pairs:?}");
        }
        assert_eq!(Id::of(long.as_bytes()).original, Some(long));
    }

    #[test]
    fn a_record_keeps_what_it_says_itself() {
        let context =
            Correlation::of(&headers(&[("traceparent", PARENT), ("x-correlation-id", "from-header")]));
        let stamped = |correlation: Option<&str>, trace_id: [u8; 16]| {
            let fill = |log: &mut RecordMut<'_>| {
                correlation.inspect(|id| log.set_attribute("correlation.id", *id));
                log.set_trace_context(trace_id, [0; 8], 0);
                context.stamp(log);
            };
            let batch = Batch::builder(Signal::Logs).record(fill).build();
            let log = batch.logs().next().unwrap();
            let id = log.attribute("correlation.id").and_then(Value::as_str).unwrap().to_owned();
            (id, log.trace_id())
        };
        assert_eq!(stamped(None, [0; 16]), ("from-header".to_owned(), TRACE));
        assert_eq!(stamped(Some("own"), [7; 16]), ("own".to_owned(), [7; 16]));
    }

    proptest! {
        #[test]
        fn property_any_header_gives_an_id_that_can_be_sent_back(bytes in proptest::collection::vec(32_u8.., 0..300)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", value.clone());
            headers.insert("traceparent", value);
            let context = Correlation::of(&headers);
            if let Some(id) = &context.id {
                prop_assert!(id.text.len() <= ID_MAX && context.header().is_some());
            }
        }
    }
}
