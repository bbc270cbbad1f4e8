//! What an examination of the servers of an exporter comes to, and what several of them need.
//!
//! A component that can be examined has a function `check`, which takes its section and writes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use watershed_config::{ComponentId, ConfigErrors, Section};
use watershed_pipeline::{Batch, Context, ExportError, ExporterConfig, Extensions, Kind, Signal};

/// How long an answer is waited for.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of an exporter's section that belong to the engine, which looks at them by itself.
const SETTINGS_OF_ENGINE: [&str; 3] = ["sending_queue", "retry_on_failure", "timeout"];

/// What was found at the servers of one exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// In the order of the endpoint.
    pub servers: Vec<ServerReport>,
}

/// What was found at one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReport {
    /// Where it is.
    pub address: String,
    /// In the order of the examination.
    pub findings: Vec<Finding>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub severity: Severity,
    /// What was found, and what to do about it.
    pub text: String,
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Good,
    /// Works, and could be better.
    Warning,
    /// Nothing will be delivered.
    Problem,
}

impl Report {
    /// The worst finding of all.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let all = self.servers.iter().flat_map(|server| &server.findings);
        all.map(|finding| finding.severity).max().unwrap_or(Severity::Good)
    }
}

impl Finding {
    /// All is as it should be.
    #[must_use]
    pub fn good(text: String) -> Self {
        Self { severity: Severity::Good, text }
    }

    /// It works, and could be better.
    #[must_use]
    pub fn warning(text: String) -> Self {
        Self { severity: Severity::Warning, text }
    }

    /// It does not work.
    #[must_use]
    pub fn problem(text: String) -> Self {
        Self { severity: Severity::Problem, text }
    }
}

/// The section without what belongs to the engine.
pub(crate) fn own_settings(section: &Section) -> Section {
    let mut section = section.clone();
    for key in SETTINGS_OF_ENGINE {
        section.take(key);
    }
    section
}

/// Builds an exporter from its section, outside of any pipeline, with the extensions that it may name.
pub(crate) fn build<C: ExporterConfig>(
    section: &Section,
    extensions: &Arc<Extensions>,
) -> Result<C::Exporter, ConfigErrors> {
    let section = own_settings(section);
    let config: C = section.read()?;
    let id: Result<ComponentId, String> = section.id().parse();
    let id = id.map_err(|error| section.error_at("", error))?;
    let built = config.build(&Context::detached(Kind::Exporter, id).with_extensions(Arc::clone(extensions)));
    built.map_err(|error| section.build_error(error).into())
}

/// Sends a request without any record for each address and signal, by the given means.
pub(crate) async fn send_nothing(
    send: impl AsyncFn(&Batch) -> Result<(), ExportError>,
    servers: impl IntoIterator<Item = (String, Signal)>,
) -> Report {
    let mut reports = Vec::new();
    for (address, signal) in servers {
        let finding = match timeout(TIMEOUT, send(&Batch::new(signal))).await {
            Ok(Ok(())) => Finding::good(format!("takes {signal}")),
            Ok(Err(error)) => Finding::problem(format!("does not take {signal}: {error}")),
            Err(_) => no_answer(),
        };
        reports.push(ServerReport { address, findings: vec![finding] });
    }
    Report { servers: reports }
}

pub(crate) fn no_answer() -> Finding {
    let seconds = TIMEOUT.as_secs();
    Finding::problem(format!("no answer within {seconds} s; check the address and what stands in between"))
}
