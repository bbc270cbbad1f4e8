//! Makes a batch of log records out of one block of bytes without copying it: each body is a piece of the block.
//!
//! The block is checked once for UTF-8, and what all records have in common is written once, so that a record costs
//! its row and nothing else. For receivers that cut a stream into lines.

use std::ops::Range;

use bytes::Bytes;

use super::attributes::{Attr, AttrRange};
use super::buffer::{Buffer, Text, is_utf8};
use super::edit::{AttributesMut, RecordMut};
use super::part::{Holder, Part};
use super::rows::{LogRow, ResourceRow, Rows, ScopeRow};
use super::value::Stored;
use super::{Batch, Signal};

/// A batch of log records in the making, whose bodies are pieces of one block.
///
/// ```
/// # use watershed_pipeline::LinesBuilder;
/// let mut lines = LinesBuilder::new(bytes::Bytes::from_static(b"first\nsecond\n"), 2);
/// lines.template(|record| record.set_attribute("log.file.name", "app.log"));
/// lines.push(0..5);
/// lines.push(6..12);
/// assert_eq!(lines.build().len(), 2);
/// ```
pub struct LinesBuilder {
    part: Part,
    is_text: bool,
    row: LogRow,
    attrs: Vec<Attr>,
    replaced: u64,
}

impl LinesBuilder {
    /// Begins with a block, of which about `expected` pieces will be records.
    #[must_use]
    pub fn new(block: Bytes, expected: usize) -> Self {
        let is_text = is_utf8(&block);
        let mut part = Part::new(Signal::Logs, Buffer::new(block));
        part.resources.push(ResourceRow::default());
        part.scopes.push(ScopeRow::default());
        if let Rows::Logs(rows) = &mut part.rows {
            rows.reserve_exact(expected);
        }
        Self { part, is_text, row: LogRow::default(), attrs: Vec::new(), replaced: 0 }
    }

    /// Sets the attributes of the resource that all records come from.
    pub fn resource(&mut self, fill: impl FnOnce(&mut AttributesMut<'_>)) {
        fill(&mut AttributesMut { part: &mut self.part, holder: Holder::Resource(0) });
    }

    /// Sets what every record that is pushed from now on begins with.
    pub fn template(&mut self, fill: impl FnOnce(&mut RecordMut<'_>)) {
        let mut record = self.add(LogRow::default(), &[]);
        fill(&mut record);
        let Rows::Logs(rows) = &mut self.part.rows else { return };
        let Some(row) = rows.pop() else { return };
        let own = self.part.attrs.get(row.attrs.indices()).unwrap_or_default();
        self.attrs = own.to_vec();
        self.row = row;
        if let Rows::Logs(rows) = &self.part.rows {
            self.part.attrs.reserve_exact(rows.capacity().saturating_mul(self.attrs.len()));
        }
    }

    /// Adds a record whose body is a piece of the block, as text. Bytes that are not UTF-8 are replaced by `U+FFFD`,
    /// and the record is counted in [`Self::replaced`]. A piece that is not within the block is empty.
    pub fn push(&mut self, piece: Range<usize>) -> RecordMut<'_> {
        let place = place(&piece);
        let bytes = self.part.buffer.wire();
        let starts_whole = |at: usize| bytes.get(at).is_none_or(|byte| byte & 0xC0 != 0x80);
        let whole = self.is_text && starts_whole(piece.start) && starts_whole(piece.end);
        if whole || is_utf8(self.part.buffer.bytes(place)) {
            return self.add_body(Stored::Str(place));
        }
        self.replaced += 1;
        let text = String::from_utf8_lossy(self.part.buffer.bytes(place)).into_owned();
        self.push_text(&text)
    }

    /// Adds a record whose body is a piece of the block, as bytes.
    pub fn push_bytes(&mut self, piece: &Range<usize>) -> RecordMut<'_> {
        self.add_body(Stored::Bytes(place(piece)))
    }

    /// Adds a record whose body is a text that is not in the block.
    pub fn push_text(&mut self, text: &str) -> RecordMut<'_> {
        let place = self.part.buffer.push(text.as_bytes());
        self.add_body(Stored::Str(place))
    }

    /// Records in which bytes had to be replaced.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// The finished batch.
    #[must_use]
    pub fn build(self) -> Batch {
        Batch::from_part(self.part)
    }

    fn add_body(&mut self, body: Stored) -> RecordMut<'_> {
        let row = LogRow { body, ..self.row.clone() };
        let attrs = std::mem::take(&mut self.attrs);
        self.add(row, &attrs);
        self.attrs = attrs;
        RecordMut { row: self.part.len().saturating_sub(1), part: &mut self.part }
    }

    fn add(&mut self, row: LogRow, attrs: &[Attr]) -> RecordMut<'_> {
        let start = u32::try_from(self.part.attrs.len()).unwrap_or(u32::MAX);
        let len = u32::try_from(attrs.len()).unwrap_or_default();
        self.part.attrs.extend_from_slice(attrs);
        if let Rows::Logs(rows) = &mut self.part.rows {
            rows.push(LogRow { attrs: AttrRange { start, len }, ..row });
        }
        RecordMut { row: self.part.len().saturating_sub(1), part: &mut self.part }
    }
}

fn place(piece: &Range<usize>) -> Text {
    match (u32::try_from(piece.start), u32::try_from(piece.len())) {
        (Ok(offset), Ok(len)) => Text { offset, len },
        _ => Text::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Value;

    fn bodies(batch: &Batch) -> Vec<String> {
        batch.logs().map(|log| format!("{:?}", log.body().unwrap_or(Value::Empty))).collect()
    }

    #[test]
    fn records_share_what_the_template_says_and_can_be_changed_one_by_one() {
        let mut lines = LinesBuilder::new(Bytes::from_static(b"one\ntwo\n"), 2);
        lines.resource(|resource| resource.set_attribute("host.name", "h"));
        lines.template(|record| {
            record.set_attribute("log.file.name", "a.log");
            record.set_observed_time_unix_nano(7);
        });
        lines.push(0..3).set_attribute("log.file.name", "b.log");
        lines.push(4..7).set_attribute("n", 2);
        let batch = lines.build();
        let again = Batch::from_otlp(Signal::Logs, batch.to_otlp()).unwrap();
        for batch in [batch, again] {
            assert_eq!(bodies(&batch), ["Str(\"one\")", "Str(\"two\")"]);
            let names: Vec<_> = batch
                .records()
                .map(|log| log.attribute("log.file.name").unwrap().as_str().unwrap().to_owned())
                .collect();
            assert_eq!(names, ["b.log", "a.log"]);
            assert!(batch.logs().all(|log| log.observed_time_unix_nano() == 7));
            let resources = batch.records().map(|log| log.resource().attribute("host.name"));
            assert!(resources.into_iter().all(|host| host == Some(Value::Str("h"))));
        }
    }

    #[test]
    fn only_pieces_that_are_no_text_are_copied_and_counted() {
        let mut lines = LinesBuilder::new(Bytes::from_static(b"good\nb\xFFd\n\xC3\xA9"), 3);
        lines.push(0..4);
        lines.push(5..8);
        lines.push(9..11);
        lines.push_bytes(&(5..8));
        assert_eq!(lines.replaced(), 1);
        let expected = ["Str(\"good\")", "Str(\"b\u{FFFD}d\")", "Str(\"é\")", "Bytes([98, 255, 100])"];
        assert_eq!(bodies(&lines.build()), expected);
    }

    #[test]
    fn a_piece_that_cuts_a_character_is_replaced() {
        let mut lines = LinesBuilder::new(Bytes::from_static("né".as_bytes()), 1);
        lines.push(0..2);
        assert_eq!(lines.replaced(), 1);
        assert_eq!(bodies(&lines.build()), ["Str(\"n\u{FFFD}\")"]);
    }
}
