//! What a configuration says, with the structure checked and the settings of each component still untyped.

use crate::{
    effective,
    error::{ConfigError, Origin},
    id::{ComponentId, PipelineId},
    node::Node,
    section::{Section, unknown_key},
};

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where data comes in, in the order of the text.
    pub receivers: Vec<(ComponentId, Section)>,
    /// What happens to it on the way.
    pub processors: Vec<(ComponentId, Section)>,
    /// Where it goes.
    pub exporters: Vec<(ComponentId, Section)>,
    /// What leads from one pipeline into another.
    pub connectors: Vec<(ComponentId, Section)>,
    /// What helps without touching data.
    pub extensions: Vec<(ComponentId, Section)>,
    /// How all of that is put together.
    pub service: Service,
    pub(crate) root: Node,
}

impl Document {
    /// Writes the merged and expanded configuration as YAML; with `redact`, values that look secret become `***`.
    ///
    /// Types are not known here, so a secret is recognized by its key: passwords, tokens, keys, and all headers.
    pub fn effective(&self, redact: bool) -> String {
        effective::write(&self.root, redact)
    }
}

/// The `service` section.
#[derive(Clone, Debug)]
pub struct Service {
    /// The extensions to start, in this order.
    pub extensions: Vec<Located<ComponentId>>,
    /// The pipelines, in the order of the text.
    pub pipelines: Vec<Pipeline>,
    pub(crate) rest: Section,
}

impl Service {
    /// Takes a section such as `telemetry` out, for the one who knows its type.
    pub fn take_section(&mut self, key: &str) -> Option<Section> {
        self.rest.take(key)
    }

    /// Complains about every section that nobody took; `accepted` are the keys that could have been there.
    pub fn unknown_keys(&self, accepted: &[&str]) -> Vec<ConfigError> {
        let accepted: Vec<&str> = ["extensions", "pipelines"].iter().chain(accepted).copied().collect();
        self.rest.each_key(|key, origin| {
            ConfigError::new(Some(origin.clone()), self.rest.path(), unknown_key(key, &accepted))
        })
    }
}

/// A chain from receivers through processors to exporters.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its signal and name.
    pub id: PipelineId,
    /// Where its data comes from; a processor or connector here means the data that it derives.
    pub receivers: Vec<Located<ComponentId>>,
    /// What happens to the data, in this order.
    pub processors: Vec<Located<ComponentId>>,
    /// Where its data goes.
    pub exporters: Vec<Located<ComponentId>>,
    /// Where the pipeline was written.
    pub origin: Origin,
}

/// A value and the place where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub origin: Origin,
}
