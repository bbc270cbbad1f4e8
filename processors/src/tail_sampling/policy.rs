//! Policies, compiled: what is asked of each span, and how the answers become a decision on the trace.

use std::time::Instant;

use super::evidence::{Evidence, Test};
use super::limits::Limits;

/// A trace's id.
pub(super) type TraceId = [u8; 16];

/// The policies of one processor, in order.
pub(super) struct Policies {
    pub(super) policies: Vec<Compiled>,
    /// Asked of each span.
    pub(super) tests: Vec<Test>,
    /// Why traces are kept or dropped; [`Decision::reason`] counts in here.
    pub(super) reasons: Vec<Reason>,
}

/// One policy.
pub(super) struct Compiled {
    pub(super) rule: Rule,
    pub(super) effect: Effect,
    pub(super) reason: u16,
}

/// What a policy does with a trace that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Keeps it.
    Keep,
    /// Drops it, whatever others say.
    Drop,
    /// The policy has `invert_match`: its rule is what the inverse is of.
    Inverted,
}

/// What a policy, or a part of one, says of a trace.
pub(super) enum Rule {
    Always,
    /// Whether any span has passed the test with this number.
    Seen(usize),
    /// The trace took at least so many milliseconds; with an upper bound, more than so many.
    Latency {
        from: u64,
        up_to: Option<u64>,
    },
    Spans {
        min: u64,
        max: Option<u64>,
    },
    Chance {
        salt: Vec<u8>,
        threshold: u64,
        fraction: f64,
    },
    /// Its spans fit into the limit with this number.
    SpanRate(usize),
    /// Its bytes fit into the limit with this number.
    ByteRate(usize),
    All(Vec<Rule>),
    Not(Box<Rule>),
    /// The first part that matches decides, if its spans fit into the part's limit.
    Composite(Vec<Share>),
}

/// One part of a composite policy.
pub(super) struct Share {
    pub(super) rule: Rule,
    pub(super) limit: usize,
    pub(super) reason: u16,
}

/// Why a trace was kept or dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// The policy's name, or one of the words of [`Fixed`].
    pub(super) policy: String,
    /// The part of a composite policy.
    pub(super) part: Option<String>,
}

/// Reasons that are no policy; each is the number of its place in [`Policies::reasons`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fixed {
    NoMatch = 0,
    Overflow = 1,
    Shutdown = 2,
    EarlierConfiguration = 3,
    NoTrace = 4,
}

impl Fixed {
    /// As counters and records call them, in the order of their numbers.
    pub(super) const NAMES: [&'static str; 5] =
        ["no_policy_matched", "memory_limit", "shutdown", "earlier_configuration", "no_trace"];
}

/// What becomes of a trace, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) keep: bool,
    pub(super) reason: u16,
    /// The share of such traces that is kept, if chance decided; 1 otherwise.
    pub(super) share: f64,
}

impl Decision {
    pub(super) const fn fixed(keep: bool, reason: Fixed) -> Self {
        Self { keep, reason: reason as u16, share: 1.0 }
    }
}

/// A trace in question.
pub(super) struct Case<'a> {
    pub(super) id: TraceId,
    pub(super) evidence: &'a Evidence,
    pub(super) now: Instant,
}

/// A rule's yes.
struct Match {
    share: f64,
    part: Option<u16>,
}

impl Policies {
    /// What becomes of a trace: the first policy that matches decides, policies that drop being asked before all
    /// others. A policy with `invert_match` drops what it excludes before any other keeps it, and keeps the rest
    /// only where there are no other policies.
    pub(super) fn decide(&self, case: &Case<'_>, limits: &mut Limits) -> Decision {
        let of = |effect: Effect| self.policies.iter().filter(move |policy| policy.effect == effect);
        for effect in [Effect::Drop, Effect::Inverted] {
            if let Some(policy) = of(effect).find(|policy| policy.rule.matches(case, limits).is_some()) {
                return Decision { keep: false, reason: policy.reason, share: 1.0 };
            }
        }
        for policy in of(Effect::Keep) {
            if let Some(found) = policy.rule.matches(case, limits) {
                let reason = found.part.unwrap_or(policy.reason);
                return Decision { keep: true, reason, share: found.share };
            }
        }
        let first = self.policies.first().filter(|_| of(Effect::Inverted).count() == self.policies.len());
        first.map_or(Decision::fixed(false, Fixed::NoMatch), |policy| Decision {
            keep: true,
            reason: policy.reason,
            share: 1.0,
        })
    }
}

impl Rule {
    fn matches(&self, case: &Case<'_>, limits: &mut Limits) -> Option<Match> {
        let evidence = case.evidence;
        let is_match = match self {
            Self::Always => true,
            Self::Seen(test) => evidence.has(*test),
            Self::Latency { from, up_to: None } => evidence.milliseconds() >= *from,
            Self::Latency { from, up_to: Some(up_to) } => {
                (*from + 1..=*up_to).contains(&evidence.milliseconds())
            }
            Self::Spans { min, max } => evidence.spans >= *min && max.is_none_or(|max| evidence.spans <= max),
            Self::Chance { salt, threshold, fraction } => {
                let is_chosen = *threshold > 0 && hash(salt, &case.id) <= *threshold;
                return is_chosen.then_some(Match { share: *fraction, part: None });
            }
            Self::SpanRate(limit) => limits.take(*limit, evidence.spans, case.now),
            Self::ByteRate(limit) => limits.take(*limit, evidence.bytes, case.now),
            Self::All(rules) => {
                let shares = rules.iter().map(|rule| rule.matches(case, limits).map(|found| found.share));
                return shares.product::<Option<f64>>().map(|share| Match { share, part: None });
            }
            Self::Not(rule) => rule.matches(case, limits).is_none(),
            Self::Composite(shares) => {
                let mut matching = shares.iter();
                let (share, found) =
                    matching.find_map(|share| Some((share, share.rule.matches(case, limits)?)))?;
                let fits = limits.take(share.limit, evidence.spans, case.now);
                return fits.then_some(Match { share: found.share, part: Some(share.reason) });
            }
        };
        is_match.then_some(Match { share: 1.0, part: None })
    }

    /// Whether the rule takes from a limit. Such rules are asked last, so that nothing is taken in vain.
    pub(super) fn is_limited(&self) -> bool {
        match self {
            Self::SpanRate(_) | Self::ByteRate(_) | Self::Composite(_) => true,
            Self::All(rules) => rules.iter().any(Self::is_limited),
            Self::Not(rule) => rule.is_limited(),
            _ => false,
        }
    }
}

/// The hash by which chance decides, the same as the Collector's.
fn hash(salt: &[u8], id: &TraceId) -> u64 {
    fnv1a(salt.iter().chain(id))
}

/// FNV-1a with 64 bits (draft-eastlake-fnv).
fn fnv1a<'b>(bytes: impl Iterator<Item = &'b u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    /// Test vectors of draft-eastlake-fnv, appendix C.
    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(b"".iter()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a".iter()), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar".iter()), 0x8594_4171_f739_67e8);
    }
}
