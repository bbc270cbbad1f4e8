//! What holds however spans come in: over lanes, pauses, lack of memory and restarts.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use watershed_pipeline::testing::Drive;
use watershed_pipeline::{Batch, Out, Processor, ProcessorConfig, State};

use super::{Config, TailSampler, Wanted, config, instances, spans};

/// One step of a run: spans that come together, a pause before them in milliseconds.
fn step() -> impl Strategy<Value = (Vec<Wanted>, u64)> {
    let span = (1_u8..12, any::<bool>(), 0_u64..600, 0_i32..3);
    (prop::collection::vec(span, 0..12), 0_u64..400)
}

/// Several lanes with one configuration, fed as the engine feeds them.
struct Lanes {
    config: Config,
    lanes: Vec<Drive<TailSampler>>,
    passed: Vec<Batch>,
}

impl Lanes {
    fn new(yaml: &str, count: usize) -> Self {
        let config = config(yaml);
        Self { lanes: instances(&config, count), config, passed: Vec::new() }
    }

    fn process(&mut self, batch: Batch) {
        let State::Keyed(hash) = self.config.state() else { panic!("not keyed") };
        let lanes = NonZeroU64::new(self.lanes.len() as u64).unwrap();
        for (lane, part) in batch.partition(self.lanes.len(), |record| (hash(&record) % lanes) as usize) {
            self.passed.extend(self.lanes[lane].process(part));
        }
    }

    fn advance(&mut self, pause: u64) {
        self.lanes.iter_mut().for_each(|lane| self.passed.extend(lane.advance(Duration::from_millis(pause))));
    }

    /// Replaces all lanes by so many others, which take up what these hand over.
    fn restart(&mut self, yaml: &str, count: usize) {
        let kept: Vec<_> = self.lanes.iter_mut().map(Drive::suspend).collect();
        let mut next = Self::new(yaml, count);
        next.lanes.iter_mut().zip(&self.lanes).for_each(|(lane, before)| lane.now = before.now);
        // A lane of its own decodes what was handed over; the lanes divide it by trace.
        let mut decoder = Drive::new(Collect::default());
        for kept in kept {
            drop(decoder.resume(kept));
        }
        let Collect { batches, memory } = decoder.processor;
        for lane in &mut next.lanes {
            memory.iter().for_each(|memory| lane.processor.resume(memory));
        }
        batches.into_iter().for_each(|batch| next.process(batch));
        next.passed.append(&mut self.passed);
        *self = next;
    }
}

/// Takes what is handed over as it is.
#[derive(Default)]
struct Collect {
    batches: Vec<Batch>,
    memory: Vec<Vec<u8>>,
}

impl Processor for Collect {
    fn process(&mut self, batch: Batch, _: Instant, _: &mut Out) {
        self.batches.push(batch);
    }

    fn resume(&mut self, memory: &[u8]) {
        self.memory.push(memory.to_vec());
    }
}

proptest! {
    #[test]
    fn property_all_spans_of_a_trace_share_their_fate_and_memory_stays_bounded(
        steps in prop::collection::vec(step(), 0..25), lanes in 1_usize..5, lanes_after in 1_usize..5,
        stop in any::<prop::sample::Index>(), memory in 1500_usize..12_000, traces in 0_usize..6,
        mode in prop::sample::select(vec!["decide_oldest", "pass", "drop"]),
    ) {
        let yaml = format!(
            "{{decision_wait: 1s, decision_wait_after_root_received: 300ms, max_memory: {memory}, num_traces: {traces},
               on_overflow: {mode}, policies: [
                 {{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}},
                 {{name: some, type: probabilistic, probabilistic: {{sampling_percentage: 40}}}},
                 {{name: few, type: rate_limiting, rate_limiting: {{spans_per_second: 3}}}}]}}"
        );
        let mut run = Lanes::new(&yaml, lanes);
        let stop = stop.index(steps.len() + 1);
        let mut sent = [0_usize; 12];
        for (number, (wanted, pause)) in steps.iter().enumerate() {
            if number == stop {
                run.restart(&yaml, lanes_after);
            }
            wanted.iter().for_each(|(trace, ..)| sent[usize::from(*trace)] += 1);
            run.process(spans(wanted));
            prop_assert!(run.lanes[0].processor.core.memory.used() <= memory);
            run.advance(*pause);
            let held: usize = run.lanes.iter().map(|lane| lane.processor.held()).sum();
            let passed: usize = run.passed.iter().map(Batch::len).sum();
            prop_assert!(held + passed <= sent.iter().sum());
        }
        let rest: Vec<Batch> = run.lanes.iter_mut().flat_map(Drive::drain).collect();
        run.passed.extend(rest);
        prop_assert_eq!(run.lanes[0].processor.core.memory.used(), 0);
        let mut kept = [0_usize; 12];
        run.passed.iter().flat_map(Batch::records).for_each(|record| kept[usize::from(record.trace_id()[0])] += 1);
        for (trace, (kept, sent)) in kept.into_iter().zip(sent).enumerate() {
            prop_assert!(kept == 0 || kept == sent, "trace {}: {} of {}", trace, kept, sent);
        }
    }
}
