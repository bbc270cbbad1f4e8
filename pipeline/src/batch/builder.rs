//! Makes new batches record by record, for receivers of other formats and for derived telemetry.

use bytes::Bytes;

use super::attributes::AttrRange;
use super::buffer::Buffer;
use super::edit::{AttributesMut, RecordMut};
use super::lines::Lines;
use super::metrics::{MetricKind, MetricRow, Number, PointData, PointRow};
use super::part::{Holder, Part};
use super::rows::{ResourceRow, Rows, ScopeRow, SpanRow};
use super::value::Stored;
use super::{Batch, Signal};

/// A batch in the making. Records go to the scope and resource begun last.
///
/// ```
/// # use watershed_pipeline::{Batch, Signal};
/// let batch = Batch::builder(Signal::Logs)
///     .resource(|resource| resource.set_attribute("service.name", "checkout"))
///     .scope("orders", "1.2", |_| ())
///     .record(|log| {
///         log.set_body("order placed");
///         log.set_attribute("order.id", 4711_i64);
///     })
///     .build();
/// assert_eq!(batch.len(), 1);
/// ```
pub struct BatchBuilder {
    pub(super) part: Part,
    pub(super) lines: Lines,
    /// The scope begun last, unless a resource was begun since.
    scope: Option<u32>,
}

impl BatchBuilder {
    pub(super) fn new(signal: Signal, received: Bytes) -> Self {
        Self { part: Part::new(signal, Buffer::new(received)), scope: None, lines: Lines::default() }
    }

    /// Begins a resource; following scopes and records belong to it.
    #[must_use]
    pub fn resource(mut self, fill: impl FnOnce(&mut AttributesMut<'_>)) -> Self {
        self.begin_resource(fill);
        self
    }

    /// Begins an instrumentation scope; following records belong to it.
    #[must_use]
    pub fn scope(mut self, name: &str, version: &str, fill: impl FnOnce(&mut AttributesMut<'_>)) -> Self {
        self.begin_scope(name, version, fill);
        self
    }

    /// Adds a log record or a span.
    #[must_use]
    pub fn record(mut self, fill: impl FnOnce(&mut RecordMut<'_>)) -> Self {
        self.push(fill);
        self
    }

    /// As [`Self::resource`], for loops.
    pub fn begin_resource(&mut self, fill: impl FnOnce(&mut AttributesMut<'_>)) {
        let index = self.part.resources.len();
        self.scope = None;
        self.part.resources.push(ResourceRow::default());
        fill(&mut AttributesMut { part: &mut self.part, holder: Holder::Resource(index) });
    }

    /// As [`Self::scope`], for loops.
    pub fn begin_scope(&mut self, name: &str, version: &str, fill: impl FnOnce(&mut AttributesMut<'_>)) {
        if self.part.resources.is_empty() {
            self.begin_resource(|_| ());
        }
        let name = self.part.buffer.push(name.as_bytes());
        let version = self.part.buffer.push(version.as_bytes());
        let resource = last_index(self.part.resources.len());
        let index = self.part.scopes.len();
        self.scope = Some(last_index(index + 1));
        self.part.scopes.push(ScopeRow { resource, name, version, ..ScopeRow::default() });
        fill(&mut AttributesMut { part: &mut self.part, holder: Holder::Scope(index) });
    }

    /// As [`Self::record`], for loops. Data points are added by [`Self::push_point`] instead.
    pub fn push(&mut self, fill: impl FnOnce(&mut RecordMut<'_>)) {
        let scope = self.current_scope();
        let row = self.part.len();
        match &mut self.part.rows {
            Rows::Logs(_) => self.add_log(Stored::Absent),
            Rows::Spans(rows) => rows.spans.push(SpanRow { scope, ..SpanRow::default() }),
            Rows::Metrics(_) => return,
        }
        fill(&mut RecordMut { part: &mut self.part, row });
    }

    /// Begins a metric that holds numbers: a gauge, or a sum with its temporality (1 delta, 2 cumulative).
    pub fn begin_number_metric(&mut self, name: &str, unit: &str, sum: Option<(i32, bool)>) {
        let scope = self.current_scope();
        let name = self.part.buffer.push(name.as_bytes());
        let unit = self.part.buffer.push(unit.as_bytes());
        let Rows::Metrics(rows) = &mut self.part.rows else { return };
        let start = u32::try_from(rows.points.len()).unwrap_or(u32::MAX);
        let (kind, (temporality, is_monotonic)) =
            sum.map_or((MetricKind::Gauge, (0, false)), |sum| (MetricKind::Sum, sum));
        let points = AttrRange { start, len: 0 };
        rows.metrics.push(MetricRow {
            name,
            unit,
            kind,
            temporality,
            is_monotonic,
            points,
            scope,
            ..MetricRow::default()
        });
    }

    /// Adds a number to the metric begun last, with its times in nanoseconds since the Unix epoch.
    pub fn push_point(
        &mut self,
        start: u64,
        time: u64,
        value: Number,
        fill: impl FnOnce(&mut RecordMut<'_>),
    ) {
        let row = self.part.len();
        let Rows::Metrics(rows) = &mut self.part.rows else { return };
        let Some(metric) = rows.metrics.last_mut() else { return };
        metric.points.len += 1;
        rows.points.push(PointRow {
            metric: last_index(rows.metrics.len()),
            flags: 0,
            start_time: start,
            time,
            attrs: AttrRange::default(),
            exemplars: AttrRange::default(),
            data: PointData::Number(value),
            raw: super::Text::NONE,
        });
        fill(&mut RecordMut { part: &mut self.part, row });
    }

    /// The finished batch.
    #[must_use]
    pub fn build(self) -> Batch {
        Batch::from_part(self.part)
    }

    /// How many records there are so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.part.len()
    }

    /// Whether there are no records so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.part.len() == 0
    }

    pub(super) fn current_scope(&mut self) -> u32 {
        if self.scope.is_none() {
            self.begin_scope("", "", |_| ());
        }
        self.scope.unwrap_or_default()
    }
}

fn last_index(len: usize) -> u32 {
    u32::try_from(len.saturating_sub(1)).unwrap_or(u32::MAX)
}
