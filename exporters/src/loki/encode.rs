//! A batch → streams of entries, tenant by tenant. Pure: the same batch at the same time makes the same bytes.
//!
//! Everything that Loki would refuse is found here: what is too old or too new is dropped, what is too long is cut. Within
//! a stream entries stand in the order of their times, and in the order of the batch where the times are the same.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_pipeline::{Batch, LogRecord, Record, Resource, Scope};

use super::labels::{LabelRules, Labels};
use super::limits::Limits;
use super::line::Line;
use super::metadata::{Metadata, Prepared, Selection};
use super::reason::{Cut, Reason, Tally};
use super::streams::StreamBudget;
use super::tenant::TenantSettings;
use super::value::start;
use super::wire::push_entry;

/// What becomes of a line or of metadata that is larger than Loki takes.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Oversize {
    /// The line is cut and the metadata that comes last is left out; the metadata says so.
    #[default]
    Cut,
    /// The record is dropped.
    Drop,
}

/// All that decides what records look like in Loki.
pub(super) struct Encoder {
    pub(super) labels: LabelRules,
    pub(super) limits: Limits,
    pub(super) line: Line,
    pub(super) metadata: Selection,
    pub(super) oversize: Oversize,
    pub(super) tenant: TenantSettings,
}

/// What a batch became.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// In the order in which the tenants appeared.
    pub(super) groups: Vec<Group>,
    /// What was dropped and cut on the way.
    pub(super) tally: Tally,
}

/// What goes to one tenant.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) tenant: Option<Arc<str>>,
    /// In the order in which they appeared.
    pub(super) streams: Vec<Stream>,
}

/// The entries of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) labels: String,
    /// Encoded entries, in the order of the batch.
    pub(super) bytes: Vec<u8>,
    /// Where each entry stands, in the order in which they are sent.
    pub(super) entries: Vec<Entry>,
}

/// One entry of a stream.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    time: u64,
    pub(super) place: Range<usize>,
}

impl Encoder {
    /// Encodes a batch; `now` is in nanoseconds since the Unix epoch. A record without any time gets `now`.
    pub(super) fn encode(&self, batch: &Batch, budget: &StreamBudget, now: u64) -> Encoded {
        let mut run = Run {
            encoder: self,
            budget,
            now,
            encoded: Encoded::default(),
            tenants: HashMap::new(),
            last_group: 0,
            places: Vec::new(),
            metadata: Metadata::new(&self.limits),
            scratch: Vec::new(),
            resource: None,
            scope: None,
        };
        let sender = batch.metadata().map(Arc::as_ref);
        for record in batch.records() {
            let Some(log) = record.log() else { continue };
            let taken = self
                .tenant
                .of(record, sender)
                .map_err(|_| Reason::InvalidTenant)
                .and_then(|tenant| run.record(record, log, tenant.as_deref()));
            if let Err(reason) = taken {
                run.encoded.tally.drop(reason, 1);
            }
        }
        let mut encoded = run.encoded;
        for group in &mut encoded.groups {
            group.streams.retain(|stream| !stream.entries.is_empty());
            for stream in &mut group.streams {
                if !stream.entries.is_sorted_by_key(|entry| entry.time) {
                    stream.entries.sort_by_key(|entry| entry.time);
                }
            }
        }
        encoded.groups.retain(|group| !group.streams.is_empty());
        encoded
    }
}

/// The time of a record's entry, if Loki takes it.
///
/// # Errors
/// The record is too old or too far in the future.
pub(super) fn time_of(log: LogRecord<'_>, limits: &Limits, now: u64) -> Result<u64, Reason> {
    let time = match (log.time_unix_nano(), log.observed_time_unix_nano()) {
        (0, 0) => now,
        (0, observed) => observed,
        (time, _) => time,
    };
    if limits.age_max > 0 && time.saturating_add(limits.age_max) < now {
        return Err(Reason::TooOld);
    }
    if limits.future_max > 0 && time > now.saturating_add(limits.future_max) {
        return Err(Reason::TooNew);
    }
    Ok(time)
}

/// Where the entries of one set of labels go.
#[derive(Clone, Copy)]
struct Place {
    stream: usize,
    is_overflow: bool,
}

/// The encoding of one batch.
struct Run<'e, 'b> {
    encoder: &'e Encoder,
    budget: &'e StreamBudget,
    now: u64,
    encoded: Encoded,
    tenants: HashMap<Arc<str>, usize>,
    last_group: usize,
    /// For each group, where the entries of a set of labels go.
    places: Vec<HashMap<String, Place>>,
    metadata: Metadata,
    scratch: Vec<u8>,
    /// What the records of the resource in hand share.
    resource: Option<OfResource<'b>>,
    scope: Option<(Scope<'b>, Prepared)>,
}

struct OfResource<'b> {
    resource: Resource<'b>,
    labels: Labels,
    metadata: Prepared,
    /// The group of the last record and where those without labels of their own go.
    place: Option<(usize, Place)>,
}

impl<'b> Run<'_, 'b> {
    fn record(&mut self, record: Record<'b>, log: LogRecord<'b>, tenant: Option<&str>) -> Result<(), Reason> {
        let encoder = self.encoder;
        let time = time_of(log, &encoder.limits, self.now)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let line = encoder.line.of(record, log, &mut scratch);
        let kept = start(line, encoder.limits.line_size_max);
        let was_cut = kept.len() < line.len();
        let taken = if was_cut && encoder.oversize == Oversize::Drop {
            Err(Reason::LineTooLong)
        } else {
            self.entry(log, tenant, time, kept, was_cut.then_some(line.len()))
        };
        self.scratch = scratch;
        taken
    }

    fn entry(
        &mut self,
        log: LogRecord<'b>,
        tenant: Option<&str>,
        time: u64,
        line: &[u8],
        cut_from: Option<usize>,
    ) -> Result<(), Reason> {
        let resource = log.resource();
        let mut known = match self.resource.take() {
            Some(known) if known.resource.is_same(resource) => known,
            _ => self.of_resource(resource),
        };
        let group = self.group(tenant);
        let own_labels = self.encoder.labels.of_record(log, &known.labels);
        let place = match (&own_labels, known.place) {
            (None, Some((last, place))) if last == group => place,
            (None, _) => {
                let place = self.place(group, &known.labels);
                known.place = Some((group, place));
                place
            }
            (Some(labels), _) => self.place(group, labels),
        };
        let labels = own_labels.as_ref().unwrap_or(&known.labels);
        self.collect(log, time, labels, own_labels.is_some(), &known.metadata, place.is_overflow);
        let label_cuts = labels.cut;
        self.resource = Some(known);
        if let Some(length) = cut_from
            && self.encoder.metadata != Selection::None
        {
            self.metadata.line_was_cut(length);
        }
        let skipped = self.metadata.finish();
        if skipped > 0 && self.encoder.oversize == Oversize::Drop {
            return Err(Reason::MetadataTooLarge);
        }
        let tally = &mut self.encoded.tally;
        tally.cut(Cut::Metadata, skipped);
        tally.cut(Cut::Line, usize::from(cut_from.is_some()));
        tally.cut(Cut::Label, label_cuts);
        tally.cut(Cut::Stream, usize::from(place.is_overflow));
        let streams = self.encoded.groups.get_mut(group).map(|group| &mut group.streams);
        if let Some(stream) = streams.and_then(|streams| streams.get_mut(place.stream)) {
            stream.push(time, line, self.metadata.bytes());
        }
        Ok(())
    }

    /// Collects the metadata of one record.
    fn collect(
        &mut self,
        log: LogRecord<'b>,
        time: u64,
        labels: &Labels,
        has_own_labels: bool,
        of_resource: &Prepared,
        is_overflow: bool,
    ) {
        let Self { encoder, metadata, scope, .. } = self;
        metadata.clear();
        if encoder.metadata == Selection::None {
            return;
        }
        if is_overflow {
            for (name, value) in encoder.labels.own(labels) {
                metadata.pair(format!("overflow_{name}").as_bytes(), value.as_bytes());
            }
        }
        metadata.context(log);
        if encoder.metadata == Selection::Context {
            return;
        }
        metadata.fields(log, time);
        metadata.attributes(log.attributes(), |key| !(has_own_labels && encoder.labels.covers(key)));
        let own_scope = log.scope();
        if !scope.as_ref().is_some_and(|(known, _)| known.is_same(own_scope)) {
            *scope = Some((own_scope, Metadata::of_scope(own_scope)));
        }
        if let Some((_, prepared)) = scope {
            metadata.prepared(prepared);
        }
        metadata.prepared(of_resource);
    }

    fn of_resource(&mut self, resource: Resource<'b>) -> OfResource<'b> {
        let rules = &self.encoder.labels;
        let labels = rules.of_resource(resource);
        let metadata = Metadata::of_attributes(resource.attributes(), |key| !rules.covers(key));
        OfResource { resource, labels, metadata, place: None }
    }

    fn group(&mut self, tenant: Option<&str>) -> usize {
        let groups = &mut self.encoded.groups;
        // Records of one tenant mostly stand together.
        if let Some(last) = groups.get(self.last_group)
            && last.tenant.as_deref() == tenant
        {
            return self.last_group;
        }
        // A tenant without a name has its group too: no tenant has an empty one.
        let name: Arc<str> = tenant.unwrap_or_default().into();
        self.last_group = *self.tenants.entry(name).or_insert_with_key(|name| {
            groups.push(Group { tenant: tenant.map(|_| Arc::clone(name)), streams: Vec::new() });
            self.places.push(HashMap::new());
            groups.len() - 1
        });
        self.last_group
    }

    /// Finds or begins the stream of a set of labels.
    fn place(&mut self, group: usize, labels: &Labels) -> Place {
        let selector = self.encoder.labels.selector(labels);
        let (Some(places), Some(group)) = (self.places.get_mut(group), self.encoded.groups.get_mut(group))
        else {
            return Place { stream: 0, is_overflow: false };
        };
        if let Some(place) = places.get(&selector) {
            return *place;
        }
        let tenant = group.tenant.as_deref().unwrap_or_default();
        let is_overflow = !self.budget.admit(tenant, &selector, self.now);
        let written = if is_overflow { self.encoder.labels.overflow_selector() } else { selector.clone() };
        let stream = group.streams.iter().position(|stream| is_overflow && stream.labels == written);
        let stream = stream.unwrap_or_else(|| {
            group.streams.push(Stream { labels: written, bytes: Vec::new(), entries: Vec::new() });
            group.streams.len() - 1
        });
        let place = Place { stream, is_overflow };
        places.insert(selector, place);
        place
    }
}

impl Stream {
    fn push(&mut self, time: u64, line: &[u8], metadata: &[u8]) {
        let start = self.bytes.len();
        push_entry(&mut self.bytes, time, line, metadata);
        self.entries.push(Entry { time, place: start..self.bytes.len() });
    }
}
