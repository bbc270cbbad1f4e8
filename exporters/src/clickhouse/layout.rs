//! How a table is written to, found out from the table itself.
//!
//! The Collector's tables differ by version, and people change them. So nothing is assumed: the columns that the table
//! has are filled if this exporter knows them, in the types that the table has; the others get their defaults.

use serde::Deserialize;

use super::block::Column;
use super::doubt::Comparison;
use super::tables::{Naming, Table, quoted};

/// A line of `DESCRIBE TABLE`.
#[derive(Clone, Debug, clickhouse::Row, Deserialize)]
pub(super) struct Described {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_name: String,
    pub(super) default_type: String,
    #[serde(rename = "default_expression")]
    pub(super) _default_expression: String,
    #[serde(rename = "comment")]
    pub(super) _comment: String,
    #[serde(rename = "codec_expression")]
    pub(super) _codec_expression: String,
    #[serde(rename = "ttl_expression")]
    pub(super) _ttl_expression: String,
}

/// How a table is written to.
pub(super) struct Layout {
    /// The columns that are sent.
    pub(super) columns: Vec<Column>,
    /// The statement in front of the data.
    pub(super) insert: String,
    /// Whether text is turned into JSON, which needs settings of its own.
    pub(super) has_json: bool,
    /// How rows are compared with those of the table, where that can be necessary.
    pub(super) comparison: Option<Comparison>,
}

impl Layout {
    /// Chooses what is sent to a table of this engine with these columns.
    ///
    /// # Errors
    /// Names every column that is missing or does not fit, and says what to do.
    pub(super) fn new(
        naming: &Naming,
        table: Table,
        engine: &str,
        described: &[Described],
    ) -> Result<Self, String> {
        let mut columns = Vec::new();
        let mut sent = Vec::new();
        let mut missing = Vec::new();
        let mut unfit = Vec::new();
        let mut has_json = false;
        for wanted in table.wanted() {
            let Some(name) = naming.column(table, wanted.name) else { continue };
            let Some(found) = described.iter().find(|column| column.name == name) else {
                if wanted.is_needed || name != wanted.name {
                    missing.push(format!("`{name}`"));
                }
                continue;
            };
            if !matches!(found.default_type.as_str(), "" | "DEFAULT") {
                // The server computes it; a value may not be given.
                continue;
            }
            let kind = wanted.field.kind();
            let Some(wire) = kind.wire(&found.type_name) else {
                unfit.push(format!(
                    "`{}` is {} and should be {}",
                    found.name,
                    found.type_name,
                    kind.advice()
                ));
                continue;
            };
            has_json |= found.type_name.contains("JSON");
            sent.push(found);
            columns.push(Column { name: name.to_owned(), field: wanted.field, wire });
        }
        let name = naming.quoted(table);
        if !missing.is_empty() {
            return Err(format!(
                "table {name} has no column {}; add it with ALTER TABLE, name another table with `{}`, or say with `columns` what it is called (null leaves it out)",
                missing.join(", "),
                table.setting()
            ));
        }
        if !unfit.is_empty() {
            return Err(format!(
                "table {name} does not fit: {}; change it with ALTER TABLE",
                unfit.join(", ")
            ));
        }
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        let insert = format!("INSERT INTO {name} ({}) FORMAT Native", names.join(", "));
        let comparison = Comparison::new(naming, table, engine, &sent);
        Ok(Self { columns, insert, has_json, comparison })
    }
}
