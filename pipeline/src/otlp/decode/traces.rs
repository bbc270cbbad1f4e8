//! `Span`, `Span.Event`, `Span.Link` and `Status` of opentelemetry/proto/trace/v1.

use super::{AttrRange, BYTES, Decoder, Reader, Result, VARINT, fields, tag};
use crate::batch::{EventRow, LinkRow, Rows, SpanRow};
use crate::otlp::wire::{FIXED32, FIXED64};

const TRACE_ID: u32 = tag(1, BYTES);
const SPAN_ID: u32 = tag(2, BYTES);
const TRACE_STATE: u32 = tag(3, BYTES);
const PARENT_SPAN_ID: u32 = tag(4, BYTES);
const NAME: u32 = tag(5, BYTES);
const KIND: u32 = tag(6, VARINT);
const START_TIME: u32 = tag(7, FIXED64);
const END_TIME: u32 = tag(8, FIXED64);
const ATTRIBUTES: u32 = tag(9, BYTES);
const DROPPED_ATTRIBUTES: u32 = tag(10, VARINT);
const EVENTS: u32 = tag(11, BYTES);
const DROPPED_EVENTS: u32 = tag(12, VARINT);
const LINKS: u32 = tag(13, BYTES);
const DROPPED_LINKS: u32 = tag(14, VARINT);
const STATUS: u32 = tag(15, BYTES);
const FLAGS: u32 = tag(16, FIXED32);
const KNOWN: u64 = fields(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);

const EVENT_TIME: u32 = tag(1, FIXED64);
const EVENT_NAME: u32 = tag(2, BYTES);
const EVENT_ATTRIBUTES: u32 = tag(3, BYTES);
const EVENT_DROPPED: u32 = tag(4, VARINT);

const LINK_TRACE_ID: u32 = tag(1, BYTES);
const LINK_SPAN_ID: u32 = tag(2, BYTES);
const LINK_TRACE_STATE: u32 = tag(3, BYTES);
const LINK_ATTRIBUTES: u32 = tag(4, BYTES);
const LINK_DROPPED: u32 = tag(5, VARINT);
const LINK_FLAGS: u32 = tag(6, FIXED32);

const STATUS_MESSAGE: u32 = tag(2, BYTES);
const STATUS_CODE: u32 = tag(3, VARINT);

impl Decoder {
    pub(super) fn span(&mut self, mut reader: Reader<'_>, scope: u32) -> Result<()> {
        let mut row = SpanRow { scope, raw: reader.place(), ..SpanRow::default() };
        let size = reader.rest().len();
        let previous = self.previous;
        while let Some(tag) = reader.next_tag()? {
            match tag {
                TRACE_ID => row.trace_id = reader.id()?,
                SPAN_ID => row.span_id = reader.id()?,
                TRACE_STATE => row.trace_state = reader.text()?,
                PARENT_SPAN_ID => row.parent_span_id = reader.id()?,
                NAME => row.name = reader.text()?,
                KIND => row.kind = reader.varint()? as i32,
                START_TIME => row.start_time = reader.fixed64()?,
                END_TIME => row.end_time = reader.fixed64()?,
                ATTRIBUTES => self.attribute(reader.nested("KeyValue")?, &mut row.attrs, previous)?,
                DROPPED_ATTRIBUTES => row.dropped_attributes = reader.varint()? as u32,
                EVENTS => self.event(reader.nested("Span.Event")?, &mut row.events)?,
                DROPPED_EVENTS => row.dropped_events = reader.varint()? as u32,
                LINKS => self.link(reader.nested("Span.Link")?, &mut row.links)?,
                DROPPED_LINKS => row.dropped_links = reader.varint()? as u32,
                STATUS => status(reader.nested("Status")?, &mut row)?,
                FLAGS => row.flags = reader.fixed32()?,
                unknown => reader.skip(unknown, KNOWN)?,
            }
        }
        self.previous = row.attrs;
        let own = row.attrs.len as usize;
        let message = self.part.buffer.wire().len();
        if let Rows::Spans(rows) = &mut self.part.rows {
            Self::expect_more(&mut rows.spans, &mut self.part.attrs, size, message, own);
            rows.spans.push(row);
        }
        Ok(())
    }

    fn event(&mut self, mut reader: Reader<'_>, range: &mut AttrRange) -> Result<()> {
        let mut row = EventRow { raw: reader.place(), ..EventRow::default() };
        while let Some(tag) = reader.next_tag()? {
            match tag {
                EVENT_TIME => row.time = reader.fixed64()?,
                EVENT_NAME => row.name = reader.text()?,
                EVENT_ATTRIBUTES => {
                    self.attribute(reader.nested("KeyValue")?, &mut row.attrs, AttrRange::default())?
                }
                EVENT_DROPPED => row.dropped_attributes = reader.varint()? as u32,
                unknown => reader.skip(unknown, fields(&[1, 2, 3, 4]))?,
            }
        }
        if let Rows::Spans(rows) = &mut self.part.rows {
            extend(range, rows.events.len());
            rows.events.push(row);
        }
        Ok(())
    }

    fn link(&mut self, mut reader: Reader<'_>, range: &mut AttrRange) -> Result<()> {
        let mut row = LinkRow { raw: reader.place(), ..LinkRow::default() };
        while let Some(tag) = reader.next_tag()? {
            match tag {
                LINK_TRACE_ID => row.trace_id = reader.id()?,
                LINK_SPAN_ID => row.span_id = reader.id()?,
                LINK_TRACE_STATE => row.trace_state = reader.text()?,
                LINK_ATTRIBUTES => {
                    self.attribute(reader.nested("KeyValue")?, &mut row.attrs, AttrRange::default())?
                }
                LINK_DROPPED => row.dropped_attributes = reader.varint()? as u32,
                LINK_FLAGS => row.flags = reader.fixed32()?,
                unknown => reader.skip(unknown, fields(&[1, 2, 3, 4, 5, 6]))?,
            }
        }
        if let Rows::Spans(rows) = &mut self.part.rows {
            extend(range, rows.links.len());
            rows.links.push(row);
        }
        Ok(())
    }
}

fn status(mut reader: Reader<'_>, row: &mut SpanRow) -> Result<()> {
    row.has_status = true;
    while let Some(tag) = reader.next_tag()? {
        match tag {
            STATUS_MESSAGE => row.status_message = reader.text()?,
            STATUS_CODE => row.status_code = reader.varint()? as i32,
            unknown => reader.skip(unknown, fields(&[2, 3]))?,
        }
    }
    Ok(())
}

/// Counts one more row, which will be pushed at `position`, into a range.
pub(super) fn extend(range: &mut AttrRange, position: usize) {
    if range.len == 0 {
        range.start = position as u32;
    }
    range.len += 1;
}
