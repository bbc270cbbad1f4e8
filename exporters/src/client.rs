//! What exporters over HTTP share: the client with its TLS, compression of bodies, and how answers are read.
//!
//! Read `client/answer.rs` for what an answer means to the engine, `client/status.rs` for the messages in it,
//! `client/tls.rs` for certificates, `client/compression.rs` for bodies, `client/grpc.rs` for OTLP over gRPC.

mod answer;
mod compression;
pub(crate) mod grpc;
mod status;
mod tls;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use watershed_config::{BuildError, Secret, ServerUrl};
use watershed_pipeline::{AuthSettings, ClientAuthenticator, Context, ExportError};

pub(crate) use answer::{Answer, BODY_SIZE_MAX, body_start, partial_success, quotable, retry_after};
pub(crate) use compression::{Compression, CompressionParameters, Compressor};
pub(crate) use status::{Status, response_message};
pub(crate) use tls::Tls;

/// How long connecting to a server may take, so that one that is switched off does not eat the time of an attempt.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of a client that are not read as such from the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Certificates and keys.
    pub(crate) tls: Tls,
    /// Whether any address begins with `https`.
    pub(crate) is_secure: bool,
    /// Which versions of HTTP may be spoken.
    pub(crate) version: Version,
    /// A proxy instead of those that the environment names.
    pub(crate) proxy: Option<ServerUrl>,
    /// How many connections without work are kept.
    pub(crate) idle_connections_max: usize,
    /// How long a connection without work is kept.
    pub(crate) idle_timeout: Option<Duration>,
    /// After which silence an HTTP/2 connection is asked for a sign of life, and how long that may take.
    pub(crate) ping: Option<(Duration, Duration)>,
    /// Whether a connection without work is asked too.
    pub(crate) pings_idle: bool,
}

/// Which versions of HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.1 only.
    One,
    /// HTTP/2 where TLS lets both sides agree on it, else HTTP/1.1.
    Agreed,
    /// HTTP/2 only, also without TLS.
    Two,
}

/// Who we are to a server: the extension that the block `auth` of an exporter names, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Credentials(Option<Arc<dyn ClientAuthenticator>>);

impl Credentials {
    /// Finds the extension.
    ///
    /// # Errors
    /// There is none of that name that is switched on and says who we are.
    pub(crate) fn new(settings: Option<&AuthSettings>, cx: &Context) -> Result<Self, BuildError> {
        settings.map(|settings| settings.client(cx, "auth")).transpose().map(Self)
    }

    /// Adds the header that says who we are; it wins over one of the settings.
    ///
    /// # Errors
    /// The extension has no credentials now, or some that no header can hold.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) -> Result<(), ExportError> {
        let Some(authenticator) = &self.0 else { return Ok(()) };
        let retry = |reason| ExportError::Retry { reason, after: None };
        let (name, value) = authenticator.header().map_err(retry)?;
        let name = HeaderName::try_from(name);
        let (Ok(name), Ok(mut value)) = (name, HeaderValue::try_from(value.expose())) else {
            return Err(retry("the credentials of `auth` cannot stand in a header".to_owned()));
        };
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }
}

/// An HTTP client whose certificates are read again from time to time.
pub(crate) struct Client {
    options: Options,
    credentials: Credentials,
    current: RwLock<reqwest::Client>,
    read_at: Mutex<Instant>,
}

impl Client {
    /// Reads the certificates and makes a client.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub(crate) fn new(options: Options, credentials: Credentials) -> Result<Self, BuildError> {
        let current = RwLock::new(options.client()?);
        Ok(Self { options, credentials, current, read_at: Mutex::new(Instant::now()) })
    }

    /// Who we are to the server.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Sends one request, with the header that says who we are.
    ///
    /// # Errors
    /// An attempt without an answer is always worth another.
    pub(crate) async fn send(&self, mut request: reqwest::Request) -> Result<reqwest::Response, ExportError> {
        self.credentials.add_to(request.headers_mut())?;
        let client = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        client.execute(request).await.map_err(transport_error)
    }

    /// Reads the certificates again if it is time to. If they are wrong then, the client goes on with what it has.
    pub(crate) fn refresh(&self) {
        if let Err(error) = self.try_refresh() {
            tracing::warn!(%error, "certificates cannot be read again; going on with the old ones");
        }
    }

    fn try_refresh(&self) -> Result<(), BuildError> {
        let Some(interval) = self.options.tls.reload_interval() else { return Ok(()) };
        {
            let mut read_at = self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
            if read_at.elapsed() < interval {
                return Ok(());
            }
            *read_at = Instant::now();
        }
        let client = self.options.client()?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }
}

impl Options {
    fn client(&self) -> Result<reqwest::Client, BuildError> {
        let mut tls = self.tls.client_config(self.is_secure)?;
        tls.alpn_protocols = match self.version {
            Version::One => vec![b"http/1.1".to_vec()],
            Version::Agreed => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Version::Two => vec![b"h2".to_vec()],
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("watershed/", env!("CARGO_PKG_VERSION")))
            // A redirect may turn a POST into a GET, and an answer to that would look like success.
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(self.idle_connections_max)
            .pool_idle_timeout(self.idle_timeout)
            .http2_initial_stream_window_size(1 << 20)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        builder = match (self.version, self.is_secure) {
            (Version::One, _) => builder.http1_only(),
            (Version::Agreed, _) => builder,
            (Version::Two, true) => builder.http2_prior_knowledge(),
            // A proxy passes on HTTP/2 only within TLS.
            (Version::Two, false) => builder.http2_prior_knowledge().no_proxy(),
        };
        if let Some((interval, timeout)) = self.ping {
            builder = builder
                .http2_keep_alive_interval(interval)
                .http2_keep_alive_timeout(timeout)
                .http2_keep_alive_while_idle(self.pings_idle);
        }
        if let Some(proxy) = &self.proxy {
            let proxy = reqwest::Proxy::all(proxy.with_scheme(false))
                .map_err(|error| BuildError::at("proxy_url", chain(&error)))?;
            builder = builder.proxy(proxy);
        }
        builder
            .build()
            .map_err(|error| BuildError::new(format!("cannot make an HTTP client: {}", chain(&error))))
    }
}

/// Headers as they are written in the configuration. Their values stay out of logs.
///
/// # Errors
/// Names the header that is not one.
pub(crate) fn headers(settings: &BTreeMap<String, Secret>) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::with_capacity(settings.len());
    for (name, value) in settings {
        let path = format!("headers.{name}");
        let name = HeaderName::try_from(name.as_str()).map_err(|_| {
            BuildError::at(&path, "is not the name of a header; use letters, digits and dashes")
        })?;
        let mut value = HeaderValue::try_from(value.expose()).map_err(|_| {
            BuildError::at(
                &path,
                "has a value that no header can hold; remove line ends and control characters",
            )
        })?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// An attempt that ended without an answer.
pub(crate) fn transport_error(error: reqwest::Error) -> ExportError {
    // The address may hold a token in its query.
    let error = error.without_url();
    ExportError::Retry { reason: format!("no answer from the server: {}", chain(&error)), after: None }
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_cannot_be_sent_is_named_without_its_value() {
        let settings = BTreeMap::from([("x-token".to_owned(), Secret::new("hunter2\n"))]);
        let error = headers(&settings).unwrap_err().to_string();
        assert!(error.contains("headers.x-token") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn certificates_that_cannot_be_read_again_leave_the_client_as_it_was() {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let tls = format!("ca_file: {}\nreload_interval: 1ns", file.display());
        let tls: Tls = watershed_config::Section::from_text("tls", &tls).unwrap().read().unwrap();
        let options = Options {
            tls,
            is_secure: true,
            version: Version::Agreed,
            proxy: None,
            idle_connections_max: 1,
            idle_timeout: None,
            ping: None,
            pings_idle: false,
        };
        assert!(Client::new(options.clone(), Credentials::default()).is_err());
        std::fs::write(&file, own.cert.pem()).unwrap();
        let client = Client::new(options, Credentials::default()).unwrap();
        assert_eq!(client.try_refresh(), Ok(()));
        std::fs::write(&file, "torn").unwrap();
        assert_eq!(
            client.try_refresh().unwrap_err().to_string(),
            "tls.ca_file: holds no certificate in PEM form"
        );
        std::fs::write(&file, own.cert.pem()).unwrap();
        assert_eq!(client.try_refresh(), Ok(()));
    }
}
