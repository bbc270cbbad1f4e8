//! What each editor does to a record.

use std::sync::Arc;

use regex::Regex;

use super::super::evaluate::Subject;
use super::super::expression::{Expression, Literal};
use super::super::term::Term;
use super::Failure;
use super::hand::{Hand, Item};
use super::place::{ENTRIES_MAX, Place, TOO_MANY};
use crate::batch::{AnyValue, Attributes, Holder, Map, Part};
use crate::otlp::nested;

/// How deep `flatten` looks into values, unless told less.
pub(super) const FLATTEN_MAX: usize = 64;

/// An editor with its arguments.
#[derive(Clone, Debug)]
pub(super) enum Editor {
    Set {
        place: Place,
        value: Expression,
    },
    Append {
        place: Place,
        value: Expression,
    },
    DeleteKey {
        map: Place,
        key: Expression,
    },
    Retain {
        map: Place,
        wanted: Wanted,
    },
    Limit {
        map: Place,
        most: usize,
        first: Vec<String>,
    },
    Truncate {
        map: Place,
        most: usize,
    },
    /// In one text.
    Replace {
        place: Place,
        replacement: Replacement,
    },
    /// In all texts of a map, or in its keys.
    ReplaceAll {
        map: Place,
        in_keys: bool,
        replacement: Replacement,
    },
    Merge {
        map: Place,
        source: Expression,
        strategy: Strategy,
    },
    Flatten {
        map: Place,
        prefix: String,
        depth: usize,
    },
}

/// Which keys stay.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Listed(Vec<String>),
    Matching(Regex),
    NotMatching(Regex),
}

/// What `merge_maps` does with keys that are there, and with those that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    Insert,
    Update,
    Upsert,
}

/// What is looked for in a text, and what stands there instead.
#[derive(Clone, Debug)]
pub(super) struct Replacement {
    pub(super) pattern: Regex,
    /// Whether `$1` and `${name}` in the new text mean groups.
    pub(super) has_groups: bool,
    pub(super) text: Expression,
}

impl Editor {
    /// Changes one record. A part that is shared is copied before.
    pub(super) fn run(&self, part: &mut Arc<Part>, item: Item, cache: &mut Vec<u8>) -> Result<(), Failure> {
        let value = |of: &Expression, cache: &[u8]| owned(of, item.subject(part, cache));
        match self {
            Self::Set { place, value: new } => match new {
                Expression::Literal(literal) => set(place, literal.term(), part, item, cache),
                new => set(place, value(new, cache), part, item, cache),
            },
            Self::Append { place, value: new } => {
                let new = succeeded(value(new, cache))?;
                append(place, &new, &mut hand(part, item, cache))
            }
            Self::DeleteKey { map, key } => {
                let key = succeeded(value(key, cache))?;
                delete(map, &key, &mut hand(part, item, cache))
            }
            Self::Merge { map, source, strategy } => {
                let source = succeeded(value(source, cache))?;
                merge(map, &source, *strategy, &mut hand(part, item, cache))
            }
            Self::Replace { place, replacement } => {
                let new = replacement.text(item.subject(part, cache))?;
                let hand = &mut hand(part, item, cache);
                let Term::Text(text) = place.read(hand) else { return Ok(()) };
                let Some(changed) = replacement.apply(&text, &new) else { return Ok(()) };
                place.set(hand, &Term::from(changed))
            }
            Self::ReplaceAll { map, in_keys, replacement } => {
                let new = replacement.text(item.subject(part, cache))?;
                let (hand, change) =
                    (&mut hand(part, item, cache), |text: &str| replacement.apply(text, &new));
                if *in_keys {
                    map.edit_entries(hand, |entries| change_keys(entries, change))
                } else {
                    map.texts(hand, change)
                }
            }
            Self::Retain { map, wanted } => map.retain(&mut hand(part, item, cache), |key| wanted.has(key)),
            Self::Limit { map, most, first } => limit(map, *most, first, &mut hand(part, item, cache)),
            Self::Truncate { map, most } => map.texts(&mut hand(part, item, cache), |text| cut(text, *most)),
            Self::Flatten { map, prefix, depth } => {
                map.edit_entries(&mut hand(part, item, cache), |entries| flatten(entries, prefix, *depth))
            }
        }
    }
}

/// The first bytes of a text that has more of them, without splitting a character.
fn cut(text: &str, most: usize) -> Option<String> {
    (text.len() > most).then(|| text.get(..text.floor_char_boundary(most)).unwrap_or_default().to_owned())
}

fn hand<'p>(part: &'p mut Arc<Part>, item: Item, cache: &'p mut Vec<u8>) -> Hand<'p> {
    Hand { part: Arc::make_mut(part), item, cache }
}

fn owned(expression: &Expression, subject: Subject<'_>) -> Term<'static> {
    expression.term(subject).into_owned()
}

fn succeeded(term: Term<'_>) -> Result<Term<'_>, Failure> {
    if let Term::Failed(reason) = term { Err(Failure(reason)) } else { Ok(term) }
}

/// Sets a place to a value; no value changes nothing.
fn set(
    place: &Place,
    value: Term<'_>,
    part: &mut Arc<Part>,
    item: Item,
    cache: &mut Vec<u8>,
) -> Result<(), Failure> {
    match succeeded(value)? {
        Term::Nil => Ok(()),
        value => place.set(&mut hand(part, item, cache), &value),
    }
}

fn delete(map: &Place, key: &Term<'_>, hand: &mut Hand<'_>) -> Result<(), Failure> {
    let Term::Text(key) = key else { return Err(Failure("the key to delete is not a text")) };
    if let Some(holder) = map.holder(hand) {
        hand.part.remove_attribute(holder, key);
        return Ok(());
    }
    map.retain(hand, |own| own != key)
}

/// Adds a value, or each item of a list, at the end of the list at a place; a single value there becomes its first item.
fn append(place: &Place, new: &Term<'_>, hand: &mut Hand<'_>) -> Result<(), Failure> {
    let mut items = match place.read(hand).to_any_value() {
        AnyValue::Empty => Vec::new(),
        AnyValue::Array(items) => items,
        single => vec![single],
    };
    match new.to_any_value() {
        AnyValue::Array(mut new) => items.append(&mut new),
        new => items.push(new),
    }
    place.set(hand, &Term::List(nested::encode_array(&items).into()))
}

fn merge(map: &Place, source: &Term<'_>, strategy: Strategy, hand: &mut Hand<'_>) -> Result<(), Failure> {
    let Term::Map(source_bytes) = source else { return Err(Failure("what is to be merged is not a map")) };
    map.check_depth(source)?;
    let new = Map(source_bytes);
    if let Some(holder) = map.holder(hand) {
        return merge_attributes(hand.part, holder, new, strategy);
    }
    map.edit_entries(hand, |entries| {
        let mut is_changed = false;
        for (key, value) in new.iter() {
            let known = entries.iter_mut().find(|(own, _)| own == key);
            match known {
                Some((_, own)) if strategy != Strategy::Insert => *own = value.to_any_value(),
                None if strategy != Strategy::Update => entries.push((key.to_owned(), value.to_any_value())),
                _ => continue,
            }
            is_changed = true;
        }
        is_changed
    })
}

fn merge_attributes(
    part: &mut Part,
    holder: Holder,
    new: Map<'_>,
    strategy: Strategy,
) -> Result<(), Failure> {
    if new.iter().nth(ENTRIES_MAX).is_some() {
        return Err(TOO_MANY);
    }
    for (key, value) in new.iter() {
        if strategy != Strategy::Upsert {
            let is_known = Attributes::new(part, part.attributes_of(holder)).value(key).is_some();
            if is_known != (strategy == Strategy::Update) {
                continue;
            }
        }
        part.set_attribute(holder, key, &value);
    }
    Ok(())
}

/// Keeps so many entries: those named first, then others in their order.
fn limit(map: &Place, most: usize, first: &[String], hand: &mut Hand<'_>) -> Result<(), Failure> {
    let is_first = |key: &str| first.iter().any(|first| first == key);
    let named = match map.read(hand) {
        Term::Attributes(attributes) => attributes.iter().filter(|(key, _)| is_first(key)).count(),
        Term::Map(entries) => Map(&entries).iter().filter(|(key, _)| is_first(key)).count(),
        _ => 0,
    };
    let mut room = most.saturating_sub(named);
    map.retain(hand, |key| {
        if is_first(key) {
            return true;
        }
        let is_kept = room > 0;
        room = room.saturating_sub(1);
        is_kept
    })
}

fn change_keys(entries: &mut Vec<(String, AnyValue)>, change: impl Fn(&str) -> Option<String>) -> bool {
    let mut is_changed = false;
    for (key, _) in entries {
        if let Some(new) = change(key) {
            *key = new;
            is_changed = true;
        }
    }
    is_changed
}

/// Brings the entries of maps and the items of lists within to the top, with keys such as `a.b.0`.
fn flatten(entries: &mut Vec<(String, AnyValue)>, prefix: &str, depth: usize) -> bool {
    let is_flat = |(_, value): &(String, AnyValue)| !matches!(value, AnyValue::Map(_) | AnyValue::Array(_));
    if prefix.is_empty() && entries.iter().all(is_flat) {
        return false;
    }
    let mut flat = Vec::new();
    for (key, value) in std::mem::take(entries) {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        flatten_value(key, value, depth, &mut flat);
    }
    *entries = flat;
    true
}

fn flatten_value(key: String, value: AnyValue, depth: usize, flat: &mut Vec<(String, AnyValue)>) {
    match (value, depth.checked_sub(1)) {
        (AnyValue::Map(entries), Some(depth)) => {
            for (inner, value) in entries {
                flatten_value(format!("{key}.{inner}"), value, depth, flat);
            }
        }
        (AnyValue::Array(items), Some(depth)) => {
            for (index, value) in items.into_iter().enumerate() {
                flatten_value(format!("{key}.{index}"), value, depth, flat);
            }
        }
        (value, _) => flat.push((key, value)),
    }
}

impl Wanted {
    fn has(&self, key: &str) -> bool {
        match self {
            Self::Listed(keys) => keys.iter().any(|own| own == key),
            Self::Matching(pattern) => pattern.is_match(key),
            Self::NotMatching(pattern) => !pattern.is_match(key),
        }
    }
}

impl Replacement {
    /// The new text for a record.
    fn text(&self, subject: Subject<'_>) -> Result<String, Failure> {
        if let Expression::Literal(Literal::Text(text)) = &self.text {
            return Ok(text.clone());
        }
        match succeeded(self.text.term(subject))? {
            Term::Text(text) => Ok(text.into_owned()),
            _ => Err(Failure("the replacement is not a text")),
        }
    }

    /// The changed text; none if there is nothing to replace.
    fn apply(&self, text: &str, new: &str) -> Option<String> {
        if !self.pattern.is_match(text) {
            return None;
        }
        Some(if self.has_groups {
            self.pattern.replace_all(text, new).into_owned()
        } else {
            self.pattern.replace_all(text, regex::NoExpand(new)).into_owned()
        })
    }
}
