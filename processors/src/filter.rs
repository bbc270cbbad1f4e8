//! Drops the telemetry that a condition is true of.
//!
//! ```yaml
//! filter:
//!   log_conditions:
//!     - log.severity_number < SEVERITY_NUMBER_WARN and log.severity_number != 0
//!     - IsMatch(log.body, "^GET /health")
//!   trace_conditions:
//!     - context: span
//!       conditions: ['attributes["http.route"] == "/health"']
//!   metric_conditions:
//!     - metric.name == "go_gc_duration" and datapoint.attributes["quantile"] == "0"
//! ```
//!
//! A record is dropped when *any* condition of its signal matches. Conditions on a metric drop all of its points,
//! conditions on a resource or scope everything that belongs to it, and conditions on span events drop the events
//! and keep the span. The Collector's older lists (`logs.log_record`, `traces.span`, `traces.spanevent`,
//! `metrics.metric`, `metrics.datapoint`) mean the same. The condition language has its own page.
//!
//! Signals: all. Order: kept. Loss: what matches, on purpose. Memory: the compiled conditions. Place it early, so
//! that nothing is spent on what is dropped. Counters: `filter_filtered` (log records, spans and data points) and
//! `filter_filtered_events` (span events).

use std::fmt;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use watershed_config::BuildError;
use watershed_pipeline::{
    Batch, Condition, ConditionContext, Context, Counter, DataPoint, DataPointCondition, LogCondition,
    Metric, MetricCondition, Out, Processor, ProcessorConfig, Record, Signal, SpanCondition, SpanEvent,
    SpanEventCondition, Unit,
};

use crate::error_mode::ErrorMode;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Accepted without effect: a condition can't fail while it is evaluated, only while it is read. Default
    /// `ignore`.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    error_mode: ErrorMode,
    /// Conditions on log records, resources and scopes of logs. Default none.
    #[serde(default)]
    log_conditions: Vec<LogConditions>,
    /// Conditions on spans, span events, resources and scopes of traces. Default none.
    #[serde(default)]
    trace_conditions: Vec<TraceConditions>,
    /// Conditions on metrics, data points, resources and scopes of metrics. Default none.
    #[serde(default)]
    metric_conditions: Vec<MetricConditions>,
    /// The older form of `log_conditions`. Default none.
    #[serde(default)]
    logs: Logs,
    /// The older form of `trace_conditions`. Default none.
    #[serde(default)]
    traces: Traces,
    /// The older form of `metric_conditions`. Default none.
    #[serde(default)]
    metrics: Metrics,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Logs {
    /// Conditions on log records. Default none.
    #[serde(default)]
    log_record: Vec<LogCondition>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Traces {
    /// Conditions on spans. Default none.
    #[serde(default)]
    span: Vec<SpanCondition>,
    /// Conditions on span events. Default none.
    #[serde(default)]
    spanevent: Vec<SpanEventCondition>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Metrics {
    /// Conditions on metrics. Default none.
    #[serde(default)]
    metric: Vec<MetricCondition>,
    /// Conditions on data points. Default none.
    #[serde(default)]
    datapoint: Vec<DataPointCondition>,
}

/// One or more conditions on logs.
#[derive(JsonSchema)]
#[schemars(with = "ConditionsSchema")]
struct LogConditions(Vec<Condition>);

/// One or more conditions on traces.
#[derive(JsonSchema)]
#[schemars(with = "ConditionsSchema")]
struct TraceConditions(Vec<Condition>);

/// One or more conditions on metrics.
#[derive(JsonSchema)]
#[schemars(with = "ConditionsSchema")]
struct MetricConditions(Vec<Condition>);

/// A condition whose paths say what it is on, or several with that said once.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "describes the settings in the schema; a visitor reads them, so that errors are exact"
)]
enum ConditionsSchema {
    One(String),
    Group(Group),
}

/// Conditions with what they are on said once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Group {
    /// What the conditions are on: `resource`, `scope`, or what the signal has: `log`; `span`, `spanevent`;
    /// `metric`, `datapoint`. Default: what the prefixes of their paths say.
    #[serde(default)]
    context: Option<String>,
    /// Accepted without effect, as the processor's own.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    error_mode: ErrorMode,
    /// The conditions, of which any may match.
    conditions: Vec<String>,
}

impl<'de> Deserialize<'de> for LogConditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadConditions(Signal::Logs)).map(Self)
    }
}

impl<'de> Deserialize<'de> for TraceConditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadConditions(Signal::Traces)).map(Self)
    }
}

impl<'de> Deserialize<'de> for MetricConditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadConditions(Signal::Metrics)).map(Self)
    }
}

/// Reads a condition or a group of them. Not an untagged enum, which would answer every mistake with "did not match
/// any variant".
struct ReadConditions(Signal);

impl<'de> Visitor<'de> for ReadConditions {
    type Value = Vec<Condition>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a condition, or a map of `context` and `conditions`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Condition::for_signal(text, self.0).map(|condition| vec![condition]).map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let group = Group::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let context = group
            .context
            .map(|name| ConditionContext::for_signal(&name, self.0))
            .transpose()
            .map_err(de::Error::custom)?;
        let parse = |(index, text): (usize, &String)| {
            let parsed = match context {
                Some(context) => Condition::parse(text, context),
                None => Condition::for_signal(text, self.0),
            };
            parsed.map_err(|error| de::Error::custom(format!("conditions[{index}]: {error}")))
        };
        group.conditions.iter().enumerate().map(parse).collect()
    }
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "filter";
    const SOURCE: &'static str = include_str!("filter.rs");
    type Processor = Filter;

    fn build(&self, cx: &Context) -> Result<Filter, BuildError> {
        let mut filter = Filter {
            logs: Rules::default(),
            traces: Rules::default(),
            metrics: Rules::default(),
            filtered: cx.counter("filter_filtered", Unit::Items, "Items dropped because a condition matched"),
            filtered_events: cx.counter(
                "filter_filtered_events",
                Unit::Values,
                "Span events dropped because a condition matched",
            ),
        };
        filter.logs.extend(self.log_conditions.iter().flat_map(|group| group.0.iter().cloned()));
        filter.logs.extend(self.logs.log_record.iter().cloned().map(Condition::from));
        filter.traces.extend(self.trace_conditions.iter().flat_map(|group| group.0.iter().cloned()));
        filter.traces.extend(self.traces.span.iter().cloned().map(Condition::from));
        filter.traces.extend(self.traces.spanevent.iter().cloned().map(Condition::from));
        filter.metrics.extend(self.metric_conditions.iter().flat_map(|group| group.0.iter().cloned()));
        filter.metrics.extend(self.metrics.metric.iter().cloned().map(Condition::from));
        filter.metrics.extend(self.metrics.datapoint.iter().cloned().map(Condition::from));
        if [&filter.logs, &filter.traces, &filter.metrics].iter().all(|rules| rules.is_empty()) {
            return Err(BuildError::new(
                "has no condition; add one, such as `log_conditions: ['log.severity_number < 9']`",
            ));
        }
        Ok(filter)
    }
}

pub(crate) struct Filter {
    logs: Rules,
    traces: Rules,
    metrics: Rules,
    filtered: Counter,
    filtered_events: Counter,
}

/// The conditions on one signal, by what has to be asked.
#[derive(Default)]
struct Rules {
    /// Asked for each record.
    records: Vec<Condition>,
    /// Asked once for each metric, whose points share the answer.
    metrics: Vec<Condition>,
    /// Asked for each span event.
    events: Vec<Condition>,
}

impl Rules {
    fn extend(&mut self, conditions: impl Iterator<Item = Condition>) {
        for condition in conditions {
            match condition.context() {
                ConditionContext::SpanEvent => self.events.push(condition),
                ConditionContext::Metric => self.metrics.push(condition),
                _ => self.records.push(condition),
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.metrics.is_empty() && self.events.is_empty()
    }
}

impl Processor for Filter {
    fn process(&mut self, mut batch: Batch, _now: Instant, out: &mut Out) {
        let rules = match batch.signal() {
            Signal::Logs => &self.logs,
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
        };
        if !rules.records.is_empty() || !rules.metrics.is_empty() {
            let before = batch.len();
            drop_records(&mut batch, rules);
            self.filtered.add(before.saturating_sub(batch.len()) as u64);
        }
        if !rules.events.is_empty() {
            let matches = |span: Record<'_>, event: SpanEvent<'_>| {
                rules.events.iter().any(|condition| condition.matches_event(span, event))
            };
            self.filtered_events.add(batch.retain_events(|span, event| !matches(span, event)) as u64);
        }
        out.push(batch);
    }
}

/// Drops what a condition on records, or on the metric that a point belongs to, is true of.
fn drop_records(batch: &mut Batch, rules: &Rules) {
    let matches = |conditions: &[Condition], record: Record<'_>| {
        conditions.iter().any(|condition| condition.matches(record))
    };
    if rules.metrics.is_empty() {
        return batch.retain(|record| !matches(&rules.records, record));
    }
    let dropped = dropped_metrics(batch, |record| matches(&rules.metrics, record));
    let mut dropped = dropped.into_iter();
    batch.retain(|record| !dropped.next().unwrap_or(false) && !matches(&rules.records, record));
}

/// For each point, whether its metric is to be dropped. Points of a metric follow each other, so that each metric is
/// asked about once.
fn dropped_metrics(batch: &Batch, is_dropped: impl Fn(Record<'_>) -> bool) -> Vec<bool> {
    let mut last: Option<(Metric<'_>, bool)> = None;
    let mut verdicts = Vec::with_capacity(batch.len());
    for record in batch.records() {
        let metric = record.point().map(DataPoint::metric);
        let known = last.filter(|(before, _)| metric.is_some_and(|metric| metric.is_same(*before)));
        let verdict = known.map_or_else(|| is_dropped(record), |(_, verdict)| verdict);
        last = metric.map(|metric| (metric, verdict));
        verdicts.push(verdict);
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use watershed_config::Section;
    use watershed_pipeline::otlp::{json, schema};
    use watershed_pipeline::testing::any_batch;
    use watershed_pipeline::{Kind, Number, Span};

    fn logs() -> Batch {
        let mut builder = Batch::builder(Signal::Logs);
        builder.begin_resource(|resource| resource.set_attribute("service.name", "shop"));
        for (severity, body) in [(5, "debug"), (9, "GET /health"), (17, "failed")] {
            builder.push(|log| {
                log.set_severity_number(severity);
                log.set_body(body);
            });
        }
        builder.build()
    }

    fn metrics() -> Batch {
        let mut builder = Batch::builder(Signal::Metrics);
        for (metric, points) in [("cpu", ["a", "b"]), ("ram", ["a", "c"])] {
            builder.begin_number_metric(metric, "1", None);
            for pod in points {
                builder.push_point(0, 1, Number::Int(1), |point| point.set_attribute("pod", pod));
            }
        }
        builder.build()
    }

    fn build(yaml: &str) -> Result<Filter, String> {
        let section = Section::from_text("filter", yaml).unwrap();
        let config: Config = section.read().map_err(|errors| errors.to_string())?;
        let cx = Context::detached(Kind::Processor, "filter".parse().unwrap());
        config.build(&cx).map_err(|error| section.build_error(error).to_string())
    }

    fn names(batch: &Batch) -> String {
        let name = |record: Record<'_>| match (record.log(), record.point()) {
            (Some(log), _) => log.body().and_then(|body| body.as_str()).unwrap_or_default().to_owned(),
            (_, Some(point)) => {
                let pod = point.attributes().value("pod").and_then(|pod| pod.as_str()).unwrap_or_default();
                format!("{}.{pod}", point.metric().name())
            }
            _ => record.span().map(|span| span.name().to_owned()).unwrap_or_default(),
        };
        batch.records().map(name).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(yaml: &str, batch: Batch, expected: &str) {
        let mut filter = build(yaml).unwrap();
        let before = batch.len();
        let mut out = Out::default();
        filter.process(batch, Instant::now(), &mut out);
        let passed = out.take();
        assert_eq!(passed.iter().map(names).collect::<String>(), expected);
        let left: usize = passed.iter().map(Batch::len).sum();
        assert_eq!(filter.filtered.value() as usize, before - left);
    }

    #[test]
    fn records_that_match_any_condition_are_dropped() {
        let yaml = r#"log_conditions: ['log.severity_number < 9', 'IsMatch(body, "^GET /health")']"#;
        check(yaml, logs(), "failed");
        check(yaml, metrics(), "cpu.a cpu.b ram.a ram.c");
        check("logs: {log_record: ['severity_number < SEVERITY_NUMBER_INFO']}", logs(), "GET /health failed");
        check(r#"log_conditions: ['resource.attributes["service.name"] == "shop"']"#, logs(), "");
        check("log_conditions: [false]", logs(), "debug GET /health failed");
        check(
            r#"log_conditions: [{context: resource, conditions: ['attributes["service.name"] == nil']}]"#,
            logs(),
            "debug GET /health failed",
        );
    }

    #[test]
    fn a_condition_on_a_metric_drops_all_its_points_and_one_on_points_only_these() {
        check(r#"metrics: {metric: ['name == "cpu"']}"#, metrics(), "ram.a ram.c");
        check(r#"metrics: {metric: ['HasAttrOnDatapoint("pod", "b")']}"#, metrics(), "ram.a ram.c");
        check(r#"metrics: {datapoint: ['attributes["pod"] == "a"']}"#, metrics(), "cpu.b ram.c");
        check(
            r#"metric_conditions: ['metric.name == "cpu" and datapoint.attributes["pod"] == "b"', 'name == "ram"']"#,
            metrics(),
            "cpu.a",
        );
    }

    #[test]
    fn a_condition_on_span_events_drops_the_events_and_keeps_the_span() {
        let json = br#"{"resourceSpans": [{"scopeSpans": [{"spans": [
            {"name": "a", "events": [{"name": "x"}, {"name": "keep"}, {"name": "x"}, {"name": "last"}]},
            {"name": "b", "events": [{"name": "x"}]},
            {"name": "c"}
        ]}]}]}"#;
        let message = json::decode(&schema::TRACES_REQUEST, json, 4096).unwrap();
        let batch = Batch::from_otlp(Signal::Traces, message.into()).unwrap();
        let mut filter =
            build(r#"trace_conditions: ['spanevent.name == "x" and span.name != "z"']"#).unwrap();
        let mut out = Out::default();
        filter.process(batch, Instant::now(), &mut out);
        let passed = out.take().remove(0);
        let sent = Batch::from_otlp(Signal::Traces, passed.to_otlp()).unwrap();
        let events = |span: Span<'_>| span.events().map(|event| event.name().to_owned()).collect::<Vec<_>>();
        let left: Vec<_> = sent.spans().map(events).collect();
        assert_eq!(left, [vec!["keep", "last"], vec![], vec![]]);
        assert_eq!(filter.filtered_events.value(), 3);
        assert_eq!(filter.filtered.value(), 0);
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let error = |yaml| build(yaml).err().unwrap();
        assert_eq!(
            error("log_conditions:\n  - 'severty_number > 8'"),
            "filter:2:5: filter.log_conditions: at character 1: unknown field `severty_number`; did you mean `severity_number`?"
        );
        assert_eq!(
            error("trace_conditions:\n  - context: log\n    conditions: ['true']"),
            "filter:2:5: filter.trace_conditions: unknown context `log` for traces; there is `span`, `spanevent`, `resource`, `scope`"
        );
        assert_eq!(
            error("error_mode: ignore"),
            "filter:1:1: filter: has no condition; add one, such as `log_conditions: ['log.severity_number < 9']`"
        );
    }

    proptest! {
        #[test]
        fn property_exactly_what_matches_is_dropped(batch in any_batch(Signal::Logs)) {
            let condition = "IsString(body) or severity_number > 8 and Len(attributes) != 1";
            let parsed = Condition::parse(condition, ConditionContext::Log).unwrap();
            let wanted = batch.records().filter(|record| !parsed.matches(*record)).count();
            let mut filter = build(&format!("logs: {{log_record: ['{condition}']}}")).unwrap();
            let mut out = Out::default();
            filter.process(batch, Instant::now(), &mut out);
            let passed = out.take();
            prop_assert_eq!(passed.iter().map(Batch::len).sum::<usize>(), wanted);
            prop_assert!(passed.iter().flat_map(Batch::records).all(|record| !parsed.matches(record)));
        }

        #[test]
        fn property_events_are_dropped_out_of_what_is_sent(batch in any_batch(Signal::Traces)) {
            let (before, count) = (batch.len(), batch.spans().flat_map(Span::events).count());
            let mut filter = build("traces: {spanevent: ['Len(attributes) > 0']}").unwrap();
            let mut out = Out::default();
            filter.process(batch, Instant::now(), &mut out);
            let sent: Vec<Batch> =
                out.take().iter().map(|batch| Batch::from_otlp(Signal::Traces, batch.to_otlp()).unwrap()).collect();
            let left: Vec<_> = sent.iter().flat_map(Batch::spans).flat_map(Span::events).collect();
            prop_assert!(left.iter().all(|event| event.attributes().is_empty()));
            prop_assert_eq!(left.len() as u64 + filter.filtered_events.value(), count as u64);
            prop_assert_eq!(sent.iter().map(Batch::len).sum::<usize>(), before);
        }
    }
}
