//! Text to checked document: the configuration of a pipeline, read so that every mistake can be acted on.
//!
//! [`load`] takes files, environment overrides and `--set` arguments, lays them over each other, expands
//! `${env:NAME}` and answers with a [`Document`] whose structure is right, or with *all* mistakes at once, each
//! with file, line, column and a suggestion. The settings of one component stay an untyped [`Section`] until the
//! component asks for its own type with [`Section::read`], which reports all mistakes of that section at once.
//!
//! This crate is the only one that knows YAML and the environment. It refuses to know the names of components,
//! what a setting means, and anything that runs: it has no task, no clock and no network.
//!
//! Read the files in this order:
//!
//! 1. `document.rs`: what comes out; `id.rs`: how components and pipelines are named.
//! 2. `load.rs`: the steps from text to document, one call each; `source.rs`: where text comes from.
//! 3. `node.rs`: the tree in which every value knows its place; `yaml.rs`: how text becomes that tree.
//! 4. `layer.rs`: how layers are merged; `interpolate.rs`: how `${…}` is expanded.
//! 5. `structure.rs`: the rules that every document obeys.
//! 6. `section.rs`, `read.rs`, `deserialize.rs`, `alternatives.rs`, `problem.rs`: from a tree to a component's type, with all mistakes.
//! 7. `error.rs`, `suggest.rs`, `effective.rs`: what people get to see.
//! 8. `types/`: values with a meaning (sizes, periods, addresses), one file each.

mod alternatives;
mod deserialize;
mod document;
mod effective;
mod error;
mod id;
mod interpolate;
mod layer;
mod load;
mod node;
mod problem;
mod read;
mod section;
mod source;
mod structure;
mod suggest;
mod types;
mod yaml;

pub use document::{Document, Located, Pipeline, Service};
pub use error::{BuildError, ConfigError, ConfigErrors, ConfigWarning, Origin};
pub use id::{ComponentId, PipelineId, Signal};
pub use load::{Loaded, load};
pub use section::Section;
pub use source::{Source, Sources, process_environment};
pub use suggest::suggest;
pub use types::{ByteSize, Endpoint, NonEmpty, Percentage, Period, Secret, ServerUrl};
