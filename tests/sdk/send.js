// Sends one log record, one span and one metric with the OpenTelemetry SDK for JavaScript.
//
// Usage: send.js grpc|http/protobuf|http/json PORT. Exits with 0 only if every export was acknowledged.

const { LoggerProvider, SimpleLogRecordProcessor } = require('@opentelemetry/sdk-logs');
const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { BasicTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { SeverityNumber } = require('@opentelemetry/api-logs');

const [protocol, port] = process.argv.slice(2);
const suffix = { grpc: 'grpc', 'http/protobuf': 'proto', 'http/json': 'http' }[protocol];
const url = (path) => (protocol === 'grpc' ? `http://localhost:${port}` : `http://localhost:${port}/v1/${path}`);

const results = [];
function exporter(signal, name, path) {
  const made = new (require(`@opentelemetry/exporter-${signal}-otlp-${suffix}`)[name])({ url: url(path) });
  const send = made.export.bind(made);
  made.export = (items, done) => send(items, (result) => { results.push(result); done(result); });
  return made;
}

const resource = resourceFromAttributes({ 'service.name': `javascript-${protocol}` });
const logs = new LoggerProvider({
  resource,
  processors: [new SimpleLogRecordProcessor({ exporter: exporter('logs', 'OTLPLogExporter', 'logs') })],
});
const traces = new BasicTracerProvider({
  resource,
  spanProcessors: [new SimpleSpanProcessor(exporter('trace', 'OTLPTraceExporter', 'traces'))],
});
const metrics = new MeterProvider({
  resource,
  readers: [
    new PeriodicExportingMetricReader({
      exporter: exporter('metrics', 'OTLPMetricExporter', 'metrics'),
      exportIntervalMillis: 3_600_000,
    }),
  ],
});

async function main() {
  logs.getLogger('shop.orders').emit({
    severityNumber: SeverityNumber.WARN,
    severityText: 'WARN',
    body: 'order placed',
    attributes: { 'user.id': 'ada', cart: { items: [1, 2.5, 'three'] } },
  });
  const span = traces.getTracer('shop').startSpan('place order', { attributes: { 'order.id': 4711 } });
  span.addEvent('paid', { method: 'card' });
  span.end();
  metrics.getMeter('shop').createCounter('orders', { unit: '{order}' }).add(3, { region: 'eu' });
  await metrics.shutdown();
  await traces.shutdown();
  await logs.shutdown();
  if (results.length !== 3 || results.some((result) => result.code !== 0)) {
    throw new Error(`not every export was acknowledged: ${JSON.stringify(results)}`);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
