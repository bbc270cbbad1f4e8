//! Runs a graph: start and stop order, timers, consumers, and what the stop could not deliver.
//!
//! Start: exporters and their queues, then every port is bound, processors take up what they held before, then receivers
//! run. Stop: receivers are told, processors give out what they hold from upstream to downstream or leave it on disk for
//! the next start, queues empty, exporters flush; all within one deadline. This file and `resume` are the only ones
//! that start tasks.

mod resume;
mod summary;

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

pub use summary::{Dropped, EngineError, Summary, Totals};

use crate::component::{ExportError, Exporter, Receiver};
use crate::delivery::{Complaints, Delivery};
use crate::graph::Graph;
use crate::lanes::{Loads, Pipeline, Sweep, submit};
use crate::lifecycle::{Lifecycle, Phase, guard_future};
use crate::outlet::Outlet;
use crate::shutdown::{ShutdownTrigger, shutdown};
use crate::vault::Vault;
use crate::watch::Files;

/// How often exporters are asked to write out what they buffer.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// How often files that components read are looked at.
const FILES_INTERVAL: Duration = Duration::from_secs(5);
/// The least time that the last flush gets, even when the deadline has passed.
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// Starts graphs.
#[derive(Debug)]
pub struct Engine;

/// What is known once everything is bound and running.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    /// Where receivers listen: receiver id, protocol, address.
    pub addresses: Vec<(String, &'static str, SocketAddr)>,
}

/// A graph at work.
pub struct Running {
    graph: Graph,
    ready: Ready,
    trigger: ShutdownTrigger,
    receivers: JoinSet<()>,
    /// Those that come to an end by themselves, and the run with them.
    finite: JoinSet<()>,
    timers: JoinSet<()>,
    consumers: JoinSet<()>,
    flushers: JoinSet<()>,
    resumptions: JoinSet<()>,
}

/// Runs a graph until `stop`, and then until everything is delivered or the deadline has passed.
///
/// `on_ready` is called once every port is bound. To let a second signal end the stop at once, use [`Engine::start`]
/// and [`Running::run`].
///
/// # Errors
/// Says which component could not start or go on, and why.
pub async fn run(
    graph: Graph,
    stop: impl Future<Output = ()>,
    on_ready: impl FnOnce(&Ready),
) -> Result<Summary, EngineError> {
    let running = Engine::start(graph).await?;
    on_ready(running.ready());
    running.run(stop, pending()).await
}

impl Engine {
    /// Starts exporters, binds all receivers, and only then lets data flow.
    ///
    /// # Errors
    /// The first component that cannot start ends the start; what was bound before is released.
    pub async fn start(mut graph: Graph) -> Result<Running, EngineError> {
        for (id, exporter) in &graph.exporters {
            let started = guard_future(exporter.start()).await;
            EngineError::check_start(id, started)?;
        }
        for delivery in &graph.deliveries {
            EngineError::check_start(delivery.exporter(), Ok(delivery.start().await))?;
        }
        let mut receivers = std::mem::take(&mut graph.receivers);
        let mut ready = Ready::default();
        for (id, receiver, _) in &mut receivers {
            let bound = guard_future(receiver.bind()).await;
            EngineError::check_start(id, bound)?;
            let addresses = receiver.addresses().into_iter();
            ready.addresses.extend(addresses.map(|(protocol, address)| (id.clone(), protocol, address)));
        }
        let (trigger, shutdown) = shutdown();
        let mut running = Running {
            graph,
            ready,
            trigger,
            receivers: JoinSet::new(),
            finite: JoinSet::new(),
            timers: JoinSet::new(),
            consumers: JoinSet::new(),
            flushers: JoinSet::new(),
            resumptions: JoinSet::new(),
        };
        running.spawn_helpers();
        running.resume().await;
        for (id, receiver, outlet) in receivers {
            let lifecycle = running.graph.lifecycle.clone();
            let tasks = if receiver.is_finite() { &mut running.finite } else { &mut running.receivers };
            tasks.spawn(receive(id, receiver, outlet, shutdown.clone(), lifecycle));
        }
        Ok(running)
    }
}

impl Running {
    /// Where receivers listen.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Works until `stop`, until a component fails, or until every receiver has finished by itself; then delivers what
    /// is held. If `again` comes during that, what is not out yet is counted and left.
    ///
    /// If there are receivers that come to an end by themselves, the work is done when they have returned and all that
    /// was taken is delivered, however long that takes.
    ///
    /// # Errors
    /// Says which component failed, and why, with the numbers.
    pub async fn run(
        mut self,
        stop: impl Future<Output = ()>,
        again: impl Future<Output = ()>,
    ) -> Result<Summary, EngineError> {
        let lifecycle = self.graph.lifecycle.clone();
        let (pipelines, deliveries) = (self.graph.pipelines.clone(), self.graph.deliveries.clone());
        let Self { receivers, finite, .. } = &mut self;
        let done = async {
            if finite.is_empty() {
                return join(receivers).await;
            }
            join(finite).await;
            drain_processors(&pipelines).await;
            delivered(&deliveries).await;
        };
        tokio::select! {
            biased;
            () = lifecycle.failed() => {}
            () = stop => {}
            () = done => {}
        }
        lifecycle.enter(Phase::Stopping);
        {
            let mut drain = pin!(self.drain());
            tokio::select! {
                biased;
                () = &mut drain => {}
                () = again => {
                    lifecycle.enter(Phase::Ending);
                    drain.await;
                }
            }
        }
        let summary = Summary::read(&self.graph.telemetry);
        summary.log();
        match lifecycle.failure() {
            Some(failure) => Err(EngineError::Failed {
                component: failure.component,
                reason: failure.reason,
                summary: Box::new(summary),
            }),
            None => Ok(summary),
        }
    }

    fn spawn_helpers(&mut self) {
        if !self.graph.files.is_empty() {
            self.timers.spawn(keep_reading(Arc::clone(&self.graph.files), self.graph.lifecycle.clone()));
        }
        for pipeline in self.graph.pipelines.iter().filter(|pipeline| pipeline.has_processors()) {
            self.timers.spawn(keep_time(Arc::clone(pipeline), self.graph.lifecycle.clone()));
        }
        for delivery in &self.graph.deliveries {
            for _ in 0..delivery.consumers() {
                let delivery = Arc::clone(delivery);
                self.consumers.spawn(async move { delivery.consume().await });
            }
        }
        for (id, exporter) in &self.graph.exporters {
            self.flushers.spawn(keep_flushing(
                id.clone(),
                Arc::clone(exporter),
                self.graph.lifecycle.clone(),
            ));
        }
    }

    /// Stops everything in order. Each step waits for what is under way until the deadline, then goes on without it.
    async fn drain(&mut self) {
        let limit = self.graph.shutdown_timeout;
        let lifecycle = self.graph.lifecycle.clone();
        let deadline = Instant::now() + limit;
        self.trigger.stop();
        // Half of the time at most is for receivers, so that one that hangs leaves time for what was accepted.
        let receivers_end = Instant::now() + limit / 2;
        let Self { receivers, finite, .. } = self;
        let all = async { tokio::join!(join(receivers), join(finite)) };
        if within(&lifecycle, receivers_end, all).await.is_none() {
            tracing::warn!("receivers did not stop in time and were ended");
        }
        self.receivers.shutdown().await;
        self.finite.shutdown().await;
        lifecycle.enter(Phase::Draining);
        within(&lifecycle, deadline, join(&mut self.timers)).await;
        self.timers.shutdown().await;
        within(&lifecycle, deadline, join(&mut self.resumptions)).await;
        self.resumptions.shutdown().await;
        for pipeline in &self.graph.pipelines {
            let loads = give_out(pipeline, self.graph.vault.as_ref()).await;
            if within(&lifecycle, deadline, submit(loads)).await.is_none() {
                tracing::warn!(pipeline = pipeline.name, "could not deliver in time what processors held");
            }
        }
        for delivery in &self.graph.deliveries {
            delivery.close();
        }
        within(&lifecycle, deadline, join(&mut self.consumers)).await;
        self.consumers.shutdown().await;
        for delivery in &self.graph.deliveries {
            delivery.abandon();
        }
        self.flushers.shutdown().await;
        for (id, exporter) in &self.graph.exporters {
            last_flush(id, &**exporter, deadline, &lifecycle).await;
        }
    }
}

/// Has processors give out what they hold, or hand it over to the vault if there is one.
async fn give_out(pipeline: &Arc<Pipeline>, vault: Option<&Arc<Vault>>) -> Loads {
    let now = Instant::now().into_std();
    let (own, vault) = (Arc::clone(pipeline), vault.cloned());
    let given = spawn_blocking(move || {
        let mut loads = Loads::new();
        match vault {
            Some(vault) => own.suspend(&vault, now, &mut loads),
            None => own.sweep(Sweep::Drain, now, &mut loads),
        }
        loads
    });
    // Panics of components are caught where they happen.
    given.await.unwrap_or_default()
}

/// Lets an exporter write out what it buffers. What it can't is lost, although it counts as sent: that is a failure.
async fn last_flush(id: &str, exporter: &dyn Exporter, deadline: Instant, lifecycle: &Lifecycle) {
    let limit = deadline.saturating_duration_since(Instant::now()).max(LAST_FLUSH);
    match timeout(limit, guard_future(exporter.flush())).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => lifecycle.fail(id, format!("could not write out the rest: {error}")),
        Ok(Err(reason)) => lifecycle.fail(id, reason),
        Err(_) => lifecycle.fail(id, format!("could not write out the rest within {limit:?}")),
    }
}

/// Waits for a future until the deadline, or until somebody has asked a second time.
async fn within<T>(lifecycle: &Lifecycle, deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        value = future => Some(value),
        () = lifecycle.reached(Phase::Ending) => None,
        () = sleep_until(deadline) => None,
    }
}

/// Waits for all tasks of a set. What they have to say they say themselves; only a defect of our own panics.
async fn join(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// Has processors give out what they hold, from upstream to downstream: nothing more is to come that they could wait for.
async fn drain_processors(pipelines: &[Arc<Pipeline>]) {
    for pipeline in pipelines {
        submit(give_out(pipeline, None).await).await;
    }
}

/// Waits until queues hold nothing and nothing is on its way.
async fn delivered(deliveries: &[Arc<Delivery>]) {
    const INTERVAL: Duration = Duration::from_millis(20);
    while deliveries.iter().any(|delivery| delivery.is_busy()) {
        sleep(INTERVAL).await;
    }
}

async fn receive(
    id: String,
    receiver: Box<dyn Receiver>,
    outlet: Outlet,
    shutdown: crate::shutdown::Shutdown,
    lifecycle: Lifecycle,
) {
    match guard_future(receiver.run(outlet, shutdown)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => lifecycle.fail(&id, error.to_string()),
        Err(reason) => lifecycle.fail(&id, reason),
    }
}

/// Calls a pipeline's processors when their time has come.
async fn keep_time(pipeline: Arc<Pipeline>, lifecycle: Lifecycle) {
    loop {
        let due = async {
            match pipeline.alarm.next() {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = lifecycle.reached(Phase::Draining) => return,
            () = pipeline.alarm.earlier.notified() => {}
            () = due => {
                let mut loads = Vec::new();
                pipeline.sweep(Sweep::Tick, Instant::now().into_std(), &mut loads);
                submit(loads).await;
            }
        }
    }
}

/// Looks at the files that components read.
async fn keep_reading(files: Arc<Files>, lifecycle: Lifecycle) {
    let mut ticks = interval(FILES_INTERVAL);
    loop {
        tokio::select! {
            biased;
            () = lifecycle.reached(Phase::Draining) => return,
            _ = ticks.tick() => {}
        }
        let own = Arc::clone(&files);
        // What panics there is a component's parser; the file stays what it was.
        drop(spawn_blocking(move || own.refresh()).await);
    }
}

async fn keep_flushing(id: String, exporter: Arc<dyn Exporter>, lifecycle: Lifecycle) {
    let complaints = Complaints::default();
    let mut ticks = interval(FLUSH_INTERVAL);
    loop {
        ticks.tick().await;
        match guard_future(exporter.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(ExportError::Fatal { reason })) | Err(reason) => return lifecycle.fail(&id, reason),
            Ok(Err(error)) => {
                if let Some(unsaid) = complaints.permit() {
                    tracing::warn!(exporter = id, %error, unsaid, "could not write out what is buffered");
                }
            }
        }
    }
}
