//! The telemetry of the process itself: logs to the terminal, counters to whoever asks,
//! traces to OTLP endpoints, as `service.telemetry` says.
//!
//! None of it runs through the pipelines of the user, so that a mistake there cannot silence or multiply it.
//! Read `settings.rs` first.

mod logs;
mod prometheus;
mod push;
mod settings;
mod traces;

pub(crate) use logs::start as start_logs;
pub(crate) use prometheus::{Exposition, page};
pub(crate) use push::Pushes;
pub(crate) use settings::{Identity, MetricSettings, Settings};
pub(crate) use traces::Traces;

/// A part of the subscriber of the process.
type BoxedLayer = Box<dyn tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync>;
