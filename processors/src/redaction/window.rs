//! The one pass over every text: finds the places at which a rule could match, for all rules at once.
//!
//! Each kind of candidate is described by four bytes in a row, each from a set: four digits for a card, `eyJ` and a letter
//! for a token. For each byte a table says in which of sixteen buckets it may stand first, second, third and fourth; ANDs of
//! neighbouring entries leave the buckets whose window is here. So the pass costs the same for one rule and for
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
///
/// Windows are looked up at all positions at once: entry `r` of a byte is for positions that leave the rest `r` when divided
/// by four, and has in its lane `l` the buckets in which the byte may stand `r - l` (modulo four) behind the beginning. So the
/// window that begins at a position is the lane of that position, after an AND of four neighbours, without any shift.
pub(super) struct Filter {
    tables: Box<[[u64; 256]; WIDTH]>,
}

/// Bytes that are looked at together.
const BLOCK: usize = 8;

impl Filter {
    pub(super) fn new() -> Self {
        Self { tables: Box::new([[0; 256]; WIDTH]) }
    }

    /// Adds a window to a bucket. Several windows of a bucket widen each other: more candidates, never fewer.
    pub(super) fn add(&mut self, bucket: usize, window: [ByteSet; WIDTH]) {
        for (place, set) in window.into_iter().enumerate() {
            for (rest, table) in self.tables.iter_mut().enumerate() {
                let lane = (rest + WIDTH - place) % WIDTH;
                for (byte, entry) in (0_u8..=255).zip(table.iter_mut()) {
                    *entry |= u64::from(set.contains(byte)) << (lane * BUCKETS + bucket);
                }
            }
        }
    }

    /// Calls `visit` for each window that matches, in order, with the position behind it and the buckets it may belong to.
    /// A space is thought in front of the text, so a window may begin one byte before it.
    #[inline]
    pub(super) fn scan(&self, text: &[u8], mut visit: impl FnMut(usize, u16)) {
        let (blocks, rest) = text.as_chunks::<BLOCK>();
        let mut last = [0, 0, self.entry::<3>(b' ')];
        let mut begin = 0;
        for block in blocks {
            if self.push(block, &mut last) {
                self.confirm(text, begin, &mut visit);
            }
            begin += BLOCK;
        }
        if !rest.is_empty() {
            let mut block = [0; BLOCK];
            block.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
            if self.push(&block, &mut last) {
                self.confirm(text, begin, &mut visit);
            }
        }
    }

    /// Whether a window ends in a block; `last` are the entries of the three bytes before it.
    #[inline]
    fn push(&self, block: &[u8; BLOCK], last: &mut [u64; 3]) -> bool {
        let [b0, b1, b2, b3, b4, b5, b6, b7] = *block;
        let [x, y, z] = *last;
        let (v0, v1, v2, v3) =
            (self.entry::<0>(b0), self.entry::<1>(b1), self.entry::<2>(b2), self.entry::<3>(b3));
        let (v4, v5, v6, v7) =
            (self.entry::<0>(b4), self.entry::<1>(b5), self.entry::<2>(b6), self.entry::<3>(b7));
        *last = [v5, v6, v7];
        let (xy, yz, z0, p01, p12) = (x & y, y & z, z & v0, v0 & v1, v1 & v2);
        let (p23, p34, p45, p56, p67) = (v2 & v3, v3 & v4, v4 & v5, v5 & v6, v6 & v7);
        // Each window in the lane of the byte with which it begins; two windows of a block share a lane.
        let lane = |number: usize| u64::from(u16::MAX) << (number * BUCKETS);
        let first = (p01 & p23 | p45 & p67) & lane(0);
        let second = (xy & z0 | p12 & p34) & lane(1);
        let third = (yz & p01 | p23 & p45) & lane(2);
        let fourth = (z0 & p12 | p34 & p56) & lane(3);
        first | second | third | fourth != 0
    }

    #[inline]
    fn entry<const REST: usize>(&self, byte: u8) -> u64 {
        let table = self.tables.get(REST);
        table.and_then(|table| table.get(usize::from(byte))).copied().unwrap_or_default()
    }

    /// Finds which of the windows that end in the block at `begin` it was.
    #[cold]
    fn confirm(&self, text: &[u8], begin: usize, visit: &mut impl FnMut(usize, u16)) {
        for end in begin + 1..=(begin + BLOCK).min(text.len()) {
            // A window that begins before the text begins with the space in front of it.
            let bytes = match end.checked_sub(WIDTH) {
                Some(start) => text.get(start..end).and_then(|window| window.first_chunk().copied()),
                None if end == WIDTH - 1 => {
                    text.first_chunk().map(|[first, second, third]| [b' ', *first, *second, *third])
                }
                None => None,
            };
            let Some([first, second, third, fourth]) = bytes else { continue };
            let found = self.entry::<0>(first)
                & self.entry::<1>(second)
                & self.entry::<2>(third)
                & self.entry::<3>(fourth);
            let buckets = (found & u64::from(u16::MAX)) as u16;
            if buckets != 0 {
                visit(end, buckets);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(windows: &[(usize, [ByteSet; WIDTH])], text: &[u8]) -> Vec<(usize, u16)> {
        let text = [b" ", text].concat();
        let at = |position: usize| {
            let bytes = &text[position..position + WIDTH];
            let fits =
                |window: &[ByteSet; WIDTH]| window.iter().zip(bytes).all(|(set, byte)| set.contains(*byte));
            windows.iter().filter(|(_, window)| fits(window)).fold(0, |all, (bucket, _)| all | 1 << bucket)
        };
        let positions = 0..(text.len() + 1).saturating_sub(WIDTH);
        positions
            .map(|position| (position + WIDTH - 1, at(position)))
            .filter(|(_, found)| *found != 0)
            .collect()
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
            filter.scan(&text, |end, buckets| found.push((end, buckets)));
            prop_assert_eq!(found, naive(&expected, &text));
        }
    }
}
