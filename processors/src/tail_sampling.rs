//! Keeps or drops whole traces, decided when their spans have come together.
//!
//! ```yaml
//! tail_sampling:
//!   decision_wait: 10s
//!   policies:
//!     - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
//!     - {name: slow, type: latency, latency: {threshold_ms: 500}}
//!     - {name: rest, type: probabilistic, probabilistic: {sampling_percentage: 5}}
//! ```
//!
//! Spans wait for `decision_wait` from the first span of their trace on (or for `decision_wait_after_root_received` once the
//! root span is there). Then the first policy that matches keeps the trace; if none does, it is dropped. Policies of
//! the type `drop` are asked before all others, wherever they stand. What was decided is remembered, so that late spans
//! follow it; spans that come when it is forgotten begin the trace anew. Spans without a trace id pass at once.
//!
//! A pipeline of **logs** that names the same processor follows the decisions of the traces: log records with a trace
//! id wait for the decision on it, at most twice `decision_wait`. What has no trace id passes at once; what belongs to
//! a trace of which no span came passes in the end.
//!
//! | type | keeps traces |
//! | --- | --- |
//! | `always_sample` | all |
//! | `latency` | that took `threshold_ms` or longer, from the first start to the last end; with `upper_threshold_ms`, longer and no longer than that |
//! | `status_code` | with a span of one of the `status_codes` |
//! | `string_attribute`, `numeric_attribute`, `boolean_attribute` | with such an attribute on a span or its resource |
//! | `trace_state`, `trace_flags` | with such a member in the trace state of a span; with its sampled flag set |
//! | `ottl_condition` | with a span or a span event of which any condition is true |
//! | `span_count` | with `min_spans` to `max_spans` spans |
//! | `probabilistic` | by a hash of their id, the same ones as the Collector with the same `hash_salt` |
//! | `rate_limiting`, `bytes_limiting` | as long as their spans fit into each second; their bytes into a rate |
//! | `and`, `not` | that all sub-policies match; that the sub-policy does not |
//! | `composite` | that the first matching part has room for, out of its share of `max_total_spans_per_second` |
//! | `drop` | none: what all sub-policies match is dropped |
//!
//! `invert_match` on a policy of its own means what it means in the Collector: a trace in which the value *is* found is
//! dropped before any policy keeps it; the others are kept only where all policies have `invert_match`. Within `and`, `not`,
//! `drop` and `composite` it is plain negation. `drop` or `not` say the same more clearly.
//!
//! Kept records say why in the attributes `tailsampling.policy`, `tailsampling.composite_policy` and (for late ones)
//! `tailsampling.cached_decision`, unless `record_policy` is false. Where chance decided, alone or within `and`, the trace
//! state of each span gets the share as OpenTelemetry's threshold (`ot=th:…`), multiplied with one that is there, so that a
//! span can be counted for those that are gone. The Collector writes the attributes on the scope, and does not record
//! the share.
//!
//! **Memory** is bounded in bytes: what is held is copied out of its request, and all lanes and pipelines together hold
//! at most `max_memory`, which also counts in the process's limit. When it is full, `on_overflow` says what happens:
//! `decide_oldest` decides the traces that are due next on what is known of them; `pass` keeps and `drop` drops the trace
//! for whose spans there is no room. A trace is decided as a whole in each case.
//!
//! Signals: traces and logs; metrics pass. Order: kept within a trace. Loss: what policies drop, on purpose, which is
//! why a pipeline with `audit` in its name refuses this processor. Senders are answered when their spans wait: a crash
//! loses what waits. At a clean stop what waits, and the decisions that are remembered, are written below the storage
//! directory and taken up at the next start, where they wait for `decision_wait` again; without a storage directory
//! everything is decided at once. All spans of a trace must come to the same process.
//!
//! Counters: `tail_sampling_count_traces_sampled`, `tail_sampling_count_spans_sampled` and `tail_sampling_count_logs_sampled`
//! by `policy` (or `no_policy_matched`, `memory_limit`, `shutdown`, `no_trace`, `earlier_configuration`) and `sampled`;
//! `tail_sampling_late_items`, `tail_sampling_decided_early`, and the gauge `tail_sampling_memory`.

mod compile;
mod core;
mod decisions;
mod evidence;
mod fate;
mod held;
mod limits;
mod logs;
mod mark;
mod memory;
mod policy;
mod settings;
mod spans;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, Period};
use watershed_pipeline::{Batch, Context, Out, Processor, ProcessorConfig, Record, Signal, State, Suspended};

use self::core::{Core, Counters, Options};
use self::decisions::Decisions;
use self::limits::Limits;
use self::logs::Logs;
use self::memory::Memory;
use self::spans::Spans;

/// The most that is held by default, in bytes.
const MEMORY_DEFAULT: usize = 256 << 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How long spans wait for the others of their trace, from the first one on. Default 30s.
    #[serde(default = "decision_wait")]
    decision_wait: Period,
    /// How long they still wait once the root span is there. Default 0, which makes no difference.
    #[serde(default = "zero")]
    decision_wait_after_root_received: Period,
    /// The most traces that wait at a time, in all lanes together. Default 0, which means no limit beside `max_memory`.
    #[serde(default)]
    num_traces: usize,
    /// Accepted without effect: nothing is allocated ahead. Default 0.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    expected_new_traces_per_sec: u64,
    /// How many decisions are remembered for what comes late. Default 100000 of each kind.
    #[serde(default)]
    decision_cache: DecisionCache,
    /// What keeps traces, in order: the first match decides. Required.
    policies: Vec<settings::Policy>,
    /// Accepted without effect: the first match always decides. Default true.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default = "yes")]
    sample_on_first_match: bool,
    /// Whether traces that wait at a stop without a storage directory are dropped instead of decided. Default false.
    #[serde(default)]
    drop_pending_traces_on_shutdown: bool,
    /// Bytes that may wait, in all lanes and pipelines together. Default a quarter of the process's memory limit, at
    /// most 256MiB.
    #[serde(default)]
    max_memory: Option<ByteSize>,
    /// What happens when `max_memory` or `num_traces` is reached. Default `decide_oldest`.
    #[serde(default)]
    on_overflow: OnOverflow,
    /// Whether kept records say in their attributes which policy kept them. Default true.
    #[serde(default = "yes")]
    record_policy: bool,
    /// What all lanes and pipelines share; made by the first of them that is built.
    #[serde(skip)]
    core: OnceLock<Arc<Core>>,
}

/// How many decisions are remembered.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct DecisionCache {
    /// Kept traces, about 120 bytes each. Default 100000; 0 remembers none.
    sampled_cache_size: usize,
    /// Dropped traces, about 120 bytes each. Default 100000; 0 remembers none.
    non_sampled_cache_size: usize,
}

impl Default for DecisionCache {
    fn default() -> Self {
        Self { sampled_cache_size: 100_000, non_sampled_cache_size: 100_000 }
    }
}

/// What happens when there is no room for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnOverflow {
    /// Traces that are due next are decided at once.
    #[default]
    DecideOldest,
    /// The trace for which there is no room is kept.
    Pass,
    /// The trace for which there is no room is dropped.
    Drop,
}

fn decision_wait() -> Period {
    Period::seconds(30)
}

fn zero() -> Period {
    Period::seconds(0)
}

fn yes() -> bool {
    true
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "tail_sampling";
    const SOURCE: &'static str = include_str!("tail_sampling.rs");
    const LOSSY: bool = true;
    type Processor = TailSampler;

    fn build(&self, cx: &Context) -> Result<TailSampler, BuildError> {
        let core = match self.core.get() {
            Some(core) => Arc::clone(core),
            None => {
                let core = Arc::new(self.core(cx)?);
                Arc::clone(self.core.get_or_init(|| core))
            }
        };
        Ok(TailSampler { core, spans: Spans::default(), logs: Logs::default(), ticked: None })
    }

    fn state(&self) -> State {
        State::Keyed(Arc::new(|record: &Record<'_>| spread(record.trace_id())))
    }
}

/// Spreads trace ids over lanes, also those that differ in a few bits only.
fn spread(id: policy::TraceId) -> u64 {
    let id = u128::from_be_bytes(id);
    let mixed = ((id >> 64) as u64 ^ id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

impl Config {
    fn core(&self, cx: &Context) -> Result<Core, BuildError> {
        let wait = self.decision_wait.duration();
        if wait.is_zero() {
            return Err(BuildError::at(
                "decision_wait",
                "0s leaves no time for a trace to come together; write `10s`",
            ));
        }
        let after_root = self.decision_wait_after_root_received.duration();
        if after_root > wait {
            let message = "is longer than `decision_wait`, so that it never counts; make it shorter";
            return Err(BuildError::at("decision_wait_after_root_received", message));
        }
        let default = (cx.budget().soft_limit() / 4).min(MEMORY_DEFAULT);
        let given = self.max_memory.map(|size| usize::try_from(size.bytes()).unwrap_or(usize::MAX));
        let max_memory = given.unwrap_or(default);
        if max_memory == 0 {
            return Err(BuildError::at("max_memory", "0 leaves no room for any trace; write `256MiB`"));
        }
        let (policies, limits) = compile::compile(&self.policies)?;
        let counters = Counters::new(cx, &policies.reasons);
        let DecisionCache { sampled_cache_size, non_sampled_cache_size } = self.decision_cache;
        Ok(Core {
            policies,
            limits: Mutex::new(Limits::new(limits)),
            decisions: Mutex::new(Decisions::new(sampled_cache_size, non_sampled_cache_size)),
            memory: Memory::new(max_memory, self.num_traces, cx.budget().clone()),
            options: Options {
                wait,
                wait_after_root: (!after_root.is_zero()).then_some(after_root),
                on_overflow: self.on_overflow,
                drop_on_shutdown: self.drop_pending_traces_on_shutdown,
                record_policy: self.record_policy,
            },
            counters,
            is_handed_over: AtomicBool::new(false),
        })
    }
}

/// One lane. The engine makes an instance for each lane of each pipeline, so that one sees spans or log records only.
pub(crate) struct TailSampler {
    core: Arc<Core>,
    spans: Spans,
    logs: Logs,
    /// When traces were decided last.
    ticked: Option<Instant>,
}

/// The least time between two rounds of decisions.
const ROUND: Duration = Duration::from_millis(100);

impl Processor for TailSampler {
    fn process(&mut self, batch: Batch, now: Instant, out: &mut Out) {
        match batch.signal() {
            Signal::Traces => self.spans.process(batch, &self.core, now, out),
            Signal::Logs => self.logs.process(batch, &self.core, now, out),
            Signal::Metrics => out.push(batch),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let due = self.spans.held.deadline().into_iter().chain(self.logs.held.deadline()).min()?;
        // Traces are decided in rounds, not one by one as each falls due.
        let round = ROUND.min(self.core.options.wait / 10);
        Some(self.ticked.map_or(due, |ticked| due.max(ticked + round)))
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        self.ticked = Some(now);
        self.spans.tick(&self.core, now, out);
        self.logs.tick(&self.core, now, out);
    }

    fn drain(&mut self, now: Instant, out: &mut Out) {
        self.spans.drain(&self.core, now, out);
        self.logs.drain(&self.core, out);
    }

    fn held(&self) -> usize {
        self.spans.held.items() + self.logs.held.items()
    }

    fn suspend(&mut self, kept: &mut Suspended) {
        self.core.hand_over(&mut self.spans.held, Signal::Traces, kept);
        self.core.hand_over(&mut self.logs.held, Signal::Logs, kept);
        self.core.decisions_to_keep().into_iter().for_each(|memory| kept.remember(memory));
    }

    fn resume(&mut self, memory: &[u8]) {
        self.core.take_up(memory);
    }
}

#[cfg(test)]
mod tests;
