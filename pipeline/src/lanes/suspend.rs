//! Handing over what processors hold at a stop, and taking it up at the next start.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::{Flow, Loads, Pipeline, Segment, Stage, Sweep, deadline, run_stages, sweep_lane};
use crate::batch::Batch;
use crate::component::Suspended;
use crate::vault::Vault;

/// What the processors of a segment handed over, by their ids.
type Kept = BTreeMap<Arc<str>, Suspended>;

impl Pipeline {
    /// As [`Self::sweep`] with [`Sweep::Drain`], except that processors hand over what they can go on with after the
    /// next start. It is on disk when this returns; what can't be written is given back and drained. Blocks on the disk.
    pub(crate) fn suspend(&self, vault: &Vault, now: Instant, loads: &mut Loads) {
        self.alarm.clear();
        for (index, segment) in self.segments.iter().enumerate() {
            let mut flow = Flow::default();
            let mut kept = Kept::new();
            segment.sweep_all(now, &mut flow, |stage| {
                let mut own = Suspended::default();
                stage.suspend(&mut own);
                if !own.is_empty() {
                    let all = kept.entry(Arc::clone(stage.id())).or_default();
                    all.memory.append(&mut own.memory);
                    all.batches.append(&mut own.batches);
                }
            });
            for (processor, suspended) in kept {
                let Err(error) = self.write(vault, &processor, &suspended) else { continue };
                let pipeline = &self.name;
                tracing::error!(%error, pipeline, %processor, "could not keep what is held for the next start");
                for batch in suspended.into_batches() {
                    segment.process_again(&processor, batch, now, &mut flow);
                }
                segment.sweep_all(now, &mut flow, |_| ());
            }
            self.follow(index, flow, now, loads);
        }
    }

    fn write(&self, vault: &Vault, processor: &str, suspended: &Suspended) -> io::Result<()> {
        vault.write(&self.name, processor, suspended)?;
        let (pipeline, items) = (&self.name, suspended.items());
        tracing::info!(
            pipeline,
            processor,
            items,
            "what is held is on disk and goes on after the next start"
        );
        Ok(())
    }

    /// Whether the pipeline has a processor with this id.
    pub(crate) fn has_processor(&self, id: &str) -> bool {
        self.segments.iter().any(|segment| segment.position(id).is_some())
    }

    /// Gives a processor's instances what they remembered before the stop.
    pub(crate) fn resume(&self, processor: &str, memory: &[u8]) {
        for segment in &self.segments {
            let Some(position) = segment.position(processor) else { continue };
            for lane in &segment.lanes {
                let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
                lane.get_mut(position).into_iter().for_each(|stage| stage.resume(memory));
            }
        }
    }

    /// Gives a processor a batch that it handed over at the last stop, and takes what comes out through the rest.
    pub(crate) fn process_again(&self, processor: &str, batch: Batch, now: Instant, loads: &mut Loads) {
        let found =
            self.segments.iter().enumerate().find(|(_, segment)| segment.position(processor).is_some());
        let Some((index, segment)) = found else { return };
        let mut flow = Flow::default();
        segment.process_again(processor, batch, now, &mut flow);
        for lane in &segment.lanes {
            let lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
            deadline(&lane).into_iter().for_each(|at| self.alarm.set(at));
        }
        self.follow(index, flow, now, loads);
    }
}

impl Segment {
    /// The place of a processor in each lane.
    fn position(&self, id: &str) -> Option<usize> {
        let lane = self.lanes.first()?.lock().unwrap_or_else(PoisonError::into_inner);
        lane.iter().position(|stage| **stage.id() == *id)
    }

    fn sweep_all(&self, now: Instant, flow: &mut Flow, mut before: impl FnMut(&mut Stage)) {
        for lane in &self.lanes {
            let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
            sweep_lane(&mut lane, Sweep::Drain, now, flow, &mut before);
        }
    }

    /// Takes a batch through the segment from a processor on; it goes to the lanes of its keys.
    fn process_again(&self, processor: &str, batch: Batch, now: Instant, flow: &mut Flow) {
        let Some(position) = self.position(processor) else { return };
        for (lane, part) in self.by_key(batch) {
            let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((stage, rest)) = lane.get_mut(position..).and_then(<[Stage]>::split_first_mut) else {
                continue;
            };
            let out = stage.process_again(part, now);
            stage.branch(out.derived, &mut flow.derived);
            let passed = run_stages(rest, out.passed, now, flow);
            flow.passed.extend(passed);
        }
    }
}
