//! The contract between the engine and its components: three traits for what runs, three for its settings.
//!
//! The settings type *is* the factory: serde reads it (so most mistakes have a position), and `build` makes
//! the running thing. A component never starts a task of its own, never queues, never retries and never counts
//! what passes through it: the engine does all of that around it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use watershed_config::BuildError;

use crate::batch::{Batch, Record};
use crate::context::Context;
use crate::delivery::BatchOptions;
use crate::outlet::Outlet;
use crate::receipt::Receipt;
use crate::shutdown::Shutdown;
use crate::storage;

/// Takes telemetry in from outside and hands it to an [`Outlet`].
///
/// The engine calls `bind` on every receiver before it calls `run` on any, so that a port that is taken
/// stops the start before data flows.
#[async_trait]
pub trait Receiver: Send + 'static {
    /// Takes what must be had before data may flow: ports, files, permissions.
    ///
    /// # Errors
    /// Returns the reason, with what to do; the process then stops with exit code 1.
    async fn bind(&mut self) -> Result<(), StartError>;

    /// Where the receiver listens after `bind`, by protocol name. Empty for one that does not listen.
    fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        Vec::new()
    }

    /// Whether `run` returns by itself once everything is read: the run is one until the end of what is there (see
    /// [`UntilEof`](crate::UntilEof)). The engine stops when all such receivers have returned.
    fn is_finite(&self) -> bool {
        false
    }

    /// Works until told to stop, then finishes what it has begun and returns.
    ///
    /// A client is answered with the result of [`Outlet::send`] and never earlier.
    ///
    /// # Errors
    /// An error stops the whole process with this reason: a receiver does not limp on.
    async fn run(self: Box<Self>, outlet: Outlet, shutdown: Shutdown) -> Result<(), RunError>;
}

/// Changes, drops or holds what passes. Synchronous: no task, no clock, no I/O; time is an argument.
///
/// The engine counts around every call, per processor and signal:
/// `incoming + resumed + added = outgoing + dropped + merged + refused + suspended + held`. What a call took and
/// neither passed on nor holds is dropped, unless [`Out::merged`] says that it went into other items; what is passed on beyond what
/// was taken is added. So a processor has only [`Self::held`] to tell the truth about. A processor that panics
/// stops the process.
pub trait Processor: Send + 'static {
    /// Takes one batch and pushes what goes on to `out`, in order.
    fn process(&mut self, batch: Batch, now: Instant, out: &mut Out);

    /// When `tick` wants to be called next; `None` means never.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Called soon after the deadline has passed.
    fn tick(&mut self, _now: Instant, _out: &mut Out) {}

    /// The input has ended: pushes out whatever is still held.
    fn drain(&mut self, _now: Instant, _out: &mut Out) {}

    /// Items held at this moment, for the conservation of counts.
    fn held(&self) -> usize {
        0
    }

    /// The process stops and what is held need not end with it: hands over what the next instance is to go on with.
    /// What is not handed over is asked for by [`Self::drain`] right after. Called only where there is a place to keep it.
    fn suspend(&mut self, _kept: &mut Suspended) {}

    /// Takes up what an instance before remembered, before any data comes. Batches that were handed over come through
    /// [`Self::process`], each key in its lane. There may be other lanes than before: each gets the memory of all, and
    /// takes from it what it can use; bytes of an older version, or of other settings, must do no harm.
    fn resume(&mut self, _memory: &[u8]) {}
}

/// What a processor hands over at a stop, for the instance that takes its place.
///
/// The engine writes it to disk. A crash after the next start loses what a processor holds without its senders' receipts,
/// as it would have before.
#[derive(Default)]
pub struct Suspended {
    pub(crate) memory: Vec<Vec<u8>>,
    pub(crate) batches: Vec<(storage::Record, Vec<Receipt>)>,
}

impl Suspended {
    /// Hands over a batch. It will be processed again after the start; its senders are answered once it is on disk.
    pub fn hold(&mut self, batch: &Batch) {
        if !batch.is_empty() {
            let record = storage::to_record(batch, None, storage::Encoding::Lz4);
            self.batches.push((record, batch.receipts()));
        }
    }

    /// Hands over what is remembered beside batches, in a form of the processor's own.
    pub fn remember(&mut self, memory: Vec<u8>) {
        self.memory.push(memory);
    }

    /// Items handed over so far.
    #[must_use]
    pub fn items(&self) -> usize {
        self.batches.iter().map(|(record, _)| record.items as usize).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.batches.is_empty()
    }

    /// The batches as they were handed over, for an instance that goes on at once.
    pub(crate) fn into_batches(self) -> Vec<Batch> {
        // They were batches a moment ago, so that none of them can't be read.
        let back = |(record, receipts): (storage::Record, Vec<Receipt>)| {
            let mut batch = storage::to_batch(&record).ok()?;
            receipts.into_iter().for_each(|receipt| batch.add_receipt(receipt));
            Some(batch)
        };
        self.batches.into_iter().filter_map(back).collect()
    }
}

/// Sends batches to one destination. One attempt a call: no queue, no retry, no timeout of its own.
#[async_trait]
pub trait Exporter: Send + Sync + 'static {
    /// Called once before any data flows, after every component is built.
    ///
    /// # Errors
    /// Returns the reason, with what to do; the process then stops with exit code 1. A far end that is merely
    /// down is not an error here.
    async fn start(&self) -> Result<(), StartError> {
        Ok(())
    }

    /// Makes one attempt to deliver the batch.
    ///
    /// The future may be dropped at any await, by a timeout or by a sender that hung up. What it wrote by then must
    /// be whole: a local exporter writes a record in one step.
    ///
    /// # Errors
    /// See [`ExportError`]: each variant names the engine's reaction.
    async fn export(&self, batch: &Batch) -> Result<(), ExportError>;

    /// Called about once a second, and before the stop: writes out what is buffered.
    ///
    /// # Errors
    /// As for `export`.
    async fn flush(&self) -> Result<(), ExportError> {
        Ok(())
    }
}

/// The settings of a receiver.
pub trait ReceiverConfig: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// File name, YAML key, metric label and heading of the manual.
    const TYPE: &'static str;
    /// Other names that configuration files may use.
    const ALIASES: &'static [&'static str] = &[];
    /// The text of the component's source file, whose module comment is its page in the manual.
    const SOURCE: &'static str;
    /// What `build` returns.
    type Receiver: Receiver;

    /// Makes the running receiver. Only cross-field checks happen here.
    ///
    /// # Errors
    /// Names the field, the value and the fix.
    fn build(&self, cx: &Context) -> Result<Self::Receiver, BuildError>;
}

/// The settings of a processor.
pub trait ProcessorConfig: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// File name, YAML key, metric label and heading of the manual.
    const TYPE: &'static str;
    /// Other names that configuration files may use.
    const ALIASES: &'static [&'static str] = &[];
    /// The text of the component's source file, whose module comment is its page in the manual.
    const SOURCE: &'static str;
    /// Whether it drops telemetry that no setting names record by record: samples, limits a rate, removes duplicates.
    /// A pipeline with `audit` in its name refuses such a processor.
    const LOSSY: bool = false;
    /// What `build` returns.
    type Processor: Processor;

    /// Makes one running processor. Called once a lane, or once in all when the state is global.
    ///
    /// # Errors
    /// Names the field, the value and the fix.
    fn build(&self, cx: &Context) -> Result<Self::Processor, BuildError>;

    /// What the processor remembers from batch to batch, which decides how it is spread over lanes.
    fn state(&self) -> State {
        State::None
    }
}

/// The settings of an exporter.
pub trait ExporterConfig: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// File name, YAML key, metric label and heading of the manual.
    const TYPE: &'static str;
    /// Other names that configuration files may use.
    const ALIASES: &'static [&'static str] = &[];
    /// The text of the component's source file, whose module comment is its page in the manual.
    const SOURCE: &'static str;
    /// Whether batches leave the machine or stay: the default of the sending queue and of the timeout.
    const REACH: Reach;
    /// The default of `sending_queue.batch`, for far ends that suffer from small batches. It does not apply where the
    /// sender waits for the far end.
    const BATCH: Option<BatchOptions> = None;
    /// What `build` returns.
    type Exporter: Exporter;

    /// Makes the running exporter. Only cross-field checks happen here.
    ///
    /// # Errors
    /// Names the field, the value and the fix.
    fn build(&self, cx: &Context) -> Result<Self::Exporter, BuildError>;
}

/// The hash of the key whose state a record belongs to.
pub type KeyHash = Arc<dyn Fn(&Record<'_>) -> u64 + Send + Sync>;

/// What a processor remembers from batch to batch.
#[derive(Clone)]
pub enum State {
    /// Nothing that another lane would have to see: one instance a lane.
    None,
    /// State by key: one instance a lane; the engine splits each batch so that a key always meets the same lane.
    Keyed(KeyHash),
    /// State of the whole stream: one instance behind a lock, shared by all lanes.
    Global,
}

/// Where an exporter's batches go, which decides what stands in front of it by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Written by this process at once (terminal, local file): no queue and no timeout unless asked for.
    Local,
    /// Sent over a network: queue, retry, and this timeout for one attempt.
    Network {
        /// The default of `timeout`.
        timeout: Duration,
    },
}

/// Where a processor puts what goes on; the engine empties it after each call.
#[derive(Default)]
pub struct Out {
    pub(crate) passed: Vec<Batch>,
    pub(crate) derived: Vec<Batch>,
    pub(crate) refused: Option<Refusal>,
    pub(crate) merged: usize,
}

impl Out {
    /// Passes a batch on to the next processor, or to the exporters after the last one.
    pub fn push(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.passed.push(batch);
        }
    }

    /// Sends new telemetry to the pipelines that name this processor among their receivers.
    pub fn derive(&mut self, batch: Batch) {
        if !batch.is_empty() {
            self.derived.push(batch);
        }
    }

    /// Refuses the batch in hand: its sender is told, and may send it again.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refused.get_or_insert(refusal);
    }

    /// Tells that so many items went into others (duplicates into their first), so that they don't count as dropped.
    pub fn merged(&mut self, items: usize) {
        self.merged += items;
    }

    /// What has been passed on so far, emptied. For tests and for the engine.
    pub fn take(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.passed)
    }

    /// What has been derived so far, emptied. For tests and for the engine.
    pub fn take_derived(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.derived)
    }
}

/// Why a batch was not taken; the receiver tells its client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Temporary: the client may send the same data again.
    #[error("{reason}")]
    Retry {
        /// What is short, in words for the client.
        reason: String,
        /// When trying again makes sense, if known.
        after: Option<Duration>,
    },
    /// Final: the same data will be refused again.
    #[error("{reason}")]
    Final {
        /// What is wrong with the data, in words for the client.
        reason: String,
    },
}

/// Why a component could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error("cannot listen on {address}; is another process using the port?")]
    Bind {
        /// The address asked for.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Any other reason, in words, with what to do.
    #[error("{0}")]
    Other(String),
    /// An input or output error.
    #[error("{what}")]
    Io {
        /// What was being done, and to what.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// Why a running component cannot go on. It stops the process.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RunError(pub String);

/// What the far end made of one attempt; each variant is one reaction of the engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Try the same batch again, not before `after` if the far end named a time.
    #[error("{reason}")]
    Retry {
        /// What happened, with the far end's own words.
        reason: String,
        /// The wait that the far end asked for.
        after: Option<Duration>,
    },
    /// The far end will never take `count` items of this batch; the others are delivered.
    #[error("{reason}")]
    Reject {
        /// Items refused for good.
        count: usize,
        /// What happened, with the far end's own words.
        reason: String,
    },
    /// The message is too large for the far end: halve the batch and try again.
    #[error("{reason}")]
    TooLarge {
        /// What happened, with the far end's own words.
        reason: String,
    },
    /// Nothing that this exporter sends can succeed; the process stops with this reason.
    #[error("{reason}")]
    Fatal {
        /// What is wrong and what to do.
        reason: String,
    },
}
