//! Who sends, and who we are: the contract between components that use the network and extensions that know
//! credentials.
//!
//! A receiver asks a [`ServerAuthenticator`] about the headers of each request before it reads the body; an exporter
//! asks a [`ClientAuthenticator`] for headers before it sends one. Both name an extension by [`AuthSettings`].
//! `auth/keys.rs` is the check of keys that several authenticators and receivers need.

mod keys;

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ComponentId, Secret};

pub use keys::{HashedKeys, KeyDigest};

use crate::batch::Signal;
use crate::context::Context;

/// The block `auth` of a receiver's protocol, or of an exporter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// The id of an extension that knows credentials, such as `bearertokenauth`; it has to stand in
    /// `service.extensions` too. Required.
    authenticator: ComponentId,
}

impl AuthSettings {
    /// The authenticator for those who send to us. `path` is where the block stands in the component's section.
    ///
    /// # Errors
    /// There is no such extension, it is not switched on, or it does not do that.
    pub fn server(&self, cx: &Context, path: &str) -> Result<Arc<dyn ServerAuthenticator>, BuildError> {
        let found = cx.extensions().server_authenticator(&self.authenticator);
        found.map_err(|problem| BuildError::at(format!("{path}.authenticator"), problem))
    }

    /// The authenticator for those that we send to. `path` is where the block stands in the component's section.
    ///
    /// # Errors
    /// There is no such extension, it is not switched on, or it does not do that.
    pub fn client(&self, cx: &Context, path: &str) -> Result<Arc<dyn ClientAuthenticator>, BuildError> {
        let found = cx.extensions().client_authenticator(&self.authenticator);
        found.map_err(|problem| BuildError::at(format!("{path}.authenticator"), problem))
    }
}

/// The headers of a request.
pub trait RequestHeaders: Sync {
    /// The first value of a header, given its name in lower case.
    fn header(&self, name: &str) -> Option<&[u8]>;
}

/// Finds out who sends a request.
#[async_trait]
pub trait ServerAuthenticator: Send + Sync + 'static {
    /// Checks the credentials in the headers of one request. The body has not been read.
    ///
    /// What takes long, such as a slow hash, runs outside of the calling task and at most a few at a time.
    ///
    /// # Errors
    /// See [`AuthError`]; its words go to the client and to no log, and hold nothing of the credentials.
    async fn authenticate(&self, headers: &dyn RequestHeaders) -> Result<Identity, AuthError>;

    /// The header that holds credentials, in lower case. It does not travel with the data.
    fn header(&self) -> &str;

    /// What `WWW-Authenticate` of a refusal says (RFC 9110 §11.6.1), for instance `Bearer`.
    fn challenge(&self) -> &str;
}

/// Says who we are.
pub trait ClientAuthenticator: Send + Sync + 'static {
    /// The header of the next request, its name in lower case.
    ///
    /// # Errors
    /// There are no credentials now, for a reason that holds nothing of them; the request is not sent.
    fn header(&self) -> Result<(String, Secret), String>;
}

/// Who sends, once that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    subject: Option<Arc<str>>,
    signals: Option<Vec<Signal>>,
}

impl Identity {
    /// Somebody who may send everything; `subject` is the name of a user or key, if it has one.
    #[must_use]
    pub fn new(subject: Option<&str>) -> Self {
        Self { subject: subject.map(Into::into), signals: None }
    }

    /// The same, who may send only these signals.
    #[must_use]
    pub fn limited_to(mut self, signals: Vec<Signal>) -> Self {
        self.signals = Some(signals);
        self
    }

    /// The same under another name.
    #[must_use]
    pub fn with_subject(mut self, subject: Option<&str>) -> Self {
        self.subject = subject.map(Into::into);
        self
    }

    /// The name of the user or key.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whether this one may send a signal.
    #[must_use]
    pub fn may_send(&self, signal: Signal) -> bool {
        self.signals.as_ref().is_none_or(|signals| signals.contains(&signal))
    }
}

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There are no credentials. Answered with 401 or `UNAUTHENTICATED`.
    #[error("credentials are missing; send them in the header `{header}`")]
    Missing {
        /// The header that should have held them.
        header: String,
    },
    /// There are credentials, and they are not valid. Answered with 401 or `UNAUTHENTICATED`.
    #[error("the credentials are not valid")]
    Invalid,
    /// The credentials are valid and do not suffice. Answered with 403 or `PERMISSION_DENIED`.
    #[error("{reason}")]
    Forbidden {
        /// What is not allowed, in words for the client.
        reason: String,
    },
    /// So many credentials are being checked that this request has to come again. Answered with 503 or
    /// `UNAVAILABLE`.
    #[error("too many credentials are being checked at this moment")]
    Busy,
}

/// Lets nobody in. It stands for an extension with mistakes in its settings, so that they are told once.
pub(crate) struct Nobody;

#[async_trait]
impl ServerAuthenticator for Nobody {
    async fn authenticate(&self, _: &dyn RequestHeaders) -> Result<Identity, AuthError> {
        Err(AuthError::Invalid)
    }

    fn header(&self) -> &str {
        "authorization"
    }

    fn challenge(&self) -> &str {
        "Bearer"
    }
}

impl ClientAuthenticator for Nobody {
    fn header(&self) -> Result<(String, Secret), String> {
        Err("the extension has mistakes in its settings".to_owned())
    }
}
