//! Follows files, step by step: looks for them, reads what is new in turn, and learns what was delivered.
//!
//! Synchronous, without a clock, a task or a channel; time is an argument. One turn is [`Follower::look`] when something
//! may have changed, then [`Follower::read`] until it gives nothing, and [`Follower::deliver`] for each round that every
//! pipeline has taken. What is read is remembered in memory, what is delivered on disk: after a crash, what was on its
//! way is read again.
//!
//! Read on in `trail` (what is known of one content), `discovery` (which file is which), `reader` (bytes to records).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use watershed_pipeline::{Batch, Budget, BudgetExceeded, Signal, UntilEof};

use super::checkpoint::Checkpoints;
use super::cut::Cutter;
use super::globs::Globs;
use super::identity::{FileKey, Position};
use super::metrics::Metrics;
use super::records::Records;
use super::settings::{Compression, StartAt};
use super::trail::{Trail, TrailId};

/// How many contents are remembered whose file is gone, in case a copy or an archive of them appears.
const HOMELESS_MAX: usize = 1000;
/// Bytes that are read for one batch, from all files together.
pub(super) const ROUND: usize = 2 << 20;

/// What the follower is told.
pub(super) struct Options {
    pub(super) start_at: StartAt,
    pub(super) fingerprint_size: usize,
    pub(super) files_max: usize,
    pub(super) flush_period: Duration,
    pub(super) compression: Compression,
    pub(super) delete_after_read: bool,
    pub(super) exclude_older_than: Option<Duration>,
    pub(super) cutter: Cutter,
    pub(super) records: Records,
}

/// Follows files.
pub(super) struct Follower {
    pub(super) options: Options,
    pub(super) globs: Globs,
    pub(super) metrics: Metrics,
    pub(super) budget: Budget,
    pub(super) checkpoints: Checkpoints,
    /// All contents that are known, the newest last.
    pub(super) trails: BTreeMap<TrailId, Trail>,
    pub(super) by_key: HashMap<FileKey, TrailId>,
    pub(super) by_path: HashMap<PathBuf, TrailId>,
    /// Files with the content of a trail that is elsewhere: copies in the making.
    pub(super) shadows: HashMap<FileKey, Shadow>,
    /// Trails with something to read, in the order of their turns.
    pub(super) queue: VecDeque<TrailId>,
    /// Trails at whose end something unfinished stands.
    pub(super) unfinished: BTreeSet<TrailId>,
    /// Trails with an open file, in the order in which they were opened.
    pub(super) open: VecDeque<TrailId>,
    /// The directories in which files may appear, as of the last look.
    pub(super) directories: Vec<PathBuf>,
    pub(super) has_looked: bool,
    /// Whether this is the first start, at which `start_at` counts.
    pub(super) is_first_look: bool,
    /// Whether a file was found to hold another content, so that a look is due.
    pub(super) wants_look: bool,
    /// Whether it was said that positions can't be written.
    pub(super) complained: bool,
    pub(super) until_eof: Option<Arc<UntilEof>>,
}

/// A file that has the content of a trail that is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shadow {
    pub(super) of: TrailId,
    pub(super) was_located: bool,
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
}

/// What was read in one turn.
#[derive(Debug)]
pub(super) struct Round {
    /// The records.
    pub(super) batch: Batch,
    /// How far their trails are once they are delivered.
    pub(super) positions: Vec<(TrailId, Position)>,
    /// Bytes of the files that were read.
    pub(super) bytes: u64,
}

/// Why a turn gave nothing.
#[derive(Debug)]
pub(super) enum Pause {
    /// There is nothing to read.
    Idle,
    /// There is no memory for it.
    Memory(BudgetExceeded),
}

impl Follower {
    /// Begins with what the checkpoints know.
    pub(super) fn new(
        options: Options,
        globs: Globs,
        metrics: Metrics,
        budget: Budget,
        until_eof: Option<Arc<UntilEof>>,
        (checkpoints, trails): (Checkpoints, BTreeMap<TrailId, Trail>),
    ) -> Self {
        let is_first_look = trails.is_empty();
        let by_key = trails.iter().filter_map(|(id, trail)| Some((trail.key?, *id))).collect();
        Self {
            options,
            globs,
            metrics,
            budget,
            checkpoints,
            trails,
            by_key,
            by_path: HashMap::new(),
            shadows: HashMap::new(),
            queue: VecDeque::new(),
            unfinished: BTreeSet::new(),
            open: VecDeque::new(),
            directories: Vec::new(),
            has_looked: false,
            is_first_look,
            wants_look: false,
            complained: false,
            until_eof,
        }
    }

    /// Learns that a file was written to. Says whether a look is due, because it is none that is followed and should be.
    pub(super) fn touch(&mut self, path: &Path) -> bool {
        match self.by_path.get(path).copied() {
            Some(id) => {
                self.enqueue(id);
                false
            }
            None => self.globs.matches(path),
        }
    }

    /// Reads one round of what is new, each file in turn.
    ///
    /// # Errors
    /// Says why there is nothing to give.
    pub(super) fn read(&mut self, now: Instant, wall: SystemTime) -> Result<Round, Pause> {
        self.enqueue_unfinished(now);
        let mut round = Round { batch: Batch::new(Signal::Logs), positions: Vec::new(), bytes: 0 };
        let mut pause = Pause::Idle;
        while round.bytes < ROUND as u64 {
            let Some(id) = self.queue.pop_front() else { break };
            if let Some(trail) = self.trails.get_mut(&id) {
                trail.is_queued = false;
            }
            if let Err(exceeded) = self.read_block(id, now, wall, &mut round) {
                self.enqueue_first(id);
                pause = Pause::Memory(exceeded);
                break;
            }
        }
        if round.positions.is_empty() { Err(pause) } else { Ok(round) }
    }

    /// Learns that a round was delivered, or dropped for good.
    pub(super) fn deliver(&mut self, round: &Round) {
        let mut bytes = 0;
        for (id, position) in &round.positions {
            self.checkpoints.progress(*id, position);
            let Some(trail) = self.trails.get_mut(id) else { continue };
            bytes += position.offset.saturating_sub(trail.delivered.offset);
            trail.delivered = *position;
            if self.options.delete_after_read {
                self.delete_if_done(*id);
            }
        }
        if let Some(until_eof) = &self.until_eof {
            until_eof.advance(bytes, round.batch.len() as u64);
        }
        self.report();
    }

    /// Writes to disk what was delivered. If that fails, it is tried again the next time.
    pub(super) fn checkpoint(&mut self, now: Instant) {
        self.forget_oldest();
        match self.checkpoints.write(&self.trails, now) {
            Ok(()) => self.complained = false,
            Err(error) if !std::mem::replace(&mut self.complained, true) => {
                tracing::error!(%error, "cannot write positions; a restart would read again what is delivered now");
            }
            Err(_) => {}
        }
    }

    /// Makes the disk have what was delivered, at the end.
    pub(super) fn close(&mut self) {
        if let Err(error) = self.checkpoints.close(&self.trails) {
            tracing::error!(%error, "cannot write positions; the next start reads again what was delivered");
        }
    }

    /// When something has to be done although no file changes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let period = self.options.flush_period;
        let flush = self.unfinished.iter().filter(|_| !period.is_zero()).filter_map(|id| {
            let trail = self.trails.get(id)?;
            Some(trail.grown? + period)
        });
        let gone = self.trails.values().filter_map(|trail| self.retirement(trail));
        flush.chain(gone).chain(self.checkpoints.deadline()).min()
    }

    /// Whether everything that is there was read and delivered.
    pub(super) fn is_done(&self) -> bool {
        let is_done = |trail: &Trail| trail.is_broken || (trail.at_end && trail.delivered == trail.read);
        self.has_looked
            && !self.wants_look
            && self.queue.is_empty()
            && self.trails.values().filter(|trail| trail.is_located() && trail.is_seen).all(is_done)
    }

    pub(super) fn enqueue(&mut self, id: TrailId) {
        if let Some(trail) = self.trails.get_mut(&id).filter(|trail| !trail.is_queued) {
            trail.is_queued = true;
            trail.at_end = false;
            self.queue.push_back(id);
        }
    }

    fn enqueue_first(&mut self, id: TrailId) {
        if let Some(trail) = self.trails.get_mut(&id).filter(|trail| !trail.is_queued) {
            trail.is_queued = true;
            self.queue.push_front(id);
        }
    }

    /// Queues what has been unfinished for so long that it counts as finished.
    fn enqueue_unfinished(&mut self, now: Instant) {
        let period = self.options.flush_period;
        let is_due = |id: &&TrailId| {
            let grown = self.trails.get(id).and_then(|trail| trail.grown);
            !period.is_zero() && grown.is_none_or(|grown| now.saturating_duration_since(grown) >= period)
        };
        let mut due: Vec<TrailId> = self.unfinished.iter().filter(is_due).copied().collect();
        due.extend(self.trails.iter().filter(|(_, trail)| self.is_retired(trail, now)).map(|(id, _)| *id));
        for id in due {
            self.unfinished.remove(&id);
            self.enqueue(id);
        }
    }

    fn delete_if_done(&mut self, id: TrailId) {
        let Some(trail) = self.trails.get_mut(&id) else { return };
        let is_done = trail.at_end && trail.delivered == trail.read;
        let Some(path) = trail.path.clone().filter(|_| is_done) else { return };
        let is_it = std::fs::metadata(&path).is_ok_and(|metadata| {
            let is_whole = trail.is_archive || metadata.len() == trail.delivered.offset;
            Some(FileKey::of(&metadata)) == trail.key && is_whole
        });
        if is_it && let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "could not delete a file that was read");
        }
    }

    /// Forgets contents whose file is long gone.
    fn forget_oldest(&mut self) {
        let homeless =
            self.trails.iter().filter(|(_, trail)| !trail.is_located() && trail.delivered == trail.read);
        let homeless: Vec<TrailId> = homeless.map(|(id, _)| *id).collect();
        let excess = homeless.len().saturating_sub(HOMELESS_MAX);
        for id in homeless.into_iter().take(excess) {
            self.trails.remove(&id);
            self.checkpoints.forget(id);
        }
    }

    /// Publishes how things stand.
    pub(super) fn report(&self) {
        let located = self.trails.values().filter(|trail| trail.is_located());
        self.metrics.followed.set(located.clone().count() as i64);
        self.metrics.open.set(self.open.len() as i64);
        let lag: u64 = located.map(Trail::lag).sum();
        self.metrics.lag.set(i64::try_from(lag).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;
