//! Gives each log record and span a correlation id, so that everything of one operation is found by one attribute.
//!
//! ```yaml
//! correlation:
//!   id_attributes: [order.request]
//!   back_fill: {window: 5m, max_memory: 16MiB}
//! ```
//!
//! The first of these that is there becomes `correlation.id`, and `correlation.source` says which it was:
//!
//! | `correlation.source` | the id is |
//! | --- | --- |
//! | `attribute` | `correlation.id`, one of `id_attributes`, or a common name: `correlation_id`, `correlationId`, `request_id`, `requestId`, `x-correlation-id`, `x-request-id` and the like; in the attributes, then in a body that is a map |
//! | `header` | a header of the request that the record tells of (`http.request.header.x-correlation-id`), or of the request that brought it (receivers keep these with `include_metadata`) |
//! | `span` | what another record of the same trace said (with `back_fill`) |
//! | `trace` | the trace id, 32 hexadecimal digits |
//! | `session` | `session.id` of the record or its resource |
//! | `generated` | new: `gen-` and a ULID with the time of the record |
//!
//! So every record has one; those that are `generated` can't be followed, and are worth an alert:
//! `sum(rate(otelcol_processor_correlation_records{source="generated"}[5m])) / sum(rate(otelcol_processor_correlation_records[5m]))`.
//!
//! An id has 1 to 128 characters of `A-Z a-z 0-9 . _ : / + = -`. Of any other text the hash is taken (`sha256:` and 32
//! hexadecimal digits), and the text is kept in `correlation.id.original`, cut to 1,024 bytes. 32 hexadecimal digits in the
//! header `X-Trace-Id` are a trace id and no correlation id. Proxies often give each request an `X-Request-ID`, also those
//! that carry telemetry: set `headers: []` behind one.
//!
//! Other attributes get their place too: `session_id`, `sessionId` become `session.id`; `user_id`, `userId`, `enduser.id`,
//! `usr.id` become `user.id`. Of a log record without a trace or span id of its own, `traceparent`, `trace_id`, `traceId`,
//! `trace.id`, `dd.trace_id` (a decimal number is the lower half), `span_id`, `trace_flags` and the like in the attributes or
//! in a body that is a map become its fields; all zeros are no id. An attribute that is moved is gone under its old name; where
//! the new name is taken both stay. Bodies are not changed.
//!
//! `rename_deprecated` also gives attributes their present names in OpenTelemetry's conventions, such as
//! `http.request.method` for `http.method` and `db.query.text` for `db.statement`. It is off by default, because
//! dashboards and alerts may ask for the old ones.
//!
//! `back_fill` remembers what records say of their trace, and of their request: correlation id, `session.id`, `user.id`.
//! Records of the same trace or correlation id that come later, or stand in the same batch, get what they lack. Pipelines that
//! name the same processor share this, so that spans tell logs and logs tell spans. Nothing is held back for it: what
//! comes before the record that knows gets its trace id.
//!
//! Signals: logs and traces; metrics pass. Order: kept. Loss: none. Memory: none, or that of `back_fill`. A batch in which
//! nothing is missing passes as it was received. Counters: `correlation_records` by `source`; `correlation_forgotten`, what
//! `back_fill` forgot early for want of memory.

mod back_fill;
mod findings;
mod generate;
mod names;
mod renames;
mod request;
mod resolve;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{Batch, Context, Counter, Out, Processor, ProcessorConfig, Signal, Unit};

use back_fill::{BackFill, Known};
use generate::Generator;
use names::Names;
use request::Request;
use resolve::Resolver;

/// Names that each list may have.
const NAMES_MAX: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Headers that hold a correlation id, in this order. Default `[x-correlation-id, x-request-id, x-trace-id]`.
    #[serde(default = "default_headers")]
    headers: Vec<String>,
    /// Further attributes that hold a correlation id, asked after `correlation.id` and before the known ones. Default none.
    #[serde(default)]
    id_attributes: Vec<String>,
    /// Whether attributes get their present names in OpenTelemetry's conventions. Default false.
    #[serde(default)]
    rename_deprecated: bool,
    /// What records say of their trace is remembered for others; `{}` for the defaults. Default: nothing is.
    #[serde(default)]
    back_fill: Option<BackFill>,
    /// What all lanes and pipelines share.
    #[serde(skip)]
    #[schemars(skip)]
    shared: Shared,
}

#[derive(Default)]
struct Shared {
    generator: Arc<Generator>,
    known: OnceLock<Arc<Mutex<Known>>>,
}

fn default_headers() -> Vec<String> {
    ["x-correlation-id", "x-request-id", "x-trace-id"].map(str::to_owned).into()
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "correlation";
    const SOURCE: &'static str = include_str!("correlation.rs");
    type Processor = Correlation;

    fn build(&self, cx: &Context) -> Result<Correlation, BuildError> {
        self.check()?;
        let headers: Vec<String> = self.headers.iter().map(|name| name.to_ascii_lowercase()).collect();
        let known = self.back_fill.as_ref().map(|settings| {
            Arc::clone(self.shared.known.get_or_init(|| Arc::new(Mutex::new(Known::new(settings.clone())))))
        });
        Ok(Correlation {
            names: Names::new(&self.id_attributes, &headers, self.rename_deprecated),
            headers,
            generator: Arc::clone(&self.shared.generator),
            known,
            counters: Counters::new(cx),
        })
    }
}

impl Config {
    fn check(&self) -> Result<(), BuildError> {
        if let Some(back_fill) = &self.back_fill {
            if back_fill.window.is_zero() {
                let message = "is 0; give a time such as `5m`, or remove `back_fill`";
                return Err(BuildError::at("back_fill.window", message));
            }
            if back_fill.max_memory.bytes() == 0 {
                let message = "is 0; give a size such as `16MiB`, or remove `back_fill`";
                return Err(BuildError::at("back_fill.max_memory", message));
            }
        }
        for (setting, names) in [("headers", &self.headers), ("id_attributes", &self.id_attributes)] {
            if names.len() > NAMES_MAX {
                let message = format!("has more than {NAMES_MAX} names; leave some out");
                return Err(BuildError::at(setting, message));
            }
            if let Some(place) = names.iter().position(|name| name.trim().is_empty()) {
                return Err(BuildError::at(
                    format!("{setting}[{place}]"),
                    "is empty; give a name, or remove it",
                ));
            }
        }
        Ok(())
    }
}

/// Where a correlation id is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Attribute,
    Header,
    Span,
    Trace,
    Session,
    Generated,
}

impl Source {
    const ALL: [Self; 6] =
        [Self::Attribute, Self::Header, Self::Span, Self::Trace, Self::Session, Self::Generated];

    fn label(self) -> &'static str {
        match self {
            Self::Attribute => "attribute",
            Self::Header => "header",
            Self::Span => "span",
            Self::Trace => "trace",
            Self::Session => "session",
            Self::Generated => "generated",
        }
    }

    fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.label() == label)
    }

    /// Whether a client chose the id, so that it says more than what other records of the trace get anyway.
    fn is_of_client(self) -> bool {
        matches!(self, Self::Attribute | Self::Header | Self::Span)
    }
}

pub(crate) struct Correlation {
    names: Names,
    /// In lower case.
    headers: Vec<String>,
    generator: Arc<Generator>,
    known: Option<Arc<Mutex<Known>>>,
    counters: Counters,
}

struct Counters {
    records: [Counter; Source::ALL.len()],
    forgotten: Counter,
}

impl Counters {
    fn new(cx: &Context) -> Self {
        let help = "Log records and spans by where their correlation id is from.";
        let records = Source::ALL.map(|source| {
            cx.labelled_counter("correlation_records", Unit::Items, help, &[("source", source.label())])
        });
        let help = "Traces and requests that back_fill forgot before their time for want of memory.";
        Self { records, forgotten: cx.counter("correlation_forgotten", Unit::Items, help) }
    }

    fn count(&self, tally: [u64; Source::ALL.len()]) {
        for (counter, count) in self.records.iter().zip(tally) {
            if count > 0 {
                counter.add(count);
            }
        }
    }
}

impl Processor for Correlation {
    fn process(&mut self, mut batch: Batch, now: Instant, out: &mut Out) {
        if batch.signal() == Signal::Metrics {
            return out.push(batch);
        }
        let metadata = batch.metadata().cloned();
        let sender = metadata.as_deref();
        let request = sender.map(|sender| Request::of(sender, &self.headers)).unwrap_or_default();
        let resolver = Resolver { names: &self.names, generator: &self.generator, request, sender, now };
        let mut known = self.known.as_deref().map(lock);
        if let Some(known) = &mut known {
            let forgotten: u64 = batch.records().map(|record| resolver.learn(record, known)).sum();
            self.counters.forgotten.add(forgotten);
        }
        let tally = resolve_all(&resolver, &mut batch, known.as_deref());
        self.counters.count(tally);
        out.push(batch);
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes what has to be changed, and counts where ids are from.
fn resolve_all(
    resolver: &Resolver<'_>,
    batch: &mut Batch,
    known: Option<&Known>,
) -> [u64; Source::ALL.len()] {
    let mut tally = [0; Source::ALL.len()];
    let mut count = |source: Source| tally.get_mut(source as usize).into_iter().for_each(|count| *count += 1);
    // Taking a record in hand copies a batch that is shared; do not when all is there.
    let settled = batch
        .records()
        .map(|record| resolver.resolve(record, known))
        .take_while(|(_, change)| change.is_empty())
        .inspect(|(source, _)| count(*source))
        .count();
    if settled < batch.len() {
        let mut records = batch.records_mut();
        let mut position = 0;
        while let Some(mut record) = records.next() {
            position += 1;
            if position <= settled {
                continue;
            }
            let (source, change) = resolver.resolve(record.view(), known);
            count(source);
            change.apply(&mut record);
        }
    }
    tally
}

#[cfg(test)]
mod tests;
