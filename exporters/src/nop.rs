//! Discards everything: for measuring, and for trying out what stands before it.
//!
//! ```yaml
//! nop:
//! ```
//!
//! Signals: all. Loss: all, by intent; the engine counts the items as sent. Memory: none.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{Batch, Context, ExportError, Exporter, ExporterConfig, Reach};

/// There is nothing to set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {}

impl ExporterConfig for Config {
    const TYPE: &'static str = "nop";
    const SOURCE: &'static str = include_str!("nop.rs");
    const REACH: Reach = Reach::Local;
    type Exporter = Nop;

    fn build(&self, _cx: &Context) -> Result<Nop, BuildError> {
        Ok(Nop)
    }
}

/// Takes every batch and does nothing with it.
pub(crate) struct Nop;

#[async_trait]
impl Exporter for Nop {
    async fn export(&self, _batch: &Batch) -> Result<(), ExportError> {
        Ok(())
    }
}
