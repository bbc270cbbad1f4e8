//! Adds what is known of the machine that watershed runs on to the resources of what passes.
//!
//! ```yaml
//! resource_detection:
//!   detectors: [env, system]
//!   override: false
//! ```
//!
//! | detector | sets |
//! | --- | --- |
//! | `env` | what `OTEL_RESOURCE_ATTRIBUTES` (`team=a,region=eu`) and `OTEL_SERVICE_NAME` say |
//! | `system` | `host.name`, `host.arch`, `os.type`, `os.description` |
//! | `container` | `container.id`, from the cgroups of this process |
//! | `k8s` | `k8s.node.name`, `k8s.pod.name`, `k8s.pod.uid`, `k8s.namespace.name`, `k8s.container.name`, `k8s.cluster.name`, from environment variables such as `K8S_NODE_NAME`, which a manifest fills by Kubernetes' downward API |
//!
//! All of it describes **this** process, read once when it starts. That is right for telemetry of the same machine, as an
//! agent collects it; a gateway needs none of it, and `container` and most of `k8s` are right only beside the service in
//! its own pod. For this reason there is no detector that sets `process.*`. Of two detectors that know an attribute the
//! first counts. Detectors of clouds, which ask over the network, are not here: let `env` say what is known of the cloud.
//!
//! Signals: all. Order: kept. Loss: none. Memory: the attributes.

use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Period};
use watershed_pipeline::{
    Batch, Context, Out, Processor, ProcessorConfig, container_attributes, environment_attributes,
    host_attributes, kubernetes_attributes,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Who is asked, in this order: `env`, `system`, `container`, `k8s`. Default `[env]`.
    #[serde(default = "default_detectors")]
    detectors: Vec<Detector>,
    /// Whether attributes that a resource has already are replaced. Default true, as in the Collector.
    #[serde(default = "yes", rename = "override")]
    replace: bool,
    /// The only attributes to set. Default: all that are known.
    #[serde(default)]
    attributes: Vec<String>,
    /// Accepted without effect: nobody is asked over a network.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    timeout: Option<Period>,
}

/// Where attributes are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Detector {
    /// `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`.
    Env,
    /// The host and its operating system.
    System,
    /// The container of this process.
    Container,
    /// The pod of this process.
    K8s,
}

fn default_detectors() -> Vec<Detector> {
    vec![Detector::Env]
}

fn yes() -> bool {
    true
}

impl Detector {
    fn attributes(self) -> Vec<(String, String)> {
        match self {
            Self::Env => environment_attributes(),
            Self::System => host_attributes(),
            Self::Container => container_attributes(),
            Self::K8s => kubernetes_attributes(),
        }
    }
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "resource_detection";
    const ALIASES: &'static [&'static str] = &["resourcedetection"];
    const SOURCE: &'static str = include_str!("resource_detection.rs");
    type Processor = ResourceDetection;

    fn build(&self, _cx: &Context) -> Result<ResourceDetection, BuildError> {
        if self.detectors.is_empty() {
            return Err(BuildError::at(
                "detectors",
                "is empty; write `[env, system]`, or remove the processor",
            ));
        }
        Ok(self.detect(Detector::attributes))
    }
}

impl Config {
    fn detect(&self, ask: impl Fn(Detector) -> Vec<(String, String)>) -> ResourceDetection {
        let mut attributes: Vec<(String, String)> = Vec::new();
        for (key, value) in self.detectors.iter().flat_map(|detector| ask(*detector)) {
            let is_wanted = self.attributes.is_empty() || self.attributes.contains(&key);
            if is_wanted && attributes.iter().all(|(known, _)| *known != key) {
                attributes.push((key, value));
            }
        }
        ResourceDetection { attributes, replace: self.replace }
    }
}

pub(crate) struct ResourceDetection {
    attributes: Vec<(String, String)>,
    replace: bool,
}

impl Processor for ResourceDetection {
    fn process(&mut self, mut batch: Batch, _now: Instant, out: &mut Out) {
        if !self.attributes.is_empty() {
            batch.resources_mut(|resource| {
                for (key, value) in &self.attributes {
                    if self.replace || resource.attribute(key).is_none() {
                        resource.set_attribute(key, value);
                    }
                }
            });
        }
        out.push(batch);
    }
}

#[cfg(test)]
mod tests {
    use watershed_config::Section;
    use watershed_pipeline::{Signal, Value};

    use super::*;

    fn known(detector: Detector) -> Vec<(String, String)> {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        match detector {
            Detector::Env => vec![pair("team", "a"), pair("host.name", "from env")],
            Detector::System => vec![pair("host.name", "from system"), pair("os.type", "linux")],
            Detector::Container | Detector::K8s => Vec::new(),
        }
    }

    #[track_caller]
    fn check(settings: &str, expected: &str) {
        let batch = Batch::builder(Signal::Logs)
            .resource(|resource| resource.set_attribute("os.type", "own"))
            .record(|log| log.set_body("x"))
            .build();
        let section = Section::from_text("resource_detection", settings).unwrap();
        let mut out = Out::default();
        section.read::<Config>().unwrap().detect(known).process(batch, Instant::now(), &mut out);
        let passed = out.take().remove(0);
        let resource = passed.records().next().unwrap().resource();
        let show = |(key, value): (&str, Value<'_>)| format!("{key}={}", value.to_text());
        assert_eq!(resource.attributes().iter().map(show).collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn the_first_detector_that_knows_an_attribute_counts_and_override_says_whether_it_replaces() {
        check("detectors: [env]", "os.type=own team=a host.name=from env");
        check("detectors: [system, env]", "os.type=linux host.name=from system team=a");
        check("{detectors: [system], override: false}", "os.type=own host.name=from system");
        check("{detectors: [env, system], attributes: [host.name]}", "os.type=own host.name=from env");
        check("detectors: [k8s, container]", "os.type=own");
    }

    #[test]
    fn no_detector_at_all_is_a_mistake() {
        let section = Section::from_text("resource_detection", "detectors: []").unwrap();
        let cx =
            Context::detached(watershed_pipeline::Kind::Processor, "resource_detection".parse().unwrap());
        let error = section.read::<Config>().unwrap().build(&cx).err().unwrap();
        assert_eq!(error.to_string(), "detectors: is empty; write `[env, system]`, or remove the processor");
    }
}
