//! `${env:NAME}`, `${NAME}`, `${env:NAME:-default}` and `${file:/path}` inside values, after the text was parsed.
//!
//! What an expression brings is not expanded again, so a value from outside can never read another variable.

use std::sync::Arc;

use crate::{
    error::{ConfigError, ConfigWarning, Origin},
    node::{Kind, Node, Scalar, Step, join_path},
    source::read_text,
    yaml,
};

/// How many expressions may be inside each other.
const NESTING_MAX: usize = 16;
/// The longest text that a value may become, in bytes.
const EXPANDED_MAX: usize = yaml::SIZE_MAX;

/// Expands every value below `root`; a value with a mistake is reported and taken out.
pub(crate) fn interpolate(root: &mut Node, env: &dyn Fn(&str) -> Option<String>) -> Report {
    let mut walk = Walk { env, steps: Vec::new(), report: Report::default(), expanded_bytes: 0 };
    walk.visit(root);
    walk.report
}

/// What was found on the way.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) errors: Vec<ConfigError>,
    pub(crate) warnings: Vec<ConfigWarning>,
}

struct Walk<'e> {
    env: &'e dyn Fn(&str) -> Option<String>,
    steps: Vec<Step>,
    report: Report,
    expanded_bytes: usize,
}

impl Walk<'_> {
    fn visit(&mut self, node: &mut Node) {
        match &mut node.kind {
            Kind::Scalar(scalar) if scalar.text.contains('$') => {
                let scalar = scalar.clone();
                node.kind = self.expand_scalar(&scalar, &node.origin);
            }
            Kind::List(elements) => {
                for (index, element) in elements.iter_mut().enumerate() {
                    self.steps.push(Step::Index(index));
                    self.visit(element);
                    self.steps.pop();
                }
            }
            Kind::Map(entries) => {
                for entry in entries {
                    self.steps.push(Step::Key(entry.key.clone()));
                    self.visit(&mut entry.value);
                    self.steps.pop();
                }
            }
            Kind::Scalar(_) | Kind::Expanded(..) | Kind::Off | Kind::Pruned => {}
        }
    }

    fn expand_scalar(&mut self, scalar: &Scalar, origin: &Origin) -> Kind {
        match self.expand(&scalar.text, origin, 0) {
            Err(message) => {
                let path = join_path("", &self.steps);
                self.report.errors.push(ConfigError::new(Some(origin.clone()), path, message));
                Kind::Pruned
            }
            Ok(Expanded { text, whole, interpolated }) => {
                let plain = scalar.plain && whole;
                if plain && let Some(kind) = structure(&text, origin) {
                    return Kind::Expanded(Box::new(kind), text);
                }
                Kind::Scalar(Scalar { text, plain, interpolated })
            }
        }
    }

    /// Expands `text`, which may hold any number of expressions.
    fn expand(&mut self, text: &str, origin: &Origin, nesting: usize) -> Result<Expanded, String> {
        if nesting > NESTING_MAX {
            return Err(format!("more than {NESTING_MAX} expressions inside each other"));
        }
        let mut out = Expanded::default();
        let mut rest = text;
        while let Some(start) = rest.find('$') {
            let (before, from) = rest.split_at(start);
            out.text.push_str(before);
            rest = if let Some(after) = from.strip_prefix("$$") {
                out.text.push('$');
                after
            } else if let Some(body) = from.strip_prefix("${") {
                let (expression, after) = split_expression(body)?;
                let value = self.evaluate(expression, origin, nesting + 1)?;
                self.expanded_bytes = self.expanded_bytes.saturating_add(value.len());
                if self.expanded_bytes > EXPANDED_MAX {
                    return Err("expressions expand to more than 16 MiB".to_owned());
                }
                out.whole = before.is_empty() && after.is_empty() && rest.len() == text.len();
                out.interpolated = true;
                out.text.push_str(&value);
                after
            } else {
                out.text.push('$');
                from.get(1..).unwrap_or_default()
            };
        }
        out.text.push_str(rest);
        Ok(out)
    }

    /// Answers with the value of the expression between `${` and `}`.
    fn evaluate(&mut self, expression: &str, origin: &Origin, nesting: usize) -> Result<String, String> {
        match scheme(expression) {
            Some(("env", body)) => self.variable(body, origin, nesting),
            Some(("file", body)) => {
                let path = self.expand(body, origin, nesting)?.text;
                let text = read_text(std::path::Path::new(&path))?;
                Ok(text
                    .strip_suffix('\n')
                    .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line))
                    .to_owned())
            }
            Some((other, _)) => {
                Err(format!("unknown source `{other}` in `${{{expression}}}`; use `env` or `file`"))
            }
            None => self.variable(expression, origin, nesting),
        }
    }

    fn variable(&mut self, body: &str, origin: &Origin, nesting: usize) -> Result<String, String> {
        let (name, default) = match find_outside(body, ":-") {
            Some(at) => (body.get(..at).unwrap_or_default(), body.get(at + 2..)),
            None => (body, None),
        };
        let name = self.expand(name, origin, nesting)?.text;
        if !is_variable_name(&name) {
            return Err(format!(
                "`{name}` is not a name of an environment variable; use letters, digits and `_`, or write `$$` for a `$`"
            ));
        }
        let value = (self.env)(&name);
        match (value, default) {
            // As in a shell, `:-` also stands in for a variable that is set to nothing.
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(self.expand(default, origin, nesting)?.text),
            (None, None) => {
                let message = format!("environment variable `{name}` is not set; it counts as empty");
                let path = join_path("", &self.steps);
                self.report.warnings.push(ConfigWarning { origin: Some(origin.clone()), path, message });
                Ok(String::new())
            }
        }
    }
}

/// A text after expansion.
#[derive(Default)]
struct Expanded {
    text: String,
    /// The text was nothing but one expression.
    whole: bool,
    interpolated: bool,
}

/// Reads the text behind a whole expression as a list or map, if it is one.
fn structure(text: &str, origin: &Origin) -> Option<Kind> {
    let worth_it = text.starts_with(['[', '{', '-']) || text.contains(": ") || text.contains(":\n");
    if !worth_it {
        return None;
    }
    let mut node = yaml::parse(text, &Arc::clone(&origin.file), origin.layer).ok()??;
    node.relocate(origin);
    matches!(node.kind, Kind::List(_) | Kind::Map(_)).then_some(node.kind)
}

/// Splits what follows `${` at the `}` that belongs to it.
fn split_expression(body: &str) -> Result<(&str, &str), String> {
    match find_outside(body, "}") {
        Some(end) => Ok((body.get(..end).unwrap_or_default(), body.get(end + 1..).unwrap_or_default())),
        None => Err("`${` without `}`; close it, or write `$$` for a `$`".to_owned()),
    }
}

/// Finds `wanted` outside of nested expressions.
fn find_outside(body: &str, wanted: &str) -> Option<usize> {
    let mut nesting = 0_usize;
    for (at, letter) in body.char_indices() {
        let here = body.get(at..).unwrap_or_default();
        if nesting == 0 && here.starts_with(wanted) {
            return Some(at);
        }
        if here.starts_with("${") {
            nesting += 1;
        } else if letter == '}' {
            nesting = nesting.saturating_sub(1);
        }
    }
    None
}

/// Splits `env:NAME`; `NAME:-default` has no scheme, and neither has a name that is computed.
fn scheme(expression: &str) -> Option<(&str, &str)> {
    let (scheme, body) = expression.split_once(':')?;
    let is_word =
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (is_word && !body.starts_with('-')).then_some((scheme, body))
}

fn is_variable_name(name: &str) -> bool {
    let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    starts_well && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
