"""Sends one log record, one span and one metric with the OpenTelemetry SDK for Python.

Usage: send.py grpc|http PORT. Exits with 0 only if every export was acknowledged.
"""

import logging
import sys

from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

protocol, port = sys.argv[1:]
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    def make(exporter, _path):
        return exporter(endpoint=f"localhost:{port}", insecure=True, timeout=5)
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    def make(exporter, path):
        return exporter(endpoint=f"http://localhost:{port}/v1/{path}", timeout=5)


results = []


def remember(exporter):
    """Keeps what the exporter says of each attempt; the SDK itself only logs failures."""
    export = exporter.export

    def wrapped(*args, **kwargs):
        result = export(*args, **kwargs)
        results.append(result)
        return result

    exporter.export = wrapped
    return exporter


resource = Resource.create({"service.name": f"python-{protocol}"})
tracing = TracerProvider(resource=resource)
tracing.add_span_processor(SimpleSpanProcessor(remember(make(OTLPSpanExporter, "traces"))))
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(SimpleLogRecordProcessor(remember(make(OTLPLogExporter, "logs"))))
reader = PeriodicExportingMetricReader(
    remember(make(OTLPMetricExporter, "metrics")), export_interval_millis=3_600_000
)
metrics = MeterProvider(resource=resource, metric_readers=[reader])

logger = logging.getLogger("shop.orders")
logger.addHandler(LoggingHandler(logger_provider=logs))
logger.setLevel(logging.INFO)
with tracing.get_tracer("shop").start_as_current_span("place order") as span:
    span.set_attribute("order.id", 4711)
    logger.warning("order placed", extra={"user.id": "ada"})
metrics.get_meter("shop").create_counter("orders", unit="{order}").add(3, {"region": "eu"})

metrics.shutdown()
tracing.shutdown()
logs.shutdown()
good = {SpanExportResult.SUCCESS, LogRecordExportResult.SUCCESS, MetricExportResult.SUCCESS}
if len(results) != 3 or not all(result in good for result in results):
    sys.exit(f"not every export was acknowledged: {results}")
