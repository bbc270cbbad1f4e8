//! A file system in memory that fails when told to, and loses in a crash what a real one may lose.
//!
//! Each write is remembered until it is synced. A crash keeps any of those, sector by sector, in any order; names
//! that were given or taken since their directory was synced may be there or not. A failed sync throws
//! away what it should have written and says nothing of it afterwards, as Linux does.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

#[derive(Clone)]
pub(crate) struct FaultyDisk(Arc<Mutex<World>>);

pub(crate) struct World {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    changes: Vec<(PathBuf, Change)>,
    files: Vec<Inode>,
    locks: Vec<(PathBuf, Arc<()>)>,
    random: fastrand::Rng,
    /// Bytes that all files together may take.
    pub(crate) capacity: u64,
    /// So many operations from now the next ones fail.
    pub(crate) fail_writes: u32,
    pub(crate) fail_syncs: u32,
    pub(crate) fail_reads: u32,
    /// What was done, for tests of the order.
    pub(crate) journal: Vec<String>,
}

#[derive(Clone)]
enum Change {
    Add(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Write>,
}

#[derive(Clone)]
enum Write {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

impl Write {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Bytes(offset, data) => {
                if bytes.len() < offset + data.len() {
                    bytes.resize(offset + data.len(), 0);
                }
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
            Self::Length(len) => bytes.resize(*len, 0),
        }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Add(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

impl FaultyDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            files: Vec::new(),
            locks: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
            capacity: u64::MAX,
            fail_writes: 0,
            fail_syncs: 0,
            fail_reads: 0,
            journal: Vec::new(),
        })))
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The power goes: only what was synced is sure to be there.
    pub(crate) fn crash(&self) {
        let mut world = self.world();
        let World { names, durable_names, changes, files, random, locks, .. } = &mut *world;
        for (_, change) in changes.drain(..) {
            if random.bool() {
                change.apply(durable_names);
            }
        }
        names.clone_from(durable_names);
        for file in files {
            let mut writes = std::mem::take(&mut file.unsynced);
            random.shuffle(&mut writes);
            for write in writes {
                match write {
                    Write::Bytes(offset, data) => {
                        let mut at = offset;
                        while at < offset + data.len() {
                            let end = ((at / SECTOR + 1) * SECTOR).min(offset + data.len());
                            if random.bool() {
                                Write::Bytes(at, data[at - offset..end - offset].to_vec())
                                    .apply(&mut file.durable);
                            }
                            at = end;
                        }
                    }
                    length @ Write::Length(_) if random.bool() => length.apply(&mut file.durable),
                    Write::Length(_) => {}
                }
            }
            file.current.clone_from(&file.durable);
        }
        locks.clear();
    }

    /// Changes one byte of a file where it is sure to matter.
    pub(crate) fn corrupt(&self, path: &Path, offset: usize) {
        let mut world = self.world();
        let inode = world.names[path];
        let file = &mut world.files[inode];
        file.current[offset] ^= 0xFF;
        file.durable.clone_from(&file.current);
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.world().names.keys().cloned().collect()
    }
}

impl World {
    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.files[*inode].current.len() as u64).sum()
    }

    fn note(&mut self, what: &str, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.journal.push(format!("{what} {name}"));
    }

    fn change(&mut self, directory: &Path, change: Change) {
        change.apply(&mut self.names);
        self.changes.push((directory.to_owned(), change));
    }

    fn write(&mut self, inode: usize, write: Write) -> io::Result<()> {
        if fails(&mut self.fail_writes) {
            // Some of it may have been written.
            if let Write::Bytes(offset, data) = &write {
                let part = Write::Bytes(*offset, data[..data.len() / 2].to_vec());
                part.apply(&mut self.files[inode].current);
                self.files[inode].unsynced.push(part);
            }
            return Err(io::Error::from_raw_os_error(5));
        }
        let len = self.files[inode].current.len();
        let grown = match &write {
            Write::Bytes(offset, data) => offset + data.len(),
            Write::Length(len) => *len,
        };
        if self.used() + grown.saturating_sub(len) as u64 > self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        write.apply(&mut self.files[inode].current);
        self.files[inode].unsynced.push(write);
        Ok(())
    }
}

fn fails(countdown: &mut u32) -> bool {
    let now = *countdown == 1;
    *countdown = countdown.saturating_sub(1);
    now
}

impl Disk for FaultyDisk {
    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        let here = world.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(here.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = world.files.len();
        world.files.push(Inode::default());
        world.change(path.parent().unwrap(), Change::Add(path.to_owned(), inode));
        world.note("create", path);
        Ok(Arc::new(FaultyFile { disk: self.clone(), inode, path: path.to_owned() }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = *self.world().names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FaultyFile { disk: self.clone(), inode, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.change(to.parent().unwrap(), Change::Rename(from.to_owned(), to.to_owned()));
        world.note("rename to", to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        if !world.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.change(path.parent().unwrap(), Change::Remove(path.to_owned()));
        world.note("remove", path);
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.note("sync directory", path);
        let World { changes, durable_names, .. } = &mut *world;
        changes.retain(|(directory, change)| {
            if directory == path {
                change.apply(durable_names);
            }
            directory != path
        });
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut world = self.world();
        world.locks.retain(|(_, held)| Arc::strong_count(held) > 1);
        if world.locks.iter().any(|(locked, _)| locked == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let held = Arc::new(());
        world.locks.push((path.to_owned(), Arc::clone(&held)));
        Ok(Box::new(held))
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    inode: usize,
    path: PathBuf,
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.world().files[self.inode].current.len() as u64)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.world().write(self.inode, Write::Length(usize::try_from(len).unwrap()))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.allocate(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.note("write", &self.path);
        world.write(self.inode, Write::Bytes(usize::try_from(offset).unwrap(), bytes.to_vec()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.disk.world();
        if fails(&mut world.fail_reads) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let bytes = &world.files[self.inode].current;
        let from = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let read = from.len().min(buffer.len());
        buffer[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        world.note("sync", &self.path);
        let failed = fails(&mut world.fail_syncs);
        let file = &mut world.files[self.inode];
        let writes = std::mem::take(&mut file.unsynced);
        if failed {
            return Err(io::Error::from_raw_os_error(5));
        }
        for write in writes {
            write.apply(&mut file.durable);
        }
        Ok(())
    }
}
