//! Drives a follower: reads ahead while the round before is on its way, waits for changes, retries what was refused.
//!
//! Reading blocks, so that it happens on a thread for such work. Rounds are delivered one after the other, so that the
//! lines of a file stay in order; one more round is read meanwhile, and no further.

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{sleep, sleep_until, timeout};
use watershed_pipeline::{Outlet, Refusal, RunError, Shutdown};

use super::follower::{Follower, Pause, Round};
use super::metrics::Metrics;
use super::settings::RetrySettings;
use super::watch::{Changes, Watcher};

/// How long changes are gathered before they are read: many small writes become one batch.
const GATHER: Duration = Duration::from_millis(20);
/// How often files are looked for although the kernel tells of every change.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long to wait for memory.
const MEMORY_WAIT: Duration = Duration::from_millis(100);
/// How long the stop waits for the round that is on its way.
const LAST_ROUND: Duration = Duration::from_secs(5);

/// What drives a follower.
pub(super) struct Driver {
    pub(super) outlet: Outlet,
    pub(super) shutdown: Shutdown,
    pub(super) poll_interval: Duration,
    pub(super) retry: RetrySettings,
    pub(super) metrics: Metrics,
    pub(super) until_eof: bool,
}

/// What a step on the thread for blocking work gave.
struct Step {
    follower: Follower,
    outcome: Option<Result<Round, Pause>>,
}

/// What a step is to do, in this order.
#[derive(Default)]
struct Work {
    /// What was taken since the last step. While a long one runs, that can be more than one round.
    delivered: Vec<Round>,
    changes: Changes,
    read: bool,
}

type Sending = Pin<Box<dyn Future<Output = Round> + Send>>;

/// How far things are.
struct State {
    /// The follower, unless a step has it.
    follower: Option<Follower>,
    step: Option<JoinHandle<Step>>,
    sending: Option<Sending>,
    /// The round behind the one that is on its way.
    next: Option<Round>,
    /// What the next step is to do.
    work: Work,
    /// When to begin that step although more could be gathered for it.
    begin: Instant,
    /// When to look for files.
    look: Instant,
    /// Whether there may be something to read.
    may_read: bool,
    /// Whether it was said that memory is short.
    is_short: bool,
}

impl Driver {
    /// Follows until told to stop, or until everything was delivered if that is the end.
    ///
    /// # Errors
    /// Reading has panicked: a defect.
    pub(super) async fn run(mut self, follower: Follower) -> Result<(), RunError> {
        let mut watcher = self.watcher();
        let now = Instant::now();
        let mut state = State {
            follower: Some(follower),
            step: None,
            sending: None,
            next: None,
            work: Work { changes: Changes { look: true, ..Changes::default() }, ..Work::default() },
            begin: now,
            look: now,
            may_read: true,
            is_short: false,
        };
        loop {
            let now = Instant::now();
            state.begin_step(now, self.interval(watcher.as_ref()));
            if self.until_eof && state.is_done() {
                return state.finish().await;
            }
            let due = state.due(now);
            tokio::select! {
                biased;
                () = self.shutdown.requested() => return state.finish().await,
                round = delivered(&mut state.sending) => {
                    state.sending = None;
                    state.work.delivered.push(round);
                    state.begin = Instant::now();
                }
                step = finished(&mut state.step) => {
                    state.end_step(step?);
                    if let (Some(watcher), Some(follower)) = (&mut watcher, &state.follower) {
                        watcher.watch(&follower.directories);
                    }
                }
                changes = changed(&mut watcher) => state.notice(changes, Instant::now()),
                () = sleep_until(due.into()) => state.wake(Instant::now()),
            }
            if state.sending.is_none()
                && let Some(round) = state.next.take()
            {
                state.sending = Some(self.send(round));
            }
        }
    }

    fn watcher(&self) -> Option<Watcher> {
        if self.until_eof {
            return None;
        }
        let watcher = Watcher::new();
        watcher
            .inspect_err(
                |error| tracing::warn!(%error, "files are polled: the kernel does not tell of changes"),
            )
            .ok()
    }

    /// How often to look.
    fn interval(&self, watcher: Option<&Watcher>) -> Duration {
        match watcher {
            Some(watcher) if watcher.is_complete() => self.poll_interval.max(LOOK_INTERVAL),
            _ => self.poll_interval,
        }
    }

    /// Sends a round until it is taken, or given up.
    fn send(&self, round: Round) -> Sending {
        let (outlet, retry, metrics) = (self.outlet.clone(), self.retry.clone(), self.metrics.clone());
        Box::pin(async move {
            let began = Instant::now();
            let mut attempt = 0;
            loop {
                attempt += 1;
                let (reason, delay) = match outlet.send(round.batch.clone()).await {
                    Ok(()) => return round,
                    Err(Refusal::Retry { reason, after }) => {
                        (reason, retry.delay(attempt, began.elapsed(), after))
                    }
                    Err(Refusal::Final { reason }) => (reason, None),
                };
                let records = round.batch.len();
                let Some(delay) = delay else {
                    tracing::error!(records, reason, "records were refused for good and are dropped");
                    metrics.dropped.add(records as u64);
                    return round;
                };
                if attempt == 1 {
                    tracing::warn!(records, reason, "records were refused; reading waits and tries again");
                }
                sleep(delay).await;
            }
        })
    }
}

impl State {
    /// Begins a step if there is something to do and nothing is being done.
    fn begin_step(&mut self, now: Instant, look_interval: Duration) {
        let can_read = self.may_read && self.next.is_none();
        let has_work = can_read || !self.work.delivered.is_empty() || self.work.changes != Changes::default();
        if !has_work || now < self.begin {
            return;
        }
        let Some(follower) = self.follower.take() else { return };
        let work = Work { read: can_read || self.next.is_none(), ..std::mem::take(&mut self.work) };
        if work.changes.look {
            self.look = now + look_interval;
        }
        self.step = Some(spawn_blocking(move || step(follower, &work)));
    }

    fn end_step(&mut self, step: Step) {
        self.step = None;
        let now = Instant::now();
        match step.outcome {
            Some(Ok(round)) => {
                self.next = Some(round);
                self.is_short = false;
                self.may_read = true;
            }
            Some(Err(Pause::Memory(exceeded))) => {
                self.begin = now + MEMORY_WAIT;
                if !std::mem::replace(&mut self.is_short, true) {
                    tracing::warn!(%exceeded, "reading waits for memory");
                }
            }
            Some(Err(Pause::Idle)) => self.may_read = false,
            None => {}
        }
        self.work.changes.look |= step.follower.wants_look;
        self.follower = Some(step.follower);
    }

    fn notice(&mut self, changes: Changes, now: Instant) {
        if self.work.changes == Changes::default() && !self.may_read {
            self.begin = now + GATHER;
        }
        self.work.changes.look |= changes.look;
        self.work.changes.written.extend(changes.written);
        self.may_read = true;
    }

    fn wake(&mut self, now: Instant) {
        self.work.changes.look |= now >= self.look;
        self.may_read = true;
    }

    /// When to go on although nothing happens.
    fn due(&self, now: Instant) -> Instant {
        let has_work = self.may_read && self.next.is_none() || self.work.changes != Changes::default();
        let begin = Some(self.begin).filter(|_| has_work && self.follower.is_some());
        // What is due by time has to wait as long as there is no room for it.
        let follower = self.follower.as_ref().filter(|_| self.next.is_none());
        let deadline = follower.and_then(Follower::deadline).map(|deadline| deadline.max(now + GATHER));
        begin.into_iter().chain(deadline).chain([self.look.max(now + GATHER)]).min().unwrap_or(self.look)
    }

    /// Whether everything that was there is delivered.
    fn is_done(&self) -> bool {
        let is_idle = self.sending.is_none() && self.next.is_none() && self.work.delivered.is_empty();
        is_idle && self.follower.as_ref().is_some_and(Follower::is_done)
    }

    /// Waits for what is on its way, unless it has to be tried again: then it is read again at the next start.
    async fn finish(mut self) -> Result<(), RunError> {
        if let Some(step) = self.step.take() {
            self.follower = Some(step.await.map_err(|error| defect(&error))?.follower);
        }
        let mut delivered = self.work.delivered;
        if let Some(sending) = self.sending.take() {
            delivered.extend(timeout(LAST_ROUND, sending).await.ok());
        }
        let Some(mut follower) = self.follower else { return Ok(()) };
        let last = spawn_blocking(move || {
            delivered.iter().for_each(|round| follower.deliver(round));
            follower.close();
        });
        last.await.map_err(|error| defect(&error))
    }
}

/// Does blocking work.
fn step(mut follower: Follower, work: &Work) -> Step {
    let (now, wall) = (Instant::now(), SystemTime::now());
    work.delivered.iter().for_each(|round| follower.deliver(round));
    let strangers = work.changes.written.iter().filter(|path| follower.touch(path)).count();
    if work.changes.look || strangers > 0 {
        follower.look(now, wall);
    }
    let outcome = work.read.then(|| follower.read(now, wall));
    follower.checkpoint(now);
    Step { follower, outcome }
}

fn defect(error: &JoinError) -> RunError {
    RunError(error.to_string())
}

async fn finished(step: &mut Option<JoinHandle<Step>>) -> Result<Step, RunError> {
    match step {
        Some(step) => step.await.map_err(|error| defect(&error)),
        None => pending().await,
    }
}

async fn delivered(sending: &mut Option<Sending>) -> Round {
    match sending {
        Some(sending) => sending.await,
        None => pending().await,
    }
}

async fn changed(watcher: &mut Option<Watcher>) -> Changes {
    match watcher {
        Some(watcher) => watcher.changed().await,
        None => pending().await,
    }
}
