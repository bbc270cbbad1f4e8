//! How fast files become batches: file → an exporter that does nothing, the whole engine between, files in the page cache.
//!
//! `cargo bench -p watershed-receivers --bench file`. MB are 10^6 bytes; processor time is that of the whole process,
//! reading and the exporter included.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints and may stop")]

use std::future::pending;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Source, Sources, load};
use watershed_pipeline::{
    Batch, Budget, Context, Environment, ExportError, Exporter, ExporterConfig, Graph, Reach, Registry,
    Shared, Telemetry, UntilEof, exporter, run,
};

/// Bytes of text for each case.
const BYTES: usize = 1 << 30;

/// Bytes of a line with its end, and more settings.
const CASES: [(usize, &str); 6] = [
    (40, ""),
    (100, ""),
    (200, ""),
    (1000, ""),
    (200, "multiline: {line_start_pattern: '^abc'}"),
    (200, "encoding: latin-1"),
];

/// Does nothing.
#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[async_trait]
impl Exporter for Nothing {
    async fn export(&self, _batch: &Batch) -> Result<(), ExportError> {
        Ok(())
    }
}

impl ExporterConfig for Nothing {
    const TYPE: &'static str = "nothing";
    const SOURCE: &'static str = "";
    const REACH: Reach = Reach::Local;
    type Exporter = Self;

    fn build(&self, _cx: &Context) -> Result<Self, BuildError> {
        Ok(Self {})
    }
}

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lines.log");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    println!("{:>10} {:>8} {:>8}  settings", "line", "MB/s", "CPU s/GB");
    for (length, settings) in CASES {
        write(&path, length);
        let (began, cpu) = (Instant::now(), cpu_seconds());
        let lines = runtime.block_on(read(&path, settings));
        let gigabytes = (lines * length as u64) as f64 / 1e9;
        let (elapsed, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        assert_eq!(lines, (BYTES / length) as u64, "every line arrives");
        println!("{length:>8} B {:>8.0} {:>8.2}  {settings}", gigabytes * 1000.0 / elapsed, cpu / gigabytes);
    }
}

fn write(path: &Path, length: usize) {
    let line =
        format!("{}\n", "abcdefghi ".repeat(length).get(..length - 2).unwrap_or_default().to_owned() + ".");
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    (0..BYTES / length).for_each(|_| file.write_all(line.as_bytes()).expect("room on the disk"));
    file.flush().expect("room on the disk");
}

/// Reads a file to its end, and says how many lines arrived.
async fn read(path: &Path, settings: &str) -> u64 {
    let text = format!(
        "receivers:\n  file:\n    include: ['{}']\n    {settings}\nexporters: {{nothing: }}\n\
         service: {{pipelines: {{logs: {{receivers: [file], exporters: [nothing]}}}}}}\n",
        path.display()
    );
    let sources = Sources { files: vec![Source::text("bench.yaml", text)], set: vec![] };
    let document = load(&sources, &|_| None).expect("a sound configuration").document;
    let mut shared = Shared::default();
    let until_eof = Arc::new(UntilEof::default());
    shared.insert(Arc::clone(&until_eof));
    let budget = Budget::new(1 << 30, 1 << 30);
    let environment = Environment::new(Telemetry::new(), budget, Arc::new(shared));
    let registry = Registry::new(watershed_receivers::ALL, &[], &[exporter::<Nothing>()]);
    let graph = Graph::build(&document, &registry, &environment).expect("a sound configuration");
    run(graph, pending(), |_| ()).await.expect("a run to the end");
    until_eof.progress().lines
}

/// Processor time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_ascii_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    // User and system time, in hundredths of a second.
    (ticks(11) + ticks(12)) / 100.0
}
