//! What the headers of a request say about the operation that its records belong to.
//!
//! `traceparent` is read as W3C Trace Context has it. `X-Correlation-ID`, `X-Request-ID` and `X-Trace-Id`, the first
//! that is there, are free text: what has 1 to 128 characters of `A-Z a-z 0-9 . _ : / + = -` is taken as it is; of
//! anything else the hash is taken, and the original kept beside it. 32 hexadecimal digits in `X-Trace-Id` are a
//! trace id.

use http::{HeaderMap, HeaderValue};
use watershed_pipeline::parse::{TraceContext, hex};
use watershed_pipeline::{CorrelationId, RecordMut};

/// Where an id may stand, in the order of preference.
const ID_HEADERS: [&str; 3] = ["x-correlation-id", "x-request-id", "x-trace-id"];

/// What the headers say; it is put on records that do not say it themselves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Correlation {
    trace: Option<TraceContext>,
    id: Option<CorrelationId<'static>>,
}

impl Correlation {
    /// Reads the headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let parent =
            headers.get("traceparent").and_then(|value| TraceContext::from_traceparent(value.to_str().ok()?));
        let legacy: Option<[u8; 16]> =
            headers.get("x-trace-id").and_then(|value| hex(value.to_str().ok()?));
        let is_id = |name: &&&str| !(**name == "x-trace-id" && legacy.is_some());
        let values = ID_HEADERS.iter().filter(is_id).filter_map(|name| headers.get(*name));
        let id = values.map(HeaderValue::as_bytes).find_map(CorrelationId::of).map(CorrelationId::into_owned);
        let legacy = legacy.filter(|trace_id| *trace_id != [0; 16]);
        let legacy = legacy.map(|trace_id| TraceContext { trace_id, span_id: [0; 8], flags: 0 });
        Self { trace: parent.or(legacy), id }
    }

    /// What the answer says in `X-Correlation-ID`.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(self.id.as_ref()?.as_str()).ok()
    }

    /// Puts on the record what it lacks.
    pub(super) fn stamp(&self, log: &mut RecordMut<'_>) {
        if let Some(trace) = self.trace
            && log.view().trace_id() == [0; 16]
        {
            log.set_trace_context(trace.trace_id, trace.span_id, trace.flags.into());
        }
        if let Some(id) = &self.id
            && log.attribute("correlation.id").is_none()
        {
            log.set_attribute("correlation.id", id.as_str());
            if let Some(original) = id.original() {
                log.set_attribute("correlation.id.original", original);
            }
        }
    }
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
    fn ids_are_taken_in_order_and_made_safe() {
        for (pairs, expected) in [
            (&[("x-request-id", "r"), ("x-correlation-id", "c")][..], Some("c")),
            (&[("x-request-id", "r"), ("x-trace-id", "t")], Some("r")),
            (&[("x-trace-id", "session-7")], Some("session-7")),
            (&[("x-correlation-id", " "), ("x-request-id", "r")], Some("r")),
            (&[("x-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736")], None),
            (&[("x-correlation-id", "a b")], Some("sha256:c8687a08aa5d6ed2044328fa6a697ab8")),
        ] {
            let correlation = Correlation::of(&headers(pairs));
            assert_eq!(correlation.id.as_ref().map(CorrelationId::as_str), expected, "{pairs:?}");
        }
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
                prop_assert!(id.as_str().len() <= 128 && context.header().is_some());
            }
        }
    }
}
