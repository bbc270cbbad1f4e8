//! What a log record costs on its way to Loki: CPU of the whole process, in ns a record, above the same way to `nop`.
//!
//! `cargo bench -p watershed-exporters --bench loki`. The records are those of the pipeline's benchmark (633 bytes, ten
//! attributes), 1,000 in a batch; a server in the same process reads the requests and answers 204.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints and may stop")]

#[path = "../../pipeline/benches/sample/mod.rs"]
#[expect(dead_code, reason = "this benchmark has no use for spans and data points")]
mod sample;

use std::future::pending;
use std::time::Instant;

use async_trait::async_trait;
use prost::Message as _;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use watershed_config::{BuildError, Source, Sources, load};
use watershed_pipeline::{
    Batch, Budget, Context, Environment, Graph, Outlet, Receiver, ReceiverConfig, Registry, RunError,
    Shutdown, Signal, StartError, Telemetry, receiver, run,
};

const BATCHES: usize = 1_000;
const RECORDS: usize = 1_000;

/// Exporters to compare; the address of the server takes the place of `URL`.
const ROWS: [(&str, &str); 5] = [
    ("nop", "nop:"),
    ("loki, body as line", "loki: {endpoint: URL, limits: {age_max: 0s}}"),
    ("loki, body as line, no metadata", "loki: {endpoint: URL, limits: {age_max: 0s}, metadata: none}"),
    (
        "loki, flat JSON as line, no metadata",
        "loki: {endpoint: URL, limits: {age_max: 0s}, line: json, metadata: none}",
    ),
    ("loki, otlp with gzip", "loki: {endpoint: URL, limits: {age_max: 0s}, protocol: otlp}"),
];

/// Sends the same message many times, decoding it each time.
#[derive(Deserialize, JsonSchema)]
struct Config {}

struct Load;

impl ReceiverConfig for Config {
    const TYPE: &'static str = "load";
    const SOURCE: &'static str = "";
    type Receiver = Load;

    fn build(&self, _cx: &Context) -> Result<Load, BuildError> {
        Ok(Load)
    }
}

#[async_trait]
impl Receiver for Load {
    async fn bind(&mut self) -> Result<(), StartError> {
        Ok(())
    }

    async fn run(self: Box<Self>, outlet: Outlet, _shutdown: Shutdown) -> Result<(), RunError> {
        let message = bytes::Bytes::from(sample::logs(RECORDS).encode_to_vec());
        for _ in 0..BATCHES {
            let batch = Batch::from_otlp(Signal::Logs, message.clone()).expect("the sample is valid");
            outlet.send(batch).await.map_err(|refusal| RunError(refusal.to_string()))?;
        }
        Ok(())
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut floor = 0.0;
    for (name, exporter) in ROWS {
        let (cpu, wall) = runtime.block_on(measure(exporter));
        if floor == 0.0 {
            floor = cpu;
        }
        println!("{name:40} {cpu:7.0} ns CPU a record, {:7.0} above nop, {wall:7.0} ns wall", cpu - floor);
    }
}

/// CPU and wall time a record, in nanoseconds.
async fn measure(exporter: &str) -> (f64, f64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let exporter = exporter.replace("URL", &url);
    let name = exporter.split(':').next().unwrap_or_default();
    let text = format!(
        "receivers: {{load: }}\nexporters: {{{exporter}}}\nservice: {{pipelines: {{logs: {{receivers: [load], exporters: [{name}]}}}}}}"
    );
    let sources = Sources { files: vec![Source::text("bench.yaml", text)], set: vec![] };
    let document = load(&sources, &|_| None).expect("a document").document;
    let registry = Registry::new(&[receiver::<Config>()], &[], watershed_exporters::ALL);
    let budget = Budget::new(1 << 30, 1 << 30);
    let environment = Environment::new(Telemetry::new(), budget, std::sync::Arc::default());
    let graph = Graph::build(&document, &registry, &environment).expect("a graph");
    let (cpu, begin) = (cpu_seconds(), Instant::now());
    let summary = run(graph, pending(), |_| ()).await.expect("a run");
    drop(summary);
    let each = 1e9 / (BATCHES * RECORDS) as f64;
    let spent = ((cpu_seconds() - cpu) * each, begin.elapsed().as_secs_f64() * each);
    server.abort();
    spent
}

/// Reads requests with a length and answers each with 204.
async fn serve(mut stream: TcpStream) {
    let mut held = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        while let Some(length) = request_length(&held).filter(|length| *length <= held.len()) {
            held.drain(..length);
            if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.is_err() {
                return;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(count) if count > 0 => held.extend(chunk.iter().take(count)),
            _ => return,
        }
    }
}

/// The length of the request at the start, when its head is whole.
fn request_length(held: &[u8]) -> Option<usize> {
    let head = held.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(held.get(..head)?).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    Some(head + length.unwrap_or(0))
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
