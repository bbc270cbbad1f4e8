//! Puts components together: downstream pipelines first, so that each finds what it feeds.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use watershed_config::{ComponentId, ConfigError, ConfigErrors, ConfigWarning, Document, Section};

use super::parts::{ExporterPart, Parts, ProcessorPart};
use super::topology::{Node, Topology};
use super::{Environment, Graph, Inlet, diagram, signal_of};
use crate::batch::Signal;
use crate::component::{Exporter, KeyHash, State};
use crate::delivery::Delivery;
use crate::extension::Extensions;
use crate::lanes::{Alarm, Meter, Pipeline, Segment, Sink, Stage};
use crate::lifecycle::Lifecycle;
use crate::outlet::Outlet;
use crate::telemetry::Kind;
use crate::vault::Vault;

/// The graph in the making.
struct Assembly<'a> {
    document: &'a Document,
    topology: &'a Topology,
    cx: &'a Environment,
    processors: BTreeMap<ComponentId, ProcessorPart>,
    connectors: BTreeMap<ComponentId, ProcessorPart>,
    exporters: BTreeMap<ComponentId, ExporterPart>,
    lifecycle: Lifecycle,
    random: fastrand::Rng,
    pipelines: BTreeMap<usize, Arc<Pipeline>>,
    connected: BTreeMap<ComponentId, Arc<Pipeline>>,
    deliveries: BTreeMap<(ComponentId, Signal), Arc<Delivery>>,
    errors: Vec<ConfigError>,
}

/// Puts the used components together. All parts must have been built without mistakes.
pub(super) fn assemble(
    parts: Parts,
    topology: &Topology,
    document: &Document,
    cx: &Environment,
    extensions: Arc<Extensions>,
) -> Result<Graph, ConfigErrors> {
    let mut assembly = Assembly {
        document,
        topology,
        cx,
        processors: parts.processors.into_iter().collect(),
        connectors: parts.connectors.into_iter().collect(),
        exporters: parts.exporters.into_iter().collect(),
        lifecycle: Lifecycle::default(),
        random: fastrand::Rng::with_seed(cx.seed),
        pipelines: BTreeMap::new(),
        connected: BTreeMap::new(),
        deliveries: BTreeMap::new(),
        errors: Vec::new(),
    };
    let mut pipelines: Vec<_> = topology.order.iter().rev().filter_map(|node| assembly.node(node)).collect();
    pipelines.reverse();
    ConfigErrors::check(std::mem::take(&mut assembly.errors))?;
    let receivers = parts
        .receivers
        .into_iter()
        .filter(|(id, _)| {
            let mut pipelines = document.service.pipelines.iter();
            pipelines.any(|pipeline| pipeline.receivers.iter().any(|own| own.value == *id))
        })
        .map(|(id, receiver)| (id.to_string(), receiver, assembly.outlet(&id)))
        .collect();
    Ok(Graph {
        receivers,
        pipelines,
        exporters: assembly.used_exporters(),
        deliveries: assembly.deliveries.into_values().collect(),
        lifecycle: assembly.lifecycle,
        telemetry: cx.telemetry.clone(),
        shutdown_timeout: cx.shutdown_timeout,
        vault: cx.storage.as_deref().map(|root| Arc::new(Vault::new(root))),
        files: cx.shared.get().unwrap_or_default(),
        extensions,
        diagram: diagram::mermaid(document, topology),
        warnings: unused(document),
    })
}

impl Assembly<'_> {
    fn node(&mut self, node: &Node) -> Option<Arc<Pipeline>> {
        match node {
            Node::Pipeline(index) => {
                let pipeline = self.pipeline(*index)?;
                self.pipelines.insert(*index, Arc::clone(&pipeline));
                Some(pipeline)
            }
            Node::Connector(id) => {
                let connector = self.connector(id)?;
                self.connected.insert(id.clone(), Arc::clone(&connector));
                Some(connector)
            }
        }
    }

    fn pipeline(&mut self, index: usize) -> Option<Arc<Pipeline>> {
        let pipeline = self.document.service.pipelines.get(index)?;
        let signal = signal_of(pipeline.id.signal);
        let mut chain = Chain::new(self.cx.lanes);
        for id in &pipeline.processors {
            let Some(part) = self.processors.get(&id.value) else { continue };
            let stages = self.stages(&id.value, part, signal);
            match stages {
                Ok(stages) => chain.push(part.settings.state(), stages),
                Err(error) => self.errors.push(error),
            }
        }
        let exporters = pipeline.exporters.iter();
        let sinks = exporters.filter_map(|id| self.sink(&id.value, signal)).collect();
        let name = pipeline.id.to_string();
        Some(Arc::new(Pipeline { name, segments: chain.finish(), sinks, alarm: Alarm::default() }))
    }

    /// A connector is a pipeline of its own that ends with the processor: only what it derives goes on.
    fn connector(&mut self, id: &ComponentId) -> Option<Arc<Pipeline>> {
        let part = self.connectors.get(id)?;
        let mut chain = Chain::new(self.cx.lanes);
        match self.stages(id, part, Signal::Logs) {
            Ok(stages) => chain.push(part.settings.state(), stages),
            Err(error) => self.errors.push(error),
        }
        let alarm = Alarm::default();
        Some(Arc::new(Pipeline { name: id.to_string(), segments: chain.finish(), sinks: Vec::new(), alarm }))
    }

    /// Makes one instance a lane, or a single one when its state is global.
    fn stages(
        &self,
        id: &ComponentId,
        part: &ProcessorPart,
        signal: Signal,
    ) -> Result<Vec<Stage>, ConfigError> {
        let instances = match part.settings.state() {
            State::Global => 1,
            State::None | State::Keyed(_) => self.cx.lanes.get(),
        };
        let name: Arc<str> = id.to_string().into();
        let meters = Arc::new(Meter::all(&self.cx.telemetry, &name));
        let taps = Signal::ALL.map(|signal| self.taps(id, signal));
        let context = self.cx.context(Kind::Processor, id);
        let stage = || {
            let processor = part.settings.build(&context).map_err(|error| part.section.build_error(error))?;
            let (name, meters) = (Arc::clone(&name), Arc::<[Meter; 3]>::clone(&meters));
            Ok(Stage::new(name, processor, meters, taps.clone(), self.lifecycle.clone(), signal))
        };
        (0..instances).map(|_| stage()).collect()
    }

    /// The pipelines of a signal that take what the processor derives.
    fn taps(&self, id: &ComponentId, signal: Signal) -> Arc<[Arc<Pipeline>]> {
        let of_signal = |index: &usize| {
            let pipeline = self.document.service.pipelines.get(*index);
            pipeline.is_some_and(|pipeline| signal_of(pipeline.id.signal) == signal)
        };
        let taps = self.topology.taps(id).filter(of_signal);
        taps.filter_map(|index| self.pipelines.get(&index).cloned()).collect()
    }

    fn sink(&mut self, id: &ComponentId, signal: Signal) -> Option<Sink> {
        if self.topology.is_connector(id) {
            return self.connected.get(id).cloned().map(Sink::Connector);
        }
        let part = self.exporters.get(id)?;
        let delivery = self.deliveries.entry((id.clone(), signal)).or_insert_with(|| {
            let exporter = Arc::clone(&part.exporter);
            let name = id.to_string();
            let mut settings = part.delivery.clone();
            settings.place(self.cx.storage.as_deref(), &name, signal);
            let (telemetry, random) = (&self.cx.telemetry, self.random.fork());
            Arc::new(Delivery::new(exporter, &name, signal, settings, telemetry, &self.lifecycle, random))
        });
        Some(Sink::Exporter(Arc::clone(delivery)))
    }

    fn outlet(&self, id: &ComponentId) -> Outlet {
        let receiver = id.to_string();
        let pipelines = Signal::ALL.map(|signal| {
            let pipelines = self.document.service.pipelines.iter().enumerate();
            let fed = pipelines.filter(|(_, pipeline)| {
                signal_of(pipeline.id.signal) == signal
                    && pipeline.receivers.iter().any(|own| own.value == *id)
            });
            fed.filter_map(|(index, _)| self.pipelines.get(&index).cloned()).collect()
        });
        let inlet = Inlet { receiver: receiver.clone(), pipelines };
        Outlet::new(Arc::new(inlet), self.cx.telemetry.clone(), &receiver)
    }

    fn used_exporters(&self) -> Vec<(String, Arc<dyn Exporter>)> {
        let is_used = |id: &ComponentId| self.deliveries.keys().any(|(used, _)| used == id);
        let used = self.exporters.iter().filter(|(id, _)| is_used(id));
        used.map(|(id, part)| (id.to_string(), Arc::clone(&part.exporter))).collect()
    }
}

/// The segments of a chain in the making.
struct Chain {
    lanes: NonZeroUsize,
    segments: Vec<Segment>,
    key: Option<KeyHash>,
    open: Vec<Vec<Stage>>,
}

impl Chain {
    fn new(lanes: NonZeroUsize) -> Self {
        Self { lanes, segments: Vec::new(), key: None, open: Vec::new() }
    }

    /// Adds a processor's instances, and begins a new segment where its state asks for one.
    fn push(&mut self, state: State, stages: Vec<Stage>) {
        match state {
            State::None => {}
            State::Keyed(key) => {
                self.cut();
                self.key = Some(key);
            }
            State::Global => {
                self.cut();
                self.segments.push(Segment::new(None, vec![stages]));
                return;
            }
        }
        self.open.resize_with(self.lanes.get(), Vec::new);
        for (lane, stage) in self.open.iter_mut().zip(stages) {
            lane.push(stage);
        }
    }

    fn cut(&mut self) {
        let key = self.key.take();
        if !self.open.is_empty() {
            self.segments.push(Segment::new(key, std::mem::take(&mut self.open)));
        }
    }

    fn finish(mut self) -> Vec<Segment> {
        self.cut();
        self.segments
    }
}

/// Warns of components and extensions that are configured and not used.
fn unused(document: &Document) -> Vec<ConfigWarning> {
    let used: Vec<&ComponentId> = document
        .service
        .pipelines
        .iter()
        .flat_map(|pipeline| pipeline.receivers.iter().chain(&pipeline.processors).chain(&pipeline.exporters))
        .map(|id| &id.value)
        .collect();
    let warn = |(id, section): &(ComponentId, Section)| ConfigWarning {
        origin: Some(section.origin().clone()),
        path: section.path().to_owned(),
        message: format!("`{id}` is configured but no pipeline uses it, so it is not started"),
    };
    let switched_on = |id: &ComponentId| document.service.extensions.iter().any(|on| on.value == *id);
    let off =
        document.extensions.iter().filter(|(id, _)| !switched_on(id)).map(|(id, section)| ConfigWarning {
            origin: Some(section.origin().clone()),
            path: section.path().to_owned(),
            message: format!("`{id}` is configured but not in `service.extensions`, so it is not used"),
        });
    let sections = [&document.receivers, &document.processors, &document.exporters, &document.connectors];
    let unused = sections.into_iter().flatten().filter(|(id, _)| !used.contains(&id)).map(warn);
    unused.chain(off).collect()
}
