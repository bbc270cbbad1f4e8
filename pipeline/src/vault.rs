//! What processors handed over at a stop, on disk until the next start has taken it over.
//!
//! `<storage>/.processors` has a file for each processor of each pipeline and each stop at which it held something:
//! `<pipeline>+<processor>.<number>.state`, with ids as in the names of queues. A file is written under another name,
//! synced and then renamed, so that it is there as a whole or not at all. It begins with the eight bytes `WSSTATE1`;
//! then frames follow, all numbers little-endian:
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 1 | kind: 0 batch, 1 what a processor remembers |
//! | 1 | 1 | signal: 0 logs, 1 traces, 2 metrics |
//! | 2 | 2 | zero |
//! | 4 | 4 | items |
//! | 8 | 4 | length of the note (see `storage/note.rs`) |
//! | 12 | 4 | length of the payload: an OTLP request message, or the processor's own bytes |
//! | 16 | 4 | CRC32C of the 16 bytes before, the note and the payload |

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};

use crate::batch::Signal;
use crate::component::Suspended;
use crate::storage::{Disk, DiskFile, Encoding, OsDisk, Record, file_name, id_of};

const DIRECTORY: &str = ".processors";
const MAGIC: [u8; 8] = *b"WSSTATE1";
const HEADER: usize = 20;
const BATCH: u8 = 0;
const MEMORY: u8 = 1;

/// The place for what processors hand over.
pub(crate) struct Vault {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

/// A file of the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) pipeline: String,
    pub(crate) processor: String,
    number: u64,
}

/// One thing that was handed over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Batch(Record),
    Memory(Bytes),
}

/// The frames of a file, one after another.
pub(crate) struct Frames {
    file: Arc<dyn DiskFile>,
    offset: u64,
    length: u64,
}

impl Vault {
    /// The vault below a storage directory. Makes nothing yet.
    pub(crate) fn new(root: &Path) -> Self {
        Self::on(Arc::new(OsDisk), root)
    }

    fn on(disk: Arc<dyn Disk>, root: &Path) -> Self {
        Self { disk, directory: root.join(DIRECTORY), lock: Mutex::default() }
    }

    /// What is there, in the order in which it was written. Blocks on the disk.
    ///
    /// # Errors
    /// When the directory can't be read, or another process uses it.
    pub(crate) fn entries(&self) -> io::Result<Vec<Entry>> {
        let names = match self.disk.list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names?,
        };
        let mut entries: Vec<Entry> = names.iter().filter_map(|name| self.entry(name)).collect();
        if !entries.is_empty() {
            self.lock()?;
        }
        entries.sort_by_key(|entry| entry.number);
        Ok(entries)
    }

    fn entry(&self, name: &str) -> Option<Entry> {
        let (ids, number) = name.strip_suffix(".state")?.rsplit_once('.')?;
        let (pipeline, processor) = ids.split_once('+')?;
        let path = self.directory.join(name);
        Some(Entry {
            path,
            pipeline: id_of(pipeline),
            processor: id_of(processor),
            number: number.parse().ok()?,
        })
    }

    /// Takes the directory for this process.
    fn lock(&self) -> io::Result<()> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            *lock = Some(self.disk.lock(&self.directory.join("lock"))?);
        }
        Ok(())
    }

    /// Writes what a processor handed over, so that it survives a crash from here on. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk says no; then there is no such file.
    pub(crate) fn write(&self, pipeline: &str, processor: &str, suspended: &Suspended) -> io::Result<()> {
        self.disk.create_directory(&self.directory)?;
        self.lock()?;
        let number = self.entries()?.last().map_or(1, |last| last.number + 1);
        let name = format!("{}+{}.{number:08}", file_name(pipeline), file_name(processor));
        let (path, temporary) =
            (self.directory.join(name.clone() + ".state"), self.directory.join(name + ".part"));
        let written = self.write_file(&temporary, suspended).and_then(|()| {
            self.disk.rename(&temporary, &path)?;
            self.disk.sync_directory(&self.directory)
        });
        if written.is_err() {
            // What is left is no entry, and the next attempt writes over it.
            drop(self.disk.remove(&temporary));
            drop(self.disk.remove(&path));
        }
        written
    }

    fn write_file(&self, path: &Path, suspended: &Suspended) -> io::Result<()> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create(path)?;
        let mut offset = 0;
        let mut append = |bytes: &[u8]| {
            file.write_at(bytes, offset)?;
            offset += bytes.len() as u64;
            Ok::<_, io::Error>(())
        };
        append(&MAGIC)?;
        for memory in &suspended.memory {
            append(&header(MEMORY, Signal::Logs, 0, &[], memory)?)?;
            append(memory)?;
        }
        for (record, _) in &suspended.batches {
            append(&header(BATCH, record.signal, record.items, &record.note, &record.payload)?)?;
            append(&record.note)?;
            append(&record.payload)?;
        }
        file.sync()
    }

    /// Opens an entry. Blocks on the disk.
    ///
    /// # Errors
    /// When it can't be read, or is of another version.
    pub(crate) fn read(&self, entry: &Entry) -> io::Result<Frames> {
        let file = self.disk.open(&entry.path)?;
        let mut magic = [0; MAGIC.len()];
        if file.read_at(&mut magic, 0)? < magic.len() || magic != MAGIC {
            return Err(damaged("does not begin as a file of this version"));
        }
        let length = file.len()?;
        Ok(Frames { file, offset: magic.len() as u64, length })
    }

    /// Removes an entry that was taken over, unless it was put aside. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk says no.
    pub(crate) fn remove(&self, entry: &Entry) -> io::Result<()> {
        match self.disk.remove(&entry.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.disk.sync_directory(&self.directory)),
        }
    }

    /// Puts an entry aside that can't be read to its end. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk says no.
    pub(crate) fn put_aside(&self, entry: &Entry) -> io::Result<()> {
        self.disk.rename(&entry.path, &entry.path.with_extension("damaged"))
    }
}

fn header(kind: u8, signal: Signal, items: u32, note: &[u8], payload: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(HEADER);
    header.put_u8(kind);
    header.put_u8(Signal::ALL.iter().position(|own| *own == signal).unwrap_or_default() as u8);
    header.put_u16_le(0);
    header.put_u32_le(items);
    header.put_u32_le(u32::try_from(note.len()).map_err(io::Error::other)?);
    header.put_u32_le(u32::try_from(payload.len()).map_err(io::Error::other)?);
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&header), note), payload);
    header.put_u32_le(crc);
    Ok(header)
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Frames {
    /// The next frame, until there is none. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk says no, or what is there is not what was written.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        if self.offset == self.length {
            return Ok(None);
        }
        let header = self.take(HEADER as u64)?;
        let mut rest = &*header;
        let mut number = || crate::storage::take::<4>(&mut rest).map(u32::from_le_bytes).unwrap_or_default();
        let (kinds, items, note, payload, crc) = (number(), number(), number(), number(), number());
        let mut note_and_payload = self.take(u64::from(note) + u64::from(payload))?;
        let checked = header.get(..HEADER - 4).unwrap_or_default();
        if crc32c::crc32c_append(crc32c::crc32c(checked), &note_and_payload) != crc {
            return Err(damaged("has a checksum that does not fit"));
        }
        let payload = note_and_payload.split_off(note as usize);
        let [kind, signal, ..] = kinds.to_le_bytes();
        if kind == MEMORY {
            return Ok(Some(Frame::Memory(payload)));
        }
        let signal = Signal::ALL.get(usize::from(signal)).filter(|_| kind == BATCH).copied();
        let signal = signal.ok_or_else(|| damaged("has a frame of an unknown kind"))?;
        Ok(Some(Frame::Batch(Record {
            id: 0,
            time: 0,
            items,
            signal,
            note: note_and_payload,
            encoding: Encoding::Plain,
            payload,
        })))
    }

    fn take(&mut self, length: u64) -> io::Result<Bytes> {
        let end = self.offset.checked_add(length).filter(|end| *end <= self.length);
        let end = end.ok_or_else(|| damaged("ends within a frame"))?;
        let mut bytes = BytesMut::zeroed(usize::try_from(length).map_err(io::Error::other)?);
        if self.file.read_at(&mut bytes, self.offset)? < bytes.len() {
            return Err(damaged("ends within a frame"));
        }
        self.offset = end;
        Ok(bytes.freeze())
    }
}

#[cfg(test)]
mod tests;
