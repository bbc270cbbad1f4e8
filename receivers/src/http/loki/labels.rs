//! The labels of a stream as Prometheus writes them: `{job="api", text="a \"b\""}`.

/// Reads labels into names and values; nothing if the text is anything else.
pub(super) fn parse(text: &str) -> Option<Vec<(&str, String)>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut labels = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix('}') {
            return end.is_empty().then_some(labels);
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        labels.push((name.trim(), value));
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None => after.starts_with('}').then_some(after)?,
        };
    }
}

/// A text up to its quote, without its escapes, and what follows the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    loop {
        match letters.next()? {
            (at, '"') => return Some((value, text.get(at + 1..)?)),
            (_, '\\') => value.push(match letters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other @ ('"' | '\\' | '\'') => other,
                _ => return None,
            }),
            (_, letter) => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_with_their_escapes() {
        for (text, expected) in [
            ("{}", Some(&[][..])),
            (r#"{job="api"}"#, Some(&[("job", "api")])),
            (r#"{ a = "1" , b="x=\"y\", }\\\n" }"#, Some(&[("a", "1"), ("b", "x=\"y\", }\\\n")])),
            (r#"{a="1",}"#, Some(&[("a", "1")])),
            (r#"{a="1" b="2"}"#, None),
            (r#"{a="1"} x"#, None),
            (r#"{a="1"#, None),
            (r#"{a=1}"#, None),
            ("", None),
        ] {
            let parsed = parse(text);
            let parsed = parsed
                .as_ref()
                .map(|labels| labels.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }
}
