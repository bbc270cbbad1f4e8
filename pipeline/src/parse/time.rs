//! Times as log lines have them, without being told how they are written.
//!
//! All functions take the zone of times that name none, and a reference (mostly the time of reading, in nanoseconds
//! since the Unix epoch) from which a missing year or date is taken.

use super::civil::Civil;
use super::layout::{self, Scanner};
use super::zone::Zone;

/// Reads a time in one of the forms that are told apart by themselves; nanoseconds since the Unix epoch.
///
/// These are RFC 3339 and ISO 8601 with `T` or a space, with a point or a comma before the fraction, with or without
/// zone; the basic form `20060102T150405Z`; the epoch in digits, in the unit that its size tells; Apache's
/// `02/Jan/2006:15:04:05 -0700`; syslog's `Jan  2 15:04:05`; RFC 2822; `ctime`; `2006/01/02 15:04:05`.
///
/// ```
/// use watershed_pipeline::parse::{Zone, time};
/// assert_eq!(time::detect("2024-12-19 10:30:15,123", &Zone::UTC, 0), Some(1_734_604_215_123_000_000));
/// assert_eq!(time::detect("1734604215", &Zone::UTC, 0), Some(1_734_604_215_000_000_000));
/// assert_eq!(time::detect("tomorrow", &Zone::UTC, 0), None);
/// ```
#[must_use]
pub fn detect(text: &str, zone: &Zone, reference: u64) -> Option<u64> {
    let text = text.trim_matches([' ', '[', ']']);
    if let Some(time) = rfc3339(text, zone, reference) {
        return Some(time);
    }
    let is_epoch = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_epoch && let Some(time) = epoch_text(text) {
        return Some(time);
    }
    layout::COMMON.iter().find_map(|layout| layout.parse(text, zone, reference))
}

/// Reads `2006-01-02T15:04:05.999Z`, also with a space or `_` for the `T`, `/` for `-`, a comma before the fraction,
/// without seconds, and with the zone as `Z`, `UTC`, `+01:00`, `+0100`, `+01`, or without.
#[must_use]
pub fn rfc3339(text: &str, zone: &Zone, reference: u64) -> Option<u64> {
    let mut scanner = Scanner::new(text);
    let year = scanner.digits(4, 4)?;
    let separator = scanner.byte()?;
    matches!(separator, b'-' | b'/').then_some(())?;
    let month = scanner.digits(2, 2)?;
    (scanner.byte()? == separator).then_some(())?;
    let day = scanner.digits(2, 2)?;
    let mut civil =
        Civil { year: i32::try_from(year).ok(), month: Some(month), day: Some(day), ..Civil::default() };
    matches!(scanner.byte()?, b'T' | b't' | b' ' | b'_').then_some(())?;
    civil.hour = scanner.digits(2, 2)?;
    (scanner.byte()? == b':').then_some(())?;
    civil.minute = scanner.digits(2, 2)?;
    if scanner.take(b':') {
        civil.second = scanner.digits(2, 2)?;
        civil.nanos = scanner.fraction().unwrap_or(0);
    }
    scanner.spaces();
    if !scanner.is_empty() {
        civil.offset = Some(offset(scanner.rest())?);
    }
    civil.unix_nano(zone, reference)
}

/// Seconds east of Greenwich of `Z`, `UTC`, `GMT`, `+01`, `+0100`, `+01:00` or `-01:00:30`.
pub(super) fn offset(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z" | "UTC" | "GMT") {
        return Some(0);
    }
    let mut scanner = Scanner::new(text);
    let offset = scanner.offset()?;
    scanner.is_empty().then_some(offset)
}

/// The unit of a number of times since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Thousandths.
    Milliseconds,
    /// Millionths.
    Microseconds,
    /// Thousand millionths.
    Nanoseconds,
}

impl Unit {
    /// How many nanoseconds it has.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }

    /// The unit in which a number is a time between 1973 and 2286, which is where these sizes part.
    fn of_size(whole: u64) -> Option<Self> {
        Some(match whole {
            100_000_000..10_000_000_000 => Self::Seconds,
            100_000_000_000..10_000_000_000_000 => Self::Milliseconds,
            100_000_000_000_000..10_000_000_000_000_000 => Self::Microseconds,
            100_000_000_000_000_000..10_000_000_000_000_000_000 => Self::Nanoseconds,
            _ => return None,
        })
    }
}

/// Nanoseconds since the Unix epoch of a whole number, in the unit that its size tells.
#[must_use]
pub fn epoch(number: i64) -> Option<u64> {
    let number = u64::try_from(number).ok()?;
    number.checked_mul(Unit::of_size(number)?.nanos())
}

/// Nanoseconds since the Unix epoch of a number with a fraction, in the unit that its size tells. A double keeps
/// microseconds, so these are rounded to.
#[must_use]
pub fn epoch_double(number: f64) -> Option<u64> {
    // Below zero and beyond the range become its ends, which have no unit.
    let unit = Unit::of_size(number as u64)?;
    let micros = (number * (unit.nanos() as f64 / 1_000.0)).round();
    (micros as u64).checked_mul(1_000)
}

/// Nanoseconds since the Unix epoch of digits, with or without a fraction of which no digit is lost, in the unit that
/// their size tells.
#[must_use]
pub fn epoch_text(text: &str) -> Option<u64> {
    let whole = text.split('.').next()?;
    epoch_in(text, Unit::of_size(whole.parse().ok()?)?)
}

/// As [`epoch_text`], in a given unit.
#[must_use]
pub fn epoch_in(text: &str, unit: Unit) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (is_digits(whole) && is_digits(fraction) && !whole.is_empty()).then_some(())?;
    let mut time = whole.parse::<u64>().ok()?.checked_mul(unit.nanos())?;
    let mut worth = unit.nanos() / 10;
    for digit in fraction.bytes() {
        time = time.checked_add(u64::from(digit - b'0') * worth)?;
        worth /= 10;
    }
    Some(time)
}
