//! The built program under load, killed without warning; and clients that know what they were told.
//!
//! Each record is sent once, whatever becomes of it, so that one that arrives twice was doubled on the way.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message;

/// How many clients send at the same time, each one request after the other.
pub(crate) const SENDERS: u64 = 4;
/// How many records each of their requests has.
pub(crate) const RECORDS: u64 = 20;

/// How often a test kills the program: `KILL_CYCLES`, or 3 times.
pub(crate) fn cycles() -> u64 {
    std::env::var("KILL_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// Starts the program, kills it under load, at another moment of the work in each cycle, and gives what it said it
/// has taken.
pub(crate) fn kill_under_load(config: &Path, cycle: u64, next: &AtomicU64) -> Vec<String> {
    let (mut child, address) = start(config);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let senders: Vec<_> =
            (0..SENDERS).map(|sender| scope.spawn(move || send(address, sender, next, stop))).collect();
        std::thread::sleep(Duration::from_millis(100 + cycle * 37 % 200));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().flat_map(|sender| sender.join().expect("no panic")).collect()
    })
}

/// The first line and the body of an HTTP message with a `content-length`.
pub(crate) fn read_message(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
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

/// Records whose bodies say who sent them and prove that nothing was altered.
pub(crate) fn request(sender: u64, number: u64) -> (Vec<String>, Vec<u8>) {
    let texts: Vec<String> = (0..RECORDS)
        .map(|index| format!("{sender}/{number}/{index}/{}", "x".repeat((number % 97) as usize)))
        .collect();
    let log = |(index, text): (u64, &String)| LogRecord {
        // On two days, for a far end that keeps each day in another place.
        time_unix_nano: (1 + index % 2) * 86_400_000_000_000,
        body: Some(AnyValue { value: Some(Value::StringValue(text.clone())) }),
        ..LogRecord::default()
    };
    let scope = ScopeLogs { log_records: (0..).zip(&texts).map(log).collect(), ..ScopeLogs::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..ResourceLogs::default() };
    (texts, ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec())
}

/// Writes one request, without waiting for the answer.
pub(crate) fn post(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
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
pub(crate) fn start(config: &Path) -> (Child, SocketAddr) {
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
