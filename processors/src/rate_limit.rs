//! Drops what comes faster than a rate, for each key by itself.
//!
//! ```yaml
//! rate_limit:
//!   key: [service]
//!   records_per_second: 1000
//!   bytes_per_second: 1MiB
//!   burst: 5s
//!   log_conditions: ['log.severity_number < SEVERITY_NUMBER_ERROR']
//! ```
//!
//! A key has an allowance that fills at the rate, up to what comes together in `burst`, and each record takes from it; a
//! record that finds nothing left is dropped. So in any stretch of time a key gets at most its rate times that time and
//! one burst through, and a single record more. Bytes are those of the record in OTLP, without its resource. With
//! conditions only the records that one of them is true of are limited; the others pass and take nothing.
//!
//! Signals: all. Order: kept. Loss: what exceeds the rate, on purpose; pipelines for audit must not have it. To have senders
//! wait instead, there is `memory_limiter` and the size of queues. Memory: `max_memory` over all lanes, 200 bytes a key; beyond
//! it the key that was quiet for longest is forgotten, and begins anew with a full allowance. Counters:
//! `rate_limit_dropped` by `reason` (`records`, `bytes`), `rate_limit_forgotten_keys`.

use std::hash::Hasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashlink::LinkedHashMap;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, Period};
use watershed_pipeline::{
    Batch, Condition, Context, Counter, DataPointCondition, LogCondition, Out, Processor, ProcessorConfig,
    Record, Signal, SpanCondition, State, Unit,
};

use crate::key::{Field, Hashes, Key};
use crate::memory::{Share, Shared};

/// What a key takes: its entry in the map with links, and the room that the map has to spare.
const KEY_SIZE: usize = 2 * (size_of::<Key>() + size_of::<Allowance>() + 16);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What has an allowance of its own: `service`, `severity`, `name`, `scope`, `trace_id`, `attributes.<key>`,
    /// `resource.<key>`. Default `[service]`; `[]` is one allowance for all.
    #[serde(default = "by_service")]
    key: Vec<Field>,
    /// Log records, spans or data points a second. Default: as many as come.
    #[serde(default)]
    records_per_second: Option<f64>,
    /// Bytes a second. Default: as many as come.
    #[serde(default)]
    bytes_per_second: Option<ByteSize>,
    /// How much may come at once: what the rates give in this time. Default 1s.
    #[serde(default = "one_second")]
    burst: Period,
    /// Which log records are limited. Default all.
    #[serde(default)]
    log_conditions: Vec<LogCondition>,
    /// Which spans are limited. Default all.
    #[serde(default)]
    trace_conditions: Vec<SpanCondition>,
    /// Which data points are limited. Default all.
    #[serde(default)]
    metric_conditions: Vec<DataPointCondition>,
    /// What the allowances may take, over all lanes. Default 16MiB.
    #[serde(default = "default_max_memory")]
    max_memory: ByteSize,
    /// What all lanes share.
    #[serde(skip)]
    #[schemars(skip)]
    shared: Shared,
}

fn by_service() -> Vec<Field> {
    vec![Field::Service]
}

fn one_second() -> Period {
    Period::seconds(1)
}

fn default_max_memory() -> ByteSize {
    ByteSize::mebibytes(16)
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "rate_limit";
    const SOURCE: &'static str = include_str!("rate_limit.rs");
    const LOSSY: bool = true;
    type Processor = RateLimit;

    fn build(&self, cx: &Context) -> Result<RateLimit, BuildError> {
        let records = self.records_per_second;
        if records.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            return Err(BuildError::at(
                "records_per_second",
                "is not above 0; give a rate such as 1000 or 0.5",
            ));
        }
        if self.bytes_per_second.is_some_and(|rate| rate.bytes() == 0) {
            return Err(BuildError::at("bytes_per_second", "is not above 0; give a rate such as 1MiB"));
        }
        if records.is_none() && self.bytes_per_second.is_none() {
            return Err(BuildError::new("has no rate; set `records_per_second`, `bytes_per_second` or both"));
        }
        if self.burst.duration().is_zero() {
            return Err(BuildError::at("burst", "is 0, so that nothing would pass; give a time such as 1s"));
        }
        let dropped = |reason| {
            let help = "Items dropped because they exceeded a rate.";
            cx.labelled_counter("rate_limit_dropped", Unit::Items, help, &[("reason", reason)])
        };
        Ok(RateLimit {
            key: self.key.clone(),
            hashes: self.shared.hashes.clone(),
            limits: Limits {
                records: records.map(|rate| Limit::new(rate, self.burst)),
                bytes: self.bytes_per_second.map(|rate| Limit::new(rate.bytes() as f64, self.burst)),
            },
            logs: self.log_conditions.iter().cloned().map(Condition::from).collect(),
            spans: self.trace_conditions.iter().cloned().map(Condition::from).collect(),
            points: self.metric_conditions.iter().cloned().map(Condition::from).collect(),
            allowances: LinkedHashMap::new(),
            memory: self.shared.memory.share(self.max_memory),
            dropped: [dropped("records"), dropped("bytes")],
            forgotten: cx.counter(
                "rate_limit_forgotten_keys",
                Unit::Values,
                "Keys forgotten for want of memory.",
            ),
        })
    }

    fn state(&self) -> State {
        let (key, hashes) = (self.key.clone(), self.shared.hashes.clone());
        State::Keyed(Arc::new(move |record| {
            let mut hasher = hashes.lane();
            key.iter().for_each(|field| field.feed(*record, &mut hasher));
            hasher.finish()
        }))
    }
}

pub(crate) struct RateLimit {
    key: Vec<Field>,
    hashes: Hashes,
    limits: Limits,
    logs: Vec<Condition>,
    spans: Vec<Condition>,
    points: Vec<Condition>,
    /// Least recently used first.
    allowances: LinkedHashMap<Key, Allowance>,
    memory: Share,
    dropped: [Counter; 2],
    forgotten: Counter,
}

/// How fast something may come.
#[derive(Clone, Copy)]
struct Limit {
    per_second: f64,
    most: f64,
}

#[derive(Clone, Copy)]
struct Limits {
    records: Option<Limit>,
    bytes: Option<Limit>,
}

/// What a key has left. What is taken may exceed it, so that no record is too large for ever; the debt is paid first.
struct Allowance {
    filled: Instant,
    records: f64,
    bytes: f64,
}

/// Which rate a record exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Excess {
    Records,
    Bytes,
}

impl Limit {
    fn new(per_second: f64, burst: Period) -> Self {
        // Less than one record at once would let none through.
        Self { per_second, most: (per_second * burst.duration().as_secs_f64()).max(1.0) }
    }

    fn fill(self, left: f64, passed: Duration) -> f64 {
        (left + self.per_second * passed.as_secs_f64()).min(self.most)
    }
}

impl Allowance {
    fn full(limits: Limits, now: Instant) -> Self {
        let most = |limit: Option<Limit>| limit.map_or(0.0, |limit| limit.most);
        Self { filled: now, records: most(limits.records), bytes: most(limits.bytes) }
    }

    fn take(&mut self, limits: Limits, size: usize, now: Instant) -> Result<(), Excess> {
        let passed = now.saturating_duration_since(self.filled);
        self.filled = now;
        if let Some(limit) = limits.records {
            self.records = limit.fill(self.records, passed);
        }
        if let Some(limit) = limits.bytes {
            self.bytes = limit.fill(self.bytes, passed);
        }
        if limits.records.is_some() && self.records < 1.0 {
            return Err(Excess::Records);
        }
        if limits.bytes.is_some() && self.bytes <= 0.0 {
            return Err(Excess::Bytes);
        }
        self.records -= 1.0;
        self.bytes -= size as f64;
        Ok(())
    }
}

impl Processor for RateLimit {
    fn process(&mut self, mut batch: Batch, now: Instant, out: &mut Out) {
        let mut dropped = [0; 2];
        let positions = 0..batch.len();
        let verdicts: Vec<bool> = (batch.records().zip(positions))
            .map(|(record, position)| {
                let verdict = self.admit(record, || size(&batch, record, position), now);
                if let Err(excess) = verdict {
                    let [records, bytes] = &mut dropped;
                    *(if excess == Excess::Records { records } else { bytes }) += 1;
                }
                verdict.is_ok()
            })
            .collect();
        for (counter, count) in self.dropped.iter().zip(dropped) {
            counter.add(count);
        }
        if dropped != [0; 2] {
            let mut verdicts = verdicts.into_iter();
            batch.retain(|_| verdicts.next().unwrap_or(true));
        }
        out.push(batch);
    }
}

impl RateLimit {
    fn admit(
        &mut self,
        record: Record<'_>,
        size: impl FnOnce() -> usize,
        now: Instant,
    ) -> Result<(), Excess> {
        let conditions = match record.signal() {
            Signal::Logs => &self.logs,
            Signal::Traces => &self.spans,
            Signal::Metrics => &self.points,
        };
        if !conditions.is_empty() && !conditions.iter().any(|condition| condition.matches(record)) {
            return Ok(());
        }
        let limits = self.limits;
        let size = if limits.bytes.is_some() { size() } else { 0 };
        let mut hasher = self.hashes.key();
        self.key.iter().for_each(|field| field.feed(record, &mut hasher));
        let key = hasher.key();
        if let Some(allowance) = self.allowances.to_back(&key) {
            return allowance.take(limits, size, now);
        }
        let mut allowance = Allowance::full(limits, now);
        let verdict = allowance.take(limits, size, now);
        self.memory.add(KEY_SIZE);
        self.allowances.insert(key, allowance);
        self.shrink();
        verdict
    }

    fn shrink(&mut self) {
        while self.memory.is_exceeded() && self.allowances.len() > 1 && self.allowances.pop_front().is_some()
        {
            self.memory.release(KEY_SIZE);
            self.forgotten.add(1);
        }
    }
}

/// The bytes of a record in OTLP: as it came, or, if it was changed, as it would be written.
fn size(batch: &Batch, record: Record<'_>, position: usize) -> usize {
    record.raw().map_or_else(|| batch.to_otlp_of(&[position]).len(), <[u8]>::len)
}

#[cfg(test)]
mod tests;
