//! The deployments in `examples/` at work: an agent in front of a gateway in front of a real ClickHouse, a gateway in
//! front of a Loki that the test plays, and some that sample traces, behind a balancer too.
#![cfg(test)]

mod support {
    #[expect(dead_code, reason = "the exporter's own tests use more of the engine")]
    pub(crate) mod clickhouse;
    pub(crate) mod client;
    pub(crate) mod example;
    #[expect(dead_code, reason = "nobody is killed here")]
    pub(crate) mod kill;
    pub(crate) mod loki;
    pub(crate) mod outcome;
    pub(crate) mod program;
    #[expect(dead_code, reason = "examples are started with other ports than they say")]
    pub(crate) mod running;
}

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use support::clickhouse::Server;
use support::client::http;
use support::example::{generate, start, start_gateway, stop};
use support::kill::read_message;
use support::loki::{Loki, Pair};
use support::running::Running;

/// The second of `NOW` is the present one: rows older than the example keeps are gone at once.
const LOG: &str = r#"{"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue":
    "cart"}}]}, "scopeLogs": [{"logRecords": [{"timeUnixNano": "NOW123456789", "severityNumber": 17,
    "severityText": "ERROR", "body": {"stringValue": "no stock"},
    "attributes": [{"key": "item", "value": {"intValue": "7"}}]}]}]}]}"#;

const SPAN: &str = r#"{"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue":
    "cart"}}]}, "scopeSpans": [{"spans": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
    "name": "GET /cart", "kind": 2, "startTimeUnixNano": "NOW000000000",
    "endTimeUnixNano": "NOW120000000", "status": {"code": 2}}]}]}]}"#;

const GAUGE: &str = r#"{"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue":
    "cart"}}]}, "scopeMetrics": [{"metrics": [{"name": "queue.length", "unit": "1", "gauge": {"dataPoints": [{"asInt":
    "7", "timeUnixNano": "NOW000000000"}]}}]}]}]}"#;

fn post(to: &Running, path: &str, body: &str) -> (u16, String) {
    http(to.address("protocol", "http"), "POST", path, "application/json", body.as_bytes())
}

/// A count over all tables of data points.
fn points(server: &Server, database: &str) -> u64 {
    let tables = ["gauge", "sum", "histogram", "exponential_histogram", "summary"];
    let existing = server.query(&format!("SELECT name FROM system.tables WHERE database = '{database}'"));
    let tables = tables.map(|kind| format!("otel_metrics_{kind}"));
    let tables = tables.iter().filter(|table| existing.lines().any(|name| name == table.as_str()));
    let count =
        |table: &String| server.query(&format!("SELECT count() FROM {database}.{table}")).parse::<u64>();
    tables.map(|table| count(table).unwrap()).sum()
}

#[test]
fn what_the_agent_takes_is_in_clickhouse_behind_the_gateway() {
    let server = Server::shared();
    let (url, database) = (server.url(), server.database());
    let variables = [("CLICKHOUSE_ENDPOINT", url.as_str()), ("CLICKHOUSE_DATABASE", &database)];
    let gateway = start_gateway("deployment", "gateway-clickhouse.yaml", &variables);
    let queues = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let endpoint = format!("http://{}", gateway.address("protocol", "grpc"));
    let variables = [
        ("GATEWAY_ENDPOINT", endpoint.as_str()),
        ("AGENT_DIRECTORY", queues.path().to_str().unwrap()),
        ("HOSTNAME", "node-9"),
        ("ENVIRONMENT", "testing"),
    ];
    let agent = start("deployment", "agent.yaml", &[], &variables);

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
    for (path, body) in [("/v1/logs", LOG), ("/v1/traces", SPAN), ("/v1/metrics", GAUGE)] {
        let (status, answer) = post(&agent, path, &body.replace("NOW", &now));
        assert_eq!(status, 200, "{path}: {answer}");
    }
    for signal in ["logs", "traces", "metrics"] {
        generate(&agent, signal, 1000);
    }
    // Each delivers what it holds before it ends.
    stop(agent);
    stop(gateway);

    let query = |sql: &str| server.query(&sql.replace("otel_", &format!("{database}.otel_")));
    assert_eq!(query("SELECT count() FROM otel_logs"), "1001");
    assert_eq!(query("SELECT count() FROM otel_traces"), "1001");
    assert_eq!(points(server, &database), 1001);
    assert_eq!(
        query("SELECT uniqExact(LogAttributes['sequence']) FROM otel_logs WHERE ServiceName = 'checkout'"),
        "1000"
    );
    assert_eq!(
        query(
            "SELECT toUnixTimestamp64Nano(Timestamp), SeverityText, Body, LogAttributes['item'], \
             ResourceAttributes['host.name'], ResourceAttributes['deployment.environment.name'] \
             FROM otel_logs WHERE ServiceName = 'cart'"
        ),
        format!("{now}123456789\tERROR\tno stock\t7\tnode-9\ttesting")
    );
    assert_eq!(
        query(
            "SELECT TraceId, SpanId, SpanName, SpanKind, Duration, StatusCode FROM otel_traces \
             WHERE ServiceName = 'cart'"
        ),
        "5b8efff798038103d269b633813fc60c\teee19b7ec3c1b174\tGET /cart\tServer\t120000000\tError"
    );
    assert_eq!(
        query("SELECT MetricName, Value FROM otel_metrics_gauge WHERE ServiceName = 'cart'"),
        "queue.length\t7"
    );
}

#[test]
fn what_the_agent_took_while_the_gateway_was_down_survives_a_crash() {
    let queues = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let run_agent = |endpoint: &str| {
        let variables =
            [("GATEWAY_ENDPOINT", endpoint), ("AGENT_DIRECTORY", queues.path().to_str().unwrap())];
        start("crash", "agent.yaml", &[], &variables)
    };
    // Nobody listens on port 9 (discard) of the loopback address.
    let agent = run_agent("http://127.0.0.1:9");
    generate(&agent, "logs", 500);
    // It is killed, without time to write anything.
    drop(agent);

    let server = Server::shared();
    let (url, database) = (server.url(), server.database());
    let variables = [("CLICKHOUSE_ENDPOINT", url.as_str()), ("CLICKHOUSE_DATABASE", &database)];
    let gateway = start_gateway("crash", "gateway-clickhouse.yaml", &variables);
    let agent = run_agent(&format!("http://{}", gateway.address("protocol", "grpc")));
    stop(agent);
    stop(gateway);
    assert_eq!(
        server.query(&format!("SELECT uniqExact(LogAttributes['sequence']) FROM {database}.otel_logs")),
        "500"
    );
}

#[test]
fn the_loki_gateway_sends_streams_with_few_labels() {
    let loki = Loki::start();
    let url = loki.url();
    let variables = [("LOKI_ENDPOINT", url.as_str()), ("LOKI_TENANT", "team-a")];
    let gateway = start_gateway("deployment", "gateway-loki.yaml", &variables);
    generate(&gateway, "logs", 1000);
    let (status, answer) = post(&gateway, "/v1/traces", &SPAN.replace("NOW", "1732000000"));
    assert_eq!(status, 404, "nobody takes traces here: {answer}");
    stop(gateway);

    let pushes = loki.pushes();
    assert!(pushes.iter().all(|push| push.tenant == "team-a"), "{pushes:?}");
    let streams: Vec<_> = pushes.iter().flat_map(|push| &push.request.streams).collect();
    let labels =
        r#"{deployment_environment_name="production", service_name="checkout", service_namespace="shop"}"#;
    assert!(streams.iter().all(|stream| stream.labels == labels), "{}", streams[0].labels);
    let entries: Vec<_> = streams.iter().flat_map(|stream| &stream.entries).collect();
    assert_eq!(entries.len(), 1000);
    let sequence = |pair: &&Pair| pair.name == "sequence";
    let mut sequences: Vec<u32> = entries
        .iter()
        .map(|entry| entry.metadata.iter().find(sequence).unwrap().value.parse().unwrap())
        .collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (0..1000).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| entry.line.contains(" answered ")), "{}", entries[0].line);
}

#[test]
fn log_files_are_read_to_their_end_with_their_levels() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = directory.path().display();
    let line = r#"{"time":"2024-12-19T10:30:15Z","level":"error","msg":"no stock","item":7}"#;
    std::fs::write(directory.path().join("shop.log"), format!("{line}\n")).unwrap();
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/file.yaml");
    let include = format!("receivers.file.include=['{root}/*.log']");
    let storage = format!("service.storage.directory={root}/state");
    let metrics = "service.telemetry.metrics.level=none";
    let settings = ["--set", &include, "--set", &storage, "--set", metrics];
    let run = [&["run", "--until-eof", "--config", example.to_str().unwrap()], &settings[..]].concat();
    let outcome = support::outcome::watershed(&run);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let log: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let text = log.to_string();
    for expected in ["no stock", "ERROR", "shop.log", "item"] {
        assert!(text.to_lowercase().contains(&expected.to_lowercase()), "{expected}: {text}");
    }
}

/// A far end that takes every request over HTTP and hands on its path and body.
fn far_end() -> (SocketAddr, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while let Some(message) = read_message(&mut reader) {
                    sender.send(message).unwrap();
                    (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                }
            });
        }
    });
    (address, received)
}

/// Settings of the sampling gateway under which nothing is decided before its root span is there.
const SAMPLING: [&str; 4] = [
    "extensions.health_check.endpoint=127.0.0.1:0",
    "exporters.otlp_http.compression=none",
    "processors.tail_sampling.decision_wait=1h",
    "processors.tail_sampling.decision_wait_after_root_received=100ms",
];

const CHILD: &str = r#""parentSpanId": "eee19b7ec3c1b175""#;
const FAILED: &str = r#""status": {"code": 2}"#;

/// A request with one span.
fn span(trace: &str, name: &str, more: &str) -> String {
    format!(
        r#"{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{{"traceId": "{trace}", "spanId": "eee19b7ec3c1b174",
        "name": "{name}", "startTimeUnixNano": "1000", "endTimeUnixNano": "2000", {more}}}]}}]}}]}}"#
    )
}

#[test]
fn the_sampling_gateway_decides_on_whole_traces_although_it_is_restarted_between_their_halves() {
    let (address, received) = far_end();
    let (endpoint, storage) =
        (format!("http://{address}"), tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let variables =
        [("BACKEND_ENDPOINT", endpoint.as_str()), ("GATEWAY_DIRECTORY", storage.path().to_str().unwrap())];
    let start = || start("restart", "tail-sampling.yaml", &SAMPLING, &variables);
    let (failed, fine) = ("5b8efff798038103d269b633813fc60c", "00000000000000000000000000000002");
    let span = |trace: &str, name: &str, more: &str| ("/v1/traces", span(trace, name, more));
    let log =
        format!(r#"{{"resourceLogs": [{{"scopeLogs": [{{"logRecords": [{{"traceId": "{failed}"}}]}}]}}]}}"#);
    let send = |gateway: &Running, (path, body): (&str, String)| {
        let (status, answer) = post(gateway, path, &body);
        assert_eq!(status, 200, "{path}: {answer}");
    };

    let gateway = start();
    send(&gateway, span(failed, "child", CHILD));
    send(&gateway, span(fine, "child", CHILD));
    send(&gateway, ("/v1/logs", log));
    stop(gateway);
    assert!(received.try_recv().is_err(), "a stop decides nothing");

    let gateway = start();
    send(&gateway, span(failed, "root", FAILED));
    let (mut names, mut records) = (Vec::new(), 0);
    while names.len() < 2 || records < 1 {
        let (first, body) = received.recv_timeout(Duration::from_secs(60)).unwrap();
        if first.contains("/v1/logs") {
            let request = ExportLogsServiceRequest::decode(&*body).unwrap();
            records += request.resource_logs[0].scope_logs[0].log_records.len();
            continue;
        }
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        for span in request.resource_spans.iter().flat_map(|resource| &resource.scope_spans[0].spans) {
            assert_eq!(span.attributes[0].key, "tailsampling.policy");
            names.push(span.name.clone());
        }
    }
    names.sort();
    assert_eq!((names, records), (vec!["child".to_owned(), "root".to_owned()], 1));
    send(&gateway, span(fine, "root", r#""status": {"code": 1}"#));
    stop(gateway);
    assert!(received.try_recv().is_err(), "the other trace is dropped, or waits for its decision");
}

#[test]
fn behind_the_balancer_each_trace_is_whole_at_one_of_the_sampling_gateways() {
    let directory = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let far_ends = [far_end(), far_end()];
    let storage = [directory(), directory(), directory()];
    let gateways: Vec<Running> = far_ends
        .iter()
        .zip(&storage)
        .enumerate()
        .map(|(number, ((address, _), storage))| {
            let endpoint = format!("http://{address}");
            let variables = [
                ("BACKEND_ENDPOINT", endpoint.as_str()),
                ("GATEWAY_DIRECTORY", storage.path().to_str().unwrap()),
            ];
            start(&format!("balancing_{number}"), "tail-sampling.yaml", &SAMPLING, &variables)
        })
        .collect();
    let addresses: Vec<String> =
        gateways.iter().map(|gateway| gateway.address("protocol", "grpc").to_string()).collect();
    let list = format!("[{}]", addresses.join(", "));
    let variables =
        [("GATEWAYS", list.as_str()), ("BALANCER_DIRECTORY", storage[2].path().to_str().unwrap())];
    let balancer = start("balancing", "load-balancing.yaml", &[], &variables);
    let traces: Vec<String> =
        (1..=32_u128).map(|number| format!("{:032x}", number.wrapping_mul(u128::MAX / 33))).collect();
    for (name, more) in [("child", CHILD), ("root", FAILED)] {
        for trace in &traces {
            let (status, answer) = post(&balancer, "/v1/traces", &span(trace, name, more));
            assert_eq!(status, 200, "{answer}");
        }
    }
    stop(balancer);

    // A child without its root would wait for an hour.
    let (mut spans, mut whole) = ([0; 2], 0);
    while whole < traces.len() {
        for ((_, received), spans) in far_ends.iter().zip(&mut spans) {
            while let Ok((_, body)) = received.recv_timeout(Duration::from_millis(100)) {
                let request = ExportTraceServiceRequest::decode(&*body).unwrap();
                let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
                *spans += scopes.map(|scope| scope.spans.len()).sum::<usize>();
            }
        }
        whole = spans.iter().sum::<usize>() / 2;
    }
    gateways.into_iter().for_each(|gateway| drop(stop(gateway)));
    assert!(spans.iter().all(|spans| *spans > 0 && spans % 2 == 0), "{spans:?}");
}

#[test]
fn the_redaction_example_hides_secrets_and_keeps_what_joins() {
    let running = start("deployment", "redaction.yaml", &[], &[("REDACTION_KEY", "0123456789abcdef")]);
    let text = "ann@example.com paid CUST-00012345 with 4111 1111 1111 1111 or 4242 4242 4242 4242, password=hunter2";
    let json = r#"{\"user\": \"ann@example.com\", \"apiKey\": \"abc\"}"#;
    let body = format!(
        r#"{{"resourceLogs": [{{"scopeLogs": [{{"logRecords": [{{"body": {{"stringValue": "{text}"}}}},
        {{"body": {{"stringValue": "{json}"}}, "attributes": [{{"key": "internal.id", "value": {{"intValue": "7"}}}}]}}]}}]}}]}}"#
    );
    let (status, answer) = post(&running, "/v1/logs", &body);
    assert_eq!(status, 200, "{answer}");
    let (status, stdout, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    let [first, second] = lines[..] else { panic!("{stdout}") };
    assert!(first.contains("[customer] with ****1111 or 4242 4242 4242 4242, password=****"), "{first}");
    assert!(second.contains(r#"\"apiKey\": \"****\""#) && !second.contains("internal"), "{second}");
    let hash = |line: &str| line.split_once("hmac:").map(|(_, rest)| rest[..32].to_owned());
    assert!(hash(first).is_some(), "{first}");
    assert_eq!(hash(first), hash(second));
}
