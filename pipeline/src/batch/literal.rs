//! A value of any type, as it is written in settings.

use std::borrow::Cow;
use std::fmt;

use super::value::AnyValue;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value of any type, for fields of settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal(pub AnyValue);

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadLiteral).map(Self)
    }
}

struct ReadLiteral;

impl<'de> Visitor<'de> for ReadLiteral {
    type Value = AnyValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<AnyValue, E> {
        Ok(AnyValue::Empty)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<AnyValue, E> {
        Ok(AnyValue::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<AnyValue, E> {
        Ok(AnyValue::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<AnyValue, E> {
        let too_large =
            |_| E::custom(format!("`{number}` has more than 63 bits; write it in quotes, as a text"));
        i64::try_from(number).map(AnyValue::Int).map_err(too_large)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<AnyValue, E> {
        Ok(AnyValue::Double(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AnyValue, E> {
        Ok(AnyValue::Str(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<AnyValue, A::Error> {
        let mut list = Vec::new();
        while let Some(Literal(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(AnyValue::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<AnyValue, A::Error> {
        let mut map = Vec::new();
        while let Some((key, Literal(value))) = entries.next_entry()? {
            map.push((key, value));
        }
        Ok(AnyValue::Map(map))
    }
}

impl JsonSchema for Literal {
    fn schema_name() -> Cow<'static, str> {
        "AttributeValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "A value: text, number, truth value, list or map." })
    }
}
