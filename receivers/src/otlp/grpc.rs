//! OTLP over gRPC: unary requests by hand over HTTP/2 (gRPC over HTTP/2, OTLP specification "OTLP/gRPC").

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use watershed_pipeline::{Reservation, Signal};

use super::answer;
use super::frame::{FrameError, Framer, Message};
use super::intake::Intake;
use crate::server::auth::Guard;
use crate::server::body::{STEP, next};
use crate::server::compression::{DecompressError, Encoding, decompress};
use crate::server::failure::{Failure, Kind};
use crate::server::{Reply, Service};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const ACCEPTED_ENCODINGS: &str = "identity,gzip,zstd";
/// Longer texts are cut: clients limit the size of headers.
const MESSAGE_MAX: usize = 1024;

/// Answers OTLP requests over gRPC.
pub(crate) struct Grpc {
    /// The way to the pipelines.
    pub(crate) intake: Intake,
    /// How requests are answered.
    pub(crate) rules: Rules,
}

/// How requests are answered.
pub(crate) struct Rules {
    /// The largest message, before and after decompression, in bytes.
    pub(crate) limit: usize,
}

impl Service for Grpc {
    async fn call(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Reply> {
        let (parts, mut body) = request.into_parts();
        if parts.method != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, (ALLOW, HeaderValue::from_static("POST")));
        }
        if !is_grpc(&parts.headers) {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, (CONTENT_TYPE, GRPC_CONTENT_TYPE));
        }
        match self.export(&parts, &mut body, client).await {
            Ok(()) => accepted(),
            Err(failure) => {
                self.intake.failures.count(failure.kind);
                refused(&failure)
            }
        }
    }
}

impl Grpc {
    async fn export(&self, parts: &Parts, body: &mut Incoming, client: SocketAddr) -> Result<(), Failure> {
        let identity = self.intake.guard.admit(parts).await?;
        let signal = signal(parts.uri.path())?;
        Guard::permit(&identity, signal)?;
        let encoding = encoding(&parts.headers)?;
        self.intake.check(signal)?;
        let (message, mut reservation) = self.read(body).await?;
        let bytes = match (message.is_compressed, encoding) {
            (false, _) => message.bytes,
            (true, Encoding::Identity) => {
                let text = "the message is compressed, but `grpc-encoding` does not say how";
                return Err(Failure::new(Kind::Invalid, text));
            }
            (true, encoding) => decompress(encoding, &message.bytes, self.rules.limit, &mut reservation)
                .map_err(decompression_failure)?
                .into(),
        };
        let metadata = self.intake.guard.metadata(&parts.headers, client, &identity);
        self.intake.deliver(signal, bytes, reservation, metadata).await
    }

    /// Reads the message, asking for memory before each step that takes some.
    async fn read<B>(&self, body: &mut B) -> Result<(Message, Reservation), Failure>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let announced = body.size_hint().exact().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let mut reservation = self.intake.budget.admit(announced.unwrap_or(STEP))?;
        let mut framer = Framer::new(self.rules.limit);
        while let Some(piece) = next(body).await? {
            framer.push(piece).map_err(frame_failure)?;
            if let Some(length) = framer.length().filter(|length| *length > reservation.bytes()) {
                reservation.resize(length)?;
            }
        }
        Ok((framer.finish().map_err(frame_failure)?, reservation))
    }
}

fn frame_failure(error: FrameError) -> Failure {
    let is_large = matches!(error, FrameError::TooLarge { .. });
    Failure::new(if is_large { Kind::TooLarge } else { Kind::Invalid }, error)
}

/// The words for a message that is too large once decompressed are those of grpc-go.
fn decompression_failure(error: DecompressError) -> Failure {
    match error {
        DecompressError::TooLarge { limit } => Failure::new(
            Kind::TooLarge,
            format!(
                "grpc: received message after decompression larger than max {limit}; send smaller batches or raise \
                 `max_recv_msg_size_mib`"
            ),
        ),
        other => other.into(),
    }
}

fn signal(path: &str) -> Result<Signal, Failure> {
    match path {
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Ok(Signal::Logs),
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Ok(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Ok(Signal::Metrics),
        other => Err(Failure::new(Kind::Path, format!("unknown service or method `{other}`"))),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    match value.strip_prefix(b"application/grpc") {
        Some(rest) => rest.is_empty() || rest.starts_with(b";") || rest.starts_with(b"+proto"),
        None => false,
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Failure> {
    match headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Ok(Encoding::Identity),
        Some(b"gzip") => Ok(Encoding::Gzip),
        Some(b"zstd") => Ok(Encoding::Zstd),
        Some(other) => {
            let name = String::from_utf8_lossy(other);
            let text = format!("`grpc-encoding: {name}` is not supported; use one of: {ACCEPTED_ENCODINGS}");
            Err(Failure::new(Kind::Encoding, text))
        }
    }
}

/// A request that is no gRPC at all is answered in HTTP.
fn plain(status: StatusCode, (name, value): (HeaderName, HeaderValue)) -> Response<Reply> {
    let mut response = Response::new(Reply::default());
    *response.status_mut() = status;
    response.headers_mut().insert(name, value);
    response
}

fn accepted() -> Response<Reply> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let mut response = Response::new(Reply::new(framed(&answer::accepted(0, ""))).with_trailers(trailers));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED_ENCODINGS));
    response
}

/// Puts the prefix before a message.
fn framed(message: &Bytes) -> Bytes {
    if message.is_empty() {
        return Bytes::from_static(&[0; 5]);
    }
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(message);
    out.freeze()
}

/// An answer without a message, whose headers are its trailers.
fn refused(failure: &Failure) -> Response<Reply> {
    let mut response = Response::new(Reply::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED_ENCODINGS));
    headers.insert(GRPC_STATUS, failure.kind.grpc().into());
    let text = failure.text.get(..failure.text.floor_char_boundary(MESSAGE_MAX)).unwrap_or_default();
    headers.extend(HeaderValue::try_from(percent_encoded(text)).map(|text| (GRPC_MESSAGE, text)));
    if let Some(after) = failure.retry_after {
        let details = STANDARD_NO_PAD.encode(answer::status(failure.kind.grpc(), text, Some(after)));
        headers.extend(HeaderValue::try_from(details).map(|details| (GRPC_DETAILS, details)));
    }
    response
}

/// Encodes a text as `grpc-message` wants it: everything but printable ASCII, and the percent sign.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => out.push(byte.into()),
            // Writing to a string cannot fail.
            _ => write!(out, "%{byte:02X}").unwrap_or_default(),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Version;
    use http::request::Builder;
    use libdeflater::{CompressionLvl, Compressor};
    use watershed_pipeline::Refusal;

    use super::super::testing::{Answer, Bench, Pieces, framed, grpc_request, logs, send};
    use super::*;

    fn request() -> Builder {
        Request::post("http://localhost/opentelemetry.proto.collector.logs.v1.LogsService/Export")
            .version(Version::HTTP_2)
            .header(CONTENT_TYPE, GRPC_CONTENT_TYPE)
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
        let length = compressor.gzip_compress(data, &mut out).unwrap();
        out.truncate(length);
        out
    }

    fn text(answer: &Answer) -> String {
        let encoded = answer.header("grpc-message");
        let mut pieces = encoded.split('%');
        let first = pieces.next().unwrap_or_default().as_bytes().to_vec();
        let bytes = pieces.fold(first, |mut bytes, piece| {
            bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
            bytes.extend_from_slice(&piece.as_bytes()[2..]);
            bytes
        });
        String::from_utf8(bytes).unwrap()
    }

    #[track_caller]
    fn check(answer: &Answer, code: &str, expected: &str) {
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!((answer.header("grpc-status"), text(answer).as_str()), (code, expected));
    }

    #[tokio::test]
    async fn a_message_is_taken_however_it_is_cut() {
        let bench = Bench::both().await;
        let message = logs(100);
        for size in [1, 4, 5, 6, 1000, usize::MAX] {
            let answer = send(bench.grpc(), grpc_request(&message, |body| Pieces::cut(&body, size))).await;
            assert_eq!(
                (answer.trailers["grpc-status"].as_bytes(), &answer.body[..]),
                (&b"0"[..], &[0; 5][..])
            );
            assert_eq!(answer.header("content-type"), "application/grpc");
        }
        assert_eq!(bench.items(), 600);
        let first = bench.probe.batches()[0].to_otlp();
        assert_eq!(first, message);
        assert!(bench.budget.used() > 0);
        assert_eq!(bench.ended().await, 0);
    }

    #[tokio::test]
    async fn compressed_messages_are_taken() {
        let bench = Bench::both().await;
        let message = logs(1000);
        let zstd = zstd::bulk::compress(&message, 1).unwrap();
        let stream = zstd::stream::encode_all(&message[..], 1).unwrap();
        for (name, compressed) in [("gzip", gzip(&message)), ("zstd", zstd), ("zstd", stream)] {
            let body = framed(1, &compressed).into();
            let answer =
                send(bench.grpc(), request().header("grpc-encoding", name).body(body).unwrap()).await;
            assert_eq!(answer.trailers["grpc-status"], "0", "{name}");
        }
        let uncompressed =
            request().header("grpc-encoding", "gzip").body(framed(0, &message).into()).unwrap();
        assert_eq!(send(bench.grpc(), uncompressed).await.trailers["grpc-status"], "0");
        assert_eq!(bench.items(), 4000);
    }

    #[tokio::test]
    async fn an_empty_request_is_a_success() {
        let bench = Bench::both().await;
        let answer = send(bench.grpc(), grpc_request(&Bytes::new(), Pieces::from)).await;
        assert_eq!(answer.trailers["grpc-status"], "0");
        assert_eq!((bench.items(), bench.budget.used()), (0, 0));
    }

    #[tokio::test]
    async fn what_cannot_be_taken_is_refused_with_its_code_and_reason() {
        let bench = Bench::both().await;
        let message = logs(3);
        let large = vec![0; (4 << 20) + 1];
        let twice = [framed(0, &message), framed(0, &message)].concat();
        let hint = "send smaller batches or raise `max_recv_msg_size_mib`";
        let cases = [
            ("3", "", Bytes::new(), "the request holds no message".to_owned()),
            ("3", "", Bytes::from(twice), "more than one message in a unary request; send one message per request".into()),
            ("3", "", framed(0, &message).slice(..9), format!("the request ended after 4 of {} bytes of the message", message.len())),
            ("3", "", framed(7, &message), "the first byte of the message is 7; it must be 0 (as is) or 1 (compressed)".into()),
            ("3", "", framed(1, &message), "the message is compressed, but `grpc-encoding` does not say how".into()),
            ("3", "gzip", framed(1, &message), "the request body is not valid gzip: it is damaged or cut off".into()),
            ("3", "", framed(0, b"\x0a\x05"), "invalid protobuf at byte 2, in ExportLogsServiceRequest: the message ends in the middle of a field".into()),
            ("8", "", framed(0, &large), format!("grpc: received message larger than max (4194305 vs. 4194304); {hint}")),
            ("8", "gzip", framed(1, &gzip(&large)), format!("grpc: received message after decompression larger than max 4194304; {hint}")),
            ("8", "zstd", framed(1, &zstd::stream::encode_all(&large[..], 1).unwrap()), format!("grpc: received message after decompression larger than max 4194304; {hint}")),
            ("12", "snappy", framed(1, &message), "`grpc-encoding: snappy` is not supported; use one of: identity,gzip,zstd".into()),
        ];
        for (code, encoding, body, expected) in cases {
            let answer =
                send(bench.grpc(), request().header("grpc-encoding", encoding).body(body.into()).unwrap())
                    .await;
            check(&answer, code, &expected);
            assert_eq!(answer.header("grpc-accept-encoding"), "identity,gzip,zstd");
            assert_eq!(answer.header("grpc-status-details-bin"), "");
        }
        assert_eq!(
            (bench.refused("invalid"), bench.refused("too_large"), bench.refused("encoding")),
            (7, 3, 1)
        );
        assert_eq!(bench.budget.used(), 0);
    }

    #[tokio::test]
    async fn an_unknown_method_is_unimplemented_and_what_is_no_grpc_is_answered_in_http() {
        let bench = Bench::both().await;
        let body = || Pieces::from(framed(0, &logs(1)));
        let unknown = request().uri("http://localhost/a.B/C").body(body()).unwrap();
        check(&send(bench.grpc(), unknown).await, "12", "unknown service or method `/a.B/C`");
        let json = Request::post("http://localhost/").version(Version::HTTP_2).body(body()).unwrap();
        assert_eq!(send(bench.grpc(), json).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let get = request().method("GET").body(Pieces::from(Bytes::new())).unwrap();
        assert_eq!(send(bench.grpc(), get).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_signal_without_a_pipeline_is_unimplemented() {
        let bench = Bench::both().await;
        bench.probe.accept_only(&[Signal::Traces]);
        let answer = send(bench.grpc(), grpc_request(&logs(1), Pieces::from)).await;
        check(
            &answer,
            "12",
            "no pipeline takes logs from this receiver; add `otlp/edge` to the receivers of a logs pipeline",
        );
    }

    #[tokio::test]
    async fn without_memory_a_request_is_refused_before_its_body_is_read() {
        let bench = Bench::both().await;
        let taken = bench.budget.admit(8 << 20).unwrap();
        // The body never comes, so an answer shows that nobody waits for it.
        let answer = send(bench.grpc(), request().body(Pieces::never(None)).unwrap()).await;
        let expected = "memory limit reached: 8388608 of 8388608 bytes are taken by telemetry in flight and 65536 more \
                        were asked for";
        check(&answer, "14", expected);
        let details = STANDARD_NO_PAD.decode(answer.header("grpc-status-details-bin")).unwrap();
        assert_eq!(details, answer::status(14, expected, Some(Duration::from_secs(1))));
        assert_eq!(bench.refused("memory"), 1);
        drop(taken);
        assert_eq!(bench.budget.used(), 0);
    }

    #[tokio::test]
    async fn a_refusal_of_the_pipelines_is_told() {
        let bench = Bench::both().await;
        let after = Some(Duration::from_millis(2500));
        bench.probe.refuse(Refusal::Retry { reason: "the queue is full: 100% ünd more".into(), after });
        let answer = send(bench.grpc(), grpc_request(&logs(1), Pieces::from)).await;
        check(&answer, "14", "the queue is full: 100% ünd more");
        let details = STANDARD_NO_PAD.decode(answer.header("grpc-status-details-bin")).unwrap();
        assert_eq!(details, answer::status(14, "the queue is full: 100% ünd more", after));
        bench.probe.refuse(Refusal::Final { reason: "too old".into() });
        let answer = send(bench.grpc(), grpc_request(&logs(1), Pieces::from)).await;
        check(&answer, "3", "too old");
        assert_eq!((bench.refused("busy"), bench.refused("rejected")), (1, 1));
    }

    #[test]
    fn texts_are_encoded_for_headers() {
        assert_eq!(percent_encoded("a%b ü\n~"), "a%25b %C3%BC%0A~");
    }
}
