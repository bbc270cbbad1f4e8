//! All mistakes of a section at once: report one, take the offending part out, read again.
//!
//! A setting that is missing, or was taken out although it is needed, would hide what is wrong behind it. So a value
//! that its type may like stands in for it; whatever is read with it is thrown away, since a mistake was reported.

use serde::de::DeserializeOwned;

use crate::{
    deserialize::NodeDeserializer,
    error::{ConfigError, ConfigErrors, Origin},
    node::{Entry, Kind, Node, Scalar, Step, join_path, path_is_secret, shorten},
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
    let mut reader = Reader {
        tree: node.clone(),
        key_origin,
        path,
        errors: Vec::new(),
        explained: Vec::new(),
        stand_ins: Vec::new(),
    };
    // Every turn takes a value out, so this ends; the limit keeps a huge broken section from taking forever.
    while reader.errors.len() < MISTAKES_MAX {
        match T::deserialize(NodeDeserializer::new(&reader.tree)) {
            // What is made with stand-ins is never handed out, except for a document that failed before.
            Ok(_) if reader.errors.is_empty() && !reader.stand_ins.is_empty() && !node.is_broken() => break,
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
    /// Where a value stands in for one that is missing, and how many values were tried.
    stand_ins: Vec<(Vec<Step>, usize)>,
}

impl Reader<'_> {
    /// Reports the problem, unless it follows from an earlier one, and takes its cause out of the tree.
    ///
    /// Answers whether it is worth reading again.
    fn learn(&mut self, problem: Problem) -> bool {
        let (mut steps, reason, hidden) = problem.into_parts();
        if let Some(worth_it) = self.next_stand_in(&steps, &reason) {
            return worth_it;
        }
        let hidden = hidden || path_is_secret(&steps);
        let node = self.tree.deepest(&steps).0;
        match reason {
            Reason::Empty { .. }
                if matches!(steps.last(), Some(Step::Key(_))) && !matches!(node.kind, Kind::Off) =>
            {
                // First the setting is off; a type that cannot be off gets its default when the key is gone.
                return self.replace(&steps, Kind::Off);
            }
            Reason::Empty { .. } if matches!(steps.last(), Some(Step::Key(_))) => return self.remove(&steps),
            Reason::Empty { expected } | Reason::Wrong { expected } => {
                if !self.is_affected(&steps, node) {
                    let message = format!("expected {expected}, found {}", node.describe(hidden));
                    self.report(&steps, message);
                }
                self.explain(&steps);
            }
            Reason::MissingKey(key) => {
                let was_pruned = |entry: &Entry| entry.key == key && !entry.is_present();
                let known = node.entries().is_some_and(|entries| entries.iter().any(was_pruned))
                    || self.explained.iter().any(|(at, name)| *at == steps && name == key);
                if !known {
                    self.report_at_key(&steps, format!("missing `{key}`; add it"));
                }
                return self.stand_in(steps, key);
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
                if !self.is_affected(&steps, node) {
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

    /// Puts a first value where one is missing.
    fn stand_in(&mut self, mut steps: Vec<Step>, key: &str) -> bool {
        let Some(map) = self.tree.find_mut(&steps) else { return false };
        if map.is_null() {
            map.kind = Kind::Map(Vec::new());
        }
        let origin = map.origin.clone();
        let Some(entries) = map.entries_mut() else { return self.replace(&steps, Kind::Pruned) };
        entries.retain(|entry| entry.key != key);
        let value = Node { kind: word("1"), origin: origin.clone() };
        entries.push(Entry { key: key.to_owned(), key_origin: origin, value });
        steps.push(Step::Key(key.to_owned()));
        self.stand_ins.push((steps, 0));
        true
    }

    /// When the problem is with a value that stands in, tries another one, and gives the section up after the last.
    fn next_stand_in(&mut self, steps: &[Step], reason: &Reason) -> Option<bool> {
        let (path, tried) = self.stand_ins.iter_mut().find(|(path, _)| steps.starts_with(path))?;
        let path = path.clone();
        let next = match (*tried, reason) {
            (0, Reason::UnknownName { accepted: [first, ..], .. }) => Some(word(first)),
            (0, _) => Some(word("1s")),
            (1, _) => Some(word("localhost:1")),
            (2, _) => Some(word("true")),
            (3, _) => Some(Kind::List(Vec::new())),
            (4, _) => Some(Kind::Map(Vec::new())),
            _ => None,
        };
        *tried += 1;
        Some(match next {
            Some(kind) => self.replace(&path, kind),
            None => self.replace(path.split_last()?.1, Kind::Pruned),
        })
    }

    /// Whether a complaint about `node` may follow from what was taken out of it or put into it.
    fn is_affected(&self, steps: &[Step], node: &Node) -> bool {
        let holds = |path: &Vec<Step>| path.len() > steps.len() && path.starts_with(steps);
        has_pruned(node) || self.stand_ins.iter().any(|(path, _)| holds(path))
    }

    /// Makes a key as absent as if it had never been written.
    fn remove(&mut self, steps: &[Step]) -> bool {
        let Some((Step::Key(key), parent)) = steps.split_last() else { return false };
        let Some(entries) = self.tree.find_mut(parent).and_then(Node::entries_mut) else { return false };
        entries.retain(|entry| entry.key != *key);
        true
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

/// Text that may be read as whatever it looks like.
fn word(text: &str) -> Kind {
    Kind::Scalar(Scalar { text: text.to_owned(), plain: true, interpolated: true })
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
