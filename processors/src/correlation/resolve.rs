//! Which id a record gets, from where, and what has to be changed for it.

use std::time::Instant;

use watershed_pipeline::{AnyValue, CorrelationId, LogRecord, Metadata, Record, RecordMut, Value};

use super::Source;
use super::back_fill::{Facts, Known, memorable};
use super::findings::{Findings, Found};
use super::generate::Generator;
use super::names::{BODY, HEADER, ID, Names, ORIGINAL, SESSION, SOURCE, USER};
use super::renames::Rename;
use super::request::Request;

/// Trace, span and flags of a log record.
type Context = ([u8; 16], [u8; 8], u32);

/// What all records of a batch are resolved with.
pub(super) struct Resolver<'a> {
    pub(super) names: &'a Names,
    pub(super) generator: &'a Generator,
    pub(super) request: Request<'a>,
    pub(super) sender: Option<&'a Metadata>,
    pub(super) now: Instant,
}

/// What a record says itself, or its request for it.
struct Own<'a> {
    findings: Findings<'a>,
    /// The trace that the record belongs to, lifted or its own; all zero if none.
    trace_id: [u8; 16],
    /// What to set, if the record's own fields lack it.
    context: Option<Context>,
    id: Option<(CorrelationId<'a>, Source)>,
}

/// What others have said of the same trace or request.
#[derive(Clone, Copy, Default)]
struct Learnt<'k> {
    id: Option<&'k str>,
    session: Option<&'k str>,
    user: Option<&'k str>,
}

/// What has to be changed in a record.
#[derive(Default, PartialEq)]
pub(super) struct Change {
    context: Option<Context>,
    id: Option<CorrelationId<'static>>,
    source: Option<Source>,
    session: Option<AnyValue>,
    user: Option<AnyValue>,
    removed: Vec<String>,
    renames: Vec<&'static Rename>,
}

impl<'a> Resolver<'a> {
    /// Remembers what a record says; returns how much was forgotten for it.
    pub(super) fn learn(&self, record: Record<'a>, known: &mut Known) -> u64 {
        let own = self.own(record);
        let said = |found: Option<Found<'_>>| found.and_then(|found| memorable(found.value));
        let id = own.id.as_ref().filter(|(_, source)| source.is_of_client());
        let facts = Facts {
            id: id.map(|(id, _)| id.as_str().into()),
            session: said(own.findings.session),
            user: said(own.findings.user),
        };
        if facts.is_empty() {
            return 0;
        }
        let trace = known.trace(record, self.sender, own.trace_id);
        let request = id.map(|(id, _)| known.request(record, self.sender, id.as_str()));
        trace.into_iter().chain(request).map(|key| known.learn(key, &facts, self.now)).sum()
    }

    /// Where the record's id is from, and what has to be changed.
    pub(super) fn resolve(&self, record: Record<'a>, known: Option<&Known>) -> (Source, Change) {
        let Own { findings, trace_id, context, id } = self.own(record);
        let learnt = known.map(|known| self.learnt(record, known, trace_id, id.as_ref())).unwrap_or_default();
        let mut change = Change { context, ..Change::default() };
        change.lifted(&findings);
        change.session = change.name(findings.session, learnt.session);
        change.user = change.name(findings.user, learnt.user);
        let is_free = |rename: &&Rename| record.attribute(rename.new).is_none();
        change.renames = findings.renames.iter().copied().filter(is_free).collect();
        let (id, source) = id.unwrap_or_else(|| {
            let own = findings.session.map(|found| found.value);
            let session = own.or_else(|| record.resource().attribute(SESSION));
            self.fall_back(record, trace_id, session, learnt)
        });
        if record.attribute(ID) != Some(Value::Str(id.as_str())) {
            let alias = findings.id.filter(|found| (1..BODY).contains(&found.rank));
            change.removed.extend(alias.map(|found| found.key.to_owned()));
            change.id = Some(id.into_owned());
        }
        change.source = Some(source).filter(|source| findings.source != Some(*source));
        (source, change)
    }

    /// What others have said of the record's trace and request.
    fn learnt<'k>(
        &self,
        record: Record<'_>,
        known: &'k Known,
        trace_id: [u8; 16],
        id: Option<&(CorrelationId<'_>, Source)>,
    ) -> Learnt<'k> {
        let trace = known.trace(record, self.sender, trace_id);
        let request = id.map(|(id, _)| known.request(record, self.sender, id.as_str()));
        let [trace, request] = [trace, request].map(|key| known.facts(key?, self.now));
        let either = |pick: fn(&Facts) -> Option<&str>| trace.and_then(pick).or_else(|| pick(request?));
        Learnt {
            id: trace.and_then(|facts| facts.id.as_deref()),
            session: either(|facts| facts.session.as_deref()),
            user: either(|facts| facts.user.as_deref()),
        }
    }

    fn own(&self, record: Record<'a>) -> Own<'a> {
        let findings = Findings::of(record, self.names);
        let context = self.context(record, &findings);
        let trace_id = context.map_or_else(|| record.trace_id(), |(trace_id, _, _)| trace_id);
        let of_request = self.request.id.as_ref();
        let own = findings.id.and_then(|found| {
            let id = safe(found.value)?;
            let is_of_request = of_request.is_some_and(|own| own.as_str() == id.as_str());
            let source = match findings.source {
                Some(source) if found.rank == 0 => source,
                _ if found.rank >= HEADER || is_of_request => Source::Header,
                _ => Source::Attribute,
            };
            Some((id, source))
        });
        let id = own.or_else(|| Some((of_request?.clone(), Source::Header)));
        Own { findings, trace_id, context, id }
    }

    /// The trace context of a log record whose own fields lack a part of it.
    fn context(&self, record: Record<'a>, findings: &Findings<'a>) -> Option<Context> {
        let log = record.log()?;
        let (trace_id, span_id) = (log.trace_id(), log.span_id());
        if trace_id != [0; 16] && span_id != [0; 8] {
            return None;
        }
        let parent = findings.parent.map(|(_, parent)| parent);
        let found_trace = parent.map(|parent| parent.trace_id).or(findings.trace_id.map(|(_, id)| id));
        let found_span = parent.map(|parent| parent.span_id).or(findings.span_id.map(|(_, id)| id));
        let found_span = found_span.unwrap_or_default();
        let found_flags = parent.map(|parent| parent.flags).or(findings.flags.map(|(_, flags)| flags));
        // A span of another trace is not this record's, and a span without a trace is none that could be found.
        let context = match found_trace {
            Some(found) if trace_id == [0; 16] => {
                let span_id = if span_id == [0; 8] { found_span } else { span_id };
                (found, span_id, found_flags.map_or(log.flags(), u32::from))
            }
            Some(found) if found != trace_id => return None,
            Some(_) => (trace_id, found_span, log.flags()),
            None if trace_id == [0; 16] => (self.request.trace_id?, span_id, log.flags()),
            None => (trace_id, found_span, log.flags()),
        };
        (context != (trace_id, span_id, log.flags())).then_some(context)
    }

    /// The id of a record that neither it nor its request names.
    fn fall_back(
        &self,
        record: Record<'_>,
        trace_id: [u8; 16],
        session: Option<Value<'_>>,
        learnt: Learnt<'_>,
    ) -> (CorrelationId<'a>, Source) {
        let of = |text: &str| CorrelationId::new(text.as_bytes()).into_owned();
        if let Some(id) = learnt.id {
            return (of(id), Source::Span);
        }
        if trace_id != [0; 16] {
            return (of(&format!("{:032x}", u128::from_be_bytes(trace_id))), Source::Trace);
        }
        let session = session.and_then(safe).map(CorrelationId::into_owned);
        match session.or_else(|| learnt.session.map(of)) {
            Some(id) => (id, Source::Session),
            None => (of(&self.generator.id(time_of(record))), Source::Generated),
        }
    }
}

impl Change {
    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes away the attributes whose values become the record's own fields.
    fn lifted(&mut self, findings: &Findings<'_>) {
        let Some((trace_id, span_id, flags)) = self.context else { return };
        let parent = findings.parent.filter(|(_, parent)| parent.trace_id == trace_id);
        let trace = findings.trace_id.filter(|(_, found)| *found == trace_id);
        let span = findings.span_id.filter(|(_, found)| *found == span_id);
        let own_flags = findings.flags.filter(|(_, found)| u32::from(*found) == flags);
        let keys = [
            parent.map(|(key, _)| key),
            trace.map(|(key, _)| key),
            span.map(|(key, _)| key),
            own_flags.map(|(key, _)| key),
        ];
        // What was found within the body has no key and stays there.
        let keys = keys.into_iter().flatten().filter(|key| !key.is_empty());
        self.removed.extend(keys.map(str::to_owned));
    }

    /// The value of `session.id` or `user.id`: under another name, or as others of the same trace have said it.
    fn name(&mut self, found: Option<Found<'_>>, learnt: Option<&str>) -> Option<AnyValue> {
        match found {
            Some(found) if found.rank == 0 => None,
            Some(found) => {
                if found.rank < BODY {
                    self.removed.push(found.key.to_owned());
                }
                Some(found.value.to_any_value())
            }
            None => learnt.map(AnyValue::from),
        }
    }

    /// Makes the changes.
    pub(super) fn apply(&self, record: &mut RecordMut<'_>) {
        if let Some((trace_id, span_id, flags)) = self.context {
            record.set_trace_context(trace_id, span_id, flags);
        }
        if let Some(id) = &self.id {
            record.set_attribute(ID, id.as_str());
            id.original().into_iter().for_each(|original| record.set_attribute(ORIGINAL, original));
        }
        if let Some(source) = self.source {
            record.set_attribute(SOURCE, source.label());
        }
        for (key, value) in [(SESSION, &self.session), (USER, &self.user)] {
            value.iter().for_each(|value| record.set_attribute(key, value));
        }
        for key in &self.removed {
            record.remove_attribute(key);
        }
        for rename in &self.renames {
            rename.apply(record);
        }
    }
}

/// An id from any value: a number as its digits, and nested values as their text, whose hash is taken.
fn safe(value: Value<'_>) -> Option<CorrelationId<'_>> {
    match value {
        Value::Str(text) => CorrelationId::of(text.as_bytes()),
        other => CorrelationId::of(other.to_text().as_bytes()).map(CorrelationId::into_owned),
    }
}

/// When it happened, in nanoseconds since the Unix epoch; 0 if unknown.
fn time_of(record: Record<'_>) -> u64 {
    let of_log = |log: LogRecord<'_>| match log.time_unix_nano() {
        0 => log.observed_time_unix_nano(),
        time => time,
    };
    record.log().map(of_log).or_else(|| Some(record.span()?.start_time_unix_nano())).unwrap_or(0)
}
