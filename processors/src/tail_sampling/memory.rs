//! The bound on what is held back, in bytes and in traces, over all lanes and pipelines of one processor.

use std::sync::{Mutex, PoisonError};

use watershed_pipeline::{Budget, Reservation};

/// How much more than what is needed is taken from the process's budget at a time, in bytes.
const STEP: usize = 1 << 20;

/// What is held, and how much may be.
pub(super) struct Memory {
    max_bytes: usize,
    max_traces: usize,
    budget: Budget,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    traces: usize,
    /// What is counted in the process's budget, so that receivers see it.
    reservation: Option<Reservation>,
}

impl Memory {
    /// Bounds by bytes and, unless it is 0, by traces.
    pub(super) fn new(max_bytes: usize, max_traces: usize, budget: Budget) -> Self {
        let max_traces = if max_traces == 0 { usize::MAX } else { max_traces };
        Self { max_bytes, max_traces, budget, held: Mutex::default() }
    }

    /// Makes room for so many bytes and traces; says whether there was any.
    pub(super) fn take(&self, bytes: usize, traces: usize) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, count) = (held.bytes + bytes, held.traces + traces);
        if total > self.max_bytes
            || count > self.max_traces
            || !held.reserve(total, self.max_bytes, &self.budget)
        {
            return false;
        }
        (held.bytes, held.traces) = (total, count);
        true
    }

    /// Gives room back.
    pub(super) fn give(&self, bytes: usize, traces: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes = held.bytes.saturating_sub(bytes);
        held.traces = held.traces.saturating_sub(traces);
        let bytes = held.bytes;
        if bytes == 0 {
            held.reservation = None;
        } else if let Some(reservation) = &mut held.reservation
            && reservation.bytes() > bytes + 2 * STEP
        {
            let smaller = reservation.resize(bytes + STEP);
            debug_assert!(smaller.is_ok(), "it only gets smaller");
        }
    }

    /// Bytes held at this moment.
    pub(super) fn used(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

impl Held {
    /// Makes sure that so many bytes are counted in the process's budget.
    fn reserve(&mut self, bytes: usize, max: usize, budget: &Budget) -> bool {
        let wanted = (bytes + STEP).min(max);
        match &mut self.reservation {
            Some(reservation) if reservation.bytes() >= bytes => true,
            Some(reservation) => reservation.resize(wanted).or_else(|_| reservation.resize(bytes)).is_ok(),
            None => {
                self.reservation = budget.admit(wanted).or_else(|_| budget.admit(bytes)).ok();
                self.reservation.is_some()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_in_the_budget_and_stays_below_both_bounds() {
        let budget = Budget::new(3 * STEP, 4 * STEP);
        let memory = Memory::new(3 * STEP / 2, 2, budget.clone());
        assert!(memory.take(STEP, 1));
        assert_eq!(budget.used(), 3 * STEP / 2);
        assert!(!memory.take(STEP, 1), "more than its own bound");
        assert!(memory.take(STEP / 2, 1));
        assert!(!memory.take(0, 1), "a third trace");
        memory.give(3 * STEP / 2, 2);
        assert_eq!((memory.used(), budget.used()), (0, 0));
        let others = budget.admit(3 * STEP).unwrap();
        assert!(!memory.take(1, 1), "others have it all");
        drop(others);
        assert!(memory.take(1, 1));
    }
}
