//! Bodies made smaller before they are sent.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;

/// How bodies are made smaller.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// The one that every receiver understands.
    #[default]
    Gzip,
    /// Smaller and several times faster than gzip.
    Zstd,
    /// The zlib format, which HTTP calls `deflate`.
    #[serde(alias = "zlib")]
    Deflate,
    /// As it is: least work for both sides, most bytes between them.
    #[serde(alias = "")]
    None,
}

/// How hard to try.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompressionParameters {
    /// From 1 (fast) to 9 (small); for zstd to 22. Default 1: telemetry repeats itself so much that more brings little.
    level: Option<i32>,
}

/// Compressors that are kept for the next body: making one costs more than a small body does.
pub(crate) struct Compressor {
    kind: Compression,
    level: i32,
    idle: Mutex<Vec<Engine>>,
}

enum Engine {
    Deflate(libdeflater::Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    /// Checks the level.
    ///
    /// # Errors
    /// Names the levels that there are.
    pub(crate) fn new(kind: Compression, parameters: CompressionParameters) -> Result<Self, BuildError> {
        let level = parameters.level.unwrap_or(1);
        let most = if kind == Compression::Zstd { 22 } else { 9 };
        if !(1..=most).contains(&level) {
            let message = format!("{level} is no level of this compression; use 1 to {most}");
            return Err(BuildError::at("compression_params.level", message));
        }
        Ok(Self { kind, level, idle: Mutex::new(Vec::new()) })
    }

    /// The value of `content-encoding` or `grpc-encoding`; nothing if bodies stay as they are.
    pub(crate) fn encoding(&self) -> Option<&'static str> {
        match self.kind {
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
            Compression::Deflate => Some("deflate"),
            Compression::None => None,
        }
    }

    /// The body as it is sent. Without compression it is the same bytes, not a copy.
    ///
    /// # Errors
    /// Only if memory runs short inside the compressor.
    pub(crate) fn compress(&self, body: Bytes) -> Result<Bytes, String> {
        if self.kind == Compression::None {
            return Ok(body);
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut engine = match idle {
            Some(engine) => engine,
            None => self.engine()?,
        };
        let compressed = engine.run(self.kind, &body)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
        Ok(compressed.into())
    }

    fn engine(&self) -> Result<Engine, String> {
        if self.kind == Compression::Zstd {
            let made = zstd::bulk::Compressor::new(self.level);
            return made.map(Engine::Zstd).map_err(|error| error.to_string());
        }
        let level = libdeflater::CompressionLvl::new(self.level).unwrap_or_default();
        Ok(Engine::Deflate(libdeflater::Compressor::new(level)))
    }
}

impl Engine {
    fn run(&mut self, kind: Compression, body: &[u8]) -> Result<Vec<u8>, String> {
        let compressor = match self {
            Self::Zstd(compressor) => return compressor.compress(body).map_err(|error| error.to_string()),
            Self::Deflate(compressor) => compressor,
        };
        let mut out = Vec::new();
        let written = if kind == Compression::Gzip {
            out.resize(compressor.gzip_compress_bound(body.len()), 0);
            compressor.gzip_compress(body, &mut out)
        } else {
            out.resize(compressor.zlib_compress_bound(body.len()), 0);
            compressor.zlib_compress(body, &mut out)
        };
        out.truncate(written.map_err(|error| error.to_string())?);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressor(kind: Compression) -> Compressor {
        Compressor::new(kind, CompressionParameters::default()).unwrap()
    }

    #[test]
    fn bodies_can_be_read_back() {
        let body = Bytes::from("telemetry repeats itself ".repeat(50));
        for kind in [Compression::Gzip, Compression::Deflate, Compression::Zstd, Compression::None] {
            let compressed = compressor(kind).compress(body.clone()).unwrap();
            let mut plain = vec![0; body.len()];
            let mut inflate = libdeflater::Decompressor::new();
            match kind {
                Compression::Gzip => drop(inflate.gzip_decompress(&compressed, &mut plain).unwrap()),
                Compression::Deflate => drop(inflate.zlib_decompress(&compressed, &mut plain).unwrap()),
                Compression::Zstd => plain = zstd::bulk::decompress(&compressed, body.len()).unwrap(),
                Compression::None => plain.copy_from_slice(&compressed),
            }
            assert_eq!(plain, body, "{kind:?}");
            assert!(kind == Compression::None || compressed.len() < 150, "{kind:?}: {}", compressed.len());
        }
    }

    #[test]
    fn without_compression_nothing_is_copied() {
        let body = Bytes::from_static(b"as it is");
        assert_eq!(compressor(Compression::None).compress(body.clone()).unwrap().as_ptr(), body.as_ptr());
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused() {
        let error =
            Compressor::new(Compression::Gzip, CompressionParameters { level: Some(10) }).err().unwrap();
        assert_eq!(
            error.to_string(),
            "compression_params.level: 10 is no level of this compression; use 1 to 9"
        );
    }
}
