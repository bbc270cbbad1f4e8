//! How a time is written, given as a `strptime` pattern or as a Go layout, compiled to the same steps.

mod compile;

use super::civil::Civil;
use super::zone::Zone;

pub(super) use compile::COMMON;

/// A way to write a time.
///
/// ```
/// use watershed_pipeline::parse::{Layout, Zone};
/// let strptime = Layout::strptime("%d/%b/%Y:%H:%M:%S %z").unwrap();
/// let go = Layout::gotime("02/Jan/2006:15:04:05 -0700").unwrap();
/// for layout in [strptime, go] {
///     assert_eq!(layout.parse("19/Dec/2024:11:30:15 +0100", &Zone::UTC, 0), Some(1_734_604_215_000_000_000));
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(Vec<Step>);

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// There is no such directive.
    #[error(
        "unknown directive `%{0}`; known are %Y %y %m %b %B %d %e %H %I %M %S %L %f %p %z %Z %j and some more"
    )]
    Directive(char),
    /// It says nothing of a time.
    #[error(
        "`{0}` has no part of a time; a Go layout is written with the time 2006-01-02T15:04:05Z07:00, a strptime pattern with directives such as %Y-%m-%d"
    )]
    NoTime(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Literal(Box<str>),
    Spaces,
    Year,
    /// Two digits; 69 to 99 are of the century before, as POSIX has it.
    ShortYear,
    Month,
    MonthName,
    Weekday,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
    /// A point or a comma and digits.
    Fraction,
    /// Digits of a fraction whose point stands in the pattern.
    FractionDigits,
    AmPm,
    /// `Z`, or a sign and hours, with minutes and seconds or without.
    Offset,
    /// `UTC`, `CET`: letters. Only UTC is known to mean one offset; the others are left to the zone given.
    ZoneName,
}

impl Layout {
    /// Compiles a pattern of directives: those of C, as the Collector has them.
    ///
    /// # Errors
    /// Names the directive that is unknown.
    pub fn strptime(pattern: &str) -> Result<Self, LayoutError> {
        compile::strptime(pattern)
    }

    /// Compiles a layout of Go's `time` package.
    ///
    /// # Errors
    /// Says so if nothing in it is part of a time.
    pub fn gotime(layout: &str) -> Result<Self, LayoutError> {
        compile::gotime(layout)
    }

    /// The time of a text that is written in this way from beginning to end, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn parse(&self, text: &str, zone: &Zone, reference: u64) -> Option<u64> {
        let mut scanner = Scanner::new(text);
        let mut civil = Civil::default();
        for (index, step) in self.0.iter().enumerate() {
            scanner.step(step, &mut civil)?;
            // As in Go, a fraction may follow the seconds without being asked for.
            let is_asked = match self.0.get(index + 1) {
                Some(Step::Fraction) => true,
                Some(Step::Literal(text)) => text.starts_with(['.', ',']),
                _ => false,
            };
            if *step == Step::Second && !is_asked {
                civil.nanos = scanner.fraction().unwrap_or(0);
            }
        }
        scanner.is_empty().then(|| civil.unix_nano(zone, reference))?
    }
}

/// What is left of a text.
pub(super) struct Scanner<'t>(&'t [u8], &'t str);

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self(text.as_bytes(), text)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rest(&self) -> &'t str {
        self.1.get(self.1.len() - self.0.len()..).unwrap_or_default()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.byte();
        }
        found
    }

    pub(super) fn spaces(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// A number of so many digits.
    pub(super) fn digits(&mut self, min: usize, max: usize) -> Option<u32> {
        let mut number = 0;
        let mut found = 0;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0
            && found < max
        {
            number = number * 10 + u32::from(digit - b'0');
            found += 1;
            self.0 = rest;
        }
        (found >= min).then_some(number)
    }

    /// A point or a comma and the digits behind it, as nanoseconds; digits below these are skipped.
    pub(super) fn fraction(&mut self) -> Option<u32> {
        let [b'.' | b',', rest @ ..] = self.0 else { return None };
        if !rest.first().is_some_and(u8::is_ascii_digit) {
            return None;
        };
        self.0 = rest;
        Some(self.fraction_digits())
    }

    fn fraction_digits(&mut self) -> u32 {
        let mut nanos = 0;
        let mut worth = 100_000_000;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.0 {
            nanos += u32::from(digit - b'0') * worth;
            worth /= 10;
            self.0 = rest;
        }
        nanos
    }

    /// A sign and hours, with minutes and seconds or without, as seconds.
    pub(super) fn offset(&mut self) -> Option<i32> {
        let sign = match self.byte()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.digits(2, 2).filter(|hours| *hours < 24)?;
        let mut rest = 0;
        for worth in [60, 1] {
            self.take(b':');
            if !self.0.first().is_some_and(u8::is_ascii_digit) {
                break;
            }
            rest += self.digits(2, 2).filter(|part| *part < 60)? * worth;
        }
        Some(sign * i32::try_from(hours * 3600 + rest).ok()?)
    }

    fn letters(&mut self) -> &'t [u8] {
        let end = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (letters, rest) = self.0.split_at_checked(end).unwrap_or((self.0, &[]));
        self.0 = rest;
        letters
    }

    /// The number of a name of a list, of which three letters do, from 1.
    fn name(&mut self, names: &[&str]) -> Option<u32> {
        let letters = std::str::from_utf8(self.letters()).ok()?;
        let is_it = |name: &&str| {
            letters.len() >= 3
                && name.get(..letters.len()).is_some_and(|start| start.eq_ignore_ascii_case(letters))
        };
        names.iter().position(is_it).and_then(|index| u32::try_from(index + 1).ok())
    }

    fn step(&mut self, step: &Step, civil: &mut Civil) -> Option<()> {
        match step {
            Step::Literal(literal) => self.0 = self.0.strip_prefix(literal.as_bytes())?,
            Step::Spaces => self.spaces(),
            Step::Year => civil.year = i32::try_from(self.digits(4, 4)?).ok(),
            Step::ShortYear => {
                let year = i32::try_from(self.digits(2, 2)?).ok()?;
                civil.year = Some(if year < 69 { 2000 + year } else { 1900 + year });
            }
            Step::Month => civil.month = Some(self.padded()?),
            Step::MonthName => civil.month = Some(self.name(&MONTHS)?),
            Step::Weekday => self.name(&WEEKDAYS).map(|_| ())?,
            Step::Day => civil.day = Some(self.padded()?),
            Step::DayOfYear => civil.day_of_year = Some(self.digits(3, 3)?),
            Step::Hour => civil.hour = self.padded()?,
            Step::Minute => civil.minute = self.padded()?,
            Step::Second => civil.second = self.padded()?,
            Step::Fraction => civil.nanos = self.fraction().unwrap_or(0),
            Step::FractionDigits => civil.nanos = self.fraction_digits(),
            Step::AmPm => {
                civil.is_afternoon = Some(match self.letters() {
                    letters if letters.eq_ignore_ascii_case(b"am") => false,
                    letters if letters.eq_ignore_ascii_case(b"pm") => true,
                    _ => return None,
                });
            }
            Step::Offset => civil.offset = Some(if self.take(b'Z') { 0 } else { self.offset()? }),
            Step::ZoneName => match self.letters() {
                b"UTC" | b"GMT" | b"Z" => civil.offset = Some(0),
                b"" => return None,
                _ => {}
            },
        }
        Some(())
    }

    /// A number of one or two digits, with spaces for zeros in front.
    fn padded(&mut self) -> Option<u32> {
        self.spaces();
        self.digits(1, 2)
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[cfg(test)]
mod tests;
