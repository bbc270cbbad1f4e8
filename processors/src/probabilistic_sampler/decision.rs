//! What becomes of one record, and why.

use watershed_pipeline::{Condition, Record, Value};

use super::{Mode, RANDOMNESS, THRESHOLD, hash};
use crate::probability::{OtelState, Randomness, Threshold};

/// Decides about the records of one signal.
pub(super) struct Decider {
    pub(super) mode: Mode,
    pub(super) seed: u32,
    pub(super) precision: u32,
    /// Whether records are dropped that nothing can be decided by.
    pub(super) is_closed: bool,
    /// Whether a log record's trace id counts.
    pub(super) by_trace_id: bool,
    /// The attribute that log records are decided by otherwise.
    pub(super) attribute: Option<String>,
    /// The attribute that holds a log record's own percentage.
    pub(super) priority: Option<String>,
    pub(super) fraction: f64,
    pub(super) rules: Vec<(Condition, f64)>,
}

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    TraceIdHash,
    TraceIdW3c,
    SamplingRandomness,
    Attribute,
    SamplingPriority,
    MissingRandomness,
    /// What the record says of earlier sampling is malformed or cannot be true.
    Inconsistent,
}

impl Policy {
    pub(super) const ALL: [Self; 7] = [
        Self::TraceIdHash,
        Self::TraceIdW3c,
        Self::SamplingRandomness,
        Self::Attribute,
        Self::SamplingPriority,
        Self::MissingRandomness,
        Self::Inconsistent,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TraceIdHash => "trace_id_hash",
            Self::TraceIdW3c => "trace_id_w3c",
            Self::SamplingRandomness => "sampling_randomness",
            Self::Attribute => "attribute",
            Self::SamplingPriority => "sampling_priority",
            Self::MissingRandomness => "missing_randomness",
            Self::Inconsistent => "inconsistent",
        }
    }
}

/// What becomes of a record.
pub(super) struct Decision {
    pub(super) policy: Policy,
    randomness: Randomness,
    pub(super) threshold: Threshold,
    /// The randomness to write down, where it is a hash.
    pub(super) new_randomness: Option<Randomness>,
    /// Whether the threshold is written into the record.
    pub(super) is_written: bool,
}

/// What earlier samplers wrote into a record.
#[derive(Clone, Copy, Default)]
struct Earlier {
    threshold: Option<Threshold>,
    randomness: Option<Randomness>,
}

impl Decision {
    pub(super) fn is_kept(&self) -> bool {
        self.threshold.keeps(self.randomness)
    }

    fn certain(policy: Policy, is_kept: bool, is_written: bool) -> Self {
        let threshold = if is_kept { Threshold::ALWAYS } else { Threshold::NEVER };
        Self { policy, randomness: Randomness::MAX, threshold, new_randomness: None, is_written }
    }
}

impl Decider {
    pub(super) fn decide(&self, record: Record<'_>) -> Decision {
        match record.span().and_then(|span| span_priority(span.attributes().value("sampling.priority"))) {
            Some(is_wanted) => Decision::certain(Policy::SamplingPriority, is_wanted, is_wanted),
            None => self.raise(record, self.by_chance(record)),
        }
    }

    /// Decides by randomness, rules and what was decided before.
    fn by_chance(&self, record: Record<'_>) -> Decision {
        let Some(earlier) = Earlier::of(record) else {
            return Decision::certain(Policy::Inconsistent, !self.is_closed, false);
        };
        let Some((policy, randomness)) = self.randomness(record, earlier) else {
            return Decision::certain(Policy::MissingRandomness, !self.is_closed, false);
        };
        if earlier.threshold.is_some_and(|threshold| !threshold.keeps(randomness)) {
            return Decision::certain(Policy::Inconsistent, !self.is_closed, false);
        }
        let is_hash = policy == Policy::TraceIdHash || policy == Policy::Attribute;
        Decision {
            policy,
            randomness,
            threshold: self.threshold(self.fraction_for(record), earlier.threshold),
            new_randomness: is_hash.then_some(randomness),
            is_written: true,
        }
    }

    /// The percentage that a log record names itself counts where it keeps more.
    fn raise(&self, record: Record<'_>, decision: Decision) -> Decision {
        let own = self.priority.as_deref().filter(|_| record.log().is_some());
        let percent = match own.and_then(|key| record.attribute(key)) {
            Some(Value::Int(percent)) => percent as f64,
            Some(Value::Double(percent)) => percent,
            _ => return decision,
        };
        let threshold = Threshold::of_fraction((percent / 100.0).clamp(0.0, 1.0), self.precision);
        if threshold >= decision.threshold {
            return decision;
        }
        Decision { policy: Policy::SamplingPriority, threshold, is_written: true, ..decision }
    }

    /// What the record is decided by.
    fn randomness(&self, record: Record<'_>, earlier: Earlier) -> Option<(Policy, Randomness)> {
        let trace_id = record.trace_id();
        let of_trace = || match self.mode {
            Mode::HashSeed => (self.by_trace_id && trace_id != [0; 16])
                .then(|| (Policy::TraceIdHash, hash::randomness(&trace_id, self.seed))),
            Mode::Proportional | Mode::Equalizing => {
                Randomness::of_trace(trace_id).map(|randomness| (Policy::TraceIdW3c, randomness))
            }
        };
        let explicit = earlier.randomness.map(|randomness| (Policy::SamplingRandomness, randomness));
        explicit.or_else(of_trace).or_else(|| {
            let value = record.log()?.attribute(self.attribute.as_deref()?)?;
            Some((Policy::Attribute, hash_of(value, self.seed)))
        })
    }

    fn fraction_for(&self, record: Record<'_>) -> f64 {
        let rule = self.rules.iter().find(|(condition, _)| condition.matches(record));
        rule.map_or(self.fraction, |(_, fraction)| *fraction)
    }

    fn threshold(&self, fraction: f64, earlier: Option<Threshold>) -> Threshold {
        let wanted = match self.mode {
            Mode::HashSeed => hash::threshold(fraction),
            Mode::Equalizing => Threshold::of_fraction(fraction, self.precision),
            Mode::Proportional => {
                let before = earlier.map_or(1.0, Threshold::fraction);
                Threshold::of_fraction(fraction * before, self.precision)
            }
        };
        // Nothing can be kept more often than it was before.
        earlier.map_or(wanted, |earlier| earlier.max(wanted))
    }
}

impl Earlier {
    /// Reads what the record carries; nothing if it is malformed.
    fn of(record: Record<'_>) -> Option<Self> {
        if let Some(span) = record.span() {
            let state = OtelState::parse(span.trace_state()).ok()?;
            return Some(Self { threshold: state.threshold, randomness: state.randomness });
        }
        let text = |key| record.attribute(key).and_then(|value| value.as_str());
        let threshold = text(THRESHOLD).map(|text| Threshold::parse(text).ok_or(()));
        let randomness = text(RANDOMNESS).map(|text| Randomness::parse(text).ok_or(()));
        Some(Self { threshold: threshold.transpose().ok()?, randomness: randomness.transpose().ok()? })
    }
}

/// The hash of an attribute's text or bytes.
fn hash_of(value: Value<'_>, seed: u32) -> Randomness {
    match value {
        Value::Str(text) => hash::randomness(text.as_bytes(), seed),
        Value::Bytes(bytes) => hash::randomness(bytes, seed),
        other => hash::randomness(other.to_text().as_bytes(), seed),
    }
}

/// OpenTracing's `sampling.priority`: whether the sender wants the span kept, if it says so.
fn span_priority(value: Option<Value<'_>>) -> Option<bool> {
    let priority = match value? {
        Value::Int(priority) => priority as f64,
        Value::Double(priority) => priority,
        Value::Str(text) => text.parse().ok()?,
        _ => return None,
    };
    (priority >= 0.0).then_some(priority > 0.0)
}
