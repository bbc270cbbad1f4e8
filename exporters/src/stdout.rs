//! Writes telemetry to the standard output: one line of JSON a record, or text for people.
//!
//! ```yaml
//! stdout:
//!   format: pretty
//!   color: auto
//! ```
//!
//! `format: json` is one flat object a record, always with the keys `timestamp` (ISO 8601, UTC, milliseconds), `level`,
//! `logger`, `message`, `correlation_id`, `user_id`, `operation`, `service`, `module` and `metadata`; the first nine hold
//! text or null, `metadata` holds all that is left. `otlp_json` is one OTLP/JSON request a line. `pretty` is for people:
//! control characters are shown as escapes there, so that a log can't drive the terminal that it is shown on.
//!
//! Signals: all. Order: kept within a batch; the lines of a batch stand together. Loss: none, if the reader of the output
//! reads it all. Memory: the text of one batch for each export that runs. When the reader closes the pipe, the process
//! stops and says so. By default there is no queue in front: a slow reader slows the pipeline down.

mod pretty;

use std::io::{self, IsTerminal as _, Write};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{Batch, Context, ExportError, Exporter, ExporterConfig, Reach};

use crate::flat_json;
use crate::otlp_json;

/// Settings of the exporter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What a line looks like. Default `json`.
    #[serde(default)]
    format: Format,
    /// Whether `pretty` uses colours. Default `auto`: only when the output is a terminal.
    #[serde(default)]
    color: Color,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// One flat JSON object a record.
    #[default]
    Json,
    /// One OTLP/JSON request a batch.
    OtlpJson,
    /// Text for people.
    Pretty,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Color {
    /// When the output is a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ExporterConfig for Config {
    const TYPE: &'static str = "stdout";
    const SOURCE: &'static str = include_str!("stdout.rs");
    const REACH: Reach = Reach::Local;
    type Exporter = Stdout;

    fn build(&self, _cx: &Context) -> Result<Stdout, BuildError> {
        let is_colored = match self.color {
            Color::Auto => io::stdout().is_terminal(),
            Color::Always => true,
            Color::Never => false,
        };
        Ok(Stdout { format: self.format, is_colored })
    }
}

/// Writes batches to the standard output.
pub(crate) struct Stdout {
    format: Format,
    is_colored: bool,
}

#[async_trait]
impl Exporter for Stdout {
    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        let text = encode(batch, self.format, self.is_colored)?;
        // A reader that pauses blocks the write, for hours if it likes; no thread of the engine may wait for it.
        let written = tokio::task::spawn_blocking(move || write(&mut io::stdout().lock(), &text)).await;
        written.unwrap_or_else(|stopped| Err(fatal(&stopped)))
    }
}

/// The lines of a batch.
fn encode(batch: &Batch, format: Format, is_colored: bool) -> Result<Vec<u8>, ExportError> {
    let mut out = Vec::new();
    match format {
        Format::Json => {
            for record in batch.records() {
                flat_json::push_record(&mut out, record);
                out.push(b'\n');
            }
        }
        Format::OtlpJson => {
            otlp_json::push_batch(&mut out, batch)?;
            out.push(b'\n');
        }
        Format::Pretty => {
            for record in batch.records() {
                pretty::push_record(&mut out, record, is_colored);
            }
        }
    }
    Ok(out)
}

fn write(sink: &mut impl Write, text: &[u8]) -> Result<(), ExportError> {
    sink.write_all(text).and_then(|()| sink.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ExportError::Fatal {
            reason:
                "the reader of the standard output has closed it; keep it open, or send the output to a file"
                    .to_owned(),
        },
        _ => fatal(&error),
    })
}

fn fatal(error: &dyn std::error::Error) -> ExportError {
    ExportError::Fatal { reason: format!("cannot write to the standard output: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use watershed_pipeline::Signal;
    use watershed_pipeline::testing::any_batch;

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn batch() -> Batch {
        Batch::builder(Signal::Logs)
            .record(|log| log.set_body("one"))
            .record(|log| log.set_body("two"))
            .build()
    }

    #[test]
    fn a_closed_pipe_stops_the_process_with_advice() {
        let error = write(&mut Broken(io::ErrorKind::BrokenPipe), b"x").unwrap_err();
        assert!(matches!(&error, ExportError::Fatal { reason } if reason.contains("closed")), "{error:?}");
    }

    #[test]
    fn json_is_one_line_a_record() {
        let text = encode(&batch(), Format::Json, false).unwrap();
        let lines: Vec<serde_json::Value> = String::from_utf8(text)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!([&lines[0]["message"], &lines[1]["message"]], ["one", "two"]);
    }

    #[test]
    fn otlp_json_is_one_line_a_batch() {
        let text = String::from_utf8(encode(&batch(), Format::OtlpJson, false).unwrap()).unwrap();
        assert_eq!(text.lines().count(), 1);
        let request: serde_json::Value = serde_json::from_str(&text).unwrap();
        let records = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
        assert_eq!(records[1]["body"]["stringValue"], "two");
    }

    proptest! {
        #[test]
        fn property_any_batch_is_one_line_of_otlp_json_and_safe_text(
            logs in any_batch(Signal::Logs), traces in any_batch(Signal::Traces), metrics in any_batch(Signal::Metrics),
        ) {
            for batch in [logs, traces, metrics] {
                let line = encode(&batch, Format::OtlpJson, false).unwrap();
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&line).unwrap().is_object());
                prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                let text = String::from_utf8(encode(&batch, Format::Pretty, false).unwrap()).unwrap();
                prop_assert!(!text.contains('\x1b'));
            }
        }
    }
}
