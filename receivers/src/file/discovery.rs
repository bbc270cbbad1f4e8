//! Finds out which file is which: new, grown, renamed, truncated, deleted, or a copy of one that is known.
//!
//! The rules, in the order in which a look applies them:
//!
//! 1. A file with a known device and inode is the same, whatever its name. If it is shorter than what was read of it, or
//!    begins with something else, it was truncated: its old content is now nowhere, and what it holds is unknown.
//! 2. A file that has no name any more is read to its end as long as its handle is open, and then its content is nowhere.
//! 3. An unknown file that begins like a known content is a copy or an archive of it. While that content is still where it
//!    was, the copy is a *shadow*, and not read. Once it is nowhere, the copy is where it is, and is read on from its
//!    position, if the bytes right before that position are the same too.
//! 4. Any other file is new. At the very first look `start_at` says where it begins, later it is read from its beginning.
//!
//! A file under the name that a known content had until it was renamed is new, however alike they begin.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::follower::{Follower, Shadow};
use super::identity::{FileKey, Fingerprint, Position, TAIL};
use super::reader::Opened;
use super::settings::{Compression, StartAt};
use super::source::Source;
use super::trail::{Trail, TrailId};

/// How long a file without a name is watched after it has grown last: its writer may not know yet.
const GONE_WAIT: Duration = Duration::from_secs(5);
/// Bytes at the end of a copy that are compared with the original.
const SAMPLE: usize = 4096;

/// Bytes that must have been read of a file before another one under its name can count as the same.
const PROOF: u64 = 256;

/// What an unknown file is.
enum Kind {
    /// Too little is there to say.
    Unclear,
    Shadow(TrailId),
    Heir(TrailId),
    New,
}

impl Follower {
    /// Looks for files and at what became of those that are known.
    pub(super) fn look(&mut self, now: Instant, wall: SystemTime) {
        let listing = self.globs.list();
        self.wants_look = false;
        self.directories = listing.directories;
        let mut found = HashMap::new();
        for (path, metadata) in &listing.files {
            found.entry(FileKey::of(metadata)).or_insert((path, metadata));
        }
        self.shadows.retain(|key, _| found.contains_key(key));
        // What has no name any more comes first, so that its handle is not given up for another one.
        let missing = self.by_key.iter().filter(|(key, _)| !found.contains_key(key)).map(|(_, id)| *id);
        for id in missing.collect::<Vec<_>>() {
            self.miss(id, now);
        }
        let mut unknown = Vec::new();
        for (key, (path, metadata)) in found {
            match self.by_key.get(&key).copied() {
                Some(id) if self.meet(id, path, metadata, now) => {}
                _ => unknown.push((key, path, metadata)),
            }
        }
        // The oldest first, so that generations come in their order.
        unknown.sort_by_key(|(_, path, metadata)| (metadata.modified().ok(), *path));
        for (key, path, metadata) in unknown {
            if !self.is_too_old(metadata, wall) {
                self.judge(key, path, metadata, now);
            }
        }
        let named = self.trails.iter().filter_map(|(id, trail)| Some((trail.path.clone()?, *id)));
        self.by_path = named.collect();
        (self.is_first_look, self.has_looked) = (false, true);
        self.report();
    }

    /// Meets a file that is known; says whether it still holds the content that is known.
    fn meet(&mut self, id: TrailId, path: &Path, metadata: &Metadata, now: Instant) -> bool {
        let Some(trail) = self.trails.get_mut(&id) else { return false };
        let moved = trail.path.as_deref() != Some(path);
        if moved && trail.path.is_some() {
            self.metrics.rotated.add(1);
        }
        trail.name(Some(path));
        trail.gone = None;
        trail.modified = metadata.modified().ok();
        let is_first = !std::mem::replace(&mut trail.is_seen, true);
        let changed = trail.size != metadata.len();
        if is_first && let Some(until_eof) = &self.until_eof {
            until_eof.expect(metadata.len().saturating_sub(trail.delivered.offset));
        }
        if changed || is_first || !trail.at_end {
            trail.is_broken = false;
            self.note_size(id, metadata.len(), now);
            self.enqueue(id);
            if !self.is_still(id) {
                self.lose(id);
                self.metrics.rotated.add(1);
                return false;
            }
        }
        if moved && let Some(trail) = self.trails.get(&id) {
            self.checkpoints.put(id, trail);
        }
        true
    }

    /// Whether a file that has changed still holds the content of its trail, as far as can be seen.
    fn is_still(&mut self, id: TrailId) -> bool {
        match self.open(id) {
            Opened::Other => return false,
            Opened::Failed => return true,
            Opened::Ready => {}
        }
        let Some(trail) = self.trails.get_mut(&id).filter(|trail| !trail.is_archive) else { return true };
        let Some(source) = &mut trail.source else { return true };
        let size = source.metadata().map_or(trail.size, |metadata| metadata.len());
        let head = source.head(self.options.fingerprint_size);
        size >= trail.read.offset && head.is_ok_and(|head| trail.fingerprint.begins(&head))
    }

    /// Misses a file: it was deleted, or renamed to what is not looked for.
    fn miss(&mut self, id: TrailId, now: Instant) {
        let Some(trail) = self.trails.get_mut(&id) else { return };
        if trail.source.is_none() {
            if trail.lag() > 0 && trail.is_seen {
                self.metrics.vanished.add(trail.size - trail.read.offset.min(trail.size));
            }
            return self.lose(id);
        }
        if trail.gone.is_none() {
            trail.gone = Some(now);
            trail.name(None);
            self.metrics.rotated.add(1);
        }
        self.enqueue(id);
        if !self.is_still(id) {
            self.replace(id, now);
        }
    }

    /// When the end of a file without a name is the end for good.
    pub(super) fn retirement(&self, trail: &Trail) -> Option<Instant> {
        Some(trail.gone?.max(trail.grown.unwrap_or(trail.gone?)) + GONE_WAIT)
    }

    pub(super) fn is_retired(&self, trail: &Trail, now: Instant) -> bool {
        self.retirement(trail).is_some_and(|end| now >= end)
    }

    /// Notes that it is not known any more where a content is.
    pub(super) fn lose(&mut self, id: TrailId) {
        let Some(trail) = self.trails.get_mut(&id) else { return };
        if let Some(key) = trail.key {
            self.by_key.remove(&key);
        }
        trail.leave();
        self.open.retain(|open| *open != id);
        self.unfinished.remove(&id);
        self.checkpoints.put(id, trail);
    }

    /// Notes that a file holds another content than before: the next look sees which. A file without a name is never
    /// looked at again, so that its new content is read from the handle.
    pub(super) fn replace(&mut self, id: TrailId, now: Instant) {
        let Some(trail) = self.trails.get_mut(&id) else { return };
        self.metrics.rotated.add(1);
        self.wants_look = true;
        let source = trail.source.take().filter(|_| trail.path.is_none());
        let (key, gone) = (trail.key, trail.gone);
        self.lose(id);
        let (Some(mut source), Some(key)) = (source, key) else { return };
        let head = source.head(self.options.fingerprint_size).unwrap_or_default();
        let trail = Trail {
            fingerprint: Fingerprint(head),
            grown: Some(now),
            gone,
            is_archive: source.is_archive(),
            source: Some(source),
            is_seen: true,
            ..Trail::default()
        };
        let next = self.next_id();
        self.open.push_back(next);
        self.settle(next, trail, key, None);
    }

    /// Finds out what an unknown file is.
    fn judge(&mut self, key: FileKey, path: &Path, metadata: &Metadata, now: Instant) {
        if let Some(shadow) = self.shadows.get(&key) {
            let is_located = self.trails.get(&shadow.of).is_some_and(Trail::is_located);
            if *shadow == shadow_of(shadow.of, is_located, metadata) {
                return;
            }
            self.shadows.remove(&key);
        }
        let Ok(mut source) = Source::open(path, self.options.compression) else { return };
        let Ok(head) = source.head(self.options.fingerprint_size) else { return };
        match self.kind(path, &mut source, &head, metadata.len()) {
            Kind::Unclear => {}
            Kind::Shadow(of) => {
                let is_located = self.trails.get(&of).is_some_and(Trail::is_located);
                self.shadows.insert(key, shadow_of(of, is_located, metadata));
            }
            Kind::Heir(id) => {
                self.lose(id);
                let mut trail = self.trails.remove(&id).unwrap_or_default();
                (trail.is_seen, trail.size, trail.grown) = (true, metadata.len(), Some(now));
                trail.modified = metadata.modified().ok();
                trail.is_archive = source.is_archive();
                trail.fingerprint.learn(&head);
                self.settle(id, trail, key, Some(path));
            }
            Kind::New => self.begin(key, path, metadata, &mut source, head, now),
        }
    }

    fn kind(&mut self, path: &Path, source: &mut Source, head: &[u8], size: u64) -> Kind {
        if head.is_empty() {
            return Kind::Unclear;
        }
        let alike = self
            .trails
            .iter()
            .rev()
            .filter(|(_, trail)| !trail.fingerprint.0.is_empty() && trail.fingerprint.fits(head));
        let alike: Vec<TrailId> = alike.map(|(id, _)| *id).collect();
        let mut unclear = None;
        for id in alike {
            let Some(trail) = self.trails.get_mut(&id) else { continue };
            let had_name = trail.former.as_deref() == Some(path) && trail.path.as_deref() != Some(path);
            if had_name && trail.is_seen {
                // Rotated, and the file is new; or written anew with the same content, as copying programs do.
                let may_be = trail.path.is_none() && trail.read.offset >= PROOF;
                if may_be && trail.fingerprint.begins(head) && has_tail(source, &trail.read) == Some(true) {
                    return Kind::Heir(id);
                }
                continue;
            }
            if trail.is_located() {
                if is_copy(trail, source, size, self.options.compression) {
                    return Kind::Shadow(id);
                }
                continue;
            }
            match has_tail(source, &trail.read) {
                Some(true) if trail.fingerprint.begins(head) => return Kind::Heir(id),
                // Cut off, or still being written.
                None => unclear = unclear.or(Some(Kind::Shadow(id))),
                Some(_) => {}
            }
        }
        unclear.unwrap_or(Kind::New)
    }

    /// Begins to follow a new file.
    fn begin(
        &mut self,
        key: FileKey,
        path: &Path,
        metadata: &Metadata,
        source: &mut Source,
        head: Vec<u8>,
        now: Instant,
    ) {
        let mut trail = Trail {
            fingerprint: Fingerprint(head),
            size: metadata.len(),
            modified: metadata.modified().ok(),
            grown: Some(now),
            is_archive: source.is_archive(),
            is_seen: true,
            ..Trail::default()
        };
        let skips = self.options.start_at == StartAt::End && self.is_first_look && self.until_eof.is_none();
        if skips {
            let position =
                if trail.is_archive { end_of_archive(source) } else { end_of(source, metadata.len()) };
            // A file that can't be read now is met again at the next look.
            let Ok(position) = position else { return };
            (trail.read, trail.delivered, trail.settled) = (position, position, position);
        }
        if let Some(until_eof) = &self.until_eof {
            until_eof.expect(metadata.len());
        }
        let id = self.next_id();
        self.settle(id, trail, key, Some(path));
    }

    /// Puts a trail where its content is.
    fn settle(&mut self, id: TrailId, mut trail: Trail, key: FileKey, path: Option<&Path>) {
        trail.name(path);
        trail.key = Some(key);
        self.checkpoints.put(id, &trail);
        self.trails.insert(id, trail);
        self.by_key.insert(key, id);
        if let Some(path) = path {
            self.by_path.insert(path.to_owned(), id);
        }
        self.enqueue(id);
    }

    fn next_id(&self) -> TrailId {
        // Those that were forgotten are older than those that were not.
        self.trails.last_key_value().map_or(1, |(id, _)| id + 1)
    }

    pub(super) fn note_size(&mut self, id: TrailId, size: u64, now: Instant) {
        if let Some(trail) =
            self.trails.get_mut(&id).filter(|trail| trail.size != size || trail.grown.is_none())
        {
            (trail.size, trail.grown) = (size, Some(now));
        }
    }

    fn is_too_old(&self, metadata: &Metadata, wall: SystemTime) -> bool {
        let age = metadata.modified().ok().and_then(|modified| wall.duration_since(modified).ok());
        self.options.exclude_older_than.is_some_and(|limit| age.is_some_and(|age| age > limit))
    }
}

fn has_tail(source: &mut Source, position: &Position) -> Option<bool> {
    // What can't be read now can be judged later.
    source.has_tail(position).unwrap_or_default()
}

fn shadow_of(of: TrailId, was_located: bool, metadata: &Metadata) -> Shadow {
    Shadow { of, was_located, size: metadata.len(), modified: metadata.modified().ok() }
}

/// Whether a file that begins like a trail has its content, as far as both go.
fn is_copy(trail: &mut Trail, copy: &mut Source, size: u64, compression: Compression) -> bool {
    if trail.is_archive || copy.is_archive() {
        return true;
    }
    let mut opened;
    let original = match (&mut trail.source, &trail.path) {
        (Some(source), _) => source,
        (None, Some(path)) => match Source::open(path, compression) {
            Ok(source) => {
                opened = source;
                &mut opened
            }
            Err(_) => return true,
        },
        (None, None) => return true,
    };
    let Ok(metadata) = original.metadata() else { return true };
    if size > metadata.len() {
        return false;
    }
    let start = size.saturating_sub(SAMPLE as u64);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let read = original.read(start, SAMPLE, &mut ours).and(copy.read(start, SAMPLE, &mut theirs));
    let common = ours.len().min(theirs.len()).min((size - start) as usize);
    read.is_ok() && ours.get(..common) == theirs.get(..common)
}

fn end_of(source: &mut Source, size: u64) -> std::io::Result<Position> {
    let start = size.saturating_sub(TAIL);
    let mut tail = Vec::new();
    source.read(start, (size - start) as usize, &mut tail)?;
    tail.truncate((size - start) as usize);
    Ok(Position { offset: start + tail.len() as u64, tail: crc32c::crc32c(&tail), ..Position::default() })
}

/// The end of a compressed file is known once it was decompressed.
fn end_of_archive(source: &mut Source) -> std::io::Result<Position> {
    const STEP: usize = 1 << 20;
    let (mut at, mut block, mut tail) = (0, Vec::new(), Vec::new());
    loop {
        block.clear();
        let found = source.read(at, STEP, &mut block)?;
        at += block.len() as u64;
        tail.extend_from_slice(&block);
        tail.drain(..tail.len().saturating_sub(TAIL as usize));
        if found.at_end {
            return Ok(Position { offset: at, tail: crc32c::crc32c(&tail), ..Position::default() });
        }
    }
}
