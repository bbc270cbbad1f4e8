//! The line as tokens.

use super::{JsonError, JsonReason};
use crate::parse::fields::{Held, Place};

/// A value that holds no others, or the beginning of one that does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Scalar(Held),
    OpenMap,
    OpenArray,
}

pub(super) struct Scanner<'l> {
    pub(super) line: &'l str,
    pub(super) at: usize,
}

impl<'l> Scanner<'l> {
    pub(super) fn new(line: &'l str) -> Self {
        Self { line, at: 0 }
    }

    pub(super) fn error(&self, reason: JsonReason) -> JsonError {
        JsonError { reason, offset: self.at }
    }

    fn unexpected(&self) -> JsonError {
        let is_end = self.at >= self.line.len();
        self.error(if is_end { JsonReason::End } else { JsonReason::Syntax })
    }

    fn rest(&self) -> &'l [u8] {
        self.line.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The next byte that is not white space, not taken.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = self.line.as_bytes().get(self.at).copied()?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    pub(super) fn next_is(&mut self, byte: u8) -> bool {
        self.peek() == Some(byte)
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.next_is(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Whether another item follows, or `end`.
    pub(super) fn comma_or(&mut self, end: u8) -> Result<bool, JsonError> {
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(end).map(|()| false)
    }

    /// How many bytes were taken.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// A key and its colon.
    pub(super) fn key(&mut self, own: &mut Vec<u8>) -> Result<Place, JsonError> {
        let place = self.quoted(own)?;
        self.expect(b':')?;
        Ok(place)
    }

    /// A text with its quotes.
    pub(super) fn quoted(&mut self, own: &mut Vec<u8>) -> Result<Place, JsonError> {
        self.expect(b'"')?;
        self.text(own)
    }

    /// A key and its colon, written out.
    pub(super) fn key_into(&mut self, own: &mut Vec<u8>) -> Result<(), JsonError> {
        self.text_into(own)?;
        self.expect(b':')
    }

    /// A text with its quotes, written out.
    pub(super) fn text_into(&mut self, own: &mut Vec<u8>) -> Result<(), JsonError> {
        if let Place::Line(start, end) = self.quoted(own)? {
            own.extend_from_slice(self.line.as_bytes().get(start..end).unwrap_or_default());
        }
        Ok(())
    }

    /// The next value, or the bracket that opens it.
    pub(super) fn token(&mut self, own: &mut Vec<u8>) -> Result<Token, JsonError> {
        let value = match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Held::Str(self.text(own)?)
            }
            Some(b'{') => {
                self.at += 1;
                return Ok(Token::OpenMap);
            }
            Some(b'[') => {
                self.at += 1;
                return Ok(Token::OpenArray);
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Held::Bool(true))?,
            Some(b'f') => self.word("false", Held::Bool(false))?,
            Some(b'n') => self.word("null", Held::Empty)?,
            Some(b'N') => self.word("NaN", Held::Double(f64::NAN))?,
            Some(b'I') => self.word("Infinity", Held::Double(f64::INFINITY))?,
            _ => return Err(self.unexpected()),
        };
        Ok(Token::Scalar(value))
    }

    fn word(&mut self, word: &str, value: Held) -> Result<Held, JsonError> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.unexpected());
        }
        self.at += word.len();
        Ok(value)
    }

    /// A text after its quote: a piece of the line, unless something in it is escaped.
    fn text(&mut self, own: &mut Vec<u8>) -> Result<Place, JsonError> {
        let start = self.at;
        self.at += plain_length(self.rest());
        let end = self.at;
        match self.line.as_bytes().get(end) {
            Some(b'"') => {
                self.at += 1;
                Ok(Place::Line(start, end))
            }
            Some(_) => self.escaped_text(start, own),
            None => Err(self.error(JsonReason::End)),
        }
    }

    /// A text with an escape at the place where the scanner is, which began at `run`.
    fn escaped_text(&mut self, mut run: usize, own: &mut Vec<u8>) -> Result<Place, JsonError> {
        let start = own.len();
        loop {
            own.extend_from_slice(self.line.as_bytes().get(run..self.at).unwrap_or_default());
            match self.line.as_bytes().get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Place::Own(start, own.len()));
                }
                Some(_) => {
                    self.at += 1;
                    self.escape(own)?;
                }
                None => return Err(self.error(JsonReason::End)),
            }
            run = self.at;
            self.at += plain_length(self.rest());
        }
    }

    /// An escape after its backslash.
    fn escape(&mut self, own: &mut Vec<u8>) -> Result<(), JsonError> {
        let byte = match self.line.as_bytes().get(self.at) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(b'u') => {
                self.at += 1;
                let letter = self.unicode()?;
                own.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        own.push(byte);
        Ok(())
    }

    /// The character that four hexadecimal digits after `\u` stand for, or two such escapes.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.four_digits()?;
        if !(0xD800..0xDC00).contains(&first) || !self.rest().starts_with(b"\\u") {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        self.at += 2;
        let second = self.four_digits()?;
        if (0xDC00..0xE000).contains(&second) {
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.at = before;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn four_digits(&mut self) -> Result<u32, JsonError> {
        let digits = self.rest().first_chunk::<4>().ok_or(self.error(JsonReason::End))?;
        let code = digits.iter().try_fold(0, |code, byte| Some(code * 16 + char::from(*byte).to_digit(16)?));
        let code = code.ok_or(self.error(JsonReason::Syntax))?;
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<Held, JsonError> {
        let start = self.at;
        let rest = self.rest();
        let is_negative = rest.first() == Some(&b'-');
        let unsigned = rest.get(usize::from(is_negative)..).unwrap_or_default();
        if is_negative && unsigned.first() == Some(&b'I') {
            self.at += 1;
            return self.word("Infinity", Held::Double(f64::NEG_INFINITY));
        }
        let mut digits = 0;
        let mut whole = Some(0_i64);
        for byte in unsigned.iter().take_while(|byte| byte.is_ascii_digit()) {
            let digit = i64::from(byte - b'0');
            // Negative, because the smallest number has no positive twin.
            whole = whole.and_then(|whole| whole.checked_mul(10)?.checked_sub(digit));
            digits += 1;
        }
        let leads_with_zero = digits > 1 && unsigned.first() == Some(&b'0');
        if digits == 0 || leads_with_zero {
            self.at += usize::from(is_negative) + usize::from(leads_with_zero);
            return Err(self.unexpected());
        }
        self.at += usize::from(is_negative) + digits;
        let is_whole = !self.fraction()?;
        let is_minus_zero = is_negative && whole == Some(0);
        if is_whole && !is_minus_zero {
            let whole = if is_negative { whole } else { whole.and_then(i64::checked_neg) };
            return Ok(whole.map_or(Held::Str(Place::Line(start, self.at)), Held::Int));
        }
        let text = self.line.get(start..self.at).unwrap_or_default();
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        Ok(number.map_or(Held::Str(Place::Line(start, self.at)), Held::Double))
    }

    /// What follows the digits of a number; says whether there was anything.
    fn fraction(&mut self) -> Result<bool, JsonError> {
        let start = self.at;
        if self.rest().first() == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.rest().first() {
            self.at += 1;
            self.at += usize::from(matches!(self.rest().first(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(self.at > start)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { Err(self.unexpected()) } else { Ok(()) }
    }
}

/// How many bytes at the start are neither a quote nor a backslash.
///
/// Eight bytes are looked at together. In `(w - 0x01…) & !w & 0x80…` the bit of a byte that is zero is set; that of
/// another byte may be too, but only above a zero one, which a borrow comes from: the lowest is always right.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let before = words.len() * 8;
    before + tail.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(tail.len())
}
