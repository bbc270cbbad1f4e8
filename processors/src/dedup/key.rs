//! What makes two log records equal: a hash of 128 bits over the chosen fields and the tenant.
//!
//! The hash is keyed at random in each process, so that nobody can make up a record that hides another.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::str::FromStr;

use hashbrown::DefaultHashBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use watershed_pipeline::{LogRecord, Metadata, Record, Value};

use super::{BodyMatch, template};

/// What a record is known by.
pub(super) type Key = u128;

/// The attributes of a resource that together say which service it is.
const SERVICE: [&str; 4] =
    ["service.name", "service.namespace", "deployment.environment.name", "deployment.environment"];

/// Two keyed hashes, the same in all lanes.
#[derive(Clone, Default)]
pub(super) struct Hashes([DefaultHashBuilder; 2]);

/// Both hashes at work on the same bytes.
pub(super) struct KeyHasher([DefaultHasher; 2]);

type DefaultHasher = <DefaultHashBuilder as BuildHasher>::Hasher;

impl Hashes {
    /// Begins a key.
    pub(super) fn key(&self) -> KeyHasher {
        KeyHasher(self.0.each_ref().map(BuildHasher::build_hasher))
    }

    /// Begins a hash that chooses a lane.
    pub(super) fn lane(&self) -> impl Hasher {
        let [builder, _] = &self.0;
        builder.build_hasher()
    }
}

impl KeyHasher {
    pub(super) fn key(&self) -> Key {
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
    Service,
    Severity,
    Body,
    EventName,
    Scope,
    Attribute(String),
    Resource(String),
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = |prefix: &str| text.strip_prefix(prefix).filter(|key| !key.is_empty()).map(str::to_owned);
        match text {
            "service" => Ok(Self::Service),
            "severity" => Ok(Self::Severity),
            "body" => Ok(Self::Body),
            "event_name" => Ok(Self::EventName),
            "scope" => Ok(Self::Scope),
            _ => (key("attributes.").map(Self::Attribute))
                .or_else(|| key("resource.").map(Self::Resource))
                .ok_or_else(|| {
                    format!(
                        "unknown field `{text}`; there is `service`, `severity`, `body`, `event_name`, `scope`, \
                         `attributes.<key>` and `resource.<key>`"
                    )
                }),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("service"),
            Self::Severity => f.write_str("severity"),
            Self::Body => f.write_str("body"),
            Self::EventName => f.write_str("event_name"),
            Self::Scope => f.write_str("scope"),
            Self::Attribute(key) => write!(f, "attributes.{key}"),
            Self::Resource(key) => write!(f, "resource.{key}"),
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

pub(super) fn default_fields() -> Vec<Field> {
    vec![Field::Service, Field::Severity, Field::Body]
}

pub(super) fn default_tenant_attributes() -> Vec<String> {
    ["tenant.id", "tenant_id", "tenant"].map(str::to_owned).into()
}

/// Makes the keys of records.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) fields: Vec<Field>,
    pub(super) body: BodyMatch,
    pub(super) tenant_attributes: Vec<String>,
    pub(super) hashes: Hashes,
}

impl Keys {
    /// The key of a log record that came with these request headers.
    pub(super) fn key(&self, record: Record<'_>, metadata: Option<&Metadata>) -> Key {
        let mut hasher = self.hashes.key();
        self.feed(record, &mut hasher);
        for attribute in &self.tenant_attributes {
            let own = record.attribute(attribute);
            own.or_else(|| record.resource().attribute(attribute)).hash(&mut hasher);
        }
        metadata.map(Metadata::headers).hash(&mut hasher);
        hasher.key()
    }

    /// Chooses the lane of a record: equal keys have equal lanes.
    pub(super) fn lane(&self, record: &Record<'_>) -> u64 {
        let mut hasher = self.hashes.lane();
        self.feed(*record, &mut hasher);
        hasher.finish()
    }

    fn feed(&self, record: Record<'_>, hasher: &mut impl Hasher) {
        let Some(log) = record.log() else { return };
        for field in &self.fields {
            match field {
                Field::Service => {
                    SERVICE.iter().for_each(|key| record.resource().attribute(key).hash(hasher))
                }
                Field::Severity => (log.severity_number(), log.severity_text()).hash(hasher),
                Field::Body => self.feed_body(log, hasher),
                Field::EventName => log.event_name().hash(hasher),
                Field::Scope => record.scope().name().hash(hasher),
                Field::Attribute(key) => record.attribute(key).hash(hasher),
                Field::Resource(key) => record.resource().attribute(key).hash(hasher),
            }
        }
    }

    fn feed_body(&self, log: LogRecord<'_>, hasher: &mut impl Hasher) {
        match log.body() {
            Some(Value::Str(text)) if self.body == BodyMatch::Template => template::hash(text, hasher),
            body => body.hash(hasher),
        }
    }
}
