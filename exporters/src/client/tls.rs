//! Certificates and keys of a client: the Collector's `tls` block.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Period, Secret};

/// TLS of a client.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// Whether an address without `http://` or `https://` is spoken to without TLS. Default `false`.
    insecure: bool,
    /// Whether any certificate of the server is believed. Default `false`; for tests only, as anybody in between can
    /// read and change what is sent.
    insecure_skip_verify: bool,
    /// A file with the certificates of authorities that are believed. Default: those of the system.
    ca_file: Option<PathBuf>,
    /// The same as text.
    ca_pem: Option<Secret>,
    /// Whether the system's authorities are believed beside those of `ca_file` or `ca_pem`. Default `false`.
    include_system_ca_certs_pool: bool,
    /// A file with the client's own certificate, for servers that ask for one.
    cert_file: Option<PathBuf>,
    /// The same as text.
    cert_pem: Option<Secret>,
    /// A file with the key of the client's certificate.
    key_file: Option<PathBuf>,
    /// The same as text.
    key_pem: Option<Secret>,
    /// The oldest version spoken: `1.2` or `1.3`. Default `1.2`.
    min_version: Option<TlsVersion>,
    /// The newest version spoken. Default `1.3`.
    max_version: Option<TlsVersion>,
    /// The name that the server's certificate must be for, where it differs from the host of the address.
    server_name_override: Option<String>,
    /// How often the files are read again, for certificates that are renewed. Default: never.
    reload_interval: Option<Period>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

impl Tls {
    /// Whether an address without a scheme is spoken to with TLS.
    pub(crate) fn is_on(&self) -> bool {
        !self.insecure
    }

    /// How often the files are read again.
    pub(crate) fn reload_interval(&self) -> Option<Duration> {
        self.reload_interval.map(Period::duration).filter(|interval| !interval.is_zero())
    }

    /// Reads the files and makes rustls' settings. Where no address is secure, no authority is looked for.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub(crate) fn client_config(&self, is_secure: bool) -> Result<ClientConfig, BuildError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions()?)
            .map_err(|error| BuildError::at("tls", error.to_string()))?;
        let builder = if !is_secure {
            builder.with_root_certificates(RootCertStore::empty())
        } else if self.insecure_skip_verify {
            let verifier = Arc::new(Verifier::new(Belief::All, &provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        } else {
            builder.dangerous().with_custom_certificate_verifier(self.verifier(&provider)?)
        };
        match self.identity()? {
            Some((certificates, key)) => builder
                .with_client_auth_cert(certificates, key)
                .map_err(|error| BuildError::at("tls.cert_file", format!("does not fit its key: {error}"))),
            None => Ok(builder.with_no_client_auth()),
        }
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, BuildError> {
        let oldest = self.min_version.unwrap_or(TlsVersion::Tls12);
        let newest = self.max_version.unwrap_or(TlsVersion::Tls13);
        if oldest > newest {
            return Err(BuildError::at(
                "tls.min_version",
                "is above max_version; raise one or lower the other",
            ));
        }
        let known =
            [(TlsVersion::Tls13, &rustls::version::TLS13), (TlsVersion::Tls12, &rustls::version::TLS12)];
        let wanted = known.into_iter().filter(|(version, _)| (oldest..=newest).contains(version));
        Ok(wanted.map(|(_, version)| version).collect())
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, BuildError> {
        let roots = Arc::new(self.roots()?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| BuildError::at("tls", error.to_string()))?;
        let Some(name) = &self.server_name_override else { return Ok(verifier) };
        let name = ServerName::try_from(name.clone()).map_err(|_| {
            BuildError::at(
                "tls.server_name_override",
                format!("`{name}` is neither a host name nor an IP address"),
            )
        })?;
        Ok(Arc::new(Verifier::new(Belief::OtherName(name, verifier), provider)))
    }

    fn roots(&self) -> Result<RootCertStore, BuildError> {
        let own = pem(self.ca_file.as_ref(), self.ca_pem.as_ref(), ["tls.ca_file", "tls.ca_pem"])?;
        let mut roots = RootCertStore::empty();
        if let Some((path, text)) = &own {
            for certificate in certificates(path, text)? {
                roots.add(certificate).map_err(|error| BuildError::at(*path, error.to_string()))?;
            }
        }
        if own.is_none() || self.include_system_ca_certs_pool {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if roots.is_empty() {
            let message = "this system has no certificates of authorities; install them (package ca-certificates) \
                           or name a file with them";
            return Err(BuildError::at("tls.ca_file", message));
        }
        Ok(roots)
    }

    fn identity(&self) -> Result<Option<Identity>, BuildError> {
        let certificate =
            pem(self.cert_file.as_ref(), self.cert_pem.as_ref(), ["tls.cert_file", "tls.cert_pem"])?;
        let key = pem(self.key_file.as_ref(), self.key_pem.as_ref(), ["tls.key_file", "tls.key_pem"])?;
        let ((path, text), (key_path, key_text)) = match (certificate, key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            (Some(_), None) => {
                return Err(BuildError::at("tls", "has a certificate and no key; add `key_file`"));
            }
            (None, Some(_)) => {
                return Err(BuildError::at("tls", "has a key and no certificate; add `cert_file`"));
            }
        };
        let key = PrivateKeyDer::from_pem_slice(&key_text).map_err(|error| {
            BuildError::at(key_path, format!("holds no private key in PEM form: {error}"))
        })?;
        Ok(Some((certificates(path, &text)?, key)))
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The PEM text of a setting that is either a file or a text, with the path of the one that is used.
fn pem(
    file: Option<&PathBuf>,
    text: Option<&Secret>,
    [file_path, text_path]: [&'static str; 2],
) -> Result<Option<(&'static str, Vec<u8>)>, BuildError> {
    match (file, text) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(BuildError::at(text_path, format!("stands beside {file_path}; remove one")))
        }
        (None, Some(text)) => Ok(Some((text_path, text.expose().as_bytes().to_vec()))),
        (Some(file), None) => std::fs::read(file)
            .map(|text| Some((file_path, text)))
            .map_err(|error| BuildError::at(file_path, format!("cannot read {}: {error}", file.display()))),
    }
}

fn certificates(path: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(BuildError::at(path, "holds no certificate in PEM form")),
        Err(error) => Err(BuildError::at(path, format!("holds no certificate in PEM form: {error}"))),
    }
}

/// Checks the server's certificate in another way than rustls does by itself; signatures are always checked.
#[derive(Debug)]
struct Verifier {
    belief: Belief,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Which certificates are believed.
#[derive(Debug)]
enum Belief {
    /// Any, for `insecure_skip_verify`.
    All,
    /// Those of another name than the address has, for `server_name_override`.
    OtherName(ServerName<'static>, Arc<WebPkiServerVerifier>),
}

impl Verifier {
    fn new(belief: Belief, provider: &CryptoProvider) -> Self {
        Self { belief, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (name, verifier) = match &self.belief {
            Belief::All => return Ok(ServerCertVerified::assertion()),
            Belief::OtherName(name, verifier) => (name, verifier),
        };
        let verified = verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        // rustls names the host of the address in this error, which is not what was asked for.
        verified.map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::NotValidForName) => Error::General(format!(
                "the server's certificate is not for `{}`, which server_name_override asks for",
                name.to_str()
            )),
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(tls: &Tls, expected: &str) {
        assert_eq!(tls.client_config(true).unwrap_err().to_string(), expected);
    }

    #[test]
    fn mistakes_name_their_setting() {
        check_error(
            &Tls { ca_file: Some("/nowhere/ca.pem".into()), ..Tls::default() },
            "tls.ca_file: cannot read /nowhere/ca.pem: No such file or directory (os error 2)",
        );
        check_error(
            &Tls { ca_pem: Some(Secret::new("no")), ..Tls::default() },
            "tls.ca_pem: holds no certificate in PEM form",
        );
        check_error(
            &Tls {
                min_version: Some(TlsVersion::Tls13),
                max_version: Some(TlsVersion::Tls12),
                ..Tls::default()
            },
            "tls.min_version: is above max_version; raise one or lower the other",
        );
        check_error(
            &Tls { insecure_skip_verify: true, cert_pem: Some(Secret::new("x")), ..Tls::default() },
            "tls: has a certificate and no key; add `key_file`",
        );
    }
}
