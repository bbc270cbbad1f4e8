//! One lane of a pipeline of traces: spans wait here until their trace is decided.

use std::time::Instant;

use watershed_pipeline::{Batch, Out, Record, Signal};

use super::OnOverflow;
use super::core::{Core, Outgoing};
use super::evidence::Evidence;
use super::fate::{Fate, divide};
use super::held::{Arrival, Held, PIECE_COST, TRACE_COST};
use super::policy::{Decision, Fixed, TraceId};

/// A trace that is larger than this, in bytes, is decided at once, as if memory had run out.
const TRACE_MAX: usize = 64 << 20;

/// The spans that wait in this lane.
#[derive(Default)]
pub(super) struct Spans {
    pub(super) held: Held,
}

impl Spans {
    pub(super) fn process(&mut self, batch: Batch, core: &Core, now: Instant, out: &mut Out) {
        let mut decided = Out::default();
        let mut visit = Visit { core, now, outgoing: Outgoing::new(core, Signal::Traces, &mut decided) };
        divide(batch, core, out, |batch, id, positions, records| {
            if self.held.get(&id).is_none()
                && let Some(decision) = core.recall(&id)
            {
                core.count(Signal::Traces, decision, positions.len());
                core.count_late(decision, positions.len());
                return Fate::Late(decision);
            }
            let bytes = batch.to_otlp_of(positions);
            let arrival = Arrival { id, bytes, items: positions.len(), metadata: batch.metadata().cloned() };
            let own = positions.iter().filter_map(|position| records.get(*position).copied());
            self.arrive(arrival, own, &mut visit)
        });
        visit.outgoing.finish();
        decided.take().into_iter().for_each(|batch| out.push(batch));
    }

    /// Holds spans of a trace that is not decided yet; where there is no room for them, the trace is decided now.
    fn arrive<'r>(
        &mut self,
        arrival: Arrival,
        records: impl Iterator<Item = Record<'r>>,
        visit: &mut Visit<'_>,
    ) -> Fate {
        let Visit { core, now, .. } = *visit;
        let (id, items, bytes) = (arrival.id, arrival.items, arrival.bytes.len() as u64);
        let is_new = self.held.get(&id).is_none();
        let cost = arrival.bytes.len() + PIECE_COST + if is_new { TRACE_COST } else { 0 };
        if self.make_room(id, cost, is_new, visit) {
            let trace = self.held.add(arrival, cost, now, now + core.options.wait);
            trace.evidence.bytes += bytes;
            records.for_each(|record| trace.evidence.add(record, &core.policies.tests));
            if let Some(wait) = core.options.wait_after_root.filter(|_| trace.evidence.has_root) {
                self.held.hasten(&id, now + wait);
            }
            return Fate::Wait;
        }
        let trace = self.held.remove(&id);
        let mut evidence = trace.as_ref().map_or_else(Evidence::default, |trace| trace.evidence);
        evidence.bytes += bytes;
        records.for_each(|record| evidence.add(record, &core.policies.tests));
        let decision = visit.decide_early(id, &evidence);
        if let Some(trace) = trace {
            visit.outgoing.release(id, trace, decision);
        }
        core.count(Signal::Traces, decision, items);
        Fate::Now(decision)
    }

    /// Makes room in memory, if the options say so by deciding traces that are due before this one.
    fn make_room(&mut self, id: TraceId, cost: usize, is_new: bool, visit: &mut Visit<'_>) -> bool {
        let core = visit.core;
        if cost + self.held.get(&id).map_or(0, |trace| trace.memory) > TRACE_MAX {
            return false;
        }
        while !core.memory.take(cost, usize::from(is_new)) {
            let oldest = self.held.next().map(|(_, oldest)| oldest);
            let other =
                oldest.filter(|oldest| *oldest != id && core.options.on_overflow == OnOverflow::DecideOldest);
            let Some((other, trace)) = other.and_then(|other| Some((other, self.held.remove(&other)?)))
            else {
                return false;
            };
            let decision = visit.decide_early(other, &trace.evidence);
            visit.outgoing.release(other, trace, decision);
        }
        true
    }

    /// Decides the traces whose time has come.
    pub(super) fn tick(&mut self, core: &Core, now: Instant, out: &mut Out) {
        let mut outgoing = Outgoing::new(core, Signal::Traces, out);
        while let Some((id, trace)) = self.held.pop_due(now) {
            let decision = core.decide(id, &trace.evidence, now);
            core.remember(id, decision);
            outgoing.release(id, trace, decision);
        }
        outgoing.finish();
    }

    /// Decides all traces on what is known of them.
    pub(super) fn drain(&mut self, core: &Core, now: Instant, out: &mut Out) {
        let mut outgoing = Outgoing::new(core, Signal::Traces, out);
        while let Some((id, trace)) = self.held.pop() {
            let decision = if core.options.drop_on_shutdown {
                Decision::fixed(false, Fixed::Shutdown)
            } else {
                core.decide(id, &trace.evidence, now)
            };
            core.remember(id, decision);
            outgoing.release(id, trace, decision);
        }
        outgoing.finish();
    }
}

/// What one call works with.
struct Visit<'a> {
    core: &'a Core,
    now: Instant,
    outgoing: Outgoing<'a>,
}

impl Visit<'_> {
    /// Decides a trace before its time, because there is no room.
    fn decide_early(&self, id: TraceId, evidence: &Evidence) -> Decision {
        let decision = match self.core.options.on_overflow {
            OnOverflow::DecideOldest => self.core.decide(id, evidence, self.now),
            OnOverflow::Pass => Decision::fixed(true, Fixed::Overflow),
            OnOverflow::Drop => Decision::fixed(false, Fixed::Overflow),
        };
        self.core.remember(id, decision);
        self.core.counters.early.add(1);
        decision
    }
}
