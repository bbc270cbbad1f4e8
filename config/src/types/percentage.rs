//! A share of a whole.

use std::{fmt, str::FromStr};

use super::text_type;

/// A share from 0 to 100 per cent: `15`, `0.5` or `15%`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percentage(f64);

impl Percentage {
    /// Everything.
    pub const ALL: Self = Self(100.0);
    /// Nothing.
    pub const NONE: Self = Self(0.0);

    /// Makes a share of whole per cent; more than 100 becomes 100.
    pub const fn new(percent: u8) -> Self {
        let percent = if percent > 100 { 100 } else { percent };
        Self(percent as f64)
    }

    /// The share in per cent, from 0 to 100.
    pub const fn percent(self) -> f64 {
        self.0
    }

    /// The share as a fraction, from 0 to 1.
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Percentage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix('%').unwrap_or(text).trim();
        match number.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent)),
            _ => Err(format!(
                "`{text}` is not a percentage; write a number from 0 to 100, such as `15` or `0.5%`"
            )),
        }
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}%", self.0)
    }
}

text_type!(
    Percentage,
    ["string", "number"],
    r"^\d+(\.\d+)?\s*%?$",
    "A share from 0 to 100 per cent, such as `15` or `0.5%`."
);

#[cfg(test)]
mod tests {
    use super::Percentage;

    #[test]
    fn shares_are_between_nothing_and_everything() {
        assert_eq!("15%".parse::<Percentage>().unwrap().fraction(), 0.15);
        assert_eq!("0.5".parse::<Percentage>().unwrap().to_string(), "0.5%");
        for text in ["", "-1", "101", "NaN", "half"] {
            assert!(text.parse::<Percentage>().is_err(), "{text}");
        }
    }
}
