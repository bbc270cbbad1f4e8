//! How components and pipelines are named: `type` or `type/name`, as in the OpenTelemetry Collector.

use std::{fmt, str::FromStr};

use crate::suggest::suggest;
use crate::types::text_type;

/// The longest type, in characters.
const TYPE_MAX: usize = 63;
/// The longest name behind the `/`, in characters.
const NAME_MAX: usize = 1024;

/// The name of a component: its type, and a name of its own when there are several of that type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId {
    kind: String,
    name: Option<String>,
}

impl ComponentId {
    /// The part before the `/`, which says what the component is.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The part behind the `/`, which tells components of one type apart.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(out, &self.kind, self.name.as_deref())
    }
}

impl FromStr for ComponentId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = split_id(text)?;
        let mut letters = kind.chars();
        let starts_well = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic());
        if !starts_well || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            return Err(format!(
                "`{kind}` is not a type of component; a type is a letter followed by letters, digits and `_`"
            ));
        }
        if kind.len() > TYPE_MAX {
            return Err(format!("the type `{kind}` is longer than {TYPE_MAX} characters"));
        }
        Ok(Self { kind: kind.to_owned(), name })
    }
}

text_type!(
    ComponentId,
    "string",
    "^[A-Za-z][A-Za-z0-9_]*(/.+)?$",
    "The id of a component: its type, or `type/name` where there are several of it."
);

/// The kind of telemetry that a pipeline carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Log records.
    Logs,
    /// Spans.
    Traces,
    /// Metric data points.
    Metrics,
}

impl Signal {
    /// The word used in pipeline names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "logs" => Ok(Self::Logs),
            "traces" => Ok(Self::Traces),
            "metrics" => Ok(Self::Metrics),
            "profiles" => {
                Err("profiles are not supported; a pipeline carries logs, traces or metrics".to_owned())
            }
            other => Err(match suggest(other, ["logs", "traces", "metrics"]) {
                Some(near) => format!("unknown signal `{other}`; did you mean `{near}`?"),
                None => format!("unknown signal `{other}`; a pipeline carries logs, traces or metrics"),
            }),
        }
    }
}

/// The name of a pipeline: its signal, and a name of its own when there are several for that signal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineId {
    /// What the pipeline carries.
    pub signal: Signal,
    /// The part behind the `/`.
    pub name: Option<String>,
}

impl fmt::Display for PipelineId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(out, self.signal.as_str(), self.name.as_deref())
    }
}

impl FromStr for PipelineId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (signal, name) = split_id(text)?;
        Ok(Self { signal: signal.parse()?, name })
    }
}

fn write_id(out: &mut fmt::Formatter<'_>, kind: &str, name: Option<&str>) -> fmt::Result {
    match name {
        Some(name) => write!(out, "{kind}/{name}"),
        None => out.write_str(kind),
    }
}

/// Splits `type/name`; the Collector allows spaces around both parts.
fn split_id(text: &str) -> Result<(&str, Option<String>), String> {
    let Some((kind, name)) = text.split_once('/') else { return Ok((text.trim(), None)) };
    let name = name.trim();
    if name.is_empty() {
        return Err(format!("`{text}` has no name behind the `/`; add one or remove the `/`"));
    }
    if name.chars().count() > NAME_MAX {
        return Err(format!("the name behind `{}/` is longer than {NAME_MAX} characters", kind.trim()));
    }
    if name.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(format!(
            "the name `{}` holds a space or control character; remove it",
            name.escape_debug()
        ));
    }
    Ok((kind.trim(), Some(name.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::{ComponentId, PipelineId};

    #[test]
    fn ids_follow_the_grammar_of_the_collector() {
        for good in ["otlp", "otlp/2", "otlp/in-side", "a_1/ü", "x/a/b"] {
            assert_eq!(good.parse::<ComponentId>().unwrap().to_string(), good);
        }
        for bad in ["", "/x", "1otlp", "ot-lp", "otlp/", "otlp/a b", "otlp/a\u{7}", &"a".repeat(64)] {
            assert!(bad.parse::<ComponentId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn pipelines_carry_a_signal() {
        assert_eq!("logs/audit".parse::<PipelineId>().unwrap().to_string(), "logs/audit");
        for (bad, message) in [
            ("profiles", "profiles are not supported; a pipeline carries logs, traces or metrics"),
            ("log", "unknown signal `log`; did you mean `logs`?"),
            ("events/x", "unknown signal `events`; a pipeline carries logs, traces or metrics"),
        ] {
            assert_eq!(bad.parse::<PipelineId>().unwrap_err(), message);
        }
    }
}
