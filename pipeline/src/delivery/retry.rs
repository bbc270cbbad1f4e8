//! When the next attempt is made: growing, randomized intervals up to a limit of time.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::RetryOnFailure;

/// The longest wait that a far end may ask for: a mistaken header must not stop the delivery for days.
const AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// The attempts of one batch.
pub(super) struct Backoff<'a> {
    options: Option<&'a RetryOnFailure>,
    began: Instant,
    interval: Duration,
}

impl<'a> Backoff<'a> {
    /// Begins with the first attempt; without options there is no second one.
    pub(super) fn new(options: Option<&'a RetryOnFailure>) -> Self {
        let interval = options.map(|options| options.initial_interval.duration()).unwrap_or_default();
        Self { options, began: Instant::now(), interval }
    }

    /// How long to wait before the next attempt, at least `after` (15 minutes at most); `None` when it is time to give up.
    ///
    /// `random` is a number from 0 to 1.
    pub(super) fn next(&mut self, after: Option<Duration>, random: f64) -> Option<Duration> {
        let options = self.options?;
        let spread = options.randomization_factor * (2.0 * random - 1.0);
        let delay = self.interval.mul_f64(1.0 + spread).max(after.unwrap_or_default().min(AFTER_MAX));
        self.interval = self.interval.mul_f64(options.multiplier).min(options.max_interval.duration());
        let limit = options.max_elapsed_time.duration();
        let in_time = limit.is_zero() || self.began.elapsed() + delay <= limit;
        in_time.then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use watershed_config::Period;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn intervals_grow_to_their_limit_and_end_with_the_time() {
        let options = RetryOnFailure::default();
        let mut backoff = Backoff::new(Some(&options));
        let mut delays = Vec::new();
        while let Some(delay) = backoff.next(None, 0.5) {
            delays.push(delay.as_millis());
            tokio::time::advance(delay).await;
        }
        assert_eq!(delays[..6], [5000, 7500, 11_250, 16_875, 25_312, 30_000]);
        assert!(delays.iter().sum::<u128>() <= 300_000);
    }

    #[tokio::test(start_paused = true)]
    async fn the_far_ends_wish_is_a_minimum_and_chance_is_bounded() {
        let options = RetryOnFailure::default();
        let next = |after, random| Backoff::new(Some(&options)).next(after, random);
        assert_eq!(next(None, 0.0), Some(Duration::from_millis(2500)));
        assert_eq!(next(None, 1.0), Some(Duration::from_millis(7500)));
        assert_eq!(next(Some(Duration::from_secs(9)), 1.0), Some(Duration::from_secs(9)));
        assert_eq!(next(Some(Duration::MAX), 0.0), None);
        let endless = RetryOnFailure { max_elapsed_time: Period::seconds(0), ..options.clone() };
        assert_eq!(Backoff::new(Some(&endless)).next(Some(Duration::MAX), 0.0), Some(AFTER_MAX));
        assert_eq!(Backoff::new(None).next(None, 0.0), None);
    }
}
