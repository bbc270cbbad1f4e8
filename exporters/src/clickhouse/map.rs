//! Columns of type `Map`: where each row's entries end, then all keys, then all values.
//!
//! Records of one kind have the same keys in the same order. So the sorted order and the numbers of the keys are kept
//! for the last few sequences of keys seen, and most rows cost one comparison of addresses a key: keys of a batch are
//! interned, so equal keys mostly are the same bytes in memory.

use watershed_pipeline::{Attributes, Value};

use super::body::Body;
use super::row::{Per, Row};
use super::texts::Texts;
use super::wire::Coding;

/// How many sequences of keys are remembered.
const SHAPES_MAX: usize = 8;

/// A sequence of keys, and what follows from it.
struct Shape<'a> {
    keys: Vec<&'a str>,
    /// Positions in the order of their keys; nothing if that is their own order.
    order: Option<Vec<usize>>,
    /// The numbers of the sorted keys in their dictionary.
    numbers: Vec<u32>,
}

/// A column of maps in the making.
struct Maps<'a> {
    keys: Texts,
    values: Texts,
    shapes: Vec<Shape<'a>>,
    /// Which shape the last row had.
    last: usize,
    /// Which shape gives way next.
    oldest: usize,
    scratch: Vec<u8>,
}

/// Writes the attributes of all rows, sorted by key, because equal maps must have equal text wherever they come from.
pub(super) fn write_maps<'a>(
    body: &mut Body,
    [keys, values]: [Coding; 2],
    per: Per,
    rows: &[Row<'a>],
    read: fn(Row<'a>) -> Option<Attributes<'a>>,
) {
    let mut maps = Maps {
        keys: Texts::new(keys),
        values: Texts::new(values),
        shapes: Vec::new(),
        last: 0,
        oldest: 0,
        scratch: Vec::new(),
    };
    let mut entries = Vec::new();
    let mut previous = None;
    let mut marks = (0..0, 0..0);
    let mut total = 0;
    for row in rows {
        if previous.is_some_and(|previous| per.is_same(previous, *row)) {
            maps.keys.repeat(marks.0.clone());
            maps.values.repeat(marks.1.clone());
        } else {
            entries.clear();
            if let Some(attributes) = read(*row) {
                entries.extend(attributes.iter());
            }
            let start = (maps.keys.mark(), maps.values.mark());
            maps.push(&entries);
            marks = (start.0..maps.keys.mark(), start.1..maps.values.mark());
        }
        total += entries.len() as u64;
        body.raw().extend_from_slice(&total.to_le_bytes());
        previous = Some(*row);
    }
    body.settle();
    maps.keys.write(body);
    maps.values.write(body);
}

impl<'a> Maps<'a> {
    fn push(&mut self, entries: &[(&'a str, Value<'a>)]) {
        let index = self.shape(entries);
        let Self { keys, values, shapes, scratch, .. } = self;
        let Some(shape) = shapes.get(index) else { return };
        match keys {
            Texts::Dictionary(dictionary) => {
                shape.numbers.iter().for_each(|number| dictionary.push_number(*number));
            }
            Texts::Plain(_) => shape.positions().for_each(|position| {
                keys.push(shape.keys.get(position).copied().unwrap_or_default().as_bytes());
            }),
        }
        match &shape.order {
            None => entries.iter().for_each(|(_, value)| values.push_value(*value, scratch)),
            Some(order) => order.iter().for_each(|position| {
                let value = entries.get(*position).map_or(Value::Empty, |(_, value)| *value);
                values.push_value(value, scratch);
            }),
        }
    }

    /// The index of the entries' shape.
    fn shape(&mut self, entries: &[(&'a str, Value<'a>)]) -> usize {
        if !self.shapes.get(self.last).is_some_and(|shape| shape.fits(entries)) {
            let known = self.shapes.iter().position(|shape| shape.fits(entries));
            self.last = known.unwrap_or_else(|| self.learn(entries));
        }
        self.last
    }

    fn learn(&mut self, entries: &[(&'a str, Value<'a>)]) -> usize {
        let keys: Vec<&'a str> = entries.iter().map(|(key, _)| *key).collect();
        let order = (!keys.is_sorted()).then(|| {
            let mut order: Vec<usize> = (0..keys.len()).collect();
            order.sort_by_key(|position| keys.get(*position));
            order
        });
        let mut shape = Shape { keys, order, numbers: Vec::new() };
        if let Texts::Dictionary(dictionary) = &mut self.keys {
            let number = |position: usize| {
                dictionary.number(shape.keys.get(position).copied().unwrap_or_default().as_bytes())
            };
            shape.numbers = shape.positions().map(number).collect();
        }
        if self.shapes.len() < SHAPES_MAX {
            self.shapes.push(shape);
            return self.shapes.len() - 1;
        }
        let index = self.oldest;
        self.oldest = (self.oldest + 1) % SHAPES_MAX;
        if let Some(place) = self.shapes.get_mut(index) {
            *place = shape;
        }
        index
    }
}

impl<'a> Shape<'a> {
    fn fits(&self, entries: &[(&'a str, Value<'a>)]) -> bool {
        self.keys.len() == entries.len()
            && self
                .keys
                .iter()
                .zip(entries)
                .all(|(known, (key, _))| std::ptr::eq(*known, *key) || known == key)
    }

    /// The positions of the keys in sorted order.
    fn positions(&self) -> impl Iterator<Item = usize> {
        let order = self.order.as_deref();
        (0..self.keys.len()).map(move |index| match order {
            Some(order) => order.get(index).copied().unwrap_or(index),
            None => index,
        })
    }
}
