//! The exporters of watershed: each makes one attempt to deliver a batch, and tells the engine what came of it.
//!
//! This crate refuses to know queues, retries and timeouts: the engine's delivery does all of that around an exporter.
//! Each component is one file; read `stdout.rs` first, it is a whole exporter without a network. What several of them
//! need: `flat_json.rs` (a record as a JSON line), `otlp_json.rs` (a batch as a JSON request), `terminal.rs` (text that
//! is safe to show), `client.rs` (TLS, compression, the answers of servers, OTLP over gRPC), `check.rs` (what an
//! examination of a server comes to). Beside the list, components that reach servers offer such an examination, and
//! `clickhouse`, for benchmarks, its encoder.

pub mod check;
mod client;
mod flat_json;
mod otlp_json;
mod terminal;
#[cfg(test)]
mod testing;

pub mod clickhouse;
mod debug;
mod file;
pub mod load_balancing;
pub mod loki;
mod nop;
pub mod otlp_grpc;
pub mod otlp_http;
mod stdout;

use watershed_pipeline::{ExporterFactory, exporter};

/// Every exporter, in the order of the manual.
pub static ALL: &[ExporterFactory] = &[
    exporter::<otlp_grpc::Config>(),
    exporter::<otlp_http::Config>(),
    exporter::<load_balancing::Config>(),
    exporter::<clickhouse::Config>(),
    exporter::<loki::Config>(),
    exporter::<stdout::Config>(),
    exporter::<file::Config>(),
    exporter::<debug::Config>(),
    exporter::<nop::Config>(),
];

#[cfg(test)]
mod tests {
    use watershed_pipeline::testing::contract;

    #[test]
    fn every_exporter_keeps_the_contract() {
        assert_eq!(contract::exporters(super::ALL), Ok(()));
    }
}
