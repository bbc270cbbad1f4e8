//! The store against a model of what it promises, on a disk that fails and crashes.
//!
//! Promises: what a sender was told is safe is delivered at least once, unless its delivery was acknowledged; what
//! is delivered is what was sent; and whatever happened, the store opens and takes a fresh record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::oneshot;

use super::faulty::FaultyDisk;
use super::options::StoreOptions;
use super::payload::Encoding;
use super::reader::Reader;
use super::record::Record;
use super::recovery::open;
use super::state::{Content, Next, Shared, Taken, Ticket};
use super::store::{AppendError, Committed};
use super::writer::{Append, Writer};
use crate::batch::{Batch, Signal};

/// The two sides of a store without its thread, so that a test decides what happens when.
pub(crate) struct Bench {
    pub(crate) disk: FaultyDisk,
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    pub(crate) options: StoreOptions,
}

/// What was taken: read from disk, or kept in memory since it was written.
pub(crate) struct Delivered {
    number: u32,
    read: Option<Record>,
}

type Answer = oneshot::Receiver<Result<Committed, AppendError>>;

pub(crate) fn directory() -> PathBuf {
    PathBuf::from("/queue")
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        segment_size: 4096,
        commit_delay: Duration::ZERO,
        group_size: 1,
        retry_delay: Duration::ZERO,
        ..StoreOptions::new(1 << 40)
    }
}

/// A record whose payload says which it is.
pub(crate) fn record(number: u32, size: usize) -> Record {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(size.max(4), u8::try_from(number % 251).unwrap());
    Record {
        id: u128::from(number) << 64,
        time: 1,
        items: 1 + number % 3,
        signal: Signal::Logs,
        note: Bytes::new(),
        encoding: Encoding::Plain,
        payload: payload.into(),
    }
}

fn number(record: &Record) -> u32 {
    u32::from_le_bytes(*record.payload.first_chunk().unwrap())
}

impl Bench {
    pub(crate) fn open(disk: FaultyDisk, options: StoreOptions) -> Self {
        let (shared, writer) = open(Arc::new(disk.clone()), directory(), options.clone()).unwrap();
        let reader = Reader::new(Arc::clone(&shared));
        Self { disk, shared, writer, reader, options }
    }

    /// Opens again what is there, after a crash or without one.
    pub(crate) fn reopen(self, crash: bool) -> Self {
        let Self { disk, options, shared, writer, reader } = self;
        // The lock goes with the last of them.
        drop((shared, writer, reader));
        if crash {
            disk.crash();
        }
        Self::open(disk, options)
    }

    /// Tries to commit a group once; says whether its senders were told that it is safe.
    pub(crate) fn commit(&mut self, records: Vec<Record>) -> bool {
        let (mut group, answers): (Vec<Append>, Vec<Answer>) = records
            .into_iter()
            .map(|record| {
                let (done, answer) = oneshot::channel();
                let checksum = record.checksum();
                let mut batch = Batch::new(Signal::Logs);
                batch.set_id(record.id);
                // One that is not kept in memory makes those behind it be read, too.
                let batch = (!number(&record).is_multiple_of(4)).then_some(batch);
                (Append { record, checksum, batch, patient: true, done }, answer)
            })
            .unzip();
        let committed = self.writer.commit(&mut group).is_ok();
        for mut answer in answers {
            assert_eq!(answer.try_recv().is_ok(), committed, "told and done are the same");
        }
        committed
    }

    pub(crate) fn take(&mut self) -> Option<(Ticket, Delivered)> {
        // Each failure to read, and each thing to read, is one more turn.
        for _ in 0..10_000 {
            match self.shared.next() {
                Next::Taken(Taken { ticket, content: Content::Record(record) }) => {
                    return Some((ticket, Delivered { number: number(&record), read: Some(record) }));
                }
                Next::Taken(Taken { ticket, content: Content::Batch(batch) }) => {
                    let number = u32::try_from(batch.id() >> 64).unwrap();
                    return Some((ticket, Delivered { number, read: None }));
                }
                Next::Unread => self.reader.fill(),
                Next::Nothing => return None,
                Next::Closed => unreachable!(),
            }
        }
        panic!("reading does not come to an end");
    }

    pub(crate) fn drain(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.take()).map(|(_, delivered)| delivered.number).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<usize>),
    Take,
    Ack(usize),
    GiveBack(usize),
    Settle,
    SyncAcks,
    Roll,
    FailWrite(u32),
    FailSync(u32),
    FailRead(u32),
    Full,
    Room,
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(4_usize..1500, 1..5).prop_map(Step::Commit),
        1 => Just(Step::Commit(vec![9000])),
        8 => Just(Step::Take),
        8 => (0_usize..8).prop_map(Step::Ack),
        1 => (0_usize..8).prop_map(Step::GiveBack),
        4 => Just(Step::Settle),
        1 => Just(Step::SyncAcks),
        1 => Just(Step::Roll),
        1 => (1_u32..6).prop_map(Step::FailWrite),
        1 => (1_u32..6).prop_map(Step::FailSync),
        1 => (1_u32..3).prop_map(Step::FailRead),
        1 => Just(Step::Full),
        1 => Just(Step::Room),
        2 => Just(Step::Reopen),
        2 => Just(Step::Crash),
    ]
}

/// What the store has promised.
#[derive(Default)]
struct Model {
    sent: BTreeMap<u32, Record>,
    /// Told to be safe, and delivery not acknowledged.
    owed: BTreeSet<u32>,
    in_hand: Vec<(Ticket, u32)>,
}

impl Model {
    fn see(&mut self, delivered: &Delivered) {
        let sent = self.sent.get(&delivered.number).expect("what is delivered was sent");
        assert!(
            delivered.read.as_ref().is_none_or(|read| read == sent),
            "what is delivered is what was sent"
        );
    }
}

fn run(steps: Vec<Step>, seed: u64) {
    let mut bench = Bench::open(FaultyDisk::new(seed), options());
    let mut model = Model::default();
    for step in steps {
        bench = apply(bench, &mut model, step);
    }
    {
        let mut world = bench.disk.world();
        (world.fail_writes, world.fail_syncs, world.fail_reads) = (0, 0, 0);
        world.capacity = u64::MAX;
    }
    bench = bench.reopen(true);
    let delivered: BTreeSet<u32> = bench.drain().into_iter().collect();
    let missing: Vec<&u32> = model.owed.difference(&delivered).collect();
    assert!(missing.is_empty(), "never delivered: {missing:?}");
    assert!(bench.commit(vec![record(u32::MAX, 10)]));
    assert_eq!(bench.drain(), [u32::MAX], "a fresh record passes");
}

fn apply(mut bench: Bench, model: &mut Model, step: Step) -> Bench {
    match step {
        Step::Commit(sizes) => {
            let first = u32::try_from(model.sent.len()).unwrap();
            let records: Vec<Record> =
                (first..).zip(sizes).map(|(number, size)| record(number, size)).collect();
            let numbers: Vec<u32> = records.iter().map(number).collect();
            model.sent.extend(numbers.iter().copied().zip(records.iter().cloned()));
            if bench.commit(records) {
                model.owed.extend(numbers);
            }
        }
        Step::Take => {
            if let Some((ticket, delivered)) = bench.take() {
                model.see(&delivered);
                model.in_hand.push((ticket, delivered.number));
            }
        }
        Step::Ack(index) if index < model.in_hand.len() => {
            let (ticket, number) = model.in_hand.remove(index);
            bench.shared.ack(ticket);
            model.owed.remove(&number);
        }
        Step::GiveBack(index) if index < model.in_hand.len() => {
            bench.shared.give_back(model.in_hand.remove(index).0);
        }
        Step::Ack(_) | Step::GiveBack(_) => {}
        Step::Settle => bench.writer.settle(),
        Step::SyncAcks => bench.writer.sync_acks(),
        Step::Roll => bench.writer.roll(),
        Step::FailWrite(after) => bench.disk.world().fail_writes = after,
        Step::FailSync(after) => bench.disk.world().fail_syncs = after,
        Step::FailRead(after) => bench.disk.world().fail_reads = after,
        Step::Full => bench.disk.world().capacity = 0,
        Step::Room => bench.disk.world().capacity = u64::MAX,
        Step::Reopen | Step::Crash => {
            model.in_hand.clear();
            return bench.reopen(matches!(step, Step::Crash));
        }
    }
    bench
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn property_what_is_acknowledged_is_delivered(steps in prop::collection::vec(step(), 1..60), seed: u64) {
        run(steps, seed);
    }
}

#[test]
fn records_come_back_in_order_and_once() {
    let mut bench = Bench::open(FaultyDisk::new(1), options());
    for first in (0..100).step_by(10) {
        assert!(bench.commit((first..first + 10).map(|number| record(number, 300)).collect()));
    }
    assert_eq!(bench.drain(), (0..100).collect::<Vec<_>>());
}
