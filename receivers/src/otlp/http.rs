//! OTLP over HTTP, in protobuf and JSON (OTLP specification, "OTLP/HTTP").

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use watershed_pipeline::otlp::{json, schema};
use watershed_pipeline::{Reservation, Signal};

use super::answer;
use super::intake::Intake;
use crate::server::auth::Guard;
use crate::server::body::{BodyError, discard, read};
use crate::server::compression::{Encoding, decompress};
use crate::server::cors::Cors;
use crate::server::encodings::Encodings;
use crate::server::failure::{Failure, Kind, whole_seconds};
use crate::server::settings::within;
use crate::server::{Reply, Service};

const ACCEPTED_TYPES: &str = "`application/x-protobuf` or `application/json`";

/// Answers OTLP requests over HTTP.
pub(crate) struct Http {
    /// The way to the pipelines.
    pub(crate) intake: Intake,
    /// How requests are answered.
    pub(crate) rules: Rules,
}

/// How requests are answered.
pub(crate) struct Rules {
    /// The path of each signal.
    pub(crate) paths: [(String, Signal); 3],
    /// The largest body, before and after decompression, in bytes.
    pub(crate) limit: usize,
    /// Accepted names in `content-encoding`.
    pub(crate) encodings: Encodings,
    /// Answers to browsers, if pages of other origins may send.
    pub(crate) cors: Option<Cors>,
    /// Headers of every answer.
    pub(crate) response_headers: HeaderMap,
    /// How long a body may take to arrive.
    pub(crate) read_timeout: Option<Duration>,
    /// How long an answer may take.
    pub(crate) write_timeout: Option<Duration>,
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

impl Format {
    /// Reads a content type; its parameters, such as a charset, do not matter.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.as_bytes();
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/x-protobuf") {
            return Some(Self::Protobuf);
        }
        essence.eq_ignore_ascii_case(b"application/json").then_some(Self::Json)
    }

    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Protobuf => HeaderValue::from_static("application/x-protobuf"),
            Self::Json => HeaderValue::from_static("application/json"),
        }
    }
}

impl Service for Http {
    async fn call(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Reply> {
        let (parts, mut body) = request.into_parts();
        let is_preflight = Cors::is_preflight(&parts.method, &parts.headers) && self.rules.cors.is_some();
        let mut response = if is_preflight {
            let mut response = Response::new(Reply::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        } else {
            self.answer(&parts, &mut body, client).await
        };
        let headers = response.headers_mut();
        if let Some(cors) = &self.rules.cors {
            cors.allow(&parts.headers, is_preflight, headers);
        }
        for (name, value) in &self.rules.response_headers {
            headers.insert(name, value.clone());
        }
        response
    }
}

impl Http {
    async fn answer(&self, parts: &Parts, body: &mut Incoming, client: SocketAddr) -> Response<Reply> {
        let exported = within(self.rules.write_timeout, self.export(parts, body, client)).await;
        let failure = match exported {
            Some(Ok((signal, format))) => return accepted(signal, format),
            Some(Err(failure)) => failure,
            None => Failure::passing(Kind::Slow, "the request was not answered in time", None),
        };
        self.intake.failures.count(failure.kind);
        let mut response = refused(&failure, Format::of(&parts.headers));
        let headers = response.headers_mut();
        match failure.kind {
            Kind::Method => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
            Kind::Encoding => drop(headers.insert(ACCEPT_ENCODING, self.rules.encodings.list())),
            Kind::CredentialsMissing | Kind::CredentialsInvalid => {
                headers.extend(self.intake.guard.challenge().map(|value| (WWW_AUTHENTICATE, value.clone())));
            }
            _ => {}
        }
        // What was not read of the body would be taken for the next request.
        if parts.version < Version::HTTP_2 && !discard(body).await {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn export(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        client: SocketAddr,
    ) -> Result<(Signal, Format), Failure> {
        let identity = self.intake.guard.admit(parts).await?;
        let signal = self.signal(parts.uri.path())?;
        Guard::permit(&identity, signal)?;
        if parts.method != Method::POST {
            let text = format!("the method `{}` is not supported; use POST", parts.method);
            return Err(Failure::new(Kind::Method, text));
        }
        let format = Format::of(&parts.headers).ok_or_else(|| unknown_type(&parts.headers))?;
        let encoding = self.rules.encodings.of(&parts.headers)?;
        self.intake.check(signal)?;
        let read = within(self.rules.read_timeout, read(body, &self.intake.budget, self.rules.limit)).await;
        let (bytes, mut reservation) = read.unwrap_or(Err(BodyError::Slow))?;
        let bytes = match encoding {
            Encoding::Identity => bytes,
            encoding => decompress(encoding, &bytes, self.rules.limit, &mut reservation)?.into(),
        };
        let message = match format {
            Format::Protobuf => bytes,
            Format::Json => self.protobuf_of(signal, &bytes, &mut reservation)?,
        };
        let metadata = self.intake.guard.metadata(&parts.headers, client, &identity);
        self.intake.deliver(signal, message, reservation, metadata).await?;
        Ok((signal, format))
    }

    fn signal(&self, path: &str) -> Result<Signal, Failure> {
        let found = self.rules.paths.iter().find(|(known, _)| known == path);
        found.map(|(_, signal)| *signal).ok_or_else(|| {
            let known: Vec<&str> = self.rules.paths.iter().map(|(path, _)| path.as_str()).collect();
            Failure::new(
                Kind::Path,
                format!("there is nothing at this path; use one of: {}", known.join(", ")),
            )
        })
    }

    /// Turns JSON into protobuf, which is never larger than allowed.
    fn protobuf_of(
        &self,
        signal: Signal,
        text: &[u8],
        reservation: &mut Reservation,
    ) -> Result<Bytes, Failure> {
        let message = match signal {
            Signal::Logs => &schema::LOGS_REQUEST,
            Signal::Traces => &schema::TRACES_REQUEST,
            Signal::Metrics => &schema::METRICS_REQUEST,
        };
        // The protobuf form is smaller than the text as a rule; what it takes exactly is reserved with the batch.
        reservation.resize(reservation.bytes().saturating_add(text.len()))?;
        let decoded = json::decode(message, text, self.rules.limit).map_err(|error| match error {
            json::JsonError::TooLarge { .. } => Failure::new(Kind::TooLarge, error),
            json::JsonError::Invalid { .. } => Failure::new(Kind::Invalid, error),
        })?;
        Ok(decoded.into())
    }
}

fn unknown_type(headers: &HeaderMap) -> Failure {
    let text = match headers.get(CONTENT_TYPE) {
        None => format!("the content type is missing; send {ACCEPTED_TYPES}"),
        Some(value) => {
            let value = String::from_utf8_lossy(value.as_bytes());
            format!("the content type `{value}` is not supported; send {ACCEPTED_TYPES}")
        }
    };
    Failure::new(Kind::ContentType, text)
}

fn accepted(signal: Signal, format: Format) -> Response<Reply> {
    let message = match format {
        Format::Protobuf => answer::accepted(0, ""),
        Format::Json => answer::accepted_json(signal, 0, ""),
    };
    let mut response = Response::new(Reply::new(message));
    response.headers_mut().insert(CONTENT_TYPE, format.content_type());
    response
}

/// An error, in the form of the request, or as plain text if that is not known.
fn refused(failure: &Failure, format: Option<Format>) -> Response<Reply> {
    let code = failure.kind.grpc();
    let (message, content_type) = match format {
        Some(Format::Protobuf) => {
            (answer::status(code, &failure.text, None).into(), Format::Protobuf.content_type())
        }
        Some(Format::Json) => (answer::status_json(code, &failure.text), Format::Json.content_type()),
        None => (Bytes::from(failure.text.clone()), HeaderValue::from_static("text/plain; charset=utf-8")),
    };
    let mut response = Response::new(Reply::new(message));
    *response.status_mut() = failure.kind.http();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    if let Some(after) = failure.retry_after {
        headers.insert(RETRY_AFTER, whole_seconds(after).into());
    }
    response
}

#[cfg(test)]
mod tests {
    use http::request::Builder;
    use libdeflater::{CompressionLvl, Compressor};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use watershed_pipeline::Refusal;

    use super::super::testing::{Bench, Pieces, http_request, logs, send};
    use super::*;

    const JSON: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hi"}}]}]}]}"#;

    fn post(content_type: &str) -> Builder {
        Request::post("/v1/logs").header("host", "localhost").header("content-type", content_type)
    }

    fn body(bytes: impl AsRef<[u8]>) -> Pieces {
        Bytes::copy_from_slice(bytes.as_ref()).into()
    }

    fn deflated(zlib: bool, data: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
        let length = if zlib {
            compressor.zlib_compress(data, &mut out).unwrap()
        } else {
            compressor.gzip_compress(data, &mut out).unwrap()
        };
        out.truncate(length);
        out
    }

    #[tokio::test]
    async fn protobuf_and_json_are_taken_and_answered_in_kind() {
        let bench = Bench::both().await;
        let message = logs(10);
        let cases = [
            ("application/x-protobuf", message.clone(), ""),
            ("Application/X-Protobuf; charset=x", message, ""),
            ("application/json", JSON.into(), "{}"),
            ("application/json; charset=utf-8", JSON.into(), "{}"),
        ];
        for (content_type, request, expected) in cases {
            let answer = send(bench.http(), post(content_type).body(body(request)).unwrap()).await;
            assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, expected), "{content_type}");
            assert!(content_type.to_lowercase().starts_with(answer.header("content-type")));
        }
        assert_eq!(bench.items(), 22);
        assert_eq!(bench.ended().await, 0);
    }

    #[tokio::test]
    async fn http_2_is_spoken_with_prior_knowledge_and_bodies_may_come_in_any_pieces() {
        let bench = Bench::both().await;
        // The HTTP/2 library ends a connection whose frames are mostly overhead (`too_many_data_frames`).
        let message = logs(300);
        for size in [1, 100, 100_000] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                let request = post("application/x-protobuf")
                    .uri("http://localhost/v1/logs")
                    .version(version)
                    .body(Pieces::cut(&message, size))
                    .unwrap();
                let answer = send(bench.http(), request).await;
                assert_eq!((answer.status, answer.version), (StatusCode::OK, version));
            }
        }
        assert_eq!(bench.items(), 1800);
        assert_eq!(bench.probe.batches()[1].to_otlp(), message);
    }

    #[tokio::test]
    async fn compressed_bodies_are_taken() {
        let bench = Bench::both().await;
        let message = logs(1000);
        let cases = [
            ("identity", message.to_vec()),
            ("gzip", deflated(false, &message)),
            ("GZIP", deflated(false, &message)),
            ("deflate", deflated(true, &message)),
            ("zlib", deflated(true, &message)),
            ("zstd", zstd::bulk::compress(&message, 1).unwrap()),
            (
                "zstd",
                [zstd::bulk::compress(&message, 1).unwrap(), zstd::bulk::compress(b"", 1).unwrap()].concat(),
            ),
        ];
        for (name, compressed) in &cases {
            let request = post("application/x-protobuf").header("content-encoding", *name);
            let answer = send(bench.http(), request.body(body(compressed)).unwrap()).await;
            assert_eq!(answer.status, StatusCode::OK, "{name} {}", answer.text());
        }
        assert_eq!(bench.items(), cases.len() * 1000);
    }

    #[tokio::test]
    async fn what_cannot_be_taken_is_refused_with_its_status_and_reason() {
        let bench =
            Bench::start("protocols: {http: {endpoint: 'localhost:0', max_request_body_size: 1MiB}}").await;
        let message = logs(1000);
        let bomb = deflated(false, &vec![0; 1 << 26]);
        let cut = deflated(false, &message);
        let cut = &cut[..cut.len() - 20];
        let two = [deflated(false, &message), deflated(false, b"more")].concat();
        let accepted = "send `application/x-protobuf` or `application/json`";
        let smaller = "send smaller batches or raise the limit";
        let json = |builder: Builder, text: &[u8]| builder.body(body(text)).unwrap();
        let post_json = || post("application/json");
        let gzip = || post_json().header("content-encoding", "gzip");
        let cases = [
            (415, Request::post("/v1/logs").header("host", "a").body(body(JSON)).unwrap(), format!("the content type is missing; {accepted}")),
            (415, json(post("text/plain"), b""), format!("the content type `text/plain` is not supported; {accepted}")),
            (405, json(post_json().method("PUT"), b""), "the method `PUT` is not supported; use POST".into()),
            (404, json(post_json().uri("/v1/log"), b""), "there is nothing at this path; use one of: /v1/logs, /v1/traces, /v1/metrics".into()),
            (415, json(post_json().header("content-encoding", "br"), b""), "the content encoding `br` is not supported; use one of: gzip, zstd, zlib, deflate, identity".into()),
            (400, json(post_json(), br#"{"resourceLogs":[{"scopeLogs":7}]}"#), "resourceLogs[0].scopeLogs: invalid type".into()),
            (400, json(post_json(), b"{"), "ExportLogsServiceRequest: EOF while parsing".into()),
            (400, json(gzip(), cut), "the request body is not valid gzip: it is damaged or cut off".into()),
            (400, json(gzip(), b"short"), "the request body is not valid gzip: it is shorter than a header".into()),
            (400, json(gzip(), &two), "the request body is not valid gzip: there is more data behind the first member; send one member".into()),
            (413, json(gzip(), &bomb), format!("the request body is larger than 1048576 bytes after decompression; {smaller}")),
            (413, json(post_json(), &vec![b' '; (1 << 20) + 1]), format!("the request body is larger than 1048576 bytes; {smaller}")),
            (413, post_json().body(Pieces::cut(&vec![b' '; (1 << 20) + 1].into(), 10_000)).unwrap(), format!("the request body is larger than 1048576 bytes; {smaller}")),
        ];
        for (status, request, expected) in cases {
            let is_json =
                request.headers().get("content-type").is_some_and(|value| value == "application/json");
            let answer = send(bench.http(), request).await;
            assert_eq!(answer.status.as_u16(), status, "{expected} {}", answer.text());
            let text = answer.text();
            let text = if is_json {
                assert_eq!(answer.header("content-type"), "application/json");
                serde_json::from_str::<serde_json::Value>(&text).unwrap()["message"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            } else {
                text
            };
            assert!(text.starts_with(&expected), "{text}");
            let allow = if status == 405 { "POST" } else { "" };
            assert_eq!((answer.header("allow"), answer.header("retry-after")), (allow, ""));
        }
        assert_eq!((bench.refused("invalid"), bench.refused("too_large"), bench.budget.used()), (5, 3, 0));
    }

    #[tokio::test]
    async fn broken_protobuf_is_answered_in_protobuf() {
        let bench = Bench::both().await;
        let answer = send(bench.http(), http_request(&Bytes::from_static(b"\x0a\x05"))).await;
        let text = "invalid protobuf at byte 2, in ExportLogsServiceRequest: the message ends in the middle of a field";
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.header("content-type"), "application/x-protobuf");
        assert_eq!(answer.body, answer::status(3, text, None));
    }

    /// Sends headers alone and reads until the server closes.
    async fn after_headers(address: SocketAddr, length: usize) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /v1/logs HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn without_memory_a_request_is_refused_before_its_body_is_read_and_the_connection_closes() {
        let bench = Bench::both().await;
        let taken = bench.budget.admit(8 << 20).unwrap();
        let answer = after_headers(bench.http(), 1 << 20).await;
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        for header in ["retry-after: 1\r\n", "connection: close\r\n", "content-type: application/json\r\n"] {
            assert!(answer.contains(header), "{answer}");
        }
        let text = r#"{"code":14,"message":"memory limit reached: 8388608 of 8388608 bytes are taken"#;
        assert!(answer.contains(text), "{answer}");
        assert_eq!(bench.refused("memory"), 1);
        drop(taken);
        assert!(after_headers(bench.http(), 21 << 20).await.starts_with("HTTP/1.1 413 "));
        assert_eq!(bench.budget.used(), 0);
    }

    #[tokio::test]
    async fn after_a_refusal_with_a_short_body_the_connection_serves_on() {
        let bench = Bench::both().await;
        let mut stream = TcpStream::connect(bench.http()).await.unwrap();
        let bad = "POST /v1/logs HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nbytes";
        let good = format!(
            "POST /v1/logs HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{JSON}",
            JSON.len()
        );
        stream.write_all(format!("{bad}{good}").as_bytes()).await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        assert!(answers.starts_with("HTTP/1.1 415 ") && answers.contains("HTTP/1.1 200 OK"), "{answers}");
    }

    #[tokio::test]
    async fn a_refusal_of_the_pipelines_is_told() {
        let bench = Bench::both().await;
        let reason = "the queue is full".to_owned();
        bench.probe.refuse(Refusal::Retry { reason, after: Some(Duration::from_millis(2500)) });
        let answer = send(bench.http(), http_request(&logs(1))).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "3"));
        assert_eq!(answer.body, answer::status(14, "the queue is full", None));
        bench.probe.refuse(Refusal::Final { reason: "too old".into() });
        let answer = send(bench.http(), http_request(&logs(1))).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (400, ""));
        bench.probe.accept_only(&[Signal::Traces]);
        let answer = send(bench.http(), post("application/json").body(body(JSON)).unwrap()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert!(answer.text().contains("add `otlp/edge` to the receivers of a logs pipeline"));
    }

    #[tokio::test]
    async fn pages_of_allowed_origins_may_send() {
        let yaml = "protocols: {http: {endpoint: 'localhost:0', response_headers: {x-served-by: edge}, cors: \
                    {allowed_origins: ['https://*.example'], allowed_headers: [x-token], max_age: 60}}}";
        let bench = Bench::start(yaml).await;
        let preflight = |origin: &str| {
            let request = post("").method("OPTIONS").header("origin", origin);
            request.header("access-control-request-method", "POST").body(body("")).unwrap()
        };
        let answer = send(bench.http(), preflight("https://a.example")).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        for (name, value) in [
            ("access-control-allow-origin", "https://a.example"),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "Accept, Content-Type, X-Requested-With, x-token"),
            ("access-control-max-age", "60"),
            ("vary", "Origin"),
            ("x-served-by", "edge"),
        ] {
            assert_eq!(answer.header(name), value);
        }
        let other = send(bench.http(), preflight("https://evil.com")).await;
        assert_eq!(other.header("access-control-allow-origin"), "");
        let request =
            post("application/json").header("origin", "https://b.example").body(body(JSON)).unwrap();
        let answer = send(bench.http(), request).await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (StatusCode::OK, "https://b.example")
        );
    }

    #[tokio::test]
    async fn headers_travel_with_the_batch_if_wanted() {
        let bench =
            Bench::start("protocols: {http: {endpoint: 'localhost:0', include_metadata: true}}").await;
        let request = post("application/json").header("X-Tenant", "a").header("authorization", "Bearer x");
        send(bench.http(), request.body(body(JSON)).unwrap()).await;
        let batch = bench.probe.batches().pop().unwrap();
        let metadata = batch.metadata().unwrap();
        assert_eq!(metadata.values("x-tenant").collect::<Vec<_>>(), ["a"]);
        assert_eq!(metadata.values("authorization").count(), 0);
        assert_eq!(metadata.client_address(), "127.0.0.1".parse().ok());
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_in_time_is_answered() {
        let bench = Bench::start("protocols: {http: {endpoint: 'localhost:0', read_timeout: 1ms}}").await;
        let request = post("application/json").body(Pieces::never(Some(1 << 20))).unwrap();
        let answer = send(bench.http(), request).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
        assert_eq!(bench.refused("slow"), 1);
    }
}
