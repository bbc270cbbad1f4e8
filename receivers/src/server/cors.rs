//! Lets pages of other origins send telemetry from a browser (Fetch standard, "CORS protocol").

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};
use schemars::JsonSchema;
use serde::Deserialize;

use super::failure::{Failure, Kind};

/// Which pages may send telemetry from a browser.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CorsSettings {
    /// Origins that may send, such as `https://shop.example` or `https://*.example`; `*` alone allows every origin.
    /// Default none, which means that no page of another origin may.
    pub(crate) allowed_origins: Vec<String>,
    /// Request headers that a page may set beside `Accept`, `Content-Type` and `X-Requested-With`, which it always
    /// may; `*` allows all. Default none.
    pub(crate) allowed_headers: Vec<String>,
    /// Response headers that a page may read. Default none.
    pub(crate) exposed_headers: Vec<String>,
    /// How long a browser may remember the permission, in seconds. Default 0, which leaves it to the browser.
    pub(crate) max_age: u32,
}

/// Prepared answers to browsers.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<String>,
    headers: HeaderValue,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

impl Cors {
    /// Prepares the answers; says which name cannot be a header.
    pub(crate) fn new(settings: &CorsSettings) -> Result<Self, String> {
        let listed = |names: &[String]| {
            let text = names.join(", ");
            HeaderValue::from_str(&text).map_err(|_| format!("`{text}` cannot stand in a header"))
        };
        let always = ["Accept", "Content-Type", "X-Requested-With"].map(str::to_owned);
        let names: Vec<String> = always.into_iter().chain(settings.allowed_headers.iter().cloned()).collect();
        let exposed = &settings.exposed_headers;
        Ok(Self {
            origins: settings.allowed_origins.iter().map(|origin| origin.to_ascii_lowercase()).collect(),
            headers: listed(&names)?,
            exposed: if exposed.is_empty() { None } else { Some(listed(exposed)?) },
            max_age: (settings.max_age > 0).then(|| settings.max_age.into()),
        })
    }

    /// Whether a request only asks for permission.
    pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        method == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Refuses requests from pages of other origins that may not send. A browser sends a simple request without asking
    /// first, and only hides the answer from the page.
    pub(crate) fn check(cors: Option<&Self>, request: &HeaderMap) -> Result<(), Failure> {
        let Some(origin) = request.get(ORIGIN) else { return Ok(()) };
        let host = request.get(HOST).map(HeaderValue::as_bytes);
        let own = origin.as_bytes().split(|byte| *byte == b'/').nth(2);
        if cors.is_some_and(|cors| cors.allows(origin)) || (own.is_some() && own == host) {
            return Ok(());
        }
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let text = format!("pages of `{origin}` may not send; add it to `cors.allowed_origins`");
        Err(Failure::new(Kind::Origin, text))
    }

    /// Adds to an answer what the browser wants to read there.
    pub(crate) fn allow(&self, request: &HeaderMap, is_preflight: bool, answer: &mut HeaderMap) {
        answer.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = request.get(ORIGIN) else { return };
        if self.origins.iter().any(|allowed| allowed == "*") {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else if self.allows(origin) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        } else {
            return;
        }
        if is_preflight {
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            answer.extend(self.max_age.clone().map(|seconds| (ACCESS_CONTROL_MAX_AGE, seconds)));
        } else {
            answer.extend(self.exposed.clone().map(|names| (ACCESS_CONTROL_EXPOSE_HEADERS, names)));
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        self.origins.iter().any(|pattern| matches(pattern, &origin))
    }
}

/// Whether a text is what a pattern says, where `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut pieces = rest.split('*');
    let last = pieces.next_back().unwrap_or_default();
    for piece in pieces {
        match text.split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "https://a.example.evil", false),
            ("https://*.example", "https://a.b.example", true),
            ("https://*.example", "http://a.example", false),
            ("https://*.a*b", "https://x.azzb", true),
            ("https://*.ab*b", "https://x.ab", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
