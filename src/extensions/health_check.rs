//! Answers whether the process works: 200 when it is ready for data, 503 while it starts or stops.
//!
//! ```yaml
//! health_check:
//!   endpoint: localhost:13133
//!   path: /health
//! ```
//!
//! Offers nothing to other components. Without `response_body` the answer is JSON with status and uptime.

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Endpoint};
use watershed_pipeline::{Context, Extension, ExtensionConfig};

/// Settings of the extension.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The address to listen on. Default `localhost:13133`.
    pub(crate) endpoint: Endpoint,
    /// The path of the page. Default `/`.
    pub(crate) path: String,
    /// A text to answer with instead of JSON with status and uptime. Default none.
    pub(crate) response_body: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { endpoint: Endpoint::new("localhost", 13133), path: "/".into(), response_body: None }
    }
}

impl ExtensionConfig for Config {
    const TYPE: &'static str = "health_check";
    const SOURCE: &'static str = include_str!("health_check.rs");

    fn build(&self, _cx: &Context) -> Result<Extension, BuildError> {
        if self.path.starts_with('/') {
            return Ok(Extension::new());
        }
        let problem = format!("`{}` does not begin with `/`; write for instance `/health`", self.path);
        Err(BuildError::at("path", problem))
    }
}
