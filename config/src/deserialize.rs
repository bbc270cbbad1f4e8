//! From a [`Node`] to any type that serde can read, with the rules for text, numbers and empty values.

use serde::{
    Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_yaml::Value;

use crate::{
    alternatives::{KeyDeserializer, Variant},
    node::{Entry, Kind, Node, Scalar, Step},
    problem::{Problem, Reason},
    types::SECRET_NAME,
};

/// Reads one value.
#[derive(Clone, Copy)]
pub(crate) struct NodeDeserializer<'de> {
    node: &'de Node,
}

impl<'de> NodeDeserializer<'de> {
    pub(crate) fn new(node: &'de Node) -> Self {
        Self { node }
    }

    /// Complains about the type of this value, or about it being empty.
    fn wrong(self, expected: impl Into<String>) -> Problem {
        let expected = expected.into();
        Problem::new(if self.node.is_null() {
            Reason::Empty { expected }
        } else {
            Reason::Wrong { expected }
        })
    }

    fn scalar(self, expected: &str) -> Result<&'de Scalar, Problem> {
        match &self.node.kind {
            Kind::Scalar(scalar) => Ok(scalar),
            _ => Err(self.wrong(expected)),
        }
    }

    /// The text of a value: as written, whatever type YAML would give it.
    fn text(self, expected: &str) -> Result<&'de str, Problem> {
        if let Kind::Expanded(_, text) = &self.node.kind {
            return Ok(text);
        }
        let scalar = self.scalar(expected)?;
        // What is written as nothing is a key without a value, but a variable may be set to an empty text.
        if self.node.is_null() && !scalar.interpolated {
            return Err(self.wrong(expected));
        }
        Ok(&scalar.text)
    }

    fn integer<V: Visitor<'de>>(self, visitor: V, smallest: i64, largest: u64) -> Result<V::Value, Problem> {
        let expected = || match (smallest, largest) {
            (0, u64::MAX) => "a whole number, zero or more".to_owned(),
            (i64::MIN, _) => "a whole number".to_owned(),
            _ => format!("a whole number from {smallest} to {largest}"),
        };
        if let Value::Number(number) = self.scalar(&expected())?.typed_value() {
            match (number.as_u64(), number.as_i64()) {
                (Some(value), _) if value <= largest => return visitor.visit_u64(value),
                (None, Some(value)) if value >= smallest => return visitor.visit_i64(value),
                _ => {}
            }
        }
        Err(self.wrong(expected()))
    }

    fn float<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.scalar("a number")?.typed_value() {
            Value::Number(number) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            _ => Err(self.wrong("a number")),
        }
    }
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            self.integer(visitor, i64::try_from(<$type>::MIN).unwrap_or(i64::MIN), u64::try_from(<$type>::MAX).unwrap_or(u64::MAX))
        }
    )*};
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.kind.expanded() {
            Kind::List(elements) => visitor.visit_seq(Elements::new(elements)),
            Kind::Map(entries) => visitor.visit_map(Entries::new(entries)),
            Kind::Scalar(scalar) => match scalar.value() {
                Value::Null => visitor.visit_unit(),
                Value::Bool(value) => visitor.visit_bool(value),
                Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                    (Some(value), _) => visitor.visit_u64(value),
                    (None, Some(value)) => visitor.visit_i64(value),
                    (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
                },
                _ => visitor.visit_borrowed_str(&scalar.text),
            },
            Kind::Off | Kind::Pruned | Kind::Expanded(..) => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.scalar("`true` or `false`")?.typed_value() {
            Value::Bool(value) => visitor.visit_bool(value),
            _ => Err(self.wrong("`true` or `false`")),
        }
    }

    integers! {
        deserialize_i8: i8, deserialize_i16: i16, deserialize_i32: i32, deserialize_i64: i64, deserialize_i128: i64,
        deserialize_u8: u8, deserialize_u16: u16, deserialize_u32: u32, deserialize_u64: u64, deserialize_u128: u64
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.float(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.float(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_borrowed_str(self.text("one character")?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_borrowed_str(self.text("a text")?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_borrowed_bytes(self.text("a text")?.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        // An empty value may still be a struct with all its defaults; the type decides when it is asked.
        if matches!(self.node.kind, Kind::Off) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        if self.node.is_null() { visitor.visit_unit() } else { Err(self.wrong("nothing")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let result = visitor.visit_newtype_struct(self);
        if name == SECRET_NAME { result.map_err(Problem::hide) } else { result }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.elements() {
            Some(elements) => visitor.visit_seq(Elements::new(elements)),
            None => Err(self.wrong("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.node.entries() {
            Some(entries) => visitor.visit_map(Entries::new(entries)),
            None if self.node.is_null() => visitor.visit_map(Entries::new(&[])),
            None => Err(self.wrong("a map")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let access = match self.node.kind.expanded() {
            Kind::Scalar(scalar) if !self.node.is_null() => Variant { name: &scalar.text, content: None },
            Kind::Map(entries) => {
                let mut present = entries.iter().filter(|entry| entry.is_present());
                match (present.next(), present.next()) {
                    (Some(entry), None) => Variant { name: &entry.key, content: Some(&entry.value) },
                    _ => return Err(self.wrong(format!("a map with one of: {}", variants.join(", ")))),
                }
            }
            _ => return Err(self.wrong(format!("one of: {}", variants.join(", ")))),
        };
        visitor.visit_enum(access)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_unit()
    }
}

/// The elements of a list; those that were taken out keep their index.
struct Elements<'de> {
    rest: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> Elements<'de> {
    fn new(elements: &'de [Node]) -> Self {
        Self { rest: elements.iter().enumerate() }
    }
}

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let Some((index, node)) = self.rest.by_ref().find(|(_, node)| !node.is_pruned()) else {
            return Ok(None);
        };
        let value = seed.deserialize(NodeDeserializer::new(node));
        value.map(Some).map_err(|problem| problem.under(Step::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The entries of a map.
pub(crate) struct Entries<'de> {
    rest: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> Entries<'de> {
    pub(crate) fn new(entries: &'de [Entry]) -> Self {
        Self { rest: entries.iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        self.current = self.rest.by_ref().find(|entry| entry.is_present());
        let Some(entry) = self.current else { return Ok(None) };
        let key = seed.deserialize(KeyDeserializer { key: &entry.key });
        key.map(Some).map_err(|problem| problem.under(Step::Key(entry.key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let Some(entry) = self.current else { return Err(Problem::wrong("a key before its value")) };
        let value = seed.deserialize(NodeDeserializer::new(&entry.value));
        value.map_err(|problem| problem.under(Step::Key(entry.key.clone())))
    }
}
