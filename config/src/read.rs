//! All mistakes of a section at once: report one, take the offending part out, read again.

use serde::de::DeserializeOwned;

use crate::{
    deserialize::NodeDeserializer,
    error::{ConfigError, ConfigErrors, Origin},
    node::{Kind, Node, Step, join_path, path_is_secret, shorten},
    problem::{Problem, Reason},
    section::unknown_key,
    suggest::suggest,
};

/// How many mistakes of one section are told; each costs one more reading.
const MISTAKES_MAX: usize = 100;

/// Reads `node` as `T`; `key_origin` is the place of the key above it and `path` leads to it.
pub(crate) fn read<T: DeserializeOwned>(
    node: &Node,
    key_origin: &Origin,
    path: &str,
) -> Result<T, ConfigErrors> {
    if node.is_pruned() {
        return Err(ConfigError::new(
            Some(key_origin.clone()),
            path,
            "could not be read, see the other mistakes",
        )
        .into());
    }
    let mut reader =
        Reader { tree: node.clone(), key_origin, path, errors: Vec::new(), explained: Vec::new() };
    // Every turn takes a value out, so this ends; the limit keeps a huge broken section from taking forever.
    while reader.errors.len() < MISTAKES_MAX {
        match T::deserialize(NodeDeserializer::new(&reader.tree)) {
            Ok(value) => return ConfigErrors::check(reader.errors).map(|()| value),
            Err(problem) => {
                if !reader.learn(problem) {
                    break;
                }
            }
        }
    }
    match ConfigErrors::check(reader.errors) {
        Err(errors) => Err(errors),
        Ok(()) => {
            Err(ConfigError::new(Some(key_origin.clone()), path, "the section does not fit its type").into())
        }
    }
}

struct Reader<'r> {
    tree: Node,
    key_origin: &'r Origin,
    path: &'r str,
    errors: Vec<ConfigError>,
    /// Keys whose absence is no news: they were taken out, or someone was told that this is what they meant.
    explained: Vec<(Vec<Step>, String)>,
}

impl Reader<'_> {
    /// Reports the problem, unless it follows from an earlier one, and takes its cause out of the tree.
    ///
    /// Answers whether it is worth reading again.
    fn learn(&mut self, problem: Problem) -> bool {
        let (mut steps, reason, hidden) = problem.into_parts();
        let hidden = hidden || path_is_secret(&steps);
        let node = self.tree.deepest(&steps).0;
        match reason {
            Reason::Empty { .. }
                if matches!(steps.last(), Some(Step::Key(_))) && !matches!(node.kind, Kind::Off) =>
            {
                // First the setting is off; a type that cannot be off gets its default when the key is gone.
                return self.replace(&steps, Kind::Off);
            }
            Reason::Empty { .. } if matches!(steps.last(), Some(Step::Key(_))) => {}
            Reason::Empty { expected } | Reason::Wrong { expected } => {
                if !has_pruned(node) {
                    let message = format!("expected {expected}, found {}", node.describe(hidden));
                    self.report(&steps, message);
                }
                self.explain(&steps);
            }
            Reason::MissingKey(key) => {
                let known = self.explained.iter().any(|(at, name)| *at == steps && name == key);
                if !known {
                    self.report_at_key(&steps, format!("missing `{key}`; add it"));
                }
                self.explain(&steps);
            }
            Reason::UnknownKey { key, accepted } => {
                let message = unknown_key(&key, accepted);
                let parent = steps.get(..steps.len().saturating_sub(1)).unwrap_or_default().to_vec();
                let origin = self.key_origin_of(&parent, &key);
                self.errors.push(ConfigError::new(Some(origin), join_path(self.path, &parent), message));
                if let Some(near) = suggest(&key, accepted.iter().copied()) {
                    self.explained.push((parent, near.to_owned()));
                }
            }
            Reason::UnknownName { name, accepted } => {
                self.report(&steps, unknown_name(&name, accepted, hidden));
                self.explain(&steps);
            }
            Reason::Message(message) => {
                if !has_pruned(node) {
                    self.report(&steps, message);
                }
                self.explain(&steps);
            }
        }
        // A mistake inside of what an expression or a buffered value hides is as deep as the tree goes.
        while !steps.is_empty() && self.tree.find_mut(&steps).is_none() {
            steps.pop();
        }
        self.replace(&steps, Kind::Pruned)
    }

    fn replace(&mut self, steps: &[Step], kind: Kind) -> bool {
        match self.tree.find_mut(steps) {
            Some(node) if !steps.is_empty() => {
                node.kind = kind;
                true
            }
            _ => false,
        }
    }

    fn report(&mut self, steps: &[Step], message: String) {
        let origin = if steps.is_empty() { self.key_origin } else { &self.tree.deepest(steps).0.origin };
        self.errors.push(ConfigError::new(Some(origin.clone()), join_path(self.path, steps), message));
    }

    /// Reports what concerns a whole section at its key, where people look for it.
    fn report_at_key(&mut self, steps: &[Step], message: String) {
        let origin = match steps.split_last() {
            Some((Step::Key(key), parent)) => self.key_origin_of(parent, key),
            Some((Step::Index(_), _)) => self.tree.deepest(steps).0.origin.clone(),
            None => self.key_origin.clone(),
        };
        self.errors.push(ConfigError::new(Some(origin), join_path(self.path, steps), message));
    }

    fn key_origin_of(&self, parent: &[Step], key: &str) -> Origin {
        let node = self.tree.deepest(parent).0;
        node.entry(key).map_or(&node.origin, |entry| &entry.key_origin).clone()
    }

    fn explain(&mut self, steps: &[Step]) {
        if let Some((Step::Key(key), parent)) = steps.split_last() {
            self.explained.push((parent.to_vec(), key.clone()));
        }
    }
}

/// Whether something directly inside was taken out, so that a complaint about the whole may follow from that.
fn has_pruned(node: &Node) -> bool {
    let in_list = node.elements().is_some_and(|elements| elements.iter().any(Node::is_pruned));
    in_list || node.entries().is_some_and(|entries| entries.iter().any(|entry| !entry.is_present()))
}

fn unknown_name(name: &str, accepted: &[&str], hidden: bool) -> String {
    let shown = if hidden { "***".into() } else { shorten(name) };
    match suggest(name, accepted.iter().copied()) {
        Some(near) => format!("unknown value `{shown}`; did you mean `{near}`?"),
        None => format!("unknown value `{shown}`; accepted values: {}", accepted.join(", ")),
    }
}
