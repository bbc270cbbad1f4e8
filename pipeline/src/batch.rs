//! What flows: a batch of log records, spans or data points as a flat arena.
//!
//! A batch is a short list of *parts*, each of them one decoded message: its bytes as received, and rows of
//! fixed size that point into them. Merging batches joins the lists; cloning copies pointers; a part that is
//! shared is copied by the first write to it.
//!
//! Read in this order: `part` and `rows`, `buffer` and `attributes` (what they point to), `record`, `log`,
//! `span` and `points` (reading), `edit`, `sweep` and `texts` (changing), `merge` (joining and taking apart), `builder`
//! and `lines` (making new ones).

mod attributes;
mod buffer;
mod builder;
mod edit;
mod id;
mod lines;
mod literal;
mod log;
mod merge;
mod metrics;
mod part;
mod points;
mod record;
mod rows;
mod span;
mod sweep;
mod texts;
mod value;
mod value_text;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use attributes::Attributes;
pub(crate) use attributes::{Attr, AttrRange, KeyId};
pub(crate) use buffer::{Buffer, Text, is_utf8};
pub use builder::BatchBuilder;
pub(crate) use edit::retain;
pub use edit::{AttributesMut, RecordMut, RecordsMut};
pub use literal::Literal;
pub use log::LogRecord;
pub(crate) use metrics::{
    BucketsRow, ExemplarRow, ExponentialRow, MetricRow, MetricRows, PointData, PointRow,
};
pub use metrics::{MetricKind, Number, Quantile};
pub(crate) use part::{Holder, Part};
pub use points::{DataPoint, Exemplar, Metric, PointValue};
pub use record::{Record, Resource, Scope};
pub(crate) use rows::{EventRow, LinkRow, LogRow, ResourceRow, Rows, ScopeRow, SpanRow, SpanRows};
pub use span::{Span, SpanEvent, SpanLink};
pub use sweep::{Edit, End, Sweep, TextPlace};
pub use value::{AnyValue, Array, IntoValue, Map, Slot, Value};
pub(crate) use value::{Stored, store};

use crate::budget::Reservation;
use crate::component::Refusal;
use crate::metadata::Metadata;
use crate::otlp::{DecodeError, decode, encode, encode_chosen};
use crate::receipt::{Fate, Receipt};

/// The kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Log records.
    Logs,
    /// Spans.
    Traces,
    /// Data points.
    Metrics,
}

impl Signal {
    /// All signals.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Traces, Self::Metrics];

    /// `logs`, `traces` or `metrics`, as configuration files name them.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }

    /// `log_records`, `spans` or `metric_points`, as metric names call the items.
    #[must_use]
    pub const fn items(self) -> &'static str {
        match self {
            Self::Logs => "log_records",
            Self::Traces => "spans",
            Self::Metrics => "metric_points",
        }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// This moment, in nanoseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Log records, spans or data points that travel together. Cheap to clone; copied on the first write.
#[derive(Clone)]
pub struct Batch {
    signal: Signal,
    parts: Vec<Arc<Part>>,
    receipts: Vec<Receipt>,
    metadata: Option<Arc<Metadata>>,
    id: u128,
    sent_before: bool,
    /// When the oldest request came that it was made of, in nanoseconds since the Unix epoch; 0 if nobody knows.
    received: u64,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new(signal: Signal) -> Self {
        Self {
            signal,
            parts: Vec::new(),
            receipts: Vec::new(),
            metadata: None,
            id: 0,
            sent_before: false,
            received: 0,
        }
    }

    /// Decodes an OTLP request message (`Export…ServiceRequest`) in protobuf.
    ///
    /// # Errors
    /// Says where the bytes are not what they should be.
    pub fn from_otlp(signal: Signal, message: bytes::Bytes) -> Result<Self, DecodeError> {
        Ok(Self::from_part(decode(signal, message)?))
    }

    /// Starts a new batch, to be filled record by record.
    #[must_use]
    pub fn builder(signal: Signal) -> BatchBuilder {
        BatchBuilder::new(signal, bytes::Bytes::new())
    }

    /// As [`Self::builder`], for records made of a block of received bytes. A text that is set from a slice of the
    /// block is not copied: the batch keeps the block and points into it.
    ///
    /// ```
    /// # use watershed_pipeline::{Batch, Signal};
    /// let block = bytes::Bytes::from_static(b"one line\nanother");
    /// let mut builder = Batch::builder_over(Signal::Logs, block.clone());
    /// for line in block.split(|byte| *byte == b'\n') {
    ///     builder.push(|log| log.set_body(std::str::from_utf8(line).unwrap_or_default()));
    /// }
    /// assert_eq!(builder.build().len(), 2);
    /// ```
    #[must_use]
    pub fn builder_over(signal: Signal, block: bytes::Bytes) -> BatchBuilder {
        BatchBuilder::new(signal, block)
    }

    pub(crate) fn from_part(part: Part) -> Self {
        let signal = part.signal();
        let parts = if part.len() == 0 { Vec::new() } else { vec![Arc::new(part)] };
        Self { parts, ..Self::new(signal) }
    }

    /// The batch as an OTLP request message in protobuf. What nobody changed is copied as it was received,
    /// unknown fields included; a message that nobody changed at all is not even copied.
    #[must_use]
    pub fn to_otlp(&self) -> bytes::Bytes {
        encode(self.parts.iter().map(Arc::as_ref))
    }

    /// The records at these positions, in ascending order, as an OTLP request message of their own, in a buffer of
    /// exactly its size. For processors that keep a few records of a request for long.
    ///
    /// Several such messages behind one another are one message with all their records.
    #[must_use]
    pub fn to_otlp_of(&self, positions: &[usize]) -> bytes::Bytes {
        encode_chosen(self.parts.iter().map(Arc::as_ref), positions)
    }

    /// The signal.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Items: log records, spans or data points.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    /// Whether there are no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.len() == 0)
    }

    /// Bytes of memory that the batch keeps alive.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        self.parts.iter().map(|part| part.memory_size()).sum()
    }

    /// What names the batch to its exporter, over all attempts and restarts: a far end that remembers it takes the
    /// batch once. The sending queue gives it; before that it is 0.
    ///
    /// Parts of a batch, and several batches as one, have ids that follow from the ids they were made of.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.id
    }

    pub(crate) fn set_id(&mut self, id: u128) {
        self.id = id;
    }

    /// Whether an earlier run of the process may have sent the batch under this id, and died before the answer.
    #[must_use]
    pub fn may_have_been_sent(&self) -> bool {
        self.sent_before
    }

    pub(crate) fn set_sent_before(&mut self) {
        self.sent_before = true;
    }

    /// When the oldest request came that it was made of, in nanoseconds since the Unix epoch; 0 for what nobody has
    /// received, such as telemetry that a processor made.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    pub(crate) fn set_received(&mut self, time: u64) {
        self.received = time;
    }

    /// Sets the time of receipt unless there is one.
    pub(crate) fn receive(&mut self) {
        if self.received == 0 {
            self.received = now();
        }
    }

    /// What the sender's connection said about itself, if the receiver was asked to keep it.
    #[must_use]
    pub fn metadata(&self) -> Option<&Arc<Metadata>> {
        self.metadata.as_ref()
    }

    /// Sets what the sender's connection said about itself.
    pub fn set_metadata(&mut self, metadata: Option<Arc<Metadata>>) {
        self.metadata = metadata;
    }

    /// Ties counted memory to the batch: it goes back to the budget when the last copy is gone.
    pub fn set_reservation(&mut self, reservation: Reservation) {
        let reservation = Arc::new(reservation);
        for part in &mut self.parts {
            Arc::make_mut(part).reservation = Some(Arc::clone(&reservation));
        }
    }

    /// The records, to be read, whatever the signal.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.parts.iter().flat_map(|part| (0..part.len()).map(move |row| Record { part, row }))
    }

    /// The log records; none for another signal.
    pub fn logs(&self) -> impl Iterator<Item = LogRecord<'_>> {
        self.records().filter_map(Record::log)
    }

    /// The spans; none for another signal.
    pub fn spans(&self) -> impl Iterator<Item = Span<'_>> {
        self.records().filter_map(Record::span)
    }

    /// The data points; none for another signal.
    pub fn points(&self) -> impl Iterator<Item = DataPoint<'_>> {
        self.records().filter_map(Record::point)
    }

    /// The parts, to be changed; one that is shared is to be copied first.
    pub(crate) fn parts_mut(&mut self) -> &mut [Arc<Part>] {
        &mut self.parts
    }

    /// The records, to be changed, one in hand at a time.
    pub fn records_mut(&mut self) -> RecordsMut<'_> {
        RecordsMut { parts: self.parts.iter_mut(), part: None, row: 0 }
    }

    /// Calls `change` for each resource. A change serves all records of the resource.
    pub fn resources_mut(&mut self, mut change: impl FnMut(&mut AttributesMut<'_>)) {
        for part in &mut self.parts {
            let part = Arc::make_mut(part);
            for index in 0..part.resources.len() {
                change(&mut AttributesMut { part, holder: Holder::Resource(index) });
            }
        }
    }

    /// Calls `change` for each instrumentation scope. A change serves all records of the scope.
    pub fn scopes_mut(&mut self, mut change: impl FnMut(&mut AttributesMut<'_>)) {
        for part in &mut self.parts {
            let part = Arc::make_mut(part);
            for index in 0..part.scopes.len() {
                change(&mut AttributesMut { part, holder: Holder::Scope(index) });
            }
        }
    }

    /// Calls `change` for the attributes of each span event and each link; does nothing for other signals.
    pub fn events_and_links_mut(&mut self, mut change: impl FnMut(&mut AttributesMut<'_>)) {
        for part in &mut self.parts {
            let part = Arc::make_mut(part);
            for holder in part::event_and_link_holders(part) {
                change(&mut AttributesMut { part, holder });
            }
        }
    }

    /// Gives log records that have no time at all an observed time, in nanoseconds since the Unix epoch. A receiver
    /// calls it, as the log data model says of whoever sees a record first; other records stay as they are.
    pub fn fill_observed_time(&mut self, now: u64) {
        let is_timeless = |record: Record<'_>| {
            record.log().is_some_and(|log| log.time_unix_nano() == 0 && log.observed_time_unix_nano() == 0)
        };
        for part in &mut self.parts {
            let timeless: Vec<usize> =
                (0..part.len()).filter(|row| is_timeless(Record { part, row: *row })).collect();
            for row in timeless {
                RecordMut { part: Arc::make_mut(part), row }.set_observed_time_unix_nano(now);
            }
        }
    }

    /// Has all that is left written record by record, also where nothing was taken away.
    #[cfg(test)]
    pub(crate) fn forget_message(&mut self) {
        for part in &mut self.parts {
            Arc::make_mut(part).pristine = false;
        }
    }

    /// Has everything written from its fields, nothing copied.
    #[cfg(test)]
    pub(crate) fn forget_received(&mut self) {
        for part in &mut self.parts {
            Arc::make_mut(part).forget_received();
        }
    }

    pub(crate) fn add_receipt(&mut self, receipt: Receipt) {
        self.receipts.push(receipt);
    }

    /// Whether senders wait to hear what becomes of the batch.
    pub(crate) fn has_receipts(&self) -> bool {
        !self.receipts.is_empty()
    }

    /// The receipts, for whoever has to answer after the batch is gone from its hands.
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.receipts.clone()
    }

    /// What becomes of the requests that the batch came from.
    #[must_use]
    pub fn fate(&self) -> Fate {
        Fate::of(&self.receipts)
    }

    /// Takes over responsibility from the senders: they are answered as soon as nobody else holds their receipts.
    ///
    /// A processor that holds records for longer than a client waits calls this, and documents what a crash loses.
    pub fn take_custody(&mut self) {
        self.receipts.clear();
    }

    /// Tells the senders that the batch could not be taken.
    pub(crate) fn refuse(&self, refusal: &Refusal) {
        for receipt in &self.receipts {
            receipt.refuse(refusal.clone());
        }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("signal", &self.signal)
            .field("items", &self.len())
            .finish_non_exhaustive()
    }
}
