//! The one place that knows OTLP's bytes: protobuf in and out of the arena, and JSON by way of protobuf.
//!
//! Message and field numbers follow opentelemetry-proto 1.x, `opentelemetry/proto/*/v1/*.proto`. Read in this
//! order: `wire` (protobuf's own rules), `nested` (values within values), `decode`, `encode`, `json`.

#[cfg(any(test, feature = "testing"))]
pub(crate) mod arbitrary;
mod decode;
mod encode;
pub mod json;
pub(crate) mod nested;
#[cfg(test)]
mod roundtrip;
pub mod schema;
mod wire;

pub(crate) use decode::decode;
pub(crate) use encode::{encode, encode_chosen};
pub use wire::{DecodeError, Reason};
