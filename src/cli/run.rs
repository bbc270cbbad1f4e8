//! `watershed run`.

use std::sync::Arc;
use std::time::Instant;

use tokio::signal::unix::{Signal, SignalKind, signal};
use watershed_pipeline::{Engine, EngineError, Ready, Registry, Running, Shared, Summary, UntilEof};

use super::config_arguments::ConfigArguments;
use super::progress::ProgressBar;
use super::{Failure, chain, complain};
use crate::admin::{Admin, Health, Phase, Source};
use crate::setup::Setup;
use crate::telemetry::{Identity, Pushes, Traces, start_logs};

const MIB: usize = 1 << 20;

/// Runs the pipelines of a configuration until SIGTERM or Ctrl-C.
///
/// The whole configuration is checked before any port is bound. On SIGTERM or Ctrl-C no new data is taken and what
/// is held is delivered, for at most 30 seconds; a second signal ends that at once. Own counters are at
/// http://127.0.0.1:8888/metrics unless `service.telemetry.metrics` says otherwise.
///
/// With --until-eof the receivers `file` read what is there and the process ends once all of it is delivered, however
/// long that takes; other receivers work until then.
///
/// Example: watershed run --config deploy.yaml --set service.telemetry.logs.level=debug
///
/// Exit codes: 0 stopped and everything delivered; 64 the configuration is not valid; 1 could not start, a component
/// failed, or the stop lost records.
#[derive(clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArguments,
    /// Read the files that are there, deliver them and end
    #[arg(long)]
    until_eof: bool,
}

impl Run {
    pub(super) fn execute(&self, registry: Registry) -> Result<(), Failure> {
        let (mut shared, until_eof) = (Shared::default(), self.until_eof.then(Arc::<UntilEof>::default));
        if let Some(until_eof) = &until_eof {
            shared.insert(Arc::clone(until_eof));
        }
        let setup = Setup::read_with(&registry, &self.config.sources()?, shared)?;
        drop(registry);
        if until_eof.is_some() && !setup.graph.is_finite() {
            let text =
                "--until-eof needs a receiver that comes to an end: use a receiver `file` in a pipeline";
            return Err(Failure::Usage(text.to_owned()));
        }
        // A program that has chosen a provider before keeps it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Other(format!("cannot start threads: {error}")))?;
        runtime.block_on(serve(setup, until_eof))
    }
}

async fn serve(setup: Setup, until_eof: Option<Arc<UntilEof>>) -> Result<(), Failure> {
    let start = Instant::now();
    let identity = Identity::new(&setup.settings.resource);
    let traces = Traces::start(&setup.settings.traces, &identity).map_err(Failure::Other)?;
    start_logs(&setup.settings.logs, traces.layer()).map_err(Failure::Other)?;
    setup.warnings().for_each(|warning| tracing::warn!("{warning}"));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        lanes = setup.lanes,
        memory_limit_mib = setup.budget.hard_limit() / MIB,
        "starting"
    );
    let mut signals =
        Signals::new().map_err(|error| Failure::Other(format!("cannot watch signals: {error}")))?;
    let pushes = setup.settings.metrics.pushes();
    let pushes = Pushes::start(&pushes, &setup.telemetry, &identity, start).map_err(Failure::Other)?;
    let health = Health::default();
    let source = Source { telemetry: setup.telemetry, identity, start, health: health.clone() };
    let admin = Admin::start(&setup.settings.metrics, &setup.health, source).await.map_err(Failure::Other)?;
    let running = Engine::start(setup.graph).await.map_err(|error| Failure::Other(chain(&error)))?;
    health.enter(Phase::Ready);
    announce(running.ready(), &admin);
    let bar = until_eof.map(|until_eof| ProgressBar::start(until_eof, start));
    let outcome = run_until_told(running, &mut signals, &health).await;
    if let Some(bar) = bar {
        bar.finish();
    }
    pushes.stop().await;
    traces.stop().await;
    conclude(outcome)
}

fn announce(ready: &Ready, admin: &Admin) {
    for (receiver, protocol, address) in &ready.addresses {
        tracing::info!(receiver, protocol, %address, "listening");
    }
    for (what, address) in &admin.addresses {
        tracing::info!(%address, "{what} available");
    }
    tracing::info!("ready");
}

async fn run_until_told(
    running: Running,
    signals: &mut Signals,
    health: &Health,
) -> Result<Summary, EngineError> {
    let Signals { terminate, interrupt } = signals;
    let signals = tokio::sync::Mutex::new((terminate, interrupt));
    let told = async {
        wait(&signals).await;
        health.enter(Phase::Stopping);
        tracing::info!("stopping; a second signal ends at once what is still to be delivered");
    };
    let told_again = async {
        // The first signal holds the lock until it comes.
        wait(&signals).await;
        tracing::warn!("stopping at once");
    };
    running.run(told, told_again).await
}

fn conclude(outcome: Result<Summary, EngineError>) -> Result<(), Failure> {
    match outcome {
        Ok(summary) if summary.lost_in_stop() == 0 => {
            tracing::info!("stopped: {summary}");
            Ok(())
        }
        Ok(summary) => {
            let lost = summary.lost_in_stop();
            Err(Failure::Other(format!("stopped with {lost} items not delivered: {summary}")))
        }
        Err(error) => {
            if let EngineError::Failed { summary, .. } = &error {
                complain(format_args!("stopped: {summary}"));
            }
            Err(Failure::Other(chain(&error)))
        }
    }
}

/// The signals that ask for a stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

async fn wait(signals: &tokio::sync::Mutex<(&mut Signal, &mut Signal)>) {
    let mut signals = signals.lock().await;
    let (terminate, interrupt) = &mut *signals;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
