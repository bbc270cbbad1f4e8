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
use super::failure::{Failure, Kind};
use super::frame::{FrameError, Framer, Message};
use super::intake::Intake;
use crate::server::body::{STEP, next};
use crate::server::compression::{DecompressError, Encoding, decompress};
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
        let signal = signal(parts.uri.path())?;
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
        self.intake.deliver(signal, bytes, reservation, &parts.headers, client).await
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
