//! All rules compiled, applied to one text or one key at a time. Knows nothing of batches.

use std::borrow::Cow;
use std::ops::Range;

use regex::RegexSet;

use super::action::{Action, ActionKind};
use super::detect::Detector;
use super::key_words::KeyWords;
use super::pair::{self, Quote};
use super::patterns::Patterns;
use super::window::{ByteSet, Filter};

/// The bucket for pairs of key and value; those before it belong to the detectors.
const PAIRS: usize = 15;
/// How often a changed text is looked at again, for what the change itself has brought together.
const PASSES_MAX: usize = 4;

/// A name under which hits are counted, and what is done about them.
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) action: Action,
}

/// Something to hide in a text.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    pub(super) range: Range<usize>,
    pub(super) rule: u16,
    pub(super) kind: HitKind,
}

/// What a hit is.
#[derive(Clone, Copy, Debug)]
pub(super) enum HitKind {
    /// A value that looks like a secret.
    Value,
    /// What belongs to a key in text; with the quotes that the new value needs and the old one had not.
    Pair(Option<Quote>),
}

/// What became of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Text(String),
    /// What holds the text goes.
    Drop,
    /// The record goes.
    DropRecord,
}

/// Rules that mean keys as a whole, by expressions.
pub(super) struct KeyPatterns {
    pub(super) set: RegexSet,
    pub(super) rules: Vec<u16>,
}

/// All rules.
pub(super) struct Rules {
    pub(super) rules: Vec<Rule>,
    pub(super) filter: Filter,
    /// The detectors at work, each with its rule.
    pub(super) detectors: Vec<(Detector, u16)>,
    /// The detectors by the buckets of their windows.
    pub(super) buckets: Vec<(Detector, u16)>,
    pub(super) key_words: KeyWords,
    pub(super) key_patterns: Option<KeyPatterns>,
    pub(super) patterns: Patterns,
    pub(super) allowed_values: Option<RegexSet>,
}

impl Rules {
    /// Adds the windows of all detectors and keys to the filter.
    pub(super) fn fill_filter(&mut self) {
        self.buckets.clone_from(&self.detectors);
        for (index, (detector, rule)) in self.detectors.iter().enumerate() {
            for (number, window) in detector.windows().into_iter().enumerate() {
                // Windows that share a bucket widen each other, so each has one of its own while there are some.
                let has_room = number > 0 && self.buckets.len() < PAIRS;
                let bucket = if has_room { self.buckets.len() } else { index };
                self.buckets.extend(has_room.then_some((*detector, *rule)));
                self.filter.add(bucket, window);
            }
        }
        if self.key_patterns.is_some() {
            let key =
                ByteSet::of(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"_-.".contains(&byte));
            self.add_pair_windows([ByteSet::ANY, ByteSet::ANY, key]);
        } else if !self.key_words.is_empty() {
            let last = self.key_words.last_letters();
            self.add_pair_windows(last);
        }
    }

    fn add_pair_windows(&mut self, [first, second, third]: [ByteSet; 3]) {
        self.filter.add(PAIRS, [first, second, third, ByteSet::any_of(b"=:\"'\\%&]")]);
        self.filter.add(PAIRS, [second, third, ByteSet::any_of(b" "), ByteSet::any_of(b"=:")]);
    }

    /// The rule that means a key.
    pub(super) fn of_key(&self, key: &[u8]) -> Option<u16> {
        if let Some(rule) = self.key_words.find(key) {
            return Some(rule);
        }
        let patterns = self.key_patterns.as_ref()?;
        let first = patterns.set.matches(std::str::from_utf8(key).ok()?).iter().next()?;
        patterns.rules.get(first).copied()
    }

    pub(super) fn action(&self, rule: u16) -> Option<&Action> {
        self.rules.get(usize::from(rule)).map(|rule| &rule.action)
    }

    /// Finds what is to be hidden in a text: sorted, and without overlaps.
    #[inline]
    pub(super) fn find(&self, text: &[u8], hits: &mut Vec<Hit>) {
        self.find_all(text, hits);
        if !hits.is_empty() {
            self.tidy(text, hits);
        }
    }

    /// Finds what the rules mean, what is allowed and what was hidden before included.
    #[inline]
    pub(super) fn find_all(&self, text: &[u8], hits: &mut Vec<Hit>) {
        let mut floor = 0;
        self.filter.scan(text, |end, buckets| {
            if let Some(hit) = self.at_candidate(text, end, buckets, floor) {
                floor = hit.range.end;
                hits.push(hit);
            }
        });
        self.patterns.find(text, hits);
    }

    #[cold]
    fn at_candidate(&self, text: &[u8], end: usize, mut buckets: u16, floor: usize) -> Option<Hit> {
        while buckets != 0 {
            let bucket = buckets.trailing_zeros() as usize;
            buckets &= buckets - 1;
            let found = match self.buckets.get(bucket) {
                Some((detector, rule)) => {
                    let range = detector.find(text, end, floor);
                    range.map(|range| Hit { range, rule: *rule, kind: HitKind::Value })
                }
                None => self.pair(text, end).filter(|hit| hit.range.start >= floor),
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn pair(&self, text: &[u8], end: usize) -> Option<Hit> {
        let key = pair::key_before(text, end)?;
        let rule = self.of_key(text.get(key.clone())?)?;
        let found = pair::value_of(text, key)?;
        let value = text.get(found.value.clone())?;
        let is_done = self.action(rule).is_some_and(|action| action.is_done(value));
        let kind = HitKind::Pair(found.quote);
        (!is_done && !pair::is_harmless(value)).then_some(Hit { range: found.value, rule, kind })
    }

    /// Sorts hits, takes out what is allowed or was hidden before, and joins what overlaps.
    #[cold]
    fn tidy(&self, text: &[u8], hits: &mut Vec<Hit>) {
        hits.retain_mut(|hit| {
            widen(text, &mut hit.range);
            let found = text.get(hit.range.clone()).unwrap_or_default();
            let is_allowed = || {
                let found = std::str::from_utf8(found).unwrap_or_default();
                self.allowed_values.as_ref().is_some_and(|allowed| allowed.is_match(found))
            };
            !self.action(hit.rule).is_some_and(|action| action.is_done(found)) && !is_allowed()
        });
        hits.sort_by_key(|hit| (hit.range.start, std::cmp::Reverse(hit.range.end)));
        hits.dedup_by(|next, before| {
            let overlaps = next.range.start < before.range.end;
            if overlaps {
                before.range.end = before.range.end.max(next.range.end);
            }
            overlaps
        });
    }

    /// Hides in a text what was found there. `can_drop` says whether there is something that holds the text and can go.
    #[cold]
    pub(super) fn redact(&self, text: &[u8], hits: &mut Vec<Hit>, can_drop: bool) -> Outcome {
        let mut current = String::from_utf8_lossy(text);
        for _ in 0..PASSES_MAX {
            match self.replace(&current, hits, can_drop) {
                Outcome::Text(next) => current = Cow::Owned(next),
                gone => return gone,
            }
            hits.clear();
            self.find(current.as_bytes(), hits);
            if hits.is_empty() {
                break;
            }
        }
        Outcome::Text(current.into_owned())
    }

    fn replace(&self, text: &str, hits: &[Hit], can_drop: bool) -> Outcome {
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for hit in hits {
            let Some(action) = self.action(hit.rule) else { continue };
            match (action.kind, hit.kind) {
                (ActionKind::DropRecord, _) => return Outcome::DropRecord,
                (ActionKind::Drop, HitKind::Value) if can_drop => return Outcome::Drop,
                _ => {}
            }
            out.push_str(text.get(done..hit.range.start).unwrap_or_default());
            let new = action.replacement(text.get(hit.range.clone()).unwrap_or_default());
            match hit.kind {
                HitKind::Pair(Some(quote)) => push_quoted(&mut out, quote, &new),
                HitKind::Pair(None) | HitKind::Value => out.push_str(&new),
            }
            done = hit.range.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Outcome::Text(out)
    }
}

fn push_quoted(out: &mut String, quote: Quote, text: &str) {
    let mark = |out: &mut String| {
        (0..quote.backslashes).for_each(|_| out.push('\\'));
        out.push(char::from(quote.mark));
    };
    mark(out);
    out.push_str(text);
    mark(out);
}

/// Widens a range to whole characters.
fn widen(text: &[u8], range: &mut Range<usize>) {
    let is_inner = |at: usize| text.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    while is_inner(range.start) {
        range.start -= 1;
    }
    while is_inner(range.end) {
        range.end += 1;
    }
}
