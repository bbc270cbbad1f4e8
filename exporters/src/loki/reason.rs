//! Why a record did not reach Loki, and what was cut from those that did: closed sets, counted by the exporter.

use watershed_pipeline::{Context, Counter, Unit};

/// Why a record was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Older than Loki takes.
    TooOld,
    /// Further in the future than Loki takes.
    TooNew,
    /// The line is too long, and `oversize` is `drop`.
    LineTooLong,
    /// There is too much metadata, and `oversize` is `drop`.
    MetadataTooLarge,
    /// The tenant attribute holds something that is no tenant.
    InvalidTenant,
    /// Too large for Loki even alone.
    TooLarge,
    /// Loki said that the record or its stream breaks a rule.
    Refused,
    /// Loki's operator has blocked the tenant.
    Blocked,
    /// Nothing names a tenant, and Loki wants one.
    NoTenant,
}

/// What was cut from a record that went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The end of a line.
    Line,
    /// The end of a label's value.
    Label,
    /// A pair of metadata.
    Metadata,
    /// The record's labels: its tenant had no stream left, so it went to the overflow stream.
    Stream,
}

impl Reason {
    const ALL: [(Self, &'static str); 9] = [
        (Self::TooOld, "too_old"),
        (Self::TooNew, "too_new"),
        (Self::LineTooLong, "line_too_long"),
        (Self::MetadataTooLarge, "metadata_too_large"),
        (Self::InvalidTenant, "invalid_tenant"),
        (Self::TooLarge, "too_large"),
        (Self::Refused, "refused"),
        (Self::Blocked, "blocked"),
        (Self::NoTenant, "no_tenant"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(reason, _)| *reason == self).map_or("", |(_, name)| name)
    }
}

impl Cut {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Line, "line"),
        (Self::Label, "label"),
        (Self::Metadata, "metadata"),
        (Self::Stream, "stream_overflow"),
    ];
}

/// What one attempt dropped and cut. It is counted only when the attempt is the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    dropped: [usize; Reason::ALL.len()],
    cut: [usize; Cut::ALL.len()],
}

impl Tally {
    /// Notes dropped records.
    pub(super) fn drop(&mut self, reason: Reason, records: usize) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += records;
        }
    }

    /// Notes what was cut.
    pub(super) fn cut(&mut self, what: Cut, count: usize) {
        if let Some(sum) = self.cut.get_mut(what as usize) {
            *sum += count;
        }
    }

    /// Dropped records for all reasons.
    pub(super) fn dropped(&self) -> usize {
        self.dropped.iter().sum()
    }

    /// The reasons with their counts, such as `3 too_old, 1 refused`.
    pub(super) fn words(&self) -> String {
        let counted = Reason::ALL.iter().zip(self.dropped).filter(|(_, count)| *count > 0);
        let words: Vec<String> =
            counted.map(|((reason, _), count)| format!("{count} {}", reason.name())).collect();
        words.join(", ")
    }
}

/// The counters of one exporter.
pub(super) struct Counters {
    dropped: [Counter; Reason::ALL.len()],
    cut: [Counter; Cut::ALL.len()],
}

impl Counters {
    /// Registers a counter for each reason.
    pub(super) fn new(cx: &Context) -> Self {
        let dropped = "Records that Loki does not take, by reason.";
        let cut = "What was cut from records so that Loki takes them, by what it is.";
        Self {
            dropped: Reason::ALL.map(|(_, name)| {
                cx.labelled_counter("loki_dropped_log_records", Unit::Items, dropped, &[("reason", name)])
            }),
            cut: Cut::ALL.map(|(_, name)| {
                cx.labelled_counter("loki_cut_values", Unit::Values, cut, &[("what", name)])
            }),
        }
    }

    /// Counts what the last attempt of a batch dropped and cut.
    pub(super) fn add(&self, tally: &Tally) {
        let dropped = self.dropped.iter().zip(tally.dropped);
        let cut = self.cut.iter().zip(tally.cut);
        for (counter, count) in dropped.chain(cut).filter(|(_, count)| *count > 0) {
            counter.add(count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place() {
        for (place, (reason, name)) in Reason::ALL.into_iter().enumerate() {
            assert_eq!((reason as usize, reason.name()), (place, name));
        }
        for (place, (what, _)) in Cut::ALL.into_iter().enumerate() {
            assert_eq!(what as usize, place);
        }
    }

    #[test]
    fn a_tally_is_told_in_words() {
        let mut tally = Tally::default();
        tally.drop(Reason::TooOld, 3);
        tally.drop(Reason::Refused, 1);
        assert_eq!((tally.dropped(), tally.words().as_str()), (4, "3 too_old, 1 refused"));
    }
}
