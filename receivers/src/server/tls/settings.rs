//! The settings of TLS, with the names of the Collector's `configtls`, and what can be said of them without a file.

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{Period, Secret, suggest};

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
    /// certificate is refused, and the common name of the certificate travels with the data as `auth.subject`, unless
    /// an authenticator knows the sender by a name. Default none.
    pub(crate) client_ca_file: Option<String>,
    /// Whether `client_ca_file` is read again when it changes, also without `reload_interval`. Default false.
    pub(crate) client_ca_file_reload: bool,
    /// The oldest version of TLS, `1.2` or `1.3`. Default `1.2`.
    pub(crate) min_version: Version,
    /// The newest version of TLS, `1.2` or `1.3`. Default `1.3`.
    pub(crate) max_version: Option<Version>,
    /// The cipher suites of TLS 1.2 that are spoken, such as `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`. Those of TLS 1.3
    /// are always spoken. Default: all, of which each is safe.
    pub(crate) cipher_suites: Vec<String>,
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
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        let wrong = |setting: &str, problem: &str| Err((setting.to_owned(), problem.to_owned()));
        match (&self.cert_file, &self.cert_pem) {
            (None, None) => return wrong("cert_file", "is required for TLS; name the certificate's file"),
            (Some(_), Some(_)) => return wrong("cert_pem", "can't be set beside `cert_file`; remove one"),
            _ => {}
        }
        match (&self.key_file, &self.key_pem) {
            (None, None) => return wrong("key_file", "is required for TLS; name the private key's file"),
            (Some(_), Some(_)) => return wrong("key_pem", "can't be set beside `key_file`; remove one"),
            _ => {}
        }
        if self.max_version.is_some_and(|newest| newest < self.min_version) {
            return wrong("max_version", "is older than `min_version`; raise it or remove it");
        }
        if self.client_ca_file_reload && self.client_ca_file.is_none() {
            return wrong("client_ca_file_reload", "has nothing to read; set `client_ca_file` or remove it");
        }
        self.check_cipher_suites()
    }

    fn check_cipher_suites(&self) -> Result<(), (String, String)> {
        let available = || ring::ALL_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_none());
        let names: Vec<&str> = available().filter_map(name).collect();
        let unknown = self.cipher_suites.iter().enumerate().find(|(_, own)| !names.contains(&own.as_str()));
        let Some((place, own)) = unknown else {
            if self.cipher_suites.is_empty() || self.min_version == Version::Tls12 {
                return Ok(());
            }
            let problem = "has no effect without TLS 1.2; remove it or lower `min_version`".to_owned();
            return Err(("cipher_suites".to_owned(), problem));
        };
        let problem = match suggest(own, names.iter().copied()) {
            Some(near) => format!("`{own}` is not available; did you mean `{near}`?"),
            None => format!("`{own}` is not available for TLS 1.2; available: {}", names.join(", ")),
        };
        Err((format!("cipher_suites[{place}]"), problem))
    }

    /// The versions that are spoken.
    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        match (self.min_version, self.max_version.unwrap_or(Version::Tls13)) {
            (Version::Tls12, Version::Tls12) => vec![&TLS12],
            (Version::Tls12, Version::Tls13) => vec![&TLS13, &TLS12],
            (Version::Tls13, _) => vec![&TLS13],
        }
    }

    /// The cryptography, with the cipher suites that are spoken.
    pub(super) fn provider(&self) -> CryptoProvider {
        let mut provider = ring::default_provider();
        if !self.cipher_suites.is_empty() {
            let wanted = |suite: &SupportedCipherSuite| {
                let is_named =
                    name(suite).is_some_and(|name| self.cipher_suites.iter().any(|own| own == name));
                suite.tls13().is_some() || is_named
            };
            provider.cipher_suites.retain(wanted);
        }
        provider
    }
}

/// The name of a cipher suite as IANA has it.
fn name(suite: &SupportedCipherSuite) -> Option<&'static str> {
    suite.suite().as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut TlsSettings), setting: &str, problem: &str) {
        let (cert_file, key_file) = (Some("c.pem".to_owned()), Some("k.pem".to_owned()));
        let mut settings = TlsSettings { cert_file, key_file, ..TlsSettings::default() };
        assert_eq!(settings.check(), Ok(()));
        change(&mut settings);
        assert_eq!(settings.check(), Err((setting.to_owned(), problem.to_owned())));
    }

    #[test]
    fn settings_that_do_not_fit_together_are_refused() {
        check_refused(
            |tls| tls.cert_file = None,
            "cert_file",
            "is required for TLS; name the certificate's file",
        );
        check_refused(
            |tls| tls.key_pem = Some(Secret::new("k")),
            "key_pem",
            "can't be set beside `key_file`; remove one",
        );
        check_refused(
            |tls| (tls.min_version, tls.max_version) = (Version::Tls13, Some(Version::Tls12)),
            "max_version",
            "is older than `min_version`; raise it or remove it",
        );
        check_refused(
            |tls| tls.client_ca_file_reload = true,
            "client_ca_file_reload",
            "has nothing to read; set `client_ca_file` or remove it",
        );
    }

    #[test]
    fn only_cipher_suites_that_are_safe_can_be_chosen() {
        check_refused(
            |tls| tls.cipher_suites = vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265".to_owned()],
            "cipher_suites[0]",
            "`TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265` is not available; did you mean \
             `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`?",
        );
        check_refused(
            |tls| {
                tls.cipher_suites = vec!["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()];
                tls.min_version = Version::Tls13;
            },
            "cipher_suites",
            "has no effect without TLS 1.2; remove it or lower `min_version`",
        );
        let insecure = vec!["TLS_RSA_WITH_RC4_128_SHA".to_owned()];
        let settings = TlsSettings {
            cert_pem: Some("c".into()),
            key_file: Some("k".into()),
            cipher_suites: insecure,
            ..TlsSettings::default()
        };
        let (_, problem) = settings.check().unwrap_err();
        assert!(
            problem.starts_with("`TLS_RSA_WITH_RC4_128_SHA` is not available for TLS 1.2; available: TLS_")
        );
    }
}
