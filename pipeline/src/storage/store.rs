//! One durable queue: what is appended is on disk, what is taken and not acknowledged is taken again.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::disk::Disk;
use super::groups::{Group, GroupLog};
use super::inbox::{Inbox, run};
use super::options::{Fsync, StoreOptions};
use super::reader::Reader;
use super::record::{Record, Tally};
use super::recovery::open;
use super::state::{Next, Shared, Taken, Ticket};
use super::writer::Append;
use super::{MAX_RECORD, StorageError};
use crate::batch::Batch;

/// A queue on disk with the thread that writes it.
pub(crate) struct Store {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    reader: Arc<Mutex<Reader>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    groups: Mutex<(GroupLog, Vec<Group>)>,
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// There is no room now.
    #[error("{reason}")]
    Full {
        /// Where, and why.
        reason: String,
    },
    /// There will never be room.
    #[error(
        "a batch of {size} bytes does not fit into the queue, whose quota is {quota} bytes; send smaller batches"
    )]
    TooLarge {
        /// Its size on disk.
        size: u64,
        /// The limit.
        quota: u64,
    },
    /// The process is stopping.
    #[error("the process is stopping")]
    Closed,
}

/// The good news about a record. If nobody receives it, the store itself remembers that it has taken the items.
pub(crate) struct Committed {
    pub(crate) shared: Arc<Shared>,
    pub(crate) items: u64,
}

impl Committed {
    fn accept(mut self) {
        self.items = 0;
    }
}

impl Drop for Committed {
    fn drop(&mut self) {
        if self.items > 0 {
            self.shared.state().unclaimed += self.items;
        }
    }
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// What is not acknowledged.
    pub(crate) pending: Tally,
    /// Bytes of segments.
    pub(crate) bytes: u64,
}

/// What happened that nobody was told of yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Items that were committed although their sender had gone.
    pub(crate) unclaimed: u64,
    /// What was found damaged.
    pub(crate) lost: Tally,
}

impl Store {
    /// Opens a store and starts its thread. Blocks on the disk.
    ///
    /// # Errors
    /// When another process has the directory, or it can't be used.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        options: StoreOptions,
    ) -> Result<Self, StorageError> {
        let (shared, writer) = open(Arc::clone(&disk), directory.clone(), options)?;
        let is_pending = |sequence| shared.state().is_pending(sequence);
        let groups = Mutex::new(GroupLog::open(disk, directory.clone(), is_pending));
        let inbox = Arc::new(Inbox::default());
        let thread = {
            let (shared, inbox) = (Arc::clone(&shared), Arc::clone(&inbox));
            let named = std::thread::Builder::new().name("queue".to_owned());
            named.spawn(move || run(writer, &shared, &inbox))
        };
        let thread = thread.map_err(|source| StorageError::Io {
            action: "start the thread for",
            path: directory,
            source,
        })?;
        let reader = Arc::new(Mutex::new(Reader::new(Arc::clone(&shared))));
        Ok(Self { shared, inbox, reader, thread: Mutex::new(Some(thread)), groups })
    }

    /// Puts a record on disk. `patient` waits for room, until `stopping` says why not any longer.
    ///
    /// # Errors
    /// Says why the record is not in the queue.
    pub(crate) async fn append(
        &self,
        record: Record,
        batch: Option<Batch>,
        patient: bool,
        stopping: impl Future<Output = AppendError>,
    ) -> Result<(), AppendError> {
        let size = record.size();
        tokio::select! {
            biased;
            reserved = self.reserve(size, patient) => reserved?,
            error = stopping => return Err(error),
        }
        let (done, answer) = oneshot::channel();
        let checksum = record.checksum();
        let append = Append { record, checksum, batch, patient, done };
        if !self.inbox.push(append, self.shared.options.group_size) {
            self.unreserve(size);
            return Err(AppendError::Closed);
        }
        answer.await.unwrap_or(Err(AppendError::Closed)).map(Committed::accept)
    }

    /// Waits until the quota has room and the disk takes data.
    async fn reserve(&self, size: u64, patient: bool) -> Result<(), AppendError> {
        let quota = self.shared.options.quota;
        // A quarter, so that one batch can't make the others wait for ever.
        if size > (quota / 4).min(MAX_RECORD) {
            return Err(AppendError::TooLarge { size, quota });
        }
        loop {
            let room = self.shared.room.notified();
            let mut room = std::pin::pin!(room);
            room.as_mut().enable();
            let refusal = {
                let mut state = self.shared.state();
                if state.closed {
                    return Err(AppendError::Closed);
                }
                let full = state.is_full(size, &self.shared.options);
                if !full && state.stuck.is_none() {
                    state.reserved += size;
                    return Ok(());
                }
                state.crowded |= full;
                match &state.stuck {
                    Some(reason) => AppendError::Full { reason: reason.clone() },
                    None => AppendError::Full { reason: "the sending queue is full".to_owned() },
                }
            };
            if !patient {
                return Err(refusal);
            }
            self.inbox.acked();
            room.await;
        }
    }

    fn unreserve(&self, size: u64) {
        let mut state = self.shared.state();
        state.reserved = state.reserved.saturating_sub(size);
    }

    /// The next record; `None` once the store is closed. What was taken is acknowledged or given back.
    pub(crate) async fn take(&self) -> Option<Taken> {
        loop {
            let ready = self.shared.ready.notified();
            let mut ready = std::pin::pin!(ready);
            ready.as_mut().enable();
            match self.shared.next() {
                Next::Taken(taken) => return Some(taken),
                Next::Closed => return None,
                Next::Nothing => ready.await,
                Next::Unread => {
                    let reader = Arc::clone(&self.reader);
                    let filled = spawn_blocking(move || {
                        reader.lock().unwrap_or_else(PoisonError::into_inner).fill();
                    });
                    if filled.await.is_err() {
                        // The runtime is going away.
                        return None;
                    }
                }
            }
        }
    }

    /// The record is delivered.
    pub(crate) fn ack(&self, ticket: Ticket) {
        let (tell_writer, tell_senders) = self.shared.ack(ticket);
        if tell_writer {
            self.inbox.acked();
        }
        if tell_senders {
            self.shared.room.notify_waiters();
        }
    }

    /// The record is not delivered.
    pub(crate) fn give_back(&self, ticket: Ticket) {
        self.shared.give_back(ticket);
    }

    /// The merged batches that an earlier run left, without the records that are settled. Empty at the second call.
    pub(crate) fn take_groups(&self) -> Vec<Group> {
        std::mem::take(&mut self.groups.lock().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Writes down what a merged batch was made of. Blocks on the disk.
    ///
    /// # Errors
    /// A crash would then find the records as if they had not been merged.
    pub(crate) fn note_group(&self, group: &Group) -> io::Result<()> {
        let durable = self.shared.options.fsync == Fsync::Group;
        let is_pending = |sequence| self.shared.state().is_pending(sequence);
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).0.append(group, durable, is_pending)
    }

    /// Bytes that the store may take on disk.
    pub(crate) fn quota(&self) -> u64 {
        self.shared.options.quota
    }

    /// What the store holds at this moment.
    pub(crate) fn held(&self) -> Held {
        let state = self.shared.state();
        Held { pending: state.pending, bytes: state.used() }
    }

    /// What happened since the last call.
    pub(crate) fn news(&self) -> News {
        let mut state = self.shared.state();
        News { unclaimed: std::mem::take(&mut state.unclaimed), lost: std::mem::take(&mut state.lost) }
    }

    /// Whether nothing is left to be taken.
    pub(crate) fn is_drained(&self) -> bool {
        self.shared.state().pending.is_zero()
    }

    /// Nothing more is taken; what is there stays.
    pub(crate) fn close_taking(&self) {
        self.shared.state().taking_closed = true;
        self.shared.ready.notify_waiters();
    }

    /// Ends all waiting: nothing more is appended or taken.
    pub(crate) fn close(&self) {
        self.shared.state().closed = true;
        self.close_taking();
        self.shared.room.notify_waiters();
        self.inbox.close();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in there was reported where it happened.
            drop(thread.join());
        }
    }
}
