//! What stands in front of each exporter: queue, batching, retry, timeout, and the accounts of every item.
//!
//! There is one delivery per exporter and signal. Without a queue a batch is exported while its sender waits;
//! with one, the queue takes responsibility and consumers export. Read in this order: `settings` (the options),
//! `ledger` (what becomes of items), `queue`, `batcher`, `reunion`, `retry`, `parking`.

mod batcher;
mod durable;
mod ledger;
mod parking;
mod queue;
mod retry;
mod reunion;
mod settings;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

pub use ledger::DropReason;
pub(crate) use ledger::{Ledger, Load};
pub use settings::{
    BatchOptions, DeliveryOptions, FsyncPolicy, QueueCompression, RetryOnFailure, SendingQueue, Sizer,
};
pub(crate) use settings::{DeliverySettings, Storage};

use crate::batch::{Batch, Signal};
use crate::component::{ExportError, Exporter, Refusal, StartError};
use crate::lifecycle::{Lifecycle, Phase, guard_future};
use crate::spans;
use crate::telemetry::{Telemetry, Unit};
use batcher::Batcher;
use durable::DurableQueue;
use parking::{Delivering, Exit, Parking, drive};
use queue::{MemoryQueue, Queue};
use retry::Backoff;

/// All that stands in front of one exporter for one signal.
pub(crate) struct Delivery {
    exporter: Arc<dyn Exporter>,
    ledger: Arc<Ledger>,
    settings: DeliverySettings,
    queue: Option<Arc<dyn Queue>>,
    batcher: Option<Batcher>,
    /// None where one batch after the other goes out, so that order is kept.
    parking: Option<Parking>,
    lifecycle: Lifecycle,
    random: Mutex<fastrand::Rng>,
    complaints: Complaints,
}

impl Delivery {
    pub(crate) fn new(
        exporter: Arc<dyn Exporter>,
        id: &str,
        signal: Signal,
        settings: DeliverySettings,
        telemetry: &Telemetry,
        lifecycle: &Lifecycle,
        random: fastrand::Rng,
    ) -> Self {
        let ledger = Arc::new(Ledger::new(telemetry, id, signal));
        let queue = settings.queue.as_ref().map(|options| -> Arc<dyn Queue> {
            if settings.storage == Storage::Memory {
                return memory_queue(options, id, signal, telemetry, lifecycle);
            }
            let (options, ledger) = (options.clone(), Arc::clone(&ledger));
            let directory = settings.directory.clone();
            Arc::new(DurableQueue::new(directory, options, ledger, telemetry, lifecycle.clone()))
        });
        let batcher = settings.queue.as_ref().zip(queue.as_ref()).and_then(|(options, queue)| {
            let batch = options.batch?;
            Some(Batcher::new(Arc::clone(queue), batch, options.sizer))
        });
        let consumers = settings.queue.as_ref().map_or(0, |queue| queue.num_consumers);
        let parking = (consumers > 1).then(|| Parking::new(consumers));
        Self {
            exporter,
            ledger,
            settings,
            queue,
            batcher,
            parking,
            lifecycle: lifecycle.clone(),
            random: Mutex::new(random),
            complaints: Complaints::default(),
        }
    }

    /// Gets the queue ready.
    ///
    /// # Errors
    /// When it can't be opened.
    pub(crate) async fn start(&self) -> Result<(), StartError> {
        match &self.queue {
            Some(queue) => queue.start().await,
            None => Ok(()),
        }
    }

    /// The exporter's id.
    pub(crate) fn exporter(&self) -> &str {
        &self.ledger.exporter
    }

    /// Whether something waits or is on its way.
    pub(crate) fn is_busy(&self) -> bool {
        self.ledger.held() > 0
    }

    /// Opens the account of a batch.
    pub(crate) fn load(&self, batch: Batch) -> Load {
        Load::new(batch, &self.ledger)
    }

    /// Hands a load over; its senders learn through their receipts what became of it.
    pub(crate) async fn submit(&self, load: Load) {
        match &self.queue {
            Some(queue) => queue.put(load).await,
            None => self.deliver(load, None).await,
        }
    }

    /// How many times the engine runs [`Self::consume`].
    pub(crate) fn consumers(&self) -> usize {
        self.settings.queue.as_ref().map_or(0, |queue| queue.num_consumers)
    }

    /// Sends what the queue gives out until it is closed and empty.
    pub(crate) async fn consume(&self) {
        let Some(parking) = &self.parking else {
            while let Some(load) = self.next().await {
                self.deliver(load, None).await;
            }
            return;
        };
        let (parked, coming) = mpsc::unbounded_channel();
        let work = async move {
            while let Some(load) = self.next().await {
                let (exit, left) = parking.exit();
                let mut delivery: Delivering<'_> = Box::pin(self.deliver(load, Some(exit)));
                tokio::select! {
                    biased;
                    () = &mut delivery => {}
                    // The other end is there until the consumer ends.
                    Ok(()) = left => drop(parked.send(delivery)),
                }
            }
        };
        tokio::join!(work, drive(coming));
    }

    async fn next(&self) -> Option<Load> {
        match (&self.batcher, &self.queue) {
            (Some(batcher), _) => batcher.next().await,
            (None, Some(queue)) => queue.take().await,
            (None, None) => None,
        }
    }

    /// Nothing more will be submitted: consumers end once the queue is empty.
    pub(crate) fn close(&self) {
        if let Some(queue) = &self.queue {
            queue.close();
        }
    }

    /// Lets go of what still waits; each load counts itself. Consumers must have ended.
    pub(crate) fn abandon(&self) {
        if let Some(queue) = &self.queue {
            queue.abandon();
        }
        if let Some(batcher) = &self.batcher {
            batcher.abandon();
        }
    }

    /// Attempts until every item of the load is settled. Leaves its consumer by the exit when it has to wait.
    async fn deliver(&self, load: Load, mut exit: Option<Exit<'_>>) {
        let memory = load.batch().memory_size();
        let mut leave = || {
            // A stop gives up what waits, or goes on with it: nothing is gained by one more batch.
            if let Some(exit) = exit.as_mut().filter(|_| self.lifecycle.phase() == Phase::Running) {
                exit.take(memory);
            }
        };
        let mut pending = vec![load];
        while let Some(mut load) = pending.pop() {
            if let Some(rest) = self.settle(&mut load, &mut leave).await {
                pending.push(rest);
                pending.push(load);
            }
        }
    }

    /// Attempts until the load is settled; if it is too large, returns its second half with nothing settled.
    ///
    /// `waits` is called before each wait for the next attempt.
    async fn settle(&self, load: &mut Load, waits: &mut (dyn FnMut() + Send)) -> Option<Load> {
        let mut backoff = Backoff::new(self.settings.retry.as_ref());
        loop {
            let error = match self.attempt(load.batch()).await {
                Ok(()) => {
                    load.sent(load.batch().len());
                    return None;
                }
                Err(error) => error,
            };
            match error {
                ExportError::Retry { reason, after } => {
                    let random = self.random.lock().unwrap_or_else(PoisonError::into_inner).f64();
                    let delay = backoff.next(after, random);
                    if delay.is_some() {
                        waits();
                    }
                    match delay {
                        Some(delay) if self.wait(delay, load.has_sender()).await => {}
                        // The load stays open and goes back to where it is safe.
                        _ if self.keeps() && self.lifecycle.phase() >= Phase::Draining => return None,
                        _ => {
                            self.give_up(load, reason, after).await;
                            return None;
                        }
                    }
                }
                ExportError::Reject { count, reason } => {
                    self.reject(load, count, reason).await;
                    return None;
                }
                ExportError::TooLarge { reason } => {
                    let half = load.batch().len() / 2;
                    if half > 0 {
                        return load.split_off(half);
                    }
                    self.complain(&reason, 1, "dropped an item that is too large for the far end");
                    self.bury(load, &reason).await;
                    load.dropped(DropReason::TooLarge, 1);
                    return None;
                }
                ExportError::Fatal { reason } => {
                    // The load stays open and counts itself as left behind by the stop.
                    self.lifecycle.fail(&self.ledger.exporter, reason);
                    return None;
                }
            }
        }
    }

    async fn attempt(&self, batch: &Batch) -> Result<(), ExportError> {
        let _turn = match &self.parking {
            Some(parking) => Some(parking.begin_attempt().await),
            None => None,
        };
        let span = spans::attempt(&self.ledger.exporter, self.ledger.signal, batch.len());
        let attempt = guard_future(self.exporter.export(batch)).instrument(span.clone());
        let answer = match self.settings.timeout {
            Some(limit) => timeout(limit, attempt).await.unwrap_or_else(|_| {
                let reason = format!("no answer within {} s", limit.as_secs_f64());
                Ok(Err(ExportError::Retry { reason, after: None }))
            }),
            None => attempt.await,
        };
        let answer = answer.unwrap_or_else(|reason| Err(ExportError::Fatal { reason }));
        spans::conclude_attempt(&span, &answer);
        answer
    }

    /// Waits before the next attempt; says no when the stop does not leave the time.
    async fn wait(&self, delay: Duration, has_sender: bool) -> bool {
        let stopping = async {
            if self.keeps() {
                self.lifecycle.draining().await;
            } else {
                self.lifecycle.stopping(has_sender).await;
            }
        };
        tokio::select! {
            biased;
            () = stopping => false,
            () = sleep(delay) => true,
        }
    }

    /// Whether the queue still has what is let go of.
    fn keeps(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.keeps())
    }

    /// Keeps as a dead letter what is dropped, if nobody is there to be told.
    async fn bury(&self, load: &Load, reason: &str) {
        if let Some(queue) = self.queue.as_ref().filter(|_| !load.has_sender()) {
            queue.bury(load.batch(), reason).await;
        }
    }

    async fn give_up(&self, load: &mut Load, reason: String, after: Option<Duration>) {
        if load.has_sender() {
            self.complain(&reason, load.batch().len(), "could not deliver, the sender is told to try again");
        } else {
            self.complain(&reason, load.batch().len(), "could not deliver in time, dropped items");
        }
        self.bury(load, &reason).await;
        let ending = self.lifecycle.phase() == Phase::Ending;
        let why = if ending { DropReason::Shutdown } else { DropReason::RetryTimeout };
        load.fail(&Refusal::Retry { reason, after }, why);
    }

    async fn reject(&self, load: &mut Load, count: usize, reason: String) {
        let items = load.batch().len();
        let rejected = count.min(items);
        self.complain(&reason, rejected, "the far end refused items for good");
        // Which items of a batch were refused, nobody says: all of them are kept.
        self.bury(load, &reason).await;
        if rejected == items {
            load.fail(&Refusal::Final { reason }, DropReason::Rejected);
        } else {
            load.dropped(DropReason::Rejected, rejected);
            load.sent(items - rejected);
        }
    }

    fn complain(&self, reason: &str, items: usize, what: &'static str) {
        if let Some(unsaid) = self.complaints.permit() {
            let Ledger { exporter, signal, .. } = &*self.ledger;
            tracing::warn!(exporter, %signal, items, reason, unsaid, "{what}");
        }
    }
}

fn memory_queue(
    options: &SendingQueue,
    id: &str,
    signal: Signal,
    telemetry: &Telemetry,
    lifecycle: &Lifecycle,
) -> Arc<dyn Queue> {
    let unit = match options.sizer {
        Sizer::Requests => Unit::Requests,
        Sizer::Items => Unit::Items,
        Sizer::Bytes => Unit::Bytes,
    };
    let labels = [("exporter", id), ("data_type", signal.name())];
    let size = telemetry.gauge("otelcol_exporter_queue_size", unit, "What the sending queue holds.", &labels);
    let capacity =
        telemetry.gauge("otelcol_exporter_queue_capacity", unit, "What the sending queue can hold.", &labels);
    capacity.set(i64::try_from(options.memory_size()).unwrap_or(i64::MAX));
    Arc::new(MemoryQueue::new(options.clone(), lifecycle.clone(), size))
}

/// Keeps a far end that is down from filling the log: one line in ten seconds, with the number of those unsaid.
#[derive(Default)]
pub(crate) struct Complaints(Mutex<(Option<Instant>, u64)>);

impl Complaints {
    const INTERVAL: Duration = Duration::from_secs(10);

    /// Whether to say it, and how many were left unsaid since the last time.
    pub(crate) fn permit(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|last| last.elapsed() < Self::INTERVAL) {
            state.1 += 1;
            return None;
        }
        let unsaid = state.1;
        *state = (Some(Instant::now()), 0);
        Some(unsaid)
    }
}
