//! What is known of one content: where it is, how it begins, and how far it was read.
//!
//! A trail follows content, not a file: when a file is truncated, its old content goes on living in the copy that was
//! made of it, and when it is compressed, in the archive. The trail then moves there and its position with it.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::identity::{FileKey, Fingerprint, Position};
use super::source::Source;
use crate::parsers;

/// The number of a trail, never used twice.
pub(super) type TrailId = u64;

/// One content.
#[derive(Default)]
pub(super) struct Trail {
    /// The file that holds it; `None` when it is not known where it is, or that it is gone.
    pub(super) key: Option<FileKey>,
    /// The file's name; `None` when it has none that matches.
    pub(super) path: Option<PathBuf>,
    /// The last name that it had before this one, or before it had none.
    pub(super) former: Option<PathBuf>,
    /// How it begins.
    pub(super) fingerprint: Fingerprint,
    /// What was delivered.
    pub(super) delivered: Position,
    /// What was read, some of which may be on its way.
    pub(super) read: Position,
    /// The last place up to which all records are made: lines behind it may be held back for others to come.
    pub(super) settled: Position,
    /// What the parser remembers.
    pub(super) parsing: parsers::Source,
    /// The last bytes before `read`.
    pub(super) tail: Vec<u8>,
    pub(super) source: Option<Source>,
    /// Whether it is compressed where it is.
    pub(super) is_archive: bool,
    /// Whether all that is there was read.
    pub(super) at_end: bool,
    /// How much there was when it was looked at last; of a compressed file, its own size.
    pub(super) size: u64,
    /// When its file was written to, as the file system says.
    pub(super) modified: Option<SystemTime>,
    /// When it was seen to grow.
    pub(super) grown: Option<Instant>,
    /// Since when its file has no name.
    pub(super) gone: Option<Instant>,
    /// Bytes to read at once, if more than usual.
    pub(super) block: usize,
    /// Whether it waits to be read.
    pub(super) is_queued: bool,
    /// Whether it was seen since the start, and not only in the checkpoints.
    pub(super) is_seen: bool,
    /// Whether it can't be read until it changes.
    pub(super) is_broken: bool,
}

impl Trail {
    /// Whether it is known where the content is.
    pub(super) fn is_located(&self) -> bool {
        self.key.is_some()
    }

    /// Gives it a name, remembering the one before.
    pub(super) fn name(&mut self, path: Option<&Path>) {
        if self.path.as_deref() != path
            && let Some(former) = std::mem::replace(&mut self.path, path.map(Path::to_owned))
        {
            self.former = Some(former);
        }
    }

    /// Forgets where it is.
    pub(super) fn leave(&mut self) {
        self.name(None);
        self.key = None;
        self.source = None;
        self.gone = None;
    }

    /// Bytes that were seen and not yet delivered; of a compressed file, nobody knows.
    pub(super) fn lag(&self) -> u64 {
        if self.is_archive || !self.is_located() {
            0
        } else {
            self.size.saturating_sub(self.delivered.offset)
        }
    }
}
