//! Fields of a record, as operators name them.

use watershed_pipeline::AnyValue;

use super::entry::Entry;

/// What a path begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Body,
    Attributes,
    Resource,
}

/// A field: a root, and keys into nested values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: Root,
    pub(super) keys: Vec<String>,
}

impl Path {
    /// Reads `body`, `body.a.b`, `attributes["a.b"].c`, `resource['x']`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no field; a field is `body`, `attributes` or `resource`, alone or followed by keys: \
                     `attributes.user`, `attributes[\"user.id\"]`"
            )
        };
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (root, mut rest) = text.split_at_checked(end).ok_or_else(wrong)?;
        let root = Root::named(root).ok_or_else(wrong)?;
        let mut keys = Vec::new();
        while !rest.is_empty() {
            if let Some(key) = rest.strip_prefix('.') {
                let end = key.find(['.', '[']).unwrap_or(key.len());
                let (key, after) =
                    key.split_at_checked(end).filter(|(key, _)| !key.is_empty()).ok_or_else(wrong)?;
                keys.push(key.to_owned());
                rest = after;
                continue;
            }
            let inner = rest.strip_prefix('[').ok_or_else(wrong)?;
            let quote = inner.chars().next().filter(|quote| matches!(quote, '"' | '\'')).ok_or_else(wrong)?;
            let (key, after) = inner.get(1..).and_then(|inner| inner.split_once(quote)).ok_or_else(wrong)?;
            keys.push(key.to_owned());
            rest = after.strip_prefix(']').ok_or_else(wrong)?;
        }
        Ok(Self { root, keys })
    }

    /// The value at the field, if there is one.
    pub(super) fn value<'e>(&self, entry: &'e Entry) -> Option<&'e AnyValue> {
        self.keys.iter().try_fold(entry.root(self.root), |value, key| step(value, key))
    }

    /// Takes the value out.
    pub(super) fn take(&self, entry: &mut Entry) -> Option<AnyValue> {
        let root = entry.root_mut(self.root);
        let Some((last, before)) = self.keys.split_last() else {
            let empty = if self.root == Root::Body { AnyValue::Empty } else { AnyValue::Map(Vec::new()) };
            return Some(std::mem::replace(root, empty));
        };
        let holder = before.iter().try_fold(root, |value, key| step_mut(value, key))?;
        let AnyValue::Map(entries) = holder else { return None };
        let position = entries.iter().position(|(key, _)| key == last)?;
        Some(entries.remove(position).1)
    }

    /// Sets the value, making the maps on the way. Fails where something else is in the way.
    pub(super) fn set(&self, entry: &mut Entry, value: AnyValue) -> Result<(), &'static str> {
        if self.keys.is_empty() && self.root != Root::Body && !matches!(value, AnyValue::Map(_)) {
            return Err("attributes and resource hold only maps");
        }
        let mut slot = entry.root_mut(self.root);
        for key in &self.keys {
            if *slot == AnyValue::Empty {
                *slot = AnyValue::Map(Vec::new());
            }
            let AnyValue::Map(entries) = slot else { return Err("a value that is no map is in the way") };
            let position = entries.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
                entries.push((key.clone(), AnyValue::Empty));
                entries.len() - 1
            });
            let Some((_, found)) = entries.get_mut(position) else { return Err("no such field") };
            slot = found;
        }
        *slot = value;
        Ok(())
    }

    /// Sets a parser's result: its entries into a root, or as one value into a field.
    pub(super) fn merge(
        &self,
        entry: &mut Entry,
        result: Vec<(String, AnyValue)>,
    ) -> Result<(), &'static str> {
        if !self.keys.is_empty() || self.root == Root::Body {
            return self.set(entry, AnyValue::Map(result));
        }
        for (key, value) in result {
            Self { root: self.root, keys: vec![key] }.set(entry, value)?;
        }
        Ok(())
    }
}

impl Root {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "body" => Self::Body,
            "attributes" => Self::Attributes,
            "resource" => Self::Resource,
            _ => return None,
        })
    }
}

/// The entry of a map with a key.
pub(super) fn step<'v>(value: &'v AnyValue, key: &str) -> Option<&'v AnyValue> {
    let AnyValue::Map(entries) = value else { return None };
    entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
}

fn step_mut<'v>(value: &'v mut AnyValue, key: &str) -> Option<&'v mut AnyValue> {
    let AnyValue::Map(entries) = value else { return None };
    entries.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value)
}
