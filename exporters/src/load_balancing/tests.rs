//! The exporter in front of servers on loopback, and its settings.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message as _;
use watershed_config::Section;
use watershed_pipeline::testing::{any_batch, with_id};
use watershed_pipeline::{Batch, Context, ExportError, Exporter as _, Kind, Signal};

use super::resolver::{Lookup, System};
use super::ring::Ring;
use super::routing::{Router, RoutingKey};
use super::{Config, LoadBalancing};
use crate::testing::{self, Reply, Server};

const TOO_LARGE: &str = "grpc: received message larger than max (8 vs. 4)";

fn build_with(yaml: &str, lookup: impl Lookup + 'static) -> Result<LoadBalancing, String> {
    let section = Section::from_text("load_balancing", yaml).unwrap();
    let config: Config = section.read().map_err(|errors| errors.to_string())?;
    let context = Context::detached(Kind::Exporter, "load_balancing".parse().unwrap());
    config.build_with(Box::new(lookup), &context).map_err(|error| error.to_string())
}

/// An exporter in front of these servers.
fn balancer(servers: &[&Server]) -> LoadBalancing {
    let hosts: Vec<&str> =
        servers.iter().map(|server| server.url().strip_prefix("http://").unwrap()).collect();
    let yaml = format!(
        "{{protocol: {{otlp: {{compression: none, tls: {{insecure: true}}}}}}, resolver: {{static: {{hostnames: {hosts:?}}}}}}}"
    );
    build_with(&yaml, System).unwrap()
}

/// The trace id of this number; they are spread as random ones are.
fn trace(number: u128) -> [u8; 16] {
    (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}

/// Two spans of each of these traces, not next to one another.
fn spans(traces: u128) -> Batch {
    let mut builder = Batch::builder(Signal::Traces);
    for span in [1_u8, 2] {
        for number in 0..traces {
            builder.push(|record| {
                record.set_span_ids(trace(number), [span; 8], [0; 8]);
                record.set_span_name(&format!("{number}-{span}"));
            });
        }
    }
    with_id(builder.build(), 7)
}

/// What has arrived at a server: for each trace the names of its spans.
fn arrived(server: &mut Server) -> BTreeMap<Vec<u8>, Vec<String>> {
    let mut traces: BTreeMap<_, Vec<String>> = BTreeMap::new();
    while let Some(request) = server.arrived() {
        let request = ExportTraceServiceRequest::decode(&request.body[5..]).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            traces.entry(span.trace_id).or_default().push(span.name);
        }
    }
    traces
}

/// Starts two servers that take everything.
async fn two_servers() -> [Server; 2] {
    [testing::server(Reply::grpc("0")).await, testing::server(Reply::grpc("0")).await]
}

/// The answers of a DNS that the test plays.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<Vec<IpAddr>>>);

impl Answers {
    fn set(&self, addresses: &[&str]) {
        *self.0.lock().unwrap() = addresses.iter().map(|address| address.parse().unwrap()).collect();
    }
}

#[async_trait]
impl Lookup for Answers {
    async fn addresses(&self, hostname: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(hostname, "gateways");
        Ok(self.0.lock().unwrap().clone())
    }
}

fn names(exporter: &LoadBalancing) -> Vec<String> {
    let servers = exporter.resolver.servers();
    (0..servers.len()).map(|position| servers.get(position).unwrap().0.to_owned()).collect()
}

#[tokio::test]
async fn the_spans_of_a_trace_meet_at_one_server_whichever_balancer_they_pass() {
    let [mut first, mut second] = two_servers().await;
    for servers in [[&first, &second], [&second, &first]] {
        balancer(&servers).export(&spans(50)).await.unwrap();
    }
    let (at_first, at_second) = (arrived(&mut first), arrived(&mut second));
    assert!(at_first.len() > 5 && at_second.len() > 5, "{} and {}", at_first.len(), at_second.len());
    assert_eq!(at_first.len() + at_second.len(), 50);
    assert!(at_first.values().chain(at_second.values()).all(|spans| spans.len() == 4));
}

#[tokio::test]
async fn a_retry_sends_only_what_the_server_that_failed_did_not_take() {
    let [mut first, mut second] = two_servers().await;
    let (exporter, batch) = (balancer(&[&first, &second]), spans(60));
    second.answer(Reply::grpc("14"));
    let error = exporter.export(&batch).await.unwrap_err();
    let host = second.url().strip_prefix("http://").unwrap();
    let reason = format!("1 of 2 servers did not take their share; {host}: the server answered UNAVAILABLE");
    assert_eq!(error, ExportError::Retry { reason, after: None });
    let (taken, refused) = (arrived(&mut first), arrived(&mut second));
    assert_eq!(taken.len() + refused.len(), 60);

    second.answer(Reply::grpc("0"));
    exporter.export(&batch).await.unwrap();
    assert_eq!((arrived(&mut first), arrived(&mut second)), (BTreeMap::new(), refused));
    // It is over, so that the same id is another batch.
    exporter.export(&batch).await.unwrap();
    assert_eq!(arrived(&mut first), taken);
    assert_eq!((exporter.succeeded.value(), exporter.failed.value()), (4, 1));
}

#[tokio::test]
async fn what_servers_refuse_for_good_is_added_up_over_attempts() {
    let [first, second] = two_servers().await;
    let (exporter, batch) = (balancer(&[&first, &second]), spans(60));
    first.answer(Reply::grpc("3"));
    second.answer(Reply::grpc("14"));
    assert!(matches!(exporter.export(&batch).await, Err(ExportError::Retry { .. })));
    second.answer(Reply::grpc("3"));
    let error = exporter.export(&batch).await.unwrap_err();
    assert!(matches!(error, ExportError::Reject { count: 120, .. }), "{error:?}");
}

#[tokio::test]
async fn a_share_that_is_too_large_is_halved_down_to_single_records() {
    let [mut first, mut second] = two_servers().await;
    let (exporter, batch) = (balancer(&[&first, &second]), spans(60));
    first.answer(Reply::grpc("8").with_trailer("grpc-message", TOO_LARGE));
    let error = exporter.export(&batch).await.unwrap_err();
    let (refused, taken) = (arrived(&mut first), arrived(&mut second));
    let expected: usize = refused.len() * 2;
    assert!(matches!(error, ExportError::Reject { count, .. } if count == expected), "{error:?}");
    assert!(taken.values().all(|spans| spans.len() == 2) && refused.len() + taken.len() == 60);
}

#[tokio::test]
async fn the_share_of_a_server_that_is_gone_goes_to_those_that_are_left() {
    let mut server = testing::server(Reply::grpc("0")).await;
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    let yaml = format!(
        "{{protocol: {{otlp: {{compression: none, tls: {{insecure: true}}}}}}, \
         resolver: {{dns: {{hostname: gateways, port: {port}, interval: 1ns}}}}}}"
    );
    let answers = Answers::default();
    // Nobody listens at the second address.
    answers.set(&["127.0.0.1", "127.0.0.2"]);
    let (exporter, batch) = (build_with(&yaml, answers.clone()).unwrap(), spans(60));
    exporter.start().await.unwrap();
    assert!(matches!(exporter.export(&batch).await, Err(ExportError::Retry { .. })));
    let before = arrived(&mut server);
    assert!(!before.is_empty() && before.len() < 60);

    answers.set(&["127.0.0.1"]);
    exporter.flush().await.unwrap();
    exporter.export(&batch).await.unwrap();
    let after = arrived(&mut server);
    assert!(after.keys().all(|trace| !before.contains_key(trace)));
    assert_eq!(before.len() + after.len(), 60);
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_its_time_is_tried_again() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let yaml = format!(
        "{{protocol: {{otlp: {{timeout: 20ms, tls: {{insecure: true}}}}}}, resolver: {{static: {{hostnames: ['{address}']}}}}}}"
    );
    let error = build_with(&yaml, System).unwrap().export(&spans(1)).await.unwrap_err();
    let reason = format!("{address}: no answer from the server within 20 ms");
    assert_eq!(error, ExportError::Retry { reason, after: None });
}

#[tokio::test]
async fn log_records_without_a_trace_go_to_each_server_in_turn() {
    let [mut first, mut second] = two_servers().await;
    let exporter = balancer(&[&first, &second]);
    for _ in 0..4 {
        exporter.export(&testing::logs(3)).await.unwrap();
    }
    let count = |server: &mut Server| std::iter::from_fn(|| server.arrived()).count();
    assert_eq!((count(&mut first), count(&mut second)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn dns_is_asked_by_the_interval_and_no_answer_changes_nothing() {
    let answers = Answers::default();
    let yaml = "resolver: {dns: {hostname: gateways}}";
    let exporter = build_with(yaml, answers.clone()).unwrap();
    exporter.start().await.unwrap();
    let error = exporter.export(&spans(1)).await.unwrap_err();
    let reason = "no server is known; `resolver.dns.hostname` has no addresses".to_owned();
    assert_eq!(error, ExportError::Retry { reason, after: None });

    answers.set(&["10.0.0.2", "::1", "10.0.0.1"]);
    tokio::time::advance(std::time::Duration::from_secs(4)).await;
    exporter.flush().await.unwrap();
    assert!(names(&exporter).is_empty());
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    exporter.flush().await.unwrap();
    let expected = ["10.0.0.1", "10.0.0.2", "[::1]"];
    assert_eq!(names(&exporter), expected);

    answers.set(&[]);
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    exporter.flush().await.unwrap();
    assert_eq!(names(&exporter), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_record_that_is_not_settled_is_in_one_share(
        batch in (0_usize..3).prop_flat_map(|signal| any_batch(Signal::ALL[signal])),
        key in (0_usize..6).prop_map(|key| [
            RoutingKey::TraceId, RoutingKey::Service, RoutingKey::Resource,
            RoutingKey::Metric, RoutingKey::StreamId, RoutingKey::Attributes,
        ][key]),
        settled in proptest::collection::vec(any::<bool>(), 0..8),
    ) {
        let attributes = if key == RoutingKey::Attributes { vec!["k".to_owned()] } else { Vec::new() };
        let router = Router::new(key, &attributes).unwrap();
        let ring = Ring::new(["a:4317", "b:4317", "c:4317"]);
        let shares = router.divide(&batch, &settled, &ring, 2);
        let mut seen = BTreeSet::new();
        for share in &shares {
            prop_assert_eq!(share.positions.len(), share.batch.len());
            for (position, record) in share.positions.iter().zip(share.batch.records()) {
                let original = batch.records().nth(*position).unwrap();
                prop_assert_eq!(original.trace_id(), record.trace_id());
                if key == RoutingKey::TraceId && batch.signal() != Signal::Metrics && record.trace_id() != [0; 16] {
                    prop_assert_eq!(ring.owner(&record.trace_id()), Some(share.server));
                }
                prop_assert!(seen.insert(*position) && settled.get(*position) != Some(&true));
            }
        }
        let open = (0..batch.len()).filter(|position| settled.get(*position) != Some(&true)).count();
        prop_assert_eq!(seen.len(), open);
    }
}

#[test]
fn attributes_are_looked_for_in_resource_scope_and_record() {
    let router = Router::new(RoutingKey::Attributes, &["tenant".to_owned(), "span.name".to_owned()]).unwrap();
    let ring = Ring::new(["a:4317", "b:4317", "c:4317"]);
    let batch = Batch::builder(Signal::Traces)
        .resource(|resource| resource.set_attribute("tenant", "x"))
        .record(|span| span.set_span_name("GET"))
        .resource(|_| ())
        .record(|span| {
            span.set_span_name("GET");
            span.set_attribute("tenant", "x");
        })
        .build();
    let shares = router.divide(&batch, &[], &ring, 0);
    assert_eq!(shares.len(), 1);
    assert_eq!(Some(shares[0].server), ring.owner(b"xGET"));
}

#[track_caller]
fn check_mistake(yaml: &str, expected: &str) {
    let error = build_with(yaml, System).err().unwrap();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn mistakes_name_their_setting_and_the_fix() {
    let known = "resolver: {static: {hostnames: [a]}}";
    check_mistake("resolver: {}", "resolver: names no servers; add `static");
    check_mistake(
        "resolver: {static: {hostnames: [a]}, dns: {hostname: b}}",
        "resolver: has both `static` and `dns`; remove one",
    );
    check_mistake("resolver: {static: {hostnames: []}}", "resolver.static.hostnames: is empty");
    for host in ["http://a:4317", "a:4317/x", "a:port", ""] {
        let message = format!("resolver.static.hostnames: `{host}` is not `host` or `host:port`");
        check_mistake(&format!("resolver: {{static: {{hostnames: ['{host}']}}}}"), &message);
    }
    check_mistake(
        "resolver: {dns: {hostname: 'a:4317'}}",
        "resolver.dns.hostname: `a:4317` is no name; write it without scheme, and the port in `port`",
    );
    check_mistake(
        "resolver: {dns: {hostname: a, interval: 0s}}",
        "resolver.dns.interval: must be more than 0; write `5s`",
    );
    check_mistake(
        "resolver: {k8s: {service: gateways.shop}}",
        "resolver.k8s: is not supported; a headless service has a name for all its pods",
    );
    check_mistake("resolver: {aws_cloud_map: {namespace: a}}", "resolver.aws_cloud_map: is not supported");
    check_mistake(
        &format!("{known}\nprotocol: {{otlp: {{endpoint: 'a:4317'}}}}"),
        "the servers come from `resolver`; remove it",
    );
    check_mistake(
        &format!("{known}\nprotocol: {{otlp: {{tls: {{ca_pem: no}}}}}}"),
        "protocol.otlp.tls.ca_pem: holds no certificate in PEM form",
    );
    check_mistake(&format!("{known}\nrouting_key: attributes"), "routing_attributes: is empty; name");
    check_mistake(
        &format!("{known}\nrouting_attributes: [a]"),
        "routing_attributes: has no effect without `routing_key: attributes`",
    );
    check_mistake(&format!("{known}\nrouting_key: trace"), "traceID");
}

#[test]
fn servers_without_a_port_have_that_of_otlp() {
    let yaml = "{resolver: {static: {hostnames: [b, 'a:1', '[::1]', b]}}, protocol: {otlp: }}";
    let exporter = build_with(yaml, System).unwrap();
    assert_eq!(names(&exporter), ["[::1]", "a:1", "b"]);
    let servers = exporter.resolver.servers();
    let addresses = [0, 1, 2].map(|position| servers.get(position).unwrap().1.as_str());
    assert_eq!(addresses, ["https://[::1]:4317/", "https://a:1/", "https://b:4317/"]);
}
