//! The rules that every document obeys, whatever its components are called. All mistakes are collected.

use std::{collections::HashSet, str::FromStr};

use crate::{
    document::{Document, Located, Pipeline, Service},
    error::{ConfigError, Origin},
    id::{ComponentId, PipelineId},
    node::{Entry, Kind, Node},
    section::{Section, unknown_key},
    suggest::suggest,
};

const TOP_LEVEL: [&str; 6] = ["receivers", "processors", "exporters", "connectors", "extensions", "service"];

/// Makes a document of a tree, leaving out what is wrong.
pub(crate) fn check(root: Node) -> (Document, Vec<ConfigError>) {
    let mut checker = Checker { errors: Vec::new() };
    checker.top_level(&root);
    let receivers = checker.components(&root, "receivers");
    let processors = checker.components(&root, "processors");
    let exporters = checker.components(&root, "exporters");
    let connectors = checker.components(&root, "connectors");
    let extensions = checker.components(&root, "extensions");
    let service = checker.service(&root);
    let document = Document { receivers, processors, exporters, connectors, extensions, service, root };
    checker.references(&document);
    (document, checker.errors)
}

struct Checker {
    errors: Vec<ConfigError>,
}

impl Checker {
    fn report(&mut self, origin: &Origin, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(ConfigError::new(Some(origin.clone()), path, message));
    }

    fn top_level(&mut self, root: &Node) {
        for entry in root.entries().unwrap_or_default() {
            if !TOP_LEVEL.contains(&entry.key.as_str()) {
                self.report(&entry.key_origin, "", unknown_key(&entry.key, &TOP_LEVEL));
            }
        }
    }

    /// Reads one of the sections that list components.
    fn components(&mut self, root: &Node, section: &str) -> Vec<(ComponentId, Section)> {
        let Some(entry) = root.entry(section) else { return Vec::new() };
        let mut components: Vec<(ComponentId, Section)> = Vec::new();
        for entry in self.entries(entry, section) {
            match entry.key.parse::<ComponentId>() {
                Ok(id) if components.iter().any(|(other, _)| *other == id) => {
                    self.report(
                        &entry.key_origin,
                        section,
                        format!("`{id}` is configured twice; give one of them a name of its own"),
                    );
                }
                Ok(id) => {
                    let path = format!("{section}.{id}");
                    components.push((id, Section::new(path, entry)));
                }
                Err(message) => self.report(&entry.key_origin, section, message),
            }
        }
        components
    }

    /// Complains when a section is neither a map nor empty.
    fn expect_map(&mut self, entry: &Entry, path: &str) {
        if entry.value.entries().is_none() && !entry.value.is_null() && entry.is_present() {
            let message = format!("expected a map, found {}", entry.value.describe(false));
            self.report(&entry.value.origin, path, message);
        }
    }

    /// The entries of a section that must be a map or empty.
    fn entries<'n>(&mut self, entry: &'n Entry, path: &str) -> impl Iterator<Item = &'n Entry> + use<'n> {
        self.expect_map(entry, path);
        entry.value.entries().unwrap_or_default().iter().filter(|entry| entry.is_present())
    }

    fn service(&mut self, root: &Node) -> Service {
        let Some(entry) = root.entry("service") else {
            let message = "no `service` section; it should hold `pipelines`";
            self.errors.push(ConfigError::new(Some(Origin { line: 0, ..root.origin.clone() }), "", message));
            return Service {
                extensions: vec![],
                pipelines: vec![],
                rest: Section::empty("service", &root.origin),
            };
        };
        self.expect_map(entry, "service");
        let extensions = match entry.value.entry("extensions") {
            Some(list) => self.ids(&list.value, "service.extensions"),
            None => Vec::new(),
        };
        let pipelines = match entry.value.entry("pipelines") {
            Some(pipelines) => self.pipelines(pipelines),
            None => {
                self.report(&entry.key_origin, "service", "no `pipelines`; add at least one");
                Vec::new()
            }
        };
        let mut rest = Section::new("service".to_owned(), entry);
        rest.take("extensions");
        rest.take("pipelines");
        Service { extensions, pipelines, rest }
    }

    fn pipelines(&mut self, section: &Entry) -> Vec<Pipeline> {
        const PATH: &str = "service.pipelines";
        let mut pipelines: Vec<Pipeline> = Vec::new();
        let mut any = !section.is_present();
        for entry in self.entries(section, PATH) {
            any = true;
            match entry.key.parse::<PipelineId>() {
                Ok(id) if pipelines.iter().any(|other| other.id == id) => {
                    self.report(
                        &entry.key_origin,
                        PATH,
                        format!("`{id}` is configured twice; give one of them a name of its own"),
                    );
                }
                Ok(id) => pipelines.push(self.pipeline(id, entry)),
                Err(message) => self.report(&entry.key_origin, PATH, message),
            }
        }
        if !any && (section.value.is_null() || section.value.entries().is_some()) {
            self.report(&section.key_origin, PATH, "no pipeline; add at least one");
        }
        pipelines
    }

    fn pipeline(&mut self, id: PipelineId, entry: &Entry) -> Pipeline {
        const KEYS: [&str; 3] = ["receivers", "processors", "exporters"];
        let path = format!("service.pipelines.{id}");
        for inner in self.entries(entry, &path) {
            if !KEYS.contains(&inner.key.as_str()) {
                self.report(&inner.key_origin, path.clone(), unknown_key(&inner.key, &KEYS));
            }
        }
        let is_map = entry.value.entries().is_some() || entry.value.is_null();
        let receivers = self.pipeline_ids(entry, &path, "receivers", is_map);
        let processors = self.pipeline_ids(entry, &path, "processors", false);
        let exporters = self.pipeline_ids(entry, &path, "exporters", is_map);
        Pipeline { id, receivers, processors, exporters, origin: entry.key_origin.clone() }
    }

    /// Reads one list of a pipeline; `needed` lists hold at least one id.
    fn pipeline_ids(
        &mut self,
        pipeline: &Entry,
        path: &str,
        key: &str,
        needed: bool,
    ) -> Vec<Located<ComponentId>> {
        let list_path = format!("{path}.{key}");
        let entry = pipeline.value.entries().unwrap_or_default().iter().find(|entry| entry.key == key);
        let found = entry.map(|entry| self.ids(&entry.value, &list_path)).unwrap_or_default();
        let is_empty = entry.is_none_or(|entry| {
            entry.value.is_null() || entry.value.elements().is_some_and(<[Node]>::is_empty)
        });
        if needed && is_empty {
            let origin = entry.map_or(&pipeline.key_origin, |entry| &entry.key_origin);
            self.report(origin, path, format!("needs at least one of `{key}`"));
        }
        found
    }

    /// Reads a list of ids, each once.
    fn ids(&mut self, list: &Node, path: &str) -> Vec<Located<ComponentId>> {
        if list.is_null() || list.is_pruned() {
            return Vec::new();
        }
        let Some(elements) = list.elements() else {
            let message = format!("expected a list, found {}; write `[a, b]`", list.describe(false));
            self.report(&list.origin, path, message);
            return Vec::new();
        };
        let mut seen = HashSet::new();
        let mut ids = Vec::new();
        for element in elements.iter().filter(|element| !element.is_pruned()) {
            let parsed = match &element.kind {
                Kind::Scalar(scalar) if !element.is_null() => ComponentId::from_str(&scalar.text),
                _ => Err(format!("expected the name of a component, found {}", element.describe(false))),
            };
            match parsed {
                Ok(id) if !seen.insert(id.clone()) => {
                    self.report(&element.origin, path, format!("`{id}` is listed twice; remove one"));
                }
                Ok(value) => ids.push(Located { value, origin: element.origin.clone() }),
                Err(message) => self.report(&element.origin, path, message),
            }
        }
        ids
    }

    fn references(&mut self, document: &Document) {
        let catalogue = Catalogue::new(document);
        let service = &document.service;
        for id in &service.extensions {
            self.reference(id, "service.extensions", "extension", &["extensions"], &catalogue);
        }
        for pipeline in &service.pipelines {
            let path = format!("service.pipelines.{}", pipeline.id);
            for id in &pipeline.receivers {
                let sections = ["receivers", "connectors", "processors"];
                self.reference(id, &format!("{path}.receivers"), "receiver", &sections, &catalogue);
            }
            for id in &pipeline.processors {
                self.reference(id, &format!("{path}.processors"), "processor", &["processors"], &catalogue);
            }
            for id in &pipeline.exporters {
                self.reference(
                    id,
                    &format!("{path}.exporters"),
                    "exporter",
                    &["exporters", "connectors"],
                    &catalogue,
                );
            }
        }
    }

    /// Checks that `id` is configured in one of `sections`.
    fn reference(
        &mut self,
        id: &Located<ComponentId>,
        path: &str,
        word: &str,
        sections: &[&str],
        catalogue: &Catalogue,
    ) {
        const SHOWN_MAX: usize = 20;
        let name = id.value.to_string();
        let allowed = || {
            catalogue
                .names
                .iter()
                .filter(|(section, _)| sections.contains(section))
                .map(|(_, name)| name.as_str())
        };
        if allowed().any(|configured| configured == name) {
            return;
        }
        let home = sections.first().copied().unwrap_or_default();
        let usual: Vec<&str> = catalogue.of(home).take(SHOWN_MAX).collect();
        let elsewhere = catalogue.names.iter().find(|(_, configured)| *configured == name);
        let advice = if let Some((section, _)) = elsewhere {
            format!("it is configured under `{section}`, not under `{home}`")
        } else if let Some(near) = suggest(&name, allowed()) {
            format!("did you mean `{near}`?")
        } else if usual.is_empty() {
            format!("add it under `{home}`")
        } else {
            format!("add it under `{home}`, or use one of: {}", usual.join(", "))
        };
        let message = format!("{word} `{name}` is not configured; {advice}");
        self.report(&id.origin, path, message);
    }
}

/// Every configured name with its section, also those that were refused, so that one mistake is not told twice.
struct Catalogue {
    names: Vec<(&'static str, String)>,
}

impl Catalogue {
    fn new(document: &Document) -> Self {
        let mut names = Vec::new();
        for section in TOP_LEVEL.into_iter().filter(|section| *section != "service") {
            let entries =
                document.root.entry(section).and_then(|entry| entry.value.entries()).unwrap_or_default();
            for entry in entries {
                let name =
                    entry.key.parse::<ComponentId>().map_or_else(|_| entry.key.clone(), |id| id.to_string());
                names.push((section, name));
            }
        }
        Self { names }
    }

    fn of(&self, section: &str) -> impl Iterator<Item = &str> {
        self.names.iter().filter(move |(of, _)| *of == section).map(|(_, name)| name.as_str())
    }
}
