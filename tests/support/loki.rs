//! A Loki for tests of the whole program: takes every push, and every request to its OTLP endpoint, and keeps it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use prost::Message;

/// The body of a push, as far as tests look at it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) streams: Vec<Stream>,
}

/// Records with the same labels.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stream {
    #[prost(string, tag = "1")]
    pub(crate) labels: String,
    #[prost(message, repeated, tag = "2")]
    pub(crate) entries: Vec<Entry>,
}

/// A record, without its time.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    #[prost(string, tag = "2")]
    pub(crate) line: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) metadata: Vec<Pair>,
}

/// A field of structured metadata.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Pair {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// A push that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) tenant: String,
    pub(crate) request: PushRequest,
}

/// The receiver, which lives as long as the process of the test.
pub(crate) struct Loki {
    address: SocketAddr,
    pushes: Arc<Mutex<Vec<Push>>>,
}

impl Loki {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let loki = Self { address: listener.local_addr().unwrap(), pushes: Arc::default() };
        let pushes = Arc::clone(&loki.pushes);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let pushes = Arc::clone(&pushes);
                std::thread::spawn(move || while serve(&stream, &pushes).is_some() {});
            }
        });
        loki
    }

    /// `http://host:port`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was pushed until now.
    pub(crate) fn pushes(&self) -> Vec<Push> {
        self.pushes.lock().unwrap().clone()
    }
}

/// Answers one request of a connection, if there is one more.
fn serve(mut stream: &TcpStream, pushes: &Mutex<Vec<Push>>) -> Option<()> {
    // Nothing is sent ahead of an answer, so that the buffer of a request never holds part of the next.
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line);
    }
    let header = |name: &str| {
        let mut headers = lines.iter().filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let length = header("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = if lines.first()?.starts_with("POST /loki/api/v1/push ") {
        let message = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
        let request = PushRequest::decode(&*message).unwrap();
        let tenant = header("x-scope-orgid").unwrap_or_default();
        pushes.lock().unwrap().push(Push { tenant, request });
        "HTTP/1.1 204 No Content\r\n\r\n"
    } else if lines.first()?.starts_with("POST /otlp/v1/logs ") {
        let request = from_otlp(&body);
        // The exporter asks with an empty message whether its requests are taken.
        if !request.streams.is_empty() {
            let tenant = header("x-scope-orgid").unwrap_or_default();
            pushes.lock().unwrap().push(Push { tenant, request });
        }
        "HTTP/1.1 204 No Content\r\n\r\n"
    } else {
        "HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n{\"version\":\"3.7.6\"}"
    };
    stream.write_all(answer.as_bytes()).ok()
}

/// What Loki makes of an OTLP request, as far as tests look at it: the service's name is the label, the body the line.
fn from_otlp(body: &[u8]) -> PushRequest {
    let mut message = vec![0; 1 << 20];
    let length = libdeflater::Decompressor::new().gzip_decompress(body, &mut message).unwrap();
    let request = ExportLogsServiceRequest::decode(&message[..length]).unwrap();
    let stream = |resource: ResourceLogs| {
        let attributes = resource.resource.unwrap_or_default().attributes;
        let service = attributes.into_iter().find(|attribute| attribute.key == "service.name");
        let records = resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
        Stream {
            labels: format!("{{service_name=\"{}\"}}", text(service.and_then(|service| service.value))),
            entries: records.map(|record| Entry { line: text(record.body), metadata: Vec::new() }).collect(),
        }
    };
    PushRequest { streams: request.resource_logs.into_iter().map(stream).collect() }
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("not a text: {other:?}"),
    }
}
