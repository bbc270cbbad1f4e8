//! Makes records of the entries of a block. What happens to a line between being cut and being a record happens here.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use watershed_pipeline::{Batch, BatchBuilder, RecordMut, Signal};

use super::encoding::Encoding;
use crate::parsers::{Parser, Source};

/// What every record says of its file.
pub(super) struct Records {
    /// Reads what lines say. Without it a line is the body.
    pub(super) parser: Option<Parser>,
    pub(super) has_operators: bool,
    pub(super) file_name: bool,
    pub(super) file_path: bool,
    pub(super) file_name_resolved: bool,
    pub(super) file_path_resolved: bool,
    pub(super) record_number: bool,
    pub(super) record_offset: bool,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) resource: Vec<(String, String)>,
}

/// Where a block comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) path: Option<&'a Path>,
    pub(super) encoding: Encoding,
    /// Bytes of the file before the block.
    pub(super) offset: u64,
    /// Records of the file before the block.
    pub(super) number: u64,
    /// When it was read, in nanoseconds since the Unix epoch.
    pub(super) observed: u64,
}

/// The records of a block.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) batch: Batch,
    /// How many entries held bytes that were no text.
    pub(super) replaced: u64,
    /// How many of the entries are in records that are made. The ones behind wait for more lines and are held back.
    pub(super) settled: usize,
}

impl Records {
    /// Makes records of the entries of a block; `is_over` if held back lines wait for nothing any more.
    pub(super) fn build(
        &self,
        piece: &Piece<'_>,
        block: Bytes,
        entries: &[Range<usize>],
        parsing: &mut Source,
        is_over: bool,
    ) -> Built {
        let bytes = block.clone();
        let mut builder = Batch::builder_over(Signal::Logs, block);
        builder.begin_resource(|resource| {
            self.resource.iter().for_each(|(key, value)| resource.set_attribute(key, value.as_str()));
        });
        // Operators see records of their own, which have to say everything themselves.
        if !self.has_operators {
            builder.template(entries.len(), |record| self.describe(record, piece));
        }
        let (mut replaced, mut settled) = (0, 0);
        for (index, entry) in entries.iter().enumerate() {
            let (number, offset) = (piece.number + index as u64 + 1, piece.offset + entry.start as u64);
            if (self.record_number || self.record_offset) && !self.has_operators {
                builder.template(0, |record| {
                    self.describe(record, piece);
                    self.locate(record, number, offset);
                });
            }
            let Some(parser) = &self.parser else {
                replaced += u64::from(push(&mut builder, piece.encoding, &bytes, entry));
                continue;
            };
            let (line, broken) = line(piece.encoding, bytes.get(entry.clone()).unwrap_or_default());
            replaced += u64::from(broken);
            let mut fill = |record: &mut RecordMut<'_>| {
                if self.has_operators {
                    self.describe(record, piece);
                    self.locate(record, number, offset);
                }
            };
            parser.parse(parsing, &line, piece.observed, &mut builder, &mut fill);
            if !parsing.is_holding() {
                settled = index + 1;
            }
        }
        match &self.parser {
            Some(parser) if is_over && parsing.is_holding() => {
                parser.flush(parsing, piece.observed, &mut builder, &mut |record| {
                    if self.has_operators {
                        self.describe(record, piece);
                    }
                });
                settled = entries.len();
            }
            Some(_) => {}
            None => settled = entries.len(),
        }
        Built { batch: builder.build(), replaced, settled }
    }

    fn describe(&self, record: &mut RecordMut<'_>, piece: &Piece<'_>) {
        record.set_observed_time_unix_nano(piece.observed);
        self.attributes.iter().for_each(|(key, value)| record.set_attribute(key, value.as_str()));
        let Some(path) = piece.path else { return };
        if self.file_name {
            record.set_attribute("log.file.name", &*name(path));
        }
        if self.file_path {
            record.set_attribute("log.file.path", &*path.to_string_lossy());
        }
        if self.file_name_resolved || self.file_path_resolved {
            let resolved = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            if self.file_name_resolved {
                record.set_attribute("log.file.name_resolved", &*name(&resolved));
            }
            if self.file_path_resolved {
                record.set_attribute("log.file.path_resolved", &*resolved.to_string_lossy());
            }
        }
    }

    fn locate(&self, record: &mut RecordMut<'_>, number: u64, offset: u64) {
        if self.record_number {
            record.set_attribute("log.file.record_number", number.cast_signed());
        }
        if self.record_offset {
            record.set_attribute("log.file.record_offset", offset.cast_signed());
        }
    }
}

/// Adds an entry as it is; says whether it held bytes that are no text.
fn push(builder: &mut BatchBuilder, encoding: Encoding, bytes: &[u8], entry: &Range<usize>) -> bool {
    match encoding {
        Encoding::Utf8 => builder.push_piece(entry.clone()),
        Encoding::Utf8Raw => {
            builder.push_piece_as_bytes(entry);
            false
        }
        encoding => {
            let (text, broken) = encoding.decode(bytes.get(entry.clone()).unwrap_or_default());
            builder.push(|record| record.set_body(&*text));
            broken
        }
    }
}

/// An entry as parsers want it, and whether it held bytes that are no text.
fn line(encoding: Encoding, entry: &[u8]) -> (Cow<'_, [u8]>, bool) {
    match encoding {
        // What is no text is replaced by the parser.
        Encoding::Utf8 | Encoding::Utf8Raw => (entry.into(), std::str::from_utf8(entry).is_err()),
        encoding => {
            let (text, broken) = encoding.decode(entry);
            (text.into_owned().into_bytes().into(), broken)
        }
    }
}

/// Nanoseconds since the Unix epoch.
pub(super) fn nanoseconds(wall: SystemTime) -> u64 {
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
