//! Spreads telemetry over several servers so that what belongs together, such as a trace, always comes to the same one.
//!
//! ```yaml
//! load_balancing:
//!   protocol:
//!     otlp:
//!       tls: {insecure: true}
//!   resolver:
//!     dns: {hostname: gateways.example.com}
//! ```
//!
//! In front of gateways that have to see whole traces (`tail_sampling`): any number of balancers send each trace to the
//! same gateway without knowing of one another. The servers stand on a consistent hash ring, so that one that comes or
//! goes moves only its own share of the traces. Balancers agree if they name the servers in the same words; so do
//! Collectors with this exporter, for traces. With more than about a hundred servers their shares become uneven.
//!
//! `protocol.otlp` has the settings of `otlp_grpc` but for `endpoint`: `resolver` knows the servers, `static` from a
//! list of `hostnames`, `dns` from the addresses of a name, which is asked for again every `interval`. With TLS and
//! `dns`, certificates are checked against addresses unless `tls.server_name_override` gives a name.
//!
//! `routing_key` says what belongs together: `traceID` (default; data points, which are of no trace, go by service),
//! `service`, `resource`, `metric` (by its name), `streamID` (each time series) or `attributes` (the values of
//! `routing_attributes`, looked for in the resource, the scope and the record; `span.name` is the name of a span).
//! Records without such a key, such as log records of no trace, go to each server in turn, batch by batch.
//!
//! Signals: all. Order: as the queue has it, for each server. Loss: none by itself; a server that is down makes the batch
//! wait, and what the others took is not sent to them again, unless the process ends in between or more than 4 MiB
//! would have to be remembered about such batches. When the server leaves the resolver, its records go to others. A
//! message that is too large for a server is halved. Memory: one request for each server that a batch goes to.
//!
//! The engine's settings `timeout` (here 5s), `sending_queue` and `retry_on_failure` stand beside `protocol`: one queue
//! for all servers, so that nothing is stuck with a server that is gone. `protocol.otlp.timeout` bounds the request to one
//! server. Metrics: `otelcol_exporter_loadbalancer_num_backends`, `_num_backend_updates`, `_num_resolutions` and
//! `_backend_outcome` (requests, by `success`).

mod progress;
mod resolver;
mod ring;
mod routing;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use watershed_config::{BuildError, ConfigErrors, Section};
use watershed_pipeline::{
    Batch, Context, Counter, ExportError, Exporter, ExporterConfig, Extensions, Reach, Signal, StartError,
    Unit,
};

use self::progress::{Attempt, Progress};
use self::resolver::{Lookup, Resolver, Servers, System};
use self::routing::{Router, RoutingKey, Share};
use crate::check::{self, Finding, Report, ServerReport};
use crate::client::grpc;

/// Settings of the exporter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How the servers are spoken to.
    #[serde(default)]
    protocol: Protocol,
    /// Where the servers are: exactly one of `static` and `dns`. Required.
    resolver: resolver::Settings,
    /// What belongs together: `traceID`, `service`, `resource`, `metric`, `streamID` or `attributes`. Default `traceID`.
    #[serde(default)]
    routing_key: RoutingKey,
    /// The attributes whose values belong together, for `routing_key: attributes`. Default none.
    #[serde(default)]
    routing_attributes: Vec<String>,
}

/// How the servers are spoken to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Protocol {
    /// OTLP over gRPC, with the settings of the exporter `otlp_grpc`.
    otlp: grpc::Settings<Option<Elsewhere>>,
}

/// A setting that has no place here, because `resolver` knows what it would say.
#[derive(Debug)]
enum Elsewhere {}

impl<'de> Deserialize<'de> for Elsewhere {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("has no place here: the servers come from `resolver`; remove it"))
    }
}

impl JsonSchema for Elsewhere {
    fn schema_name() -> Cow<'static, str> {
        "Elsewhere".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(false)
    }
}

/// Sends an empty request for each of these signals to each server, given the section of an exporter and the extensions
/// that it may name.
///
/// # Errors
/// The section has mistakes.
pub async fn check(
    section: &Section,
    signals: &[Signal],
    extensions: &Arc<Extensions>,
) -> Result<Report, ConfigErrors> {
    let exporter = check::build::<Config>(section, extensions)?;
    exporter.resolver.refresh().await;
    let servers = exporter.resolver.servers();
    let mut report = Report { servers: Vec::new() };
    for (name, url) in servers.iter() {
        let server = signals.iter().map(|signal| (name.to_owned(), *signal));
        let answers = check::send_nothing(async |batch| exporter.sender.send(url, batch).await, server).await;
        report.servers.extend(answers.servers);
    }
    if report.servers.is_empty() {
        let finding = Finding::problem("no server is known; check `resolver.dns.hostname`".to_owned());
        report.servers.push(ServerReport { address: "resolver".to_owned(), findings: vec![finding] });
    }
    Ok(report)
}

impl ExporterConfig for Config {
    const TYPE: &'static str = "load_balancing";
    const ALIASES: &'static [&'static str] = &["loadbalancing"];
    const SOURCE: &'static str = include_str!("load_balancing.rs");
    const REACH: Reach = Reach::Network { timeout: Duration::from_secs(5) };
    type Exporter = LoadBalancing;

    fn build(&self, cx: &Context) -> Result<LoadBalancing, BuildError> {
        self.build_with(Box::new(System), cx)
    }
}

impl Config {
    fn build_with(&self, lookup: Box<dyn Lookup>, cx: &Context) -> Result<LoadBalancing, BuildError> {
        let otlp = &self.protocol.otlp;
        let is_secure = otlp.tls.is_on();
        let router = Router::new(self.routing_key, &self.routing_attributes)?;
        let resolver = Resolver::new(&self.resolver, is_secure, lookup, cx)?;
        let sender = otlp.sender(is_secure, cx).map_err(|error| {
            let path = format!("protocol.otlp.{}", error.path);
            BuildError::at(path.trim_end_matches('.'), error.message)
        })?;
        let outcome = |success| {
            let help = "Requests to servers.";
            let labels = [("success", success)];
            cx.labelled_counter("loadbalancer_backend_outcome", Unit::Requests, help, &labels)
        };
        Ok(LoadBalancing {
            router,
            resolver,
            sender,
            progress: Progress::default(),
            turn: AtomicUsize::new(0),
            succeeded: outcome("true"),
            failed: outcome("false"),
        })
    }
}

/// Sends each record to the server that its key belongs to.
pub(crate) struct LoadBalancing {
    router: Router,
    resolver: Resolver,
    sender: grpc::Sender,
    progress: Progress,
    /// Counts batches, so that records without a key go to each server in turn.
    turn: AtomicUsize,
    succeeded: Counter,
    failed: Counter,
}

#[async_trait]
impl Exporter for LoadBalancing {
    async fn start(&self) -> Result<(), StartError> {
        self.resolver.refresh().await;
        Ok(())
    }

    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        let servers = self.resolver.servers();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let Some(stray) = turn.checked_rem(servers.len()) else {
            let reason = "no server is known; `resolver.dns.hostname` has no addresses".to_owned();
            return Err(ExportError::Retry { reason, after: None });
        };
        let attempt = self.progress.attempt(batch);
        let shares = self.router.divide(batch, &attempt.settled(), &servers.ring, stray);
        let count = shares.len();
        let answers = join_all(shares.into_iter().map(|share| self.deliver(share, &servers, &attempt))).await;
        let failures: Vec<ExportError> = answers.into_iter().filter_map(Result::err).collect();
        combine(failures, count)?;
        attempt.outcome()
    }

    async fn flush(&self) -> Result<(), ExportError> {
        self.sender.refresh();
        self.resolver.refresh().await;
        Ok(())
    }
}

impl LoadBalancing {
    /// Sends one share, in as many messages as its server wants, and settles what comes to an end.
    ///
    /// # Errors
    /// What is not settled has to be tried again.
    async fn deliver(
        &self,
        share: Share,
        servers: &Servers,
        attempt: &Attempt<'_>,
    ) -> Result<(), ExportError> {
        let Some((name, url)) = servers.get(share.server) else {
            // Every share was chosen from these servers, so that this can't happen; if it did, nothing would be lost.
            return Err(ExportError::Retry { reason: "a server is not known".to_owned(), after: None });
        };
        let mut left = vec![share];
        while let Some(mut share) = left.pop() {
            let answer = self.sender.send(url, &share.batch).await;
            let is_settled = matches!(answer, Ok(()) | Err(ExportError::Reject { .. }));
            if is_settled { &self.succeeded } else { &self.failed }.add(1);
            match answer {
                Ok(()) => attempt.settle(&share.positions, 0, ""),
                Err(ExportError::Reject { count, reason }) => {
                    attempt.settle(&share.positions, count, &format!("{name}: {reason}"));
                }
                Err(ExportError::TooLarge { reason }) => match share.halve() {
                    Some(second) => left.extend([second, share]),
                    None => attempt.settle(&share.positions, 1, &format!("{name}: {reason}")),
                },
                Err(ExportError::Retry { reason, after }) => {
                    return Err(ExportError::Retry { reason: format!("{name}: {reason}"), after });
                }
                Err(error @ ExportError::Fatal { .. }) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What the failures of an attempt at so many servers come to: the first reason and the longest wait.
fn combine(failures: Vec<ExportError>, count: usize) -> Result<(), ExportError> {
    let failed = failures.len();
    let mut combined: Option<(String, Option<Duration>)> = None;
    for failure in failures {
        let ExportError::Retry { reason, after } = failure else { return Err(failure) };
        let known = combined.get_or_insert((reason, None));
        known.1 = known.1.max(after);
    }
    match combined {
        None => Ok(()),
        Some((reason, after)) if count == 1 => Err(ExportError::Retry { reason, after }),
        Some((reason, after)) => {
            let reason = format!("{failed} of {count} servers did not take their share; {reason}");
            Err(ExportError::Retry { reason, after })
        }
    }
}
