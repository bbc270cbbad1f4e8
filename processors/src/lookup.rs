//! Adds attributes from a table: the team, the owner, the tenant of a service.
//!
//! ```yaml
//! lookup:
//!   key: service.name
//!   rows:
//!     - {service.name: checkout, team: payments, service.owner: ann@shop.example}
//!     - {service.name: '*', team: platform}
//! ```
//!
//! The field named like `key` (or `column`) holds what is looked up; the others become attributes under their names. With
//! `file: /etc/watershed/teams.csv` the table is in a file, the first line of which names the columns:
//!
//! ```text
//! service.name,team,service.owner
//! checkout,payments,ann@shop.example
//! *,platform,
//! ```
//!
//! A file whose name ends in `.json` holds one object a line, with the same names as keys. The line `*` is for what no other
//! line names; an empty field sets nothing. Of two lines with the same key the last counts.
//!
//! `key` is looked for in the resource, and what is found is set there, once for all of its records. With `from: record` both
//! happen at each record. Attributes that are there already stay, unless `override` is true.
//!
//! The file is read at the start, when mistakes stop it, and again when it changes, within a few seconds. A change that can't
//! be read or has mistakes leaves the table as it was, is logged, and counts into `file_failures`.
//!
//! Signals: all. Order: kept. Loss: none. Memory: the table once for all lanes, about as large as the file, which may have at
//! most `max_file_size`. Counters: `lookup_misses`, resources or records with a key that is not in the table.

mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize};
use watershed_pipeline::{
    AttributesMut, Batch, Context, Counter, Out, Processor, ProcessorConfig, RecordMut, Unit, Value, Watched,
};

use table::{Form, Table};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// A file with the table: CSV, or one JSON object a line if its name ends in `.json`. Required unless `rows` is set.
    #[serde(default)]
    file: Option<PathBuf>,
    /// The table itself. Required unless `file` is set.
    #[serde(default)]
    rows: Vec<BTreeMap<String, String>>,
    /// The attribute that is looked up. Default `service.name`.
    #[serde(default = "default_key")]
    key: String,
    /// The column that holds its values. Default: the one named like `key`.
    #[serde(default)]
    column: Option<String>,
    /// Where `key` is, and where attributes are set. Default `resource`.
    #[serde(default)]
    from: From,
    /// Whether attributes that are there already are replaced. Default false.
    #[serde(default, rename = "override")]
    replace: bool,
    /// The most bytes that the file may have. Default 16MiB.
    #[serde(default = "default_max_file_size")]
    max_file_size: ByteSize,
    /// What all lanes share; made by the first of them that is built.
    #[serde(skip)]
    #[schemars(skip)]
    source: Mutex<Option<Source>>,
}

/// Where the key is, and where attributes are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum From {
    /// In the resource.
    #[default]
    Resource,
    /// In each record.
    Record,
}

fn default_key() -> String {
    "service.name".into()
}

fn default_max_file_size() -> ByteSize {
    ByteSize::mebibytes(16)
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "lookup";
    const SOURCE: &'static str = include_str!("lookup.rs");
    type Processor = Lookup;

    fn build(&self, cx: &Context) -> Result<Lookup, BuildError> {
        if self.key.is_empty() {
            return Err(BuildError::at("key", "is empty; name an attribute, such as `service.name`"));
        }
        let mut shared = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let source = match &*shared {
            Some(source) => source.clone(),
            None => shared.insert(self.source(cx)?).clone(),
        };
        let help = "Resources or records whose key is not in the table.";
        Ok(Lookup {
            key: self.key.clone(),
            from: self.from,
            replace: self.replace,
            source,
            misses: cx.counter("lookup_misses", Unit::Items, help),
        })
    }
}

impl Config {
    fn source(&self, cx: &Context) -> Result<Source, BuildError> {
        let column = self.column.clone().unwrap_or_else(|| self.key.clone());
        match (&self.file, self.rows.as_slice()) {
            (Some(file), []) => {
                let form = Form::of(file);
                let read = move |text: &str| Table::read(text, form, &column);
                let watched = cx.watch_file(file, self.max_file_size, read);
                watched.map(Source::File).map_err(|error| BuildError::at("file", error))
            }
            (None, []) => Err(BuildError::new("has no table; set `file` or `rows`")),
            (Some(_), _) => Err(BuildError::at("rows", "stands beside `file`; remove one of them")),
            (None, rows) => {
                let mut table = Table::default();
                for (place, row) in rows.iter().enumerate() {
                    let fields =
                        row.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
                    let added = table.add(fields, &column);
                    added.map_err(|error| BuildError::at(format!("rows[{place}]"), error))?;
                }
                Ok(Source::Rows(Arc::new(table)))
            }
        }
    }
}

/// Where the table is.
#[derive(Clone)]
enum Source {
    File(Watched<Table>),
    Rows(Arc<Table>),
}

pub(crate) struct Lookup {
    key: String,
    from: From,
    replace: bool,
    source: Source,
    misses: Counter,
}

/// What attributes are set on.
trait Target {
    fn value(&self, key: &str) -> Option<Value<'_>>;
    fn set(&mut self, key: &str, value: &str);
}

impl Target for AttributesMut<'_> {
    fn value(&self, key: &str) -> Option<Value<'_>> {
        self.attribute(key)
    }

    fn set(&mut self, key: &str, value: &str) {
        self.set_attribute(key, value);
    }
}

impl Target for RecordMut<'_> {
    fn value(&self, key: &str) -> Option<Value<'_>> {
        self.attribute(key)
    }

    fn set(&mut self, key: &str, value: &str) {
        self.set_attribute(key, value);
    }
}

impl Lookup {
    fn fill(&self, table: &Table, target: &mut impl Target) {
        let Some(key) = target.value(&self.key) else { return };
        let Some(row) = table.row(&key.to_text()) else { return self.misses.add(1) };
        for (name, value) in &**row {
            if self.replace || target.value(name).is_none() {
                target.set(name, value);
            }
        }
    }
}

impl Processor for Lookup {
    fn process(&mut self, mut batch: Batch, _now: Instant, out: &mut Out) {
        let table = match &self.source {
            Source::File(file) => file.get(),
            Source::Rows(table) => Arc::clone(table),
        };
        match self.from {
            From::Resource => batch.resources_mut(|resource| self.fill(&table, resource)),
            From::Record => {
                let mut records = batch.records_mut();
                while let Some(mut record) = records.next() {
                    self.fill(&table, &mut record);
                }
            }
        }
        out.push(batch);
    }
}

#[cfg(test)]
mod tests {
    use watershed_config::Section;
    use watershed_pipeline::testing::build;
    use watershed_pipeline::{Kind, Record, Signal};

    use super::*;

    const ROWS: &str =
        "rows: [{service.name: shop, team: payments, owner: ann}, {service.name: other, team: x}]";

    fn show(attributes: watershed_pipeline::Attributes<'_>) -> String {
        let one = |(key, value): (&str, Value<'_>)| format!("{key}={}", value.to_text());
        attributes.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Resource and record after a look-up.
    #[track_caller]
    fn check(processor: &mut Lookup, resource: &str, record: &str) {
        let batch = Batch::builder(Signal::Logs)
            .resource(|resource| {
                resource.set_attribute("service.name", "shop");
                resource.set_attribute("owner", "own");
            })
            .record(|log| log.set_attribute("service.name", "other"))
            .build();
        let mut out = Out::default();
        processor.process(batch, Instant::now(), &mut out);
        let passed = out.take().remove(0);
        let passed: Record<'_> = passed.records().next().unwrap();
        assert_eq!(
            (show(passed.resource().attributes()), show(passed.attributes())),
            (resource.into(), record.into())
        );
    }

    #[test]
    fn attributes_are_set_where_the_key_is_and_stay_unless_they_are_to_be_replaced() {
        let lookup = |more: &str| build::<Config>(&format!("{{{ROWS}, {more}}}")).unwrap();
        let record = "service.name=other";
        check(&mut lookup(""), "service.name=shop owner=own team=payments", record);
        check(&mut lookup("override: true"), "service.name=shop owner=ann team=payments", record);
        check(&mut lookup("from: record"), "service.name=shop owner=own", "service.name=other team=x");
        let mut missing = lookup("key: owner, column: service.name");
        check(&mut missing, "service.name=shop owner=own", record);
        assert_eq!(missing.misses.value(), 1);
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        for (yaml, expected) in [
            ("key: a", "lookup: has no table; set `file` or `rows`"),
            ("{rows: [{team: a}]}", "lookup:1:9: lookup.rows[0]: has nothing in the column `service.name`"),
            (
                "{file: a.csv, rows: [{service.name: a}]}",
                "lookup:1:21: lookup.rows: stands beside `file`; remove one of them",
            ),
        ] {
            let error = build::<Config>(yaml).err().unwrap().to_string();
            assert!(error.ends_with(expected.trim_start_matches("lookup: ")), "{error}");
        }
        let section = Section::from_text("lookup", "file: /nowhere/teams.csv").unwrap();
        let cx = Context::detached(Kind::Processor, "lookup".parse().unwrap());
        let error = section.read::<Config>().unwrap().build(&cx).err().unwrap().to_string();
        assert!(error.starts_with("file: can't read `/nowhere/teams.csv`: "), "{error}");
    }
}
