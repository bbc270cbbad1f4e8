//! The custom program takes OTLP, applies its own processor and delivers by its own exporter.
#![cfg(test)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let killed = self.0.kill();
        assert!(killed.is_ok(), "the program ended before its test did: {killed:?}");
    }
}

#[test]
fn a_log_record_comes_out_as_a_short_line() {
    let lines = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/custom.yaml");
    let child = Command::new(env!("CARGO_BIN_EXE_custom-plugin"))
        .args(["run", "--config", config])
        .args(["--set", "service.telemetry.metrics.level=none"])
        .args(["--set", "receivers.otlp.protocols.http.endpoint=127.0.0.1:0"])
        .env("OTLP_ENDPOINT", "127.0.0.1:0")
        .env("LINES_ENDPOINT", lines.local_addr().unwrap().to_string())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let endpoint = http_endpoint(&mut running.0);
    let body = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[
        {"body":{"stringValue":"a body of more than twenty characters"}}]}]}]}"#;
    let mut client = TcpStream::connect(&endpoint).unwrap();
    write!(
        client,
        "POST /v1/logs HTTP/1.1\r\nhost: {endpoint}\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (mut stream, _) = lines.accept().unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    assert_eq!(received, "a body of more than \n");
}

/// Reads the address from the line in which the program says where it listens.
fn http_endpoint(child: &mut Child) -> String {
    let stderr = child.stderr.take().unwrap();
    let mut said = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.unwrap();
        if let Some((_, address)) = line.split_once("protocol=\"http\" address=") {
            return address.to_owned();
        }
        said += &line;
        said.push('\n');
    }
    panic!("the program did not say where it listens:\n{said}");
}
