//! The reference of the configuration as Markdown: the page of each component, then its settings.

use serde_json::Value;
use watershed_pipeline::Registry;

use super::{Entry, entries};

/// Settings deeper than this are left to the schema.
const DEPTH_MAX: usize = 6;

const INTRODUCTION: &str = "\
# Reference of the configuration

<!-- Generated from the source files of the components by `cargo test --test docs`; do not edit. -->

Settings that are not marked as required may be left out. `watershed components TYPE` shows one of these pages.
";

/// The reference of all components of a registry.
#[must_use]
pub fn reference(registry: &Registry) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut kind = "";
    for entry in entries(registry) {
        if entry.kind != kind {
            kind = entry.kind;
            let mut letters = kind.chars();
            let first = letters.next().unwrap_or_default().to_ascii_uppercase();
            text.push_str(&format!("\n## {first}{}\n", letters.as_str()));
        }
        text.push('\n');
        text.push_str(&page(&entry));
    }
    text
}

/// The page of one component.
pub(super) fn page(entry: &Entry) -> String {
    let singular = entry.kind.trim_end_matches('s');
    let mut text = format!("### {} ({singular})\n\n", entry.type_name);
    if !entry.aliases.is_empty() {
        text.push_str(&format!("Also called {}.\n\n", quoted(entry.aliases.iter().copied())));
    }
    text.push_str(&entry.description.page());
    let mut lines = Vec::new();
    settings(&entry.schema, &entry.schema, "", &mut Vec::new(), &mut lines);
    if lines.is_empty() {
        text.push_str("\nThere is nothing to set.\n");
    } else {
        text.push_str("\nSettings:\n\n");
        text.extend(lines);
    }
    text
}

/// Lists the settings of an object schema, and those below them with their path; `above` are the schemas that it is
/// part of. One that is part of itself is listed once.
fn settings<'s>(
    schema: &'s Value,
    root: &'s Value,
    path: &str,
    above: &mut Vec<(&'s Value, String)>,
    lines: &mut Vec<String>,
) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (key, property) in properties {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let (target, is_list) = target(property, root);
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = required.is_some_and(|keys| keys.iter().any(|required| required == key));
        let same = above.iter().find(|(schema, _)| std::ptr::eq(*schema, target));
        let same = same.map_or_else(String::new, |(_, known)| format!(" Settings as of `{known}`."));
        lines.push(line(&path, property, target, is_required).trim_end().to_owned() + &same + "\n");
        if above.len() < DEPTH_MAX && same.is_empty() {
            let below = if is_list { format!("{path}[]") } else { path };
            above.push((target, below.clone()));
            settings(target, root, &below, above, lines);
            above.pop();
        }
    }
}

fn line(path: &str, property: &Value, target: &Value, is_required: bool) -> String {
    let description = |schema: &Value| schema.get("description").and_then(Value::as_str).map(str::to_owned);
    let text = description(property).or_else(|| description(target)).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let values = names(target);
    let values =
        if values.is_empty() { String::new() } else { format!(" One of {}.", quoted(values.into_iter())) };
    let required = if is_required { " (required)" } else { "" };
    format!("- `{path}`{required}: {text}{values}\n")
}

/// The schema that a property leads to, through references, options and lists, and whether a list was among them.
fn target<'s>(schema: &'s Value, root: &'s Value) -> (&'s Value, bool) {
    let mut schema = schema;
    let mut is_list = false;
    // Each step goes deeper into a schema of finite depth; the limit is for a schema that refers to itself.
    for _ in 0..DEPTH_MAX {
        let reference =
            schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix("#/$defs/"));
        let options = schema.get("anyOf").and_then(Value::as_array);
        let next = match (reference, options, schema.get("items")) {
            (Some(name), ..) => root.get("$defs").and_then(|definitions| definitions.get(name)),
            (_, Some(options), _) => options.iter().find(|option| option.get("type") != Some(&"null".into())),
            (.., Some(items)) => {
                is_list = true;
                Some(items)
            }
            _ => None,
        };
        match next {
            Some(next) => schema = next,
            None => break,
        }
    }
    (schema, is_list)
}

/// The values that a setting may have when they are few and have names.
fn names(schema: &Value) -> Vec<&str> {
    let list = |key: &str| schema.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let listed = list("enum").iter().filter_map(Value::as_str);
    let constant = schema.get("const").and_then(Value::as_str);
    listed.chain(constant).chain(list("oneOf").iter().flat_map(names)).collect()
}

fn quoted<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names
        .map(|name| if name.is_empty() { "`\"\"`".to_owned() } else { format!("`{name}`") })
        .collect::<Vec<_>>()
        .join(", ")
}
