//! What every receiver that listens for HTTP stands on: a listener, connections with limits, TLS, and request bodies
//! that are admitted by size before they are read.
//!
//! It stands directly on hyper, so that memory is asked for between the headers of a request and its body. Read in
//! this order: `listener` (ports and the accept loop), `connection` (one connection from first byte to last), `body`
//! and `compression` (from frames to one text, within limits), `failure` and `reply` (what is answered); then `auth`
//! (who may send), `tls`, `certificate`, `cors`, `encodings`, `metadata` and `settings` when you need them.

pub(crate) mod auth;
pub(crate) mod body;
mod certificate;
pub(crate) mod compression;
mod connection;
pub(crate) mod cors;
pub(crate) mod encodings;
pub(crate) mod failure;
mod listener;
pub(crate) mod metadata;
mod reply;
pub(crate) mod settings;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;

pub(crate) use listener::Server;
pub(crate) use reply::Reply;

/// Connections at a time, unless the settings say otherwise.
pub(crate) const CONNECTIONS_MAX: usize = 10_000;
/// Requests at a time on one HTTP/2 connection, unless the settings say otherwise.
pub(crate) const STREAMS_MAX: u32 = 1000;

/// Answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one request. The future is dropped when the client has gone.
    fn call(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> impl Future<Output = Response<Reply>> + Send;
}

/// How connections are treated. A period that is `None` is endless.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Whether HTTP/1.1 is spoken beside HTTP/2.
    pub(crate) http1: bool,
    /// Open connections; further ones wait in the system's queue.
    pub(crate) connections_max: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub(crate) streams_max: u32,
    /// Whether an HTTP/1.1 connection serves more than one request.
    pub(crate) keep_alive: bool,
    /// How long the headers of an HTTP/1.1 request may take, idle time before them included, and the first request
    /// of any connection.
    pub(crate) header_timeout: Option<Duration>,
    /// How long a connection may be without a request.
    pub(crate) idle_timeout: Option<Duration>,
    /// How long a connection lives before it is closed gracefully; each gets up to a tenth more or less.
    pub(crate) age_max: Option<Duration>,
    /// How long requests in flight may take after that.
    pub(crate) age_grace: Option<Duration>,
    /// How long an HTTP/2 connection may be silent before it is pinged.
    pub(crate) ping_interval: Option<Duration>,
    /// How long the answer to such a ping may take.
    pub(crate) ping_timeout: Duration,
}
