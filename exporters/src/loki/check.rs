//! What can be known of a Loki before anything is sent: whether it is ready, its version, and whether it takes our
//! requests.
//!
//! Whether it takes them is asked with a request without any stream: address, password and tenant are looked at, and
//! nothing is stored. Loki answers 422, since 3.4; others say 204 or 400.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::timeout;
use watershed_config::{ConfigErrors, Section};
use watershed_pipeline::{ExportError, Extensions, StartError};

use super::answer::Verdict;
use super::push::compress;
use super::{Config, Loki, Protocol};
use crate::check::{self, Finding, ServerReport};

/// How long the start waits for the answers.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What a Loki says about itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// Whether `/ready` says so. Gateways often hide it.
    pub(super) is_ready: bool,
    /// The version, where it is not hidden.
    pub(super) version: Option<String>,
}

/// Why a Loki cannot be written to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It may be there later.
    Down(String),
    /// Settings have to change.
    Misconfigured(String),
}

#[derive(Deserialize)]
struct BuildInfo {
    version: String,
}

/// Examines the server of an exporter, given its section. Nothing is stored.
///
/// # Errors
/// The section has mistakes.
pub async fn check(section: &Section, extensions: &Arc<Extensions>) -> Result<check::Report, ConfigErrors> {
    let loki = check::build::<Config>(section, extensions)?;
    let findings = match timeout(check::TIMEOUT, loki.check()).await {
        Ok(Ok(report)) => report.findings(),
        Ok(Err(Obstacle::Down(reason) | Obstacle::Misconfigured(reason))) => vec![Finding::problem(reason)],
        Err(_) => vec![check::no_answer()],
    };
    let address = loki.sender.address().clone();
    Ok(check::Report { servers: vec![ServerReport { address, findings }] })
}

impl Report {
    fn findings(&self) -> Vec<Finding> {
        let version = self.version.as_deref().unwrap_or("of unknown version");
        let mut findings = vec![Finding::good(format!("Loki {version} takes our requests"))];
        if !self.is_ready {
            findings.push(Finding::warning(
                "`/ready` does not say that Loki is ready; a gateway may hide it, or it is starting"
                    .to_owned(),
            ));
        }
        findings
    }
}

impl Loki {
    /// Asks the server what it is and whether it takes our requests.
    pub(super) async fn check(&self) -> Result<Report, Obstacle> {
        let body = match self.protocol {
            Protocol::Push => compress(&[]).map(Bytes::from),
            Protocol::Otlp => self.compressor.compress(Bytes::new()),
        };
        let tenant = self.encoder.tenant.id();
        match self.sender.post(tenant.as_ref(), body.unwrap_or_default(), 0).await {
            Ok(Verdict::Misconfigured { words }) => return Err(Obstacle::Misconfigured(words)),
            Ok(Verdict::Later { words, .. }) => return Err(Obstacle::Down(words)),
            Ok(Verdict::Stored | Verdict::Refused { .. } | Verdict::Split { .. }) => {}
            Err(ExportError::Fatal { reason }) => return Err(Obstacle::Misconfigured(reason)),
            Err(error) => return Err(Obstacle::Down(error.to_string())),
        }
        let is_ready = self.sender.get("/ready").await.is_some();
        let info = self.sender.get("/loki/api/v1/status/buildinfo").await;
        let info = info.and_then(|json| serde_json::from_slice::<BuildInfo>(&json).ok());
        Ok(Report { is_ready, version: info.map(|info| info.version) })
    }

    /// Checks the server and says in the log what it found.
    ///
    /// # Errors
    /// Only what cannot mend itself: a wrong address, password or tenant.
    pub(super) async fn check_and_report(&self) -> Result<(), StartError> {
        let url = self.sender.address();
        let found = timeout(TIMEOUT, self.check()).await;
        match found.unwrap_or_else(|_| Err(Obstacle::Down("no answer within 3 s".to_owned()))) {
            Ok(Report { is_ready, version }) => {
                let version = version.unwrap_or_else(|| "unknown".to_owned());
                tracing::info!(url, version, is_ready, "Loki takes our requests");
                Ok(())
            }
            Err(Obstacle::Down(reason)) => {
                tracing::warn!(url, reason, "Loki cannot be reached yet; log records wait for it");
                Ok(())
            }
            Err(Obstacle::Misconfigured(reason)) => Err(StartError::Other(format!("{url}: {reason}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mock::{Loki as MockLoki, Server};
    use super::super::tests::{NOW, exporter, script};
    use super::*;
    use watershed_pipeline::Exporter as _;

    #[tokio::test]
    async fn a_loki_that_takes_our_requests_tells_its_version_and_stores_nothing() {
        for protocol in ["push", "otlp"] {
            let server = Server::start(MockLoki { auth_enabled: true, ..MockLoki::new(NOW) }).await;
            let exporter = exporter(&server, &format!("protocol: {protocol}\ntenant: {{id: a}}"));
            let report = Report { is_ready: true, version: Some("3.7.6".into()) };
            assert_eq!(exporter.check().await, Ok(report));
            assert!(exporter.start().await.is_ok());
            assert!(server.loki().stored.is_empty() && server.loki().otlp.is_empty());
        }
    }

    #[tokio::test]
    async fn a_missing_tenant_or_a_wrong_password_stops_the_start() {
        let server = Server::start(MockLoki { auth_enabled: true, ..MockLoki::new(NOW) }).await;
        let without_tenant = exporter(&server, "");
        let error = without_tenant.start().await.unwrap_err().to_string();
        assert!(error.ends_with("/loki/api/v1/push: Loki answered 401: no org id; set tenant.id"), "{error}");
        assert!(exporter(&server, "tenant: {attribute: tenant}").start().await.is_ok());
        script(&server, &[(401, "")]);
        let error = exporter(&server, "tenant: {id: a}").start().await.unwrap_err().to_string();
        assert!(error.contains("check username and password"), "{error}");
    }

    #[tokio::test]
    async fn a_loki_that_is_down_is_waited_for() {
        let server = Server::start(MockLoki::new(NOW)).await;
        script(&server, &[(503, "starting")]);
        let exporter = exporter(&server, "");
        assert_eq!(exporter.check().await, Err(Obstacle::Down("Loki answered 503: starting".into())));
        script(&server, &[(503, "starting")]);
        assert!(exporter.start().await.is_ok());
    }
}
