//! Looks at everything that a batch carries for people to read, and changes, removes or drops on the way.
//!
//! A part is first looked at and then changed: what nobody wants changed costs no allocation for a record, and a part that
//! is shared is not copied for it. What is decided of a key is asked once for each distinct key of a part.

mod apply;

use std::sync::Arc;

use super::Batch;
use super::attributes::{Attr, AttrRange};
use super::buffer::Text;
use super::part::{Holder, Part};
use super::rows::Rows;
use super::value::{AnyValue, Stored, Value};

/// Says what becomes of keys, texts and values; see [`Batch::sweep`].
pub trait Sweep {
    /// What was decided of a key.
    type Verdict: Copy;

    /// Decides of a key of attributes. Asked once for each distinct key of a part of the batch, so it may take its time.
    /// A new name, if there is one, stands in place of the key wherever it is used.
    fn key(&mut self, key: &str) -> (Self::Verdict, Option<String>);

    /// Looks at a text, given as its bytes, which are UTF-8.
    fn text(&mut self, place: TextPlace<Self::Verdict>, text: &[u8]) -> Edit;

    /// Looks at a value that is no text.
    fn value(&mut self, place: TextPlace<Self::Verdict>, value: Value<'_>) -> Edit;

    /// What becomes of the resource, scope, metric or record whose texts and values were offered since the last call.
    fn end(&mut self) -> End {
        End::Keep
    }
}

/// What becomes of a resource, scope, metric or record.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum End {
    /// It stays.
    #[default]
    Keep,
    /// It stays and gets these attributes; a metric can't have any.
    Annotate(Vec<(&'static str, AnyValue)>),
    /// It goes; a resource, scope or metric takes its records with it.
    Drop,
}

/// What becomes of a text or a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// It stays.
    Keep,
    /// Another value stands in its place. Where only a text can stand, a value of another type is written as one.
    Set(AnyValue),
    /// The attribute goes; a body or text becomes empty.
    Remove,
}

/// Where a text or value stands. `K` is what is known of the key of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextPlace<K> {
    /// The value of an attribute of a resource, scope, record, span event, link, exemplar or metric.
    Attribute(K),
    /// The body of a log record.
    Body,
    /// The severity of a log record, as its source writes it.
    SeverityText,
    /// The name of the event that a log record is.
    EventName,
    /// The name of a span, of an event of a span, of a metric or of a scope.
    Name,
    /// The version of a scope.
    Version,
    /// The message of a span's status.
    StatusMessage,
    /// The W3C trace state of a span or link.
    TraceState,
    /// The description of a metric.
    Description,
    /// The unit of a metric.
    Unit,
    /// The schema of a resource or scope.
    SchemaUrl,
}

/// One thing to change.
#[derive(Clone, Copy, Debug)]
enum Target {
    Attribute { holder: Holder, position: usize },
    Key { holder: Holder, position: usize },
    Body(usize),
    Text { holder: Holder, field: Field },
}

/// A text beside the attributes.
#[derive(Clone, Copy, Debug)]
enum Field {
    Name,
    Version,
    SchemaUrl,
    SeverityText,
    EventName,
    StatusMessage,
    TraceState,
    Description,
    Unit,
}

impl Batch {
    /// Offers every key, text and value to `sweep` and does what it says; says how many things were changed.
    ///
    /// That is: attributes of resources, scopes, records, span events, links, exemplars and metrics; bodies, severity
    /// texts and event names of log records; names, status messages and trace states of spans and what hangs on them;
    /// names, descriptions and units of metrics; names and versions of scopes; schema URLs. Nested values are offered
    /// whole. Ids, times and numbers are not offered, nor are fields that this program does not know.
    pub fn sweep<S: Sweep>(&mut self, sweep: &mut S) -> usize {
        let mut changed = 0;
        for part in &mut self.parts {
            let mut look = Look::new(part, sweep);
            look.everything();
            let Found { edits, notes, dropped } = look.found;
            changed += edits.len();
            if !edits.is_empty() {
                apply::apply(Arc::make_mut(part), edits);
            }
            for (holder, key, value) in notes {
                Arc::make_mut(part).set_attribute(holder, key, &value);
            }
            if dropped.contains(&true) {
                let mut dropped = dropped.into_iter();
                Arc::make_mut(part).retain(|_, _| !dropped.next().unwrap_or(false));
            }
        }
        self.parts.retain(|part| part.len() > 0);
        changed
    }
}

/// What a look at a part found to do.
#[derive(Default)]
struct Found {
    edits: Vec<(Target, Edit)>,
    /// Attributes to set.
    notes: Vec<(Holder, &'static str, AnyValue)>,
    /// Of each row whether it goes; empty if all stay.
    dropped: Vec<bool>,
}

/// A look at one part.
struct Look<'a, S: Sweep> {
    part: &'a Part,
    sweep: &'a mut S,
    /// What was decided of each key of the part, by number.
    verdicts: Vec<Option<(S::Verdict, Option<String>)>>,
    found: Found,
}

impl<'a, S: Sweep> Look<'a, S> {
    fn new(part: &'a Part, sweep: &'a mut S) -> Self {
        Self { part, sweep, verdicts: Vec::new(), found: Found::default() }
    }

    fn everything(&mut self) {
        let part = self.part;
        let mut lost_scopes = Vec::new();
        let mut lost_resources = Vec::new();
        for (index, row) in part.resources.iter().enumerate() {
            let holder = Holder::Resource(index);
            self.attributes(holder, row.attrs);
            self.text(holder, Field::SchemaUrl, row.schema_url);
            lost_resources.extend(self.end(holder).then_some(index));
        }
        for (index, row) in part.scopes.iter().enumerate() {
            let holder = Holder::Scope(index);
            self.attributes(holder, row.attrs);
            self.text(holder, Field::Name, row.name);
            self.text(holder, Field::Version, row.version);
            self.text(holder, Field::SchemaUrl, row.schema_url);
            let is_lost = self.end(holder) || lost_resources.contains(&(row.resource as usize));
            lost_scopes.extend(is_lost.then_some(index));
        }
        let lost_metrics = self.metrics();
        for row in 0..part.len() {
            self.row(row);
            let is_lost = self.end(Holder::Row(row))
                || (!lost_scopes.is_empty() && lost_scopes.contains(&part.scope_of(row)))
                || (!lost_metrics.is_empty() && lost_metrics.contains(&metric_of(part, row)));
            if is_lost {
                self.found.dropped.resize(part.len(), false);
                if let Some(dropped) = self.found.dropped.get_mut(row) {
                    *dropped = true;
                }
            }
        }
    }

    /// Looks at the metrics themselves; says which go, with their points.
    fn metrics(&mut self) -> Vec<usize> {
        let part = self.part;
        let Rows::Metrics(rows) = &part.rows else { return Vec::new() };
        let mut lost = Vec::new();
        for (index, row) in rows.metrics.iter().enumerate() {
            let holder = Holder::Metric(index);
            self.attributes(holder, row.metadata);
            self.text(holder, Field::Name, row.name);
            self.text(holder, Field::Description, row.description);
            self.text(holder, Field::Unit, row.unit);
            lost.extend(self.end(holder).then_some(index));
        }
        lost
    }

    fn row(&mut self, index: usize) {
        let part = self.part;
        let holder = Holder::Row(index);
        match &part.rows {
            Rows::Logs(rows) => {
                let Some(row) = rows.get(index) else { return };
                self.attributes(holder, row.attrs);
                let edit = self.stored(TextPlace::Body, row.body);
                self.note(Target::Body(index), edit);
                self.text(holder, Field::SeverityText, row.severity_text);
                self.text(holder, Field::EventName, row.event_name);
            }
            Rows::Spans(rows) => {
                let Some(row) = rows.spans.get(index) else { return };
                self.attributes(holder, row.attrs);
                self.text(holder, Field::Name, row.name);
                self.text(holder, Field::StatusMessage, row.status_message);
                self.text(holder, Field::TraceState, row.trace_state);
                for event in row.events.indices() {
                    let Some(row) = rows.events.get(event) else { break };
                    let holder = Holder::Event { span: index, event };
                    self.attributes(holder, row.attrs);
                    self.text(holder, Field::Name, row.name);
                }
                for link in row.links.indices() {
                    let Some(row) = rows.links.get(link) else { break };
                    let holder = Holder::Link { span: index, link };
                    self.attributes(holder, row.attrs);
                    self.text(holder, Field::TraceState, row.trace_state);
                }
            }
            Rows::Metrics(rows) => {
                let Some(row) = rows.points.get(index) else { return };
                self.attributes(holder, row.attrs);
                for exemplar in row.exemplars.indices() {
                    let Some(row) = rows.exemplars.get(exemplar) else { break };
                    self.attributes(Holder::Exemplar { point: index, exemplar }, row.attrs);
                }
            }
        }
    }

    fn attributes(&mut self, holder: Holder, range: AttrRange) {
        let own: &[Attr] = self.part.attrs.get(range.indices()).unwrap_or_default();
        for (position, attr) in own.iter().enumerate() {
            let (verdict, name) = self.verdict(*attr);
            if let Some(name) = name {
                self.found.edits.push((Target::Key { holder, position }, Edit::Set(AnyValue::Str(name))));
            }
            let edit = self.stored(TextPlace::Attribute(verdict), attr.value);
            self.note(Target::Attribute { holder, position }, edit);
        }
    }

    fn verdict(&mut self, attr: Attr) -> (S::Verdict, Option<String>) {
        let number = attr.key.0 as usize;
        if let Some(Some((verdict, name))) = self.verdicts.get(number) {
            return (*verdict, name.clone());
        }
        let decided = self.sweep.key(self.part.buffer.text(self.part.keys.place(attr.key)));
        if self.verdicts.len() <= number {
            self.verdicts.resize_with(number + 1, || None);
        }
        if let Some(slot) = self.verdicts.get_mut(number) {
            *slot = Some(decided.clone());
        }
        decided
    }

    #[inline]
    fn stored(&mut self, place: TextPlace<S::Verdict>, stored: Stored) -> Edit {
        match stored {
            Stored::Absent | Stored::Empty => Edit::Keep,
            Stored::Str(text) => self.sweep.text(place, self.part.buffer.bytes(text)),
            other => other.read(&self.part.buffer).map_or(Edit::Keep, |value| self.sweep.value(place, value)),
        }
    }

    #[inline]
    fn text(&mut self, holder: Holder, field: Field, text: Text) {
        if text.is_none() {
            return;
        }
        let edit = self.sweep.text(field.place(), self.part.buffer.bytes(text));
        self.note(Target::Text { holder, field }, edit);
    }

    /// Whether what was looked at goes.
    #[inline]
    fn end(&mut self, holder: Holder) -> bool {
        match self.sweep.end() {
            End::Keep => false,
            End::Drop => true,
            End::Annotate(attributes) => {
                let is_metric = matches!(holder, Holder::Metric(_));
                let notes = attributes.into_iter().filter(|_| !is_metric);
                self.found.notes.extend(notes.map(|(key, value)| (holder, key, value)));
                false
            }
        }
    }

    #[inline]
    fn note(&mut self, target: Target, edit: Edit) {
        if edit != Edit::Keep {
            self.found.edits.push((target, edit));
        }
    }
}

impl Field {
    const fn place<K>(self) -> TextPlace<K> {
        match self {
            Self::Name => TextPlace::Name,
            Self::Version => TextPlace::Version,
            Self::SchemaUrl => TextPlace::SchemaUrl,
            Self::SeverityText => TextPlace::SeverityText,
            Self::EventName => TextPlace::EventName,
            Self::StatusMessage => TextPlace::StatusMessage,
            Self::TraceState => TextPlace::TraceState,
            Self::Description => TextPlace::Description,
            Self::Unit => TextPlace::Unit,
        }
    }
}

fn metric_of(part: &Part, row: usize) -> usize {
    let Rows::Metrics(rows) = &part.rows else { return 0 };
    rows.points.get(row).map_or(0, |point| point.metric as usize)
}

#[cfg(test)]
mod tests;
