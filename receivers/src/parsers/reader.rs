//! A format, compiled, and its detection.

use std::sync::LazyLock;

use watershed_pipeline::parse::{Fields, json, logfmt};
use watershed_pipeline::{BatchBuilder, RecordMut};

use super::columns::Columns;
use super::container::{Piece, Runtime};
use super::keys::{Moment, is_telling, lift};
use super::patterns::{ACCESS_LOG, KLOG, LOG4J, POSTGRESQL, PYTHON, Pattern};
use super::stats::Failure;
use super::{Fill, PARSE_ERROR, Source, syslog};

/// So many lines in a row that do not fit have the format detected anew.
const FAILURES_MAX: u32 = 16;
/// After so many lines that no format fits, none is looked for any more.
const ATTEMPTS_MAX: u32 = 256;

pub(super) enum Reader {
    /// Containers' lines or plain ones, whichever come.
    Auto,
    Plain(Content),
    Container(Runtime, Content),
}

/// A format of text.
pub(super) enum Content {
    Auto,
    None,
    Known(Known),
    Own(Box<Pattern>),
    Csv(Columns),
}

/// A format that has no settings, and so can be detected.
#[derive(Clone, Copy)]
pub(super) enum Known {
    Json,
    Logfmt,
    Syslog,
    Patterns(&'static LazyLock<Vec<Pattern>>),
}

const CANDIDATES: [(&str, Known); 8] = [
    ("json", Known::Json),
    ("syslog", Known::Syslog),
    ("klog", Known::Patterns(&KLOG)),
    ("access_log", Known::Patterns(&ACCESS_LOG)),
    ("postgresql", Known::Patterns(&POSTGRESQL)),
    ("python", Known::Patterns(&PYTHON)),
    ("log4j", Known::Patterns(&LOG4J)),
    ("logfmt", Known::Logfmt),
];

/// What is known of a source whose format is detected.
#[derive(Default)]
pub(super) struct Detection {
    runtime: Option<Runtime>,
    text: Option<(&'static str, Known)>,
    failures: u32,
    /// The same of lines that are no container's.
    wrapper_failures: u32,
    attempts: u32,
}

impl Detection {
    pub(super) fn name(&self) -> Option<&'static str> {
        self.runtime.map(Runtime::name).or(self.text.map(|(name, _)| name))
    }

    /// Counts lines that do not fit, and forgets the format after too many in a row.
    fn note(&mut self, has_failed: bool) {
        self.failures = if has_failed { self.failures + 1 } else { 0 };
        if self.failures >= FAILURES_MAX {
            *self = Self { runtime: self.runtime, ..Self::default() };
        }
    }

    /// Counts a line that is no container's, though others were.
    fn note_wrapper(&mut self) {
        self.wrapper_failures += 1;
        if self.wrapper_failures >= FAILURES_MAX {
            *self = Self::default();
        }
    }

    fn read(
        &mut self,
        line: &str,
        fields: &mut Fields,
        moment: Moment<'_>,
        record: &mut RecordMut<'_>,
    ) -> Result<(), Failure> {
        if let Some((_, known)) = self.text {
            let read = known.read(line, fields, moment, record);
            self.note(read.is_err());
            return read;
        }
        if self.attempts < ATTEMPTS_MAX && !line.trim().is_empty() {
            self.attempts += 1;
            let fits = |(_, known): &(&str, Known)| {
                known.is_likely(line, fields) && known.read(line, fields, moment, record).is_ok()
            };
            self.text = CANDIDATES.into_iter().find(fits);
        }
        if self.text.is_none() {
            record.set_body(line);
        }
        Ok(())
    }
}

impl Known {
    /// Whether a line that can be read in this format is likely to be meant so.
    fn is_likely(self, line: &str, fields: &mut Fields) -> bool {
        match self {
            Self::Logfmt => logfmt::read(line, fields).is_ok_and(is_telling),
            Self::Json => line.trim_start().starts_with('{'),
            Self::Syslog | Self::Patterns(_) => true,
        }
    }

    fn read(
        self,
        line: &str,
        fields: &mut Fields,
        moment: Moment<'_>,
        record: &mut RecordMut<'_>,
    ) -> Result<(), Failure> {
        match self {
            Self::Json => {
                let entries = json::read(line, fields)
                    .map_err(|error| Failure { format: "json", reason: json_reason(error.reason) })?;
                lift(entries.iter(), Some(line), moment, None, record);
                Ok(())
            }
            Self::Logfmt => {
                let entries = logfmt::read(line, fields)
                    .map_err(|error| Failure { format: "logfmt", reason: logfmt_reason(error) })?;
                lift(entries.iter(), Some(line), moment, None, record);
                Ok(())
            }
            Self::Syslog => syslog::read(line, moment, record),
            Self::Patterns(patterns) => {
                let mut read = Err(Failure { format: "regex", reason: "no match" });
                for pattern in patterns.iter() {
                    read = pattern.read(line, fields, moment, record);
                    if read.is_ok() {
                        break;
                    }
                }
                read
            }
        }
    }
}

/// The kind of mistake in JSON, as a label.
pub(super) fn json_reason(reason: json::JsonReason) -> &'static str {
    match reason {
        json::JsonReason::Syntax => "syntax",
        json::JsonReason::End => "unexpected end",
        json::JsonReason::NotAnObject => "not an object",
        json::JsonReason::Trailing => "something follows the object",
        json::JsonReason::Depth => "nested too deep",
        json::JsonReason::Keys => "too many keys",
    }
}

fn logfmt_reason(error: logfmt::LogfmtError) -> &'static str {
    match error {
        logfmt::LogfmtError::NoPair => "no pair of key and value",
        logfmt::LogfmtError::NoKey => "a key is missing",
        logfmt::LogfmtError::Quote => "a quoted value is broken",
        logfmt::LogfmtError::Keys => "too many keys",
    }
}

impl Content {
    /// Reads a line into a record. If it can't, the record is as it was.
    fn read(
        &self,
        line: &str,
        fields: &mut Fields,
        detection: &mut Detection,
        moment: Moment<'_>,
        record: &mut RecordMut<'_>,
    ) -> Result<(), Failure> {
        match self {
            Self::Auto => detection.read(line, fields, moment, record),
            Self::None => {
                record.set_body(line);
                Ok(())
            }
            Self::Known(known) => known.read(line, fields, moment, record),
            Self::Own(pattern) => pattern.read(line, fields, moment, record),
            Self::Csv(columns) => {
                let entries = columns.read(line, fields)?;
                lift(entries.iter(), Some(line), moment, None, record);
                Ok(())
            }
        }
    }

    /// Whether a line says nothing: a header within the text.
    fn is_header(&self, line: &str) -> bool {
        matches!(self, Self::Csv(columns) if columns.is_header(line))
    }
}

impl Reader {
    /// Makes records of a line.
    pub(super) fn read(
        &self,
        source: &mut Source,
        line: &str,
        moment: Moment<'_>,
        builder: &mut BatchBuilder,
        fill: &mut Fill<'_>,
    ) {
        match self {
            Self::Plain(content) if content.is_header(line) => {}
            Self::Plain(content) => push(content, source, line, moment, None, builder, fill),
            Self::Container(runtime, content) => {
                read_container(*runtime, content, source, line, moment, builder, fill);
            }
            Self::Auto => {
                let detection = &mut source.detection;
                if detection.text.is_none() && detection.runtime.is_none() {
                    detection.runtime = Runtime::of(line, &mut source.fields);
                }
                match detection.runtime {
                    Some(runtime) => {
                        read_container(runtime, &Content::Auto, source, line, moment, builder, fill);
                    }
                    None => push(&Content::Auto, source, line, moment, None, builder, fill),
                }
            }
        }
    }

    /// Makes records of the pieces that are held back.
    pub(super) fn flush(
        &self,
        source: &mut Source,
        moment: Moment<'_>,
        builder: &mut BatchBuilder,
        fill: &mut Fill<'_>,
    ) {
        let content = match self {
            Self::Auto => &Content::Auto,
            Self::Plain(content) | Self::Container(_, content) => content,
        };
        for (origin, text) in source.partial.take_all() {
            push(content, source, &text, moment, Some(&origin.piece()), builder, fill);
        }
    }
}

fn read_container(
    runtime: Runtime,
    content: &Content,
    source: &mut Source,
    line: &str,
    moment: Moment<'_>,
    builder: &mut BatchBuilder,
    fill: &mut Fill<'_>,
) {
    // The text within may be read with the other buffer while this one holds it.
    let mut wrapper = std::mem::take(&mut source.wrapper);
    match runtime.split(line, &mut wrapper) {
        Ok((piece, text)) => {
            source.detection.wrapper_failures = 0;
            if let Some(whole) = source.partial.join(&piece, text) {
                push(content, source, &whole, moment, Some(&piece), builder, fill);
            }
        }
        Err(failure) => {
            source.detection.note_wrapper();
            push_raw(failure, source, line, moment, builder, fill);
        }
    }
    source.wrapper = wrapper;
}

/// Makes a record of a text. What the container's runtime says of it is set first, so that the text's own time wins.
fn push(
    content: &Content,
    source: &mut Source,
    line: &str,
    moment: Moment<'_>,
    piece: Option<&Piece<'_>>,
    builder: &mut BatchBuilder,
    fill: &mut Fill<'_>,
) {
    let Source { fields, detection, stats, .. } = source;
    builder.push(|record| {
        record.set_observed_time_unix_nano(moment.observed);
        fill(record);
        if let Some(piece) = piece {
            piece.describe(record);
        }
        match content.read(line, fields, detection, moment, record) {
            Ok(()) => stats.parsed += 1,
            Err(failure) => {
                mark(record, line, failure);
                stats.fail(failure);
            }
        }
    });
}

fn push_raw(
    failure: Failure,
    source: &mut Source,
    line: &str,
    moment: Moment<'_>,
    builder: &mut BatchBuilder,
    fill: &mut Fill<'_>,
) {
    source.stats.fail(failure);
    builder.push(|record| {
        record.set_observed_time_unix_nano(moment.observed);
        fill(record);
        mark(record, line, failure);
    });
}

/// Has an unreadable line go on as it is.
fn mark(record: &mut RecordMut<'_>, line: &str, failure: Failure) {
    record.set_body(line);
    record.set_attribute(PARSE_ERROR, failure.to_string());
}
