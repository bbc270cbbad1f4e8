//! Operators (compile placeholder).
use super::keys::Moment;
use super::stats::Stats;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::parse::Zone;
use watershed_pipeline::{BatchBuilder, LogRecord};
/// An operator.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operator {}
pub(super) struct Chain;
#[derive(Default)]
pub(super) struct Held;
impl Held {
    pub(super) fn is_holding(&self) -> bool {
        false
    }
}
impl Chain {
    pub(super) fn compile(_: &[Operator], _: &Zone) -> Result<Self, BuildError> {
        Ok(Self)
    }
    pub(super) fn run(
        &self,
        _: LogRecord<'_>,
        _: Moment<'_>,
        _: &mut Held,
        _: &mut Stats,
        _: &mut BatchBuilder,
    ) {
    }
    pub(super) fn flush(&self, _: Moment<'_>, _: &mut Held, _: &mut Stats, _: &mut BatchBuilder) {}
}
