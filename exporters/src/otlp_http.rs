//! Sends telemetry to any server that speaks OTLP over HTTP.
//!
//! ```yaml
//! otlp_http:
//!   endpoint: https://collector.example.com:4318
//!   headers:
//!     authorization: Bearer ${env:TOKEN}
//! ```
//!
//! Signals: all, to `/v1/logs`, `/v1/traces` and `/v1/metrics` behind the endpoint. Order: as the queue has it. Memory: one
//! request for each export that runs. Without compression, a request that nobody changed on its way is sent as it was
//! received, without a copy.
//!
//! The engine's settings `timeout` (here 30s), `sending_queue` and `retry_on_failure` belong to this exporter as to every
//! other. Answers are read as the OTLP specification says, section "OTLP/HTTP": 429, 502, 503 and 504 are tried again,
//! not before the server's `Retry-After`; 413 halves the batch; what a server refuses otherwise, in whole or in part, is
//! never sent again. A redirect is refused too, and not followed: name the final address. The proxy of the environment
//! (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`) is used unless `proxy_url` names one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Request, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, ConfigErrors, Period, Secret, Section, ServerUrl};
use watershed_pipeline::{
    AuthSettings, Batch, Context, ExportError, Exporter, ExporterConfig, Extensions, Reach, Signal,
};

use crate::check::{self, Report};
use crate::client::{
    self, Answer, Client, Compression, CompressionParameters, Compressor, Credentials, Options, Tls, Version,
};
use crate::otlp_json;

/// Settings of the exporter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The server; `/v1/logs`, `/v1/traces` or `/v1/metrics` is added. Required, unless each signal has its own.
    endpoint: Option<ServerUrl>,
    /// The whole address for spans, taken as it is.
    traces_endpoint: Option<ServerUrl>,
    /// The whole address for data points, taken as it is.
    metrics_endpoint: Option<ServerUrl>,
    /// The whole address for log records, taken as it is.
    logs_endpoint: Option<ServerUrl>,
    /// Headers that are sent along, such as `authorization`. Default none.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Who we are to the server: names an extension such as `bearertokenauth` or `basicauth`. Default none.
    auth: Option<AuthSettings>,
    /// How bodies are made smaller: `gzip`, `zstd`, `deflate` or `none`. Default `gzip`.
    #[serde(default)]
    compression: Compression,
    /// How hard the compression tries.
    #[serde(default)]
    compression_params: CompressionParameters,
    /// How messages are written: `proto` or `json`. Default `proto`, which is smaller and faster.
    #[serde(default)]
    encoding: Encoding,
    /// Certificates and keys.
    #[serde(default)]
    tls: Tls,
    /// A proxy instead of those that the environment names.
    proxy_url: Option<ServerUrl>,
    /// Connections without work that are kept. Default 100; 0 means no limit.
    #[serde(default = "max_idle_conns")]
    max_idle_conns: usize,
    /// The same for one host. Default 0, which means that only `max_idle_conns` counts.
    #[serde(default)]
    max_idle_conns_per_host: usize,
    /// How long a connection without work is kept. Default `90s`; 0 means for ever.
    #[serde(default = "idle_conn_timeout")]
    idle_conn_timeout: Period,
    /// Whether each request has a connection of its own. Default `false`; costs a handshake for each request.
    #[serde(default)]
    disable_keep_alives: bool,
    /// Whether HTTP/2 is offered where TLS lets both sides agree on it. Default `true`.
    #[serde(default = "force_attempt_http2")]
    force_attempt_http2: bool,
    /// After which silence an HTTP/2 connection is asked for a sign of life. Default 0: never.
    #[serde(default)]
    http2_read_idle_timeout: Option<Period>,
    /// How long the sign of life may take. Default `15s`.
    #[serde(default)]
    http2_ping_timeout: Option<Period>,
    /// Accepted for files of the Collector; has no effect here.
    #[serde(default, rename = "read_buffer_size")]
    _read_buffer_size: Option<ByteSize>,
    /// Accepted for files of the Collector; has no effect here.
    #[serde(default, rename = "write_buffer_size")]
    _write_buffer_size: Option<ByteSize>,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    /// Protobuf.
    #[default]
    Proto,
    /// OTLP/JSON.
    Json,
}

fn max_idle_conns() -> usize {
    100
}

fn idle_conn_timeout() -> Period {
    Period::seconds(90)
}

fn force_attempt_http2() -> bool {
    true
}

/// Sends an empty request for each of these signals, given the section of an exporter and the extensions that it may
/// name.
///
/// # Errors
/// The section has mistakes.
pub async fn check(
    section: &Section,
    signals: &[Signal],
    extensions: &Arc<Extensions>,
) -> Result<Report, ConfigErrors> {
    let exporter = check::build::<Config>(section, extensions)?;
    let server = |(signal, url): (Signal, &Option<Url>)| {
        let url = url.as_ref().map_or_else(|| "no address".to_owned(), Url::to_string);
        signals.contains(&signal).then_some((url, signal))
    };
    let servers: Vec<_> = Signal::ALL.into_iter().zip(&exporter.addresses).filter_map(server).collect();
    Ok(check::send_nothing(async |batch| exporter.export(batch).await, servers).await)
}

impl ExporterConfig for Config {
    const TYPE: &'static str = "otlp_http";
    const ALIASES: &'static [&'static str] = &["otlphttp"];
    const SOURCE: &'static str = include_str!("otlp_http.rs");
    const REACH: Reach = Reach::Network { timeout: Duration::from_secs(30) };
    type Exporter = OtlpHttp;

    fn build(&self, cx: &Context) -> Result<OtlpHttp, BuildError> {
        let addresses = self.addresses()?;
        let is_secure = addresses.iter().flatten().any(|url| url.scheme() == "https");
        Ok(OtlpHttp {
            client: Client::new(self.options(is_secure), Credentials::new(self.auth.as_ref(), cx)?)?,
            addresses,
            headers: client::headers(&self.headers)?,
            compressor: Compressor::new(self.compression, self.compression_params)?,
            encoding: self.encoding,
        })
    }
}

impl Config {
    fn options(&self, is_secure: bool) -> Options {
        let idle_connections_max =
            match (self.disable_keep_alives, self.max_idle_conns_per_host, self.max_idle_conns) {
                (true, _, _) => 0,
                (false, 0, 0) => usize::MAX,
                (false, 0, most) | (false, most, 0) => most,
                (false, of_host, of_all) => of_host.min(of_all),
            };
        let ping_timeout = self.http2_ping_timeout.map_or(Duration::from_secs(15), Period::duration);
        let silence = self.http2_read_idle_timeout.map(Period::duration).filter(|time| !time.is_zero());
        Options {
            tls: self.tls.clone(),
            is_secure,
            version: if self.force_attempt_http2 { Version::Agreed } else { Version::One },
            proxy: self.proxy_url.clone(),
            idle_connections_max,
            idle_timeout: Some(self.idle_conn_timeout.duration()).filter(|time| !time.is_zero()),
            ping: silence.map(|silence| (silence, ping_timeout)),
            pings_idle: true,
        }
    }

    /// The address for each signal, in the order of [`Signal::ALL`].
    fn addresses(&self) -> Result<[Option<Url>; 3], BuildError> {
        if let Some(endpoint) = &self.endpoint {
            let path = path_of(endpoint);
            if let Some(signal) = Signal::ALL.into_iter().find(|signal| path.ends_with(&suffix(*signal))) {
                let message = format!(
                    "ends in `{}`, which is added by itself; remove it, or set {signal}_endpoint",
                    suffix(signal)
                );
                return Err(BuildError::at("endpoint", message));
            }
        }
        let mut addresses = [None, None, None];
        for (slot, signal) in addresses.iter_mut().zip(Signal::ALL) {
            *slot = self.address(signal)?;
        }
        if addresses.iter().all(Option::is_none) {
            return Err(BuildError::at("endpoint", "at least one endpoint must be specified"));
        }
        Ok(addresses)
    }

    fn address(&self, signal: Signal) -> Result<Option<Url>, BuildError> {
        let own = match signal {
            Signal::Logs => &self.logs_endpoint,
            Signal::Traces => &self.traces_endpoint,
            Signal::Metrics => &self.metrics_endpoint,
        };
        let (key, text) = match (own, &self.endpoint) {
            (Some(own), _) => (format!("{signal}_endpoint"), own.with_scheme(self.tls.is_on())),
            (None, Some(endpoint)) => {
                let text = endpoint.with_scheme(self.tls.is_on());
                let (address, query) = text.split_at(text.find('?').unwrap_or(text.len()));
                ("endpoint".to_owned(), format!("{}{}{query}", address.trim_end_matches('/'), suffix(signal)))
            }
            (None, None) => return Ok(None),
        };
        let url =
            Url::parse(&text).map_err(|error| BuildError::at(key, format!("is no address: {error}")))?;
        Ok(Some(url))
    }
}

/// The path of an address, without query and final `/`.
fn path_of(url: &ServerUrl) -> &str {
    url.path().split('?').next().unwrap_or_default().trim_end_matches('/')
}

fn suffix(signal: Signal) -> String {
    format!("/v1/{signal}")
}

/// Sends batches as OTLP over HTTP.
pub(crate) struct OtlpHttp {
    client: Client,
    addresses: [Option<Url>; 3],
    headers: HeaderMap,
    compressor: Compressor,
    encoding: Encoding,
}

#[async_trait]
impl Exporter for OtlpHttp {
    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        let mut response = self.client.send(self.request(batch)?).await?;
        let body = client::body_start(&mut response).await;
        if !response.status().is_success() {
            // The code alone says enough where the words are lost.
            let body = body.unwrap_or_default();
            let answer = Answer { code: response.status(), headers: response.headers(), body: &body };
            return Err(answer.error(batch, SystemTime::now()));
        }
        self.accepted(batch, response.headers(), &body?)
    }

    async fn flush(&self) -> Result<(), ExportError> {
        self.client.refresh();
        Ok(())
    }
}

impl OtlpHttp {
    fn request(&self, batch: &Batch) -> Result<Request, ExportError> {
        let reject = |reason| ExportError::Reject { count: batch.len(), reason };
        let position = Signal::ALL.iter().position(|signal| *signal == batch.signal());
        let Some(url) = position.and_then(|position| self.addresses.get(position)?.clone()) else {
            let signal = batch.signal();
            return Err(reject(format!(
                "there is no address for {signal}; set endpoint or {signal}_endpoint"
            )));
        };
        let body = self.compressor.compress(self.message(batch)?).map_err(reject)?;
        let mut request = Request::new(Method::POST, url);
        let headers = request.headers_mut();
        let content_type = match self.encoding {
            Encoding::Proto => "application/x-protobuf",
            Encoding::Json => "application/json",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = self.compressor.encoding() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        headers.extend(self.headers.clone());
        *request.body_mut() = Some(body.into());
        Ok(request)
    }

    fn message(&self, batch: &Batch) -> Result<Bytes, ExportError> {
        match self.encoding {
            Encoding::Proto => Ok(batch.to_otlp()),
            Encoding::Json => {
                let mut text = Vec::new();
                otlp_json::push_batch(&mut text, batch)?;
                Ok(text.into())
            }
        }
    }

    /// Looks for items that the server refused within a request that it took.
    fn accepted(&self, batch: &Batch, headers: &HeaderMap, body: &[u8]) -> Result<(), ExportError> {
        if body.is_empty() {
            return Ok(());
        }
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_json = content_type.map_or(self.encoding == Encoding::Json, |value| value.contains("json"));
        client::partial_success(batch, client::response_message(batch.signal(), body, is_json).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Reply};
    use opentelemetry_proto::tonic::collector::logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
    };
    use prost::Message as _;
    use watershed_pipeline::{ClientAuthenticator, Extension};

    fn build(yaml: &str) -> Result<OtlpHttp, String> {
        let section = Section::from_text("otlp_http", yaml).unwrap();
        let config: Config = section.read().map_err(|errors| errors.to_string())?;
        ExporterConfig::build(&config, &testing::context("otlp_http")).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check_addresses(yaml: &str, expected: [Option<&str>; 3]) {
        let exporter = build(yaml).unwrap();
        assert_eq!(exporter.addresses.each_ref().map(|url| url.as_ref().map(Url::as_str)), expected);
    }

    #[test]
    fn addresses_are_made_of_endpoints() {
        check_addresses(
            "endpoint: http://h:4318/",
            [
                Some("http://h:4318/v1/logs"),
                Some("http://h:4318/v1/traces"),
                Some("http://h:4318/v1/metrics"),
            ],
        );
        check_addresses(
            "{endpoint: 'http://h/otlp?tenant=a', logs_endpoint: 'http://l/push'}",
            [
                Some("http://l/push"),
                Some("http://h/otlp/v1/traces?tenant=a"),
                Some("http://h/otlp/v1/metrics?tenant=a"),
            ],
        );
        check_addresses("{traces_endpoint: 'h:1', tls: {insecure: true}}", [None, Some("http://h:1/"), None]);
    }

    #[test]
    fn endpoints_that_cannot_work_are_refused() {
        assert_eq!(build("").err().unwrap(), "endpoint: at least one endpoint must be specified");
        assert_eq!(
            build("endpoint: http://loki:3100/otlp/v1/logs").err().unwrap(),
            "endpoint: ends in `/v1/logs`, which is added by itself; remove it, or set logs_endpoint"
        );
    }

    #[test]
    fn an_untouched_batch_is_sent_without_a_copy() {
        let message: Bytes = testing::logs(2).to_otlp().to_vec().into();
        let batch = Batch::from_otlp(Signal::Logs, message.clone()).unwrap();
        let exporter = build("{endpoint: 'http://h', compression: none}").unwrap();
        let request = exporter.request(&batch).unwrap();
        assert_eq!(request.body().unwrap().as_bytes().unwrap().as_ptr(), message.as_ptr());
    }

    #[tokio::test]
    async fn every_encoding_and_compression_arrives() {
        for (encoding, compression) in
            [("proto", "gzip"), ("proto", "zstd"), ("proto", "deflate"), ("proto", "none"), ("json", "gzip")]
        {
            let mut server = testing::server(Reply::ok(Bytes::new())).await;
            let yaml = format!(
                "{{endpoint: '{}', encoding: {encoding}, compression: {compression}, headers: {{x-key: secret}}}}",
                server.url()
            );
            build(&yaml).unwrap().export(&testing::logs(2)).await.unwrap();
            let received = server.received().await;
            assert_eq!((received.path.as_str(), received.header("x-key")), ("/v1/logs", "secret"));
            let body = testing::decompress(received.header("content-encoding"), &received.body);
            if encoding == "json" {
                assert_eq!(received.header("content-type"), "application/json");
                let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
                assert!(json["resourceLogs"][0].is_object(), "{json}");
            } else {
                let request = ExportLogsServiceRequest::decode(&*body).unwrap();
                assert_eq!(request.resource_logs[0].scope_logs[0].log_records.len(), 2, "{yaml}");
            }
        }
    }

    #[tokio::test]
    async fn what_a_server_refuses_in_part_is_counted_and_not_repeated() {
        let partial_success =
            Some(ExportLogsPartialSuccess { rejected_log_records: 1, error_message: "too old".into() });
        let body = ExportLogsServiceResponse { partial_success }.encode_to_vec();
        let server = testing::server(Reply::ok(body).with("content-type", "application/x-protobuf")).await;
        let exporter = build(&format!("endpoint: {}", server.url())).unwrap();
        let expected =
            ExportError::Reject { count: 1, reason: "the server refused 1 items: too old".to_owned() };
        assert_eq!(exporter.export(&testing::logs(2)).await, Err(expected));
    }

    #[tokio::test]
    async fn an_overloaded_server_is_asked_again_later() {
        let server = testing::server(Reply::code(503, "busy").with("retry-after", "3")).await;
        let exporter = build(&format!("endpoint: {}", server.url())).unwrap();
        let expected = ExportError::Retry {
            reason: "the server answered 503 Service Unavailable: busy".to_owned(),
            after: Some(Duration::from_secs(3)),
        };
        assert_eq!(exporter.export(&testing::logs(2)).await, Err(expected));
    }

    #[tokio::test]
    async fn the_extension_says_who_we_are() {
        struct Badge;
        impl ClientAuthenticator for Badge {
            fn header(&self) -> Result<(String, Secret), String> {
                Ok(("authorization".to_owned(), Secret::new("Bearer hunter2")))
            }
        }
        let extension = Extension::new().with_client_authenticator(Arc::new(Badge));
        let extensions = Extensions::default().with("badge".parse().unwrap(), extension);
        let cx = testing::context("otlp_http").with_extensions(Arc::new(extensions));
        let mut server = testing::server(Reply::ok(Bytes::new())).await;
        let yaml = format!("{{endpoint: '{}', auth: {{authenticator: badge}}}}", server.url());
        let config: Config = Section::from_text("otlp_http", &yaml).unwrap().read().unwrap();
        ExporterConfig::build(&config, &cx).unwrap().export(&testing::logs(1)).await.unwrap();
        assert_eq!(server.received().await.header("authorization"), "Bearer hunter2");
        assert_eq!(
            build(&yaml).err().unwrap(),
            "auth.authenticator: the extension `badge` is not configured; add one under `extensions`"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_tried_again_and_its_address_stays_out_of_the_message() {
        let exporter = build(&format!("endpoint: {}/?token=hunter2", testing::nobody())).unwrap();
        let error = exporter.export(&testing::logs(1)).await.unwrap_err();
        assert!(
            matches!(&error, ExportError::Retry { reason, after: None } if reason.contains("refused") && !reason.contains("hunter2")),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_signal_without_an_address_is_rejected() {
        let exporter = build("traces_endpoint: http://h:1").unwrap();
        let error = exporter.export(&testing::logs(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no address for logs; set endpoint or logs_endpoint");
    }

    #[tokio::test]
    async fn tls_is_spoken_with_a_server_of_ones_own_authority() {
        let (mut server, certificate) = testing::tls_server(Reply::ok(Bytes::new())).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, certificate).unwrap();
        let tls = format!("{{ca_file: {}}}", file.display());
        for (tls, is_trusted) in [
            (tls.as_str(), true),
            ("{insecure_skip_verify: true}", true),
            (&format!("{{ca_file: {}, server_name_override: other.example}}", file.display()), false),
        ] {
            let exporter = build(&format!("{{endpoint: '{}', tls: {tls}}}", server.url())).unwrap();
            let sent = exporter.export(&testing::logs(1)).await;
            assert_eq!(sent.is_ok(), is_trusted, "{tls}: {sent:?}");
            if is_trusted {
                assert_eq!(server.received().await.path, "/v1/logs");
            }
        }
    }
}
