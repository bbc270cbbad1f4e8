//! `logproto.PushRequest` (Loki, `pkg/push/push.proto`), read where it lies.
//!
//! ```text
//! PushRequest  1 streams: Stream
//! Stream       1 labels: string   2 entries: Entry
//! Entry        1 timestamp: {1 seconds, 2 nanos}   2 line: string   3 structuredMetadata: {1 name, 2 value}
//! ```

use watershed_pipeline::Value;

use super::super::fault::Fault;
use super::super::records::{Position, Records};
use super::{PAIRS_MAX, begin, describe, labels, level, put_level};

/// Makes records of a push request.
pub(super) fn decode(message: &[u8], records: &mut Records<'_>) -> Result<(), Fault> {
    let mut request = Reader { whole: message, at: 0, end: message.len() };
    while let Some(field) = request.next().map_err(|error| error.fault(records))? {
        if let (1, Content::Bytes(stream)) = field {
            read_stream(stream, records)?;
        }
    }
    Ok(())
}

fn read_stream(stream: Reader<'_>, records: &mut Records<'_>) -> Result<(), Fault> {
    let mut text = "";
    for field in stream {
        if let (1, Content::Bytes(labels)) = field.map_err(|error| error.fault(records))? {
            text = labels.text().map_err(|error| error.fault(records))?;
        }
    }
    let Some(labels) = labels::parse(text).filter(|labels| labels.len() <= PAIRS_MAX) else {
        let position = Position { line: 1, offset: stream.at };
        return Err(records.fault(
            position,
            Some("labels"),
            "labels are not as `{name=\"value\"}`, or more than 256",
        ));
    };
    let pairs = || labels.iter().map(|(name, value)| (*name, value.as_str()));
    begin(pairs(), records);
    let level = level(pairs());
    for field in stream {
        if let (2, Content::Bytes(entry)) = field.map_err(|error| error.fault(records))? {
            let entry = Entry::read(entry).map_err(|error| error.fault(records))?;
            if entry.metadata.len() > PAIRS_MAX {
                let position = Position { line: 1, offset: stream.at };
                records.reject(position, None, "a line has more than 256 pairs of metadata")?;
                continue;
            }
            records.push(|log| {
                log.set_time_unix_nano(entry.time);
                log.set_body(entry.line);
                entry.metadata.iter().for_each(|(name, value)| describe(name, Value::Str(value), log));
                put_level(level, log);
            })?;
        }
    }
    Ok(())
}

/// One line with what belongs to it.
#[derive(Default)]
struct Entry<'a> {
    time: u64,
    line: &'a str,
    metadata: Vec<(&'a str, &'a str)>,
}

impl<'a> Entry<'a> {
    fn read(message: Reader<'a>) -> Result<Self, Broken> {
        let mut entry = Self::default();
        for field in message {
            match field? {
                (1, Content::Bytes(time)) => entry.time = timestamp(time)?,
                (2, Content::Bytes(line)) => entry.line = line.text()?,
                (3, Content::Bytes(pair)) => {
                    let mut texts = ("", "");
                    for field in pair {
                        match field? {
                            (1, Content::Bytes(name)) => texts.0 = name.text()?,
                            (2, Content::Bytes(value)) => texts.1 = value.text()?,
                            _ => {}
                        }
                    }
                    entry.metadata.push(texts);
                }
                _ => {}
            }
        }
        Ok(entry)
    }
}

/// `google.protobuf.Timestamp` in nanoseconds since the Unix epoch; 0 for times before it.
fn timestamp(message: Reader<'_>) -> Result<u64, Broken> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in message {
        match field? {
            (1, Content::Number(number)) => seconds = i64::try_from(number).unwrap_or(0),
            (2, Content::Number(number)) => nanos = number,
            _ => {}
        }
    }
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// The message is not protobuf from this byte on.
#[derive(Clone, Copy, Debug)]
struct Broken(usize);

impl Broken {
    fn fault(self, records: &Records<'_>) -> Fault {
        records.fault(Position { line: 1, offset: self.0 }, None, "the message is no push request")
    }
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Content<'a> {
    Number(u64),
    Bytes(Reader<'a>),
    Other,
}

/// A message within a message; reads its fields one by one.
#[derive(Clone, Copy)]
struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(u64, Content<'a>)>, Broken> {
        if self.at >= self.end {
            return Ok(None);
        }
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Number(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Broken(self.at))?;
                let start = self.at;
                self.skip(length)?;
                Content::Bytes(Self { whole: self.whole, at: start, end: self.at })
            }
            5 => self.skip(4)?,
            _ => return Err(Broken(self.at)),
        };
        Ok(Some((tag >> 3, content)))
    }

    fn skip(&mut self, length: usize) -> Result<Content<'a>, Broken> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.end).ok_or(Broken(self.at))?;
        self.at = end;
        Ok(Content::Other)
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.whole.get(self.at).filter(|_| self.at < self.end).ok_or(Broken(self.at))?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Broken(self.at))
    }

    fn text(self) -> Result<&'a str, Broken> {
        let bytes = self.whole.get(self.at..self.end).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|error| Broken(self.at + error.valid_up_to()))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u64, Content<'a>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = Reader::next(self).transpose();
        if matches!(next, Some(Err(_))) {
            self.at = self.end;
        }
        next
    }
}
