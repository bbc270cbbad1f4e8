//! What people do with queues while no process, or another one, uses them: look, check, copy out, send again, throw away.
//!
//! Looking needs no lock and changes nothing. Whatever changes a queue takes its lock, so the process that uses it has
//! to be stopped first.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::acks;
use super::disk::{Disk, OsDisk};
use super::note;
use super::options::StoreOptions;
use super::ranges::Ranges;
use super::reader::Reader;
use super::record::{Header, Record};
use super::recovery::open;
use super::segment::{Found, PREFACE, Scanner, file_name, first_of, read_salt, read_seal};
use super::state::{Content, Next, Shared, Taken};
use super::writer::{Append, Writer};
use super::{StorageError, dead_letters, quarantine};
use crate::batch::Signal;
use crate::otlp::{json, schema};

/// The queue of one exporter for one signal, as a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    exporter: String,
    signal: Signal,
    directory: PathBuf,
}

/// Which records of a queue are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What waits to be delivered.
    Waiting,
    /// What the far end refused for good.
    DeadLetters,
}

/// What is known of a record without decoding it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordInfo {
    /// Its number in the queue.
    pub sequence: u64,
    /// The id of the batch.
    pub id: u128,
    /// When it was taken, in nanoseconds since 1970.
    pub time: u64,
    /// Log records, spans or data points.
    pub items: u32,
    /// Bytes of OTLP.
    pub bytes: u64,
    /// Why the far end refused it, if it is a dead letter.
    pub reason: String,
}

/// What a queue takes and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Segment files.
    pub files: u64,
    /// Their bytes, without the space that is reserved in the last one.
    pub bytes: u64,
    /// Batches that are not delivered.
    pub batches: u64,
    /// Their log records, spans or data points.
    pub items: u64,
    /// When the oldest of them was taken, in nanoseconds since 1970.
    pub oldest: Option<u64>,
    /// Batches that are dead letters.
    pub dead_batches: u64,
    /// Their items.
    pub dead_items: u64,
    /// Damaged files that were set aside.
    pub quarantined: u64,
}

/// A part of a file that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where it begins, in bytes.
    pub from: u64,
    /// Where it ends. Damage up to the end of the last file can be the torn end of a write that nobody was promised.
    pub to: u64,
}

impl Queue {
    /// All queues below a storage directory, sorted by exporter and signal.
    ///
    /// # Errors
    /// When a directory can't be read.
    pub fn find(root: &Path) -> Result<Vec<Self>, StorageError> {
        let wrong = |source| StorageError::Io { action: "list", path: root.to_owned(), source };
        let mut queues = Vec::new();
        for entry in std::fs::read_dir(root).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            for signal in Signal::ALL {
                let directory = entry.path().join(signal.name());
                if directory.is_dir() {
                    queues.push(Self { exporter: super::id_of(&name), signal, directory });
                }
            }
        }
        queues
            .sort_unstable_by(|one, other| (&one.exporter, one.signal).cmp(&(&other.exporter, other.signal)));
        Ok(queues)
    }

    /// The id of the exporter.
    #[must_use]
    pub fn exporter(&self) -> &str {
        &self.exporter
    }

    /// The signal.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Counts what the queue holds. Reads all of it.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn inspect(&self) -> Result<Inspection, StorageError> {
        let mut inspection = Inspection::default();
        self.walk(Part::Waiting, |found| {
            match found {
                Walked::File { bytes } => {
                    inspection.files += 1;
                    inspection.bytes += bytes;
                }
                Walked::Record(header, record) => {
                    inspection.batches += 1;
                    inspection.items += u64::from(header.items);
                    inspection.oldest =
                        inspection.oldest.map_or(Some(record.time), |oldest| Some(oldest.min(record.time)));
                }
                Walked::Damage(_) => {}
            }
            Ok(())
        })?;
        self.walk(Part::DeadLetters, |found| {
            if let Walked::Record(header, _) = found {
                inspection.dead_batches += 1;
                inspection.dead_items += u64::from(header.items);
            }
            Ok(())
        })?;
        let aside = OsDisk.list(&self.directory.join(quarantine::DIRECTORY)).unwrap_or_default();
        inspection.quarantined = aside.len() as u64;
        Ok(inspection)
    }

    /// Reads everything and says where it is not what was written.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn verify(&self) -> Result<Vec<Damage>, StorageError> {
        let mut all = Vec::new();
        for part in [Part::Waiting, Part::DeadLetters] {
            self.walk(part, |found| {
                if let Walked::Damage(damage) = found {
                    all.push(damage);
                }
                Ok(())
            })?;
        }
        Ok(all)
    }

    /// The records of a part, oldest first. For large queues see [`Self::export`].
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn records(&self, part: Part) -> Result<Vec<RecordInfo>, StorageError> {
        let mut all = Vec::new();
        self.walk(part, |found| {
            if let Walked::Record(header, record) = found {
                all.push(RecordInfo {
                    sequence: header.sequence,
                    id: record.id,
                    time: record.time,
                    items: record.items,
                    bytes: record.payload.len() as u64,
                    reason: note::reason(&record),
                });
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// Writes the records of a part as OTLP in JSON, one request a line; says how many.
    ///
    /// # Errors
    /// When a file can't be read or `out` not be written to.
    pub fn export(&self, part: Part, out: &mut dyn Write) -> Result<u64, StorageError> {
        let mut count = 0;
        let mut line = Vec::new();
        self.walk(part, |found| {
            let Walked::Record(_, record) = found else { return Ok(()) };
            line.clear();
            let message = match record.signal {
                Signal::Logs => &schema::LOGS_REQUEST,
                Signal::Traces => &schema::TRACES_REQUEST,
                Signal::Metrics => &schema::METRICS_REQUEST,
            };
            let payload = record.message().map_err(io::Error::other)?;
            json::encode(message, &payload, &mut line).map_err(io::Error::other)?;
            line.push(b'\n');
            count += 1;
            out.write_all(&line)
        })?;
        Ok(count)
    }

    /// Puts the dead letters back into the queue, to be delivered when the process runs; says how many.
    ///
    /// # Errors
    /// When a process uses the queue, or the disk fails. What is not yet in the queue stays a dead letter.
    pub fn replay(&self) -> Result<u64, StorageError> {
        let (_shared, mut writer) = self.open(Part::Waiting)?;
        let replayed = self.empty(Part::DeadLetters, |record| {
            let record = note::without_reason(record);
            let (done, _) = tokio::sync::oneshot::channel();
            let checksum = record.checksum();
            writer.commit(&mut vec![Append { record, checksum, batch: None, patient: true, done }])
        });
        writer.close();
        replayed
    }

    /// Throws the records of a part away; says how many.
    ///
    /// # Errors
    /// When a process uses the queue, or the disk fails.
    pub fn drop(&self, part: Part) -> Result<u64, StorageError> {
        let _lock = match part {
            Part::Waiting => None,
            Part::DeadLetters => Some(self.open(Part::Waiting)?),
        };
        self.empty(part, |_| Ok(()))
    }

    fn part(&self, part: Part) -> PathBuf {
        match part {
            Part::Waiting => self.directory.clone(),
            Part::DeadLetters => self.directory.join(dead_letters::DIRECTORY),
        }
    }

    fn open(&self, part: Part) -> Result<(Arc<Shared>, Writer), StorageError> {
        let options = match part {
            Part::Waiting => StoreOptions::new(u64::MAX),
            Part::DeadLetters => dead_letters::options(),
        };
        open(Arc::new(OsDisk), self.part(part), options)
    }

    /// Hands every record of a part over, and removes it once that went well.
    fn empty(
        &self,
        part: Part,
        mut hand_over: impl FnMut(Record) -> io::Result<()>,
    ) -> Result<u64, StorageError> {
        let (shared, mut writer) = self.open(part)?;
        let mut reader = Reader::new(Arc::clone(&shared));
        let mut count = 0;
        let outcome = loop {
            match shared.next() {
                Next::Taken(Taken { ticket, content: Content::Record(record) }) => {
                    if let Err(error) = hand_over(record) {
                        break Err(error);
                    }
                    shared.ack(ticket);
                    count += 1;
                }
                Next::Unread => reader.fill(),
                Next::Taken(_) | Next::Nothing | Next::Closed => break Ok(count),
            }
        };
        writer.close();
        outcome.map_err(|source| StorageError::Io { action: "write", path: self.directory.clone(), source })
    }

    fn walk(&self, part: Part, mut visit: impl FnMut(Walked) -> io::Result<()>) -> Result<(), StorageError> {
        let directory = self.part(part);
        if !directory.is_dir() {
            return Ok(());
        }
        let walked = walk(&OsDisk, &directory, &mut visit);
        walked.map_err(|source| StorageError::Io { action: "read", path: directory, source })
    }
}

/// What a walk through a directory comes to.
enum Walked {
    File {
        bytes: u64,
    },
    /// A record that is not acknowledged.
    Record(Header, Record),
    Damage(Damage),
}

fn walk(
    disk: &dyn Disk,
    directory: &Path,
    visit: &mut dyn FnMut(Walked) -> io::Result<()>,
) -> io::Result<()> {
    let mut names = disk.list(directory)?;
    names.sort_unstable();
    let firsts: Vec<u64> = names.iter().filter_map(|name| first_of(name)).collect();
    let mut acked = Ranges::default();
    for range in acks::peek(disk, directory)? {
        acked.insert(range);
    }
    for (index, first) in firsts.iter().enumerate() {
        let limit = firsts.get(index + 1).copied().unwrap_or(u64::MAX);
        let path = directory.join(file_name(*first));
        let file = match disk.open(&path) {
            Ok(file) => file,
            // Delivered in this moment by the process that uses the queue.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let len = file.len()?;
        let Some(salt) = read_salt(&*file, *first)? else {
            visit(Walked::Damage(Damage { path, from: 0, to: len }))?;
            continue;
        };
        let seal = read_seal(&*file, salt)?;
        let mut bytes = PREFACE;
        let mut scanner =
            Scanner::new(Arc::clone(&file), salt, PREFACE, seal.map_or(len, |seal| seal.written));
        while let Some(found) = scanner.next()? {
            match found {
                Found::Record(header, ..) if header.sequence >= limit => break,
                Found::Record(header, record, behind) => {
                    bytes = behind;
                    if !acked.contains(header.sequence) {
                        visit(Walked::Record(header, record))?;
                    }
                }
                Found::Damage(from, to) if to == len && super::recovery::is_zero(&*file, from, to)? => {}
                Found::Damage(from, to) => visit(Walked::Damage(Damage { path: path.clone(), from, to }))?,
            }
        }
        visit(Walked::File { bytes })?;
    }
    Ok(())
}
