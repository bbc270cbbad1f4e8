//! The table itself: a line for each field of each message; those of metrics are in `metrics`.

use super::Kind::{
    Bool, Bytes, Double, Enum, Fixed32, Fixed64, Id, Int32, Int64, Message as Of, String, Uint32,
};
use super::Presence::{Explicit, Implicit, Oneof, Repeated};
use super::{Field, Kind, Message};

/// Declares a message: a line for each field, with number, JSON name, presence and kind.
macro_rules! message {
    ($(#[$documentation:meta])* $constant:ident = $name:literal {
        $($number:literal $field:literal $presence:ident $kind:expr;)*
    }) => {
        $(#[$documentation])*
        pub static $constant: Message = Message {
            name: $name,
            fields: &[$(Field {
                number: $number,
                name: $field,
                key: concat!("\"", $field, "\":"),
                kind: $kind,
                presence: $presence,
            }),*],
        };
    };
}

mod metrics;

pub use metrics::*;

/// The id of a trace.
const TRACE_ID: Kind = Id(16);
/// The id of a span.
const SPAN_ID: Kind = Id(8);

message! {
    /// What a client sends to export logs.
    LOGS_REQUEST = "ExportLogsServiceRequest" {
        1 "resourceLogs" Repeated Of(&RESOURCE_LOGS);
    }
}

message! {
    /// What a client sends to export spans.
    TRACES_REQUEST = "ExportTraceServiceRequest" {
        1 "resourceSpans" Repeated Of(&RESOURCE_SPANS);
    }
}

message! {
    /// What a client sends to export metrics.
    METRICS_REQUEST = "ExportMetricsServiceRequest" {
        1 "resourceMetrics" Repeated Of(&RESOURCE_METRICS);
    }
}

message! {
    /// What a server answers to exported logs.
    LOGS_RESPONSE = "ExportLogsServiceResponse" {
        1 "partialSuccess" Explicit Of(&LOGS_PARTIAL_SUCCESS);
    }
}

message! {
    /// What a server answers to exported spans.
    TRACES_RESPONSE = "ExportTraceServiceResponse" {
        1 "partialSuccess" Explicit Of(&TRACES_PARTIAL_SUCCESS);
    }
}

message! {
    /// What a server answers to exported metrics.
    METRICS_RESPONSE = "ExportMetricsServiceResponse" {
        1 "partialSuccess" Explicit Of(&METRICS_PARTIAL_SUCCESS);
    }
}

message! {
    /// How many log records a server refused, and why.
    LOGS_PARTIAL_SUCCESS = "ExportLogsPartialSuccess" {
        1 "rejectedLogRecords" Implicit Int64;
        2 "errorMessage" Implicit String;
    }
}

message! {
    /// How many spans a server refused, and why.
    TRACES_PARTIAL_SUCCESS = "ExportTracePartialSuccess" {
        1 "rejectedSpans" Implicit Int64;
        2 "errorMessage" Implicit String;
    }
}

message! {
    /// How many data points a server refused, and why.
    METRICS_PARTIAL_SUCCESS = "ExportMetricsPartialSuccess" {
        1 "rejectedDataPoints" Implicit Int64;
        2 "errorMessage" Implicit String;
    }
}

message! {
    /// What a server answers when it fails (`google.rpc.Status`). Its `details` are left out: they have no meaning
    /// without the types that they name.
    STATUS = "Status" {
        1 "code" Implicit Int32;
        2 "message" Implicit String;
    }
}

message! {
    /// The logs of one resource.
    RESOURCE_LOGS = "ResourceLogs" {
        1 "resource" Explicit Of(&RESOURCE);
        2 "scopeLogs" Repeated Of(&SCOPE_LOGS);
        3 "schemaUrl" Implicit String;
    }
}

message! {
    /// The logs of one instrumentation scope.
    SCOPE_LOGS = "ScopeLogs" {
        1 "scope" Explicit Of(&INSTRUMENTATION_SCOPE);
        2 "logRecords" Repeated Of(&LOG_RECORD);
        3 "schemaUrl" Implicit String;
    }
}

message! {
    /// A log record or an event.
    LOG_RECORD = "LogRecord" {
        1 "timeUnixNano" Implicit Fixed64;
        2 "severityNumber" Implicit Enum(SEVERITY_NUMBER);
        3 "severityText" Implicit String;
        5 "body" Explicit Of(&ANY_VALUE);
        6 "attributes" Repeated Of(&KEY_VALUE);
        7 "droppedAttributesCount" Implicit Uint32;
        8 "flags" Implicit Fixed32;
        9 "traceId" Implicit TRACE_ID;
        10 "spanId" Implicit SPAN_ID;
        11 "observedTimeUnixNano" Implicit Fixed64;
        12 "eventName" Implicit String;
    }
}

const SEVERITY_NUMBER: &[&str] = &[
    "SEVERITY_NUMBER_UNSPECIFIED",
    "SEVERITY_NUMBER_TRACE",
    "SEVERITY_NUMBER_TRACE2",
    "SEVERITY_NUMBER_TRACE3",
    "SEVERITY_NUMBER_TRACE4",
    "SEVERITY_NUMBER_DEBUG",
    "SEVERITY_NUMBER_DEBUG2",
    "SEVERITY_NUMBER_DEBUG3",
    "SEVERITY_NUMBER_DEBUG4",
    "SEVERITY_NUMBER_INFO",
    "SEVERITY_NUMBER_INFO2",
    "SEVERITY_NUMBER_INFO3",
    "SEVERITY_NUMBER_INFO4",
    "SEVERITY_NUMBER_WARN",
    "SEVERITY_NUMBER_WARN2",
    "SEVERITY_NUMBER_WARN3",
    "SEVERITY_NUMBER_WARN4",
    "SEVERITY_NUMBER_ERROR",
    "SEVERITY_NUMBER_ERROR2",
    "SEVERITY_NUMBER_ERROR3",
    "SEVERITY_NUMBER_ERROR4",
    "SEVERITY_NUMBER_FATAL",
    "SEVERITY_NUMBER_FATAL2",
    "SEVERITY_NUMBER_FATAL3",
    "SEVERITY_NUMBER_FATAL4",
];

message! {
    /// The spans of one resource.
    RESOURCE_SPANS = "ResourceSpans" {
        1 "resource" Explicit Of(&RESOURCE);
        2 "scopeSpans" Repeated Of(&SCOPE_SPANS);
        3 "schemaUrl" Implicit String;
    }
}

message! {
    /// The spans of one instrumentation scope.
    SCOPE_SPANS = "ScopeSpans" {
        1 "scope" Explicit Of(&INSTRUMENTATION_SCOPE);
        2 "spans" Repeated Of(&SPAN);
        3 "schemaUrl" Implicit String;
    }
}

message! {
    /// A span of a trace.
    SPAN = "Span" {
        1 "traceId" Implicit TRACE_ID;
        2 "spanId" Implicit SPAN_ID;
        3 "traceState" Implicit String;
        4 "parentSpanId" Implicit SPAN_ID;
        5 "name" Implicit String;
        6 "kind" Implicit Enum(SPAN_KIND);
        7 "startTimeUnixNano" Implicit Fixed64;
        8 "endTimeUnixNano" Implicit Fixed64;
        9 "attributes" Repeated Of(&KEY_VALUE);
        10 "droppedAttributesCount" Implicit Uint32;
        11 "events" Repeated Of(&SPAN_EVENT);
        12 "droppedEventsCount" Implicit Uint32;
        13 "links" Repeated Of(&SPAN_LINK);
        14 "droppedLinksCount" Implicit Uint32;
        15 "status" Explicit Of(&SPAN_STATUS);
        16 "flags" Implicit Fixed32;
    }
}

const SPAN_KIND: &[&str] = &[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];

message! {
    /// Something that happened during a span.
    SPAN_EVENT = "Event" {
        1 "timeUnixNano" Implicit Fixed64;
        2 "name" Implicit String;
        3 "attributes" Repeated Of(&KEY_VALUE);
        4 "droppedAttributesCount" Implicit Uint32;
    }
}

message! {
    /// A link from a span to another.
    SPAN_LINK = "Link" {
        1 "traceId" Implicit TRACE_ID;
        2 "spanId" Implicit SPAN_ID;
        3 "traceState" Implicit String;
        4 "attributes" Repeated Of(&KEY_VALUE);
        5 "droppedAttributesCount" Implicit Uint32;
        6 "flags" Implicit Fixed32;
    }
}

message! {
    /// How a span ended.
    SPAN_STATUS = "Status" {
        2 "message" Implicit String;
        3 "code" Implicit Enum(&["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"]);
    }
}

message! {
    /// What made the telemetry.
    RESOURCE = "Resource" {
        1 "attributes" Repeated Of(&KEY_VALUE);
        2 "droppedAttributesCount" Implicit Uint32;
        3 "entityRefs" Repeated Of(&ENTITY_REF);
    }
}

message! {
    /// An entity that a resource belongs to.
    ENTITY_REF = "EntityRef" {
        1 "schemaUrl" Implicit String;
        2 "type" Implicit String;
        3 "idKeys" Repeated String;
        4 "descriptionKeys" Repeated String;
    }
}

message! {
    /// The library that made the telemetry.
    INSTRUMENTATION_SCOPE = "InstrumentationScope" {
        1 "name" Implicit String;
        2 "version" Implicit String;
        3 "attributes" Repeated Of(&KEY_VALUE);
        4 "droppedAttributesCount" Implicit Uint32;
    }
}

message! {
    /// An attribute. The string index belongs to the profiling signal.
    KEY_VALUE = "KeyValue" {
        1 "key" Implicit String;
        2 "value" Explicit Of(&ANY_VALUE);
        3 "keyStrindex" Implicit Int32;
    }
}

message! {
    /// The value of an attribute or the body of a log record. The string index belongs to the profiling signal.
    ANY_VALUE = "AnyValue" {
        1 "stringValue" Oneof String;
        2 "boolValue" Oneof Bool;
        3 "intValue" Oneof Int64;
        4 "doubleValue" Oneof Double;
        5 "arrayValue" Oneof Of(&ARRAY_VALUE);
        6 "kvlistValue" Oneof Of(&KEY_VALUE_LIST);
        7 "bytesValue" Oneof Bytes;
        8 "stringValueStrindex" Oneof Int32;
    }
}

message! {
    /// A list of values.
    ARRAY_VALUE = "ArrayValue" {
        1 "values" Repeated Of(&ANY_VALUE);
    }
}

message! {
    /// A map as a list of attributes.
    KEY_VALUE_LIST = "KeyValueList" {
        1 "values" Repeated Of(&KEY_VALUE);
    }
}
