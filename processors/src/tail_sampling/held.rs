//! Traces that wait, as OTLP bytes of their own, in the order of their deadlines.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use watershed_pipeline::{Batch, Metadata, Signal};

use super::evidence::Evidence;
use super::policy::TraceId;

/// Bytes that a trace costs beside its telemetry: its entry, its places in the queue, its list of pieces.
pub(super) const TRACE_COST: usize = 512;
/// Bytes that a piece of a trace costs beside its telemetry.
pub(super) const PIECE_COST: usize = 64;
/// Bytes of a message that goes on, from which on a new one is begun.
const MESSAGE: usize = 1 << 20;

/// The traces of one lane that wait.
#[derive(Default)]
pub(super) struct Held {
    traces: HashMap<TraceId, Trace>,
    /// Deadlines; an entry counts as long as the trace with this number has this deadline.
    queue: BinaryHeap<Reverse<(Instant, u64, TraceId)>>,
    next_number: u64,
    items: usize,
}

/// What waits of one trace.
pub(super) struct Trace {
    /// OTLP messages; behind one another they are one message.
    pub(super) pieces: Vec<Bytes>,
    pub(super) items: usize,
    pub(super) evidence: Evidence,
    /// When its first record came.
    pub(super) since: Instant,
    /// What is counted for it in the bound on memory.
    pub(super) memory: usize,
    /// What the first sender's connection said.
    pub(super) metadata: Option<Arc<Metadata>>,
    due: Instant,
    number: u64,
}

/// Records of one trace in one batch.
pub(super) struct Arrival {
    pub(super) id: TraceId,
    pub(super) bytes: Bytes,
    pub(super) items: usize,
    pub(super) metadata: Option<Arc<Metadata>>,
}

impl Held {
    pub(super) fn get(&self, id: &TraceId) -> Option<&Trace> {
        self.traces.get(id)
    }

    /// Adds records to their trace; a trace that begins with them is due at `due`.
    pub(super) fn add(&mut self, arrival: Arrival, cost: usize, now: Instant, due: Instant) -> &mut Trace {
        let Arrival { id, bytes, items, metadata } = arrival;
        let Self { traces, queue, next_number, items: all } = self;
        let trace = traces.entry(id).or_insert_with(|| {
            *next_number += 1;
            queue.push(Reverse((due, *next_number, id)));
            let evidence = Evidence::default();
            let (pieces, number) = (Vec::new(), *next_number);
            Trace { pieces, items: 0, evidence, since: now, memory: 0, metadata, due, number }
        });
        trace.pieces.push(bytes);
        trace.items += items;
        trace.memory += cost;
        *all += items;
        trace
    }

    /// Puts back a trace that was taken out, with another deadline.
    pub(super) fn put_back(&mut self, id: TraceId, mut trace: Trace, due: Instant) {
        trace.due = due;
        self.items += trace.items;
        self.queue.push(Reverse((due, trace.number, id)));
        self.traces.insert(id, trace);
    }

    /// Makes a trace due at `due`, if that is earlier than it is now.
    pub(super) fn hasten(&mut self, id: &TraceId, due: Instant) {
        if let Some(trace) = self.traces.get_mut(id).filter(|trace| due < trace.due) {
            trace.due = due;
            self.queue.push(Reverse((due, trace.number, *id)));
        }
    }

    pub(super) fn remove(&mut self, id: &TraceId) -> Option<Trace> {
        let trace = self.traces.remove(id)?;
        self.items -= trace.items;
        Some(trace)
    }

    /// The trace that is due next, and when.
    pub(super) fn next(&mut self) -> Option<(Instant, TraceId)> {
        while let Some(Reverse((due, number, id))) = self.queue.peek().copied() {
            if self.traces.get(&id).is_some_and(|trace| trace.number == number && trace.due == due) {
                return Some((due, id));
            }
            self.queue.pop();
        }
        None
    }

    /// Takes out the trace that is due next, if it is due by `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(TraceId, Trace)> {
        let (_, id) = self.next().filter(|(due, _)| *due <= now)?;
        Some((id, self.remove(&id)?))
    }

    /// Takes out the trace that is due next.
    pub(super) fn pop(&mut self) -> Option<(TraceId, Trace)> {
        let (_, id) = self.next()?;
        Some((id, self.remove(&id)?))
    }

    /// When the next trace is due at the earliest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        // An entry that counts no more only makes the call come too early.
        self.queue.peek().map(|Reverse((due, ..))| *due)
    }

    /// Records that wait.
    pub(super) fn items(&self) -> usize {
        self.items
    }
}

/// Puts traces together to batches of a sensible size.
pub(super) struct Joiner<T> {
    signal: Signal,
    message: Vec<u8>,
    metadata: Option<Arc<Metadata>>,
    items: usize,
    /// What the caller wants to know of the traces in a batch.
    notes: HashMap<TraceId, T>,
}

/// Traces as one batch.
pub(super) struct Joined<T> {
    pub(super) batch: Batch,
    pub(super) notes: HashMap<TraceId, T>,
}

impl<T> Joiner<T> {
    pub(super) fn new(signal: Signal) -> Self {
        Self { signal, message: Vec::new(), metadata: None, items: 0, notes: HashMap::new() }
    }

    /// Adds a trace; what was there before comes out if it is large, or from another sender.
    pub(super) fn add(&mut self, id: TraceId, trace: Trace, note: T) -> Option<Joined<T>> {
        let is_same = trace.metadata == self.metadata;
        let is_full = self.message.len() >= MESSAGE;
        let before = if is_full || !is_same { self.take() } else { None };
        self.metadata = trace.metadata;
        self.items += trace.items;
        trace.pieces.iter().for_each(|piece| self.message.extend_from_slice(piece));
        self.notes.insert(id, note);
        before
    }

    /// What is there.
    pub(super) fn take(&mut self) -> Option<Joined<T>> {
        let (message, notes) = (std::mem::take(&mut self.message), std::mem::take(&mut self.notes));
        self.items = 0;
        // Our own encoding, and smaller than what a message may be: it can be read.
        let mut batch =
            Batch::from_otlp(self.signal, message.into()).ok().filter(|batch| !batch.is_empty())?;
        batch.set_metadata(self.metadata.take());
        Some(Joined { batch, notes })
    }
}
