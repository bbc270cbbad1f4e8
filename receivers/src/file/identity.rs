//! What makes a file the same one under another name: its device and inode, and how its content begins.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// Bytes before a position whose checksum is remembered with it.
pub(super) const TAIL: u64 = 64;

/// A file of the file system, as long as it exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileKey {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileKey {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// How a content begins: as many bytes as were there when it was looked at last, up to a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(pub(super) Vec<u8>);

impl Fingerprint {
    /// Whether content that begins so can be the same, grown or not.
    pub(super) fn fits(&self, head: &[u8]) -> bool {
        let common = self.0.len().min(head.len());
        self.0.get(..common) == head.get(..common)
    }

    /// Whether content that begins so is this one, grown or not.
    pub(super) fn begins(&self, head: &[u8]) -> bool {
        head.starts_with(&self.0)
    }

    /// Learns more of the beginning; says whether there was more.
    pub(super) fn learn(&mut self, head: &[u8]) -> bool {
        let more = head.len() > self.0.len();
        if more {
            self.0 = head.to_vec();
        }
        more
    }
}

/// A place in a content up to which it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Bytes before it.
    pub(super) offset: u64,
    /// Records before it.
    pub(super) number: u64,
    /// The CRC32C of the last [`TAIL`] bytes before it.
    pub(super) tail: u32,
    /// Whether the rest of an oversized entry follows.
    pub(super) skipping: bool,
}

impl Position {
    /// Where the bytes begin of which `tail` is the checksum.
    pub(super) fn tail_start(&self) -> u64 {
        self.offset.saturating_sub(TAIL)
    }
}
