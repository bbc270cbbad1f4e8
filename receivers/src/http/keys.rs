//! Keys that let clients send, and nothing else.
//!
//! A key is known by its SHA-256 hash. That is enough because a key is long and random, unlike a password: make one
//! with `openssl rand -hex 32`, and its hash with `printf %s KEY | sha256sum`. A key in a web page is public: anybody
//! can read it there. So it opens only this receiver, only for the presets in its `scopes`, only for pages of its
//! `origins`, and only as often as its `rate` says.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, ORIGIN};
use http::{HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Secret};
use watershed_pipeline::{HashedKeys, Identity, KeyDigest};

use super::preset::{Preset, query_field};
use super::rate::{Rate, RateSettings};
use crate::server::failure::{Failure, Kind};

/// The shortest key, in bytes. Shorter ones can be found by trying.
const KEY_LENGTH_MIN: usize = 16;
/// Headers that hold nothing but a key.
const KEY_HEADERS: [&str; 2] = ["x-api-key", "dd-api-key"];
/// Fields of the query that hold a key, for clients that cannot set headers.
const KEY_FIELDS: [&str; 3] = ["key", "dd-api-key", "token"];

/// A key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySettings {
    /// What the key is called in messages. Required, and different for each key.
    name: String,
    /// The SHA-256 hash of the key, 64 hexadecimal digits. This or `key` is required.
    hash: Option<String>,
    /// The key itself, at least 16 characters, best as `${env:NAME}`.
    key: Option<Secret>,
    /// The presets that it may be used for. Default all that are on.
    scopes: Option<Vec<Preset>>,
    /// Origins of the pages that may use it, such as `https://shop.example`; a request must name one of them.
    /// Default: it may be used from anywhere.
    #[serde(default)]
    origins: Vec<String>,
    /// How often it may be used. Default without limit.
    rate: Option<RateSettings>,
}

/// The keys of a receiver.
pub(super) struct Keys {
    hashes: HashedKeys,
    rules: Vec<Rules>,
}

/// What a key may be used for.
struct Rules {
    name: String,
    scopes: Option<Vec<Preset>>,
    origins: Vec<String>,
    rate: Option<Rate>,
}

impl Keys {
    /// Reads the keys.
    pub(super) fn new(settings: &[KeySettings]) -> Result<Self, BuildError> {
        let mut hashes = Vec::new();
        let mut rules: Vec<Rules> = Vec::new();
        for (number, key) in settings.iter().enumerate() {
            let path = format!("keys[{number}]");
            if rules.iter().any(|other| other.name == key.name) {
                let text = format!("`{}` is already the name of another key; choose another one", key.name);
                return Err(BuildError::at(format!("{path}.name"), text));
            }
            hashes.push((key.digest(&path)?, Identity::new(Some(&key.name))));
            rules.push(Rules {
                name: key.name.clone(),
                scopes: key.scopes.clone(),
                origins: key.origins.clone(),
                rate: key.rate.map(|rate| Rate::new(rate, &format!("{path}.rate"))).transpose()?,
            });
        }
        let hashes = HashedKeys::new(hashes).map_err(|problem| BuildError::at("keys", problem))?;
        Ok(Self { hashes, rules })
    }

    /// Whether there is no key.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Lets a request in, if its key may do that.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        query: &str,
        preset: Preset,
        now: Instant,
    ) -> Result<&Identity, Failure> {
        let Some(key) = presented(headers, query) else {
            let text = "a key is missing; send it as `Authorization: Bearer <key>` or `X-API-Key: <key>`, or as `key` \
                        in the query";
            return Err(Failure::new(Kind::CredentialsMissing, text));
        };
        let found = self.hashes.find(&key).and_then(|identity| {
            let rules = self.rules.iter().find(|rules| identity.subject() == Some(&rules.name))?;
            Some((identity, rules))
        });
        let Some((identity, rules)) = found else {
            return Err(Failure::new(Kind::CredentialsInvalid, "the key is not known here"));
        };
        rules.check(headers, preset, now).map(|()| identity)
    }
}

impl KeySettings {
    fn digest(&self, path: &str) -> Result<KeyDigest, BuildError> {
        match (&self.hash, &self.key) {
            (Some(hash), None) => {
                hash.parse().map_err(|problem: String| BuildError::at(format!("{path}.hash"), problem))
            }
            (None, Some(key)) if key.expose().len() >= KEY_LENGTH_MIN => {
                Ok(KeyDigest::of(key.expose().as_bytes()))
            }
            (None, Some(_)) => {
                let text = format!(
                    "is shorter than {KEY_LENGTH_MIN} characters; make one with `openssl rand -hex 32`"
                );
                Err(BuildError::at(format!("{path}.key"), text))
            }
            (Some(_), Some(_)) => {
                Err(BuildError::at(format!("{path}.key"), "can't be set beside `hash`; remove one"))
            }
            (None, None) => {
                let text = "is required; write the key's SHA-256 hash, or the key itself as `key`";
                Err(BuildError::at(format!("{path}.hash"), text))
            }
        }
    }
}

impl Rules {
    fn check(&self, headers: &HeaderMap, preset: Preset, now: Instant) -> Result<(), Failure> {
        let name = &self.name;
        if self.scopes.as_ref().is_some_and(|scopes| !scopes.contains(&preset)) {
            let text = format!("the key `{name}` may not be used at this path; see its `scopes`");
            return Err(Failure::new(Kind::Forbidden, text));
        }
        let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes).unwrap_or_default();
        let is_own = |allowed: &String| origin.eq_ignore_ascii_case(allowed.as_bytes());
        if !self.origins.is_empty() && !self.origins.iter().any(is_own) {
            let text = format!("the key `{name}` may not be used from here; see its `origins`");
            return Err(Failure::new(Kind::Origin, text));
        }
        match self.rate.as_ref().map(|rate| rate.take(now)) {
            Some(Err(after)) => {
                let text = format!("the key `{name}` is used too often; see its `rate`");
                Err(Failure::passing(Kind::Rate, text, Some(after)))
            }
            _ => Ok(()),
        }
    }
}

/// The key of a request, wherever its client has to put it.
fn presented(headers: &HeaderMap, query: &str) -> Option<Vec<u8>> {
    let own = KEY_HEADERS.iter().find_map(|name| headers.get(*name));
    let own = own.map(|value| value.as_bytes().trim_ascii().to_vec());
    own.or_else(|| headers.get(AUTHORIZATION).and_then(|value| authorization(value.as_bytes())))
        .or_else(|| KEY_FIELDS.iter().find_map(|name| query_field(query, name)).map(String::into_bytes))
        .filter(|key| !key.is_empty())
}

/// The key in `Authorization`: of `Bearer` and `Splunk` what follows, of `Basic` the password, of `ApiKey` (Elastic)
/// what stands behind the id.
fn authorization(value: &[u8]) -> Option<Vec<u8>> {
    let value = value.trim_ascii();
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, key) = value.split_at_checked(space)?;
    let key = key.trim_ascii();
    match scheme.to_ascii_lowercase().as_slice() {
        b"bearer" | b"splunk" => Some(key.to_vec()),
        b"basic" | b"apikey" => {
            let pair = STANDARD.decode(key).ok()?;
            let colon = pair.iter().position(|byte| *byte == b':')?;
            pair.get(colon + 1..).map(<[u8]>::to_vec)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn keys(yaml: &str) -> Result<Keys, BuildError> {
        let settings: Vec<KeySettings> = serde_json::from_str(yaml).unwrap();
        Keys::new(&settings)
    }

    fn check(keys: &Keys, headers: &[(&'static str, &str)], query: &str) -> Result<(), Kind> {
        let headers: HeaderMap =
            headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        keys.check(&headers, query, Preset::Flat, Instant::now()).map(drop).map_err(|failure| failure.kind)
    }

    #[test]
    fn a_key_is_found_wherever_a_client_can_put_it() {
        let keys = keys(&format!(r#"[{{"name": "web", "key": "{KEY}"}}]"#)).unwrap();
        let basic = format!("Basic {}", STANDARD.encode(format!("any:{KEY}")));
        let elastic = format!("ApiKey {}", STANDARD.encode(format!("id:{KEY}")));
        let (bearer, splunk) = (format!("bearer {KEY}"), format!("Splunk {KEY}"));
        for (headers, query, expected) in [
            (&[("x-api-key", KEY)][..], "", Ok(())),
            (&[("dd-api-key", KEY)], "", Ok(())),
            (&[("authorization", bearer.as_str())], "", Ok(())),
            (&[("authorization", &splunk)], "", Ok(())),
            (&[("authorization", &basic)], "", Ok(())),
            (&[("authorization", &elastic)], "", Ok(())),
            (&[], "a=b&key=0123456789abcdef", Ok(())),
            (&[], "dd-api-key=0123456789abcde%66", Ok(())),
            (&[], "key=0123456789abcdeg", Err(Kind::CredentialsInvalid)),
            (&[("x-api-key", "0123456789abcde")], "", Err(Kind::CredentialsInvalid)),
            (&[("authorization", "Negotiate x")], "", Err(Kind::CredentialsMissing)),
            (&[("authorization", "Basic !")], "", Err(Kind::CredentialsMissing)),
            (&[("x-api-key", " ")], "key=", Err(Kind::CredentialsMissing)),
            (&[], "", Err(Kind::CredentialsMissing)),
        ] {
            assert_eq!(check(&keys, headers, query), expected, "{headers:?} {query}");
        }
    }

    #[test]
    fn a_key_opens_only_what_its_rules_say() {
        let rules = r#"{"name": "web", "key": "0123456789abcdef", "scopes": ["flat"],
            "origins": ["https://shop.example"], "rate": {"requests_per_second": 1, "burst": 2}}"#;
        let keys = keys(&format!("[{rules}]")).unwrap();
        let shop = [("x-api-key", KEY), ("origin", "https://shop.example")];
        let headers: HeaderMap = shop.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        let splunk = keys.check(&headers, "", Preset::Splunk, Instant::now());
        assert_eq!(splunk.unwrap_err().kind, Kind::Forbidden);
        assert_eq!(check(&keys, &[("x-api-key", KEY)], ""), Err(Kind::Origin));
        assert_eq!(check(&keys, &[shop[0], ("origin", "https://evil.example")], ""), Err(Kind::Origin));
        assert_eq!([(); 3].map(|()| check(&keys, &shop, "")), [Ok(()), Ok(()), Err(Kind::Rate)]);
    }

    #[test]
    fn wrong_keys_are_refused_by_their_place_and_never_shown() {
        for (yaml, path) in [
            (r#"[{"name": "a"}]"#, "keys[0].hash"),
            (r#"[{"name": "a", "hash": "hunter2"}]"#, "keys[0].hash"),
            (r#"[{"name": "a", "key": "hunter2"}]"#, "keys[0].key"),
            (r#"[{"name": "a", "key": "hunter2hunter2hunter2", "hash": "x"}]"#, "keys[0].key"),
            (
                r#"[{"name": "a", "key": "hunter2hunter2hunter2"}, {"name": "a", "key": "hunter3hunter3hunter3"}]"#,
                "keys[1].name",
            ),
            (
                r#"[{"name": "a", "key": "hunter2hunter2hunter2"}, {"name": "b", "key": "hunter2hunter2hunter2"}]"#,
                "keys",
            ),
        ] {
            let error = keys(yaml).err().unwrap().to_string();
            assert!(error.contains(path) && !error.contains("hunter"), "{error}");
        }
    }
}
