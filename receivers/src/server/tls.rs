//! TLS of a listener: certificates, those of clients, and their reload. The settings are in `tls/settings.rs`.

mod settings;

use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::RootCertStore;
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use watershed_config::Period;

pub(crate) use settings::TlsSettings;

use super::certificate::{ClientCertificate, validity};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

impl TlsSettings {
    /// Reads the files and makes rustls' settings. Names the file that is wrong, and how.
    fn server_config(&self) -> Result<ServerConfig, String> {
        let provider = Arc::new(self.provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions())
            .map_err(|error| format!("cannot use these versions of TLS: {error}"))?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path, &read(path)?)? {
                    warn_if_not_valid(path, &certificate);
                    roots.add(certificate).map_err(|error| format!("cannot use {path}: {error}"))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| format!("cannot use {path}: {error}"))?,
                )
            }
        };
        let (name, chain) = match (&self.cert_file, &self.cert_pem) {
            (Some(path), _) => (path.as_str(), certificates(path, &read(path)?)?),
            (None, pem) => {
                ("cert_pem", certificates("cert_pem", pem.as_deref().unwrap_or_default().as_bytes())?)
            }
        };
        chain.iter().for_each(|certificate| warn_if_not_valid(name, certificate));
        let (key_name, key_pem) = match (&self.key_file, &self.key_pem) {
            (Some(path), _) => (path.as_str(), read(path)?),
            (None, pem) => ("key_pem", pem.as_ref().map_or_else(Vec::new, |pem| pem.expose().into())),
        };
        let key = PrivateKeyDer::from_pem_slice(&key_pem)
            .map_err(|_| format!("{key_name} holds no private key in PEM"))?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            format!("the certificate of {name} and the key of {key_name} do not work together: {error}")
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

/// A certificate out of its time is used all the same: clients decide what they make of it.
fn warn_if_not_valid(name: &str, certificate: &CertificateDer<'_>) {
    if let Some(problem) = out_of_time(certificate, SystemTime::now()) {
        tracing::warn!(file = name, "{problem}");
    }
}

fn out_of_time(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let (not_before, not_after) = validity(certificate)?;
    let days = |period: Result<Duration, _>| period.map_or(0, |period: Duration| period.as_secs() / 86_400);
    if now > not_after {
        let days = days(now.duration_since(not_after));
        return Some(format!("the certificate expired {days} days ago; renew it"));
    }
    (now < not_before).then(|| {
        let days = days(not_before.duration_since(now));
        format!("the certificate becomes valid only in {days} days; check it and the clock")
    })
}

/// The verified certificate of the client, if it had to show one.
pub(super) fn client_certificate(stream: &TlsStream<TcpStream>) -> Option<ClientCertificate> {
    ClientCertificate::read(stream.get_ref().1.peer_certificates()?.first()?)
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
    /// What the file of clients' authorities was like, if it is to be watched.
    authorities: Option<Stamp>,
}

/// What tells that a file is another one: length and time of its last change.
type Stamp = (u64, SystemTime);

impl Tls {
    /// Reads the certificates; says what is wrong with them.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Self, String> {
        let authorities = stamp(settings);
        let config = Arc::new(settings.server_config()?);
        let interval = settings.reload_interval.map(Period::duration).filter(|period| !period.is_zero());
        let current = Mutex::new(Current { config, read_at: Instant::now(), authorities });
        Ok(Self { settings: settings.clone(), interval, current })
    }

    /// What the next connection uses. Reads the files again when they are due, which takes a moment.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let authorities = stamp(&self.settings);
        let is_due = self.interval.is_some_and(|interval| current.read_at.elapsed() >= interval);
        // While the file is being replaced there may be none for a moment, which is no change.
        if is_due || (authorities.is_some() && authorities != current.authorities) {
            current.read_at = Instant::now();
            current.authorities = authorities;
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

/// The state of the file of clients' authorities; `None` if it is not to be watched, or not there.
fn stamp(settings: &TlsSettings) -> Option<Stamp> {
    let path = settings.client_ca_file.as_ref().filter(|_| settings.client_ca_file_reload)?;
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tempfile::TempDir;

    use super::*;

    /// A folder with `cert.pem` and `key.pem` that belong together, and settings that name them.
    fn certificate() -> (TempDir, TlsSettings) {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Some(path.to_str().unwrap().to_owned())
        };
        let cert_file = file("cert.pem", made.cert.pem());
        let key_file = file("key.pem", made.signing_key.serialize_pem());
        (folder, TlsSettings { cert_file, key_file, ..TlsSettings::default() })
    }

    #[track_caller]
    fn check_error(change: impl FnOnce(&mut TlsSettings), expected: &str) {
        let (folder, mut settings) = certificate();
        assert!(Tls::load(&settings).is_ok());
        change(&mut settings);
        let error = Tls::load(&settings).err().unwrap();
        let shown = error.replace(&format!("{}/", folder.path().display()), "");
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_name() {
        let nowhere = || Some("/nowhere/a.pem".to_owned());
        let missing = "cannot read /nowhere/a.pem: No such file or directory (os error 2)";
        check_error(|tls| tls.cert_file = nowhere(), missing);
        check_error(|tls| tls.key_file = nowhere(), missing);
        check_error(|tls| tls.client_ca_file = nowhere(), missing);
        check_error(|tls| tls.cert_file = tls.key_file.clone(), "key.pem holds no certificate in PEM");
        check_error(|tls| tls.key_file = tls.cert_file.clone(), "cert.pem holds no private key in PEM");
        check_error(|tls| tls.client_ca_file = tls.key_file.clone(), "key.pem holds no certificate in PEM");
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        check_error(
            |tls| fs::write(tls.key_file.as_ref().unwrap(), other.signing_key.serialize_pem()).unwrap(),
            "the certificate of cert.pem and the key of key.pem do not work together: keys may not be consistent: \
             KeyMismatch",
        );
    }

    #[test]
    fn a_certificate_out_of_its_time_is_noticed() {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let told = |seconds| out_of_time(made.der(), SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let new_year_2021 = 1_609_459_200;
        assert_eq!(told(new_year_2021 - 1), None);
        assert_eq!(
            told(new_year_2021 + 10 * 86_400).unwrap(),
            "the certificate expired 10 days ago; renew it"
        );
        assert_eq!(
            told(new_year_2021 - 368 * 86_400).unwrap(),
            "the certificate becomes valid only in 2 days; check it and the clock"
        );
    }
}
