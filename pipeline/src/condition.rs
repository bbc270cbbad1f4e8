//! The condition language that all components share: which records, spans, events, metrics or points are meant.
//!
//! It is the part of the Collector's OTTL that decides (its *boolean expressions*), so conditions of existing
//! Collector files work as they are:
//!
//! ```text
//! severity_number < SEVERITY_NUMBER_WARN and not IsMatch(body, "(?i)error")
//! attributes["http.response.status_code"] >= 500 or status.code == STATUS_CODE_ERROR
//! resource.attributes["service.name"] == "checkout" and (end_time_unix_nano - start_time_unix_nano) > 2000000000
//! metric.type == METRIC_DATA_TYPE_SUM and datapoint.attributes["pod"] == nil
//! ```
//!
//! **Paths** name a field, with or without what it belongs to in front: `log.`, `span.`, `spanevent.`, `metric.`,
//! `datapoint.`, `resource.`, `scope.` (also `instrumentation_scope.`). Without, it belongs to what the condition is
//! on. Attributes and nested values are looked into by `["key"]` and `[0]`. A field that is not there is `nil`.
//!
//! | of | fields |
//! | --- | --- |
//! | `log` | `body`, `body.string`, `severity_number`, `severity_text`, `time_unix_nano`, `observed_time_unix_nano`, `event_name`, `trace_id`, `span_id`, `flags`, `attributes`, `dropped_attributes_count` |
//! | `span` | `name`, `kind`, `kind.string`, `status.code`, `status.message`, `start_time_unix_nano`, `end_time_unix_nano`, `trace_id`, `span_id`, `parent_span_id`, `trace_state`, `flags`, `attributes`, `dropped_…_count` |
//! | `spanevent` | `name`, `time_unix_nano`, `attributes`, `dropped_attributes_count` |
//! | `metric` | `name`, `description`, `unit`, `type`, `aggregation_temporality`, `is_monotonic`, `metadata` |
//! | `datapoint` | `attributes`, `value_int`, `value_double`, `count`, `sum`, `time_unix_nano`, `start_time_unix_nano`, `flags` |
//! | `resource`, `scope` | `attributes`, `schema_url`, `dropped_attributes_count`; of a scope also `name`, `version` |
//!
//! An id can also be read as hexadecimal text: `trace_id.string`.
//!
//! **Literals**: `"text"` with Go's escapes (`\n`, `\"`, `\\`, `\u00e9`), `12`, `-1.5`, `true`, `false`, `nil`, bytes
//! `0x0a1b`, and the names of OpenTelemetry's numbers: `SEVERITY_NUMBER_WARN2`, `SPAN_KIND_SERVER`, `STATUS_CODE_ERROR`,
//! `METRIC_DATA_TYPE_GAUGE`, `AGGREGATION_TEMPORALITY_DELTA`, `FLAG_NO_RECORDED_VALUE`.
//!
//! **Comparisons** are `==`, `!=`, `<`, `<=`, `>` and `>=`. Whole numbers and floating-point numbers compare as
//! numbers. Everything else compares with its own type only: between different types, and between `nil` and anything,
//! `!=` is true and all others are false. `nil == nil` is true. `+ - * /` compute with numbers; a result that does
//! not exist is `nil`. `and` binds tighter than `or`; `not` stands before a comparison, a function or parentheses.
//!
//! **Functions**: `IsMatch(value, "regular expression")`, `HasPrefix`, `HasSuffix`, `ContainsValue(list, value)`,
//! `IsString`, `IsInt`, `IsDouble`, `IsBool`, `IsMap`, `IsList`, `IsRootSpan()`, `Len`, `ToLowerCase`, `ToUpperCase`,
//! `Int`, `Double`, `String`, `Bool`, `TraceID(0x…)`, `SpanID(0x…)`; and for conditions on metrics
//! `HasAttrKeyOnDatapoint("key")` and `HasAttrOnDatapoint("key", "value")`. These make new values, which can be looked
//! into as well (`ParseJSON(body)["user"]`): `ParseJSON(text)`, `ParseKeyValue(text, "=", " ")`,
//! `ExtractPatterns(text, "(?P<name>…)")`, `Concat([…], "-")`, `Split(text, ",")`, `Substring(text, start, length)` in
//! bytes, without splitting a character, `Trim(text, " ")`, `SHA256(text)`, `Hex(value)`. A list is written `[1, "b"]`.
//!
//! Differences from OTTL: nothing fails while a condition is evaluated; a mistake that could is one of the text, and
//! found when it is parsed. What a function can't compute, such as `ParseJSON` of no JSON, is `nil` in conditions.
//! `value_int` of a point that holds another kind of number is `nil`, not zero.
//!
//! A condition is prepared once: expressions are compiled, names resolved. Evaluating it allocates nothing, except
//! where a value has to be made that is not there (`String(1.5)`, a changed letter in `ToLowerCase`, `ParseJSON`).
//!
//! [`Statement`]s change records in the same language; the processor `transform` says which there are.
//!
//! Read in this order: `lexer`, `parser`, `call`, `expression`, `field`, `function`, `term`, `evaluate`, `convert`;
//! then `statement`.

mod call;
mod convert;
mod error;
mod evaluate;
mod expression;
mod field;
mod function;
mod lexer;
mod parser;
mod statement;
mod term;
mod typed;

use crate::batch::{Record, Signal, SpanEvent};

pub use error::ConditionError;
use evaluate::Subject;
use expression::Expression;
pub use statement::{Failure, Statement, Statements};
pub use typed::{DataPointCondition, LogCondition, MetricCondition, SpanCondition, SpanEventCondition};

/// What a condition or a statement is on, and so what a field without a prefix belongs to. What belongs to something is
/// greater than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionContext {
    /// A resource, of any signal.
    Resource,
    /// An instrumentation scope, of any signal.
    Scope,
    /// A log record.
    Log,
    /// A span.
    Span,
    /// An event of a span.
    SpanEvent,
    /// A metric, with all its points.
    Metric,
    /// A data point.
    DataPoint,
}

impl ConditionContext {
    const ALL: [Self; 7] =
        [Self::Resource, Self::Scope, Self::Log, Self::Span, Self::SpanEvent, Self::Metric, Self::DataPoint];

    /// The word used as a prefix of paths and as `context` in configuration files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Scope => "scope",
            Self::Log => "log",
            Self::Span => "span",
            Self::SpanEvent => "spanevent",
            Self::Metric => "metric",
            Self::DataPoint => "datapoint",
        }
    }

    /// The context of this name; `instrumentation_scope` is another name of `scope`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == "instrumentation_scope" { "scope" } else { name };
        Self::ALL.into_iter().find(|context| context.name() == name)
    }

    /// The context that settings for a signal name.
    ///
    /// # Errors
    /// Says which contexts the signal has.
    pub fn for_signal(name: &str, signal: Signal) -> Result<Self, String> {
        let known = Self::of_signal(signal);
        Self::from_name(name).filter(|context| known.contains(context)).ok_or_else(|| {
            let names: Vec<String> = known.iter().map(|context| format!("`{}`", context.name())).collect();
            format!("unknown context `{name}` for {signal}; there is {}", names.join(", "))
        })
    }

    /// The contexts that conditions on a signal may have.
    #[must_use]
    pub const fn of_signal(signal: Signal) -> &'static [Self] {
        match signal {
            Signal::Logs => &[Self::Log, Self::Resource, Self::Scope],
            Signal::Traces => &[Self::Span, Self::SpanEvent, Self::Resource, Self::Scope],
            Signal::Metrics => &[Self::Metric, Self::DataPoint, Self::Resource, Self::Scope],
        }
    }

    /// What can be read in this context: itself, and what it is part of.
    const fn readable(self) -> &'static [Self] {
        match self {
            Self::Resource => &[Self::Resource],
            Self::Scope => &[Self::Scope, Self::Resource],
            Self::Log => &[Self::Log, Self::Resource, Self::Scope],
            Self::Span => &[Self::Span, Self::Resource, Self::Scope],
            Self::SpanEvent => &[Self::SpanEvent, Self::Span, Self::Resource, Self::Scope],
            Self::Metric => &[Self::Metric, Self::Resource, Self::Scope],
            Self::DataPoint => &[Self::DataPoint, Self::Metric, Self::Resource, Self::Scope],
        }
    }
}

/// A parsed condition, ready to be asked about any number of records.
///
/// ```
/// # use watershed_pipeline::{Batch, Condition, ConditionContext, Signal};
/// let condition = Condition::parse(r#"body == "hello""#, ConditionContext::Log).unwrap();
/// let batch = Batch::builder(Signal::Logs).record(|log| log.set_body("hello")).build();
/// assert!(batch.records().all(|record| condition.matches(record)));
///
/// let error = Condition::parse("severty_number > 8", ConditionContext::Log).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "at character 1: unknown field `severty_number`; did you mean `severity_number`?"
/// );
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    expression: Expression,
    context: ConditionContext,
}

impl Condition {
    /// Parses a condition on what the context says.
    ///
    /// # Errors
    /// Points at the character and says what to write instead.
    pub fn parse(text: &str, context: ConditionContext) -> Result<Self, ConditionError> {
        let expression = parser::parse(text, context)?;
        Ok(Self { expression, context })
    }

    /// Parses a condition on a signal, whose paths say what it is on: the most detailed prefix counts. Without any,
    /// it is on log records, spans or metrics.
    ///
    /// # Errors
    /// As for [`Self::parse`].
    pub fn for_signal(text: &str, signal: Signal) -> Result<Self, ConditionError> {
        Self::parse(text, parser::most_detailed(text, signal))
    }

    /// What the condition is on.
    #[must_use]
    pub fn context(&self) -> ConditionContext {
        self.context
    }

    /// Whether the condition is true of a record. One on span events is when it is of any event of the span; one on
    /// another signal's fields finds these to be `nil`.
    #[must_use]
    pub fn matches(&self, record: Record<'_>) -> bool {
        if self.context == ConditionContext::SpanEvent {
            return record
                .span()
                .is_some_and(|span| span.events().any(|event| self.matches_event(record, event)));
        }
        self.expression.holds(Subject { record, event: None, cache: &[] })
    }

    /// Whether the condition is true of an event of a span, which is given as well.
    #[must_use]
    pub fn matches_event(&self, span: Record<'_>, event: SpanEvent<'_>) -> bool {
        self.expression.holds(Subject { record: span, event: Some(event), cache: &[] })
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.expression.fmt(f)
    }
}

#[cfg(test)]
mod tests;
