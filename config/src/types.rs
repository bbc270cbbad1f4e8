//! Values with a meaning: each is parsed once from its text and cannot be wrong afterwards.

mod byte_size;
mod endpoint;
mod non_empty;
mod percentage;
mod period;
mod secret;
mod server_url;

pub use byte_size::ByteSize;
pub use endpoint::Endpoint;
pub use non_empty::NonEmpty;
pub use percentage::Percentage;
pub use period::Period;
pub(crate) use secret::NAME as SECRET_NAME;
pub use secret::Secret;
pub use server_url::ServerUrl;

/// Lets a type be read by its [`FromStr`](std::str::FromStr), and describes its text in the schema;
/// the JSON types are those that YAML may give to the text.
macro_rules! text_type {
    ($type:ident, $json_types:tt, $pattern:expr, $description:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": $json_types,
                    "pattern": $pattern,
                    "description": $description,
                })
            }
        }
    };
}
pub(crate) use text_type;

/// Splits a number from the letters behind it.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use schemars::{JsonSchema, schema_for};

    use super::{ByteSize, Endpoint, NonEmpty, Percentage, Period, Secret, ServerUrl};

    #[derive(JsonSchema)]
    struct Everything {
        _size: ByteSize,
        _period: Period,
        _endpoint: Endpoint,
        _url: ServerUrl,
        _secret: Secret,
        _share: Percentage,
        _list: NonEmpty<Period>,
    }

    #[test]
    fn the_schema_explains_every_type() {
        let schema = schema_for!(Everything);
        let definitions = schema.get("$defs").and_then(|definitions| definitions.as_object()).unwrap();
        assert_eq!(definitions.len(), 7);
        for (name, definition) in definitions {
            assert!(definition.get("description").is_some(), "{name}");
        }
    }
}
