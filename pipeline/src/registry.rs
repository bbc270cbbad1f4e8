//! The list of components that a program knows, and how a settings type becomes an entry of that list.
//!
//! There is no discovery: each component crate has a visible list `ALL`, and a custom program adds its own
//! entries with [`Registry::with_processor`] and its siblings.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use watershed_config::{BuildError, ConfigErrors, Section};

use crate::component::{
    Exporter, ExporterConfig, Processor, ProcessorConfig, Reach, Receiver, ReceiverConfig, State,
};
use crate::context::Context;
use crate::delivery::BatchOptions;
use crate::extension::{Extension, ExtensionConfig};

/// What every entry has: its names, its page and its settings' schema.
#[derive(Clone, Copy)]
pub struct Description {
    /// The type as configuration files name it.
    pub type_name: &'static str,
    /// Other accepted names.
    pub aliases: &'static [&'static str],
    source: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

/// An entry of the list of receivers.
#[derive(Clone, Copy)]
pub struct ReceiverFactory {
    /// Names, page and schema.
    pub description: Description,
    pub(crate) parse: fn(&Section) -> Result<Box<dyn BuildReceiver>, ConfigErrors>,
}

/// An entry of the list of processors.
#[derive(Clone, Copy)]
pub struct ProcessorFactory {
    /// Names, page and schema.
    pub description: Description,
    pub(crate) parse: fn(&Section) -> Result<Box<dyn BuildProcessor>, ConfigErrors>,
}

/// An entry of the list of exporters.
#[derive(Clone, Copy)]
pub struct ExporterFactory {
    /// Names, page and schema.
    pub description: Description,
    /// Where its batches go.
    pub reach: Reach,
    /// How its batches are merged by default.
    pub batch: Option<BatchOptions>,
    pub(crate) parse: fn(&Section) -> Result<Box<dyn BuildExporter>, ConfigErrors>,
}

/// An entry of the list of extensions.
#[derive(Clone, Copy)]
pub struct ExtensionFactory {
    /// Names, page and schema.
    pub description: Description,
    pub(crate) parse: fn(&Section) -> Result<Box<dyn BuildExtension>, ConfigErrors>,
}

/// Makes the entry of a receiver from its settings type.
#[must_use]
pub const fn receiver<C: ReceiverConfig>() -> ReceiverFactory {
    ReceiverFactory {
        description: describe::<C>(C::TYPE, C::ALIASES, C::SOURCE),
        parse: |section| Ok(Box::new(section.read::<C>()?)),
    }
}

/// Makes the entry of a processor from its settings type.
#[must_use]
pub const fn processor<C: ProcessorConfig>() -> ProcessorFactory {
    ProcessorFactory {
        description: describe::<C>(C::TYPE, C::ALIASES, C::SOURCE),
        parse: |section| Ok(Box::new(section.read::<C>()?)),
    }
}

/// Makes the entry of an exporter from its settings type.
#[must_use]
pub const fn exporter<C: ExporterConfig>() -> ExporterFactory {
    ExporterFactory {
        description: describe::<C>(C::TYPE, C::ALIASES, C::SOURCE),
        reach: C::REACH,
        batch: C::BATCH,
        parse: |section| Ok(Box::new(section.read::<C>()?)),
    }
}

/// Makes the entry of an extension from its settings type.
#[must_use]
pub const fn extension<C: ExtensionConfig>() -> ExtensionFactory {
    ExtensionFactory {
        description: describe::<C>(C::TYPE, C::ALIASES, C::SOURCE),
        parse: |section| Ok(Box::new(section.read::<C>()?)),
    }
}

const fn describe<C: JsonSchema>(
    type_name: &'static str,
    aliases: &'static [&'static str],
    source: &'static str,
) -> Description {
    Description { type_name, aliases, source, schema: |generator| generator.subschema_for::<C>() }
}

impl Description {
    /// Whether a configuration file may use this name for the component.
    #[must_use]
    pub fn answers_to(&self, name: &str) -> bool {
        self.type_name == name || self.aliases.contains(&name)
    }

    /// The component's page: the comment at the top of its source file, as Markdown.
    #[must_use]
    pub fn page(&self) -> String {
        let lines = self.source.lines().map_while(|line| line.strip_prefix("//!"));
        lines
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .fold(String::new(), |page, line| page + line + "\n")
    }

    /// The JSON Schema of the settings, with shared definitions left in the generator.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }
}

/// All components that a program knows.
#[derive(Clone, Default)]
pub struct Registry {
    receivers: Vec<ReceiverFactory>,
    processors: Vec<ProcessorFactory>,
    exporters: Vec<ExporterFactory>,
    extensions: Vec<ExtensionFactory>,
}

impl Registry {
    /// Makes a registry from the lists of the component crates, without extensions.
    #[must_use]
    pub fn new(
        receivers: &[ReceiverFactory],
        processors: &[ProcessorFactory],
        exporters: &[ExporterFactory],
    ) -> Self {
        Self {
            receivers: receivers.into(),
            processors: processors.into(),
            exporters: exporters.into(),
            extensions: Vec::new(),
        }
    }

    /// Adds a receiver; it wins over an earlier one of the same name.
    #[must_use]
    pub fn with_receiver(mut self, factory: ReceiverFactory) -> Self {
        self.receivers.insert(0, factory);
        self
    }

    /// Adds a processor; it wins over an earlier one of the same name.
    #[must_use]
    pub fn with_processor(mut self, factory: ProcessorFactory) -> Self {
        self.processors.insert(0, factory);
        self
    }

    /// Adds an exporter; it wins over an earlier one of the same name.
    #[must_use]
    pub fn with_exporter(mut self, factory: ExporterFactory) -> Self {
        self.exporters.insert(0, factory);
        self
    }

    /// Adds the extensions of a list, behind those that are there.
    #[must_use]
    pub fn with_extensions(mut self, factories: &[ExtensionFactory]) -> Self {
        self.extensions.extend(factories);
        self
    }

    /// Adds an extension; it wins over an earlier one of the same name.
    #[must_use]
    pub fn with_extension(mut self, factory: ExtensionFactory) -> Self {
        self.extensions.insert(0, factory);
        self
    }

    /// The receivers, in the order of the manual.
    #[must_use]
    pub fn receivers(&self) -> &[ReceiverFactory] {
        &self.receivers
    }

    /// The processors, in the order of the manual.
    #[must_use]
    pub fn processors(&self) -> &[ProcessorFactory] {
        &self.processors
    }

    /// The exporters, in the order of the manual.
    #[must_use]
    pub fn exporters(&self) -> &[ExporterFactory] {
        &self.exporters
    }

    /// The extensions, in the order of the manual.
    #[must_use]
    pub fn extensions(&self) -> &[ExtensionFactory] {
        &self.extensions
    }
}

/// A parsed settings value that can make its receiver.
pub(crate) trait BuildReceiver: Send + Sync {
    fn build(&self, cx: &Context) -> Result<Box<dyn Receiver>, BuildError>;
}

/// A parsed settings value that can make its processor, once a lane.
pub(crate) trait BuildProcessor: Send + Sync {
    fn build(&self, cx: &Context) -> Result<Box<dyn Processor>, BuildError>;
    fn state(&self) -> State;
    fn is_lossy(&self) -> bool;
}

/// A parsed settings value that can make its exporter.
pub(crate) trait BuildExporter: Send + Sync {
    fn build(&self, cx: &Context) -> Result<Box<dyn Exporter>, BuildError>;
}

/// A parsed settings value that can make its extension.
pub(crate) trait BuildExtension: Send + Sync {
    fn build(&self, cx: &Context) -> Result<Extension, BuildError>;
}

impl<C: ReceiverConfig> BuildReceiver for C {
    fn build(&self, cx: &Context) -> Result<Box<dyn Receiver>, BuildError> {
        Ok(Box::new(ReceiverConfig::build(self, cx)?))
    }
}

impl<C: ProcessorConfig> BuildProcessor for C {
    fn build(&self, cx: &Context) -> Result<Box<dyn Processor>, BuildError> {
        Ok(Box::new(ProcessorConfig::build(self, cx)?))
    }

    fn state(&self) -> State {
        ProcessorConfig::state(self)
    }

    fn is_lossy(&self) -> bool {
        C::LOSSY
    }
}

impl<C: ExporterConfig> BuildExporter for C {
    fn build(&self, cx: &Context) -> Result<Box<dyn Exporter>, BuildError> {
        Ok(Box::new(ExporterConfig::build(self, cx)?))
    }
}

impl<C: ExtensionConfig> BuildExtension for C {
    fn build(&self, cx: &Context) -> Result<Extension, BuildError> {
        ExtensionConfig::build(self, cx)
    }
}
