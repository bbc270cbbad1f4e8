//! How much memory telemetry in flight may take when no `memory_limiter` says so.

use watershed_pipeline::{Budget, available_memory};

const MIB: u64 = 1 << 20;
/// The limit is one part of so many of the memory that the process may use, …
const SHARE: u64 = 4;
/// … and never more than this: who wants more can say so.
const LIMIT_MAX: u64 = 4096 * MIB;
/// The limit where the size of the memory is not known.
const LIMIT_UNKNOWN: u64 = 512 * MIB;
/// New requests are taken up to four fifths of the limit; the rest is for what is under way.
const SPIKE_SHARE: u64 = 5;

/// A quarter of the container's limit or of the host's memory, at most 4 GiB; 512 MiB where neither is known.
pub(crate) fn default_budget() -> Budget {
    let hard = limit(available_memory());
    let bytes = |count| usize::try_from(count).unwrap_or(usize::MAX);
    Budget::new(bytes(hard - hard / SPIKE_SHARE), bytes(hard))
}

fn limit(memory: Option<u64>) -> u64 {
    memory.map_or(LIMIT_UNKNOWN, |bytes| (bytes / SHARE).min(LIMIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_give_a_quarter_and_large_ones_are_not_used_up() {
        assert_eq!(limit(Some(2048 * MIB)), 512 * MIB);
        assert_eq!(limit(Some(262_144 * MIB)), 4096 * MIB);
        assert_eq!(limit(None), 512 * MIB);
    }
}
