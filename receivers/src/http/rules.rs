//! The settings, checked and prepared for the requests.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use watershed_config::BuildError;
use watershed_pipeline::Context;

use super::client::Network;
use super::keys::Keys;
use super::preset::Preset;
use super::records::Limits;
use super::{BODY_MAX, Config};
use crate::server::auth::Guard;
use crate::server::cors::{Cors, CorsSettings};
use crate::server::encodings::Encodings;
use crate::server::settings::{header_map, limited};

/// Headers that a page may always set: those that this receiver reads.
const PAGE_HEADERS: [&str; 5] =
    ["X-API-Key", "X-Correlation-ID", "X-Request-ID", "X-Trace-Id", "traceparent"];

/// How requests are answered.
pub(super) struct Rules {
    pub(super) path: String,
    pub(super) health_path: String,
    pub(super) presets: Vec<Preset>,
    pub(super) keys: Keys,
    pub(super) limits: Limits,
    pub(super) form_field: String,
    pub(super) client_address: bool,
    pub(super) trusted_proxies: Vec<Network>,
    pub(super) body_max: usize,
    pub(super) encodings: Encodings,
    pub(super) cors: Option<Cors>,
    pub(super) guard: Guard,
    pub(super) response_headers: HeaderMap,
    pub(super) read_timeout: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
}

impl Rules {
    /// Checks what concerns several settings.
    pub(super) fn new(config: &Config, cx: &Context) -> Result<Self, BuildError> {
        let at = |setting: &'static str| move |problem: String| BuildError::at(setting, problem);
        if config.presets.is_empty() {
            let text = "must name at least one kind of client; without any, nothing can be received";
            return Err(BuildError::at("presets", text));
        }
        if config.max_records == 0 {
            return Err(BuildError::at("max_records", "must be 1 or more; no request could be taken"));
        }
        if config.auth.is_some() && !config.keys.is_empty() {
            return Err(BuildError::at("keys", "can't be set beside `auth`; remove one"));
        }
        let (path, health_path) = (rooted(&config.path), rooted(&config.health_path));
        if path == health_path {
            let text = format!("`{path}` is already the path of logs; choose another one");
            return Err(BuildError::at("health_path", text));
        }
        let body_max = Some(config.max_request_body_size).filter(|size| size.bytes() > 0);
        Ok(Self {
            path,
            health_path,
            presets: config.presets.clone(),
            keys: Keys::new(&config.keys)?,
            limits: Limits { records_max: config.max_records, is_partial: config.partial },
            form_field: config.form_field.clone(),
            client_address: config.client_address,
            trusted_proxies: config.trusted_proxies.clone(),
            body_max: body_max.unwrap_or(BODY_MAX).as_usize(),
            encodings: Encodings::new(config.compression_algorithms.as_deref()),
            cors: config.cors.as_ref().map(cors).transpose().map_err(at("cors"))?,
            guard: Guard::new(config.auth.as_ref(), config.include_metadata, cx, "auth")?,
            response_headers: header_map(&config.response_headers).map_err(at("response_headers"))?,
            read_timeout: limited(config.read_timeout),
            write_timeout: limited(config.write_timeout),
        })
    }

    /// How a client can say who it is.
    pub(super) fn challenge(&self) -> HeaderValue {
        self.guard.challenge().cloned().unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// A path with the slash before it that may be left out.
fn rooted(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

fn cors(settings: &CorsSettings) -> Result<Cors, String> {
    let mut settings = settings.clone();
    settings.allowed_headers.extend(PAGE_HEADERS.map(str::to_owned));
    settings.exposed_headers.push("X-Correlation-ID".to_owned());
    Cors::new(&settings)
}
