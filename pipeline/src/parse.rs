//! Text into records: what receivers and processors share. No I/O, no clock, no components.
//!
//! A reader of a format ([`json`]) takes one line and fills a [`Fields`], a buffer that is used again for
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
//! Read in this order: `fields`, `json`.

mod fields;
pub mod json;

pub use fields::{Entries, Fields};
