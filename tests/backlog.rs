//! A far end that was down for long is back: the whole backlog arrives, and takes hardly any memory on its way.
//!
//! `BACKLOG_MIB` says how much has gathered by then (default 128; `make test-long` takes 2 GiB).
#![cfg(test)]

mod support {
    pub(crate) mod memory;
    pub(crate) mod outcome;
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::memory::peak_memory;
use support::outcome::watershed;
use support::program::config_file;
use support::running::Running;

/// The most memory that the program may take, in MiB, however long the backlog.
const MEMORY_MAX: u64 = 100;
/// Bytes of a record that `generate` makes, at least.
const RECORD: u64 = 600;
/// Records of a request.
const RECORDS: u64 = 1000;
/// Whatever takes longer than this without any progress never comes.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_backlog_drains_within_a_bounded_memory_however_long_it_is() {
    let mib = std::env::var("BACKLOG_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(128);
    let requests = (mib << 20) / (RECORD * RECORDS);
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Nobody listens where somebody did a moment ago.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let running = start(directory.path(), nobody);
    let count = (requests * RECORDS).to_string();
    let receiver = running.address("protocol", "grpc").to_string();
    let batch = RECORDS.to_string();
    let load = ["generate", "logs", "--endpoint", &receiver, "--count", &count, "--batch", &batch];
    let outcome = watershed(&[&load[..], &["--connections", "4"]].concat());
    assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
    running.stop();

    let arrived = Arc::new(AtomicU64::new(0));
    let running = start(directory.path(), far_end(&arrived));
    let mut last = (0, Instant::now());
    while last.0 < requests {
        std::thread::sleep(Duration::from_millis(10));
        let now = arrived.load(Ordering::Relaxed);
        if now > last.0 {
            last = (now, Instant::now());
        }
        assert!(last.1.elapsed() < PATIENCE, "only {now} of {requests} requests arrived");
    }
    let peak = peak_memory(running.child.id());
    assert!(peak < MEMORY_MAX, "{mib} MiB took {peak} MiB of memory on their way");
    let (status, _, log) = running.stop();
    assert!(status.success(), "{log}");
    assert_eq!(arrived.load(Ordering::Relaxed), requests, "each request arrives once when nothing fails");
}

fn start(directory: &Path, far_end: SocketAddr) -> Running {
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters: {{otlp_http: {{endpoint: 'http://{far_end}', compression: none}}}}
service:
  storage: {{directory: '{}'}}
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_http]}}}}
",
        directory.join("queues").display()
    );
    Running::start(&config_file("backlog.yaml", &text))
}

/// Takes all that comes, and counts the requests.
fn far_end(arrived: &Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let arrived = Arc::clone(arrived);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let arrived = Arc::clone(&arrived);
            std::thread::spawn(move || serve(stream, &arrived));
        }
    });
    address
}

/// Answers the requests of one connection until it is cut.
fn serve(mut stream: TcpStream, arrived: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone().ok()?);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        arrived.fetch_add(1, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}
