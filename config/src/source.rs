//! Where settings come from: files, texts, the environment and `--set`, each turned into a [`Layer`].

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use figment::providers::Env;

use crate::{
    error::{ConfigError, Origin},
    layer::Layer,
    node::{Entry, Kind, Node, Scalar},
    yaml,
};

/// What every environment variable that overrides a setting begins with.
const PREFIX: &str = "WATERSHED__";

/// Everything a document is made of, in the order in which later parts win.
///
/// Between `files` and `set`, variables of the environment are laid over: `WATERSHED__SERVICE__TELEMETRY__LOGS__LEVEL`
/// sets `service.telemetry.logs.level`. Two underscores go one level down, and the names are made lower case.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The texts, as given by `--config`.
    pub files: Vec<Source>,
    /// Single settings as given by `--set`: `a.b=value` or `a::b=value`, with the value in YAML.
    pub set: Vec<String>,
}

/// One text with settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file by its path.
    File(PathBuf),
    /// YAML given on the command line, in which `a::b: 1` goes down levels.
    Yaml(String),
    /// An environment variable whose value is YAML.
    Environment(String),
    /// A text in memory, for tests and for the examples of the documentation.
    Text {
        /// What places are called after.
        name: String,
        /// The YAML.
        text: String,
    },
}

impl Source {
    /// Makes a source of a text in memory.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Text { name: name.into(), text: text.into() }
    }
}

impl From<&str> for Source {
    /// Reads what people write behind `--config`: `file:path`, `yaml:text`, `env:NAME`, or a path.
    fn from(argument: &str) -> Self {
        if let Some(text) = argument.strip_prefix("yaml:") {
            Self::Yaml(text.to_owned())
        } else if let Some(name) = argument.strip_prefix("env:") {
            Self::Environment(name.to_owned())
        } else {
            Self::File(argument.strip_prefix("file:").unwrap_or(argument).into())
        }
    }
}

/// Reads one variable of the environment of this process.
///
/// It is what `main` passes to [`load`](crate::load); nothing else reads the environment.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Collects the variables that override settings, sorted by name so that the result does not depend on chance.
pub(crate) fn overrides_of_process() -> Vec<(String, String)> {
    let provider = Env::prefixed(PREFIX).lowercase(false);
    let mut found: Vec<(String, String)> =
        provider.iter().map(|(name, value)| (name.to_string(), value)).collect();
    found.sort();
    found
}

/// Turns all sources into layers, the lowest first.
pub(crate) fn layers(
    sources: &Sources,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &[(String, String)],
) -> Result<Vec<Layer>, Vec<ConfigError>> {
    let mut layers = Vec::new();
    let mut errors = Vec::new();
    let mut add = |result: Result<Layer, Vec<ConfigError>>| match result {
        Ok(layer) => layers.push(layer),
        Err(mut found) => errors.append(&mut found),
    };
    let mut next = 0..;
    for (source, index) in sources.files.iter().zip(&mut next) {
        add(file_layer(source, index, env));
    }
    for ((name, value), index) in overrides.iter().zip(&mut next) {
        let origin = Origin::whole(format!("environment {PREFIX}{name}"), index);
        let keys = name.split("__").map(str::to_ascii_lowercase).collect();
        add(single_layer(keys, value, origin).map_err(|error| vec![error]));
    }
    for (argument, index) in sources.set.iter().zip(&mut next) {
        add(set_layer(argument, index).map_err(|error| vec![error]));
    }
    if errors.is_empty() { Ok(layers) } else { Err(errors) }
}

fn file_layer(
    source: &Source,
    index: usize,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Layer, Vec<ConfigError>> {
    let (name, text) = match source {
        Source::File(path) => (path.display().to_string(), read_text(path)),
        Source::Yaml(text) => (format!("yaml argument {}", index + 1), Ok(text.clone())),
        Source::Environment(name) => {
            let unset = || format!("environment variable `{name}` is not set; it should hold YAML");
            (format!("env:{name}"), env(name).ok_or_else(unset))
        }
        Source::Text { name, text } => (name.clone(), Ok(text.clone())),
    };
    let whole = Origin::whole(name.as_str(), index);
    let fail = |origin: Origin, message: String| vec![ConfigError::new(Some(origin), "", message)];
    let text = text.map_err(|message| fail(whole.clone(), message))?;
    let mut root = yaml::parse(&text, &whole.file, index)?.unwrap_or_else(|| Node::null(whole.clone()));
    if root.is_null() {
        return Err(fail(
            whole,
            "is empty; it should hold at least `receivers`, `exporters` and `service`".to_owned(),
        ));
    }
    if root.entries().is_none() {
        let message = format!(
            "expected a map with `receivers`, `exporters` and `service`, found {}",
            root.describe(true)
        );
        return Err(fail(root.origin, message));
    }
    if matches!(source, Source::Yaml(_)) {
        split_keys(&mut root);
    }
    Ok(Layer { root, warns_of_wiping: true })
}

/// Turns `a::b: 1` at the top into `a: {b: 1}`, as the Collector does; the pieces merge with what is there.
fn split_keys(root: &mut Node) {
    let Some(entries) = root.entries_mut() else { return };
    for entry in std::mem::take(entries) {
        let mut keys: Vec<String> = entry.key.split("::").take(yaml::DEPTH_MAX).map(str::to_owned).collect();
        let first = keys.remove(0);
        let value =
            keys.into_iter().rev().fold(entry.value, |value, key| nest(key, value, &entry.key_origin));
        put(entries, Entry { key: first, key_origin: entry.key_origin, value });
    }
}

fn nest(key: String, value: Node, origin: &Origin) -> Node {
    Node::map(vec![Entry { key, key_origin: origin.clone(), value }], origin.clone())
}

/// Adds an entry, going down into maps that are there already.
fn put(entries: &mut Vec<Entry>, entry: Entry) {
    let Some(present) = entries.iter_mut().find(|present| present.key == entry.key) else {
        entries.push(entry);
        return;
    };
    match (present.value.entries_mut(), entry.value.kind) {
        (Some(inner), Kind::Map(added)) => added.into_iter().for_each(|entry| put(inner, entry)),
        (_, kind) => present.value.kind = kind,
    }
}

fn set_layer(argument: &str, index: usize) -> Result<Layer, ConfigError> {
    let Some((path, value)) = argument.split_once('=') else {
        let origin = Origin::whole(format!("--set {argument}"), index);
        return Err(ConfigError::new(
            Some(origin),
            "",
            "no `=`; write `--set service.telemetry.logs.level=debug`",
        ));
    };
    let separator = if path.contains("::") { "::" } else { "." };
    let keys = path.trim().split(separator).map(|key| key.trim().to_owned()).collect();
    single_layer(keys, value, Origin::whole(format!("--set {}", path.trim()), index))
}

/// Makes a layer that holds one setting.
fn single_layer(keys: Vec<String>, value: &str, origin: Origin) -> Result<Layer, ConfigError> {
    if keys.iter().any(String::is_empty) {
        return Err(ConfigError::new(Some(origin), "", "a part of the path is empty"));
    }
    if keys.len() > yaml::DEPTH_MAX {
        let message = format!("the path has more than {} parts", yaml::DEPTH_MAX);
        return Err(ConfigError::new(Some(origin), "", message));
    }
    let path = keys.join(".");
    let node = value_node(value, &origin)
        .map_err(|message| ConfigError::new(Some(origin.clone()), path, format!("the value is {message}")))?;
    let root = keys.into_iter().rev().fold(node, |node, key| nest(key, node, &origin));
    Ok(Layer { root, warns_of_wiping: false })
}

/// Reads a value given outside a file: as YAML when it is a list, a map or quoted, and else as the text it is.
fn value_node(value: &str, origin: &Origin) -> Result<Node, String> {
    let text = value.trim();
    // `host:4317` and `a: b` in one argument are text to the person who wrote them.
    if !text.starts_with(['[', '{', '"', '\'']) {
        let kind = Kind::Scalar(Scalar { text: text.to_owned(), plain: true, interpolated: true });
        return Ok(Node { kind, origin: origin.clone() });
    }
    let first_of =
        |errors: Vec<ConfigError>| errors.into_iter().next().map(|error| error.message).unwrap_or_default();
    let parsed = yaml::parse(text, &Arc::clone(&origin.file), origin.layer).map_err(first_of)?;
    let mut node = parsed.unwrap_or_else(|| Node::null(origin.clone()));
    node.relocate(origin);
    Ok(node)
}

/// Reads a file of at most 16 MiB that holds UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let fail = |error: std::io::Error| format!("cannot read `{}`: {error}", path.display());
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    let limit = yaml::SIZE_MAX as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() > yaml::SIZE_MAX {
        return Err(format!("`{}` is larger than 16 MiB", path.display()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
        format!("`{}` is not UTF-8 text: the first wrong byte is in line {line}", path.display())
    })
}
