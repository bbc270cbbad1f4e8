//! How a run ended: the numbers, and the error if a component failed.

use std::fmt;

use crate::batch::Signal;
use crate::component::StartError;
use crate::delivery::DropReason;
use crate::telemetry::Telemetry;

/// Why a graph could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A component could not start.
    #[error("`{component}` could not start")]
    Start {
        /// Its id.
        component: String,
        /// Why.
        #[source]
        source: StartError,
    },
    /// A running component could not go on; the rest was stopped in order.
    #[error("`{component}` failed: {reason}")]
    Failed {
        /// Its id.
        component: String,
        /// Why.
        reason: String,
        /// What became of the data.
        summary: Box<Summary>,
    },
}

impl EngineError {
    /// Makes an error of a start that did not work out.
    pub(super) fn check_start(
        component: &str,
        outcome: Result<Result<(), StartError>, String>,
    ) -> Result<(), Self> {
        let started = outcome.unwrap_or_else(|panic| Err(StartError::Other(panic)));
        started.map_err(|source| Self::Start { component: component.to_owned(), source })
    }
}

/// What became of all items since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// By signal: logs, traces, metrics.
    pub totals: [Totals; 3],
    /// What was lost for good, by exporter and reason.
    pub dropped: Vec<Dropped>,
}

/// The items of one signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Taken from the outside; the clients were told so.
    pub accepted: u64,
    /// Taken by far ends; an item that goes to two exporters counts twice.
    pub sent: u64,
}

/// Items that an exporter's delivery had to drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The exporter's id.
    pub exporter: String,
    /// What was dropped.
    pub signal: Signal,
    /// Why.
    pub reason: DropReason,
    /// How much.
    pub items: u64,
}

impl Summary {
    /// Reads the numbers from the counters that everybody sees.
    pub(super) fn read(telemetry: &Telemetry) -> Self {
        let samples = telemetry.samples();
        let of = |name: &str| {
            let matching = samples.iter().filter(|sample| sample.name == name);
            matching
                .map(|sample| (sample, u64::try_from(sample.value).unwrap_or_default()))
                .collect::<Vec<_>>()
        };
        let sum = |name: &str| of(name).iter().map(|(_, value)| value).sum();
        let totals = Signal::ALL.map(|signal| Totals {
            accepted: sum(&format!("otelcol_receiver_accepted_{}", signal.items())),
            sent: sum(&format!("otelcol_exporter_sent_{}", signal.items())),
        });
        let mut dropped = Vec::new();
        for signal in Signal::ALL {
            for (sample, items) in of(&format!("otelcol_exporter_dropped_{}", signal.items())) {
                let label = |key: &str| {
                    let found = sample.labels.iter().find(|(own, _)| own == key);
                    found.map(|(_, value)| value.clone()).unwrap_or_default()
                };
                let reason = DropReason::ALL.into_iter().find(|reason| reason.name() == label("reason"));
                if let Some(reason) = reason.filter(|_| items > 0) {
                    dropped.push(Dropped { exporter: label("exporter"), signal, reason, items });
                }
            }
        }
        Self { totals, dropped }
    }

    /// Items that the stop itself lost; a clean stop has none.
    #[must_use]
    pub fn lost_in_stop(&self) -> u64 {
        let lost = self.dropped.iter().filter(|dropped| dropped.reason == DropReason::Shutdown);
        lost.map(|dropped| dropped.items).sum()
    }

    pub(super) fn log(&self) {
        for Dropped { exporter, signal, reason, items } in &self.dropped {
            tracing::warn!(exporter, %signal, reason = reason.name(), items, "dropped items");
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [logs, traces, metrics] = self.totals;
        let accepted = logs.accepted + traces.accepted + metrics.accepted;
        let sent = logs.sent + traces.sent + metrics.sent;
        write!(f, "accepted {accepted} items, sent {sent}")?;
        for Dropped { exporter, signal, reason, items } in &self.dropped {
            write!(f, ", dropped {items} of {signal} at `{exporter}` ({})", reason.name())?;
        }
        Ok(())
    }
}
