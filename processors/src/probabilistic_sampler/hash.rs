//! The hash of mode `hash_seed`, bit for bit that of the Collector's `probabilistic_sampler`, so that both decide alike.

use crate::probability::{Randomness, Threshold};

/// The hash has so many bits that count.
const BUCKETS: u32 = 1 << 14;

/// The randomness of some bytes. Its highest 14 bits decide; the rest only has to differ.
pub(super) fn randomness(bytes: &[u8], seed: u32) -> Randomness {
    let hash = fnv1a(seed.to_le_bytes().iter().chain(bytes));
    let bucket = u64::from(hash & (BUCKETS - 1));
    // The Collector keeps low hashes, the specification high randomness.
    let highest = u64::from(BUCKETS - 1) - bucket;
    let unused = u64::from(hash >> 18);
    Randomness::new((highest << 42) | ((unused ^ (unused << 10)) << 14) | bucket)
}

/// The threshold for a fraction, rounded down to whole buckets in single precision, as the Collector does.
pub(super) fn threshold(fraction: f64) -> Threshold {
    let percent = (fraction * 100.0) as f32;
    let kept = (percent * (BUCKETS as f32 / 100.0)) as u32;
    Threshold::new(u64::from(BUCKETS - kept.min(BUCKETS)) << 42)
}

/// FNV-1a with 32 bits (draft-eastlake-fnv).
fn fnv1a<'b>(bytes: impl Iterator<Item = &'b u8>) -> u32 {
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vectors of draft-eastlake-fnv, appendix C.
    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(b"".iter()), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a".iter()), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar".iter()), 0xbf9c_f968);
    }

    #[test]
    fn a_threshold_is_a_whole_number_of_buckets() {
        assert_eq!(threshold(1.0), Threshold::ALWAYS);
        assert_eq!(threshold(0.0), Threshold::NEVER);
        assert_eq!(threshold(0.5).to_string(), "8");
        assert_eq!(threshold(0.15).to_string(), "d99c");
        assert_eq!(threshold(0.00001), Threshold::NEVER);
    }
}
