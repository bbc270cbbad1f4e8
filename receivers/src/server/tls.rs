//! TLS of a listener: settings, certificates, and their reload.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use watershed_config::{Period, Secret};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Certificates and versions of a listener.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsSettings {
    /// File with the certificate and its chain, in PEM. This or `cert_pem` is required.
    pub(crate) cert_file: Option<String>,
    /// The certificate and its chain themselves, in PEM.
    pub(crate) cert_pem: Option<String>,
    /// File with the private key, in PEM. This or `key_pem` is required.
    pub(crate) key_file: Option<String>,
    /// The private key itself, in PEM.
    pub(crate) key_pem: Option<Secret>,
    /// File with the authorities, in PEM, that sign clients' certificates. If set, a client without such a
    /// certificate is refused. Default none.
    pub(crate) client_ca_file: Option<String>,
    /// Accepted for files of the Collector; authorities are always read again when the certificate is.
    pub(crate) client_ca_file_reload: bool,
    /// The oldest version of TLS, `1.2` or `1.3`. Default `1.2`.
    pub(crate) min_version: Version,
    /// The newest version of TLS, `1.2` or `1.3`. Default `1.3`.
    pub(crate) max_version: Option<Version>,
    /// How often the files are read again, so that a renewed certificate is used. Default `0`: never. If a file
    /// cannot be read then, the last good one stays in use and a warning is logged.
    pub(crate) reload_interval: Option<Period>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub(crate) enum Version {
    /// RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

impl TlsSettings {
    /// Checks what can be checked without opening a file. Names the setting and what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        match (&self.cert_file, &self.cert_pem) {
            (None, None) => return Err(("cert_file", "is required for TLS; name the certificate's file")),
            (Some(_), Some(_)) => return Err(("cert_pem", "can't be set beside `cert_file`; remove one")),
            _ => {}
        }
        match (&self.key_file, &self.key_pem) {
            (None, None) => return Err(("key_file", "is required for TLS; name the private key's file")),
            (Some(_), Some(_)) => return Err(("key_pem", "can't be set beside `key_file`; remove one")),
            _ => {}
        }
        if self.max_version.is_some_and(|newest| newest < self.min_version) {
            return Err(("max_version", "is older than `min_version`; raise it or remove it"));
        }
        Ok(())
    }

    fn server_config(&self) -> Result<ServerConfig, String> {
        let versions: &[_] = match (self.min_version, self.max_version.unwrap_or(Version::Tls13)) {
            (Version::Tls12, Version::Tls12) => &[&TLS12],
            (Version::Tls12, Version::Tls13) => &[&TLS13, &TLS12],
            (Version::Tls13, _) => &[&TLS13],
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| format!("cannot use these versions of TLS: {error}"))?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path, &read(path)?)? {
                    roots.add(certificate).map_err(|error| format!("cannot use {path}: {error}"))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| format!("cannot use {path}: {error}"))?,
                )
            }
        };
        let chain = match (&self.cert_file, &self.cert_pem) {
            (Some(path), _) => certificates(path, &read(path)?)?,
            (None, pem) => certificates("cert_pem", pem.as_deref().unwrap_or_default().as_bytes())?,
        };
        let (key_name, key_pem) = match (&self.key_file, &self.key_pem) {
            (Some(path), _) => (path.as_str(), read(path)?),
            (None, pem) => ("key_pem", pem.as_ref().map_or_else(Vec::new, |pem| pem.expose().into())),
        };
        let key = PrivateKeyDer::from_pem_slice(&key_pem)
            .map_err(|_| format!("{key_name} holds no private key in PEM"))?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            format!("the certificate and the key of {key_name} do not work together: {error}")
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{name} holds no certificate in PEM")),
    }
}

/// The certificates in use.
pub(crate) struct Tls {
    settings: TlsSettings,
    interval: Option<Duration>,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    read_at: Instant,
}

impl Tls {
    /// Reads the certificates; says what is wrong with them.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Self, String> {
        let config = Arc::new(settings.server_config()?);
        let interval = settings.reload_interval.map(Period::duration).filter(|period| !period.is_zero());
        let current = Mutex::new(Current { config, read_at: Instant::now() });
        Ok(Self { settings: settings.clone(), interval, current })
    }

    /// What the next connection uses. Reads the files again when they are due, which takes a moment.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if self.interval.is_some_and(|interval| current.read_at.elapsed() >= interval) {
            current.read_at = Instant::now();
            match self.settings.server_config() {
                Ok(config) => current.config = Arc::new(config),
                Err(error) => {
                    tracing::warn!(error, "cannot reload the certificate; the last one stays in use")
                }
            }
        }
        Arc::clone(&current.config).into()
    }

    /// Makes the handshake.
    pub(crate) async fn accept(
        acceptor: &TlsAcceptor,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await?
    }
}
