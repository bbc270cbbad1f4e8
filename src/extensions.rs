//! What helps without touching data: the sections under `extensions`.
//!
//! The only one is `health_check`. Like in the Collector it is configured under `extensions` and switched on by
//! its name in `service.extensions`.

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{ConfigError, Document, Endpoint, suggest};

/// Types of extensions that are available.
const AVAILABLE: [&str; 1] = [HealthCheck::TYPE];

/// Answers whether the process works: 200 when it is ready for data, 503 while it starts or stops.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HealthCheck {
    /// The address to listen on. Default `localhost:13133`.
    pub(crate) endpoint: Endpoint,
    /// The path of the page. Default `/`.
    pub(crate) path: String,
    /// A text to answer with instead of JSON with status and uptime. Default none.
    pub(crate) response_body: Option<String>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { endpoint: Endpoint::new("localhost", 13133), path: "/".into(), response_body: None }
    }
}

impl HealthCheck {
    pub(crate) const TYPE: &str = "health_check";
}

/// Reads every extension, also those that are not switched on, and gives those that are.
pub(crate) fn read(document: &Document, errors: &mut Vec<ConfigError>) -> Vec<HealthCheck> {
    let mut switched_on = Vec::new();
    for (id, section) in &document.extensions {
        if id.kind() != HealthCheck::TYPE {
            errors.push(section.error_at("", unavailable(id.kind())));
            continue;
        }
        match section.read::<HealthCheck>() {
            Ok(health) if !health.path.starts_with('/') => {
                let message =
                    format!("`{}` does not begin with `/`; write for instance `/health`", health.path);
                errors.push(section.error_at("path", message));
            }
            Ok(health) if document.service.extensions.iter().any(|on| on.value == *id) => {
                switched_on.push(health)
            }
            Ok(_) => {}
            Err(mistakes) => errors.extend(mistakes),
        }
    }
    switched_on
}

fn unavailable(kind: &str) -> String {
    match suggest(kind, AVAILABLE) {
        Some(near) => format!("unknown type of extension `{kind}`; did you mean `{near}`?"),
        None => format!(
            "the extension `{kind}` is not available; remove it here and from `service.extensions`; available: {}",
            AVAILABLE.join(", ")
        ),
    }
}
