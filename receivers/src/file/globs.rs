//! Which files there are: patterns of paths, and the walk that finds what they match.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use watershed_config::BuildError;

/// How deep a pattern with `**` looks.
const DEPTH_MAX: usize = 32;

/// What is included and what is excluded.
#[derive(Debug)]
pub(super) struct Globs {
    include: Vec<Include>,
    exclude: GlobSet,
}

/// One pattern with the directory in which it begins.
#[derive(Debug)]
struct Include {
    base: PathBuf,
    /// Levels below the base on which files may be.
    depth: usize,
    /// Whether links to directories are followed: not where they could lead back up without end.
    follow: bool,
    matcher: GlobMatcher,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The files by path.
    pub(super) files: BTreeMap<PathBuf, Metadata>,
    /// The directories in which files may appear.
    pub(super) directories: Vec<PathBuf>,
}

impl Globs {
    /// Reads patterns.
    ///
    /// # Errors
    /// Names the pattern.
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, BuildError> {
        let glob = |field: &str, pattern: &str| {
            GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| {
                let reason = error.kind().to_string();
                BuildError::at(field, format!("`{pattern}` is not a pattern of paths: {reason}"))
            })
        };
        let mut includes = Vec::new();
        for pattern in include {
            includes.push(Include::new(pattern, glob("include", pattern)?.compile_matcher()));
        }
        let mut excludes = GlobSetBuilder::new();
        for pattern in exclude {
            excludes.add(glob("exclude", pattern)?);
        }
        let exclude = excludes.build().map_err(|error| BuildError::at("exclude", error.to_string()))?;
        Ok(Self { include: includes, exclude })
    }

    /// Looks for files. What can't be looked into holds none for now.
    pub(super) fn list(&self) -> Listing {
        let mut listing = Listing::default();
        for include in &self.include {
            include.walk(&include.base, include.depth, &mut |path, metadata| match metadata {
                Some(metadata) if !self.exclude.is_match(path) => {
                    listing.files.insert(path.to_owned(), metadata);
                }
                Some(_) => {}
                None => listing.directories.push(path.to_owned()),
            });
        }
        listing.directories.sort_unstable();
        listing.directories.dedup();
        listing
    }

    /// Whether a path is one of those that are looked for.
    pub(super) fn matches(&self, path: &Path) -> bool {
        self.include.iter().any(|include| include.matcher.is_match(path)) && !self.exclude.is_match(path)
    }
}

impl Include {
    fn new(pattern: &str, matcher: GlobMatcher) -> Self {
        let is_plain =
            |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{', '\\']);
        let parts: Vec<Component<'_>> = Path::new(pattern).components().collect();
        let plain = parts.iter().take_while(|part| is_plain(part)).count().min(parts.len().saturating_sub(1));
        let base: PathBuf = parts.iter().take(plain).collect();
        let is_deep = pattern.contains("**");
        let depth = if is_deep { DEPTH_MAX } else { parts.len() - plain };
        // Alternatives may hold separators of their own.
        let depth = if pattern.contains('{') { DEPTH_MAX } else { depth };
        Self { base, depth, follow: depth < DEPTH_MAX, matcher }
    }

    /// Visits a directory with `None` and each matching file with what is known of it.
    fn walk(&self, directory: &Path, depth: usize, visit: &mut dyn FnMut(&Path, Option<Metadata>)) {
        let place = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        visit(place, None);
        let Ok(entries) = fs::read_dir(place) else { return };
        for entry in entries.flatten() {
            let path = directory.join(entry.file_name());
            let Ok(kind) = entry.file_type() else { continue };
            let may_match = self.matcher.is_match(&path);
            let may_hold = depth > 1 && (kind.is_dir() || (kind.is_symlink() && self.follow));
            if !may_match && !may_hold {
                continue;
            }
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_dir() && may_hold {
                self.walk(&path, depth - 1, visit);
            } else if metadata.is_file() && may_match {
                visit(&path, Some(metadata));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_find_files_at_their_depth() {
        let root = tempfile::tempdir().unwrap();
        for path in ["a.log", "b.txt", "x/a.log", "x/y/a.log", "x/y/b.log", "z/y/a.log"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |include: &[&str], exclude: &[&str]| {
            let whole = |patterns: &[&str]| -> Vec<String> {
                patterns.iter().map(|pattern| format!("{}/{pattern}", root.path().display())).collect()
            };
            let globs = Globs::new(&whole(include), &whole(exclude)).unwrap();
            let listing = globs.list();
            let names = listing.files.keys().map(|path| path.strip_prefix(root.path()).unwrap());
            names.map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found(&["*.log"], &[]), ["a.log"]);
        assert_eq!(found(&["a.log"], &[]), ["a.log"]);
        assert_eq!(found(&["**/*.log"], &["**/b.*"]), ["a.log", "x/a.log", "x/y/a.log", "z/y/a.log"]);
        assert_eq!(found(&["*/y/a.log", "*.txt"], &[]), ["b.txt", "x/y/a.log", "z/y/a.log"]);
        assert_eq!(found(&["{x,z/y}/a.log"], &[]), ["x/a.log", "z/y/a.log"]);
    }

    #[test]
    fn a_wrong_pattern_is_named() {
        let error = Globs::new(&["/a/[b".to_owned()], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "include: `/a/[b` is not a pattern of paths: unclosed character class; missing ']'"
        );
    }
}
