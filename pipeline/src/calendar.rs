//! Times as people and other programs read them: nanoseconds since the Unix epoch to a date and a time of day.
//!
//! Every timestamp of a batch fits: 64 bits of nanoseconds end in the year 2554.

/// A moment in UTC, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// From 1970.
    pub year: u64,
    /// From 1 to 12.
    pub month: u64,
    /// From 1 to 31.
    pub day: u64,
    /// From 0 to 23.
    pub hour: u64,
    /// From 0 to 59.
    pub minute: u64,
    /// From 0 to 59: Unix time knows no leap seconds.
    pub second: u64,
    /// From 0 to 999,999,999.
    pub nanosecond: u64,
}

impl Moment {
    /// Takes a time in nanoseconds since the Unix epoch apart.
    #[must_use]
    pub fn from_unix_nano(nanoseconds: u64) -> Self {
        let seconds = nanoseconds / 1_000_000_000;
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        // Howard Hinnant's `civil_from_days`: years begin on 1 March, so that a leap day comes last.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: of_year - (153 * march_month + 2) / 5 + 1,
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            nanosecond: nanoseconds % 1_000_000_000,
        }
    }

    /// Appends `2026-01-02T03:04:05.678Z`; digits below the millisecond are cut off.
    pub fn push_iso(self, out: &mut Vec<u8>) {
        self.push_date(out);
        out.push(b'T');
        self.push_clock(out);
        out.push(b'Z');
    }

    /// Appends `2026-01-02`.
    pub fn push_date(self, out: &mut Vec<u8>) {
        push_digits::<4>(out, self.year);
        out.push(b'-');
        push_digits::<2>(out, self.month);
        out.push(b'-');
        push_digits::<2>(out, self.day);
    }

    /// Appends `03:04:05.678`.
    pub fn push_clock(self, out: &mut Vec<u8>) {
        push_digits::<2>(out, self.hour);
        out.push(b':');
        push_digits::<2>(out, self.minute);
        out.push(b':');
        push_digits::<2>(out, self.second);
        out.push(b'.');
        push_digits::<3>(out, self.nanosecond / 1_000_000);
    }
}

/// Appends the last `N` decimal digits of a number, with zeros in front.
pub fn push_digits<const N: usize>(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nanoseconds: u64, expected: &str) {
        let mut out = Vec::new();
        Moment::from_unix_nano(nanoseconds).push_iso(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_399_999_999_999, "2000-02-28T23:59:59.999Z");
        check(951_782_400_000_000_000, "2000-02-29T00:00:00.000Z");
        check(951_868_800_001_000_000, "2000-03-01T00:00:00.001Z");
        check(1_767_225_599_123_456_789, "2025-12-31T23:59:59.123Z");
        check(4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z");
        check(u64::MAX, "2554-07-21T23:34:33.709Z");
    }
}
