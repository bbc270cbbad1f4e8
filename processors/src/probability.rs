//! Consistent probability sampling: what every sampler that decides by trace id agrees on.
//!
//! A record has a *randomness* of 56 bits, the same for its whole trace; a sampler has a rejection *threshold* of 56
//! bits and keeps what is not below it. The threshold travels with what was kept, so that the next sampler and whoever
//! counts know the probability. Source: OpenTelemetry specification, "TraceState: Probability Sampling" and "Trace
//! state handling" (`ot=th:…;rv:…`), and W3C Trace Context level 2 on the randomness of trace ids.

use std::fmt;

/// One more than the largest randomness: a threshold of this value keeps nothing.
const NEVER: u64 = 1 << 56;

/// Hexadecimal digits of a randomness and of a threshold in full.
pub(crate) const DIGITS: u32 = 14;

/// The longest value of the `ot` member, in bytes (OpenTelemetry specification, trace state handling).
const OT_SIZE_MAX: usize = 256;

/// The most members of a trace state (W3C Trace Context, section 3.3.1.1).
const MEMBERS_MAX: usize = 32;

/// What decides about a record: 56 random bits that all records of a trace share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Randomness(u64);

impl Randomness {
    /// The largest, which every sampler keeps that keeps anything.
    pub(crate) const MAX: Self = Self(NEVER - 1);

    /// The lowest 56 bits.
    pub(crate) const fn new(bits: u64) -> Self {
        Self(bits & (NEVER - 1))
    }

    /// The last seven bytes of a trace id; nothing if it is all zero, which is no trace id.
    pub(crate) fn of_trace(trace_id: [u8; 16]) -> Option<Self> {
        let id = u128::from_be_bytes(trace_id);
        (id != 0).then(|| Self::new((id & u128::from(NEVER - 1)) as u64))
    }

    /// Reads the fourteen digits of `rv`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text.len() == DIGITS as usize).then(|| hexadecimal(text)).flatten().map(Self)
    }
}

impl fmt::Display for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.0)
    }
}

/// What a sampler rejects: every randomness below this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Threshold(u64);

impl Threshold {
    /// Keeps everything.
    pub(crate) const ALWAYS: Self = Self(0);
    /// Keeps nothing.
    pub(crate) const NEVER: Self = Self(NEVER);

    /// The threshold that rejects everything below 56 given bits.
    pub(crate) const fn new(bits: u64) -> Self {
        if bits > NEVER { Self::NEVER } else { Self(bits) }
    }

    /// The threshold that keeps this fraction, in at least so many hexadecimal digits. Near 0 and 1 it takes more
    /// digits, so that the relative error stays the same.
    pub(crate) fn of_fraction(fraction: f64, precision: u32) -> Self {
        if fraction >= 1.0 {
            return Self::ALWAYS;
        }
        let scaled = (fraction * NEVER as f64).round() as u64;
        if scaled == 0 {
            return Self::NEVER;
        }
        let digits = DIGITS.min(precision + leading_digits(fraction).max(leading_digits(1.0 - fraction)));
        let threshold = NEVER - scaled;
        match 4 * (DIGITS - digits) {
            0 => Self(threshold),
            shift => Self::new(((threshold + (1 << (shift - 1))) >> shift) << shift),
        }
    }

    /// Reads the digits of `th`, of which zeros at the end may be missing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = u32::try_from(text.len()).ok().filter(|digits| (1..=DIGITS).contains(digits))?;
        hexadecimal(text).map(|bits| Self(bits << (4 * (DIGITS - digits))))
    }

    /// Whether a record with this randomness is kept.
    pub(crate) fn keeps(self, randomness: Randomness) -> bool {
        randomness.0 >= self.0
    }

    /// The share that is kept, from 0 to 1.
    pub(crate) fn fraction(self) -> f64 {
        (NEVER - self.0) as f64 / NEVER as f64
    }

    /// How many records one that was kept stands for.
    pub(crate) fn adjusted_count(self) -> f64 {
        if self == Self::NEVER { 0.0 } else { 1.0 / self.fraction() }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match format!("{:014x}", self.0).trim_end_matches('0') {
            "" => f.write_str("0"),
            digits => f.write_str(digits),
        }
    }
}

/// How many digits of the fraction are zeros before the first that says something.
fn leading_digits(fraction: f64) -> u32 {
    let binary = -fraction.log2().ceil();
    (binary.max(0.0) / 4.0) as u32
}

/// Lower-case digits only, as the specification has it.
fn hexadecimal(text: &str) -> Option<u64> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.bytes().all(is_digit).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// The member `ot` of a trace state, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OtelState<'a> {
    /// The whole trace state.
    state: &'a str,
    /// The value of the member.
    value: &'a str,
    /// `th`: what earlier samplers rejected.
    pub(crate) threshold: Option<Threshold>,
    /// `rv`: a randomness that replaces that of the trace id.
    pub(crate) randomness: Option<Randomness>,
}

/// `th` or `rv` does not hold what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> OtelState<'a> {
    /// Finds the member in a trace state.
    ///
    /// # Errors
    /// `th` or `rv` is malformed.
    pub(crate) fn parse(state: &'a str) -> Result<Self, Malformed> {
        let member = |member: &'a str| member.trim().strip_prefix("ot=");
        let value = state.split(',').find_map(member).unwrap_or_default();
        let mut parsed = Self { state, value, threshold: None, randomness: None };
        for field in value.split(';').filter(|field| !field.is_empty()) {
            match field.split_once(':') {
                Some(("th", digits)) => parsed.threshold = Some(Threshold::parse(digits).ok_or(Malformed)?),
                Some(("rv", digits)) => parsed.randomness = Some(Randomness::parse(digits).ok_or(Malformed)?),
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// The whole trace state with another `th`, and with `rv` if one is given: the member moves to the front, as W3C
    /// asks for, the rest stays as it is. What no longer fits the limits is left out: other fields of the member,
    /// members at the end.
    pub(crate) fn with(self, threshold: Threshold, randomness: Option<Randomness>) -> String {
        let mut value = format!("ot=th:{threshold}");
        if let Some(randomness) = randomness.or(self.randomness) {
            value.push_str(&format!(";rv:{randomness}"));
        }
        let is_other =
            |field: &&str| !(field.is_empty() || field.starts_with("th:") || field.starts_with("rv:"));
        for field in self.value.split(';').filter(is_other) {
            if value.len() + 1 + field.len() <= OT_SIZE_MAX + "ot=".len() {
                value.push(';');
                value.push_str(field);
            }
        }
        let members = self.state.split(',').map(str::trim);
        let others = members.filter(|member| !member.is_empty() && !member.starts_with("ot="));
        for member in others.take(MEMBERS_MAX - 1) {
            value.push(',');
            value.push_str(member);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Digits as the Collector's `pkg/sampling` gives them.
    #[test]
    fn thresholds_have_the_digits_that_others_give_them() {
        let cases = [
            (1.0, "0"),
            (0.5, "8"),
            (0.25, "c"),
            (0.1, "e666"),
            (0.01, "fd70a"),
            (0.001, "ffbe77"),
            (0.999, "004189"),
            (1.0 / 3.0, "aaab"),
        ];
        for (fraction, digits) in cases {
            assert_eq!(Threshold::of_fraction(fraction, 4).to_string(), digits, "{fraction}");
        }
    }

    #[test]
    fn a_trace_state_keeps_what_others_wrote() {
        let state = OtelState::parse("vendor=1, ot=p:8;th:8;rv:0123456789abcd;x:y,other=2").unwrap();
        assert_eq!(state.threshold, Some(Threshold::of_fraction(0.5, 4)));
        assert_eq!(state.randomness, Randomness::parse("0123456789abcd"));
        assert_eq!(
            state.with(Threshold::of_fraction(0.25, 4), None),
            "ot=th:c;rv:0123456789abcd;p:8;x:y,vendor=1,other=2"
        );
        assert_eq!(OtelState::parse("").unwrap().with(Threshold::ALWAYS, None), "ot=th:0");
    }

    #[test]
    fn what_is_malformed_is_said_and_not_guessed() {
        for state in ["ot=th:", "ot=th:xyz", "ot=th:012345678901234", "ot=rv:1", "ot=th:8;rv:0123456789ABCD"]
        {
            assert_eq!(OtelState::parse(state), Err(Malformed), "{state}");
        }
        assert!(OtelState::parse("no member at all;th:x").is_ok());
    }

    #[test]
    fn a_trace_state_never_outgrows_its_limits() {
        let long = format!("ot={},{}", "a:b;".repeat(100), "k=v,".repeat(60));
        let written = OtelState::parse(&long).unwrap().with(Threshold::ALWAYS, Some(Randomness::MAX));
        assert!(written.split(',').next().unwrap().len() <= OT_SIZE_MAX + 3, "{written}");
        assert_eq!(written.split(',').count(), MEMBERS_MAX);
    }

    proptest! {
        #[test]
        fn property_thresholds_and_randomness_survive_their_digits(bits in 0..NEVER) {
            prop_assert_eq!(Threshold::parse(&Threshold(bits).to_string()), Some(Threshold(bits)));
            prop_assert_eq!(Randomness::parse(&Randomness(bits).to_string()), Some(Randomness(bits)));
        }

        #[test]
        fn property_a_threshold_keeps_the_fraction_it_was_made_of(fraction in 1e-9..1.0_f64) {
            let kept = Threshold::of_fraction(fraction, 4).fraction();
            prop_assert!((kept - fraction).abs() / fraction < 1e-3, "{kept}");
        }

        #[test]
        fn property_a_lower_fraction_keeps_a_part_of_what_a_higher_one_keeps(
            low in 0.0..1.0_f64, more in 0.0..1.0_f64, bits in 0..NEVER,
        ) {
            let high = low + (1.0 - low) * more;
            let (low, high) = (Threshold::of_fraction(low, 14), Threshold::of_fraction(high, 14));
            prop_assert!(!low.keeps(Randomness(bits)) || high.keeps(Randomness(bits)));
        }
    }
}
