//! Every configured component: found in the registry, its settings read, and built once to see that it can be.

use std::sync::Arc;

use watershed_config::{BuildError, ComponentId, ConfigError, ConfigErrors, Document, Section, suggest};

use super::Environment;
use crate::component::{Exporter, Receiver};
use crate::context::Context;
use crate::delivery::DeliverySettings;
use crate::registry::{BuildProcessor, Description, Registry};
use crate::telemetry::Kind;

/// All components of a document.
pub(super) struct Parts {
    pub(super) receivers: Vec<(ComponentId, Box<dyn Receiver>)>,
    pub(super) processors: Vec<(ComponentId, ProcessorPart)>,
    pub(super) connectors: Vec<(ComponentId, ProcessorPart)>,
    pub(super) exporters: Vec<(ComponentId, ExporterPart)>,
}

/// The settings of a processor, of which each pipeline and lane makes its own instance.
pub(super) struct ProcessorPart {
    pub(super) settings: Box<dyn BuildProcessor>,
    pub(super) section: Section,
}

/// An exporter, and the options of what stands in front of it.
pub(super) struct ExporterPart {
    pub(super) exporter: Arc<dyn Exporter>,
    pub(super) delivery: DeliverySettings,
}

impl Parts {
    pub(super) fn build(
        document: &Document,
        registry: &Registry,
        cx: &Environment,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let (receivers, exporters) = (registry.receivers(), registry.exporters());
        Self {
            receivers: each(&document.receivers, errors, |id, section| {
                let factory = find("receiver", id, section, receivers, |factory| &factory.description)?;
                let settings = (factory.parse)(section)?;
                built(section, settings.build(&cx.context(Kind::Receiver, id)))
            }),
            processors: each(&document.processors, errors, |id, section| {
                processor("processor", id, section, registry, cx)
            }),
            connectors: each(&document.connectors, errors, |id, section| {
                processor("connector", id, section, registry, cx)
            }),
            exporters: each(&document.exporters, errors, |id, section| {
                let factory = find("exporter", id, section, exporters, |factory| &factory.description)?;
                let mut own = section.clone();
                let (mut delivery, mut mistakes) =
                    DeliverySettings::take(&mut own, factory.reach, factory.batch);
                if let Err(problem) = delivery.find_storage(&cx.context(Kind::Exporter, id).extensions()) {
                    mistakes.push(section.error_at("sending_queue.storage", problem));
                }
                let exporter = (factory.parse)(&own)
                    .and_then(|settings| built(section, settings.build(&cx.context(Kind::Exporter, id))));
                let exporter = exporter.map_err(|others| mistakes.extend(others)).ok();
                ConfigErrors::check(mistakes)?;
                Ok(exporter.map(|exporter| ExporterPart { exporter: exporter.into(), delivery }))
            })
            .into_iter()
            .filter_map(|(id, part)| Some((id, part?)))
            .collect(),
        }
    }
}

/// Calls `build` for every section and keeps what could be built.
fn each<T>(
    sections: &[(ComponentId, Section)],
    errors: &mut Vec<ConfigError>,
    mut build: impl FnMut(&ComponentId, &Section) -> Result<T, ConfigErrors>,
) -> Vec<(ComponentId, T)> {
    let mut parts = Vec::with_capacity(sections.len());
    for (id, section) in sections {
        match build(id, section) {
            Ok(part) => parts.push((id.clone(), part)),
            Err(mistakes) => errors.extend(mistakes),
        }
    }
    parts
}

fn processor(
    word: &str,
    id: &ComponentId,
    section: &Section,
    registry: &Registry,
    cx: &Environment,
) -> Result<ProcessorPart, ConfigErrors> {
    let factory = find(word, id, section, registry.processors(), |factory| &factory.description)?;
    let settings = (factory.parse)(section)?;
    // Built once only to hear whether the settings fit together.
    let context: Context = cx.context(Kind::Processor, id);
    built(section, settings.build(&context)).map(drop)?;
    Ok(ProcessorPart { settings, section: section.clone() })
}

fn built<T>(section: &Section, result: Result<T, BuildError>) -> Result<T, ConfigErrors> {
    result.map_err(|error| section.build_error(error).into())
}

/// Finds the component that a section's id names.
fn find<'f, F>(
    word: &str,
    id: &ComponentId,
    section: &Section,
    factories: &'f [F],
    description: impl Fn(&F) -> &Description,
) -> Result<&'f F, ConfigErrors> {
    const SHOWN_MAX: usize = 30;
    let kind = id.kind();
    let found = factories.iter().find(|factory| description(factory).answers_to(kind));
    found.ok_or_else(|| {
        let names = factories.iter().map(|factory| description(factory).type_name);
        let aliases = factories.iter().flat_map(|factory| description(factory).aliases.iter().copied());
        let message = match suggest(kind, names.clone().chain(aliases)) {
            Some(near) => format!("unknown type of {word} `{kind}`; did you mean `{near}`?"),
            None => {
                let known: Vec<&str> = names.take(SHOWN_MAX).collect();
                format!("unknown type of {word} `{kind}`; known types: {}", known.join(", "))
            }
        };
        section.error_at("", message).into()
    })
}
