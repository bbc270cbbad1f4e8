//! How the bytes of a file are text: where its lines end and what they say.

use std::borrow::Cow;
use std::str::FromStr;

use memchr::{memchr, memchr_iter};

/// The encodings that are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-8, of which ASCII is a part.
    #[default]
    Utf8,
    /// UTF-8 whose bytes are passed on as they are, unchecked.
    Utf8Raw,
    /// UTF-16, the low byte first.
    Utf16Le,
    /// UTF-16, the high byte first.
    Utf16Be,
    /// ISO-8859-1: a byte is a character.
    Latin1,
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "" | "utf-8" | "utf8" | "ascii" | "us-ascii" => Ok(Self::Utf8),
            "utf8-raw" | "utf-8-raw" => Ok(Self::Utf8Raw),
            "utf-16le" | "utf16le" | "utf-16" => Ok(Self::Utf16Le),
            "utf-16be" | "utf16be" => Ok(Self::Utf16Be),
            "latin-1" | "latin1" | "iso-8859-1" => Ok(Self::Latin1),
            _ => Err(format!(
                "`{name}` is not available; choose `utf-8`, `utf8-raw`, `utf-16le`, `utf-16be`, `latin-1` or `ascii`"
            )),
        }
    }
}

impl Encoding {
    /// Bytes that a character has at least, of which all lengths are multiples.
    pub(super) fn unit(self) -> usize {
        if self.is_wide() { 2 } else { 1 }
    }

    fn is_wide(self) -> bool {
        matches!(self, Self::Utf16Le | Self::Utf16Be)
    }

    /// The first line end at or behind `from`: where the line ends and where the next one begins.
    pub(super) fn line_end(self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        let rest = bytes.get(from..)?;
        if !self.is_wide() {
            let at = from + memchr(b'\n', rest)?;
            return Some((at, at + 1));
        }
        let high = usize::from(self == Self::Utf16Be);
        memchr_iter(b'\n', rest).find_map(|at| {
            let start = at.checked_sub(high)?;
            let other = rest.get(start + 1 - high)?;
            (start % 2 == 0 && *other == 0).then_some((from + start, from + start + 2))
        })
    }

    /// Bytes of the byte order mark with which the bytes begin.
    pub(super) fn mark(self, bytes: &[u8]) -> usize {
        let mark: &[u8] = match self {
            Self::Utf8 => b"\xEF\xBB\xBF",
            Self::Utf16Le => b"\xFF\xFE",
            Self::Utf16Be => b"\xFE\xFF",
            Self::Utf8Raw | Self::Latin1 => b"",
        };
        if bytes.starts_with(mark) { mark.len() } else { 0 }
    }

    /// The largest length up to `length` at which the bytes can be cut without cutting a character.
    pub(super) fn floor(self, bytes: &[u8], length: usize) -> usize {
        match self {
            Self::Utf16Le | Self::Utf16Be => length - length % 2,
            Self::Latin1 | Self::Utf8Raw => length,
            Self::Utf8 => {
                let is_inner = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
                (length.saturating_sub(3)..=length).rev().find(|at| !is_inner(*at)).unwrap_or(length)
            }
        }
    }

    /// The text of bytes, and whether some of them were none.
    pub(super) fn decode(self, bytes: &[u8]) -> (Cow<'_, str>, bool) {
        match self {
            Self::Utf8 | Self::Utf8Raw => match std::str::from_utf8(bytes) {
                Ok(text) => (text.into(), false),
                Err(_) => (String::from_utf8_lossy(bytes), true),
            },
            Self::Latin1 => (bytes.iter().map(|byte| char::from(*byte)).collect(), false),
            Self::Utf16Le => decode_wide(bytes, u16::from_le_bytes),
            Self::Utf16Be => decode_wide(bytes, u16::from_be_bytes),
        }
    }
}

fn decode_wide(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> (Cow<'static, str>, bool) {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut broken = !rest.is_empty();
    let decoded = char::decode_utf16(pairs.iter().copied().map(unit));
    let text = decoded
        .map(|character| {
            character.unwrap_or_else(|_| {
                broken = true;
                char::REPLACEMENT_CHARACTER
            })
        })
        .collect::<String>();
    (text.into(), broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(encoding: Encoding, bytes: &[u8]) -> Vec<String> {
        let mut from = encoding.mark(bytes);
        let mut lines = Vec::new();
        while let Some((end, next)) = encoding.line_end(bytes, from) {
            lines.push(encoding.decode(&bytes[from..end]).0.into_owned());
            from = next;
        }
        lines
    }

    #[test]
    fn lines_are_found_in_every_encoding() {
        // U+0A0D and U+0D0A hold bytes that look like line ends.
        let text = "grüße\n\u{0A0D}\u{0D0A}\u{0A0A}x\nend\n";
        let expected = ["grüße", "\u{0A0D}\u{0D0A}\u{0A0A}x", "end"];
        let wide = |turn: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(turn).collect::<Vec<u8>>();
        assert_eq!(lines(Encoding::Utf8, &["\u{FEFF}", text].concat().into_bytes()), expected);
        assert_eq!(
            lines(Encoding::Utf16Le, &[&[0xFF, 0xFE][..], &wide(u16::to_le_bytes)].concat()),
            expected
        );
        assert_eq!(
            lines(Encoding::Utf16Be, &[&[0xFE, 0xFF][..], &wide(u16::to_be_bytes)].concat()),
            expected
        );
        assert_eq!(lines(Encoding::Latin1, b"gr\xFC\xDFe\n"), ["grüße"]);
    }

    #[test]
    fn what_is_no_text_is_replaced_and_told() {
        assert_eq!(Encoding::Utf8.decode(b"a\xFFb"), ("a\u{FFFD}b".into(), true));
        assert_eq!(Encoding::Utf16Le.decode(&[0x61, 0, 0, 0xD8, 0x62, 0, 7]), ("a\u{FFFD}b".into(), true));
    }

    #[test]
    fn a_cut_spares_characters() {
        let text = "aé€𝄞".as_bytes();
        let cuts: Vec<usize> = (0..=text.len()).map(|length| Encoding::Utf8.floor(text, length)).collect();
        assert_eq!(cuts, [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10]);
        assert_eq!(Encoding::Utf16Be.floor(text, 5), 4);
    }
}
