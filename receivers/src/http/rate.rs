//! A limit on requests in time, without a lock.
//!
//! It is the generic cell rate algorithm (ITU-T I.371): one moment is remembered, at which all requests so far would
//! be paid for at the steady rate. A request is let in unless that moment is further ahead than the burst allows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;

/// How many requests a key may send.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateSettings {
    /// Requests a second, over time. Required.
    requests_per_second: u32,
    /// Requests at once after a rest. Default twice `requests_per_second`.
    burst: Option<u32>,
}

/// The limit at work.
#[derive(Debug)]
pub(super) struct Rate {
    start: Instant,
    /// Nanoseconds between two requests.
    interval: u64,
    /// How far ahead the moment may be, in nanoseconds.
    ahead_max: u64,
    /// The moment, in nanoseconds since the start.
    paid_until: AtomicU64,
}

impl Rate {
    /// `path` is where the settings stand.
    pub(super) fn new(settings: RateSettings, path: &str) -> Result<Self, BuildError> {
        let per_second = u64::from(settings.requests_per_second);
        let burst = settings.burst.map_or(per_second * 2, u64::from);
        for (setting, value) in [("requests_per_second", per_second), ("burst", burst)] {
            if value == 0 {
                let text = "must be 1 or more; to let nothing in, remove the key";
                return Err(BuildError::at(format!("{path}.{setting}"), text));
            }
        }
        let interval = 1_000_000_000 / per_second.max(1);
        let ahead_max = interval.saturating_mul(burst - 1);
        Ok(Self { start: Instant::now(), interval, ahead_max, paid_until: AtomicU64::new(0) })
    }

    /// Lets a request in, or says after which time it may come again.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let now = now.saturating_duration_since(self.start).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let pay = |paid: u64| {
            let from = paid.max(now);
            (from - now <= self.ahead_max).then(|| from.saturating_add(self.interval))
        };
        match self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay) {
            Ok(_) => Ok(()),
            Err(paid) => Err(Duration::from_nanos(paid.saturating_sub(now + self.ahead_max))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_in_and_then_the_steady_rate() {
        let rate = Rate::new(RateSettings { requests_per_second: 10, burst: Some(3) }, "x").unwrap();
        let at = |millis| rate.start + Duration::from_millis(millis);
        let outcomes = [0, 0, 0, 0, 50, 100, 100, 150, 200, 5000, 5000, 5000, 5000]
            .map(|millis| rate.take(at(millis)).map_err(|wait| wait.as_millis()));
        let no = Err;
        let expected = [
            Ok(()),
            Ok(()),
            Ok(()),
            no(100),
            no(50),
            Ok(()),
            no(100),
            no(50),
            Ok(()),
            Ok(()),
            Ok(()),
            Ok(()),
            no(100),
        ];
        assert_eq!(outcomes, expected);
    }

    #[test]
    fn a_rate_of_nothing_is_refused() {
        for (requests_per_second, burst, setting) in [(0, None, "requests_per_second"), (1, Some(0), "burst")]
        {
            let error = Rate::new(RateSettings { requests_per_second, burst }, "keys[0].rate").unwrap_err();
            assert!(error.to_string().contains(setting), "{error}");
        }
    }
}
