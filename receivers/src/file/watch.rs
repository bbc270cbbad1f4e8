//! Hears from the kernel which files change, so that nothing has to be asked again and again. Linux only (inotify).
//!
//! Directories are watched, not files: a watch a directory is enough for thousands of files. What the kernel can't tell
//! (too many watches, network file systems) is found by looking now and then.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// Bytes of events that are read at once.
const BUFFER: usize = 16 << 10;

/// What changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Files that were written to.
    pub(super) written: HashSet<PathBuf>,
    /// Whether files came, went or got other names, or more happened than the kernel could tell.
    pub(super) look: bool,
}

/// Watches directories.
pub(super) struct Watcher {
    descriptor: AsyncFd<OwnedFd>,
    directories: HashMap<i32, PathBuf>,
    watched: HashSet<PathBuf>,
    /// Whether every directory is watched.
    is_complete: bool,
}

impl Watcher {
    /// Begins with no directory.
    ///
    /// # Errors
    /// The kernel has no more watchers for us.
    #[expect(
        deprecated,
        reason = "an `OwnedFd` gives the same descriptor as long as it lives, which is all that is asked"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self {
            descriptor: AsyncFd::new(descriptor)?,
            directories: HashMap::new(),
            watched: HashSet::new(),
            is_complete: true,
        })
    }

    /// Watches these directories and no others.
    pub(super) fn watch(&mut self, directories: &[PathBuf]) {
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let wanted: HashSet<&Path> = directories.iter().map(PathBuf::as_path).collect();
        let unwanted = self.directories.iter().filter(|(_, path)| !wanted.contains(path.as_path()));
        for watch in unwanted.map(|(watch, _)| *watch).collect::<Vec<_>>() {
            // It is gone by itself if the directory is.
            if inotify::remove_watch(&self.descriptor, watch).is_ok() {
                self.forget(watch);
            }
        }
        self.is_complete = true;
        for directory in directories {
            if self.watched.contains(directory) {
                continue;
            }
            match inotify::add_watch(&self.descriptor, directory, flags) {
                Ok(watch) => {
                    self.directories.insert(watch, directory.clone());
                    self.watched.insert(directory.clone());
                }
                Err(_) => self.is_complete = false,
            }
        }
    }

    /// Whether the kernel tells of every directory; if not, one has to look often.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete && !self.directories.is_empty()
    }

    /// Waits until something changes, and tells what. May be given up at any time; what was not told comes again.
    pub(super) async fn changed(&mut self) -> Changes {
        loop {
            let Ok(mut ready) = self.descriptor.readable().await else { return std::future::pending().await };
            ready.clear_ready();
            drop(ready);
            let changes = self.drain();
            if changes != Changes::default() {
                return changes;
            }
        }
    }

    fn drain(&mut self) -> Changes {
        let mut changes = Changes::default();
        let mut gone = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(self.descriptor.get_ref(), &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            let flags = event.events();
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            let directory = self.directories.get(&event.wd());
            match (flags.contains(ReadFlags::MODIFY), directory, name) {
                (true, Some(directory), Some(name)) => {
                    changes.written.insert(if directory == Path::new(".") {
                        name.into()
                    } else {
                        directory.join(name)
                    });
                }
                _ => changes.look = true,
            }
            if flags.contains(ReadFlags::IGNORED) {
                gone.push(event.wd());
            }
        }
        gone.into_iter().for_each(|watch| self.forget(watch));
        changes
    }

    fn forget(&mut self, watch: i32) {
        if let Some(path) = self.directories.remove(&watch) {
            self.watched.remove(&path);
        }
    }
}
