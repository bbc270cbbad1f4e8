//! What Loki makes of the labels of a stream.

use super::Answer;

/// Why Loki does not take a stream with these labels, if it does not.
pub(crate) fn stream_error(selector: &str) -> Option<Answer> {
    let Some(labels) = parse_selector(selector) else {
        return Some((400, format!("Error parsing labels '{selector}'")));
    };
    let counted = labels.iter().filter(|(name, _)| name != "service_name").count();
    let text = if labels.is_empty() {
        "error at least one label pair is required per stream".to_owned()
    } else if counted > 15 {
        format!("entry for stream '{selector}' has {counted} label names; limit 15")
    } else if labels.iter().any(|(name, _)| name.len() > 1024) {
        format!("stream '{selector}' has label name too long")
    } else if labels.iter().any(|(_, value)| value.len() > 2048) {
        format!("stream '{selector}' has label value too long")
    } else if labels.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        format!("stream '{selector}' has duplicate or unsorted label names")
    } else {
        return None;
    };
    Some((400, text))
}

/// Reads `{a="b", c="d"}` with Go's escapes.
pub(crate) fn parse_selector(selector: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    let mut rest = selector.strip_prefix('{')?.strip_suffix('}')?;
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"")?;
        let mut text = Vec::new();
        let mut bytes = value.bytes().enumerate();
        let end = loop {
            match bytes.next()? {
                (end, b'"') => break end,
                (_, b'\n') => return None,
                (_, b'\\') => text.push(match bytes.next()?.1 {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'x' => {
                        let digits = [bytes.next()?.1, bytes.next()?.1];
                        u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                    }
                    escaped @ (b'"' | b'\\') => escaped,
                    _ => return None,
                }),
                (_, byte) => text.push(byte),
            }
        };
        is_name(name).then_some(())?;
        labels.push((name.to_owned(), String::from_utf8(text).ok()?));
        rest = value.get(end + 1..)?;
        rest = rest.strip_prefix(", ").unwrap_or(rest);
    }
    Some(labels)
}

/// Whether this is a name of a label or of a field of metadata.
pub(crate) fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_allowed)
        && name.bytes().any(|byte| byte != b'_')
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
}
