//! What both protocols do with a message once they have its bytes: decode, count its memory, hand it on.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderMap;
use watershed_pipeline::{Batch, Budget, Context, Outlet, Reservation, Signal};

use crate::server::failure::{Failure, Failures, Kind};
use crate::server::metadata::metadata;

/// The way from a message to the pipelines.
pub(crate) struct Intake {
    /// The memory that telemetry in flight may take.
    pub(crate) budget: Budget,
    /// Counts of failed requests.
    pub(crate) failures: Failures,
    receiver: String,
    outlet: Outlet,
    include_metadata: bool,
}

impl Intake {
    /// Makes the way in of one protocol. `include_metadata` lets headers and address travel with the batch.
    pub(crate) fn new(cx: &Context, outlet: Outlet, include_metadata: bool) -> Self {
        Self {
            budget: cx.budget().clone(),
            failures: Failures::new(cx),
            receiver: cx.id().to_string(),
            outlet,
            include_metadata,
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
        headers: &HeaderMap,
        client: SocketAddr,
    ) -> Result<(), Failure> {
        let mut batch =
            Batch::from_otlp(signal, message).map_err(|error| Failure::new(Kind::Invalid, error))?;
        if batch.is_empty() {
            return Ok(());
        }
        batch.fill_observed_time(now());
        reservation.resize(batch.memory_size())?;
        batch.set_reservation(reservation);
        if self.include_metadata {
            batch.set_metadata(Some(metadata(headers, client)));
        }
        Ok(self.outlet.send(batch).await?)
    }
}

/// Nanoseconds since the Unix epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
