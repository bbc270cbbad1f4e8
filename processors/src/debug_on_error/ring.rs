//! The log records that wait in one lane, as OTLP messages of their own, by request and in the order of their coming.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use watershed_pipeline::{Batch, Metadata, Signal};

use crate::key::Key;
use crate::memory::Share;

/// What a piece takes beside its bytes: itself, its place in the order, its part of its request's entry, and the room that
/// all of these have to spare.
const PIECE_SIZE: usize =
    2 * (size_of::<Piece>() + size_of::<(u64, Instant, Key)>() + size_of::<(Key, VecDeque<Piece>)>());

/// Records of one request in one batch.
struct Piece {
    number: u64,
    message: Bytes,
    items: usize,
    metadata: Option<Arc<Metadata>>,
}

pub(super) struct Ring {
    hold: Duration,
    memory: Share,
    requests: HashMap<Key, VecDeque<Piece>>,
    /// All pieces, oldest first. Those that were let go leave their place here until it is their turn.
    order: VecDeque<(u64, Instant, Key)>,
    pieces: usize,
    items: usize,
    next_number: u64,
}

impl Ring {
    pub(super) fn new(hold: Duration, memory: Share) -> Self {
        Self {
            hold,
            memory,
            requests: HashMap::new(),
            order: VecDeque::new(),
            pieces: 0,
            items: 0,
            next_number: 0,
        }
    }

    pub(super) fn hold(&self) -> Duration {
        self.hold
    }

    /// Records that wait.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// Copies the records at some positions out of a batch.
    pub(super) fn hold_back(&mut self, batch: &Batch, mut waiting: Vec<(Key, usize)>, now: Instant) {
        // Positions of one request come together, still in ascending order.
        waiting.sort();
        for group in waiting.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((key, _)) = group.first() else { continue };
            let positions: Vec<usize> = group.iter().map(|(_, position)| *position).collect();
            let (number, message) = (self.next_number, batch.to_otlp_of(&positions));
            self.next_number += 1;
            self.memory.add(PIECE_SIZE + message.len());
            self.pieces += 1;
            self.items += positions.len();
            self.order.push_back((number, now, *key));
            let piece =
                Piece { number, message, items: positions.len(), metadata: batch.metadata().cloned() };
            self.requests.entry(*key).or_default().push_back(piece);
        }
    }

    /// Takes out what waits under some ids, records with the same request headers in one batch.
    pub(super) fn take(&mut self, keys: &[Key]) -> Vec<Batch> {
        if self.requests.is_empty() {
            return Vec::new();
        }
        let pieces: Vec<Piece> = keys.iter().filter_map(|key| self.requests.remove(key)).flatten().collect();
        pieces.iter().for_each(|piece| self.forget(piece));
        batches(&pieces)
    }

    /// Takes out all that waits.
    pub(super) fn take_all(&mut self) -> Vec<Batch> {
        let mut pieces: Vec<Piece> = self.requests.drain().flat_map(|(_, pieces)| pieces).collect();
        pieces.sort_by_key(|piece| piece.number);
        pieces.iter().for_each(|piece| self.forget(piece));
        self.order.clear();
        batches(&pieces)
    }

    /// Drops what has waited long enough. Says how many records.
    pub(super) fn expire(&mut self, now: Instant) -> u64 {
        let mut dropped = 0;
        while self.order.front().is_some_and(|(_, since, _)| *since + self.hold <= now) {
            dropped += self.drop_oldest();
        }
        dropped
    }

    /// Drops the oldest until memory suffices. Says how many records.
    pub(super) fn shrink(&mut self) -> u64 {
        let mut dropped = 0;
        while self.memory.is_exceeded() && !self.order.is_empty() {
            dropped += self.drop_oldest();
        }
        // Places of pieces that are gone are cleared away before they are more than those that are there.
        if self.order.len() > 2 * self.pieces {
            let requests = &self.requests;
            let is_there = |number: u64, key: &Key| {
                requests
                    .get(key)
                    .and_then(|pieces| pieces.front())
                    .is_some_and(|first| first.number <= number)
            };
            self.order.retain(|(number, _, key)| is_there(*number, key));
        }
        dropped
    }

    /// Drops all that waits. Says how many records.
    pub(super) fn clear(&mut self) -> u64 {
        let mut dropped = 0;
        while !self.order.is_empty() {
            dropped += self.drop_oldest();
        }
        dropped
    }

    fn drop_oldest(&mut self) -> u64 {
        let Some((number, _, key)) = self.order.pop_front() else { return 0 };
        let Some(pieces) = self.requests.get_mut(&key) else { return 0 };
        if pieces.front().is_none_or(|first| first.number != number) {
            return 0;
        }
        let piece = pieces.pop_front();
        if pieces.is_empty() {
            self.requests.remove(&key);
        }
        piece.map_or(0, |piece| {
            self.forget(&piece);
            piece.items as u64
        })
    }

    fn forget(&mut self, piece: &Piece) {
        self.memory.release(PIECE_SIZE + piece.message.len());
        self.pieces -= 1;
        self.items -= piece.items;
    }
}

/// Messages are lists, so one behind another is both of them.
fn batches(pieces: &[Piece]) -> Vec<Batch> {
    let batch = |group: &[Piece]| {
        let message: Vec<u8> = group.iter().flat_map(|piece| piece.message.iter().copied()).collect();
        let mut batch = Batch::from_otlp(Signal::Logs, message.into()).ok()?;
        batch.set_metadata(group.first().and_then(|piece| piece.metadata.clone()));
        Some(batch)
    };
    pieces.chunk_by(|one, other| one.metadata == other.metadata).filter_map(batch).collect()
}
