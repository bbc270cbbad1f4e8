//! Receives OTLP over gRPC and over HTTP: what the SDKs of OpenTelemetry, its Collector and other watersheds send.
//!
//! ```yaml
//! otlp:
//!   protocols:
//!     grpc:
//!       endpoint: 0.0.0.0:4317
//!     http:
//!       endpoint: 0.0.0.0:4318
//!       cors: {allowed_origins: ["https://*.shop.example"]}
//! ```
//!
//! A protocol is on if its key is there; `grpc:` alone has all its defaults.
//!
//! Signals: all. Order: kept within a request. Loss: none; a client is told `OK` or 200 only when every pipeline has
//! taken responsibility, and otherwise whether to send again. Memory: a body is read only after its size was
//! admitted by the memory limit of the process; before that a connection buffers up to 4 MiB. Gzip, zstd and zlib are
//! decompressed within the same limits as plain bodies. When memory is short, or a pipeline asks to wait, the answer
//! is `UNAVAILABLE` with a `RetryInfo`, or 503 with `Retry-After`.
//!
//! Counter: `refused_requests` with the label `reason`, one of `memory`, `busy`, `slow`, `invalid`, `rejected`,
//! `too_large`, `encoding`, `content_type`, `method`, `path`, `no_pipeline`, `broken`.
//!
//! Unlike the Collector: idle HTTP/1.1 connections end after 5 minutes (`read_header_timeout`), not never; at most
//! 10,000 connections are open for each protocol and 1,000 requests on one HTTP/2 connection; snappy and LZ4 are not
//! accepted.
//!
//! Sources: OTLP specification 1.x, sections "OTLP/gRPC", "OTLP/HTTP", "Failures" and "JSON Protobuf Encoding";
//! gRPC over HTTP/2; RFC 9110 for HTTP.

mod answer;
mod failure;
mod frame;
mod grpc;
mod http;
mod intake;
mod settings;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{Context, Outlet, Receiver, ReceiverConfig, RunError, Shutdown, StartError};

use self::grpc::Grpc;
use self::http::Http;
use self::intake::{Intake, Sink};
use self::settings::{GrpcSettings, HttpSettings, Listening};
use crate::server::{Server, Service};

/// Settings of the receiver.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The protocols that are spoken. At least one is required.
    #[serde(default)]
    protocols: Protocols,
}

/// The protocols that are spoken; one is on if its key is there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Protocols {
    /// OTLP over gRPC.
    grpc: Option<GrpcSettings>,
    /// OTLP over HTTP, in protobuf and JSON.
    http: Option<HttpSettings>,
}

impl ReceiverConfig for Config {
    const TYPE: &'static str = "otlp";
    const SOURCE: &'static str = include_str!("otlp.rs");
    type Receiver = Otlp;

    fn build(&self, cx: &Context) -> Result<Otlp, BuildError> {
        let Protocols { grpc, http } = &self.protocols;
        if grpc.is_none() && http.is_none() {
            let text = "must specify at least one protocol: write `grpc:`, `http:` or both below it";
            return Err(BuildError::at("protocols", text));
        }
        let grpc = grpc.as_ref().map(|settings| {
            let (listening, rules) = (settings.listening()?, settings.rules());
            Ok(Protocol { listening, include_metadata: settings.include_metadata, rules, server: None })
        });
        let http = http.as_ref().map(|settings| {
            let (listening, rules) = (settings.listening()?, settings.rules()?);
            Ok(Protocol { listening, include_metadata: settings.include_metadata, rules, server: None })
        });
        Ok(Otlp { cx: cx.clone(), grpc: grpc.transpose()?, http: http.transpose()? })
    }
}

/// The running receiver.
pub(crate) struct Otlp {
    cx: Context,
    grpc: Option<Protocol<grpc::Rules>>,
    http: Option<Protocol<http::Rules>>,
}

/// One protocol: how it listens, how it answers, and the bound port once there is one.
struct Protocol<R> {
    listening: Listening,
    include_metadata: bool,
    rules: R,
    server: Option<Server>,
}

impl<R> Protocol<R> {
    async fn bind(&mut self) -> Result<(), StartError> {
        self.server = Some(self.listening.bind().await?);
        Ok(())
    }

    fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::address)
    }

    /// Serves until the stop. Without a bound port there is nothing to serve.
    async fn serve<S: Service>(
        self,
        cx: &Context,
        sink: Arc<dyn Sink>,
        service: impl FnOnce(Intake, R) -> S,
        shutdown: Shutdown,
    ) {
        if let Some(server) = self.server {
            let intake = Intake::new(cx, sink, self.include_metadata);
            server.run(Arc::new(service(intake, self.rules)), shutdown).await;
        }
    }
}

impl Otlp {
    async fn serve(self, sink: impl Fn(&'static str) -> Arc<dyn Sink>, shutdown: Shutdown) {
        let Self { cx, grpc, http } = self;
        let grpc = async {
            if let Some(protocol) = grpc {
                let service = |intake, rules| Grpc { intake, rules };
                protocol.serve(&cx, sink("grpc"), service, shutdown.clone()).await;
            }
        };
        let http = async {
            if let Some(protocol) = http {
                let service = |intake, rules| Http { intake, rules };
                protocol.serve(&cx, sink("http"), service, shutdown.clone()).await;
            }
        };
        tokio::join!(grpc, http);
    }
}

#[async_trait]
impl Receiver for Otlp {
    async fn bind(&mut self) -> Result<(), StartError> {
        if let Some(protocol) = &mut self.grpc {
            protocol.bind().await?;
        }
        if let Some(protocol) = &mut self.http {
            protocol.bind().await?;
        }
        Ok(())
    }

    fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let grpc = self.grpc.as_ref().and_then(Protocol::address).map(|address| ("grpc", address));
        let http = self.http.as_ref().and_then(Protocol::address).map(|address| ("http", address));
        grpc.into_iter().chain(http).collect()
    }

    async fn run(self: Box<Self>, outlet: Outlet, shutdown: Shutdown) -> Result<(), RunError> {
        self.serve(|transport| Arc::new(outlet.for_transport(transport)), shutdown).await;
        Ok(())
    }
}
