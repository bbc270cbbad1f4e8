//! How statements are written in settings: a text each, or groups of them.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use watershed_pipeline::{Condition, ConditionContext, Signal, Statement};

use crate::error_mode::ErrorMode;

/// Statements on the same thing.
pub(super) struct Group {
    pub(super) context: ConditionContext,
    pub(super) conditions: Vec<Condition>,
    pub(super) statements: Vec<Statement>,
    pub(super) error_mode: Option<ErrorMode>,
    /// Whether it was written as one text.
    pub(super) is_single: bool,
}

macro_rules! of_signal {
    ($($name:ident, $signal:ident, $what:literal);* $(;)?) => {
        $(
            #[doc = concat!("One or more statements on ", $what, ".")]
            #[derive(JsonSchema)]
            #[schemars(with = "StatementsSchema")]
            pub(super) struct $name(pub(super) Group);

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_any(ReadStatements(Signal::$signal)).map(Self)
                }
            }
        )*
    };
}

of_signal! {
    LogStatements, Logs, "logs";
    TraceStatements, Traces, "traces";
    MetricStatements, Metrics, "metrics";
}

/// A statement whose paths say what it is on, or several with that said once.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "describes the settings in the schema; a visitor reads them, so that errors are exact"
)]
enum StatementsSchema {
    One(String),
    Group(GroupSettings),
}

/// Statements with what they are on and what they are for said once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GroupSettings {
    /// What the statements are on: `resource`, `scope`, or what the signal has: `log`; `span`, `spanevent`;
    /// `metric`, `datapoint`. Default: what the most detailed prefix of their paths says.
    #[serde(default)]
    context: Option<String>,
    /// What happens when one of these statements can't be carried out. Default: as for the processor.
    #[serde(default)]
    error_mode: Option<ErrorMode>,
    /// Conditions of which any must be true. Default: none, which means everything.
    #[serde(default)]
    conditions: Vec<String>,
    /// The statements, in this order.
    statements: Vec<String>,
}

/// Reads a statement or a group of them. Not an untagged enum, which would answer every mistake with "did not match
/// any variant".
struct ReadStatements(Signal);

impl<'de> Visitor<'de> for ReadStatements {
    type Value = Group;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a statement, or a map of `context`, `conditions` and `statements`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Group, E> {
        let statement = Statement::for_signal(text, self.0).map_err(E::custom)?;
        Ok(Group {
            context: statement.context(),
            conditions: Vec::new(),
            statements: vec![statement],
            error_mode: None,
            is_single: true,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Group, A::Error> {
        let group = GroupSettings::deserialize(de::value::MapAccessDeserializer::new(map))?;
        self.group(&group).map_err(de::Error::custom)
    }
}

impl ReadStatements {
    fn group(&self, group: &GroupSettings) -> Result<Group, String> {
        let context = match &group.context {
            Some(name) => ConditionContext::for_signal(name, self.0)?,
            None => self.context_of(group),
        };
        Ok(Group {
            context,
            conditions: each("conditions", &group.conditions, |text| Condition::parse(text, context))?,
            statements: each("statements", &group.statements, |text| Statement::parse(text, context))?,
            error_mode: group.error_mode,
            is_single: false,
        })
    }

    /// The most detailed of what the statements and conditions are on.
    fn context_of(&self, group: &GroupSettings) -> ConditionContext {
        let statements = group.statements.iter().filter_map(|text| Statement::for_signal(text, self.0).ok());
        let own = statements.map(|statement| statement.context()).max().unwrap_or(ConditionContext::Resource);
        let wider = |text: &&String| Condition::parse(text, own).is_err();
        let conditions = group.conditions.iter().filter(wider);
        let theirs = conditions.filter_map(|text| Condition::for_signal(text, self.0).ok());
        theirs.map(|condition| condition.context()).max().map_or(own, |theirs| theirs.max(own))
    }
}

/// Parses each text of a list; a mistake says which one it is in.
fn each<T, E: fmt::Display>(
    field: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, String> {
    let parse =
        |(index, text): (usize, &String)| parse(text).map_err(|error| format!("{field}[{index}]: {error}"));
    texts.iter().enumerate().map(parse).collect()
}
