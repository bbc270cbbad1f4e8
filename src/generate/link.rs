//! Sends export requests over connections of its own: HTTP/1.1, or gRPC over HTTP/2.
//!
//! gRPC is done by hand, since all that is needed is a five-byte frame and the status in the trailers.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use watershed_pipeline::Signal;

use super::answer::{Answer, Response};

/// A response larger than this is not read.
const RESPONSE_SIZE_MAX: usize = 1 << 20;
/// The level of a compression: fast, as the SDKs choose it.
const GZIP_LEVEL: i32 = 6;
const ZSTD_LEVEL: i32 = 1;

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// By gzip, level 6.
    Gzip,
    /// By zstd, level 1.
    Zstd,
}

/// Where and how requests are sent.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `host:port`.
    authority: String,
    uri: Uri,
    protocol: Protocol,
    compression: Compression,
}

impl Target {
    /// Puts together where the requests of a signal go.
    ///
    /// `address` is `host:port`, optionally with `http://` before it and a path behind it.
    pub(crate) fn new(
        address: &str,
        signal: Signal,
        protocol: Protocol,
        compression: Compression,
    ) -> Result<Self, String> {
        let rest = address.strip_prefix("http://").unwrap_or(address);
        if rest.contains("://") {
            return Err(format!(
                "`{address}` is not supported as an endpoint; write `host:port` or `http://host:port`"
            ));
        }
        let (authority, base) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        {
            return Err(format!("`{address}` has no port; write for instance `localhost:4317`"));
        }
        let path = match (protocol, signal) {
            (Protocol::Grpc, Signal::Logs) => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            (Protocol::Grpc, Signal::Traces) => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            (Protocol::Grpc, Signal::Metrics) => {
                "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
            }
            (Protocol::Http, Signal::Logs) => "/v1/logs",
            (Protocol::Http, Signal::Traces) => "/v1/traces",
            (Protocol::Http, Signal::Metrics) => "/v1/metrics",
        };
        let whole = format!("http://{authority}{}{path}", base.trim_end_matches('/'));
        let uri =
            whole.parse().map_err(|_| format!("`{address}` is not an endpoint; write `localhost:4317`"))?;
        Ok(Self { authority: authority.to_owned(), uri, protocol, compression })
    }

    /// Puts an export request into the form in which it travels, which is the same for every attempt.
    pub(crate) fn wrap(&self, message: &[u8]) -> Result<Bytes, String> {
        let compressed = match self.compression {
            Compression::None => None,
            Compression::Gzip => Some(gzip(message)?),
            Compression::Zstd => {
                Some(zstd::bulk::compress(message, ZSTD_LEVEL).map_err(|error| error.to_string())?)
            }
        };
        let body = compressed.as_deref().unwrap_or(message);
        if self.protocol == Protocol::Http {
            return Ok(compressed.map_or_else(|| Bytes::copy_from_slice(message), Bytes::from));
        }
        let length = u32::try_from(body.len())
            .map_err(|_| "a request is larger than 4 GiB; use a smaller --batch".to_owned())?;
        let mut frame = Vec::with_capacity(5 + body.len());
        frame.push(u8::from(self.compression != Compression::None));
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(body);
        Ok(frame.into())
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let coding = match self.compression {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        };
        let builder = Request::post(self.uri.clone())
            .header("user-agent", concat!("watershed-generate/", env!("CARGO_PKG_VERSION")));
        let builder = match self.protocol {
            Protocol::Grpc => builder.header("content-type", "application/grpc").header("te", "trailers"),
            Protocol::Http => {
                builder.header("content-type", "application/x-protobuf").header("host", &self.authority)
            }
        };
        let builder = match (coding, self.protocol) {
            (Some(coding), Protocol::Grpc) => builder.header("grpc-encoding", coding),
            (Some(coding), Protocol::Http) => builder.header("content-encoding", coding),
            (None, _) => builder,
        };
        builder.body(Full::new(body)).map_err(|error| error.to_string())
    }

    async fn connect(&self) -> Result<TokioIo<TcpStream>, String> {
        let fail = |error| format!("cannot connect to {}: {error}", self.authority);
        let stream = TcpStream::connect(&self.authority).await.map_err(fail)?;
        stream.set_nodelay(true).map_err(fail)?;
        Ok(TokioIo::new(stream))
    }
}

fn gzip(message: &[u8]) -> Result<Vec<u8>, String> {
    let level = libdeflater::CompressionLvl::new(GZIP_LEVEL).map_err(|error| format!("{error:?}"))?;
    let mut compressor = libdeflater::Compressor::new(level);
    let mut out = vec![0; compressor.gzip_compress_bound(message.len())];
    let size = compressor.gzip_compress(message, &mut out).map_err(|error| error.to_string())?;
    out.truncate(size);
    Ok(out)
}

/// A way for one request at a time. Those of one gRPC connection share it.
pub(crate) enum Link {
    /// A connection of its own.
    Http1 { target: Arc<Target>, sender: Option<http1::SendRequest<Full<Bytes>>> },
    /// One stream of a shared connection.
    Http2 { target: Arc<Target>, sender: Arc<Mutex<Option<http2::SendRequest<Full<Bytes>>>>> },
}

impl Link {
    /// The links of one connection; over HTTP/1.1 each is a connection of its own.
    pub(crate) fn bundle(target: &Arc<Target>, concurrency: usize) -> Vec<Self> {
        let shared = Arc::default();
        let make = |_| match target.protocol {
            Protocol::Http => Self::Http1 { target: Arc::clone(target), sender: None },
            Protocol::Grpc => Self::Http2 { target: Arc::clone(target), sender: Arc::clone(&shared) },
        };
        (0..concurrency).map(make).collect()
    }

    /// Sends one request and reads the answer; connects first when there is no connection.
    ///
    /// An error means that there was no answer: the records may or may not have arrived.
    pub(crate) async fn send(&mut self, body: Bytes) -> Result<Answer, String> {
        match self {
            Self::Http1 { target, sender } => {
                let request = target.request(body)?;
                let answer = Self::send_http1(target, sender, request).await;
                if answer.is_err() {
                    *sender = None;
                }
                Ok(Answer::of_http(&answer?))
            }
            Self::Http2 { target, sender } => {
                let request = target.request(body)?;
                let answer = Self::send_http2(target, sender, request).await;
                if answer.is_err() {
                    *sender.lock().await = None;
                }
                Ok(Answer::of_grpc(&answer?))
            }
        }
    }

    async fn send_http1(
        target: &Target,
        slot: &mut Option<http1::SendRequest<Full<Bytes>>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response, String> {
        // A server may have closed a connection that was idle.
        let sender = match slot.as_mut().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                let (sender, connection) =
                    http1::handshake(target.connect().await?).await.map_err(|error| error.to_string())?;
                tokio::spawn(connection);
                slot.insert(sender)
            }
        };
        sender.ready().await.map_err(|error| error.to_string())?;
        read(sender.send_request(request).await.map_err(|error| error.to_string())?).await
    }

    async fn send_http2(
        target: &Target,
        slot: &Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response, String> {
        let mut sender = {
            let mut slot = slot.lock().await;
            match slot.as_ref().filter(|sender| !sender.is_closed()) {
                Some(sender) => sender.clone(),
                None => {
                    let io = target.connect().await?;
                    let made = http2::handshake(TokioExecutor::new(), io).await;
                    let (sender, connection) = made.map_err(|error| error.to_string())?;
                    tokio::spawn(connection);
                    slot.insert(sender).clone()
                }
            }
        };
        sender.ready().await.map_err(|error| error.to_string())?;
        read(sender.send_request(request).await.map_err(|error| error.to_string())?).await
    }
}

async fn read(response: http::Response<hyper::body::Incoming>) -> Result<Response, String> {
    let (parts, body) = response.into_parts();
    let body = http_body_util::Limited::new(body, RESPONSE_SIZE_MAX);
    let collected = body.collect().await.map_err(|error| error.to_string())?;
    let trailers = collected.trailers().cloned().unwrap_or_else(HeaderMap::new);
    let body = collected.to_bytes().to_vec();
    Ok(Response { status: parts.status, headers: parts.headers, body, trailers })
}
