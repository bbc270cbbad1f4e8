//! The columns of the Collector's tables for logs and spans, and what each is filled with.
//!
//! `metric_columns.rs` has those of the five tables for metrics.

use watershed_pipeline::Span;

use super::field::{Field, Wanted, needed, optional};
use super::row::{Per, Row};

/// Reads from the resource or scope of a row.
macro_rules! from_resource {
    (|$resource:ident| $read:expr) => {
        |row| row.resource().map_or("", |$resource| $read)
    };
}
macro_rules! from_scope {
    (|$scope:ident| $read:expr) => {
        |row| row.scope().map_or("", |$scope| $read)
    };
}
/// Reads from a row of one kind; other kinds never come to the tables that these columns are of.
macro_rules! of {
    ($kind:ident, $other:expr, |$row:ident| $read:expr) => {
        |row| match row {
            Row::$kind($row) => $read,
            _ => $other,
        }
    };
}
pub(super) use of;

pub(super) const SERVICE_NAME: Field = Field::Value(Per::Resource, |row| row.service_name());
pub(super) const RESOURCE_ATTRIBUTES: Field =
    Field::Attributes(Per::Resource, |row| row.resource().map(|resource| resource.attributes()));
pub(super) const SCOPE_ATTRIBUTES: Field =
    Field::Attributes(Per::Scope, |row| row.scope().map(|scope| scope.attributes()));
pub(super) const ATTRIBUTES: Field = Field::Attributes(Per::Row, |row| row.attributes());
pub(super) const RESOURCE_SCHEMA_URL: Field =
    Field::Text(Per::Resource, from_resource!(|resource| resource.schema_url()));
pub(super) const SCOPE_SCHEMA_URL: Field = Field::Text(Per::Scope, from_scope!(|scope| scope.schema_url()));
pub(super) const SCOPE_NAME: Field = Field::Text(Per::Scope, from_scope!(|scope| scope.name()));
pub(super) const SCOPE_VERSION: Field = Field::Text(Per::Scope, from_scope!(|scope| scope.version()));

/// `otel_logs`.
pub(super) static LOGS: &[Wanted] = &[
    needed("Timestamp", Field::Time(log_time)),
    needed("TraceId", Field::TraceId(of!(Log, [0; 16], |log| log.trace_id()))),
    needed("SpanId", Field::SpanId(of!(Log, [0; 8], |log| log.span_id()))),
    needed("TraceFlags", Field::Unsigned(of!(Log, 0, |log| u64::from(log.flags() & 0xFF)))),
    needed("SeverityText", Field::Text(Per::Row, of!(Log, "", |log| log.severity_text()))),
    needed("SeverityNumber", Field::Signed(of!(Log, 0, |log| log.severity_number().into()))),
    needed("ServiceName", SERVICE_NAME),
    needed("Body", Field::Value(Per::Row, of!(Log, None, |log| log.body()))),
    needed("ResourceSchemaUrl", RESOURCE_SCHEMA_URL),
    needed("ResourceAttributes", RESOURCE_ATTRIBUTES),
    optional("ResourceAttributesKeys", Field::AttributeKeys(resource_attributes)),
    needed("ScopeSchemaUrl", SCOPE_SCHEMA_URL),
    needed("ScopeName", SCOPE_NAME),
    needed("ScopeVersion", SCOPE_VERSION),
    needed("ScopeAttributes", SCOPE_ATTRIBUTES),
    optional("ScopeAttributesKeys", Field::AttributeKeys(scope_attributes)),
    needed("LogAttributes", ATTRIBUTES),
    optional("LogAttributesKeys", Field::AttributeKeys(|row| row.attributes())),
    optional("EventName", Field::Text(Per::Row, of!(Log, "", |log| log.event_name()))),
];

/// `otel_traces`.
pub(super) static TRACES: &[Wanted] = &[
    needed("Timestamp", Field::Time(of!(Span, 0, |span| span.start_time_unix_nano()))),
    needed("TraceId", Field::TraceId(of!(Span, [0; 16], |span| span.trace_id()))),
    needed("SpanId", Field::SpanId(of!(Span, [0; 8], |span| span.span_id()))),
    needed("ParentSpanId", Field::SpanId(of!(Span, [0; 8], |span| span.parent_span_id()))),
    needed("TraceState", Field::Text(Per::Row, of!(Span, "", |span| span.trace_state()))),
    needed("SpanName", Field::Text(Per::Row, of!(Span, "", |span| span.name()))),
    needed("SpanKind", Field::Text(Per::Row, of!(Span, "", |span| span_kind(span)))),
    needed("ServiceName", SERVICE_NAME),
    needed("ResourceAttributes", RESOURCE_ATTRIBUTES),
    optional("ResourceAttributesKeys", Field::AttributeKeys(resource_attributes)),
    needed("ScopeName", SCOPE_NAME),
    needed("ScopeVersion", SCOPE_VERSION),
    needed("SpanAttributes", ATTRIBUTES),
    optional("SpanAttributesKeys", Field::AttributeKeys(|row| row.attributes())),
    needed("Duration", Field::Unsigned(of!(Span, 0, |span| duration(span)))),
    needed("StatusCode", Field::Text(Per::Row, of!(Span, "", |span| status_code(span)))),
    needed("StatusMessage", Field::Text(Per::Row, of!(Span, "", |span| span.status_message()))),
    needed("Events.Timestamp", Field::Each(events, &EVENT_TIME)),
    needed("Events.Name", Field::Each(events, &EVENT_NAME)),
    needed("Events.Attributes", Field::Each(events, &ATTRIBUTES)),
    needed("Links.TraceId", Field::Each(links, &LINK_TRACE_ID)),
    needed("Links.SpanId", Field::Each(links, &LINK_SPAN_ID)),
    needed("Links.TraceState", Field::Each(links, &LINK_TRACE_STATE)),
    needed("Links.Attributes", Field::Each(links, &ATTRIBUTES)),
];

static EVENT_TIME: Field = Field::Time(of!(Event, 0, |event| event.time_unix_nano()));
static EVENT_NAME: Field = Field::Text(Per::Row, of!(Event, "", |event| event.name()));
static LINK_TRACE_ID: Field = Field::TraceId(of!(Link, [0; 16], |link| link.trace_id()));
static LINK_SPAN_ID: Field = Field::SpanId(of!(Link, [0; 8], |link| link.span_id()));
static LINK_TRACE_STATE: Field = Field::Text(Per::Row, of!(Link, "", |link| link.trace_state()));

fn resource_attributes<'a>(row: Row<'a>) -> Option<watershed_pipeline::Attributes<'a>> {
    row.resource().map(|resource| resource.attributes())
}

fn scope_attributes<'a>(row: Row<'a>) -> Option<watershed_pipeline::Attributes<'a>> {
    row.scope().map(|scope| scope.attributes())
}

/// The time of a log record; when it was first seen, for one without a time.
fn log_time(row: Row<'_>) -> u64 {
    match row {
        Row::Log(log) if log.time_unix_nano() == 0 => log.observed_time_unix_nano(),
        Row::Log(log) => log.time_unix_nano(),
        _ => 0,
    }
}

/// Nanoseconds; 0 for a span that ends before it starts.
fn duration(span: Span<'_>) -> u64 {
    span.end_time_unix_nano().saturating_sub(span.start_time_unix_nano())
}

fn span_kind(span: Span<'_>) -> &'static str {
    match span.kind() {
        0 => "Unspecified",
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "",
    }
}

fn status_code(span: Span<'_>) -> &'static str {
    match span.status_code() {
        0 => "Unset",
        1 => "Ok",
        2 => "Error",
        _ => "",
    }
}

fn events<'a>(row: Row<'a>, items: &mut Vec<Row<'a>>) {
    if let Row::Span(span) = row {
        items.extend(span.events().map(Row::Event));
    }
}

fn links<'a>(row: Row<'a>, items: &mut Vec<Row<'a>>) {
    if let Row::Span(span) = row {
        items.extend(span.links().map(Row::Link));
    }
}
