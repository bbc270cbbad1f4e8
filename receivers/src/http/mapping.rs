//! From the keys of a JSON object to the fields of a log record: the table of `parsers/keys.rs`, and what a preset calls
//! by other names.

use watershed_pipeline::parse::{Zone, time};
use watershed_pipeline::{RecordMut, Value};

use crate::parsers::keys::{Moment, lift};

/// Keys of flat JSON, which is written with all of them: `null` is as if the key were not there.
const NULLABLE: [&str; 10] = [
    "timestamp",
    "level",
    "logger",
    "message",
    "correlation_id",
    "user_id",
    "operation",
    "service",
    "module",
    "metadata",
];

/// Entries of an object that are taken apart; more would take time that grows with the square of their number.
pub(super) const ENTRIES_MAX: usize = 1024;

/// Names of a preset and the names that they stand for.
pub(super) struct Names {
    /// Keys, and those of the table, or attributes, that they stand for.
    pub(super) keys: &'static [(&'static str, &'static str)],
    /// Keys, and the attributes of the resource that they become.
    pub(super) resource: &'static [(&'static str, &'static str)],
}

/// Puts keys and values on a record. `now` is when they came, in nanoseconds since the Unix epoch.
pub(super) fn apply<'v>(
    entries: impl Iterator<Item = (&'v str, Value<'v>)> + Clone,
    names: &Names,
    now: u64,
    log: &mut RecordMut<'_>,
) {
    let of_resource = entries.clone().filter_map(|(key, value)| Some((known(names.resource, key)?, value)));
    let own = entries.filter_map(|(key, value)| {
        let is_absent = value == Value::Empty && NULLABLE.contains(&key);
        let is_elsewhere = known(names.resource, key).is_some() && value != Value::Empty;
        (!is_absent && !is_elsewhere).then(|| (known(names.keys, key).unwrap_or(key), value))
    });
    lift(own, None, Moment { zone: &Zone::UTC, observed: now }, None, log);
    let mut of_resource = of_resource.filter(|(_, value)| *value != Value::Empty).peekable();
    if of_resource.peek().is_some() {
        log.set_resource(|resource| of_resource.for_each(|(key, value)| resource.set_attribute(key, value)));
    }
}

fn known(names: &'static [(&'static str, &'static str)], key: &str) -> Option<&'static str> {
    names.iter().find(|(name, _)| *name == key).map(|(_, meant)| *meant)
}

/// A time in any common form, in nanoseconds since the Unix epoch.
pub(super) fn unix_nano(value: Value<'_>, now: u64) -> Option<u64> {
    match value {
        Value::Str(text) => time::detect(text, &Zone::UTC, now),
        Value::Int(number) => time::epoch(number),
        Value::Double(number) => time::epoch_double(number),
        _ => None,
    }
}
