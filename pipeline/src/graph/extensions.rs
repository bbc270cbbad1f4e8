//! Every configured extension: found in the registry, its settings read, and built, before all other components.

use watershed_config::{ComponentId, ConfigError, ConfigErrors, Document, Section, suggest};

use super::Environment;
use crate::extension::{Extension, Extensions};
use crate::registry::Registry;
use crate::telemetry::Kind;

/// Builds all extensions, also those that are not switched on, so that a mistake shows before it matters.
pub(super) fn build(
    document: &Document,
    registry: &Registry,
    cx: &Environment,
    errors: &mut Vec<ConfigError>,
) -> Extensions {
    let mut extensions = Extensions::default();
    for (id, section) in &document.extensions {
        let is_on = document.service.extensions.iter().any(|on| on.value == *id);
        match extension(id, section, registry, cx) {
            Ok(built) => extensions.insert(id.clone(), built, is_on),
            Err(mistakes) => {
                errors.extend(mistakes);
                extensions.insert_broken(id.clone());
            }
        }
    }
    extensions
}

fn extension(
    id: &ComponentId,
    section: &Section,
    registry: &Registry,
    cx: &Environment,
) -> Result<Extension, ConfigErrors> {
    let kind = id.kind();
    let factory = registry.extensions().iter().find(|factory| factory.description.answers_to(kind));
    let Some(factory) = factory else { return Err(section.error_at("", unknown(kind, registry)).into()) };
    let built = (factory.parse)(section)?.build(&cx.context(Kind::Extension, id));
    built.map_err(|error| section.build_error(error).into())
}

fn unknown(kind: &str, registry: &Registry) -> String {
    let known = || registry.extensions().iter().map(|factory| factory.description);
    let aliases = known().flat_map(|description| description.aliases.iter().copied());
    match suggest(kind, known().map(|description| description.type_name).chain(aliases)) {
        Some(near) => format!("unknown type of extension `{kind}`; did you mean `{near}`?"),
        None => {
            let names: Vec<&str> = known().map(|description| description.type_name).collect();
            format!(
                "the extension `{kind}` is not available; remove it here and from `service.extensions`; available: {}",
                names.join(", ")
            )
        }
    }
}
