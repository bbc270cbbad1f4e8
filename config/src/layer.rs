//! Layers: figment decides which layer wins at each place, and the winner's [`Node`] brings its own place along.

use std::collections::{HashMap, HashSet};

use figment::{
    Error, Figment, Metadata, Profile, Provider, Source,
    value::{Dict, Map, Value},
};

use crate::{
    error::ConfigWarning,
    node::{Entry, Node, Step, join_path},
};

/// One source of settings: a file, an environment variable or a `--set` argument.
pub(crate) struct Layer {
    pub(crate) root: Node,
    /// Whether emptying a section here deserves a warning; it does in a file, where it is easily done by mistake.
    pub(crate) warns_of_wiping: bool,
}

/// A layer as figment sees it: a shape, and a number that leads back from figment's tags to the layer.
struct Shape<'l> {
    layer: &'l Layer,
    index: usize,
}

impl Provider for Shape<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.layer.root.origin.file.to_string())
            .source(Source::Custom(self.index.to_string()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(dict(&self.layer.root)))
    }
}

/// Which keys there are and which of them are maps; the values themselves stay in the tree.
fn dict(node: &Node) -> Dict {
    let shape = |entry: &Entry| match entry.value.entries() {
        Some(_) => Value::from(dict(&entry.value)),
        None => Value::from(String::new()),
    };
    node.entries().unwrap_or_default().iter().map(|entry| (entry.key.clone(), shape(entry))).collect()
}

/// Lays `layers` over each other, the last one on top. Maps merge; lists and single values replace.
///
/// Answers with nothing when there is no layer.
pub(crate) fn merge(layers: &[Layer]) -> Option<(Node, Vec<ConfigWarning>)> {
    let mut figment = Figment::new();
    for (index, layer) in layers.iter().enumerate() {
        figment = figment.merge(Shape { layer, index });
    }
    let merged = figment.data().ok()?.remove(&Profile::Default).unwrap_or_default();
    let parts: Vec<Part<'_>> =
        layers.iter().enumerate().map(|(layer, from)| Part { layer, node: &from.root }).collect();
    let root = Node::map(rebuild(&figment, &merged, &parts), layers.first()?.root.origin.clone());
    Some((root, wiped(layers)))
}

/// A map of one layer that takes part in a merged map.
struct Part<'l> {
    layer: usize,
    node: &'l Node,
}

/// Follows the merged shape and takes each value from the layer that figment tagged as its origin.
fn rebuild(figment: &Figment, merged: &Dict, parts: &[Part<'_>]) -> Vec<Entry> {
    let mut candidates: HashMap<&str, Vec<(usize, &Entry)>> = HashMap::new();
    let mut order: Vec<&str> = Vec::new();
    for part in parts {
        for entry in part.node.entries().unwrap_or_default() {
            let known = candidates.entry(&entry.key).or_default();
            if known.is_empty() {
                order.push(&entry.key);
            }
            known.push((part.layer, entry));
        }
    }
    let mut seen = HashSet::new();
    let keys = order.into_iter().filter(|key| seen.insert(*key));
    keys.filter_map(|key| rebuild_entry(figment, merged.get(key)?, candidates.get(key)?)).collect()
}

fn rebuild_entry(figment: &Figment, value: &Value, candidates: &[(usize, &Entry)]) -> Option<Entry> {
    let Some(dict) = value.as_dict() else {
        let winner: usize = figment.get_metadata(value.tag())?.source.as_ref()?.custom()?.parse().ok()?;
        return candidates.iter().find(|(layer, _)| *layer == winner).map(|(_, entry)| (*entry).clone());
    };
    // Only maps since the last value that was no map are part of the result. The first of them gives the place:
    // it is where the section was written, the others change it.
    let start =
        candidates.iter().rposition(|(_, entry)| entry.value.entries().is_none()).map_or(0, |last| last + 1);
    let maps = candidates.get(start..)?;
    let (_, first) = maps.first()?;
    let parts: Vec<Part<'_>> =
        maps.iter().map(|&(layer, entry)| Part { layer, node: &entry.value }).collect();
    let value = Node::map(rebuild(figment, dict, &parts), first.value.origin.clone());
    Some(Entry { key: first.key.clone(), key_origin: first.key_origin.clone(), value })
}

/// Warns where a key without a value empties a section of an earlier layer, as it does in the Collector.
fn wiped(layers: &[Layer]) -> Vec<ConfigWarning> {
    let mut warnings = Vec::new();
    for (index, layer) in layers.iter().enumerate().filter(|(_, layer)| layer.warns_of_wiping) {
        let below = layers.get(..index).unwrap_or_default();
        find_wiped(&layer.root, below, &mut Vec::new(), &mut warnings);
    }
    warnings
}

fn find_wiped(node: &Node, below: &[Layer], steps: &mut Vec<Step>, warnings: &mut Vec<ConfigWarning>) {
    for entry in node.entries().unwrap_or_default() {
        steps.push(Step::Key(entry.key.clone()));
        if entry.value.is_null() {
            let earlier = below.iter().rev().find_map(|layer| match layer.root.deepest(steps) {
                (node, true) => Some(node),
                _ => None,
            });
            let filled = earlier.filter(|node| node.entries().is_some_and(|entries| !entries.is_empty()));
            if let Some(filled) = filled {
                let message = format!(
                    "no value here, so the section at {} is emptied; remove the key to keep it",
                    filled.origin
                );
                let origin = Some(entry.key_origin.clone());
                warnings.push(ConfigWarning { origin, path: join_path("", steps), message });
            }
        }
        find_wiped(&entry.value, below, steps, warnings);
        steps.pop();
    }
}
