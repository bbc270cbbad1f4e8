//! `watershed doctor`.
//!
//! Which component is examined how stands in one table each: [`examine_exporter`] and [`examine_receiver`], by the type's
//! name. A component that is not there is not examined; one that reaches over a network and is not there is said so.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access, access, statvfs};
use watershed_config::{ComponentId, ConfigErrors, Document, Section, load, process_environment};
use watershed_exporters::check::{Finding, Report, Severity};
use watershed_exporters::{clickhouse, load_balancing, loki, otlp_grpc, otlp_http};
use watershed_pipeline::{ExporterFactory, Extensions, Reach, Registry, Signal, StartError};
use watershed_receivers::{http, otlp};

use super::config_arguments::ConfigArguments;
use super::{Failure, chain, print};
use crate::setup::Setup;

const GIB: u64 = 1 << 30;
/// Less than this on the disk of the queues is worth a word.
const FREE_SPACE_MIN: u64 = GIB;

/// Examines what a configuration needs to work: its servers, the disk of its queues, its ports.
///
/// First the configuration is checked, as `validate` does. Then every exporter of a pipeline that reaches a server is
/// asked whether that server takes what it will be sent; nothing is stored. Each line is one finding and begins with
/// ok, warn or fail. ClickHouse: version, rights, tables and their columns, clock. Loki: version, tenant, sign-in.
/// OTLP: an empty request for each signal.
///
/// Example: watershed doctor --config deploy.yaml
///
/// Exit codes: 0 nothing fails; 1 something does; 64 the configuration is not valid.
#[derive(clap::Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    config: ConfigArguments,
    /// The program runs already with this configuration, so that its ports are taken.
    #[arg(long)]
    running: bool,
}

impl Doctor {
    pub(super) fn execute(&self, registry: &Registry) -> Result<(), Failure> {
        let sources = self.config.sources()?;
        let setup = Setup::read(registry, &sources)?;
        let document = load(&sources, &process_environment)?.document;
        // A program that has chosen a provider before keeps it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut findings = Findings::default();
        findings.add("configuration", Finding::good("valid".to_owned()));
        for warning in setup.warnings() {
            findings.add("configuration", Finding::warning(warning.to_string()));
        }
        let extensions = setup.graph.extensions();
        findings.add("queues", examine_disk(&setup.storage));
        for directory in extensions.storages() {
            findings.add("queues", examine_disk(directory));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Other(format!("cannot start: {error}")))?;
        runtime.block_on(async {
            if !self.running {
                examine_receivers(&document, registry, extensions, &mut findings).await?;
            }
            examine_exporters(&document, registry, extensions, &mut findings).await
        })?;
        match findings.failed {
            0 => Ok(()),
            failed => Err(Failure::Other(format!("{failed} of {} findings are failures", findings.count))),
        }
    }
}

/// Counts findings and prints each when it is made, since some take a while.
#[derive(Default)]
struct Findings {
    count: usize,
    failed: usize,
}

impl Findings {
    fn add(&mut self, subject: &str, finding: Finding) {
        let Finding { severity, text } = finding;
        let mark = match severity {
            Severity::Good => "ok  ",
            Severity::Warning => "warn",
            Severity::Problem => "fail",
        };
        self.count += 1;
        self.failed += usize::from(severity == Severity::Problem);
        // A server's words must neither steer the terminal nor break the line.
        let safe: String =
            text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        print(format_args!("{mark} {subject}: {safe}\n"));
    }
}

/// How each type of exporter is examined. Types that are not listed have no examination.
async fn examine_exporter(
    type_name: &str,
    section: &Section,
    signals: &[Signal],
    extensions: &Arc<Extensions>,
) -> Option<Result<Report, ConfigErrors>> {
    Some(match type_name {
        "clickhouse" => clickhouse::check(section, extensions).await,
        "load_balancing" => load_balancing::check(section, signals, extensions).await,
        "loki" => loki::check(section, extensions).await,
        "otlp_grpc" => otlp_grpc::check(section, signals, extensions).await,
        "otlp_http" => otlp_http::check(section, signals, extensions).await,
        _ => return None,
    })
}

/// How each type of receiver is examined. Types that are not listed have no examination.
async fn examine_receiver(
    type_name: &str,
    section: &Section,
    extensions: &Arc<Extensions>,
) -> Option<Result<Vec<Result<SocketAddr, StartError>>, ConfigErrors>> {
    match type_name {
        "http" => Some(http::check(section, extensions).await.map(|bound| vec![bound])),
        "otlp" => Some(otlp::check(section, extensions).await),
        _ => None,
    }
}

async fn examine_exporters(
    document: &Document,
    registry: &Registry,
    extensions: &Arc<Extensions>,
    findings: &mut Findings,
) -> Result<(), ConfigErrors> {
    for (id, section) in &document.exporters {
        let factory = registry.exporters().iter().find(|factory| factory.description.answers_to(id.kind()));
        let Some(ExporterFactory { description, reach, .. }) = factory else { continue };
        let signals = signals_of(document, id);
        let subject = format!("exporter {id}");
        if signals.is_empty() {
            findings.add(&subject, Finding::warning("no pipeline uses it; not examined".to_owned()));
            continue;
        }
        match examine_exporter(description.type_name, section, &signals, extensions).await {
            Some(report) => {
                for server in report?.servers {
                    let subject = format!("{subject}, {}", server.address);
                    server.findings.into_iter().for_each(|finding| findings.add(&subject, finding));
                }
            }
            None if matches!(reach, Reach::Network { .. }) => {
                findings.add(&subject, Finding::warning("no examination is known for this type".to_owned()));
            }
            None => {}
        }
    }
    Ok(())
}

/// The signals of the pipelines that an exporter ends.
fn signals_of(document: &Document, id: &ComponentId) -> Vec<Signal> {
    let pipelines = document.service.pipelines.iter();
    let names: Vec<String> = pipelines
        .filter(|pipeline| pipeline.exporters.iter().any(|exporter| exporter.value == *id))
        .map(|pipeline| pipeline.id.signal.to_string())
        .collect();
    Signal::ALL.into_iter().filter(|signal| names.iter().any(|name| name == signal.name())).collect()
}

async fn examine_receivers(
    document: &Document,
    registry: &Registry,
    extensions: &Arc<Extensions>,
    findings: &mut Findings,
) -> Result<(), ConfigErrors> {
    for (id, section) in &document.receivers {
        let known = registry.receivers().iter().map(|factory| factory.description);
        let Some(description) = known.into_iter().find(|description| description.answers_to(id.kind()))
        else {
            continue;
        };
        let used = |receivers: &[watershed_config::Located<ComponentId>]| {
            receivers.iter().any(|one| one.value == *id)
        };
        if !document.service.pipelines.iter().any(|pipeline| used(&pipeline.receivers)) {
            continue;
        }
        let Some(ports) = examine_receiver(description.type_name, section, extensions).await else {
            continue;
        };
        for port in ports? {
            let finding = match port {
                Ok(address) => Finding::good(format!("{address} is free")),
                Err(error) => Finding::problem(format!(
                    "{}; if it is this program with this configuration, use `--running`",
                    chain(&error)
                )),
            };
            findings.add(&format!("receiver {id}"), finding);
        }
    }
    Ok(())
}

/// Whether the directory of the queues can be written to, or made, and how much room its disk has.
fn examine_disk(directory: &Path) -> Finding {
    let shown = directory.display();
    let mut ancestors =
        directory.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let Some(existing) = ancestors.find(|path| path.exists()) else {
        return Finding::problem(format!("`{shown}` cannot be made; no directory above it exists"));
    };
    if !existing.is_dir() {
        return Finding::problem(format!(
            "`{}` is no directory; remove it, or set service.storage.directory",
            existing.display()
        ));
    }
    if let Err(error) = access(existing, Access::WRITE_OK | Access::EXEC_OK) {
        let existing = existing.display();
        return Finding::problem(format!(
            "`{existing}` cannot be written to: {error}; give this user the right, or set service.storage.directory"
        ));
    }
    match statvfs(existing) {
        Ok(disk) => room(directory, disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => {
            Finding::warning(format!("`{shown}` can be written to; its free space is unknown: {error}"))
        }
    }
}

fn room(directory: &Path, free: u64) -> Finding {
    let (shown, gibibytes) = (directory.display(), free as f64 / GIB as f64);
    let text = format!("`{shown}` can be written to, {gibibytes:.1} GiB are free");
    if free >= FREE_SPACE_MIN {
        return Finding::good(text);
    }
    Finding::warning(format!(
        "{text}; senders wait when the disk is full: make room, or set service.storage.directory"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_worth_a_word() {
        let directory = Path::new("/queues");
        assert_eq!(
            room(directory, 3 * GIB),
            Finding::good("`/queues` can be written to, 3.0 GiB are free".into())
        );
        assert_eq!(room(directory, GIB / 2).severity, Severity::Warning);
    }

    #[test]
    fn every_exporter_that_reaches_over_a_network_has_an_examination() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for factory in watershed_exporters::ALL {
            let Reach::Network { .. } = factory.reach else { continue };
            let name = factory.description.type_name;
            let section = Section::from_text(name, "no_such_setting: 1").unwrap();
            let outcome = runtime.block_on(examine_exporter(name, &section, &[], &Arc::default()));
            assert!(outcome.is_some_and(|outcome| outcome.is_err()), "{name}");
        }
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_fails() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let finding = examine_disk(&file.path().join("queues"));
        assert_eq!(finding.severity, Severity::Problem);
        assert!(finding.text.contains("is no directory"), "{}", finding.text);
    }
}
