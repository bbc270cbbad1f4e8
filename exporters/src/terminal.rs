//! Text that is safe to show: telemetry comes from anywhere and must not drive the terminal that shows it.

use std::io::Write as _;

/// Appends text with every character as an escape that a terminal would act on instead of showing it. Only tabs
/// stay: a caller that shows several lines splits them itself.
pub(crate) fn push_safe(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some((position, letter)) = rest.char_indices().find(|(_, letter)| is_active(*letter)) {
        let (plain, tail) = rest.split_at(position);
        out.extend_from_slice(plain.as_bytes());
        // Writing to memory cannot fail.
        write!(out, "{}", letter.escape_default()).unwrap_or_default();
        rest = tail.get(letter.len_utf8()..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Control characters, and those that change the direction of text (Unicode TR 9), which can hide what a line says.
fn is_active(letter: char) -> bool {
    match letter {
        '\t' => false,
        '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => letter.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_shown_as_an_escape() {
        let mut out = Vec::new();
        push_safe(&mut out, "a\x1b[31mb\r\n\u{9b}c\tde\u{202e}f\u{7f}\u{fc}");
        assert_eq!(String::from_utf8(out).unwrap(), "a\\u{1b}[31mb\\r\\n\\u{9b}c\tde\\u{202e}f\\u{7f}\u{fc}");
    }
}
