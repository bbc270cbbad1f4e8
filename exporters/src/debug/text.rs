//! What both forms of text have in common: values, times and counts, written as the Collector writes them.

use watershed_pipeline::json_text::push_hex;
use watershed_pipeline::{Attributes, Batch, Record, Signal, Value};

use crate::flat_json::push_value;
use watershed_pipeline::calendar::{Moment, push_digits};

/// The line with the counts of a batch.
pub(super) fn summary(batch: &Batch) -> String {
    let resources = runs(batch.records(), |one, other| one.resource().is_same(other.resource()));
    let items = batch.len();
    match batch.signal() {
        Signal::Logs => format!("Logs: resource logs: {resources}, log records: {items}\n"),
        Signal::Traces => format!("Traces: resource spans: {resources}, spans: {items}\n"),
        Signal::Metrics => {
            let metrics = runs(batch.points(), |one, other| one.metric().is_same(other.metric()));
            format!("Metrics: resource metrics: {resources}, metrics: {metrics}, data points: {items}\n")
        }
    }
}

/// How often something changes from item to item.
fn runs<T: Copy>(items: impl Iterator<Item = T>, is_same: impl Fn(T, T) -> bool) -> usize {
    let mut last = None;
    items.filter(|item| !last.replace(*item).is_some_and(|last| is_same(last, *item))).count()
}

/// Numbers resources and the scopes of each while the records go by.
#[derive(Default)]
pub(super) struct Groups<'a> {
    last: Option<Record<'a>>,
    resource: usize,
    scope: usize,
}

/// What begins with a record.
pub(super) struct Begins {
    /// The number of the resource, if a new one begins.
    pub(super) resource: Option<usize>,
    /// The number of the scope, if a new one begins.
    pub(super) scope: Option<usize>,
}

impl<'a> Groups<'a> {
    pub(super) fn see(&mut self, record: Record<'a>) -> Begins {
        let Some(last) = self.last.replace(record) else {
            return Begins { resource: Some(0), scope: Some(0) };
        };
        if !last.resource().is_same(record.resource()) {
            self.resource += 1;
            self.scope = 0;
            return Begins { resource: Some(self.resource), scope: Some(0) };
        }
        if !last.scope().is_same(record.scope()) {
            self.scope += 1;
            return Begins { resource: None, scope: Some(self.scope) };
        }
        Begins { resource: None, scope: None }
    }
}

/// A value without its type: text as it is, everything else as its JSON.
pub(super) fn plain(value: Value<'_>) -> String {
    match value {
        Value::Empty => String::new(),
        Value::Str(text) => text.to_owned(),
        value => {
            let mut json = Vec::new();
            push_value(&mut json, value);
            let text = String::from_utf8_lossy(&json);
            let is_scalar = matches!(value, Value::Double(_) | Value::Bytes(_));
            // A double that is whole has no point in Go, and bytes have no quotes.
            let text = if is_scalar { text.trim_matches('"') } else { &text };
            match value {
                Value::Double(_) => text.strip_suffix(".0").unwrap_or(text).to_owned(),
                _ => text.to_owned(),
            }
        }
    }
}

/// A value with its type, as in `Str(text)`.
pub(super) fn typed(value: Value<'_>) -> String {
    let name = match value {
        Value::Empty => "Empty",
        Value::Str(_) => "Str",
        Value::Bool(_) => "Bool",
        Value::Int(_) => "Int",
        Value::Double(_) => "Double",
        Value::Bytes(_) => "Bytes",
        Value::Array(_) => "Slice",
        Value::Map(_) => "Map",
    };
    format!("{name}({})", plain(value))
}

/// Attributes on one line, each with a space in front.
pub(super) fn inline(attributes: Attributes<'_>) -> String {
    attributes.iter().map(|(key, value)| format!(" {key}={}", plain(value))).collect()
}

/// An id in hexadecimal digits; empty if it is all zero.
pub(super) fn id(id: &[u8]) -> String {
    let mut out = Vec::new();
    if id.iter().any(|byte| *byte != 0) {
        push_hex(&mut out, id);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A time as Go writes it: `2020-02-11 20:26:13.000000789 +0000 UTC`.
pub(super) fn time(nanoseconds: u64) -> String {
    let moment = Moment::from_unix_nano(nanoseconds);
    let mut out = Vec::new();
    moment.push_date(&mut out);
    out.push(b' ');
    moment.push_clock(&mut out);
    out.truncate("2020-02-11 20:26:13".len());
    if moment.nanosecond > 0 {
        out.push(b'.');
        push_digits::<9>(&mut out, moment.nanosecond);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    format!("{} +0000 UTC", String::from_utf8_lossy(&out))
}
