//! `watershed generate`.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use watershed_config::Period;
use watershed_pipeline::Signal;

use super::{Failure, complain, parse_signal, print};
use crate::generate::{Compression, Load, Progress, Protocol, Report};

/// How often the bar on a terminal is drawn anew.
const BAR_INTERVAL: Duration = Duration::from_millis(200);
const BAR_WIDTH: usize = 40;
/// How long requests under way are waited for after Ctrl-C.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Requests and connections beyond this would measure the generator.
const PARALLEL_MAX: u16 = 1024;

/// Sends realistic telemetry to an OTLP endpoint and gives an exact account of what became of it.
///
/// A log record has about 630 bytes, ten attributes and a resource of six; spans and data points have the same
/// attributes. The attribute `sequence` counts all records from 0 without gaps, so that loss and duplicates can be
/// found at the far end. The last line on standard output is JSON: sent = accepted + refused + failed.
///
/// Example: watershed generate logs --endpoint localhost:4317 --count 1000000 --batch 1000 --connections 4
///
/// Exit codes: 0 everything that was sent was accepted; 1 something was not; 64 wrong arguments.
#[derive(clap::Args)]
pub(super) struct Generate {
    /// What to send: logs, traces or metrics.
    #[arg(value_parser = parse_signal)]
    signal: Signal,
    /// Where to: `host:port`, or `http://host:port` with a path before `/v1/…`. Without TLS.
    #[arg(long, default_value = "localhost:4317")]
    endpoint: String,
    /// How requests travel.
    #[arg(long, value_enum, default_value_t = Protocol::Grpc)]
    protocol: Protocol,
    /// How requests are compressed.
    #[arg(long, value_enum, default_value_t = Compression::None)]
    compression: Compression,
    /// How many log records, spans or data points in all.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// How many a second at most; 0 means as fast as the server answers.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// How many in a request.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    batch: u64,
    /// How many connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(PARALLEL_MAX)))]
    connections: u16,
    /// How many requests are under way on each connection; over HTTP/1.1 each needs a connection of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(PARALLEL_MAX)))]
    concurrency: u16,
    /// Ends after this time even when the count is not reached, for instance `30s`.
    #[arg(long)]
    duration: Option<Period>,
    /// Sends again what a busy server refused or did not answer, until it is accepted; honours `Retry-After`.
    #[arg(long)]
    retry: bool,
}

impl Generate {
    pub(super) fn execute(&self) -> Result<(), Failure> {
        // One thread produces several times what one core of any server takes.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Other(format!("cannot start: {error}")))?;
        let progress = Progress::default();
        let report = runtime.block_on(self.send(&progress))?;
        let line = serde_json::to_string(&report).map_err(|error| Failure::Other(error.to_string()))?;
        print(format_args!("{line}\n"));
        let account = &report.account;
        if account.accepted == account.sent {
            return Ok(());
        }
        let trouble = progress.last_trouble().unwrap_or_else(|| "the server rejected a part".to_owned());
        let lost = account.sent - account.accepted;
        Err(Failure::Other(format!(
            "{lost} of {} were not accepted, the last reason: {trouble}",
            account.sent
        )))
    }

    async fn send(&self, progress: &Progress) -> Result<Report, Failure> {
        let load = self.load();
        let start = Instant::now();
        let work = load.run(progress);
        tokio::pin!(work);
        let shows_bar = std::io::stderr().is_terminal();
        let mut ticks = tokio::time::interval(BAR_INTERVAL);
        let finished = loop {
            tokio::select! {
                finished = &mut work => break Some(finished),
                _ = tokio::signal::ctrl_c() => {
                    progress.stop();
                    break tokio::time::timeout(LAST_ANSWERS, &mut work).await.ok();
                }
                _ = ticks.tick(), if shows_bar => draw(&bar(progress, self.count, start)),
            }
        };
        if shows_bar {
            draw(&bar(progress, self.count, start));
            complain("");
        }
        finished.unwrap_or_else(|| Ok(load.report(progress, start))).map_err(Failure::Usage)
    }

    fn load(&self) -> Load {
        Load {
            endpoint: self.endpoint.clone(),
            signal: self.signal,
            protocol: self.protocol,
            compression: self.compression,
            count: self.count,
            rate: self.rate,
            batch: self.batch,
            connections: usize::from(self.connections),
            concurrency: usize::from(self.concurrency),
            duration: self.duration.map(Period::duration),
            retry: self.retry,
        }
    }
}

/// One line that says how far the load is.
fn bar(progress: &Progress, count: u64, start: Instant) -> String {
    let account = progress.account();
    let done = account.accepted + account.refused + account.failed;
    let share = done as f64 / count as f64;
    let filled = ((share * BAR_WIDTH as f64) as usize).min(BAR_WIDTH);
    let rate = account.accepted as f64 / start.elapsed().as_secs_f64().max(0.001);
    let bad = account.refused + account.failed;
    let rest = if bad > 0 { format!(", {bad} not accepted") } else { String::new() };
    format!(
        "[{}{}] {:3.0} % {rate:.0}/s{rest}",
        "=".repeat(filled),
        " ".repeat(BAR_WIDTH - filled),
        share * 100.0
    )
}

/// Draws over the last line of the terminal.
fn draw(line: &str) {
    drop(write!(std::io::stderr().lock(), "\r\x1b[K{line}"));
}
