//! A load generator: realistic telemetry over OTLP, as fast as asked for, with an exact account at the end.
//!
//! Every record carries an attribute `sequence`, counted from zero without gaps, so that whoever stores the
//! records can say which ones are missing or doubled. Records are copied from templates that are encoded once;
//! only times and ids are written anew, so that the generator costs a fraction of what it loads.
//!
//! Read in this order: `template.rs` (a record with slots), `payload.rs` (records into requests), `link.rs`
//! (requests over connections), `load.rs` (how many, how fast, and the account).

mod answer;
mod link;
mod load;
mod message;
mod payload;
mod template;

pub(crate) use link::{Compression, Protocol};
pub(crate) use load::{Load, Progress, Report};
