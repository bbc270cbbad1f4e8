//! Where damaged segments go once everything readable in them is delivered, so that somebody can look at them.

use std::path::Path;

use super::disk::Disk;
use super::segment::file_name;

/// The directory inside a queue's.
pub(crate) const DIRECTORY: &str = "quarantine";
/// No more files than this are kept; the oldest goes first.
const FILES_MAX: usize = 16;

/// Moves a segment there. What does not work is logged: a queue goes on without it.
pub(crate) fn put(disk: &dyn Disk, directory: &Path, first: u64) {
    let name = file_name(first);
    let aside = directory.join(DIRECTORY);
    let moved = disk.create_directory(&aside).and_then(|()| {
        make_room(disk, &aside)?;
        disk.rename(&directory.join(&name), &aside.join(&name))?;
        disk.sync_directory(&aside)?;
        disk.sync_directory(directory)
    });
    match moved {
        Ok(()) => tracing::warn!(directory = %aside.display(), name, "set a damaged queue file aside"),
        Err(error) => tracing::error!(
            directory = %aside.display(), name, %error, "could not set a damaged queue file aside"
        ),
    }
}

fn make_room(disk: &dyn Disk, aside: &Path) -> std::io::Result<()> {
    let mut names = disk.list(aside)?;
    names.sort_unstable();
    let surplus = (names.len() + 1).saturating_sub(FILES_MAX);
    names.iter().take(surplus).try_for_each(|name| disk.remove(&aside.join(name)))
}
