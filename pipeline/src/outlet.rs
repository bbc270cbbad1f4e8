//! Where a receiver puts batches. `send` waits, and answers when every branch has taken responsibility.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::Instrument;

use crate::batch::{Batch, Signal};
use crate::component::Refusal;
use crate::spans;
use crate::telemetry::{Counter, Telemetry, Unit};

/// Where a receiver puts batches. Cheap to clone; each connection has its own.
#[derive(Clone)]
pub struct Outlet {
    target: Arc<dyn Target>,
    telemetry: Telemetry,
    receiver: Arc<str>,
    transport: &'static str,
    counters: [Arc<Counters>; 3],
}

/// What stands behind an outlet: the pipelines that name the receiver, or a test's probe.
#[async_trait]
pub(crate) trait Target: Send + Sync + 'static {
    /// Whether any pipeline takes this signal.
    fn accepts(&self, signal: Signal) -> bool;

    /// Takes the batch through all pipelines.
    async fn send(&self, batch: Batch) -> Result<(), Refusal>;
}

struct Counters {
    accepted: Counter,
    refused: Counter,
}

impl Outlet {
    pub(crate) fn new(target: Arc<dyn Target>, telemetry: Telemetry, receiver: &str) -> Self {
        let counters = Signal::ALL.map(|signal| Arc::new(Counters::new(&telemetry, receiver, "", signal)));
        Self { target, telemetry, receiver: receiver.into(), transport: "", counters }
    }

    /// The same outlet for one way in, which is told by counters and spans: `grpc`, `http`, …
    #[must_use]
    pub fn for_transport(&self, transport: &'static str) -> Self {
        let counters = Signal::ALL
            .map(|signal| Arc::new(Counters::new(&self.telemetry, &self.receiver, transport, signal)));
        Self { counters, transport, ..self.clone() }
    }

    /// Whether any pipeline takes this signal from this receiver. If none does, its clients should be told.
    #[must_use]
    pub fn accepts(&self, signal: Signal) -> bool {
        self.target.accepts(signal)
    }

    /// Hands a batch on and waits until every branch has taken responsibility for it.
    ///
    /// # Errors
    /// Says why a branch could not take it; other branches may have. The client is to be told.
    pub async fn send(&self, mut batch: Batch) -> Result<(), Refusal> {
        let signal = batch.signal();
        let counters = match signal {
            Signal::Logs => &self.counters[0],
            Signal::Traces => &self.counters[1],
            Signal::Metrics => &self.counters[2],
        };
        let items = batch.len() as u64;
        if items == 0 {
            return Ok(());
        }
        batch.receive();
        let span = spans::reception(&self.receiver, self.transport, signal, items);
        let answer = self.target.send(batch).instrument(span.clone()).await;
        spans::conclude_reception(&span, &answer);
        match &answer {
            Ok(()) => counters.accepted.add(items),
            Err(_) => counters.refused.add(items),
        }
        answer
    }

    /// Counts items that the receiver itself refused, before there was a batch (pressure, invalid data).
    pub fn count_refused(&self, signal: Signal, items: u64) {
        let [logs, traces, metrics] = &self.counters;
        let counters = match signal {
            Signal::Logs => logs,
            Signal::Traces => traces,
            Signal::Metrics => metrics,
        };
        counters.refused.add(items);
    }
}

impl Counters {
    fn new(telemetry: &Telemetry, receiver: &str, transport: &str, signal: Signal) -> Self {
        let labels: &[(&str, &str)] = if transport.is_empty() {
            &[("receiver", receiver)]
        } else {
            &[("receiver", receiver), ("transport", transport)]
        };
        let counter = |verb: &str, help: &str| {
            telemetry.counter(
                &format!("otelcol_receiver_{verb}_{}", signal.items()),
                Unit::Items,
                help,
                labels,
            )
        };
        Self {
            accepted: counter("accepted", "Items taken by every pipeline that the receiver feeds."),
            refused: counter("refused", "Items that were refused; the client was told."),
        }
    }
}
