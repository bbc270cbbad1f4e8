//! A set of sequence numbers as ranges: what is acknowledged out of order, in little memory.

use std::collections::BTreeMap;

use super::record::Tally;

/// Sequence numbers, and how many items they stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, (u64, u64)>);

/// Some of them in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    /// The number after the last one.
    pub(crate) end: u64,
    pub(crate) items: u64,
}

impl Ranges {
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.0.range(..=sequence).next_back().is_some_and(|(_, (end, _))| sequence < *end)
    }

    /// Adds numbers that are not in the set. A range that overlaps with one that is there is left out, and this says so.
    pub(crate) fn insert(&mut self, range: Range) -> bool {
        let Range { mut start, mut end, mut items } = range;
        let before = self.0.range(..end).next_back().map(|(start, (end, items))| (*start, *end, *items));
        if start >= end || before.is_some_and(|(_, before_end, _)| before_end > start) {
            return false;
        }
        if let Some((before_start, before_end, before_items)) = before
            && before_end == start
        {
            start = before_start;
            items += before_items;
        }
        if let Some((after_end, after_items)) = self.0.remove(&end) {
            end = after_end;
            items += after_items;
        }
        self.0.insert(start, (end, items));
        true
    }

    /// How many numbers, and the items that they stand for.
    pub(crate) fn tally(&self) -> Tally {
        self.iter().fold(Tally::default(), |mut sum, range| {
            sum.add(Tally { records: range.end - range.start, items: range.items });
            sum
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range> {
        self.0.iter().map(|(start, (end, items))| Range { start: *start, end: *end, items: *items })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn property_ranges_are_a_set_of_numbers(numbers in prop::collection::vec(0_u64..60, 0..80)) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            for number in numbers {
                let added = ranges.insert(Range { start: number, end: number + 1, items: 2 });
                prop_assert_eq!(added, set.insert(number));
            }
            for number in 0..60 {
                prop_assert_eq!(ranges.contains(number), set.contains(&number));
            }
            let records = set.len() as u64;
            prop_assert_eq!(ranges.tally(), Tally { records, items: records * 2 });
            let mut previous = None;
            for range in ranges.iter() {
                prop_assert!(previous.is_none_or(|end| end < range.start), "neighbours are merged");
                previous = Some(range.end);
            }
        }
    }
}
