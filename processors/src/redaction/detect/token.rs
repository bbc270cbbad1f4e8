//! What opens doors: tokens, keys of clouds and services, private keys.

use std::ops::Range;

use super::{begins, byte, ends, has, run};

/// As much as a token may have; a longer one is hidden up to here and further by the rest of the rule.
const TOKEN_MAX: usize = 16 << 10;

/// A JSON Web Token: three segments, of which two are JSON in base64url, or five of an encrypted one (RFC 7515, 7516).
pub(super) fn jwt(text: &[u8], at: usize) -> Option<Range<usize>> {
    if !begins(text, at) || matches!(before(text, at), b'_' | b'-') {
        return None;
    }
    let segment =
        |at| run(text, at, TOKEN_MAX, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let mut end = segment(at);
    let is_signed = has(text, end, b".eyJ");
    let mut segments = 1;
    while byte(text, end) == b'.' && segments < 5 {
        end = segment(end + 1);
        segments += 1;
    }
    let wanted = if is_signed { 3 } else { 5 };
    (segments >= wanted && end - at >= 24).then_some(at..end)
}

/// What follows `bearer` and a space: 16 characters or more, or 8 with a digit among them, so that `bearer of news` stays.
pub(super) fn bearer(text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(2)?;
    if !text.get(start..at + 4)?.eq_ignore_ascii_case(b"bearer") || !begins(text, start) {
        return None;
    }
    let mut token = at + 4;
    while token < at + 16 {
        match byte(text, token) {
            b' ' | b'+' | b'\t' => token += 1,
            b'%' if has(text, token, b"%20") => token += 3,
            _ => break,
        }
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let end = run(text, token, TOKEN_MAX, is_part);
    let length = end - token;
    let has_digit = text.get(token..end).unwrap_or_default().iter().any(u8::is_ascii_digit);
    (token > at + 4 && (length >= 16 || (length >= 8 && has_digit))).then_some(token..end)
}

/// An access key id: `AKIA` or `ASIA` and 16 capitals or digits.
pub(super) fn aws(text: &[u8], at: usize) -> Option<Range<usize>> {
    let end = run(text, at, 21, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (end == at + 20 && begins(text, at) && ends(text, end)).then_some(at..end)
}

/// An API key (`AIza` and 35 more), or an OAuth client secret (`GOCSPX-` and 28 more).
pub(super) fn gcp(text: &[u8], at: usize) -> Option<Range<usize>> {
    let (prefix, length) = if has(text, at, b"AIza") { (4, 35) } else { (7, 28) };
    if prefix == 7 && !has(text, at, b"GOCSPX-") {
        return None;
    }
    let end = run(text, at + prefix, length + 1, is_url_safe);
    (end == at + prefix + length && begins(text, at)).then_some(at..end)
}

/// `ghp_` and its like with 36 characters or more, or `github_pat_` with 22 or more.
pub(super) fn github(text: &[u8], at: usize) -> Option<Range<usize>> {
    let (start, token, length) =
        if byte(text, at) == b'_' { (at.checked_sub(6)?, at + 5, 22) } else { (at, at + 4, 36) };
    let is_prefix = start == at || has(text, start, b"github_pat_");
    let end = run(text, token, 255, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (is_prefix && end - token >= length && begins(text, start) && before(text, start) != b'_')
        .then_some(start..end)
}

/// `xoxb-` and its like, or `xapp-`, with 10 characters or more.
pub(super) fn slack(text: &[u8], at: usize) -> Option<Range<usize>> {
    let is_prefix = has(text, at, b"xox") || has(text, at, b"xapp");
    let end = run(text, at + 5, 255, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_prefix && byte(text, at + 4) == b'-' && end >= at + 15 && begins(text, at)).then_some(at..end)
}

/// A PEM block of a private key, to its end, or to the end of the text if that was cut off.
pub(super) fn private_key(text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(4)?;
    if !has(text, start, b"-----BEGIN ") {
        return None;
    }
    let label = start + 11;
    let label_end =
        run(text, label, 64, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    let name = text.get(label..label_end)?;
    if !name.ends_with(b"PRIVATE KEY") && !name.ends_with(b"PRIVATE KEY BLOCK")
        || !has(text, label_end, b"-----")
    {
        return None;
    }
    let rest = text.get(label_end..)?;
    let end_line = rest.windows(9).position(|window| window == b"-----END ");
    let Some(end_line) = end_line.map(|position| label_end + position + 9) else {
        return Some(start..text.len());
    };
    let name_end = run(text, end_line, 64, |byte| byte != b'-');
    Some(start..run(text, name_end, 5, |byte| byte == b'-'))
}

fn before(text: &[u8], at: usize) -> u8 {
    at.checked_sub(1).map_or(0, |before| byte(text, before))
}

fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}
