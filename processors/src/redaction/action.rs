//! What is put in place of what was found.

use hmac::{Hmac, Mac};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;

/// The letters that `partial` leaves.
const LEFT: usize = 4;
/// A value shorter than this would be half told by its last letters.
const PARTIAL_MIN: usize = 9;
/// What marks a hash, so that it is known again.
const HASH_MARK: &str = "hmac:";
/// Bytes of the hash that are written: 128 bits tell any two values apart.
const HASH_BYTES: usize = 16;

/// What is done with what was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ActionKind {
    /// Puts the text of `mask` in its place.
    #[default]
    Mask,
    /// Puts the text of `mask` in its place and leaves the last four characters; all of it goes if there are fewer than
    /// nine.
    Partial,
    /// Puts `hmac:` and 32 hexadecimal digits in its place: HMAC-SHA-256 with `hash_key`, so that equal values stay equal.
    Hash,
    /// Removes the attribute, entry or list item that holds it. In a body, a name and a pair of key and value in text, where
    /// there is nothing to remove, it masks.
    Drop,
    /// Drops the record; for an attribute of a resource or scope, all of its records.
    DropRecord,
}

impl ActionKind {
    /// The name in settings and counters.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Partial => "partial",
            Self::Hash => "hash",
            Self::Drop => "drop",
            Self::DropRecord => "drop_record",
        }
    }
}

/// An action with what it needs.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) kind: ActionKind,
    pub(super) mask: String,
    pub(super) hash_key: Vec<u8>,
}

impl Action {
    /// What stands in place of a value; nothing for the actions that remove.
    pub(super) fn replacement(&self, value: &str) -> String {
        match self.kind {
            // Where nothing can be removed, `drop` masks: a key without its value would take the next word for it.
            ActionKind::Mask | ActionKind::Drop => self.mask.clone(),
            ActionKind::Partial => format!("{}{}", self.mask, last_letters(value)),
            ActionKind::Hash => self.hash(value),
            ActionKind::DropRecord => String::new(),
        }
    }

    /// Whether a value is what an action has put in place of another, so that a second pass leaves it.
    pub(super) fn is_done(&self, value: &[u8]) -> bool {
        let is_masked = value.strip_prefix(self.mask.as_bytes()).is_some_and(|rest| {
            rest.is_empty() || (self.kind == ActionKind::Partial && letters(rest) <= LEFT)
        });
        let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        let hash = value.strip_prefix(HASH_MARK.as_bytes());
        let is_hash = hash.is_some_and(|hash| hash.len() == 2 * HASH_BYTES && hash.iter().all(is_digit));
        value.is_empty() || is_masked || (self.kind == ActionKind::Hash && is_hash)
    }

    fn hash(&self, value: &str) -> String {
        // A key of any length will do, so there is no error to come.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.hash_key) else { return self.mask.clone() };
        mac.update(value.as_bytes());
        let hash = mac.finalize().into_bytes();
        let digits = hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}"));
        HASH_MARK.chars().map(String::from).chain(digits).collect()
    }
}

fn last_letters(value: &str) -> &str {
    if value.chars().count() < PARTIAL_MIN {
        return "";
    }
    let start = value.char_indices().rev().nth(LEFT - 1).map_or(0, |(start, _)| start);
    // Half of an escape of JSON or a URL would break what stands around it.
    let last = value.get(start..).unwrap_or_default();
    if last.chars().all(char::is_alphanumeric) { last } else { "" }
}

fn letters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}
