//! The attributes by which a record tells what was done to it, as the Collector's processor of this name adds them.

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_pipeline::{AnyValue, End};

/// What a resource, scope or record tells about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Summary {
    /// Nothing.
    #[default]
    Silent,
    /// How many values were changed (`redaction.masked.count`) and how many attributes were on no list of allowed keys
    /// (`redaction.redacted.count`), where that is not 0.
    Info,
    /// The same, and the keys: `redaction.masked.keys` and `redaction.redacted.keys`, joined by commas.
    Debug,
}

/// What was done to the record in hand.
pub(super) struct Notes {
    has_keys: bool,
    keys: Vec<String>,
    masked: Noted,
    removed: Noted,
}

#[derive(Default)]
struct Noted {
    count: i64,
    keys: Vec<usize>,
}

impl Notes {
    pub(super) fn new(summary: Summary) -> Option<Self> {
        let has_keys = match summary {
            Summary::Silent => return None,
            Summary::Info => false,
            Summary::Debug => true,
        };
        Some(Self { has_keys, keys: Vec::new(), masked: Noted::default(), removed: Noted::default() })
    }

    /// The number under which a key will be noted.
    pub(super) fn add_key(&mut self, key: &str) -> usize {
        self.keys.push(key.to_owned());
        self.keys.len() - 1
    }

    pub(super) fn masked(&mut self, key: Option<usize>) {
        self.masked.add(key);
    }

    pub(super) fn removed(&mut self, key: Option<usize>) {
        self.removed.add(key);
    }

    /// The attributes for the record in hand; begins the next.
    pub(super) fn end(&mut self) -> End {
        let masked = std::mem::take(&mut self.masked);
        let removed = std::mem::take(&mut self.removed);
        let mut attributes = Vec::new();
        for (noted, count_key, keys_key) in [
            (masked, "redaction.masked.count", "redaction.masked.keys"),
            (removed, "redaction.redacted.count", "redaction.redacted.keys"),
        ] {
            if noted.count == 0 {
                continue;
            }
            attributes.push((count_key, AnyValue::Int(noted.count)));
            if self.has_keys {
                let keys = noted.keys.iter().filter_map(|key| self.keys.get(*key)).map(String::as_str);
                attributes.push((keys_key, AnyValue::Str(keys.collect::<Vec<_>>().join(","))));
            }
        }
        if attributes.is_empty() { End::Keep } else { End::Annotate(attributes) }
    }
}

impl Noted {
    fn add(&mut self, key: Option<usize>) {
        self.count += 1;
        if let Some(key) = key
            && !self.keys.contains(&key)
        {
            self.keys.push(key);
        }
    }
}
