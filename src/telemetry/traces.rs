//! Spans about the process sent to OTLP endpoints, by the OpenTelemetry SDK.
//!
//! Only the spans with the target [`OWN_TRACES`] are taken: what the sending itself does, and the libraries below it,
//! makes no further spans.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use opentelemetry_sdk::trace::{BatchConfigBuilder, Sampler, SdkTracerProvider};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use watershed_pipeline::OWN_TRACES;

use super::BoxedLayer;
use super::settings::{self, Identity, SpanBatch, TraceSettings};

const TRACES_PATH: &str = "/v1/traces";

/// Everything that is sent; ends with [`Traces::stop`].
pub(crate) struct Traces {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// Begins to send what comes through the [layer](Self::layer). Without processors this does nothing. Must be
    /// called inside of a runtime.
    ///
    /// # Errors
    /// Says which endpoint cannot be used.
    pub(crate) fn start(settings: &TraceSettings, identity: &Identity) -> Result<Self, String> {
        let batches = settings.batches();
        if batches.is_empty() {
            return Ok(Self { provider: None });
        }
        let builder = SdkTracerProvider::builder().with_resource(identity.resource());
        let mut builder = builder.with_sampler(sampler(&settings.sampler));
        for batch in batches {
            builder = builder.with_span_processor(processor(batch)?);
        }
        Ok(Self { provider: Some(builder.build()) })
    }

    /// What turns spans of `tracing` into those of OpenTelemetry; nothing if nothing is sent.
    pub(crate) fn layer(&self) -> Option<BoxedLayer> {
        let tracer = self.provider.as_ref()?.tracer("watershed");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let layer = layer.with_location(false).with_threads(false).with_target(false);
        let layer = layer.with_tracked_inactivity(false).with_context_activation(false);
        Some(layer.with_filter(Targets::new().with_target(OWN_TRACES, LevelFilter::INFO)).boxed())
    }

    /// Sends the last spans and ends.
    pub(crate) async fn stop(self) {
        let Some(provider) = self.provider else { return };
        // The SDK waits for its worker, so this must not stand on a thread that the worker needs.
        match tokio::task::spawn_blocking(move || provider.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not send the last own traces"),
            Err(error) => tracing::warn!(%error, "own traces ended badly"),
        }
    }
}

fn sampler(settings: &settings::Sampler) -> Sampler {
    match settings {
        settings::Sampler::AlwaysOn(_) => Sampler::AlwaysOn,
        settings::Sampler::AlwaysOff(_) => Sampler::AlwaysOff,
        settings::Sampler::TraceIdRatioBased(share) => Sampler::TraceIdRatioBased(share.ratio),
        settings::Sampler::ParentBased(parent) => Sampler::ParentBased(Box::new(sampler(&parent.root))),
    }
}

fn processor(batch: &SpanBatch) -> Result<BatchSpanProcessor<Tokio>, String> {
    let otlp = &batch.exporter.otlp;
    let endpoint = otlp.endpoint_of(TRACES_PATH);
    let builder = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let builder =
        builder.with_endpoint(&endpoint).with_timeout(batch.patience()).with_headers(otlp.headers());
    let exporter = builder.build().map_err(|error| {
        format!("service.telemetry.traces.processors: cannot send to {endpoint}: {error}")
    })?;
    let config = BatchConfigBuilder::default()
        .with_scheduled_delay(batch.delay())
        .with_max_export_timeout(batch.patience())
        .with_max_queue_size(batch.max_queue_size.get() as usize)
        .with_max_export_batch_size(batch.max_export_batch_size.get() as usize)
        .build();
    Ok(BatchSpanProcessor::builder(exporter, Tokio).with_batch_config(config).build())
}
