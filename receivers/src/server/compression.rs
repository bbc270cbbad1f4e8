//! Decompresses whole bodies with one-shot decoders. Memory is reserved before it is taken, and capped.

use std::io::{self, Read as _};

use libdeflater::{DecompressionError, Decompressor};
use watershed_pipeline::{BudgetExceeded, Reservation};

/// DEFLATE cannot expand more than this: RFC 1951 allows 258 bytes for two bits.
const DEFLATE_RATIO_MAX: usize = 1032;
/// The smallest output buffer.
const OUTPUT_MIN: usize = 4 << 10;
/// The largest zstd window that we keep, as a power of two: the 8 MiB that RFC 8878 recommends.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952, one member.
    Gzip,
    /// RFC 1950, which HTTP calls `deflate`.
    Zlib,
    /// RFC 8878.
    Zstd,
    /// The block format of snappy, without frames.
    Snappy,
}

/// Why a body could not be decompressed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecompressError {
    /// There is no memory for it.
    #[error(transparent)]
    Memory(#[from] BudgetExceeded),
    /// It would become larger than allowed.
    #[error(
        "the request body is larger than {limit} bytes after decompression; send smaller batches or raise the limit"
    )]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// It is not what it claims to be.
    #[error("the request body is not valid {encoding}: {problem}")]
    Invalid {
        /// The name of the encoding.
        encoding: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl From<io::Error> for DecompressError {
    /// Only the decoder of zstd speaks of input and output; there is none.
    fn from(error: io::Error) -> Self {
        invalid("zstd", error.to_string())
    }
}

/// Decompresses `input` to at most `limit` bytes. `reservation` grows by what the output takes.
pub(crate) fn decompress(
    encoding: Encoding,
    input: &[u8],
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Vec<u8>, DecompressError> {
    let output = Output { limit, base: reservation.bytes(), reservation };
    match encoding {
        Encoding::Identity => Ok(input.to_vec()),
        Encoding::Gzip => gzip(input, output),
        Encoding::Zlib => zlib(input, output),
        Encoding::Zstd => zstd(input, output),
        Encoding::Snappy => snappy(input, output),
    }
}

/// Hands out output buffers within the limit and the memory.
struct Output<'r> {
    limit: usize,
    base: usize,
    reservation: &'r mut Reservation,
}

impl Output<'_> {
    fn reserve(&mut self, capacity: usize) -> Result<(), DecompressError> {
        Ok(self.reservation.resize(self.base.saturating_add(capacity))?)
    }

    fn too_large(&self) -> DecompressError {
        DecompressError::TooLarge { limit: self.limit }
    }
}

fn invalid(encoding: &'static str, problem: impl Into<String>) -> DecompressError {
    DecompressError::Invalid { encoding, problem: problem.into() }
}

fn gzip(input: &[u8], output: Output<'_>) -> Result<Vec<u8>, DecompressError> {
    // The trailer is the CRC and the length of the data, modulo 2^32.
    let (checksum, length) = match input.last_chunk::<8>() {
        Some(&[a, b, c, d, e, f, g, h]) => {
            (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
        }
        None => return Err(invalid("gzip", "it is shorter than a header")),
    };
    let data = deflate("gzip", input, length as usize, output, |decompressor, buffer| {
        decompressor.gzip_decompress(input, buffer)
    })?;
    // The decoder stops after the first member; what is behind it must not be lost in silence.
    if data.len() as u32 != length || libdeflater::crc32(&data) != checksum {
        return Err(invalid("gzip", "there is more data behind the first member; send one member"));
    }
    Ok(data)
}

fn zlib(input: &[u8], output: Output<'_>) -> Result<Vec<u8>, DecompressError> {
    deflate("zlib", input, input.len().saturating_mul(4), output, |decompressor, buffer| {
        decompressor.zlib_decompress(input, buffer)
    })
}

/// Decompresses into a buffer of the expected length, and into larger ones if that was too short.
fn deflate(
    encoding: &'static str,
    input: &[u8],
    expected: usize,
    mut output: Output<'_>,
    decode: impl Fn(&mut Decompressor, &mut [u8]) -> Result<usize, DecompressionError>,
) -> Result<Vec<u8>, DecompressError> {
    let most = input.len().saturating_mul(DEFLATE_RATIO_MAX).clamp(1, output.limit.max(1));
    let mut capacity = expected.clamp(1, most);
    let mut decompressor = Decompressor::new();
    loop {
        output.reserve(capacity)?;
        let mut buffer = vec![0; capacity];
        match decode(&mut decompressor, &mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(DecompressionError::BadData) => return Err(invalid(encoding, "it is damaged or cut off")),
            Err(DecompressionError::InsufficientSpace) if capacity == output.limit => {
                return Err(output.too_large());
            }
            Err(DecompressionError::InsufficientSpace) if capacity == most => {
                return Err(invalid(encoding, "it is damaged or cut off"));
            }
            Err(DecompressionError::InsufficientSpace) => {
                capacity = capacity.saturating_mul(4).max(OUTPUT_MIN).min(most);
            }
        }
    }
}

fn zstd(input: &[u8], mut output: Output<'_>) -> Result<Vec<u8>, DecompressError> {
    let declared = zstd::zstd_safe::get_frame_content_size(input).ok().flatten();
    let Some(declared) = declared.map(|length| usize::try_from(length).unwrap_or(usize::MAX)) else {
        return zstd_stream(input, output);
    };
    if declared > output.limit {
        return Err(output.too_large());
    }
    output.reserve(declared)?;
    match zstd::bulk::decompress(input, declared) {
        Ok(data) => Ok(data),
        // Perhaps there are more frames behind the first.
        Err(_) => zstd_stream(input, output),
    }
}

/// Decompresses frames that do not say how long they are.
fn zstd_stream(input: &[u8], mut output: Output<'_>) -> Result<Vec<u8>, DecompressError> {
    let mut decoder = zstd::Decoder::with_buffer(input)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    let mut data = Vec::new();
    let mut capacity = input.len().saturating_mul(4).max(OUTPUT_MIN).min(output.limit);
    loop {
        output.reserve(capacity)?;
        data.reserve_exact(capacity - data.len());
        // One byte more than there may be shows that there is more.
        let room = (capacity - data.len()) as u64 + u64::from(capacity == output.limit);
        let read = decoder.by_ref().take(room).read_to_end(&mut data)?;
        if (read as u64) < room {
            return Ok(data);
        }
        if data.len() > output.limit {
            return Err(output.too_large());
        }
        capacity = capacity.saturating_mul(2).min(output.limit);
    }
}

fn snappy(input: &[u8], mut output: Output<'_>) -> Result<Vec<u8>, DecompressError> {
    let wrong = |error: snap::Error| invalid("snappy", error.to_string());
    let length = snap::raw::decompress_len(input).map_err(wrong)?;
    if length > output.limit {
        return Err(output.too_large());
    }
    output.reserve(length)?;
    snap::raw::Decoder::new().decompress_vec(input).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use libdeflater::{CompressionLvl, Compressor};
    use proptest::prelude::*;
    use watershed_pipeline::Budget;

    use super::*;

    const ALL: [Encoding; 4] = [Encoding::Gzip, Encoding::Zlib, Encoding::Zstd, Encoding::Snappy];

    fn compressed(encoding: Encoding, data: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let mut out = vec![0; compressor.gzip_compress_bound(data.len())];
        let length = match encoding {
            Encoding::Gzip => compressor.gzip_compress(data, &mut out).unwrap(),
            Encoding::Zlib => compressor.zlib_compress(data, &mut out).unwrap(),
            Encoding::Zstd => return zstd::stream::encode_all(data, 1).unwrap(),
            Encoding::Snappy => return snap::raw::Encoder::new().compress_vec(data).unwrap(),
            Encoding::Identity => return data.to_vec(),
        };
        out.truncate(length);
        out
    }

    fn within(
        encoding: Encoding,
        input: &[u8],
        limit: usize,
        memory: usize,
    ) -> Result<Vec<u8>, DecompressError> {
        let budget = Budget::new(memory, memory);
        let mut reservation = budget.admit(0).unwrap();
        let output = decompress(encoding, input, limit, &mut reservation)?;
        assert!(output.len() <= limit && output.capacity() <= reservation.bytes());
        Ok(output)
    }

    proptest! {
        #[test]
        fn property_data_comes_back_up_to_the_limit_and_not_beyond(
            data in prop::collection::vec(0..4_u8, 1..20_000),
        ) {
            for encoding in ALL {
                let input = compressed(encoding, &data);
                prop_assert_eq!(within(encoding, &input, data.len(), 1 << 20).unwrap(), data.clone());
                let limit = data.len() - 1;
                let refused = within(encoding, &input, limit, 1 << 20);
                prop_assert_eq!(refused, Err(DecompressError::TooLarge { limit }), "{:?}", encoding);
            }
        }

        #[test]
        fn property_damaged_data_never_panics_and_stays_within_the_limit(
            data in prop::collection::vec(0..4_u8, 0..2000), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            for encoding in ALL {
                let mut input = compressed(encoding, &data);
                let position = at.index(input.len());
                drop(within(encoding, &input[..position], 1000, 1 << 20));
                input[position] = byte;
                drop(within(encoding, &input, 1000, 1 << 20));
                drop(within(encoding, &data, 1000, 1 << 20));
            }
        }
    }

    #[test]
    fn the_memory_limit_holds_for_what_comes_out() {
        let data = vec![0; 100_000];
        for encoding in ALL {
            let refused = within(encoding, &compressed(encoding, &data), 1 << 20, 50_000);
            assert!(matches!(refused, Err(DecompressError::Memory(_))), "{encoding:?}");
        }
    }
}
