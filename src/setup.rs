//! From files to everything that is needed to run, or to all mistakes at once.

use std::path::PathBuf;
use std::sync::Arc;

use watershed_config::{
    ConfigError, ConfigErrors, ConfigWarning, Document, Sources, load, process_environment,
};
use watershed_pipeline::storage::{StorageDirectory, StorageSettings};
use watershed_pipeline::{Budget, Environment, Graph, Registry, Shared, Telemetry};

use crate::extensions::{self, HealthCheck};
use crate::memory::default_budget;
use crate::telemetry::Settings;

/// Keys of `service` beside `extensions` and `pipelines`.
const SERVICE_KEYS: [&str; 2] = ["telemetry", "storage"];

/// A configuration without mistakes, built and not started.
pub(crate) struct Setup {
    pub(crate) graph: Graph,
    pub(crate) settings: Settings,
    pub(crate) health: Vec<HealthCheck>,
    pub(crate) telemetry: Telemetry,
    pub(crate) budget: Budget,
    pub(crate) lanes: usize,
    /// Where queues are kept.
    pub(crate) storage: PathBuf,
    warnings: Vec<ConfigWarning>,
}

impl Setup {
    /// Reads the configuration and builds what it describes. Nothing is bound and no server is touched.
    ///
    /// # Errors
    /// Every mistake that can be found, each with its place.
    pub(crate) fn read(registry: &Registry, sources: &Sources) -> Result<Self, ConfigErrors> {
        Self::read_with(registry, sources, Shared::default())
    }

    /// The same with more for components to share.
    pub(crate) fn read_with(
        registry: &Registry,
        sources: &Sources,
        mut shared: Shared,
    ) -> Result<Self, ConfigErrors> {
        let (mut document, warnings, mut errors) = match load(sources, &process_environment) {
            Ok(loaded) => (loaded.document, loaded.warnings, Vec::new()),
            Err(mut mistakes) => match mistakes.take_document() {
                // What could be understood is read on, so that all mistakes are told at once.
                Some(document) => (document, Vec::new(), mistakes.into_iter().collect()),
                None => return Err(mistakes),
            },
        };
        let storage = read_storage(&mut document, &mut errors);
        let settings = read_settings(&mut document, &mut errors);
        let health = extensions::health_checks(&document);
        let (telemetry, budget) = (Telemetry::new(), default_budget());
        let storage = storage.resolve();
        shared.insert(Arc::new(StorageDirectory(storage.clone())));
        let mut environment = Environment::new(telemetry.clone(), budget.clone(), Arc::new(shared));
        environment.storage = Some(storage.clone());
        let graph = Graph::build(&document, registry, &environment);
        let graph = graph.map_err(|mistakes| errors.extend(mistakes)).ok();
        ConfigErrors::check(errors)?;
        let Some(graph) = graph else {
            return Err(ConfigError::new(None, "", "the pipelines could not be built").into());
        };
        let lanes = environment.lanes.get();
        Ok(Self { graph, settings, health, telemetry, budget, lanes, storage, warnings })
    }

    /// What is allowed and still worth a look.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &ConfigWarning> {
        self.warnings.iter().chain(self.graph.warnings())
    }
}

/// The directories in which the queues of a configuration are. Nothing else in it has to be right.
pub(crate) fn storage_directories(sources: &Sources) -> Result<Vec<PathBuf>, ConfigErrors> {
    let mut document = load(sources, &process_environment)?.document;
    let mut errors = Vec::new();
    let storage = read_storage(&mut document, &mut errors);
    ConfigErrors::check(errors)?;
    Ok(std::iter::once(storage.resolve()).chain(extensions::file_storages(&document)).collect())
}

fn read_storage(document: &mut Document, errors: &mut Vec<ConfigError>) -> StorageSettings {
    let section = document.service.take_section("storage").filter(|section| !section.is_null());
    let settings = section.map_or_else(|| Ok(StorageSettings::default()), |section| section.read());
    settings.unwrap_or_else(|mistakes| {
        errors.extend(mistakes);
        StorageSettings::default()
    })
}

fn read_settings(document: &mut Document, errors: &mut Vec<ConfigError>) -> Settings {
    let section = document.service.take_section("telemetry");
    errors.extend(document.service.unknown_keys(&SERVICE_KEYS));
    Settings::read(section.as_ref()).unwrap_or_else(|mistakes| {
        errors.extend(mistakes);
        Settings::default()
    })
}
