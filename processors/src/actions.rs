//! What `attributes` and `resource` do to attributes: the list of actions, read and compiled.
//!
//! Not a component: the part that both share, free of signals and batches.

mod editable;

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use watershed_config::BuildError;
use watershed_pipeline::{AnyValue, Literal, Metadata, Value, json_text};

use editable::Editable;

/// How large a compiled regular expression may be, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// One change, as it is configured.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    /// The attribute to change. Required, except for `delete` and `hash` with a `pattern`.
    #[serde(default)]
    key: String,
    /// What to do with it.
    action: ActionKind,
    /// For `insert`, `update` and `upsert`: the value, of any type.
    #[serde(default)]
    value: Option<Literal>,
    /// For `insert`, `update` and `upsert`: the attribute whose value is copied. Without it nothing happens.
    #[serde(default)]
    from_attribute: Option<String>,
    /// For `insert`, `update` and `upsert`: `metadata.<header>` or `client.address` of the request that brought the
    /// telemetry. Needs `include_metadata` on the receiver. Several values of a header are joined by `;`.
    #[serde(default)]
    from_context: Option<String>,
    /// For `from_attribute` and `from_context`: the value when there is none to copy. Default: nothing happens.
    #[serde(default)]
    default_value: Option<Literal>,
    /// For `extract`: an expression whose named groups become attributes of these names. For `delete` and `hash`: an
    /// expression for the keys that are meant besides `key`.
    #[serde(default)]
    pattern: Option<String>,
    /// For `convert`: the type to convert to. A value that can't be converted stays.
    #[serde(default)]
    converted_type: Option<ConvertedType>,
}

/// What to do with an attribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ActionKind {
    /// Sets it if it is not there.
    #[default]
    Insert,
    /// Sets it if it is there.
    Update,
    /// Sets it.
    Upsert,
    /// Removes it.
    Delete,
    /// Replaces its value by the SHA-256 of the value, in hexadecimal.
    Hash,
    /// Takes other attributes out of its text.
    Extract,
    /// Changes the type of its value.
    Convert,
}

/// A type to convert to.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ConvertedType {
    /// A whole number; floating-point numbers lose their fraction, texts are read.
    Int,
    /// A floating-point number.
    Double,
    /// Text; lists and maps as JSON.
    String,
}

/// Compiled actions, ready to be applied to any number of attributes.
pub(crate) struct Actions(Vec<Step>);

/// The actions with what comes from the request filled in: made once a batch.
pub(crate) struct Bound<'a>(Vec<(&'a Step, Option<Cow<'a, str>>)>);

enum Step {
    Set { key: String, when: When, source: Source, default: Option<AnyValue> },
    Delete(Keys),
    Hash(Keys),
    Extract { key: String, pattern: Regex },
    Convert { key: String, to: ConvertedType },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Absent,
    Present,
    Always,
}

enum Source {
    Value(AnyValue),
    Attribute(String),
    Header(String),
    ClientAddress,
}

/// The attributes that `delete` and `hash` mean.
struct Keys {
    key: Option<String>,
    pattern: Option<Regex>,
}

impl Actions {
    /// Compiles a list of actions, which stands at `path` of the settings.
    pub(crate) fn compile(actions: &[Action], path: &str) -> Result<Self, BuildError> {
        if actions.is_empty() {
            return Err(BuildError::at(path, "needs at least one action"));
        }
        let compile = |(index, action): (usize, &Action)| {
            action
                .compile()
                .map_err(|error| BuildError::at(format!("{path}[{index}]{}", error.path), error.message))
        };
        actions.iter().enumerate().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// Fills in what comes from the request.
    pub(crate) fn bind<'a>(&'a self, metadata: Option<&'a Metadata>) -> Bound<'a> {
        Bound(self.0.iter().map(|step| (step, step.request_value(metadata))).collect())
    }
}

impl Bound<'_> {
    /// Applies all actions in their order.
    pub(crate) fn apply(&self, target: &mut impl Editable) {
        for (step, from_request) in &self.0 {
            step.apply(target, from_request.as_deref());
        }
    }
}

impl Action {
    fn compile(&self) -> Result<Step, BuildError> {
        self.refuse_what_has_no_meaning()?;
        Ok(match self.action {
            ActionKind::Insert => self.set(When::Absent)?,
            ActionKind::Update => self.set(When::Present)?,
            ActionKind::Upsert => self.set(When::Always)?,
            ActionKind::Delete => Step::Delete(self.keys()?),
            ActionKind::Hash => Step::Hash(self.keys()?),
            ActionKind::Extract => Step::Extract { key: self.key()?, pattern: self.extraction()? },
            ActionKind::Convert => {
                let to = self.converted_type.ok_or_else(|| {
                    BuildError::at("", "`convert` needs a `converted_type`: `int`, `double` or `string`")
                })?;
                Step::Convert { key: self.key()?, to }
            }
        })
    }

    fn refuse_what_has_no_meaning(&self) -> Result<(), BuildError> {
        use ActionKind::{Convert, Delete, Extract, Hash, Insert, Update, Upsert};
        let setting = [Insert, Update, Upsert].as_slice();
        let fields = [
            ("value", self.value.is_some(), setting),
            ("from_attribute", self.from_attribute.is_some(), setting),
            ("from_context", self.from_context.is_some(), setting),
            ("default_value", self.default_value.is_some(), setting),
            ("pattern", self.pattern.is_some(), &[Extract, Delete, Hash]),
            ("converted_type", self.converted_type.is_some(), &[Convert]),
        ];
        for (name, is_set, kinds) in fields {
            if is_set && !kinds.contains(&self.action) {
                let message = format!("has no meaning for `{}`; remove it", self.action.name());
                return Err(BuildError::at(format!(".{name}"), message));
            }
        }
        Ok(())
    }

    fn key(&self) -> Result<String, BuildError> {
        if self.key.is_empty() {
            return Err(BuildError::at("", format!("`{}` needs a `key`", self.action.name())));
        }
        Ok(self.key.clone())
    }

    fn set(&self, when: When) -> Result<Step, BuildError> {
        let from_context = self.from_context.as_deref().map(request_source).transpose()?;
        let sources = [
            self.value.clone().map(|literal| Source::Value(literal.0)),
            self.from_attribute.clone().map(Source::Attribute),
            from_context,
        ];
        let mut sources = sources.into_iter().flatten();
        let (Some(source), None) = (sources.next(), sources.next()) else {
            let message = format!(
                "`{}` needs exactly one of `value`, `from_attribute` and `from_context`",
                self.action.name()
            );
            return Err(BuildError::at("", message));
        };
        let default = self.default_value.clone().map(|literal| literal.0);
        Ok(Step::Set { key: self.key()?, when, source, default })
    }

    fn keys(&self) -> Result<Keys, BuildError> {
        if self.key.is_empty() && self.pattern.is_none() {
            return Err(BuildError::at("", format!("`{}` needs a `key` or a `pattern`", self.action.name())));
        }
        let pattern = self.pattern.as_deref().map(compile_pattern).transpose()?;
        Ok(Keys { key: Some(self.key.clone()).filter(|key| !key.is_empty()), pattern })
    }

    fn extraction(&self) -> Result<Regex, BuildError> {
        let Some(pattern) = &self.pattern else {
            return Err(BuildError::at("", "`extract` needs a `pattern` with named groups"));
        };
        let pattern = compile_pattern(pattern)?;
        let mut groups = pattern.capture_names().skip(1);
        if groups.len() == 0 || groups.any(|name| name.is_none()) {
            let message = "every group needs a name, which becomes a key: `(?P<user>[a-z]+)`; \
                           write groups that only group as `(?:…)`";
            return Err(BuildError::at(".pattern", message));
        }
        Ok(pattern)
    }
}

impl ActionKind {
    fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Hash => "hash",
            Self::Extract => "extract",
            Self::Convert => "convert",
        }
    }
}

fn request_source(name: &str) -> Result<Source, BuildError> {
    match name.strip_prefix("metadata.") {
        Some(header) if !header.is_empty() => Ok(Source::Header(header.to_owned())),
        None if name == "client.address" => Ok(Source::ClientAddress),
        _ => Err(BuildError::at(
            ".from_context",
            format!("`{name}` is not known; write `metadata.<header>` or `client.address`"),
        )),
    }
}

pub(crate) fn compile_pattern(pattern: &str) -> Result<Regex, BuildError> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_SIZE_MAX)
        .build()
        .map_err(|error| pattern_error(pattern, &error))
}

/// Says in one line what is wrong with an expression; the library uses several.
pub(crate) fn pattern_error(pattern: &str, error: &regex::Error) -> BuildError {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    BuildError::at(".pattern", format!("`{pattern}` is not a regular expression: {reason}"))
}

impl Step {
    fn request_value<'a>(&self, metadata: Option<&'a Metadata>) -> Option<Cow<'a, str>> {
        let Self::Set { source, .. } = self else { return None };
        match source {
            Source::Header(name) => {
                let values: Vec<&str> = metadata?.values(name).collect();
                (!values.is_empty()).then(|| values.join(";").into())
            }
            Source::ClientAddress => Some(metadata?.client_address()?.to_string().into()),
            Source::Value(_) | Source::Attribute(_) => None,
        }
    }

    fn apply(&self, target: &mut impl Editable, from_request: Option<&str>) {
        match self {
            Self::Set { key, when, source, default } => {
                let allowed = match when {
                    When::Always => true,
                    When::Absent => target.view().value(key).is_none(),
                    When::Present => target.view().value(key).is_some(),
                };
                if allowed {
                    set(target, key, source, default.as_ref(), from_request);
                }
            }
            Self::Delete(keys) => keys.delete(target),
            Self::Hash(keys) => keys.hash(target),
            Self::Extract { key, pattern } => extract(target, key, pattern),
            Self::Convert { key, to } => {
                if let Some(converted) = target.view().value(key).and_then(|value| to.convert(value)) {
                    target.set(key, converted);
                }
            }
        }
    }
}

fn set(
    target: &mut impl Editable,
    key: &str,
    source: &Source,
    default: Option<&AnyValue>,
    from_request: Option<&str>,
) {
    match (source, from_request) {
        (Source::Value(value), _) => return target.set(key, value),
        (Source::Attribute(from), _) => {
            let copied = target.view().value(from).map(Value::to_any_value);
            if let Some(value) = copied {
                return target.set(key, value);
            }
        }
        (Source::Header(_) | Source::ClientAddress, Some(text)) => return target.set(key, text),
        (Source::Header(_) | Source::ClientAddress, None) => {}
    }
    if let Some(value) = default {
        target.set(key, value);
    }
}

impl Keys {
    fn delete(&self, target: &mut impl Editable) {
        if let Some(key) = &self.key {
            target.remove(key);
        }
        if let Some(pattern) = &self.pattern {
            target.retain(|key| !pattern.is_match(key));
        }
    }

    fn hash(&self, target: &mut impl Editable) {
        if let Some(key) = &self.key
            && let Some(hashed) = target.view().value(key).map(hash)
        {
            target.set(key, hashed);
        }
        let Some(pattern) = &self.pattern else { return };
        let meant = target.view().iter().filter(|(key, _)| pattern.is_match(key));
        let hashed: Vec<_> = meant.map(|(key, value)| (key.to_owned(), hash(value))).collect();
        for (key, hashed) in hashed {
            target.set(&key, hashed);
        }
    }
}

fn extract(target: &mut impl Editable, key: &str, pattern: &Regex) {
    let found: Vec<(&str, String)> = {
        let Some(text) = target.view().value(key).and_then(Value::as_str) else { return };
        let Some(groups) = pattern.captures(text) else { return };
        let names = pattern.capture_names().flatten();
        names.filter_map(|name| Some((name, groups.name(name)?.as_str().to_owned()))).collect()
    };
    for (name, text) in found {
        target.set(name, text);
    }
}

impl ConvertedType {
    /// The value in this type, unless it has it already or can't.
    fn convert(self, value: Value<'_>) -> Option<AnyValue> {
        Some(match (self, value) {
            (Self::Int, Value::Str(text)) => AnyValue::Int(text.parse().ok()?),
            // A float beyond the whole numbers becomes the nearest of them.
            (Self::Int, Value::Double(number)) if !number.is_nan() => AnyValue::Int(number as i64),
            (Self::Int, Value::Bool(value)) => AnyValue::Int(value.into()),
            (Self::Double, Value::Str(text)) => AnyValue::Double(text.parse().ok()?),
            (Self::Double, Value::Int(number)) => AnyValue::Double(number as f64),
            (Self::Double, Value::Bool(value)) => AnyValue::Double(u8::from(value).into()),
            (Self::String, Value::Str(_)) | (Self::Int | Self::Double, _) => return None,
            (Self::String, value) => AnyValue::Str(value.to_text().into_owned()),
        })
    }
}

/// SHA-256 of a value in hexadecimal: of the bytes of a text, of the eight little-endian bytes of a number, of the one
/// byte of a truth value, of the JSON of lists and maps. What is empty stays empty. This is how the Collector does it
/// since it offers SHA-256 (gate `coreinternal.attraction.hash.sha256`).
fn hash(value: Value<'_>) -> String {
    let mut hasher = Sha256::new();
    match value {
        Value::Empty | Value::Str("") | Value::Bytes([]) => return String::new(),
        Value::Str(text) => hasher.update(text.as_bytes()),
        Value::Bytes(bytes) => hasher.update(bytes),
        Value::Bool(value) => hasher.update([u8::from(value)]),
        Value::Int(number) => hasher.update(number.to_le_bytes()),
        Value::Double(number) => hasher.update(number.to_bits().to_le_bytes()),
        Value::Array(_) | Value::Map(_) => hasher.update(value.to_text().as_bytes()),
    }
    let mut digits = Vec::with_capacity(64);
    json_text::push_hex(&mut digits, &hasher.finalize());
    String::from_utf8(digits).unwrap_or_default()
}
