//! The rows of a part: fixed in size, pointing into its buffer and its list of attributes.

use super::attributes::AttrRange;
use super::buffer::Text;
use super::metrics::MetricRows;
use super::value::Stored;

#[derive(Clone, Debug, Default)]
pub(crate) struct ResourceRow {
    pub(crate) attrs: AttrRange,
    pub(crate) dropped_attributes: u32,
    pub(crate) schema_url: Text,
    /// The bytes of the `Resource` message, unless changed.
    pub(crate) raw: Text,
    /// The bytes of the `Resource` message as received, if it names entities. These are never looked at, only
    /// copied along.
    pub(crate) entities: Text,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ScopeRow {
    pub(crate) resource: u32,
    pub(crate) name: Text,
    pub(crate) version: Text,
    pub(crate) attrs: AttrRange,
    pub(crate) dropped_attributes: u32,
    pub(crate) schema_url: Text,
    /// The bytes of the `InstrumentationScope` message, unless changed.
    pub(crate) raw: Text,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct LogRow {
    pub(crate) time: u64,
    pub(crate) observed_time: u64,
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) severity_number: i32,
    pub(crate) flags: u32,
    pub(crate) severity_text: Text,
    pub(crate) event_name: Text,
    pub(crate) body: Stored,
    pub(crate) attrs: AttrRange,
    pub(crate) dropped_attributes: u32,
    pub(crate) scope: u32,
    pub(crate) raw: Text,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SpanRow {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) parent_span_id: [u8; 8],
    pub(crate) start_time: u64,
    pub(crate) end_time: u64,
    pub(crate) name: Text,
    pub(crate) trace_state: Text,
    pub(crate) kind: i32,
    pub(crate) flags: u32,
    pub(crate) attrs: AttrRange,
    pub(crate) dropped_attributes: u32,
    pub(crate) events: AttrRange,
    pub(crate) dropped_events: u32,
    pub(crate) links: AttrRange,
    pub(crate) dropped_links: u32,
    pub(crate) status_code: i32,
    pub(crate) status_message: Text,
    /// Whether the `Status` message was there at all.
    pub(crate) has_status: bool,
    pub(crate) scope: u32,
    pub(crate) raw: Text,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct EventRow {
    pub(crate) time: u64,
    pub(crate) name: Text,
    pub(crate) attrs: AttrRange,
    pub(crate) dropped_attributes: u32,
    pub(crate) raw: Text,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct LinkRow {
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) trace_state: Text,
    pub(crate) flags: u32,
    pub(crate) attrs: AttrRange,
    pub(crate) dropped_attributes: u32,
    pub(crate) raw: Text,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct SpanRows {
    pub(crate) spans: Vec<SpanRow>,
    pub(crate) events: Vec<EventRow>,
    pub(crate) links: Vec<LinkRow>,
}

/// The rows of one signal.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    Logs(Vec<LogRow>),
    Spans(SpanRows),
    Metrics(MetricRows),
}
