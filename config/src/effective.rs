//! The merged document as YAML again, for people who want to know what is in force.

use serde_yaml::Value;

use crate::node::{Kind, Node, Scalar, key_is_secret, resolve};

/// Writes `root` as YAML that reads back as the same document, except for what `redact` hides.
pub(crate) fn write(root: &Node, redact: bool) -> String {
    let mut writer = Writer { out: String::new(), redact };
    writer.value(root, 0, false);
    if !writer.out.ends_with('\n') {
        writer.out.push('\n');
    }
    writer.out.trim_start_matches('\n').trim_start_matches(' ').to_owned()
}

struct Writer {
    out: String,
    redact: bool,
}

impl Writer {
    /// Writes what stands behind a key or a dash, including the line break.
    fn value(&mut self, node: &Node, indent: usize, hidden: bool) {
        match &node.kind {
            Kind::Expanded(kind, _) => {
                let inner = Node { kind: (**kind).clone(), origin: node.origin.clone() };
                self.value(&inner, indent, hidden);
            }
            Kind::Scalar(scalar) => {
                let text = if hidden && !node.is_null() { "'***'".to_owned() } else { quote(scalar) };
                self.out.push_str(if text.is_empty() { "" } else { " " });
                self.out.push_str(&text);
                self.out.push('\n');
            }
            Kind::List(elements) if elements.is_empty() => self.out.push_str(" []\n"),
            Kind::Map(entries) if entries.is_empty() => self.out.push_str(" {}\n"),
            Kind::List(elements) => {
                self.out.push('\n');
                for element in elements {
                    self.line(indent, "-");
                    self.value(element, indent + 2, hidden);
                }
            }
            Kind::Map(entries) => {
                self.out.push('\n');
                for entry in entries {
                    let key = quote_text(entry.key.clone());
                    self.line(indent, &format!("{key}:"));
                    let is_headers = entry.key.eq_ignore_ascii_case("headers");
                    let hidden = hidden || (self.redact && (is_headers || key_is_secret(&entry.key)));
                    self.value(&entry.value, indent + 2, hidden);
                }
            }
            Kind::Off | Kind::Pruned => self.out.push('\n'),
        }
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.out.push_str(&" ".repeat(indent));
        self.out.push_str(text);
    }
}

/// Writes a single value so that it keeps its type.
fn quote(scalar: &Scalar) -> String {
    match scalar.value() {
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => scalar.text.clone(),
        // A `$` that is left would be expanded when the text is read again.
        _ => quote_text(scalar.text.replace('$', "$$")),
    }
}

/// Writes text with quotes when YAML would read it as something else.
fn quote_text(text: String) -> String {
    let is_bare = |letter: char| letter.is_ascii_alphanumeric() || "_-./ :$+%,".contains(letter);
    let starts_well =
        text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || "/_.$".contains(letter));
    let is_plain = starts_well
        && text.chars().all(is_bare)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !text.contains(',')
        && matches!(resolve(&text), Value::String(_));
    if is_plain {
        return text;
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other if other.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
