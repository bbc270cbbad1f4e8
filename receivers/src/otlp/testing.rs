//! A receiver with a probe behind it, and clients that read whole answers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use watershed_config::Section;
use watershed_pipeline::testing::Probe;
use watershed_pipeline::{
    AuthError, Batch, Budget, Context, Extension, Extensions, Identity, Kind, Receiver as _,
    ReceiverConfig as _, RequestHeaders, ServerAuthenticator, ShutdownTrigger, Signal, Telemetry, shutdown,
};

use super::{Config, Otlp};

/// A running receiver on free ports.
pub(super) struct Bench {
    pub(super) probe: Probe,
    pub(super) budget: Budget,
    telemetry: Telemetry,
    addresses: Vec<(&'static str, SocketAddr)>,
    trigger: ShutdownTrigger,
    task: JoinHandle<()>,
}

impl Bench {
    /// Starts a receiver with these settings and a budget of 8 MiB for new work and for all.
    pub(super) async fn start(yaml: &str) -> Self {
        let config: Config = Section::from_text("otlp", yaml).unwrap().read().unwrap();
        let (telemetry, budget) = (Telemetry::new(), Budget::new(8 << 20, 8 << 20));
        let id = "otlp/edge".parse().unwrap();
        let cx = Context::new(Kind::Receiver, id, telemetry.clone(), budget.clone(), Arc::default())
            .with_extensions(Arc::new(extensions()));
        let mut receiver: Otlp = config.build(&cx).unwrap();
        receiver.bind().await.unwrap();
        let addresses = receiver.addresses();
        let (probe, (trigger, signal)) = (Probe::new(), shutdown());
        let outlet = probe.outlet();
        let task = tokio::spawn(async move { Box::new(receiver).run(outlet, signal).await.unwrap() });
        Self { probe, budget, telemetry, addresses, trigger, task }
    }

    /// Starts both protocols with default settings on free ports.
    pub(super) async fn both() -> Self {
        Self::start("protocols: {grpc: {endpoint: 'localhost:0'}, http: {endpoint: 'localhost:0'}}").await
    }

    pub(super) fn grpc(&self) -> SocketAddr {
        self.address("grpc")
    }

    pub(super) fn http(&self) -> SocketAddr {
        self.address("http")
    }

    fn address(&self, protocol: &str) -> SocketAddr {
        self.addresses.iter().find(|(name, _)| *name == protocol).unwrap().1
    }

    /// Asks the receiver to stop.
    pub(super) fn stop(&self) {
        self.trigger.stop();
    }

    /// Stops, waits until the receiver has returned, lets all batches go, and tells how much memory is still taken.
    pub(super) async fn ended(self) -> usize {
        self.stop();
        self.task.await.unwrap();
        drop(self.probe);
        self.budget.used()
    }

    /// Items in all batches so far.
    pub(super) fn items(&self) -> usize {
        self.probe.batches().iter().map(Batch::len).sum()
    }

    /// How many requests were refused for this reason.
    pub(super) fn refused(&self, reason: &str) -> i128 {
        let samples = self.telemetry.samples();
        let ours = samples.iter().filter(|sample| {
            sample.name == "otelcol_receiver_refused_requests"
                && sample.labels.contains(&("reason".to_owned(), reason.to_owned()))
        });
        ours.map(|sample| sample.value).sum()
    }
}

/// The extension `doorman`, which lets in who sends `x-door: NAME`, and lets `x-door: traces` send traces only.
fn extensions() -> Extensions {
    let doorman = Extension::new().with_server_authenticator(Arc::new(Doorman));
    Extensions::default().with("doorman".parse().unwrap(), doorman)
}

struct Doorman;

#[async_trait::async_trait]
impl ServerAuthenticator for Doorman {
    async fn authenticate(&self, headers: &dyn RequestHeaders) -> Result<Identity, AuthError> {
        match headers.header("x-door") {
            None => Err(AuthError::Missing { header: "x-door".to_owned() }),
            Some(b"wrong") => Err(AuthError::Invalid),
            Some(b"crowd") => Err(AuthError::Busy),
            Some(b"traces") => Ok(Identity::new(Some("traces")).limited_to(vec![Signal::Traces])),
            Some(name) => Ok(Identity::new(Some(std::str::from_utf8(name).unwrap()))),
        }
    }

    fn header(&self) -> &str {
        "x-door"
    }

    fn challenge(&self) -> &str {
        "Door"
    }
}

/// A request message with so many log records.
pub(super) fn logs(count: usize) -> Bytes {
    let mut builder = Batch::builder(Signal::Logs);
    for number in 0..count {
        builder = builder.record(|log| {
            log.set_time_unix_nano(1 + number as u64);
            log.set_severity_number(1 + (number % 24) as i32);
        });
    }
    builder.build().to_otlp()
}

/// A body that is sent in these pieces and then ends, or stays open for ever.
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    length: Option<u64>,
    stays_open: bool,
}

impl Pieces {
    /// A body in pieces of so many bytes and of unknown length.
    pub(super) fn cut(bytes: &Bytes, size: usize) -> Self {
        let pieces = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
        Self { pieces, length: None, stays_open: false }
    }

    /// A body that announces a length and never comes.
    pub(super) fn never(length: Option<u64>) -> Self {
        Self { pieces: VecDeque::new(), length, stays_open: true }
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        Self { length: Some(bytes.len() as u64), pieces: [bytes].into(), stays_open: false }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.stays_open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let (status, version, headers) = (parts.status, parts.version, parts.headers);
        Self { status, version, headers, body: body.to_bytes(), trailers }
    }

    /// A header's text, or nothing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Puts the prefix of gRPC before a message.
pub(super) fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(flag);
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}

/// An export of logs over gRPC.
pub(super) fn grpc_request(message: &Bytes, body: impl FnOnce(Bytes) -> Pieces) -> Request<Pieces> {
    Request::post("http://localhost/opentelemetry.proto.collector.logs.v1.LogsService/Export")
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .body(body(framed(0, message)))
        .unwrap()
}

/// An export of logs over HTTP/1.1 in protobuf.
pub(super) fn http_request(message: &Bytes) -> Request<Pieces> {
    Request::post("/v1/logs")
        .header("host", "localhost")
        .header("content-type", "application/x-protobuf")
        .body(message.clone().into())
        .unwrap()
}

/// Sends one request on a connection of its own, in the version that the request names.
pub(super) async fn send(address: SocketAddr, request: Request<Pieces>) -> Answer {
    send_over(TcpStream::connect(address).await.unwrap(), request).await
}

/// The same over a stream that is there.
pub(super) async fn send_over<I>(stream: I, request: Request<Pieces>) -> Answer
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if request.version() == Version::HTTP_2 {
        let (mut sender, connection) = http2(stream).await;
        let connection = tokio::spawn(connection);
        let answer = Answer::read(sender.send_request(request).await.unwrap()).await;
        connection.abort();
        return answer;
    }
    let (mut sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = Answer::read(sender.send_request(request).await.unwrap()).await;
    connection.abort();
    answer
}

/// Opens an HTTP/2 connection with prior knowledge.
pub(super) async fn http2<I>(
    stream: I,
) -> (conn::http2::SendRequest<Pieces>, conn::http2::Connection<TokioIo<I>, Pieces, TokioExecutor>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap()
}

/// Opens a TLS connection that trusts only this certificate, and asks for HTTP/2.
pub(super) async fn tls(address: SocketAddr, authority: &str) -> Result<TlsStream<TcpStream>, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect("localhost".try_into().unwrap(), stream).await.map_err(|error| error.to_string())
}
