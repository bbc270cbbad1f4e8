//! Puts together again what an earlier run of the process had merged, after a crash or a stop.
//!
//! A far end that remembers ids must see the same batch under the same id, or it would store twice what it had taken when
//! the process died. So before anything is merged anew, records that belonged to a merged batch are gathered
//! until it is whole. If one of them cannot be read any more, the others are merged anew, under another id: a part under
//! the old one could be taken for the whole and be lost.

use std::time::Duration;

use tokio::time::Instant;

use super::ledger::Load;
use crate::storage::{Group, Piece};

/// How long the first record of a batch waits for the others. Reading them takes milliseconds, unless the disk is ill.
const PATIENCE: Duration = Duration::from_secs(30);

/// The merged batches that are not whole yet.
#[derive(Default)]
pub(super) struct Reunion(Vec<Separated>);

/// A merged batch in the making.
struct Separated {
    id: u128,
    missing: Vec<Piece>,
    found: Vec<(Load, Piece)>,
    deadline: Option<Instant>,
}

/// Items on their way into a batch.
pub(super) enum Part {
    /// To be merged with others.
    Loose(Load, Option<Piece>),
    /// Merged already, by an earlier run of the process.
    Whole(Load),
}

/// What a load is as a part of a record; none for a load that no queue on disk gave out.
pub(super) fn whole(load: &Load) -> Option<Piece> {
    let end = u32::try_from(load.batch().len()).unwrap_or(u32::MAX);
    Some(Piece { sequence: load.sequence()?, record: load.batch().id(), start: 0, end })
}

/// Splits pieces as their items are split after the first `count`.
pub(super) fn split_off(pieces: &mut Vec<Piece>, count: usize) -> Vec<Piece> {
    let mut left = count;
    let mut rest = Vec::new();
    for piece in std::mem::take(pieces) {
        let (first, second) = cut(piece, left);
        left = left.saturating_sub(length(&piece));
        pieces.extend(first);
        rest.extend(second);
    }
    rest
}

fn length(piece: &Piece) -> usize {
    piece.end.saturating_sub(piece.start) as usize
}

fn cut(piece: Piece, count: usize) -> (Option<Piece>, Option<Piece>) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let middle = piece.start.saturating_add(count).min(piece.end);
    let first = Piece { end: middle, ..piece };
    let second = Piece { start: middle, ..piece };
    ((first.start < first.end).then_some(first), (second.start < second.end).then_some(second))
}

impl Reunion {
    pub(super) fn new(groups: Vec<Group>) -> Self {
        let separated = |group: Group| Separated {
            id: group.id,
            missing: group.pieces,
            found: Vec::new(),
            deadline: None,
        };
        Self(groups.into_iter().map(separated).collect())
    }

    /// Until when to wait for a record before giving up a batch.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|separated| separated.deadline).min()
    }

    /// Takes what the queue gave out, and gives what can go on.
    pub(super) fn take(&mut self, load: Load) -> Vec<Part> {
        let Some(mut rest) = whole(&load) else { return vec![Part::Loose(load, None)] };
        let sequence = rest.sequence;
        let mut parts = Vec::new();
        let mut load = Some(load);
        while let Some(mut current) = load.take() {
            match self.find(rest) {
                None => parts.push(Part::Loose(current, Some(rest))),
                Some(found) if found.start > rest.start => {
                    let loose = Piece { end: found.start, ..rest };
                    load = current.split_off(length(&loose));
                    parts.push(Part::Loose(current, Some(loose)));
                    rest.start = found.start;
                }
                Some(found) => {
                    load = current.split_off(length(&found));
                    rest.start = found.end;
                    self.join(current, found);
                }
            }
        }
        self.release(&mut parts, |separated| separated.missing.iter().any(|piece| piece.sequence < sequence));
        parts
    }

    /// Gives up what has waited for too long, or everything at the end.
    pub(super) fn give_up(&mut self, all: bool) -> Vec<Part> {
        let now = Instant::now();
        let mut parts = Vec::new();
        self.release(&mut parts, |separated| {
            all || separated.deadline.is_some_and(|deadline| deadline <= now)
        });
        parts
    }

    /// The first piece of a merged batch in what is left of a record.
    fn find(&self, rest: Piece) -> Option<Piece> {
        let missing = self.0.iter().flat_map(|separated| &separated.missing);
        let fits = |piece: &&Piece| {
            (piece.sequence, piece.record) == (rest.sequence, rest.record)
                && piece.start >= rest.start
                && piece.end <= rest.end
                && piece.start < piece.end
        };
        missing.filter(fits).min_by_key(|piece| piece.start).copied()
    }

    fn join(&mut self, load: Load, piece: Piece) {
        let owner = self.0.iter_mut().find(|separated| separated.missing.contains(&piece));
        if let Some(owner) = owner {
            owner.missing.retain(|missing| *missing != piece);
            owner.found.push((load, piece));
            owner.deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
        }
    }

    /// Gives what is whole, and what `is_broken` says will never be.
    fn release(&mut self, parts: &mut Vec<Part>, is_broken: impl Fn(&Separated) -> bool) {
        for separated in
            self.0.extract_if(.., |separated| separated.missing.is_empty() || is_broken(separated))
        {
            if separated.missing.is_empty() {
                parts.extend(separated.reunited().map(Part::Whole));
                continue;
            }
            tracing::warn!(
                missing = separated.missing.len(),
                "a part of a batch that was sent is not in the queue any more; the rest is sent anew"
            );
            parts.extend(separated.found.into_iter().map(|(load, piece)| Part::Loose(load, Some(piece))));
        }
    }
}

impl Separated {
    fn reunited(self) -> Option<Load> {
        let mut loads = self.found.into_iter().map(|(load, _)| load);
        let mut load = loads.next()?;
        loads.for_each(|other| load.append(other));
        let batch = load.batch_mut();
        batch.set_id(self.id);
        batch.set_sent_before();
        Some(load)
    }
}
