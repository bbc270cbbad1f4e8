//! What the tests of several exporters share: batches, and a server that answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use watershed_pipeline::{Batch, Context, Kind, Signal};

/// The context of an exporter of this type.
pub(crate) fn context(type_name: &str) -> Context {
    Context::detached(Kind::Exporter, type_name.parse().unwrap())
}

/// A batch of so many log records.
pub(crate) fn logs(count: usize) -> Batch {
    let mut builder = Batch::builder(Signal::Logs);
    for number in 0..count {
        builder.push(|log| log.set_body(format!("record {number}")));
    }
    builder.build()
}

/// What the server answers to every request.
#[derive(Clone)]
pub(crate) struct Reply {
    code: u16,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Bytes>) -> Self {
        Self::code(200, body)
    }

    pub(crate) fn code(code: u16, body: impl Into<Bytes>) -> Self {
        Self { code, headers: HeaderMap::new(), body: body.into(), trailers: HeaderMap::new() }
    }

    /// A gRPC call that ended with this status, after an empty message.
    pub(crate) fn grpc(status: &'static str) -> Self {
        Self::ok(vec![0; 5]).with("content-type", "application/grpc").with_trailer("grpc-status", status)
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    pub(crate) fn with_trailer(mut self, name: &'static str, value: &'static str) -> Self {
        self.trailers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    fn response(self) -> Response<Frames> {
        let mut frames = VecDeque::new();
        if !self.body.is_empty() {
            frames.push_back(Frame::data(self.body));
        }
        if !self.trailers.is_empty() {
            frames.push_back(Frame::trailers(self.trailers));
        }
        let mut response = Response::new(Frames(frames));
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap();
        *response.headers_mut() = self.headers;
        response
    }
}

struct Frames(VecDeque<Frame<Bytes>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// A request as the server received it.
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    /// A header's value; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A server on loopback, for HTTP/1.1 and HTTP/2.
pub(crate) struct Server {
    url: String,
    reply: Arc<Mutex<Reply>>,
    requests: mpsc::Receiver<Received>,
}

impl Server {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Answers the requests to come in another way.
    pub(crate) fn answer(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// A request that has arrived, if there is another.
    pub(crate) fn arrived(&mut self) -> Option<Received> {
        self.requests.try_recv().ok()
    }

    /// The next request.
    pub(crate) async fn received(&mut self) -> Received {
        self.requests.recv().await.unwrap()
    }
}

/// Starts a server without TLS.
pub(crate) async fn server(reply: Reply) -> Server {
    serve(reply, None).await
}

/// Starts a server with TLS, and hands out its certificate in PEM form.
pub(crate) async fn tls_server(reply: Reply) -> (Server, String) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = own.cert.pem();
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (serve(reply, Some(tokio_rustls::TlsAcceptor::from(Arc::new(config)))).await, certificate)
}

async fn serve(reply: Reply, tls: Option<tokio_rustls::TlsAcceptor>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url =
        if tls.is_some() { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
    let (tx, requests) = mpsc::channel(100);
    let reply = Arc::new(Mutex::new(reply));
    let answers = Arc::clone(&reply);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tx, reply, tls) = (tx.clone(), Arc::clone(&answers), tls.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| answer(request, Arc::clone(&reply), tx.clone()));
                let server = auto::Builder::new(TokioExecutor::new());
                match tls {
                    None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            drop(server.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            });
        }
    });
    Server { url, reply, requests }
}

async fn answer(
    request: Request<Incoming>,
    reply: Arc<Mutex<Reply>>,
    tx: mpsc::Sender<Received>,
) -> Result<Response<Frames>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let received = Received { path: head.uri.path().to_owned(), headers: head.headers, body };
    tx.send(received).await.unwrap();
    let reply = reply.lock().unwrap().clone();
    Ok(reply.response())
}

/// The address of a port that nobody listens on.
pub(crate) fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Undoes the compression of a body, of which at most 1 MiB is expected.
pub(crate) fn decompress(encoding: &str, body: &[u8]) -> Vec<u8> {
    let mut plain = vec![0; 1 << 20];
    let mut inflate = libdeflater::Decompressor::new();
    let length = match encoding {
        "gzip" => inflate.gzip_decompress(body, &mut plain).unwrap(),
        "deflate" => inflate.zlib_decompress(body, &mut plain).unwrap(),
        "zstd" => return zstd::bulk::decompress(body, plain.len()).unwrap(),
        _ => return body.to_vec(),
    };
    plain.truncate(length);
    plain
}
