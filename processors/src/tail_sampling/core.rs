//! What all lanes and pipelines of one processor share: policies, decisions, rates, the bound on memory, counters.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use watershed_pipeline::{Context, Counter, Gauge, Out, Signal, Suspended, Unit};

use super::OnOverflow;
use super::decisions::Decisions;
use super::evidence::Evidence;
use super::held::{Held, Joined, Joiner, Trace};
use super::limits::Limits;
use super::mark::Marker;
use super::memory::Memory;
use super::policy::{Case, Decision, Policies, Reason, TraceId};

/// Shared by all lanes and pipelines of one processor.
pub(super) struct Core {
    pub(super) policies: Policies,
    pub(super) limits: Mutex<Limits>,
    pub(super) decisions: Mutex<Decisions>,
    pub(super) memory: Memory,
    pub(super) options: Options,
    pub(super) counters: Counters,
    /// Whether a lane has handed over what is remembered, which is the same for all.
    pub(super) is_handed_over: AtomicBool,
}

/// The processor's own options, checked.
#[derive(Clone, Copy)]
pub(super) struct Options {
    pub(super) wait: Duration,
    pub(super) wait_after_root: Option<Duration>,
    pub(super) on_overflow: OnOverflow,
    pub(super) drop_on_shutdown: bool,
    pub(super) record_policy: bool,
}

/// What the processor counts, beside what the engine does.
pub(super) struct Counters {
    /// By reason: dropped and kept.
    traces: Vec<[Counter; 2]>,
    spans: Vec<[Counter; 2]>,
    logs: Vec<[Counter; 2]>,
    late: [Counter; 2],
    pub(super) early: Counter,
    memory: Gauge,
}

impl Counters {
    pub(super) fn new(cx: &Context, reasons: &[Reason]) -> Self {
        let by_reason = |name: &str, unit: Unit, help: &str| {
            let counter = |reason: &Reason, sampled: &str| {
                let part = reason.part.as_deref().map(|part| format!("{}/{part}", reason.policy));
                let policy = part.as_ref().unwrap_or(&reason.policy);
                let labels = [("policy", policy.as_str()), ("sampled", sampled)];
                cx.labelled_counter(&format!("tail_sampling_{name}"), unit, help, &labels)
            };
            let both = |reason: &Reason| ["false", "true"].map(|sampled| counter(reason, sampled));
            reasons.iter().map(both).collect()
        };
        let late = |sampled: &str| {
            let help = "Items that came after the decision on their trace and followed it";
            cx.labelled_counter("tail_sampling_late_items", Unit::Items, help, &[("sampled", sampled)])
        };
        Self {
            traces: by_reason("count_traces_sampled", Unit::Values, "Traces decided, by policy"),
            spans: by_reason("count_spans_sampled", Unit::Items, "Spans decided, by policy"),
            logs: by_reason("count_logs_sampled", Unit::Items, "Log records decided, by policy"),
            late: ["false", "true"].map(late),
            early: cx.counter(
                "tail_sampling_decided_early",
                Unit::Values,
                "Traces decided before their time for lack of memory",
            ),
            memory: cx.gauge("tail_sampling_memory", Unit::Bytes, "Bytes held back"),
        }
    }
}

fn count(counters: &[[Counter; 2]], decision: Decision, amount: usize) {
    if let Some([dropped, kept]) = counters.get(usize::from(decision.reason)) {
        if decision.keep { kept } else { dropped }.add(amount as u64);
    }
}

impl Core {
    /// What is remembered of a trace.
    pub(super) fn recall(&self, id: &TraceId) -> Option<Decision> {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner).get(id)
    }

    /// Decides on a trace by its policies.
    pub(super) fn decide(&self, id: TraceId, evidence: &Evidence, now: Instant) -> Decision {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.policies.decide(&Case { id, evidence, now }, &mut limits)
    }

    /// Remembers and counts the decision on a trace.
    pub(super) fn remember(&self, id: TraceId, decision: Decision) {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner).insert(id, decision);
        count(&self.counters.traces, decision, 1);
    }

    /// Counts records that follow a decision.
    pub(super) fn count(&self, signal: Signal, decision: Decision, items: usize) {
        let counters = if signal == Signal::Logs { &self.counters.logs } else { &self.counters.spans };
        count(counters, decision, items);
    }

    /// Counts records that came after their decision.
    pub(super) fn count_late(&self, decision: Decision, items: usize) {
        let [dropped, kept] = &self.counters.late;
        if decision.keep { kept } else { dropped }.add(items as u64);
    }

    /// Hands over what waits, for the next instance, which looks at the spans anew.
    pub(super) fn hand_over(&self, held: &mut Held, signal: Signal, kept: &mut Suspended) {
        let mut joiner = Joiner::new(signal);
        while let Some((id, trace)) = held.pop() {
            self.memory.give(trace.memory, 1);
            joiner.add(id, trace, ()).into_iter().for_each(|joined| kept.hold(&joined.batch));
        }
        joiner.take().into_iter().for_each(|joined| kept.hold(&joined.batch));
        self.show_memory();
    }

    /// What is remembered, as bytes; nothing if another lane has handed it over.
    pub(super) fn decisions_to_keep(&self) -> Option<Vec<u8>> {
        let is_done = self.is_handed_over.swap(true, Ordering::Relaxed);
        let decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        (!is_done).then(|| decisions.encode(&self.policies.reasons))
    }

    /// Adds what an instance before remembered.
    pub(super) fn take_up(&self, memory: &[u8]) {
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        decisions.merge(memory, &self.policies.reasons);
    }

    pub(super) fn show_memory(&self) {
        self.counters.memory.set(i64::try_from(self.memory.used()).unwrap_or(i64::MAX));
    }

    pub(super) fn marker(&self) -> Marker<'_> {
        Marker { reasons: &self.policies.reasons, with_policy: self.options.record_policy }
    }
}

/// Where decided traces go: kept ones on, marked, in batches of a sensible size.
pub(super) struct Outgoing<'a> {
    core: &'a Core,
    signal: Signal,
    joiner: Joiner<Decision>,
    out: &'a mut Out,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(core: &'a Core, signal: Signal, out: &'a mut Out) -> Self {
        Self { core, signal, joiner: Joiner::new(signal), out }
    }

    pub(super) fn core(&self) -> &'a Core {
        self.core
    }

    /// Lets a trace go that waited.
    pub(super) fn release(&mut self, id: TraceId, trace: Trace, decision: Decision) {
        self.core.memory.give(trace.memory, 1);
        self.core.count(self.signal, decision, trace.items);
        if decision.keep {
            let before = self.joiner.add(id, trace, decision);
            self.push(before);
        }
    }

    fn push(&mut self, joined: Option<Joined<Decision>>) {
        let Some(Joined { mut batch, notes }) = joined else { return };
        let marker = self.core.marker();
        if notes.values().any(|decision| marker.leaves(*decision)) {
            marker.mark(&mut batch, |_, record| Some((*notes.get(&record.trace_id())?, false)));
        }
        self.out.push(batch);
    }

    /// Sends on what is left; call it last.
    pub(super) fn finish(mut self) {
        let rest = self.joiner.take();
        self.push(rest);
        self.core.show_memory();
    }
}
