//! Changes telemetry by statements: renames, deletes, converts, parses, moves, cuts.
//!
//! ```yaml
//! transform:
//!   log_statements:
//!     - merge_maps(log.attributes, ParseJSON(log.body), "upsert") where IsMatch(log.body, "^\\{")
//!     - set(log.attributes["user.id"], log.attributes["uid"]) where log.attributes["uid"] != nil
//!     - delete_key(log.attributes, "uid")
//!     - truncate_all(log.attributes, 4096)
//!   trace_statements:
//!     - context: span
//!       conditions: ['kind == SPAN_KIND_SERVER']
//!       statements:
//!         - replace_pattern(name, "/[0-9]+", "/{id}")
//!         - set(status.message, "") where status.code != STATUS_CODE_ERROR
//!   metric_statements:
//!     - set(metric.unit, "s") where metric.unit == "seconds"
//! ```
//!
//! A statement is an *editor* with its arguments and, behind `where`, a condition. The language is the Collector's
//! OTTL; paths, values and conditions are those of the condition language. What it does not have is refused, with its
//! position, while the configuration is read.
//!
//! | editor | does |
//! | --- | --- |
//! | `set(place, value)` | sets a field, an attribute, a value within one, or the body; no value (`nil`) changes nothing |
//! | `delete_key(map, "key")`, `delete_matching_keys(map, "expression")` | removes entries |
//! | `keep_keys(map, ["a", "b"])`, `keep_matching_keys(map, "expression")` | removes all others |
//! | `merge_maps(map, map, "upsert")` | sets the entries of the second; `insert` only new ones, `update` only known ones |
//! | `replace_pattern(text, "expression", "new")` | replaces every match; `$1`, `${name}` mean groups (in a file: `$$1`) |
//! | `replace_all_patterns(map, "value", "expression", "new")` | the same in all texts of a map; `"key"`: in its keys |
//! | `replace_match(text, "/user/*", "new")`, `replace_all_matches(map, …)` | replaces whole texts that fit a shell pattern |
//! | `truncate_all(map, 4096)` | cuts texts to so many bytes, never within a character |
//! | `limit(map, 64, ["first"])` | keeps so many entries, the named ones before others |
//! | `flatten(map, "prefix", 2)` | brings nested entries to the top as `a.b.0`; prefix and depth may be left out |
//! | `append(place, value)` | adds to a list |
//!
//! To rename: `set(attributes["new"], attributes["old"])`, then `delete_key(attributes, "old")`.
//!
//! Values may also be `Concat([…], " ")`, `ParseJSON(text)`, `ParseKeyValue(text, "=", " ")`,
//! `ExtractPatterns(text, "(?P<name>…)")`, `Split`, `Substring(text, start, length)`, `Trim`, `SHA256`, `Hex`, `Bool`,
//! `Int`, `Double`, `String`, `Len`, `ToLowerCase`, `ToUpperCase`, and sums and products of numbers. `cache["key"]` keeps
//! a value for the following statements on the same record.
//!
//! Fields that can be set: of logs `body`, `severity_number`, `severity_text`, `event_name`, `time_unix_nano`,
//! `observed_time_unix_nano`, `trace_id`, `span_id`, `flags`; of spans `name`, `kind`, `status.code`,
//! `status.message`, `trace_state`, the times, ids and `flags`; of span events `name`, `time_unix_nano`; of metrics
//! `name`, `description`, `unit`; of data points `value_int`, `value_double`, the times and `flags`; of scopes `name`,
//! `version`; and the `attributes` of each.
//!
//! **What a statement is carried out on** is its `context`, or the most detailed prefix of its paths: one that names a
//! resource only is carried out once for each resource. A resource, scope or metric is shared: a change to it is a
//! change for all its records, also when a statement on a record makes it. Statements run in order; those of one
//! group, and neighbours on the same thing, run record by record. `conditions` of a group: any of them must be true.
//!
//! **Failures**: a statement that can't be carried out (`ParseJSON` of no JSON, a text for a number) leaves the record
//! as it is, and counts in `transform_failed`, with the place of the statement as label `statement`. With `error_mode:
//! propagate` the batch is refused instead, and its sender told for good; what was changed before is gone with it.
//!
//! Signals: all. Order: kept. Loss: none but what statements delete; with `propagate`, refused batches. Memory: the
//! compiled statements; a shared batch is copied by the first change.

mod settings;

use std::ops::ControlFlow;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{
    Batch, Context, Counter, Out, Processor, ProcessorConfig, Refusal, Signal, Statements, Unit,
};

use crate::error_mode::ErrorMode;
use settings::{Group, LogStatements, MetricStatements, TraceStatements};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What happens when a statement can't be carried out on a record: `ignore` and `silent` count it and go on,
    /// `propagate` refuses the batch. Default `ignore`.
    #[serde(default)]
    error_mode: ErrorMode,
    /// Statements on log records, resources and scopes of logs. Default none.
    #[serde(default)]
    log_statements: Vec<LogStatements>,
    /// Statements on spans, span events, resources and scopes of traces. Default none.
    #[serde(default)]
    trace_statements: Vec<TraceStatements>,
    /// Statements on metrics, data points, resources and scopes of metrics. Default none.
    #[serde(default)]
    metric_statements: Vec<MetricStatements>,
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "transform";
    const SOURCE: &'static str = include_str!("transform.rs");
    type Processor = Transform;

    fn build(&self, cx: &Context) -> Result<Transform, BuildError> {
        let logs = self.log_statements.iter().map(|group| &group.0);
        let traces = self.trace_statements.iter().map(|group| &group.0);
        let metrics = self.metric_statements.iter().map(|group| &group.0);
        let transform = Transform {
            logs: stages("log_statements", logs, self.error_mode, cx),
            traces: stages("trace_statements", traces, self.error_mode, cx),
            metrics: stages("metric_statements", metrics, self.error_mode, cx),
        };
        if Signal::ALL.into_iter().all(|signal| transform.stages(signal).is_empty()) {
            return Err(BuildError::new(
                "has no statement; add one, such as `log_statements: ['set(log.attributes[\"env\"], \"prod\")']`",
            ));
        }
        Ok(transform)
    }
}

pub(crate) struct Transform {
    logs: Vec<Stage>,
    traces: Vec<Stage>,
    metrics: Vec<Stage>,
}

/// Statements that run together, record by record.
struct Stage {
    statements: Statements,
    /// Of each statement: its place in the settings, and how often it failed.
    failed: Vec<(String, Counter)>,
    error_mode: ErrorMode,
}

/// The groups of one signal. Statements that were written each by itself run together with neighbours on the same thing.
fn stages<'g>(
    field: &str,
    groups: impl Iterator<Item = &'g Group>,
    error_mode: ErrorMode,
    cx: &Context,
) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut is_open = false;
    for (index, group) in groups.enumerate() {
        let place = format!("{field}[{index}]");
        let last = stages.last_mut().filter(|last| is_open && last.statements.context() == group.context);
        match (group.statements.as_slice(), last) {
            ([statement], Some(last)) if group.is_single => {
                last.statements.push(statement.clone());
                last.failed.push(failures(place, cx));
            }
            _ => stages.push(Stage::new(&place, group, error_mode, cx)),
        }
        is_open = group.is_single;
    }
    stages
}

/// The counter of a statement, with its place in the settings.
fn failures(place: String, cx: &Context) -> (String, Counter) {
    let help = "Statements that could not be carried out on a record";
    let counter = cx.labelled_counter("transform_failed", Unit::Values, help, &[("statement", &place)]);
    (place, counter)
}

impl Stage {
    fn new(place: &str, group: &Group, error_mode: ErrorMode, cx: &Context) -> Self {
        let places = (0..group.statements.len()).map(|index| {
            if group.is_single { place.to_owned() } else { format!("{place}.statements[{index}]") }
        });
        Self {
            statements: Statements::new(group.context, group.conditions.clone(), group.statements.clone()),
            failed: places.map(|place| failures(place, cx)).collect(),
            error_mode: group.error_mode.unwrap_or(error_mode),
        }
    }

    /// Changes a batch, or says why it is refused.
    fn apply(&self, batch: &mut Batch) -> Result<(), Refusal> {
        let mut refused_by = "";
        let failed = |position: usize, _| {
            let Some((place, counter)) = self.failed.get(position) else { return ControlFlow::Continue(()) };
            counter.add(1);
            if self.error_mode != ErrorMode::Propagate {
                return ControlFlow::Continue(());
            }
            refused_by = place;
            ControlFlow::Break(())
        };
        let applied = self.statements.apply(batch, failed);
        applied.map_err(|failure| Refusal::Final { reason: format!("transform: {refused_by}: {failure}") })
    }
}

impl Transform {
    fn stages(&self, signal: Signal) -> &[Stage] {
        match signal {
            Signal::Logs => &self.logs,
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
        }
    }
}

impl Processor for Transform {
    fn process(&mut self, mut batch: Batch, _now: Instant, out: &mut Out) {
        for stage in self.stages(batch.signal()) {
            if let Err(refusal) = stage.apply(&mut batch) {
                return out.refuse(refusal);
            }
        }
        out.push(batch);
    }
}

#[cfg(test)]
mod tests;
