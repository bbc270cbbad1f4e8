//! Who may send: asks the authenticator of a port about each request, before its body is read.
//!
//! A receiver makes one [`Guard`] for each port from the block `auth` of its settings. For each request it calls
//! [`Guard::admit`], then [`Guard::permit`] once it knows the signal, and [`Guard::metadata`] for what travels with the
//! batch. Without an authenticator everybody is let in, and is known by the certificate of the connection if there is
//! one.

use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use watershed_config::BuildError;
use watershed_pipeline::{
    AuthError, AuthSettings, Context, Identity, Metadata, RequestHeaders, ServerAuthenticator, Signal,
};

use super::certificate::ClientCertificate;
use super::metadata::metadata;

/// Lets requests in, or not.
pub(crate) struct Guard {
    authenticator: Option<Arc<dyn ServerAuthenticator>>,
    challenge: Option<HeaderValue>,
    include_metadata: bool,
}

impl Guard {
    /// Makes the guard of one port. `path` is where the block `auth` stands in the receiver's section;
    /// `include_metadata` lets headers and address travel with the batch.
    ///
    /// # Errors
    /// The settings name no extension that is an authenticator and switched on.
    pub(crate) fn new(
        settings: Option<&AuthSettings>,
        include_metadata: bool,
        cx: &Context,
        path: &str,
    ) -> Result<Self, BuildError> {
        let authenticator = settings.map(|settings| settings.server(cx, path)).transpose()?;
        let challenge = authenticator.as_ref().map(|authenticator| {
            HeaderValue::from_str(authenticator.challenge()).unwrap_or(HeaderValue::from_static("Bearer"))
        });
        Ok(Self { authenticator, challenge, include_metadata })
    }

    /// Finds out who sends a request, from its headers and the certificate of its connection.
    ///
    /// # Errors
    /// The request must not be let in; its body is not to be read.
    pub(crate) async fn admit(&self, parts: &Parts) -> Result<Identity, AuthError> {
        let identity = match &self.authenticator {
            Some(authenticator) => authenticator.authenticate(&Headers(&parts.headers)).await?,
            None => Identity::default(),
        };
        match parts.extensions.get::<ClientCertificate>() {
            Some(certificate) if identity.subject().is_none() => {
                Ok(identity.with_subject(Some(&certificate.subject)))
            }
            _ => Ok(identity),
        }
    }

    /// Fails if this sender may not send this signal.
    ///
    /// # Errors
    /// Always [`AuthError::Forbidden`].
    pub(crate) fn permit(identity: &Identity, signal: Signal) -> Result<(), AuthError> {
        if identity.may_send(signal) {
            return Ok(());
        }
        Err(AuthError::Forbidden { reason: format!("these credentials may not send {signal}") })
    }

    /// What `WWW-Authenticate` of a refusal with 401 says.
    pub(crate) fn challenge(&self) -> Option<&HeaderValue> {
        self.challenge.as_ref()
    }

    /// What travels with the batch: who sent it, and headers and address if the settings say so.
    pub(crate) fn metadata(
        &self,
        headers: &HeaderMap,
        client: SocketAddr,
        identity: &Identity,
    ) -> Option<Arc<Metadata>> {
        let own = if self.include_metadata {
            let credentials = self.authenticator.as_ref().map(|authenticator| authenticator.header());
            Some(metadata(headers, client, credentials))
        } else {
            None
        };
        match (identity.subject(), own) {
            (Some(subject), own) => Some(Arc::new(own.unwrap_or_default().with_subject(subject))),
            (None, own) => own.map(Arc::new),
        }
    }
}

/// The headers of a request as an authenticator reads them.
struct Headers<'r>(&'r HeaderMap);

impl RequestHeaders for Headers<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(HeaderValue::as_bytes)
    }
}
