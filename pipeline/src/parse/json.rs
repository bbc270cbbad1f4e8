//! One line of JSON, read in a single pass without a tree.
//!
//! It takes what RFC 8259 says, and what programs that write logs are known to add: `NaN` and `Infinity` (Python's
//! `json`), and control characters within texts. Half of a surrogate pair becomes U+FFFD.
//!
//! * Whole numbers within 64 bits with a sign stay whole; larger ones become text of the same digits, so that none
//!   is lost. So do numbers beyond the range of a double. Everything else with a point or an exponent is a double,
//!   rounded correctly.
//! * `null` is [`Value::Empty`](crate::Value::Empty).
//! * Objects and lists within the outermost object become nested values, up to 32 deep. A key that repeats within
//!   one of these stays twice; of a key that repeats in the outermost object, [`Entries`] gives both, and the last
//!   one wins when they are set as attributes.
//! * More than 1,024 keys in the outermost object are refused.

mod nested;
mod scan;

use super::fields::{Entries, Fields, Held, Place};
use scan::{Scanner, Token};

/// How deep objects and lists may nest. Half of what OTLP allows, which counts entries as well.
const DEPTH_MAX: usize = 32;

/// What can be wrong with a line of JSON, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct JsonError {
    /// What is wrong.
    pub reason: JsonReason,
    /// The byte of the line, the first being 0.
    pub offset: usize,
}

/// What can be wrong with a line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonReason {
    /// Something else than JSON asks for at this place.
    #[error("unexpected character")]
    Syntax,
    /// The line ends too early.
    #[error("unexpected end of the line")]
    End,
    /// The line is JSON, but no object.
    #[error("not an object")]
    NotAnObject,
    /// Something follows the object.
    #[error("something follows the object")]
    Trailing,
    /// Too deep.
    #[error("nested more than {DEPTH_MAX} deep")]
    Depth,
    /// Too many keys.
    #[error("too many keys")]
    Keys,
}

/// Reads a line that is one JSON object.
///
/// # Errors
/// Says what is wrong and where. `fields` then holds nothing of use.
pub fn read<'a>(line: &'a str, fields: &'a mut Fields) -> Result<Entries<'a>, JsonError> {
    let (_, length) = read_first(line, fields)?;
    let rest = line.as_bytes().get(length..).unwrap_or_default();
    match rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
        None => Ok(fields.entries(line)),
        Some(spaces) => Err(JsonError { reason: JsonReason::Trailing, offset: length + spaces }),
    }
}

/// Reads the JSON object that a text begins with, and says how many bytes it takes; what follows is not looked at.
///
/// # Errors
/// Says what is wrong and where. `fields` then holds nothing of use.
pub fn read_first<'a>(text: &'a str, fields: &'a mut Fields) -> Result<(Entries<'a>, usize), JsonError> {
    fields.clear();
    let mut reader = Reader { scanner: Scanner::new(text), fields };
    match reader.scanner.token(&mut reader.fields.own)? {
        Token::OpenMap => reader.object()?,
        Token::OpenArray | Token::Scalar(_) => {
            return Err(JsonError { reason: JsonReason::NotAnObject, offset: 0 });
        }
    }
    let length = reader.scanner.at();
    Ok((fields.entries(text), length))
}

/// A text in quotes at a byte of a line, and where it ends.
pub(super) fn quoted(line: &str, at: usize, own: &mut Vec<u8>) -> Option<(Place, usize)> {
    let mut scanner = Scanner::new(line);
    scanner.at = at;
    let place = scanner.quoted(own).ok()?;
    Some((place, scanner.at))
}

struct Reader<'a, 'l> {
    scanner: Scanner<'l>,
    fields: &'a mut Fields,
}

impl Reader<'_, '_> {
    /// The outermost object, after its brace.
    fn object(&mut self) -> Result<(), JsonError> {
        if self.scanner.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.scanner.key(&mut self.fields.own)?;
            let value = match self.scanner.token(&mut self.fields.own)? {
                Token::Scalar(value) => value,
                open @ (Token::OpenMap | Token::OpenArray) => {
                    let start = self.fields.own.len();
                    self.nested(open, 1)?;
                    let end = self.fields.own.len();
                    if matches!(open, Token::OpenMap) {
                        Held::Map(start, end)
                    } else {
                        Held::Array(start, end)
                    }
                }
            };
            if !self.fields.push(key, value) {
                return Err(self.scanner.error(JsonReason::Keys));
            }
            if !self.scanner.comma_or(b'}')? {
                return Ok(());
            }
        }
    }

    /// The content of an object or a list, after its bracket, written as protobuf.
    fn nested(&mut self, open: Token, depth: usize) -> Result<(), JsonError> {
        if depth > DEPTH_MAX {
            return Err(self.scanner.error(JsonReason::Depth));
        }
        let is_map = matches!(open, Token::OpenMap);
        let end = if is_map { b'}' } else { b']' };
        if self.scanner.take(end) {
            return Ok(());
        }
        loop {
            let item = nested::open(&mut self.fields.own);
            if is_map {
                self.entry_key()?;
                let value = nested::open_value(&mut self.fields.own);
                self.any_value(depth)?;
                nested::close(&mut self.fields.own, value);
            } else {
                self.any_value(depth)?;
            }
            nested::close(&mut self.fields.own, item);
            if !self.scanner.comma_or(end)? {
                return Ok(());
            }
        }
    }

    fn entry_key(&mut self) -> Result<(), JsonError> {
        let mark = nested::open(&mut self.fields.own);
        self.scanner.key_into(&mut self.fields.own)?;
        nested::close(&mut self.fields.own, mark);
        Ok(())
    }

    /// A value as the content of an `AnyValue`.
    fn any_value(&mut self, depth: usize) -> Result<(), JsonError> {
        let own = &mut self.fields.own;
        if self.scanner.next_is(b'"') {
            let mark = nested::open_text(own);
            self.scanner.text_into(own)?;
            nested::close(own, mark);
            return Ok(());
        }
        match self.scanner.token(own)? {
            Token::Scalar(value) => {
                let line = self.scanner.line;
                nested::scalar(self.fields, line, value);
            }
            open @ (Token::OpenMap | Token::OpenArray) => {
                let mark = nested::open_container(own, matches!(open, Token::OpenMap));
                self.nested(open, depth + 1)?;
                nested::close(&mut self.fields.own, mark);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
