//! The records of one request in the making, with what had to be left out.

use bytes::Bytes;
use watershed_pipeline::{AttributesMut, Batch, BatchBuilder, RecordMut, Signal};

use super::fault::{Fault, Rejection};
use super::stamp::Stamp;
use crate::server::failure::{Failure, Kind};

/// Rejected records that are told one by one. A request with more of them is refused as a whole.
const REJECTED_MAX: usize = 1000;

/// Where a record begins in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The line, the first being 1.
    pub(super) line: usize,
    /// The byte, the first being 0.
    pub(super) offset: usize,
}

/// How much a request may hold, and whether a part of it may be taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Records of one request.
    pub(super) records_max: usize,
    /// Whether the good records of a request are taken when others are wrong.
    pub(super) is_partial: bool,
}

/// The records of one request in the making.
pub(super) struct Records<'r> {
    builder: BatchBuilder,
    limits: Limits,
    stamp: &'r Stamp,
    taken: usize,
    rejected: Vec<Rejection>,
    notes: Vec<u8>,
}

impl<'r> Records<'r> {
    /// Begins with none. Texts that are set from slices of `body` are not copied.
    pub(super) fn new(body: Bytes, limits: Limits, stamp: &'r Stamp) -> Self {
        let builder = Batch::builder_over(Signal::Logs, body);
        Self { builder, limits, stamp, taken: 0, rejected: Vec::new(), notes: Vec::new() }
    }

    /// When the request came, in nanoseconds since the Unix epoch.
    pub(super) fn now(&self) -> u64 {
        self.stamp.now
    }

    /// Begins a resource; following records belong to it.
    pub(super) fn resource(&mut self, fill: impl FnOnce(&mut AttributesMut<'_>)) {
        self.builder.begin_resource(fill);
    }

    /// Adds a record.
    ///
    /// # Errors
    /// There are more than allowed.
    pub(super) fn push(&mut self, fill: impl FnOnce(&mut RecordMut<'_>)) -> Result<(), Fault> {
        self.make_room()?;
        self.taken += 1;
        self.builder.push(|log| {
            fill(log);
            self.stamp.put(log);
        });
        Ok(())
    }

    /// Remembers something about the next record for the answer, in one byte.
    pub(super) fn note(&mut self, note: u8) {
        self.notes.push(note);
    }

    /// Leaves out a record, if the others may be taken without it.
    ///
    /// # Errors
    /// They may not, or there are more than allowed.
    pub(super) fn reject(
        &mut self,
        position: Position,
        field: Option<&'static str>,
        detail: &str,
    ) -> Result<(), Fault> {
        self.make_room()?;
        let rejection = self.rejection(position, field, detail);
        if !self.limits.is_partial {
            return Err(refused(rejection));
        }
        if self.rejected.len() == REJECTED_MAX {
            let text = format!("more than {REJECTED_MAX} records are wrong; the last of them is told");
            return Err(Fault { failure: Failure::new(Kind::Invalid, text), rejected: vec![rejection] });
        }
        self.rejected.push(rejection);
        Ok(())
    }

    /// Refuses the request because of what stands at this place of it.
    pub(super) fn fault(&self, position: Position, field: Option<&'static str>, detail: &str) -> Fault {
        refused(self.rejection(position, field, detail))
    }

    fn rejection(&self, position: Position, field: Option<&'static str>, detail: &str) -> Rejection {
        let Position { line, offset } = position;
        Rejection { index: self.count(), line, offset, field, detail: detail.to_owned() }
    }

    /// Records so far, taken and rejected.
    pub(super) fn count(&self) -> usize {
        self.taken + self.rejected.len()
    }

    fn make_room(&self) -> Result<(), Fault> {
        let limit = self.limits.records_max;
        if self.count() < limit {
            return Ok(());
        }
        let text =
            format!("the request has more than {limit} records; send smaller batches or raise the limit");
        Err(Failure::new(Kind::TooManyRecords, text).into())
    }

    /// The finished batch, and what was left out.
    pub(super) fn finish(self) -> (Batch, Outcome) {
        (self.builder.build(), Outcome { taken: self.taken, rejected: self.rejected, notes: self.notes })
    }
}

fn refused(rejection: Rejection) -> Fault {
    let Rejection { index, line, offset, detail, .. } = &rejection;
    let text = format!("record {index} (line {line}, byte {offset}): {detail}");
    Fault { failure: Failure::new(Kind::Invalid, text), rejected: vec![rejection] }
}

/// What became of the records of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Records that were taken.
    pub(super) taken: usize,
    /// Records that were not, in order.
    pub(super) rejected: Vec<Rejection>,
    /// A byte for each record, if the preset wanted one.
    pub(super) notes: Vec<u8>,
}
