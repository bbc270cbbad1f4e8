//! Lines of text into log records: what every receiver of lines (files, HTTP) shares.
//!
//! A receiver embeds three settings, [`Format`], the zone of times without one, and a list of operators, and compiles them once into
//! a [`Parser`]. For each source of lines (a file, a connection, one request) it keeps a [`Source`]: the format that was
//! detected, pieces of a line that is not complete, counters. It builds the batch over the block it has read, so that
//! bodies and attributes point into the block:
//!
//! ```ignore
//! let parser = Parser::compile(&Rules { format: &config.format, .. })?;      // once
//! let mut source = parser.source();                                          // for each file
//! let mut builder = Batch::builder_over(Signal::Logs, block.clone());        // for each block
//! builder.begin_resource(|resource| …);
//! for line in lines(&block) {
//!     parser.parse(&mut source, line, now, &mut builder, &mut |record| record.set_attribute("log.file.name", name));
//! }
//! if at_end_or_idle { parser.flush(&mut source, &mut builder, &mut |record| …); }
//! publish(source.take_stats());
//! ```
//!
//! A line becomes no record (a piece of a longer one, or dropped by an operator that was told to), one, or more.
//! **Nothing is dropped for being unreadable**: the line becomes the body as it is, the attribute `log.parse.error` says
//! `<format>: <reason>`, and the failure is counted.

mod format;
mod json;
mod keys;
mod stats;

use watershed_config::BuildError;
use watershed_pipeline::parse::Fields;
use watershed_pipeline::{BatchBuilder, RecordMut};

pub(crate) use format::Format;
pub(crate) use stats::{Failure, Stats};

/// The settings of a parser, from wherever the receiver keeps them.
pub(crate) struct Rules<'a> {
    pub(crate) format: &'a Format,
}

/// Settings, compiled. Serves any number of sources.
pub(crate) struct Parser {
    format: Format,
}

/// What is kept between the lines of one source.
#[derive(Default)]
pub(crate) struct Source {
    fields: Fields,
    stats: Stats,
}

/// What the receiver adds to each record: called for every record that is made, before the line is looked at.
pub(crate) type Fill<'f> = dyn FnMut(&mut RecordMut<'_>) + 'f;

impl Parser {
    /// Compiles the settings.
    ///
    /// # Errors
    /// Names the setting that can't be, as `format…` or `operators[2]…`.
    pub(crate) fn compile(rules: &Rules<'_>) -> Result<Self, BuildError> {
        Ok(Self { format: rules.format.clone() })
    }

    /// The state of a new source.
    pub(crate) fn source(&self) -> Source {
        Source::default()
    }

    /// Makes records of a line, given without its line break. Bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn parse(
        &self,
        source: &mut Source,
        line: &[u8],
        observed_unix_nano: u64,
        builder: &mut BatchBuilder,
        fill: &mut Fill<'_>,
    ) {
        let text = String::from_utf8_lossy(line);
        builder.push(|record| {
            record.set_observed_time_unix_nano(observed_unix_nano);
            fill(record);
            let done = match self.format {
                Format::Json => json::parse(&text, &mut source.fields, record),
                _ => {
                    record.set_body(&*text);
                    Ok(())
                }
            };
            match done {
                Ok(()) => source.stats.parsed += 1,
                Err(failure) => {
                    record.set_body(&*text);
                    record.set_attribute("log.parse.error", failure.to_string());
                    source.stats.fail(failure);
                }
            }
        });
    }

    /// Makes records of what is held back for lines that never came: at the end of a source, or when it has been silent
    /// for so long that no more is expected.
    pub(crate) fn flush(&self, source: &mut Source, builder: &mut BatchBuilder, fill: &mut Fill<'_>) {
        let _ = (source, builder, fill);
    }
}

impl Source {
    /// Whether lines are held back that wait for others.
    pub(crate) fn is_holding(&self) -> bool {
        false
    }

    /// What was counted since the last call.
    pub(crate) fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }
}
