//! What records are known by where a processor keeps something for each: a hash of 128 bits over chosen fields.
//!
//! The hash is keyed at random in each process, so that nobody can make up a record that passes for another.

use std::hash::{BuildHasher, Hash, Hasher};
use std::str::FromStr;

use hashbrown::DefaultHashBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use watershed_pipeline::{DataPoint, Record};

/// What a record is known by.
pub(crate) type Key = u128;

/// The attributes of a resource that together say which service it is.
const SERVICE: [&str; 4] =
    ["service.name", "service.namespace", "deployment.environment.name", "deployment.environment"];

/// The attributes that commonly name a tenant.
pub(crate) fn default_tenant_attributes() -> Vec<String> {
    ["tenant.id", "tenant_id", "tenant"].map(str::to_owned).into()
}

/// Two keyed hashes, the same in all lanes.
#[derive(Clone, Default)]
pub(crate) struct Hashes([DefaultHashBuilder; 2]);

/// Both hashes at work on the same bytes.
pub(crate) struct KeyHasher([DefaultHasher; 2]);

type DefaultHasher = <DefaultHashBuilder as BuildHasher>::Hasher;

impl Hashes {
    /// Begins a key.
    pub(crate) fn key(&self) -> KeyHasher {
        KeyHasher(self.0.each_ref().map(BuildHasher::build_hasher))
    }

    /// Begins a hash that chooses a lane.
    pub(crate) fn lane(&self) -> impl Hasher {
        let [builder, _] = &self.0;
        builder.build_hasher()
    }
}

impl KeyHasher {
    pub(crate) fn key(&self) -> Key {
        let [low, high] = self.0.each_ref().map(Hasher::finish);
        u128::from(high) << 64 | u128::from(low)
    }
}

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        let [low, _] = &self.0;
        low.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|hasher| hasher.write(bytes));
    }
}

/// A part of a record that can belong to its key.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub(crate) enum Field {
    /// Name, namespace and environment of the service.
    Service,
    /// Number and text.
    Severity,
    Body,
    /// Of a span, of the metric of a data point, of the event that a log record is.
    Name,
    Scope,
    TraceId,
    Attribute(String),
    Resource(String),
}

/// The fields without an argument, by name.
const PLAIN: [(&str, Field); 6] = [
    ("service", Field::Service),
    ("severity", Field::Severity),
    ("body", Field::Body),
    ("name", Field::Name),
    ("scope", Field::Scope),
    ("trace_id", Field::TraceId),
];

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = |prefix: &str| text.strip_prefix(prefix).filter(|key| !key.is_empty()).map(str::to_owned);
        let plain = || PLAIN.iter().find(|(name, _)| *name == text).map(|(_, field)| field.clone());
        (key("attributes.").map(Self::Attribute))
            .or_else(|| key("resource.").map(Self::Resource))
            .or_else(plain)
            .ok_or_else(|| {
                let names = PLAIN.map(|(name, _)| format!("`{name}`")).join(", ");
                format!("unknown field `{text}`; there is {names}, `attributes.<key>` and `resource.<key>`")
            })
    }
}

impl Field {
    /// Hashes what the record has in this field.
    pub(crate) fn feed(&self, record: Record<'_>, hasher: &mut impl Hasher) {
        let log = record.log();
        match self {
            Self::Service => SERVICE.iter().for_each(|key| record.resource().attribute(key).hash(hasher)),
            Self::Severity => log.map(|log| (log.severity_number(), log.severity_text())).hash(hasher),
            Self::Body => log.and_then(|log| log.body()).hash(hasher),
            Self::Name => name(record).hash(hasher),
            Self::Scope => record.scope().name().hash(hasher),
            Self::TraceId => record.trace_id().hash(hasher),
            Self::Attribute(key) => record.attribute(key).hash(hasher),
            Self::Resource(key) => record.resource().attribute(key).hash(hasher),
        }
    }
}

fn name(record: Record<'_>) -> &str {
    let of_log = || record.log().map(|log| log.event_name());
    let of_point = || record.point().map(DataPoint::metric).map(|metric| metric.name());
    record.span().map(|span| span.name()).or_else(of_log).or_else(of_point).unwrap_or_default()
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
