//! The bytes of one file, at any position: as they are, or decompressed.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use rustix::buffer::spare_capacity;

use super::identity::Position;
use super::settings::Compression;

/// Bytes that are decompressed at once.
const STEP: usize = 64 << 10;
/// The largest zstd window that is kept, as a power of two: the 128 MiB of `zstd --long`.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// An open file.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    archive: Option<Archive>,
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Gzip,
    Zstd,
}

/// A compressed file while it is read from front to back.
struct Archive {
    method: Method,
    decoder: Option<Box<dyn Read + Send>>,
    /// What was decompressed and is still wanted.
    window: Vec<u8>,
    /// The position of the window's first byte.
    start: u64,
    /// How large the file was when its end was met.
    ended_at: Option<u64>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("method", &self.method)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether the end was met: for now, or for good in a compressed file.
    pub(super) at_end: bool,
}

impl Source {
    /// Opens a file, compressed or not.
    pub(super) fn open(path: &Path, compression: Compression) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut magic = Vec::with_capacity(4);
        rustix::io::pread(&file, spare_capacity(&mut magic), 0)?;
        let method = match (compression, magic.as_slice()) {
            (Compression::Auto | Compression::Gzip, [0x1F, 0x8B, 0x08, _]) => Some(Method::Gzip),
            (Compression::Auto | Compression::Zstd, [0x28, 0xB5, 0x2F, 0xFD]) => Some(Method::Zstd),
            _ => None,
        };
        let archive = method.map(|method| Archive {
            method,
            decoder: None,
            window: Vec::new(),
            start: 0,
            ended_at: None,
        });
        Ok(Self { file, archive })
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Whether the file is compressed.
    pub(super) fn is_archive(&self) -> bool {
        self.archive.is_some()
    }

    /// Appends up to `most` bytes from a position on.
    ///
    /// # Errors
    /// What the file system says, or that the file is not what its beginning claims.
    pub(super) fn read(&mut self, position: u64, most: usize, into: &mut Vec<u8>) -> io::Result<Found> {
        if let Some(archive) = &mut self.archive {
            return archive.read(&self.file, position, most, into);
        }
        into.reserve_exact(most);
        let end = into.len() + most;
        while into.len() < end {
            let at = position + (most - (end - into.len())) as u64;
            let read = rustix::io::pread(&self.file, spare_capacity(into), at);
            match read {
                Ok(0) => return Ok(Found { at_end: true }),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Found { at_end: false })
    }

    /// The first bytes, up to `most`.
    pub(super) fn head(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.read(0, most, &mut head)?;
        head.truncate(most);
        Ok(head)
    }

    /// Whether the bytes before a position are those it remembers; `None` if there are not so many.
    pub(super) fn has_tail(&mut self, position: &Position) -> io::Result<Option<bool>> {
        let length = (position.offset - position.tail_start()) as usize;
        let mut tail = Vec::new();
        self.read(position.tail_start(), length, &mut tail)?;
        tail.truncate(length);
        Ok((tail.len() == length).then(|| crc32c::crc32c(&tail) == position.tail))
    }
}

impl Archive {
    fn read(&mut self, file: &File, position: u64, most: usize, into: &mut Vec<u8>) -> io::Result<Found> {
        let size = file.metadata()?.len();
        let has_grown = self.ended_at.is_some_and(|ended| ended != size);
        if self.decoder.is_none() && self.ended_at.is_none() || has_grown || position < self.start {
            self.begin(file)?;
        }
        let end = position.saturating_add(most as u64);
        while self.ended_at.is_none() && self.start + (self.window.len() as u64) < end {
            self.forget(position);
            self.step(size)?;
        }
        self.forget(position);
        let skipped = usize::try_from(position - self.start.min(position)).unwrap_or(usize::MAX);
        let rest = self.window.get(skipped..).unwrap_or_default();
        let taken = rest.get(..most.min(rest.len())).unwrap_or_default();
        into.extend_from_slice(taken);
        Ok(Found { at_end: self.ended_at.is_some() && taken.len() == rest.len() })
    }

    /// Starts with the first byte again.
    fn begin(&mut self, file: &File) -> io::Result<()> {
        let file = io::BufReader::new(Positioned { file: file.try_clone()?, at: 0 });
        self.decoder = Some(match self.method {
            Method::Gzip => Box::new(MultiGzDecoder::new(file)),
            Method::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(file)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        });
        self.window.clear();
        (self.start, self.ended_at) = (0, None);
        Ok(())
    }

    /// Decompresses a little more. A file that is cut off is one that is still being written.
    fn step(&mut self, size: u64) -> io::Result<()> {
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        let before = self.window.len();
        self.window.resize(before + STEP, 0);
        let read = decoder.read(self.window.get_mut(before..).unwrap_or_default());
        self.window.truncate(before + read.as_ref().copied().unwrap_or_default());
        match read {
            Ok(0) => self.ended_at = Some(size),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.ended_at = Some(size),
            Err(error) => return Err(error),
        }
        if self.ended_at.is_some() {
            self.decoder = None;
        }
        Ok(())
    }

    /// Lets go of what stands before a position.
    fn forget(&mut self, position: u64) {
        let before = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let before = before.min(self.window.len());
        self.window.drain(..before);
        self.start += before as u64;
    }
}

/// A file that is read from a position of its own, whatever others do with the handle.
struct Positioned {
    file: File,
    at: u64,
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = rustix::io::pread(&self.file, buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_files_are_read_at_any_position_and_grow() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(|number| number.to_string().into_bytes()).collect();
        for packed in [gzip(&text), zstd::encode_all(text.as_slice(), 1).unwrap()] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &packed[..packed.len() / 2]).unwrap();
            let mut source = Source::open(file.path(), Compression::Auto).unwrap();
            assert!(source.is_archive());
            let mut part = Vec::new();
            assert!(source.read(0, usize::MAX >> 1, &mut part).unwrap().at_end);
            assert!(!part.is_empty() && text.starts_with(&part));
            std::fs::write(file.path(), &packed).unwrap();
            for (position, length) in [(100_000, 1000), (99_000, 5000), (0, 10), (text.len() - 7, 100)] {
                let mut read = Vec::new();
                let found = source.read(position as u64, length, &mut read).unwrap();
                assert_eq!(read, text[position..(position + length).min(text.len())]);
                assert_eq!(found.at_end, position + length >= text.len());
            }
        }
    }

    #[test]
    fn members_behind_one_another_are_one_content() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [gzip(b"one\n"), gzip(b"two\n")].concat()).unwrap();
        let mut source = Source::open(file.path(), Compression::Gzip).unwrap();
        assert_eq!(source.head(100).unwrap(), b"one\ntwo\n");
        let mut plain = Source::open(file.path(), Compression::None).unwrap();
        assert!(plain.head(100).unwrap().starts_with(&[0x1F, 0x8B]));
    }
}
