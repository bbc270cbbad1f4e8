//! The promise of an acknowledgement, tried on the real program: it is killed without warning under load, again and
//! again, and whatever a client was told is taken arrives.
//!
//! `KILL_CYCLES` says how often it is killed (default 3).

#![expect(clippy::expect_used, reason = "what goes wrong here fails the test")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;

/// Nothing here takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);
const SENDERS: u64 = 4;

/// A far end that speaks OTLP over HTTP, is sometimes down, and remembers what it took.
#[derive(Default)]
struct FarEnd {
    down: AtomicBool,
    arrived: Mutex<BTreeSet<String>>,
}

impl FarEnd {
    fn start(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let far_end = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let far_end = Arc::clone(&far_end);
                std::thread::spawn(move || far_end.serve(stream));
            }
        });
        address
    }

    /// Waits until all of these have arrived.
    fn wait_for(&self, texts: &BTreeSet<String>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let missing = texts.difference(&self.arrived.lock().expect("no panic")).count();
            if missing == 0 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{missing} of {} acknowledged records never arrived",
                texts.len()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Answers the requests of one connection until it is cut.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut writer = stream;
        loop {
            let (_, body) = read_message(&mut reader)?;
            let answer = if self.down.load(Ordering::Relaxed) {
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
            } else {
                let request = ExportLogsServiceRequest::decode(&*body).expect("the body is what was sent");
                self.arrived.lock().expect("no panic").extend(bodies(&request));
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
            };
            writer.write_all(answer.as_bytes()).ok()?;
        }
    }
}

/// The first line and the body of an HTTP message with a `content-length`.
fn read_message(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}

fn bodies(request: &ExportLogsServiceRequest) -> Vec<String> {
    let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    let bodies =
        scopes.flat_map(|scope| &scope.log_records).filter_map(|log| log.body.as_ref()?.value.as_ref());
    bodies
        .filter_map(|value| if let Value::StringValue(text) = value { Some(text.clone()) } else { None })
        .collect()
}

/// Records whose bodies say who sent them and prove that nothing was altered.
fn request(sender: u64, number: u64) -> (Vec<String>, Vec<u8>) {
    let texts: Vec<String> = (0..20)
        .map(|index| format!("{sender}/{number}/{index}/{}", "x".repeat((number % 97) as usize)))
        .collect();
    let log = |text: &String| LogRecord {
        body: Some(AnyValue { value: Some(Value::StringValue(text.clone())) }),
        ..LogRecord::default()
    };
    let scope = ScopeLogs { log_records: texts.iter().map(log).collect(), ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    (texts, ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec())
}

/// Writes one request, without waiting for the answer.
fn post(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

/// Sends until told to stop or cut off; gives what the program said it has taken.
fn send(address: SocketAddr, sender: u64, next: &AtomicU64, stop: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return acknowledged };
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    while !stop.load(Ordering::Relaxed) {
        let (texts, body) = request(sender, next.fetch_add(1, Ordering::Relaxed));
        if post(&mut stream, &body).is_err() {
            break;
        }
        match read_message(&mut reader) {
            Some((first, _)) if first.contains(" 200 ") => acknowledged.extend(texts),
            Some(_) => {}
            None => break,
        }
    }
    acknowledged
}

/// Starts the program, and gives the address at which it listens.
fn start(config: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_watershed"))
        .args(["run", "--set", "service.telemetry.logs.encoding=json", "--config"])
        .arg(config)
        .env_remove("WATERSHED_LOG")
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut address = None;
    let mut said = String::new();
    while address.is_none() {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).expect("a line") > 0, "it ended before it was ready: {said}");
        let digits = line.split("127.0.0.1:").nth(1).unwrap_or_default();
        let port: String = digits.chars().take_while(char::is_ascii_digit).collect();
        if line.contains("listening") {
            address = Some(SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port"))));
        }
        said.push_str(&line);
    }
    // The pipe is read on, so that the program never waits for it.
    std::thread::spawn(move || drop(std::io::copy(&mut stderr, &mut std::io::sink())));
    (child, address.expect("it listens"))
}

#[test]
fn what_a_client_was_told_is_taken_arrives_however_often_the_program_is_killed() {
    let cycles: u64 = std::env::var("KILL_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let far_end = Arc::new(FarEnd::default());
    let endpoint = far_end.start();
    let config = directory.path().join("config.yaml");
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  otlp_http:
    endpoint: 'http://{endpoint}'
    compression: none
    retry_on_failure: {{initial_interval: 20ms, max_interval: 100ms}}
service:
  storage: {{directory: '{}'}}
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_http]}}}}
",
        directory.path().join("queues").display()
    );
    std::fs::write(&config, text).expect("a file");
    let next = AtomicU64::new(0);
    let mut acknowledged = BTreeSet::new();
    for cycle in 0..cycles {
        far_end.down.store(cycle % 2 == 0, Ordering::Relaxed);
        let (mut child, address) = start(&config);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS)
                .map(|sender| {
                    scope.spawn({
                        let (next, stop) = (&next, &stop);
                        move || send(address, sender, next, stop)
                    })
                })
                .collect();
            // At another moment of the work each time.
            std::thread::sleep(Duration::from_millis(100 + cycle * 37 % 200));
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
            stop.store(true, Ordering::Relaxed);
            for sender in senders {
                acknowledged.extend(sender.join().expect("no panic"));
            }
        });
    }
    assert!(!acknowledged.is_empty(), "nothing was under way");
    far_end.down.store(false, Ordering::Relaxed);
    let (mut child, address) = start(&config);
    let (fresh, body) = request(SENDERS, u64::MAX);
    let mut stream = TcpStream::connect(address).expect("it listens");
    post(&mut stream, &body).expect("it takes data");
    acknowledged.extend(fresh);
    far_end.wait_for(&acknowledged);
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}
