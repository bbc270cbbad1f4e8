//! Where a name decides what follows: the keys of maps and the alternatives of enums.

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, EnumAccess, Expected, IntoDeserializer, Unexpected, VariantAccess, Visitor,
        value::MapDeserializer,
    },
};

use crate::{
    deserialize::{Entries, NodeDeserializer},
    node::{Node, Step},
    problem::{Problem, Reason},
};

/// Reads a key, which is text but may be wanted as a number.
pub(crate) struct KeyDeserializer<'de> {
    pub(crate) key: &'de str,
}

macro_rules! number_keys {
    ($($method:ident => $visit:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
            match self.key.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(serde::de::Error::invalid_type(Unexpected::Str(self.key), &visitor as &dyn Expected)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for KeyDeserializer<'de> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_borrowed_str(self.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_enum(self.key.into_deserializer())
    }

    number_keys! {
        deserialize_bool => visit_bool,
        deserialize_i8 => visit_i8, deserialize_i16 => visit_i16, deserialize_i32 => visit_i32, deserialize_i64 => visit_i64,
        deserialize_u8 => visit_u8, deserialize_u16 => visit_u16, deserialize_u32 => visit_u32, deserialize_u64 => visit_u64
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// One alternative of an enum: a word, or a map with the word as its only key.
pub(crate) struct Variant<'de> {
    pub(crate) name: &'de str,
    pub(crate) content: Option<&'de Node>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Problem;
    type Variant = Content<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'de>), Problem> {
        let variant = seed.deserialize(KeyDeserializer { key: self.name })?;
        Ok((variant, Content { name: self.name, node: self.content }))
    }
}

/// What belongs to an alternative; a word alone brings nothing, which for a struct means its defaults.
pub(crate) struct Content<'de> {
    name: &'de str,
    node: Option<&'de Node>,
}

impl<'de> Content<'de> {
    /// Adds the alternative's name to the way that led to a problem inside it.
    fn located<T>(name: &str, result: Result<T, Problem>) -> Result<T, Problem> {
        result.map_err(|problem| problem.under(Step::Key(name.to_owned())))
    }

    fn needs_settings<T>(name: &str) -> Result<T, Problem> {
        let message = format!("`{name}` needs settings of its own; write them below `{name}:`");
        Err(Problem::new(Reason::Message(message)))
    }
}

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = Problem;

    fn unit_variant(self) -> Result<(), Problem> {
        match self.node {
            Some(node) => Self::located(self.name, Deserialize::deserialize(NodeDeserializer::new(node))),
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Problem> {
        let Some(node) = self.node else {
            let empty = MapDeserializer::<_, Problem>::new(std::iter::empty::<(&str, &str)>());
            return seed.deserialize(empty).or_else(|_| Self::needs_settings(self.name));
        };
        Self::located(self.name, seed.deserialize(NodeDeserializer::new(node)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Problem> {
        let Some(node) = self.node else { return Self::needs_settings(self.name) };
        Self::located(self.name, NodeDeserializer::new(node).deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        let Some(node) = self.node else { return visitor.visit_map(Entries::new(&[])) };
        Self::located(self.name, NodeDeserializer::new(node).deserialize_map(visitor))
    }
}
