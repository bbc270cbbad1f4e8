//! Numbers given to people: social security, telephone.

use std::ops::Range;

use super::{begins, byte, ends, has, run};

/// A social security number of the United States around `-NN-`. The areas 000, 666 and 900 to 999, the group 00 and the
/// serial 0000 are never given out (Social Security Administration, POMS RM 10201.035).
pub(super) fn ssn(text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(3)?;
    let end = start + 11;
    let separator = byte(text, at);
    let area = text.get(start..at)?;
    let group = text.get(at + 1..at + 3)?;
    let serial = text.get(at + 4..end)?;
    let is_number = byte(text, at + 3) == separator && area.iter().chain(serial).all(u8::is_ascii_digit);
    let is_given_out =
        area != b"000" && area != b"666" && area < b"900".as_slice() && group != b"00" && serial != b"0000";
    // What goes on with the same separator is some other, longer number.
    let goes_on = |byte: u8, next: u8| byte == b'-' && next.is_ascii_digit();
    let continues = start >= 2 && goes_on(byte(text, start - 1), byte(text, start - 2));
    let is_alone = !continues && !goes_on(byte(text, end), byte(text, end + 1));
    (is_number && is_given_out && is_alone && begins(text, start) && ends(text, end)).then_some(start..end)
}

/// A telephone number: `+` (or `%2B`) and 8 to 15 digits (ITU-T E.164), or ten digits in the North American form with
/// separators.
pub(super) fn phone(text: &[u8], at: usize) -> Option<Range<usize>> {
    if !begins(text, at) {
        return None;
    }
    let before = at.checked_sub(1).map_or(0, |before| byte(text, before));
    match byte(text, at) {
        b'+' => international(text, at, at + 1),
        b'%' if has(text, at, b"%2B") || has(text, at, b"%2b") => international(text, at, at + 3),
        // Digits within a longer number, with any of its separators, are not where a number begins.
        _ if matches!(before, b'+' | b'.' | b'-') => None,
        _ => north_american(text, at),
    }
}

fn international(text: &[u8], at: usize, number: usize) -> Option<Range<usize>> {
    let (mut position, mut end, mut digits, mut separators) = (number, at, 0, 0);
    while digits < 16 && separators <= 2 {
        match byte(text, position) {
            b'0'..=b'9' => {
                (digits, separators) = (digits + 1, 0);
                position += 1;
                end = position;
            }
            b' ' | b'-' | b'.' | b'(' | b')' => {
                (position, separators) = (position + 1, separators + 1);
            }
            b'%' if has(text, position, b"%20") => {
                (position, separators) = (position + 3, separators + 1);
            }
            _ => break,
        }
    }
    ((8..=15).contains(&digits) && ends(text, end)).then_some(at..end)
}

fn north_american(text: &[u8], at: usize) -> Option<Range<usize>> {
    let bracket = usize::from(byte(text, at) == b'(');
    let area = digits(text, at + bracket, 3)?;
    let area = if bracket == 1 {
        if byte(text, area) != b')' {
            return None;
        }
        run(text, area + 1, 1, |byte| byte == b' ')
    } else {
        separator(text, area)?
    };
    let exchange = separator(text, digits(text, area, 3)?)?;
    let end = digits(text, exchange, 4)?;
    let is_assigned = |at: usize| matches!(byte(text, at), b'2'..=b'9');
    (is_assigned(at + bracket) && is_assigned(area) && ends(text, end)).then_some(at..end)
}

/// The end of exactly so many digits.
fn digits(text: &[u8], at: usize, count: usize) -> Option<usize> {
    let end = run(text, at, count + 1, |byte| byte.is_ascii_digit());
    (end == at + count).then_some(end)
}

fn separator(text: &[u8], at: usize) -> Option<usize> {
    matches!(byte(text, at), b'-' | b'.' | b' ').then_some(at + 1)
}
