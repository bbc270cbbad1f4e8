//! When a file is full, what it is called then, and which of the full ones are deleted: pure, with the time as argument.
//!
//! Names are those of the Go library lumberjack: `name-2006-01-02T15-04-05.000.ext`, in UTC.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;

use watershed_pipeline::calendar::{Moment, push_digits};

const DAY: u64 = 86_400_000_000_000;

/// When a file is full and what becomes of it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rotation {
    /// A file grows to so many MiB. Default 100.
    max_megabytes: std::num::NonZeroU64,
    /// Full files older than so many days are deleted. Default 0: none for its age.
    max_days: u64,
    /// So many full files are kept, the newest. Default 100; 0 keeps all.
    max_backups: usize,
    /// Whether names hold local time. Only `false` is possible: names in UTC stay in order when clocks are changed.
    localtime: bool,
}

impl Default for Rotation {
    fn default() -> Self {
        let max_megabytes = std::num::NonZeroU64::MIN.saturating_add(99);
        Self { max_megabytes, max_days: 0, max_backups: 100, localtime: false }
    }
}

impl Rotation {
    /// # Errors
    /// Local time is asked for.
    pub(super) fn check(self) -> Result<(), BuildError> {
        if self.localtime {
            return Err(BuildError::at(
                "rotation.localtime",
                "files are named in UTC; remove it or set it to false",
            ));
        }
        Ok(())
    }

    /// Whether a file of `size` bytes has no room for `length` more. An empty file takes a message of any size.
    pub(super) fn is_full(self, size: u64, length: u64) -> bool {
        size > 0 && size.saturating_add(length) > self.max_megabytes.get().saturating_mul(1 << 20)
    }

    /// Which of the files in a folder, given by name, are deleted.
    pub(super) fn obsolete(self, path: &Path, names: &[String], now: u64) -> Vec<String> {
        let oldest = stamp(now.saturating_sub(self.max_days.saturating_mul(DAY)));
        let mut stamped: Vec<(&str, &String)> =
            names.iter().filter_map(|name| Some((stamp_of(path, name)?, name))).collect();
        // Text of this form sorts as the times do.
        stamped.sort_unstable();
        let kept = if self.max_backups == 0 { usize::MAX } else { self.max_backups };
        let surplus = stamped.len().saturating_sub(kept);
        let is_obsolete = |(position, (stamp, _)): &(usize, (&str, &String))| {
            *position < surplus || (self.max_days > 0 && *stamp < oldest.as_str())
        };
        stamped.into_iter().enumerate().filter(is_obsolete).map(|(_, (_, name))| name.clone()).collect()
    }
}

/// The name of a file that became full at this time.
pub(super) fn backup(path: &Path, now: u64) -> PathBuf {
    let (stem, extension) = parts(path);
    path.with_file_name(format!("{stem}-{}{extension}", stamp(now)))
}

/// File name and extension, the latter with its point.
fn parts(path: &Path) -> (String, String) {
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    let extension = path.extension().map(|extension| format!(".{}", text(extension)));
    (path.file_stem().map(text).unwrap_or_default(), extension.unwrap_or_default())
}

/// The time within the name of a full file; nothing if it is none of this path.
fn stamp_of<'n>(path: &Path, name: &'n str) -> Option<&'n str> {
    let (stem, extension) = parts(path);
    let stamp = name.strip_prefix(&stem)?.strip_prefix('-')?.strip_suffix(&extension)?;
    let form = "0000-00-00T00-00-00.000";
    let fits =
        |(letter, model): (char, char)| if model == '0' { letter.is_ascii_digit() } else { letter == model };
    (stamp.len() == form.len() && stamp.chars().zip(form.chars()).all(fits)).then_some(stamp)
}

/// `2006-01-02T15-04-05.000`
fn stamp(now: u64) -> String {
    let moment = Moment::from_unix_nano(now);
    let mut out = Vec::new();
    moment.push_date(&mut out);
    out.push(b'T');
    for (number, end) in [(moment.hour, b'-'), (moment.minute, b'-'), (moment.second, b'.')] {
        push_digits::<2>(&mut out, number);
        out.push(end);
    }
    push_digits::<3>(&mut out, moment.nanosecond / 1_000_000);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(max_days: u64, max_backups: usize) -> Rotation {
        Rotation { max_days, max_backups, ..Rotation::default() }
    }

    #[test]
    fn full_files_are_named_as_lumberjack_names_them() {
        let now = 1_136_214_245_000_000_000;
        assert_eq!(backup(Path::new("/a/b.c.json"), now), Path::new("/a/b.c-2006-01-02T15-04-05.000.json"));
        assert_eq!(backup(Path::new("plain"), now), Path::new("plain-2006-01-02T15-04-05.000"));
    }

    #[test]
    fn a_file_is_full_when_the_next_message_does_not_fit() {
        let rotation = Rotation::default();
        let limit = 100 << 20;
        assert!(!rotation.is_full(limit - 10, 10));
        assert!(rotation.is_full(limit - 10, 11));
        assert!(!rotation.is_full(0, limit + 1));
    }

    #[test]
    fn the_oldest_go_first_and_strangers_stay() {
        let path = Path::new("/a/b.json");
        let names: Vec<String> = [
            "b-2006-01-03T00-00-00.000.json",
            "b-2006-01-01T00-00-00.000.json",
            "b-2006-01-02T00-00-00.000.json",
            "b.json",
            "b-mine.json",
            "c-2006-01-01T00-00-00.000.json",
            "b-2006-01-01T00-00-00.000.json.gz",
        ]
        .map(str::to_owned)
        .into();
        let now = 1_136_289_600_000_000_000; // 2006-01-03T12:00
        let obsolete = |max_days, max_backups| rotation(max_days, max_backups).obsolete(path, &names, now);
        assert_eq!(obsolete(0, 2), ["b-2006-01-01T00-00-00.000.json"]);
        assert_eq!(obsolete(1, 0), ["b-2006-01-01T00-00-00.000.json", "b-2006-01-02T00-00-00.000.json"]);
        assert_eq!(obsolete(0, 0), [""; 0]);
    }
}
