//! The settings of one component, untyped until the component asks for its own type.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::{
    error::{BuildError, ConfigError, ConfigErrors, Origin},
    node::{Entry, Node},
    read,
    suggest::suggest,
    yaml,
};

/// A part of a document whose type is not known yet.
///
/// The engine first [takes](Section::take) the keys that are its own, then the component
/// [reads](Section::read) the rest as its `Config`.
#[derive(Clone, Debug)]
pub struct Section {
    id: String,
    path: String,
    key_origin: Origin,
    node: Node,
}

impl Section {
    pub(crate) fn new(path: String, entry: &Entry) -> Self {
        Self { id: entry.key.clone(), path, key_origin: entry.key_origin.clone(), node: entry.value.clone() }
    }

    pub(crate) fn empty(path: &str, origin: &Origin) -> Self {
        let node = Node::null(origin.clone());
        Self { id: path.to_owned(), path: path.to_owned(), key_origin: origin.clone(), node }
    }

    /// Makes a section of YAML text, for tests and for the examples in the documentation.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the YAML, or that it is neither a map nor empty.
    ///
    /// ```
    /// use watershed_config::Section;
    ///
    /// let section = Section::from_text("batch", "timeout: 5s").unwrap();
    /// assert_eq!(section.keys().collect::<Vec<_>>(), ["timeout"]);
    /// ```
    pub fn from_text(type_name: &str, text: &str) -> Result<Self, ConfigErrors> {
        let file: Arc<str> = type_name.into();
        let origin = Origin { line: 1, column: 1, ..Origin::whole(Arc::clone(&file), 0) };
        let parsed =
            yaml::parse(text, &file, 0).or_else(|errors| ConfigErrors::check(errors).map(|()| None))?;
        let node = parsed.unwrap_or_else(|| Node::null(origin.clone()));
        if node.entries().is_none() && !node.is_null() {
            let message = format!("expected a map, found {}", node.describe(false));
            return Err(ConfigError::new(Some(node.origin), type_name, message).into());
        }
        Ok(Self { id: type_name.to_owned(), path: type_name.to_owned(), key_origin: origin, node })
    }

    /// The key of the section, which for a component is its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The dotted path from the top of the document, such as `processors.redaction`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the section begins.
    pub fn origin(&self) -> &Origin {
        &self.key_origin
    }

    /// Whether nothing stands behind the key, which means that every setting has its default.
    pub fn is_null(&self) -> bool {
        self.node.is_null()
    }

    /// The keys, in the order of the text.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let entries = self.node.entries().unwrap_or_default().iter();
        entries.filter(|entry| entry.is_present()).map(|entry| entry.key.as_str())
    }

    /// Takes one key out, with everything below it.
    pub fn take(&mut self, key: &str) -> Option<Self> {
        let entries = self.node.entries_mut()?;
        let index = entries.iter().position(|entry| entry.key == key && entry.is_present())?;
        let entry = entries.remove(index);
        let path = format!("{}.{key}", self.path);
        Some(Self { id: entry.key, path, key_origin: entry.key_origin, node: entry.value })
    }

    /// Reads the section as `T`.
    ///
    /// A setting keeps its text where a text is expected: `version: 1.10` is `"1.10"`. A key without a value means
    /// the default, and for an `Option` of a struct that it is there with all its defaults, so `grpc:` alone switches
    /// a protocol on. An `Option` of a single value becomes `None`.
    ///
    /// `T` does well without `#[serde(flatten)]` and `#[serde(untagged)]`: serde buffers what they read, so that
    /// numbers lose their text and mistakes their place.
    ///
    /// # Errors
    ///
    /// Returns every mistake in the section: after each one the offending part is taken out and reading begins anew.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use watershed_config::Section;
    ///
    /// #[derive(Debug, Deserialize)]
    /// #[serde(deny_unknown_fields)]
    /// struct Config {
    ///     #[serde(default)]
    ///     rows: u16,
    /// }
    ///
    /// let section = Section::from_text("batch", "row: 5\nrows: many").unwrap();
    /// let errors = section.read::<Config>().unwrap_err();
    /// assert_eq!(
    ///     errors.to_string(),
    ///     "batch:1:1: batch: unknown key `row`; did you mean `rows`?\n\
    ///      batch:2:7: batch.rows: expected a whole number from 0 to 65535, found the text `many`"
    /// );
    /// ```
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigErrors> {
        read::read(&self.node, &self.key_origin, &self.path)
    }

    /// Makes an error about `relative_path`, such as `retry.delay_max` or `rules[2].action`, with the place of the
    /// deepest value on that path that exists.
    pub fn error_at(&self, relative_path: &str, message: impl Into<String>) -> ConfigError {
        let mut node = &self.node;
        let mut origin = &self.key_origin;
        let mut rest = relative_path;
        while let Some((next, after)) = split_step(node, rest) {
            (node, origin, rest) = (next, &next.origin, after);
        }
        let path = if relative_path.is_empty() {
            self.path.clone()
        } else {
            format!("{}.{relative_path}", self.path)
        };
        ConfigError::new(Some(origin.clone()), path, message)
    }

    /// Adds the place to what a component's `build` complains about.
    pub fn build_error(&self, error: BuildError) -> ConfigError {
        self.error_at(&error.path, error.message)
    }

    pub(crate) fn each_key<T>(&self, mut visit: impl FnMut(&str, &Origin) -> T) -> Vec<T> {
        let entries = self.node.entries().unwrap_or_default().iter().filter(|entry| entry.is_present());
        entries.map(|entry| visit(&entry.key, &entry.key_origin)).collect()
    }
}

/// Walks one step of a written path; keys may hold dots themselves, so the longest key that fits is taken.
fn split_step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(&'n Node, &'p str)> {
    if let Some((index, after)) = path.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let element = node.elements()?.get(index.parse::<usize>().ok()?)?;
        return Some((element, after.strip_prefix('.').unwrap_or(after)));
    }
    let fits = |entry: &&Entry| {
        let after = path.strip_prefix(entry.key.as_str());
        after.is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']))
    };
    let entry = node.entries()?.iter().filter(fits).max_by_key(|entry| entry.key.len())?;
    let after = path.get(entry.key.len()..)?;
    Some((&entry.value, after.strip_prefix('.').unwrap_or(after)))
}

/// Complains about a key, with the nearest of the accepted ones or all of them.
pub(crate) fn unknown_key(key: &str, accepted: &[&str]) -> String {
    const SHOWN_MAX: usize = 20;
    if let Some(near) = suggest(key, accepted.iter().copied()) {
        return format!("unknown key `{key}`; did you mean `{near}`?");
    }
    if accepted.is_empty() {
        return format!("unknown key `{key}`; there is nothing to set here");
    }
    let shown: Vec<&str> = accepted.iter().copied().take(SHOWN_MAX).collect();
    let more = if accepted.len() > SHOWN_MAX { ", …" } else { "" };
    format!("unknown key `{key}`; accepted keys: {}{more}", shown.join(", "))
}
