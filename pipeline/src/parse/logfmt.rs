//! One line of logfmt: `level=info msg="order placed" took=12ms paid`.
//!
//! Pairs are parted by white space. A key is what stands before `=`; a key without `=` is true. A value in double quotes
//! has the escapes of JSON; one without quotes reaches to the next white space. Values are texts, and so that
//! numbers can be compared, what is a whole or decimal number without quotes is one, and `true` and `false` are truth
//! values; ids of digits only (more than 15 of them, or with a zero in front) stay text. This is what Go's
//! `kr/logfmt` and `go-logfmt` write, which is all that logfmt is defined by.

use super::fields::{Entries, Fields, Held, Place};
use super::json;

/// More digits than these do not fit a double, and are an id rather than an amount.
const DIGITS_MAX: usize = 15;

/// What can be wrong with a line of logfmt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogfmtError {
    /// Not one key has a value.
    #[error("no pair of key and value")]
    NoPair,
    /// There is a value without a key, or a quote within a key.
    #[error("a key is missing")]
    NoKey,
    /// A value in quotes has no end, or an escape that does not exist.
    #[error("a quoted value is broken")]
    Quote,
    /// Too many keys.
    #[error("too many keys")]
    Keys,
}

/// Reads a line of logfmt.
///
/// # Errors
/// Says what is wrong. `fields` then holds nothing of use.
///
/// ```
/// use watershed_pipeline::parse::{Fields, logfmt};
/// use watershed_pipeline::Value;
/// let mut fields = Fields::default();
/// let entries = logfmt::read(r#"level=info msg="order placed" took=12 paid"#, &mut fields).unwrap();
/// assert_eq!(entries.value("msg"), Some(Value::Str("order placed")));
/// assert_eq!(entries.value("took"), Some(Value::Int(12)));
/// assert_eq!(entries.value("paid"), Some(Value::Bool(true)));
/// ```
pub fn read<'a>(line: &'a str, fields: &'a mut Fields) -> Result<Entries<'a>, LogfmtError> {
    fields.clear();
    let bytes = line.as_bytes();
    let mut at = 0;
    let mut pairs = 0;
    loop {
        at += length(bytes, at, |byte| byte.is_ascii_whitespace());
        if at >= bytes.len() {
            break;
        }
        let key_end =
            at + length(bytes, at, |byte| !matches!(byte, b'=' | b'"') && !byte.is_ascii_whitespace());
        let key = Place::Line(at, key_end);
        if key_end == at || bytes.get(key_end) == Some(&b'"') {
            return Err(LogfmtError::NoKey);
        }
        at = key_end;
        let mut value = Held::Bool(true);
        if bytes.get(at) == Some(&b'=') {
            (value, at) = self::value(line, at + 1, &mut fields.own)?;
            pairs += 1;
        }
        if !fields.push(key, value) {
            return Err(LogfmtError::Keys);
        }
    }
    if pairs == 0 { Err(LogfmtError::NoPair) } else { Ok(fields.entries(line)) }
}

/// How many bytes from a place on are of a kind.
fn length(bytes: &[u8], at: usize, is_it: impl Fn(&u8) -> bool) -> usize {
    bytes.get(at..).unwrap_or_default().iter().take_while(|byte| is_it(byte)).count()
}

/// The value at a place, and where it ends.
fn value(line: &str, at: usize, own: &mut Vec<u8>) -> Result<(Held, usize), LogfmtError> {
    let bytes = line.as_bytes();
    if bytes.get(at) == Some(&b'"') {
        let (place, end) = json::quoted(line, at, own).ok_or(LogfmtError::Quote)?;
        return Ok((Held::Str(place), end));
    }
    let end = at + length(bytes, at, |byte| !byte.is_ascii_whitespace());
    let text = line.get(at..end).unwrap_or_default();
    Ok((typed(text).unwrap_or(Held::Str(Place::Line(at, end))), end))
}

fn typed(text: &str) -> Option<Held> {
    match text {
        "true" => return Some(Held::Bool(true)),
        "false" => return Some(Held::Bool(false)),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_amount = digits.len() <= DIGITS_MAX
        && (!digits.starts_with('0') || matches!(digits.get(1..2), None | Some(".")));
    let looks_so = digits.starts_with(|letter: char| letter.is_ascii_digit())
        && digits.ends_with(|letter: char| letter.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !looks_so || !is_amount {
        return None;
    }
    match text.parse() {
        Ok(number) => Some(Held::Int(number)),
        Err(_) => text.parse().ok().map(Held::Double),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::Value;

    #[track_caller]
    fn check(line: &str, expected: Result<&[(&str, Value<'_>)], LogfmtError>) {
        let mut fields = Fields::default();
        let entries = read(line, &mut fields).map(|entries| entries.iter().collect::<Vec<_>>());
        assert_eq!(entries, expected.map(<[_]>::to_vec), "{line}");
    }

    #[test]
    fn pairs_are_read_with_their_types() {
        use Value::{Bool, Double, Int, Str};
        check(
            r#"ts=2024-12-19T10:30:15Z level=info msg="say \"hi\"" n=-12 d=0.5 e= f=false paid"#,
            Ok(&[
                ("ts", Str("2024-12-19T10:30:15Z")),
                ("level", Str("info")),
                ("msg", Str("say \"hi\"")),
                ("n", Int(-12)),
                ("d", Double(0.5)),
                ("e", Str("")),
                ("f", Bool(false)),
                ("paid", Bool(true)),
            ]),
        );
        check(
            "a=007 b=1.2.3 c=12345678901234567 d=0",
            Ok(&[("a", Str("007")), ("b", Str("1.2.3")), ("c", Str("12345678901234567")), ("d", Int(0))]),
        );
        check("url=http://a/?b=c\tx=y", Ok(&[("url", Str("http://a/?b=c")), ("x", Str("y"))]));
    }

    #[test]
    fn what_is_not_logfmt_is_refused() {
        check("", Err(LogfmtError::NoPair));
        check("hello world", Err(LogfmtError::NoPair));
        check("=x", Err(LogfmtError::NoKey));
        check(r#"a=1 "b"=2"#, Err(LogfmtError::NoKey));
        check(r#"a="b"#, Err(LogfmtError::Quote));
    }

    proptest! {
        #[test]
        fn property_quoted_values_are_read_as_they_were(values in proptest::collection::vec("(?s:.{0,20})", 1..8)) {
            let pairs: Vec<String> = values
                .iter()
                .enumerate()
                .map(|(key, value)| format!("k{key}={}", serde_json::to_string(value).unwrap()))
                .collect();
            let line = pairs.join(" ");
            let mut fields = Fields::default();
            let entries = read(&line, &mut fields).unwrap();
            let read: Vec<&str> = entries.iter().filter_map(|(_, value)| value.as_str()).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn property_no_text_makes_it_panic(line in "(?s:.{0,60})|[a= \"\\\\u0d]{0,40}") {
            let mut fields = Fields::default();
            let entries = read(&line, &mut fields).map_or(0, |entries| entries.iter().count());
            prop_assert!(entries <= line.len());
        }
    }
}
