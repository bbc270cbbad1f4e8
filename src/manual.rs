//! Documents made from the components themselves: the reference and the JSON Schema of the configuration.
//!
//! What a component's page says stands in its source file, what its settings mean stands at their fields, and
//! nothing is written twice. Read `schema.rs` first, then `reference.rs`.

mod reference;
mod schema;

use serde_json::Value;
use watershed_pipeline::{Description, Registry};

pub use reference::reference;
pub use schema::schema;

/// A component in the manual.
pub(crate) struct Entry {
    /// `receivers`, `processors`, `exporters` or `extensions`, as the section of a configuration is called.
    pub(crate) kind: &'static str,
    pub(crate) type_name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    description: Description,
    /// The schema of its settings, with definitions of its own under `$defs`.
    schema: Value,
}

/// All components, in the order of the manual.
pub(crate) fn entries(registry: &Registry) -> Vec<Entry> {
    let receivers = registry.receivers().iter().map(|factory| ("receivers", factory.description));
    let processors = registry.processors().iter().map(|factory| ("processors", factory.description));
    let exporters = registry.exporters().iter().map(|factory| ("exporters", factory.description));
    let extensions = registry.extensions().iter().map(|factory| ("extensions", factory.description));
    receivers
        .chain(processors)
        .chain(exporters)
        .chain(extensions)
        .map(|(kind, description)| Entry::new(kind, description))
        .collect()
}

impl Entry {
    fn new(kind: &'static str, description: Description) -> Self {
        let Description { type_name, aliases, .. } = description;
        Self { kind, type_name, aliases, description, schema: schema::of_component(kind, &description) }
    }

    /// Whether a configuration may use this name for the component.
    pub(crate) fn answers_to(&self, name: &str) -> bool {
        self.description.answers_to(name)
    }

    /// The first sentence of its page.
    pub(crate) fn summary(&self) -> String {
        self.description.page().lines().next().unwrap_or_default().to_owned()
    }

    /// Its page of the manual, as Markdown.
    pub(crate) fn page(&self) -> String {
        reference::page(self)
    }
}
