//! Versions of the tables that are created here: what each version added, and the table in which it is written down.
//!
//! The statements in `sql/` are version 1. What a table gets later stands in [`MIGRATIONS`] and nowhere else: a new table
//! is created as version 1 and brought up to date at once, by the same statements as one that is years old.

use super::tables::{Naming, Table, literal, literals};

/// The table in which versions are written down, in the database of the others.
pub(super) const SCHEMA_VERSIONS: &str = "watershed_schema_versions";

/// Who writes them down.
pub(super) const PROGRAM: &str = concat!("watershed ", env!("CARGO_PKG_VERSION"));

/// What a version of a table added to the one before.
///
/// Versions of a table count up from 2. Columns are only ever added, and never needed
/// ([`is_needed`](super::field::Wanted)): another process may write to the table before it has them, and tables that were
/// not created here never get them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    pub(super) table: Table,
    pub(super) version: u32,
    /// Each as in `CREATE TABLE`, such as "EventName String CODEC(ZSTD(1))".
    pub(super) columns: &'static [&'static str],
}

/// All that was added since version 1, oldest first. All tables have their first version still.
pub(super) const MIGRATIONS: &[Migration] = &[];

/// A table's version as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    /// The table's name, without the database.
    pub(super) table: String,
    pub(super) version: u32,
    /// The program that made it so.
    pub(super) applied_by: String,
}

impl Naming {
    /// The version that a table called so has when it is up to date. Companions of a table have 1.
    fn newest(&self, table: Table, name: &str) -> u32 {
        let of_table = self.migrations.iter().filter(|migration| migration.table == table);
        let newest = of_table.map(|migration| migration.version).max().unwrap_or(1);
        if name == self.name(table) { newest } else { 1 }
    }

    /// Why a table, or a companion of it, cannot be used by this program, if a newer one has changed it.
    pub(super) fn refusal(&self, table: Table, recorded: &Recorded) -> Option<String> {
        let newest = self.newest(table, &recorded.table);
        let Recorded { table: name, version, applied_by } = recorded;
        (*version > newest).then(|| {
            format!(
                "table {} has version {version}, made by {applied_by}, and this program, {PROGRAM}, knows it up to \
                 version {newest}; run the newer program, or name another table with `{}`; if the table was dropped and \
                 made by an older program since, delete its rows from {}",
                self.qualified(name),
                table.setting(),
                self.versions_table(),
            )
        })
    }

    /// The table of versions as it stands in a query.
    pub(super) fn versions_table(&self) -> String {
        self.qualified(SCHEMA_VERSIONS)
    }

    /// The statement that creates the table of versions.
    ///
    /// Its engine is replicated if that of the other tables is. What else they have, such as the column by which
    /// `ReplacingMergeTree` chooses rows, it has not.
    pub(super) fn create_versions(&self) -> String {
        let (name, parameters) = self.engine.split_once('(').unwrap_or((&self.engine, ""));
        let replication = ["Replicated", "Shared"].into_iter().find(|prefix| name.starts_with(prefix));
        // Path and replica come first and are in quotation marks.
        let parameters = parameters.trim_end_matches(')').split(',').map(str::trim);
        let places: Vec<&str> = parameters.take_while(|parameter| parameter.starts_with('\'')).collect();
        let engine = match replication {
            Some(replication) => format!("{replication}MergeTree({})", places.join(", ")),
            None => "MergeTree".to_owned(),
        };
        let statement = include_str!("sql/schema_versions.sql")
            .replace("{table}", &self.versions_table())
            .replace("{cluster}", &self.on_cluster());
        statement.replace("{engine}", &engine)
    }

    /// The statement that writes down that a table has a version. Two processes may both do it.
    pub(super) fn record(&self, name: &str, version: u32) -> String {
        let (versions, name, program) = (self.versions_table(), literal(name), literal(PROGRAM));
        format!("INSERT INTO {versions} (`table`, version, applied_by) VALUES ({name}, {version}, {program})")
    }

    /// The question for the versions of these tables; a row is a [`Recorded`].
    pub(super) fn versions_of(&self, names: &[&str]) -> String {
        format!(
            "SELECT `table`, max(version), toString(argMax(applied_by, version)) FROM {} WHERE `table` IN ({}) \
             GROUP BY `table`",
            self.versions_table(),
            literals(names)
        )
    }

    /// What a table of this version lacks, oldest first.
    pub(super) fn missing(&self, table: Table, version: u32) -> impl Iterator<Item = &'static Migration> {
        let all: &'static [Migration] = self.migrations;
        all.iter().filter(move |migration| migration.table == table && migration.version > version)
    }

    /// The statement of a migration.
    pub(super) fn alter(&self, migration: &Migration) -> String {
        let added: Vec<String> =
            migration.columns.iter().map(|column| format!("ADD COLUMN IF NOT EXISTS {column}")).collect();
        format!("ALTER TABLE {}{} {}", self.quoted(migration.table), self.on_cluster(), added.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tables::naming;
    use super::*;

    #[test]
    fn versions_of_a_table_count_up_from_two() {
        let mut last = BTreeMap::new();
        for migration in MIGRATIONS {
            let last = last.entry(migration.table.index()).or_insert(1);
            assert_eq!(migration.version, *last + 1, "{migration:?}");
            assert!(!migration.columns.is_empty(), "{migration:?}");
            *last = migration.version;
        }
    }

    #[test]
    fn the_table_of_versions_is_replicated_where_the_others_are() {
        let engine = |engine: &str| {
            let statement = Naming { engine: engine.into(), ..naming() }.create_versions();
            statement.split_once("ENGINE = ").unwrap().1.lines().next().unwrap().to_owned()
        };
        assert_eq!(engine("MergeTree()"), "MergeTree");
        assert_eq!(engine("ReplacingMergeTree(Timestamp)"), "MergeTree");
        assert_eq!(
            engine("ReplicatedReplacingMergeTree('/t/{shard}/{table}', '{replica}', Timestamp)"),
            "ReplicatedMergeTree('/t/{shard}/{table}', '{replica}')"
        );
        assert_eq!(engine("SharedMergeTree()"), "SharedMergeTree()");
    }

    #[test]
    fn statements_for_a_cluster_say_so() {
        let naming = Naming { cluster: "c".into(), ..naming() };
        assert!(
            naming.create_versions().starts_with(
                "CREATE TABLE IF NOT EXISTS `db`.`watershed_schema_versions` ON CLUSTER `c` (\n"
            )
        );
        let migration = Migration { table: Table::Logs, version: 2, columns: &["A String", "B UInt8"] };
        assert_eq!(
            naming.alter(&migration),
            "ALTER TABLE `db`.`logs` ON CLUSTER `c` ADD COLUMN IF NOT EXISTS A String, ADD COLUMN IF NOT EXISTS B UInt8"
        );
    }
}
