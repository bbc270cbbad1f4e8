//! Who feeds whom: pipelines and connectors as nodes, derived streams as edges, no cycles.

use std::collections::BTreeSet;

use watershed_config::{ComponentId, ConfigError, Document, Located, Pipeline, suggest};

/// The order and the edges of the nodes of a document.
pub(super) struct Topology {
    /// All nodes, upstream first.
    pub(super) order: Vec<Node>,
    receivers: BTreeSet<ComponentId>,
    exporters: BTreeSet<ComponentId>,
    connectors: BTreeSet<ComponentId>,
    /// For each pipeline, the processors and connectors that it takes its data from.
    sources: Vec<BTreeSet<ComponentId>>,
}

/// What telemetry passes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A pipeline, by its number in the document.
    Pipeline(usize),
    /// A connector that is somebody's exporter.
    Connector(ComponentId),
}

impl Topology {
    pub(super) fn new(document: &Document, errors: &mut Vec<ConfigError>) -> Self {
        let ids = |sections: &[(ComponentId, watershed_config::Section)]| {
            sections.iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>()
        };
        let receivers = ids(&document.receivers);
        let derived = |pipeline: &Pipeline| {
            let ids = pipeline.receivers.iter().map(|id| id.value.clone());
            ids.filter(|id| !receivers.contains(id)).collect()
        };
        let sources = document.service.pipelines.iter().map(derived).collect();
        let exporters = ids(&document.exporters);
        let connectors = ids(&document.connectors);
        let mut topology = Self { order: Vec::new(), receivers, exporters, connectors, sources };
        topology.check_sources(document, errors);
        topology.sort(document, errors);
        topology
    }

    /// Whether the id in a pipeline's list of receivers is a receiver; otherwise something derives.
    pub(super) fn is_receiver(&self, id: &ComponentId) -> bool {
        self.receivers.contains(id)
    }

    /// Whether the id in a pipeline's list of exporters is a connector.
    pub(super) fn is_connector(&self, id: &ComponentId) -> bool {
        self.connectors.contains(id) && !self.exporters.contains(id)
    }

    /// Whether the id in a pipeline's list of receivers is a connector.
    pub(super) fn connects(&self, id: &ComponentId) -> bool {
        self.connectors.contains(id)
    }

    /// The pipelines that take what a processor or connector derives.
    pub(super) fn taps<'t>(&'t self, id: &'t ComponentId) -> impl Iterator<Item = usize> + 't {
        let sources = self.sources.iter().enumerate();
        sources.filter(|(_, sources)| sources.contains(id)).map(|(index, _)| index)
    }

    /// Complains about sources that no pipeline runs, and about connectors that lead nowhere. Ids that are not
    /// configured at all were complained about when the document was read.
    fn check_sources(&self, document: &Document, errors: &mut Vec<ConfigError>) {
        let pipelines = &document.service.pipelines;
        let run: BTreeSet<&ComponentId> = pipelines
            .iter()
            .flat_map(|pipeline| {
                let connectors = pipeline.exporters.iter().filter(|id| self.is_connector(&id.value));
                pipeline.processors.iter().chain(connectors).map(|id| &id.value)
            })
            .collect();
        let derives = |id: &ComponentId| {
            self.connects(id) || document.processors.iter().any(|(processor, _)| processor == id)
        };
        for pipeline in pipelines {
            let path = format!("service.pipelines.{}", pipeline.id);
            for id in pipeline.receivers.iter().filter(|id| !self.is_receiver(&id.value)) {
                if !derives(&id.value) || run.contains(&id.value) {
                    continue;
                }
                let message = if self.connects(&id.value) {
                    format!(
                        "connector `{}` is nobody's exporter; name it among the `exporters` of a pipeline",
                        id.value
                    )
                } else {
                    nobody_runs(&id.value, &run)
                };
                errors.push(at(id, format!("{path}.receivers"), message));
            }
            for id in pipeline.exporters.iter().filter(|id| self.is_connector(&id.value)) {
                if self.taps(&id.value).next().is_none() {
                    let message = format!(
                        "connector `{}` leads nowhere; name it among the `receivers` of a pipeline",
                        id.value
                    );
                    errors.push(at(id, format!("{path}.exporters"), message));
                }
            }
        }
    }

    /// Puts the nodes in order, upstream first, or complains about a cycle with its path.
    fn sort(&mut self, document: &Document, errors: &mut Vec<ConfigError>) {
        let mut walk = Walk { topology: self, document, path: Vec::new(), done: Vec::new(), cycle: None };
        for index in 0..document.service.pipelines.len() {
            walk.visit(Node::Pipeline(index));
        }
        let Walk { mut done, cycle, .. } = walk;
        if let Some(cycle) = cycle {
            let origin = document.service.pipelines.first().map(|pipeline| pipeline.origin.clone());
            let message =
                format!("what is derived comes back to where it is made: {cycle}; break the circle");
            errors.push(ConfigError::new(origin, "service.pipelines", message));
        }
        done.reverse();
        self.order = done;
    }

    /// Where a node's telemetry goes on, each with the component it goes through.
    fn edges(&self, node: &Node, document: &Document) -> Vec<(ComponentId, Node)> {
        let tapped = |id: &ComponentId| {
            self.taps(id).map(|index| (id.clone(), Node::Pipeline(index))).collect::<Vec<_>>()
        };
        match node {
            Node::Connector(id) => tapped(id),
            Node::Pipeline(index) => {
                let Some(pipeline) = document.service.pipelines.get(*index) else { return Vec::new() };
                let derived = pipeline.processors.iter().flat_map(|id| tapped(&id.value));
                let connectors = pipeline.exporters.iter().filter(|id| self.is_connector(&id.value));
                derived
                    .chain(connectors.map(|id| (id.value.clone(), Node::Connector(id.value.clone()))))
                    .collect()
            }
        }
    }
}

/// A walk over the graph in depth first order.
struct Walk<'a> {
    topology: &'a Topology,
    document: &'a Document,
    path: Vec<(Node, Option<ComponentId>)>,
    done: Vec<Node>,
    cycle: Option<String>,
}

impl Walk<'_> {
    fn visit(&mut self, node: Node) {
        if self.done.contains(&node) {
            return;
        }
        if let Some(start) = self.path.iter().position(|(other, _)| *other == node) {
            let cycle = self.describe(start, &node);
            self.cycle.get_or_insert(cycle);
            return;
        }
        self.path.push((node.clone(), None));
        for (via, next) in self.topology.edges(&node, self.document) {
            if let Some(last) = self.path.last_mut() {
                last.1 = Some(via);
            }
            self.visit(next);
        }
        self.path.pop();
        self.done.push(node);
    }

    fn describe(&self, start: usize, end: &Node) -> String {
        let mut text = String::new();
        for (node, via) in self.path.iter().skip(start) {
            text.push_str(&self.name(node));
            text.push_str(" → ");
            // A connector is a node of its own; a processor that derives is named on the way.
            if let (Node::Pipeline(_), Some(via)) = (node, via)
                && !self.topology.connects(via)
            {
                text.push_str(&format!("`{via}` → "));
            }
        }
        text + &self.name(end)
    }

    fn name(&self, node: &Node) -> String {
        match node {
            Node::Connector(id) => format!("`{id}`"),
            Node::Pipeline(index) => {
                let pipeline = self.document.service.pipelines.get(*index);
                pipeline.map(|pipeline| format!("`{}`", pipeline.id)).unwrap_or_default()
            }
        }
    }
}

fn nobody_runs(id: &ComponentId, run: &BTreeSet<&ComponentId>) -> String {
    let name = id.to_string();
    let names: Vec<String> = run.iter().map(ToString::to_string).collect();
    match suggest(&name, names.iter().map(String::as_str)) {
        Some(near) => format!("no pipeline has the processor `{name}`; did you mean `{near}`?"),
        None => format!("no pipeline has the processor `{name}`; add it to the `processors` of one"),
    }
}

fn at(id: &Located<ComponentId>, path: String, message: String) -> ConfigError {
    ConfigError::new(Some(id.origin.clone()), path, message)
}
