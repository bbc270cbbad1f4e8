//! Rows to one block of ClickHouse's Native format: for each column its name, its type, and the values of all rows.
//!
//! Everything is read straight from the batch and appended to the body, column by column; only what a column needs
//! twice, or late, is gathered first (dictionaries, the values of maps).

use bytes::Bytes;
use watershed_pipeline::{Attributes, Value};

use super::Compression;
use super::as_text::push_object;
use super::body::Body;
use super::field::Field;
use super::map::write_maps;
use super::row::{Per, Row};
use super::texts::{Dictionary, Texts, push_length, push_sized, push_value_sized};
use super::wire::{Coding, Wire};

/// A column of a table, and what it is filled with.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) field: Field,
    pub(super) wire: Wire,
}

/// The body of an insert of these rows.
///
/// # Errors
/// Says why the compressor failed.
pub(super) fn encode(
    columns: &[Column],
    rows: &[Row<'_>],
    compression: Compression,
) -> Result<Bytes, String> {
    let mut body = Body::new(compression);
    push_length(body.raw(), columns.len());
    push_length(body.raw(), rows.len());
    for column in columns {
        push_sized(body.raw(), column.name.as_bytes());
        push_sized(body.raw(), column.wire.name().as_bytes());
        write_version(&mut body, &column.wire);
        write_values(&mut body, &column.field, &column.wire, rows);
        body.settle();
    }
    body.finish()
}

/// The version of the dictionaries inside, which stands before all values of a column.
fn write_version(body: &mut Body, wire: &Wire) {
    let codings = match wire {
        Wire::Text(coding) => [*coding, Coding::Plain],
        Wire::Map { keys, values } => [*keys, *values],
        Wire::Array(inner) => return write_version(body, inner),
        _ => return,
    };
    for _ in codings.into_iter().filter(|coding| *coding == Coding::Dictionary) {
        body.raw().extend_from_slice(&1_u64.to_le_bytes());
    }
}

fn write_values(body: &mut Body, field: &Field, wire: &Wire, rows: &[Row<'_>]) {
    match (field, wire) {
        (Field::Time(read), Wire::Seconds) => {
            write_each(body, rows, |row| {
                u32::try_from(read(row) / 1_000_000_000).unwrap_or(u32::MAX).to_le_bytes()
            });
        }
        (Field::Time(read), Wire::Ticks(precision)) => {
            let unit = 10_u64.pow(9_u32.saturating_sub(*precision));
            write_each(body, rows, |row| i64::try_from(read(row) / unit).unwrap_or(i64::MAX).to_le_bytes());
        }
        (Field::Text(per, read), Wire::Text(coding)) => write_texts(body, *coding, *per, rows, *read),
        (Field::Value(per, read), Wire::Text(coding)) => write_text_values(body, *coding, *per, rows, *read),
        (Field::TraceId(read), Wire::Text(coding)) => {
            write_ids(body, *coding, rows, *read);
        }
        (Field::SpanId(read), Wire::Text(coding)) => {
            write_ids(body, *coding, rows, *read);
        }
        (Field::Unsigned(read), Wire::Whole { bytes, is_signed }) => {
            write_whole(body, *bytes, *is_signed, rows.iter().map(|row| read(*row).into()));
        }
        (Field::Signed(read), Wire::Whole { bytes, is_signed }) => {
            write_whole(body, *bytes, *is_signed, rows.iter().map(|row| read(*row).into()));
        }
        (Field::Float(read), Wire::Float64) => write_each(body, rows, |row| read(row).to_le_bytes()),
        (Field::Float(read), Wire::Float32) => write_each(body, rows, |row| (read(row) as f32).to_le_bytes()),
        (Field::Bool(read), Wire::Bool) => write_each(body, rows, |row| [u8::from(read(row))]),
        (Field::Attributes(per, read), Wire::Map { keys, values }) => {
            write_maps(body, [*keys, *values], *per, rows, *read);
        }
        (Field::Attributes(per, read), Wire::Json) => write_json(body, *per, rows, *read),
        (_, Wire::Array(inner)) => write_arrays(body, field, inner, rows),
        _ => debug_assert!(false, "the type of a column is chosen by its field"),
    }
}

fn write_each<const N: usize>(body: &mut Body, rows: &[Row<'_>], read: impl Fn(Row<'_>) -> [u8; N]) {
    let raw = body.raw();
    raw.reserve(rows.len() * N);
    for row in rows {
        raw.extend_from_slice(&read(*row));
    }
    body.settle();
}

fn write_texts(
    body: &mut Body,
    coding: Coding,
    per: Per,
    rows: &[Row<'_>],
    read: for<'a> fn(Row<'a>) -> &'a str,
) {
    match coding {
        Coding::Plain => {
            for row in rows {
                push_sized(body.raw(), read(*row).as_bytes());
                body.settle();
            }
        }
        Coding::Dictionary => {
            write_dictionary(body, per, rows, |dictionary, row| dictionary.push(read(row).as_bytes()));
        }
    }
}

fn write_text_values(
    body: &mut Body,
    coding: Coding,
    per: Per,
    rows: &[Row<'_>],
    read: for<'a> fn(Row<'a>) -> Option<Value<'a>>,
) {
    let mut scratch = Vec::new();
    match coding {
        Coding::Plain => {
            for row in rows {
                push_value_sized(body.raw(), read(*row).unwrap_or(Value::Empty), &mut scratch);
                body.settle();
            }
        }
        Coding::Dictionary => write_dictionary(body, per, rows, |dictionary, row| {
            dictionary.push_value(read(row).unwrap_or(Value::Empty), &mut scratch);
        }),
    }
}

fn write_dictionary<'a>(
    body: &mut Body,
    per: Per,
    rows: &[Row<'a>],
    mut push: impl FnMut(&mut Dictionary, Row<'a>),
) {
    let mut dictionary = Dictionary::default();
    let mut previous: Option<Row<'a>> = None;
    for row in rows {
        match previous {
            Some(previous) if per.is_same(previous, *row) => dictionary.repeat_last(),
            _ => push(&mut dictionary, *row),
        }
        previous = Some(*row);
    }
    dictionary.write(body);
}

fn write_ids<const N: usize>(
    body: &mut Body,
    coding: Coding,
    rows: &[Row<'_>],
    read: fn(Row<'_>) -> [u8; N],
) {
    let mut digits = [[0; 2]; N];
    match coding {
        Coding::Plain => {
            for row in rows {
                push_sized(body.raw(), hex(read(*row), &mut digits));
                body.settle();
            }
        }
        Coding::Dictionary => write_dictionary(body, Per::Row, rows, |dictionary, row| {
            dictionary.push(hex(read(row), &mut digits));
        }),
    }
}

/// An id as lower-case hexadecimal digits; nothing for one that is all zero.
fn hex<const N: usize>(id: [u8; N], digits: &mut [[u8; 2]; N]) -> &[u8] {
    if id == [0; N] {
        return &[];
    }
    let digit = |nibble: u8| nibble + b'0' + u8::from(nibble > 9) * (b'a' - b'0' - 10);
    for (pair, byte) in digits.iter_mut().zip(id) {
        *pair = [digit(byte >> 4), digit(byte & 0x0F)];
    }
    digits.as_flattened()
}

/// Whole numbers, clipped to the range of their type.
fn write_whole(body: &mut Body, bytes: usize, is_signed: bool, numbers: impl Iterator<Item = i128>) {
    let bits = 8 * bytes - usize::from(is_signed);
    let most = (1_i128 << bits) - 1;
    let least = if is_signed { -most - 1 } else { 0 };
    let raw = body.raw();
    for number in numbers {
        let clipped = number.clamp(least, most).to_le_bytes();
        raw.extend_from_slice(clipped.get(..bytes).unwrap_or_default());
    }
    body.settle();
}

fn write_json(
    body: &mut Body,
    per: Per,
    rows: &[Row<'_>],
    read: for<'a> fn(Row<'a>) -> Option<Attributes<'a>>,
) {
    let mut text = Vec::new();
    let mut previous = None;
    for row in rows {
        if !previous.is_some_and(|previous| per.is_same(previous, *row)) {
            text.clear();
            push_object(
                &mut text,
                read(*row).map(|attributes| attributes.iter().collect()).unwrap_or_default(),
            );
        }
        push_sized(body.raw(), &text);
        body.settle();
        previous = Some(*row);
    }
}

fn write_arrays(body: &mut Body, field: &Field, inner: &Wire, rows: &[Row<'_>]) {
    match (field, inner) {
        (Field::Each(list, inner_field), _) => {
            let mut items = Vec::new();
            write_ends(body, rows, |row| {
                list(row, &mut items);
                items.len()
            });
            write_values(body, inner_field, inner, &items);
        }
        (Field::AttributeKeys(read), Wire::Text(coding)) => {
            let mut texts = Texts::new(*coding);
            let mut count = 0;
            write_ends(body, rows, |row| {
                let paths = read(row).map(paths).unwrap_or_default();
                paths.iter().for_each(|path| texts.push(path.as_bytes()));
                count += paths.len();
                count
            });
            texts.write(body);
        }
        (Field::Counts(read), Wire::Whole { bytes, is_signed }) => {
            write_ends(body, rows, running(|row| read(row).len()));
            let numbers = rows.iter().flat_map(|row| read(*row));
            write_whole(body, *bytes, *is_signed, numbers.map(|number| (*number).into()));
        }
        (Field::Bounds(read), Wire::Float64) => {
            write_ends(body, rows, running(|row| read(row).len()));
            body.raw().extend(rows.iter().flat_map(|row| read(*row)).flat_map(|number| number.to_le_bytes()));
        }
        (Field::Bounds(read), Wire::Float32) => {
            write_ends(body, rows, running(|row| read(row).len()));
            let numbers = rows.iter().flat_map(|row| read(*row));
            body.raw().extend(numbers.flat_map(|number| (*number as f32).to_le_bytes()));
        }
        _ => debug_assert!(false, "the type of a column is chosen by its field"),
    }
}

/// Where each row's items end among those of all rows.
fn write_ends<'a>(body: &mut Body, rows: &[Row<'a>], mut end: impl FnMut(Row<'a>) -> usize) {
    let raw = body.raw();
    raw.reserve(rows.len() * 8);
    for row in rows {
        raw.extend_from_slice(&(end(*row) as u64).to_le_bytes());
    }
    body.settle();
}

/// Turns the lengths of rows into their ends.
fn running<'a>(length: impl Fn(Row<'a>) -> usize) -> impl FnMut(Row<'a>) -> usize {
    let mut total = 0;
    move |row| {
        total += length(row);
        total
    }
}

/// The paths of attributes, sorted, each once; keys inside maps stand behind a dot.
fn paths(attributes: Attributes<'_>) -> Vec<String> {
    fn walk<'a>(prefix: &str, entries: impl Iterator<Item = (&'a str, Value<'a>)>, paths: &mut Vec<String>) {
        for (key, value) in entries {
            let path = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            match value {
                Value::Map(map) => walk(&path, map.iter(), paths),
                _ => paths.push(path),
            }
        }
    }
    let mut paths = Vec::with_capacity(attributes.len());
    walk("", attributes.iter(), &mut paths);
    paths.sort_unstable();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::columns::{LOGS, TRACES};
    use crate::clickhouse::row;
    use watershed_pipeline::{Batch, Signal};
    #[test]
    fn probe() {
        let batch = Batch::builder(Signal::Logs)
            .resource(|resource| {
                resource.set_attribute("z", "1");
                resource.set_attribute("service.name", "checkout")
            })
            .scope("orders", "1.2", |_| ())
            .record(|log| {
                log.set_body("order placed");
                log.set_attribute("order.id", 4711_i64);
                log.set_attribute("a", 0.5)
            })
            .record(|log| {
                log.set_body("order gone");
                log.set_attribute("order.id", 4712_i64);
                log.set_attribute("a", 1.5)
            })
            .build();
        let types: std::collections::HashMap<&str, &str> = [
            ("Timestamp", "DateTime64(9)"),
            ("ResourceAttributes", "Map(LowCardinality(String), String)"),
            ("ScopeAttributes", "Map(LowCardinality(String), String)"),
            ("LogAttributes", "Map(LowCardinality(String), String)"),
            ("TraceFlags", "UInt8"),
            ("SeverityNumber", "UInt8"),
            ("SeverityText", "LowCardinality(String)"),
            ("ServiceName", "LowCardinality(String)"),
        ]
        .into();
        let columns: Vec<Column> = LOGS
            .iter()
            .filter(|w| w.is_needed)
            .map(|w| Column {
                name: w.name.into(),
                field: w.field,
                wire: w.field.kind().wire(types.get(w.name).copied().unwrap_or("String")).unwrap(),
            })
            .collect();
        let rows = row::logs(&batch);
        std::fs::write("/tmp/body.lz4", encode(&columns, &rows, Compression::Lz4).unwrap()).unwrap();
        std::fs::write("/tmp/body.zstd", encode(&columns, &rows, Compression::Zstd).unwrap()).unwrap();
        std::fs::write("/tmp/body.none", encode(&columns, &rows, Compression::None).unwrap()).unwrap();
    }
}
