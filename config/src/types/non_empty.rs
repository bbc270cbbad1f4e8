//! A list with at least one element.

use std::{borrow::Cow, fmt, ops::Deref};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// A list with at least one element, where an empty list would mean nothing good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NonEmpty<T>(Vec<T>);

impl<T> NonEmpty<T> {
    /// Makes a list of a first element and the others.
    pub fn new(first: T, others: impl IntoIterator<Item = T>) -> Self {
        Self(std::iter::once(first).chain(others).collect())
    }

    /// Gives up the guarantee and hands out the elements.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T> Deref for NonEmpty<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'l, T> IntoIterator for &'l NonEmpty<T> {
    type Item = &'l T;
    type IntoIter = std::slice::Iter<'l, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: fmt::Display> fmt::Display for NonEmpty<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, element) in self.0.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(out, "{separator}{element}")?;
        }
        Ok(())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for NonEmpty<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let elements = Vec::deserialize(deserializer)?;
        if elements.is_empty() {
            return Err(D::Error::custom("needs at least one entry"));
        }
        Ok(Self(elements))
    }
}

impl<T: JsonSchema> JsonSchema for NonEmpty<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("NonEmpty_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "items": generator.subschema_for::<T>(),
            "minItems": 1,
            "description": "A list with at least one entry.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::NonEmpty;

    #[test]
    fn an_empty_list_is_refused() {
        assert_eq!(serde_yaml::from_str::<NonEmpty<u8>>("[1, 2]").unwrap(), NonEmpty::new(1, [2]));
        assert!(serde_yaml::from_str::<NonEmpty<u8>>("[]").is_err());
    }
}
