//! A stand-in for the pipelines behind a receiver's outlet.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::batch::{Batch, Signal};
use crate::component::Refusal;
use crate::outlet::{Outlet, Target};
use crate::telemetry::Telemetry;

/// Takes what a receiver sends, and answers as the test wants.
///
/// ```
/// # use watershed_pipeline::{Batch, Refusal, Signal, testing::Probe};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let probe = Probe::new();
/// probe.refuse(Refusal::Final { reason: "no".into() });
/// let batch = Batch::builder(Signal::Logs).record(|log| log.set_body("x")).build();
/// assert!(probe.outlet().send(batch).await.is_err());
/// assert_eq!(probe.batches().len(), 1);
/// # });
/// ```
#[derive(Clone)]
pub struct Probe {
    state: Arc<State>,
    telemetry: Telemetry,
}

struct State {
    batches: Mutex<Vec<Batch>>,
    count: watch::Sender<usize>,
    answer: watch::Sender<Answer>,
    signals: Mutex<Vec<Signal>>,
}

#[derive(Clone)]
enum Answer {
    Take,
    Refuse(Refusal),
    Hold,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// Makes a probe that takes everything.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            batches: Mutex::default(),
            count: watch::Sender::new(0),
            answer: watch::Sender::new(Answer::Take),
            signals: Mutex::new(Signal::ALL.into()),
        };
        Self { state: Arc::new(state), telemetry: Telemetry::new() }
    }

    /// The outlet to give to a receiver, whose counters bear the name `probe`.
    #[must_use]
    pub fn outlet(&self) -> Outlet {
        Outlet::new(Arc::<State>::clone(&self.state), self.telemetry.clone(), "probe")
    }

    /// The counters of the outlet.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Takes everything from now on, also what is on hold.
    pub fn take(&self) {
        self.state.answer.send_replace(Answer::Take);
    }

    /// Refuses everything from now on, also what is on hold.
    pub fn refuse(&self, refusal: Refusal) {
        self.state.answer.send_replace(Answer::Refuse(refusal));
    }

    /// Lets senders wait from now on.
    pub fn hold(&self) {
        self.state.answer.send_replace(Answer::Hold);
    }

    /// Takes only these signals: for others, no pipeline is there.
    pub fn accept_only(&self, signals: &[Signal]) {
        *self.state.signals.lock().unwrap_or_else(PoisonError::into_inner) = signals.into();
    }

    /// All batches that were sent, whatever the answer, in order.
    #[must_use]
    pub fn batches(&self) -> Vec<Batch> {
        self.state.batches.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many batches were sent in all, and returns them.
    pub async fn received(&self, count: usize) -> Vec<Batch> {
        // The sender lives as long as `self`, so there is no error to see.
        drop(self.state.count.subscribe().wait_for(|sent| *sent >= count).await);
        self.batches()
    }
}

#[async_trait]
impl Target for State {
    fn accepts(&self, signal: Signal) -> bool {
        self.signals.lock().unwrap_or_else(PoisonError::into_inner).contains(&signal)
    }

    async fn send(&self, batch: Batch) -> Result<(), Refusal> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
        self.count.send_modify(|count| *count += 1);
        let mut answer = self.answer.subscribe();
        match answer.wait_for(|answer| !matches!(answer, Answer::Hold)).await.as_deref() {
            Ok(Answer::Refuse(refusal)) => Err(refusal.clone()),
            _ => Ok(()),
        }
    }
}
