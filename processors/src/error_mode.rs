//! The option `error_mode` of components with conditions or statements.

use schemars::JsonSchema;
use serde::Deserialize;

/// What happens when something can't be evaluated for a record. A condition always can; a statement may fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorMode {
    /// Goes on, and counts it.
    #[default]
    Ignore,
    /// The same; the Collector logs with `ignore` and does not with this.
    Silent,
    /// Refuses the batch: its sender is told.
    Propagate,
}
