//! Passwords in URLs.

use std::ops::Range;

use super::{byte, run};

/// As much of an authority as is looked at, in bytes.
const AUTHORITY_MAX: usize = 1024;

/// The password in `://user:password@host`. The user stays: it is a name.
pub(super) fn password(text: &[u8], at: usize) -> Option<Range<usize>> {
    let start = at + 3;
    let is_part = |byte: u8| byte > b' ' && !b"/?#\"'<>\\`".contains(&byte);
    let end = run(text, start, AUTHORITY_MAX, is_part);
    let authority = text.get(start..end)?;
    let host = authority.iter().rposition(|byte| *byte == b'@')?;
    let colon = authority.iter().take(host).position(|byte| *byte == b':')?;
    (colon + 1 < host && byte(text, start) != b'@').then_some(start + colon + 1..start + host)
}
