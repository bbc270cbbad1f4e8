//! Keys and their values in plain text: `password=x`, `"password": "x"` and the same as JSON in JSON, `token: x`,
//! `?api_key=x&`, `password%3Dx`, `Authorization: Basic x`.
//!
//! A value in quotes ends at its closing quote, one in brackets at the closing bracket, any other at the next space, comma,
//! semicolon, `&` or bracket. Values that hide nothing stay: none, `null`, `true`, `false`, and what was hidden before.

use std::ops::Range;

/// How far a key in text reaches back.
const KEY_MAX: usize = 96;
/// Spaces around the separator.
const SPACES_MAX: usize = 8;
/// A quotation mark in a URL, in JSON by a careful encoder, and in HTML.
const WRITTEN_QUOTES: [&[u8]; 3] = [b"%22", b"\\u0022", b"&quot;"];
/// Words in front of the secret in a header of HTTP: RFC 9110, section 11.
const SCHEMES: [&[u8]; 6] = [b"bearer", b"basic", b"token", b"apikey", b"negotiate", b"digest"];

/// A key in text and the value that belongs to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: Range<usize>,
    /// What is to be replaced, without its quotes.
    pub(super) value: Range<usize>,
    /// How the new value is to be quoted so that JSON stays JSON; none if it stands as the old one did.
    pub(super) quote: Option<Quote>,
}

/// A quotation mark and the backslashes in front of it: `"` in JSON, `\"` in JSON in JSON, `\\\"` in a third one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quote {
    pub(super) backslashes: usize,
    pub(super) mark: u8,
}

/// The key of a candidate whose window ends at `end`: three letters of the key and what follows, or two letters, a space and
/// the separator.
pub(super) fn key_before(text: &[u8], end: usize) -> Option<Range<usize>> {
    let is_key_at = |at: usize| text.get(at).copied().is_some_and(is_key);
    let end = if is_key_at(end.checked_sub(2)?) { end - 1 } else { end - 2 };
    if is_key_at(end) {
        return None;
    }
    let first = end.saturating_sub(KEY_MAX);
    let length = text.get(first..end)?.iter().rev().take_while(|byte| is_key(**byte)).count();
    let start = end - length + escape_before(text, end - length);
    (start < end).then_some(start..end)
}

/// How many letters at a position belong to an escape, `%3F` or `\n`, and not to the word that follows.
fn escape_before(text: &[u8], at: usize) -> usize {
    let is_hexadecimal = |count: usize| {
        text.get(at..at + count).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    match (at.checked_sub(1).and_then(|before| text.get(before)), text.get(at)) {
        (Some(b'%'), _) if is_hexadecimal(2) => 2,
        (Some(b'\\'), Some(b'n' | b'r' | b't')) => 1,
        (Some(b'\\'), Some(b'u')) => 5,
        _ => 0,
    }
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || byte >= 0x80
}

/// The value that belongs to a key, if the text goes on with one.
pub(super) fn value_of(text: &[u8], key: Range<usize>) -> Option<Pair> {
    let mut cursor = Cursor { text, at: key.end };
    cursor.skip(b']');
    let key_quote = cursor.quote();
    cursor.spaces();
    let is_encoded = cursor.separator()?;
    cursor.spaces();
    let start = cursor.at;
    if let Some(end) = cursor.written_quote() {
        let value = cursor.at..cursor.find(end);
        return Some(Pair { key, value, quote: None });
    }
    if let Some(quote) = cursor.quote() {
        let value = cursor.at..cursor.end_of_quoted(quote);
        return Some(Pair { key, value, quote: None });
    }
    match (key_quote, cursor.peek()) {
        (Some(quote), Some(b'{' | b'[')) => {
            Some(Pair { key, value: start..cursor.end_of_brackets(), quote: Some(quote) })
        }
        (_, Some(_)) => {
            let is_cookie = text.get(key.clone()).is_some_and(|key| ends_with(key, b"cookie"));
            let end = cursor.end_of_bare(is_encoded, is_cookie && key_quote.is_none());
            let quote = key_quote.filter(|_| !is_encoded);
            Some(Pair { key, value: start..end, quote })
        }
        _ => None,
    }
}

fn ends_with(key: &[u8], word: &[u8]) -> bool {
    key.len()
        .checked_sub(word.len())
        .and_then(|from| key.get(from..))
        .is_some_and(|end| end.eq_ignore_ascii_case(word))
}

/// Whether a value hides nothing, so that nothing need be hidden.
pub(super) fn is_harmless(value: &[u8]) -> bool {
    const HARMLESS: [&[u8]; 6] = [b"", b"null", b"true", b"false", b"none", b"nil"];
    HARMLESS.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// A place in a text.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn has(&self, bytes: &[u8]) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(bytes))
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn spaces(&mut self) {
        let end = self.at + SPACES_MAX;
        while self.at < end {
            match self.peek() {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'%') if self.has(b"%20") => self.at += 3,
                _ => break,
            }
        }
    }

    /// Backslashes and a quotation mark.
    fn quote(&mut self) -> Option<Quote> {
        let rest = self.text.get(self.at..)?;
        let backslashes = rest.iter().take(64).take_while(|byte| **byte == b'\\').count();
        let mark = *rest.get(backslashes)?;
        if !matches!(mark, b'"' | b'\'') {
            // `%22` behind the key closes it; the value that follows has a quote of its own.
            self.written_quote();
            return None;
        }
        self.at += backslashes + 1;
        Some(Quote { backslashes, mark })
    }

    /// A quotation mark that is written as an escape.
    fn written_quote(&mut self) -> Option<&'static [u8]> {
        let found = WRITTEN_QUOTES.into_iter().find(|quote| self.has(quote))?;
        self.at += found.len();
        Some(found)
    }

    /// `=`, `:`, `=>` or one of them as `%3D` or `%3A`; says whether it was written the latter way.
    fn separator(&mut self) -> Option<bool> {
        let (width, is_encoded) = match self.peek()? {
            // A path such as `token::Kind` is no pair, nor is the scheme of a URL.
            b':' if self.has(b"::") || self.has(b"://") => return None,
            b'=' if self.has(b"=>") || self.has(b"==") => (2, false),
            b'=' | b':' => (1, false),
            b'%' if self.has(b"%3D") || self.has(b"%3d") || self.has(b"%3A") || self.has(b"%3a") => (3, true),
            _ => return None,
        };
        self.at += width;
        Some(is_encoded)
    }

    fn find(&self, bytes: &[u8]) -> usize {
        let rest = self.text.get(self.at..).unwrap_or_default();
        rest.windows(bytes.len())
            .position(|window| window == bytes)
            .map_or(self.text.len(), |found| self.at + found)
    }

    /// The end of a value in quotes: at the same mark with as many backslashes, or at that of a text around it.
    fn end_of_quoted(&self, quote: Quote) -> usize {
        let mut backslashes = 0;
        for (distance, byte) in self.text.get(self.at..).unwrap_or_default().iter().enumerate() {
            // In a text within texts, backslashes before a mark that belong to its content come in multiples of this.
            let period = 2 * (quote.backslashes + 1);
            let closes = backslashes < quote.backslashes || backslashes % period == quote.backslashes;
            if *byte == quote.mark && closes {
                return self.at + distance - backslashes.min(quote.backslashes);
            }
            backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
        }
        self.text.len()
    }

    /// The end of an object or list, or of the text if that was cut off.
    fn end_of_brackets(&self) -> usize {
        let (mut depth, mut is_quoted, mut backslashes) = (0_usize, false, 0);
        // The first quote says how deep within texts this JSON is.
        let mut level = None;
        for (distance, byte) in self.text.get(self.at..).unwrap_or_default().iter().enumerate() {
            match byte {
                b'"' => {
                    let level = *level.get_or_insert(backslashes);
                    if backslashes % (2 * (level + 1)) == level {
                        is_quoted = !is_quoted;
                    }
                }
                b'{' | b'[' if !is_quoted => depth += 1,
                b'}' | b']' if !is_quoted => {
                    depth -= 1;
                    if depth == 0 {
                        return self.at + distance + 1;
                    }
                }
                _ => {}
            }
            backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
        }
        self.text.len()
    }

    /// The end of a value without quotes.
    fn end_of_bare(&self, is_encoded: bool, is_cookie: bool) -> usize {
        let mut end = self.end_of_word(self.at, is_encoded);
        let word = self.text.get(self.at..end).unwrap_or_default();
        let is_space = |at: usize| matches!(self.text.get(at), Some(b' ' | b'+'));
        if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) && is_space(end) {
            if word.eq_ignore_ascii_case(b"digest") {
                return self.end_of_line(end);
            }
            end = self.end_of_word(end + 1, is_encoded);
        }
        while is_cookie && self.text.get(end) == Some(&b';') {
            let space = usize::from(is_space(end + 1));
            let next = self.end_of_word(end + 1 + space, is_encoded);
            if next == end + 1 + space {
                break;
            }
            end = next;
        }
        end
    }

    fn end_of_word(&self, at: usize, is_encoded: bool) -> usize {
        const ENCODED: [&[u8]; 7] = [b"%26", b"%22", b"%20", b"%2C", b"%2c", b"%3B", b"%7D"];
        let rest = self.text.get(at..).unwrap_or_default();
        let ends = |(distance, byte): (usize, &u8)| {
            *byte <= b' '
                || b"&;,\"'`)]}><|#\\({[".contains(byte)
                || (is_encoded
                    && *byte == b'%'
                    && ENCODED
                        .iter()
                        .any(|end| rest.get(distance..).is_some_and(|rest| rest.starts_with(end))))
        };
        at + rest.iter().enumerate().position(ends).unwrap_or(rest.len())
    }

    fn end_of_line(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len())
    }
}
