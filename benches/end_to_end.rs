//! What a record costs the whole process: `generate` → watershed → where it goes.
//!
//! `cargo bench --bench end_to_end` prints a table with CPU seconds a million records of the watershed process
//! alone (user and system, from /proc), records a second, and its peak memory. Generator and sink run beside it on
//! the same machine, so records a second say what the machine can do in all, and CPU seconds what watershed needs.
//! Names after `--` choose rows: `cargo bench --bench end_to_end -- nop`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints and may stop"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_watershed");
const RECORDS: u64 = 2_000_000;
/// Linux reports process times in hundredths of a second, whatever the kernel's own tick.
const TICKS_A_SECOND: f64 = 100.0;

struct Row {
    name: &'static str,
    signal: &'static str,
    protocol: &'static str,
    compression: &'static str,
    batch: u64,
    config: fn(&Ports) -> String,
}

struct Ports {
    grpc: u16,
    http: u16,
    metrics: u16,
    sink: u16,
}

const fn row(name: &'static str, protocol: &'static str, compression: &'static str, batch: u64) -> Row {
    Row { name, signal: "logs", protocol, compression, batch, config: to_nop }
}

const ROWS: &[Row] = &[
    row("grpc → nop", "grpc", "none", 1_000),
    row("grpc → nop", "grpc", "none", 100),
    row("grpc → nop", "grpc", "none", 10),
    row("grpc gzip → nop", "grpc", "gzip", 1_000),
    row("grpc gzip → nop", "grpc", "gzip", 100),
    row("http → nop", "http", "none", 1_000),
    row("http → nop", "http", "none", 100),
    row("http gzip → nop", "http", "gzip", 1_000),
    Row { signal: "traces", ..row("grpc spans → nop", "grpc", "none", 1_000) },
    Row { signal: "metrics", ..row("grpc points → nop", "grpc", "none", 1_000) },
    Row { config: to_sink, ..row("grpc → insert → otlp_http", "grpc", "none", 1_000) },
    Row { config: to_sink, ..row("grpc → insert → otlp_http", "grpc", "none", 100) },
    Row { config: to_sink, ..row("http → insert → otlp_http", "http", "none", 1_000) },
    Row { config: to_sink_gzip, ..row("grpc → insert → otlp_http gzip", "grpc", "none", 1_000) },
    Row { config: to_sink_untouched, ..row("grpc → otlp_http", "grpc", "none", 1_000) },
    Row { config: to_sink_durable, ..row("grpc → insert → otlp_http durable", "grpc", "none", 1_000) },
    Row {
        config: to_sink_compressed, ..row("grpc → insert → otlp_http durable lz4", "grpc", "none", 1_000)
    },
    Row { config: to_clickhouse, ..row("grpc → clickhouse", "grpc", "none", 1_000) },
    Row { config: to_clickhouse_durable, ..row("grpc → clickhouse durable", "grpc", "none", 1_000) },
];

fn receiver(ports: &Ports) -> String {
    format!(
        "receivers:\n  otlp:\n    protocols:\n      grpc: {{endpoint: '127.0.0.1:{}'}}\n      http: {{endpoint: \
         '127.0.0.1:{}'}}\n",
        ports.grpc, ports.http
    )
}

/// Where queues on disk are; each run begins with none.
fn storage() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("end_to_end_queues")
}

fn service(ports: &Ports, processors: &str, exporter: &str) -> String {
    let pipeline = format!("{{receivers: [otlp], processors: [{processors}], exporters: [{exporter}]}}");
    format!(
        "service:\n  storage: {{directory: '{}'}}\n  telemetry: {{metrics: {{address: '127.0.0.1:{}'}}}}\n  pipelines:\n    logs: {pipeline}\n    \
         traces: {pipeline}\n    metrics: {pipeline}\n",
        storage().display(),
        ports.metrics
    )
}

fn to_nop(ports: &Ports) -> String {
    format!("{}exporters: {{nop: }}\n{}", receiver(ports), service(ports, "", "nop"))
}

fn exporting(ports: &Ports, processors: &str, compression: &str, queue: &str) -> String {
    format!(
        "{}processors:\n  attributes:\n    actions: [{{key: deployment.ring, value: canary, action: insert}}]\n\
         exporters:\n  otlp_http:\n    endpoint: http://127.0.0.1:{}\n    compression: {compression}\n    sending_queue: {{storage: {queue}}}\n{}",
        receiver(ports),
        ports.sink,
        service(ports, processors, "otlp_http")
    )
}

fn to_sink(ports: &Ports) -> String {
    exporting(ports, "attributes", "none", "memory")
}

fn to_sink_gzip(ports: &Ports) -> String {
    exporting(ports, "attributes", "gzip", "memory")
}

fn to_sink_untouched(ports: &Ports) -> String {
    exporting(ports, "", "none", "memory")
}

fn to_sink_durable(ports: &Ports) -> String {
    exporting(ports, "attributes", "none", "disk")
}

fn to_sink_compressed(ports: &Ports) -> String {
    exporting(ports, "attributes", "none", "disk, compression: lz4")
}

fn storing(ports: &Ports, queue: &str) -> String {
    let url = std::env::var("CLICKHOUSE_URL").unwrap_or_else(|_| imitate_clickhouse());
    format!(
        "{}exporters:\n  clickhouse:\n    endpoint: {url}\n    create_schema: false\n    \
         sending_queue: {{storage: {queue}}}\n{}",
        receiver(ports),
        service(ports, "", "clickhouse")
    )
}

fn to_clickhouse(ports: &Ports) -> String {
    storing(ports, "memory")
}

fn to_clickhouse_durable(ports: &Ports) -> String {
    storing(ports, "disk")
}

/// The columns of the table for log records, as `DESCRIBE TABLE` gives them.
const COLUMNS: &[(&str, &str)] = &[
    ("Timestamp", "DateTime64(9)"),
    ("TraceId", "String"),
    ("SpanId", "String"),
    ("TraceFlags", "UInt8"),
    ("SeverityText", "LowCardinality(String)"),
    ("SeverityNumber", "UInt8"),
    ("ServiceName", "LowCardinality(String)"),
    ("Body", "String"),
    ("ResourceSchemaUrl", "LowCardinality(String)"),
    ("ResourceAttributes", "Map(LowCardinality(String), String)"),
    ("ScopeSchemaUrl", "LowCardinality(String)"),
    ("ScopeName", "String"),
    ("ScopeVersion", "LowCardinality(String)"),
    ("ScopeAttributes", "Map(LowCardinality(String), String)"),
    ("LogAttributes", "Map(LowCardinality(String), String)"),
    ("EventName", "String"),
];

/// Stands in for ClickHouse, so that its work does not disturb the measurement: says what the table looks like, and
/// reads inserts without looking at them. Gives its address.
fn imitate_clickhouse() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_queries(stream));
        }
    });
    format!("http://{address}")
}

/// The answer to `DESCRIBE TABLE`, in the format RowBinaryWithNamesAndTypes.
fn described() -> Vec<u8> {
    const NAMES: [&str; 7] = [
        "name",
        "type",
        "default_type",
        "default_expression",
        "comment",
        "codec_expression",
        "ttl_expression",
    ];
    let types = [["String"; 7]].concat();
    let rows = COLUMNS.iter().flat_map(|(name, type_name)| [name, type_name, "", "", "", "", ""]);
    let mut answer = vec![NAMES.len() as u8];
    for text in NAMES.into_iter().chain(types).chain(rows) {
        // Lengths below 128 are one byte.
        answer.push(text.len() as u8);
        answer.extend_from_slice(text.as_bytes());
    }
    answer
}

fn answer_queries(mut stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone().ok()?);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let start = head.len();
            reader.read_line(&mut head).ok().filter(|read| *read > 0)?;
            let line = head.get(start..)?.to_ascii_lowercase();
            length =
                line.strip_prefix("content-length:").map_or(Some(length), |text| text.trim().parse().ok())?;
        }
        // An insert stands in the address, a question in the body.
        let answer = if head.contains("INSERT") { Vec::new() } else { described() };
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len()).ok()?;
        stream.write_all(&answer).ok()?;
    }
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn start(name: &str, config: &str, port: u16) -> Process {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.yaml"));
    std::fs::File::create(&path).and_then(|mut file| file.write_all(config.as_bytes())).expect("a file");
    let mut command = Command::new(BINARY);
    command.args(["run", "--config"]).arg(&path).args(["--set", "service.telemetry.logs.level=warn"]);
    let process = Process(command.stdout(Stdio::null()).spawn().expect("the binary starts"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "watershed did not start with {}", path.display());
        sleep(Duration::from_millis(20));
    }
    process
}

fn generate(row: &Row, ports: &Ports, count: u64) -> serde_json::Value {
    let port = if row.protocol == "grpc" { ports.grpc } else { ports.http };
    let endpoint = format!("127.0.0.1:{port}");
    let (count, batch) = (count.to_string(), row.batch.to_string());
    let output = Command::new(BINARY)
        .args(["generate", row.signal, "--endpoint", &endpoint, "--protocol", row.protocol])
        .args(["--compression", row.compression, "--count", &count, "--batch", &batch, "--connections", "4"])
        .output()
        .expect("the generator runs");
    serde_json::from_slice(&output.stdout).expect("the generator ends with a line of JSON")
}

/// User and system CPU seconds of a process so far.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / TICKS_A_SECOND
}

/// The largest resident set of a process so far, in MiB.
fn peak_memory(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

/// What watershed itself counts as sent; the queue is empty when all has been.
fn items_sent(ports: &Ports) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", ports.metrics)).expect("the metrics endpoint");
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let sent = answer.lines().filter(|line| line.starts_with("otelcol_exporter_sent_"));
    sent.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

fn measure(row: &Row) {
    // What an earlier run has left would be delivered first.
    drop(std::fs::remove_dir_all(storage()));
    let ports = Ports { grpc: free_port(), http: free_port(), metrics: free_port(), sink: free_port() };
    let sink_ports = Ports { grpc: free_port(), http: ports.sink, metrics: free_port(), sink: 0 };
    let _sink = start("sink", &to_nop(&sink_ports), sink_ports.http);
    let watershed = start("watershed", &(row.config)(&ports), ports.grpc);
    let pid = watershed.0.id();
    generate(row, &ports, 100_000);
    let before = cpu_seconds(pid);
    let count = if row.batch < 100 { RECORDS / 5 } else { RECORDS };
    let already = items_sent(&ports);
    let report = generate(row, &ports, count);
    let deadline = Instant::now() + Duration::from_secs(60);
    while items_sent(&ports) < already + count && Instant::now() < deadline {
        sleep(Duration::from_millis(50));
    }
    let cpu = (cpu_seconds(pid) - before) / count as f64 * 1e6;
    println!(
        "| {} | {} | {:.2} | {:.0} | {:.0} | {} |",
        row.name,
        row.batch,
        cpu,
        report["records_per_second"].as_f64().unwrap_or_default() / 1e3,
        peak_memory(pid),
        report["accepted"]
    );
}

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    println!("| path | batch | CPU s / M records | k records/s | peak MiB | accepted |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for row in
        ROWS.iter().filter(|row| wanted.is_empty() || wanted.iter().any(|name| row.name.contains(name)))
    {
        measure(row);
    }
}
