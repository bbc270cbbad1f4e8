//! Bounded queues between the pipelines and an exporter's consumers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::ledger::{Claim, DropReason, Load};
use super::settings::{SendingQueue, Sizer};
use crate::batch::Batch;
use crate::component::{Refusal, StartError};
use crate::lifecycle::{Lifecycle, Phase};
use crate::storage::{Group, Piece};
use crate::telemetry::Gauge;

/// Where loads wait for a consumer. A durable queue stands behind the same four calls.
#[async_trait]
pub(super) trait Queue: Send + Sync + 'static {
    /// Gets ready, before anything is put or taken.
    async fn start(&self) -> Result<(), StartError> {
        Ok(())
    }

    /// Takes the load with the responsibility for it, or fails it; may wait for room.
    async fn put(&self, load: Load);

    /// The oldest load; `None` once the queue is closed and empty.
    async fn take(&self) -> Option<Load>;

    /// The merged batches of an earlier run, whose records the queue still has. Says so once.
    fn separated(&self) -> Vec<Group> {
        Vec::new()
    }

    /// Writes down what a merged batch was made of, before it is sent, and gives it an id; none if the queue has none.
    async fn unite(&self, _pieces: Vec<Piece>) -> Option<u128> {
        None
    }

    /// Nothing more comes: consumers get what is left and then `None`.
    fn close(&self);

    /// Lets go of everything that still waits.
    fn abandon(&self);

    /// Whether what is taken out and then let go of is still safe.
    fn keeps(&self) -> bool {
        false
    }

    /// Keeps a batch that the far end refused for good, as far as the queue can.
    async fn bury(&self, _batch: &Batch, _reason: &str) {}
}

/// A queue in memory, first in, first out, limited by its sizer and by the memory that it takes.
pub(super) struct MemoryQueue {
    options: SendingQueue,
    lifecycle: Lifecycle,
    size: Gauge,
    room: Arc<Semaphore>,
    /// Room in memory, in KiB; none where `queue_size` itself counts bytes.
    memory: Option<(Arc<Semaphore>, u32)>,
    /// As many permits as there are waiting loads; closed when nothing more comes.
    ready: Semaphore,
    waiting: Mutex<VecDeque<Load>>,
}

/// A load's place in the queue, kept until the far end has answered.
struct Place {
    size: Gauge,
    units: i64,
    _room: OwnedSemaphorePermit,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Claim for Place {}

impl Drop for Place {
    fn drop(&mut self) {
        self.size.add(-self.units);
    }
}

impl MemoryQueue {
    pub(super) fn new(options: SendingQueue, lifecycle: Lifecycle, size: Gauge) -> Self {
        let room = Arc::new(Semaphore::new(options.memory_size().min(Semaphore::MAX_PERMITS)));
        let memory = (options.sizer != Sizer::Bytes).then(|| {
            let limit = kibibytes(usize::try_from(options.memory_quota.bytes()).unwrap_or(usize::MAX));
            (Arc::new(Semaphore::new(limit as usize)), limit)
        });
        let (ready, waiting) = (Semaphore::new(0), Mutex::default());
        Self { options, lifecycle, size, room, memory, ready, waiting }
    }

    /// Finds a place for the load, or says what becomes of it. A load larger than the whole queue is let in alone.
    async fn place(&self, load: &Load) -> Result<Place, Overflow> {
        let has_sender = load.has_sender();
        let units = size_of(load.batch(), self.options.sizer).min(self.options.memory_size());
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = self.acquire(&self.room, units, has_sender).await?;
        let memory = match &self.memory {
            Some((memory, limit)) => {
                let size = kibibytes(load.batch().memory_size()).min(*limit);
                Some(self.acquire(memory, size, has_sender).await?)
            }
            None => None,
        };
        self.size.add(units.into());
        Ok(Place { size: self.size.clone(), units: units.into(), _room: room, _memory: memory })
    }

    async fn acquire(
        &self,
        room: &Arc<Semaphore>,
        units: u32,
        has_sender: bool,
    ) -> Result<OwnedSemaphorePermit, Overflow> {
        const STOPPING: Overflow = ("the process is stopping; send it again", DropReason::Shutdown);
        match Arc::clone(room).try_acquire_many_owned(units) {
            Ok(permit) => return Ok(permit),
            Err(TryAcquireError::Closed) => return Err(STOPPING),
            Err(TryAcquireError::NoPermits) if !self.options.block_on_overflow => {
                return Err(("the sending queue is full", DropReason::QueueFull));
            }
            Err(TryAcquireError::NoPermits) => {}
        }
        let room = Arc::clone(room).acquire_many_owned(units);
        tokio::select! {
            biased;
            permit = room => permit.map_err(|_| STOPPING),
            () = self.lifecycle.stopping(has_sender) => Err(STOPPING),
        }
    }
}

/// What the sender is told, and the reason for the count when there is none.
type Overflow = (&'static str, DropReason);

#[async_trait]
impl Queue for MemoryQueue {
    async fn put(&self, mut load: Load) {
        let place = match self.place(&load).await {
            Ok(place) => place,
            Err((told, reason)) => {
                return load.overflow(&Refusal::Retry { reason: told.to_owned(), after: None }, reason);
            }
        };
        load.add_claim(Arc::new(place));
        if !self.options.wait_for_result {
            load.take_responsibility();
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(load);
        self.ready.add_permits(1);
    }

    async fn take(&self) -> Option<Load> {
        if let Ok(permit) = self.ready.acquire().await {
            permit.forget();
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn close(&self) {
        self.ready.close();
        self.room.close();
        if let Some((memory, _)) = &self.memory {
            memory.close();
        }
    }

    fn abandon(&self) {
        let left = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        drop(left);
    }
}

/// So many bytes in KiB, rounded up: a semaphore can't be asked for more than fits 32 bits.
pub(super) fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).max(1)
}

/// The size of a batch as the sizer counts it, at least one.
pub(super) fn size_of(batch: &Batch, sizer: Sizer) -> usize {
    let size = match sizer {
        Sizer::Requests => 1,
        Sizer::Items => batch.len(),
        Sizer::Bytes => batch.to_otlp().len(),
    };
    size.max(1)
}

impl Lifecycle {
    /// Waits until somebody with a sender to answer should no longer wait for a far end.
    pub(super) async fn stopping(&self, has_sender: bool) {
        self.reached(if has_sender { Phase::Stopping } else { Phase::Ending }).await;
    }
}
