//! How a batch passes the processors of a pipeline: synchronously, within one lane, in its sender's own task.
//!
//! A pipeline has as many lanes as the program has cores, each with processors of its own, so that concurrent
//! senders do not wait for each other. Where a processor's state needs more than its own lane, the chain is
//! cut: a *segment* begins before a processor with keyed state (the batch is split, each key goes on in its
//! lane), and a processor with global state is a segment of its own with a single lane. There is no channel
//! between processors, and no lock is held over an await: what comes out is a list of loads for the exporters.

mod stage;
mod suspend;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::batch::{Batch, Record};
use crate::component::KeyHash;
use crate::delivery::{Delivery, Load};
use crate::lifecycle::guard;
use crate::receipt::Receipt;
pub(crate) use stage::{Meter, Stage};

/// What is to be handed to the exporters after a pass through the processors.
pub(crate) type Loads = Vec<(Arc<Delivery>, Load)>;

/// One pipeline, or a connector, which is a pipeline of one processor that only derives.
pub(crate) struct Pipeline {
    pub(crate) name: String,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) alarm: Alarm,
}

/// Where a pipeline's batches go.
#[derive(Clone)]
pub(crate) enum Sink {
    /// To an exporter.
    Exporter(Arc<Delivery>),
    /// Into a connector.
    Connector(Arc<Pipeline>),
}

/// A stretch of the chain that a batch passes within one lane.
pub(crate) struct Segment {
    key: Option<KeyHash>,
    lanes: Vec<Mutex<Lane>>,
    turn: AtomicUsize,
}

type Lane = Vec<Stage>;

/// What a segment put out: batches for the next one, and telemetry for those who named a processor as receiver.
#[derive(Default)]
struct Flow {
    passed: Vec<Batch>,
    derived: Vec<(Arc<[Arc<Pipeline>]>, Batch)>,
}

/// The two calls in which processors give out what they hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    /// Those whose deadline has passed.
    Tick,
    /// All of them: the input has ended.
    Drain,
}

/// The earliest moment at which a processor wants to be called.
#[derive(Default)]
pub(crate) struct Alarm {
    next: Mutex<Option<Instant>>,
    pub(crate) earlier: Notify,
}

impl Pipeline {
    /// Takes a batch through the processors and adds what is to be delivered.
    pub(crate) fn process(&self, batch: Batch, now: Instant, loads: &mut Loads) {
        self.pass(0, vec![batch], now, loads);
    }

    /// Calls `tick` or `drain`, in the order of the chain, and takes what comes out through the rest of it.
    pub(crate) fn sweep(&self, sweep: Sweep, now: Instant, loads: &mut Loads) {
        if self.segments.is_empty() {
            return;
        }
        self.alarm.clear();
        for (index, segment) in self.segments.iter().enumerate() {
            for lane in &segment.lanes {
                let mut flow = Flow::default();
                let deadline = {
                    let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
                    sweep_lane(&mut lane, sweep, now, &mut flow, |_| ());
                    deadline(&lane)
                };
                // A processor whose deadline stays in the past must not keep the timer spinning.
                deadline.into_iter().for_each(|at| self.alarm.set(at.max(now + Duration::from_millis(1))));
                self.follow(index, flow, now, loads);
            }
        }
    }

    pub(crate) fn has_processors(&self) -> bool {
        !self.segments.is_empty()
    }

    fn pass(&self, from: usize, mut batches: Vec<Batch>, now: Instant, loads: &mut Loads) {
        for segment in self.segments.iter().skip(from) {
            let mut flow = Flow::default();
            for batch in batches {
                segment.process(batch, now, &self.alarm, &mut flow);
            }
            branch(flow.derived, now, loads);
            batches = flow.passed;
        }
        for batch in batches {
            self.deliver(batch, now, loads);
        }
    }

    fn follow(&self, segment: usize, flow: Flow, now: Instant, loads: &mut Loads) {
        branch(flow.derived, now, loads);
        if !flow.passed.is_empty() {
            self.pass(segment + 1, flow.passed, now, loads);
        }
    }

    fn deliver(&self, batch: Batch, now: Instant, loads: &mut Loads) {
        let Some((last, others)) = self.sinks.split_last() else { return };
        for sink in others {
            sink.take(batch.clone(), now, loads);
        }
        last.take(batch, now, loads);
    }
}

impl Sink {
    fn take(&self, batch: Batch, now: Instant, loads: &mut Loads) {
        match self {
            Self::Exporter(delivery) => loads.push((Arc::clone(delivery), delivery.load(batch))),
            Self::Connector(connector) => connector.process(batch, now, loads),
        }
    }
}

/// Takes derived telemetry through the pipelines that named the processor as receiver.
fn branch(derived: Vec<(Arc<[Arc<Pipeline>]>, Batch)>, now: Instant, loads: &mut Loads) {
    for (pipelines, batch) in derived {
        let Some((last, others)) = pipelines.split_last() else { continue };
        for pipeline in others {
            pipeline.process(batch.clone(), now, loads);
        }
        last.process(batch, now, loads);
    }
}

/// Hands all loads over at the same time, so that an exporter that is down holds up none of the others.
pub(crate) async fn submit(mut loads: Loads) {
    if loads.len() <= 1 {
        if let Some((delivery, load)) = loads.pop() {
            delivery.submit(load).await;
        }
        return;
    }
    let begin =
        |(delivery, load): (Arc<Delivery>, Load)| Box::pin(async move { delivery.submit(load).await });
    let mut open: Vec<_> = loads.into_iter().map(begin).collect();
    std::future::poll_fn(|cx| {
        open.retain_mut(|submission| submission.as_mut().poll(cx).is_pending());
        if open.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

impl Segment {
    pub(crate) fn new(key: Option<KeyHash>, lanes: Vec<Vec<Stage>>) -> Self {
        Self { key, lanes: lanes.into_iter().map(Mutex::new).collect(), turn: AtomicUsize::new(0) }
    }

    fn process(&self, batch: Batch, now: Instant, alarm: &Alarm, flow: &mut Flow) {
        if self.key.is_none() || self.lanes.len() < 2 {
            if let Some(lane) = self.free_lane() {
                run(lane, batch, now, alarm, flow);
            }
            return;
        }
        for (lane, part) in self.by_key(batch) {
            run(lane.lock().unwrap_or_else(PoisonError::into_inner), part, now, alarm, flow);
        }
    }

    /// Splits a batch by the lanes that its keys belong to; without a key, all of it is for the first lane.
    fn by_key(&self, batch: Batch) -> Vec<(&Mutex<Lane>, Batch)> {
        let lanes = self.lanes.len();
        let choose = |record: Record<'_>| {
            let hash = self.key.as_ref().map_or(0, |key| key(&record));
            usize::try_from(hash % lanes.max(1) as u64).unwrap_or_default()
        };
        let receipts = batch.receipts();
        let parts = guard(|| batch.partition(lanes, choose)).unwrap_or_else(|reason| {
            self.fail(&reason, &receipts);
            Vec::new()
        });
        parts.into_iter().filter_map(|(index, part)| Some((self.lanes.get(index)?, part))).collect()
    }

    /// The hash of the first processor panicked: the process stops, and the senders are told.
    fn fail(&self, reason: &str, receipts: &[Receipt]) {
        let lane = self.lanes.first().map(|lane| lane.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(stage) = lane.as_deref().and_then(|lane| lane.first()) {
            stage.fail(reason, receipts);
        }
    }

    /// A lane that nobody uses, beginning with another one each time; if there is none, the one whose turn it is.
    fn free_lane(&self) -> Option<MutexGuard<'_, Lane>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.lanes.len().max(1);
        let (before, from) = self.lanes.split_at_checked(turn)?;
        for lane in from.iter().chain(before) {
            match lane.try_lock() {
                Ok(lane) => return Some(lane),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        Some(from.first()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs a batch through a lane from its beginning.
fn run(mut lane: MutexGuard<'_, Lane>, batch: Batch, now: Instant, alarm: &Alarm, flow: &mut Flow) {
    let passed = run_stages(&mut lane, vec![batch], now, flow);
    flow.passed.extend(passed);
    if let Some(deadline) = deadline(&lane) {
        alarm.set(deadline);
    }
}

fn run_stages(stages: &mut [Stage], mut batches: Vec<Batch>, now: Instant, flow: &mut Flow) -> Vec<Batch> {
    for stage in stages {
        let mut next = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut out = stage.process(batch, now);
            next.append(&mut out.passed);
            stage.branch(out.derived, &mut flow.derived);
        }
        batches = next;
    }
    batches
}

/// Calls the processors of a lane in order; `before` sees each of them before its call.
fn sweep_lane(
    lane: &mut Lane,
    sweep: Sweep,
    now: Instant,
    flow: &mut Flow,
    mut before: impl FnMut(&mut Stage),
) {
    for index in 0..lane.len() {
        let Some((stage, rest)) = lane.get_mut(index..).and_then(<[Stage]>::split_first_mut) else { return };
        before(stage);
        let Some(out) = stage.sweep(sweep, now) else { continue };
        stage.branch(out.derived, &mut flow.derived);
        let passed = run_stages(rest, out.passed, now, flow);
        flow.passed.extend(passed);
    }
}

fn deadline(lane: &Lane) -> Option<Instant> {
    lane.iter().filter_map(Stage::deadline).min()
}

impl Alarm {
    /// When the next call is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, deadline: Instant) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|current| deadline < current) {
            *next = Some(deadline);
            self.earlier.notify_one();
        }
    }

    fn clear(&self) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
