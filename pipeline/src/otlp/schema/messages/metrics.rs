//! The messages that metrics are made of.

use super::super::Kind::{
    Bool, Double, Enum, Fixed64, Message as Of, Sfixed64, Sint32, String, Uint32, Uint64,
};
use super::super::Presence::{Explicit, Implicit, Oneof, Repeated};
use super::super::{Field, Message};
use super::{INSTRUMENTATION_SCOPE, KEY_VALUE, RESOURCE, SPAN_ID, TRACE_ID};

message! {
    /// The metrics of one resource.
    RESOURCE_METRICS = "ResourceMetrics" {
        1 "resource" Explicit Of(&RESOURCE);
        2 "scopeMetrics" Repeated Of(&SCOPE_METRICS);
        3 "schemaUrl" Implicit String;
    }
}

message! {
    /// The metrics of one instrumentation scope.
    SCOPE_METRICS = "ScopeMetrics" {
        1 "scope" Explicit Of(&INSTRUMENTATION_SCOPE);
        2 "metrics" Repeated Of(&METRIC);
        3 "schemaUrl" Implicit String;
    }
}

message! {
    /// A metric with its data points.
    METRIC = "Metric" {
        1 "name" Implicit String;
        2 "description" Implicit String;
        3 "unit" Implicit String;
        5 "gauge" Oneof Of(&GAUGE);
        7 "sum" Oneof Of(&SUM);
        9 "histogram" Oneof Of(&HISTOGRAM);
        10 "exponentialHistogram" Oneof Of(&EXPONENTIAL_HISTOGRAM);
        11 "summary" Oneof Of(&SUMMARY);
        12 "metadata" Repeated Of(&KEY_VALUE);
    }
}

message! {
    /// The data points of a gauge.
    GAUGE = "Gauge" {
        1 "dataPoints" Repeated Of(&NUMBER_DATA_POINT);
    }
}

message! {
    /// The data points of a sum.
    SUM = "Sum" {
        1 "dataPoints" Repeated Of(&NUMBER_DATA_POINT);
        2 "aggregationTemporality" Implicit Enum(AGGREGATION_TEMPORALITY);
        3 "isMonotonic" Implicit Bool;
    }
}

message! {
    /// The data points of a histogram.
    HISTOGRAM = "Histogram" {
        1 "dataPoints" Repeated Of(&HISTOGRAM_DATA_POINT);
        2 "aggregationTemporality" Implicit Enum(AGGREGATION_TEMPORALITY);
    }
}

message! {
    /// The data points of an exponential histogram.
    EXPONENTIAL_HISTOGRAM = "ExponentialHistogram" {
        1 "dataPoints" Repeated Of(&EXPONENTIAL_HISTOGRAM_DATA_POINT);
        2 "aggregationTemporality" Implicit Enum(AGGREGATION_TEMPORALITY);
    }
}

message! {
    /// The data points of a summary.
    SUMMARY = "Summary" {
        1 "dataPoints" Repeated Of(&SUMMARY_DATA_POINT);
    }
}

const AGGREGATION_TEMPORALITY: &[&str] = &[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
];

message! {
    /// A number at a time.
    NUMBER_DATA_POINT = "NumberDataPoint" {
        2 "startTimeUnixNano" Implicit Fixed64;
        3 "timeUnixNano" Implicit Fixed64;
        4 "asDouble" Oneof Double;
        5 "exemplars" Repeated Of(&EXEMPLAR);
        6 "asInt" Oneof Sfixed64;
        7 "attributes" Repeated Of(&KEY_VALUE);
        8 "flags" Implicit Uint32;
    }
}

message! {
    /// A histogram with explicit bounds at a time.
    HISTOGRAM_DATA_POINT = "HistogramDataPoint" {
        2 "startTimeUnixNano" Implicit Fixed64;
        3 "timeUnixNano" Implicit Fixed64;
        4 "count" Implicit Fixed64;
        5 "sum" Explicit Double;
        6 "bucketCounts" Repeated Fixed64;
        7 "explicitBounds" Repeated Double;
        8 "exemplars" Repeated Of(&EXEMPLAR);
        9 "attributes" Repeated Of(&KEY_VALUE);
        10 "flags" Implicit Uint32;
        11 "min" Explicit Double;
        12 "max" Explicit Double;
    }
}

message! {
    /// A histogram with exponential bounds at a time.
    EXPONENTIAL_HISTOGRAM_DATA_POINT = "ExponentialHistogramDataPoint" {
        1 "attributes" Repeated Of(&KEY_VALUE);
        2 "startTimeUnixNano" Implicit Fixed64;
        3 "timeUnixNano" Implicit Fixed64;
        4 "count" Implicit Fixed64;
        5 "sum" Explicit Double;
        6 "scale" Implicit Sint32;
        7 "zeroCount" Implicit Fixed64;
        8 "positive" Explicit Of(&BUCKETS);
        9 "negative" Explicit Of(&BUCKETS);
        10 "flags" Implicit Uint32;
        11 "exemplars" Repeated Of(&EXEMPLAR);
        12 "min" Explicit Double;
        13 "max" Explicit Double;
        14 "zeroThreshold" Implicit Double;
    }
}

message! {
    /// The buckets of an exponential histogram on one side of zero.
    BUCKETS = "Buckets" {
        1 "offset" Implicit Sint32;
        2 "bucketCounts" Repeated Uint64;
    }
}

message! {
    /// A summary at a time.
    SUMMARY_DATA_POINT = "SummaryDataPoint" {
        2 "startTimeUnixNano" Implicit Fixed64;
        3 "timeUnixNano" Implicit Fixed64;
        4 "count" Implicit Fixed64;
        5 "sum" Implicit Double;
        6 "quantileValues" Repeated Of(&VALUE_AT_QUANTILE);
        7 "attributes" Repeated Of(&KEY_VALUE);
        8 "flags" Implicit Uint32;
    }
}

message! {
    /// The value at a quantile of a summary.
    VALUE_AT_QUANTILE = "ValueAtQuantile" {
        1 "quantile" Implicit Double;
        2 "value" Implicit Double;
    }
}

message! {
    /// A measurement that stands for others of its data point.
    EXEMPLAR = "Exemplar" {
        2 "timeUnixNano" Implicit Fixed64;
        3 "asDouble" Oneof Double;
        4 "spanId" Implicit SPAN_ID;
        5 "traceId" Implicit TRACE_ID;
        6 "asInt" Oneof Sfixed64;
        7 "filteredAttributes" Repeated Of(&KEY_VALUE);
    }
}
