//! The JSON Schema of a whole configuration file, put together from the settings types.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use watershed_pipeline::storage::StorageSettings;
use watershed_pipeline::{DeliveryOptions, Description, Registry};

use super::{Entry, entries};
use crate::telemetry::Settings;

const DEFINITIONS: &str = "$defs";
const REFERENCE: &str = "$ref";

/// The JSON Schema (draft 2020-12) of a configuration file with the components of a registry.
#[must_use]
pub fn schema(registry: &Registry) -> Value {
    let mut definitions = Map::new();
    let entries = entries(registry);
    let mut section = |kind: &str, from: &str| {
        let of_kind = entries.iter().filter(|entry| entry.kind == from);
        let patterns: Map<String, Value> =
            of_kind.map(|entry| (pattern(entry), optional(entry.schema.clone(), &mut definitions))).collect();
        (kind.to_owned(), optional_map(&patterns))
    };
    let mut properties = Map::from_iter([
        section("receivers", "receivers"),
        section("processors", "processors"),
        section("exporters", "exporters"),
        section("connectors", "processors"),
        section("extensions", "extensions"),
    ]);
    let telemetry = optional(of_type::<Settings>("service.telemetry"), &mut definitions);
    let storage = optional(of_type::<StorageSettings>("service.storage"), &mut definitions);
    properties.insert("service".into(), service(&telemetry, &storage));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "watershed",
        "description": "The configuration of watershed, in the form of the OpenTelemetry Collector.",
        "type": "object",
        "properties": properties,
        "required": ["receivers", "exporters", "service"],
        "additionalProperties": false,
        DEFINITIONS: definitions,
    })
}

/// The schema of a component's settings; for an exporter with the options that the engine adds.
pub(super) fn of_component(kind: &str, description: &Description) -> Value {
    let prefix = format!("{kind}.{}", description.type_name);
    let mut generator = generator();
    let schema = description.schema(&mut generator);
    let mut whole = inline_root(finish(schema, generator), &prefix);
    if kind == "exporters" {
        add(&mut whole, of_type::<DeliveryOptions>("engine"));
    }
    whole
}

fn of_type<T: JsonSchema>(prefix: &str) -> Value {
    let mut generator = generator();
    let schema = generator.subschema_for::<T>();
    inline_root(finish(schema, generator), prefix)
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

fn finish(schema: Schema, mut generator: SchemaGenerator) -> Value {
    let mut schema: Value = schema.into();
    if let Some(object) = schema.as_object_mut() {
        object.insert(DEFINITIONS.into(), Value::Object(generator.take_definitions(true)));
    }
    schema
}

/// Puts the definition that the whole schema refers to in its place, and gives the others names of their own,
/// because every component's settings type is called `Config`.
fn inline_root(mut schema: Value, prefix: &str) -> Value {
    let definitions = schema.get_mut(DEFINITIONS).map(Value::take).unwrap_or_default();
    let Value::Object(mut definitions) = definitions else { return schema };
    let name =
        schema.get(REFERENCE).and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next());
    let root = name.map(str::to_owned).and_then(|name| definitions.remove(&name));
    let mut root = root.unwrap_or(schema);
    rename(&mut root, prefix);
    let renamed: Map<String, Value> = definitions
        .into_iter()
        .map(|(name, mut definition)| {
            rename(&mut definition, prefix);
            (format!("{prefix}.{name}"), definition)
        })
        .collect();
    if let Some(object) = root.as_object_mut() {
        object.insert(DEFINITIONS.into(), Value::Object(renamed));
    }
    root
}

fn rename(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                match value.as_str().and_then(|text| text.strip_prefix("#/$defs/")) {
                    Some(name) if key == REFERENCE => *value = format!("#/$defs/{prefix}.{name}").into(),
                    _ => rename(value, prefix),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, prefix)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Adds the properties and definitions of one object schema to another.
fn add(schema: &mut Value, mut other: Value) {
    let Some(object) = schema.as_object_mut() else { return };
    for key in ["properties", DEFINITIONS] {
        let Some(Value::Object(added)) = other.get_mut(key).map(Value::take) else { continue };
        let present = object.entry(key).or_insert_with(|| Value::Object(Map::new()));
        if let Some(present) = present.as_object_mut() {
            present.extend(added);
        }
    }
}

/// Moves the definitions of a schema to those of the whole, and lets the key stand alone.
fn optional(mut schema: Value, definitions: &mut Map<String, Value>) -> Value {
    if let Some(Value::Object(own)) = schema.as_object_mut().and_then(|object| object.remove(DEFINITIONS)) {
        definitions.extend(own);
    }
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn optional_map(patterns: &Map<String, Value>) -> Value {
    json!({"type": ["object", "null"], "patternProperties": patterns, "additionalProperties": false})
}

fn pattern(entry: &Entry) -> String {
    let names: Vec<&str> = std::iter::once(entry.type_name).chain(entry.aliases.iter().copied()).collect();
    match names.as_slice() {
        [name] => format!("^{name}(/.+)?$"),
        names => format!("^({})(/.+)?$", names.join("|")),
    }
}

fn service(telemetry: &Value, storage: &Value) -> Value {
    let ids = |description: &str| json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true, "description": description});
    let needed = |description: &str| {
        let mut list = ids(description);
        if let Some(object) = list.as_object_mut() {
            object.insert("minItems".into(), 1.into());
        }
        list
    };
    let pipeline = json!({
        "type": "object",
        "properties": {
            "receivers": needed("Where data comes in; a processor or connector here means what it derives."),
            "processors": ids("What happens to it, in this order."),
            "exporters": needed("Where it goes."),
        },
        "required": ["receivers", "exporters"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {
            "extensions": ids("The extensions to switch on."),
            "storage": storage,
            "telemetry": telemetry,
            "pipelines": {
                "type": "object",
                "patternProperties": {"^(logs|traces|metrics)(/.+)?$": pipeline},
                "additionalProperties": false,
                "minProperties": 1,
            },
        },
        "required": ["pipelines"],
        "additionalProperties": false,
    })
}
