//! Ids for records that nothing else names: `gen-` and a ULID, whose time is that of the record.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// The digits of Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Digits of a ULID: 10 for the time in milliseconds, 16 for 80 bits of chance.
const LENGTH: usize = 26;
const TIME_BITS_MAX: u64 = (1 << 48) - 1;

/// Makes ids. Chance is a keyed hash of a number that grows; the keys are the operating system's randomness, drawn once
/// for all lanes.
#[derive(Default)]
pub(super) struct Generator {
    keys: [RandomState; 2],
    next: AtomicU64,
}

impl Generator {
    /// A new id for a record of this time, in nanoseconds since the Unix epoch.
    pub(super) fn id(&self, time: u64) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let [high, low] = self.keys.each_ref().map(|key| u128::from(key.hash_one(number)));
        let chance = high << 16 | low >> 48;
        let time = u128::from((time / 1_000_000).min(TIME_BITS_MAX));
        let ulid = time << 80 | chance;
        let digit = |place: usize| {
            let index = (ulid >> (5 * place)) as usize % DIGITS.len();
            char::from(DIGITS.get(index).copied().unwrap_or(b'0'))
        };
        "gen-".chars().chain((0..LENGTH).rev().map(digit)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_and_sort_by_the_time_of_their_records() {
        let generator = Generator::default();
        let ids: HashSet<String> = (0..10_000).map(|_| generator.id(7)).collect();
        assert_eq!(ids.len(), 10_000);
        // The example of the ULID specification: 2016-07-30T23:54:10.259Z.
        let early = generator.id(1_469_922_850_259_000_000);
        assert!(early.starts_with("gen-01ARZ3NDEK") && early.len() == 30, "{early}");
        assert!(early < generator.id(1_469_922_850_260_000_000));
        assert!(generator.id(u64::MAX) > early);
    }
}
