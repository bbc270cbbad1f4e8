//! What a row of a table is made from: an item of a batch, or something inside one.
//!
//! Tables have rows for log records, spans and data points; their nested columns have rows for the events, links,
//! exemplars and quantiles inside. With one type for all, a column is written by the same code wherever it stands.

use watershed_pipeline::{
    Attributes, Batch, DataPoint, Exemplar, LogRecord, MetricKind, Quantile, Resource, Scope, Span,
    SpanEvent, SpanLink, Value,
};

/// One row, read only.
#[derive(Clone, Copy)]
pub(super) enum Row<'a> {
    Log(LogRecord<'a>),
    Span(Span<'a>),
    Point(DataPoint<'a>),
    Event(SpanEvent<'a>),
    Link(SpanLink<'a>),
    Exemplar(Exemplar<'a>),
    Quantile(Quantile),
}

/// How often a column's value changes, so that a value read for one row can serve the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Per {
    Row,
    Scope,
    Resource,
}

impl Per {
    /// Whether two rows surely have the same value.
    pub(super) fn is_same(self, left: Row<'_>, right: Row<'_>) -> bool {
        match self {
            Self::Row => false,
            Self::Scope => match (left.scope(), right.scope()) {
                (Some(left), Some(right)) => left.is_same(right),
                _ => false,
            },
            Self::Resource => match (left.resource(), right.resource()) {
                (Some(left), Some(right)) => left.is_same(right),
                _ => false,
            },
        }
    }
}

impl<'a> Row<'a> {
    pub(super) fn resource(self) -> Option<Resource<'a>> {
        match self {
            Self::Log(log) => Some(log.resource()),
            Self::Span(span) => Some(span.resource()),
            Self::Point(point) => Some(point.resource()),
            Self::Event(_) | Self::Link(_) | Self::Exemplar(_) | Self::Quantile(_) => None,
        }
    }

    pub(super) fn scope(self) -> Option<Scope<'a>> {
        match self {
            Self::Log(log) => Some(log.scope()),
            Self::Span(span) => Some(span.scope()),
            Self::Point(point) => Some(point.scope()),
            Self::Event(_) | Self::Link(_) | Self::Exemplar(_) | Self::Quantile(_) => None,
        }
    }

    /// The row's own attributes.
    pub(super) fn attributes(self) -> Option<Attributes<'a>> {
        match self {
            Self::Log(log) => Some(log.attributes()),
            Self::Span(span) => Some(span.attributes()),
            Self::Point(point) => Some(point.attributes()),
            Self::Event(event) => Some(event.attributes()),
            Self::Link(link) => Some(link.attributes()),
            Self::Exemplar(exemplar) => Some(exemplar.filtered_attributes()),
            Self::Quantile(_) => None,
        }
    }

    pub(super) fn service_name(self) -> Option<Value<'a>> {
        self.resource().and_then(|resource| resource.attribute("service.name"))
    }
}

/// The log records of a batch.
pub(super) fn logs(batch: &Batch) -> Vec<Row<'_>> {
    batch.logs().map(Row::Log).collect()
}

/// The spans of a batch.
pub(super) fn spans(batch: &Batch) -> Vec<Row<'_>> {
    batch.spans().map(Row::Span).collect()
}

/// The data points of one kind of metric.
pub(super) fn points(batch: &Batch, kind: MetricKind) -> Vec<Row<'_>> {
    batch.points().filter(|point| point.metric().kind() == kind).map(Row::Point).collect()
}
