//! Rates: what may be sampled within a second. Time is an argument.

use std::time::{Duration, Instant};

/// The rates of all policies, shared by all lanes so that a rate is one of the whole process.
#[derive(Default)]
pub(super) struct Limits {
    /// When time begins; seconds are counted from here.
    origin: Option<Instant>,
    limits: Vec<Limit>,
}

/// One rate.
#[derive(Clone, Debug)]
pub(super) enum Limit {
    /// So many within each second, counted anew when the next one begins.
    Window { per_second: u64, second: u64, used: u64 },
    /// A bucket that fills at a rate up to a brim.
    Bucket { per_second: u64, brim: u64, level: f64, at: Duration },
}

impl Limit {
    pub(super) fn window(per_second: u64) -> Self {
        Self::Window { per_second, second: 0, used: 0 }
    }

    pub(super) fn bucket(per_second: u64, brim: u64) -> Self {
        Self::Bucket { per_second, brim, level: brim as f64, at: Duration::ZERO }
    }

    fn take(&mut self, amount: u64, time: Duration) -> bool {
        match self {
            Self::Window { per_second, second, used } => {
                if *second != time.as_secs() {
                    (*second, *used) = (time.as_secs(), 0);
                }
                let fits = used.saturating_add(amount) <= *per_second;
                *used += if fits { amount } else { 0 };
                fits
            }
            Self::Bucket { per_second, brim, level, at } => {
                let passed = time.saturating_sub(*at).as_secs_f64();
                *level = (*level + passed * *per_second as f64).min(*brim as f64);
                *at = time.max(*at);
                let fits = amount as f64 <= *level;
                *level -= if fits { amount as f64 } else { 0.0 };
                fits
            }
        }
    }
}

impl Limits {
    pub(super) fn new(limits: Vec<Limit>) -> Self {
        Self { origin: None, limits }
    }

    /// Takes an amount from the limit with this number, if there is room for all of it.
    pub(super) fn take(&mut self, limit: usize, amount: u64, now: Instant) -> bool {
        let time = now.saturating_duration_since(*self.origin.get_or_insert(now));
        self.limits.get_mut(limit).is_some_and(|limit| limit.take(amount, time))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_takes_its_number_in_each_second_exactly() {
        let mut limits = Limits::new(vec![Limit::window(10)]);
        let start = Instant::now();
        let mut take =
            |amount, milliseconds| limits.take(0, amount, start + Duration::from_millis(milliseconds));
        let taken = [(6, 0), (5, 10), (4, 999), (1, 999), (10, 1000), (1, 1999), (11, 2000), (10, 5000)]
            .map(|(amount, at)| take(amount, at));
        assert_eq!(taken, [true, false, true, false, true, false, false, true]);
    }

    #[test]
    fn a_bucket_fills_at_its_rate_up_to_its_brim() {
        let mut limits = Limits::new(vec![Limit::bucket(100, 200)]);
        let start = Instant::now();
        let mut take =
            |amount, milliseconds| limits.take(0, amount, start + Duration::from_millis(milliseconds));
        let taken = [(200, 0), (1, 0), (50, 500), (1, 500), (201, 60_000), (200, 60_000)]
            .map(|(amount, at)| take(amount, at));
        assert_eq!(taken, [true, false, true, false, false, true]);
    }

    proptest! {
        #[test]
        fn property_no_second_has_more_than_its_number(
            wishes in prop::collection::vec((1_u64..50, 0_u64..400), 0..60), per_second in 0_u64..100
        ) {
            let mut limits = Limits::new(vec![Limit::window(per_second)]);
            let start = Instant::now();
            // Seconds are counted from the first use on.
            limits.take(0, 0, start);
            let (mut clock, mut sums) = (0, std::collections::BTreeMap::<u64, u64>::new());
            for (amount, pause) in wishes {
                clock += pause;
                let before = *sums.get(&(clock / 1000)).unwrap_or(&0);
                let taken = limits.take(0, amount, start + Duration::from_millis(clock));
                // Whatever fits is taken, and nothing else.
                prop_assert_eq!(taken, before + amount <= per_second);
                *sums.entry(clock / 1000).or_default() += if taken { amount } else { 0 };
            }
        }
    }
}
