//! The queue on disk against plain `write` + `fdatasync` of the same bytes, and how fast a backlog drains.
//!
//! `cargo bench --bench queue` prints three lines. `QUEUE_BENCH_MIB` is the size of the backlog (default 2048); the
//! directory is `QUEUE_BENCH_DIRECTORY` or a temporary one, which must be on a real disk to mean anything.

#![expect(clippy::expect_used, reason = "a benchmark may stop")]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use watershed_config::{BuildError, Source, Sources, load};
use watershed_pipeline::*;

const RECORDS: usize = 1000;
const SENDERS: usize = 64;
const DOCUMENT: &str = "
receivers: {input: }
exporters: {far: {sending_queue: {quota: 100GiB}}}
service: {pipelines: {logs: {receivers: [input], exporters: [far]}}}
";

/// What the components and the measurement share.
#[derive(Default)]
struct Desk {
    outlet: Mutex<Option<oneshot::Sender<Outlet>>>,
    delivers: bool,
    delivered: AtomicU64,
}

#[derive(Deserialize, JsonSchema)]
struct Input {}

struct RunningInput(Arc<Desk>);

#[derive(Deserialize, JsonSchema)]
struct Far {}

struct RunningFar(Arc<Desk>);

fn desk(cx: &Context) -> Result<Arc<Desk>, BuildError> {
    cx.shared::<Desk>().ok_or_else(|| BuildError::new("no desk"))
}

impl ReceiverConfig for Input {
    const TYPE: &'static str = "input";
    const SOURCE: &'static str = "";
    type Receiver = RunningInput;

    fn build(&self, cx: &Context) -> Result<RunningInput, BuildError> {
        desk(cx).map(RunningInput)
    }
}

#[async_trait]
impl Receiver for RunningInput {
    async fn bind(&mut self) -> Result<(), StartError> {
        Ok(())
    }

    async fn run(self: Box<Self>, outlet: Outlet, mut shutdown: Shutdown) -> Result<(), RunError> {
        if let Some(sender) = self.0.outlet.lock().ok().and_then(|mut slot| slot.take()) {
            drop(sender.send(outlet));
        }
        shutdown.requested().await;
        Ok(())
    }
}

impl ExporterConfig for Far {
    const TYPE: &'static str = "far";
    const SOURCE: &'static str = "";
    const REACH: Reach = Reach::Network { timeout: Duration::ZERO };
    type Exporter = RunningFar;

    fn build(&self, cx: &Context) -> Result<RunningFar, BuildError> {
        desk(cx).map(RunningFar)
    }
}

#[async_trait]
impl Exporter for RunningFar {
    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        if !self.0.delivers {
            std::future::pending::<()>().await;
        }
        self.0.delivered.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

async fn start(directory: &Path, delivers: bool) -> (Running, Outlet, Arc<Desk>) {
    let (sender, outlet) = oneshot::channel();
    let desk = Arc::new(Desk { outlet: Mutex::new(Some(sender)), delivers, delivered: AtomicU64::new(0) });
    let mut shared = Shared::default();
    shared.insert(Arc::clone(&desk));
    let budget = Budget::new(1 << 34, 1 << 34);
    let mut environment = Environment::new(Telemetry::new(), budget, Arc::new(shared));
    environment.storage = Some(directory.to_owned());
    environment.shutdown_timeout = Duration::from_millis(100);
    let sources = Sources { files: vec![Source::text("bench.yaml", DOCUMENT)], set: vec![] };
    let document = load(&sources, &|_| None).expect("the document is right").document;
    let registry = Registry::new(&[receiver::<Input>()], &[], &[exporter::<Far>()]);
    let graph = Graph::build(&document, &registry, &environment).expect("the graph is right");
    let running = Engine::start(graph).await.expect("the engine starts");
    (running, outlet.await.expect("the receiver runs"), desk)
}

/// A request of log records of about 633 bytes each, with bytes that differ from record to record.
fn request() -> bytes::Bytes {
    let mut builder = Batch::builder(Signal::Logs);
    for number in 0..RECORDS {
        builder.push(|log| {
            log.set_severity_number(9);
            log.set_body(format!("request {number} was answered: {}", "lorem ipsum ".repeat(20)).as_str());
            for attribute in 0..8 {
                let key = format!("http.attribute.{attribute}");
                log.set_attribute(&key, format!("value-{}", number * 7919 + attribute).as_str());
            }
        });
    }
    builder.build().to_otlp()
}

/// Lets many senders at once send until so many requests are taken.
async fn send(outlet: &Outlet, request: &bytes::Bytes, count: usize) -> Duration {
    let began = Instant::now();
    let permits = Arc::new(Semaphore::new(count));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let (outlet, request, permits) = (outlet.clone(), request.clone(), Arc::clone(&permits));
        senders.spawn(async move {
            while let Ok(permit) = permits.try_acquire() {
                permit.forget();
                let batch = Batch::from_otlp(Signal::Logs, request.clone()).expect("the request is right");
                outlet.send(batch).await.expect("the queue takes it");
            }
        });
    }
    while senders.join_next().await.is_some() {}
    began.elapsed()
}

/// The floor: the same bytes in pieces of 4 MiB, each followed by a sync.
fn plain(directory: &Path, bytes: u64) -> Duration {
    const PIECE: usize = 4 << 20;
    let piece: Vec<u8> = (0..PIECE).map(|index| (index * 31 % 251) as u8).collect();
    let path = directory.join("plain");
    let file = File::create(&path).expect("a file");
    let began = Instant::now();
    let mut offset = 0;
    while offset < bytes {
        file.write_all_at(&piece, offset).expect("a write");
        file.sync_data().expect("a sync");
        offset += PIECE as u64;
    }
    let took = began.elapsed();
    drop(std::fs::remove_file(path));
    took
}

/// The most memory that the process had, in MiB, since the last call of `forget_peak`.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() >> 10
}

fn forget_peak() {
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

fn say(what: &str, bytes: u64, records: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    let (rate, records) = (bytes as f64 / 1e6 / seconds, records as f64 / seconds);
    let line = format!("{what:<28} {rate:>8.0} MB/s {records:>10.0} records/s\n");
    drop(std::io::stdout().write_all(line.as_bytes()));
}

#[tokio::main]
async fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let mib = std::env::var("QUEUE_BENCH_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(2048_u64);
    let root = std::env::var("QUEUE_BENCH_DIRECTORY").map_or_else(|_| std::env::temp_dir(), Into::into);
    let directory = tempfile::tempdir_in(root).expect("a directory");
    let request = request();
    let count = (mib << 20) as usize / request.len();
    let (bytes, records) = ((count * request.len()) as u64, (count * RECORDS) as u64);
    let before = plain(directory.path(), bytes);

    let (running, outlet, _) = start(directory.path(), false).await;
    let queue = send(&outlet, &request, count).await;
    drop(outlet);
    running.run(std::future::ready(()), std::future::ready(())).await.expect("it stops");
    // A shared disk is not the same from minute to minute, so the floor is measured on both sides.
    say("plain write and fdatasync", bytes, records, before.min(plain(directory.path(), bytes)));
    say("queue, group commit", bytes, records, queue);

    forget_peak();
    let began = Instant::now();
    let (running, outlet, desk) = start(directory.path(), true).await;
    while desk.delivered.load(Ordering::Relaxed) < records {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    say("drain of the backlog", bytes, records, began.elapsed());
    let peak = peak_memory();
    drop(std::io::stdout().write_all(format!("most memory while it drained {peak:>8} MiB\n").as_bytes()));
    assert!(peak < 100, "a backlog must drain within 100 MiB, and took {peak}");
    drop(outlet);
    running.run(std::future::ready(()), std::future::ready(())).await.expect("it stops");
}
