//! One file that is written to: appended to, renamed when it is full, forced to the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::rotation::{Rotation, backup};

/// What went wrong, and with which file.
pub(super) type Failure = (PathBuf, io::Error);

/// How files are opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// Whether a file that exists is emptied.
    pub(super) is_emptied: bool,
    /// What is done about its folder.
    pub(super) directory: Directory,
    /// What becomes of it when it is full.
    pub(super) rotation: Option<Rotation>,
}

/// What is done about a folder that is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Directory {
    /// Whether it is made.
    pub(super) is_made: bool,
    /// Its permissions then.
    pub(super) permissions: u32,
}

/// One file.
pub(super) struct Target {
    path: PathBuf,
    rotation: Option<Rotation>,
    /// Nothing after a rename that was not followed by a new file; the next write tries again.
    file: Option<File>,
    size: u64,
    is_synced: bool,
}

impl Target {
    pub(super) fn open(path: PathBuf, opening: Opening) -> Result<Self, Failure> {
        let opened = opening.directory.make(&path).and_then(|()| {
            let file = append_to(&path)?;
            if opening.is_emptied {
                file.set_len(0).or_else(|error| if is_regular(&file) { Err(error) } else { Ok(()) })?;
            }
            let size = file.metadata()?.len();
            Ok((file, size))
        });
        match opened {
            Ok((file, size)) => {
                Ok(Self { path, rotation: opening.rotation, file: Some(file), size, is_synced: true })
            }
            Err(error) => Err((path, error)),
        }
    }

    /// Appends a message as a whole, or nothing. `now` is in nanoseconds since the Unix epoch.
    pub(super) fn write(&mut self, message: &[u8], now: u64) -> Result<(), Failure> {
        self.try_write(message, now).map_err(|error| (self.path.clone(), error))
    }

    fn try_write(&mut self, message: &[u8], now: u64) -> io::Result<()> {
        let length = message.len() as u64;
        if let Some(rotation) = self.rotation
            && rotation.is_full(self.size, length)
        {
            self.rotate(rotation, now)?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(append_to(&self.path)?),
        };
        self.is_synced = false;
        if let Err(error) = file.write_all(message) {
            // Half a message would spoil those that follow. Where that fails too, the first error says more.
            file.set_len(self.size).unwrap_or_default();
            return Err(error);
        }
        self.size += length;
        Ok(())
    }

    fn rotate(&mut self, rotation: Rotation, now: u64) -> io::Result<()> {
        self.try_sync()?;
        let mut at = now;
        // Names differ by milliseconds, and a name in use is never written over.
        while backup(&self.path, at).exists() {
            at += 1_000_000;
        }
        fs::rename(&self.path, backup(&self.path, at))?;
        self.file = None;
        self.size = 0;
        self.file = Some(append_to(&self.path)?);
        if let Err(error) = delete_obsolete(rotation, &self.path, now) {
            tracing::warn!(path = %self.path.display(), %error, "old files cannot be deleted");
        }
        Ok(())
    }

    /// Forces what was written to the disk.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        self.try_sync().map_err(|error| (self.path.clone(), error))
    }

    fn try_sync(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file
            && !self.is_synced
            && is_regular(file)
        {
            file.sync_data()?;
        }
        self.is_synced = true;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Err(error) = self.try_sync() {
            tracing::warn!(path = %self.path.display(), %error, "a file cannot be forced to the disk");
        }
    }
}

impl Directory {
    fn make(self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent().filter(|parent| self.is_made && !parent.as_os_str().is_empty())
        else {
            return Ok(());
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, self.permissions);
        builder.create(parent)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Pipes and devices can neither be emptied nor forced to a disk.
fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn delete_obsolete(rotation: Rotation, path: &Path, now: u64) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let names: Vec<String> =
        fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    rotation.obsolete(path, &names, now).iter().try_for_each(|name| fs::remove_file(folder.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(rotation: &str) -> Opening {
        let rotation: Rotation = serde_json::from_str(rotation).unwrap();
        let directory = Directory { is_made: false, permissions: 0o755 };
        Opening { is_emptied: false, directory, rotation: Some(rotation) }
    }

    #[test]
    fn a_full_file_is_renamed_and_the_oldest_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let mut target =
            Target::open(path.clone(), opening(r#"{"max_megabytes": 1, "max_backups": 2}"#)).unwrap();
        let message = vec![b'x'; 600 << 10];
        for _ in 0..4 {
            // At one moment, so that names would be the same.
            target.write(&message, 0).unwrap();
        }
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a-1970-01-01T00-00-00.001.json", "a-1970-01-01T00-00-00.002.json", "a.json"]);
        assert_eq!(fs::metadata(path).unwrap().len(), 600 << 10);
    }

    #[test]
    fn a_file_that_exists_counts_towards_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        let mut target = Target::open(path.clone(), opening(r#"{"max_megabytes": 1}"#)).unwrap();
        target.write(b"next", 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"next");
    }
}
