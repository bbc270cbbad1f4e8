//! A record, a span event, a metric, a scope or a resource while statements change it.

use super::super::ConditionContext;
use super::super::evaluate::Subject;
use crate::batch::{
    EventRow, Holder, LogRow, MetricRow, Part, PointRow, Record, RecordMut, Rows, ScopeRow, SpanEvent,
    SpanRow,
};

/// Which one of a part it is: a row, and an event of it when the statement is on events.
#[derive(Clone, Copy)]
pub(super) struct Item {
    row: usize,
    event: Option<usize>,
}

impl Item {
    pub(super) fn subject<'a>(self, part: &'a Part, cache: &'a [u8]) -> Subject<'a> {
        let event = self.event.and_then(|event| SpanEvent::numbered(part, event));
        Subject { record: Record { part, row: self.row }, event, cache }
    }
}

/// What statements on a context are carried out on. A resource, a scope or a metric stands as its first record.
pub(super) fn items(part: &Part, context: ConditionContext) -> Box<dyn Iterator<Item = Item>> {
    let rows = 0..part.len();
    let of_row = |row| Item { row, event: None };
    let firsts = |of: &dyn Fn(usize) -> usize, count: usize| {
        let mut seen = vec![false; count];
        let is_first =
            |row: &usize| seen.get_mut(of(*row)).is_some_and(|seen| !std::mem::replace(seen, true));
        rows.clone().filter(is_first).map(of_row).collect::<Vec<_>>()
    };
    match (context, &part.rows) {
        (ConditionContext::Resource, _) => {
            Box::new(firsts(&|row| part.resource_of(row), part.resources.len()).into_iter())
        }
        (ConditionContext::Scope, _) => {
            Box::new(firsts(&|row| part.scope_of(row), part.scopes.len()).into_iter())
        }
        (ConditionContext::Metric, Rows::Metrics(metrics)) => {
            let metric_of = |row: usize| metrics.points.get(row).map_or(0, |point| point.metric as usize);
            Box::new(firsts(&metric_of, metrics.metrics.len()).into_iter())
        }
        (ConditionContext::SpanEvent, Rows::Spans(spans)) => {
            let of_span = |(row, span): (usize, &SpanRow)| {
                span.events.indices().map(move |event| Item { row, event: Some(event) })
            };
            Box::new(spans.spans.iter().enumerate().flat_map(of_span).collect::<Vec<_>>().into_iter())
        }
        _ => Box::new(rows.map(of_row)),
    }
}

/// The one in hand.
pub(super) struct Hand<'p> {
    pub(super) part: &'p mut Part,
    pub(super) item: Item,
    pub(super) cache: &'p mut Vec<u8>,
}

impl Hand<'_> {
    pub(super) fn row(&self) -> usize {
        self.item.row
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        self.item.subject(self.part, self.cache)
    }

    /// What holds the attributes of this context; none if the record has nothing of the kind.
    pub(super) fn holder(&self, of: ConditionContext) -> Option<Holder> {
        let row = self.item.row;
        Some(match of {
            ConditionContext::Resource => Holder::Resource(self.part.resource_of(row)),
            ConditionContext::Scope => Holder::Scope(self.part.scope_of(row)),
            ConditionContext::Metric => Holder::Metric(self.metric()?),
            ConditionContext::SpanEvent => Holder::Event { span: row, event: self.item.event? },
            ConditionContext::Log | ConditionContext::Span | ConditionContext::DataPoint => Holder::Row(row),
        })
    }

    fn metric(&self) -> Option<usize> {
        let Rows::Metrics(rows) = &self.part.rows else { return None };
        rows.points.get(self.item.row).map(|point| point.metric as usize)
    }

    pub(super) fn log(&mut self, change: impl FnOnce(&mut LogRow)) {
        RecordMut { part: self.part, row: self.item.row }.edit_log(change);
    }

    pub(super) fn span(&mut self, change: impl FnOnce(&mut SpanRow)) {
        RecordMut { part: self.part, row: self.item.row }.edit_span(change);
    }

    pub(super) fn event(&mut self, change: impl FnOnce(&mut EventRow)) {
        let Some(holder @ Holder::Event { event, .. }) = self.holder(ConditionContext::SpanEvent) else {
            return;
        };
        if let Rows::Spans(rows) = &mut self.part.rows
            && let Some(row) = rows.events.get_mut(event)
        {
            change(row);
        }
        self.part.touch(holder);
    }

    pub(super) fn metric_row(&mut self, change: impl FnOnce(&mut MetricRow)) {
        let Some(index) = self.metric() else { return };
        if let Rows::Metrics(rows) = &mut self.part.rows
            && let Some(row) = rows.metrics.get_mut(index)
        {
            change(row);
        }
        self.part.touch(Holder::Metric(index));
    }

    pub(super) fn point(&mut self, change: impl FnOnce(&mut PointRow)) {
        let row = self.item.row;
        if let Rows::Metrics(rows) = &mut self.part.rows
            && let Some(point) = rows.points.get_mut(row)
        {
            change(point);
        }
        self.part.touch(Holder::Row(row));
    }

    pub(super) fn scope(&mut self, change: impl FnOnce(&mut ScopeRow)) {
        let index = self.part.scope_of(self.item.row);
        if let Some(row) = self.part.scopes.get_mut(index) {
            change(row);
        }
        self.part.touch(Holder::Scope(index));
    }
}
