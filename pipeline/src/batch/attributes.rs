//! Attributes: one list for a whole part, of which each record, resource, scope, event and link holds a range.
//!
//! Keys are interned: equal keys of a part have one number. They repeat in the same order from record to
//! record, so the decoder guesses the number by position and mostly compares once.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::buffer::{Buffer, Text};
use super::part::Part;
use super::value::{Stored, Value};

/// One attribute: 24 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attr {
    pub(crate) key: KeyId,
    pub(crate) value: Stored,
}

/// The number of a key within its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyId(pub(crate) u32);

/// A holder's attributes within the list of its part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AttrRange {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl AttrRange {
    pub(crate) fn indices(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// The distinct keys of a part.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyTable {
    keys: Vec<Text>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl KeyTable {
    pub(crate) fn place(&self, key: KeyId) -> Text {
        self.keys.get(key.0 as usize).copied().unwrap_or_default()
    }

    /// The number of a key that the part has, if it has it.
    pub(crate) fn find(&self, buffer: &Buffer, key: &[u8]) -> Option<KeyId> {
        // Few keys are found faster by looking at each than by hashing.
        if self.keys.len() <= 16 {
            let position = self.keys.iter().position(|place| buffer.bytes(*place) == key)?;
            return u32::try_from(position).ok().map(KeyId);
        }
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |id| buffer.bytes(self.place(KeyId(*id))) == key).copied().map(KeyId)
    }

    /// The number of the key at a place, a new one if need be.
    pub(crate) fn intern(&mut self, buffer: &Buffer, place: Text) -> KeyId {
        let key = buffer.bytes(place);
        if let Some(found) = self.find(buffer, key) {
            return found;
        }
        let id = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.push(place);
        let Self { keys, index, hasher } = self;
        let hash_of =
            |id: &u32| hasher.hash_one(buffer.bytes(keys.get(*id as usize).copied().unwrap_or_default()));
        index.insert_unique(hash_of(&id), id, hash_of);
        KeyId(id)
    }

    pub(crate) fn memory_size(&self) -> usize {
        self.keys.capacity() * size_of::<Text>() + self.index.capacity() * size_of::<u32>()
    }
}

/// The attributes of one holder, read only.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    part: &'a Part,
    attrs: &'a [Attr],
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(part: &'a Part, range: AttrRange) -> Self {
        Self { part, attrs: part.attrs.get(range.indices()).unwrap_or_default() }
    }

    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.attrs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.attrs.is_empty()
    }

    /// The value of the first attribute with this key.
    #[must_use]
    pub fn value(self, key: &str) -> Option<Value<'a>> {
        let buffer = &self.part.buffer;
        let place_of = |attr: &Attr| self.part.keys.place(attr.key);
        let found = self.attrs.iter().find(|attr| {
            let place = place_of(attr);
            place.len as usize == key.len() && buffer.bytes(place) == key.as_bytes()
        })?;
        Some(found.value.read(buffer).unwrap_or(Value::Empty))
    }

    /// What `look` makes of keys, each with its value, in order. Only the values of these keys are read.
    pub fn find_map_keys<T>(
        self,
        mut look: impl FnMut(&'a str) -> Option<T>,
    ) -> impl Iterator<Item = (T, &'a str, Value<'a>)> {
        let part = self.part;
        self.attrs.iter().filter_map(move |attr| {
            let key = part.buffer.text(part.keys.place(attr.key));
            look(key).map(|found| (found, key, attr.value.read(&part.buffer).unwrap_or(Value::Empty)))
        })
    }

    /// Keys and values, in order. A value that was left out on the wire reads as [`Value::Empty`].
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> + Clone {
        let part = self.part;
        self.attrs.iter().map(move |attr| {
            let key = part.buffer.text(part.keys.place(attr.key));
            (key, attr.value.read(&part.buffer).unwrap_or(Value::Empty))
        })
    }
}

/// Sets one attribute of a range and returns the range, which may have moved to the end of the list.
pub(crate) fn set(attrs: &mut Vec<Attr>, range: AttrRange, new: Attr) -> AttrRange {
    let existing = attrs.get_mut(range.indices()).unwrap_or_default();
    if let Some(found) = existing.iter_mut().find(|attr| attr.key == new.key) {
        found.value = new.value;
        return range;
    }
    let start = if range.indices().end == attrs.len() {
        range.start
    } else {
        let start = u32::try_from(attrs.len()).unwrap_or(u32::MAX);
        attrs.extend_from_within(range.indices());
        start
    };
    attrs.push(new);
    AttrRange { start, len: range.len + 1 }
}

/// Keeps the attributes of a range for which `keep` says so, in order, and returns the shorter range.
pub(crate) fn retain(attrs: &mut [Attr], range: AttrRange, mut keep: impl FnMut(&Attr) -> bool) -> AttrRange {
    let own = attrs.get_mut(range.indices()).unwrap_or_default();
    let mut kept = 0;
    for position in 0..own.len() {
        let Some(attr) = own.get(position).copied() else { break };
        if keep(&attr) {
            if let Some(slot) = own.get_mut(kept) {
                *slot = attr;
            }
            kept += 1;
        }
    }
    AttrRange { start: range.start, len: u32::try_from(kept).unwrap_or(range.len) }
}
