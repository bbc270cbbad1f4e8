//! Takes a text apart into JSON objects, or into lines.
//!
//! JSON may be one object, several behind one another with or without white space between them, a list of objects,
//! or several lists. Read as lines, a line that is wrong does not touch the others; otherwise a mistake ends it.

use watershed_pipeline::parse::json::{self, JsonError, JsonReason};
use watershed_pipeline::parse::{Entries, Fields};

use super::content::Content;
use super::fault::Fault;
use super::records::{Position, Records};

/// One object of a body.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    /// Its keys and values.
    pub(super) entries: Entries<'a>,
    /// Where it begins.
    pub(super) spot: Spot<'a>,
}

/// A byte of a text. Its line is counted only when somebody asks for it.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Spot<'a> {
    /// This byte of the text.
    pub(super) fn new(text: &'a str, offset: usize) -> Self {
        Self { text, offset }
    }

    /// Line and byte.
    pub(super) fn position(self) -> Position {
        let before = self.text.as_bytes().get(..self.offset).unwrap_or(self.text.as_bytes());
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Position { line, offset: self.offset }
    }
}

/// What is done with an object.
pub(super) trait Take: FnMut(&mut Records<'_>, Item<'_>) -> Result<(), Fault> {}

impl<F: FnMut(&mut Records<'_>, Item<'_>) -> Result<(), Fault>> Take for F {}

/// Gives each JSON object of a text to `take`.
pub(super) fn each_object(
    text: &str,
    content: Content,
    records: &mut Records<'_>,
    mut take: impl Take,
) -> Result<(), Fault> {
    let mut fields = Fields::default();
    if content != Content::JsonLines {
        return match sequence(text, 0, text.len(), &mut fields, records, &mut take) {
            Ok(()) => Ok(()),
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Json(error)) => {
                Err(records.fault(Spot::new(text, error.offset).position(), None, &error.reason.to_string()))
            }
        };
    }
    for (start, end) in lines(text) {
        match sequence(text, start, end, &mut fields, records, &mut take) {
            Ok(()) => {}
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Json(error)) => {
                records.reject(Spot::new(text, error.offset).position(), None, &error.reason.to_string())?;
            }
        }
    }
    Ok(())
}

/// Gives each line of a text that is not empty to `take`, without the end of the line.
pub(super) fn each_line(text: &str, mut take: impl FnMut(&str) -> Result<(), Fault>) -> Result<(), Fault> {
    lines(text).try_for_each(|(start, end)| {
        let line = text.get(start..end).unwrap_or_default();
        if line.is_empty() { Ok(()) } else { take(line) }
    })
}

/// Where lines begin and end.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |whole| {
        let line = whole.strip_suffix('\n').unwrap_or(whole);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let place = (start, start + line.len());
        start += whole.len();
        place
    })
}

/// Why a sequence ended early.
enum Stop {
    Fault(Fault),
    Json(JsonError),
}

/// Reads objects and lists of objects from `start` to `end`.
fn sequence(
    text: &str,
    start: usize,
    end: usize,
    fields: &mut Fields,
    records: &mut Records<'_>,
    take: &mut impl Take,
) -> Result<(), Stop> {
    let mut at = start;
    let mut list = List::Outside;
    loop {
        at += spaces(text, at, end);
        let Some(byte) = text.as_bytes().get(at).filter(|_| at < end) else {
            let is_whole = list == List::Outside;
            return if is_whole { Ok(()) } else { Err(wrong(JsonReason::End, at)) };
        };
        (list, at) = match (list, byte) {
            (List::Outside | List::Open | List::AfterComma, b'{') => {
                let line = text.get(at..end).unwrap_or_default();
                let read = json::read_first(line, fields);
                let (entries, length) = read.map_err(|error| wrong(error.reason, at + error.offset))?;
                let item = Item { entries, spot: Spot::new(text, at) };
                take(records, item).map_err(Stop::Fault)?;
                (if list == List::Outside { list } else { List::AfterItem }, at + length)
            }
            (List::Outside, b'[') => (List::Open, at + 1),
            (List::AfterItem, b',') => (List::AfterComma, at + 1),
            (List::Open | List::AfterItem, b']') => (List::Outside, at + 1),
            (
                List::Outside | List::Open | List::AfterComma,
                b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'[',
            ) => {
                return Err(wrong(JsonReason::NotAnObject, at));
            }
            _ => return Err(wrong(JsonReason::Syntax, at)),
        };
    }
}

/// Where a sequence stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    /// In no list.
    Outside,
    /// Behind the bracket that opens one.
    Open,
    /// Behind an object of one.
    AfterItem,
    /// Behind a comma of one.
    AfterComma,
}

fn wrong(reason: JsonReason, offset: usize) -> Stop {
    Stop::Json(JsonError { reason, offset })
}

fn spaces(text: &str, start: usize, end: usize) -> usize {
    let rest = text.as_bytes().get(start..end).unwrap_or_default();
    rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}
