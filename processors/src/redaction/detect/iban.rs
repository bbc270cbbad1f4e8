//! International bank account numbers: ISO 13616, checked by MOD 97-10 of ISO/IEC 7064.

use std::ops::Range;

use super::{begins, byte, ends, has};

/// The lengths by country, from the registry of SWIFT.
const LENGTHS: [(&[u8; 2], usize); 89] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// An account number that begins at two capitals and two digits; in one row, or in groups of four.
pub(super) fn find(text: &[u8], at: usize) -> Option<Range<usize>> {
    let country = text.get(at..at + 2)?;
    let (_, length) = LENGTHS.iter().find(|(code, _)| code.as_slice() == country)?;
    if !begins(text, at) {
        return None;
    }
    let mut letters = [0; 34];
    let mut position = at;
    for (count, letter) in letters.iter_mut().take(*length).enumerate() {
        if count > 0 && count % 4 == 0 {
            position += separator(text, position);
        }
        *letter = byte(text, position);
        if !letter.is_ascii_uppercase() && !letter.is_ascii_digit() {
            return None;
        }
        position += 1;
    }
    let letters = letters.get(..*length)?;
    (ends(text, position) && is_right(letters)).then_some(at..position)
}

fn separator(text: &[u8], at: usize) -> usize {
    match byte(text, at) {
        b' ' | b'-' | b'+' => 1,
        _ if has(text, at, b"%20") => 3,
        _ => 0,
    }
}

/// The first four letters put last, letters as numbers from 10, the whole leaves 1 when divided by 97.
fn is_right(letters: &[u8]) -> bool {
    let (head, rest) = letters.split_at(4.min(letters.len()));
    let append = |remainder: u32, letter: &u8| match letter {
        b'0'..=b'9' => (remainder * 10 + u32::from(letter - b'0')) % 97,
        _ => (remainder * 100 + u32::from(letter.wrapping_sub(b'A')) + 10) % 97,
    };
    rest.iter().chain(head).fold(0, append) == 1
}
