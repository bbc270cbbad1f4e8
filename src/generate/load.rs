//! How many records, how fast, and what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use tokio::task::JoinSet;
use watershed_pipeline::Signal;

use super::answer::Answer;
use super::link::{Compression, Link, Protocol, Target};
use super::payload::Payload;
use crate::process::cpu_time;

/// The wait before the first new attempt, and the longest one.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(50);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// What to send, where to, and how fast.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) endpoint: String,
    pub(crate) signal: Signal,
    pub(crate) protocol: Protocol,
    pub(crate) compression: Compression,
    /// Records in all.
    pub(crate) count: u64,
    /// Records a second; 0 means as fast as possible.
    pub(crate) rate: u64,
    /// Records in a request.
    pub(crate) batch: u64,
    pub(crate) connections: usize,
    /// Requests under way on each connection.
    pub(crate) concurrency: usize,
    /// The longest time that new requests are begun.
    pub(crate) duration: Option<Duration>,
    /// Whether what a busy server did not take is sent again.
    pub(crate) retry: bool,
}

/// The state of a load while it runs; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Counts>);

#[derive(Default)]
struct Counts {
    next: AtomicU64,
    sent: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    is_stopped: AtomicBool,
    last_trouble: std::sync::Mutex<Option<String>>,
}

/// What became of the records: `sent` = `accepted` + `refused` + `failed` at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    /// Records that left at least once.
    pub(crate) sent: u64,
    /// Records that the server took.
    pub(crate) accepted: u64,
    /// Records that the server did not take.
    pub(crate) refused: u64,
    /// Records without an answer, so that nobody knows.
    pub(crate) failed: u64,
    /// Attempts beyond the first, in requests.
    pub(crate) retried_requests: u64,
}

/// What a load did, as one line of JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) signal: &'static str,
    #[serde(flatten)]
    pub(crate) account: Account,
    pub(crate) seconds: f64,
    /// Accepted records a second.
    pub(crate) records_per_second: f64,
    /// Processor time of the generator itself.
    pub(crate) cpu_seconds: f64,
}

impl Progress {
    /// Begins no further request; those under way are finished, without new attempts.
    pub(crate) fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn account(&self) -> Account {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Account {
            sent: read(&self.0.sent),
            accepted: read(&self.0.accepted),
            refused: read(&self.0.refused),
            failed: read(&self.0.failed),
            retried_requests: read(&self.0.retried),
        }
    }

    /// What went wrong last, in the words of the server or the system.
    pub(crate) fn last_trouble(&self) -> Option<String> {
        self.0.last_trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn trouble(&self, reason: String) {
        *self.0.last_trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(reason);
    }

    fn is_stopped(&self) -> bool {
        self.0.is_stopped.load(Ordering::Relaxed)
    }
}

impl Load {
    /// Sends everything and reports.
    ///
    /// # Errors
    /// Says what is wrong with the endpoint. A server that is down is no error here but shows in the report.
    pub(crate) async fn run(&self, progress: &Progress) -> Result<Report, String> {
        let target = Arc::new(Target::new(&self.endpoint, self.signal, self.protocol, self.compression)?);
        let start = Instant::now();
        let mut workers = JoinSet::new();
        for connection in 0..self.connections {
            for link in Link::bundle(&target, self.concurrency) {
                let worker = Worker {
                    load: self.clone(),
                    target: Arc::clone(&target),
                    link,
                    payload: Payload::new(self.signal, connection),
                    progress: progress.clone(),
                    start,
                };
                workers.spawn(worker.run());
            }
        }
        while workers.join_next().await.is_some() {}
        Ok(self.report(progress, start))
    }

    /// What has been done so far; what has no answer yet counts as failed.
    pub(crate) fn report(&self, progress: &Progress, start: Instant) -> Report {
        let seconds = start.elapsed().as_secs_f64();
        let mut account = progress.account();
        account.failed = account.sent.saturating_sub(account.accepted + account.refused);
        Report {
            signal: self.signal.name(),
            records_per_second: (account.accepted as f64 / seconds).round(),
            account,
            seconds,
            cpu_seconds: cpu_time().as_secs_f64(),
        }
    }

    fn is_over(&self, start: Instant) -> bool {
        self.duration.is_some_and(|duration| start.elapsed() >= duration)
    }
}

struct Worker {
    load: Load,
    target: Arc<Target>,
    link: Link,
    payload: Payload,
    progress: Progress,
    start: Instant,
}

impl Worker {
    async fn run(mut self) {
        let mut message = Vec::new();
        while !self.progress.is_stopped() && !self.load.is_over(self.start) {
            let first = self.progress.0.next.fetch_add(self.load.batch, Ordering::Relaxed);
            if first >= self.load.count {
                return;
            }
            if self.load.rate > 0 {
                let due = Duration::from_secs_f64(first as f64 / self.load.rate as f64);
                tokio::time::sleep_until((self.start + due).into()).await;
            }
            let count = self.load.batch.min(self.load.count - first);
            message.clear();
            self.payload.write(&mut message, first, count, SystemTime::now());
            match self.target.wrap(&message) {
                Ok(body) => self.deliver(body, count).await,
                Err(reason) => {
                    self.progress.trouble(reason);
                    self.progress.stop();
                }
            }
        }
    }

    /// Sends one request, again if need be, and counts what became of it.
    async fn deliver(&mut self, body: Bytes, count: u64) {
        let counts = Arc::clone(&self.progress.0);
        counts.sent.fetch_add(count, Ordering::Relaxed);
        let mut wait = RETRY_WAIT_MIN;
        loop {
            let (outcome, after) = match self.link.send(body.clone()).await {
                Ok(Answer::Accepted { rejected }) => {
                    let rejected = rejected.min(count);
                    counts.accepted.fetch_add(count - rejected, Ordering::Relaxed);
                    counts.refused.fetch_add(rejected, Ordering::Relaxed);
                    return;
                }
                Ok(Answer::Refused { reason }) => {
                    self.progress.trouble(reason);
                    counts.refused.fetch_add(count, Ordering::Relaxed);
                    return;
                }
                Ok(Answer::Busy { after, reason }) => {
                    self.progress.trouble(reason);
                    (&counts.refused, after)
                }
                Err(reason) => {
                    self.progress.trouble(reason);
                    (&counts.failed, None)
                }
            };
            if !self.load.retry || self.progress.is_stopped() || self.load.is_over(self.start) {
                outcome.fetch_add(count, Ordering::Relaxed);
                return;
            }
            counts.retried.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(after.unwrap_or(wait)).await;
            wait = (wait * 2).min(RETRY_WAIT_MAX);
        }
    }
}
