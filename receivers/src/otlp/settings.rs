//! The settings of both protocols, with the names and defaults of the Collector's `configgrpc` and `confighttp`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, Endpoint, Period};
use watershed_pipeline::{AuthSettings, Signal};

use super::{grpc, http as over_http};
use crate::server::cors::{Cors, CorsSettings};
use crate::server::encodings::{Compression, Encodings};
use crate::server::settings::{
    Keepalive, Listening, NotAvailable, ServerParameters, Transport, header_map, limited,
};
use crate::server::tls::TlsSettings;
use crate::server::{CONNECTIONS_MAX, Options, STREAMS_MAX};

/// OTLP over gRPC.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GrpcSettings {
    /// The address to listen on. Default `localhost:4317`; in a container `0.0.0.0:4317`.
    endpoint: Endpoint,
    /// The kind of socket; only `tcp` is there.
    transport: Transport,
    /// Certificates. Default none: connections are not encrypted.
    tls: Option<TlsSettings>,
    /// The largest message in MiB, before and after decompression. Default 4; 0 means the default.
    max_recv_msg_size_mib: u32,
    /// Requests at a time on one connection. Default 1000; 0 means the default.
    max_concurrent_streams: u32,
    /// Connections at a time; further ones wait. Default 10000.
    max_connections: usize,
    /// Pings, and when connections end.
    keepalive: Keepalive,
    /// Whether request headers and the client's address travel with the data, for processors and exporters that
    /// need them. Headers with credentials are left out. Default false.
    pub(super) include_metadata: bool,
    /// Accepted for files of the Collector, and without effect.
    read_buffer_size: u64,
    /// Accepted for files of the Collector, and without effect.
    write_buffer_size: u64,
    /// Who may send: names an extension that checks the credentials of each request. Default none: everybody.
    pub(super) auth: Option<AuthSettings>,
    /// Not available: memory is admitted before a body is read without a middleware.
    middlewares: Option<NotAvailable>,
}

/// OTLP over HTTP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpSettings {
    /// The address to listen on. Default `localhost:4318`; in a container `0.0.0.0:4318`.
    endpoint: Endpoint,
    /// The kind of socket; only `tcp` is there.
    transport: Transport,
    /// Certificates. Default none: connections are not encrypted.
    tls: Option<TlsSettings>,
    /// The path of logs. Default `/v1/logs`.
    logs_url_path: String,
    /// The path of traces. Default `/v1/traces`.
    traces_url_path: String,
    /// The path of metrics. Default `/v1/metrics`.
    metrics_url_path: String,
    /// The largest body, before and after decompression. Default `20MiB`; 0 means the default.
    max_request_body_size: ByteSize,
    /// Content encodings that are accepted, of `gzip`, `zstd`, `zlib` and `deflate` (the same as zlib); an empty
    /// text is for bodies as they are, which are always accepted. Default all.
    compression_algorithms: Option<Vec<Compression>>,
    /// Which pages may send from a browser. Default none.
    cors: Option<CorsSettings>,
    /// Whether request headers and the client's address travel with the data, for processors and exporters that
    /// need them. Headers with credentials are left out. Default false.
    pub(super) include_metadata: bool,
    /// Headers of every answer. Default none.
    response_headers: BTreeMap<String, String>,
    /// How long a body may take to arrive; then the answer is 503. Default `0`: as long as it does not pause for a
    /// minute.
    read_timeout: Option<Period>,
    /// How long the headers of a request may take. Idle time before them counts as well, so it should be longer
    /// than the interval in which clients send. HTTP/1.1 only. Default `5m`; `0` is endless.
    read_header_timeout: Period,
    /// How long an answer may take, from the headers of the request on; then it is 503, and the data may still be
    /// delivered. Default `0`: for ever.
    write_timeout: Option<Period>,
    /// How long a connection may be without a request. Default `0`: for ever.
    idle_timeout: Option<Period>,
    /// Whether a connection serves more than one request. Default true.
    keep_alives_enabled: bool,
    /// Connections at a time; further ones wait. Default 10000.
    max_connections: usize,
    /// Who may send: names an extension that checks the credentials of each request. Default none: everybody.
    pub(super) auth: Option<AuthSettings>,
    /// Not available: memory is admitted before a body is read without a middleware.
    middlewares: Option<NotAvailable>,
}

const MESSAGE_MAX_MIB: u32 = 4;
const BODY_MAX: ByteSize = ByteSize::mebibytes(20);

impl Default for GrpcSettings {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::new("localhost", 4317),
            transport: Transport::Tcp,
            tls: None,
            max_recv_msg_size_mib: MESSAGE_MAX_MIB,
            max_concurrent_streams: STREAMS_MAX,
            max_connections: CONNECTIONS_MAX,
            keepalive: Keepalive::default(),
            include_metadata: false,
            read_buffer_size: 0,
            write_buffer_size: 0,
            auth: None,
            middlewares: None,
        }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::new("localhost", 4318),
            transport: Transport::Tcp,
            tls: None,
            logs_url_path: "/v1/logs".to_owned(),
            traces_url_path: "/v1/traces".to_owned(),
            metrics_url_path: "/v1/metrics".to_owned(),
            max_request_body_size: BODY_MAX,
            compression_algorithms: None,
            cors: None,
            include_metadata: false,
            response_headers: BTreeMap::new(),
            read_timeout: None,
            read_header_timeout: Period::seconds(300),
            write_timeout: None,
            idle_timeout: None,
            keep_alives_enabled: true,
            max_connections: CONNECTIONS_MAX,
            auth: None,
            middlewares: None,
        }
    }
}

impl GrpcSettings {
    /// How it listens.
    pub(super) fn listening(&self) -> Result<Listening, BuildError> {
        let parameters = &self.keepalive.server_parameters;
        let streams_max =
            if self.max_concurrent_streams == 0 { STREAMS_MAX } else { self.max_concurrent_streams };
        let options = Options {
            http1: false,
            connections_max: self.max_connections,
            streams_max,
            keep_alive: true,
            header_timeout: None,
            idle_timeout: limited(parameters.max_connection_idle),
            age_max: limited(parameters.max_connection_age),
            age_grace: limited(parameters.max_connection_age_grace),
            ping_interval: Some(parameters.ping_interval()),
            ping_timeout: parameters.ping_timeout(),
        };
        Listening::new("protocols.grpc.", &self.endpoint, options, self.tls.as_ref())
    }

    /// How it answers.
    pub(super) fn rules(&self) -> grpc::Rules {
        let mebibytes =
            if self.max_recv_msg_size_mib == 0 { MESSAGE_MAX_MIB } else { self.max_recv_msg_size_mib };
        grpc::Rules { limit: ByteSize::mebibytes(mebibytes.into()).as_usize() }
    }
}

impl HttpSettings {
    /// How it listens.
    pub(super) fn listening(&self) -> Result<Listening, BuildError> {
        let pings = ServerParameters::default();
        let options = Options {
            http1: true,
            connections_max: self.max_connections,
            streams_max: STREAMS_MAX,
            keep_alive: self.keep_alives_enabled,
            header_timeout: limited(Some(self.read_header_timeout)),
            idle_timeout: limited(self.idle_timeout),
            age_max: None,
            age_grace: None,
            ping_interval: Some(pings.ping_interval()),
            ping_timeout: pings.ping_timeout(),
        };
        Listening::new("protocols.http.", &self.endpoint, options, self.tls.as_ref())
    }

    /// How it answers.
    pub(super) fn rules(&self) -> Result<over_http::Rules, BuildError> {
        let at = |setting: &str| {
            let path = format!("protocols.http.{setting}");
            move |problem: String| BuildError::at(path, problem)
        };
        let body_max =
            if self.max_request_body_size.bytes() == 0 { BODY_MAX } else { self.max_request_body_size };
        Ok(over_http::Rules {
            paths: self.paths()?,
            limit: body_max.as_usize(),
            encodings: Encodings::new(self.compression_algorithms.as_deref()),
            cors: self.cors.as_ref().map(Cors::new).transpose().map_err(at("cors"))?,
            response_headers: header_map(&self.response_headers).map_err(at("response_headers"))?,
            read_timeout: limited(self.read_timeout),
            write_timeout: limited(self.write_timeout),
        })
    }

    /// The path of each signal, with the slash before it that may be left out.
    fn paths(&self) -> Result<[(String, Signal); 3], BuildError> {
        let rooted = |path: &str| format!("/{}", path.trim_start_matches('/'));
        let logs = rooted(&self.logs_url_path);
        let traces = rooted(&self.traces_url_path);
        let metrics = rooted(&self.metrics_url_path);
        let taken = |setting: &str, path: &str, other: &str| {
            let text = format!("`{path}` is already the path of {other}; choose another one");
            BuildError::at(format!("protocols.http.{setting}"), text)
        };
        if traces == logs {
            return Err(taken("traces_url_path", &traces, "logs"));
        }
        if metrics == logs || metrics == traces {
            let other = if metrics == logs { "logs" } else { "traces" };
            return Err(taken("metrics_url_path", &metrics, other));
        }
        Ok([(logs, Signal::Logs), (traces, Signal::Traces), (metrics, Signal::Metrics)])
    }
}
