//! Which content encodings a receiver accepts, and what a request says about its own.

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use super::compression::Encoding;
use super::failure::{Failure, Kind};

/// A name in `content-encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// Bodies as they are.
    #[serde(rename = "")]
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 1950.
    Zlib,
    /// RFC 1950 as well, by the name that HTTP has for it.
    Deflate,
}

/// Accepted names in `content-encoding`.
pub(crate) struct Encodings {
    names: Vec<(&'static str, Encoding)>,
    list: HeaderValue,
}

impl Encodings {
    /// Accepts those that were chosen, or all.
    pub(crate) fn new(chosen: Option<&[Compression]>) -> Self {
        let all = [
            (Compression::Gzip, "gzip", Encoding::Gzip),
            (Compression::Zstd, "zstd", Encoding::Zstd),
            (Compression::Zlib, "zlib", Encoding::Zlib),
            (Compression::Deflate, "deflate", Encoding::Zlib),
        ];
        let wanted = all.into_iter().filter(|(kind, ..)| chosen.is_none_or(|chosen| chosen.contains(kind)));
        let names: Vec<(&'static str, Encoding)> =
            wanted.map(|(_, name, encoding)| (name, encoding)).collect();
        let list: Vec<&str> = names.iter().map(|(name, _)| *name).chain(["identity"]).collect();
        let list = HeaderValue::from_str(&list.join(", "));
        Self { names, list: list.unwrap_or(HeaderValue::from_static("identity")) }
    }

    /// The accepted names in a list, as in `accept-encoding`.
    pub(crate) fn list(&self) -> HeaderValue {
        self.list.clone()
    }

    /// The encoding of a request's body.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Result<Encoding, Failure> {
        let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
        let name = value.as_bytes().trim_ascii();
        if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
            return Ok(Encoding::Identity);
        }
        let found = self.names.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        found.map(|(_, encoding)| *encoding).ok_or_else(|| {
            let list = self.list.to_str().unwrap_or_default();
            let name = String::from_utf8_lossy(name);
            let text = format!("the content encoding `{name}` is not supported; use one of: {list}");
            Failure::new(Kind::Encoding, text)
        })
    }
}
