//! Receives logs over HTTP from anything that can POST: a line of `curl`, a web page, the HTTP outputs of other agents.
//!
//! ```yaml
//! http:
//!   endpoint: 0.0.0.0:8088
//!   keys:
//!     - {name: shippers, key: "${env:INGEST_KEY:-change-me-change-me}"}
//!     - name: web
//!       hash: 4748f2ec3426c075dd2fcd3e3264e07f880c442dffe774ca3da20afb76e402ae
//!       scopes: [flat]
//!       origins: ["https://shop.example"]
//!       rate: {requests_per_second: 50}
//!   cors: {allowed_origins: ["https://shop.example"]}
//!   trusted_proxies: [10.0.0.0/8]
//! ```
//!
//! Signals: logs. To `/logs` go JSON (an object, several, or a list), NDJSON, lines of text, or any of these in the
//! field `payload` of a form. The content type decides, and for text, forms and a missing type the first character.
//! Other paths speak as the servers that agents know:
//!
//! | preset | path | for | answer |
//! | --- | --- | --- | --- |
//! | `flat` | `/logs` | log libraries, pages, `curl` | 200, counts |
//! | `elastic` | `/_bulk`, `/<index>/_bulk` | Filebeat, Logstash, Vector, Fluent Bit's `es` | 200, one item a document |
//! | `splunk` | `/services/collector`, `…/event`, `…/raw`, `…/health` | senders to Splunk's HEC | 200, Splunk's codes |
//! | `loki` | `/loki/api/v1/push` | Promtail, Alloy, libraries; JSON or snappy protobuf | 204 |
//! | `datadog` | `/api/v2/logs`, `/v1/input` | Datadog's agent and libraries | 202 |
//! | `fluent` | `/fluent` | Fluent Bit's output `http` with `format json` | 200, counts |
//!
//! Keys of JSON become time, severity, body, trace and so on by the names that loggers use (`parsers/keys.rs`); all others
//! become attributes. Records that lack them get the trace of the header `traceparent` (or 32 hexadecimal digits in
//! `X-Trace-Id`), `correlation.id` of `X-Correlation-ID`, `X-Request-ID` or `X-Trace-Id`, and `client.address`, the
//! right-most address of `X-Forwarded-For` that is no trusted proxy. An id that is not 1 to 128 of `A-Za-z0-9._:/+=-` is
//! replaced by its hash, and kept in `correlation.id.original`. The id is sent back in `X-Correlation-ID`.
//!
//! Who may send: everybody, unless there are `keys` or `auth`. A key is sent in `Authorization` (`Bearer`, `Splunk`,
//! `ApiKey`, or the password of `Basic`), `X-API-Key`, `DD-API-KEY`, or in the query as `key`, `token` or `dd-api-key`
//! for `navigator.sendBeacon`, which can set no header. A key lets send and nothing else, so it may stand in a page:
//! then give it `scopes`, `origins` and a `rate`. Make one with `openssl rand -hex 32` and its hash with
//! `printf %s KEY | sha256sum`; a hash as simple as that is safe only for keys that are long and random. Pages of origins
//! that `cors` does not allow are refused with 403.
//!
//! Order: kept. Loss: none; a client is answered only when every pipeline has taken responsibility. A request is taken
//! whole or not at all, unless `partial` is on; errors are problem details (RFC 9457) that name record, line and byte, or
//! what the preset's clients understand. In a list a mistake ends the reading, so only lines and single entries can be
//! left out. Memory: a body is read only after its size was admitted; when memory is short, the answer is 503 with
//! `Retry-After`.
//!
//! Counter: `refused_requests` with the label `reason`: those of `otlp`, and `origin`, `rate`, `too_many_records`,
//! `empty`.
//!
//! Unlike the Collector's `webhookevent`, whose bodies stay text, this receiver reads them; its options do not fit that
//! name. MessagePack and multipart forms are not read.
//!
//! Sources: RFC 9457; W3C Trace Context; WHATWG Fetch and Beacon; the presets' files name theirs.

mod client;
mod content;
mod correlation;
mod datadog;
mod decode;
mod elastic;
mod fault;
mod flat;
mod fluent;
mod items;
mod keys;
mod loki;
mod mapping;
mod preset;
mod rate;
mod records;
mod rules;
mod service;
mod splunk;
mod stamp;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, ComponentId, ConfigErrors, Endpoint, Period, Section};
use watershed_pipeline::{
    AuthSettings, Context, Extensions, Kind, Outlet, Receiver, ReceiverConfig, RunError, Shutdown, StartError,
};

use self::client::Network;
#[cfg(any(test, feature = "testing"))]
pub use self::decode::decode_body;
use self::keys::KeySettings;
use self::preset::Preset;
use self::rules::Rules;
use self::service::Ingest;
use crate::server::cors::CorsSettings;
use crate::server::encodings::Compression;
use crate::server::settings::{Listening, ServerParameters, limited};
use crate::server::tls::TlsSettings;
use crate::server::{CONNECTIONS_MAX, Options, STREAMS_MAX, Server};

/// Settings of the receiver.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The address to listen on. Default `localhost:8088`; in a container `0.0.0.0:8088`.
    endpoint: Endpoint,
    /// Certificates. Default none: connections are not encrypted.
    tls: Option<TlsSettings>,
    /// The path of flat JSON, NDJSON and text. Default `/logs`.
    path: String,
    /// The path that answers 200 while requests are let in, and 503 while memory is short. Default `/health`.
    health_path: String,
    /// The kinds of clients that may send. Default all.
    presets: Vec<Preset>,
    /// Keys that let clients send. Default none: everybody who reaches the port may send. At most 1000.
    keys: Vec<KeySettings>,
    /// Whether the good records of a request are taken when others are wrong; the answer then names these. Default
    /// false: all or none.
    partial: bool,
    /// An extension that knows who may send, instead of `keys`. Default none.
    auth: Option<AuthSettings>,
    /// Records of one request, good and wrong ones. Default 100000.
    max_records: usize,
    /// The field of a form that holds the logs. Default `payload`.
    form_field: String,
    /// Whether records get the client's address as `client.address`, unless they have one. Default true.
    client_address: bool,
    /// Addresses and networks of proxies whose `X-Forwarded-For` is believed. Default none.
    trusted_proxies: Vec<Network>,
    /// The largest body, before and after decompression. Default `20MiB`; 0 means the default.
    max_request_body_size: ByteSize,
    /// Content encodings that are accepted, of `gzip`, `zstd`, `zlib` and `deflate` (the same as zlib); an empty
    /// text is for bodies as they are, which are always accepted. Default all.
    compression_algorithms: Option<Vec<Compression>>,
    /// Which pages of other origins may send from a browser. Default none.
    cors: Option<CorsSettings>,
    /// Whether request headers and the client's address travel with the data, for processors and exporters that
    /// need them. Headers with credentials are left out. Default false.
    include_metadata: bool,
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
}

const RECORDS_MAX: usize = 100_000;
const BODY_MAX: ByteSize = ByteSize::mebibytes(20);

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::new("localhost", 8088),
            tls: None,
            path: "/logs".to_owned(),
            health_path: "/health".to_owned(),
            presets: Preset::ALL.into(),
            keys: Vec::new(),
            partial: false,
            auth: None,
            max_records: RECORDS_MAX,
            form_field: "payload".to_owned(),
            client_address: true,
            trusted_proxies: Vec::new(),
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
        }
    }
}

impl ReceiverConfig for Config {
    const TYPE: &'static str = "http";
    const SOURCE: &'static str = include_str!("http.rs");
    type Receiver = Http;

    fn build(&self, cx: &Context) -> Result<Http, BuildError> {
        let listening = Listening::new("", &self.endpoint, self.options(), self.tls.as_ref())?;
        Ok(Http { cx: cx.clone(), listening, rules: Rules::new(self, cx)?, server: None })
    }
}

impl Config {
    fn options(&self) -> Options {
        let pings = ServerParameters::default();
        Options {
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
        }
    }
}

/// Binds the port of a receiver, given its section, and lets go of it at once. Says where it would listen.
///
/// # Errors
/// The section has mistakes.
pub async fn check(
    section: &Section,
    extensions: &Arc<Extensions>,
) -> Result<Result<SocketAddr, StartError>, ConfigErrors> {
    let config: Config = section.read()?;
    let id: Result<ComponentId, String> = section.id().parse();
    let id = id.map_err(|error| section.error_at("", error))?;
    let built = config.build(&Context::detached(Kind::Receiver, id).with_extensions(Arc::clone(extensions)));
    let http = built.map_err(|error| section.build_error(error))?;
    Ok(http.listening.bind().await.map(|server| server.address()))
}

/// The running receiver.
pub(crate) struct Http {
    cx: Context,
    listening: Listening,
    rules: Rules,
    server: Option<Server>,
}

#[async_trait]
impl Receiver for Http {
    async fn bind(&mut self) -> Result<(), StartError> {
        self.server = Some(self.listening.bind().await?);
        Ok(())
    }

    fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        self.server.iter().map(|server| ("http", server.address())).collect()
    }

    async fn run(self: Box<Self>, outlet: Outlet, shutdown: Shutdown) -> Result<(), RunError> {
        let Self { cx, rules, server, .. } = *self;
        if let Some(server) = server {
            let ingest = Ingest::new(&cx, outlet.for_transport("http"), rules);
            server.run(Arc::new(ingest), shutdown).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
