//! The section `service.telemetry`, with the names and defaults of the OpenTelemetry Collector.

mod traces;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use watershed_config::{ConfigError, ConfigErrors, Endpoint, Secret, Section, ServerUrl};

pub(crate) use traces::{Sampler, SpanBatch, TraceSettings};

/// How watershed reports about itself.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Its own log.
    pub(crate) logs: LogSettings,
    /// Its own counters.
    pub(crate) metrics: MetricSettings,
    /// Its own traces.
    pub(crate) traces: TraceSettings,
    /// Attributes that describe this process; a null takes one of the defaults away. Defaults: `service.name`
    /// (`watershed`), `service.version`, `service.instance.id`.
    pub(crate) resource: BTreeMap<String, Option<String>>,
}

/// The log of the process. The environment variable `WATERSHED_LOG` (such as `debug` or `watershed=debug,warn`) wins
/// over `level`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSettings {
    /// The least severity that is written. Default `info`.
    pub(crate) level: Level,
    /// How a line looks. Default `console`.
    pub(crate) encoding: Encoding,
    /// Where lines go: `stderr`, `stdout` or the path of a file. Default `[stderr]`.
    pub(crate) output_paths: Vec<String>,
    /// Accepted without effect: there is no development mode.
    pub(crate) development: bool,
    /// Accepted without effect: lines name the module they come from, and no file and line.
    pub(crate) disable_caller: bool,
    /// Accepted without effect: lines have no stack trace.
    pub(crate) disable_stacktrace: bool,
    /// Accepted without effect: what could repeat fast is limited where it is logged.
    pub(crate) sampling: Option<Sampling>,
}

/// Accepted for files of the Collector, without effect.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sampling {
    /// Accepted without effect.
    pub(crate) enabled: bool,
    /// Accepted without effect.
    pub(crate) tick: Option<watershed_config::Period>,
    /// Accepted without effect.
    pub(crate) initial: u64,
    /// Accepted without effect.
    pub(crate) thereafter: u64,
}

/// A least severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Everything.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What needs a look.
    Warn,
    /// What needs a repair.
    Error,
}

impl<'de> Deserialize<'de> for Level {
    /// The Collector writes levels in upper or lower case.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.to_ascii_lowercase().as_str() {
            "trace" => Ok(Self::Trace),
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            _ => Err(serde::de::Error::unknown_variant(&text, &["trace", "debug", "info", "warn", "error"])),
        }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// For people.
    #[default]
    #[serde(alias = "text")]
    Console,
    /// One JSON object a line.
    Json,
}

/// The counters of the process.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MetricSettings {
    /// `none` publishes nothing; the other levels publish everything. Default `normal`.
    pub(crate) level: Detail,
    /// Where Prometheus may ask. Default `127.0.0.1:8888` unless `readers` are given.
    pub(crate) address: Option<Endpoint>,
    /// Who reads the counters: Prometheus (`pull`) or an OTLP endpoint (`periodic`). An empty list means nobody.
    pub(crate) readers: Option<Vec<Reader>>,
}

/// How much is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Detail {
    /// Nothing.
    None,
    /// Everything.
    Basic,
    /// Everything.
    #[default]
    Normal,
    /// Everything.
    Detailed,
}

/// One reader: exactly one of the two keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reader {
    /// Waits to be asked.
    pub(crate) pull: Option<Pull>,
    /// Sends by itself.
    pub(crate) periodic: Option<Periodic>,
}

/// A reader that waits to be asked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pull {
    /// Who asks.
    pub(crate) exporter: PullExporter,
}

/// Who may ask.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PullExporter {
    /// Prometheus, at `/metrics`.
    pub(crate) prometheus: Prometheus,
}

/// A page for Prometheus.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Prometheus {
    /// The address to listen on. Default `127.0.0.1`.
    pub(crate) host: String,
    /// The port to listen on. Default 8888; 0 lets the system choose one.
    pub(crate) port: u16,
    /// Accepted without effect: there are no scopes.
    pub(crate) without_scope_info: bool,
    /// Leaves units such as `_seconds` out of names. Default true.
    pub(crate) without_units: bool,
    /// Leaves `_total` out of the names of counters. Default true.
    pub(crate) without_type_suffix: bool,
}

/// A reader that sends by itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Periodic {
    /// How often, in milliseconds. Default 60000.
    #[serde(default = "default_interval")]
    pub(crate) interval: std::num::NonZeroU64,
    /// How long one sending may take, in milliseconds. Default 30000.
    #[serde(default = "default_timeout")]
    pub(crate) timeout: u64,
    /// Where to.
    pub(crate) exporter: PushExporter,
}

/// Where own telemetry is sent.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PushExporter {
    /// An OTLP endpoint.
    #[serde(alias = "otlp_http")]
    pub(crate) otlp: Otlp,
}

/// An OTLP endpoint for own telemetry.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    /// Only `http/protobuf`, which is the default.
    #[serde(default)]
    #[expect(dead_code, reason = "there is one protocol; naming another one is a mistake")]
    pub(crate) protocol: OtlpProtocol,
    /// The server; without a path, `/v1/metrics` or `/v1/traces` is added.
    pub(crate) endpoint: ServerUrl,
    /// Further headers of each request. Default none.
    #[serde(default)]
    pub(crate) headers: Vec<Header>,
    /// Accepted without effect: the scheme of the endpoint says whether TLS is used.
    #[serde(default)]
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    pub(crate) insecure: bool,
}

/// How own telemetry is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum OtlpProtocol {
    /// Protobuf over HTTP.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// A header of a request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: Secret,
}

fn default_interval() -> std::num::NonZeroU64 {
    const MINUTE: std::num::NonZeroU64 = std::num::NonZeroU64::MIN.saturating_add(59_999);
    MINUTE
}

const fn default_timeout() -> u64 {
    30_000
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: Level::Info,
            encoding: Encoding::Console,
            output_paths: vec!["stderr".into()],
            development: false,
            disable_caller: false,
            disable_stacktrace: false,
            sampling: None,
        }
    }
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8888,
            without_scope_info: true,
            without_units: true,
            without_type_suffix: true,
        }
    }
}

impl Settings {
    /// Reads the section; what is not there has its default.
    ///
    /// # Errors
    /// All mistakes of the section, each with its place.
    pub(crate) fn read(section: Option<&Section>) -> Result<Self, ConfigErrors> {
        let Some(section) = section.filter(|section| !section.is_null()) else { return Ok(Self::default()) };
        let settings: Self = section.read()?;
        let readers = settings.metrics.readers.iter().flatten().enumerate();
        let wrong = readers.filter(|(_, reader)| reader.pull.is_some() == reader.periodic.is_some());
        let complaint = |(index, _): (usize, &Reader)| -> ConfigError {
            let message = "needs either `pull` or `periodic`";
            section.error_at(&format!("metrics.readers[{index}]"), message)
        };
        ConfigErrors::check(wrong.map(complaint).chain(settings.traces.check(section)).collect())?;
        Ok(settings)
    }
}

impl MetricSettings {
    /// Where Prometheus may ask, and in which form it is answered.
    pub(crate) fn pages(&self) -> Vec<Prometheus> {
        if self.level == Detail::None {
            return Vec::new();
        }
        let at = |endpoint: &Endpoint| Prometheus {
            host: if endpoint.host().is_empty() { "::".into() } else { endpoint.host().into() },
            port: endpoint.port(),
            ..Prometheus::default()
        };
        match (&self.readers, &self.address) {
            (None, None) => vec![Prometheus::default()],
            (None, Some(address)) => vec![at(address)],
            (Some(readers), address) => {
                let pulls = readers
                    .iter()
                    .filter_map(|reader| Some(reader.pull.as_ref()?.exporter.prometheus.clone()));
                address.iter().map(at).chain(pulls).collect()
            }
        }
    }

    /// What is sent where.
    pub(crate) fn pushes(&self) -> Vec<&Periodic> {
        let readers = self.readers.iter().flatten().filter(|_| self.level != Detail::None);
        readers.filter_map(|reader| reader.periodic.as_ref()).collect()
    }
}

impl Otlp {
    /// Where to, with the path of one kind of telemetry unless another is given.
    pub(crate) fn endpoint_of(&self, path: &str) -> String {
        let mut endpoint = self.endpoint.with_scheme(false);
        if self.endpoint.path().is_empty() {
            endpoint.push_str(path);
        }
        endpoint
    }

    /// Further headers of each request.
    pub(crate) fn headers(&self) -> HashMap<String, String> {
        let pair = |header: &Header| (header.name.clone(), header.value.expose().to_owned());
        self.headers.iter().map(pair).collect()
    }
}

impl Periodic {
    /// How often.
    pub(crate) const fn every(&self) -> Duration {
        Duration::from_millis(self.interval.get())
    }

    /// How long one sending may take.
    pub(crate) const fn patience(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }
}

/// The attributes that describe this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity(pub(crate) BTreeMap<String, String>);

impl Identity {
    /// The defaults, changed as the settings say.
    pub(crate) fn new(resource: &BTreeMap<String, Option<String>>) -> Self {
        let instance = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let defaults = [
            ("service.name", "watershed".to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", instance),
        ];
        let mut attributes: BTreeMap<String, String> =
            defaults.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
        for (key, value) in resource {
            match value {
                Some(value) => attributes.insert(key.clone(), value.clone()),
                None => attributes.remove(key),
            };
        }
        Self(attributes)
    }

    /// The same for the OpenTelemetry SDK.
    pub(crate) fn resource(&self) -> Resource {
        let attributes = self.0.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        Resource::builder_empty().with_attributes(attributes).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, ConfigErrors> {
        Settings::read(Some(&Section::from_text("telemetry", text).unwrap()))
    }

    #[track_caller]
    fn pages(text: &str, expected: &[(&str, u16, bool)]) {
        let settings = read(text).unwrap();
        let pages = settings.metrics.pages();
        let pages: Vec<_> =
            pages.iter().map(|page| (page.host.as_str(), page.port, page.without_type_suffix)).collect();
        assert_eq!(pages, expected);
    }

    #[test]
    fn prometheus_may_ask_where_the_collector_lets_it() {
        pages("", &[("127.0.0.1", 8888, true)]);
        pages("metrics: {level: none}", &[]);
        pages("metrics: {address: ':9999'}", &[("::", 9999, true)]);
        pages("metrics: {readers: []}", &[]);
        pages(
            "metrics: {readers: [{pull: {exporter: {prometheus: {host: 0.0.0.0, port: 1, \
             without_type_suffix: false}}}}]}",
            &[("0.0.0.0", 1, false)],
        );
    }

    #[test]
    fn a_reader_that_is_neither_or_both_is_refused_with_its_place() {
        let errors = read("metrics:\n  readers:\n    - {}").unwrap_err();
        assert_eq!(
            errors.to_string(),
            "telemetry:3:7: telemetry.metrics.readers[0]: needs either `pull` or `periodic`"
        );
    }

    #[test]
    fn a_null_takes_a_default_attribute_away() {
        let resource = [("service.instance.id".to_owned(), None), ("a".to_owned(), Some("b".to_owned()))];
        let identity = Identity::new(&resource.into_iter().collect());
        let keys: Vec<&str> = identity.0.keys().map(String::as_str).collect();
        assert_eq!(keys, ["a", "service.name", "service.version"]);
    }
}
