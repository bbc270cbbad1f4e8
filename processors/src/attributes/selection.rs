//! Which records `include` and `exclude` mean.

use std::fmt;

use regex::{RegexSet, RegexSetBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use watershed_config::BuildError;
use watershed_pipeline::{AnyValue, Attributes, Literal, Record, Value};

use crate::actions::pattern_error;

/// How large the compiled expressions of one property may be together, in bytes.
const PATTERNS_SIZE_MAX: usize = 4 << 20;

/// Properties of records. All that are given must match; of several values of one, any.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Properties {
    /// How texts are compared.
    match_type: MatchType,
    /// Accepted without effect: expressions are compiled once and need no cache.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    regexp: Option<RegexpOptions>,
    /// Values of the resource's `service.name`.
    #[serde(default)]
    services: Vec<String>,
    /// Names of spans.
    #[serde(default)]
    span_names: Vec<String>,
    /// Kinds of spans, such as `SPAN_KIND_SERVER`.
    #[serde(default)]
    span_kinds: Vec<String>,
    /// Bodies of log records that are texts.
    #[serde(default)]
    log_bodies: Vec<String>,
    /// Severities of log records as the source wrote them.
    #[serde(default)]
    log_severity_texts: Vec<String>,
    /// Severities of log records as numbers.
    #[serde(default)]
    log_severity_number: Option<SeverityRange>,
    /// Names of metrics.
    #[serde(default)]
    metric_names: Vec<String>,
    /// Attributes of the record, all of which must be there.
    #[serde(default)]
    attributes: Vec<Attribute>,
    /// Attributes of the resource, all of which must be there.
    #[serde(default)]
    resources: Vec<Attribute>,
    /// Instrumentation scopes.
    #[serde(default)]
    libraries: Vec<Library>,
}

/// How texts are compared.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MatchType {
    /// The whole text, letter by letter.
    Strict,
    /// A regular expression, which may match anywhere in the text.
    Regexp,
}

/// Settings of a cache that does not exist here.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
struct RegexpOptions {
    /// Accepted without effect.
    #[serde(default)]
    cacheenabled: bool,
    /// Accepted without effect.
    #[serde(default)]
    cachemaxnumentries: u64,
}

/// Severities from one on.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SeverityRange {
    /// The lowest that matches: a number from 1 to 24, or a name such as `WARN` or `ERROR2`.
    min: Severity,
    /// Whether a record without severity matches. Default no.
    #[serde(default)]
    match_undefined: bool,
}

/// A severity number.
#[derive(Clone, Copy, JsonSchema)]
struct Severity(#[schemars(with = "String")] i32);

/// An attribute that must be there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Attribute {
    /// Its key.
    key: String,
    /// Its value; for `regexp` an expression that the value as text must match. Default: any.
    #[serde(default)]
    value: Option<Literal>,
}

/// An instrumentation scope.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Library {
    /// Its name.
    name: String,
    /// Its version. Default: any.
    #[serde(default)]
    version: Option<String>,
}

impl<'de> Deserialize<'de> for Severity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadSeverity).map(Self)
    }
}

struct ReadSeverity;

impl Visitor<'_> for ReadSeverity {
    type Value = i32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a severity from 1 to 24, or a name such as `WARN`")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<i32, E> {
        let number = i32::try_from(number).ok().filter(|number| (1..=24).contains(number));
        number.ok_or_else(|| E::custom("expected a severity from 1 to 24, or a name such as `WARN`"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<i32, E> {
        const NAMES: [(&str, i32); 6] =
            [("TRACE", 1), ("DEBUG", 5), ("INFO", 9), ("WARN", 13), ("ERROR", 17), ("FATAL", 21)];
        let name = text.to_uppercase();
        let step = |rest: &str| match rest {
            "" => Some(0),
            _ => rest.parse::<i32>().ok().filter(|step| (2..=4).contains(step)).map(|step| step - 1),
        };
        let found = NAMES.iter().find_map(|(prefix, first)| Some(first + step(name.strip_prefix(prefix)?)?));
        found.ok_or_else(|| {
            E::custom(format!(
                "unknown severity `{text}`; write a number from 1 to 24, or a name such as `WARN`"
            ))
        })
    }
}

/// Compiled properties.
pub(super) struct Selection {
    services: Option<Texts>,
    span_names: Option<Texts>,
    span_kinds: Option<Texts>,
    log_bodies: Option<Texts>,
    log_severity_texts: Option<Texts>,
    log_severity_number: Option<SeverityRange>,
    metric_names: Option<Texts>,
    attributes: Vec<(String, Option<Expected>)>,
    resources: Vec<(String, Option<Expected>)>,
    libraries: Vec<(Texts, Option<Texts>)>,
}

/// Texts of which any may be met.
enum Texts {
    Strict(Vec<String>),
    Regexp(RegexSet),
}

/// What the value of an attribute must be.
enum Expected {
    Value(AnyValue),
    Pattern(Texts),
}

impl Properties {
    /// Compiles the properties, which stand at `path` of the settings.
    pub(super) fn compile(&self, path: &str) -> Result<Selection, BuildError> {
        let at = |name: &'static str| {
            move |error: BuildError| BuildError::at(format!("{path}.{name}"), error.message)
        };
        let texts = |name, texts: &[String]| {
            (!texts.is_empty()).then(|| self.texts(texts)).transpose().map_err(at(name))
        };
        let attributes = |name, list: &[Attribute]| {
            let compile = |one: &Attribute| Ok((one.key.clone(), self.expected(one)?));
            list.iter().map(compile).collect::<Result<Vec<_>, _>>().map_err(at(name))
        };
        let library = |one: &Library| {
            let version = one.version.clone().map(|version| self.texts(&[version])).transpose()?;
            Ok((self.texts(std::slice::from_ref(&one.name))?, version))
        };
        let selection = Selection {
            services: texts("services", &self.services)?,
            span_names: texts("span_names", &self.span_names)?,
            span_kinds: texts("span_kinds", &self.span_kinds)?,
            log_bodies: texts("log_bodies", &self.log_bodies)?,
            log_severity_texts: texts("log_severity_texts", &self.log_severity_texts)?,
            log_severity_number: self.log_severity_number,
            metric_names: texts("metric_names", &self.metric_names)?,
            attributes: attributes("attributes", &self.attributes)?,
            resources: attributes("resources", &self.resources)?,
            libraries: self
                .libraries
                .iter()
                .map(library)
                .collect::<Result<_, _>>()
                .map_err(at("libraries"))?,
        };
        if selection.is_empty() {
            return Err(BuildError::at(path, "names no property; add one, such as `services: [checkout]`"));
        }
        Ok(selection)
    }

    fn texts(&self, texts: &[String]) -> Result<Texts, BuildError> {
        if self.match_type == MatchType::Strict {
            return Ok(Texts::Strict(texts.to_vec()));
        }
        let set = RegexSetBuilder::new(texts).size_limit(PATTERNS_SIZE_MAX).build();
        set.map(Texts::Regexp).map_err(|error| pattern_error(&texts.join(", "), &error))
    }

    fn expected(&self, attribute: &Attribute) -> Result<Option<Expected>, BuildError> {
        Ok(match (&attribute.value, self.match_type) {
            (None, _) => None,
            (Some(Literal(value)), MatchType::Strict) => Some(Expected::Value(value.clone())),
            (Some(Literal(AnyValue::Str(pattern))), MatchType::Regexp) => {
                Some(Expected::Pattern(self.texts(std::slice::from_ref(pattern))?))
            }
            (Some(_), MatchType::Regexp) => {
                let message =
                    format!("the value of `{}` is no text; write the expression in quotes", attribute.key);
                return Err(BuildError::new(message));
            }
        })
    }
}

impl Selection {
    fn is_empty(&self) -> bool {
        let texts = [
            &self.services,
            &self.span_names,
            &self.span_kinds,
            &self.log_bodies,
            &self.log_severity_texts,
            &self.metric_names,
        ];
        texts.into_iter().all(Option::is_none)
            && self.log_severity_number.is_none()
            && self.attributes.is_empty()
            && self.resources.is_empty()
            && self.libraries.is_empty()
    }

    /// Whether all properties match. One that the record can't have, such as the name of a span, does not.
    pub(super) fn matches(&self, record: Record<'_>) -> bool {
        let (log, span) = (record.log(), record.span());
        let service = || record.resource().attribute("service.name").and_then(Value::as_str);
        let body = || log.and_then(|log| log.body()).and_then(Value::as_str);
        is_any(self.services.as_ref(), service)
            && is_any(self.span_names.as_ref(), || span.map(|span| span.name()))
            && is_any(self.span_kinds.as_ref(), || span.map(|span| kind_name(span.kind())))
            && is_any(self.log_bodies.as_ref(), body)
            && is_any(self.log_severity_texts.as_ref(), || log.map(|log| log.severity_text()))
            && is_any(self.metric_names.as_ref(), || record.point().map(|point| point.metric().name()))
            && self.log_severity_number.is_none_or(|range| {
                log.is_some_and(|log| match log.severity_number() {
                    0 => range.match_undefined,
                    number => number >= range.min.0,
                })
            })
            && has_all(&self.attributes, record.attributes())
            && (self.resources.is_empty() || has_all(&self.resources, record.resource().attributes()))
            && (self.libraries.is_empty() || self.has_library(record))
    }

    fn has_library(&self, record: Record<'_>) -> bool {
        let scope = record.scope();
        self.libraries.iter().any(|(name, version)| {
            name.matches(scope.name())
                && version.as_ref().is_none_or(|version| version.matches(scope.version()))
        })
    }
}

fn is_any<'a>(texts: Option<&Texts>, text: impl FnOnce() -> Option<&'a str>) -> bool {
    texts.is_none_or(|texts| text().is_some_and(|text| texts.matches(text)))
}

fn has_all(expected: &[(String, Option<Expected>)], attributes: Attributes<'_>) -> bool {
    expected.iter().all(|(key, expected)| match (attributes.value(key), expected) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(value), Some(Expected::Value(wanted))) => value.to_any_value() == *wanted,
        (Some(value), Some(Expected::Pattern(pattern))) => pattern.matches(&value.to_text()),
    })
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        1 => "SPAN_KIND_INTERNAL",
        2 => "SPAN_KIND_SERVER",
        3 => "SPAN_KIND_CLIENT",
        4 => "SPAN_KIND_PRODUCER",
        5 => "SPAN_KIND_CONSUMER",
        _ => "SPAN_KIND_UNSPECIFIED",
    }
}

impl Texts {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Strict(texts) => texts.iter().any(|own| own == text),
            Self::Regexp(set) => set.is_match(text),
        }
    }
}
