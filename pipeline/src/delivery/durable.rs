//! The queue that is on disk: whoever is told that it took a batch need not send it again, whatever happens.
//!
//! What is taken out stays on disk until its last item is settled. What a stop leaves stays too, is not dropped,
//! and is the first to go out after the next start.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::ledger::{Claim, DropReason, Ledger, Load};
use super::queue::Queue;
use super::settings::{QueueCompression, SendingQueue, Sizer};
use crate::batch::Batch;
use crate::component::{Refusal, StartError};
use crate::lifecycle::{Lifecycle, Phase};
use crate::storage::{
    AppendError, Content, DeadLetters, Encoding, Fsync, Group, OsDisk, Piece, Record, Store, StoreOptions,
    Tally, Ticket, to_batch, to_record,
};
use crate::telemetry::{Counter, Gauge, Telemetry, Unit};

/// A queue on disk. Opened by [`Queue::start`].
pub(super) struct DurableQueue(Arc<Inner>);

struct Inner {
    /// Where it is; none when the process was given no directory.
    directory: Option<PathBuf>,
    options: SendingQueue,
    lifecycle: Lifecycle,
    ledger: Arc<Ledger>,
    gauges: Gauges,
    store: OnceLock<Store>,
    dead_letters: Arc<Mutex<Option<DeadLetters>>>,
    ids: Ids,
    closing: AtomicBool,
}

/// What the queue says of itself.
struct Gauges {
    size: Gauge,
    capacity: Gauge,
    bytes: Gauge,
    dead_letters: Counter,
}

/// Ids that no other run of a process gives.
struct Ids {
    run: u64,
    next: AtomicU64,
}

/// A record that was taken out; when the last part of it is settled it is done with.
struct Hold {
    queue: Arc<Inner>,
    ticket: Ticket,
    abandoned: AtomicBool,
}

impl DurableQueue {
    pub(super) fn new(
        directory: Option<PathBuf>,
        options: SendingQueue,
        ledger: Arc<Ledger>,
        telemetry: &Telemetry,
        lifecycle: Lifecycle,
    ) -> Self {
        let gauges = Gauges::new(&options, &ledger, telemetry);
        Self(Arc::new(Inner {
            directory,
            options,
            lifecycle,
            ledger,
            gauges,
            store: OnceLock::new(),
            dead_letters: Arc::default(),
            ids: Ids { run: fastrand::u64(..), next: AtomicU64::new(1) },
            closing: AtomicBool::new(false),
        }))
    }
}

impl Gauges {
    fn new(options: &SendingQueue, ledger: &Ledger, telemetry: &Telemetry) -> Self {
        let labels = [("exporter", ledger.exporter.as_str()), ("data_type", ledger.signal.name())];
        let gauge = |name, unit, help| telemetry.gauge(name, unit, help, &labels);
        let unit = match options.disk_sizer() {
            Sizer::Requests => Unit::Requests,
            Sizer::Items => Unit::Items,
            Sizer::Bytes => Unit::Bytes,
        };
        Self {
            size: gauge("otelcol_exporter_queue_size", unit, "What the sending queue holds."),
            capacity: gauge("otelcol_exporter_queue_capacity", unit, "What the sending queue can hold."),
            bytes: gauge(
                "otelcol_exporter_queue_bytes",
                Unit::Bytes,
                "What the sending queue takes on disk.",
            ),
            dead_letters: telemetry.counter(
                "otelcol_exporter_dead_letters",
                Unit::Items,
                "Items that were refused for good and are kept as dead letters.",
                &labels,
            ),
        }
    }
}

impl Ids {
    fn next(&self) -> u128 {
        u128::from(self.run) << 64 | u128::from(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl SendingQueue {
    /// What the size of a queue on disk counts: bytes, unless a number was given in another unit.
    fn disk_sizer(&self) -> Sizer {
        if self.queue_size.is_some() { self.sizer } else { Sizer::Bytes }
    }

    fn encoding(&self) -> Encoding {
        match self.compression {
            QueueCompression::None => Encoding::Plain,
            QueueCompression::Lz4 => Encoding::Lz4,
        }
    }

    fn store_options(&self) -> StoreOptions {
        let quota = self.quota.bytes();
        let mut options = StoreOptions::new(quota);
        options.fsync = match self.fsync {
            super::settings::FsyncPolicy::Group => Fsync::Group,
            super::settings::FsyncPolicy::Interval => Fsync::Interval(self.fsync_interval.duration()),
            super::settings::FsyncPolicy::None => Fsync::None,
        };
        let size = self.queue_size.map_or(u64::MAX, |size| size as u64);
        match self.sizer {
            Sizer::Requests => options.records_max = size,
            Sizer::Items => options.items_max = size,
            Sizer::Bytes => options.quota = quota.min(size),
        }
        options
    }
}

impl Inner {
    fn open(&self) -> Result<Store, StartError> {
        let Some(directory) = self.directory.clone() else {
            return Err(StartError::Other(
                "`sending_queue.storage: disk` needs `service.storage.directory`".to_owned(),
            ));
        };
        let path = directory.display().to_string();
        let store = Store::open(Arc::new(OsDisk), directory, self.options.store_options());
        let store = store.map_err(|error| StartError::Other(error.chain()))?;
        let pending = store.held().pending;
        if !pending.is_zero() {
            tracing::info!(
                path,
                batches = pending.records,
                items = pending.items,
                "delivering what is queued first"
            );
        }
        Ok(store)
    }

    fn report(&self, store: &Store) {
        let news = store.news();
        self.ledger.hold(signed(news.unclaimed));
        if news.lost.items > 0 {
            self.ledger.lose(DropReason::Corrupted, news.lost.items);
        }
        let held = store.held();
        let size = match self.options.disk_sizer() {
            Sizer::Requests => held.pending.records,
            Sizer::Items => held.pending.items,
            Sizer::Bytes => held.bytes,
        };
        self.gauges.size.set(signed(size));
        self.gauges.bytes.set(signed(held.bytes));
    }

    /// Makes a load of what was taken out; none if it can't be understood, which is counted.
    async fn load(self: &Arc<Self>, store: &Store, ticket: Ticket, content: Content) -> Option<Load> {
        let batch = match content {
            Content::Batch(batch) => batch,
            Content::Record(record) => match to_batch(&record) {
                Ok(batch) => batch,
                Err(error) => {
                    self.ledger.lose(DropReason::Corrupted, record.items.into());
                    self.bury(record, &error.to_string()).await;
                    store.ack(ticket);
                    return None;
                }
            },
        };
        let hold = Hold { queue: Arc::clone(self), ticket, abandoned: AtomicBool::new(false) };
        Some(Load::resumed(batch, &self.ledger, Arc::new(hold), ticket.sequence))
    }

    /// Keeps a record as a dead letter. What can't be kept is told and gone: it is counted as dropped anyway.
    async fn bury(self: &Arc<Self>, record: Record, reason: &str) {
        let Some(directory) = self.directory.clone() else { return };
        let (letters, items) = (Arc::clone(&self.dead_letters), record.items);
        let buried = spawn_blocking(move || {
            let mut letters = letters.lock().unwrap_or_else(PoisonError::into_inner);
            if letters.is_none() {
                *letters =
                    Some(DeadLetters::open(Arc::new(OsDisk), &directory).map_err(|error| error.chain())?);
            }
            let put = letters.as_mut().map(|letters| letters.put(&record)).transpose();
            put.map_err(|error| error.to_string()).map(Option::unwrap_or_default)
        });
        let exporter = self.ledger.exporter.as_str();
        match buried.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(dropped) => {
                self.gauges.dead_letters.add(items.into());
                if dropped > 0 {
                    tracing::warn!(exporter, items = dropped, "removed the oldest dead letters to make room");
                }
            }
            Err(error) => {
                tracing::error!(exporter, items, reason, error, "could not keep a dead letter");
            }
        }
    }

    /// Once the stop has begun, a queue that is empty or can't get rid of what it holds ends its consumers.
    fn check_end(&self, store: &Store, stuck: bool) {
        let failed = self.lifecycle.failure().is_some();
        if failed || (self.closing.load(Ordering::Relaxed) && (stuck || store.is_drained())) {
            store.close_taking();
        }
    }
}

#[async_trait]
impl Queue for DurableQueue {
    async fn start(&self) -> Result<(), StartError> {
        let inner = Arc::clone(&self.0);
        let opened = spawn_blocking(move || inner.open()).await;
        let store = opened.map_err(|error| StartError::Other(error.to_string()))??;
        let quota = store.quota();
        self.0.gauges.capacity.set(match self.0.options.queue_size {
            Some(size) => signed(size as u64),
            None => signed(quota),
        });
        self.0.ledger.hold(signed(store.held().pending.items));
        self.0.report(&store);
        drop(self.0.store.set(store));
        Ok(())
    }

    async fn put(&self, mut load: Load) {
        let Some(store) = self.0.store.get() else { return };
        if load.batch().is_empty() {
            return;
        }
        load.batch_mut().set_id(self.0.ids.next());
        let mut batch = load.batch().clone();
        batch.take_custody();
        let record = to_record(&batch, None, self.0.options.encoding());
        let has_sender = load.has_sender();
        let patient = self.0.options.block_on_overflow;
        let stopping = async {
            self.0.lifecycle.stopping(has_sender).await;
            // What is being written is waited for; what waits for room is not.
            AppendError::Closed
        };
        match store.append(record, Some(batch), patient, stopping).await {
            Ok(()) => load.park(),
            Err(error @ AppendError::Full { .. }) => load.overflow(&retry(&error), DropReason::QueueFull),
            Err(error @ AppendError::Closed) => load.overflow(&retry(&error), DropReason::Shutdown),
            Err(error @ AppendError::TooLarge { .. }) => {
                load.overflow(&Refusal::Final { reason: error.to_string() }, DropReason::TooLarge);
            }
        }
        self.0.report(store);
    }

    async fn take(&self) -> Option<Load> {
        let store = self.0.store.get()?;
        loop {
            let taken = store.take().await?;
            self.0.report(store);
            if let Some(load) = self.0.load(store, taken.ticket, taken.content).await {
                return Some(load);
            }
        }
    }

    fn separated(&self) -> Vec<Group> {
        self.0.store.get().map(Store::take_groups).unwrap_or_default()
    }

    async fn unite(&self, pieces: Vec<Piece>) -> Option<u128> {
        let group = Group { id: self.0.ids.next(), pieces };
        let (inner, id) = (Arc::clone(&self.0), group.id);
        let noted = spawn_blocking(move || inner.store.get().map(|store| store.note_group(&group))).await;
        if let Ok(Some(Err(error))) = noted {
            let (exporter, signal) = (&self.0.ledger.exporter, self.0.ledger.signal);
            tracing::warn!(exporter, %signal, %error, "could not write down how a batch was merged; a crash now may send it twice");
        }
        Some(id)
    }

    fn close(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
        if let Some(store) = self.0.store.get() {
            self.0.check_end(store, false);
        }
    }

    fn abandon(&self) {
        if let Some(store) = self.0.store.get() {
            store.close();
            self.0.report(store);
            let Tally { records: batches, items } = store.held().pending;
            if items > 0 {
                let (exporter, signal) = (&self.0.ledger.exporter, self.0.ledger.signal);
                tracing::info!(exporter, %signal, batches, items, "left on disk for the next start");
            }
        }
    }

    fn keeps(&self) -> bool {
        true
    }

    async fn bury(&self, batch: &Batch, reason: &str) {
        self.0.bury(to_record(batch, Some(reason), self.0.options.encoding()), reason).await;
    }
}

impl Claim for Hold {
    fn abandon(&self) -> bool {
        self.abandoned.store(true, Ordering::Relaxed);
        true
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(store) = self.queue.store.get() else { return };
        let abandoned = self.abandoned.load(Ordering::Relaxed);
        if abandoned {
            self.queue.ledger.hold(self.ticket.items.into());
            store.give_back(self.ticket);
        } else {
            store.ack(self.ticket);
        }
        self.queue.report(store);
        self.queue.check_end(store, abandoned);
    }
}

impl Lifecycle {
    /// Waits until what is on disk can as well stay there.
    pub(super) async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }
}

fn retry(error: &AppendError) -> Refusal {
    Refusal::Retry { reason: error.to_string(), after: None }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
