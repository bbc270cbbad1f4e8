//! What can be wrong with a configuration, in words for the person who wrote it.

use std::{cmp::Ordering, fmt, sync::Arc};

use crate::document::Document;

/// The place where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file as it was named on the command line, or words such as `--set a.b=c` for what is not a file.
    pub file: Arc<str>,
    /// The line, counted from one; zero when the place is not a text with lines.
    pub line: u32,
    /// The column in characters, counted from one; zero when the place is not a text with lines.
    pub column: u32,
    /// The layer the value came from, so that mistakes are listed in the order of the files.
    pub(crate) layer: usize,
}

impl Origin {
    /// Names a place that has no lines, such as an argument or an environment variable.
    pub(crate) fn whole(file: impl Into<Arc<str>>, layer: usize) -> Self {
        Self { file: file.into(), line: 0, column: 0, layer }
    }

    fn order(&self) -> (usize, u32, u32) {
        (self.layer, self.line, self.column)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return out.write_str(&self.file);
        }
        write!(out, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One mistake: where it is, which setting it is about, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", located(self.origin.as_ref(), &self.path, &self.message))]
pub struct ConfigError {
    /// The place in the text, when there is one.
    pub origin: Option<Origin>,
    /// The dotted path of the setting, such as `processors.redaction.patterns`; empty for a whole file.
    pub path: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl ConfigError {
    /// Makes a mistake from its parts.
    pub fn new(origin: Option<Origin>, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { origin, path: path.into(), message: message.into() }
    }

    fn compare(&self, other: &Self) -> Ordering {
        // What has no place concerns the whole and comes last.
        match (&self.origin, &other.origin) {
            (Some(left), Some(right)) => left.order().cmp(&right.order()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
}

/// Something that is allowed and still worth a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The place in the text, when there is one.
    pub origin: Option<Origin>,
    /// The dotted path of the setting.
    pub path: String,
    /// What was found and what it leads to.
    pub message: String,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&located(self.origin.as_ref(), &self.path, &self.message))
    }
}

fn located(origin: Option<&Origin>, path: &str, message: &str) -> String {
    let mut text = String::new();
    if let Some(origin) = origin {
        text.push_str(&format!("{origin}: "));
    }
    if !path.is_empty() {
        text.push_str(path);
        text.push_str(": ");
    }
    text.push_str(message);
    text
}

/// All mistakes that were found: at least one, in the order of the files, without repetition.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    document: Option<Box<Document>>,
}

impl ConfigErrors {
    /// Passes when `errors` is empty, and otherwise fails with all of them.
    ///
    /// # Errors
    ///
    /// Returns the errors sorted by place and without repetition.
    pub fn check(mut errors: Vec<ConfigError>) -> Result<(), Self> {
        errors.sort_by(ConfigError::compare);
        let mut unique: Vec<ConfigError> = Vec::with_capacity(errors.len());
        for error in errors {
            // Equal mistakes have the same place, so they stand next to each other or within one small group.
            let same_place = unique.iter().rev().take_while(|other| other.origin == error.origin);
            if !same_place.into_iter().any(|other| *other == error) {
                unique.push(error);
            }
        }
        if unique.is_empty() { Ok(()) } else { Err(Self { errors: unique, document: None }) }
    }

    /// Keeps what could be understood, see [`ConfigErrors::take_document`].
    pub(crate) fn with_document(mut self, document: Document) -> Self {
        self.document = Some(Box::new(document));
        self
    }

    /// Gives the document as far as it could be understood, so that the caller can go on to read the sections and
    /// show all mistakes together. It must not be run.
    pub fn take_document(&mut self) -> Option<Document> {
        self.document.take().map(|document| *document)
    }

    /// Visits the mistakes in order.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self { errors: vec![error], document: None }
    }
}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

/// What a component answers when its settings are each right but do not fit together.
///
/// [`Section::build_error`](crate::Section::build_error) adds the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", located(None, &self.path, &self.message))]
pub struct BuildError {
    /// The setting within the component's section, such as `retry.delay_max`; empty for the section as a whole.
    pub path: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl BuildError {
    /// Complains about one setting.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// Complains about the section as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self::at("", message)
    }
}

#[cfg(test)]
mod tests {
    use super::{ConfigError, ConfigErrors, Origin};

    #[test]
    fn mistakes_are_listed_once_in_the_order_of_the_files() {
        let at = |layer: usize, line| {
            Some(Origin { file: format!("{layer}.yaml").into(), line, column: 2, layer })
        };
        let listed = ConfigErrors::check(vec![
            ConfigError::new(None, "", "no place"),
            ConfigError::new(at(1, 1), "a", "second file"),
            ConfigError::new(at(0, 9), "b.c", "first file"),
            ConfigError::new(at(0, 9), "b.c", "first file"),
        ])
        .unwrap_err();
        assert_eq!(listed.to_string(), "0.yaml:9:2: b.c: first file\n1.yaml:1:2: a: second file\nno place");
    }
}
