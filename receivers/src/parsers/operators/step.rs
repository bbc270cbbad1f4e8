//! What one operator does to one record.

use watershed_pipeline::AnyValue;
use watershed_pipeline::parse::Fields;

use super::entry::Entry;
use super::expression::Expression;
use super::parse::TextParser;
use super::path::{Path, Root};
use super::recombine::{Lines, Recombine};
use super::refine::Refinement;
use crate::parsers::container::{Partial, Runtime};

/// The most entries that `flatten` raises, and attributes that `container` sets.
const ENTRIES_MAX: usize = 1024;

pub(super) enum Step {
    Noop,
    Parse {
        parser: TextParser,
        from: Path,
        to: Path,
        then: Refinement,
    },
    Refine(Refinement),
    Container {
        runtime: Option<Runtime>,
        names_pod: bool,
    },
    Move(Path, Path),
    Copy(Path, Path),
    Add(Path, Expression),
    Remove(Path),
    Retain(Vec<Path>),
    Flatten(Path),
    Filter(Expression),
    /// Expressions and the operators they lead to.
    Router(Vec<(Expression, usize)>, Option<usize>),
    Recombine(Recombine),
}

/// What a step keeps between records of one source.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) partial: Partial,
    pub(super) lines: Lines,
}

/// What becomes of a record.
pub(super) enum Outcome {
    /// It goes on, as it is now.
    On(Entry),
    /// It goes to another operator.
    To(usize, Entry),
    /// Nothing goes on now: the record is held, or part of another.
    Held,
    /// It is dropped, as was asked for.
    Dropped,
    /// These go on in its place.
    Many(Vec<Entry>),
    /// It could not be worked on, and is as it was.
    Failed(Entry, &'static str),
}

impl Step {
    pub(super) fn run(
        &self,
        mut entry: Entry,
        observed: u64,
        fields: &mut Fields,
        kept: &mut Kept,
    ) -> Outcome {
        let done = match self {
            Self::Noop => Ok(()),
            Self::Parse { parser, from, to, then } => {
                return parse(parser, (from, to), then, entry, observed, fields);
            }
            Self::Refine(refinement) => refinement.apply(&mut entry, observed),
            Self::Container { runtime, names_pod } => {
                return container(*runtime, *names_pod, entry, fields, kept);
            }
            Self::Move(from, to) => match from.value(&entry).cloned() {
                Some(value) => {
                    let mut moved = entry.clone();
                    from.take(&mut moved);
                    match to.set(&mut moved, value) {
                        Ok(()) => return Outcome::On(moved),
                        Err(reason) => Err(reason),
                    }
                }
                None => Err("no such field"),
            },
            Self::Copy(from, to) => match from.value(&entry).cloned() {
                Some(value) => to.set(&mut entry, value),
                None => Err("no such field"),
            },
            Self::Add(field, value) => {
                let value = value.value(&entry);
                field.set(&mut entry, value)
            }
            Self::Remove(field) => field.take(&mut entry).map(drop).ok_or("no such field"),
            Self::Retain(paths) => {
                retain(&mut entry, paths);
                Ok(())
            }
            Self::Flatten(field) => flatten(&mut entry, field),
            Self::Filter(expression) if expression.holds(&entry) => return Outcome::Dropped,
            Self::Filter(_) => Ok(()),
            Self::Router(routes, default) => {
                let route = routes.iter().find(|(expression, _)| expression.holds(&entry));
                return match route.map(|(_, to)| *to).or(*default) {
                    Some(to) => Outcome::To(to, entry),
                    None => Outcome::Dropped,
                };
            }
            Self::Recombine(recombine) => {
                let Some(text) = recombine.text(&entry) else {
                    return Outcome::Failed(entry, "no text to combine");
                };
                return Outcome::Many(recombine.take(entry, text, &mut kept.lines));
            }
        };
        match done {
            Ok(()) => Outcome::On(entry),
            Err(reason) => Outcome::Failed(entry, reason),
        }
    }

    /// The record that is held back, if no more is to come.
    pub(super) fn end(&self, kept: &mut Kept, last: Option<&Entry>) -> Vec<Entry> {
        match self {
            Self::Recombine(recombine) => recombine.end(&mut kept.lines).into_iter().collect(),
            Self::Container { names_pod, .. } => {
                let Some(last) = last else { return Vec::new() };
                let whole = |(origin, text): (crate::parsers::container::Origin, String)| {
                    let mut entry = last.clone();
                    origin.piece().mark(&mut entry.time, &mut entry.attributes);
                    entry.body = text.into();
                    if *names_pod {
                        name_pod(&mut entry);
                    }
                    entry
                };
                kept.partial.take_all().into_iter().map(whole).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn parse(
    parser: &TextParser,
    (from, to): (&Path, &Path),
    then: &Refinement,
    entry: Entry,
    observed: u64,
    fields: &mut Fields,
) -> Outcome {
    let Some(AnyValue::Str(text)) = from.value(&entry) else {
        return Outcome::Failed(entry, "no text to read");
    };
    let result = match parser.parse(text, observed, fields) {
        Ok(result) => result,
        Err(reason) => return Outcome::Failed(entry, reason),
    };
    let mut parsed = entry.clone();
    if let TextParser::Syslog(protocol, zone) = parser
        && let Ok(message) = crate::parsers::syslog::parse(text, *protocol, zone, observed)
    {
        message.set_time_and_severity(
            &mut parsed.time,
            &mut parsed.severity_number,
            &mut parsed.severity_text,
        );
    }
    if let Err(reason) = to.merge(&mut parsed, result) {
        return Outcome::Failed(entry, reason);
    }
    match then.apply(&mut parsed, observed) {
        Ok(()) => Outcome::On(parsed),
        // What was read stays read; only the block failed.
        Err(reason) => Outcome::Failed(parsed, reason),
    }
}

fn container(
    runtime: Option<Runtime>,
    names_pod: bool,
    mut entry: Entry,
    fields: &mut Fields,
    kept: &mut Kept,
) -> Outcome {
    let AnyValue::Str(line) = std::mem::take(&mut entry.body) else {
        return Outcome::Failed(entry, "no text to read");
    };
    let runtime = runtime.or_else(|| Runtime::of(&line, fields));
    let split = runtime.and_then(|runtime| runtime.split(&line, fields).ok());
    let Some((piece, text)) = split else {
        entry.body = line.into();
        return Outcome::Failed(entry, "no match");
    };
    let Some(whole) = kept.partial.join(&piece, text) else { return Outcome::Held };
    piece.mark(&mut entry.time, &mut entry.attributes);
    entry.body = whole.into_owned().into();
    if names_pod {
        name_pod(&mut entry);
    }
    Outcome::On(entry)
}

/// Tells pod, namespace and container from `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log`.
fn name_pod(entry: &mut Entry) {
    let path = Path { root: Root::Attributes, keys: vec!["log.file.path".to_owned()] };
    let Some(AnyValue::Str(text)) = path.value(entry).cloned() else { return };
    let mut parts = text.rsplit('/');
    let (Some(file), Some(name), Some(pod)) = (parts.next(), parts.next(), parts.next()) else { return };
    let mut of_pod = pod.split('_');
    let (Some(namespace), Some(pod), Some(uid)) = (of_pod.next(), of_pod.next(), of_pod.next()) else {
        return;
    };
    let restarts = file.split('.').next().unwrap_or_default();
    let AnyValue::Map(resource) = &mut entry.resource else { return };
    for (key, value) in [
        ("k8s.namespace.name", namespace),
        ("k8s.pod.name", pod),
        ("k8s.pod.uid", uid),
        ("k8s.container.name", name),
        ("k8s.container.restart_count", restarts),
    ] {
        resource.push((key.to_owned(), value.into()));
    }
}

fn retain(entry: &mut Entry, paths: &[Path]) {
    for root in [Root::Body, Root::Attributes, Root::Resource] {
        let of_root = || paths.iter().filter(move |path| path.root == root);
        let is_whole = of_root().any(|path| path.keys.is_empty());
        if is_whole || of_root().next().is_none() {
            continue;
        }
        let kept: Vec<_> = of_root().filter_map(|path| Some((path, path.value(entry)?.clone()))).collect();
        *entry.root_mut(root) = AnyValue::Map(Vec::new());
        for (path, value) in kept {
            // One field may be within another, which then has it already.
            if path.value(entry).is_none() {
                let set = path.set(entry, value);
                debug_assert_eq!(set, Ok(()));
            }
        }
    }
}

fn flatten(entry: &mut Entry, field: &Path) -> Result<(), &'static str> {
    let Some((_, before)) = field.keys.split_last() else {
        return Err("only a field within another can be flattened");
    };
    match field.value(entry) {
        Some(AnyValue::Map(entries)) if entries.len() <= ENTRIES_MAX => {}
        Some(AnyValue::Map(_)) => return Err("too many keys"),
        Some(_) => return Err("not a map"),
        None => return Err("no such field"),
    }
    let Some(AnyValue::Map(entries)) = field.take(entry) else { return Err("not a map") };
    for (key, value) in entries {
        let mut keys = before.to_vec();
        keys.push(key);
        Path { root: field.root, keys }.set(entry, value)?;
    }
    Ok(())
}
