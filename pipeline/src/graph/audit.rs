//! Pipelines that promise to keep everything: those with `audit` in their name refuse processors that leave out
//! telemetry which no setting names.

use watershed_config::{ConfigError, Document};

use super::parts::Parts;

/// Complains about each lossy processor of an audit pipeline.
pub(super) fn check(document: &Document, parts: &Parts, errors: &mut Vec<ConfigError>) {
    let is_lossy = |id| {
        let found = parts.processors.iter().find(|(own, _)| own == id);
        found.is_some_and(|(_, part)| part.settings.is_lossy())
    };
    for pipeline in &document.service.pipelines {
        let name = pipeline.id.to_string();
        if !name.to_ascii_lowercase().contains("audit") {
            continue;
        }
        for id in pipeline.processors.iter().filter(|id| is_lossy(&id.value)) {
            let message = format!(
                "`{}` leaves out records, and a pipeline with `audit` in its name keeps all of them; \
                 remove it, or give the pipeline another name",
                id.value
            );
            let path = format!("service.pipelines.{name}.processors");
            errors.push(ConfigError::new(Some(id.origin.clone()), path, message));
        }
    }
}
