//! Checks users and their passwords, or sends one (RFC 7617).
//!
//! ```yaml
//! extensions:
//!   basicauth/server:
//!     htpasswd:
//!       inline: |
//!         checkout:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW
//!   basicauth/client:
//!     client_auth:
//!       username: checkout
//!       password: ${env:GATEWAY_PASSWORD:-set-this-variable}
//! ```
//!
//! In a receiver, `auth: {authenticator: basicauth/server}` lets in only known users with their password. Their name
//! travels with the data as metadata `auth.subject`: `batch` keeps senders apart by it, and exporters can make tenants of
//! it. In an exporter, `auth: {authenticator: basicauth/client}` adds the header `authorization`.
//!
//! Passwords are known by their bcrypt hash, as `htpasswd -nB USER` prints it. Hashes of other kinds (MD5 `$apr1$`, SHA-1, crypt, plain text) are refused: they are guessed too fast. A file is
//! read again when it changes.
//!
//! Offers: server authenticator with `htpasswd`, client authenticator with `client_auth`. A check by bcrypt takes a few
//! to some hundred milliseconds of one core, so at most half of the cores check at the same time, 64 requests wait for
//! that, and more are told to come again (503 or `UNAVAILABLE`): guessing passwords does not stop the rest of the
//! process. A password that was right is remembered by a keyed hash, up to 1024 of them, until the file changes. Send
//! passwords over TLS only: who can read along has them.

mod passwords;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Period, Secret};
use watershed_pipeline::{
    AuthError, ClientAuthenticator, Context, Extension, ExtensionConfig, Identity, RequestHeaders,
    ServerAuthenticator,
};

use self::passwords::{Checks, Users};
use super::credentials::Place;
use super::source::Source;

const HEADER: &str = "authorization";
const SCHEME: &str = "Basic";

/// Settings of the extension.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The users that may send to us. This or `client_auth` is required.
    htpasswd: Option<Htpasswd>,
    /// The user that we are elsewhere.
    client_auth: Option<ClientAuth>,
}

/// Users and hashes of their passwords, one a line: `user:hash`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Htpasswd {
    /// A file with users.
    file: Option<PathBuf>,
    /// Users as text. They win over those of the file.
    inline: Option<Secret>,
    /// How long the file may be used without a look whether it has changed. Default `1s`; `0` looks at each request.
    reload_interval: Period,
}

impl Default for Htpasswd {
    fn default() -> Self {
        Self { file: None, inline: None, reload_interval: Period::seconds(1) }
    }
}

/// A user and the password.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClientAuth {
    /// The user. Required.
    username: String,
    /// The password. Required.
    password: Secret,
}

impl ExtensionConfig for Config {
    const TYPE: &'static str = "basicauth";
    const ALIASES: &'static [&'static str] = &["basic"];
    const SOURCE: &'static str = include_str!("basicauth.rs");

    fn build(&self, _cx: &Context) -> Result<Extension, BuildError> {
        let mut extension = Extension::new();
        if let Some(server) = self.htpasswd.as_ref().map(Htpasswd::server).transpose()? {
            extension = extension.with_server_authenticator(Arc::new(server));
        }
        if let Some(client) = self.client_auth.as_ref().map(ClientAuth::client).transpose()? {
            extension = extension.with_client_authenticator(Arc::new(client));
        }
        if self.htpasswd.is_none() && self.client_auth.is_none() {
            let problem = "knows nobody; set `htpasswd` to check users, or `client_auth` to be one";
            return Err(BuildError::new(problem));
        }
        Ok(extension)
    }
}

impl Htpasswd {
    fn server(&self) -> Result<Server, BuildError> {
        let at = |setting: &'static str| move |problem: String| BuildError::at(setting, problem);
        let inline = self.inline.clone().unwrap_or_else(|| Secret::new(""));
        let users = match &self.file {
            Some(path) => {
                Users::parse(["", inline.expose()]).map_err(at("htpasswd.inline"))?;
                let parse = move |text: &str| Users::parse([text, inline.expose()])?.or_nobody();
                Source::file(path, self.reload_interval.duration(), parse).map_err(at("htpasswd.file"))?
            }
            None => {
                let users = Users::parse([inline.expose(), ""]).and_then(Users::or_nobody);
                Source::fixed(users.map_err(at("htpasswd.inline"))?)
            }
        };
        Ok(Server { place: Place::new(HEADER, SCHEME)?, users, checks: Checks::new() })
    }
}

impl ClientAuth {
    fn client(&self) -> Result<Client, BuildError> {
        if self.username.contains([':', '\n', '\r']) {
            let problem = "holds a `:` or a line end, which RFC 7617 does not allow";
            return Err(BuildError::at("client_auth.username", problem));
        }
        let both = format!("{}:{}", self.username, self.password.expose());
        Ok(Client(Secret::new(format!("{SCHEME} {}", STANDARD.encode(both)))))
    }
}

/// Checks users.
struct Server {
    place: Place,
    users: Source<Users>,
    checks: Checks,
}

#[async_trait]
impl ServerAuthenticator for Server {
    async fn authenticate(&self, headers: &dyn RequestHeaders) -> Result<Identity, AuthError> {
        let sent = self.place.find(headers)?;
        let decoded = STANDARD.decode(sent).or_else(|_| STANDARD_NO_PAD.decode(sent));
        let decoded = decoded.map_err(|_| AuthError::Invalid)?;
        let text = std::str::from_utf8(&decoded).map_err(|_| AuthError::Invalid)?;
        let (user, password) = text.split_once(':').ok_or(AuthError::Invalid)?;
        if self.checks.check(self.users.current(), user, password).await? {
            return Ok(Identity::new(Some(user)));
        }
        Err(AuthError::Invalid)
    }

    fn header(&self) -> &str {
        self.place.header()
    }

    fn challenge(&self) -> &str {
        "Basic realm=\"watershed\", charset=\"UTF-8\""
    }
}

/// Is one user.
struct Client(Secret);

impl ClientAuthenticator for Client {
    fn header(&self) -> Result<(String, Secret), String> {
        Ok((HEADER.to_owned(), self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use watershed_config::Section;

    use super::super::credentials::Sent;
    use super::*;

    /// `htpasswd -nbB -C 4 ada 'open sesame'`.
    fn line() -> String {
        format!("ada:{}", bcrypt::hash("open sesame", 4).unwrap())
    }

    fn server(yaml: &str) -> Result<Server, String> {
        let config: Config = Section::from_text("basicauth", yaml).unwrap().read().unwrap();
        config.htpasswd.unwrap().server().map_err(|error| error.to_string())
    }

    async fn who(server: &Server, user_and_password: &str) -> Result<Identity, AuthError> {
        let value = format!("Basic {}", STANDARD.encode(user_and_password));
        server.authenticate(&Sent(HEADER, value)).await
    }

    #[tokio::test]
    async fn users_are_let_in_by_their_password_under_their_name() {
        let server = server(&format!("htpasswd: {{inline: '{}'}}", line())).unwrap();
        // The second time it is remembered.
        for _ in 0..2 {
            assert_eq!(who(&server, "ada:open sesame").await, Ok(Identity::new(Some("ada"))));
        }
        for wrong in ["ada:open", "ada:", "ada", "eve:open sesame", "", ":"] {
            assert_eq!(who(&server, wrong).await, Err(AuthError::Invalid), "{wrong}");
        }
        let garbage = server.authenticate(&Sent(HEADER, "Basic !".to_owned())).await;
        assert_eq!(garbage, Err(AuthError::Invalid));
    }

    #[tokio::test]
    async fn a_user_who_was_taken_out_of_the_file_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        std::fs::write(&path, format!("# senders\n{}\n", line())).unwrap();
        let yaml = format!("htpasswd: {{file: {}, reload_interval: 0s}}", path.display());
        let server = server(&yaml).unwrap();
        assert!(who(&server, "ada:open sesame").await.is_ok());
        std::fs::write(&path, line().replace("ada", "eve")).unwrap();
        assert_eq!(who(&server, "ada:open sesame").await, Err(AuthError::Invalid));
        assert_eq!(who(&server, "eve:open sesame").await, Ok(Identity::new(Some("eve"))));
    }

    #[test]
    fn a_client_sends_user_and_password() {
        // The example of RFC 7617 §2.
        let auth = ClientAuth { username: "Aladdin".to_owned(), password: Secret::new("open sesame") };
        let (name, value) = auth.client().unwrap().header().unwrap();
        assert_eq!((name.as_str(), value.expose()), (HEADER, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        let wrong = ClientAuth { username: "a:b".to_owned(), ..auth };
        assert!(wrong.client().err().unwrap().to_string().starts_with("client_auth.username: holds a `:`"));
    }
}
