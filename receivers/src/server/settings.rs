//! Settings that several receivers share.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tokio::time::timeout;
use watershed_config::{BuildError, Endpoint, Period};
use watershed_pipeline::StartError;

use super::tls::TlsSettings;
use super::{Options, Server};

/// A period, or `None` for zero: the Collector writes "endless" as `0`.
pub(crate) fn limited(period: Option<Period>) -> Option<Duration> {
    period.map(Period::duration).filter(|period| !period.is_zero())
}

/// Waits for a future; `None` if it takes too long.
pub(crate) async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        None => Some(future.await),
        Some(limit) => timeout(limit, future).await.ok(),
    }
}

/// Reads the settings' header names and values.
pub(crate) fn header_map<'s>(
    headers: impl IntoIterator<Item = (&'s String, &'s String)>,
) -> Result<HeaderMap, String> {
    let pairs = headers.into_iter().map(|(name, value)| {
        let header: HeaderName = name.parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
        let value = value
            .parse::<HeaderValue>()
            .map_err(|_| format!("the value of `{name}` cannot stand in a header"))?;
        Ok((header, value))
    });
    pairs.collect()
}

/// How a protocol listens.
pub(crate) struct Listening {
    endpoint: Endpoint,
    options: Options,
    tls: Option<TlsSettings>,
}

impl Listening {
    /// Checks the settings; `prefix` is what stands before their names, such as `protocols.http.`.
    pub(crate) fn new(
        prefix: &str,
        endpoint: &Endpoint,
        options: Options,
        tls: Option<&TlsSettings>,
    ) -> Result<Self, BuildError> {
        if let Some(Err((setting, problem))) = tls.map(TlsSettings::check) {
            return Err(BuildError::at(format!("{prefix}tls.{setting}"), problem));
        }
        if options.connections_max == 0 {
            let text = "must be 1 or more; without connections nothing can be received";
            return Err(BuildError::at(format!("{prefix}max_connections"), text));
        }
        Ok(Self { endpoint: endpoint.clone(), options, tls: tls.cloned() })
    }

    /// Binds the port.
    pub(crate) async fn bind(&self) -> Result<Server, StartError> {
        Server::bind(&self.endpoint, self.options.clone(), self.tls.as_ref()).await
    }
}

/// The kind of socket. Only TCP is there.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// TCP over IPv4 or IPv6.
    #[default]
    Tcp,
}

/// When gRPC connections are pinged, and when they end.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Keepalive {
    /// What the server does by itself.
    pub(crate) server_parameters: ServerParameters,
    /// Accepted for files of the Collector, and without effect: clients may ping as often as HTTP/2 allows.
    pub(crate) enforcement_policy: EnforcementPolicy,
}

/// What the server does by itself to keep connections fresh.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerParameters {
    /// How long a connection may be without a request before it is closed. Default `0`: for ever.
    pub(crate) max_connection_idle: Option<Period>,
    /// How long a connection lives before it is closed gracefully, give or take a tenth. Set it behind a load
    /// balancer, so that clients spread again. Default `0`: for ever.
    pub(crate) max_connection_age: Option<Period>,
    /// How long requests in flight may take after that. Default `0`: for ever.
    pub(crate) max_connection_age_grace: Option<Period>,
    /// How long a connection may be silent before it is pinged. Default `2h`.
    pub(crate) time: Option<Period>,
    /// How long the answer to a ping may take before the connection is closed. Default `20s`.
    pub(crate) timeout: Option<Period>,
}

impl ServerParameters {
    /// How long a connection may be silent before it is pinged.
    pub(crate) fn ping_interval(&self) -> Duration {
        limited(self.time).unwrap_or(Duration::from_secs(2 * 60 * 60))
    }

    /// How long the answer to a ping may take.
    pub(crate) fn ping_timeout(&self) -> Duration {
        limited(self.timeout).unwrap_or(Duration::from_secs(20))
    }
}

/// What the Collector demands of clients' pings. Without effect here.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EnforcementPolicy {
    /// Without effect.
    pub(crate) min_time: Option<Period>,
    /// Without effect.
    pub(crate) permit_without_stream: bool,
}

/// A setting that the Collector has and that is not available here: it may only be empty.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NotAvailable;

impl<'de> Deserialize<'de> for NotAvailable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnlyEmpty)
    }
}

impl JsonSchema for NotAvailable {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NotAvailable".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["null", "array"], "maxItems": 0, "description": "Not available." })
    }
}

struct OnlyEmpty;

fn not_available<E: Error>() -> E {
    E::custom("is not available; remove it: memory is admitted before a body is read without it")
}

impl<'de> Visitor<'de> for OnlyEmpty {
    type Value = NotAvailable;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("nothing")
    }

    fn visit_unit<E: Error>(self) -> Result<NotAvailable, E> {
        Ok(NotAvailable)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<NotAvailable, E> {
        Err(not_available())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NotAvailable, A::Error> {
        match list.next_element::<IgnoredAny>()? {
            None => Ok(NotAvailable),
            Some(_) => Err(not_available()),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NotAvailable, A::Error> {
        match map.next_key::<IgnoredAny>()? {
            None => Ok(NotAvailable),
            Some(_) => Err(not_available()),
        }
    }
}
