//! What a statement changes: a field, a value within attributes or a body, or a map.

use super::super::ConditionContext;
use super::super::error::Fault;
use super::super::expression::{Expression, Key};
use super::super::field::{self, Field};
use super::super::term::Term;
use super::Failure;
use super::hand::Hand;
use super::setter::Setter;
use crate::batch::{self, AnyValue, Array, Attributes, Holder, Map, Record, Stored, Value, store};
use crate::otlp::nested;
use crate::otlp::schema::NESTING_LIMIT;

const NOT_A_MAP: Failure = Failure("what is to be changed is not a map");
const NO_ITEM: Failure = Failure("the list has no such item");
const TOO_DEEP: Failure = Failure("the value would be nested too deep");

pub(super) const TOO_MANY: Failure = Failure("the map has more than 1,024 entries");

/// The most entries that become attributes at once, because setting these one by one takes time that grows with the
/// square of their number. As many as a line of JSON may have keys.
pub(super) const ENTRIES_MAX: usize = 1024;

/// A place that can be changed, in any record.
#[derive(Clone, Debug)]
pub(super) struct Place {
    root: Root,
    keys: Vec<Key>,
    /// The same place, to be read.
    path: Expression,
}

/// What a path begins with.
#[derive(Clone, Copy, Debug)]
enum Root {
    Attributes(ConditionContext),
    Body,
    Cache,
    Field(&'static Setter),
}

impl Place {
    /// The place that a path names.
    pub(super) fn new(argument: &Expression, at: usize) -> Result<Self, Fault> {
        let Expression::Path { field, keys } = argument else {
            return Err(Fault::new(at, "expected what to change, such as `attributes[\"key\"]` or `body`"));
        };
        let root = match (field.of, field.name) {
            (of, "attributes") => Root::Attributes(of),
            (ConditionContext::Metric, "metadata") => Root::Attributes(ConditionContext::Metric),
            (ConditionContext::Log, "body") => Root::Body,
            (_, field::CACHE) => Root::Cache,
            (of, name) => {
                Root::Field(Setter::find(of, name).ok_or_else(|| Fault::new(at, read_only(field)))?)
            }
        };
        let message = match (root, keys.first()) {
            (Root::Field(_), Some(_)) => format!("`{}` holds nothing that a key could name", field.name),
            (Root::Attributes(_) | Root::Cache, Some(Key::Index(_))) => {
                format!("the keys of `{}` are texts; write them in quotes", field.name)
            }
            _ => return Ok(Self { root, keys: keys.clone(), path: argument.clone() }),
        };
        Err(Fault::new(at, message))
    }

    /// The same for an editor that changes maps.
    pub(super) fn map(argument: &Expression, at: usize) -> Result<Self, Fault> {
        let place = Self::new(argument, at)?;
        if matches!(place.root, Root::Field(_)) {
            return Err(Fault::new(
                at,
                format!("`{argument}` is not a map; attributes, a body and `cache` can be"),
            ));
        }
        Ok(place)
    }

    /// Says what is wrong with a literal, other than `nil`, that this place never takes.
    pub(super) fn check(&self, value: &Term<'_>) -> Result<(), &'static str> {
        match self.root {
            Root::Field(setter) if !setter.can_take(value) => Err(setter.takes()),
            Root::Attributes(_) | Root::Cache if self.keys.is_empty() => {
                Err("expected a map, such as `ParseJSON(body)`")
            }
            _ => Ok(()),
        }
    }

    /// The value at the place.
    pub(super) fn read<'a>(&'a self, hand: &'a Hand<'_>) -> Term<'a> {
        self.path.term(hand.subject())
    }

    pub(super) fn set(&self, hand: &mut Hand<'_>, value: &Term<'_>) -> Result<(), Failure> {
        self.check_depth(value)?;
        match (self.root, self.keys.as_slice()) {
            (Root::Field(setter), _) => setter.set(hand, value),
            (Root::Body, []) => {
                let stored = store(value, &mut hand.part.buffer);
                hand.log(|row| row.body = stored);
                Ok(())
            }
            (Root::Attributes(of), [Key::Text(key)]) => {
                let Some(holder) = hand.holder(of) else { return Ok(()) };
                hand.part.set_attribute(holder, key, value);
                Ok(())
            }
            (Root::Attributes(_) | Root::Cache, []) => {
                let AnyValue::Map(new) = value.to_any_value() else { return Err(NOT_A_MAP) };
                self.edit_entries(hand, |entries| {
                    *entries = new;
                    true
                })
            }
            _ => self.edit(hand, |slot| {
                *slot = value.to_any_value();
                Ok(true)
            }),
        }
    }

    /// Whether a value can be stored here without being deeper than what can be decoded again.
    pub(super) fn check_depth(&self, value: &Term<'_>) -> Result<(), Failure> {
        let levels = NESTING_LIMIT.saturating_sub(self.keys.len());
        let fits = match value {
            Term::List(items) => is_within(Value::Array(Array(items)), levels),
            Term::Map(entries) => is_within(Value::Map(Map(entries)), levels),
            _ => levels > 0,
        };
        if fits { Ok(()) } else { Err(TOO_DEEP) }
    }

    /// What holds the attributes, if the place is a whole set of them.
    pub(super) fn holder(&self, hand: &Hand<'_>) -> Option<Holder> {
        match self.root {
            Root::Attributes(of) if self.keys.is_empty() => hand.holder(of),
            _ => None,
        }
    }

    /// Keeps the entries of the map whose keys `keep` wants.
    pub(super) fn retain(
        &self,
        hand: &mut Hand<'_>,
        mut keep: impl FnMut(&str) -> bool,
    ) -> Result<(), Failure> {
        if let Some(holder) = self.holder(hand) {
            batch::retain(hand.part, holder, |key, _| keep(key));
            return Ok(());
        }
        self.edit_entries(hand, |entries| {
            let before = entries.len();
            entries.retain(|(key, _)| keep(key));
            entries.len() < before
        })
    }

    /// Gives the texts of the map to `change`, and writes what comes back.
    pub(super) fn texts(
        &self,
        hand: &mut Hand<'_>,
        change: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Failure> {
        let Some(holder) = self.holder(hand) else {
            return self.edit_entries(hand, |entries| {
                let mut is_changed = false;
                for (_, value) in entries {
                    if let AnyValue::Str(text) = value
                        && let Some(new) = change(text)
                    {
                        *text = new;
                        is_changed = true;
                    }
                }
                is_changed
            });
        };
        let attributes = Attributes::new(hand.part, hand.part.attributes_of(holder));
        let texts = attributes.iter().enumerate();
        let changed: Vec<(usize, String)> =
            texts.filter_map(|(position, (_, value))| Some((position, change(value.as_str()?)?))).collect();
        for (position, text) in changed {
            hand.part.replace_value(holder, position, &text);
        }
        Ok(())
    }

    /// Gives the entries of the map to `change`, which says whether it changed them. No value at all is an empty map.
    pub(super) fn edit_entries(
        &self,
        hand: &mut Hand<'_>,
        change: impl FnOnce(&mut Vec<(String, AnyValue)>) -> bool,
    ) -> Result<(), Failure> {
        self.edit(hand, |value| {
            if *value == AnyValue::Empty {
                *value = AnyValue::Map(Vec::new());
            }
            let AnyValue::Map(entries) = value else { return Err(NOT_A_MAP) };
            Ok(change(entries))
        })
    }

    /// Gives a copy of the value to `change`, and writes it back if that says so.
    fn edit(
        &self,
        hand: &mut Hand<'_>,
        change: impl FnOnce(&mut AnyValue) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let (mut base, inner) = self.load(hand);
        if change(descend(&mut base, inner)?)? {
            self.save(hand, base)?;
        }
        Ok(())
    }

    /// The value that is stored as one and holds the place, and the keys from there on.
    fn load(&self, hand: &Hand<'_>) -> (AnyValue, &[Key]) {
        let record = || Record { part: hand.part, row: hand.row() };
        match (self.root, self.keys.as_slice()) {
            (Root::Attributes(of), keys) => {
                let range = hand.holder(of).map(|holder| hand.part.attributes_of(holder)).unwrap_or_default();
                let attributes = Attributes::new(hand.part, range);
                let [Key::Text(first), inner @ ..] = keys else {
                    let entries =
                        attributes.iter().map(|(key, value)| (key.to_owned(), value.to_any_value()));
                    return (AnyValue::Map(entries.collect()), keys);
                };
                (attributes.value(first).map_or(AnyValue::Empty, Value::to_any_value), inner)
            }
            (Root::Body, keys) => {
                let body = record().log().and_then(|log| log.body());
                (body.map_or(AnyValue::Empty, Value::to_any_value), keys)
            }
            (Root::Cache, keys) => (Value::Map(Map(hand.cache)).to_any_value(), keys),
            (Root::Field(_), keys) => (AnyValue::Empty, keys),
        }
    }

    /// Writes what [`Self::load`] gave.
    fn save(&self, hand: &mut Hand<'_>, value: AnyValue) -> Result<(), Failure> {
        match (self.root, self.keys.first(), value) {
            (Root::Attributes(of), key, value) => {
                let Some(holder) = hand.holder(of) else { return Ok(()) };
                match (key, value) {
                    (None, AnyValue::Map(entries)) if entries.len() > ENTRIES_MAX => return Err(TOO_MANY),
                    (Some(Key::Text(key)), value) => hand.part.set_attribute(holder, key, &value),
                    (_, AnyValue::Map(entries)) => {
                        hand.part.retain_attributes(holder, |_| false);
                        for (key, value) in entries {
                            hand.part.set_attribute(holder, &key, &value);
                        }
                    }
                    _ => {}
                }
            }
            (Root::Body, _, value) => {
                let stored: Stored = store(&value, &mut hand.part.buffer);
                hand.log(|row| row.body = stored);
            }
            (Root::Cache, _, AnyValue::Map(entries)) => *hand.cache = nested::encode_map(&entries),
            _ => {}
        }
        Ok(())
    }
}

/// What stands at the end of the keys, made on the way if it is not there.
fn descend<'v>(value: &'v mut AnyValue, keys: &[Key]) -> Result<&'v mut AnyValue, Failure> {
    let Some((key, inner)) = keys.split_first() else { return Ok(value) };
    match key {
        Key::Index(index) => {
            let AnyValue::Array(items) = value else { return Err(NO_ITEM) };
            descend(items.get_mut(*index).ok_or(NO_ITEM)?, inner)
        }
        Key::Text(key) => {
            if *value == AnyValue::Empty {
                *value = AnyValue::Map(Vec::new());
            }
            let AnyValue::Map(entries) = value else { return Err(NOT_A_MAP) };
            let known = entries.iter().position(|(known, _)| known == key);
            let position = known.unwrap_or(entries.len());
            if known.is_none() {
                entries.push((key.clone(), AnyValue::Empty));
            }
            let (_, value) = entries.get_mut(position).ok_or(NOT_A_MAP)?;
            descend(value, inner)
        }
    }
}

/// Whether a value nests at most so many levels.
fn is_within(value: Value<'_>, levels: usize) -> bool {
    let Some(inner) = levels.checked_sub(1) else { return false };
    match value {
        Value::Array(items) => items.iter().all(|item| is_within(item, inner)),
        Value::Map(entries) => entries.iter().all(|(_, value)| is_within(value, inner)),
        _ => true,
    }
}

fn read_only(field: &Field) -> String {
    let mut names: Vec<&str> = Setter::names(field.of).collect();
    names.push("attributes");
    if field.of == ConditionContext::Log {
        names.push("body");
    }
    format!("`{}` can't be changed; what can of a {} is {}", field.name, field.of.name(), names.join(", "))
}
