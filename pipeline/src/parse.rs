//! Text into records: what receivers and processors share. No I/O, no clock, no components.
//!
//! A reader of a format ([`json`], [`logfmt`]) takes one line and fills a [`Fields`], a buffer that is used again for
//! the next line; what it gives back are [`Entries`], keys with [`Value`](crate::Value)s that point into the line
//! wherever possible. Whoever called sets them on a record; a text that points into the block the batch was built
//! over is not copied even then (see [`Batch::builder_over`](crate::Batch::builder_over)).
//!
//! ```
//! use watershed_pipeline::parse::{Fields, json};
//! use watershed_pipeline::{Batch, Signal, Value};
//!
//! let mut fields = Fields::default();
//! let mut builder = Batch::builder(Signal::Logs);
//! for line in [r#"{"user":"ann","took":12}"#, r#"{"user":"bob","took":0.5}"#] {
//!     let entries = json::read(line, &mut fields).unwrap();
//!     builder.push(|log| entries.iter().for_each(|(key, value)| log.set_attribute(key, value)));
//! }
//! let batch = builder.build();
//! let took: Vec<_> = batch.logs().map(|log| log.attribute("took").unwrap()).collect();
//! assert_eq!(took, [Value::Int(12), Value::Double(0.5)]);
//! ```
//!
//! [`time`] and [`Layout`] read times, [`severity`] reads severities, [`TraceContext`] and [`hex`] read trace context.
//!
//! Read in this order: `fields`, `json`, `logfmt`; `civil`, `zone`, `time`, `layout`; `severity`; `trace`.

mod civil;
mod fields;
pub mod json;
mod layout;
pub mod logfmt;
pub mod severity;
pub mod time;
mod trace;
mod zone;

pub use fields::{Entries, Fields, Filler};
pub use layout::{Layout, LayoutError};
pub use trace::{TraceContext, hex};
pub use zone::{Zone, ZoneError};
