//! The file system as the store uses it: few operations, each with a meaning that a crash can be tested against.
//!
//! The real one is [`OsDisk`]; tests use one in memory that loses, tears and reorders what was not synced.
//!
//! What is written in large pieces and read once, much later if at all, gains nothing from the page cache, and
//! copying it there costs more than all else that a queue does. So files are written and read past the cache
//! (`O_DIRECT`) where the file system can: the whole blocks of a piece whose place in memory fits its place in the
//! file ([`lead`]); its ragged ends, and small pieces, go through the cache as ever.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, OFlags, fallocate};

/// What reading and writing past the page cache counts in: no disk in use has larger sectors.
pub(crate) const BLOCK: usize = 4096;
/// Less than this goes through the page cache: a system call of its own would cost more than the copy.
const DIRECT_MIN: usize = 16 * BLOCK;

/// A file system.
pub(crate) trait Disk: Send + Sync + 'static {
    /// Makes a directory with all above it, so that it is still there after a crash.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a directory, without directories.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Makes a file that must not exist yet.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that exists.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, in one step, in the place of one that may have that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names that were given, changed and removed in a directory last.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Takes a directory for this process alone, as long as the answer lives.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// An open file.
pub(crate) trait DiskFile: Send + Sync + 'static {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Makes it this long with space that is there for sure, filled with zeros, where the file system can.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes it this long.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Writes all bytes at a place.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads until the buffer is full or the file ends, and says how much that was.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Makes last what was written.
    fn sync(&self) -> io::Result<()>;
}

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OsDisk;

impl Disk for OsDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(path)?;
        // The new names are entries of the directories above.
        for above in path.ancestors().skip(1).take(3).filter(|above| above.is_dir()) {
            self.sync_directory(above)?;
        }
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if let (Ok(name), true) = (entry.file_name().into_string(), entry.file_type()?.is_file()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let cached = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(OsFile::new(cached, path)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let cached = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(OsFile::new(cached, path)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }
}

/// A file, opened twice.
struct OsFile {
    cached: File,
    /// Past the page cache; none where the file system can't.
    direct: Option<File>,
}

impl OsFile {
    fn new(cached: File, path: &Path) -> Self {
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
        let direct = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
        Self { cached, direct: direct.ok() }
    }

    /// Which of the bytes, meant for or from this place in the file, go past the page cache, and how.
    fn direct(&self, bytes: &[u8], offset: u64) -> Option<(&File, Range<usize>)> {
        let blocks = whole_blocks(bytes, offset).filter(|blocks| blocks.len() >= DIRECT_MIN)?;
        Some((self.direct.as_ref()?, blocks))
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.cached.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// How many bytes to leave free at an address, so that what follows them can go past the page cache to or from this
/// place in a file.
pub(crate) fn lead(address: *const u8, offset: u64) -> usize {
    (phase(offset) + BLOCK - address.addr() % BLOCK) % BLOCK
}

/// How far a place in a file is from the start of its block.
pub(crate) fn phase(offset: u64) -> usize {
    usize::try_from(offset % BLOCK as u64).unwrap_or_default()
}

/// The whole blocks in a piece of a file, if those in memory begin where those in the file do.
fn whole_blocks(bytes: &[u8], offset: u64) -> Option<Range<usize>> {
    let start = (BLOCK - phase(offset)) % BLOCK;
    let blocks = bytes.len().checked_sub(start)? / BLOCK;
    (lead(bytes.as_ptr(), offset) == 0).then_some(start..start + blocks * BLOCK)
}

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.cached.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match fallocate(&self.cached, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.cached.set_len(len),
            Err(error) => Err(error.into()),
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.cached.set_len(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut rest = bytes;
        let mut at = offset;
        if let Some((file, blocks)) = self.direct(bytes, offset)
            && let Some((head, behind)) = bytes.split_at_checked(blocks.start)
            && let Some(middle) = behind.get(..blocks.len())
        {
            self.cached.write_all_at(head, offset)?;
            at += head.len() as u64;
            // Whatever is not written this way, for whatever reason, is tried in the other.
            let written = file.write_at(middle, at).unwrap_or_default();
            rest = behind.get(written..).unwrap_or_default();
            at += written as u64;
        }
        self.cached.write_all_at(rest, at)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        if let Some((file, blocks)) = self.direct(buffer, offset)
            && blocks.start == 0
            && let Some(middle) = buffer.get_mut(..blocks.end)
        {
            filled = file.read_at(middle, offset).unwrap_or_default();
        }
        let rest = buffer.get_mut(filled..).unwrap_or_default();
        Ok(filled + self.read_cached(rest, offset + filled as u64)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.cached.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that lie in memory so that they can go past the page cache to this place, and how many to skip.
    fn placed(len: usize, offset: u64) -> (Vec<u8>, usize) {
        let mut bytes = Vec::with_capacity(len + BLOCK);
        let start = lead(bytes.as_ptr(), offset);
        bytes.extend((0..start + len).map(|index| (index * 31 % 251) as u8));
        (bytes, start)
    }

    #[test]
    fn what_is_written_is_read_back_whatever_its_place_and_its_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = OsDisk.create(&path).unwrap();
        file.allocate(1 << 20).unwrap();
        let mut expected = vec![0; 1 << 20];
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..200 {
            let len = random.usize(1..DIRECT_MIN * 3);
            let offset = random.usize(..expected.len() - len);
            let place = if round % 4 == 0 { 0 } else { offset as u64 };
            let (bytes, start) = placed(len, place);
            file.write_at(&bytes[start..], offset as u64).unwrap();
            expected[offset..offset + len].copy_from_slice(&bytes[start..]);
            if round % 10 == 0 {
                file.sync().unwrap();
            }
            let from = random.usize(..expected.len() / BLOCK) * BLOCK;
            let (mut read, start) = placed(expected.len() - from, from as u64);
            assert_eq!(file.read_at(&mut read[start..], from as u64).unwrap(), expected.len() - from);
            assert!(
                read[start..] == expected[from..],
                "round {round}: {len} bytes at {offset}, read from {from}"
            );
        }
    }

    #[test]
    fn reading_ends_where_the_file_does_even_within_a_block() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let (bytes, start) = placed(DIRECT_MIN * 2 + 100, 0);
        OsDisk.create(&path).unwrap().write_at(&bytes[start..], 0).unwrap();
        let (mut read, begin) = placed(DIRECT_MIN * 4, 0);
        let count = OsDisk.open(&path).unwrap().read_at(&mut read[begin..], 0).unwrap();
        assert!(read[begin..begin + count] == bytes[start..]);
    }

    #[test]
    fn only_whole_blocks_that_lie_alike_go_past_the_page_cache() {
        let (bytes, start) = placed(3 * BLOCK, 100);
        assert_eq!(whole_blocks(&bytes[start..], 100), Some(BLOCK - 100..3 * BLOCK - 100));
        assert_eq!(whole_blocks(&bytes[start..], 108), None);
        assert_eq!(whole_blocks(&bytes[start..start + 10], 100), None);
    }
}
