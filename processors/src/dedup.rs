//! Lets the first of equal log records through at once, counts its repeats, and sends one summary of them.
//!
//! ```yaml
//! dedup:
//!   window: 10s
//!   key: [service, severity, body, attributes.exception.type]
//!   body: template
//!   conditions: ['log.severity_number >= SEVERITY_NUMBER_WARN']
//! ```
//!
//! A window begins with a record that none is open for; that record goes on as it is. Records with the same `key` within
//! `window` are held back, and when it ends one summary goes on: the first repeat, with its time set to that of the last
//! one, `dedup.count` (how many records it stands for), `dedup.first_seen` and `dedup.last_seen`. So the number of
//! records there were is that of the records plus, for summaries, their count less one. With `body: template` words that
//! hold a digit are equal: `user 17 logged in` and `user 18 logged in` are one message.
//!
//! Records of different tenants are never equal: `tenant_attributes` of the record or its resource, and the request
//! headers that the receiver keeps, are always part of the key. `service` is name, namespace and environment.
//!
//! `mode: ids` drops, instead, log records and spans that were seen before, for clients that send again what they don't
//! know to have arrived:
//!
//! ```yaml
//! dedup/retries: {mode: ids, id_attribute: log.record.uid, window: 10m}
//! ```
//!
//! A log record is known by `id_attribute`, a span by its trace and span id. Only what was answered with success counts
//! as seen: while a request is open, and when it was refused, its repetition passes.
//!
//! Signals: logs; with `mode: ids` also traces; the rest passes as it is. Order: kept among records of one key; summaries
//! come at the end of their window. Loss: repeats, on purpose; a crash loses the counts of open windows, a stop sends them.
//! Pipelines for audit must not have it. Memory: `max_memory` over all lanes; beyond it the window that was quiet for
//! longest ends early, or the oldest id is forgotten. Counters: `dedup_repeats`, `dedup_summaries`, `dedup_early_summaries`;
//! `dedup_dropped_ids`, `dedup_forgotten_ids`.

mod ids;
mod keys;
mod template;
mod windows;

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, Period};
use watershed_pipeline::{
    Batch, Condition, Context, Counter, LogCondition, Out, Processor, ProcessorConfig, Signal, State, Unit,
};

use crate::key::{Field, default_tenant_attributes};
use crate::memory::Shared;
use ids::Ids;
use keys::Keys;
use windows::{Repeat, Windows};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What is held back. Default `repeats`.
    #[serde(default)]
    mode: Mode,
    /// How long repeats of a record are counted, or an id is remembered. Default 10s; with `mode: ids` 10m.
    #[serde(default, alias = "interval")]
    window: Option<Period>,
    /// What has to be equal: `service`, `severity`, `body`, `name` (of the event), `scope`, `trace_id`,
    /// `attributes.<key>`, `resource.<key>`. Default `[service, severity, body]`.
    #[serde(default = "keys::default_fields")]
    key: Vec<Field>,
    /// When two bodies are equal. Default `exact`.
    #[serde(default)]
    body: BodyMatch,
    /// Attributes that name a tenant, in the record or its resource. Default `tenant.id`, `tenant_id`, `tenant`.
    #[serde(default = "default_tenant_attributes")]
    tenant_attributes: Vec<String>,
    /// Which records may be held back; others pass. Default all.
    #[serde(default)]
    conditions: Vec<LogCondition>,
    /// The attribute of a summary that holds how many records it stands for. Default `dedup.count`.
    #[serde(default = "default_count_attribute", alias = "log_count_attribute")]
    count_attribute: String,
    /// With `mode: ids`: the attribute that log records are known by. Default `log.record.uid`.
    #[serde(default = "default_id_attribute")]
    id_attribute: String,
    /// What windows or ids may take, over all lanes. Default 64MiB.
    #[serde(default = "default_max_memory")]
    max_memory: ByteSize,
    /// What all lanes share.
    #[serde(skip)]
    #[schemars(skip)]
    shared: Shared,
}

fn default_count_attribute() -> String {
    "dedup.count".into()
}

fn default_id_attribute() -> String {
    "log.record.uid".into()
}

fn default_max_memory() -> ByteSize {
    ByteSize::mebibytes(64)
}

/// What is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Log records that say the same again; a summary follows.
    #[default]
    Repeats,
    /// Log records and spans that were sent again.
    Ids,
}

/// When two bodies are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BodyMatch {
    /// When they are the same.
    #[default]
    Exact,
    /// When they are the same but for words that hold a digit, such as numbers, times, addresses and ids.
    Template,
}

impl Config {
    fn window(&self) -> Duration {
        let default = match self.mode {
            Mode::Repeats => Period::seconds(10),
            Mode::Ids => Period::seconds(600),
        };
        self.window.unwrap_or(default).duration()
    }

    fn keys(&self) -> Keys {
        Keys {
            fields: self.key.clone(),
            body: self.body,
            tenant_attributes: self.tenant_attributes.clone(),
            hashes: self.shared.hashes.clone(),
        }
    }
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "dedup";
    const SOURCE: &'static str = include_str!("dedup.rs");
    const LOSSY: bool = true;
    type Processor = Dedup;

    fn build(&self, cx: &Context) -> Result<Dedup, BuildError> {
        if self.window().is_zero() {
            return Err(BuildError::at("window", "is 0; give a time such as `10s`, or remove the processor"));
        }
        if self.key.is_empty() {
            return Err(BuildError::at("key", "is empty, so that all records were equal; name fields"));
        }
        let memory = self.shared.memory.share(self.max_memory);
        Ok(match self.mode {
            Mode::Repeats => Dedup::Repeats(Box::new(Repeats {
                keys: self.keys(),
                conditions: self.conditions.iter().cloned().map(Condition::from).collect(),
                windows: Windows::new(self.window(), memory, self.count_attribute.clone()),
                counters: RepeatCounters::new(cx),
            })),
            Mode::Ids => {
                let hashes = self.shared.hashes.clone();
                Dedup::Ids(Box::new(Ids::new(self.window(), memory, self.id_attribute.clone(), hashes, cx)))
            }
        })
    }

    fn state(&self) -> State {
        match self.mode {
            Mode::Repeats => {
                let keys = self.keys();
                State::Keyed(Arc::new(move |record| keys.lane(record)))
            }
            Mode::Ids => {
                let (hashes, attribute) = (self.shared.hashes.clone(), self.id_attribute.clone());
                State::Keyed(Arc::new(move |record| ids::lane(record, &attribute, &hashes)))
            }
        }
    }
}

/// The processor, in either mode.
pub(crate) enum Dedup {
    Repeats(Box<Repeats>),
    Ids(Box<Ids>),
}

/// Counts repeats.
pub(crate) struct Repeats {
    keys: Keys,
    conditions: Vec<Condition>,
    windows: Windows,
    counters: RepeatCounters,
}

struct RepeatCounters {
    repeats: Counter,
    summaries: Counter,
    early: Counter,
}

impl RepeatCounters {
    fn new(cx: &Context) -> Self {
        let counter = |name, help| cx.counter(name, Unit::Items, help);
        Self {
            repeats: counter("dedup_repeats", "Log records held back because they said the same again."),
            summaries: counter("dedup_summaries", "Summaries sent on."),
            early: counter("dedup_early_summaries", "Windows that ended early for want of memory."),
        }
    }
}

impl Processor for Dedup {
    fn process(&mut self, batch: Batch, now: Instant, out: &mut Out) {
        match self {
            Self::Repeats(repeats) if batch.signal() == Signal::Logs => repeats.process(batch, now, out),
            Self::Ids(ids) if batch.signal() != Signal::Metrics => ids.process(batch, now, out),
            Self::Repeats(_) | Self::Ids(_) => out.push(batch),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Repeats(repeats) => repeats.windows.deadline(),
            Self::Ids(_) => None,
        }
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        if let Self::Repeats(repeats) = self {
            repeats.windows.end_due(now);
            repeats.send_summaries(out);
        }
    }

    fn drain(&mut self, _now: Instant, out: &mut Out) {
        if let Self::Repeats(repeats) = self {
            repeats.windows.end_all();
            repeats.send_summaries(out);
        }
    }

    fn held(&self) -> usize {
        match self {
            Self::Repeats(repeats) => repeats.windows.held(),
            Self::Ids(_) => 0,
        }
    }
}

impl Repeats {
    fn process(&mut self, mut batch: Batch, now: Instant, out: &mut Out) {
        // What is due comes before what is new, so that a window never counts longer than it says.
        self.windows.end_due(now);
        let metadata = batch.metadata().cloned();
        let mut kept = Vec::with_capacity(batch.len());
        let mut saved = Vec::new();
        let mut merged = 0;
        for (position, record) in batch.records().enumerate() {
            let is_subject =
                self.conditions.is_empty() || self.conditions.iter().any(|it| it.matches(record));
            let repeat = match record.log().filter(|_| is_subject) {
                Some(log) => self.windows.see(self.keys.key(record, metadata.as_deref()), log, now),
                None => Repeat::None,
            };
            kept.push(repeat == Repeat::None);
            match repeat {
                Repeat::None => {}
                Repeat::First(key) => saved.push((key, position)),
                Repeat::Further => merged += 1,
            }
        }
        for (key, position) in &saved {
            self.windows.save(*key, batch.to_otlp_of(&[*position]), metadata.clone());
        }
        let held_back = merged + saved.len();
        self.counters.repeats.add(held_back as u64);
        out.merged(merged);
        self.counters.early.add(self.windows.shrink() as u64);
        if held_back > 0 {
            let mut kept = kept.iter();
            batch.retain(|_| kept.next().copied().unwrap_or(true));
        }
        self.send_summaries(out);
        out.push(batch);
    }

    fn send_summaries(&mut self, out: &mut Out) {
        for summary in self.windows.take_summaries() {
            self.counters.summaries.add(summary.len() as u64);
            out.push(summary);
        }
    }
}

#[cfg(test)]
mod tests;
