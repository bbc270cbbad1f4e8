//! Joining batches, taking them apart, and leaving records out.

use std::sync::Arc;

use super::{Batch, Record, SpanEvent, id, part};
use crate::otlp::decode;

impl Batch {
    /// Keeps the records for which `keep` says so, in order.
    ///
    /// ```
    /// # use watershed_pipeline::{Batch, Signal};
    /// # let mut batch = Batch::builder(Signal::Logs).record(|log| log.set_severity_number(5)).build();
    /// batch.retain(|record| record.log().is_some_and(|log| log.severity_number() >= 9));
    /// assert!(batch.is_empty());
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(Record<'_>) -> bool) {
        for part in &mut self.parts {
            let wanted: Vec<bool> = (0..part.len()).map(|row| keep(Record { part, row })).collect();
            if wanted.iter().all(|keep| *keep) {
                continue;
            }
            let mut wanted = wanted.into_iter();
            Arc::make_mut(part).retain(|_, _| wanted.next().unwrap_or(true));
        }
        self.parts.retain(|part| part.len() > 0);
    }

    /// Keeps the span events for which `keep` says so, in order; the spans stay. Says how many events went.
    pub fn retain_events(&mut self, mut keep: impl FnMut(Record<'_>, SpanEvent<'_>) -> bool) -> usize {
        let mut dropped = 0;
        for part in &mut self.parts {
            let records = (0..part.len()).map(|row| Record { part, row });
            let spans = records.filter_map(|record| Some((record, record.span()?)));
            let events = spans.flat_map(|(record, span)| span.events().map(move |event| (record, event)));
            let wanted: Vec<bool> = events.map(|(record, event)| keep(record, event)).collect();
            let unwanted = wanted.iter().filter(|wanted| !**wanted).count();
            if unwanted > 0 {
                let mut wanted = wanted.into_iter();
                part::retain_events(Arc::make_mut(part), || wanted.next().unwrap_or(true));
            }
            dropped += unwanted;
        }
        dropped
    }

    /// Adds another batch's records behind one's own, without copying either.
    ///
    /// # Panics
    /// Never; a batch of another signal is a mistake of the caller that debug builds assert.
    pub fn append(&mut self, mut other: Self) {
        debug_assert_eq!(self.signal, other.signal, "batches of different signals can't be merged");
        let is_empty = self.is_empty();
        self.id = if is_empty { other.id } else { id::derived(self.id, other.id) };
        self.parts.append(&mut other.parts);
        self.receipts.append(&mut other.receipts);
        self.received = match (self.received, other.received) {
            (0, time) | (time, 0) => time,
            (one, two) => one.min(two),
        };
    }

    /// Splits off the records after the first `count`, if there are more.
    #[must_use]
    pub fn split_off(&mut self, count: usize) -> Option<Self> {
        if self.len() <= count {
            return None;
        }
        let mut rest = self.clone();
        let mut position = 0;
        rest.retain(|_| {
            position += 1;
            position > count
        });
        let mut position = 0;
        self.retain(|_| {
            position += 1;
            position <= count
        });
        rest.id = id::derived(self.id, count as u128 * 2 + 1);
        self.id = id::derived(self.id, count as u128 * 2);
        Some(rest)
    }

    /// Splits the records by a number below `count` that `choose` gives each; empty batches are left out.
    #[must_use]
    pub fn partition(self, count: usize, choose: impl Fn(Record<'_>) -> usize) -> Vec<(usize, Self)> {
        let chosen: Vec<usize> = self.records().map(&choose).collect();
        let Some(first) = chosen.first().copied() else { return Vec::new() };
        if chosen.iter().all(|number| *number == first) {
            return vec![(first, self)];
        }
        let one = |number: usize| {
            let mut part = self.clone();
            let mut numbers = chosen.iter();
            part.retain(|_| numbers.next() == Some(&number));
            part.id = id::derived(self.id, number as u128);
            (!part.is_empty()).then_some((number, part))
        };
        (0..count).filter_map(one).collect()
    }

    /// Copies the records into buffers of their own, when what is left is a small part of what was received.
    ///
    /// A processor that keeps records for long calls this, so that a few of them do not hold a large request.
    pub fn compact(&mut self) {
        let message = self.to_otlp();
        let large = message.len().saturating_mul(2) < self.memory_size();
        if large && let Ok(part) = decode(self.signal, message) {
            self.parts = if part.len() == 0 { Vec::new() } else { vec![Arc::new(part)] };
        }
    }
}
