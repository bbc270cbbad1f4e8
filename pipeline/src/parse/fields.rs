//! The keys and values found in a line of text.

use crate::batch::{Array, Map, Value};

/// The most fields of one line. A reader that finds more calls the line unreadable, because setting attributes one
/// by one takes time that grows with the square of their number.
pub(super) const FIELDS_MAX: usize = 1024;

/// A buffer for the keys and values of one line, to be used again for the next.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    entries: Vec<(Place, Held)>,
    /// What is not in the line as it is: texts without their escapes, and nested values in protobuf.
    pub(super) own: Vec<u8>,
}

/// A piece of the line, or of the buffer's own bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Line(usize, usize),
    Own(usize, usize),
}

/// A value whose texts stand at places.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    Empty,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(Place),
    /// The bytes of an `ArrayValue`, within the buffer's own.
    Array(usize, usize),
    /// The bytes of a `KeyValueList`, within the buffer's own.
    Map(usize, usize),
}

impl Fields {
    /// Bytes that are kept for the next line at most; a line that needed more gives its memory back.
    const KEPT_MAX: usize = 64 * 1024;

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.own.clear();
        self.own.shrink_to(Self::KEPT_MAX);
    }

    /// Adds a field; says whether there was room.
    pub(super) fn push(&mut self, key: Place, value: Held) -> bool {
        let has_room = self.entries.len() < FIELDS_MAX;
        if has_room {
            self.entries.push((key, value));
        }
        has_room
    }

    /// Takes the fields of a line from a reader of its own: an expression's groups, columns. Texts that are slices of
    /// the line are pointed to, others copied.
    pub fn fill<'a>(&'a mut self, line: &'a str, fill: impl FnOnce(&mut Filler<'_>)) -> Entries<'a> {
        self.clear();
        fill(&mut Filler { fields: self, line });
        self.entries(line)
    }

    pub(super) fn entries<'a>(&'a self, line: &'a str) -> Entries<'a> {
        Entries { line, fields: self }
    }

    pub(super) fn bytes<'a>(&'a self, line: &'a str, place: Place) -> &'a [u8] {
        match place {
            Place::Line(start, end) => line.as_bytes().get(start..end),
            Place::Own(start, end) => self.own.get(start..end),
        }
        .unwrap_or_default()
    }

    fn text<'a>(&'a self, line: &'a str, place: Place) -> &'a str {
        match place {
            Place::Line(start, end) => line.get(start..end),
            Place::Own(start, end) => self.own.get(start..end).and_then(|own| std::str::from_utf8(own).ok()),
        }
        .unwrap_or_default()
    }

    fn value<'a>(&'a self, line: &'a str, held: Held) -> Value<'a> {
        match held {
            Held::Empty => Value::Empty,
            Held::Bool(value) => Value::Bool(value),
            Held::Int(number) => Value::Int(number),
            Held::Double(number) => Value::Double(number),
            Held::Str(place) => Value::Str(self.text(line, place)),
            Held::Array(start, end) => Value::Array(Array(self.own.get(start..end).unwrap_or_default())),
            Held::Map(start, end) => Value::Map(Map(self.own.get(start..end).unwrap_or_default())),
        }
    }
}

/// Where a reader puts the fields of a line.
pub struct Filler<'a> {
    fields: &'a mut Fields,
    line: &'a str,
}

impl Filler<'_> {
    /// Adds a field; says whether there was room (there is for 1,024).
    pub fn push(&mut self, key: &str, value: Value<'_>) -> bool {
        let key = self.place(key.as_bytes());
        let held = match value {
            Value::Empty => Held::Empty,
            Value::Bool(value) => Held::Bool(value),
            Value::Int(number) => Held::Int(number),
            Value::Double(number) => Held::Double(number),
            Value::Str(text) => Held::Str(self.place(text.as_bytes())),
            Value::Bytes(bytes) => Held::Str(self.copy(String::from_utf8_lossy(bytes).as_bytes())),
            Value::Array(Array(bytes)) => {
                let (start, end) = self.append(bytes);
                Held::Array(start, end)
            }
            Value::Map(Map(bytes)) => {
                let (start, end) = self.append(bytes);
                Held::Map(start, end)
            }
        };
        self.fields.push(key, held)
    }

    fn place(&mut self, text: &[u8]) -> Place {
        let offset = text.as_ptr().addr().checked_sub(self.line.as_ptr().addr());
        let end = offset.and_then(|start| start.checked_add(text.len()));
        match (offset, end) {
            (Some(start), Some(end)) if end <= self.line.len() => Place::Line(start, end),
            _ => self.copy(text),
        }
    }

    fn copy(&mut self, text: &[u8]) -> Place {
        let (start, end) = self.append(text);
        Place::Own(start, end)
    }

    fn append(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.fields.own.len();
        self.fields.own.extend_from_slice(bytes);
        (start, self.fields.own.len())
    }
}

/// Keys and values in the order of the line; a key may repeat.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    line: &'a str,
    fields: &'a Fields,
}

impl<'a> Entries<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.fields.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.fields.entries.is_empty()
    }

    /// The value of the last field with this key, as the last one wins when all are set one after another.
    #[must_use]
    pub fn value(self, key: &str) -> Option<Value<'a>> {
        let mut entries = self.fields.entries.iter().rev();
        let found = entries.find(|(place, _)| self.fields.bytes(self.line, *place) == key.as_bytes())?;
        Some(self.fields.value(self.line, found.1))
    }

    /// Keys and values, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> + Clone {
        let Self { line, fields } = self;
        fields.entries.iter().map(move |(key, held)| (fields.text(line, *key), fields.value(line, *held)))
    }
}
