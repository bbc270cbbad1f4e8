//! One lane of a pipeline of logs: records of a trace wait here until the traces' pipeline has decided on it.

use std::time::{Duration, Instant};

use watershed_pipeline::{Batch, Out, Signal};

use super::core::{Core, Outgoing};
use super::fate::{Fate, divide};
use super::held::{Arrival, Held, PIECE_COST, TRACE_COST};
use super::policy::{Decision, Fixed, TraceId};

/// The log records that wait in this lane.
#[derive(Default)]
pub(super) struct Logs {
    pub(super) held: Held,
}

/// How often is asked whether a trace has been decided.
fn pause(core: &Core) -> Duration {
    let wait = core.options.wait_after_root.unwrap_or(core.options.wait);
    (wait / 4).clamp(Duration::from_millis(1), Duration::from_secs(1))
}

/// What becomes of log records of whose trace nothing is known.
const UNKNOWN: Decision = Decision::fixed(true, Fixed::NoTrace);

impl Logs {
    pub(super) fn process(&mut self, batch: Batch, core: &Core, now: Instant, out: &mut Out) {
        let mut released = Out::default();
        let mut outgoing = Outgoing::new(core, Signal::Logs, &mut released);
        divide(batch, core, out, |batch, id, positions, _| {
            if let Some(decision) = core.recall(&id) {
                core.count(Signal::Logs, decision, positions.len());
                return Fate::Now(decision);
            }
            let bytes = batch.to_otlp_of(positions);
            let arrival = Arrival { id, bytes, items: positions.len(), metadata: batch.metadata().cloned() };
            let is_new = self.held.get(&id).is_none();
            let cost = arrival.bytes.len() + PIECE_COST + if is_new { TRACE_COST } else { 0 };
            if self.make_room(id, cost, is_new, &mut outgoing) {
                self.held.add(arrival, cost, now, now + pause(core));
                return Fate::Wait;
            }
            core.count(Signal::Logs, UNKNOWN, positions.len());
            Fate::Now(UNKNOWN)
        });
        outgoing.finish();
        released.take().into_iter().for_each(|batch| out.push(batch));
    }

    /// Makes room in memory by letting go of what is due first.
    fn make_room(&mut self, id: TraceId, cost: usize, is_new: bool, outgoing: &mut Outgoing<'_>) -> bool {
        while !outgoing.core().memory.take(cost, usize::from(is_new)) {
            let other = self.held.next().map(|(_, oldest)| oldest).filter(|oldest| *oldest != id);
            let Some((other, trace)) = other.and_then(|other| Some((other, self.held.remove(&other)?)))
            else {
                return false;
            };
            let decision = outgoing.core().recall(&other).unwrap_or(UNKNOWN);
            outgoing.release(other, trace, decision);
        }
        true
    }

    /// Asks again for the decisions of what is due. A trace may begin after its first log record, so that records
    /// wait for up to twice the time that spans do.
    pub(super) fn tick(&mut self, core: &Core, now: Instant, out: &mut Out) {
        let mut outgoing = Outgoing::new(core, Signal::Logs, out);
        let wait = core.options.wait;
        while let Some((id, trace)) = self.held.pop_due(now) {
            let end = trace.since + wait * 2;
            match core.recall(&id) {
                Some(decision) => outgoing.release(id, trace, decision),
                None if now >= end => outgoing.release(id, trace, UNKNOWN),
                None => self.held.put_back(id, trace, (now + pause(core)).min(end)),
            }
        }
        outgoing.finish();
    }

    /// Lets everything go by what is known.
    pub(super) fn drain(&mut self, core: &Core, out: &mut Out) {
        let mut outgoing = Outgoing::new(core, Signal::Logs, out);
        while let Some((id, trace)) = self.held.pop() {
            let decision = core.recall(&id).unwrap_or(UNKNOWN);
            outgoing.release(id, trace, decision);
        }
        outgoing.finish();
    }
}
