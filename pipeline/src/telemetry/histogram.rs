//! How durations are distributed: a count for each of a few fixed buckets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Labels, Sample, Unit};

/// The upper bounds of all buckets but the last, which has none: as Prometheus writes them, and in milliseconds.
const BOUNDS: [(&str, u64); 10] = [
    ("0.1", 100),
    ("0.25", 250),
    ("0.5", 500),
    ("1", 1_000),
    ("2.5", 2_500),
    ("5", 5_000),
    ("10", 10_000),
    ("30", 30_000),
    ("60", 60_000),
    ("300", 300_000),
];

/// Durations by size, in buckets up to 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60 and 300 seconds, and one for longer ones.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    /// Durations in each bucket alone, the one without a bound last.
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// All durations together, in microseconds.
    sum: AtomicU64,
}

/// A histogram at the moment of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// The metric's name.
    pub name: String,
    /// What it means.
    pub help: String,
    /// Label names and values, sorted by name.
    pub labels: Vec<(String, String)>,
    /// For each bucket its upper bound in seconds, included, and how many durations are not longer. The last is `+Inf`
    /// and counts all.
    pub buckets: Vec<(&'static str, u64)>,
    /// All durations together.
    pub sum: Duration,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let place = BOUNDS.iter().position(|(_, bound)| duration <= Duration::from_millis(*bound));
        let count = place.and_then(|place| self.0.counts.get(place)).or(self.0.counts.last());
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.sum.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn read(&self, name: &str, help: &str, labels: &Labels) -> Distribution {
        let bounds = BOUNDS.iter().map(|(bound, _)| *bound).chain(["+Inf"]);
        let mut total = 0;
        let cumulate = |(bound, count): (&'static str, &AtomicU64)| {
            total += count.load(Ordering::Relaxed);
            (bound, total)
        };
        Distribution {
            name: name.to_owned(),
            help: help.to_owned(),
            labels: labels.clone(),
            buckets: bounds.zip(&self.0.counts).map(cumulate).collect(),
            sum: Duration::from_micros(self.0.sum.load(Ordering::Relaxed)),
        }
    }
}

impl Distribution {
    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }

    /// The series that Prometheus makes of a histogram, as counters: `_bucket` with the label `le`, `_count`, and `_sum` in
    /// whole seconds. For whoever can publish nothing but counters.
    #[must_use]
    pub fn counters(&self) -> Vec<Sample> {
        let sample = |suffix: &str, unit, bound: Option<&str>, value| {
            let mut labels = self.labels.clone();
            labels.extend(bound.map(|bound| ("le".to_owned(), bound.to_owned())));
            let (name, help) = (format!("{}{suffix}", self.name), self.help.clone());
            Sample { name, help, unit, monotonic: true, labels, value: i128::from(value) }
        };
        let buckets = self.buckets.iter();
        let mut samples: Vec<Sample> =
            buckets.map(|(bound, count)| sample("_bucket", Unit::Requests, Some(bound), *count)).collect();
        samples.push(sample("_count", Unit::Requests, None, self.count()));
        samples.push(sample("_sum", Unit::Seconds, None, self.sum.as_secs()));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    #[test]
    fn a_duration_counts_in_its_bucket_and_in_all_larger_ones() {
        let telemetry = Telemetry::new();
        let histogram = telemetry.histogram("lag", "help", &[("exporter", "x")]);
        for millis in [0, 100, 101, 5_000, 300_001] {
            histogram.observe(Duration::from_millis(millis));
        }
        let [read] = &telemetry.distributions()[..] else { panic!("one histogram") };
        let counts: Vec<u64> = read.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5]);
        assert_eq!((read.count(), read.sum), (5, Duration::from_millis(305_202)));
        assert!(telemetry.samples().is_empty());
        let counters = read.counters();
        let last = &counters[10..];
        let shown: Vec<_> = last.iter().map(|sample| (sample.name.as_str(), sample.value)).collect();
        assert_eq!(shown, [("lag_bucket", 5), ("lag_count", 5), ("lag_sum", 305)]);
        assert_eq!(last[0].labels, [("exporter".into(), "x".into()), ("le".into(), "+Inf".into())]);
    }
}
