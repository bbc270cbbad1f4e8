//! A receiver with a probe behind it, and clients that read whole answers.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
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
    AuthError, Batch, Budget, Context, Extension, Extensions, Identity, Kind, Receiver as _, ReceiverConfig,
    RequestHeaders, ServerAuthenticator, ShutdownTrigger, Signal, Telemetry, shutdown,
};

/// A running receiver on free ports.
pub(crate) struct Bench {
    pub(crate) probe: Probe,
    pub(crate) budget: Budget,
    telemetry: Telemetry,
    addresses: Vec<(&'static str, SocketAddr)>,
    trigger: ShutdownTrigger,
    task: JoinHandle<()>,
}

impl Bench {
    /// Starts a receiver with these settings and a budget of 8 MiB for new work and for all.
    pub(crate) async fn run<C: ReceiverConfig>(id: &str, yaml: &str) -> Self {
        let config: C = Section::from_text(C::TYPE, yaml).unwrap().read().unwrap();
        let (telemetry, budget) = (Telemetry::new(), Budget::new(8 << 20, 8 << 20));
        let id = id.parse().unwrap();
        let cx = Context::new(Kind::Receiver, id, telemetry.clone(), budget.clone(), Arc::default())
            .with_extensions(Arc::new(extensions()));
        let mut receiver = config.build(&cx).unwrap();
        receiver.bind().await.unwrap();
        let addresses = receiver.addresses();
        let (probe, (trigger, signal)) = (Probe::new(), shutdown());
        let outlet = probe.outlet();
        let task = tokio::spawn(async move { Box::new(receiver).run(outlet, signal).await.unwrap() });
        Self { probe, budget, telemetry, addresses, trigger, task }
    }

    /// Where the receiver listens for a protocol.
    pub(crate) fn address(&self, protocol: &str) -> SocketAddr {
        self.addresses.iter().find(|(name, _)| *name == protocol).unwrap().1
    }

    /// Asks the receiver to stop.
    pub(crate) fn stop(&self) {
        self.trigger.stop();
    }

    /// Stops, waits until the receiver has returned, lets all batches go, and tells how much memory is still taken.
    pub(crate) async fn ended(self) -> usize {
        self.stop();
        self.task.await.unwrap();
        drop(self.probe);
        self.budget.used()
    }

    /// Items in all batches so far.
    pub(crate) fn items(&self) -> usize {
        self.probe.batches().iter().map(Batch::len).sum()
    }

    /// How many requests were refused for this reason.
    pub(crate) fn refused(&self, reason: &str) -> i128 {
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

/// A body that is sent in these pieces and then ends, or stays open for ever.
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    length: Option<u64>,
    stays_open: bool,
}

impl Pieces {
    /// A body in pieces of so many bytes and of unknown length.
    pub(crate) fn cut(bytes: &Bytes, size: usize) -> Self {
        let pieces = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
        Self { pieces, length: None, stays_open: false }
    }

    /// A body that announces a length and never comes.
    pub(crate) fn never(length: Option<u64>) -> Self {
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
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
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
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request on a connection of its own, in the version that the request names.
pub(crate) async fn send(address: SocketAddr, request: Request<Pieces>) -> Answer {
    send_over(TcpStream::connect(address).await.unwrap(), request).await
}

/// The same over a stream that is there.
pub(crate) async fn send_over<I>(stream: I, request: Request<Pieces>) -> Answer
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
pub(crate) async fn http2<I>(
    stream: I,
) -> (conn::http2::SendRequest<Pieces>, conn::http2::Connection<TokioIo<I>, Pieces, TokioExecutor>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap()
}

/// Opens a TLS connection that trusts only this certificate, and asks for HTTP/2.
pub(crate) async fn tls(address: SocketAddr, authority: &str) -> Result<TlsStream<TcpStream>, String> {
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
