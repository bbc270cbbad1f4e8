//! Merged batches in front of a queue on disk that is opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use watershed_config::Period;

use super::super::durable::DurableQueue;
use super::super::ledger::Ledger;
use super::super::settings::SendingQueue;
use super::*;
use crate::batch::{Batch, Signal};
use crate::lifecycle::Lifecycle;
use crate::telemetry::Telemetry;

/// A run of a process, as far as it concerns a queue.
struct Run {
    queue: Arc<DurableQueue>,
    ledger: Arc<Ledger>,
    batcher: Batcher,
}

impl Run {
    async fn start(directory: &Path, min_size: usize, max_size: usize) -> Self {
        let telemetry = Telemetry::new();
        let ledger = Arc::new(Ledger::new(&telemetry, "x", Signal::Logs));
        let queue = DurableQueue::new(
            Some(directory.to_owned()),
            SendingQueue::default(),
            Arc::clone(&ledger),
            &telemetry,
            Lifecycle::default(),
        );
        queue.start().await.unwrap();
        let queue = Arc::new(queue);
        let options =
            BatchOptions { flush_timeout: Period::milliseconds(1), min_size, max_size, sizer: None };
        let batcher = Batcher::new(Arc::clone(&queue) as Arc<dyn Queue>, options, Sizer::Items);
        Self { queue, ledger, batcher }
    }

    /// Puts a batch of records with these numbers.
    async fn put(&self, numbers: std::ops::Range<i64>) {
        let mut builder = Batch::builder(Signal::Logs);
        for number in numbers {
            builder = builder.record(|log| log.set_body(number));
        }
        self.queue.put(Load::new(builder.build(), &self.ledger)).await;
    }

    /// Takes until so many records were taken.
    async fn take(&self, records: usize) -> Vec<Load> {
        let mut loads = Vec::new();
        while loads.iter().map(|load: &Load| load.batch().len()).sum::<usize>() < records {
            loads.push(self.batcher.next().await.unwrap());
        }
        loads
    }
}

fn numbers(load: &Load) -> Vec<i64> {
    let number = |record: crate::batch::Record<'_>| match record.log()?.body()? {
        crate::batch::Value::Int(number) => Some(number),
        _ => None,
    };
    load.batch().records().filter_map(number).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn property_what_was_sent_is_sent_again_as_it_was(
        sizes in prop::collection::vec(1_usize..9, 1..30),
        (min_size, room) in (1_usize..20, 0_usize..5),
        answered in prop::collection::vec(any::<bool>(), 30),
        (min_size_later, later) in (1_usize..20, 0_usize..9),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let run = Run::start(directory.path(), min_size, min_size + room).await;
            let mut total = 0;
            for size in &sizes {
                run.put(total as i64..(total + size) as i64).await;
                total += size;
            }
            let mut sent = BTreeMap::new();
            let mut loads = run.take(total).await;
            for (load, answered) in loads.iter_mut().zip(answered.iter().chain(std::iter::repeat(&false))) {
                assert!(!load.batch().may_have_been_sent());
                sent.insert(load.batch().id(), (numbers(load), *answered));
                if *answered {
                        load.sent(load.batch().len());
                }
            }
            drop((loads, run));

            let run = Run::start(directory.path(), min_size_later, 0).await;
            run.put(total as i64..(total + later) as i64).await;
            let is_answered = |number: &i64| {
                sent.values().any(|(numbers, answered)| *answered && numbers.contains(number))
            };
            let mut awaited: BTreeSet<i64> =
                (0..(total + later) as i64).filter(|number| !is_answered(number)).collect();
            let mut again = Vec::new();
            while !awaited.is_empty() {
                let load = run.batcher.next().await.unwrap();
                for number in numbers(&load) {
                    // Of a record of which one part was answered and another was not, both are sent again.
                    assert!(awaited.remove(&number) || is_answered(&number), "{number} came twice");
                }
                again.push(load);
            }
            for load in &again {
                let Some((before, answered)) = sent.get(&load.batch().id()) else {
                    assert!(!load.batch().may_have_been_sent());
                    assert!(numbers(load).iter().all(|number| *number >= total as i64), "{:?}", numbers(load));
                    continue;
                };
                assert!(load.batch().may_have_been_sent());
                let mut now = numbers(load);
                now.sort_unstable();
                if *answered {
                    assert!(now.iter().all(|number| before.contains(number)));
                } else {
                    assert_eq!(&now, before);
                }
            }
        });
    }
}

#[tokio::test]
async fn the_rest_of_a_batch_of_which_a_record_is_lost_is_sent_under_another_id() {
    let directory = tempfile::tempdir().unwrap();
    let run = Run::start(directory.path(), 4, 0).await;
    run.put(0..2).await;
    run.put(2..4).await;
    let id = run.take(4).await[0].batch().id();
    drop(run);
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            let mut bytes = std::fs::read(&path).unwrap();
            // The first record's payload lies behind the segment's preface and its own header.
            bytes[64 + 64 + 8] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let run = Run::start(directory.path(), 4, 0).await;
    run.put(4..6).await;
    let loads = run.take(4).await;
    let all: Vec<i64> = loads.iter().flat_map(numbers).collect();
    assert_eq!(all, [2, 3, 4, 5]);
    assert!(loads.iter().all(|load| load.batch().id() != id && !load.batch().may_have_been_sent()));
}

#[tokio::test]
async fn the_time_of_receipt_outlives_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let run = Run::start(directory.path(), 1, 0).await;
    let mut batch = Batch::builder(Signal::Logs).record(|log| log.set_body(1)).build();
    batch.set_received(34);
    run.queue.put(Load::new(batch, &run.ledger)).await;
    drop(run);
    let run = Run::start(directory.path(), 1, 0).await;
    assert_eq!(run.take(1).await[0].batch().received(), 34);
}
