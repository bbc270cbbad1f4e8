//! The receivers of watershed: what takes telemetry in from outside and hands it to an outlet.
//!
//! This crate refuses to know processors and exporters, what a pipeline looks like and when a process stops: the
//! engine of `watershed-pipeline` builds, binds, runs and stops what is listed in [`ALL`].
//!
//! Read in this order: `server.rs` (what every HTTP and gRPC receiver stands on), `parsers.rs` (lines of text into
//! records), then one file per receiver.
//! Beside the list, a receiver that listens offers a check of its ports.

mod file;
pub mod http;
pub mod otlp;
pub mod parsers;
mod server;
#[cfg(test)]
mod testing;

use watershed_pipeline::{ReceiverFactory, receiver};

/// Every receiver, in the order of the reference manual.
pub static ALL: &[ReceiverFactory] =
    &[receiver::<file::Config>(), receiver::<http::Config>(), receiver::<otlp::Config>()];

#[cfg(test)]
mod tests {
    #[test]
    fn every_receiver_keeps_the_contract() {
        assert_eq!(watershed_pipeline::testing::contract::receivers(super::ALL), Ok(()));
    }
}
