//! A queue on disk: append-only segments, group commit, acknowledgement out of order, recovery from anything.
//!
//! What is appended is on disk before its sender is told so. What is taken stays on disk until it is
//! acknowledged; after a crash it is taken again, so everything arrives at least once.
//!
//! A queue is a directory:
//!
//! | name | is |
//! | --- | --- |
//! | `lock` | locked by the process that uses the queue |
//! | `00000000000000000001.seg` | a segment of records, named by its first sequence number |
//! | `acks` | ranges of sequence numbers that were delivered |
//! | `groups` | which records were merged, and under which id they were sent |
//! | `quarantine/` | damaged segments, once everything readable in them is delivered |
//! | `dead_letters/` | a queue of its own: what the far end refused for good |
//!
//! Rules that hold at any moment: a sequence number is used once; a record behind the first number of the next
//! segment does not count; a segment that is missing was delivered; a segment is removed only when what was
//! delivered is written down and synced.
//!
//! Read in this order: `record`, `payload` and `segment` (the format), `disk`, `state`, `recovery`, `writer`, `inbox` and
//! `reader` (the two sides), `groups`, `store` (what the delivery uses).

mod acks;
mod dead_letters;
mod disk;
#[cfg(test)]
mod faulty;
mod groups;
mod inbox;
#[cfg(test)]
mod model;
mod note;
mod options;
mod payload;
mod quarantine;
mod ranges;
mod reader;
mod record;
mod recovery;
#[cfg(test)]
mod scenarios;
mod segment;
mod state;
mod store;
mod tools;
mod writer;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use dead_letters::DeadLetters;
pub(crate) use disk::{Disk, DiskFile, OsDisk};
#[cfg(test)]
pub(crate) use faulty::FaultyDisk;
pub(crate) use groups::{Group, Piece};
pub(crate) use note::{to_batch, to_record};
pub(crate) use options::{Fsync, StoreOptions};
pub(crate) use payload::Encoding;
pub(crate) use record::{Record, Tally, take};
pub(crate) use state::{Content, Ticket};
pub(crate) use store::{AppendError, Store};
pub use tools::{Damage, Inspection, Part, Queue, RecordInfo};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::batch::Signal;

/// Bytes of one record at most.
pub(crate) const MAX_RECORD: u64 = 1 << 30;

/// The directory of the queue of an exporter for a signal: `<root>/<exporter>/<signal>`, with the id as [`file_name`].
pub(crate) fn queue_directory(root: &Path, exporter: &str, signal: Signal) -> PathBuf {
    root.join(file_name(exporter)).join(signal.name())
}

/// The storage directory, shared with components that keep something of their own.
#[derive(Clone, Debug)]
pub struct StorageDirectory(pub PathBuf);

impl StorageDirectory {
    /// The directory of what a receiver keeps: `<root>/receivers/<receiver>`, written as for queues.
    #[must_use]
    pub fn of_receiver(&self, receiver: &str) -> PathBuf {
        self.0.join("receivers").join(file_name(receiver))
    }
}

/// An id as a name in a directory: everything but letters, digits, `_` and `-` is written as `%` and two hexadecimal
/// digits.
pub(crate) fn file_name(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let mut name = String::new();
    for byte in id.bytes() {
        if plain(byte) {
            name.push(byte.into());
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

/// The id of which [`file_name`] made this name.
pub(crate) fn id_of(name: &str) -> String {
    let mut pieces = name.split('%');
    let mut id = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        match piece.split_at_checked(2).map(|(code, rest)| (u8::from_str_radix(code, 16), rest)) {
            Some((Ok(byte), rest)) => {
                id.push(byte);
                id.extend_from_slice(rest.as_bytes());
            }
            _ => id.extend_from_slice(piece.as_bytes()),
        }
    }
    String::from_utf8_lossy(&id).into_owned()
}

/// The section `service.storage`: where the process keeps what must survive it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StorageSettings {
    /// The directory of all queues; made if it is not there. One process at a time can use a queue. Default: the
    /// directory that systemd names by `STATE_DIRECTORY`, else `/var/lib/watershed`, else (without the right to
    /// write there) `./watershed-data`.
    pub directory: Option<PathBuf>,
}

impl StorageSettings {
    /// The directory that holds for these settings. Makes and changes nothing.
    #[must_use]
    pub fn resolve(self) -> PathBuf {
        let given = self.directory.or_else(|| std::env::var_os("STATE_DIRECTORY").map(PathBuf::from));
        given.unwrap_or_else(|| {
            let system = PathBuf::from("/var/lib/watershed");
            let existing = if system.exists() { system.as_path() } else { Path::new("/var/lib") };
            let usable = rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_ok();
            if usable { system } else { PathBuf::from("watershed-data") }
        })
    }
}

/// Why a queue's directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process has it.
    #[error(
        "the queue at `{path}` is in use by another process; stop that one or choose another `service.storage.directory`"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file system said no.
    #[error(
        "can't {action} the queue at `{path}`; check that the disk is there and that this user may write to it"
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl StorageError {
    /// The whole story in one line, for errors that are only text.
    pub(crate) fn chain(&self) -> String {
        self.source().map_or_else(|| self.to_string(), |source| format!("{self}: {source}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exporter_has_a_directory_of_its_own_inside_the_root() {
        for id in ["otlp", "otlp/backup", "otlp/../../etc", "clickhouse/größe", "a%2Fb"] {
            let directory = queue_directory(Path::new("/root"), id, Signal::Logs);
            let parts: Vec<_> = directory.iter().map(|part| part.to_str().unwrap()).collect();
            assert_eq!((parts.len(), parts[1], parts[3]), (4, "root", "logs"));
            assert!(!parts[2].contains('.'), "{parts:?}");
            assert_eq!(id_of(parts[2]), id);
        }
    }
}
