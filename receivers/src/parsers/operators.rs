//! The setting `operators`: what is done with each record of a line, in the words of the Collector.
//!
//! ```yaml
//! operators:
//!   - type: regex_parser
//!     regex: '^(?P<at>\S+) (?P<sev>\w+) (?P<message>.*)$'
//!     timestamp: {parse_from: attributes.at, layout: '%Y-%m-%dT%H:%M:%S'}
//!     severity: {parse_from: attributes.sev}
//!   - {type: move, from: attributes.message, to: body}
//!   - {type: filter, expr: 'attributes["path"] matches "^/health"'}
//! ```
//!
//! Operators run one after another; each hands its record to the next, or to the ones that `output` names (only later
//! ones). Fields are written `body`, `body.a.b`, `attributes.a`, `attributes["a.b"]`, `resource["k8s.pod.name"]`.
//! Conditions (`if`, `expr`) are a part of the Collector's
//! expression language (`operators/expression.rs` names it); anything else is refused at the start. They work on
//! a copy of the record of their own, which costs some microseconds a record; a plain `format` does not.
//!
//! | type | does |
//! | --- | --- |
//! | `json_parser`, `regex_parser`, `csv_parser`, `key_value_parser`, `syslog_parser`, `uri_parser` | reads the text at `parse_from` (`body`) into `parse_to` (`attributes`); also `timestamp`, `severity`, `trace`, `scope_name` blocks |
//! | `time_parser`, `severity_parser`, `trace_parser`, `scope_name_parser` | sets the record's own fields |
//! | `container` | reads containers' lines, puts pieces together, names pod and namespace by the file's path |
//! | `move`, `copy`, `add`, `remove`, `retain`, `flatten` | change fields |
//! | `filter`, `router`, `noop` | decide where records go; `filter` drops those that `expr` is true of |
//! | `recombine` | makes one record of several lines |
//!
//! Differences from the Collector: whole numbers of `json_parser` stay whole (as with its `parse_ints: true`). A
//! failure under `on_error: send` leaves the attribute `log.parse.error` on the record; every failure is counted by
//! operator and reason. A `router` without a fitting route and without `default` drops, and counts it. `recombine` works within
//! one source, so that it needs no `source_identifier`, and keeps 1 MiB at most.

mod chain;
mod compile;
mod entry;
mod expression;
mod misplaced;
mod parse;
mod path;
mod recombine;
mod refine;
mod settings;
mod step;

pub(super) use chain::{Chain, Held};
pub use settings::Operator;
