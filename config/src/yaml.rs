//! YAML text to a [`Node`] tree that keeps places, with limits on size, depth and expansion.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use crate::{
    error::{ConfigError, Origin},
    node::{Entry, Kind, Node, Scalar},
};

/// The largest text that is read, in bytes.
pub(crate) const SIZE_MAX: usize = 16 * 1024 * 1024;
/// How many lists and maps may be inside each other.
pub(crate) const DEPTH_MAX: usize = 64;
/// How many values all aliases together may repeat.
const ALIAS_NODES_MAX: usize = 100_000;
/// How much text all aliases together may repeat, in bytes.
const ALIAS_BYTES_MAX: usize = SIZE_MAX;

/// Reads one YAML text; `file` and `layer` become part of every place.
///
/// Answers with nothing when the text holds no value, and with all mistakes that do not keep the rest from being read.
pub(crate) fn parse(text: &str, file: &Arc<str>, layer: usize) -> Result<Option<Node>, Vec<ConfigError>> {
    let builder = Builder { file: Arc::clone(file), layer, ..Builder::default() };
    if text.len() > SIZE_MAX {
        let origin = Origin::whole(Arc::clone(file), layer);
        return Err(vec![ConfigError::new(
            Some(origin),
            "",
            "larger than 16 MiB; split it into several files",
        )]);
    }
    builder.build(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Turns the stream of events into a tree, with its own stack so that deep text cannot exhaust the real one.
#[derive(Default)]
struct Builder {
    file: Arc<str>,
    layer: usize,
    stack: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Anchored>,
    alias_nodes: usize,
    alias_bytes: usize,
    documents: usize,
    errors: Vec<ConfigError>,
}

/// A list or map that is not closed yet.
struct Frame {
    anchor: usize,
    origin: Origin,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merged: Vec<Entry>, seen: HashMap<String, Origin>, key: Option<Key> },
}

struct Key {
    text: String,
    origin: Origin,
    is_merge: bool,
    is_duplicate: bool,
}

struct Anchored {
    node: Node,
    size: Size,
}

/// How much an alias repeats.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Builder {
    fn build(mut self, text: &str) -> Result<Option<Node>, Vec<ConfigError>> {
        let mut parser = Parser::new_from_str(text);
        while let Some(next) = parser.next_event() {
            let handled = match next {
                Ok((event, span)) => self.handle(event, span.start),
                Err(error) => Err(self.syntax_error(text, &error)),
            };
            if let Err(error) = handled {
                self.errors.push(error);
                break;
            }
        }
        if self.errors.is_empty() { Ok(self.root) } else { Err(self.errors) }
    }

    fn handle(&mut self, event: Event<'_>, marker: Marker) -> Result<(), ConfigError> {
        let origin = self.origin(marker);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = self.is_plain(style, tag.as_deref(), &origin)?;
                let is_merge = plain && text == "<<";
                let kind = Kind::Scalar(Scalar { text: text.into_owned(), plain, interpolated: false });
                self.finish(Node { kind, origin }, anchor, is_merge)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &origin)?;
                self.open(anchor, origin, Open::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), &origin)?;
                let (entries, merged) = (Vec::new(), Vec::new());
                self.open(anchor, origin, Open::Map { entries, merged, seen: HashMap::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, origin),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(error_at(origin, "a second YAML document; keep one document in a file"));
                }
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(&mut self, anchor: usize, origin: Origin, open: Open) -> Result<(), ConfigError> {
        self.check_depth(self.stack.len() + 1, &origin)?;
        if let Some(Frame { open: Open::Map { key: None, .. }, .. }) = self.stack.last() {
            return Err(error_at(origin, "a key is a list or map; keys are plain text"));
        }
        self.stack.push(Frame { anchor, origin, open });
        Ok(())
    }

    fn close(&mut self) -> Result<(), ConfigError> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let kind = match frame.open {
            Open::List(elements) => Kind::List(elements),
            Open::Map { mut entries, merged, mut seen, .. } => {
                // What is written out wins over what `<<` brings.
                for entry in merged {
                    if seen.insert(entry.key.clone(), entry.key_origin.clone()).is_none() {
                        entries.push(entry);
                    }
                }
                Kind::Map(entries)
            }
        };
        self.finish(Node { kind, origin: frame.origin }, frame.anchor, false)
    }

    fn alias(&mut self, anchor: usize, origin: Origin) -> Result<(), ConfigError> {
        let Some(Anchored { node, size }) = self.anchors.get(&anchor) else {
            return Err(error_at(origin, "an alias inside the value that it stands for"));
        };
        self.alias_nodes = self.alias_nodes.saturating_add(size.nodes);
        self.alias_bytes = self.alias_bytes.saturating_add(size.bytes);
        if self.alias_nodes > ALIAS_NODES_MAX || self.alias_bytes > ALIAS_BYTES_MAX {
            let message =
                format!("aliases repeat more than {ALIAS_NODES_MAX} values or 16 MiB; write fewer of them");
            return Err(error_at(origin, message));
        }
        self.check_depth(self.stack.len() + size.depth, &origin)?;
        let node = node.clone();
        self.finish(node, 0, false)
    }

    /// Puts a finished value where it belongs.
    fn finish(&mut self, node: Node, anchor: usize, is_merge: bool) -> Result<(), ConfigError> {
        if anchor != 0 {
            let size = measure(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.open {
            Open::List(elements) => elements.push(node),
            Open::Map { entries, merged, seen, key } => match key.take() {
                None => *key = Some(start_key(node, is_merge, seen, &mut self.errors)?),
                Some(key) if key.is_duplicate => {}
                Some(key) if key.is_merge => merge_key(node, merged)?,
                Some(key) => entries.push(Entry { key: key.text, key_origin: key.origin, value: node }),
            },
        }
        Ok(())
    }

    fn check_depth(&self, depth: usize, origin: &Origin) -> Result<(), ConfigError> {
        if depth <= DEPTH_MAX {
            return Ok(());
        }
        Err(error_at(origin.clone(), too_deep()))
    }

    fn check_tag(&self, tag: Option<&Tag>, origin: &Origin) -> Result<(), ConfigError> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() => {
                let message = format!("unknown tag `{tag}`; remove it");
                Err(error_at(origin.clone(), message))
            }
            _ => Ok(()),
        }
    }

    /// Whether YAML gives the scalar a type: not when it is quoted, a block, or marked `!!str`.
    fn is_plain(&self, style: ScalarStyle, tag: Option<&Tag>, origin: &Origin) -> Result<bool, ConfigError> {
        self.check_tag(tag, origin)?;
        Ok(match tag {
            Some(tag) => tag.suffix != "str",
            None => style == ScalarStyle::Plain,
        })
    }

    fn origin(&self, marker: Marker) -> Origin {
        let line = u32::try_from(marker.line()).unwrap_or(u32::MAX);
        let column = u32::try_from(marker.col() + 1).unwrap_or(u32::MAX);
        Origin { file: Arc::clone(&self.file), line: line.max(1), column, layer: self.layer }
    }

    /// Finds words for what the parser says; a tab is by far the most frequent cause, and the hardest to see.
    fn syntax_error(&self, text: &str, error: &ScanError) -> ConfigError {
        let origin = self.origin(*error.marker());
        if error.info().contains("recursion limit") {
            return error_at(origin, too_deep());
        }
        // The parser may stop at the end of the line before the one that holds the tab.
        let reach = 2 + usize::from(error.info().contains("tab"));
        let first = (origin.line as usize).saturating_sub(2);
        for (index, line) in text.lines().enumerate().skip(first).take(reach) {
            let indent = line.split(|letter| letter != ' ' && letter != '\t').next().unwrap_or_default();
            if let Some(column) = indent.find('\t') {
                let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
                let column = u32::try_from(column + 1).unwrap_or(u32::MAX);
                return error_at(Origin { line, column, ..origin }, "a tab in the indentation; use spaces");
            }
        }
        error_at(origin, format!("not valid YAML: {}", error.info()))
    }
}

fn too_deep() -> String {
    format!("more than {DEPTH_MAX} lists and maps inside each other")
}

/// Begins an entry of a map, and reports when the key is there already.
fn start_key(
    node: Node,
    is_merge: bool,
    seen: &mut HashMap<String, Origin>,
    errors: &mut Vec<ConfigError>,
) -> Result<Key, ConfigError> {
    let Kind::Scalar(Scalar { text, .. }) = node.kind else {
        return Err(error_at(node.origin, "a key is a list or map; keys are plain text"));
    };
    let first = seen.get(&text).cloned();
    let is_duplicate = first.is_some();
    match first {
        Some(first) => {
            let message = format!("duplicate key `{text}`, given first at {first}; remove one of them");
            errors.push(error_at(node.origin.clone(), message));
        }
        None => {
            seen.insert(text.clone(), node.origin.clone());
        }
    }
    Ok(Key { text, origin: node.origin, is_merge, is_duplicate })
}

/// Takes the entries of a map, or of a list of maps, behind `<<`; an earlier map wins over a later one.
fn merge_key(node: Node, merged: &mut Vec<Entry>) -> Result<(), ConfigError> {
    let mut seen: HashSet<String> = HashSet::new();
    let maps = match node.kind {
        Kind::List(elements) => elements,
        _ => vec![node],
    };
    for map in maps {
        let Kind::Map(entries) = map.kind else {
            return Err(error_at(map.origin, "`<<` takes a map or a list of maps"));
        };
        merged.extend(entries.into_iter().filter(|entry| seen.insert(entry.key.clone())));
    }
    Ok(())
}

fn measure(node: &Node) -> Size {
    let mut size = Size { nodes: 1, bytes: 0, depth: 0 };
    let mut add = |inner: Size| {
        size.nodes += inner.nodes;
        size.bytes += inner.bytes;
        size.depth = size.depth.max(inner.depth);
    };
    match &node.kind {
        Kind::Scalar(scalar) => add(Size { bytes: scalar.text.len(), ..Size::default() }),
        Kind::List(elements) => elements.iter().for_each(|element| add(measure(element))),
        Kind::Map(entries) => entries.iter().for_each(|entry| {
            add(Size { bytes: entry.key.len(), ..Size::default() });
            add(measure(&entry.value));
        }),
        Kind::Expanded(..) | Kind::Off | Kind::Pruned => {}
    }
    let is_leaf = matches!(node.kind, Kind::Scalar(_));
    Size { depth: size.depth + usize::from(!is_leaf), ..size }
}

fn error_at(origin: Origin, message: impl Into<String>) -> ConfigError {
    ConfigError::new(Some(origin), "", message)
}
