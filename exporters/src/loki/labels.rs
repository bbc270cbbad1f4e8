//! The labels of a stream: an allow-list of attributes, written as the selector that Loki parses.
//!
//! Labels make streams, and streams are what Loki pays for: only what is on the list can become one. A label's value is
//! that of the resource attribute with its name, else of the record's own; what has no value is left out. `level` is
//! computed. Each stream has at least one label, because Loki refuses one without.

use std::collections::BTreeMap;

use watershed_config::BuildError;
use watershed_pipeline::{Attributes, LogRecord, Resource, Value};

use super::limits::Limits;
use super::names::{has_name, name_of};
use super::value::{level, start, text};

/// The label that Loki itself adds where it is missing, and what it is then.
pub(super) const SERVICE_NAME: &str = "service_name";
const UNKNOWN_SERVICE: &str = "unknown_service";
/// The service of the stream for what the budget has no stream for.
const OVERFLOW_SERVICE: &str = "overflow";
/// The label with a computed value.
const LEVEL: &str = "level";

/// The allow-list, in the order of names, so that a stream is always written in the same way.
pub(super) struct LabelRules {
    labels: Vec<Label>,
    value_size_max: usize,
}

struct Label {
    name: String,
    source: Source,
}

enum Source {
    Attribute,
    Level,
    Fixed(String),
}

/// The labels of one record: one value for each rule, none where the record has nothing.
#[derive(Clone, Default)]
pub(super) struct Labels {
    values: Vec<Option<String>>,
    /// Values that were cut because Loki does not take longer ones.
    pub(super) cut: usize,
}

impl LabelRules {
    /// Reads the settings.
    ///
    /// # Errors
    /// Names the label that cannot be one.
    pub(super) fn new(
        names: &[String],
        fixed: &BTreeMap<String, String>,
        limits: &Limits,
    ) -> Result<Self, BuildError> {
        let mut labels = Vec::new();
        for key in names {
            let name = checked_name("labels", key, limits)?;
            let source = if name == LEVEL { Source::Level } else { Source::Attribute };
            labels.push(("labels", Label { name, source }));
        }
        for (key, value) in fixed {
            let name = checked_name("static_labels", key, limits)?;
            if value.is_empty() || value.len() > limits.label_value_size_max {
                let message = format!(
                    "the value of `{key}` has {} bytes; Loki takes 1 to {}",
                    value.len(),
                    limits.label_value_size_max
                );
                return Err(BuildError::at("static_labels", message));
            }
            labels.push(("static_labels", Label { name, source: Source::Fixed(value.clone()) }));
        }
        labels.sort_by(|(_, left), (_, right)| left.name.cmp(&right.name));
        let twice = labels.windows(2).find_map(|pair| match pair {
            [(_, first), (path, second)] if first.name == second.name => Some((*path, second.name.clone())),
            _ => None,
        });
        if let Some((path, name)) = twice {
            return Err(BuildError::at(path, format!("the label `{name}` is there twice; remove one")));
        }
        // Loki does not count the service's name.
        let counted = labels.iter().filter(|(_, label)| label.name != SERVICE_NAME).count();
        if counted > limits.label_count_max {
            let message = format!(
                "{counted} labels are more than the {} of `limits.label_count_max`; leave the others to metadata",
                limits.label_count_max
            );
            return Err(BuildError::at("labels", message));
        }
        let labels = labels.into_iter().map(|(_, label)| label).collect();
        Ok(Self { labels, value_size_max: limits.label_value_size_max })
    }

    /// Whether the attribute is a label, so that it need not be metadata too.
    pub(super) fn covers(&self, key: &str) -> bool {
        self.labels.iter().any(|label| matches!(label.source, Source::Attribute) && label.is_from(key))
    }

    /// The labels that a resource gives, and whether a record of it may add to them.
    pub(super) fn of_resource(&self, resource: Resource<'_>) -> Labels {
        let mut found = Labels::default();
        for label in &self.labels {
            let value = match &label.source {
                Source::Attribute => self.value(label, resource.attributes(), &mut found.cut),
                Source::Level => None,
                Source::Fixed(value) => Some(value.clone()),
            };
            found.values.push(value);
        }
        found
    }

    /// The labels of a record, if it has others than its resource.
    pub(super) fn of_record(&self, log: LogRecord<'_>, of_resource: &Labels) -> Option<Labels> {
        let mut changed: Option<Labels> = None;
        for (place, label) in self.labels.iter().enumerate() {
            if of_resource.values.get(place).is_some_and(Option::is_some) {
                continue;
            }
            let mut cut = 0;
            let value = match label.source {
                Source::Attribute => self.value(label, log.attributes(), &mut cut),
                Source::Level => level(log).map(str::to_owned),
                Source::Fixed(_) => None,
            };
            if value.is_some() {
                let labels = changed.get_or_insert_with(|| of_resource.clone());
                labels.cut += cut;
                if let Some(slot) = labels.values.get_mut(place) {
                    *slot = value;
                }
            }
        }
        changed
    }

    /// Names and values of those that the record has and that do not stand in the settings.
    pub(super) fn own<'l>(&'l self, labels: &'l Labels) -> impl Iterator<Item = (&'l str, &'l str)> {
        let both = self.labels.iter().zip(&labels.values);
        let own = both.filter(|(label, _)| !matches!(label.source, Source::Fixed(_)));
        own.filter_map(|(label, value)| Some((label.name.as_str(), value.as_deref()?)))
    }

    /// The labels as Loki reads them.
    pub(super) fn selector(&self, labels: &Labels) -> String {
        let both = self.labels.iter().zip(&labels.values);
        let mut pairs: Vec<(&str, &str)> =
            both.filter_map(|(label, value)| Some((label.name.as_str(), value.as_deref()?))).collect();
        if pairs.is_empty() {
            pairs.push((SERVICE_NAME, UNKNOWN_SERVICE));
        }
        selector_of(&pairs)
    }

    /// The stream for records whose own would be one too many.
    pub(super) fn overflow_selector(&self) -> String {
        let fixed = self.labels.iter().filter_map(|label| match &label.source {
            Source::Fixed(value) if label.name != SERVICE_NAME => Some((label.name.as_str(), value.as_str())),
            Source::Fixed(_) | Source::Attribute | Source::Level => None,
        });
        let mut pairs: Vec<(&str, &str)> = fixed.collect();
        pairs.push((SERVICE_NAME, OVERFLOW_SERVICE));
        pairs.sort_unstable();
        selector_of(&pairs)
    }

    fn value(&self, label: &Label, attributes: Attributes<'_>, cut: &mut usize) -> Option<String> {
        let (_, found) =
            attributes.iter().find(|(key, value)| label.is_from(key) && *value != Value::Empty)?;
        let whole = text(found);
        let kept = start(&whole, self.value_size_max);
        *cut += usize::from(kept.len() < whole.len());
        Some(String::from_utf8_lossy(kept).into_owned()).filter(|value| !value.is_empty())
    }
}

impl Label {
    fn is_from(&self, key: &str) -> bool {
        has_name(key, &self.name)
            // Its name until semantic conventions 1.27.
            || (key == "deployment.environment" && self.name == "deployment_environment_name")
    }
}

fn checked_name(path: &str, key: &str, limits: &Limits) -> Result<String, BuildError> {
    let name = name_of(key);
    if key.is_empty() || name.starts_with("__") {
        let message =
            format!("`{key}` cannot be a label; a name that begins with two underscores is Loki's own");
        return Err(BuildError::at(path, message));
    }
    if name.len() > limits.label_name_size_max {
        let message =
            format!("`{key}` is longer than the {} bytes that Loki takes", limits.label_name_size_max);
        return Err(BuildError::at(path, message));
    }
    Ok(name)
}

fn selector_of(pairs: &[(&str, &str)]) -> String {
    let mut out = String::from("{");
    for (place, (name, value)) in pairs.iter().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        out.push('=');
        push_quoted(&mut out, value);
    }
    out.push('}');
    out
}

/// Appends a text in quotes as Go reads it: Rust's own escapes (`\u{7f}`) are not Go's.
fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use watershed_pipeline::{Batch, Signal};

    fn rules(names: &[&str], fixed: &[(&str, &str)]) -> Result<LabelRules, BuildError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let fixed = fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        LabelRules::new(&names, &fixed, &Limits::default())
    }

    #[track_caller]
    fn check(rules: &LabelRules, resource: &[(&str, &str)], record: &[(&str, &str)], expected: &str) {
        let batch = Batch::builder(Signal::Logs)
            .resource(|attributes| {
                resource.iter().for_each(|(key, value)| attributes.set_attribute(key, *value));
            })
            .record(|log| {
                log.set_severity_number(17);
                record.iter().for_each(|(key, value)| log.set_attribute(key, *value));
            })
            .build();
        let log = batch.logs().next().unwrap();
        let of_resource = rules.of_resource(log.resource());
        let labels = rules.of_record(log, &of_resource).unwrap_or(of_resource);
        assert_eq!(rules.selector(&labels), expected);
    }

    #[test]
    fn only_what_is_on_the_list_becomes_a_label() {
        let rules =
            rules(&["service.name", "deployment_environment_name", "region"], &[("zone", "a")]).unwrap();
        let resource = [("service.name", "shop"), ("deployment.environment", "prod"), ("host.name", "h1")];
        check(
            &rules,
            &resource,
            &[("region", "eu"), ("service.name", "other"), ("user.id", "7")],
            r#"{deployment_environment_name="prod", region="eu", service_name="shop", zone="a"}"#,
        );
        check(&rules, &[], &[], r#"{zone="a"}"#);
    }

    #[test]
    fn a_stream_has_at_least_one_label() {
        check(&rules(&["service_name"], &[]).unwrap(), &[], &[], r#"{service_name="unknown_service"}"#);
    }

    #[test]
    fn the_level_is_computed() {
        check(&rules(&["level"], &[]).unwrap(), &[], &[("level", "x")], r#"{level="error"}"#);
    }

    #[test]
    fn values_are_quoted_as_go_reads_them() {
        check(
            &rules(&["a"], &[]).unwrap(),
            &[("a", "q\"b\\n\nt\tz\0d\x7fe\u{e9}\u{1f600}")],
            &[],
            "{a=\"q\\\"b\\\\n\\nt\\tz\\x00d\\x7fe\u{e9}\u{1f600}\"}",
        );
    }

    #[test]
    fn a_value_that_is_too_long_is_cut() {
        let long = "x".repeat(3000);
        let expected = format!("{{a=\"{}\"}}", "x".repeat(2048));
        check(&rules(&["a"], &[]).unwrap(), &[("a", &long)], &[], &expected);
    }

    #[test]
    fn labels_that_loki_would_refuse_are_named() {
        let many: Vec<String> = (0..16).map(|number| format!("a{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (names, fixed, message) in [
            (&["__name__"][..], &[][..], "labels: `__name__` cannot be a label"),
            (&["a.b", "a_b"], &[], "labels: the label `a_b` is there twice; remove one"),
            (&["a"], &[("a", "b")], "the label `a` is there twice"),
            (&[], &[("a", "")], "static_labels: the value of `a` has 0 bytes"),
            (&many, &[], "16 labels are more than the 15"),
        ] {
            let error = rules(names, fixed).err().unwrap().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
