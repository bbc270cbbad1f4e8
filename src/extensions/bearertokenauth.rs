//! Checks tokens, or sends one: whoever has the token is let in (RFC 6750).
//!
//! ```yaml
//! bearertokenauth:
//!   token: ${env:GATEWAY_TOKEN:-set-this-variable}
//! ```
//!
//! In a receiver, `auth: {authenticator: bearertokenauth}` lets in only requests with the header
//! `authorization: Bearer TOKEN` and one of the tokens. In an exporter it adds that header, with the first token.
//!
//! A file of tokens is read again when it changes, so that tokens are exchanged without a restart: write the new one
//! behind the old one at the receiving end, then exchange it at the sending ends, then remove the old one.
//!
//! Offers: server authenticator, client authenticator. Tokens are compared by their hash, in the same time for right
//! and wrong ones, and never shown. They have no names: to tell senders apart, use `apikey`. Send tokens over TLS only:
//! who can read along has them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Period, Secret};
use watershed_pipeline::{
    AuthError, ClientAuthenticator, Context, Extension, ExtensionConfig, HashedKeys, Identity, KeyDigest,
    RequestHeaders, ServerAuthenticator,
};

use super::credentials::Place;
use super::source::Source;

/// Settings of the extension.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The header that holds the token. Default `Authorization`.
    header: String,
    /// The word before the token; empty for none. Default `Bearer`.
    scheme: String,
    /// The token. One of `token`, `tokens` and `filename` is required.
    token: Option<Secret>,
    /// Several tokens, of which each is accepted and the first is sent. At most 1000.
    tokens: Vec<Secret>,
    /// A file with tokens, one a line.
    filename: Option<PathBuf>,
    /// How long the file may be used without a look whether it has changed. Default `1s`; `0` looks at each request.
    reload_interval: Period,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header: "Authorization".to_owned(),
            scheme: "Bearer".to_owned(),
            token: None,
            tokens: Vec::new(),
            filename: None,
            reload_interval: Period::seconds(1),
        }
    }
}

impl ExtensionConfig for Config {
    const TYPE: &'static str = "bearertokenauth";
    const ALIASES: &'static [&'static str] = &["bearertoken"];
    const SOURCE: &'static str = include_str!("bearertokenauth.rs");

    fn build(&self, _cx: &Context) -> Result<Extension, BuildError> {
        let place = Place::new(&self.header, &self.scheme)?;
        let bearer = Arc::new(Bearer { place, tokens: self.source()? });
        Ok(Extension::new().with_server_authenticator(bearer.clone()).with_client_authenticator(bearer))
    }
}

impl Config {
    fn source(&self) -> Result<Source<Tokens>, BuildError> {
        match (&self.token, self.tokens.as_slice(), &self.filename) {
            (Some(token), [], None) => {
                let tokens = Tokens::new(std::slice::from_ref(token));
                Ok(Source::fixed(tokens.map_err(|problem| BuildError::at("token", problem))?))
            }
            (None, tokens @ [_, ..], None) => {
                let tokens = Tokens::new(tokens).map_err(|problem| BuildError::at("tokens", problem))?;
                Ok(Source::fixed(tokens))
            }
            (None, [], Some(path)) => Source::file(path, self.reload_interval.duration(), Tokens::parse)
                .map_err(|problem| BuildError::at("filename", problem)),
            (None, [], None) => {
                Err(BuildError::new("has no token; set one of `token`, `tokens` and `filename`"))
            }
            _ => Err(BuildError::new("has more than one of `token`, `tokens` and `filename`; keep one")),
        }
    }
}

/// Tokens, as they are checked and as one is sent.
struct Tokens {
    keys: HashedKeys,
    first: Secret,
}

impl Tokens {
    fn new(tokens: &[Secret]) -> Result<Self, String> {
        let first = tokens.first().cloned().ok_or("holds no token; write one a line")?;
        let sendable = |token: &&Secret| {
            !token.expose().is_empty() && token.expose().bytes().all(|byte| (0x21..0x7f).contains(&byte))
        };
        if !tokens.iter().all(|token| sendable(&token)) {
            return Err("is empty or has characters that no header can hold; use letters, digits and signs \
                        without spaces"
                .to_owned());
        }
        let digest = |token: &Secret| (KeyDigest::of(token.expose().as_bytes()), Identity::default());
        Ok(Self { keys: HashedKeys::new(tokens.iter().map(digest).collect())?, first })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self::new(&lines.map(Secret::new).collect::<Vec<_>>())
    }
}

/// The running extension.
struct Bearer {
    place: Place,
    tokens: Source<Tokens>,
}

#[async_trait]
impl ServerAuthenticator for Bearer {
    async fn authenticate(&self, headers: &dyn RequestHeaders) -> Result<Identity, AuthError> {
        let token = self.place.find(headers)?;
        self.tokens.current().keys.find(token).cloned().ok_or(AuthError::Invalid)
    }

    fn header(&self) -> &str {
        self.place.header()
    }

    fn challenge(&self) -> &str {
        "Bearer"
    }
}

impl ClientAuthenticator for Bearer {
    fn header(&self) -> Result<(String, Secret), String> {
        let value = self.place.value(self.tokens.current().first.expose());
        Ok((self.place.header().to_owned(), Secret::new(value)))
    }
}

#[cfg(test)]
mod tests {
    use watershed_config::Section;

    use super::super::credentials::Sent;
    use super::*;

    fn bearer(yaml: &str) -> Result<Bearer, String> {
        let config: Config = Section::from_text("bearertokenauth", yaml).unwrap().read().unwrap();
        let place = Place::new(&config.header, &config.scheme).map_err(|error| error.to_string())?;
        Ok(Bearer { place, tokens: config.source().map_err(|error| error.to_string())? })
    }

    async fn lets_in(bearer: &Bearer, header: &'static str, value: &str) -> bool {
        bearer.authenticate(&Sent(header, value.to_owned())).await.is_ok()
    }

    #[tokio::test]
    async fn only_who_has_a_token_is_let_in() {
        let one = bearer("tokens: [alpha, beta]").unwrap();
        assert!(lets_in(&one, "authorization", "Bearer alpha").await);
        assert!(lets_in(&one, "authorization", "Bearer beta").await);
        for wrong in ["Bearer gamma", "Bearer ", "alpha", "Basic alpha", "Bearer alpha beta"] {
            assert!(!lets_in(&one, "authorization", wrong).await, "{wrong}");
        }
        let own = bearer("{token: alpha, header: X-Token, scheme: ''}").unwrap();
        assert!(lets_in(&own, "x-token", "alpha").await);
        assert_eq!(ClientAuthenticator::header(&own).unwrap(), ("x-token".to_owned(), Secret::new("alpha")));
    }

    #[tokio::test]
    async fn tokens_of_a_file_are_exchanged_without_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, "old\n").unwrap();
        let bearer = bearer(&format!("{{filename: {}, reload_interval: 0s}}", path.display())).unwrap();
        assert!(lets_in(&bearer, "authorization", "Bearer old").await);
        std::fs::write(&path, "newer\n\n").unwrap();
        assert!(lets_in(&bearer, "authorization", "Bearer newer").await);
        assert!(!lets_in(&bearer, "authorization", "Bearer old").await);
        // A file without a token would let nobody in, which is more likely a mistake.
        std::fs::write(&path, "").unwrap();
        assert!(lets_in(&bearer, "authorization", "Bearer newer").await);
    }

    #[test]
    fn tokens_that_cannot_be_used_are_refused_without_being_shown() {
        for (yaml, expected) in [
            ("", "has no token; set one of `token`, `tokens` and `filename`"),
            ("{token: a, tokens: [b]}", "has more than one of `token`, `tokens` and `filename`; keep one"),
            ("tokens: [same, same]", "tokens: has the same key twice; remove one"),
            (
                "token: ''",
                "token: is empty or has characters that no header can hold; use letters, digits and signs without \
                 spaces",
            ),
        ] {
            assert_eq!(bearer(yaml).err().unwrap(), expected);
        }
        assert!(!bearer("token: hunter 2").err().unwrap().contains("hunter"));
    }
}
