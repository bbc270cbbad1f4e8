//! One processor in its lane, with everything that the engine does around each of its calls: counting,
//! receipts, and catching a panic.

use std::sync::Arc;
use std::time::Instant;

use super::{Pipeline, Sweep};
use crate::batch::{Batch, Signal};
use crate::component::{Out, Processor, Refusal, Suspended};
use crate::delivery::Complaints;
use crate::lifecycle::{Lifecycle, guard};
use crate::receipt::Receipt;
use crate::telemetry::{Counter, Gauge, Telemetry, Unit};

/// One processor in its lane.
pub(crate) struct Stage {
    id: Arc<str>,
    processor: Box<dyn Processor>,
    meters: Arc<[Meter; 3]>,
    /// The pipelines that named the processor as receiver, by signal.
    taps: [Arc<[Arc<Pipeline>]>; 3],
    lifecycle: Lifecycle,
    signal: Signal,
    is_broken: bool,
    complaints: Complaints,
}

/// The counters of one processor and signal.
pub(crate) struct Meter {
    incoming: Counter,
    outgoing: Counter,
    added: Counter,
    dropped: Counter,
    merged: Counter,
    refused: Counter,
    derived: Counter,
    suspended: Counter,
    resumed: Counter,
    held: Gauge,
}

/// What one call of a processor did to the numbers of items.
#[derive(Clone, Copy, Default)]
struct Change {
    /// Given to it by the stage before.
    taken: usize,
    /// Given to it from what was handed over at the last stop.
    resumed: usize,
    /// Handed over by it for the next start.
    suspended: usize,
    held_before: usize,
    held_after: usize,
}

impl Meter {
    /// The counters of one processor, by signal.
    pub(crate) fn all(telemetry: &Telemetry, processor: &str) -> [Self; 3] {
        Signal::ALL.map(|signal| Self::new(telemetry, processor, signal))
    }

    fn new(telemetry: &Telemetry, processor: &str, signal: Signal) -> Self {
        let labels = [("processor", processor), ("otel.signal", signal.name())];
        let counter = |name: &str, help: &str| {
            telemetry.counter(&format!("otelcol_processor_{name}_items"), Unit::Items, help, &labels)
        };
        Self {
            incoming: counter("incoming", "Items given to the processor."),
            outgoing: counter("outgoing", "Items that the processor passed on."),
            added: counter("added", "Items passed on beyond those given to the processor."),
            dropped: counter("dropped", "Items that the processor removed."),
            merged: counter("merged", "Items that went into other items."),
            refused: counter("refused", "Items given back to their sender."),
            derived: counter("derived", "Items made beside the stream, such as metrics of logs."),
            suspended: counter("suspended", "Held items that were written to disk at a stop."),
            resumed: counter("resumed", "Items that were read back from disk after a stop."),
            held: telemetry.gauge(
                "otelcol_processor_held_items",
                Unit::Items,
                "Items that the processor holds back.",
                &labels,
            ),
        }
    }

    fn settle(&self, out: &Out, change: Change) {
        let Change { taken, resumed, suspended, held_before, held_after } = change;
        let passed: usize = out.passed.iter().map(Batch::len).sum();
        let incoming = held_before + taken + resumed;
        let accounted = held_after + passed + suspended;
        self.incoming.add(taken as u64);
        self.resumed.add(resumed as u64);
        self.suspended.add(suspended as u64);
        self.outgoing.add(passed as u64);
        self.added.add(accounted.saturating_sub(incoming) as u64);
        let gone = incoming.saturating_sub(accounted);
        let merged = out.merged.min(gone);
        self.merged.add(merged as u64);
        let refused = if out.refused.is_some() { (gone - merged).min(taken + resumed) } else { 0 };
        self.refused.add(refused as u64);
        self.dropped.add((gone - merged - refused) as u64);
        let change = held_after.abs_diff(held_before);
        let change = i64::try_from(change).unwrap_or(i64::MAX);
        self.held.add(if held_after < held_before { -change } else { change });
    }
}

impl Stage {
    pub(crate) fn new(
        id: Arc<str>,
        processor: Box<dyn Processor>,
        meters: Arc<[Meter; 3]>,
        taps: [Arc<[Arc<Pipeline>]>; 3],
        lifecycle: Lifecycle,
        signal: Signal,
    ) -> Self {
        Self {
            id,
            processor,
            meters,
            taps,
            lifecycle,
            signal,
            is_broken: false,
            complaints: Complaints::default(),
        }
    }

    pub(super) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Gives a batch to the processor. If it refuses, the batch's senders are told.
    pub(super) fn process(&mut self, batch: Batch, now: Instant) -> Out {
        let change = Change { taken: batch.len(), ..Change::default() };
        self.give(batch, change, now)
    }

    /// Gives the processor a batch that was handed over at the last stop.
    pub(super) fn process_again(&mut self, batch: Batch, now: Instant) -> Out {
        let change = Change { resumed: batch.len(), ..Change::default() };
        self.give(batch, change, now)
    }

    /// Asks the processor for what it wants to go on with after the stop.
    pub(super) fn suspend(&mut self, kept: &mut Suspended) {
        if self.is_broken {
            return;
        }
        let mut own = Suspended::default();
        let held_before = self.processor.held();
        if let Err(reason) = guard(|| self.processor.suspend(&mut own)) {
            self.is_broken = true;
            self.lifecycle.fail(&self.id, reason);
        }
        // What was handed over before a panic is whole; the rest can't be had any more.
        let held_after = if self.is_broken { 0 } else { self.processor.held() };
        let change = Change { suspended: own.items(), held_before, held_after, ..Change::default() };
        self.meter(self.signal).settle(&Out::default(), change);
        kept.memory.append(&mut own.memory);
        kept.batches.append(&mut own.batches);
    }

    /// Gives the processor what an instance before remembered.
    pub(super) fn resume(&mut self, memory: &[u8]) {
        if !self.is_broken
            && let Err(reason) = guard(|| self.processor.resume(memory))
        {
            self.is_broken = true;
            self.lifecycle.fail(&self.id, reason);
        }
    }

    fn give(&mut self, batch: Batch, change: Change, now: Instant) -> Out {
        let receipts = batch.receipts();
        let mut out = self.call(batch.signal(), change, |processor, out| processor.process(batch, now, out));
        for receipt in &receipts {
            // Derived telemetry belongs to the same send: if it can't be taken, the sender hears it.
            out.derived.iter_mut().for_each(|batch| batch.add_receipt(receipt.clone()));
            if let Some(refusal) = &out.refused {
                receipt.refuse(refusal.clone());
            }
        }
        out
    }

    /// Calls `tick` if it is due, or `drain`.
    pub(super) fn sweep(&mut self, sweep: Sweep, now: Instant) -> Option<Out> {
        match sweep {
            Sweep::Tick if self.deadline().is_some_and(|deadline| deadline <= now) => {
                Some(self.call(self.signal, Change::default(), |processor, out| processor.tick(now, out)))
            }
            Sweep::Tick => None,
            Sweep::Drain => {
                Some(self.call(self.signal, Change::default(), |processor, out| processor.drain(now, out)))
            }
        }
    }

    /// Tells that the processor's code panicked outside of a call.
    pub(super) fn fail(&self, reason: &str, receipts: &[Receipt]) {
        self.lifecycle.fail(&self.id, reason);
        receipts.iter().for_each(|receipt| receipt.refuse(broken()));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.is_broken { None } else { self.processor.deadline() }
    }

    /// Adds derived telemetry to the list, each batch with the pipelines that asked for it.
    pub(super) fn branch(&self, derived: Vec<Batch>, list: &mut Vec<(Arc<[Arc<Pipeline>]>, Batch)>) {
        for batch in derived {
            let [logs, traces, metrics] = &self.taps;
            let taps = *of_signal([&logs, &traces, &metrics], batch.signal());
            self.meter(batch.signal()).derived.add(batch.len() as u64);
            if taps.is_empty() {
                self.complain(batch.signal());
                continue;
            }
            list.push((Arc::clone(taps), batch));
        }
    }

    /// What nobody asked for is left out quietly; what was asked for by pipelines of another signal only, is not.
    fn complain(&self, signal: Signal) {
        let is_tapped = self.taps.iter().any(|taps| !taps.is_empty());
        if is_tapped && let Some(unsaid) = self.complaints.permit() {
            let processor = &*self.id;
            let told = "derives a signal that no pipeline takes from it; name it in one of that signal";
            tracing::warn!(processor, %signal, unsaid, "{told}");
        }
    }

    fn call(
        &mut self,
        signal: Signal,
        change: Change,
        action: impl FnOnce(&mut dyn Processor, &mut Out),
    ) -> Out {
        let mut out = Out::default();
        if self.is_broken {
            out.refuse(broken());
            self.meter(signal).settle(&out, change);
            return out;
        }
        let held_before = self.processor.held();
        if let Err(reason) = guard(|| action(&mut *self.processor, &mut out)) {
            self.is_broken = true;
            self.lifecycle.fail(&self.id, reason);
            out = Out::default();
            out.refuse(broken());
            // What it held is still in there, but nobody can get it out.
            self.meter(signal).settle(&out, Change { held_before, ..change });
            return out;
        }
        let held_after = self.processor.held();
        self.meter(signal).settle(&out, Change { held_before, held_after, ..change });
        out
    }

    fn meter(&self, signal: Signal) -> &Meter {
        let [logs, traces, metrics] = &*self.meters;
        of_signal([logs, traces, metrics], signal)
    }
}

fn of_signal<T>([logs, traces, metrics]: [T; 3], signal: Signal) -> T {
    match signal {
        Signal::Logs => logs,
        Signal::Traces => traces,
        Signal::Metrics => metrics,
    }
}

fn broken() -> Refusal {
    Refusal::Retry {
        reason: "a processor failed and the process stops; send it again".to_owned(),
        after: None,
    }
}
