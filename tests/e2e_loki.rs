//! The program in front of a Loki, with the exporter's default settings: what is sent is found, and soon.
//!
//! With `LOKI_URL` in the environment (`http://host:port` of a Loki that may be written to) the same is asked of that
//! server instead of the one in `support/loki.rs`.
#![cfg(test)]

mod support {
    pub(crate) mod client;
    pub(crate) mod loki;
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::client::http;
use support::loki::Loki;
use support::program::config_file;
use support::running::Running;

/// From the receipt of a record until it is in Loki, at most.
const LAG_MAX: Duration = Duration::from_secs(5);
/// Whose log the records go to.
const TENANT: &str = "watershed-test";

/// Where records are sent and looked for.
enum Store {
    Imitation(Loki),
    /// `host:port`.
    Real(String),
}

impl Store {
    fn new() -> Self {
        match std::env::var("LOKI_URL") {
            Ok(url) => Self::Real(url.trim_start_matches("http://").trim_end_matches('/').to_owned()),
            Err(_) => Self::Imitation(Loki::start()),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Imitation(loki) => loki.url(),
            Self::Real(host) => format!("http://{host}"),
        }
    }

    /// The lines of a service since `start`, sorted.
    fn lines(&self, service: &str, start: u128) -> Vec<String> {
        let mut lines = match self {
            Self::Imitation(loki) => {
                let label = format!("service_name=\"{service}\"");
                let pushes = loki.pushes().into_iter().filter(|push| push.tenant == TENANT);
                let streams = pushes.flat_map(|push| push.request.streams);
                let own = streams.filter(|stream| stream.labels.contains(&label));
                own.flat_map(|stream| stream.entries).map(|entry| entry.line).collect::<Vec<_>>()
            }
            Self::Real(host) => {
                let answer = query(host, service, start);
                let results = answer["data"]["result"].as_array().unwrap();
                let values = results.iter().flat_map(|stream| stream["values"].as_array().unwrap());
                values.map(|value| value[1].as_str().unwrap().to_owned()).collect()
            }
        };
        lines.sort();
        lines
    }
}

/// What Loki holds of a service, as it answers.
fn query(host: &str, service: &str, start: u128) -> Value {
    let mut stream = TcpStream::connect(host).unwrap();
    let selector = format!("%7Bservice_name%3D%22{service}%22%7D");
    let end = start + 3_600_000_000_000;
    // HTTP/1.0 has no chunks, so that an answer can be read without a library.
    write!(
        stream,
        "GET /loki/api/v1/query_range?query={selector}&start={start}&end={end}&limit=1000 HTTP/1.0\r\n\
         host: {host}\r\nx-scope-orgid: {TENANT}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{answer}");
    serde_json::from_str(body).unwrap()
}

/// How many lags the program has measured that are not longer than `bound` says.
fn lags(page: &str, bound: &str) -> u64 {
    let series = page.lines().filter(|line| line.starts_with("otelcol_exporter_delivery_lag_bucket{"));
    let own = series.filter(|line| line.contains(&format!("le=\"{bound}\"")));
    own.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[track_caller]
fn check(protocol: &str) {
    let store = Store::new();
    let config = config_file(
        &format!("loki_{protocol}.yaml"),
        &format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:0}}}}}}}}\n\
             exporters: {{loki: {{endpoint: '{}', protocol: {protocol}, tenant: {{id: {TENANT}}}}}}}\n\
             service:\n  telemetry: {{metrics: {{readers: [{{pull: {{exporter: \
             {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}}}\n  pipelines: {{logs: {{receivers: [otlp], \
             exporters: [loki]}}}}\n",
            store.url()
        ),
    );
    let running = Running::start(&config);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let service = format!("watershed-{protocol}-{now}");
    let lines = ["line\nend", "plain", "quote \" and \\"];
    let record = |line: &&str| json!({"timeUnixNano": now.to_string(), "body": {"stringValue": line}});
    let records: Vec<Value> = lines.iter().map(record).collect();
    let name = json!({"key": "service.name", "value": {"stringValue": service}});
    let message = json!({"resourceLogs": [
        {"resource": {"attributes": [name]}, "scopeLogs": [{"logRecords": records}]}
    ]});
    let sent = Instant::now();
    let receiver = running.address("protocol", "http");
    let (status, answer) =
        http(receiver, "POST", "/v1/logs", "application/json", message.to_string().as_bytes());
    assert_eq!(status, 200, "{answer}");
    while store.lines(&service, now) != lines {
        assert!(sent.elapsed() < LAG_MAX, "after {LAG_MAX:?}: {:?}", store.lines(&service, now));
        std::thread::sleep(Duration::from_millis(10));
    }
    let metrics = running.address("message", "metrics available");
    loop {
        // Loki has the records a moment before the program has its answer.
        let (_, page) = http(metrics, "GET", "/metrics", "", b"");
        if lags(&page, "+Inf") == 1 {
            assert_eq!(lags(&page, "5"), 1, "{page}");
            break;
        }
        assert!(sent.elapsed() < 2 * LAG_MAX, "{page}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (status, _, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
}

#[test]
fn records_are_in_loki_within_five_seconds_of_their_receipt() {
    check("push");
}

#[test]
fn records_are_behind_lokis_otlp_endpoint_within_five_seconds_of_their_receipt() {
    check("otlp");
}
