//! Positions on disk: a log of what changed, each entry with its checksum, written anew when it has grown long.
//!
//! The file begins with `WSPOS001`. An entry is a length (4 bytes), the CRC32C of the rest (4), and the rest: a kind
//! (1), the number of a trail (8), and what the kind says; all numbers little-endian. Reading stops at the first entry
//! that is not whole: what a crash cut off was never promised to anybody, and is read again from the file it is about.
//!
//! A killed process loses nothing that was written. The disk is made to have it once a second: a power failure may
//! lead to that much being read twice.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::identity::{FileKey, Fingerprint, Position};
use super::trail::{Trail, TrailId};

const MAGIC: &[u8; 8] = b"WSPOS001";
const NAME: &str = "positions";
/// Bytes that the log may have before it is written anew, at least.
const COMPACT_MIN: u64 = 1 << 20;
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

const WHOLE: u8 = 0;
const PROGRESS: u8 = 1;
const FORGOTTEN: u8 = 2;

/// Where positions are kept.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// Without a log they are forgotten at the stop.
    log: Option<Log>,
    pending: Vec<u8>,
}

#[derive(Debug)]
struct Log {
    directory: PathBuf,
    file: File,
    length: u64,
    /// The length after it was last written anew.
    base: u64,
    unsynced_since: Option<Instant>,
    _lock: File,
}

impl Checkpoints {
    /// Opens the log in a directory, and gives the trails in it.
    ///
    /// # Errors
    /// What the file system says, or that another process has the directory.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, BTreeMap<TrailId, Trail>)> {
        fs::create_dir_all(directory)?;
        let lock = OpenOptions::new().create(true).append(true).open(directory.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it"))?;
        let path = directory.join(NAME);
        let known = match fs::read(&path) {
            Ok(bytes) => replay(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let (file, length) = write_anew(directory, &known)?;
        let log = Log {
            directory: directory.to_owned(),
            file,
            length,
            base: length,
            unsynced_since: None,
            _lock: lock,
        };
        Ok((Self { log: Some(log), pending: Vec::new() }, known))
    }

    /// Notes all that is known of a trail.
    pub(super) fn put(&mut self, id: TrailId, trail: &Trail) {
        if self.log.is_some() {
            put_whole(&mut self.pending, id, trail);
        }
    }

    /// Notes how far a trail was delivered.
    pub(super) fn progress(&mut self, id: TrailId, position: &Position) {
        if self.log.is_some() {
            put(&mut self.pending, PROGRESS, id, |out| put_position(out, position));
        }
    }

    /// Notes that a trail need not be known any more.
    pub(super) fn forget(&mut self, id: TrailId) {
        if self.log.is_some() {
            put(&mut self.pending, FORGOTTEN, id, |_| ());
        }
    }

    /// Writes what was noted; the log is written anew when it has grown long.
    ///
    /// # Errors
    /// What the file system says. What was noted is then written the next time.
    pub(super) fn write(&mut self, trails: &BTreeMap<TrailId, Trail>, now: Instant) -> io::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        if !self.pending.is_empty() {
            if log.length + self.pending.len() as u64 > log.base.saturating_mul(4).max(COMPACT_MIN) {
                let (file, length) = write_anew(&log.directory, trails)?;
                (log.file, log.length, log.base, log.unsynced_since) = (file, length, length, None);
                self.pending.clear();
                return Ok(());
            }
            if let Err(error) = log.file.write_all(&self.pending) {
                // What was written in part is cut off, so that what follows can be read.
                log.file.set_len(log.length)?;
                return Err(error);
            }
            log.length += self.pending.len() as u64;
            self.pending.clear();
            log.unsynced_since.get_or_insert(now);
        }
        if log.unsynced_since.is_some_and(|since| now.saturating_duration_since(since) >= SYNC_INTERVAL) {
            log.file.sync_data()?;
            log.unsynced_since = None;
        }
        Ok(())
    }

    /// Writes the log anew, at the end.
    ///
    /// # Errors
    /// What the file system says; the log then is as it was.
    pub(super) fn close(&mut self, trails: &BTreeMap<TrailId, Trail>) -> io::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        write_anew(&log.directory, trails)?;
        Ok(())
    }

    /// When the disk should have what was written.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.log.as_ref()?.unsynced_since? + SYNC_INTERVAL)
    }
}

/// Writes a log that holds these trails and nothing else, whole or not at all.
fn write_anew(directory: &Path, trails: &BTreeMap<TrailId, Trail>) -> io::Result<(File, u64)> {
    let mut bytes = MAGIC.to_vec();
    trails.iter().for_each(|(id, trail)| put_whole(&mut bytes, *id, trail));
    let temporary = directory.join("positions.new");
    drop(fs::remove_file(&temporary));
    let mut file = OpenOptions::new().create(true).append(true).open(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_data()?;
    fs::rename(&temporary, directory.join(NAME))?;
    File::open(directory)?.sync_all()?;
    Ok((file, bytes.len() as u64))
}

fn put_whole(out: &mut Vec<u8>, id: TrailId, trail: &Trail) {
    put(out, WHOLE, id, |out| {
        put_position(out, &trail.delivered);
        let key = trail.key.unwrap_or_default();
        out.extend_from_slice(&key.device.to_le_bytes());
        out.extend_from_slice(&key.inode.to_le_bytes());
        out.push(u8::from(trail.is_archive));
        let path = trail.path.as_ref().or(trail.former.as_ref());
        let path = path.map(|path| path.as_os_str().as_bytes()).unwrap_or_default();
        out.extend_from_slice(&(path.len() as u32).to_le_bytes());
        out.extend_from_slice(path);
        out.extend_from_slice(&trail.fingerprint.0);
    });
}

fn put_position(out: &mut Vec<u8>, position: &Position) {
    out.extend_from_slice(&position.offset.to_le_bytes());
    out.extend_from_slice(&position.number.to_le_bytes());
    out.extend_from_slice(&position.tail.to_le_bytes());
    out.push(u8::from(position.skipping));
}

fn put(out: &mut Vec<u8>, kind: u8, id: TrailId, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut entry = vec![kind];
    entry.extend_from_slice(&id.to_le_bytes());
    fill(&mut entry);
    out.extend_from_slice(&(entry.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&entry).to_le_bytes());
    out.append(&mut entry);
}

/// The trails that a log holds, up to its first entry that is not whole.
fn replay(bytes: &[u8]) -> BTreeMap<TrailId, Trail> {
    let mut trails = BTreeMap::new();
    let mut rest = Fields(bytes.strip_prefix(MAGIC).unwrap_or_default());
    while let Some((entry, crc)) = rest.entry() {
        if crc32c::crc32c(entry) != crc || apply(entry, &mut trails).is_none() {
            break;
        }
    }
    trails
}

fn apply(entry: &[u8], trails: &mut BTreeMap<TrailId, Trail>) -> Option<()> {
    let mut fields = Fields(entry);
    let ([kind], id) = (fields.take::<1>()?, fields.u64()?);
    match kind {
        WHOLE => {
            let position = fields.position()?;
            let key = FileKey { device: fields.u64()?, inode: fields.u64()? };
            let [archive] = fields.take::<1>()?;
            let length = fields.u32()?;
            let path = fields.bytes(length as usize)?.to_vec();
            trails.insert(
                id,
                Trail {
                    key: (key != FileKey::default()).then_some(key),
                    former: Some(PathBuf::from(std::ffi::OsString::from_vec(path))),
                    fingerprint: Fingerprint(fields.0.to_vec()),
                    is_archive: archive == 1,
                    delivered: position,
                    read: position,
                    settled: position,
                    ..Trail::default()
                },
            );
        }
        PROGRESS => {
            let position = fields.position()?;
            if let Some(trail) = trails.get_mut(&id) {
                (trail.delivered, trail.read, trail.settled) = (position, position, position);
            }
        }
        FORGOTTEN => drop(trails.remove(&id)),
        _ => return None,
    }
    Some(())
}

/// Bytes that are read field by field.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn entry(&mut self) -> Option<(&'a [u8], u32)> {
        let (length, crc) = (self.u32()?, self.u32()?);
        Some((self.bytes(length as usize)?, crc))
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn position(&mut self) -> Option<Position> {
        let (offset, number, tail) = (self.u64()?, self.u64()?, self.u32()?);
        let [skipping] = self.take::<1>()?;
        Some(Position { offset, number, tail, skipping: skipping == 1 })
    }
}
