//! Values in columns: CSV as RFC 4180 has it, one record a line.

use std::borrow::Cow;

use watershed_pipeline::Value;
use watershed_pipeline::parse::{Entries, Fields};

use super::stats::Failure;

/// The most columns of a line.
const COLUMNS_MAX: usize = 1024;

/// The names of columns and what parts them.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    header: Vec<String>,
    delimiter: char,
}

impl Columns {
    /// Checks the settings; a mistake comes with the setting's name.
    pub(super) fn new(header: Vec<String>, delimiter: char) -> Result<Self, (&'static str, String)> {
        if header.is_empty() || header.len() > COLUMNS_MAX {
            return Err(("header", format!("needs 1 to {COLUMNS_MAX} names of columns")));
        }
        if let Some(name) = header
            .iter()
            .enumerate()
            .find_map(|(at, name)| header.iter().take(at).any(|other| other == name).then_some(name))
        {
            return Err(("header", format!("names the column `{name}` twice")));
        }
        if matches!(delimiter, '"' | '\n' | '\r') {
            return Err(("delimiter", format!("{delimiter:?} can't part columns; choose `,`, `;` or a tab")));
        }
        Ok(Self { header, delimiter })
    }

    /// Whether the line is the header itself.
    pub(super) fn is_header(&self, line: &str) -> bool {
        let mut values = split(line, self.delimiter);
        self.header.iter().all(|name| matches!(values.next(), Some(Ok(value)) if value == *name))
            && values.next().is_none()
    }

    /// The values of a line by the names of their columns. Empty values are none.
    pub(super) fn read<'a>(&self, line: &'a str, fields: &'a mut Fields) -> Result<Entries<'a>, Failure> {
        let mut names = self.header.iter();
        let mut failure = None;
        let entries = fields.fill(line, |filler| {
            for value in split(line, self.delimiter) {
                match (names.next(), value) {
                    (_, Err(())) => failure = Some("a quote has no end"),
                    (None, Ok(_)) => failure = Some("too many columns"),
                    (Some(name), Ok(value)) if !value.is_empty() => {
                        filler.push(name, Value::Str(&value));
                    }
                    (Some(_), Ok(_)) => {}
                }
            }
        });
        let failure = failure.or(names.next().map(|_| "too few columns"));
        failure.map_or(Ok(entries), |reason| Err(Failure { format: "csv", reason }))
    }
}

/// The values of a line, without their quotes.
pub(super) fn split(line: &str, delimiter: char) -> impl Iterator<Item = Result<Cow<'_, str>, ()>> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(quoted) = text.strip_prefix('"') else {
            let (value, after) = match text.split_once(delimiter) {
                Some((value, after)) => (value, Some(after)),
                None => (text, None),
            };
            rest = after;
            return Some(Ok(value.into()));
        };
        let end = closing_quote(quoted);
        let after = end.and_then(|end| quoted.get(end + 1..));
        rest = after.and_then(|after| after.strip_prefix(delimiter));
        let is_closed = after.is_some_and(|after| after.is_empty() || rest.is_some());
        let (Some(value), true) = (end.and_then(|end| quoted.get(..end)), is_closed) else {
            rest = None;
            return Some(Err(()));
        };
        Some(Ok(if value.contains("\"\"") { value.replace("\"\"", "\"").into() } else { value.into() }))
    })
}

/// The quote that is not doubled.
fn closing_quote(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find('"')?;
        if text.as_bytes().get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        from = at + 2;
    }
}
