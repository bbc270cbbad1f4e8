//! `LogRecord` of opentelemetry/proto/logs/v1.

use super::{BYTES, Decoder, Reader, Result, VARINT, fields, tag};
use crate::batch::{LogRow, Rows, Stored};
use crate::otlp::nested::any_value;
use crate::otlp::wire::{FIXED32, FIXED64};

const TIME: u32 = tag(1, FIXED64);
const SEVERITY_NUMBER: u32 = tag(2, VARINT);
const SEVERITY_TEXT: u32 = tag(3, BYTES);
const BODY: u32 = tag(5, BYTES);
const ATTRIBUTES: u32 = tag(6, BYTES);
const DROPPED: u32 = tag(7, VARINT);
const FLAGS: u32 = tag(8, FIXED32);
const TRACE_ID: u32 = tag(9, BYTES);
const SPAN_ID: u32 = tag(10, BYTES);
const OBSERVED: u32 = tag(11, FIXED64);
const EVENT_NAME: u32 = tag(12, BYTES);
const KNOWN: u64 = fields(&[1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]);

impl Decoder {
    pub(super) fn log_record(&mut self, mut reader: Reader<'_>, scope: u32) -> Result<()> {
        let mut row = LogRow { scope, raw: reader.place(), body: Stored::Absent, ..LogRow::default() };
        let size = reader.rest().len();
        let previous = self.previous;
        while let Some(tag) = reader.next_tag()? {
            match tag {
                TIME => row.time = reader.fixed64()?,
                OBSERVED => row.observed_time = reader.fixed64()?,
                SEVERITY_NUMBER => row.severity_number = reader.varint()? as i32,
                SEVERITY_TEXT => row.severity_text = reader.text()?,
                BODY => row.body = any_value(reader.nested("AnyValue")?, 1)?,
                ATTRIBUTES => self.attribute(reader.nested("KeyValue")?, &mut row.attrs, previous)?,
                DROPPED => row.dropped_attributes = reader.varint()? as u32,
                FLAGS => row.flags = reader.fixed32()?,
                TRACE_ID => row.trace_id = reader.id()?,
                SPAN_ID => row.span_id = reader.id()?,
                EVENT_NAME => row.event_name = reader.text()?,
                unknown => reader.skip(unknown, KNOWN)?,
            }
        }
        self.previous = row.attrs;
        let own = row.attrs.len as usize;
        let message = self.part.buffer.wire().len();
        if let Rows::Logs(rows) = &mut self.part.rows {
            Self::expect_more(rows, &mut self.part.attrs, size, message, own);
            rows.push(row);
        }
        Ok(())
    }
}
