//! JSON of Fluent Bit's output `http`, as lists (`format json`), lines (`json_lines`) or one behind the other
//! (`json_stream`).
//!
//! ```text
//! [OUTPUT]
//!     Name http
//!     Port 8088
//!     URI  /fluent
//!     Format json
//!     header_tag FLUENT-TAG
//! ```
//!
//! Keys are those of flat JSON, and `log` is the body too; `date` is a double by default and keeps microseconds:
//! `json_date_format iso8601` keeps more. The tag in the header `FLUENT-TAG` becomes `fluent.tag`. MessagePack, which
//! Fluent Bit sends unless told otherwise, is answered with 415.

use http::Response;

use super::content::Content;
use super::fault::Fault;
use super::flat;
use super::items::{each_line, each_object};
use super::mapping::{Names, apply};
use super::preset::{Form, Sent};
use super::records::{Outcome, Records};
use crate::server::Reply;

/// Where it sends.
pub(super) const PATH: &str = "/fluent";

/// JSON of Fluent Bit.
pub(super) struct Fluent;

impl Form for Fluent {
    fn decode(&self, sent: &Sent<'_>, records: &mut Records<'_>) -> Result<(), Fault> {
        let (text, now) = (sent.text()?, records.now());
        let tag = sent.headers.get("fluent-tag").and_then(|tag| tag.to_str().ok());
        let put_tag = |log: &mut watershed_pipeline::RecordMut<'_>| {
            if let Some(tag) = tag {
                log.set_attribute("fluent.tag", tag);
            }
        };
        if sent.content == Content::Text {
            return each_line(text, |line| {
                records.push(|log| {
                    log.set_body(line);
                    put_tag(log);
                })
            });
        }
        each_object(text, sent.content, records, |records, item| {
            records.push(|log| {
                apply(item.entries.iter(), &NAMES, now, log);
                put_tag(log);
            })
        })
    }

    fn accepted(&self, outcome: &Outcome) -> Response<Reply> {
        flat::accepted(outcome)
    }
}

const NAMES: Names = Names {
    keys: &[("date", "timestamp"), ("log", "message"), ("pid", "process.pid")],
    resource: &[("hostname", "host.name")],
};
