//! The telemetry of the process itself: logs to the terminal, counters to whoever asks, as `service.telemetry` says.
//!
//! None of it runs through the pipelines of the user, so that a mistake there cannot silence or multiply it.
//! Read `settings.rs` first.

mod logs;
mod prometheus;
mod push;
mod settings;

pub(crate) use logs::start as start_logs;
pub(crate) use prometheus::{Exposition, page};
pub(crate) use push::Pushes;
pub(crate) use settings::{Identity, MetricSettings, Settings};
