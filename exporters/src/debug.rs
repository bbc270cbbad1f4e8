//! Shows what passes, in the words of the Collector's exporter of this name: for finding out, not for production.
//!
//! ```yaml
//! debug:
//!   verbosity: detailed
//!   use_internal_logger: false
//! ```
//!
//! `verbosity: basic` is one line a batch with its counts, `normal` adds a line a record, `detailed` shows every field.
//! The text goes to the log of the process, or with `use_internal_logger: false` to `output_paths`. Control characters are
//! shown as escapes.
//!
//! Signals: all. Order: kept. Loss: what the sampling leaves out is not shown; the engine counts it as sent all the same.
//! Memory: the text of one batch.

mod detailed;
mod normal;
mod sampling;
mod text;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{Batch, Context, ExportError, Exporter, ExporterConfig, Reach, Signal};

use self::sampling::Sampler;
use crate::terminal;

/// Settings of the exporter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How much is shown: `basic`, `normal` or `detailed`. Default `basic`.
    #[serde(default)]
    verbosity: Verbosity,
    /// Batches of a signal that are shown in each second before the sampling begins. Default 2.
    #[serde(default = "sampling_initial")]
    sampling_initial: u64,
    /// After those, one of so many batches is shown. Default 1, which is every one; 0 is none.
    #[serde(default = "sampling_thereafter")]
    sampling_thereafter: u64,
    /// Whether the text goes to the log of the process. Default `true`.
    #[serde(default = "use_internal_logger")]
    use_internal_logger: bool,
    /// Where it goes otherwise: `stdout`, `stderr`, or files that are appended to. Default `[stdout]`.
    #[serde(default = "output_paths")]
    output_paths: Vec<PathBuf>,
}

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Verbosity {
    /// A line for each batch.
    #[default]
    Basic,
    /// A line for each record.
    Normal,
    /// Everything.
    Detailed,
}

fn sampling_initial() -> u64 {
    2
}

fn sampling_thereafter() -> u64 {
    1
}

fn use_internal_logger() -> bool {
    true
}

fn output_paths() -> Vec<PathBuf> {
    vec!["stdout".into()]
}

impl ExporterConfig for Config {
    const TYPE: &'static str = "debug";
    const SOURCE: &'static str = include_str!("debug.rs");
    const REACH: Reach = Reach::Local;
    type Exporter = Debug;

    fn build(&self, _cx: &Context) -> Result<Debug, BuildError> {
        let mut sinks = Vec::new();
        if !self.use_internal_logger {
            for (index, path) in self.output_paths.iter().enumerate() {
                sinks.push(sink(path).map_err(|error| {
                    let message = format!("cannot open {}: {error}", path.display());
                    BuildError::at(format!("output_paths[{index}]"), message)
                })?);
            }
        }
        let sampler = || Mutex::new(Sampler::new(self.sampling_initial, self.sampling_thereafter));
        let samplers = [sampler(), sampler(), sampler()];
        let sinks = (!self.use_internal_logger).then(|| sinks.into());
        Ok(Debug { verbosity: self.verbosity, samplers, sinks, started: Instant::now() })
    }
}

/// A place that text is written to.
enum Sink {
    Stdout,
    Stderr,
    File(File),
}

fn sink(path: &PathBuf) -> io::Result<Sink> {
    match path.to_str() {
        Some("stdout") => Ok(Sink::Stdout),
        Some("stderr") => Ok(Sink::Stderr),
        _ => OpenOptions::new().create(true).append(true).open(path).map(Sink::File),
    }
}

impl Sink {
    fn write(&self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().lock().write_all(text),
            Self::Stderr => io::stderr().lock().write_all(text),
            // One call a batch, so that the lines of two batches do not mix.
            Self::File(file) => (&*file).write_all(text),
        }
    }
}

/// Shows batches.
pub(crate) struct Debug {
    verbosity: Verbosity,
    /// One for each signal, in the order of [`Signal::ALL`].
    samplers: [Mutex<Sampler>; 3],
    /// Where text goes, if not to the log.
    sinks: Option<Arc<[Sink]>>,
    started: Instant,
}

#[async_trait]
impl Exporter for Debug {
    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        if !self.is_shown(batch.signal()) {
            return Ok(());
        }
        let text = encode(batch, self.verbosity);
        let Some(sinks) = self.sinks.clone() else {
            tracing::info!("{}", String::from_utf8_lossy(&text).trim_end());
            return Ok(());
        };
        // A reader that pauses blocks the write; no thread of the engine may wait for it.
        let write = move || sinks.iter().try_for_each(|sink| sink.write(&text));
        let written = tokio::task::spawn_blocking(write).await.unwrap_or_else(|stopped| Err(stopped.into()));
        // Nothing depends on what is shown, so a full disk here stops nothing.
        if let Err(error) = written {
            tracing::warn!(%error, "what passes cannot be shown");
        }
        Ok(())
    }
}

impl Debug {
    fn is_shown(&self, signal: Signal) -> bool {
        let second = self.started.elapsed().as_secs();
        let position = Signal::ALL.iter().position(|candidate| *candidate == signal);
        position
            .and_then(|position| self.samplers.get(position))
            .is_some_and(|sampler| sampler.lock().unwrap_or_else(PoisonError::into_inner).is_taken(second))
    }
}

/// The text of a batch, with its line ends.
fn encode(batch: &Batch, verbosity: Verbosity) -> Vec<u8> {
    let mut text = text::summary(batch);
    match verbosity {
        Verbosity::Basic => {}
        Verbosity::Normal => normal::push(&mut text, batch),
        Verbosity::Detailed => detailed::push(&mut text, batch),
    }
    let mut out = Vec::with_capacity(text.len());
    for line in text.lines() {
        terminal::push_safe(&mut out, line);
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use watershed_pipeline::testing::any_batch;
    use watershed_pipeline::{AnyValue, Number};

    #[track_caller]
    fn check(batch: &Batch, verbosity: Verbosity, expected: &str) {
        assert_eq!(String::from_utf8(encode(batch, verbosity)).unwrap(), expected);
    }

    fn logs() -> Batch {
        Batch::builder(Signal::Logs)
            .resource(|resource| resource.set_attribute("host.name", "a1"))
            .scope("orders", "1.2", |_| ())
            .record(|log| {
                log.set_time_unix_nano(1_581_452_773_000_000_789);
                log.set_severity_number(10);
                log.set_severity_text("Info");
                log.set_body("placed \x1b[31m");
                log.set_attribute("n", 5_i64);
                log.set_attribute("list", AnyValue::Array(vec![1.5.into(), "a".into()]));
                log.set_trace_context([0xab; 16], [0; 8], 1);
            })
            .build()
    }

    #[test]
    fn basic_is_a_line_with_counts() {
        check(&logs(), Verbosity::Basic, "Logs: resource logs: 1, log records: 1\n");
    }

    #[test]
    fn normal_is_a_line_for_each_record() {
        check(
            &logs(),
            Verbosity::Normal,
            "Logs: resource logs: 1, log records: 1\nResourceLog #0 host.name=a1\nScopeLog #0 orders@1.2\n\
             placed \\u{1b}[31m n=5 list=[1.5,\"a\"]\n",
        );
    }

    #[test]
    fn detailed_logs_look_as_in_the_collector() {
        let expected = "\
Logs: resource logs: 1, log records: 1
ResourceLog #0
Resource SchemaURL: 
Resource attributes:
     -> host.name: Str(a1)
ScopeLogs #0
ScopeLogs SchemaURL: 
InstrumentationScope orders 1.2
LogRecord #0
ObservedTimestamp: 1970-01-01 00:00:00 +0000 UTC
Timestamp: 2020-02-11 20:26:13.000000789 +0000 UTC
SeverityText: Info
SeverityNumber: Info2(10)
Body: Str(placed \\u{1b}[31m)
Attributes:
     -> n: Int(5)
     -> list: Slice([1.5,\"a\"])
Trace ID: abababababababababababababababab
Span ID: 
Flags: 1
";
        check(&logs(), Verbosity::Detailed, expected);
    }

    #[test]
    fn detailed_spans_look_as_in_the_collector() {
        let batch = Batch::builder(Signal::Traces)
            .record(|span| {
                span.set_span_name("GET /");
                span.set_span_ids([1; 16], [2; 8], [0; 8]);
                span.set_span_times(1_000_000_000, 1_500_000_000);
                span.set_span_kind(2);
                span.set_status(2, "no stock");
            })
            .build();
        let expected = "\
Traces: resource spans: 1, spans: 1
ResourceSpans #0
Resource SchemaURL: 
ScopeSpans #0
ScopeSpans SchemaURL: 
InstrumentationScope  
Span #0
    Trace ID       : 01010101010101010101010101010101
    Parent ID      : 
    ID             : 0202020202020202
    Name           : GET /
    Kind           : Server
    Start time     : 1970-01-01 00:00:01 +0000 UTC
    End time       : 1970-01-01 00:00:01.5 +0000 UTC
    Status code    : Error
    Status message : no stock
";
        check(&batch, Verbosity::Detailed, expected);
    }

    #[test]
    fn detailed_points_look_as_in_the_collector() {
        let mut builder = Batch::builder(Signal::Metrics);
        builder.begin_number_metric("requests", "1", Some((2, true)));
        builder.push_point(0, 0, Number::Int(7), |point| point.set_attribute("method", "GET"));
        builder.push_point(0, 0, Number::Double(0.5), |_| ());
        let expected = "\
Metrics: resource metrics: 1, metrics: 1, data points: 2
ResourceMetrics #0
Resource SchemaURL: 
ScopeMetrics #0
ScopeMetrics SchemaURL: 
InstrumentationScope  
Metric #0
Descriptor:
     -> Name: requests
     -> Description: 
     -> Unit: 1
     -> DataType: Sum
     -> IsMonotonic: true
     -> AggregationTemporality: Cumulative
NumberDataPoints #0
Data point attributes:
     -> method: Str(GET)
StartTimestamp: 1970-01-01 00:00:00 +0000 UTC
Timestamp: 1970-01-01 00:00:00 +0000 UTC
Value: 7
NumberDataPoints #1
StartTimestamp: 1970-01-01 00:00:00 +0000 UTC
Timestamp: 1970-01-01 00:00:00 +0000 UTC
Value: 0.500000
";
        check(&builder.build(), Verbosity::Detailed, expected);
    }

    proptest! {
        #[test]
        fn property_any_batch_is_shown_without_control_characters(
            logs in any_batch(Signal::Logs), traces in any_batch(Signal::Traces), metrics in any_batch(Signal::Metrics),
        ) {
            for batch in [logs, traces, metrics] {
                for verbosity in [Verbosity::Basic, Verbosity::Normal, Verbosity::Detailed] {
                    let text = String::from_utf8(encode(&batch, verbosity)).unwrap();
                    prop_assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t'));
                }
            }
        }
    }
}
