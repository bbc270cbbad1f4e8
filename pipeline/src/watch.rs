//! Files that components read when they are built, and that are read again when they change.
//!
//! Components that may not touch files ([`Processor`](crate::Processor)) ask their [`Context`](crate::Context) for one. The
//! engine looks at all of them every few seconds, on a task of its own; what can't be read or understood then leaves what
//! was there before in place, is logged and counted.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use crate::telemetry::Counter;

/// What a file says, read anew when it changes. Cheap to clone.
pub struct Watched<T>(Arc<File<T>>);

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Watched<T> {
    /// What the file said last.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.value.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How the bytes of a file become a value; an error says what is wrong with them.
type Parse<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;

struct File<T> {
    path: PathBuf,
    limit: u64,
    parse: Parse<T>,
    value: Mutex<Arc<T>>,
    /// What the file looked like when it was read last, whatever came of it.
    seen: Mutex<Option<Look>>,
    failures: Counter,
}

/// What tells that a file has changed, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    modified: SystemTime,
    length: u64,
}

/// A file of any type of value.
trait Refresh: Send + Sync {
    fn refresh(&self);
}

impl<T: Send + Sync> Refresh for File<T> {
    fn refresh(&self) {
        let look = look(&self.path);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == look {
                return;
            }
            *seen = look;
        }
        match read(&self.path, self.limit).and_then(|text| (self.parse)(&text)) {
            Ok(value) => {
                *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                tracing::info!(path = %self.path.display(), "read a file that has changed");
            }
            Err(error) => {
                self.failures.add(1);
                tracing::warn!(path = %self.path.display(), error, "can't use a file that has changed; what it said before stays");
            }
        }
    }
}

/// All files that components of one graph have asked for and still use.
#[derive(Default)]
pub(crate) struct Files(Mutex<Vec<Weak<dyn Refresh>>>);

impl Files {
    /// Reads a file, and remembers to look at it again.
    pub(crate) fn watch<T: Send + Sync + 'static>(
        &self,
        path: &Path,
        limit: u64,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
        failures: Counter,
    ) -> Result<Watched<T>, String> {
        // Looked at before it is read, so that what changes in between is read again.
        let seen = Mutex::new(look(path));
        let value = parse(&read(path, limit)?)?;
        let file = Arc::new(File {
            path: path.to_owned(),
            limit,
            parse: Box::new(parse),
            value: Mutex::new(Arc::new(value)),
            seen,
            failures,
        });
        let weak: Weak<File<T>> = Arc::downgrade(&file);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(weak);
        Ok(Watched(file))
    }

    /// Whether there is nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Reads the files that have changed.
    pub(crate) fn refresh(&self) {
        let files: Vec<Arc<dyn Refresh>> = {
            let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            files.retain(|file| file.strong_count() > 0);
            files.iter().filter_map(Weak::upgrade).collect()
        };
        files.iter().for_each(|file| file.refresh());
    }
}

fn look(path: &Path) -> Option<Look> {
    let about = std::fs::metadata(path).ok()?;
    Some(Look { modified: about.modified().ok()?, length: about.len() })
}

fn read(path: &Path, limit: u64) -> Result<String, String> {
    let problem = |error: std::io::Error| format!("can't read `{}`: {error}", path.display());
    let file = std::fs::File::open(path).map_err(problem)?;
    let mut text = String::new();
    let length = file.take(limit.saturating_add(1)).read_to_string(&mut text).map_err(problem)?;
    if length as u64 > limit {
        return Err(format!("`{}` has more than {limit} bytes; raise the limit", path.display()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_changes_and_mistakes_leave_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        let parse = |text: &str| text.parse::<u32>().map_err(|error| error.to_string());
        let (files, failures) = (Files::default(), Counter::default());
        let missing = files.watch(&path, 100, parse, failures.clone()).err().unwrap();
        assert!(missing.starts_with("can't read `"), "{missing}");
        std::fs::write(&path, "1").unwrap();
        let number = files.watch(&path, 4, parse, failures.clone()).unwrap();
        assert_eq!(*number.get(), 1);
        for (text, expected, failed) in [("22", 22, 0), ("no", 22, 1), ("55555", 22, 2), ("333", 333, 2)] {
            // Another length is another look, however coarse the clock of the file system is.
            std::fs::write(&path, text).unwrap();
            if text == "no" {
                std::fs::write(&path, "nor").unwrap();
            }
            files.refresh();
            files.refresh();
            assert_eq!((*number.get(), failures.value()), (expected, failed), "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        files.refresh();
        assert_eq!((*number.get(), failures.value()), (333, 3));
        drop(number);
        files.refresh();
        assert!(files.is_empty(), "what nobody uses is not looked at");
    }
}
