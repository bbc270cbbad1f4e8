//! Several files by an attribute of the resource: which records go to which, and which files are open.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use watershed_pipeline::{Batch, Record, Value};

use super::target::{Directory, Failure, Opening, Target};

/// Where records go whose resource lacks the attribute.
const MISSING: &str = "MISSING";
/// How long one step of a path may be, in bytes; file systems allow 255, and rotation adds some.
const STEP_MAX: usize = 200;

/// A path in which something may stand for the value of an attribute.
#[derive(Debug)]
pub(super) struct Pattern {
    before: String,
    after: String,
    attribute: Option<String>,
    single: PathBuf,
}

impl Pattern {
    /// One file for everything.
    pub(super) fn single(path: &Path) -> Self {
        Self { before: String::new(), after: String::new(), attribute: None, single: path.into() }
    }

    /// A file for each value.
    ///
    /// # Errors
    /// The path has no `*`, or several.
    pub(super) fn new(path: &Path, attribute: String) -> Result<Self, String> {
        let text = path.to_string_lossy();
        let (before, after) =
            text.split_once('*').filter(|(_, after)| !after.contains('*')).ok_or_else(|| {
                format!("`{text}` needs exactly one `*`, which stands for the value of the attribute")
            })?;
        let (before, after) = (before.to_owned(), after.to_owned());
        Ok(Self { before, after, attribute: Some(attribute), single: path.into() })
    }

    fn path(&self, segment: &str) -> PathBuf {
        match self.attribute {
            None => self.single.clone(),
            Some(_) => format!("{}{segment}{}", self.before, self.after).into(),
        }
    }
}

/// The files that are open, by the value that they are for.
pub(super) struct Groups {
    pattern: Pattern,
    opening: Opening,
    open_max: usize,
    /// Each file with the number of its last use.
    open: HashMap<String, (u64, Target)>,
    uses: u64,
}

impl Groups {
    pub(super) fn new(pattern: Pattern, opening: Opening, open_max: usize) -> Self {
        Self { pattern, opening, open_max, open: HashMap::new(), uses: 0 }
    }

    /// Opens the file if there is only one.
    pub(super) fn open_single(&mut self) -> Result<(), Failure> {
        if self.pattern.attribute.is_none() { self.target("").map(drop) } else { Ok(()) }
    }

    /// Appends a message to the file of this value.
    pub(super) fn write(&mut self, segment: &str, message: &[u8], now: u64) -> Result<(), Failure> {
        self.target(segment)?.write(message, now)
    }

    /// Forces all files to the disk, and names the last one that failed.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        for (_, target) in self.open.values_mut() {
            result = target.sync().and(result);
        }
        result
    }

    fn target(&mut self, segment: &str) -> Result<&mut Target, Failure> {
        self.uses += 1;
        if !self.open.contains_key(segment) {
            self.make_room();
            let mut opening = self.opening;
            if self.pattern.attribute.is_some() {
                // Nobody knows the values beforehand, so nobody can make their folders.
                opening.directory = Directory { is_made: true, ..opening.directory };
            }
            let target = Target::open(self.pattern.path(segment), opening)?;
            self.open.insert(segment.to_owned(), (self.uses, target));
        }
        match self.open.get_mut(segment) {
            Some((used, target)) => {
                *used = self.uses;
                Ok(target)
            }
            None => Err((self.pattern.path(segment), std::io::ErrorKind::NotFound.into())),
        }
    }

    /// Closes the file that was used longest ago if there are too many.
    fn make_room(&mut self) {
        if self.open.len() < self.open_max {
            return;
        }
        let oldest = self.open.iter().min_by_key(|(_, (used, _))| *used).map(|(segment, _)| segment.clone());
        if let Some(oldest) = oldest {
            self.open.remove(&oldest);
        }
    }
}

/// Splits a batch by the value of an attribute of the resource, in the form that it has within a path.
pub(super) fn split(batch: &Batch, attribute: Option<&str>) -> Vec<(String, Batch)> {
    let Some(attribute) = attribute else { return vec![(String::new(), batch.clone())] };
    let mut segments: Vec<String> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for record in batch.records() {
        let segment = segment_of(record, attribute);
        if !numbers.contains_key(&segment) {
            numbers.insert(segment.clone(), segments.len());
            segments.push(segment);
        }
    }
    let choose =
        |record: Record<'_>| numbers.get(&segment_of(record, attribute)).copied().unwrap_or_default();
    let parts = batch.clone().partition(segments.len(), choose);
    parts.into_iter().filter_map(|(number, part)| Some((segments.get(number)?.clone(), part))).collect()
}

fn segment_of(record: Record<'_>, attribute: &str) -> String {
    let value = match record.resource().attribute(attribute) {
        Some(Value::Str(text)) => safe(text),
        Some(Value::Int(number)) => number.to_string(),
        _ => String::new(),
    };
    if value.is_empty() { MISSING.to_owned() } else { value }
}

/// A value as a part of a path that never leads out of its folder.
fn safe(text: &str) -> String {
    let steps = text.split(['/', '\\']).filter(|step| !["", ".", ".."].contains(step));
    let steps: Vec<String> = steps
        .map(|step| {
            let short = step.get(..step.floor_char_boundary(STEP_MAX)).unwrap_or_default();
            short.chars().map(|letter| if letter.is_control() { '_' } else { letter }).collect()
        })
        .collect();
    steps.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_lead_out_of_the_folder() {
        for (text, expected) in [
            ("tenant-a", "tenant-a"),
            ("eu/shop", "eu/shop"),
            ("../../etc/passwd", "etc/passwd"),
            ("/etc//passwd/.", "etc/passwd"),
            ("..\\x", "x"),
            ("a\0b\n", "a_b_"),
            ("..", ""),
        ] {
            assert_eq!(safe(text), expected);
        }
        assert_eq!(safe(&"ü".repeat(150)), "ü".repeat(100));
    }
}
