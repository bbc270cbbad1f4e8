//! The tree between text and types: every value knows the place where it was written and the text it was made of.

use std::borrow::Cow;

use serde_yaml::Value;

use crate::error::Origin;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) origin: Origin,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A list or map that `${…}` expanded to, with the text it was made of, which a text setting keeps.
    Expanded(Box<Self>, String),
    /// A key that is there with nothing behind it, for a setting that is a single value: the setting is off.
    Off,
    /// Taken out because of a mistake that was already reported; its index in a list stays used.
    Pruned,
}

/// Text, and whether it may be read as a number.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Written without quotes, so that YAML gives it a type.
    pub(crate) plain: bool,
    /// At least partly made by `${…}`, so that a typed setting reads it whether quoted or not.
    pub(crate) interpolated: bool,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_origin: Origin,
    pub(crate) value: Node,
}

impl Entry {
    /// Whether the entry still counts.
    pub(crate) fn is_present(&self) -> bool {
        !matches!(self.value.kind, Kind::Pruned)
    }
}

/// One step from a value into what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl Node {
    pub(crate) fn null(origin: Origin) -> Self {
        Self { kind: Kind::Scalar(Scalar { text: String::new(), plain: true, interpolated: false }), origin }
    }

    pub(crate) fn map(entries: Vec<Entry>, origin: Origin) -> Self {
        Self { kind: Kind::Map(entries), origin }
    }

    /// Whether nothing was written, or `null`, or `~`.
    pub(crate) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.plain && matches!(resolve(&scalar.text), Value::Null),
            Kind::Off => true,
            Kind::List(_) | Kind::Map(_) | Kind::Expanded(..) | Kind::Pruned => false,
        }
    }

    pub(crate) fn is_pruned(&self) -> bool {
        matches!(self.kind, Kind::Pruned)
    }

    /// Whether something at any depth was taken out.
    pub(crate) fn is_broken(&self) -> bool {
        let below = self.elements().unwrap_or_default().iter();
        let values = self.entries().unwrap_or_default().iter().map(|entry| &entry.value);
        self.is_pruned() || below.chain(values).any(Self::is_broken)
    }

    /// The entries when this is a map.
    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match self.kind.expanded() {
            Kind::Map(entries) => Some(entries),
            Kind::Scalar(_) | Kind::List(_) | Kind::Expanded(..) | Kind::Off | Kind::Pruned => None,
        }
    }

    pub(crate) fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match self.kind.expanded_mut() {
            Kind::Map(entries) => Some(entries),
            Kind::Scalar(_) | Kind::List(_) | Kind::Expanded(..) | Kind::Off | Kind::Pruned => None,
        }
    }

    /// The elements when this is a list.
    pub(crate) fn elements(&self) -> Option<&[Self]> {
        match self.kind.expanded() {
            Kind::List(elements) => Some(elements),
            Kind::Scalar(_) | Kind::Map(_) | Kind::Expanded(..) | Kind::Off | Kind::Pruned => None,
        }
    }

    /// The entry with this key, unless it was taken out.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| entry.key == key && entry.is_present())
    }

    pub(crate) fn step(&self, step: &Step) -> Option<&Self> {
        match step {
            Step::Key(key) => {
                self.entries()?.iter().find(|entry| entry.key == *key).map(|entry| &entry.value)
            }
            Step::Index(index) => self.elements()?.get(*index),
        }
    }

    pub(crate) fn step_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match (step, self.kind.expanded_mut()) {
            (Step::Key(key), Kind::Map(entries)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.value)
            }
            (Step::Index(index), Kind::List(elements)) => elements.get_mut(*index),
            _ => None,
        }
    }

    /// Follows `steps` as far as they lead and answers with the last value and whether all were walked.
    pub(crate) fn deepest(&self, steps: &[Step]) -> (&Self, bool) {
        let mut node = self;
        for step in steps {
            match node.step(step) {
                Some(next) => node = next,
                None => return (node, false),
            }
        }
        (node, true)
    }

    pub(crate) fn find_mut(&mut self, steps: &[Step]) -> Option<&mut Self> {
        steps.iter().try_fold(self, |node, step| node.step_mut(step))
    }

    /// Says what this is, for a message that expected something else; `hidden` keeps the value out of it.
    pub(crate) fn describe(&self, hidden: bool) -> Cow<'static, str> {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.describe(hidden).into(),
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a map".into(),
            Kind::Expanded(kind, _) => match **kind {
                Kind::List(_) => "a list".into(),
                _ => "a map".into(),
            },
            Kind::Off | Kind::Pruned => "nothing".into(),
        }
    }

    /// Puts `origin` on this and everything below it.
    pub(crate) fn relocate(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.kind {
            Kind::List(elements) => elements.iter_mut().for_each(|element| element.relocate(origin)),
            Kind::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.key_origin = origin.clone();
                entry.value.relocate(origin);
            }),
            Kind::Expanded(kind, _) => {
                let mut inner = Self { kind: std::mem::replace(kind, Kind::Off), origin: origin.clone() };
                inner.relocate(origin);
                **kind = inner.kind;
            }
            Kind::Scalar(_) | Kind::Off | Kind::Pruned => {}
        }
    }
}

impl Kind {
    /// Looks through an expansion at what it expanded to.
    pub(crate) fn expanded(&self) -> &Self {
        match self {
            Self::Expanded(kind, _) => kind,
            other => other,
        }
    }

    fn expanded_mut(&mut self) -> &mut Self {
        match self {
            Self::Expanded(kind, _) => kind,
            other => other,
        }
    }
}

impl Scalar {
    /// The value that YAML gives to the text: quoted text is always text.
    pub(crate) fn value(&self) -> Value {
        if self.plain { resolve(&self.text) } else { Value::String(self.text.clone()) }
    }

    /// The value for a setting that is a number or a truth value.
    pub(crate) fn typed_value(&self) -> Value {
        if self.interpolated { resolve(self.text.trim()) } else { self.value() }
    }

    fn describe(&self, hidden: bool) -> String {
        let (kind, shown) = match self.value() {
            Value::Null => return "nothing".into(),
            Value::Bool(value) => ("", value.to_string()),
            Value::Number(_) => ("the number ", self.text.clone()),
            _ => ("the text ", self.text.clone()),
        };
        match (hidden, kind) {
            (true, "") => "true or false".into(),
            (true, "the number ") => "a number".into(),
            (true, _) => "a text".into(),
            (false, _) => format!("{kind}`{}`", shorten(&shown)),
        }
    }
}

/// Gives plain text its type; text that is neither null, a truth value nor a number stays text.
pub(crate) fn resolve(text: &str) -> Value {
    // Most text is not a number, and a parser for each would be slow.
    let first = text.as_bytes().first().copied();
    let worth_it = matches!(
        first,
        None | Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F')
    );
    if !worth_it || text.len() > 64 {
        return Value::String(text.to_owned());
    }
    if text.is_empty() {
        return Value::Null;
    }
    match serde_yaml::from_str(text) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// Cuts a long value for a message.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    const SHOWN_MAX: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    if line.len() == text.len() && line.chars().count() <= SHOWN_MAX {
        return Cow::Borrowed(text);
    }
    Cow::Owned(line.chars().take(SHOWN_MAX).chain("…".chars()).collect())
}

/// Writes a path for people: keys joined by dots, with the index of a list element when something follows it.
///
/// The last index is left out because the place says it already.
pub(crate) fn join_path(base: &str, steps: &[Step]) -> String {
    let mut path = base.to_owned();
    for (position, step) in steps.iter().enumerate() {
        match step {
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Step::Index(index) if position + 1 < steps.len() => path.push_str(&format!("[{index}]")),
            Step::Index(_) => {}
        }
    }
    path
}

/// Whether a key is likely to hold a secret, so that its value stays out of messages.
pub(crate) fn key_is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    const WORDS: [&str; 11] = [
        "password",
        "passwd",
        "passphrase",
        "token",
        "secret",
        "api_key",
        "apikey",
        "authorization",
        "credential",
        "private_key",
        "access_key",
    ];
    // `key_file` and `token_file` name a place, not the secret.
    !key.ends_with("_file")
        && (WORDS.iter().any(|word| key.contains(word)) || key == "key_pem" || key == "cookie")
}

/// Whether the value behind these steps is likely a secret: by its key, or as a value under `headers`.
pub(crate) fn path_is_secret(steps: &[Step]) -> bool {
    let mut keys = steps.iter().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    keys.any(|key| key_is_secret(key) || key.eq_ignore_ascii_case("headers"))
}
