//! The functions of the language and the names of numbers.

use std::ops::RangeInclusive;

use super::ConditionContext;

/// What a function does; see the module documentation of the language for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    HasPrefix,
    HasSuffix,
    ContainsValue,
    IsString,
    IsInt,
    IsDouble,
    IsBool,
    IsMap,
    IsList,
    IsRootSpan,
    Len,
    ToLowerCase,
    ToUpperCase,
    Int,
    Double,
    String,
    TraceId,
    SpanId,
    HasAttrKeyOnDatapoint,
    HasAttrOnDatapoint,
    Bool,
    Concat,
    Hex,
    ParseJson,
    ParseKeyValue,
    Sha256,
    Split,
    Substring,
    Trim,
}

/// Name, meaning, fewest and most arguments.
static FUNCTIONS: [(&str, Function, usize, usize); 29] = [
    ("HasPrefix", Function::HasPrefix, 2, 2),
    ("HasSuffix", Function::HasSuffix, 2, 2),
    ("ContainsValue", Function::ContainsValue, 2, 2),
    ("IsString", Function::IsString, 1, 1),
    ("IsInt", Function::IsInt, 1, 1),
    ("IsDouble", Function::IsDouble, 1, 1),
    ("IsBool", Function::IsBool, 1, 1),
    ("IsMap", Function::IsMap, 1, 1),
    ("IsList", Function::IsList, 1, 1),
    ("IsRootSpan", Function::IsRootSpan, 0, 0),
    ("Len", Function::Len, 1, 1),
    ("ToLowerCase", Function::ToLowerCase, 1, 1),
    ("ToUpperCase", Function::ToUpperCase, 1, 1),
    ("Int", Function::Int, 1, 1),
    ("Double", Function::Double, 1, 1),
    ("String", Function::String, 1, 1),
    ("TraceID", Function::TraceId, 1, 1),
    ("SpanID", Function::SpanId, 1, 1),
    ("HasAttrKeyOnDatapoint", Function::HasAttrKeyOnDatapoint, 1, 1),
    ("HasAttrOnDatapoint", Function::HasAttrOnDatapoint, 2, 2),
    ("Bool", Function::Bool, 1, 1),
    ("Concat", Function::Concat, 2, 2),
    ("Hex", Function::Hex, 1, 1),
    ("ParseJSON", Function::ParseJson, 1, 1),
    ("ParseKeyValue", Function::ParseKeyValue, 1, 3),
    ("SHA256", Function::Sha256, 1, 1),
    ("Split", Function::Split, 2, 2),
    ("Substring", Function::Substring, 3, 3),
    ("Trim", Function::Trim, 1, 2),
];

/// The functions that have a form of their own in the tree, because they hold a compiled expression.
pub(super) const IS_MATCH: &str = "IsMatch";
pub(super) const EXTRACT_PATTERNS: &str = "ExtractPatterns";

impl Function {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|(own, ..)| *own == name).map(|(_, function, ..)| *function)
    }

    pub(super) fn name(self) -> &'static str {
        FUNCTIONS.iter().find(|(_, function, ..)| *function == self).map_or("", |(name, ..)| name)
    }

    /// How many arguments it takes.
    pub(super) fn argument_count(self) -> RangeInclusive<usize> {
        let found = FUNCTIONS.iter().find(|(_, function, ..)| *function == self);
        found.map_or(0..=0, |(.., fewest, most)| *fewest..=*most)
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        FUNCTIONS.iter().map(|(name, ..)| *name).chain([IS_MATCH, EXTRACT_PATTERNS])
    }

    /// Whether the answer is true or false.
    pub(super) fn is_condition(self) -> bool {
        match self {
            Self::HasPrefix
            | Self::HasSuffix
            | Self::ContainsValue
            | Self::IsString
            | Self::IsInt
            | Self::IsDouble
            | Self::IsBool
            | Self::IsMap
            | Self::IsList
            | Self::IsRootSpan
            | Self::HasAttrKeyOnDatapoint
            | Self::HasAttrOnDatapoint => true,
            Self::Len
            | Self::ToLowerCase
            | Self::ToUpperCase
            | Self::Int
            | Self::Double
            | Self::String
            | Self::TraceId
            | Self::SpanId
            | Self::Bool
            | Self::Concat
            | Self::Hex
            | Self::ParseJson
            | Self::ParseKeyValue
            | Self::Sha256
            | Self::Split
            | Self::Substring
            | Self::Trim => false,
        }
    }

    /// The only context that the function works in, if there is but one.
    pub(super) fn only_in(self) -> Option<ConditionContext> {
        match self {
            Self::HasAttrKeyOnDatapoint | Self::HasAttrOnDatapoint => Some(ConditionContext::Metric),
            Self::IsRootSpan => Some(ConditionContext::Span),
            _ => None,
        }
    }
}

/// The number that a name of OpenTelemetry's stands for, with the name itself.
pub(super) fn named_number(name: &str) -> Option<(&'static str, i64)> {
    NUMBERS.iter().find(|(own, _)| *own == name).copied()
}

pub(super) fn number_names() -> impl Iterator<Item = &'static str> {
    NUMBERS.iter().map(|(name, _)| *name)
}

static NUMBERS: [(&str, i64); 45] = [
    ("SEVERITY_NUMBER_UNSPECIFIED", 0),
    ("SEVERITY_NUMBER_TRACE", 1),
    ("SEVERITY_NUMBER_TRACE2", 2),
    ("SEVERITY_NUMBER_TRACE3", 3),
    ("SEVERITY_NUMBER_TRACE4", 4),
    ("SEVERITY_NUMBER_DEBUG", 5),
    ("SEVERITY_NUMBER_DEBUG2", 6),
    ("SEVERITY_NUMBER_DEBUG3", 7),
    ("SEVERITY_NUMBER_DEBUG4", 8),
    ("SEVERITY_NUMBER_INFO", 9),
    ("SEVERITY_NUMBER_INFO2", 10),
    ("SEVERITY_NUMBER_INFO3", 11),
    ("SEVERITY_NUMBER_INFO4", 12),
    ("SEVERITY_NUMBER_WARN", 13),
    ("SEVERITY_NUMBER_WARN2", 14),
    ("SEVERITY_NUMBER_WARN3", 15),
    ("SEVERITY_NUMBER_WARN4", 16),
    ("SEVERITY_NUMBER_ERROR", 17),
    ("SEVERITY_NUMBER_ERROR2", 18),
    ("SEVERITY_NUMBER_ERROR3", 19),
    ("SEVERITY_NUMBER_ERROR4", 20),
    ("SEVERITY_NUMBER_FATAL", 21),
    ("SEVERITY_NUMBER_FATAL2", 22),
    ("SEVERITY_NUMBER_FATAL3", 23),
    ("SEVERITY_NUMBER_FATAL4", 24),
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
    ("STATUS_CODE_UNSET", 0),
    ("STATUS_CODE_OK", 1),
    ("STATUS_CODE_ERROR", 2),
    ("METRIC_DATA_TYPE_NONE", 0),
    ("METRIC_DATA_TYPE_GAUGE", 1),
    ("METRIC_DATA_TYPE_SUM", 2),
    ("METRIC_DATA_TYPE_HISTOGRAM", 3),
    ("METRIC_DATA_TYPE_EXPONENTIAL_HISTOGRAM", 4),
    ("METRIC_DATA_TYPE_SUMMARY", 5),
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
    ("FLAG_NONE", 0),
    ("FLAG_NO_RECORDED_VALUE", 1),
];
