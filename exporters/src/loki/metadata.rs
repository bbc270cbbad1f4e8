//! Structured metadata: all that a record carries beside its line and its labels, as names and texts.
//!
//! Names and order are those of Loki's own OTLP endpoint: what the record itself says (`trace_id`, `severity_text`, …),
//! its attributes, those of its scope, those of its resource. Of equal names the first wins. Maps are taken apart
//! (`a: {b: 1}` is `a_b`), lists are JSON, and what is empty is left out.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_pipeline::json_text::{push_hex, push_json_u64};
use watershed_pipeline::{Attributes, LogRecord, Scope, Value};

use super::limits::Limits;
use super::names::push_name;
use super::value::{level, push_text};
use super::wire::push_pair;

/// How much of a record goes into structured metadata.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Selection {
    /// Everything that is no label.
    #[default]
    All,
    /// Trace, span and level.
    Context,
    /// Nothing: for a server with `allow_structured_metadata: false`.
    None,
}

/// Tells how many pairs there was no room for.
const DROPPED: &[u8] = b"metadata_dropped";
/// Tells how long a line was before it was cut.
const CUT_FROM: &[u8] = b"line_cut_from_bytes";
/// Room that is kept free for the two above, with their values.
const RESERVED_SIZE: usize = 80;
const RESERVED_ENTRIES: usize = 2;

/// Pairs that many records share, encoded once: those of a resource or scope.
#[derive(Default)]
pub(super) struct Prepared {
    bytes: Vec<u8>,
    pairs: Vec<Pair>,
    classes: u64,
    size: usize,
}

struct Pair {
    name: Range<usize>,
    whole: Range<usize>,
    size: usize,
}

/// Collects the pairs of one record after the other.
pub(super) struct Metadata {
    size_max: usize,
    entries_max: usize,
    pairs: Prepared,
    /// Pairs that there was no room for.
    skipped: usize,
    name: Vec<u8>,
    text: Vec<u8>,
}

impl Metadata {
    /// Makes an empty collection.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            size_max: limits.metadata_size_max.saturating_sub(RESERVED_SIZE),
            entries_max: limits.metadata_entries_max.saturating_sub(RESERVED_ENTRIES),
            ..Self::boundless()
        }
    }

    /// The pairs of attributes that many records share.
    pub(super) fn of_attributes(attributes: Attributes<'_>, keep: impl Fn(&str) -> bool) -> Prepared {
        let mut all = Self::boundless();
        all.attributes(attributes, keep);
        all.pairs
    }

    /// The pairs of a scope.
    pub(super) fn of_scope(scope: Scope<'_>) -> Prepared {
        let mut all = Self::boundless();
        all.pair(b"scope_name", scope.name().as_bytes());
        all.pair(b"scope_version", scope.version().as_bytes());
        all.attributes(scope.attributes(), |_| true);
        all.pairs
    }

    /// Without limits: these are applied when the pairs join those of a record.
    fn boundless() -> Self {
        Self {
            size_max: usize::MAX,
            entries_max: usize::MAX,
            pairs: Prepared::default(),
            skipped: 0,
            name: Vec::new(),
            text: Vec::new(),
        }
    }

    /// Begins the next record.
    pub(super) fn clear(&mut self) {
        self.pairs.bytes.clear();
        self.pairs.pairs.clear();
        self.pairs.classes = 0;
        self.pairs.size = 0;
        self.skipped = 0;
    }

    /// Adds trace, span and level.
    pub(super) fn context(&mut self, log: LogRecord<'_>) {
        if let Some(level) = level(log) {
            self.pair(b"detected_level", level.as_bytes());
        }
        self.id(b"trace_id", &log.trace_id());
        self.id(b"span_id", &log.span_id());
    }

    /// Adds what else the record says about itself; `time` is the time of its entry.
    pub(super) fn fields(&mut self, log: LogRecord<'_>, time: u64) {
        self.pair(b"severity_text", log.severity_text().as_bytes());
        self.number(b"severity_number", u64::try_from(log.severity_number()).unwrap_or_default());
        self.pair(b"event_name", log.event_name().as_bytes());
        if log.observed_time_unix_nano() != time {
            self.number(b"observed_timestamp", log.observed_time_unix_nano());
        }
        self.number(b"flags", u64::from(log.flags()));
        self.number(b"dropped_attributes_count", u64::from(log.dropped_attributes_count()));
    }

    /// Adds the attributes that `keep` wants.
    pub(super) fn attributes(&mut self, attributes: Attributes<'_>, keep: impl Fn(&str) -> bool) {
        for (key, value) in attributes.iter() {
            if keep(key) {
                self.attribute(key, value);
            }
        }
    }

    /// Adds one attribute.
    fn attribute(&mut self, key: &str, value: Value<'_>) {
        if let Value::Map(map) = value {
            for (inner, value) in map.iter() {
                self.attribute(&format!("{key}_{inner}"), value);
            }
            return;
        }
        let mut name = std::mem::take(&mut self.name);
        name.clear();
        push_name(&mut name, key);
        if let Value::Str(text) = value {
            self.pair(&name, text.as_bytes());
        } else {
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            push_text(&mut text, value);
            self.pair(&name, &text);
            self.text = text;
        }
        self.name = name;
    }

    /// Adds pairs that are encoded already.
    pub(super) fn prepared(&mut self, prepared: &Prepared) {
        let fits = self.pairs.pairs.len() + prepared.pairs.len() <= self.entries_max
            && self.pairs.size + prepared.size <= self.size_max;
        if fits && self.pairs.classes & prepared.classes == 0 {
            self.pairs.append(prepared, &(0..prepared.bytes.len()), &prepared.pairs);
            return;
        }
        for pair in &prepared.pairs {
            let name = prepared.bytes.get(pair.name.clone()).unwrap_or_default();
            if self.has_room(name, pair.size) {
                self.pairs.append(prepared, &pair.whole, std::slice::from_ref(pair));
            }
        }
    }

    /// Adds one pair, unless the record has the name already, the value is empty or there is no room.
    pub(super) fn pair(&mut self, name: &[u8], value: &[u8]) {
        if !value.is_empty() && self.has_room(name, name.len() + value.len()) {
            self.pairs.push(name, value);
        }
    }

    /// Notes that the line was cut.
    pub(super) fn line_was_cut(&mut self, length: usize) {
        self.note(CUT_FROM, length);
    }

    /// How many pairs there was no room for; says so in the metadata too.
    pub(super) fn finish(&mut self) -> usize {
        if self.skipped > 0 {
            self.note(DROPPED, self.skipped);
        }
        self.skipped
    }

    /// The pairs of this record, encoded.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.pairs.bytes
    }

    /// Adds a pair of our own, for which room is kept.
    fn note(&mut self, name: &[u8], number: usize) {
        if self.entries_max > 0 {
            self.pairs.push(name, number.to_string().as_bytes());
        }
    }

    fn has_room(&mut self, name: &[u8], size: usize) -> bool {
        if self.pairs.has(name) {
            return false;
        }
        let has_room = self.pairs.pairs.len() < self.entries_max && self.pairs.size + size <= self.size_max;
        self.skipped += usize::from(!has_room);
        has_room
    }

    fn number(&mut self, name: &[u8], number: u64) {
        if number > 0 {
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            push_json_u64(&mut text, number);
            self.pair(name, &text);
            self.text = text;
        }
    }

    fn id(&mut self, name: &[u8], id: &[u8]) {
        if id.iter().any(|byte| *byte != 0) {
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            push_hex(&mut text, id);
            self.pair(name, &text);
            self.text = text;
        }
    }
}

impl Prepared {
    fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        let place = push_pair(&mut self.bytes, name, value);
        let size = name.len() + value.len();
        self.pairs.push(Pair { name: place, whole: start..self.bytes.len(), size });
        self.classes |= class_of(name);
        self.size += size;
    }

    /// Copies a range of another's bytes, which holds these pairs.
    fn append(&mut self, other: &Self, range: &Range<usize>, pairs: &[Pair]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(other.bytes.get(range.clone()).unwrap_or_default());
        let moved = |place: &Range<usize>| place.start - range.start + start..place.end - range.start + start;
        for pair in pairs {
            let (name, whole) = (moved(&pair.name), moved(&pair.whole));
            self.classes |= class_of(self.bytes.get(name.clone()).unwrap_or_default());
            self.size += pair.size;
            self.pairs.push(Pair { name, whole, size: pair.size });
        }
    }

    fn has(&self, name: &[u8]) -> bool {
        let is_it =
            |pair: &Pair| pair.name.len() == name.len() && self.bytes.get(pair.name.clone()) == Some(name);
        self.classes & class_of(name) != 0 && self.pairs.iter().any(is_it)
    }
}

/// One of 64 classes: mostly tells at once that a name is new.
fn class_of(name: &[u8]) -> u64 {
    let last = name.last().copied().unwrap_or_default();
    let middle = name.get(name.len() / 2).copied().unwrap_or_default();
    let mixed = name.len().wrapping_mul(7) ^ usize::from(last) ^ usize::from(middle).wrapping_mul(5);
    1 << (mixed % 64)
}
