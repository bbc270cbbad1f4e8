//! OTLP requests in protobuf → a part of a batch.
//!
//! One pass, no copies: rows point into the message. Attribute keys are guessed by position from the previous
//! record and mostly compared once. What the protocol does not know is passed over and kept in the raw bytes.

mod logs;
mod metrics;
mod traces;

use bytes::Bytes;

use super::nested::{key_value, short_key_value};
use super::wire::{BYTES, DecodeError, Reader, Reason, VARINT, fields, tag};
use crate::batch::{Attr, AttrRange, Buffer, KeyId, Part, ResourceRow, ScopeRow, Signal, Text, is_utf8};

type Result<T> = std::result::Result<T, DecodeError>;

/// Places are 32 bits wide, and what processors write comes on top of the message.
const MESSAGE_MAX: usize = 1 << 30;

/// A message may take this many times its size in memory, plus [`MEMORY_FLOOR`] bytes. Records of common
/// sizes take one to two times; only made-up ones (two bytes each) come near.
const MEMORY_FACTOR: usize = 16;
const MEMORY_FLOOR: usize = 64 * 1024;

/// Decodes an `Export…ServiceRequest`.
pub(crate) fn decode(signal: Signal, message: Bytes) -> Result<Part> {
    let wire = message.clone();
    let mut reader = Reader::new(&wire, request_name(signal));
    if message.len() > MESSAGE_MAX {
        return reader.error(Reason::TooLarge);
    }
    let mut part = Part::new(signal, Buffer::new(message));
    part.pristine = true;
    let mut decoder = Decoder {
        part,
        previous: AttrRange::default(),
        memory_max: wire.len() * MEMORY_FACTOR + MEMORY_FLOOR,
    };
    while let Some(tag) = reader.next_tag()? {
        match tag {
            RESOURCE_GROUP => {
                decoder.resource_group(reader.nested("ResourceLogs, ResourceSpans or ResourceMetrics")?)?
            }
            unknown => reader.skip(unknown, fields(&[1]))?,
        }
    }
    Ok(decoder.part)
}

const fn request_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "ExportLogsServiceRequest",
        Signal::Traces => "ExportTraceServiceRequest",
        Signal::Metrics => "ExportMetricsServiceRequest",
    }
}

const RESOURCE_GROUP: u32 = tag(1, BYTES);
const RESOURCE: u32 = tag(1, BYTES);
const SCOPE_GROUP: u32 = tag(2, BYTES);
const SCOPE: u32 = tag(1, BYTES);
const ITEM: u32 = tag(2, BYTES);
const SCHEMA_URL: u32 = tag(3, BYTES);

struct Decoder {
    part: Part,
    /// The attributes of the record before, to guess keys by position.
    previous: AttrRange,
    memory_max: usize,
}

impl Decoder {
    fn resource_group(&mut self, mut reader: Reader<'_>) -> Result<()> {
        let index = self.part.resources.len();
        self.part.resources.push(ResourceRow::default());
        let mut seen = false;
        while let Some(tag) = reader.next_tag()? {
            match tag {
                RESOURCE => {
                    let mut row = self.part.resources.get(index).cloned().unwrap_or_default();
                    let content = reader.nested("Resource")?;
                    self.resource(content, &mut row)?;
                    row.raw = if seen { Text::NONE } else { content.place() };
                    seen = true;
                    self.set_resource(index, row);
                }
                SCOPE_GROUP => {
                    self.scope_group(reader.nested("ScopeLogs, ScopeSpans or ScopeMetrics")?, index)?
                }
                SCHEMA_URL => {
                    let schema_url = reader.text()?;
                    let row = self.part.resources.get(index).cloned().unwrap_or_default();
                    self.set_resource(index, ResourceRow { schema_url, ..row });
                }
                unknown => reader.skip(unknown, fields(&[1, 2, 3]))?,
            }
        }
        Ok(())
    }

    fn set_resource(&mut self, index: usize, row: ResourceRow) {
        if let Some(slot) = self.part.resources.get_mut(index) {
            *slot = row;
        }
    }

    fn resource(&mut self, mut reader: Reader<'_>, row: &mut ResourceRow) -> Result<()> {
        let whole = reader.place();
        while let Some(tag) = reader.next_tag()? {
            match tag {
                RESOURCE_ATTRIBUTES => {
                    self.attribute(reader.nested("KeyValue")?, &mut row.attrs, AttrRange::default())?
                }
                RESOURCE_DROPPED => row.dropped_attributes = reader.varint()? as u32,
                RESOURCE_ENTITIES => {
                    reader.nested("EntityRef")?;
                    row.entities = whole;
                }
                unknown => reader.skip(unknown, fields(&[1, 2, 3]))?,
            }
        }
        Ok(())
    }

    fn scope_group(&mut self, mut reader: Reader<'_>, resource: usize) -> Result<()> {
        let index = self.part.scopes.len();
        let resource = u32::try_from(resource).unwrap_or(u32::MAX);
        self.part.scopes.push(ScopeRow { resource, ..ScopeRow::default() });
        let mut row = ScopeRow { resource, ..ScopeRow::default() };
        let mut seen = false;
        let scope = u32::try_from(index).unwrap_or(u32::MAX);
        while let Some(tag) = reader.next_tag()? {
            match tag {
                SCOPE => {
                    let content = reader.nested("InstrumentationScope")?;
                    self.scope(content, &mut row)?;
                    row.raw = if seen { Text::NONE } else { content.place() };
                    seen = true;
                }
                ITEM => self.item(&mut reader, scope)?,
                SCHEMA_URL => row.schema_url = reader.text()?,
                unknown => reader.skip(unknown, fields(&[1, 2, 3]))?,
            }
        }
        if let Some(slot) = self.part.scopes.get_mut(index) {
            *slot = row;
        }
        Ok(())
    }

    fn scope(&mut self, mut reader: Reader<'_>, row: &mut ScopeRow) -> Result<()> {
        while let Some(tag) = reader.next_tag()? {
            match tag {
                SCOPE_NAME => row.name = reader.text()?,
                SCOPE_VERSION => row.version = reader.text()?,
                SCOPE_ATTRIBUTES => {
                    self.attribute(reader.nested("KeyValue")?, &mut row.attrs, AttrRange::default())?
                }
                SCOPE_DROPPED => row.dropped_attributes = reader.varint()? as u32,
                unknown => reader.skip(unknown, fields(&[1, 2, 3, 4]))?,
            }
        }
        Ok(())
    }

    fn item(&mut self, reader: &mut Reader<'_>, scope: u32) -> Result<()> {
        match self.part.signal() {
            Signal::Logs => self.log_record(reader.nested("LogRecord")?, scope)?,
            Signal::Traces => self.span(reader.nested("Span")?, scope)?,
            Signal::Metrics => self.metric(reader.nested("Metric")?, scope)?,
        }
        self.check_memory(reader)
    }

    /// Refuses a message made to take much more memory than it has bytes.
    fn check_memory(&self, reader: &Reader<'_>) -> Result<()> {
        // A cheap look at lengths first: exact figures only when it could matter.
        let items = self.part.len() + self.part.scopes.len();
        if items * size_of::<crate::batch::SpanRow>() > self.memory_max
            && self.part.memory_size() > self.memory_max
        {
            return reader.error(Reason::TooLarge);
        }
        Ok(())
    }

    /// Reads one attribute into a holder's range.
    #[inline]
    fn attribute(&mut self, reader: Reader<'_>, range: &mut AttrRange, guess: AttrRange) -> Result<()> {
        let (key, value) = match short_key_value(&reader) {
            Some(short) => short,
            None => key_value(reader, 1)?,
        };
        let guess = (range.len < guess.len).then_some(guess.start + range.len);
        let key = self.intern(key, guess, &reader)?;
        let part = &mut self.part;
        if range.len == 0 {
            range.start = part.attrs.len() as u32;
        } else if range.indices().end != part.attrs.len() {
            // Another holder's attributes came between: move to the end.
            let start = part.attrs.len() as u32;
            part.attrs.extend_from_within(range.indices());
            range.start = start;
        }
        part.attrs.push(Attr { key, value });
        range.len += 1;
        Ok(())
    }

    #[inline]
    fn intern(&mut self, place: Text, guess: Option<u32>, reader: &Reader<'_>) -> Result<KeyId> {
        let Part { buffer, keys, attrs, .. } = &mut self.part;
        let key = buffer.bytes(place);
        if let Some(guess) = guess.and_then(|index| attrs.get(index as usize))
            && buffer.bytes(keys.place(guess.key)) == key
        {
            return Ok(guess.key);
        }
        if let Some(known) = keys.find(buffer, key) {
            return Ok(known);
        }
        if !is_utf8(key) {
            return reader.error(Reason::Utf8);
        }
        Ok(keys.intern(buffer, place))
    }

    /// Makes room for as many rows as the rest of the scope will hold if they are like the first.
    fn expect_more<T>(rows: &mut Vec<T>, attrs: &mut Vec<Attr>, record: usize, message: usize, own: usize) {
        if rows.is_empty() {
            let estimate = message / record.max(16) + 1;
            rows.reserve_exact(estimate);
            attrs.reserve_exact(estimate * own);
        }
    }
}

const RESOURCE_ATTRIBUTES: u32 = tag(1, BYTES);
const RESOURCE_DROPPED: u32 = tag(2, VARINT);
const RESOURCE_ENTITIES: u32 = tag(3, BYTES);
const SCOPE_NAME: u32 = tag(1, BYTES);
const SCOPE_VERSION: u32 = tag(2, BYTES);
const SCOPE_ATTRIBUTES: u32 = tag(3, BYTES);
const SCOPE_DROPPED: u32 = tag(4, VARINT);
