//! What both protocols do with a message once they have its bytes: decode, count its memory, hand it on.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use watershed_pipeline::{Batch, Budget, Context, Metadata, Outlet, Reservation, Signal};

use crate::server::auth::Guard;
use crate::server::failure::{Failure, Failures, Kind};

/// The way from a message to the pipelines.
pub(crate) struct Intake {
    /// The memory that telemetry in flight may take.
    pub(crate) budget: Budget,
    /// Counts of failed requests.
    pub(crate) failures: Failures,
    /// Who may send.
    pub(crate) guard: Guard,
    receiver: String,
    outlet: Outlet,
}

impl Intake {
    /// Makes the way in of one protocol.
    pub(crate) fn new(cx: &Context, outlet: Outlet, guard: Guard) -> Self {
        Self {
            budget: cx.budget().clone(),
            failures: Failures::new(cx),
            guard,
            receiver: cx.id().to_string(),
            outlet,
        }
    }

    /// Fails if no pipeline takes the signal.
    pub(crate) fn check(&self, signal: Signal) -> Result<(), Failure> {
        if self.outlet.accepts(signal) { Ok(()) } else { Err(Failure::no_pipeline(&self.receiver, signal)) }
    }

    /// Decodes an export request and waits until every pipeline has taken responsibility for it.
    pub(crate) async fn deliver(
        &self,
        signal: Signal,
        message: Bytes,
        mut reservation: Reservation,
        metadata: Option<Arc<Metadata>>,
    ) -> Result<(), Failure> {
        let mut batch =
            Batch::from_otlp(signal, message).map_err(|error| Failure::new(Kind::Invalid, error))?;
        if batch.is_empty() {
            return Ok(());
        }
        batch.fill_observed_time(now());
        reservation.resize(batch.memory_size())?;
        batch.set_reservation(reservation);
        batch.set_metadata(metadata);
        Ok(self.outlet.send(batch).await?)
    }
}

/// Nanoseconds since the Unix epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
