//! From a checked document and the known components to a graph that can run, or to all mistakes at once.
//!
//! Building binds nothing and connects to nothing. Every configured component is parsed and built, also those that
//! no pipeline uses, so that a mistake shows before it matters. Read on in `extensions`, `parts` (settings become components),
//! `topology` (who feeds whom), `assembly` (pipelines with their lanes) and `diagram`.

mod assembly;
mod audit;
mod diagram;
mod extensions;
mod parts;
mod topology;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use watershed_config::{ComponentId, ConfigErrors, ConfigWarning, Document};

use crate::batch::{Batch, Signal};
use crate::budget::Budget;
use crate::component::{Exporter, Receiver, Refusal};
use crate::context::{Context, Shared};
use crate::delivery::Delivery;
use crate::extension::Extensions;
use crate::lanes::{Pipeline, submit};
use crate::lifecycle::Lifecycle;
use crate::outlet::{Outlet, Target};
use crate::receipt::receipt;
use crate::registry::Registry;
use crate::telemetry::{Kind, Telemetry};
use crate::vault::Vault;
use crate::watch::Files;

/// What a graph is built in: everything that does not come from the configuration's components.
#[derive(Clone)]
pub struct Environment {
    /// The counters of the process.
    pub telemetry: Telemetry,
    /// The memory for telemetry in flight.
    pub budget: Budget,
    /// What components share by type.
    pub shared: Arc<Shared>,
    /// How many batches of one pipeline are processed at the same time.
    pub lanes: NonZeroUsize,
    /// How long a stop may take. What is not delivered by then is counted and left.
    pub shutdown_timeout: Duration,
    /// Where queues, and what processors hold at a stop, are kept on disk. Without it queues are in memory unless a
    /// configuration insists, and processors give out what they hold.
    pub storage: Option<PathBuf>,
    /// The seed of all randomness, for tests that repeat a run.
    pub seed: u64,
}

impl Environment {
    /// An environment with one lane a core, 30 seconds for the stop and a random seed.
    #[must_use]
    pub fn new(telemetry: Telemetry, budget: Budget, shared: Arc<Shared>) -> Self {
        let lanes = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let shutdown_timeout = Duration::from_secs(30);
        Self { telemetry, budget, shared, lanes, shutdown_timeout, storage: None, seed: fastrand::u64(..) }
    }

    fn context(&self, kind: Kind, id: &ComponentId) -> Context {
        let shared = Arc::clone(&self.shared);
        Context::new(kind, id.clone(), self.telemetry.clone(), self.budget.clone(), shared)
    }
}

/// Pipelines with all their components, ready to be started.
pub struct Graph {
    pub(crate) receivers: Vec<(String, Box<dyn Receiver>, Outlet)>,
    /// Upstream first, so that draining in this order loses nothing.
    pub(crate) pipelines: Vec<Arc<Pipeline>>,
    pub(crate) exporters: Vec<(String, Arc<dyn Exporter>)>,
    pub(crate) deliveries: Vec<Arc<Delivery>>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) telemetry: Telemetry,
    pub(crate) shutdown_timeout: Duration,
    /// Where processors leave what they hold at a stop.
    pub(crate) vault: Option<Arc<Vault>>,
    /// What components read from disk, to be looked at again.
    pub(crate) files: Arc<Files>,
    extensions: Arc<Extensions>,
    diagram: String,
    warnings: Vec<ConfigWarning>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("diagram", &self.diagram).finish_non_exhaustive()
    }
}

impl Graph {
    /// Builds every component and puts the used ones together.
    ///
    /// # Errors
    /// Returns all mistakes of all components, each with its place.
    pub fn build(document: &Document, registry: &Registry, cx: &Environment) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let mut shared = Shared::clone(&cx.shared);
        shared.insert(Arc::<Files>::default());
        let cx = &Environment { shared: Arc::new(shared.clone()), ..cx.clone() };
        // Extensions come first: all other components may ask for one by its id.
        let extensions = Arc::new(extensions::build(document, registry, cx, &mut errors));
        shared.insert(Arc::clone(&extensions));
        let cx = &Environment { shared: Arc::new(shared), ..cx.clone() };
        let parts = parts::Parts::build(document, registry, cx, &mut errors);
        let topology = topology::Topology::new(document, &mut errors);
        audit::check(document, &parts, &mut errors);
        ConfigErrors::check(errors)?;
        assembly::assemble(parts, &topology, document, cx, extensions)
    }

    /// What components may name by id, for those who build one of them once more to examine it.
    #[must_use]
    pub fn extensions(&self) -> &Arc<Extensions> {
        &self.extensions
    }

    /// Whether a receiver comes to an end by itself, and the run with it (see [`Receiver::is_finite`]).
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.receivers.iter().any(|(_, receiver, _)| receiver.is_finite())
    }

    /// The pipelines as a Mermaid flow chart, with what branches, joins and is derived.
    #[must_use]
    pub fn mermaid(&self) -> String {
        self.diagram.clone()
    }

    /// What is allowed and still worth a look, such as components that no pipeline uses.
    #[must_use]
    pub fn warnings(&self) -> &[ConfigWarning] {
        &self.warnings
    }
}

/// The pipelines that one receiver feeds.
struct Inlet {
    receiver: String,
    pipelines: [Vec<Arc<Pipeline>>; 3],
}

impl Inlet {
    fn pipelines(&self, signal: Signal) -> &[Arc<Pipeline>] {
        let [logs, traces, metrics] = &self.pipelines;
        match signal {
            Signal::Logs => logs,
            Signal::Traces => traces,
            Signal::Metrics => metrics,
        }
    }
}

#[async_trait]
impl Target for Inlet {
    fn accepts(&self, signal: Signal) -> bool {
        !self.pipelines(signal).is_empty()
    }

    async fn send(&self, mut batch: Batch) -> Result<(), Refusal> {
        let signal = batch.signal();
        let Some((last, others)) = self.pipelines(signal).split_last() else {
            let reason = format!("no pipeline takes {signal} from the receiver `{}`", self.receiver);
            return Err(Refusal::Final { reason });
        };
        let (receipt, waiter) = receipt();
        batch.add_receipt(receipt);
        let now = Instant::now().into_std();
        let mut loads = Vec::new();
        for pipeline in others {
            pipeline.process(batch.clone(), now, &mut loads);
        }
        last.process(batch, now, &mut loads);
        submit(loads).await;
        waiter.answer().await
    }
}

fn signal_of(signal: watershed_config::Signal) -> Signal {
    match signal {
        watershed_config::Signal::Logs => Signal::Logs,
        watershed_config::Signal::Traces => Signal::Traces,
        watershed_config::Signal::Metrics => Signal::Metrics,
    }
}
