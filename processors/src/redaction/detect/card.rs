//! Payment card numbers: ISO/IEC 7812-1.

use std::ops::Range;

use super::{begins, byte, ends, has};

const DIGITS_MAX: usize = 19;
const DIGITS_MIN: usize = 13;

/// What an issuer gives out: the first digits from and to, and the lengths from and to. From the issuers' published
/// ranges (Visa, Mastercard, American Express, Diners Club, Discover, JCB, UnionPay, Maestro, Mir).
const ISSUERS: [(u32, u32, usize, usize); 16] = [
    (400_000, 499_999, 13, 19),
    (510_000, 559_999, 16, 16),
    (222_100, 272_099, 16, 16),
    (340_000, 349_999, 15, 15),
    (370_000, 379_999, 15, 15),
    (300_000, 305_999, 14, 19),
    (309_500, 309_599, 14, 19),
    (360_000, 369_999, 14, 19),
    (380_000, 399_999, 14, 19),
    (601_100, 601_199, 16, 19),
    (644_000, 659_999, 16, 19),
    (352_800, 358_999, 16, 19),
    (620_000, 629_999, 16, 19),
    (500_000, 509_999, 13, 19),
    (560_000, 699_999, 13, 19),
    (220_000, 220_499, 16, 19),
];

/// The digits found, and where each length ends.
struct Digits {
    digits: [u8; DIGITS_MAX],
    ends: [usize; DIGITS_MAX],
    count: usize,
}

/// A card number that begins with the three digits before `end`, or with the last one if an escape such as `%20` stands before, or
/// behind it if the window is the rest of `\u0022`.
pub(super) fn find(text: &[u8], end: usize) -> Option<Range<usize>> {
    let is_escape = end >= 4 && byte(text, end - 4) == b'%';
    let is_quote = end >= 6 && has(text, end - 6, b"\\u0022");
    let at = if is_quote { end } else { end.checked_sub(if is_escape { 1 } else { 3 })? };
    // The digits behind a decimal point, and the rest of a longer run, are no card.
    let is_fraction = at >= 2 && byte(text, at - 1) == b'.' && byte(text, at - 2).is_ascii_digit();
    if !begins(text, at) || is_fraction {
        return None;
    }
    let found = read(text, at);
    let lengths = (DIGITS_MIN..=found.count).rev();
    let end_of = |length: usize| found.ends.get(length - 1).copied().unwrap_or(at);
    let is_card = |length: &usize| {
        let digits = found.digits.get(..*length).unwrap_or_default();
        ends(text, end_of(*length)) && is_issued(digits) && luhn(digits)
    };
    let length = lengths.into_iter().find(is_card)?;
    Some(at..end_of(length))
}

/// Digits in one row, or in groups of at least three that one and the same separator parts: a space, `-`, `+` or `%20`.
fn read(text: &[u8], at: usize) -> Digits {
    let mut found = Digits { digits: [0; DIGITS_MAX], ends: [0; DIGITS_MAX], count: 0 };
    let mut position = at;
    let mut separator = None;
    let mut group = 0;
    loop {
        let current = byte(text, position);
        if current.is_ascii_digit() {
            let (Some(digit), Some(end)) =
                (found.digits.get_mut(found.count), found.ends.get_mut(found.count))
            else {
                break;
            };
            position += 1;
            group += 1;
            (*digit, *end) = (current - b'0', position);
            found.count += 1;
            continue;
        }
        let width = if has(text, position, b"%20") { 3 } else { 1 };
        let is_separator = width == 3 || matches!(current, b' ' | b'-' | b'+');
        if !is_separator || group < 3 || *separator.get_or_insert(current) != current {
            break;
        }
        position += width;
        group = 0;
    }
    found
}

fn is_issued(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(6).fold(0, |number, digit| number * 10 + u32::from(*digit));
    let fits = |(from, to, min, max): &(u32, u32, usize, usize)| {
        (*from..=*to).contains(&prefix) && (*min..=*max).contains(&digits.len())
    };
    ISSUERS.iter().any(fits)
}

/// Whether the last digit is right: ISO/IEC 7812-1, annex B.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let backwards = digits.iter().rev().enumerate();
    let sum: u32 = backwards
        .map(|(position, digit)| u32::from(if position % 2 == 1 { doubled(*digit) } else { *digit }))
        .sum();
    sum.is_multiple_of(10)
}
