//! Makes records of the entries of a block. What happens to a line between being cut and being a record happens here.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use watershed_pipeline::{Batch, RecordMut, Signal};

use super::encoding::Encoding;

/// What every record says of its file.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
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
}

impl Records {
    /// Makes a batch of the entries of a block, and says how many of them held bytes that were no text.
    pub(super) fn build(
        &self,
        piece: &Piece<'_>,
        block: Bytes,
        entries: &[Range<usize>],
        wall: SystemTime,
    ) -> (Batch, u64) {
        let bytes = block.clone();
        let mut builder = Batch::builder_over(Signal::Logs, block);
        builder.begin_resource(|resource| {
            self.resource.iter().for_each(|(key, value)| resource.set_attribute(key, value.as_str()));
        });
        let template = |record: &mut RecordMut<'_>| self.describe(record, piece, wall);
        builder.template(entries.len(), template);
        let mut replaced = 0;
        for (index, entry) in entries.iter().enumerate() {
            if self.record_number || self.record_offset {
                builder.template(0, |record| {
                    self.describe(record, piece, wall);
                    self.locate(record, piece.number + index as u64 + 1, piece.offset + entry.start as u64);
                });
            }
            let broken = match piece.encoding {
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
            };
            replaced += u64::from(broken);
        }
        (builder.build(), replaced)
    }

    fn describe(&self, record: &mut RecordMut<'_>, piece: &Piece<'_>, wall: SystemTime) {
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        record.set_observed_time_unix_nano(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
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

fn name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
