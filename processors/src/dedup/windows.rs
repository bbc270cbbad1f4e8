//! Open windows: what was seen, how often, and the record that will tell of it.
//!
//! All windows are equally long, so they end in the order in which they began; which one was quiet for longest, for the
//! day when memory is short, is told by the order of the map.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hashlink::LinkedHashMap;
use watershed_pipeline::calendar::Moment;
use watershed_pipeline::{Batch, LogRecord, Metadata, RecordMut, Signal};

use crate::key::Key;
use crate::memory::Share;

/// What a window takes beside the record it keeps: its entry in the map with links, its place in the order of ends, and
/// the room that both have to spare.
const WINDOW_SIZE: usize = 2 * (size_of::<Key>() + size_of::<Window>() + 16 + size_of::<(Instant, Key)>());

/// What a record is to the open windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The first of its kind: it goes on.
    None,
    /// The first repeat, which is to be saved for the summary.
    First(Key),
    /// One of several repeats.
    Further,
}

struct Window {
    began: Instant,
    /// Repeats, without the record that began the window.
    repeats: u64,
    /// Times of the earliest and the latest of all records, in nanoseconds since the Unix epoch.
    first_seen: u64,
    last_seen: u64,
    /// The first repeat, as an OTLP message of its own.
    saved: Option<Saved>,
}

struct Saved {
    message: Bytes,
    metadata: Option<Arc<Metadata>>,
}

/// The windows of one lane.
pub(super) struct Windows {
    length: Duration,
    memory: Share,
    count_attribute: String,
    /// Least recently seen first.
    open: LinkedHashMap<Key, Window>,
    /// When windows began, in order. A window that ended early leaves its place here until its time has come.
    began: VecDeque<(Instant, Key)>,
    /// How many open windows have a repeat.
    held: usize,
    /// What ended and has not been taken yet.
    ended: Vec<Window>,
}

impl Windows {
    pub(super) fn new(length: Duration, memory: Share, count_attribute: String) -> Self {
        Self {
            length,
            memory,
            count_attribute,
            open: LinkedHashMap::new(),
            began: VecDeque::new(),
            held: 0,
            ended: Vec::new(),
        }
    }

    /// Counts a record, and says what is to become of it.
    pub(super) fn see(&mut self, key: Key, log: LogRecord<'_>, now: Instant) -> Repeat {
        let time = match log.time_unix_nano() {
            0 => log.observed_time_unix_nano(),
            time => time,
        };
        let Some(window) = self.open.to_back(&key) else {
            let window = Window { began: now, repeats: 0, first_seen: time, last_seen: time, saved: None };
            self.memory.add(WINDOW_SIZE);
            self.open.insert(key, window);
            self.began.push_back((now, key));
            return Repeat::None;
        };
        window.repeats += 1;
        window.first_seen = window.first_seen.min(time);
        window.last_seen = window.last_seen.max(time);
        if window.repeats > 1 {
            return Repeat::Further;
        }
        self.held += 1;
        Repeat::First(key)
    }

    /// Keeps the first repeat of a window.
    pub(super) fn save(&mut self, key: Key, message: Bytes, metadata: Option<Arc<Metadata>>) {
        if let Some(window) = self.open.get_mut(&key) {
            self.memory.add(message.len());
            window.saved = Some(Saved { message, metadata });
        }
    }

    /// Ends windows until memory suffices, the one that was quiet for longest first. Says how many.
    pub(super) fn shrink(&mut self) -> usize {
        let before = self.open.len();
        while self.memory.is_exceeded() {
            let Some((_, window)) = self.open.pop_front() else { break };
            self.end(window);
        }
        // Places of windows that are gone are cleared away before they are more than those that are there.
        if self.began.len() > 2 * self.open.len() {
            let open = &self.open;
            self.began.retain(|(began, key)| open.get(key).is_some_and(|window| window.began == *began));
        }
        before - self.open.len()
    }

    /// Ends the windows whose time has come.
    pub(super) fn end_due(&mut self, now: Instant) {
        while let Some((began, key)) =
            self.began.front().copied().filter(|(began, _)| *began + self.length <= now)
        {
            self.began.pop_front();
            if self.open.get(&key).is_some_and(|window| window.began == began)
                && let Some(window) = self.open.remove(&key)
            {
                self.end(window);
            }
        }
    }

    /// Ends all windows.
    pub(super) fn end_all(&mut self) {
        self.began.clear();
        while let Some((_, window)) = self.open.pop_front() {
            self.end(window);
        }
    }

    fn end(&mut self, window: Window) {
        let saved = window.saved.as_ref().map_or(0, |saved| saved.message.len());
        self.memory.release(WINDOW_SIZE + saved);
        if window.repeats > 0 {
            self.ended.push(window);
        }
    }

    /// When the next window ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.began.front().map(|(began, _)| *began + self.length)
    }

    /// Records that will tell of repeats.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// The summaries of the windows that ended, those with the same request headers in one batch.
    pub(super) fn take_summaries(&mut self) -> Vec<Batch> {
        let ended = std::mem::take(&mut self.ended);
        self.held -= ended.len().min(self.held);
        let metadata = |window: &Window| window.saved.as_ref().and_then(|saved| saved.metadata.clone());
        ended
            .chunk_by(|one, other| metadata(one) == metadata(other))
            .filter_map(|group| self.summarize(group, group.first().and_then(metadata)))
            .collect()
    }

    fn summarize(&self, windows: &[Window], metadata: Option<Arc<Metadata>>) -> Option<Batch> {
        let saved = windows.iter().filter_map(|window| window.saved.as_ref());
        // Messages are lists, so one behind another is both of them.
        let message: Vec<u8> = saved.flat_map(|saved| saved.message.iter().copied()).collect();
        let mut batch = Batch::from_otlp(Signal::Logs, message.into()).ok()?;
        let mut records = batch.records_mut();
        for window in windows {
            let Some(mut record) = records.next() else { break };
            self.write(window, &mut record);
        }
        batch.set_metadata(metadata);
        Some(batch)
    }

    fn write(&self, window: &Window, record: &mut RecordMut<'_>) {
        let text = |time: u64| {
            let mut text = Vec::new();
            Moment::from_unix_nano(time).push_iso(&mut text);
            String::from_utf8(text).unwrap_or_default()
        };
        let count = i64::try_from(window.repeats).unwrap_or(i64::MAX);
        record.set_attribute(&self.count_attribute, count);
        record.set_attribute("dedup.first_seen", text(window.first_seen).as_str());
        record.set_attribute("dedup.last_seen", text(window.last_seen).as_str());
        record.set_time_unix_nano(window.last_seen);
    }
}
