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
//! Log records without any time get the time of their arrival as observed time.
//!
//! Counter: `refused_requests` with the label `reason`, one of `memory`, `busy`, `slow`, `invalid`, `rejected`,
//! `too_large`, `encoding`, `content_type`, `method`, `path`, `no_pipeline`, `broken`, `credentials_missing`,
//! `credentials_invalid`, `credentials_busy`, `forbidden`.
//!
//! Unlike the Collector: idle HTTP/1.1 connections end after 5 minutes (`read_header_timeout`), not never; at most
//! 10,000 connections are open for each protocol and 1,000 requests on one HTTP/2 connection; snappy and LZ4 are not
//! accepted.
//!
//! Sources: OTLP specification 1.x, sections "OTLP/gRPC", "OTLP/HTTP", "Failures" and "JSON Protobuf Encoding";
//! gRPC over HTTP/2; RFC 9110 for HTTP.

mod answer;
#[cfg(test)]
mod auth_tests;
mod frame;
mod grpc;
mod http;
mod intake;
mod settings;
#[cfg(test)]
mod testing;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ComponentId, ConfigErrors, Section};
use watershed_pipeline::{
    Context, Extensions, Kind, Outlet, Receiver, ReceiverConfig, RunError, Shutdown, StartError,
};

use self::grpc::Grpc;
use self::http::Http;
use self::intake::Intake;
use self::settings::{GrpcSettings, HttpSettings};
use crate::server::auth::Guard;
use crate::server::settings::Listening;
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
            let guard =
                Guard::new(settings.auth.as_ref(), settings.include_metadata, cx, "protocols.grpc.auth")?;
            Ok(Protocol { listening, guard, rules, server: None })
        });
        let http = http.as_ref().map(|settings| {
            let (listening, rules) = (settings.listening()?, settings.rules()?);
            let guard =
                Guard::new(settings.auth.as_ref(), settings.include_metadata, cx, "protocols.http.auth")?;
            Ok(Protocol { listening, guard, rules, server: None })
        });
        Ok(Otlp { cx: cx.clone(), grpc: grpc.transpose()?, http: http.transpose()? })
    }
}

/// Binds each port of a receiver, given its section and the extensions that it may name, and lets go of it at once.
/// Says where it would listen.
///
/// # Errors
/// The section has mistakes.
pub async fn check(
    section: &Section,
    extensions: &Arc<Extensions>,
) -> Result<Vec<Result<SocketAddr, StartError>>, ConfigErrors> {
    let config: Config = section.read()?;
    let id: Result<ComponentId, String> = section.id().parse();
    let id = id.map_err(|error| section.error_at("", error))?;
    let cx = Context::detached(Kind::Receiver, id).with_extensions(Arc::clone(extensions));
    let built = config.build(&cx);
    let otlp = built.map_err(|error| section.build_error(error))?;
    let grpc = otlp.grpc.as_ref().map(|protocol| &protocol.listening);
    let http = otlp.http.as_ref().map(|protocol| &protocol.listening);
    let mut outcomes = Vec::new();
    for listening in grpc.into_iter().chain(http) {
        outcomes.push(listening.bind().await.map(|server| server.address()));
    }
    Ok(outcomes)
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
    guard: Guard,
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
        outlet: Outlet,
        service: impl FnOnce(Intake, R) -> S,
        shutdown: Shutdown,
    ) {
        if let Some(server) = self.server {
            let intake = Intake::new(cx, outlet, self.guard);
            server.run(Arc::new(service(intake, self.rules)), shutdown).await;
        }
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
        let Self { cx, grpc, http } = *self;
        let grpc = async {
            if let Some(protocol) = grpc {
                let service = |intake, rules| Grpc { intake, rules };
                protocol.serve(&cx, outlet.for_transport("grpc"), service, shutdown.clone()).await;
            }
        };
        let http = async {
            if let Some(protocol) = http {
                let service = |intake, rules| Http { intake, rules };
                protocol.serve(&cx, outlet.for_transport("http"), service, shutdown.clone()).await;
            }
        };
        tokio::join!(grpc, http);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::http::{HeaderMap, StatusCode, Version};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::testing::{Bench, Pieces, grpc_request, http_request, logs, send, send_over};
    use super::*;

    #[track_caller]
    fn refused(yaml: &str, expected: &str) {
        let section = Section::from_text("otlp", yaml).unwrap();
        let error = match section.read::<Config>() {
            Err(errors) => errors.to_string(),
            Ok(config) => {
                let id: ComponentId = "otlp".parse().unwrap();
                match config.build(&Context::detached(Kind::Receiver, id)) {
                    Err(error) => section.build_error(error).to_string(),
                    Ok(_) => "nothing".to_owned(),
                }
            }
        };
        assert_eq!(error, expected, "{yaml}");
    }

    #[test]
    fn wrong_settings_are_refused_with_place_and_advice() {
        let none = "must specify at least one protocol: write `grpc:`, `http:` or both below it";
        refused("", &format!("otlp:1:1: otlp.protocols: {none}"));
        refused("protocols:", &format!("otlp:1:10: otlp.protocols: {none}"));
        refused(
            "protocols: {grpc: {auth: {authenticator: basicauth}}}",
            "otlp:1:42: otlp.protocols.grpc.auth.authenticator: the extension `basicauth` is not configured; add \
             one under `extensions`",
        );
        refused(
            "protocols: {grpc: {middlewares: [{id: memory_limiter}]}}",
            "otlp:1:33: otlp.protocols.grpc.middlewares: is not available; remove it: memory is admitted before a \
             body is read without it",
        );
        refused(
            "protocols: {http: {metrics_url_path: v1/logs}}",
            "otlp:1:38: otlp.protocols.http.metrics_url_path: `/v1/logs` is already the path of logs; choose \
             another one",
        );
        refused(
            "protocols: {http: {tls: {key_file: k.pem}}}",
            "otlp:1:25: otlp.protocols.http.tls.cert_file: is required for TLS; name the certificate's file",
        );
        refused(
            "protocols: {grpc: {max_connections: 0}}",
            "otlp:1:37: otlp.protocols.grpc.max_connections: must be 1 or more; without connections nothing can \
             be received",
        );
        refused(
            "protocols: {http: {response_headers: {'a b': c}}}",
            "otlp:1:38: otlp.protocols.http.response_headers: `a b` is not the name of a header",
        );
    }

    #[test]
    fn settings_of_the_collector_are_read() {
        let yaml =
            "protocols:\n  grpc:\n  http:\n    compression_algorithms: ['', gzip]\n    middlewares: []\n";
        let config: Config = Section::from_text("otlp", yaml).unwrap().read().unwrap();
        assert!(config.protocols.grpc.is_some() && config.protocols.http.is_some());
        refused(
            "protocols:\n  grpc:\n    endpoint: localhost:4317\n    transport: tcp\n    read_buffer_size: 524288\n    \
             keepalive: {server_parameters: {max_connection_age: 1h, time: 10s}, enforcement_policy: {min_time: 5s}}",
            "nothing",
        );
    }

    #[tokio::test]
    async fn a_port_that_is_taken_stops_the_start() {
        let first = Bench::start("protocols: {grpc: {endpoint: 'localhost:0'}}").await;
        let yaml = format!("protocols: {{http: {{endpoint: '{}'}}}}", first.grpc());
        let config: Config = Section::from_text("otlp", &yaml).unwrap().read().unwrap();
        let id: ComponentId = "otlp".parse().unwrap();
        let mut second = config.build(&Context::detached(Kind::Receiver, id)).unwrap();
        let error = second.bind().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {}; is another process using the port?", first.grpc())
        );
    }

    #[tokio::test]
    async fn a_name_is_bound_by_its_ipv4_address() {
        let bench = Bench::start("protocols: {grpc: {endpoint: 'localhost:0'}}").await;
        assert!(bench.grpc().is_ipv4());
    }

    #[tokio::test]
    async fn a_stop_waits_for_the_request_in_flight_and_closes_the_idle_connection() {
        let bench =
            Bench::start("protocols: {grpc: {endpoint: 'localhost:0'}, http: {endpoint: 'localhost:0'}}")
                .await;
        let mut idle = TcpStream::connect(bench.http()).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(idle.read(&mut [0; 1000]).await.unwrap() > 0);
        bench.probe.hold();
        let address = bench.grpc();
        let request = tokio::spawn(async move { send(address, grpc_request(&logs(3), Pieces::from)).await });
        bench.probe.received(1).await;
        bench.stop();
        assert_eq!(idle.read(&mut [0; 1000]).await.unwrap(), 0);
        bench.probe.take();
        assert_eq!(request.await.unwrap().trailers["grpc-status"], "0");
        assert_eq!(bench.ended().await, 0);
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_a_free_place() {
        let bench = Bench::start("protocols: {http: {endpoint: 'localhost:0', max_connections: 1}}").await;
        let first = TcpStream::connect(bench.http()).await.unwrap();
        let address = bench.http();
        let second = tokio::spawn(async move { send(address, http_request(&logs(1))).await });
        // The second can only be served once the first is gone, so this order cannot hang.
        drop(first);
        assert_eq!(second.await.unwrap().status, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_comes_is_closed() {
        let bench =
            Bench::start("protocols: {http: {endpoint: 'localhost:0', read_header_timeout: 1ms}}").await;
        let mut silent = TcpStream::connect(bench.http()).await.unwrap();
        assert_eq!(silent.read(&mut [0; 1000]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn an_old_connection_is_closed_gracefully() {
        let yaml = "protocols: {grpc: {endpoint: 'localhost:0', keepalive: {server_parameters: \
                    {max_connection_age: 1ms, max_connection_age_grace: 1s}}}}";
        let bench = Bench::start(yaml).await;
        let stream = TcpStream::connect(bench.grpc()).await.unwrap();
        let (_sender, connection) = testing::http2(stream).await;
        tokio::time::timeout(Duration::from_secs(10), connection).await.unwrap().unwrap();
    }

    fn certificate(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    async fn over_tls(address: SocketAddr, authority: &str) -> Result<(Version, HeaderMap), String> {
        let stream = testing::tls(address, authority).await?;
        let answer = send_over(stream, grpc_request(&logs(2), Pieces::from)).await;
        Ok((answer.version, answer.trailers))
    }

    #[tokio::test]
    async fn requests_over_tls_are_served_and_a_new_certificate_is_used_after_the_interval() {
        let folder = tempfile::tempdir().unwrap();
        let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let write = |(cert, key): &(String, String)| {
            std::fs::write(&cert_file, cert).unwrap();
            std::fs::write(&key_file, key).unwrap();
        };
        let (first, second) = (certificate("localhost"), certificate("localhost"));
        write(&first);
        let yaml = format!(
            "protocols: {{grpc: {{endpoint: 'localhost:0', tls: {{cert_file: {}, key_file: {}, reload_interval: 1ns}}}}}}",
            cert_file.display(),
            key_file.display()
        );
        let bench = Bench::start(&yaml).await;
        let (version, trailers) = over_tls(bench.grpc(), &first.0).await.unwrap();
        assert_eq!((version, &trailers["grpc-status"]), (Version::HTTP_2, &"0".parse().unwrap()));
        std::fs::write(&cert_file, "no certificate").unwrap();
        assert!(over_tls(bench.grpc(), &first.0).await.is_ok(), "the last good one stays in use");
        write(&second);
        assert!(over_tls(bench.grpc(), &first.0).await.is_err());
        assert!(over_tls(bench.grpc(), &second.0).await.is_ok());
    }

    #[tokio::test]
    async fn a_missing_certificate_stops_the_start() {
        let yaml = "protocols: {grpc: {endpoint: 'localhost:0', tls: {cert_file: /no/cert.pem, key_file: /no/key.pem}}}";
        let config: Config = Section::from_text("otlp", yaml).unwrap().read().unwrap();
        let id: ComponentId = "otlp".parse().unwrap();
        let mut receiver = config.build(&Context::detached(Kind::Receiver, id)).unwrap();
        let error = receiver.bind().await.unwrap_err().to_string();
        assert!(error.starts_with("cannot read /no/cert.pem: "), "{error}");
    }
}
