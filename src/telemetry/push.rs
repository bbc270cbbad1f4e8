//! The counters sent to OTLP endpoints at intervals, by the OpenTelemetry SDK.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::metrics::periodic_reader_with_async_runtime::PeriodicReader;
use opentelemetry_sdk::runtime::Tokio;
use tokio::task::JoinSet;
use watershed_pipeline::{Distribution, Sample, Telemetry};

use super::prometheus::process_samples;
use super::settings::{Identity, Periodic};

/// How often is looked for counters that did not exist before.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(5);
const METRICS_PATH: &str = "/v1/metrics";

/// Everything that is sent; ends with [`Pushes::stop`].
pub(crate) struct Pushes {
    provider: Option<SdkMeterProvider>,
    tasks: JoinSet<()>,
}

impl Pushes {
    /// Begins to send. Without readers this does nothing. Must be called inside of a runtime.
    ///
    /// # Errors
    /// Says which endpoint cannot be used.
    pub(crate) fn start(
        readers: &[&Periodic],
        telemetry: &Telemetry,
        identity: &Identity,
        start: Instant,
    ) -> Result<Self, String> {
        let mut tasks = JoinSet::new();
        if readers.is_empty() {
            return Ok(Self { provider: None, tasks });
        }
        let mut builder = SdkMeterProvider::builder().with_resource(identity.resource());
        for periodic in readers {
            let reader = PeriodicReader::builder(exporter(periodic)?, Tokio);
            let reader = reader.with_interval(periodic.every()).with_timeout(periodic.patience());
            builder = builder.with_reader(reader.build());
        }
        let provider = builder.build();
        let mut instruments = Instruments {
            meter: provider.meter("watershed"),
            telemetry: telemetry.clone(),
            start,
            known: BTreeSet::new(),
        };
        instruments.discover();
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(DISCOVERY_INTERVAL).await;
                instruments.discover();
            }
        });
        Ok(Self { provider: Some(provider), tasks })
    }

    /// Sends the last numbers and ends.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
        let Some(provider) = self.provider else { return };
        // The SDK waits for its worker, so this must not stand on a thread that the worker needs.
        match tokio::task::spawn_blocking(move || provider.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not send the last own metrics"),
            Err(error) => tracing::warn!(%error, "own metrics ended badly"),
        }
    }
}

fn exporter(periodic: &Periodic) -> Result<MetricExporter, String> {
    let otlp = &periodic.exporter.otlp;
    let endpoint = otlp.endpoint_of(METRICS_PATH);
    let builder = MetricExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let builder = builder.with_endpoint(&endpoint).with_timeout(periodic.patience());
    builder
        .with_headers(otlp.headers())
        .build()
        .map_err(|error| format!("service.telemetry.metrics.readers: cannot send to {endpoint}: {error}"))
}

/// An SDK instrument for each name among the counters.
struct Instruments {
    meter: Meter,
    telemetry: Telemetry,
    start: Instant,
    known: BTreeSet<String>,
}

impl Instruments {
    fn discover(&mut self) {
        for sample in published(&self.telemetry, self.start) {
            if self.known.insert(sample.name.clone()) {
                self.add(sample);
            }
        }
    }

    fn add(&self, sample: Sample) {
        let Sample { name, help, unit, monotonic, .. } = sample;
        let (telemetry, start, own) = (self.telemetry.clone(), self.start, name.clone());
        let read = move || {
            let samples = published(&telemetry, start).into_iter();
            samples.filter(|sample| sample.name == own).map(observation).collect::<Vec<_>>()
        };
        if monotonic {
            let builder =
                self.meter.u64_observable_counter(name).with_description(help).with_unit(unit.ucum());
            let observe = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
                read().iter().for_each(|(value, labels)| {
                    observer.observe(u64::try_from(*value).unwrap_or_default(), labels)
                });
            };
            builder.with_callback(observe).build();
        } else {
            let builder = self.meter.i64_observable_gauge(name).with_description(help).with_unit(unit.ucum());
            let observe = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<i64>| {
                read().iter().for_each(|(value, labels)| {
                    observer.observe(i64::try_from(*value).unwrap_or(i64::MAX), labels)
                });
            };
            builder.with_callback(observe).build();
        }
    }
}

/// All series. The SDK has no histogram that is read rather than written to, so that each goes out as counters, with the
/// names that Prometheus gives them.
fn published(telemetry: &Telemetry, start: Instant) -> Vec<Sample> {
    let mut samples = telemetry.samples();
    samples.extend(telemetry.distributions().iter().flat_map(Distribution::counters));
    samples.extend(process_samples(start.elapsed()));
    samples
}

fn observation(sample: Sample) -> (i128, Vec<KeyValue>) {
    let labels = sample.labels.into_iter().map(|(key, value)| KeyValue::new(key, value));
    (sample.value, labels.collect())
}
