//! An amount of bytes, written with a unit.

use std::{fmt, str::FromStr};

use super::{split_unit, text_type};

/// An amount of bytes: `64MiB`, `10MB`, `512KiB`, or a plain number of bytes.
///
/// `KiB`, `MiB`, `GiB` and `TiB` count in steps of 1024; `kB`, `MB`, `GB` and `TB` in steps of 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
    ("B", 1),
];

impl ByteSize {
    /// Makes an amount of `bytes`.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Makes an amount of `count` times 1024 × 1024 bytes; more than can be counted becomes the largest amount.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// The amount in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The amount in bytes as a length in memory; what does not fit becomes the largest length.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text.trim());
        let unit = unit.trim();
        let wrong = || format!("`{text}` is not a size; write `64MiB`, `10MB` or a number of bytes");
        let factor = match unit {
            "" => Some(1),
            _ => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor),
        };
        let factor = factor.ok_or_else(wrong)?;
        let too_large = || format!("`{text}` is more bytes than can be counted");
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(too_large);
        }
        let Some((whole, fraction)) = number.split_once('.') else {
            let is_digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            return Err(if is_digits { too_large() } else { wrong() });
        };
        // A millionth of a unit is exact enough, and whole numbers do not round.
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let digits = fraction.get(..fraction.len().min(6)).unwrap_or_default();
        let parts: u64 = format!("{digits:0<6}").parse().map_err(|_| wrong())?;
        let part = u128::from(parts) * u128::from(factor) / 1_000_000;
        let bytes = u128::from(whole) * u128::from(factor) + part;
        u64::try_from(bytes).map(Self).map_err(|_| too_large())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact =
            UNITS.iter().find(|(_, factor)| self.0 != 0 && *factor > 1 && self.0.is_multiple_of(*factor));
        match exact {
            Some((unit, factor)) => write!(out, "{}{unit}", self.0 / factor),
            None => write!(out, "{}B", self.0),
        }
    }
}

text_type!(
    ByteSize,
    ["string", "integer"],
    r"^\d+(\.\d+)?\s*([kKmMgGtT]i?[bB]|[bB])?$",
    "An amount of bytes, such as `64MiB` or `10MB`; a plain number is in bytes."
);

#[cfg(test)]
mod tests {
    use super::ByteSize;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, shown) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("10MB", 10_000_000, "10MB"),
            ("512 KiB", 512 << 10, "512KiB"),
            ("1.5GiB", 3 << 29, "1536MiB"),
            ("0", 0, "0B"),
            ("1025", 1025, "1025B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MiB", "-1", "10 apples", "1.2.3", ".5MiB", "99999999999999999999", "99999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
