//! An id that names an operation across services, made safe from whatever text a client sent.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

/// Characters of an id.
const LENGTH_MAX: usize = 128;
/// Bytes of an original that are kept.
const ORIGINAL_MAX: usize = 1024;
/// Bytes of the hash that stands for what is not safe.
const HASH_BYTES: usize = 16;

/// An id that is safe to store, to search for and to send back in a header.
///
/// Headers such as `X-Correlation-ID` are free text. What has 1 to 128 characters of `A-Z a-z 0-9 . _ : / + = -` is taken
/// as it is; of anything else the hash is taken (`sha256:` and 32 hexadecimal digits), so that equal texts give equal ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationId<'a> {
    text: Cow<'a, str>,
    original: Option<String>,
}

impl<'a> CorrelationId<'a> {
    /// The id of a text without the spaces around it; none if it is blank.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Option<Self> {
        let text = text.trim_ascii();
        (!text.is_empty()).then(|| Self::new(text))
    }

    /// The id of a text that somebody made up to be one.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:/+=-".contains(byte);
        match std::str::from_utf8(text) {
            Ok(plain) if (1..=LENGTH_MAX).contains(&text.len()) && text.iter().all(is_plain) => {
                Self { text: Cow::Borrowed(plain), original: None }
            }
            _ => {
                let kept = text.get(..ORIGINAL_MAX).unwrap_or(text);
                let original = String::from_utf8_lossy(kept).into_owned();
                Self { text: Cow::Owned(digest(text)), original: Some(original) }
            }
        }
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first 1,024 bytes of what was sent, if that was not safe.
    #[must_use]
    pub fn original(&self) -> Option<&str> {
        self.original.as_deref()
    }

    /// The same, independent of the text that it was made from.
    #[must_use]
    pub fn into_owned(self) -> CorrelationId<'static> {
        CorrelationId { text: Cow::Owned(self.text.into_owned()), original: self.original }
    }
}

/// The first half of the SHA-256 hash.
fn digest(text: &[u8]) -> String {
    let nibble = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    let hash = Sha256::digest(text);
    let digits = hash.iter().take(HASH_BYTES).flat_map(|byte| [nibble(byte >> 4), nibble(byte & 15)]);
    "sha256:".chars().chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn safe_texts_stay_and_others_become_their_hash() {
        for (text, expected, original) in [
            ("r/1:2+3=4._-", "r/1:2+3=4._-", None),
            (" padded\t", "padded", None),
            ("a b", "sha256:c8687a08aa5d6ed2044328fa6a697ab8", Some("a b")),
        ] {
            let id = CorrelationId::of(text.as_bytes()).unwrap();
            assert_eq!((id.as_str(), id.original()), (expected, original));
        }
        let long = "x".repeat(LENGTH_MAX + 1);
        assert_eq!(CorrelationId::of(long.as_bytes()).unwrap().original(), Some(&*long));
        assert_eq!(CorrelationId::of(b" "), None);
    }

    proptest! {
        #[test]
        fn property_an_id_is_short_has_safe_characters_and_is_its_own_id(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let Some(id) = CorrelationId::of(&text) else { return Ok(()) };
            prop_assert!((1..=LENGTH_MAX).contains(&id.as_str().len()));
            prop_assert!(id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/+=-".contains(&byte)));
            let again = CorrelationId::of(id.as_str().as_bytes()).unwrap();
            prop_assert_eq!((again.as_str(), again.original()), (id.as_str(), None));
        }
    }
}
