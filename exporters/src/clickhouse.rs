//! Writes logs, traces and metrics into ClickHouse, into the tables that the OpenTelemetry Collector writes to.
//!
//! ```yaml
//! clickhouse:
//!   endpoint: http://clickhouse-1:8123,clickhouse-2:8123
//!   database: otel
//!   username: otel
//!   password: ${env:CLICKHOUSE_PASSWORD}
//!   ttl: 72h
//! ```
//!
//! **Tables.** `otel_logs`, `otel_traces` with `otel_traces_trace_id_ts` and its view, and five `otel_metrics_…`. They are
//! created when they are not there (`create_schema`), as the Collector's newest version creates them. Existing tables of
//! any version are recognised with `DESCRIBE TABLE`: with and without `EventName`, with `DateTime` or `DateTime64`, with
//! attributes as `Map` or as `JSON`; columns that this exporter does not know get their defaults. A column that is
//! missing, or that cannot hold what belongs there, is named in the error. A ClickHouse that is down at the start is no
//! error: tables are looked at with the first batch.
//!
//! **Versions.** Which tables were created here, in which version and by which program, is written down in
//! `watershed_schema_versions` in the same database. A later program adds the columns that its version of such a table has
//! more (`ALTER TABLE … ADD COLUMN`). A table that is not written down there, because the Collector or you created it, is
//! never altered. A table that a newer program has brought up to date is refused before the first insert, with what to do
//! about it. Several processes may start at the same time. `create_schema` takes the rights CREATE TABLE, CREATE VIEW and
//! ALTER ADD COLUMN, SELECT and INSERT for `watershed_schema_versions`, and CREATE DATABASE where the database is missing;
//! with `create_schema: false` tables are used as they are.
//!
//! Columns of a table of your own are named by the names that they have in the Collector's tables; `null` leaves one out:
//!
//! ```yaml
//! clickhouse:
//!   endpoint: http://clickhouse:8123
//!   logs_table_name: app_logs
//!   columns: {logs: {Timestamp: ts, Body: message, ScopeSchemaUrl: null, ResourceSchemaUrl: null}}
//! ```
//!
//! **Values** are those that the Collector writes: attributes as text, sorted by key; ids in hexadecimal; the time a log
//! record was observed where it has none of its own. Two differences: the duration of a span that ends before it starts
//! is 0, and a list or map with a number that JSON lacks is written with `null` in its place.
//!
//! **Inserts** are sent over HTTP in ClickHouse's Native format, compressed in its own blocks. Each carries an
//! `insert_deduplication_token`: the number that the sending queue gave the batch, which is kept on disk with it, or a
//! checksum of the data where there is no such number. When an answer is lost and the batch is sent again, even after
//! either side has crashed, a table with a deduplication window stores it once. Replicated tables have such a window, and
//! so have tables created here; for others set `non_replicated_deduplication_window`. Views behind a table are treated
//! alike (`deduplicate_blocks_in_dependent_materialized_views`). With `async_insert`, which is off by default because
//! batches are large already, ClickHouse gathers inserts itself and tokens have no effect.
//!
//! **Batches** are merged until they have 10,000 rows or the first has waited for a second, because each insert makes a
//! part that ClickHouse has to merge; the files of the Collector have the `batch` processor for it. The queue on disk
//! writes down what it merged before it is sent, so that the same rows go out under the same number after a crash.
//! Other sizes: `sending_queue: {batch: {min_size: 50000, flush_timeout: 5s}}`; `min_size: 1` sends batches as they come.
//!
//! **A `Distributed` table** of your own is written to like any other, and tokens reach the shards. Let its sharding key
//! depend on the row alone, such as `cityHash64(TraceId)`, and not on chance (`rand()`), so that an insert that reached only
//! some of the shards is split in the same way when it is sent again. The server answers when it has the rows on its
//! own disk; with `connection_params: {distributed_foreground_insert: 1}` it answers when the shards have them.
//!
//! **A crash of ClickHouse** can leave a token in a table that is not replicated without the rows that belong to it. So
//! when an attempt had no answer, and the server has started since, the rows are compared with those of the table after
//! the next attempt, and those that are missing are stored. The user needs the right to read the table for it. It is done
//! with a single server; a plain `Distributed` table in front is not looked through. ClickHouse syncs to disk late: what a
//! power failure takes with it, no answer tells; set `fsync_after_insert` in the tables for that.
//!
//! **Errors.** Too many parts, memory or time limits, a table that is read only, a network that fails: tried again, on the
//! next of several servers where that can help. An insert that spans too many partitions or is too large is halved.
//! Records that ClickHouse refuses (a broken constraint, a value that it can't convert) are found by halving and given
//! up, with its words. A wrong password, a missing database or right, a table that does not fit: before the first insert
//! that works, the process stops and says what to do; later it is tried again, because somebody is at work there.
//!
//! Signals: all. Order: as the queue has it. Memory: for each insert that runs, its compressed body and the columns of
//! values in the making. Metrics go to one table for each kind of metric, one insert each. Source: contrib's
//! `exporter/clickhouseexporter`; settings of its native protocol are accepted, and addresses such as `tcp://host:9000`
//! become `http://host:8123`.

mod address;
mod as_text;
mod block;
mod body;
mod columns;
mod delivery;
mod doctor;
mod doubt;
mod field;
mod layout;
mod map;
mod measure;
mod metric_columns;
mod row;
mod schema;
mod server;
mod tables;
mod texts;
mod verdict;
mod versions;
mod wire;

#[cfg(test)]
#[path = "../tests/clickhouse/engine.rs"]
mod engine;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Period, Secret};
use watershed_pipeline::{
    AuthSettings, Batch, BatchOptions, Context, ExportError, Exporter, ExporterConfig, Reach, Sizer,
};

pub use self::doctor::check;
pub use self::measure::Encoder;

use self::address::Connection;
use self::delivery::Delivery;
use self::server::Servers;
use self::tables::Naming;
use crate::client::{self, Credentials, Tls};

/// Settings of the exporter.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The servers: `http://host1:8123,host2:8123/database?name=value`. Required. A user and password may stand before the
    /// first host, as `user:password@`, but only `password` is hidden where the configuration is shown. Parameters are settings of ClickHouse,
    /// but for those of the Collector: `compress`, `secure`, `async_insert`, `username`, `password`, `database`, and
    /// `connection_open_strategy` (`in_order`, `round_robin` or `random`).
    endpoint: String,
    /// The user. Default: that of the endpoint, else `default`.
    #[serde(default)]
    username: String,
    /// The password. Default: that of the endpoint.
    password: Option<Secret>,
    /// The database. Default: that of the endpoint, else `default`.
    #[serde(default)]
    database: String,
    /// Further parameters of the endpoint: settings of ClickHouse that go along with every query.
    #[serde(default)]
    connection_params: BTreeMap<String, String>,
    /// Headers that are sent along, for proxies in between. Default none.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Who we are, to proxies in between and to ClickHouse if there is no `username`: names an extension such as
    /// `bearertokenauth` or `basicauth`. Default none.
    auth: Option<AuthSettings>,
    /// How long rows are kept, in tables that are created here. Default 0: for ever.
    #[serde(default = "ttl")]
    ttl: Period,
    /// Whether tables that are not there are created, and those that were created here brought up to date. Default `true`;
    /// switch it off where the user may not.
    #[serde(default = "create_schema")]
    create_schema: bool,
    /// How bodies are made smaller. Default `lz4`; `zstd` makes half the bytes of it, for a little more time here and on the server.
    compress: Option<Compress>,
    /// Whether ClickHouse gathers inserts before it writes them. Default `false`; for many senders of small batches.
    async_insert: Option<bool>,
    /// Whether tables that are created here have attributes of type JSON. Default `false`; takes ClickHouse 25 or newer.
    #[serde(default)]
    json: bool,
    /// Certificates and keys.
    #[serde(default)]
    tls: Tls,
    /// The table for log records. Default `otel_logs`.
    #[serde(default = "logs_table_name")]
    logs_table_name: String,
    /// The table for spans; the names of its companions begin with it. Default `otel_traces`.
    #[serde(default = "traces_table_name")]
    traces_table_name: String,
    /// The tables for data points.
    #[serde(default)]
    metrics_tables: MetricsTables,
    /// Other names of columns, for tables of your own.
    #[serde(default)]
    columns: Columns,
    /// What the names of the tables for data points begin with; `metrics_tables` says it better.
    #[serde(default)]
    metrics_table_name: String,
    /// Accepted for files of the Collector; there are no profiles here.
    #[serde(default, rename = "profiles_table_name")]
    _profiles_table_name: String,
    /// The cluster on which tables are created. Default none.
    #[serde(default)]
    cluster_name: String,
    /// The engine of tables that are created here.
    #[serde(default)]
    table_engine: TableEngine,
}

/// The tables for data points, one for each kind of metric.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct MetricsTables {
    /// Default `otel_metrics_gauge`.
    gauge: Named,
    /// Default `otel_metrics_sum`.
    sum: Named,
    /// Default `otel_metrics_summary`.
    summary: Named,
    /// Default `otel_metrics_histogram`.
    histogram: Named,
    /// Default `otel_metrics_exponential_histogram`.
    exponential_histogram: Named,
}

/// Names of columns by the names that they have in the Collector's tables, for instance `{Body: message}`. A column that
/// is not named here has its usual name; one that is `null` is not written. A table with names here is not created.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Columns {
    /// In the table for log records. Default none.
    logs: Renamed,
    /// In the table for spans. Default none.
    traces: Renamed,
    /// In all tables for data points. Default none.
    metrics: Renamed,
}

/// From our name of a column to the table's.
type Renamed = BTreeMap<String, Option<String>>;

/// A table's name.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Named {
    /// The name.
    name: Option<String>,
}

/// An engine of ClickHouse.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TableEngine {
    /// Default `MergeTree`; for instance `ReplicatedMergeTree`.
    name: Option<String>,
    /// What stands in the engine's parentheses, for instance `'/clickhouse/tables/{shard}/{table}', '{replica}'`.
    params: String,
}

/// Names of compressions. Those that ClickHouse's own blocks don't know mean `lz4`.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Compress {
    /// Fast.
    #[serde(alias = "gzip", alias = "deflate", alias = "br", alias = "true")]
    Lz4,
    /// Small.
    Zstd,
    /// As it is.
    #[serde(alias = "false")]
    None,
}

/// How bodies are made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Lz4,
    Zstd,
    None,
}

fn ttl() -> Period {
    Period::seconds(0)
}

fn create_schema() -> bool {
    true
}

fn logs_table_name() -> String {
    "otel_logs".to_owned()
}

fn traces_table_name() -> String {
    "otel_traces".to_owned()
}

impl ExporterConfig for Config {
    const TYPE: &'static str = "clickhouse";
    const SOURCE: &'static str = include_str!("clickhouse.rs");
    const REACH: Reach = Reach::Network { timeout: Duration::from_secs(30) };
    const BATCH: Option<BatchOptions> = Some(BatchOptions {
        flush_timeout: Period::seconds(1),
        min_size: 10_000,
        max_size: 0,
        sizer: Some(Sizer::Items),
    });
    type Exporter = ClickHouse;

    fn build(&self, cx: &Context) -> Result<ClickHouse, BuildError> {
        let credentials = Credentials::new(self.auth.as_ref(), cx)?;
        let mut connection = Connection::new(&self.endpoint, &self.connection_params)?;
        if !self.username.is_empty() {
            connection.user = Some(self.username.clone());
        }
        if let Some(password) = &self.password {
            connection.password = Some(password.clone());
        }
        if !self.database.is_empty() {
            connection.database.clone_from(&self.database);
        }
        let compression = match self.compress {
            Some(Compress::Lz4) => Compression::Lz4,
            Some(Compress::Zstd) => Compression::Zstd,
            Some(Compress::None) => Compression::None,
            None => connection.compression.unwrap_or(Compression::Lz4),
        };
        let async_insert = self.async_insert.or(connection.async_insert).unwrap_or(false);
        let naming = self.naming(&connection.database);
        naming.check_columns()?;
        let servers = Servers::new(connection, &self.tls, client::headers(&self.headers)?, credentials)?;
        Ok(ClickHouse(Delivery::new(servers, naming, self.create_schema, compression, async_insert)))
    }
}

impl Config {
    fn naming(&self, database: &str) -> Naming {
        let prefix =
            if self.metrics_table_name.is_empty() { "otel_metrics" } else { &self.metrics_table_name };
        let name = |named: &Named, suffix: &str| {
            named.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| format!("{prefix}_{suffix}"))
        };
        let tables = &self.metrics_tables;
        let engine = self.table_engine.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("MergeTree");
        Naming {
            database: database.to_owned(),
            logs: self.logs_table_name.clone(),
            traces: self.traces_table_name.clone(),
            metrics: [
                name(&tables.gauge, "gauge"),
                name(&tables.sum, "sum"),
                name(&tables.histogram, "histogram"),
                name(&tables.exponential_histogram, "exponential_histogram"),
                name(&tables.summary, "summary"),
            ],
            cluster: self.cluster_name.clone(),
            engine: format!("{engine}({})", self.table_engine.params),
            ttl: self.ttl.duration(),
            json: self.json,
            columns: [&self.columns.logs, &self.columns.traces, &self.columns.metrics].map(Clone::clone),
            migrations: versions::MIGRATIONS,
        }
    }
}

/// Writes batches into ClickHouse.
pub(crate) struct ClickHouse(Delivery);

#[async_trait]
impl Exporter for ClickHouse {
    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        self.0.deliver(batch).await
    }

    async fn flush(&self) -> Result<(), ExportError> {
        self.0.servers().refresh();
        Ok(())
    }
}
