//! Records whose bodies are pieces of the block a batch is built over: lines cut out of a stream, without a copy.
//!
//! The block is checked once for UTF-8, and what all records have in common is written once, so that a record costs
//! its row and nothing else.

use std::ops::Range;

use super::attributes::{Attr, AttrRange};
use super::buffer::{Text, is_utf8};
use super::builder::BatchBuilder;
use super::edit::RecordMut;
use super::rows::{LogRow, Rows};
use super::value::Stored;

/// What a builder knows of the lines it makes records of.
#[derive(Default)]
pub(super) struct Lines {
    /// Whether the whole block is UTF-8, once somebody wanted to know.
    is_text: Option<bool>,
    row: LogRow,
    attrs: Vec<Attr>,
}

impl BatchBuilder {
    /// Sets what every log record that is added from now on begins with, and makes room for `expected` of them.
    /// Attributes cost a record nothing but their places; their texts are there once.
    ///
    /// ```
    /// # use watershed_pipeline::{Batch, Signal};
    /// let block = bytes::Bytes::from_static(b"first\nsecond\n");
    /// let mut builder = Batch::builder_over(Signal::Logs, block);
    /// builder.template(2, |record| record.set_attribute("log.file.name", "app.log"));
    /// builder.push_piece(0..5);
    /// builder.push_piece(6..12);
    /// assert_eq!(builder.build().len(), 2);
    /// ```
    pub fn template(&mut self, expected: usize, fill: impl FnOnce(&mut RecordMut<'_>)) {
        self.lines.row = LogRow::default();
        self.lines.attrs.clear();
        self.push(fill);
        let Rows::Logs(rows) = &mut self.part.rows else { return };
        let Some(row) = rows.pop() else { return };
        rows.reserve_exact(expected);
        self.lines.attrs = self.part.attrs.get(row.attrs.indices()).unwrap_or_default().to_vec();
        self.part.attrs.truncate(row.attrs.start as usize);
        self.part.attrs.reserve_exact(expected.saturating_mul(self.lines.attrs.len()));
        self.lines.row = row;
    }

    /// Adds a log record whose body is a piece of the block, as text; nothing for another signal. Bytes that are not
    /// UTF-8 are replaced by `U+FFFD`, and then the answer is `true`.
    pub fn push_piece(&mut self, piece: Range<usize>) -> bool {
        let place = place(&piece);
        let wire = self.part.buffer.wire();
        let is_text = *self.lines.is_text.get_or_insert_with(|| is_utf8(wire));
        let is_whole = |at: usize| wire.get(at).is_none_or(|byte| byte & 0xC0 != 0x80);
        let good = (is_text && is_whole(piece.start) && is_whole(piece.end))
            || is_utf8(self.part.buffer.bytes(place));
        let body = if good {
            place
        } else {
            let text = String::from_utf8_lossy(self.part.buffer.bytes(place)).into_owned();
            self.part.buffer.push(text.as_bytes())
        };
        self.add_log(Stored::Str(body));
        !good
    }

    /// Adds a log record whose body is a piece of the block, as bytes; nothing for another signal.
    pub fn push_piece_as_bytes(&mut self, piece: &Range<usize>) {
        self.add_log(Stored::Bytes(place(piece)));
    }

    /// Adds a row that begins like the template.
    pub(super) fn add_log(&mut self, body: Stored) {
        let scope = self.current_scope();
        let Rows::Logs(rows) = &mut self.part.rows else { return };
        let start = u32::try_from(self.part.attrs.len()).unwrap_or(u32::MAX);
        let len = u32::try_from(self.lines.attrs.len()).unwrap_or_default();
        self.part.attrs.extend_from_slice(&self.lines.attrs);
        let attrs = AttrRange { start, len };
        rows.push(LogRow { body, attrs, scope, raw: Text::NONE, ..self.lines.row });
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
    use bytes::Bytes;

    use super::super::{Batch, Signal, Value};

    fn bodies(batch: &Batch) -> Vec<String> {
        batch.logs().map(|log| format!("{:?}", log.body().unwrap_or(Value::Empty))).collect()
    }

    #[test]
    fn records_share_what_the_template_says_and_can_be_changed_one_by_one() {
        let mut lines = Batch::builder_over(Signal::Logs, Bytes::from_static(b"one\ntwo\n"));
        lines.begin_resource(|resource| resource.set_attribute("host.name", "h"));
        lines.template(3, |record| {
            record.set_attribute("log.file.name", "a.log");
            record.set_observed_time_unix_nano(7);
        });
        lines.push_piece(0..3);
        lines.push_piece(4..7);
        lines.push(|record| {
            record.set_body("three");
            record.set_attribute("log.file.name", "b.log");
        });
        let batch = lines.build();
        let again = Batch::from_otlp(Signal::Logs, batch.to_otlp()).unwrap();
        for batch in [batch, again] {
            assert_eq!(bodies(&batch), ["Str(\"one\")", "Str(\"two\")", "Str(\"three\")"]);
            let name = |log: super::super::Record<'_>| {
                log.attribute("log.file.name").unwrap().as_str().unwrap().to_owned()
            };
            assert_eq!(batch.records().map(name).collect::<Vec<_>>(), ["a.log", "a.log", "b.log"]);
            assert!(batch.logs().all(|log| log.observed_time_unix_nano() == 7));
            assert!(
                batch.records().all(|log| log.resource().attribute("host.name") == Some(Value::Str("h")))
            );
        }
    }

    #[test]
    fn only_pieces_that_are_no_text_are_copied_and_told() {
        let mut lines = Batch::builder_over(Signal::Logs, Bytes::from_static(b"good\nb\xFFd\n\xC3\xA9"));
        assert!(!lines.push_piece(0..4));
        assert!(lines.push_piece(5..8));
        assert!(!lines.push_piece(9..11));
        lines.push_piece_as_bytes(&(5..8));
        let expected = ["Str(\"good\")", "Str(\"b\u{FFFD}d\")", "Str(\"é\")", "Bytes([98, 255, 100])"];
        assert_eq!(bodies(&lines.build()), expected);
    }

    #[test]
    fn a_piece_that_cuts_a_character_is_replaced() {
        let mut lines = Batch::builder_over(Signal::Logs, Bytes::from_static("né".as_bytes()));
        assert!(lines.push_piece(0..2));
        assert_eq!(bodies(&lines.build()), ["Str(\"n\u{FFFD}\")"]);
    }
}
