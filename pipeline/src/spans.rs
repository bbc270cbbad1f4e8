//! Spans about the work of the process itself: one for each batch of a receiver, one for each attempt of an exporter.
//!
//! They have a target of their own, so that whoever collects spans can ask for these and for nothing else. While
//! nobody asks, a span is two loads from memory: none of its fields is computed, and there is nothing to end.

use tracing::Span;
use tracing::field::Empty;

use crate::batch::Signal;
use crate::component::{ExportError, Refusal};

/// The `tracing` target of these spans.
pub const OWN_TRACES: &str = "watershed::traces";

/// The span of a batch that a receiver hands over, named as in the OpenTelemetry Collector.
pub(crate) fn reception(receiver: &str, transport: &str, signal: Signal, items: u64) -> Span {
    let what = match signal {
        Signal::Logs => "LogsReceived",
        Signal::Traces => "TraceDataReceived",
        Signal::Metrics => "MetricsReceived",
    };
    tracing::info_span!(
        target: OWN_TRACES,
        "reception",
        otel.name = %format_args!("receiver/{receiver}/{what}"),
        otel.status_description = Empty,
        receiver,
        transport,
        items = signed(items),
        outcome = Empty,
    )
}

/// Ends the span of a batch that a receiver handed over.
pub(crate) fn conclude_reception(span: &Span, answer: &Result<(), Refusal>) {
    let (outcome, reason) = match answer {
        Ok(()) => ("accepted", None),
        Err(Refusal::Retry { reason, .. }) => ("retry", Some(reason)),
        Err(Refusal::Final { reason }) => ("refused", Some(reason)),
    };
    conclude(span, outcome, reason);
}

/// The span of one attempt to export a batch, named as in the OpenTelemetry Collector.
pub(crate) fn attempt(exporter: &str, signal: Signal, items: usize) -> Span {
    tracing::info_span!(
        target: OWN_TRACES,
        "attempt",
        otel.name = %format_args!("exporter/{exporter}/{}", signal.name()),
        otel.status_description = Empty,
        exporter,
        items = signed(items as u64),
        outcome = Empty,
    )
}

/// Ends the span of one attempt to export a batch.
pub(crate) fn conclude_attempt(span: &Span, answer: &Result<(), ExportError>) {
    let (outcome, reason) = match answer {
        Ok(()) => ("sent", None),
        Err(ExportError::Retry { reason, .. }) => ("retry", Some(reason)),
        Err(ExportError::Reject { reason, .. }) => ("rejected", Some(reason)),
        Err(ExportError::TooLarge { reason }) => ("too_large", Some(reason)),
        Err(ExportError::Fatal { reason }) => ("failed", Some(reason)),
    };
    conclude(span, outcome, reason);
}

fn conclude(span: &Span, outcome: &str, reason: Option<&String>) {
    span.record("outcome", outcome);
    if let Some(reason) = reason {
        // This also marks the span as failed.
        span.record("otel.status_description", reason.as_str());
    }
}

/// OpenTelemetry knows signed numbers only; others would become text.
fn signed(items: u64) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}
