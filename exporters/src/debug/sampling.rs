//! Which batches are shown: the first few of each second, then one of so many.

/// Counts the batches of one signal.
pub(super) struct Sampler {
    initial: u64,
    thereafter: u64,
    second: u64,
    seen: u64,
}

impl Sampler {
    pub(super) fn new(initial: u64, thereafter: u64) -> Self {
        Self { initial, thereafter, second: 0, seen: 0 }
    }

    /// Whether the next batch is shown, in the second of this number.
    pub(super) fn is_taken(&mut self, second: u64) -> bool {
        if second != self.second {
            self.second = second;
            self.seen = 0;
        }
        self.seen += 1;
        let after = self.seen.saturating_sub(self.initial);
        after == 0 || (self.thereafter > 0 && after.is_multiple_of(self.thereafter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_second_are_taken_and_then_each_so_many() {
        let mut sampler = Sampler::new(2, 3);
        let taken: Vec<bool> = (0..8).map(|_| sampler.is_taken(0)).collect();
        assert_eq!(taken, [true, true, false, false, true, false, false, true]);
        assert!(sampler.is_taken(1));
        let mut sampler = Sampler::new(1, 0);
        assert_eq!([sampler.is_taken(0), sampler.is_taken(0)], [true, false]);
    }
}
