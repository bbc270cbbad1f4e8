//! One decoded message: a flat arena of rows that point into one buffer.
//!
//! A record that nobody changed keeps the place of its received bytes (`raw`) and is written out by copying
//! them. Every change goes through [`Part::touch`], which forgets those bytes, so that an old value can't go out.

use std::sync::Arc;

use super::Signal;
use super::attributes::{self, Attr, AttrRange, Attributes, KeyTable};
use super::buffer::{Buffer, Text};
use super::edit::AttributesMut;
use super::metrics::MetricRows;
use super::rows::{EventRow, LinkRow, LogRow, ResourceRow, Rows, ScopeRow, SpanRow, SpanRows};
use super::value::{IntoValue, store};
use crate::budget::Reservation;

/// How many scopes and resources made last are looked at for one that a record may share.
const LOOK_BACK: usize = 64;

/// What holds attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holder {
    Resource(usize),
    Scope(usize),
    /// A log record, a span or a data point.
    Row(usize),
    /// An event of a span.
    Event {
        span: usize,
        event: usize,
    },
    /// A link of a span.
    Link {
        span: usize,
        link: usize,
    },
    /// An exemplar of a data point.
    Exemplar {
        point: usize,
        exemplar: usize,
    },
}

#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) buffer: Buffer,
    pub(crate) keys: KeyTable,
    pub(crate) attrs: Vec<Attr>,
    pub(crate) resources: Vec<ResourceRow>,
    pub(crate) scopes: Vec<ScopeRow>,
    pub(crate) rows: Rows,
    /// The received bytes are, as they stand, this part's encoding.
    pub(crate) pristine: bool,
    /// The memory counted for this part, and for what it was copied from as it still holds the received bytes.
    pub(crate) reservation: Option<Arc<Reservation>>,
}

impl Clone for Part {
    /// Copies everything but the received bytes, and has the memory that this takes counted.
    fn clone(&self) -> Self {
        let mut part = Self {
            buffer: self.buffer.clone(),
            keys: self.keys.clone(),
            attrs: self.attrs.clone(),
            resources: self.resources.clone(),
            scopes: self.scopes.clone(),
            rows: self.rows.clone(),
            pristine: self.pristine,
            reservation: None,
        };
        let size = || part.memory_size() - part.buffer.received_size();
        part.reservation = self.reservation.as_ref().map(|origin| Arc::new(origin.for_copy(size())));
        part
    }
}

impl Part {
    pub(crate) fn new(signal: Signal, buffer: Buffer) -> Self {
        let rows = match signal {
            Signal::Logs => Rows::Logs(Vec::new()),
            Signal::Traces => Rows::Spans(SpanRows::default()),
            Signal::Metrics => Rows::Metrics(MetricRows::default()),
        };
        Self {
            buffer,
            keys: KeyTable::default(),
            attrs: Vec::new(),
            resources: Vec::new(),
            scopes: Vec::new(),
            rows,
            pristine: false,
            reservation: None,
        }
    }

    pub(crate) fn signal(&self) -> Signal {
        match self.rows {
            Rows::Logs(_) => Signal::Logs,
            Rows::Spans(_) => Signal::Traces,
            Rows::Metrics(_) => Signal::Metrics,
        }
    }

    /// Items: log records, spans or data points.
    pub(crate) fn len(&self) -> usize {
        match &self.rows {
            Rows::Logs(rows) => rows.len(),
            Rows::Spans(rows) => rows.spans.len(),
            Rows::Metrics(rows) => rows.points.len(),
        }
    }

    pub(crate) fn memory_size(&self) -> usize {
        let rows = match &self.rows {
            Rows::Logs(rows) => rows.capacity() * size_of::<LogRow>(),
            Rows::Spans(rows) => {
                rows.spans.capacity() * size_of::<SpanRow>()
                    + rows.events.capacity() * size_of::<EventRow>()
                    + rows.links.capacity() * size_of::<LinkRow>()
            }
            Rows::Metrics(rows) => rows.memory_size(),
        };
        rows + self.buffer.memory_size()
            + self.keys.memory_size()
            + self.attrs.capacity() * size_of::<Attr>()
            + self.resources.capacity() * size_of::<ResourceRow>()
            + self.scopes.capacity() * size_of::<ScopeRow>()
            + size_of::<Self>()
    }

    /// The scope row of an item.
    pub(crate) fn scope_of(&self, row: usize) -> usize {
        let scope = match &self.rows {
            Rows::Logs(rows) => rows.get(row).map(|row| row.scope),
            Rows::Spans(rows) => rows.spans.get(row).map(|row| row.scope),
            Rows::Metrics(rows) => rows.metric_of(row).map(|metric| metric.scope),
        };
        scope.unwrap_or_default() as usize
    }

    /// The resource row of an item.
    pub(crate) fn resource_of(&self, row: usize) -> usize {
        self.scopes.get(self.scope_of(row)).map_or(0, |scope| scope.resource as usize)
    }

    /// The number of a scope that has this name and nothing else, within a resource; a new one if need be.
    pub(crate) fn scope_named(&mut self, resource: u32, name: &str) -> u32 {
        let is_it = |scope: &ScopeRow| {
            scope.resource == resource
                && scope.attrs.len == 0
                && scope.version.is_none()
                && scope.schema_url.is_none()
                && self.buffer.bytes(scope.name) == name.as_bytes()
        };
        let first = self.scopes.len().saturating_sub(LOOK_BACK);
        let recent = self.scopes.get(first..).unwrap_or_default();
        let index = recent.iter().rposition(is_it).map_or(self.scopes.len(), |position| first + position);
        if index == self.scopes.len() {
            let name = self.buffer.push(name.as_bytes());
            self.scopes.push(ScopeRow { resource, name, ..ScopeRow::default() });
        }
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// The number of a resource like another one but changed: an equal one made before, or a new one.
    pub(crate) fn derived_resource(
        &mut self,
        from: usize,
        change: impl FnOnce(&mut AttributesMut<'_>),
    ) -> u32 {
        let row = self.resources.get(from).cloned().unwrap_or_default();
        let own = u32::try_from(self.attrs.len()).unwrap_or(u32::MAX);
        self.attrs.extend_from_within(row.attrs.indices());
        let attrs = AttrRange { start: own, len: row.attrs.len };
        let index = self.resources.len();
        self.resources.push(ResourceRow { attrs, raw: Text::NONE, ..row });
        change(&mut AttributesMut { part: self, holder: Holder::Resource(index) });
        let first = index.saturating_sub(LOOK_BACK);
        let equal = (first..index).rev().find(|other| self.same_resource(*other, index));
        if equal.is_some() {
            self.resources.truncate(index);
            self.attrs.truncate(own as usize);
        }
        u32::try_from(equal.unwrap_or(index)).unwrap_or(u32::MAX)
    }

    fn same_resource(&self, left: usize, right: usize) -> bool {
        let attributes = |index| Attributes::new(self, self.attributes_of(Holder::Resource(index)));
        attributes(left).iter().eq(attributes(right).iter())
    }

    /// Forgets the received bytes of a holder and of everything that contains it.
    pub(crate) fn touch(&mut self, holder: Holder) {
        self.pristine = false;
        match holder {
            Holder::Resource(index) => {
                if let Some(row) = self.resources.get_mut(index) {
                    row.raw = Text::NONE;
                }
            }
            Holder::Scope(index) => {
                if let Some(row) = self.scopes.get_mut(index) {
                    row.raw = Text::NONE;
                }
            }
            Holder::Row(row) => self.touch_row(row),
            Holder::Event { span, event } => {
                if let Rows::Spans(rows) = &mut self.rows
                    && let Some(row) = rows.events.get_mut(event)
                {
                    row.raw = Text::NONE;
                }
                self.touch_row(span);
            }
            Holder::Link { span, link } => {
                if let Rows::Spans(rows) = &mut self.rows
                    && let Some(row) = rows.links.get_mut(link)
                {
                    row.raw = Text::NONE;
                }
                self.touch_row(span);
            }
            Holder::Exemplar { point, exemplar } => {
                if let Rows::Metrics(rows) = &mut self.rows
                    && let Some(row) = rows.exemplars.get_mut(exemplar)
                {
                    row.raw = Text::NONE;
                }
                self.touch_row(point);
            }
        }
    }

    fn touch_row(&mut self, index: usize) {
        match &mut self.rows {
            Rows::Logs(rows) => {
                if let Some(row) = rows.get_mut(index) {
                    row.raw = Text::NONE;
                }
            }
            Rows::Spans(rows) => {
                if let Some(row) = rows.spans.get_mut(index) {
                    row.raw = Text::NONE;
                }
            }
            Rows::Metrics(rows) => rows.touch_point(index),
        }
    }

    pub(crate) fn attributes_of(&self, holder: Holder) -> AttrRange {
        let found = match (holder, &self.rows) {
            (Holder::Resource(index), _) => self.resources.get(index).map(|row| row.attrs),
            (Holder::Scope(index), _) => self.scopes.get(index).map(|row| row.attrs),
            (Holder::Row(index), Rows::Logs(rows)) => rows.get(index).map(|row| row.attrs),
            (Holder::Row(index), Rows::Spans(rows)) => rows.spans.get(index).map(|row| row.attrs),
            (Holder::Row(index), Rows::Metrics(rows)) => rows.points.get(index).map(|row| row.attrs),
            (Holder::Event { event, .. }, Rows::Spans(rows)) => rows.events.get(event).map(|row| row.attrs),
            (Holder::Link { link, .. }, Rows::Spans(rows)) => rows.links.get(link).map(|row| row.attrs),
            (Holder::Exemplar { exemplar, .. }, Rows::Metrics(rows)) => {
                rows.exemplars.get(exemplar).map(|row| row.attrs)
            }
            _ => None,
        };
        found.unwrap_or_default()
    }

    fn attributes_mut(&mut self, holder: Holder) -> Option<&mut AttrRange> {
        match (holder, &mut self.rows) {
            (Holder::Resource(index), _) => self.resources.get_mut(index).map(|row| &mut row.attrs),
            (Holder::Scope(index), _) => self.scopes.get_mut(index).map(|row| &mut row.attrs),
            (Holder::Row(index), Rows::Logs(rows)) => rows.get_mut(index).map(|row| &mut row.attrs),
            (Holder::Row(index), Rows::Spans(rows)) => rows.spans.get_mut(index).map(|row| &mut row.attrs),
            (Holder::Row(index), Rows::Metrics(rows)) => rows.points.get_mut(index).map(|row| &mut row.attrs),
            (Holder::Event { event, .. }, Rows::Spans(rows)) => {
                rows.events.get_mut(event).map(|row| &mut row.attrs)
            }
            (Holder::Link { link, .. }, Rows::Spans(rows)) => {
                rows.links.get_mut(link).map(|row| &mut row.attrs)
            }
            (Holder::Exemplar { exemplar, .. }, Rows::Metrics(rows)) => {
                rows.exemplars.get_mut(exemplar).map(|row| &mut row.attrs)
            }
            _ => None,
        }
    }

    /// Sets one attribute of a holder.
    pub(crate) fn set_attribute(&mut self, holder: Holder, key: &str, value: &(impl IntoValue + ?Sized)) {
        let key = match self.keys.find(&self.buffer, key.as_bytes()) {
            Some(known) => known,
            None => {
                let place = self.buffer.push(key.as_bytes());
                self.keys.intern(&self.buffer, place)
            }
        };
        let value = store(value, &mut self.buffer);
        let range = self.attributes_of(holder);
        let range = attributes::set(&mut self.attrs, range, Attr { key, value });
        if let Some(slot) = self.attributes_mut(holder) {
            *slot = range;
        }
        self.touch(holder);
    }

    /// Removes the attributes with a key; says whether there was one.
    pub(crate) fn remove_attribute(&mut self, holder: Holder, key: &str) -> bool {
        let Some(id) = self.keys.find(&self.buffer, key.as_bytes()) else { return false };
        self.retain_attributes(holder, |attr| attr.key != id)
    }

    /// Keeps the attributes for which `keep` says so; says whether any went.
    pub(crate) fn retain_attributes(&mut self, holder: Holder, keep: impl FnMut(&Attr) -> bool) -> bool {
        let range = self.attributes_of(holder);
        let kept = attributes::retain(&mut self.attrs, range, keep);
        if kept == range {
            return false;
        }
        if let Some(slot) = self.attributes_mut(holder) {
            *slot = kept;
        }
        self.touch(holder);
        true
    }

    /// Writes a value in place of one attribute's, by its position in the holder's range.
    pub(crate) fn replace_value(
        &mut self,
        holder: Holder,
        position: usize,
        value: &(impl IntoValue + ?Sized),
    ) {
        let value = store(value, &mut self.buffer);
        let range = self.attributes_of(holder);
        if let Some(attr) = self.attrs.get_mut(range.indices()).and_then(|own| own.get_mut(position)) {
            attr.value = value;
            self.touch(holder);
        }
    }

    #[cfg(test)]
    pub(crate) fn forget_received(&mut self) {
        self.pristine = false;
        self.resources.iter_mut().for_each(|row| row.raw = Text::NONE);
        self.scopes.iter_mut().for_each(|row| row.raw = Text::NONE);
        match &mut self.rows {
            Rows::Logs(rows) => rows.iter_mut().for_each(|row| row.raw = Text::NONE),
            Rows::Spans(rows) => {
                rows.spans.iter_mut().for_each(|row| row.raw = Text::NONE);
                rows.events.iter_mut().for_each(|row| row.raw = Text::NONE);
                rows.links.iter_mut().for_each(|row| row.raw = Text::NONE);
            }
            Rows::Metrics(rows) => {
                rows.metrics.iter_mut().for_each(|row| row.raw = Text::NONE);
                rows.points.iter_mut().for_each(|row| row.raw = Text::NONE);
                rows.exemplars.iter_mut().for_each(|row| row.raw = Text::NONE);
            }
        }
    }

    /// Keeps the items for which `keep` says so, in order.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Self, usize) -> bool) {
        let verdicts: Vec<bool> = (0..self.len()).map(|row| keep(self, row)).collect();
        if verdicts.iter().all(|keep| *keep) {
            return;
        }
        self.pristine = false;
        let mut verdicts = verdicts.into_iter();
        let mut next = move || verdicts.next().unwrap_or(true);
        match &mut self.rows {
            Rows::Logs(rows) => rows.retain(|_| next()),
            Rows::Spans(rows) => rows.spans.retain(|_| next()),
            Rows::Metrics(rows) => rows.retain_points(next),
        }
    }
}

/// Keeps the span events for which `keep`, asked once for each in the order of the spans, says so.
pub(crate) fn retain_events(part: &mut Part, mut keep: impl FnMut() -> bool) {
    let Rows::Spans(rows) = &mut part.rows else { return };
    for span in &mut rows.spans {
        let mut kept = span.events;
        kept.len = 0;
        for index in span.events.indices() {
            if !keep() {
                continue;
            }
            let target = kept.indices().end;
            if let Ok([event, slot]) = rows.events.get_disjoint_mut([index, target]) {
                std::mem::swap(event, slot);
            }
            kept.len += 1;
        }
        if kept != span.events {
            span.events = kept;
            span.raw = Text::NONE;
            part.pristine = false;
        }
    }
}

/// The events and links of a part as holders of attributes, each with the span it belongs to.
pub(crate) fn event_and_link_holders(part: &Part) -> Vec<Holder> {
    let Rows::Spans(rows) = &part.rows else { return Vec::new() };
    let of_span = |(span, row): (usize, &SpanRow)| {
        let events = row.events.indices().map(move |event| Holder::Event { span, event });
        events.chain(row.links.indices().map(move |link| Holder::Link { span, link }))
    };
    rows.spans.iter().enumerate().flat_map(of_span).collect()
}
