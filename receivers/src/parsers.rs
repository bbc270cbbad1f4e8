//! Lines of text into log records: what every receiver of lines (files, HTTP) shares. Not a component.
//!
//! A receiver embeds three settings ([`Format`], the name of a time zone, and a list of [`Operator`]s) and compiles
//! them once into a [`Parser`]. For each source of lines (a file, a connection) it keeps a [`Source`]: the format that
//! was detected, pieces of a line that is not complete, counters. It builds the batch over the block it has read, so
//! that bodies and attributes point into the block instead of being copied:
//!
//! ```
//! use watershed_pipeline::{Batch, Signal};
//! use watershed_receivers::parsers::{Format, Parser, Rules};
//!
//! // Once.
//! let parser = Parser::compile(&Rules { format: &Format::Auto, time_zone: "UTC", operators: &[] }).unwrap();
//! // For each file.
//! let mut source = parser.source();
//! // For each block.
//! let block = bytes::Bytes::from_static(b"{\"level\":\"warn\",\"msg\":\"slow\",\"took\":12}");
//! let mut builder = Batch::builder_over(Signal::Logs, block.clone());
//! builder.begin_resource(|resource| resource.set_attribute("host.name", "a"));
//! let now = 1_734_604_215_000_000_000;
//! for line in block.split(|byte| *byte == b'\n') {
//!     parser.parse(&mut source, line, now, &mut builder, &mut |record| {
//!         record.set_attribute("log.file.name", "app.log");
//!     });
//! }
//! // At the end of a file, or when it has been silent for long.
//! parser.flush(&mut source, now, &mut builder, &mut |_| ());
//! let stats = source.take_stats();
//! assert_eq!(stats.parsed, 1);
//!
//! let batch = builder.build();
//! let log = batch.logs().next().unwrap();
//! assert_eq!((log.severity_number(), log.severity_text()), (13, "warn"));
//! assert_eq!(log.body().unwrap().as_str(), Some("slow"));
//! ```
//!
//! A line becomes one record, or none (a piece of a longer line, or dropped by an operator that was told to), or more.
//! **Nothing is dropped for being unreadable**: the line becomes the body as it is, the attribute `log.parse.error` says
//! `<format>: <reason>`, and the failure is counted by format and reason.
//!
//! # Detection
//!
//! With `auto` the first line that any format takes decides, in the order of [`Format`]'s page; lines before it become
//! bodies as they are and are no failures. The format then stays. Only after 16 lines in a row that it does not take is it
//! detected anew. A file that begins with a banner is thus read rightly, and a stack trace in the middle of one changes nothing.
//!
//! Memory: a source keeps pieces of a container's line up to 1 MiB for each of its two streams, and what `recombine`
//! holds up to that operator's limits.

mod columns;
mod container;
mod format;
pub(crate) mod keys;
mod operators;
mod patterns;
mod reader;
mod stats;
mod syslog;

use std::borrow::Cow;

use watershed_config::BuildError;
use watershed_pipeline::parse::{Fields, Zone};
use watershed_pipeline::{BatchBuilder, RecordMut};

use container::Partial;
pub use format::{ContainerFormat, CsvFormat, Format, RegexFormat};
use keys::Moment;
pub use operators::Operator;
use operators::{Chain, Held};
use reader::{Detection, Reader};
pub use stats::{Failure, Stats};

/// The attribute that says why a line could not be read.
pub const PARSE_ERROR: &str = "log.parse.error";

/// The settings of a parser, from wherever the receiver keeps them.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// How lines are written.
    pub format: &'a Format,
    /// The zone of times that name none: `UTC`, `Local`, `+02:00`, `Europe/Vienna`.
    pub time_zone: &'a str,
    /// What to do with each record, after its format has been read.
    pub operators: &'a [Operator],
}

/// Settings, compiled. Serves any number of sources.
pub struct Parser {
    reader: Reader,
    zone: Zone,
    chain: Option<Chain>,
}

/// What is kept between the lines of one source.
#[derive(Default)]
pub struct Source {
    fields: Fields,
    /// What a container's runtime wrote around the text.
    wrapper: Fields,
    detection: Detection,
    partial: Partial,
    held: Held,
    stats: Stats,
}

/// What the receiver adds to each record that is made: called before anything else is set.
pub type Fill<'f> = dyn FnMut(&mut RecordMut<'_>) + 'f;

impl Parser {
    /// Compiles the settings.
    ///
    /// # Errors
    /// Names the setting that can't be: `format.regex.regex`, `time_zone`, `operators[2].if`.
    pub fn compile(rules: &Rules<'_>) -> Result<Self, BuildError> {
        let zone =
            Zone::named(rules.time_zone).map_err(|error| BuildError::at("time_zone", error.to_string()))?;
        let chain = (!rules.operators.is_empty()).then(|| Chain::compile(rules.operators, &zone));
        Ok(Self { reader: rules.format.compile()?, zone, chain: chain.transpose()? })
    }

    /// The state of a new source.
    #[must_use]
    pub fn source(&self) -> Source {
        Source::default()
    }

    /// Makes records of a line, given without its line break. Bytes that are not UTF-8 become U+FFFD. A time without a year
    /// or a date is taken to be shortly before the time of reading.
    pub fn parse(
        &self,
        source: &mut Source,
        line: &[u8],
        observed_unix_nano: u64,
        builder: &mut BatchBuilder,
        fill: &mut Fill<'_>,
    ) {
        let line = match std::str::from_utf8(line) {
            Ok(line) => Cow::Borrowed(line),
            Err(_) => String::from_utf8_lossy(line),
        };
        let moment = Moment { zone: &self.zone, observed: observed_unix_nano };
        let Some(chain) = &self.chain else {
            return self.reader.read(source, &line, moment, builder, fill);
        };
        let mut own = watershed_pipeline::Batch::builder(watershed_pipeline::Signal::Logs);
        self.reader.read(source, &line, moment, &mut own, fill);
        let batch = own.build();
        for log in batch.logs() {
            chain.run(log, moment, &mut source.held, &mut source.stats, builder);
        }
    }

    /// Makes records of what is held back for lines that never came. A receiver calls it at the end of a source, and when
    /// [`Source::is_holding`] and no line has come for some seconds.
    pub fn flush(
        &self,
        source: &mut Source,
        observed_unix_nano: u64,
        builder: &mut BatchBuilder,
        fill: &mut Fill<'_>,
    ) {
        let moment = Moment { zone: &self.zone, observed: observed_unix_nano };
        let Some(chain) = &self.chain else { return self.reader.flush(source, moment, builder, fill) };
        let mut own = watershed_pipeline::Batch::builder(watershed_pipeline::Signal::Logs);
        self.reader.flush(source, moment, &mut own, fill);
        let batch = own.build();
        for log in batch.logs() {
            chain.run(log, moment, &mut source.held, &mut source.stats, builder);
        }
        chain.flush(moment, &mut source.held, &mut source.stats, builder);
    }
}

impl Source {
    /// Whether lines are held back that wait for others.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.partial.is_holding() || self.held.is_holding()
    }

    /// The format that was detected, by its name in settings; none without `auto`, or before a line has told.
    #[must_use]
    pub fn detected(&self) -> Option<&'static str> {
        self.detection.name()
    }

    /// What was counted since the last call.
    pub fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }
}

#[cfg(test)]
mod tests;
