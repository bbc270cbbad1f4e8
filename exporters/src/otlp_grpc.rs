//! Sends telemetry to any server that speaks OTLP over gRPC.
//!
//! ```yaml
//! otlp_grpc:
//!   endpoint: collector.example.com:4317
//!   headers:
//!     authorization: Bearer ${env:TOKEN}
//! ```
//!
//! Signals: all. Order: as the queue has it. Memory: one request for each export that runs. Without compression, a
//! request that nobody changed on its way is sent as it was received, without a copy.
//!
//! The endpoint is `host:port`, `http://host:port` or `https://host:port`; the last two say whether TLS is spoken, for the
//! first `tls.insecure` does. One connection carries all requests. A pipeline that has many servers behind one name
//! needs a balancer that understands HTTP/2. With TLS the proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`) is used.
//!
//! The engine's settings `timeout` (here 5s), `sending_queue` and `retry_on_failure` belong to this exporter as to every
//! other. Answers are read as the OTLP specification says, section "OTLP/gRPC": `CANCELLED`, `DEADLINE_EXCEEDED`,
//! `ABORTED`, `OUT_OF_RANGE`, `UNAVAILABLE` and `DATA_LOSS` are tried again, not before the server's `RetryInfo`;
//! `RESOURCE_EXHAUSTED` only with one; a message that is too large halves the batch; anything else is never sent again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use watershed_config::{BuildError, ConfigErrors, Section, ServerUrl};
use watershed_pipeline::{Batch, Context, ExportError, Exporter, ExporterConfig, Extensions, Reach, Signal};

use crate::check::{self, Report};
use crate::client::grpc;

/// Settings of the exporter. The engine takes `timeout` out beforehand: here it bounds an attempt anyway.
pub(crate) type Config = grpc::Settings<ServerUrl>;

/// Sends an empty request for each of these signals, given the section of an exporter and the extensions that it may
/// name.
///
/// # Errors
/// The section has mistakes.
pub async fn check(
    section: &Section,
    signals: &[Signal],
    extensions: &Arc<Extensions>,
) -> Result<Report, ConfigErrors> {
    let exporter = check::build::<Config>(section, extensions)?;
    let server = |signal| (exporter.base.to_string(), signal);
    Ok(check::send_nothing(async |batch| exporter.export(batch).await, signals.iter().copied().map(server))
        .await)
}

impl ExporterConfig for Config {
    const TYPE: &'static str = "otlp_grpc";
    const ALIASES: &'static [&'static str] = &["otlp"];
    const SOURCE: &'static str = include_str!("otlp_grpc.rs");
    const REACH: Reach = Reach::Network { timeout: Duration::from_secs(5) };
    type Exporter = OtlpGrpc;

    fn build(&self, cx: &Context) -> Result<OtlpGrpc, BuildError> {
        if !self.endpoint.path().is_empty() {
            let message = format!("`{}` has a path; gRPC knows only host and port", self.endpoint);
            return Err(BuildError::at("endpoint", message));
        }
        let base = Url::parse(&self.endpoint.with_scheme(self.tls.is_on()))
            .map_err(|error| BuildError::at("endpoint", format!("is no address: {error}")))?;
        let sender = self.sender(base.scheme() == "https", cx)?;
        Ok(OtlpGrpc { sender, base })
    }
}

/// Sends batches as OTLP over gRPC.
pub(crate) struct OtlpGrpc {
    sender: grpc::Sender,
    base: Url,
}

#[async_trait]
impl Exporter for OtlpGrpc {
    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        self.sender.send(&self.base, batch).await
    }

    async fn flush(&self) -> Result<(), ExportError> {
        self.sender.refresh();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Reply};
    use bytes::Bytes;
    use opentelemetry_proto::tonic::collector::{
        logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
        trace::v1::ExportTraceServiceRequest,
    };
    use prost::Message as _;

    fn build(yaml: &str) -> Result<OtlpGrpc, String> {
        let section = Section::from_text("otlp_grpc", yaml).unwrap();
        let config: Config = section.read().map_err(|errors| errors.to_string())?;
        ExporterConfig::build(&config, &testing::context("otlp_grpc")).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check_base(yaml: &str, expected: &str) {
        assert_eq!(build(yaml).unwrap().base.as_str(), expected);
    }

    #[test]
    fn the_scheme_decides_on_tls_before_the_setting_does() {
        check_base("endpoint: h:4317", "https://h:4317/");
        check_base("{endpoint: 'h:4317', tls: {insecure: true}}", "http://h:4317/");
        check_base("{endpoint: 'https://h:4317', tls: {insecure: true}}", "https://h:4317/");
        check_base("endpoint: http://h:4317", "http://h:4317/");
    }

    #[test]
    fn an_endpoint_with_a_path_is_refused() {
        assert_eq!(
            build("endpoint: http://h:4317/v1/logs").err().unwrap(),
            "endpoint: `http://h:4317/v1/logs` has a path; gRPC knows only host and port"
        );
    }

    #[tokio::test]
    async fn every_compression_arrives() {
        for compression in ["gzip", "zstd", "deflate", "none"] {
            let mut server = testing::server(Reply::grpc("0")).await;
            let yaml = format!(
                "{{endpoint: '{}', compression: {compression}, headers: {{x-key: secret}}}}",
                server.url()
            );
            build(&yaml).unwrap().export(&testing::logs(2)).await.unwrap();
            let received = server.received().await;
            assert_eq!(received.path, "/opentelemetry.proto.collector.logs.v1.LogsService/Export");
            assert_eq!(
                (received.header("x-key"), received.header("te"), received.header("content-type")),
                ("secret", "trailers", "application/grpc")
            );
            let (head, body) = received.body.split_at(5);
            assert_eq!(head[0] == 1, compression != "none");
            assert_eq!(head[1..], u32::try_from(body.len()).unwrap().to_be_bytes());
            let body = testing::decompress(received.header("grpc-encoding"), body);
            let request = ExportLogsServiceRequest::decode(&*body).unwrap();
            assert_eq!(request.resource_logs[0].scope_logs[0].log_records.len(), 2);
        }
    }

    #[tokio::test]
    async fn spans_go_to_the_service_for_traces() {
        let mut server = testing::server(Reply::grpc("0")).await;
        let exporter = build(&format!("{{endpoint: '{}', compression: none}}", server.url())).unwrap();
        let batch = Batch::builder(Signal::Traces).record(|span| span.set_span_name("a")).build();
        exporter.export(&batch).await.unwrap();
        let received = server.received().await;
        assert_eq!(received.path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        let request = ExportTraceServiceRequest::decode(&received.body[5..]).unwrap();
        assert_eq!(request.resource_spans[0].scope_spans[0].spans[0].name, "a");
    }

    #[tokio::test]
    async fn what_a_server_refuses_in_part_is_counted_and_not_repeated() {
        let partial_success =
            Some(ExportLogsPartialSuccess { rejected_log_records: 1, error_message: "too old".into() });
        let message = ExportLogsServiceResponse { partial_success }.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = [&[0], &length[..], &message].concat();
        let server = testing::server(Reply::ok(body).with_trailer("grpc-status", "0")).await;
        let exporter = build(&format!("endpoint: {}", server.url())).unwrap();
        let expected =
            ExportError::Reject { count: 1, reason: "the server refused 1 items: too old".to_owned() };
        assert_eq!(exporter.export(&testing::logs(2)).await, Err(expected));
    }

    #[tokio::test]
    async fn errors_are_read_from_trailers_and_from_headers_alone() {
        let in_trailers =
            Reply::ok(Bytes::new()).with_trailer("grpc-status", "14").with_trailer("grpc-message", "busy%21");
        let in_headers = Reply::ok(Bytes::new()).with("grpc-status", "14").with("grpc-message", "busy%21");
        for reply in [in_trailers, in_headers] {
            let server = testing::server(reply).await;
            let exporter = build(&format!("endpoint: {}", server.url())).unwrap();
            let expected = ExportError::Retry {
                reason: "the server answered UNAVAILABLE: busy!".to_owned(),
                after: None,
            };
            assert_eq!(exporter.export(&testing::logs(1)).await, Err(expected));
        }
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_tried_again() {
        let exporter = build(&format!("endpoint: {}", testing::nobody())).unwrap();
        let error = exporter.export(&testing::logs(1)).await.unwrap_err();
        assert!(matches!(&error, ExportError::Retry { after: None, .. }), "{error:?}");
    }

    #[tokio::test]
    async fn tls_is_spoken_with_a_server_of_ones_own_authority() {
        let (mut server, certificate) = testing::tls_server(Reply::grpc("0")).await;
        let indented = certificate.replace('\n', "\n      ");
        let yaml = format!("endpoint: {}\ntls:\n  ca_pem: |\n      {indented}\n", server.url());
        build(&yaml).unwrap().export(&testing::logs(1)).await.unwrap();
        assert_eq!(server.received().await.header("te"), "trailers");
    }
}
