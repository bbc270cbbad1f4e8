//! What a kept record says about the decision: the policy in its attributes, the share in its trace state.

use watershed_pipeline::{Batch, Record, RecordMut};

use super::policy::{Decision, Reason};

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
            let changed = record.span().map(|span| with_share(span.trace_state(), decision.share));
            changed.into_iter().for_each(|state| record.set_trace_state(&state));
        }
    }
}

/// The trace state with the share multiplied into the threshold (`ot=th:…`) of OpenTelemetry's member, which moves to
/// the front as W3C wants it for members that change.
fn with_share(state: &str, share: f64) -> String {
    let members = || state.split(',').map(str::trim).filter(|member| !member.is_empty());
    let own = members().find_map(|member| member.strip_prefix("ot=")).unwrap_or_default();
    let fields = || own.split(';').filter(|field| !field.is_empty());
    let earlier = fields().find_map(|field| field.strip_prefix("th:")).and_then(share_of).unwrap_or(1.0);
    let mut changed = format!("ot=th:{}", threshold(earlier * share));
    for field in fields().filter(|field| !field.starts_with("th:")) {
        changed = changed + ";" + field;
    }
    members().filter(|member| !member.starts_with("ot=")).fold(changed, |all, member| all + "," + member)
}

/// 2 to the power of 56: thresholds are shares of this that are *not* sampled.
const WHOLE: f64 = (1_u64 << 56) as f64;

/// The threshold of a share, in hexadecimal digits, without zeros at the end.
fn threshold(share: f64) -> String {
    let rejected = (((1.0 - share) * WHOLE) as u64).min((1 << 56) - 1);
    let digits = format!("{rejected:014x}");
    // Four digits say enough, counted behind the leading ones that say "almost nothing is sampled".
    let precision = digits.bytes().take_while(|digit| *digit == b'f').count() + 4;
    let kept = digits.get(..precision).unwrap_or(&digits).trim_end_matches('0');
    if kept.is_empty() { "0".to_owned() } else { kept.to_owned() }
}

/// The share that a threshold stands for.
fn share_of(threshold: &str) -> Option<f64> {
    let is_threshold =
        (1..=14).contains(&threshold.len()) && threshold.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = u64::from_str_radix(threshold, 16).ok().filter(|_| is_threshold)?;
    Some(1.0 - digits as f64 / 16_f64.powi(i32::try_from(threshold.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_as_the_specification_writes_it() {
        // https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/: 100 %, 50 %, 25 %, 10 %, 1 %.
        let written = [1.0, 0.5, 0.25, 0.1, 0.01].map(threshold);
        assert_eq!(written, ["0", "8", "c", "e666", "fd70a"]);
        assert_eq!(["0", "8", "c"].map(|digits| share_of(digits).unwrap()), [1.0, 0.5, 0.25]);
        assert_eq!(["", "g", "+8", "123456789abcdef"].map(share_of), [None; 4]);
    }

    #[test]
    fn shares_multiply_and_other_members_stay() {
        assert_eq!(with_share("", 0.5), "ot=th:8");
        assert_eq!(with_share("a=b, ot=rv:123;th:8 ,c=d", 0.5), "ot=th:c;rv:123,a=b,c=d");
        assert_eq!(with_share("a=b", 0.25), "ot=th:c,a=b");
    }
}
