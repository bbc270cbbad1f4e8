//! The policies as a configuration file writes them: the Collector's names and defaults.

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::Percentage;
use watershed_pipeline::{SpanCondition, SpanEventCondition};

use crate::error_mode::ErrorMode;

/// One policy: a name, a type, and the options of that type under the type's name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// The name by which counters, records and other policies know it. Required; unique within the processor.
    pub(super) name: String,
    /// What decides. Required. Options of the type stand under its name.
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    /// Options of the type `latency`.
    pub(super) latency: Option<Latency>,
    /// Options of the type `numeric_attribute`.
    pub(super) numeric_attribute: Option<NumericAttribute>,
    /// Options of the type `probabilistic`.
    pub(super) probabilistic: Option<Probabilistic>,
    /// Options of the type `status_code`.
    pub(super) status_code: Option<StatusCodes>,
    /// Options of the type `string_attribute`.
    pub(super) string_attribute: Option<StringAttribute>,
    /// Options of the type `boolean_attribute`.
    pub(super) boolean_attribute: Option<BooleanAttribute>,
    /// Options of the type `rate_limiting`.
    pub(super) rate_limiting: Option<RateLimiting>,
    /// Options of the type `bytes_limiting`.
    pub(super) bytes_limiting: Option<BytesLimiting>,
    /// Options of the type `span_count`.
    pub(super) span_count: Option<SpanCount>,
    /// Options of the type `trace_state`.
    pub(super) trace_state: Option<TraceState>,
    /// Options of the type `ottl_condition`.
    pub(super) ottl_condition: Option<OttlCondition>,
    /// Options of the type `and`.
    pub(super) and: Option<AndPolicy>,
    /// Options of the type `not`.
    pub(super) not: Option<NotPolicy>,
    /// Options of the type `drop`.
    pub(super) drop: Option<DropPolicy>,
    /// Options of the type `composite`.
    pub(super) composite: Option<CompositePolicy>,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Every trace.
    AlwaysSample,
    /// How long the trace took, from the first start to the last end.
    Latency,
    /// A number in an attribute of a span or its resource.
    NumericAttribute,
    /// A share of all traces, chosen by trace id.
    Probabilistic,
    /// The status of any span.
    StatusCode,
    /// A text in an attribute of a span or its resource.
    StringAttribute,
    /// A truth value in an attribute of a span or its resource.
    BooleanAttribute,
    /// Traces as long as their spans fit into a number a second.
    RateLimiting,
    /// Traces as long as their bytes fit into a rate.
    BytesLimiting,
    /// How many spans the trace has.
    SpanCount,
    /// A value in the W3C trace state of any span.
    TraceState,
    /// The sampled flag of the W3C trace context of any span.
    TraceFlags,
    /// A condition on any span or span event.
    OttlCondition,
    /// All of several policies.
    And,
    /// The opposite of a policy.
    Not,
    /// All of several policies; then the trace is dropped, whatever others say.
    Drop,
    /// Several policies in order, each with a share of a rate.
    Composite,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Latency {
    /// Traces that took at least so many milliseconds; with `upper_threshold_ms`, more than so many. Required.
    pub(super) threshold_ms: u64,
    /// And at most so many milliseconds. Default 0, which means no limit.
    #[serde(default)]
    pub(super) upper_threshold_ms: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NumericAttribute {
    /// The attribute's key. Required.
    pub(super) key: String,
    /// The least number that matches. Default: no limit.
    pub(super) min_value: Option<i64>,
    /// The largest number that matches. Default: no limit.
    pub(super) max_value: Option<i64>,
    /// Whether traces match in which no such number is there. Default false.
    #[serde(default)]
    pub(super) invert_match: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Probabilistic {
    /// The share of traces, from 0 to 100. Required.
    pub(super) sampling_percentage: Percentage,
    /// Mixed into the hash of the trace id; give each of several stages its own. The Collector with the same salt
    /// chooses the same traces. Default `default-hash-seed`, as in the Collector.
    #[serde(default)]
    pub(super) hash_salt: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusCodes {
    /// The codes of which any span has one. Required.
    pub(super) status_codes: Vec<StatusCode>,
}

/// A span's status.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum StatusCode {
    /// Nobody said anything.
    Unset,
    /// It went well.
    Ok,
    /// It failed.
    Error,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StringAttribute {
    /// The attribute's key. Required.
    pub(super) key: String,
    /// The values of which the attribute has one. Required.
    pub(super) values: Vec<String>,
    /// Whether the values are regular expressions, found anywhere in the attribute. Default false.
    #[serde(default)]
    pub(super) enabled_regex_matching: bool,
    /// Accepted without effect: expressions are evaluated once a span, without a cache. Default 0.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    pub(super) cache_max_size: u64,
    /// Whether traces match in which no such value is there. Default false.
    #[serde(default)]
    pub(super) invert_match: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BooleanAttribute {
    /// The attribute's key. Required.
    pub(super) key: String,
    /// The value that it must have. Required.
    pub(super) value: bool,
    /// Whether traces match in which no such value is there. Default false.
    #[serde(default)]
    pub(super) invert_match: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimiting {
    /// Spans of the traces sampled within one second, at most. Required.
    pub(super) spans_per_second: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BytesLimiting {
    /// Bytes (as OTLP protobuf) of sampled traces a second. Required.
    pub(super) bytes_per_second: u64,
    /// Bytes that may go at once after a pause. Default: twice `bytes_per_second`.
    pub(super) burst_capacity: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpanCount {
    /// The fewest spans that match. Default 0.
    #[serde(default)]
    pub(super) min_spans: u64,
    /// The most spans that match. Default 0, which means no limit.
    #[serde(default)]
    pub(super) max_spans: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TraceState {
    /// The key of the list member. Required.
    pub(super) key: String,
    /// The values of which it has one. Required.
    pub(super) values: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OttlCondition {
    /// Accepted without effect: a condition can't fail while it is evaluated, only while it is read. Default
    /// `ignore`.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    pub(super) error_mode: ErrorMode,
    /// Conditions on spans, of which any may match. Default none.
    #[serde(default)]
    pub(super) span: Vec<SpanCondition>,
    /// Conditions on span events, of which any may match. Default none.
    #[serde(default)]
    pub(super) spanevent: Vec<SpanEventCondition>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AndPolicy {
    /// Policies that must all match. Required.
    pub(super) and_sub_policy: Vec<Policy>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NotPolicy {
    /// The policy that must not match. Required.
    pub(super) not_sub_policy: Box<Policy>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DropPolicy {
    /// Policies that must all match. Required.
    pub(super) drop_sub_policy: Vec<Policy>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CompositePolicy {
    /// Spans of all traces that the policy samples within one second, at most. Required.
    pub(super) max_total_spans_per_second: u64,
    /// The names of the sub-policies, in the order in which they are asked. Default: as listed.
    #[serde(default)]
    pub(super) policy_order: Vec<String>,
    /// The policies. Required.
    pub(super) composite_sub_policy: Vec<Policy>,
    /// Shares of the rate. Sub-policies without one have equal parts of what is left. Default none.
    #[serde(default)]
    pub(super) rate_allocation: Vec<RateAllocation>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RateAllocation {
    /// The name of the sub-policy. Required.
    pub(super) policy: String,
    /// Its share of `max_total_spans_per_second`, from 0 to 100. Required.
    pub(super) percent: Percentage,
}

impl Policy {
    /// For each type with options: the type, and whether its options are there.
    pub(super) fn options(&self) -> [(Kind, bool); 15] {
        [
            (Kind::Latency, self.latency.is_some()),
            (Kind::NumericAttribute, self.numeric_attribute.is_some()),
            (Kind::Probabilistic, self.probabilistic.is_some()),
            (Kind::StatusCode, self.status_code.is_some()),
            (Kind::StringAttribute, self.string_attribute.is_some()),
            (Kind::BooleanAttribute, self.boolean_attribute.is_some()),
            (Kind::RateLimiting, self.rate_limiting.is_some()),
            (Kind::BytesLimiting, self.bytes_limiting.is_some()),
            (Kind::SpanCount, self.span_count.is_some()),
            (Kind::TraceState, self.trace_state.is_some()),
            (Kind::OttlCondition, self.ottl_condition.is_some()),
            (Kind::And, self.and.is_some()),
            (Kind::Not, self.not.is_some()),
            (Kind::Drop, self.drop.is_some()),
            (Kind::Composite, self.composite.is_some()),
        ]
    }
}

impl Kind {
    /// The type as files write it, which is also the key of its options.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AlwaysSample => "always_sample",
            Self::Latency => "latency",
            Self::NumericAttribute => "numeric_attribute",
            Self::Probabilistic => "probabilistic",
            Self::StatusCode => "status_code",
            Self::StringAttribute => "string_attribute",
            Self::BooleanAttribute => "boolean_attribute",
            Self::RateLimiting => "rate_limiting",
            Self::BytesLimiting => "bytes_limiting",
            Self::SpanCount => "span_count",
            Self::TraceState => "trace_state",
            Self::TraceFlags => "trace_flags",
            Self::OttlCondition => "ottl_condition",
            Self::And => "and",
            Self::Not => "not",
            Self::Drop => "drop",
            Self::Composite => "composite",
        }
    }
}
