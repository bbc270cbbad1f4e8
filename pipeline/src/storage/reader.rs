//! Reads ahead from the segments, by position and in bounded pieces.

use std::io;
use std::sync::Arc;

use super::segment::{Found, Scanner};
use super::state::{Content, Cursor, Segment, Shared, Taken, Ticket};

/// After so many failures to read at one place the rest of the segment is given up.
const ATTEMPTS_MAX: u32 = 3;
/// How much is read ahead at once, unless a record is larger.
const AHEAD: u64 = 1 << 20;

/// The reading side of a store.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    open: Option<(u64, Scanner)>,
    failures: u32,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, open: None, failures: 0 }
    }

    /// Reads some records, so that they can be taken. Blocks on the disk.
    pub(crate) fn fill(&mut self) {
        while let Some(ticket) = self.returned() {
            self.read_again(ticket);
        }
        let (cursor, salt, end) = {
            let mut state = self.shared.state();
            if !state.ahead.is_empty() {
                return;
            }
            state.advance();
            let Some((cursor, Segment { salt, written, .. })) = state.unread() else { return };
            (cursor, *salt, *written)
        };
        match self.scan(cursor, salt, end) {
            Ok((records, cursor)) => {
                self.failures = 0;
                self.publish(records, cursor);
            }
            Err(error) => self.fail(cursor, end, &error),
        }
    }

    fn returned(&self) -> Option<Ticket> {
        self.shared.state().returned.pop_back()
    }

    /// Reads one record whose place is known, and puts it before all others.
    fn read_again(&self, ticket: Ticket) {
        let place = {
            let state = self.shared.state();
            state.segments.get(&ticket.segment).map(|segment| (segment.salt, segment.written))
        };
        let read = |(salt, end)| {
            let file = self.shared.disk.open(&self.shared.path(ticket.segment))?;
            match Scanner::new(file, salt, ticket.offset, end).next()? {
                Some(Found::Record(header, record, _)) if header.sequence == ticket.sequence => {
                    Ok(Some(record))
                }
                _ => Ok(None),
            }
        };
        let mut attempts = (0..ATTEMPTS_MAX).map(|_| place.map_or(Ok(None), read));
        let record = attempts.find_map(|attempt: io::Result<_>| attempt.ok()).flatten();
        let mut state = self.shared.state();
        match record {
            Some(record) => state.ahead.push_front(Taken { ticket, content: Content::Record(record) }),
            None => state.lose(ticket),
        }
    }

    /// Reads from the cursor on; says also where the cursor is then.
    fn scan(&mut self, cursor: Cursor, salt: u32, end: u64) -> io::Result<(Vec<Taken>, Cursor)> {
        let mut scanner = self.scanner(cursor, salt, end)?;
        let mut records = Vec::new();
        while scanner.offset() - cursor.offset < AHEAD {
            let offset = scanner.offset();
            match scanner.next()? {
                Some(Found::Record(header, record, _)) => {
                    let ticket = Ticket {
                        segment: cursor.segment,
                        sequence: header.sequence,
                        offset,
                        items: header.items,
                    };
                    records.push(Taken { ticket, content: Content::Record(record) });
                }
                Some(Found::Damage(from, to)) => {
                    tracing::error!(segment = cursor.segment, from, to, "a part of a queue file is damaged");
                }
                None => break,
            }
        }
        let after = Cursor { segment: cursor.segment, offset: scanner.offset() };
        // What is read and not used yet is kept; an empty scanner would keep its last piece for nothing.
        self.open = (scanner.buffered() > 0).then_some((cursor.segment, scanner));
        Ok((records, after))
    }

    fn scanner(&mut self, cursor: Cursor, salt: u32, end: u64) -> io::Result<Scanner> {
        let kept = self.open.take();
        let fits = |(segment, scanner): &(u64, Scanner)| {
            *segment == cursor.segment && scanner.offset() == cursor.offset && scanner.end() == end
        };
        match kept.filter(fits) {
            Some((_, scanner)) => Ok(scanner),
            None => {
                let file = self.shared.disk.open(&self.shared.path(cursor.segment))?;
                Ok(Scanner::new(file, salt, cursor.offset, end))
            }
        }
    }

    fn publish(&self, records: Vec<Taken>, cursor: Cursor) {
        let mut state = self.shared.state();
        for taken in records {
            if state.pass(&taken.ticket) {
                state.ahead.push_back(taken);
            }
        }
        state.cursor = cursor;
        state.advance();
    }

    fn fail(&mut self, cursor: Cursor, end: u64, error: &io::Error) {
        self.failures += 1;
        let path = self.shared.path(cursor.segment);
        if self.failures < ATTEMPTS_MAX && error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(path = %path.display(), %error, "could not read a queue file, trying again");
            return;
        }
        tracing::error!(path = %path.display(), %error, "could not read a queue file, the rest of it is given up");
        self.failures = 0;
        self.publish(Vec::new(), Cursor { segment: cursor.segment, offset: end });
    }
}
