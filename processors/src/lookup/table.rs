//! A table of texts by key, from CSV (RFC 4180) or one JSON object a line.

use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;
use watershed_pipeline::Value;
use watershed_pipeline::parse::{Fields, json};

/// The key of the row for what no other names.
const OTHERS: &str = "*";
/// Columns that a file may have.
const COLUMNS_MAX: usize = 100;

/// What one line sets: names and values.
pub(super) type Row = Arc<[(Arc<str>, Box<str>)]>;

/// Rows by key.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: HashMap<Box<str>, Row>,
    others: Option<Row>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    Json,
}

impl Form {
    /// The form of a file, by its name.
    pub(super) fn of(path: &Path) -> Self {
        let is_json = |ending: &std::ffi::OsStr| {
            ["json", "jsonl", "ndjson"].iter().any(|name| ending.eq_ignore_ascii_case(name))
        };
        if path.extension().is_some_and(is_json) { Self::Json } else { Self::Csv }
    }
}

impl Table {
    /// The row of a key.
    pub(super) fn row(&self, key: &str) -> Option<&Row> {
        self.rows.get(key).or(self.others.as_ref())
    }

    /// Adds a row: the field of `column` is its key, empty fields set nothing.
    pub(super) fn add(
        &mut self,
        fields: impl Iterator<Item = (Arc<str>, Box<str>)>,
        column: &str,
    ) -> Result<(), String> {
        let (keys, values): (Vec<_>, Vec<_>) = fields.partition(|(name, _)| **name == *column);
        let key = keys.into_iter().next().map(|(_, key)| key).filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| format!("has nothing in the column `{column}`"))?;
        let row: Row = values.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        if *key == *OTHERS {
            self.others = Some(row);
        } else {
            self.rows.insert(key, row);
        }
        Ok(())
    }

    /// Reads a file; an error names the line.
    pub(super) fn read(text: &str, form: Form, column: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match form {
            Form::Csv => Self::csv(text, column),
            Form::Json => Self::json(text, column),
        }
    }

    fn csv(text: &str, column: &str) -> Result<Self, String> {
        let mut lines = Csv { rest: text, line: 1 };
        let (_, header) = lines.next_row()?.ok_or("is empty; its first line names the columns")?;
        let names: Vec<Arc<str>> = header.iter().map(|name| Arc::from(name.trim())).collect();
        if !names.iter().any(|name| **name == *column) {
            return Err(format!(
                "line 1 has no column `{column}`; set `column` to one of: {}",
                names.join(", ")
            ));
        }
        let mut table = Self::default();
        while let Some((line, fields)) = lines.next_row()? {
            if fields.len() != names.len() {
                let (found, expected) = (fields.len(), names.len());
                return Err(format!("line {line} has {found} fields where line 1 has {expected}"));
            }
            let fields = names.iter().cloned().zip(fields.into_iter().map(String::into_boxed_str));
            table.add(fields, column).map_err(|error| format!("line {line} {error}"))?;
        }
        Ok(table)
    }

    fn json(text: &str, column: &str) -> Result<Self, String> {
        let mut table = Self::default();
        let mut names: HashMap<Box<str>, Arc<str>> = HashMap::new();
        let mut scratch = Fields::default();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        for (index, line) in lines {
            let number = index + 1;
            let entries = json::read(line, &mut scratch)
                .map_err(|error| format!("line {number} is no object in JSON: {error}"))?;
            let mut fields = Vec::with_capacity(entries.len());
            for (key, value) in entries.iter().filter(|(_, value)| *value != Value::Empty) {
                let name = names.entry(key.into()).or_insert_with(|| key.into());
                fields.push((Arc::clone(name), value.to_text().into()));
            }
            table.add(fields.into_iter(), column).map_err(|error| format!("line {number} {error}"))?;
        }
        Ok(table)
    }
}

/// Rows of CSV: fields between commas, in quotes where they hold a comma, a quote (twice) or a line end.
struct Csv<'a> {
    rest: &'a str,
    line: usize,
}

impl Csv<'_> {
    /// The next row that is not blank, and the line it begins at.
    fn next_row(&mut self) -> Result<Option<(usize, Vec<String>)>, String> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let line = self.line;
            let mut fields = vec![self.field()?];
            while self.take(",") {
                fields.push(self.field()?);
                if fields.len() > COLUMNS_MAX {
                    return Err(format!("line {line} has more than {COLUMNS_MAX} fields"));
                }
            }
            if !self.rest.is_empty() && !self.take("\r\n") && !self.take("\n") {
                return Err(format!("line {}: something follows a closing quote", self.line));
            }
            self.line += 1;
            if fields.iter().any(|field| !field.is_empty()) {
                return Ok(Some((line, fields)));
            }
        }
    }

    fn field(&mut self) -> Result<String, String> {
        if !self.take("\"") {
            let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
            let (field, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
            let at_line_end = !rest.starts_with(',');
            self.rest = rest;
            let field = if at_line_end { field.strip_suffix('\r').unwrap_or(field) } else { field };
            return Ok(field.to_owned());
        }
        let (begin, mut field) = (self.line, String::new());
        loop {
            let Some((text, rest)) = self.rest.split_once('"') else {
                return Err(format!("line {begin}: a quote is not closed"));
            };
            self.line += text.matches('\n').count();
            field.push_str(text);
            self.rest = rest;
            if !self.take("\"") {
                return Ok(field);
            }
            field.push('"');
        }
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(row: Option<&Row>) -> Option<String> {
        let fields = row?.iter().map(|(name, value)| format!("{name}={value}"));
        Some(fields.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn rows_are_found_by_key_in_both_forms() {
        let csv = "\u{feff}service.name,team,owner\r\n\"a,\"\"b\",x,\n\nc,y,\"two\nlines\"\n*,rest,\n";
        let json = r#"{"service.name":"a,\"b","team":"x","owner":null}
            {"service.name":"c","team":"y","owner":"two\nlines"}

            {"service.name":"*","team":"rest"}"#;
        for (form, text) in [(Form::Csv, csv), (Form::Json, json)] {
            let table = Table::read(text, form, "service.name").unwrap();
            assert_eq!(show(table.row("a,\"b")).as_deref(), Some("team=x"), "{form:?}");
            assert_eq!(show(table.row("c")).as_deref(), Some("team=y owner=two\nlines"), "{form:?}");
            assert_eq!(show(table.row("none")).as_deref(), Some("team=rest"), "{form:?}");
        }
        let table = Table::read("k,v\na,1\na,2", Form::Csv, "k").unwrap();
        assert_eq!((show(table.row("a")), show(table.row("b"))), (Some("v=2".into()), None));
    }

    #[test]
    fn mistakes_name_their_line() {
        for (form, text, expected) in [
            (Form::Csv, "", "is empty; its first line names the columns"),
            (Form::Csv, "a,b\n", "line 1 has no column `k`; set `column` to one of: a, b"),
            (Form::Csv, "k,b\n1,2\n\n3\n", "line 4 has 1 fields where line 1 has 2"),
            (Form::Csv, "k,b\n,2\n", "line 2 has nothing in the column `k`"),
            (Form::Csv, "k,b\n1,\"2\n\n", "line 2: a quote is not closed"),
            (Form::Csv, "k,b\n\"1\"x,2\n", "line 2: something follows a closing quote"),
            (Form::Json, "{\"k\":1}\n[]", "line 2 is no object in JSON: not an object at byte 0"),
            (Form::Json, "{\"b\":1}", "line 1 has nothing in the column `k`"),
        ] {
            assert_eq!(Table::read(text, form, "k").unwrap_err(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn property_any_fields_come_back_from_quotes(rows in prop::collection::vec(("[^*]{1,8}", any::<String>()), 1..8)) {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let lines = rows.iter().map(|(key, value)| format!("{},{}\n", quoted(key), quoted(value)));
            let text = format!("k,v\n{}", lines.collect::<String>());
            let table = Table::read(&text, Form::Csv, "k").unwrap();
            for (key, _) in &rows {
                let last = rows.iter().rev().find(|(other, _)| other == key).map(|(_, value)| value).unwrap();
                let found = table.row(key).unwrap().first().map_or("", |(_, value)| value);
                prop_assert_eq!(found, last.as_str());
            }
        }

        #[test]
        fn property_any_text_is_read_or_refused(text in any::<String>()) {
            drop(Table::read(&text, Form::Csv, "k"));
            drop(Table::read(&text, Form::Json, "k"));
        }
    }
}
