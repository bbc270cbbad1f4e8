//! Counters, gauges and histograms of our own: plain atomics, listed in one place, read by whoever publishes them.
//!
//! Names are those of the OpenTelemetry Collector (`otelcol_receiver_accepted_log_records`, …), so that
//! existing dashboards work. Label values come from closed sets; the number of series is bounded all the same.

mod histogram;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use histogram::{Distribution, Histogram};

/// More series than this are not published: a further one counts into nothing.
const SERIES_MAX: usize = 10_000;

/// All counters, gauges and histograms of one process.
#[derive(Clone, Default)]
pub struct Telemetry(Arc<Mutex<BTreeMap<String, Family>>>);

struct Family {
    help: String,
    unit: Unit,
    series: BTreeMap<Labels, Cell>,
}

type Labels = Vec<(String, String)>;

#[derive(Clone)]
enum Cell {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

/// What kind of component a series belongs to; also its label name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A receiver.
    Receiver,
    /// A processor.
    Processor,
    /// An exporter.
    Exporter,
    /// An extension.
    Extension,
}

/// What a series counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Log records, spans or data points.
    Items,
    /// Bytes.
    Bytes,
    /// Requests or batches.
    Requests,
    /// Single values inside records.
    Values,
    /// Seconds.
    Seconds,
    /// Open things: connections, files.
    Handles,
}

/// One series at the moment of reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// What it means.
    pub help: String,
    /// Its unit.
    pub unit: Unit,
    /// Whether it only grows.
    pub monotonic: bool,
    /// Label names and values, sorted by name.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: i128,
}

impl Kind {
    /// The lower-case word of metric names and labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::Processor => "processor",
            Self::Exporter => "exporter",
            Self::Extension => "extension",
        }
    }
}

impl Unit {
    /// The unit as UCUM writes it.
    #[must_use]
    pub const fn ucum(self) -> &'static str {
        match self {
            Self::Items => "{item}",
            Self::Bytes => "By",
            Self::Requests => "{request}",
            Self::Values => "{value}",
            Self::Seconds => "s",
            Self::Handles => "{handle}",
        }
    }
}

impl Counter {
    /// Adds to the count.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to the value; a negative number takes away.
    pub fn add(&self, difference: i64) {
        self.0.fetch_add(difference, Ordering::Relaxed);
    }

    /// The value at this moment.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Telemetry {
    /// Makes an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter of this name and these labels; the same one for the same labels.
    #[must_use]
    pub fn counter(&self, name: &str, unit: Unit, help: &str, labels: &[(&str, &str)]) -> Counter {
        match self.cell(name, unit, help, labels, || Cell::Counter(Counter::default())) {
            Cell::Counter(counter) => counter,
            Cell::Gauge(_) | Cell::Histogram(_) => Counter::default(),
        }
    }

    /// The gauge of this name and these labels; the same one for the same labels.
    #[must_use]
    pub fn gauge(&self, name: &str, unit: Unit, help: &str, labels: &[(&str, &str)]) -> Gauge {
        match self.cell(name, unit, help, labels, || Cell::Gauge(Gauge::default())) {
            Cell::Gauge(gauge) => gauge,
            Cell::Counter(_) | Cell::Histogram(_) => Gauge::default(),
        }
    }

    /// The histogram of durations of this name and these labels; the same one for the same labels.
    #[must_use]
    pub fn histogram(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Histogram {
        match self.cell(name, Unit::Seconds, help, labels, || Cell::Histogram(Histogram::default())) {
            Cell::Histogram(histogram) => histogram,
            Cell::Counter(_) | Cell::Gauge(_) => Histogram::default(),
        }
    }

    /// All counters and gauges, sorted by name and labels.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = families.iter().flat_map(|(name, family)| {
            family.series.iter().filter_map(move |(labels, cell)| {
                let (monotonic, value) = match cell {
                    Cell::Counter(counter) => (true, i128::from(counter.value())),
                    Cell::Gauge(gauge) => (false, i128::from(gauge.value())),
                    Cell::Histogram(_) => return None,
                };
                let (name, help, labels) = (name.clone(), family.help.clone(), labels.clone());
                Some(Sample { name, help, unit: family.unit, monotonic, labels, value })
            })
        });
        rows.collect()
    }

    /// All histograms, sorted by name and labels.
    #[must_use]
    pub fn distributions(&self) -> Vec<Distribution> {
        let families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = families.iter().flat_map(|(name, family)| {
            family.series.iter().filter_map(move |(labels, cell)| match cell {
                Cell::Histogram(histogram) => Some(histogram.read(name, &family.help, labels)),
                Cell::Counter(_) | Cell::Gauge(_) => None,
            })
        });
        rows.collect()
    }

    pub(crate) fn component_counter(
        &self,
        kind: Kind,
        id: &str,
        name: &str,
        unit: Unit,
        help: &str,
        labels: &[(&str, &str)],
    ) -> Counter {
        let own = [(kind.label(), id)];
        let all: Vec<(&str, &str)> = own.iter().chain(labels).copied().collect();
        self.counter(&format!("otelcol_{}_{name}", kind.label()), unit, help, &all)
    }

    pub(crate) fn component_gauge(&self, kind: Kind, id: &str, name: &str, unit: Unit, help: &str) -> Gauge {
        self.gauge(&format!("otelcol_{}_{name}", kind.label()), unit, help, &[(kind.label(), id)])
    }

    fn cell(
        &self,
        name: &str,
        unit: Unit,
        help: &str,
        labels: &[(&str, &str)],
        new: impl FnOnce() -> Cell,
    ) -> Cell {
        let mut key: Labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        key.sort();
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series: usize = families.values().map(|family| family.series.len()).sum();
        let family = families.entry(name.into()).or_insert_with(|| Family {
            help: help.into(),
            unit,
            series: BTreeMap::new(),
        });
        if series >= SERIES_MAX && !family.series.contains_key(&key) {
            return new();
        }
        family.series.entry(key).or_insert_with(new).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_and_labels_in_any_order_are_the_same_series() {
        let telemetry = Telemetry::new();
        telemetry.counter("sent", Unit::Items, "", &[("a", "1"), ("b", "2")]).add(3);
        telemetry.counter("sent", Unit::Items, "", &[("b", "2"), ("a", "1")]).add(4);
        let samples = telemetry.samples();
        assert_eq!(samples.len(), 1);
        assert_eq!(samples[0].value, 7);
    }

    #[test]
    fn series_are_bounded() {
        let telemetry = Telemetry::new();
        for number in 0..SERIES_MAX + 10 {
            telemetry.counter("sent", Unit::Items, "", &[("n", &number.to_string())]).add(1);
        }
        assert_eq!(telemetry.samples().len(), SERIES_MAX);
    }
}
