//! Settings that several receivers share.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use watershed_config::Period;

/// A period, or `None` for zero: the Collector writes "endless" as `0`.
pub(crate) fn limited(period: Option<Period>) -> Option<Duration> {
    period.map(Period::duration).filter(|period| !period.is_zero())
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
