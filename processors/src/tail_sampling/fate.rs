//! One batch taken apart by trace, and what passes of it at once put together again.

use watershed_pipeline::{Batch, Out, Record};

use super::core::Core;
use super::policy::{Decision, TraceId};

/// What becomes of the records of one trace in one batch.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// They belong to no trace.
    Pass,
    /// They wait: copies of them are held.
    Wait,
    /// They follow a decision that was made before they came.
    Late(Decision),
    /// They follow a decision that was made now.
    Now(Decision),
}

impl Fate {
    fn keeps(self) -> bool {
        match self {
            Self::Pass => true,
            Self::Wait => false,
            Self::Late(decision) | Self::Now(decision) => decision.keep,
        }
    }

    /// The decision to be written into the records, and whether they came late.
    fn mark(self) -> Option<(Decision, bool)> {
        match self {
            Self::Pass | Self::Wait => None,
            Self::Late(decision) => Some((decision, true)),
            Self::Now(decision) => Some((decision, false)),
        }
    }
}

/// Asks for the fate of each trace's records, given with their positions in ascending order, and passes on what may
/// pass at once.
pub(super) fn divide(
    mut batch: Batch,
    core: &Core,
    out: &mut Out,
    mut decide: impl FnMut(&Batch, TraceId, &[usize], &[Record<'_>]) -> Fate,
) {
    let mut fates = vec![Fate::Pass; batch.len()];
    {
        let records: Vec<Record<'_>> = batch.records().collect();
        let mut order: Vec<(TraceId, usize)> =
            records.iter().enumerate().map(|(position, record)| (record.trace_id(), position)).collect();
        order.sort_unstable();
        let mut positions = Vec::new();
        for group in order.chunk_by(|left, right| left.0 == right.0) {
            let Some((id, _)) = group.first().filter(|(id, _)| *id != TraceId::default()) else { continue };
            positions.clear();
            positions.extend(group.iter().map(|(_, position)| *position));
            let fate = decide(&batch, *id, &positions, &records);
            for position in &positions {
                if let Some(slot) = fates.get_mut(*position) {
                    *slot = fate;
                }
            }
        }
    }
    let mut verdicts = fates.iter();
    batch.retain(|_| verdicts.next().is_none_or(|fate| fate.keeps()));
    if batch.is_empty() {
        return;
    }
    let kept: Vec<_> = fates.into_iter().filter(|fate| fate.keeps()).map(Fate::mark).collect();
    let marker = core.marker();
    if kept.iter().flatten().any(|(decision, _)| marker.leaves(*decision)) {
        marker.mark(&mut batch, |position, _| kept.get(position).copied().flatten());
    }
    out.push(batch);
}
