//! Cuts a block into entries: lines, or what a multiline rule puts together. Nothing is copied: an entry is a range.
//!
//! Between two blocks nothing is remembered but whether the rest of an oversized entry is being skipped: what a block
//! does not finish stands at the beginning of the next one.

use std::ops::Range;

use super::encoding::Encoding;
use super::multiline::{Multiline, Rule, Within};
use super::settings::OnOversize;

/// Cuts blocks.
#[derive(Clone, Debug)]
pub(super) struct Cutter {
    pub(super) encoding: Encoding,
    pub(super) multiline: Option<Multiline>,
    /// Bytes of an entry at most.
    pub(super) max: usize,
    pub(super) on_oversize: OnOversize,
    /// Which bytes are left out before an entry and behind it.
    pub(super) trim: (&'static [u8], &'static [u8]),
}

/// What a block was cut into.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// The entries in their order, none of them empty.
    pub(super) entries: Vec<Range<usize>>,
    /// Bytes that need not be looked at again.
    pub(super) consumed: usize,
    /// Entries that were too large.
    pub(super) oversized: u64,
    /// Whether what follows belongs to an entry whose rest is left out.
    pub(super) skipping: bool,
}

/// What comes behind a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// More, now or later.
    More,
    /// Nothing: what is unfinished is an entry.
    Nothing,
}

impl Cutter {
    /// Cuts a block. `skipping` is what the cut before said.
    pub(super) fn cut(&self, block: &[u8], skipping: bool, behind: Behind) -> Cut {
        let mut cut = Cut { skipping, ..Cut::default() };
        match &self.multiline {
            None => self.lines(block, &mut cut),
            Some(multiline) => self.entries(block, multiline, behind, &mut cut),
        }
        self.rest(block, behind, &mut cut);
        cut
    }

    fn lines(&self, block: &[u8], cut: &mut Cut) {
        if cut.skipping {
            let Some((_, next)) = self.encoding.line_end(block, 0) else { return };
            (cut.skipping, cut.consumed) = (false, next);
        }
        if self.encoding.unit() == 1 {
            let start = cut.consumed;
            for at in memchr::memchr_iter(b'\n', block.get(start..).unwrap_or_default()) {
                self.push(block, cut.consumed..start + at, cut);
                cut.consumed = start + at + 1;
            }
            return;
        }
        while let Some((end, next)) = self.encoding.line_end(block, cut.consumed) {
            self.push(block, cut.consumed..end, cut);
            cut.consumed = next;
        }
    }

    fn entries(&self, block: &[u8], multiline: &Multiline, behind: Behind, cut: &mut Cut) {
        let mut entry: Option<(Range<usize>, Within)> = None;
        let mut at = 0;
        let last = (behind == Behind::Nothing).then_some((block.len(), block.len()));
        while let Some((end, next)) = self.encoding.line_end(block, at).or(last.filter(|_| at < block.len()))
        {
            let line = block.get(at..end).unwrap_or_default();
            let (text, _) = self.text(line);
            let is_new = match &multiline.rule {
                Rule::Start(pattern) => pattern.find(&text).map(|found| found.end()),
                Rule::End(_) => None,
                Rule::Traces(presets) => {
                    let goes_on = entry.as_mut().is_some_and(|(_, within)| within.continues(presets, &text));
                    (!goes_on).then_some(0)
                }
            };
            if let Some(matched) = is_new {
                let begins = entry.is_some() || !multiline.goes_on(&text);
                cut.skipping = cut.skipping && (entry.is_some() || !begins);
                self.close(block, entry.take(), at, cut);
                let start = if multiline.omit { at + matched } else { at };
                let within = match &multiline.rule {
                    Rule::Traces(presets) => Within::begin(presets, &text),
                    Rule::Start(_) | Rule::End(_) => Within::default(),
                };
                entry = Some((start..end, within));
            } else {
                entry.get_or_insert((at..end, Within::default())).0.end = end;
            }
            if let Rule::End(pattern) = &multiline.rule
                && let Some(found) = pattern.find(&text)
            {
                if let Some((range, _)) = entry.as_mut().filter(|_| multiline.omit) {
                    range.end = at + found.start();
                }
                self.close(block, entry.take(), next, cut);
            }
            at = next;
        }
        // A last entry that may go on is left for the next block.
        if behind == Behind::Nothing {
            self.close(block, entry.take(), block.len(), cut);
        }
    }

    /// Ends an entry; the next one begins at `next`.
    fn close(&self, block: &[u8], entry: Option<(Range<usize>, Within)>, next: usize, cut: &mut Cut) {
        if let Some((range, _)) = entry {
            if cut.skipping {
                cut.skipping = false;
            } else {
                self.push(block, range, cut);
            }
        }
        cut.consumed = next;
    }

    /// Deals with what is not finished: too large already, or never to be finished.
    fn rest(&self, block: &[u8], behind: Behind, cut: &mut Cut) {
        let length = block.len();
        if cut.skipping {
            cut.consumed = self.skippable(block);
            return;
        }
        while length.saturating_sub(cut.consumed) > self.max {
            let rest = block.get(cut.consumed..).unwrap_or_default();
            let head = self.encoding.floor(rest, self.max).max(1);
            self.push_whole(block, cut.consumed..cut.consumed + head, cut);
            cut.oversized += 1;
            if self.on_oversize == OnOversize::Truncate {
                cut.consumed = self.skippable(block).max(cut.consumed + head);
                cut.skipping = true;
                return;
            }
            cut.consumed += head;
        }
        if behind == Behind::Nothing && cut.consumed < length {
            self.push(block, cut.consumed..length, cut);
            cut.consumed = length;
        }
    }

    /// Bytes that can be left out while an entry's rest is: of several lines, the one that is unfinished may begin the
    /// next entry.
    fn skippable(&self, block: &[u8]) -> usize {
        let all = block.len() - block.len() % self.encoding.unit();
        if self.multiline.is_none() {
            return all;
        }
        let mut lines = None;
        while let Some((_, next)) = self.encoding.line_end(block, lines.unwrap_or_default()) {
            lines = Some(next);
        }
        lines.unwrap_or(all)
    }

    /// Adds an entry, or the pieces of one that is too large.
    fn push(&self, block: &[u8], range: Range<usize>, cut: &mut Cut) {
        if range.len() <= self.max {
            return self.push_whole(block, range, cut);
        }
        let mut start = range.start;
        while start < range.end {
            let rest = block.get(start..range.end).unwrap_or_default();
            let head = if rest.len() > self.max {
                cut.oversized += 1;
                self.encoding.floor(rest, self.max).max(1)
            } else {
                rest.len()
            };
            self.push_whole(block, start..start + head, cut);
            start += head;
            if self.on_oversize == OnOversize::Truncate {
                return;
            }
        }
    }

    fn push_whole(&self, block: &[u8], range: Range<usize>, cut: &mut Cut) {
        let range = if self.encoding.unit() == 1 { self.trimmed(block, range) } else { range };
        if !range.is_empty() {
            cut.entries.push(range);
        }
    }

    fn trimmed(&self, block: &[u8], mut range: Range<usize>) -> Range<usize> {
        let (before, behind) = self.trim;
        let is_in = |set: &[u8], at: usize| block.get(at).is_some_and(|byte| set.contains(byte));
        while range.start < range.end && is_in(before, range.start) {
            range.start += 1;
        }
        while range.start < range.end && is_in(behind, range.end - 1) {
            range.end -= 1;
        }
        range
    }

    /// A line as the rule looks at it.
    fn text<'b>(&self, line: &'b [u8]) -> (std::borrow::Cow<'b, [u8]>, bool) {
        if self.encoding.unit() == 1 {
            return (line.into(), false);
        }
        let (text, broken) = self.encoding.decode(line);
        (text.into_owned().into_bytes().into(), broken)
    }
}

#[cfg(test)]
mod tests;
