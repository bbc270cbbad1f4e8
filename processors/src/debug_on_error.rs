//! Holds back the details of each request, and lets them go on only when something goes wrong with it.
//!
//! ```yaml
//! debug_on_error:
//!   hold_below: 13           # DEBUG and INFO wait, WARN and above go on
//!   hold: 60s
//!   max_memory: 64MiB
//!   trigger_severity: 17     # ERROR
//!   slower_than: 1s
//!   log_conditions: ['log.attributes["http.response.status_code"] >= 500']
//! ```
//!
//! Log records below `hold_below` wait in memory under the id of their request: the first of `id` that they have. When a
//! record with that id is as severe as `trigger_severity` or a condition is true of it, or, in a pipeline of traces that
//! names the same processor, a span with that id failed or took longer than `slower_than`, then what waits goes on, in
//! front of it, and for `hold` everything else with that id as well. What nothing went wrong with within `hold` is dropped
//! and counted. So services can log every detail, and only that is paid for which somebody will read. To have spans release
//! records, name `debug_on_error` among the processors of a pipeline of logs and of one of traces.
//!
//! Records without an id and without a severity go on. Signals: logs wait, spans only look; data points pass. Order: kept
//! for what goes on; what waited comes in front of what releases it, records of one id in their order. Loss: what is
//! dropped, on purpose; senders are answered while records wait, so that a crash loses these; a stop keeps them for the
//! next start where there is a `service.storage.directory`. Pipelines for audit must not have it. Memory: `max_memory`
//! over all lanes; beyond it the oldest records are dropped. The last 100,000 ids with which something went wrong are
//! remembered. Counters: `debug_on_error_released`, `debug_on_error_dropped` by `reason` (`expired`, `memory`, `stopped`),
//! `debug_on_error_triggers`.

mod ring;
mod trouble;

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, Period};
use watershed_pipeline::{
    Batch, Condition, Context, Counter, LogCondition, Out, Processor, ProcessorConfig, Record, Signal, Span,
    SpanCondition, State, Suspended, Unit,
};

use crate::key::{Field, Hashes, Key};
use crate::memory::Memory;
use ring::Ring;
use trouble::Trouble;

/// How often a lane looks for what spans told, while something waits in it.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Records with a severity below this wait: 5 is DEBUG, 9 INFO, 13 WARN. Default 13.
    #[serde(default = "warn")]
    hold_below: i32,
    /// How long they wait, and how long the rest of a request goes on after something went wrong. Default 60s.
    #[serde(default = "one_minute")]
    hold: Period,
    /// What those that wait may take, over all lanes. Default 64MiB.
    #[serde(default = "default_max_memory")]
    max_memory: ByteSize,
    /// The severity from which on a log record releases the others: 17 is ERROR. Default 17.
    #[serde(default = "error")]
    trigger_severity: i32,
    /// Further log records that release the others. Default none.
    #[serde(default)]
    log_conditions: Vec<LogCondition>,
    /// Further spans that release records, beside those with status `Error`. Default none.
    #[serde(default)]
    trace_conditions: Vec<SpanCondition>,
    /// Spans that took longer than this release records. Default: no span does for that.
    #[serde(default)]
    slower_than: Option<Period>,
    /// What a request is known by: `trace_id`, `attributes.<key>`, `resource.<key>`; the first that a record has counts.
    /// Default `[trace_id, attributes.correlation.id]`.
    #[serde(default = "default_id")]
    id: Vec<Field>,
    /// What all lanes and pipelines share.
    #[serde(skip)]
    #[schemars(skip)]
    shared: Shared,
}

#[derive(Default)]
struct Shared {
    memory: Memory,
    hashes: Hashes,
    trouble: Arc<Trouble>,
}

fn warn() -> i32 {
    13
}

fn error() -> i32 {
    17
}

fn one_minute() -> Period {
    Period::seconds(60)
}

fn default_max_memory() -> ByteSize {
    ByteSize::mebibytes(64)
}

fn default_id() -> Vec<Field> {
    vec![Field::TraceId, Field::Attribute("correlation.id".into())]
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "debug_on_error";
    const SOURCE: &'static str = include_str!("debug_on_error.rs");
    const LOSSY: bool = true;
    type Processor = DebugOnError;

    fn build(&self, cx: &Context) -> Result<DebugOnError, BuildError> {
        if self.hold.duration().is_zero() {
            return Err(BuildError::at("hold", "is 0, so that nothing would wait; give a time such as 60s"));
        }
        if self.hold_below > self.trigger_severity {
            let message = format!(
                "is {}, above `trigger_severity` ({}), so that what releases would wait itself",
                self.hold_below, self.trigger_severity
            );
            return Err(BuildError::at("hold_below", message));
        }
        let is_id =
            |field: &Field| matches!(field, Field::TraceId | Field::Attribute(_) | Field::Resource(_));
        if self.id.is_empty() || !self.id.iter().all(is_id) {
            return Err(BuildError::at("id", "takes `trace_id`, `attributes.<key>` and `resource.<key>`"));
        }
        Ok(DebugOnError {
            hold_below: self.hold_below,
            triggers: Triggers {
                severity: self.trigger_severity,
                logs: self.log_conditions.iter().cloned().map(Condition::from).collect(),
                spans: self.trace_conditions.iter().cloned().map(Condition::from).collect(),
                slower_than: self.slower_than.map(Period::duration),
            },
            ids: Ids { fields: self.id.clone(), hashes: self.shared.hashes.clone() },
            ring: Ring::new(self.hold.duration(), self.shared.memory.share(self.max_memory)),
            trouble: Arc::clone(&self.shared.trouble),
            seen: 0,
            look: None,
            counters: Counters::new(cx),
        })
    }

    fn state(&self) -> State {
        let ids = Ids { fields: self.id.clone(), hashes: self.shared.hashes.clone() };
        State::Keyed(Arc::new(move |record| ids.of(*record).map_or(0, |id| (id >> 64) as u64)))
    }
}

pub(crate) struct DebugOnError {
    hold_below: i32,
    triggers: Triggers,
    ids: Ids,
    ring: Ring,
    trouble: Arc<Trouble>,
    /// How much of what went wrong this lane has seen.
    seen: u64,
    /// When it looks again.
    look: Option<Instant>,
    counters: Counters,
}

/// What has to happen so that records are released.
struct Triggers {
    severity: i32,
    logs: Vec<Condition>,
    spans: Vec<Condition>,
    slower_than: Option<Duration>,
}

/// What requests are known by.
struct Ids {
    fields: Vec<Field>,
    hashes: Hashes,
}

struct Counters {
    released: Counter,
    expired: Counter,
    memory: Counter,
    stopped: Counter,
    triggers: Counter,
}

impl Counters {
    fn new(cx: &Context) -> Self {
        let dropped = |reason| {
            let help = "Log records dropped because nothing went wrong with their request in time.";
            cx.labelled_counter("debug_on_error_dropped", Unit::Items, help, &[("reason", reason)])
        };
        Self {
            released: cx.counter(
                "debug_on_error_released",
                Unit::Items,
                "Log records that had waited and go on.",
            ),
            expired: dropped("expired"),
            memory: dropped("memory"),
            stopped: dropped("stopped"),
            triggers: cx.counter(
                "debug_on_error_triggers",
                Unit::Items,
                "Items with which something went wrong.",
            ),
        }
    }
}

impl Triggers {
    fn is_trouble(&self, record: Record<'_>) -> bool {
        let is_any = |conditions: &[Condition]| conditions.iter().any(|condition| condition.matches(record));
        match (record.log(), record.span()) {
            (Some(log), _) => log.severity_number() >= self.severity || is_any(&self.logs),
            (_, Some(span)) => span.status_code() == 2 || self.is_slow(span) || is_any(&self.spans),
            (None, None) => false,
        }
    }

    fn is_slow(&self, span: Span<'_>) -> bool {
        let took =
            Duration::from_nanos(span.end_time_unix_nano().saturating_sub(span.start_time_unix_nano()));
        self.slower_than.is_some_and(|limit| took > limit)
    }
}

impl Ids {
    /// The id of a record's request, if it has one.
    fn of(&self, record: Record<'_>) -> Option<Key> {
        let (position, field) = self.fields.iter().enumerate().find(|(_, field)| match field {
            Field::Attribute(key) => record.attribute(key).is_some(),
            Field::Resource(key) => record.resource().attribute(key).is_some(),
            _ => record.trace_id() != [0; 16],
        })?;
        let mut hasher = self.hashes.key();
        position.hash(&mut hasher);
        field.feed(record, &mut hasher);
        Some(hasher.key())
    }
}

impl Processor for DebugOnError {
    fn process(&mut self, batch: Batch, now: Instant, out: &mut Out) {
        match batch.signal() {
            Signal::Logs => self.process_logs(batch, now, out),
            Signal::Traces => {
                self.note(&batch, now);
                out.push(batch);
            }
            Signal::Metrics => out.push(batch),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.look.filter(|_| self.ring.items() > 0)
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        self.release(now, out);
        self.counters.expired.add(self.ring.expire(now));
        self.look = Some(now + LOOK);
    }

    fn drain(&mut self, _now: Instant, _out: &mut Out) {
        self.counters.stopped.add(self.ring.clear());
    }

    fn held(&self) -> usize {
        self.ring.items()
    }

    fn suspend(&mut self, kept: &mut Suspended) {
        self.ring.take_all().iter().for_each(|batch| kept.hold(batch));
    }
}

impl DebugOnError {
    fn process_logs(&mut self, mut batch: Batch, now: Instant, out: &mut Out) {
        let ids = self.note(&batch, now);
        // What is released belongs in front of what releases it.
        self.release(now, out);
        self.counters.expired.add(self.ring.expire(now));
        let mut waiting: Vec<(Key, usize)> = Vec::new();
        for (position, (record, id)) in batch.records().zip(&ids).enumerate() {
            let severity = record.log().map_or(0, |log| log.severity_number());
            if let Some(id) = id.filter(|_| severity > 0 && severity < self.hold_below) {
                waiting.push((id, position));
            }
        }
        self.trouble.retain_quiet(&mut waiting, now, self.ring.hold());
        if !waiting.is_empty() {
            let mut keep = vec![true; batch.len()];
            let positions = waiting.iter().map(|(_, position)| *position);
            positions
                .for_each(|position| keep.iter_mut().skip(position).take(1).for_each(|keep| *keep = false));
            self.ring.hold_back(&batch, waiting, now);
            self.look = self.look.filter(|look| *look > now).or(Some(now + LOOK));
            let mut keep = keep.into_iter();
            batch.retain(|_| keep.next().unwrap_or(true));
            self.counters.memory.add(self.ring.shrink());
        }
        out.push(batch);
    }

    /// Tells all lanes with which requests something went wrong. Returns the ids of the records, in order.
    fn note(&self, batch: &Batch, now: Instant) -> Vec<Option<Key>> {
        let mut troubled = Vec::new();
        let mut triggers = 0;
        let ids = batch
            .records()
            .map(|record| {
                let id = self.ids.of(record);
                if self.triggers.is_trouble(record) {
                    triggers += 1;
                    troubled.extend(id);
                }
                id
            })
            .collect();
        self.counters.triggers.add(triggers);
        self.trouble.add(&troubled, now);
        ids
    }

    /// Lets go what waits for requests that went wrong since the last look.
    fn release(&mut self, _now: Instant, out: &mut Out) {
        let (seen, keys) = self.trouble.since(self.seen);
        self.seen = seen;
        for batch in self.ring.take(&keys) {
            self.counters.released.add(batch.len() as u64);
            out.push(batch);
        }
    }
}

#[cfg(test)]
mod tests;
