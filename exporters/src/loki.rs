//! Sends log records to Grafana Loki, or to anything that speaks its push protocol or its OTLP endpoint.
//!
//! ```yaml
//! loki:
//!   endpoint: http://loki:3100
//!   tenant: {id: team-a}
//!   labels: [service_name, service_namespace, deployment_environment_name]
//! ```
//!
//! Signals: logs; other signals are refused. With `protocol: push` (default) the labels of a stream are the attributes on
//! the list `labels`, looked for in the resource and then in the record, and `static_labels`; all the rest is structured
//! metadata, with the names that Loki's OTLP endpoint gives (`http.route` is `http_route`), and `detected_level`. `level`
//! can be a label too, but splits every stream into as many as there are levels. A tenant has at most
//! `limits.streams_max` streams within half an hour: records of further ones go to `{service_name="overflow"}` with their
//! labels as metadata (`overflow_service_name`, …). With `protocol: otlp` the server chooses labels, and batches go to
//! `<endpoint>/otlp/v1/logs` as they are.
//!
//! What Loki documents as a limit is checked before: lines and metadata that are too large are cut and say so in their
//! metadata (`oversize: drop` drops them), records that are too old or too new are dropped. Each drop is counted with its
//! reason in `loki_dropped_log_records`, each cut in `loki_cut_values`.
//!
//! Order: by time within a stream and batch, else as it comes. Loss: what Loki refuses for good. A retry sends the same
//! bytes, and Loki keeps equal records once; a record without any time gets that of the attempt, so it may be there twice.
//! Loki 3.7 loses the answer about all streams of a request but the last; `one_stream_per_request: true` sends more and
//! smaller requests, and then every refusal is heard. A wrong address, password or tenant stops the process with the
//! reason, at the start or while nothing has succeeded yet; later it waits. A Loki that is down at the start is waited for.
//!
//! Batches are merged until they have 1 MiB or the first record has waited for a second, as Grafana's own agents do, so
//! records are in Loki two seconds after their receipt; `otelcol_exporter_delivery_lag` measures it. Other sizes:
//! `sending_queue: {batch: {flush_timeout: 200ms, min_size: 100000, sizer: bytes}}`; `min_size: 1` sends batches as they
//! come.
//!
//! Tenants: each gets requests of its own. After a 429 nothing is sent for that tenant for as long as the answer says, or
//! a second; the others go on, in this batch and in those behind it, until 100 batches or 16 MiB wait for their retry
//! beside those of the consumers. A 5xx makes all wait.
//!
//! Memory: the encoded batch for each export that runs, the labels of the streams within the budget, 4,096 hashes and
//! 4,096 tenants that wait.
//! Sources: Loki 3.7, `pkg/push/push.proto`, `pkg/distributor`, `pkg/validation/limits.go`.

mod answer;
mod check;
mod encode;
mod labels;
mod limits;
mod line;
mod metadata;
mod names;
mod otlp;
mod pauses;
mod progress;
mod push;
mod reason;
mod requests;
mod send;
mod streams;
mod tenant;
mod value;
mod wire;

pub use self::check::check;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Period, Secret, ServerUrl};
use watershed_pipeline::{
    AuthSettings, Batch, BatchOptions, Context, ExportError, Exporter, ExporterConfig, Reach, Signal, Sizer,
    StartError,
};

use crate::client::{
    self, Client, Compression, CompressionParameters, Compressor, Credentials, Options, Tls, Version,
};
use encode::{Encoder, Oversize};
use labels::LabelRules;
use limits::LimitSettings;
use line::{Line, LineFormat};
use metadata::Selection;
use reason::Counters;
use send::Sender;
use streams::StreamBudget;
use tenant::TenantSettings;

/// Settings of the exporter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The address of Loki, such as `http://loki:3100`. Required. The path of the protocol is added by itself.
    endpoint: ServerUrl,
    /// What is spoken. Default `push`.
    #[serde(default)]
    protocol: Protocol,
    /// Whose log records go to. Default: no tenant is named, which suits a Loki with `auth_enabled: false`.
    #[serde(default)]
    tenant: TenantSettings,
    /// The attributes that become labels of streams, by name (`service_name`) or key (`service.name`), and `level`. Each
    /// should have tens of values, not thousands. Only for `protocol: push`. Default `service_name`, `service_namespace`
    /// and `deployment_environment_name`.
    labels: Option<Vec<String>>,
    /// Labels that every stream has, such as `cluster: eu-1`. Only for `protocol: push`. Default none.
    #[serde(default)]
    static_labels: BTreeMap<String, String>,
    /// What goes into structured metadata; the rest of the record is lost unless the line holds it. Only for
    /// `protocol: push`. Default `all`.
    #[serde(default)]
    metadata: Selection,
    /// What the line of a record is. Only for `protocol: push`. Default `body`.
    #[serde(default)]
    line: LineFormat,
    /// The line for `line: template`, such as `[{level}] {body} user={attribute.user.id}`. There are `body`, `level`,
    /// `logger`, `event_name`, `time`, `trace_id`, `span_id`, `attribute.<key>` and `resource.<key>`; `{{` is a brace.
    template: Option<String>,
    /// What becomes of lines and metadata that are larger than Loki takes. Only for `protocol: push`. Default `cut`.
    #[serde(default)]
    oversize: Oversize,
    /// Whether each request holds one stream only, so that every refusal is heard. Costs requests. Only for
    /// `protocol: push`. Default `false`.
    #[serde(default)]
    one_stream_per_request: bool,
    /// What Loki takes.
    #[serde(default)]
    limits: LimitSettings,
    /// The user for basic authentication, with `password`.
    username: Option<String>,
    /// The password for basic authentication.
    password: Option<Secret>,
    /// A token that is sent as `Authorization: Bearer …`, instead of `username`.
    bearer_token: Option<Secret>,
    /// Further headers of each request.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Who we are to the server, instead of `username` and `bearer_token`: names an extension such as
    /// `bearertokenauth` or `basicauth`. Default none.
    auth: Option<AuthSettings>,
    /// Certificates and keys. An address without `http://` is spoken to with TLS unless `insecure` is set.
    #[serde(default)]
    tls: Tls,
    /// A proxy instead of those that the environment names.
    proxy_url: Option<ServerUrl>,
}

/// What is spoken with the server.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    /// Loki's own, at `/loki/api/v1/push`: we choose the labels.
    #[default]
    Push,
    /// OTLP, at `/otlp/v1/logs`: the server chooses the labels.
    Otlp,
}

impl Protocol {
    const ALL: [Self; 2] = [Self::Push, Self::Otlp];

    const fn path(self) -> &'static str {
        match self {
            Self::Push => "/loki/api/v1/push",
            Self::Otlp => "/otlp/v1/logs",
        }
    }
}

/// Few values each, known to everybody who looks for logs.
const DEFAULT_LABELS: [&str; 3] = ["service_name", "service_namespace", "deployment_environment_name"];

impl ExporterConfig for Config {
    const TYPE: &'static str = "loki";
    const SOURCE: &'static str = include_str!("loki.rs");
    const REACH: Reach = Reach::Network { timeout: Duration::from_secs(10) };
    const BATCH: Option<BatchOptions> = Some(BatchOptions {
        flush_timeout: Period::seconds(1),
        min_size: 1 << 20,
        max_size: 0,
        sizer: Some(Sizer::Bytes),
    });
    type Exporter = Loki;

    fn build(&self, cx: &Context) -> Result<Loki, BuildError> {
        self.check_protocol()?;
        self.tenant.check()?;
        let limits = self.limits.limits()?;
        let compressor = Compressor::new(Compression::Gzip, CompressionParameters::default())?;
        let url = self.url()?;
        let credentials = Credentials::new(self.auth.as_ref(), cx)?;
        let client = Client::new(self.options(url.scheme() == "https"), credentials)?;
        let encoding = if self.protocol == Protocol::Otlp { compressor.encoding() } else { None };
        let headers = self.all_headers()?;
        let sender = Sender::new(client, url, headers, encoding, self.tenant.varies(), Counters::new(cx));
        let default = || DEFAULT_LABELS.map(str::to_owned).to_vec();
        let names = self.labels.clone().unwrap_or_else(default);
        let encoder = Encoder {
            labels: LabelRules::new(&names, &self.static_labels, &limits)?,
            line: Line::new(self.line, self.template.as_deref())?,
            metadata: self.metadata,
            oversize: self.oversize,
            tenant: self.tenant.clone(),
            limits,
        };
        let budget = StreamBudget::new(&encoder.limits);
        let one_stream = self.one_stream_per_request;
        Ok(Loki { sender, encoder, budget, compressor, protocol: self.protocol, one_stream })
    }
}

impl Config {
    /// Refuses settings that the OTLP endpoint takes out of our hands.
    fn check_protocol(&self) -> Result<(), BuildError> {
        let unused = [
            ("labels", self.labels.is_some()),
            ("static_labels", !self.static_labels.is_empty()),
            ("metadata", self.metadata != Selection::All),
            ("line", self.line != LineFormat::Body),
            ("oversize", self.oversize != Oversize::Cut),
            ("one_stream_per_request", self.one_stream_per_request),
        ];
        match unused.iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) if self.protocol == Protocol::Otlp => {
                let message =
                    "has no effect with `protocol: otlp`, where the server decides; remove it, or use `push`";
                Err(BuildError::at(*name, message))
            }
            _ => Ok(()),
        }
    }

    /// The address with the protocol's path, which people paste as well.
    fn url(&self) -> Result<Url, BuildError> {
        let text = self.endpoint.with_scheme(self.tls.is_on());
        let (address, query) = text.split_at(text.find('?').unwrap_or(text.len()));
        let address = address.trim_end_matches('/');
        let base = [Protocol::Push.path(), Protocol::Otlp.path(), "/otlp"]
            .iter()
            .find_map(|path| address.strip_suffix(path))
            .unwrap_or(address);
        let url = format!("{base}{}{query}", self.protocol.path());
        Url::parse(&url).map_err(|error| BuildError::at("endpoint", format!("is no address: {error}")))
    }

    fn options(&self, is_secure: bool) -> Options {
        Options {
            tls: self.tls.clone(),
            is_secure,
            version: Version::Agreed,
            proxy: self.proxy_url.clone(),
            idle_connections_max: usize::MAX,
            idle_timeout: Some(Duration::from_secs(90)),
            ping: None,
            pings_idle: false,
        }
    }

    fn all_headers(&self) -> Result<HeaderMap, BuildError> {
        let mut headers = client::headers(&self.headers)?;
        if let Some(mut value) = self.authorization()? {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(headers)
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, BuildError> {
        if self.auth.is_some() && (self.username.is_some() || self.bearer_token.is_some()) {
            let problem = "stands beside `username` or `bearer_token`; a request has one of them";
            return Err(BuildError::at("auth", problem));
        }
        let (path, text) = match (&self.username, &self.password, &self.bearer_token) {
            (None, None, None) => return Ok(None),
            (None, None, Some(token)) => ("bearer_token", format!("Bearer {}", token.expose())),
            (Some(user), Some(password), None) => {
                let both = STANDARD.encode(format!("{user}:{}", password.expose()));
                ("username", format!("Basic {both}"))
            }
            (Some(_), None, _) => {
                return Err(BuildError::at("password", "is missing beside `username`; set both"));
            }
            (None, Some(_), _) => {
                return Err(BuildError::at("username", "is missing beside `password`; set both"));
            }
            (Some(_), Some(_), Some(_)) => {
                return Err(BuildError::at(
                    "bearer_token",
                    "stands beside `username`; a request has one of them",
                ));
            }
        };
        let message = "has characters that no header can hold; remove line ends and control characters";
        HeaderValue::try_from(text).map(Some).map_err(|_| BuildError::at(path, message))
    }
}

/// Sends log records to Loki.
pub(crate) struct Loki {
    sender: Sender,
    encoder: Encoder,
    budget: StreamBudget,
    compressor: Compressor,
    protocol: Protocol,
    one_stream: bool,
}

#[async_trait]
impl Exporter for Loki {
    async fn start(&self) -> Result<(), StartError> {
        self.check_and_report().await
    }

    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        if batch.signal() != Signal::Logs {
            let reason =
                format!("loki stores log records only; take it out of the pipelines of {}", batch.signal());
            return Err(ExportError::Reject { count: batch.len(), reason });
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.export_at(batch, u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)).await
    }

    async fn flush(&self) -> Result<(), ExportError> {
        self.sender.refresh();
        Ok(())
    }
}

impl Loki {
    /// Exports a batch; `now` is in nanoseconds since the Unix epoch.
    async fn export_at(&self, batch: &Batch, now: u64) -> Result<(), ExportError> {
        let limits = &self.encoder.limits;
        match self.protocol {
            Protocol::Push => {
                let encoded = self.encoder.encode(batch, &self.budget, now);
                let jobs = push::jobs(&encoded, limits.request_size_max, self.one_stream);
                self.sender.send(jobs, encoded.tally.clone(), now).await
            }
            Protocol::Otlp => {
                let (jobs, tally) = otlp::jobs(batch, &self.encoder.tenant, limits, now, &self.compressor);
                self.sender.send(jobs, tally, now).await
            }
        }
    }
}

#[cfg(test)]
mod delivery_tests;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
