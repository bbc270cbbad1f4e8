//! An OTLP receiver with a probe behind it, and requests for it.

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Request, Version};
use watershed_pipeline::{Batch, Signal};

use super::Config;
pub(super) use crate::testing::{Answer, Bench, Pieces, http2, send, send_over, tls};

impl Bench {
    /// Starts an OTLP receiver with these settings.
    pub(super) async fn start(yaml: &str) -> Self {
        Self::run::<Config>("otlp/edge", yaml).await
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
