//! What is made of a text in the configuration, or of a file that is read again when it changes.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Bytes of a file at most.
const SIZE_MAX: u64 = 4 << 20;

type Parse<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;
/// What tells that a file is another one: its length and the time of its last change.
type Stamp = (u64, Option<SystemTime>);

/// A value that may come from a file.
pub(super) enum Source<T> {
    /// The value for good.
    Fixed(Arc<T>),
    /// The value as long as the file does not change.
    File(Watched<T>),
}

impl<T> Source<T> {
    /// A value that does not change.
    pub(super) fn fixed(value: T) -> Self {
        Self::Fixed(Arc::new(value))
    }

    /// Reads a file now, and looks at it again when the value is asked for and `interval` has passed.
    ///
    /// # Errors
    /// The file cannot be read, or is not what it should be. The words of `parse` must hold nothing secret.
    pub(super) fn file(
        path: &Path,
        interval: Duration,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let (text, stamp) = read(path)?;
        let value = Arc::new(parse(&text)?);
        let current = Mutex::new(Current { value, stamp, looked_at: Instant::now() });
        Ok(Self::File(Watched { path: path.to_owned(), interval, parse: Box::new(parse), current }))
    }

    /// The value of this moment. If the file cannot be used any more, that is its last good one.
    pub(super) fn current(&self) -> Arc<T> {
        match self {
            Self::Fixed(value) => Arc::clone(value),
            Self::File(watched) => watched.current(),
        }
    }
}

/// A file, and what was made of it.
pub(super) struct Watched<T> {
    path: PathBuf,
    interval: Duration,
    parse: Parse<T>,
    current: Mutex<Current<T>>,
}

struct Current<T> {
    value: Arc<T>,
    stamp: Stamp,
    looked_at: Instant,
}

impl<T> Watched<T> {
    fn current(&self) -> Arc<T> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.looked_at.elapsed() >= self.interval {
            current.looked_at = Instant::now();
            let now = std::fs::metadata(&self.path).map(|metadata| stamp(&metadata));
            if now.is_ok_and(|now| now != current.stamp) {
                self.read_again(&mut current);
            }
        }
        Arc::clone(&current.value)
    }

    fn read_again(&self, current: &mut Current<T>) {
        let again = read(&self.path).and_then(|(text, stamp)| {
            current.stamp = stamp;
            (self.parse)(&text)
        });
        let file = self.path.display();
        match again {
            Ok(value) => {
                current.value = Arc::new(value);
                tracing::info!(%file, "read again, since it has changed");
            }
            Err(error) => {
                tracing::warn!(%file, error, "cannot use the file as it is now; going on with the old")
            }
        }
    }
}

/// The text of a file, and the state that it was read in.
fn read(path: &Path) -> Result<(String, Stamp), String> {
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(unreadable)?;
    let stamp = stamp(&file.metadata().map_err(unreadable)?);
    let mut text = String::new();
    file.take(SIZE_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > SIZE_MAX {
        return Err(format!("{} is larger than {} MiB", path.display(), SIZE_MAX >> 20));
    }
    Ok((text, stamp))
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32, String> {
        text.trim().parse().map_err(|_| "is no number".to_owned())
    }

    #[test]
    fn a_file_is_read_again_when_it_changes_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        assert!(Source::file(&path, Duration::ZERO, number).err().unwrap().starts_with("cannot read "));
        std::fs::write(&path, "x").unwrap();
        assert_eq!(Source::file(&path, Duration::ZERO, number).err().unwrap(), "is no number");
        std::fs::write(&path, "7").unwrap();
        let source = Source::file(&path, Duration::ZERO, number).unwrap();
        assert_eq!(*source.current(), 7);
        std::fs::write(&path, "1000").unwrap();
        assert_eq!(*source.current(), 1000);
        std::fs::write(&path, "no number").unwrap();
        assert_eq!(*source.current(), 1000);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(*source.current(), 1000);
        std::fs::write(&path, "12").unwrap();
        assert_eq!(*source.current(), 12);
    }

    #[test]
    fn within_the_interval_a_file_is_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "7").unwrap();
        let source = Source::file(&path, Duration::from_secs(3600), number).unwrap();
        std::fs::write(&path, "1000").unwrap();
        assert_eq!(*source.current(), 7);
    }
}
