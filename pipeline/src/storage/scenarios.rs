//! What the store does in the cases that the model only meets by chance, and what its thread does about them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::acks::AckLog;
use super::faulty::FaultyDisk;
use super::model::{Bench, directory, options, record};
use super::options::StoreOptions;
use super::quarantine;
use super::record::Tally;
use super::store::{AppendError, Store};

/// Three segments with three records each, all acknowledged to their senders.
fn three_segments() -> Bench {
    let mut bench = Bench::open(FaultyDisk::new(3), options());
    for first in [0, 3, 6] {
        assert!(bench.commit((first..first + 3).map(|number| record(number, 500)).collect()));
        bench.writer.roll();
    }
    bench
}

fn segments(disk: &FaultyDisk) -> usize {
    disk.paths().iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "seg")).count()
}

fn quarantined(disk: &FaultyDisk) -> usize {
    let aside = directory().join(quarantine::DIRECTORY);
    disk.paths().iter().filter(|path| path.parent() == Some(Path::new(&aside))).count()
}

fn deliver(bench: &mut Bench) -> usize {
    let mut count = 0;
    while let Some((ticket, _)) = bench.take() {
        bench.shared.ack(ticket);
        count += 1;
    }
    bench.writer.settle();
    count
}

#[test]
fn damage_in_the_middle_is_counted_and_set_aside_and_the_rest_is_delivered() {
    for offset in [70, 64 + 600] {
        let bench = three_segments();
        let second = bench.shared.path(4);
        bench.disk.corrupt(&second, offset);
        let mut bench = bench.reopen(false);
        assert_eq!(bench.shared.state().pending.records, 9);
        assert_eq!(deliver(&mut bench), 8);
        assert_eq!(bench.shared.state().lost.records, 1);
        assert_eq!((segments(&bench.disk), quarantined(&bench.disk)), (1, 1));
        assert!(bench.shared.state().pending.is_zero());
    }
}

#[test]
fn a_file_that_is_damaged_from_its_start_is_set_aside_at_once() {
    let bench = three_segments();
    bench.disk.corrupt(&bench.shared.path(4), 20);
    let mut bench = bench.reopen(false);
    assert_eq!(quarantined(&bench.disk), 1);
    assert_eq!(deliver(&mut bench), 6);
}

#[test]
fn damage_in_a_segment_that_was_in_use_at_the_crash_is_no_torn_end() {
    let mut bench = Bench::open(FaultyDisk::new(5), options());
    for number in 0..3 {
        assert!(bench.commit(vec![record(number, 500)]));
    }
    bench.disk.corrupt(&bench.shared.path(1), 700);
    let mut bench = bench.reopen(true);
    assert_eq!(deliver(&mut bench), 2);
    assert_eq!(quarantined(&bench.disk), 1);
}

#[test]
fn a_torn_end_is_cut_off_and_nothing_is_set_aside() {
    let mut bench = Bench::open(FaultyDisk::new(5), options());
    assert!(bench.commit(vec![record(0, 500)]));
    bench.disk.world().fail_syncs = 1;
    assert!(!bench.commit(vec![record(1, 500), record(2, 500)]));
    let mut bench = bench.reopen(true);
    assert!(deliver(&mut bench) >= 1);
    assert_eq!((segments(&bench.disk), quarantined(&bench.disk)), (0, 0));
}

#[test]
fn a_missing_file_means_that_it_was_delivered() {
    let bench = three_segments();
    super::disk::Disk::remove(&bench.disk, &bench.shared.path(4)).unwrap();
    let mut bench = bench.reopen(false);
    assert_eq!(deliver(&mut bench), 6);
}

#[test]
fn after_a_failed_sync_the_group_is_written_to_another_file() {
    let mut bench = Bench::open(FaultyDisk::new(1), options());
    assert!(bench.commit(vec![record(0, 100)]));
    bench.disk.world().fail_syncs = 1;
    assert!(!bench.commit(vec![record(1, 100)]));
    assert!(bench.commit(vec![record(1, 100)]));
    assert_eq!(segments(&bench.disk), 2);
    let mut bench = bench.reopen(true);
    assert_eq!(bench.drain(), [0, 1]);
}

#[test]
fn a_segment_is_removed_when_its_acknowledgements_are_on_disk_and_the_directory_is_synced_after_it() {
    let mut bench = three_segments();
    bench.disk.world().journal.clear();
    assert_eq!(deliver(&mut bench), 9);
    let journal = bench.disk.world().journal.clone();
    let place = |what: &str| journal.iter().position(|step| step == what).unwrap();
    let last = |what: &str| journal.iter().rposition(|step| step == what).unwrap();
    let removed = place("remove 00000000000000000001.seg");
    assert!(place("sync acks.new") < place("rename to acks"));
    assert!(place("rename to acks") < removed);
    assert!(journal[place("rename to acks")..removed].iter().any(|step| step == "sync directory queue"));
    assert!(last("sync directory queue") > last("remove 00000000000000000007.seg"));
}

#[test]
fn a_stuck_record_does_not_keep_the_segments_behind_it() {
    let mut bench = three_segments();
    let stuck = bench.take().unwrap();
    assert_eq!(deliver(&mut bench), 8);
    assert_eq!(segments(&bench.disk), 1);
    bench.shared.ack(stuck.0);
    bench.writer.settle();
    assert_eq!(segments(&bench.disk), 0);
}

#[test]
fn what_is_read_ahead_is_bounded_however_long_the_queue_is() {
    let options = StoreOptions { segment_size: 4 << 20, ..options() };
    let mut bench = Bench::open(FaultyDisk::new(1), options);
    for group in 0..64 {
        assert!(bench.commit((0..4).map(|index| record(group * 4 + index, 200_000)).collect()));
    }
    let mut taken = 0;
    while let Some((ticket, _)) = bench.take() {
        taken += 1;
        let ahead: u64 = bench.shared.state().ahead.len() as u64 * 200_000;
        assert!(ahead <= 1_200_000, "{ahead}");
        bench.shared.ack(ticket);
        bench.writer.settle();
    }
    assert_eq!(taken, 256);
}

#[test]
fn the_log_of_acknowledgements_does_not_grow_without_end() {
    let disk = FaultyDisk::new(1);
    let mut log = AckLog::new(directory());
    log.rewrite(&disk, Vec::new(), 1, 1).unwrap();
    let range = super::ranges::Range { start: 1, end: 2, items: 1 };
    let mut entries = 1;
    while !log.is_long(1) {
        log.append(&[range; 100]).unwrap();
        entries += 100;
    }
    assert!(entries < 5000);
}

fn store(disk: &FaultyDisk, options: StoreOptions) -> Arc<Store> {
    Arc::new(Store::open(Arc::new(disk.clone()), directory(), options).unwrap())
}

async fn append(store: &Store, number: u32, size: usize, patient: bool) -> Result<(), AppendError> {
    store.append(record(number, size), None, patient, std::future::pending()).await
}

fn quick() -> StoreOptions {
    StoreOptions { retry_delay: Duration::from_millis(1), ..options() }
}

#[tokio::test]
async fn a_full_disk_makes_patient_senders_wait_and_refuses_the_others_until_there_is_room() {
    let disk = FaultyDisk::new(1);
    let store = store(&disk, quick());
    append(&store, 0, 100, true).await.unwrap();
    disk.world().capacity = 0;
    let patient = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { append(&store, 1, 5000, true).await })
    };
    let refused = append(&store, 2, 5000, false).await.unwrap_err();
    assert!(matches!(&refused, AppendError::Full { reason } if reason.contains("can't write")), "{refused}");
    assert!(!patient.is_finished());
    disk.world().capacity = u64::MAX;
    patient.await.unwrap().unwrap();
    append(&store, 3, 100, false).await.unwrap();
    for _ in 0..3 {
        let taken = store.take().await.unwrap();
        store.ack(taken.ticket);
    }
    assert!(store.is_drained());
}

#[tokio::test]
async fn a_quota_makes_senders_wait_until_delivered_segments_are_gone() {
    let disk = FaultyDisk::new(1);
    let store = store(&disk, StoreOptions { quota: 40_000, ..quick() });
    let mut count = 0;
    while append(&store, count, 5000, false).await.is_ok() {
        count += 1;
    }
    assert!((5..9).contains(&count), "{count}");
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { append(&store, 99, 5000, true).await })
    };
    for _ in 0..count {
        let taken = store.take().await.unwrap();
        store.ack(taken.ticket);
    }
    waiting.await.unwrap().unwrap();
    let error = append(&store, 100, 20_000, true).await.unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { quota: 40_000, .. }), "{error}");
}

#[tokio::test]
async fn a_sender_that_hangs_up_leaves_no_trace_when_the_disk_did_not_take_its_data() {
    let disk = FaultyDisk::new(1);
    let store = store(&disk, quick());
    disk.world().capacity = 0;
    let hung_up = tokio::time::timeout(Duration::from_millis(20), append(&store, 1, 100, true)).await;
    assert!(hung_up.is_err());
    // The next attempt of the store's thread finds out.
    while store.held().bytes > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    disk.world().capacity = u64::MAX;
    append(&store, 3, 100, true).await.unwrap();
    assert_eq!(store.held().pending, Tally { records: 1, items: 1 });
    assert_eq!(store.news().unclaimed, 0);
}

#[tokio::test]
async fn a_store_that_is_closed_in_need_ends_at_once_and_refuses_whoever_waits() {
    let disk = FaultyDisk::new(1);
    let store = store(&disk, StoreOptions { retry_delay: Duration::from_secs(3600), ..options() });
    disk.world().capacity = 0;
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { append(&store, 1, 100, true).await })
    };
    tokio::task::yield_now().await;
    store.close();
    assert!(waiting.await.unwrap().is_err());
}
