//! Addresses of people and machines.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::{begins, byte, ends, has, run};

const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 255;

/// Whether a byte may stand in front of the `@` of an address: RFC 5322, section 3.2.3, and letters of other scripts, but
/// without `%`, `/`, `=`, `'` and the like, which far more often stand around an address than in it.
pub(super) fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._+-".contains(&byte) || byte >= 0x80
}

/// An address around `@` or `%40`, of which the candidate is the byte before.
pub(super) fn email(text: &[u8], at: usize, floor: usize) -> Option<Range<usize>> {
    let domain = at + if byte(text, at + 1) == b'@' { 2 } else { 4 };
    if byte(text, at + 1) == b'%' && !has(text, at + 1, b"%40") {
        return None;
    }
    let end = domain_end(text, domain)?;
    let first = (at + 1).saturating_sub(LOCAL_MAX).max(floor);
    let local = text.get(first..=at)?.iter().rev().take_while(|byte| is_local(**byte)).count();
    let start = at + 1 - local;
    // The rest of an escape such as `%3D` in front of the address is not a part of it.
    let is_escape = start > 0 && byte(text, start - 1) == b'%' && local > 2;
    let start = if is_escape { start + 2 } else { start };
    (start <= at).then_some(start..end)
}

/// The end of a host name with a dot in it, whose last label is of two letters or more.
fn domain_end(text: &[u8], at: usize) -> Option<usize> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' || byte >= 0x80;
    let mut end = run(text, at, DOMAIN_MAX, is_part);
    while end > at && matches!(byte(text, end - 1), b'.' | b'-') {
        end -= 1;
    }
    let domain = text.get(at..end)?;
    let dot = domain.iter().rposition(|byte| *byte == b'.')?;
    let last = domain.get(dot + 1..)?;
    (dot > 0 && last.len() >= 2 && last.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80))
        .then_some(end)
}

/// An IPv4 address around the candidate, which begins at the last digit of its first number.
pub(super) fn ipv4(text: &[u8], at: usize) -> Option<Range<usize>> {
    let digits_before =
        text.get(at.saturating_sub(3)..at)?.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let start = at - digits_before;
    let is_part = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let end = run(text, start, 17, is_part);
    let end = if end > start && byte(text, end - 1) == b'.' { end - 1 } else { end };
    let is_alone = start == 0 || byte(text, start - 1) != b'.';
    let address = std::str::from_utf8(text.get(start..end)?).ok()?;
    let is_address =
        is_alone && begins(text, start) && ends(text, end) && address.parse::<Ipv4Addr>().is_ok();
    is_address.then_some(start..end)
}

/// An IPv6 address around a candidate that ends at `end`, and begins with a part of it or one byte before `::`.
pub(super) fn ipv6(text: &[u8], end: usize, floor: usize) -> Option<Range<usize>> {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
    let at = end.checked_sub(3)?;
    let first = at.saturating_sub(5).max(floor);
    let before = text.get(first..at)?.iter().rev().take_while(|byte| is_part(**byte)).count();
    let start = at - before;
    let end = run(text, start, 46, is_part);
    let end = if end > start && byte(text, end - 1) == b'.' { end - 1 } else { end };
    let address = std::str::from_utf8(text.get(start..end)?).ok()?;
    // `::` alone stands for no address that anybody has.
    let is_address = address.len() > 2 && address.parse::<Ipv6Addr>().is_ok();
    (is_address && begins(text, start) && ends(text, end)).then_some(start..end)
}
