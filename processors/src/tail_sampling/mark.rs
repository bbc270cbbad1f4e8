//! What a kept record says about the decision: the policy in its attributes, the share in its trace state.

use watershed_pipeline::{Batch, Record, RecordMut};

use super::policy::{Decision, Reason};
use crate::probability::{OtelState, Threshold};

/// The policy that kept the trace, under the Collector's name.
const POLICY: &str = "tailsampling.policy";
/// The part of a composite policy that did.
const PART: &str = "tailsampling.composite_policy";
/// That the record came after the decision.
const CACHED: &str = "tailsampling.cached_decision";

/// Writes decisions into records.
pub(super) struct Marker<'a> {
    pub(super) reasons: &'a [Reason],
    /// Whether attributes are written. The trace state always is.
    pub(super) with_policy: bool,
}

impl Marker<'_> {
    /// Whether a decision leaves a mark at all.
    pub(super) fn leaves(&self, decision: Decision) -> bool {
        self.with_policy || decision.share < 1.0
    }

    /// Marks the records for which there is a decision, by position; with it comes whether the record came late.
    pub(super) fn mark(
        &self,
        batch: &mut Batch,
        decision_of: impl Fn(usize, Record<'_>) -> Option<(Decision, bool)>,
    ) {
        let (mut records, mut position) = (batch.records_mut(), 0);
        while let Some(mut record) = records.next() {
            if let Some((decision, is_late)) = decision_of(position, record.view()) {
                self.mark_record(&mut record, decision, is_late);
            }
            position += 1;
        }
    }

    fn mark_record(&self, record: &mut RecordMut<'_>, decision: Decision, is_late: bool) {
        if let Some(reason) = self.reasons.get(usize::from(decision.reason)).filter(|_| self.with_policy) {
            record.set_attribute(POLICY, reason.policy.as_str());
            if let Some(part) = &reason.part {
                record.set_attribute(PART, part.as_str());
            }
            if is_late {
                record.set_attribute(CACHED, true);
            }
        }
        if decision.share < 1.0 {
            let changed = record.span().and_then(|span| with_share(span.trace_state(), decision.share));
            changed.into_iter().for_each(|state| record.set_trace_state(&state));
        }
    }
}

/// Hexadecimal digits of a threshold, as the Collector writes it.
const PRECISION: u32 = 4;

/// The trace state with the share multiplied into OpenTelemetry's threshold (`ot=th:…`); nothing if it is malformed.
fn with_share(state: &str, share: f64) -> Option<String> {
    let state = OtelState::parse(state).ok()?;
    let earlier = state.threshold.map_or(1.0, Threshold::fraction);
    Some(state.with(Threshold::of_fraction(earlier * share, PRECISION), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_multiply_and_other_members_stay() {
        assert_eq!(with_share("", 0.5).unwrap(), "ot=th:8");
        assert_eq!(
            with_share("a=b, ot=rv:0123456789abcd;th:8 ,c=d", 0.5).unwrap(),
            "ot=th:c;rv:0123456789abcd,a=b,c=d"
        );
        assert_eq!(with_share("a=b", 0.25).unwrap(), "ot=th:c,a=b");
        assert_eq!(with_share("ot=th:x", 0.25), None);
    }
}
