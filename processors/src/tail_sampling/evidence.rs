//! What is known of a trace: gathered span by span as they come, so that a decision never looks at spans again.

use regex::RegexSet;
use watershed_pipeline::{Condition, Record, Span, Value};

/// The most tests on single spans that one processor can have: one bit each.
pub(super) const TESTS_MAX: usize = 128;

/// What a trace has shown so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    /// One bit for each test that any span has passed.
    passed: u128,
    /// Spans.
    pub(super) spans: u64,
    /// Bytes of its spans as OTLP, with a copy of resource and scope for each group.
    pub(super) bytes: u64,
    /// The first start and the last end, in nanoseconds since the Unix epoch.
    times: Option<(u64, u64)>,
    /// Whether the root span is there.
    pub(super) has_root: bool,
}

/// A question to be asked of each span, which stays answered once any span says yes.
pub(super) enum Test {
    /// Its status is one of these.
    Status(Vec<i32>),
    /// An attribute of the span or its resource.
    Attribute { key: String, wanted: Wanted },
    /// A member of its trace state.
    TraceState { key: String, values: Vec<String> },
    /// Its sampled flag is set.
    Sampled,
    /// Any of these conditions.
    Conditions(Vec<Condition>),
}

/// What an attribute must be.
pub(super) enum Wanted {
    Text(Vec<String>),
    Pattern(RegexSet),
    Number { min: Option<i64>, max: Option<i64> },
    Bool(bool),
}

impl Evidence {
    /// Whether any span has passed the test with this number.
    pub(super) fn has(&self, test: usize) -> bool {
        self.passed & bit(test) != 0
    }

    /// How long the trace took, in milliseconds.
    pub(super) fn milliseconds(&self) -> u64 {
        self.times.map_or(0, |(start, end)| end.saturating_sub(start) / 1_000_000)
    }

    /// Looks at a span.
    pub(super) fn add(&mut self, record: Record<'_>, tests: &[Test]) {
        let Some(span) = record.span() else { return };
        self.spans += 1;
        let (start, end) = (span.start_time_unix_nano(), span.end_time_unix_nano());
        let (first, last) = self.times.unwrap_or((start, end));
        self.times = Some((first.min(start), last.max(end)));
        self.has_root |= span.parent_span_id() == [0; 8];
        for (number, test) in tests.iter().enumerate() {
            if !self.has(number) && test.passes(record, span) {
                self.passed |= bit(number);
            }
        }
    }
}

fn bit(number: usize) -> u128 {
    u32::try_from(number).ok().and_then(|number| 1_u128.checked_shl(number)).unwrap_or_default()
}

impl Test {
    fn passes(&self, record: Record<'_>, span: Span<'_>) -> bool {
        match self {
            Self::Status(codes) => codes.contains(&span.status_code()),
            Self::Attribute { key, wanted } => {
                let has = |value: Option<Value<'_>>| value.is_some_and(|value| wanted.fits(value));
                has(span.attribute(key)) || has(record.resource().attribute(key))
            }
            Self::TraceState { key, values } => {
                let members =
                    span.trace_state().split(',').filter_map(|member| member.trim().split_once('='));
                let mut own = members.filter(|(name, _)| name == key);
                own.any(|(_, value)| values.iter().any(|wanted| wanted == value))
            }
            Self::Sampled => span.flags() & 1 == 1,
            Self::Conditions(conditions) => conditions.iter().any(|condition| condition.matches(record)),
        }
    }
}

impl Wanted {
    fn fits(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Text(values), Value::Str(text)) => values.iter().any(|wanted| wanted == text),
            // The Collector takes an empty text for none.
            (Self::Pattern(patterns), Value::Str(text)) => !text.is_empty() && patterns.is_match(text),
            (Self::Number { min, max }, Value::Int(number)) => {
                min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max)
            }
            (Self::Number { min, max }, Value::Double(number)) => {
                min.is_none_or(|min| number >= min as f64) && max.is_none_or(|max| number <= max as f64)
            }
            (Self::Bool(wanted), Value::Bool(value)) => *wanted == value,
            _ => false,
        }
    }
}
