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
            let raw = body.raw();
            let numbers = rows.iter().flat_map(|row| read(*row));
            numbers.for_each(|number| raw.extend_from_slice(&number.to_le_bytes()));
        }
        (Field::Bounds(read), Wire::Float32) => {
            write_ends(body, rows, running(|row| read(row).len()));
            let raw = body.raw();
            let numbers = rows.iter().flat_map(|row| read(*row));
            numbers.for_each(|number| raw.extend_from_slice(&(*number as f32).to_le_bytes()));
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
    use watershed_pipeline::{Batch, Signal};

    use super::super::columns::{LOGS, TRACES};
    use super::super::field::Wanted;
    use super::super::row;
    use super::*;

    fn columns(of: &'static [Wanted], types: &[(&str, &str)]) -> Vec<Column> {
        let column = |(name, type_name): &(&str, &str)| {
            let wanted = of.iter().find(|wanted| wanted.name == *name).unwrap();
            let wire = wanted.field.kind().wire(type_name).unwrap();
            Column { name: (*name).to_owned(), field: wanted.field, wire }
        };
        types.iter().map(column).collect()
    }

    /// A column's bytes, behind a header for one column and this many rows.
    #[track_caller]
    fn check(batch: &Batch, name: &str, type_name: &str, sent_as: &str, values: &[&[u8]]) {
        let (of, rows) = match batch.signal() {
            Signal::Traces => (TRACES, row::spans(batch)),
            _ => (LOGS, row::logs(batch)),
        };
        let block = encode(&columns(of, &[(name, type_name)]), &rows, Compression::None).unwrap();
        let mut golden = vec![1, rows.len() as u8];
        push_sized(&mut golden, name.as_bytes());
        push_sized(&mut golden, sent_as.as_bytes());
        golden.extend(values.concat());
        assert_eq!(block, golden, "{name} {type_name}");
    }

    fn logs() -> Batch {
        Batch::builder(Signal::Logs)
            .resource(|resource| resource.set_attribute("service.name", "shop"))
            .record(|log| {
                log.set_time_unix_nano(1_000_000_000_000_000_001);
                log.set_body("one");
                log.set_severity_number(300);
                log.set_attribute("b", 1_i64);
                log.set_attribute("a", "x");
            })
            .record(|log| {
                log.set_observed_time_unix_nano(2_000_000_000);
                log.set_attribute("c", true);
            })
            .record(|log| {
                log.set_attribute("b", 2_i64);
                log.set_attribute("a", "y");
            })
            .build()
    }

    const fn word(number: u64) -> [u8; 8] {
        number.to_le_bytes()
    }

    #[test]
    fn times_are_numbers_in_the_unit_of_the_table() {
        let [first, second] = [1_000_000_000_000_000_001, 2_000_000_000];
        check(
            &logs(),
            "Timestamp",
            "DateTime64(9)",
            "DateTime64(9)",
            &[&word(first), &word(second), &word(0)],
        );
        let (first, second) = (word(1_000_000_000_000), word(2_000));
        check(&logs(), "Timestamp", "DateTime64(3)", "DateTime64(3)", &[&first, &second, &word(0)]);
        let seconds = [1_000_000_000_u32, 2, 0].map(u32::to_le_bytes);
        check(&logs(), "Timestamp", "DateTime", "DateTime", &[seconds.as_flattened()]);
    }

    #[test]
    fn texts_are_plain_or_numbers_into_a_dictionary() {
        check(&logs(), "Body", "String", "String", &[b"\x03one\0\0"]);
        let low = "LowCardinality(String)";
        let dictionary = [word(1), word(0x600), word(1)];
        let values: [&[u8]; 4] = [dictionary.as_flattened(), b"\x04shop", &word(3), &[0, 0, 0]];
        check(&logs(), "ServiceName", low, low, &values);
    }

    #[test]
    fn numbers_are_clipped_to_their_type() {
        check(&logs(), "SeverityNumber", "UInt8", "UInt8", &[&[255, 0, 0]]);
        check(&logs(), "SeverityNumber", "Int8", "Int8", &[&[127, 0, 0]]);
        check(&logs(), "SeverityNumber", "Int32", "Int32", &[&[44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]);
    }

    #[test]
    fn maps_are_sorted_by_key() {
        let plain = "Map(String, String)";
        let ends = [word(2), word(3), word(5)];
        let values: [&[u8]; 3] =
            [ends.as_flattened(), b"\x01a\x01b\x01c\x01a\x01b", b"\x01x\x011\x04true\x01y\x012"];
        check(&logs(), "LogAttributes", plain, plain, &values);
        let low = "Map(LowCardinality(String), String)";
        let keys = [word(0x600), word(3)];
        let values: [&[u8]; 7] = [
            &word(1),
            ends.as_flattened(),
            keys.as_flattened(),
            b"\x01a\x01b\x01c",
            &word(5),
            &[0, 1, 2, 0, 1],
            b"\x01x\x011\x04true\x01y\x012",
        ];
        check(&logs(), "LogAttributes", low, low, &values);
        let json: &[u8] = b"\x0f{\"a\":\"x\",\"b\":1}\x0a{\"c\":true}\x0f{\"a\":\"y\",\"b\":2}";
        check(&logs(), "LogAttributes", "JSON", "String", &[json]);
    }

    #[test]
    fn what_is_of_the_resource_is_repeated_for_each_row() {
        let plain = "Map(String, String)";
        let ends = [word(1), word(2), word(3)];
        let keys = b"\x0cservice.name".repeat(3);
        let values = b"\x04shop".repeat(3);
        check(&logs(), "ResourceAttributes", plain, plain, &[ends.as_flattened(), &keys, &values]);
    }

    #[test]
    fn ids_are_hexadecimal_and_absent_ones_empty() {
        let span = Batch::builder(Signal::Traces)
            .record(|span| span.set_span_ids([0xA9; 16], [0; 8], [0; 8]))
            .build();
        check(&span, "TraceId", "String", "String", &[b"\x20", b"a9".repeat(16).as_slice()]);
        check(&span, "SpanId", "String", "String", &[&[0]]);
        check(
            &span,
            "Events.Name",
            "Array(LowCardinality(String))",
            "Array(LowCardinality(String))",
            &[&word(1), &word(0)],
        );
    }
}
