//! `recombine`: one record of several.

use watershed_pipeline::AnyValue;

use super::entry::Entry;
use super::expression::Expression;
use super::path::Path;

/// When a record begins or ends.
pub(super) enum Bound {
    First(Expression),
    Last(Expression),
}

pub(super) struct Recombine {
    pub(super) bound: Bound,
    pub(super) field: Path,
    pub(super) with: String,
    pub(super) keeps_oldest: bool,
    pub(super) lines_max: usize,
    pub(super) bytes_max: usize,
}

/// The lines of a record that is not complete.
#[derive(Default)]
pub(super) struct Lines {
    /// The record whose fields stay, and the text so far.
    open: Option<(Entry, String)>,
    count: usize,
}

impl Lines {
    pub(super) fn is_holding(&self) -> bool {
        self.open.is_some()
    }
}

impl Recombine {
    /// The text of a record that is to be put together with others.
    pub(super) fn text(&self, entry: &Entry) -> Option<String> {
        if let Some(AnyValue::Str(text)) = self.field.value(entry) { Some(text.clone()) } else { None }
    }

    /// Takes a record and its text; gives those that are complete with it.
    pub(super) fn take(&self, entry: Entry, text: String, lines: &mut Lines) -> Vec<Entry> {
        let mut done = Vec::new();
        let (is_first, is_last) = match &self.bound {
            Bound::First(first) => (first.holds(&entry), false),
            Bound::Last(last) => (false, last.holds(&entry)),
        };
        let is_full = lines.open.as_ref().is_some_and(|(_, before)| {
            lines.count >= self.lines_max || before.len() + text.len() + self.with.len() > self.bytes_max
        });
        if is_first || is_full {
            done.extend(self.end(lines));
        }
        lines.count += 1;
        lines.open = Some(match lines.open.take() {
            None => (entry, text),
            Some((oldest, before)) => {
                let kept = if self.keeps_oldest { oldest } else { entry };
                (kept, before + &self.with + &text)
            }
        });
        if is_last {
            done.extend(self.end(lines));
        }
        done
    }

    /// The record of the lines so far.
    pub(super) fn end(&self, lines: &mut Lines) -> Option<Entry> {
        lines.count = 0;
        let (mut entry, text) = lines.open.take()?;
        // The field was read before, so it can be set.
        let set = self.field.set(&mut entry, text.into());
        debug_assert_eq!(set, Ok(()));
        Some(entry)
    }
}
