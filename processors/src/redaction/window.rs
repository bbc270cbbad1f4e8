//! The one pass over every text: finds the places at which a rule could match, for all rules at once.
//!
//! Each kind of candidate is described by four bytes in a row, each from a set: four digits for a card, `eyJ` and a letter
//! for a token. For each byte a table says in which of sixteen buckets it may stand first, second, third and fourth; three
//! ANDs of neighbouring entries leave the buckets whose window ends here. So the pass costs the same for one rule and for
//! sixteen, has no branch while nothing is found, and cannot take more than linear time.

/// Kinds of candidates that one filter tells apart.
pub(super) const BUCKETS: usize = 16;
/// Bytes of a window.
pub(super) const WIDTH: usize = 4;

/// A set of bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct ByteSet([u128; 2]);

impl ByteSet {
    pub(super) const ANY: Self = Self([u128::MAX; 2]);

    /// The bytes for which `is_in` says so.
    pub(super) fn of(is_in: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        (0..=255).filter(|byte| is_in(*byte)).for_each(|byte| set.add(byte));
        set
    }

    /// The bytes of a text.
    pub(super) fn any_of(bytes: &[u8]) -> Self {
        Self::of(|byte| bytes.contains(&byte))
    }

    pub(super) fn add(&mut self, byte: u8) {
        let half = usize::from(byte >> 7);
        if let Some(bits) = self.0.get_mut(half) {
            *bits |= 1 << (byte & 127);
        }
    }

    pub(super) fn add_all(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(bits, more)| *bits |= more);
    }

    pub(super) fn contains(self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 7)).is_some_and(|bits| bits >> (byte & 127) & 1 == 1)
    }
}

/// The windows of all rules, as one table.
pub(super) struct Filter {
    /// Of each byte four lanes of sixteen buckets: those in which it may be the first, second, third, fourth byte.
    table: Box<[u64; 256]>,
}

impl Filter {
    pub(super) fn new() -> Self {
        Self { table: Box::new([0; 256]) }
    }

    /// Adds a window to a bucket. Several windows of a bucket widen each other: more candidates, never fewer.
    pub(super) fn add(&mut self, bucket: usize, window: [ByteSet; WIDTH]) {
        for (lane, set) in window.into_iter().enumerate() {
            for (byte, entry) in (0_u8..=255).zip(self.table.iter_mut()) {
                if set.contains(byte) {
                    *entry |= 1 << (lane * BUCKETS + bucket);
                }
            }
        }
    }

    /// Calls `visit` with each position at which a window begins, and the buckets it may belong to, in order.
    #[inline]
    pub(super) fn scan(&self, text: &[u8], mut visit: impl FnMut(usize, u16)) {
        let (blocks, rest) = text.as_chunks::<8>();
        let mut window = Window::default();
        let mut begin = 0;
        for block in blocks {
            let found = block.iter().fold(0, |found, byte| found | window.push(self.entry(*byte)));
            if found != 0 {
                self.confirm(text, begin, &mut visit);
            }
            begin += block.len();
        }
        let found = rest.iter().fold(0, |found, byte| found | window.push(self.entry(*byte)));
        if found != 0 {
            self.confirm(text, begin, &mut visit);
        }
    }

    fn entry(&self, byte: u8) -> u64 {
        self.table.get(usize::from(byte)).copied().unwrap_or_default()
    }

    /// Finds which of the windows that end in the block at `begin` it was.
    #[cold]
    fn confirm(&self, text: &[u8], begin: usize, visit: &mut impl FnMut(usize, u16)) {
        let first = begin.saturating_sub(WIDTH - 1);
        let end = (begin + 8).min(text.len());
        let mut window = Window::default();
        for (position, byte) in text.get(first..end).unwrap_or_default().iter().enumerate() {
            let found = window.push(self.entry(*byte));
            if found != 0 && first + position >= begin {
                visit(first + position + 1 - WIDTH, found as u16);
            }
        }
    }
}

/// The last bytes, as entries of the table: one alone, and two pairs.
#[derive(Default)]
struct Window {
    last: u64,
    pair: u64,
    pair_before: u64,
}

impl Window {
    /// Moves on by a byte; the buckets of which a window ends with it. The upper lanes of the result are zero.
    #[inline]
    fn push(&mut self, entry: u64) -> u64 {
        let pair = self.last & (entry >> BUCKETS);
        let found = self.pair_before & (pair >> (2 * BUCKETS));
        self.pair_before = self.pair;
        self.pair = pair;
        self.last = entry;
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(windows: &[(usize, [ByteSet; WIDTH])], text: &[u8]) -> Vec<(usize, u16)> {
        let at = |position: usize| {
            let bytes = &text[position..position + WIDTH];
            let fits =
                |window: &[ByteSet; WIDTH]| window.iter().zip(bytes).all(|(set, byte)| set.contains(*byte));
            windows.iter().filter(|(_, window)| fits(window)).fold(0, |all, (bucket, _)| all | 1 << bucket)
        };
        let positions = 0..(text.len() + 1).saturating_sub(WIDTH);
        positions.map(|position| (position, at(position))).filter(|(_, found)| *found != 0).collect()
    }

    proptest! {
        #[test]
        fn property_every_window_is_found_where_it_is(
            text in prop::collection::vec(prop::sample::select(b"ab1 @\xFF".to_vec()), 0..60),
            windows in prop::collection::vec(prop::collection::vec("[ab1@]{1,3}", WIDTH), 1..=BUCKETS),
        ) {
            let mut filter = Filter::new();
            let mut expected = Vec::new();
            for (bucket, sets) in windows.iter().enumerate() {
                let window: Vec<_> = sets.iter().map(|set| ByteSet::any_of(set.as_bytes())).collect();
                let window: [ByteSet; WIDTH] = window.try_into().unwrap_or_default();
                filter.add(bucket, window);
                expected.push((bucket, window));
            }
            let mut found = Vec::new();
            filter.scan(&text, |position, buckets| found.push((position, buckets)));
            prop_assert_eq!(found, naive(&expected, &text));
        }
    }
}
