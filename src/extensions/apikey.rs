//! Checks keys with names: each sender has its own, which may be limited to some signals.
//!
//! ```yaml
//! apikey:
//!   header: x-api-key
//!   keys:
//!     - name: checkout
//!       sha256: 608a2efe27190159943b240910cf7b3d507c4fdfa295ff8cfcdf5f6b577f827f
//!     - name: browsers
//!       sha256: a8067187059eea60a4ea99778611d7aa3116f333505f31a64e128a68e76b7cf7
//!       scopes: [traces]
//! ```
//!
//! Make a key and its hash with `key=$(openssl rand -hex 32); printf %s "$key" | sha256sum`. The sender gets the key; only
//! the hash stands here, so that a stolen configuration lets nobody in. That holds for long random keys; for passwords
//! use `basicauth`.
//!
//! In a receiver, `auth: {authenticator: apikey}` lets in only requests with one of the keys; a key with `scopes` may
//! send only those signals, and anything else is answered with 403 or `PERMISSION_DENIED`. The name of the key travels
//! with the data as metadata `auth.subject`: `batch` keeps senders apart by it, and exporters can make tenants of it.
//!
//! A file of keys has one a line: name, hash and, if the key is limited, its scopes with commas between them; `#` begins a
//! comment. It is read again when it changes.
//!
//! Offers: server authenticator. A key is compared with all others by its hash, which takes as long for a wrong one as
//! for a right one. At most 1000 keys of at most 1 KiB.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Period};
use watershed_pipeline::{
    AuthError, Context, Extension, ExtensionConfig, HashedKeys, Identity, KeyDigest, RequestHeaders,
    ServerAuthenticator, Signal,
};

use super::credentials::Place;
use super::source::Source;

/// Letters of a key's name.
const NAME_MAX: usize = 256;

/// Settings of the extension.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The header that holds the key. Default `x-api-key`.
    header: String,
    /// A word before the key, for instance `Bearer`. Default none.
    scheme: String,
    /// The keys. These or `filename` are required.
    keys: Vec<Key>,
    /// A file with further keys.
    filename: Option<PathBuf>,
    /// How long the file may be used without a look whether it has changed. Default `1s`; `0` looks at each request.
    reload_interval: Period,
}

/// A key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    /// Who has it. It travels with the data. Required.
    name: String,
    /// The SHA-256 hash of the key, in 64 hexadecimal digits. Required.
    sha256: String,
    /// The signals that it may send. Default all.
    #[serde(default)]
    scopes: Option<Vec<Scope>>,
}

/// What a key may send.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// Log records.
    Logs,
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header: "x-api-key".to_owned(),
            scheme: String::new(),
            keys: Vec::new(),
            filename: None,
            reload_interval: Period::seconds(1),
        }
    }
}

impl ExtensionConfig for Config {
    const TYPE: &'static str = "apikey";
    const SOURCE: &'static str = include_str!("apikey.rs");

    fn build(&self, _cx: &Context) -> Result<Extension, BuildError> {
        Ok(Extension::new().with_server_authenticator(Arc::new(self.checker()?)))
    }
}

impl Config {
    fn checker(&self) -> Result<ApiKey, BuildError> {
        let place = Place::new(&self.header, &self.scheme)?;
        let challenge = if self.scheme.is_empty() { "ApiKey".to_owned() } else { self.scheme.clone() };
        let mut fixed = Vec::new();
        for (number, key) in self.keys.iter().enumerate() {
            let hashed = key.hashed();
            fixed.push(hashed.map_err(|(setting, problem)| {
                BuildError::at(format!("keys[{number}].{setting}"), problem)
            })?);
        }
        let keys = match &self.filename {
            None if fixed.is_empty() => {
                return Err(BuildError::at("keys", "is empty; add a key or name a file by `filename`"));
            }
            None => Source::fixed(HashedKeys::new(fixed).map_err(|problem| BuildError::at("keys", problem))?),
            Some(path) => {
                let parse = move |text: &str| HashedKeys::new([fixed.clone(), parse(text)?].concat());
                Source::file(path, self.reload_interval.duration(), parse)
                    .map_err(|problem| BuildError::at("filename", problem))?
            }
        };
        Ok(ApiKey { place, challenge, keys })
    }
}

impl Key {
    /// The key as it is compared, or a setting and what is wrong with it.
    fn hashed(&self) -> Result<(KeyDigest, Identity), (&'static str, String)> {
        let name = self.name.trim();
        let length = name.chars().count();
        if length == 0 || length > NAME_MAX || name.contains(char::is_control) {
            return Err(("name", format!("must have from 1 to {NAME_MAX} visible characters")));
        }
        let digest = self.sha256.parse().map_err(|problem| ("sha256", problem))?;
        let identity = Identity::new(Some(name));
        Ok((
            digest,
            match &self.scopes {
                None => identity,
                Some(scopes) => identity.limited_to(scopes.iter().map(|scope| scope.signal()).collect()),
            },
        ))
    }
}

impl Scope {
    fn signal(self) -> Signal {
        match self {
            Self::Logs => Signal::Logs,
            Self::Traces => Signal::Traces,
            Self::Metrics => Signal::Metrics,
        }
    }

    fn read(name: &str) -> Result<Self, String> {
        match name {
            "logs" => Ok(Self::Logs),
            "traces" => Ok(Self::Traces),
            "metrics" => Ok(Self::Metrics),
            other => Err(format!("has the unknown scope `{other}`; use logs, traces, metrics")),
        }
    }
}

/// Reads a file of keys. Errors name the line and repeat no hash.
fn parse(text: &str) -> Result<Vec<(KeyDigest, Identity)>, String> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let read = |(number, line): (usize, &str)| {
        let at = |problem: String| format!("line {number} {problem}");
        let mut words = line.split_whitespace();
        let (Some(name), Some(sha256), scopes, None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(at("is not made of a name, a hash and perhaps scopes".to_owned()));
        };
        let scopes = scopes.map(|list| list.split(',').map(Scope::read).collect::<Result<_, _>>());
        let scopes = scopes.transpose().map_err(at)?;
        let key = Key { name: name.to_owned(), sha256: sha256.to_owned(), scopes };
        key.hashed().map_err(|(setting, problem)| at(format!("has a {setting} that {problem}")))
    };
    lines.map(read).collect()
}

/// The running extension.
struct ApiKey {
    place: Place,
    challenge: String,
    keys: Source<HashedKeys>,
}

#[async_trait]
impl ServerAuthenticator for ApiKey {
    async fn authenticate(&self, headers: &dyn RequestHeaders) -> Result<Identity, AuthError> {
        let key = self.place.find(headers)?;
        self.keys.current().find(key).cloned().ok_or(AuthError::Invalid)
    }

    fn header(&self) -> &str {
        self.place.header()
    }

    fn challenge(&self) -> &str {
        &self.challenge
    }
}

#[cfg(test)]
mod tests {
    use watershed_config::Section;

    use super::super::credentials::Sent;
    use super::*;

    /// The hash of `abc` (FIPS 180-2).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    /// The hash of the empty text.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn checker(yaml: &str) -> Result<ApiKey, String> {
        let section = Section::from_text("apikey", yaml).unwrap();
        let config: Config = section.read().map_err(|errors| errors.to_string())?;
        config.checker().map_err(|error| section.build_error(error).to_string())
    }

    async fn identity(checker: &ApiKey, key: &str) -> Result<Identity, AuthError> {
        checker.authenticate(&Sent("x-api-key", key.to_owned())).await
    }

    #[tokio::test]
    async fn a_key_has_a_name_and_may_be_limited() {
        let checker =
            checker(&format!("keys: [{{name: shop, sha256: {ABC}, scopes: [traces, logs]}}]")).unwrap();
        let found = identity(&checker, "abc").await.unwrap();
        assert_eq!(found.subject(), Some("shop"));
        assert_eq!(Signal::ALL.map(|signal| found.may_send(signal)), [true, true, false]);
        assert_eq!(identity(&checker, "abd").await, Err(AuthError::Invalid));
        // The hash itself is no key.
        assert_eq!(identity(&checker, ABC).await, Err(AuthError::Invalid));
    }

    #[tokio::test]
    async fn an_empty_key_is_never_let_in() {
        let checker = checker(&format!("keys: [{{name: nobody, sha256: {EMPTY}}}]")).unwrap();
        assert!(matches!(identity(&checker, "").await, Err(AuthError::Missing { .. })));
    }

    #[tokio::test]
    async fn keys_of_a_file_stand_beside_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, format!("# the shop\nshop {ABC} logs,metrics\n")).unwrap();
        let yaml = format!("{{filename: {}, keys: [{{name: nobody, sha256: {EMPTY}}}]}}", path.display());
        let found = identity(&checker(&yaml).unwrap(), "abc").await.unwrap();
        assert_eq!(found, Identity::new(Some("shop")).limited_to(vec![Signal::Logs, Signal::Metrics]));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (yaml, expected) in [
            ("", "apikey:1:1: apikey.keys: is empty; add a key or name a file by `filename`"),
            (
                "keys: [{name: a, sha256: secret-by-mistake}]",
                "apikey:1:26: apikey.keys[0].sha256: is no SHA-256 hash, which has 64 hexadecimal digits; make one \
                 with `printf %s KEY | sha256sum`",
            ),
            (
                &format!("keys: [{{name: '', sha256: {ABC}}}]"),
                "apikey:1:15: apikey.keys[0].name: must have from 1 to 256 visible characters",
            ),
            (
                &format!("keys: [{{name: a, sha256: {ABC}, scopes: [log]}}]"),
                "apikey:1:101: apikey.keys[0].scopes: unknown value `log`; did you mean `logs`?",
            ),
        ] {
            assert_eq!(checker(yaml).err().unwrap(), expected);
        }
        assert_eq!(parse("a").unwrap_err(), "line 1 is not made of a name, a hash and perhaps scopes");
        assert_eq!(
            parse(&format!("\na {ABC} x")).unwrap_err(),
            "line 2 has the unknown scope `x`; use logs, traces, metrics"
        );
    }
}
