//! The rules at work on a batch: what becomes of each key, text and value.

use std::borrow::Cow;
use std::collections::HashSet;

use regex::RegexSet;
use watershed_pipeline::{AnyValue, Edit, End, Sweep, TextPlace, Value};

use super::action::ActionKind;
use super::pair::is_harmless;
use super::rules::{Hit, Outcome, Rules};
use super::summary::Notes;

/// Lists of keys that do not depend on what stands under them.
#[derive(Default)]
pub(super) struct KeyLists {
    /// Left alone altogether.
    pub(super) ignored: HashSet<String>,
    pub(super) ignored_patterns: Option<RegexSet>,
    /// The only attributes that stay, if there is such a list.
    pub(super) allowed: Option<HashSet<String>>,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    verdict: Verdict,
    /// Its number in the notes, if there are any.
    number: usize,
}

/// What was decided of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Its values are looked at.
    Scan,
    /// Its values stay.
    Ignore,
    /// It is on no list of allowed keys.
    NotAllowed,
    /// A rule means it, whatever its value.
    Rule(u16),
}

/// One pass over a batch.
pub(super) struct Sweeper<'a> {
    pub(super) rules: &'a Rules,
    pub(super) lists: &'a KeyLists,
    /// Whether hits are only counted.
    pub(super) dry_run: bool,
    /// Whether numbers and truth values are looked at like texts.
    pub(super) all_types: bool,
    /// How often each rule hit; one more at the end for keys that are not allowed.
    pub(super) counts: &'a mut [u64],
    /// For use again.
    pub(super) hits: &'a mut Vec<Hit>,
    pub(super) notes: Option<Notes>,
    /// Whether the record in hand goes.
    pub(super) drops: bool,
}

/// What became of a nested value.
enum Nested {
    Same,
    Changed,
    Drop,
}

impl Sweep for Sweeper<'_> {
    type Verdict = Key;

    fn key(&mut self, key: &str) -> (Key, Option<String>) {
        let is_allowed = self.lists.allowed.as_ref().is_none_or(|allowed| allowed.contains(key));
        let verdict = match self.verdict(key) {
            Verdict::Ignore => Verdict::Ignore,
            _ if !is_allowed => Verdict::NotAllowed,
            verdict => verdict,
        };
        let number = self.notes.as_mut().map_or(0, |notes| notes.add_key(key));
        let new = if verdict == Verdict::Ignore { None } else { self.renamed(key) };
        (Key { verdict, number }, new)
    }

    #[inline]
    fn text(&mut self, place: TextPlace<Key>, text: &[u8]) -> Edit {
        match verdict_at(place) {
            Verdict::Scan => {
                self.hits.clear();
                self.rules.find(text, self.hits);
                if self.hits.is_empty() { Edit::Keep } else { self.redact(place, text) }
            }
            Verdict::Ignore => Edit::Keep,
            Verdict::NotAllowed => self.not_allowed(place),
            Verdict::Rule(rule) => {
                let text = std::str::from_utf8(text).unwrap_or_default();
                self.whole(rule, place, Value::Str(text))
            }
        }
    }

    fn value(&mut self, place: TextPlace<Key>, value: Value<'_>) -> Edit {
        match (verdict_at(place), value) {
            (Verdict::Ignore, _) => Edit::Keep,
            (Verdict::NotAllowed, _) => self.not_allowed(place),
            (Verdict::Rule(rule), _) => self.whole(rule, place, value),
            (Verdict::Scan, Value::Int(_) | Value::Double(_) | Value::Bool(_)) if self.all_types => {
                self.text(place, value.to_text().as_bytes())
            }
            (Verdict::Scan, Value::Array(_) | Value::Map(_) | Value::Bytes(_)) if self.is_hit(value) => {
                let mut owned = value.to_any_value();
                match self.nested(place, &mut owned) {
                    Nested::Same => Edit::Keep,
                    Nested::Changed => Edit::Set(owned),
                    Nested::Drop => Edit::Remove,
                }
            }
            (Verdict::Scan, _) => Edit::Keep,
        }
    }

    #[inline]
    fn end(&mut self) -> End {
        if self.drops {
            self.drops = false;
            return End::Drop;
        }
        self.notes.as_mut().map_or(End::Keep, Notes::end)
    }
}

impl Sweeper<'_> {
    fn verdict(&self, key: &str) -> Verdict {
        let lists = self.lists;
        let is_ignored = lists.ignored.contains(key)
            || lists.ignored_patterns.as_ref().is_some_and(|patterns| patterns.is_match(key));
        if is_ignored {
            return Verdict::Ignore;
        }
        self.rules.of_key(key.as_bytes()).map_or(Verdict::Scan, Verdict::Rule)
    }

    /// The key without what is to be hidden in it.
    fn renamed(&mut self, key: &str) -> Option<String> {
        self.hits.clear();
        self.rules.find(key.as_bytes(), self.hits);
        if self.hits.is_empty() {
            return None;
        }
        self.count_hits();
        if self.dry_run {
            return None;
        }
        match self.rules.redact(key.as_bytes(), self.hits, false) {
            Outcome::Text(new) => Some(new),
            Outcome::Drop | Outcome::DropRecord => None,
        }
    }

    #[cold]
    fn redact(&mut self, place: TextPlace<Key>, text: &[u8]) -> Edit {
        self.count_hits();
        self.note(place, Notes::masked);
        if self.dry_run {
            return Edit::Keep;
        }
        match self.rules.redact(text, self.hits, matches!(place, TextPlace::Attribute(_))) {
            Outcome::Text(new) => Edit::Set(AnyValue::Str(new)),
            Outcome::Drop => Edit::Remove,
            Outcome::DropRecord => {
                self.drops = true;
                Edit::Keep
            }
        }
    }

    /// Notes what is done to the value of a key, or to another text.
    fn note(&mut self, place: TextPlace<Key>, note: fn(&mut Notes, Option<usize>)) {
        if let Some(notes) = &mut self.notes {
            let key = if let TextPlace::Attribute(key) = place { Some(key.number) } else { None };
            note(notes, key);
        }
    }

    fn count_hits(&mut self) {
        for hit in &*self.hits {
            if let Some(count) = self.counts.get_mut(usize::from(hit.rule)) {
                *count += 1;
            }
        }
    }

    #[cold]
    fn not_allowed(&mut self, place: TextPlace<Key>) -> Edit {
        if let Some(count) = self.counts.last_mut() {
            *count += 1;
        }
        self.note(place, Notes::removed);
        if self.dry_run { Edit::Keep } else { Edit::Remove }
    }

    /// What a rule does to a value whose key it means.
    #[cold]
    fn whole(&mut self, rule: u16, place: TextPlace<Key>, value: Value<'_>) -> Edit {
        let text: Cow<'_, str> = match value {
            Value::Empty | Value::Bool(_) => return Edit::Keep,
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes),
            other => other.to_text(),
        };
        let Some(action) = self.rules.action(rule) else { return Edit::Keep };
        if action.is_done(text.as_bytes()) || is_harmless(text.as_bytes()) {
            return Edit::Keep;
        }
        if let Some(count) = self.counts.get_mut(usize::from(rule)) {
            *count += 1;
        }
        self.note(place, Notes::masked);
        match action.kind {
            _ if self.dry_run => Edit::Keep,
            ActionKind::Drop => Edit::Remove,
            ActionKind::DropRecord => {
                self.drops = true;
                Edit::Keep
            }
            ActionKind::Mask | ActionKind::Partial | ActionKind::Hash => {
                Edit::Set(AnyValue::Str(action.replacement(&text)))
            }
        }
    }

    /// Whether there may be something to do within a value; it is not copied for the answer.
    fn is_hit(&mut self, value: Value<'_>) -> bool {
        match value {
            Value::Str(text) => self.is_text_hit(text.as_bytes()),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).is_ok() && self.is_text_hit(bytes),
            Value::Array(items) => items.iter().any(|item| self.is_hit(item)),
            Value::Map(entries) => entries.iter().any(|(key, value)| match self.verdict(key) {
                Verdict::Ignore => false,
                Verdict::Rule(_) => true,
                Verdict::Scan | Verdict::NotAllowed => self.is_text_hit(key.as_bytes()) || self.is_hit(value),
            }),
            Value::Int(_) | Value::Double(_) | Value::Bool(_) => self.all_types,
            Value::Empty => false,
        }
    }

    fn is_text_hit(&mut self, text: &[u8]) -> bool {
        self.hits.clear();
        self.rules.find(text, self.hits);
        !self.hits.is_empty()
    }

    fn nested(&mut self, place: TextPlace<Key>, value: &mut AnyValue) -> Nested {
        match value {
            AnyValue::Empty => Nested::Same,
            AnyValue::Str(text) => {
                let edit = self.text(scanned(place), text.as_bytes());
                Self::put(edit, value)
            }
            AnyValue::Int(number) => self.nested_plain(place, Value::Int(*number), value),
            AnyValue::Double(number) => self.nested_plain(place, Value::Double(*number), value),
            AnyValue::Bool(truth) => self.nested_plain(place, Value::Bool(*truth), value),
            AnyValue::Bytes(bytes) => {
                if std::str::from_utf8(bytes).is_err() {
                    return Nested::Same;
                }
                match self.text(scanned(place), bytes) {
                    Edit::Keep => Nested::Same,
                    Edit::Set(AnyValue::Str(text)) => {
                        *bytes = text.into_bytes();
                        Nested::Changed
                    }
                    Edit::Set(_) | Edit::Remove => Nested::Drop,
                }
            }
            AnyValue::Array(items) => {
                let mut changed = false;
                items.retain_mut(|item| match self.nested(place, item) {
                    Nested::Same => true,
                    Nested::Changed => {
                        changed = true;
                        true
                    }
                    Nested::Drop => {
                        changed = true;
                        false
                    }
                });
                if changed { Nested::Changed } else { Nested::Same }
            }
            AnyValue::Map(entries) => {
                let mut changed = false;
                entries.retain_mut(|(key, value)| self.entry(place, key, value, &mut changed));
                if changed { Nested::Changed } else { Nested::Same }
            }
        }
    }

    fn nested_plain(&mut self, place: TextPlace<Key>, plain: Value<'_>, value: &mut AnyValue) -> Nested {
        let edit = self.value(scanned(place), plain);
        Self::put(edit, value)
    }

    /// One entry of a map; whether it stays.
    fn entry(
        &mut self,
        place: TextPlace<Key>,
        key: &mut String,
        value: &mut AnyValue,
        changed: &mut bool,
    ) -> bool {
        let verdict = self.verdict(key);
        if verdict != Verdict::Ignore
            && let Some(new) = self.renamed(key)
        {
            *key = new;
            *changed = true;
        }
        let outcome = match verdict {
            Verdict::Ignore => Nested::Same,
            Verdict::Rule(rule) => {
                let mut text = None;
                let edit = self.whole(rule, scanned(place), plain(value, &mut text));
                Self::put(edit, value)
            }
            Verdict::Scan | Verdict::NotAllowed => self.nested(place, value),
        };
        *changed |= !matches!(outcome, Nested::Same);
        !matches!(outcome, Nested::Drop)
    }

    fn put(edit: Edit, value: &mut AnyValue) -> Nested {
        match edit {
            Edit::Keep => Nested::Same,
            Edit::Set(new) => {
                *value = new;
                Nested::Changed
            }
            Edit::Remove => Nested::Drop,
        }
    }
}

#[inline]
fn verdict_at(place: TextPlace<Key>) -> Verdict {
    if let TextPlace::Attribute(key) = place { key.verdict } else { Verdict::Scan }
}

/// The place of something within a value, which can always be removed.
fn scanned(place: TextPlace<Key>) -> TextPlace<Key> {
    let number = if let TextPlace::Attribute(key) = place { key.number } else { usize::MAX };
    TextPlace::Attribute(Key { verdict: Verdict::Scan, number })
}

/// An owned value as one that is read; lists and maps as their text.
fn plain<'a>(value: &'a AnyValue, text: &'a mut Option<String>) -> Value<'a> {
    match value {
        AnyValue::Empty => Value::Empty,
        AnyValue::Str(text) => Value::Str(text),
        AnyValue::Bool(truth) => Value::Bool(*truth),
        AnyValue::Int(number) => Value::Int(*number),
        AnyValue::Double(number) => Value::Double(*number),
        AnyValue::Bytes(bytes) => Value::Bytes(bytes),
        AnyValue::Array(_) | AnyValue::Map(_) => Value::Str(text.insert(value.to_text())),
    }
}
