//! A Loki for tests: decodes real bytes, enforces the limits that Loki documents, and answers as Loki does.
//!
//! Written from Loki 3.7's `pkg/loghttp/push`, `pkg/distributor` and `pkg/validation`, apart from the exporter: it decodes
//! with prost and parses labels by itself.

mod message;
mod selector;
mod server;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message as _;

use crate::testing::decompress;
use message::{Entry, PushRequest};
pub(super) use selector::parse_selector;
use selector::{is_name, stream_error};
pub(super) use server::Server;

/// What Loki holds: one entry of one stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) tenant: String,
    pub(super) labels: String,
    pub(super) time: u64,
    pub(super) line: String,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Loki's answer.
pub(super) type Answer = (u16, String);

/// The state and the settings of a Loki.
pub(super) struct Loki {
    /// The server's clock, in nanoseconds since the Unix epoch.
    pub(super) now: u64,
    /// Whether times are looked at.
    pub(super) has_clock: bool,
    pub(super) auth_enabled: bool,
    /// The limit between distributor and ingester, in bytes.
    pub(super) grpc_size_max: usize,
    /// The rate and burst of each tenant, in bytes.
    pub(super) rate_limit: usize,
    pub(super) streams_max: usize,
    /// Answers to the next requests, whatever they hold; they are not looked at.
    pub(super) script: VecDeque<(Answer, HeaderMap)>,
    /// Answers by tenant.
    pub(super) of_tenant: BTreeMap<String, Answer>,
    pub(super) stored: Vec<Stored>,
    /// Bodies of all requests, as they came, with their headers.
    pub(super) bodies: Vec<(HeaderMap, Bytes)>,
    pub(super) otlp: Vec<(String, ExportLogsServiceRequest)>,
}

impl Loki {
    pub(super) fn new(now: u64) -> Self {
        Self {
            now,
            has_clock: true,
            auth_enabled: false,
            grpc_size_max: 4 << 20,
            rate_limit: 6 << 20,
            streams_max: 5000,
            script: VecDeque::new(),
            of_tenant: BTreeMap::new(),
            stored: Vec::new(),
            bodies: Vec::new(),
            otlp: Vec::new(),
        }
    }

    fn answer(&mut self, path: &str, headers: &HeaderMap, body: &Bytes) -> (Answer, HeaderMap) {
        match path {
            "/ready" => return ((200, "ready".to_owned()), HeaderMap::new()),
            "/loki/api/v1/status/buildinfo" => {
                return ((200, r#"{"version":"3.7.6","revision":"5003600"}"#.to_owned()), HeaderMap::new());
            }
            _ => {}
        }
        self.bodies.push((headers.clone(), body.clone()));
        if let Some(scripted) = self.script.pop_front() {
            return scripted;
        }
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
        let tenant = match (self.auth_enabled, header("x-scope-orgid")) {
            (true, "") => return ((401, "no org id".to_owned()), HeaderMap::new()),
            (true, name) => name.to_owned(),
            (false, _) => "fake".to_owned(),
        };
        if let Some(answer) = self.of_tenant.get(&tenant) {
            return (answer.clone(), HeaderMap::new());
        }
        let answer = match (path, header("content-type"), header("content-encoding")) {
            ("/loki/api/v1/push", "application/x-protobuf", "" | "snappy") => self.push(&tenant, body),
            ("/otlp/v1/logs", "application/x-protobuf", encoding @ ("" | "gzip")) => {
                self.otlp(tenant, &decompress(encoding, body))
            }
            ("/loki/api/v1/push" | "/otlp/v1/logs", ..) => (400, "unsupported content".to_owned()),
            _ => (404, "404 page not found".to_owned()),
        };
        (answer, HeaderMap::new())
    }

    fn otlp(&mut self, tenant: String, message: &[u8]) -> Answer {
        if message.len() > self.grpc_size_max {
            return too_large(message.len(), self.grpc_size_max);
        }
        let request = ExportLogsServiceRequest::decode(message).unwrap();
        if request.resource_logs.is_empty() {
            return no_streams();
        }
        self.otlp.push((tenant, request));
        (204, String::new())
    }

    /// Takes one push request of a tenant.
    pub(super) fn push(&mut self, tenant: &str, body: &[u8]) -> Answer {
        let Ok(message) = snap::raw::Decoder::new().decompress_vec(body) else {
            return (400, "snappy: corrupt input".to_owned());
        };
        let request = match PushRequest::decode(&message[..]) {
            Ok(request) => request,
            Err(error) => return (400, error.to_string()),
        };
        assert_eq!(request.encode_to_vec(), message, "the bytes are those that any encoder makes");
        if request.streams.is_empty() {
            return no_streams();
        }
        let mut errors: BTreeMap<String, usize> = BTreeMap::new();
        let mut accepted = Vec::new();
        for stream in request.streams {
            let bad_stream = stream_error(&stream.labels);
            for entry in stream.entries {
                let error = bad_stream.clone().or_else(|| self.entry_error(&stream.labels, &entry));
                match error {
                    Some((500, text)) => return (500, text),
                    Some((_, text)) => *errors.entry(text).or_default() += 1,
                    None => accepted.push(stored(tenant, &stream.labels, entry)),
                }
            }
        }
        if message.len() > self.grpc_size_max {
            return too_large(message.len(), self.grpc_size_max);
        }
        let size: usize = accepted.iter().map(Stored::size).sum();
        if size > self.rate_limit {
            return (429, rate_limited(tenant, self.rate_limit, accepted.len(), size));
        }
        for entry in accepted {
            let is_new_stream = !self.stored.iter().any(|other| other.is_beside(&entry));
            if is_new_stream && self.streams(tenant) >= self.streams_max {
                return (
                    429,
                    format!(
                        "Maximum active stream limit exceeded when trying to create stream {}",
                        entry.labels
                    ),
                );
            }
            if !self.stored.contains(&entry) {
                self.stored.push(entry);
            }
        }
        if errors.is_empty() { (204, String::new()) } else { (400, grouped(&errors)) }
    }

    fn entry_error(&self, labels: &str, entry: &Entry) -> Option<Answer> {
        const SECOND: u64 = 1_000_000_000;
        let time = entry.time();
        if self.has_clock && time + 7 * 24 * 3600 * SECOND < self.now {
            return Some((400, format!("entry for stream '{labels}' has timestamp too old: {time}")));
        }
        if self.has_clock && time > self.now + 600 * SECOND {
            return Some((400, format!("entry for stream '{labels}' has timestamp too new: {time}")));
        }
        if entry.line.len() > 256 << 10 {
            return Some((
                400,
                format!("Max entry size '{}' bytes exceeded for stream '{labels}'", 256 << 10),
            ));
        }
        let size: usize = entry.metadata.iter().map(|pair| pair.name.len() + pair.value.len()).sum();
        if size > 64 << 10 {
            return Some((
                400,
                format!("stream '{labels}' has structured metadata too large: '{size}' bytes"),
            ));
        }
        let count = entry.metadata.len();
        if count > 128 {
            return Some((
                400,
                format!("stream '{labels}' has too many structured metadata labels: '{count}'"),
            ));
        }
        let bad_name = entry.metadata.iter().find(|pair| !is_name(&pair.name));
        bad_name
            .map(|pair| (500, format!("normalization for label name {:?} resulted in empty name", pair.name)))
    }

    fn streams(&self, tenant: &str) -> usize {
        let own = self.stored.iter().filter(|entry| entry.tenant == tenant);
        own.map(|entry| &entry.labels).collect::<std::collections::BTreeSet<_>>().len()
    }
}

impl Stored {
    fn size(&self) -> usize {
        let metadata: usize = self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.line.len() + metadata
    }

    fn is_beside(&self, other: &Self) -> bool {
        self.tenant == other.tenant && self.labels == other.labels
    }
}

fn stored(tenant: &str, labels: &str, entry: Entry) -> Stored {
    let time = entry.time();
    let count = entry.metadata.len();
    let metadata: BTreeMap<_, _> = entry.metadata.into_iter().map(|pair| (pair.name, pair.value)).collect();
    assert_eq!(metadata.len(), count, "every name stands once");
    Stored { tenant: tenant.into(), labels: labels.into(), time, line: entry.line, metadata }
}

fn grouped(errors: &BTreeMap<String, usize>) -> String {
    if let Some((text, 1)) = errors.iter().next().filter(|_| errors.len() == 1) {
        return text.clone();
    }
    let all: Vec<String> =
        errors.iter().map(|(text, count)| format!("{count} errors like: {text}")).collect();
    all.join("; ")
}

fn rate_limited(tenant: &str, limit: usize, lines: usize, size: usize) -> String {
    format!(
        "Ingestion rate limit exceeded for user {tenant} (limit: {limit} bytes/sec) while attempting to ingest '{lines}' lines totaling '{size}' bytes, reduce log volume"
    )
}

fn too_large(size: usize, limit: usize) -> Answer {
    (
        500,
        format!(
            "rpc error: code = ResourceExhausted desc = grpc: received message larger than max ({size} vs. {limit})"
        ),
    )
}

fn no_streams() -> Answer {
    (422, "error at least one valid stream is required for ingestion".to_owned())
}
