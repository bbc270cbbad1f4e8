//! The fields that a path can name, one line each: what it is of, its name, and how it is read.

use std::fmt;

use super::ConditionContext::{self, DataPoint, Log, Metric, Resource, Scope, Span, SpanEvent};
use super::error::Fault;
use super::evaluate::Subject;
use super::term::Term;
use crate::batch::{MetricKind, Number, PointValue};
use watershed_config::suggest;

type Read = for<'a> fn(Subject<'a>) -> Option<Term<'a>>;

/// A field that a path can name.
pub(super) struct Field {
    pub(super) of: ConditionContext,
    pub(super) name: &'static str,
    pub(super) read: Read,
}

const fn field(of: ConditionContext, name: &'static str, read: Read) -> Field {
    Field { of, name, read }
}

/// The map that statements keep things in while they work on one record; conditions don't have it.
pub(super) const CACHE: &str = "cache";

static FIELDS: [Field; 67] = [
    field(Resource, "attributes", |s| Some(Term::Attributes(s.record.resource().attributes()))),
    field(Resource, "schema_url", |s| Some(s.record.resource().schema_url().into())),
    field(Resource, "dropped_attributes_count", |s| {
        Some(s.record.resource().dropped_attributes_count().into())
    }),
    field(Scope, "name", |s| Some(s.record.scope().name().into())),
    field(Scope, "version", |s| Some(s.record.scope().version().into())),
    field(Scope, "attributes", |s| Some(Term::Attributes(s.record.scope().attributes()))),
    field(Scope, "schema_url", |s| Some(s.record.scope().schema_url().into())),
    field(Scope, "dropped_attributes_count", |s| Some(s.record.scope().dropped_attributes_count().into())),
    field(Log, "body", |s| Some(s.record.log()?.body()?.into())),
    field(Log, "body.string", |s| {
        Some(s.record.log()?.body().map_or(Term::from(""), Term::from).into_text())
    }),
    field(Log, "severity_number", |s| Some(s.record.log()?.severity_number().into())),
    field(Log, "severity_text", |s| Some(s.record.log()?.severity_text().into())),
    field(Log, "time_unix_nano", |s| Some(s.record.log()?.time_unix_nano().into())),
    field(Log, "observed_time_unix_nano", |s| Some(s.record.log()?.observed_time_unix_nano().into())),
    field(Log, "event_name", |s| Some(s.record.log()?.event_name().into())),
    field(Log, "trace_id", |s| Some(Term::id(&s.record.log()?.trace_id()))),
    field(Log, "trace_id.string", |s| Some(Term::hex(&s.record.log()?.trace_id()))),
    field(Log, "span_id", |s| Some(Term::id(&s.record.log()?.span_id()))),
    field(Log, "span_id.string", |s| Some(Term::hex(&s.record.log()?.span_id()))),
    field(Log, "flags", |s| Some(s.record.log()?.flags().into())),
    field(Log, "attributes", |s| Some(Term::Attributes(s.record.log()?.attributes()))),
    field(Log, "dropped_attributes_count", |s| Some(s.record.log()?.dropped_attributes_count().into())),
    field(Span, "name", |s| Some(s.record.span()?.name().into())),
    field(Span, "kind", |s| Some(s.record.span()?.kind().into())),
    field(Span, "kind.string", |s| Some(kind_name(s.record.span()?.kind()).into())),
    field(Span, "status.code", |s| Some(s.record.span()?.status_code().into())),
    field(Span, "status.message", |s| Some(s.record.span()?.status_message().into())),
    field(Span, "start_time_unix_nano", |s| Some(s.record.span()?.start_time_unix_nano().into())),
    field(Span, "end_time_unix_nano", |s| Some(s.record.span()?.end_time_unix_nano().into())),
    field(Span, "trace_id", |s| Some(Term::id(&s.record.span()?.trace_id()))),
    field(Span, "trace_id.string", |s| Some(Term::hex(&s.record.span()?.trace_id()))),
    field(Span, "span_id", |s| Some(Term::id(&s.record.span()?.span_id()))),
    field(Span, "span_id.string", |s| Some(Term::hex(&s.record.span()?.span_id()))),
    field(Span, "parent_span_id", |s| Some(Term::id(&s.record.span()?.parent_span_id()))),
    field(Span, "parent_span_id.string", |s| Some(Term::hex(&s.record.span()?.parent_span_id()))),
    field(Span, "trace_state", |s| Some(s.record.span()?.trace_state().into())),
    field(Span, "flags", |s| Some(s.record.span()?.flags().into())),
    field(Span, "attributes", |s| Some(Term::Attributes(s.record.span()?.attributes()))),
    field(Span, "dropped_attributes_count", |s| Some(s.record.span()?.dropped_counts().0.into())),
    field(Span, "dropped_events_count", |s| Some(s.record.span()?.dropped_counts().1.into())),
    field(Span, "dropped_links_count", |s| Some(s.record.span()?.dropped_counts().2.into())),
    field(SpanEvent, "name", |s| Some(s.event?.name().into())),
    field(SpanEvent, "time_unix_nano", |s| Some(s.event?.time_unix_nano().into())),
    field(SpanEvent, "attributes", |s| Some(Term::Attributes(s.event?.attributes()))),
    field(SpanEvent, "dropped_attributes_count", |s| Some(s.event?.dropped_attributes_count().into())),
    field(Metric, "name", |s| Some(s.record.point()?.metric().name().into())),
    field(Metric, "description", |s| Some(s.record.point()?.metric().description().into())),
    field(Metric, "unit", |s| Some(s.record.point()?.metric().unit().into())),
    field(Metric, "type", |s| Some(kind_number(s.record.point()?.metric().kind()).into())),
    field(Metric, "aggregation_temporality", |s| Some(s.record.point()?.metric().temporality().into())),
    field(Metric, "is_monotonic", |s| Some(Term::Bool(s.record.point()?.metric().is_monotonic()))),
    field(Metric, "metadata", |s| Some(Term::Attributes(s.record.point()?.metric().metadata()))),
    field(DataPoint, "attributes", |s| Some(Term::Attributes(s.record.point()?.attributes()))),
    field(DataPoint, "value_int", |s| value(s).filter(|value| matches!(value, Term::Int(_)))),
    field(DataPoint, "value_double", |s| value(s).filter(|value| matches!(value, Term::Double(_)))),
    field(DataPoint, "count", |s| count_and_sum(s).map(|(count, _)| count.into())),
    field(DataPoint, "sum", |s| count_and_sum(s)?.1.map(Term::Double)),
    field(DataPoint, "time_unix_nano", |s| Some(s.record.point()?.time_unix_nano().into())),
    field(DataPoint, "start_time_unix_nano", |s| Some(s.record.point()?.start_time_unix_nano().into())),
    field(DataPoint, "flags", |s| Some(s.record.point()?.flags().into())),
    field(Resource, CACHE, cache),
    field(Scope, CACHE, cache),
    field(Log, CACHE, cache),
    field(Span, CACHE, cache),
    field(SpanEvent, CACHE, cache),
    field(Metric, CACHE, cache),
    field(DataPoint, CACHE, cache),
];

fn cache(subject: Subject<'_>) -> Option<Term<'_>> {
    Some(Term::Map(subject.cache.into()))
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "Unspecified",
    }
}

fn kind_number(kind: MetricKind) -> i32 {
    match kind {
        MetricKind::Empty => 0,
        MetricKind::Gauge => 1,
        MetricKind::Sum => 2,
        MetricKind::Histogram => 3,
        MetricKind::ExponentialHistogram => 4,
        MetricKind::Summary => 5,
    }
}

fn value(subject: Subject<'_>) -> Option<Term<'_>> {
    match subject.record.point()?.value() {
        PointValue::Number(Number::Int(number)) => Some(Term::Int(number)),
        PointValue::Number(Number::Double(number)) => Some(Term::Double(number)),
        _ => None,
    }
}

fn count_and_sum(subject: Subject<'_>) -> Option<(u64, Option<f64>)> {
    match subject.record.point()?.value() {
        PointValue::Number(_) => None,
        PointValue::Histogram { count, sum, .. } | PointValue::ExponentialHistogram { count, sum, .. } => {
            Some((count, sum))
        }
        PointValue::Summary { count, sum, .. } => Some((count, Some(sum))),
    }
}

/// Finds the field that a path without its keys names, in a condition of this context.
pub(super) fn resolve(path: &str, context: ConditionContext, at: usize) -> Result<&'static Field, Fault> {
    let (of, name) = match path.split_once('.') {
        Some((prefix, name)) => match ConditionContext::from_name(prefix) {
            Some(of) => (of, name),
            None => (context, path),
        },
        None => (context, path),
    };
    if !context.readable().contains(&of) {
        let readable: Vec<String> =
            context.readable().iter().map(|readable| format!("`{}`", readable.name())).collect();
        let message = format!(
            "`{}` can't be read in a condition on a {}; what can is {}",
            of.name(),
            context.name(),
            readable.join(", ")
        );
        return Err(Fault::new(at, message));
    }
    find(of, name).ok_or_else(|| Fault::new(at, unknown_field(path, of, name, context)))
}

fn find(of: ConditionContext, name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.of == of && field.name == name)
}

fn unknown_field(path: &str, of: ConditionContext, name: &str, context: ConditionContext) -> String {
    let names = |of| FIELDS.iter().filter(move |field| field.of == of).map(|field| field.name);
    if let Some(near) = suggest(name, names(of)) {
        let prefix = path.strip_suffix(name).unwrap_or_default();
        return format!("unknown field `{path}`; did you mean `{prefix}{near}`?");
    }
    let elsewhere = ConditionContext::ALL.into_iter().find(|other| find(*other, name).is_some());
    match elsewhere {
        Some(other) if context.readable().contains(&other) => {
            format!("unknown field `{path}`; did you mean `{}.{name}`?", other.name())
        }
        Some(other) => {
            format!(
                "unknown field `{path}`; a {} has it, but this condition is on a {}",
                other.name(),
                of.name()
            )
        }
        None => {
            let known: Vec<&str> = names(of).collect();
            format!("unknown field `{path}`; a {} has {}", of.name(), known.join(", "))
        }
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        (self.of, self.name) == (other.of, other.name)
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.of.name(), self.name)
    }
}
