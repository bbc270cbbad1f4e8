//! A length of time, written as in Go.

use std::{fmt, ops::Deref, str::FromStr, time::Duration};

use super::{split_unit, text_type};

/// A length of time: `5s`, `1m30s`, `200ms`, `1h` or `0`.
///
/// The units are `h`, `m`, `s`, `ms`, `us` (or `µs`) and `ns`; several may follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

const UNITS: [(&str, u64); 7] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("µs", 1000),
    ("ns", 1),
];

impl Period {
    /// Makes a period of a duration.
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// Makes a period of whole seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// Makes a period of milliseconds.
    pub const fn milliseconds(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// The period as a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl Deref for Period {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a period; write `5s`, `1m30s` or `200ms`");
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Self(Duration::ZERO));
        }
        if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!(
                "`{text}` has no unit; write `{rest}s` for seconds or `{rest}ms` for milliseconds"
            ));
        }
        if rest.starts_with('-') {
            return Err(format!("`{text}` is negative; a period is zero or more"));
        }
        let mut total = 0_u128;
        while {
            let (number, from_unit) = split_unit(rest);
            let end = from_unit
                .find(|letter: char| letter.is_ascii_digit() || letter == '.')
                .unwrap_or(from_unit.len());
            let (unit, after) = from_unit.split_at(end);
            let factor =
                UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(wrong)?;
            total = total.saturating_add(nanoseconds(number, factor).ok_or_else(wrong)?);
            rest = after;
            !rest.is_empty()
        } {}
        let nanoseconds = u64::try_from(total).map_err(|_| format!("`{text}` is longer than 500 years"))?;
        Ok(Self(Duration::from_nanos(nanoseconds)))
    }
}

/// Multiplies a decimal number with a unit, without rounding of whole numbers.
fn nanoseconds(number: &str, factor: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() && !fraction.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = fraction.get(..fraction.len().min(9))?;
    let parts: u64 = format!("{digits:0<9}").parse().ok()?;
    Some(u128::from(whole) * u128::from(factor) + u128::from(parts) * u128::from(factor) / 1_000_000_000)
}

impl fmt::Display for Period {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return out.write_str("0s");
        }
        for (unit, factor) in UNITS.iter().filter(|(unit, _)| *unit != "µs") {
            let count = rest / u128::from(*factor);
            if count > 0 {
                write!(out, "{count}{unit}")?;
            }
            rest %= u128::from(*factor);
        }
        Ok(())
    }
}

text_type!(
    Period,
    ["string", "integer"],
    r"^(0|([0-9]*\.?[0-9]+(h|m|s|ms|us|µs|ns))+)$",
    "A length of time, such as `5s`, `1m30s` or `200ms`."
);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Period;

    #[test]
    fn periods_are_read_and_written() {
        for (text, milliseconds, shown) in [
            ("5s", 5000, "5s"),
            ("1m30s", 90_000, "1m30s"),
            ("200ms", 200, "200ms"),
            ("1.5h", 5_400_000, "1h30m"),
            (".5s", 500, "500ms"),
            ("0", 0, "0s"),
            ("90m", 5_400_000, "1h30m"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.duration(), Duration::from_millis(milliseconds), "{text}");
            assert_eq!(period.to_string(), shown, "{text}");
        }
        assert_eq!("10µs".parse::<Period>().unwrap().as_nanos(), 10_000);
    }

    #[test]
    fn what_is_no_period_is_refused_with_advice() {
        for (text, message) in [
            ("5", "`5` has no unit; write `5s` for seconds or `5ms` for milliseconds"),
            ("-1s", "`-1s` is negative; a period is zero or more"),
            ("5 s", "`5 s` is not a period; write `5s`, `1m30s` or `200ms`"),
            ("1d", "`1d` is not a period; write `5s`, `1m30s` or `200ms`"),
            ("9999999h", "`9999999h` is longer than 500 years"),
            ("", "`` is not a period; write `5s`, `1m30s` or `200ms`"),
        ] {
            assert_eq!(text.parse::<Period>().unwrap_err(), message);
        }
    }
}
