//! Writes telemetry into ClickHouse.

mod as_text;
mod block;
mod body;
mod columns;
mod field;
mod map;
mod metric_columns;
mod row;
mod texts;
mod wire;

/// How bodies are made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Lz4,
    Zstd,
    None,
}
