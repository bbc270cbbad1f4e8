//! The encoder without a server, for benchmarks: bodies for tables with the types of the Collector's current ones.

use bytes::Bytes;
use watershed_pipeline::{Batch, Signal};

use super::Compression;
use super::block::{self, Column};
use super::delivery::rows;
use super::tables::{KINDS, Table};
use super::wire::Kind;

/// Columns that the Collector's tables have as `LowCardinality(String)`.
const LOW_CARDINALITY: [&str; 10] = [
    "Events.Name",
    "MetricName",
    "ResourceSchemaUrl",
    "ScopeSchemaUrl",
    "ScopeVersion",
    "ServiceName",
    "SeverityText",
    "SpanKind",
    "SpanName",
    "StatusCode",
];

/// Tables and compression, chosen once.
pub struct Encoder {
    tables: Vec<(Table, Vec<Column>)>,
    compression: Compression,
}

impl Encoder {
    /// An encoder for a signal; the compression is `lz4`, `zstd` or `none`.
    #[must_use]
    pub fn new(signal: Signal, compression: &str) -> Self {
        let tables = match signal {
            Signal::Logs => vec![Table::Logs],
            Signal::Traces => vec![Table::Traces],
            Signal::Metrics => KINDS.map(Table::Metrics).into(),
        };
        let compression = match compression {
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd,
            _ => Compression::None,
        };
        Self { tables: tables.into_iter().map(|table| (table, columns(table))).collect(), compression }
    }

    /// The bodies of the inserts of a batch.
    #[must_use]
    pub fn bodies(&self, batch: &Batch) -> Vec<Bytes> {
        let body = |(table, columns): &(Table, Vec<Column>)| {
            let rows = rows(batch, *table);
            if rows.is_empty() { None } else { block::encode(columns, &rows, self.compression).ok() }
        };
        self.tables.iter().filter_map(body).collect()
    }
}

fn columns(table: Table) -> Vec<Column> {
    let column = |wanted: &&super::field::Wanted| {
        let kind = wanted.field.kind();
        let wire = kind.wire(&type_of(wanted.name, kind, table))?;
        Some(Column { name: wanted.name.to_owned(), field: wanted.field, wire })
    };
    table
        .wanted()
        .iter()
        .filter(|wanted| wanted.is_needed || wanted.name == "EventName")
        .filter_map(column)
        .collect()
}

fn type_of(name: &str, kind: Kind, table: Table) -> String {
    match kind {
        Kind::Time if matches!(table, Table::Metrics(_)) => "DateTime".to_owned(),
        Kind::Time => "DateTime64(9)".to_owned(),
        Kind::Text if LOW_CARDINALITY.contains(&name) => "LowCardinality(String)".to_owned(),
        Kind::Text => "String".to_owned(),
        Kind::Whole { .. } if matches!(name, "SeverityNumber" | "TraceFlags") => "UInt8".to_owned(),
        Kind::Whole { is_signed: true } => "Int32".to_owned(),
        Kind::Whole { is_signed: false } => "UInt64".to_owned(),
        Kind::Float => "Float64".to_owned(),
        Kind::Bool => "Bool".to_owned(),
        Kind::Attributes => "Map(LowCardinality(String), String)".to_owned(),
        Kind::Array(inner) => format!("Array({})", type_of(name, *inner, table)),
    }
}
