//! The tables that this exporter writes to: which there are, what they are called, and how they are created.
//!
//! The statements in `sql/` are those of the Collector's current tables. One thing is added: tables that are not
//! replicated remember the last inserts (`non_replicated_deduplication_window`), as replicated ones do by themselves, so
//! that an insert that is tried again after a lost answer is stored once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use watershed_config::BuildError;
use watershed_pipeline::MetricKind;

use super::columns::{LOGS, TRACES};
use super::field::Wanted;
use super::metric_columns;
use super::versions::Migration;

/// Inserts that a table created here remembers.
const REMEMBERED_INSERTS: u32 = 1000;

/// One of the Collector's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Logs,
    Traces,
    Metrics(MetricKind),
}

/// The kinds of metrics that have a table.
pub(super) const KINDS: [MetricKind; 5] = [
    MetricKind::Gauge,
    MetricKind::Sum,
    MetricKind::Histogram,
    MetricKind::ExponentialHistogram,
    MetricKind::Summary,
];

/// Names, and what else the statements that create tables need.
#[derive(Clone, Debug)]
pub(super) struct Naming {
    pub(super) database: String,
    pub(super) logs: String,
    pub(super) traces: String,
    /// In the order of [`KINDS`].
    pub(super) metrics: [String; 5],
    pub(super) cluster: String,
    /// `MergeTree`, or another engine with its parameters.
    pub(super) engine: String,
    pub(super) ttl: Duration,
    pub(super) json: bool,
    /// Columns with other names than in the Collector's tables: of logs, traces and metrics.
    pub(super) columns: [BTreeMap<String, Option<String>>; 3],
    /// What the tables have beyond their first versions.
    pub(super) migrations: &'static [Migration],
}

/// A table, or a view that fills one.
pub(super) struct Creation {
    /// Without the database.
    pub(super) name: String,
    /// What creates it, if it is not there.
    pub(super) statement: String,
    pub(super) is_view: bool,
}

impl Table {
    /// All tables.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [Self::Logs, Self::Traces].into_iter().chain(KINDS.map(Self::Metrics))
    }

    /// The place of the table among all: logs, traces, then metrics in the order of [`KINDS`].
    pub(super) fn index(self) -> usize {
        match self {
            Self::Logs => 0,
            Self::Traces => 1,
            Self::Metrics(kind) => 2 + KINDS.iter().position(|other| *other == kind).unwrap_or_default(),
        }
    }

    /// The columns that it should have.
    pub(super) fn wanted(self) -> Vec<&'static Wanted> {
        match self {
            Self::Logs => LOGS.iter().collect(),
            Self::Traces => TRACES.iter().collect(),
            Self::Metrics(kind) => metric_columns::wanted(kind),
        }
    }

    /// The column with the time of a row.
    pub(super) fn time(self) -> &'static str {
        match self {
            Self::Logs | Self::Traces => "Timestamp",
            Self::Metrics(_) => "TimeUnix",
        }
    }

    /// The setting that names it.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Logs => "logs_table_name",
            Self::Traces => "traces_table_name",
            Self::Metrics(_) => "metrics_tables",
        }
    }
}

impl Naming {
    pub(super) fn name(&self, table: Table) -> &str {
        match table {
            Table::Logs => &self.logs,
            Table::Traces => &self.traces,
            Table::Metrics(_) => self.metrics.get(table.index() - 2).map_or("", String::as_str),
        }
    }

    /// The columns of a table that have other names than usual.
    fn renamed(&self, table: Table) -> &BTreeMap<String, Option<String>> {
        let [logs, traces, metrics] = &self.columns;
        match table {
            Table::Logs => logs,
            Table::Traces => traces,
            Table::Metrics(_) => metrics,
        }
    }

    /// Whether the table is of the user's own making, and so is never created here.
    pub(super) fn is_foreign(&self, table: Table) -> bool {
        !self.renamed(table).is_empty()
    }

    /// The table's name of a column of ours; none if the user wants it left out.
    pub(super) fn column<'a>(&'a self, table: Table, ours: &'a str) -> Option<&'a str> {
        self.renamed(table).get(ours).map_or(Some(ours), |name| name.as_deref())
    }

    /// Looks for names of columns that there are not, and for two columns with one name.
    ///
    /// # Errors
    /// Names the setting, and what it may be.
    pub(super) fn check_columns(&self) -> Result<(), BuildError> {
        let signals = [
            ("columns.logs", vec![Table::Logs]),
            ("columns.traces", vec![Table::Traces]),
            ("columns.metrics", KINDS.map(Table::Metrics).into()),
        ];
        for ((setting, tables), renamed) in signals.into_iter().zip(&self.columns) {
            let known: BTreeSet<&str> =
                tables.iter().flat_map(|table| table.wanted()).map(|wanted| wanted.name).collect();
            if let Some(ours) = renamed.keys().find(|ours| !known.contains(ours.as_str())) {
                let known = known.iter().copied().collect::<Vec<_>>().join(", ");
                return Err(BuildError::at(
                    setting,
                    format!("there is no column `{ours}`; there are {known}"),
                ));
            }
            for table in tables {
                let mut taken = BTreeSet::new();
                for wanted in table.wanted() {
                    let Some(name) = self.column(table, wanted.name) else { continue };
                    if !taken.insert(name) {
                        let message = format!(
                            "gives two columns the name `{name}`; name each table column once, or set one to null"
                        );
                        return Err(BuildError::at(setting, message));
                    }
                }
            }
        }
        Ok(())
    }

    /// Database and table as they stand in a query.
    pub(super) fn quoted(&self, table: Table) -> String {
        self.qualified(self.name(table))
    }

    /// The question for the engine of a table.
    pub(super) fn engine_of(&self, table: Table) -> String {
        let (database, name) = (literal(&self.database), literal(self.name(table)));
        format!("SELECT engine FROM system.tables WHERE database = {database} AND name = {name}")
    }

    /// Database and table as they stand in a query, for a table of this name.
    pub(super) fn qualified(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.database), quoted(name))
    }

    /// The statement that creates the database, if it is not the one that every server has.
    pub(super) fn create_database(&self) -> Option<String> {
        let statement =
            format!("CREATE DATABASE IF NOT EXISTS {}{}", quoted(&self.database), self.on_cluster());
        (self.database != "default").then_some(statement)
    }

    /// A table and what belongs to it; the server's version decides about its indexes.
    pub(super) fn create(&self, table: Table, version: (u32, u32)) -> Vec<Creation> {
        let name = self.name(table);
        let create = |suffix: &str, template: &str, time: &str| Creation {
            name: format!("{name}{suffix}"),
            statement: self.fill(template, name, time),
            is_view: template.starts_with("CREATE MATERIALIZED VIEW"),
        };
        match table {
            Table::Logs => vec![create("", &self.logs_template(version), "toDateTime(Timestamp)")],
            Table::Traces => {
                let spans = if self.json {
                    include_str!("sql/traces_json.sql")
                } else {
                    include_str!("sql/traces.sql")
                };
                vec![
                    create("", spans, "toDateTime(Timestamp)"),
                    create("_trace_id_ts", include_str!("sql/trace_times.sql"), "toDateTime(Start)"),
                    create("_trace_id_ts_mv", include_str!("sql/trace_times_view.sql"), ""),
                ]
            }
            Table::Metrics(kind) => {
                let columns = match kind {
                    MetricKind::Empty => return Vec::new(),
                    MetricKind::Gauge => include_str!("sql/metrics_gauge.sql"),
                    MetricKind::Sum => include_str!("sql/metrics_sum.sql"),
                    MetricKind::Histogram => include_str!("sql/metrics_histogram.sql"),
                    MetricKind::ExponentialHistogram => {
                        include_str!("sql/metrics_exponential_histogram.sql")
                    }
                    MetricKind::Summary => include_str!("sql/metrics_summary.sql"),
                };
                let template = include_str!("sql/metrics.sql").replace("{columns}", &indented(columns));
                vec![create("", &template, "toDateTime(TimeUnix)")]
            }
        }
    }

    fn logs_template(&self, version: (u32, u32)) -> String {
        if self.json {
            return include_str!("sql/logs_json.sql").to_owned();
        }
        let indexes = if version >= (26, 2) {
            include_str!("sql/logs_indexes_text.sql")
        } else {
            include_str!("sql/logs_indexes_bloom.sql")
        };
        include_str!("sql/logs.sql").replace("{indexes}", &indented(indexes))
    }

    fn fill(&self, template: &str, name: &str, time: &str) -> String {
        let is_plain = self.engine.contains("MergeTree")
            && !["Replicated", "Shared"].iter().any(|prefix| self.engine.starts_with(prefix));
        let settings = if is_plain {
            format!(", non_replicated_deduplication_window = {REMEMBERED_INSERTS}")
        } else {
            String::new()
        };
        template
            .replace("{cluster}", &self.on_cluster())
            .replace("{ttl}\n", &self.ttl(time))
            .replace("{settings}", &settings)
            .replace("{table}", &self.qualified(name))
            .replace("{lookup}", &self.qualified(&format!("{name}_trace_id_ts")))
            .replace("{view}", &self.qualified(&format!("{name}_trace_id_ts_mv")))
            // Last, because its parameters may have a `{table}` that is ClickHouse's own.
            .replace("{engine}", &self.engine)
    }

    /// What follows the name in statements that are for a whole cluster.
    pub(super) fn on_cluster(&self) -> String {
        if self.cluster.is_empty() { String::new() } else { format!(" ON CLUSTER {}", quoted(&self.cluster)) }
    }

    /// How long rows are kept, in the largest unit that divides it.
    fn ttl(&self, time: &str) -> String {
        let seconds = self.ttl.as_secs();
        let (unit, length) = match seconds {
            0 => return String::new(),
            _ if seconds.is_multiple_of(86_400) => ("Day", 86_400),
            _ if seconds.is_multiple_of(3_600) => ("Hour", 3_600),
            _ if seconds.is_multiple_of(60) => ("Minute", 60),
            _ => ("Second", 1),
        };
        format!("TTL {time} + toInterval{unit}({})\n", seconds / length)
    }
}

/// A name between backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Text between quotation marks.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Texts between quotation marks, with commas.
pub(super) fn literals(texts: &[&str]) -> String {
    texts.iter().map(|text| literal(text)).collect::<Vec<_>>().join(", ")
}

fn indented(lines: &str) -> String {
    lines.trim_end().replace('\n', "\n    ")
}

/// Names for tests.
#[cfg(test)]
pub(super) fn naming() -> Naming {
    Naming {
        database: "db".into(),
        logs: "logs".into(),
        traces: "traces".into(),
        metrics: ["g", "s", "h", "e", "q"].map(str::to_owned),
        cluster: String::new(),
        engine: "MergeTree".into(),
        ttl: Duration::from_secs(72 * 3600),
        json: false,
        columns: Default::default(),
        migrations: &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_names_of_columns_are_told_with_what_there_is() {
        let error = |ours: &str, theirs: &str| {
            let mut naming = naming();
            naming.columns[2] = [(ours.to_owned(), Some(theirs.to_owned()))].into();
            naming.check_columns().map_err(|error| error.to_string())
        };
        assert_eq!(error("Value", "v"), Ok(()));
        let unknown = error("Body", "v").unwrap_err();
        assert!(
            unknown.contains("there is no column `Body`; there are AggregationTemporality, "),
            "{unknown}"
        );
        let twice = error("Value", "Flags").unwrap_err();
        assert!(twice.contains("gives two columns the name `Flags`"), "{twice}");
    }

    #[test]
    fn no_placeholder_is_left_and_no_two_statements_are_equal() {
        for json in [false, true] {
            let naming = Naming { json, ..naming() };
            let creations = Table::all().flat_map(|table| naming.create(table, (26, 9)));
            let statements: Vec<String> = creations.map(|creation| creation.statement).collect();
            assert_eq!(statements.len(), 9);
            for statement in &statements {
                let rest = statement.replace("{ttl}", "");
                assert!(!rest.contains('{') && !statement.contains("{ttl}"), "{statement}");
            }
        }
    }

    #[test]
    fn cluster_engine_and_ttl_stand_in_the_statements() {
        let naming = Naming {
            cluster: "c`1".into(),
            engine: "ReplicatedMergeTree('/t/{shard}/{table}', '{replica}')".into(),
            ttl: Duration::from_secs(90 * 60),
            ..naming()
        };
        let statement = &naming.create(Table::Logs, (25, 8))[0].statement;
        for part in [
            "`db`.`logs` ON CLUSTER `c\\`1` (",
            "ENGINE = ReplicatedMergeTree('/t/{shard}/{table}', '{replica}')\n",
            "TTL toDateTime(Timestamp) + toIntervalMinute(90)\n",
            "bloom_filter",
        ] {
            assert!(statement.contains(part), "{part} in {statement}");
        }
        assert!(!statement.contains("non_replicated"), "{statement}");
        assert!(naming.create_database().unwrap().ends_with("`db` ON CLUSTER `c\\`1`"));
    }

    #[test]
    fn tables_that_are_not_replicated_remember_inserts() {
        for table in Table::all() {
            let statement = &naming().create(table, (26, 9))[0].statement;
            assert!(statement.contains("non_replicated_deduplication_window = 1000"), "{statement}");
        }
    }
}
