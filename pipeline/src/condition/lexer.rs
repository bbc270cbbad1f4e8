//! Text to words, literals and symbols, each with the byte where it begins.

use super::error::Fault;

/// The longest condition or statement, in bytes.
const TEXT_MAX: usize = 16 * 1024;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'t> {
    Word(&'t str),
    /// A text literal without its quotes and escapes.
    Text(String),
    /// Digits, with a fraction and an exponent as written; the sign is a symbol.
    Number(&'t str),
    Bytes(Vec<u8>),
    Symbol(&'static str),
    End,
}

/// Longer symbols stand before those that they begin with.
const SYMBOLS: [&str; 16] =
    ["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ".", ",", "+", "-", "*", "/"];

/// Splits the text; the last token is always the end.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token<'_>, usize)>, Fault> {
    if text.len() > TEXT_MAX {
        let message = format!("the text has {} bytes; write one of at most {TEXT_MAX}", text.len());
        return Err(Fault::new(TEXT_MAX, message));
    }
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        let (token, after) = next(rest, at)?;
        found.push((token, at));
        rest = after.trim_start();
    }
    found.push((Token::End, text.trim_end().len()));
    Ok(found)
}

/// Takes one token off the front of a text that is not empty.
fn next(rest: &str, at: usize) -> Result<(Token<'_>, &str), Fault> {
    if let Some(quoted) = rest.strip_prefix('"') {
        return text_literal(quoted, at);
    }
    if let Some(digits) = rest.strip_prefix("0x") {
        return bytes_literal(digits, at);
    }
    let number = number_length(rest);
    if let Some((number, after)) = rest.split_at_checked(number).filter(|(number, _)| !number.is_empty()) {
        return Ok((Token::Number(number), after));
    }
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
    if let Some((word, after)) = rest.split_at_checked(end).filter(|(word, _)| !word.is_empty()) {
        return Ok((Token::Word(word), after));
    }
    for symbol in SYMBOLS {
        if let Some(after) = rest.strip_prefix(symbol) {
            return Ok((Token::Symbol(symbol), after));
        }
    }
    Err(Fault::new(at, unexpected_letter(rest)))
}

fn unexpected_letter(rest: &str) -> String {
    let letter = rest.chars().next().unwrap_or(' ');
    let hint = match letter {
        '=' => "to compare, write `==`",
        '!' => "to negate, write `not`; to compare, write `!=`",
        '&' => "write `and`",
        '|' => "write `or`",
        '\'' | '`' | '“' | '”' => "texts stand in double quotes, such as \"checkout\"",
        _ => "a condition looks like `severity_number >= 17 and body != nil`",
    };
    format!("unexpected `{}`; {hint}", letter.escape_debug())
}

/// Length of the number at the front: `12`, `1.5`, `.5`, `2e9`; zero if there is none.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        bytes.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut end = digits(0);
    let fraction = if bytes.get(end) == Some(&b'.') { digits(end + 1) } else { 0 };
    if fraction > 0 {
        end += 1 + fraction;
    }
    if end > 0 && matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

fn bytes_literal(rest: &str, at: usize) -> Result<(Token<'_>, &str), Fault> {
    let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let (pairs, left) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).ok().filter(|text| !text.starts_with('+'))?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    match bytes {
        Some(bytes) if left.is_empty() && !bytes.is_empty() => Ok((Token::Bytes(bytes), after)),
        _ => Err(Fault::new(
            at,
            format!(
                "`0x{digits}` is not a list of bytes; write two hexadecimal digits a byte, such as 0x0a1b"
            ),
        )),
    }
}

fn text_literal(rest: &str, at: usize) -> Result<(Token<'_>, &str), Fault> {
    let mut text = String::new();
    let mut letters = rest.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Ok((Token::Text(text), letters.as_str())),
            '\\' => {
                let escape_at = at + rest.len() - letters.as_str().len();
                text.push(escape(&mut letters, escape_at)?);
            }
            _ => text.push(letter),
        }
    }
    Err(Fault::new(at, "this text has no end; close it with `\"`"))
}

/// Reads the rest of an escape, after its backslash.
fn escape(letters: &mut std::str::Chars<'_>, at: usize) -> Result<char, Fault> {
    let letter = letters.next().unwrap_or(' ');
    let digits = match letter {
        'n' => return Ok('\n'),
        'r' => return Ok('\r'),
        't' => return Ok('\t'),
        'a' => return Ok('\u{7}'),
        'b' => return Ok('\u{8}'),
        'f' => return Ok('\u{c}'),
        'v' => return Ok('\u{b}'),
        '"' | '\\' | '\'' => return Ok(letter),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => {
            let message = format!(
                "unknown escape `\\{0}`; for a backslash before `{0}`, as in a regular expression, write `\\\\{0}`",
                letter.escape_debug()
            );
            return Err(Fault::new(at, message));
        }
    };
    let code = (0..digits).try_fold(0_u32, |code, _| {
        let digit = letters.next()?.to_digit(16)?;
        code.checked_mul(16)?.checked_add(digit)
    });
    let fits = |code: &u32| letter != 'x' || *code < 0x80;
    code.filter(fits).and_then(char::from_u32).ok_or_else(|| {
        let message = format!("`\\{letter}` needs {digits} hexadecimal digits that name a character");
        Fault::new(at, message)
    })
}
