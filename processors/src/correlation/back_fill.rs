//! What records of a trace or a request have said of it, remembered for a while for those that do not say it.

use std::hash::Hash;
use std::time::{Duration, Instant};

use hashlink::LinkedHashMap;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{ByteSize, Period};
use watershed_pipeline::{Metadata, Record, Value};

use crate::key::{Hashes, Key, default_tenant_attributes};

/// Longer values are not remembered, in bytes.
const VALUE_MAX: usize = 256;

/// How long and how much is remembered.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BackFill {
    /// How long after the last record that said something of a trace or request it is remembered. Default 5m.
    pub(super) window: Period,
    /// What is remembered takes at most so much memory; beyond it what was said longest ago is forgotten. Default 16MiB.
    pub(super) max_memory: ByteSize,
    /// Attributes that name a tenant, in the record or its resource: nothing is taken over from one tenant to another, nor
    /// from one authenticated sender to another. Default `tenant.id`, `tenant_id`, `tenant`.
    pub(super) tenant_attributes: Vec<String>,
}

impl Default for BackFill {
    fn default() -> Self {
        Self {
            window: Period::seconds(300),
            max_memory: ByteSize::mebibytes(16),
            tenant_attributes: default_tenant_attributes(),
        }
    }
}

/// What is known of a trace or a request. What was said first stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) id: Option<Box<str>>,
    pub(super) session: Option<Box<str>>,
    pub(super) user: Option<Box<str>>,
}

/// The table, shared by all lanes and pipelines.
pub(super) struct Known {
    settings: BackFill,
    hashes: Hashes,
    /// What was said last is at the end.
    table: LinkedHashMap<Key, (Instant, Facts)>,
    bytes: usize,
}

/// What an entry takes beside its texts: itself, two links, its place in the index.
const ENTRY_SIZE: usize = size_of::<(Key, (Instant, Facts))>() + 4 * size_of::<usize>();

impl Known {
    pub(super) fn new(settings: BackFill) -> Self {
        Self { settings, hashes: Hashes::default(), table: LinkedHashMap::new(), bytes: 0 }
    }

    fn key(&self, record: Record<'_>, sender: Option<&Metadata>, what: impl Hash) -> Key {
        let mut hasher = self.hashes.key();
        what.hash(&mut hasher);
        for attribute in &self.settings.tenant_attributes {
            let own = record.attribute(attribute);
            own.or_else(|| record.resource().attribute(attribute)).hash(&mut hasher);
        }
        let subject = sender.and_then(|sender| sender.values("auth.subject").next());
        subject.hash(&mut hasher);
        hasher.key()
    }

    /// The key of a trace.
    pub(super) fn trace(&self, record: Record<'_>, sender: Option<&Metadata>, id: [u8; 16]) -> Option<Key> {
        (id != [0; 16]).then(|| self.key(record, sender, ("trace", id)))
    }

    /// The key of a request, by its correlation id.
    pub(super) fn request(&self, record: Record<'_>, sender: Option<&Metadata>, id: &str) -> Key {
        self.key(record, sender, ("request", id))
    }

    /// Remembers what a record says; returns how many entries had to go for it before their time.
    pub(super) fn learn(&mut self, key: Key, said: &Facts, now: Instant) -> u64 {
        self.forget_due(now);
        let mut facts = self.table.remove(&key).map(|(_, facts)| facts);
        self.bytes = self.bytes.saturating_sub(facts.as_ref().map_or(0, Facts::size));
        let all = facts.get_or_insert_default();
        let fill = |slot: &mut Option<Box<str>>, new: &Option<Box<str>>| {
            if slot.is_none() {
                slot.clone_from(new);
            }
        };
        fill(&mut all.id, &said.id);
        fill(&mut all.session, &said.session);
        fill(&mut all.user, &said.user);
        self.bytes += all.size();
        self.table.insert(key, (now, facts.unwrap_or_default()));
        let mut forgotten = 0;
        while self.bytes > self.settings.max_memory.as_usize() && self.forget_oldest() {
            forgotten += 1;
        }
        forgotten
    }

    /// What is known.
    pub(super) fn facts(&self, key: Key, now: Instant) -> Option<&Facts> {
        let window: Duration = self.settings.window.duration();
        self.table.get(&key).filter(|(said, _)| *said + window > now).map(|(_, facts)| facts)
    }

    fn forget_due(&mut self, now: Instant) {
        let window = self.settings.window.duration();
        while self.table.front().is_some_and(|(_, (said, _))| *said + window <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((_, (_, facts))) = self.table.pop_front() else { return false };
        self.bytes = self.bytes.saturating_sub(facts.size());
        true
    }
}

impl Facts {
    fn size(&self) -> usize {
        let texts = [&self.id, &self.session, &self.user];
        ENTRY_SIZE + texts.iter().map(|text| text.as_ref().map_or(0, |text| text.len())).sum::<usize>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.id.is_none() && self.session.is_none() && self.user.is_none()
    }
}

/// A value that can be remembered: a text or a whole number, not too long.
pub(super) fn memorable(value: Value<'_>) -> Option<Box<str>> {
    match value {
        Value::Str(text) if text.len() <= VALUE_MAX => Some(text.into()),
        Value::Int(number) => Some(number.to_string().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(session: &str) -> Facts {
        Facts { session: Some(session.into()), ..Facts::default() }
    }

    #[test]
    fn what_was_said_is_known_for_the_window_and_within_the_memory() {
        let entry = facts("s").size();
        let settings = BackFill {
            window: Period::seconds(10),
            max_memory: ByteSize::new(2 * entry as u64),
            ..BackFill::default()
        };
        let (mut known, now) = (Known::new(settings), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(known.learn(1, &facts("a"), now), 0);
        assert_eq!(known.learn(2, &facts("b"), later(1)), 0);
        assert_eq!(known.learn(1, &facts("c"), later(2)), 0);
        assert_eq!(known.facts(1, later(2)), Some(&facts("a")), "what was said first stays");
        assert_eq!(known.learn(3, &facts("d"), later(3)), 1, "there is room for two");
        assert_eq!(known.facts(2, later(3)), None, "what was said longest ago is forgotten");
        assert_eq!(known.facts(1, later(12)), None, "the window is over");
        known.learn(4, &facts("e"), later(100));
        assert_eq!((known.table.len(), known.bytes), (1, entry));
    }
}
