//! The option `error_mode` of components with conditions.

use schemars::JsonSchema;
use serde::Deserialize;

/// What the Collector does when a condition can't be evaluated. Here every mistake is found when it is read.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorMode {
    /// Goes on and logs.
    #[default]
    Ignore,
    /// Goes on.
    Silent,
    /// Drops the batch.
    Propagate,
}
