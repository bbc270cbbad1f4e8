//! What makes two log records equal: the chosen fields, and always the tenant.

use std::hash::{Hash, Hasher};

use watershed_pipeline::{Metadata, Record, Value};

use super::{BodyMatch, template};
use crate::key::{Field, Hashes, Key};

pub(super) fn default_fields() -> Vec<Field> {
    vec![Field::Service, Field::Severity, Field::Body]
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
            match (field, log.body()) {
                (Field::Body, Some(Value::Str(text))) if self.body == BodyMatch::Template => {
                    template::hash(text, hasher);
                }
                _ => field.feed(record, hasher),
            }
        }
    }
}
