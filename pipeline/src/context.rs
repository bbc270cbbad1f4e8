//! What a component gets when it is built, and nothing else: its name, its counters, and shared things by type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use watershed_config::{ByteSize, ComponentId};

use crate::budget::Budget;
use crate::extension::Extensions;
use crate::telemetry::{Counter, Gauge, Kind, Telemetry, Unit};
use crate::watch::{Files, Watched};

/// All that a component gets when it is built. There are no statics: whatever is shared comes through here.
#[derive(Clone)]
pub struct Context {
    kind: Kind,
    id: ComponentId,
    telemetry: Telemetry,
    budget: Budget,
    shared: Arc<Shared>,
}

/// Things opened once and shared by type: a store, a table of names.
#[derive(Clone, Default)]
pub struct Shared(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Shared {
    /// Adds one thing; a second of the same type replaces the first.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: Arc<T>) {
        self.0.insert(TypeId::of::<T>(), value);
    }

    /// The thing of this type, if there is one.
    pub(crate) fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.get(&TypeId::of::<T>()).cloned().and_then(|any| any.downcast().ok())
    }
}

impl Context {
    /// Makes the context of one component.
    #[must_use]
    pub fn new(
        kind: Kind,
        id: ComponentId,
        telemetry: Telemetry,
        budget: Budget,
        shared: Arc<Shared>,
    ) -> Self {
        Self { kind, id, telemetry, budget, shared }
    }

    /// A context for unit tests and documentation examples: own telemetry, a budget of 1 GiB, nothing shared.
    #[must_use]
    pub fn detached(kind: Kind, id: ComponentId) -> Self {
        Self::new(kind, id, Telemetry::new(), Budget::new(1 << 30, 1 << 30), Arc::default())
    }

    /// The same with the extensions of a configuration, for the examination of one component.
    #[must_use]
    pub fn with_extensions(mut self, extensions: Arc<Extensions>) -> Self {
        let mut shared = Shared::clone(&self.shared);
        shared.insert(extensions);
        self.shared = Arc::new(shared);
        self
    }

    /// The component's id as configured, for instance `otlp/edge`.
    #[must_use]
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// A counter of the component's own: `otelcol_<kind>_<name>` with the component's id as label.
    ///
    /// The engine already counts what a component takes and passes on.
    #[must_use]
    pub fn counter(&self, name: &str, unit: Unit, help: &str) -> Counter {
        self.labelled_counter(name, unit, help, &[])
    }

    /// The same with further labels, whose values must come from a closed set.
    #[must_use]
    pub fn labelled_counter(&self, name: &str, unit: Unit, help: &str, labels: &[(&str, &str)]) -> Counter {
        self.telemetry.component_counter(self.kind, &self.id.to_string(), name, unit, help, labels)
    }

    /// A gauge of the component's own, named and labelled like a counter.
    #[must_use]
    pub fn gauge(&self, name: &str, unit: Unit, help: &str) -> Gauge {
        self.telemetry.component_gauge(self.kind, &self.id.to_string(), name, unit, help)
    }

    /// The memory that telemetry in flight may take, for the whole process.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The extensions of the configuration, which the settings of components name by id.
    #[must_use]
    pub fn extensions(&self) -> Arc<Extensions> {
        self.shared().unwrap_or_default()
    }

    /// Reads a file of at most `limit` bytes now, and again whenever it changes while the engine runs (within seconds).
    ///
    /// A change that can't be read or parsed leaves the value as it was, and counts into `file_failures`.
    ///
    /// # Errors
    /// Says why the file can't be read now, or what `parse` says of it.
    pub fn watch_file<T: Send + Sync + 'static>(
        &self,
        path: &Path,
        limit: ByteSize,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Watched<T>, String> {
        let help = "Changes of files that could not be read or understood.";
        let failures = self.counter("file_failures", Unit::Requests, help);
        self.shared::<Files>().unwrap_or_default().watch(path, limit.bytes(), parse, failures)
    }

    /// A thing that the program opened once and shares by type.
    #[must_use]
    pub fn shared<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.shared.get()
    }
}
