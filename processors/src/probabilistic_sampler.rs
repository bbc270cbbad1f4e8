//! Keeps a share of spans and log records, decided for each by its trace id, so that traces stay whole.
//!
//! ```yaml
//! probabilistic_sampler:
//!   sampling_percentage: 10
//!   mode: proportional
//!   log_rules:
//!     - {condition: 'log.severity_number >= SEVERITY_NUMBER_ERROR', sampling_percentage: 100}
//!     - {condition: 'resource.attributes["service.name"] == "chatty"', sampling_percentage: 1}
//!   trace_rules:
//!     - {condition: 'span.status.code == STATUS_CODE_ERROR', sampling_percentage: 100}
//!   adjusted_count_attribute: sampling.adjusted_count
//! ```
//!
//! The first rule whose condition is true gives the percentage; where none is, `sampling_percentage` does. A rule about
//! a single span, such as its status, keeps that span and not its whole trace: for that there is `tail_sampling`.
//!
//! `mode: hash_seed` hashes the trace id as the Collector does (FNV-1a, 14 bits), and decides alike in every process
//! with the same `hash_seed`; what carries a randomness already is decided by that. `proportional` and `equalizing` use
//! the randomness that W3C asks of trace ids, or `rv` of the trace state: `proportional` keeps that share of what
//! arrives, `equalizing` brings what earlier samplers left to that share of what there was. What was decided is written down: in spans as `ot=th:…` of the trace state, in log
//! records as the attributes `sampling.threshold` and, hashed, `sampling.randomness`; with `adjusted_count_attribute`
//! also as the number of records that each kept one stands for.
//!
//! A span with `sampling.priority` above 0 is kept and with 0 dropped, whatever the rest says. Log records without a
//! trace id are decided by `from_attribute`; those without either are dropped, or kept with `fail_closed: false`. Both
//! are counted as `missing_randomness`.
//!
//! Signals: traces, logs; data points pass as they are. Order: kept. Loss: what is sampled away, on purpose; pipelines
//! for audit must not have it. Memory: none. Counters: `probabilistic_sampler_count_spans_sampled` and
//! `probabilistic_sampler_count_logs_sampled`, by `policy` (what decided) and `sampled`.

mod decision;
mod hash;

use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Percentage};
use watershed_pipeline::{
    Batch, Condition, Context, Counter, LogCondition, Out, Processor, ProcessorConfig, RecordMut, Signal,
    SpanCondition, Unit,
};

use crate::probability::{self, OtelState};
use decision::{Decider, Decision, Policy};

/// The attribute in which a log record carries the threshold that kept it.
const THRESHOLD: &str = "sampling.threshold";

/// The attribute in which a log record carries its randomness, where it is not that of its trace id.
const RANDOMNESS: &str = "sampling.randomness";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The share that is kept where no rule says otherwise: `15`, `0.5%`. Required.
    sampling_percentage: Percentage,
    /// How it is decided. Default `hash_seed`.
    #[serde(default)]
    mode: Mode,
    /// Mixed into the hashes, so that samplers for different purposes decide differently. Default 0.
    #[serde(default)]
    hash_seed: u32,
    /// Whether records that nothing can be decided by are dropped. Default `true`.
    #[serde(default = "yes")]
    fail_closed: bool,
    /// Hexadecimal digits of the thresholds that are written, from 1 to 14. Default 4.
    #[serde(default = "default_precision")]
    sampling_precision: u32,
    /// What log records are decided by first in mode `hash_seed`. Default `traceID`.
    #[serde(default)]
    attribute_source: AttributeSource,
    /// The attribute that log records without a trace id are decided by. Default none.
    #[serde(default)]
    from_attribute: String,
    /// The attribute of log records that holds a percentage of their own, which counts if it is higher. Default none.
    #[serde(default)]
    sampling_priority: String,
    /// Percentages for some log records; the first rule that is true counts. Default none.
    #[serde(default)]
    log_rules: Vec<Rule<LogCondition>>,
    /// Percentages for some spans; the first rule that is true counts. Default none.
    #[serde(default)]
    trace_rules: Vec<Rule<SpanCondition>>,
    /// An attribute to write the number of records into that a kept one stands for. Default none.
    #[serde(default)]
    adjusted_count_attribute: String,
}

fn yes() -> bool {
    true
}

fn default_precision() -> u32 {
    4
}

/// How it is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// By a hash of trace id and seed.
    #[default]
    HashSeed,
    /// By the trace's randomness: keeps this share of what arrives.
    Proportional,
    /// By the trace's randomness: keeps this share of what there was before any sampling.
    Equalizing,
}

/// What log records are decided by first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum AttributeSource {
    /// The trace id.
    #[default]
    #[serde(rename = "traceID")]
    TraceId,
    /// The attribute `from_attribute`.
    #[serde(rename = "record")]
    Record,
}

/// A percentage for some records.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rule<C> {
    /// Which records.
    condition: C,
    /// The share of them that is kept.
    sampling_percentage: Percentage,
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "probabilistic_sampler";
    const SOURCE: &'static str = include_str!("probabilistic_sampler.rs");
    const LOSSY: bool = true;
    type Processor = ProbabilisticSampler;

    fn build(&self, cx: &Context) -> Result<ProbabilisticSampler, BuildError> {
        if !(1..=probability::DIGITS).contains(&self.sampling_precision) {
            let message = format!("is {}; give 1 to {} digits", self.sampling_precision, probability::DIGITS);
            return Err(BuildError::at("sampling_precision", message));
        }
        if self.attribute_source == AttributeSource::Record && self.from_attribute.is_empty() {
            return Err(BuildError::at(
                "from_attribute",
                "is missing beside `attribute_source: record`; name the attribute to decide by",
            ));
        }
        let decider = |rules: Vec<(Condition, Percentage)>| Decider {
            mode: self.mode,
            seed: self.hash_seed,
            precision: self.sampling_precision,
            is_closed: self.fail_closed,
            by_trace_id: self.attribute_source == AttributeSource::TraceId || self.mode != Mode::HashSeed,
            attribute: present(&self.from_attribute),
            priority: present(&self.sampling_priority),
            fraction: self.sampling_percentage.fraction(),
            rules: rules.into_iter().map(|(condition, share)| (condition, share.fraction())).collect(),
        };
        let log_rules =
            self.log_rules.iter().map(|rule| (rule.condition.clone().into(), rule.sampling_percentage));
        let trace_rules =
            self.trace_rules.iter().map(|rule| (rule.condition.clone().into(), rule.sampling_percentage));
        Ok(ProbabilisticSampler {
            logs: decider(log_rules.collect()),
            traces: decider(trace_rules.collect()),
            adjusted_count: present(&self.adjusted_count_attribute),
            counters: [Counters::new(cx, Signal::Logs), Counters::new(cx, Signal::Traces)],
        })
    }
}

fn present(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(crate) struct ProbabilisticSampler {
    logs: Decider,
    traces: Decider,
    adjusted_count: Option<String>,
    counters: [Counters; 2],
}

/// What was kept and dropped, by what decided.
struct Counters([[Counter; 2]; Policy::ALL.len()]);

impl Counters {
    fn new(cx: &Context, signal: Signal) -> Self {
        let name = match signal {
            Signal::Traces => "probabilistic_sampler_count_spans_sampled",
            Signal::Logs | Signal::Metrics => "probabilistic_sampler_count_logs_sampled",
        };
        let counter = |policy: Policy, sampled: &str| {
            let labels = [("policy", policy.name()), ("sampled", sampled)];
            cx.labelled_counter(name, Unit::Items, "Items that were decided about.", &labels)
        };
        Self(Policy::ALL.map(|policy| [counter(policy, "false"), counter(policy, "true")]))
    }

    fn add(&self, decision: &Decision) {
        if let Some([dropped, kept]) = self.0.get(decision.policy as usize) {
            if decision.is_kept() { kept.add(1) } else { dropped.add(1) }
        }
    }
}

impl Processor for ProbabilisticSampler {
    fn process(&mut self, mut batch: Batch, _now: Instant, out: &mut Out) {
        let (decider, [log_counters, span_counters]) = match batch.signal() {
            Signal::Logs => (&self.logs, &self.counters),
            Signal::Traces => (&self.traces, &self.counters),
            Signal::Metrics => return out.push(batch),
        };
        let counters = if batch.signal() == Signal::Logs { log_counters } else { span_counters };
        let decisions: Vec<Decision> = batch.records().map(|record| decider.decide(record)).collect();
        decisions.iter().for_each(|decision| counters.add(decision));
        let mut kept = decisions.iter().map(Decision::is_kept);
        batch.retain(|_| kept.next().unwrap_or(true));
        let mut records = batch.records_mut();
        for decision in decisions.iter().filter(|decision| decision.is_kept()) {
            let Some(mut record) = records.next() else { break };
            if decision.is_written {
                write(&mut record, decision);
            }
            if let Some(key) = &self.adjusted_count {
                record.set_attribute(key, decision.threshold.adjusted_count());
            }
        }
        out.push(batch);
    }
}

/// Writes down what was decided, for the next sampler and for whoever counts.
fn write(record: &mut RecordMut<'_>, decision: &Decision) {
    let view = record.view();
    if let Some(span) = view.span() {
        let state = OtelState::parse(span.trace_state()).unwrap_or_default();
        let state = state.with(decision.threshold, decision.new_randomness);
        record.set_trace_state(&state);
        return;
    }
    record.set_attribute(THRESHOLD, decision.threshold.to_string().as_str());
    if let Some(randomness) = decision.new_randomness {
        record.set_attribute(RANDOMNESS, randomness.to_string().as_str());
    }
}

#[cfg(test)]
mod tests;
