//! Keys that are known by their hash, and a check that takes as long for a wrong one as for a right one.
//!
//! A key of an API is long and random, so that one round of SHA-256 protects it: nobody can try all keys. A password
//! is neither and needs a slow hash instead.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Identity;

/// Keys in one list. Each request is compared with all of them.
const KEYS_MAX: usize = 1000;
/// Bytes of a key. A longer one is refused unread.
const KEY_LENGTH_MAX: usize = 1024;

/// The SHA-256 hash of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The hash of a key as a client sends it.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }
}

impl fmt::Debug for KeyDigest {
    /// Shows nothing: the hash of a key that is not long and random tells the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl FromStr for KeyDigest {
    type Err = String;

    /// Reads 64 hexadecimal digits, as `sha256sum` writes them. The error does not repeat the text, which may be a
    /// key by mistake.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "is no SHA-256 hash, which has 64 hexadecimal digits; make one with `printf %s KEY | sha256sum`"
                .to_owned()
        };
        let mut digest = [0; 32];
        if text.len() != 64 {
            return Err(wrong());
        }
        for (place, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).map_err(|_| wrong())?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *place = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(digest))
    }
}

/// Keys that are known by their hash, with who has them.
#[derive(Clone, Debug, Default)]
pub struct HashedKeys(Vec<(KeyDigest, Identity)>);

impl HashedKeys {
    /// Makes a list of keys.
    ///
    /// # Errors
    /// There are more than 1000, or two are the same.
    pub fn new(keys: Vec<(KeyDigest, Identity)>) -> Result<Self, String> {
        if keys.len() > KEYS_MAX {
            return Err(format!("has {} keys; at most {KEYS_MAX} are compared for each request", keys.len()));
        }
        let mut digests: Vec<&[u8; 32]> = keys.iter().map(|(digest, _)| &digest.0).collect();
        digests.sort_unstable();
        if digests.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err("has the same key twice; remove one".to_owned());
        }
        Ok(Self(keys))
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who has this key. The time that takes depends on the length of the key and the number of keys alone.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<&Identity> {
        if key.len() > KEY_LENGTH_MAX {
            return None;
        }
        let KeyDigest(wanted) = KeyDigest::of(key);
        let mut found = None;
        for (KeyDigest(digest), identity) in &self.0 {
            if bool::from(digest.ct_eq(&wanted)) {
                found = Some(identity);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Result<HashedKeys, String> {
        let key = |name: &&str| (KeyDigest::of(name.as_bytes()), Identity::new(Some(name)));
        HashedKeys::new(names.iter().map(key).collect())
    }

    #[test]
    fn a_key_is_found_with_its_owner_and_others_are_not() {
        let keys = keys(&["alpha", "beta"]).unwrap();
        assert_eq!(keys.find(b"beta").and_then(Identity::subject), Some("beta"));
        for wrong in ["", "bet", "beta ", "Beta", &"x".repeat(KEY_LENGTH_MAX + 1)] {
            assert_eq!(keys.find(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(HashedKeys::default().find(b""), None);
    }

    #[test]
    fn a_list_is_limited_and_has_each_key_once() {
        assert_eq!(keys(&["a", "b", "a"]).unwrap_err(), "has the same key twice; remove one");
        let many: Vec<String> = (0..=KEYS_MAX).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(keys(&many).unwrap_err().starts_with("has 1001 keys"));
        assert!(keys(&many[1..]).is_ok());
    }

    #[test]
    fn a_hash_is_read_from_what_sha256sum_writes_and_never_shown() {
        // The test vector "abc" of FIPS 180-2.
        let text = "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest: KeyDigest = text.parse().unwrap();
        assert_eq!(digest, KeyDigest::of(b"abc"));
        assert_eq!(format!("{digest:?}"), "***");
        for wrong in ["abc", &"+1".repeat(32), &"é".repeat(32)] {
            let error = wrong.parse::<KeyDigest>().unwrap_err();
            assert!(error.contains("sha256sum") && !error.contains(wrong), "{error}");
        }
    }
}
