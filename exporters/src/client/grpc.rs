//! What exporters over OTLP/gRPC share: the settings of a connection, and the sender of one request.
//!
//! Read `grpc/frame.rs` for a message on the wire and `grpc/answer.rs` for what an answer means to the engine.

mod answer;
mod frame;

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use http_body_util::{BodyExt as _, Limited};
use reqwest::{Request, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, Period, Secret};
use watershed_pipeline::{AuthSettings, Batch, Context, ExportError, Signal};

use self::answer::Outcome;
use self::frame::Frame;
use super::{Client, Compression, CompressionParameters, Compressor, Credentials, Options, Tls, Version};

/// Settings of OTLP over gRPC. `E` is the type of the endpoint, which an exporter may know from elsewhere.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings<E> {
    /// The server: `host:port`, `http://host:port` or `https://host:port`. `load_balancing` has none here: its `resolver`
    /// knows the servers.
    pub(crate) endpoint: E,
    /// How long one server may take for a request. Default: no limit beside the exporter's own `timeout`.
    timeout: Option<Period>,
    /// Metadata that is sent along, such as `authorization`. Default none.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Who we are to the server: names an extension such as `bearertokenauth` or `basicauth`. Default none.
    auth: Option<AuthSettings>,
    /// How messages are made smaller: `gzip`, `zstd`, `deflate` or `none`. Default `gzip`.
    #[serde(default)]
    compression: Compression,
    /// How hard the compression tries.
    #[serde(default)]
    compression_params: CompressionParameters,
    /// Certificates and keys, and whether TLS is spoken at all.
    #[serde(default)]
    pub(crate) tls: Tls,
    /// Signs of life, which find a connection that died in silence.
    #[serde(default)]
    keepalive: KeepAlive,
    /// Accepted for files of the Collector; one connection is used whatever it says.
    #[serde(default, rename = "balancer_name")]
    _balancer_name: Option<String>,
    /// Accepted for files of the Collector; an attempt always waits for the connection until `timeout`.
    #[serde(default, rename = "wait_for_ready")]
    _wait_for_ready: bool,
    /// Accepted for files of the Collector; has no effect here.
    #[serde(default, rename = "read_buffer_size")]
    _read_buffer_size: Option<ByteSize>,
    /// Accepted for files of the Collector; has no effect here.
    #[serde(default, rename = "write_buffer_size")]
    _write_buffer_size: Option<ByteSize>,
}

/// Signs of life of a connection.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct KeepAlive {
    /// After which silence the server is asked for one. Default `10s`; 0 means never.
    time: Period,
    /// How long it may take. Default `10s`.
    timeout: Period,
    /// Whether a connection without requests is asked too. Default `false`; servers may take offence.
    permit_without_stream: bool,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { time: Period::seconds(10), timeout: Period::seconds(10), permit_without_stream: false }
    }
}

impl<E> Settings<E> {
    /// Makes the sender; `is_secure` says whether any server is spoken to with TLS.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub(crate) fn sender(&self, is_secure: bool, cx: &Context) -> Result<Sender, BuildError> {
        let keepalive = self.keepalive;
        let options = Options {
            tls: self.tls.clone(),
            is_secure,
            version: Version::Two,
            proxy: None,
            idle_connections_max: usize::MAX,
            idle_timeout: None,
            ping: (!keepalive.time.is_zero())
                .then(|| (keepalive.time.duration(), keepalive.timeout.duration())),
            pings_idle: keepalive.permit_without_stream,
        };
        let client = Client::new(options, Credentials::new(self.auth.as_ref(), cx)?)?;
        let headers = super::headers(&self.headers)?;
        let compressor = Compressor::new(self.compression, self.compression_params)?;
        let timeout = self.timeout.map(Period::duration).filter(|timeout| !timeout.is_zero());
        Ok(Sender { client, headers, compressor, timeout })
    }
}

/// Sends batches as OTLP over gRPC, each to the server that the caller names. One connection for each server carries
/// all requests.
pub(crate) struct Sender {
    client: Client,
    headers: HeaderMap,
    compressor: Compressor,
    timeout: Option<Duration>,
}

impl Sender {
    /// Makes one attempt. `server` has a scheme, a host and perhaps a port.
    ///
    /// # Errors
    /// Everything but full success.
    pub(crate) async fn send(&self, server: &Url, batch: &Batch) -> Result<(), ExportError> {
        let attempt = self.attempt(server, batch);
        let Some(limit) = self.timeout else { return attempt.await };
        tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
            let reason = format!("no answer from the server within {} ms", limit.as_millis());
            Err(ExportError::Retry { reason, after: None })
        })
    }

    /// Reads certificates again if it is time to.
    pub(crate) fn refresh(&self) {
        self.client.refresh();
    }

    async fn attempt(&self, server: &Url, batch: &Batch) -> Result<(), ExportError> {
        let request = self.request(server, batch)?;
        let response: http::Response<reqwest::Body> = self.client.send(request).await?.into();
        let (head, body) = response.into_parts();
        // An error that comes before any message stands in the headers, and then there is nothing more to read.
        if head.headers.contains_key(answer::GRPC_STATUS) || !head.status.is_success() {
            return Outcome { code: head.status, fields: &head.headers }.result(batch, &[]);
        }
        let collected = Limited::new(body, super::BODY_SIZE_MAX).collect().await.map_err(|error| {
            let reason = format!("the server's answer broke off: {}", super::chain(&*error));
            ExportError::Retry { reason, after: None }
        })?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Outcome { code: head.status, fields: &trailers }.result(batch, &collected.to_bytes())
    }

    fn request(&self, server: &Url, batch: &Batch) -> Result<Request, ExportError> {
        let mut url = server.clone();
        url.set_path(match batch.signal() {
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        });
        let mut request = Request::new(Method::POST, url);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if let Some(encoding) = self.compressor.encoding() {
            headers.insert(HeaderName::from_static("grpc-encoding"), HeaderValue::from_static(encoding));
        }
        headers.extend(self.headers.clone());
        let frame = Frame::new(&self.compressor, batch.to_otlp())
            .map_err(|reason| ExportError::Reject { count: batch.len(), reason })?;
        *request.body_mut() = Some(reqwest::Body::wrap(frame));
        Ok(request)
    }
}
