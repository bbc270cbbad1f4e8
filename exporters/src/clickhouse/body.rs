//! The body of an insert: bytes in, compressed blocks out.
//!
//! Compression is ClickHouse's own (`decompress=1`): blocks with a checksum each, so that a body damaged on the way is
//! refused and not stored. Blocks are made as soon as they are full, while their bytes are still in the processor's
//! cache; what is held uncompressed is one block.
//!
//! Layout of a block, from `src/Compression/CompressedReadBufferBase.cpp` of ClickHouse: CityHash128 of what follows
//! (16 bytes), method (0x82 LZ4, 0x90 ZSTD), size of method, sizes and data (u32), size when decompressed (u32), data.

use bytes::Bytes;
use lz4::block::{CompressionMode, compress_bound, compress_to_buffer};

use super::Compression;

/// Bytes that are compressed together.
const BLOCK: usize = 256 << 10;
/// Method and the two sizes.
const HEADER: usize = 9;
const CHECKSUM: usize = 16;
const ZSTD_LEVEL: i32 = 1;

/// A body in the making.
pub(super) struct Body {
    compression: Compression,
    /// Not compressed yet.
    raw: Vec<u8>,
    done: Vec<u8>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    failure: Option<String>,
}

impl Body {
    pub(super) fn new(compression: Compression) -> Self {
        Self {
            compression,
            raw: Vec::with_capacity(BLOCK + BLOCK / 4),
            done: Vec::new(),
            zstd: None,
            failure: None,
        }
    }

    /// Where bytes are appended; [`Self::settle`] is called now and then.
    pub(super) fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.raw
    }

    /// Compresses what has gathered, if it is enough for a block.
    #[inline]
    pub(super) fn settle(&mut self) {
        if self.raw.len() >= BLOCK {
            self.compress();
        }
    }

    /// Appends bytes of any length.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = BLOCK.saturating_sub(self.raw.len()).max(1);
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.raw.extend_from_slice(now);
            self.settle();
            bytes = later;
        }
    }

    /// The finished body.
    ///
    /// # Errors
    /// Says why the compressor failed, which takes a broken library or no memory.
    pub(super) fn finish(mut self) -> Result<Bytes, String> {
        if !self.raw.is_empty() {
            self.compress();
        }
        match self.failure {
            Some(reason) => Err(reason),
            None => Ok(self.done.into()),
        }
    }

    fn compress(&mut self) {
        if self.compression == Compression::None {
            self.done.append(&mut self.raw);
            return;
        }
        if let Err(reason) = self.compress_block() {
            self.failure.get_or_insert(format!("cannot compress: {reason}"));
        }
        self.raw.clear();
    }

    fn compress_block(&mut self) -> Result<(), std::io::Error> {
        let start = self.done.len();
        let data = start + CHECKSUM + HEADER;
        let (method, bound) = match self.compression {
            Compression::Zstd => (0x90, zstd::zstd_safe::compress_bound(self.raw.len())),
            Compression::Lz4 | Compression::None => (0x82, compress_bound(self.raw.len())?),
        };
        self.done.resize(data + bound, 0);
        let target = self.done.get_mut(data..).unwrap_or_default();
        let written = match self.compression {
            Compression::Zstd => {
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
                };
                zstd.compress_to_buffer(&self.raw, target)?
            }
            Compression::Lz4 | Compression::None => {
                compress_to_buffer(&self.raw, Some(CompressionMode::DEFAULT), false, target)?
            }
        };
        self.done.truncate(data + written);
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let mut header = [0; HEADER];
        header[0] = method;
        header[1..5].copy_from_slice(&size(written + HEADER));
        header[5..].copy_from_slice(&size(self.raw.len()));
        if let Some(place) = self.done.get_mut(start + CHECKSUM..data) {
            place.copy_from_slice(&header);
        }
        let checksum = checksum(self.done.get(start + CHECKSUM..).unwrap_or_default());
        if let Some(place) = self.done.get_mut(start..start + CHECKSUM) {
            place.copy_from_slice(&checksum);
        }
        Ok(())
    }
}

/// CityHash128 of version 1.0.2, which ClickHouse keeps; its later versions differ.
pub(super) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    cityhash_rs::cityhash_102_128(bytes).rotate_left(64).to_le_bytes()
}
