//! The section `service.telemetry.traces`, in the declarative form that the OpenTelemetry Collector reads.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{ConfigError, Section};

use super::{Detail, PushExporter};

/// Spans about the process itself: one for each batch that a receiver hands over, one for each attempt to export.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TraceSettings {
    /// `none` sends nothing; the other levels send everything that is sampled. Default `normal`.
    pub(crate) level: Detail,
    /// Where spans are sent. Default nowhere: then there are none, and they cost nothing.
    pub(crate) processors: Vec<SpanProcessor>,
    /// Which traces are sent. Default `always_on`; choose `trace_id_ratio_based` where batches are many.
    pub(crate) sampler: Sampler,
}

/// How spans are gathered and sent.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SpanProcessor {
    /// Many in one request.
    Batch(SpanBatch),
}

/// Spans that travel in one request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpanBatch {
    /// How long a span waits for others, in milliseconds. Default 5000.
    #[serde(default = "default_delay")]
    pub(crate) schedule_delay: NonZeroU64,
    /// How long one sending may take, in milliseconds. Default 30000.
    #[serde(default = "default_timeout")]
    pub(crate) export_timeout: NonZeroU64,
    /// How many spans wait at most; further ones are dropped. Default 2048.
    #[serde(default = "default_queue_size")]
    pub(crate) max_queue_size: NonZeroU32,
    /// How many spans a request has at most. Default 512.
    #[serde(default = "default_batch_size")]
    pub(crate) max_export_batch_size: NonZeroU32,
    /// Where to.
    pub(crate) exporter: PushExporter,
}

/// Which traces are sent.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sampler {
    /// All.
    AlwaysOn(Nothing),
    /// None.
    AlwaysOff(Nothing),
    /// A share of them, chosen by the trace id.
    TraceIdRatioBased(Ratio),
    /// A span shares the fate of the one it belongs to.
    ParentBased(Box<ParentBased>),
}

/// There is nothing to be set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Nothing {}

/// A share of the traces.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ratio {
    /// From 0 to 1. Default 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(crate) ratio: f64,
}

/// What is decided where a trace begins; all its other spans follow.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ParentBased {
    /// Decides where a trace begins. Default `always_on`.
    pub(crate) root: Sampler,
}

const fn default_delay() -> NonZeroU64 {
    const MILLISECONDS: NonZeroU64 = NonZeroU64::MIN.saturating_add(4_999);
    MILLISECONDS
}

const fn default_timeout() -> NonZeroU64 {
    const MILLISECONDS: NonZeroU64 = NonZeroU64::MIN.saturating_add(29_999);
    MILLISECONDS
}

const fn default_queue_size() -> NonZeroU32 {
    const SPANS: NonZeroU32 = NonZeroU32::MIN.saturating_add(2_047);
    SPANS
}

const fn default_batch_size() -> NonZeroU32 {
    const SPANS: NonZeroU32 = NonZeroU32::MIN.saturating_add(511);
    SPANS
}

impl Default for Sampler {
    fn default() -> Self {
        Self::AlwaysOn(Nothing {})
    }
}

impl Default for Ratio {
    fn default() -> Self {
        Self { ratio: 1.0 }
    }
}

impl TraceSettings {
    /// Who is to be sent spans.
    pub(crate) fn batches(&self) -> Vec<&SpanBatch> {
        let wanted = self.processors.iter().filter(|_| self.level != Detail::None);
        wanted.map(|SpanProcessor::Batch(batch)| batch).collect()
    }

    /// Mistakes that the types allow; `section` is `service.telemetry`.
    pub(super) fn check(&self, section: &Section) -> Vec<ConfigError> {
        self.sampler.check(section, "traces.sampler".into()).into_iter().collect()
    }
}

impl Sampler {
    fn check(&self, section: &Section, path: String) -> Option<ConfigError> {
        match self {
            Self::AlwaysOn(_) | Self::AlwaysOff(_) => None,
            Self::TraceIdRatioBased(Ratio { ratio }) => (!(0.0..=1.0).contains(ratio)).then(|| {
                let message = format!("{ratio} is not a share; write a number from 0 to 1");
                section.error_at(&format!("{path}.trace_id_ratio_based.ratio"), message)
            }),
            Self::ParentBased(parent) => parent.root.check(section, path + ".parent_based.root"),
        }
    }
}

impl SpanBatch {
    /// How long a span waits for others.
    pub(crate) const fn delay(&self) -> Duration {
        Duration::from_millis(self.schedule_delay.get())
    }

    /// How long one sending may take.
    pub(crate) const fn patience(&self) -> Duration {
        Duration::from_millis(self.export_timeout.get())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    const PROCESSORS: &str =
        "traces:\n  processors: [{batch: {exporter: {otlp: {endpoint: 'http://localhost:4318'}}}}]\n";

    fn read(text: &str) -> Result<TraceSettings, String> {
        let section = Section::from_text("telemetry", text).unwrap();
        Settings::read(Some(&section)).map(|settings| settings.traces).map_err(|errors| errors.to_string())
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let said = read(&format!("{PROCESSORS}{text}")).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn nothing_is_sent_without_a_processor_or_with_the_level_none() {
        assert!(read("").unwrap().batches().is_empty());
        assert!(read("traces: {level: basic}").unwrap().batches().is_empty());
        assert!(read(&format!("{PROCESSORS}  level: none")).unwrap().batches().is_empty());
        assert_eq!(read(PROCESSORS).unwrap().batches().len(), 1);
    }

    #[test]
    fn a_batch_has_the_defaults_of_the_collector() {
        let settings = read(PROCESSORS).unwrap();
        let batch = settings.batches()[0];
        assert_eq!((batch.delay(), batch.patience()), (Duration::from_secs(5), Duration::from_secs(30)));
        assert_eq!((batch.max_queue_size.get(), batch.max_export_batch_size.get()), (2048, 512));
        assert_eq!(settings.sampler, Sampler::AlwaysOn(Nothing {}));
    }

    #[test]
    fn samplers_are_written_as_in_the_collector() {
        let sampler = |text: &str| read(&format!("traces: {{sampler: {{{text}}}}}")).unwrap().sampler;
        let ratio = || Sampler::TraceIdRatioBased(Ratio { ratio: 0.1 });
        assert_eq!(sampler("always_on: "), Sampler::AlwaysOn(Nothing {}));
        assert_eq!(sampler("always_off: {}"), Sampler::AlwaysOff(Nothing {}));
        assert_eq!(sampler("trace_id_ratio_based: {ratio: 0.1}"), ratio());
        assert_eq!(
            sampler("parent_based: {root: {trace_id_ratio_based: {ratio: 0.1}}}"),
            Sampler::ParentBased(Box::new(ParentBased { root: ratio() }))
        );
    }

    #[test]
    fn mistakes_are_refused_with_their_place() {
        refused(
            "  sampler: {trace_id_ratio_based: {ratio: 1.5}}",
            "telemetry:3:43: telemetry.traces.sampler.trace_id_ratio_based.ratio: 1.5 is not a share",
        );
        refused(
            "  sampler: {jaeger_remote: {}}",
            "telemetry:3:12: telemetry.traces.sampler: unknown value `jaeger_remote`; accepted values: always_on",
        );
        refused("  propagators: [b3]", "telemetry:3:3: telemetry.traces: unknown key `propagators`");
        let said = read("traces:\n  processors:\n    - simple: {}").unwrap_err();
        assert!(
            said.starts_with("telemetry:3:7: telemetry.traces.processors: unknown value `simple`"),
            "{said}"
        );
    }
}
