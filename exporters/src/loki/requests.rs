//! Entries of one tenant → requests, each as large as Loki takes. Deterministic, so that a retry sends the same bytes.

use std::ops::Range;

use super::encode::{Group, Stream};
use super::wire::{push_stream, stream_overhead};

/// The entries of one request: ranges of the streams of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pieces: Vec<Piece>,
    /// Entries in all pieces.
    pub(super) entries: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    stream: usize,
    entries: Range<usize>,
}

/// Divides the entries of a group into requests of at most `size_max` bytes; an entry that is larger goes alone. With
/// `one_stream` no request holds more than one stream.
pub(super) fn divide(group: &Group, size_max: usize, one_stream: bool) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut current = Request::default();
    let mut size = 0;
    for (number, stream) in group.streams.iter().enumerate() {
        if one_stream {
            finish(&mut requests, &mut current, &mut size);
        }
        for (position, entry) in stream.entries.iter().enumerate() {
            let is_new = current.pieces.last().is_none_or(|piece| piece.stream != number);
            let added = entry.place.len() + if is_new { stream_overhead(&stream.labels) } else { 0 };
            if size + added > size_max {
                finish(&mut requests, &mut current, &mut size);
            }
            size += current.add(number, position, stream);
        }
    }
    finish(&mut requests, &mut current, &mut size);
    requests
}

fn finish(requests: &mut Vec<Request>, current: &mut Request, size: &mut usize) {
    *size = 0;
    if current.entries > 0 {
        requests.push(std::mem::take(current));
    }
}

impl Request {
    /// Adds one entry; returns how many bytes that takes at most.
    fn add(&mut self, number: usize, position: usize, stream: &Stream) -> usize {
        self.entries += 1;
        let size = stream.entries.get(position).map_or(0, |entry| entry.place.len());
        match self.pieces.last_mut() {
            Some(piece) if piece.stream == number => {
                piece.entries.end = position + 1;
                size
            }
            _ => {
                self.pieces.push(Piece { stream: number, entries: position..position + 1 });
                size + stream_overhead(&stream.labels)
            }
        }
    }

    /// The request as protobuf.
    pub(super) fn message(&self, group: &Group) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size_at_most(group));
        let mut slices = Vec::new();
        for piece in &self.pieces {
            let Some(stream) = group.streams.get(piece.stream) else { continue };
            let entries = stream.entries.get(piece.entries.clone()).unwrap_or_default();
            slices.clear();
            slices.extend(
                entries.iter().map(|entry| stream.bytes.get(entry.place.clone()).unwrap_or_default()),
            );
            push_stream(&mut out, &stream.labels, &slices);
        }
        out
    }

    fn size_at_most(&self, group: &Group) -> usize {
        let of_piece = |piece: &Piece| {
            let stream = group.streams.get(piece.stream)?;
            let entries = stream.entries.get(piece.entries.clone())?;
            let size: usize = entries.iter().map(|entry| entry.place.len()).sum();
            Some(size + stream_overhead(&stream.labels))
        };
        self.pieces.iter().filter_map(of_piece).sum()
    }

    /// Two requests with half of the entries each; nothing if there is only one entry.
    pub(super) fn halve(&self) -> Option<(Self, Self)> {
        let mut first = Self::default();
        let mut second = Self::default();
        let mut room = self.entries / 2;
        if room == 0 {
            return None;
        }
        for piece in &self.pieces {
            let taken = piece.entries.len().min(room);
            let middle = piece.entries.start + taken;
            first.push(piece.stream, piece.entries.start..middle);
            second.push(piece.stream, middle..piece.entries.end);
            room -= taken;
        }
        Some((first, second))
    }

    fn push(&mut self, stream: usize, entries: Range<usize>) {
        if !entries.is_empty() {
            self.entries += entries.len();
            self.pieces.push(Piece { stream, entries });
        }
    }
}
