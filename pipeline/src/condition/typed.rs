//! Conditions as types of settings: parsed while the configuration is read, so that a mistake has its position.

use std::borrow::Cow;
use std::ops::Deref;

use serde::de::Error;

use super::{Condition, ConditionContext};

macro_rules! typed {
    ($($name:ident, $context:ident, $what:literal);* $(;)?) => {
        $(
            #[doc = concat!("A condition on ", $what, ", as a type of settings.")]
            #[derive(Clone, Debug, PartialEq)]
            pub struct $name(Condition);

            impl Deref for $name {
                type Target = Condition;

                fn deref(&self) -> &Condition {
                    &self.0
                }
            }

            impl From<$name> for Condition {
                fn from(typed: $name) -> Self {
                    typed.0
                }
            }

            impl<'de> serde::Deserialize<'de> for $name {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = <Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                    Condition::parse(&text, ConditionContext::$context).map(Self).map_err(D::Error::custom)
                }
            }

            impl schemars::JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    schemars::json_schema!({
                        "type": "string",
                        "description": concat!("A condition on ", $what, ", in the condition language."),
                    })
                }
            }
        )*
    };
}

typed! {
    LogCondition, Log, "log records";
    SpanCondition, Span, "spans";
    SpanEventCondition, SpanEvent, "span events";
    MetricCondition, Metric, "metrics";
    DataPointCondition, DataPoint, "data points";
}
