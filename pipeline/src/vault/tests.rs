use std::sync::Arc;

use super::*;
use crate::batch::Batch;
use crate::metadata::Metadata;
use crate::storage::{FaultyDisk, to_batch};

fn logs(count: usize, tenant: Option<&str>) -> Batch {
    let mut builder = Batch::builder(Signal::Logs);
    (0..count).for_each(|number| builder.push(|log| log.set_body(number as f64)));
    let mut batch = builder.build();
    let metadata = |value: &str| Arc::new(Metadata::new([("tenant".to_owned(), value.to_owned())], None));
    batch.set_metadata(tenant.map(metadata));
    batch
}

fn suspended(batches: &[Batch], memory: &[&str]) -> Suspended {
    let mut suspended = Suspended::default();
    batches.iter().for_each(|batch| suspended.hold(batch));
    memory.iter().for_each(|memory| suspended.remember(memory.as_bytes().to_vec()));
    suspended
}

fn all(vault: &Vault, entry: &Entry) -> io::Result<Vec<Frame>> {
    let mut frames = vault.read(entry)?;
    let mut all = Vec::new();
    while let Some(frame) = frames.next()? {
        all.push(frame);
    }
    Ok(all)
}

#[test]
fn what_was_handed_over_comes_back_with_its_senders_and_is_gone_once_removed() {
    let disk = Arc::new(FaultyDisk::new(1));
    let vault = Vault::on(Arc::<FaultyDisk>::clone(&disk), Path::new("/root"));
    assert_eq!(vault.entries().unwrap(), []);
    vault.write("logs", "hold/a+b", &suspended(&[logs(2, Some("x")), logs(1, None)], &["seen"])).unwrap();
    vault.write("traces/../etc", "hold", &suspended(&[], &["only this"])).unwrap();
    vault.write("logs", "hold/a+b", &suspended(&[logs(3, None)], &[])).unwrap();

    let entries = vault.entries().unwrap();
    let names: Vec<_> =
        entries.iter().map(|entry| (entry.pipeline.as_str(), entry.processor.as_str())).collect();
    assert_eq!(names, [("logs", "hold/a+b"), ("traces/../etc", "hold"), ("logs", "hold/a+b")]);
    let frames = all(&vault, &entries[0]).unwrap();
    let [Frame::Memory(memory), Frame::Batch(first), Frame::Batch(second)] = &*frames else {
        panic!("{frames:?}");
    };
    assert_eq!(&memory[..], b"seen");
    let (first, second) = (to_batch(first).unwrap(), to_batch(second).unwrap());
    assert_eq!((first.len(), second.len()), (2, 1));
    assert_eq!(first.metadata().unwrap().values("tenant").collect::<Vec<_>>(), ["x"]);
    assert_eq!(first.to_otlp(), logs(2, None).to_otlp());

    for entry in &entries {
        vault.remove(entry).unwrap();
    }
    assert_eq!(vault.entries().unwrap(), []);
    assert!(disk.paths().iter().all(|path| path.starts_with("/root/.processors")), "{:?}", disk.paths());
}

#[test]
fn after_a_crash_a_file_is_there_as_a_whole_or_not_at_all() {
    let suspended = suspended(&[logs(50, None), logs(70, None)], &["memory"]);
    for seed in 0..40 {
        for failing in 0..8 {
            let disk = Arc::new(FaultyDisk::new(seed));
            let vault = Vault::on(Arc::<FaultyDisk>::clone(&disk), Path::new("/root"));
            match failing {
                0 => {}
                7 => disk.world().fail_syncs = 1,
                write => disk.world().fail_writes = write,
            }
            let written = vault.write("logs", "hold", &suspended);
            disk.crash();
            let vault = Vault::on(Arc::<FaultyDisk>::clone(&disk), Path::new("/root"));
            let entries = vault.entries().unwrap();
            if written.is_ok() {
                assert_eq!(entries.len(), 1, "what was said to be on disk is there");
            }
            for entry in &entries {
                assert_eq!(all(&vault, entry).unwrap().len(), 3);
            }
        }
    }
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    let disk = Arc::new(FaultyDisk::new(1));
    let vault = Vault::on(Arc::<FaultyDisk>::clone(&disk), Path::new("/root"));
    vault.write("logs", "hold", &suspended(&[logs(1, None)], &["memory"])).unwrap();
    let entry = vault.entries().unwrap().remove(0);
    let length = usize::try_from(disk.open(&entry.path).unwrap().len().unwrap()).unwrap();
    for offset in 0..length {
        disk.corrupt(&entry.path, offset);
        assert_eq!(all(&vault, &entry).unwrap_err().kind(), io::ErrorKind::InvalidData, "byte {offset}");
        disk.corrupt(&entry.path, offset);
    }
    assert_eq!(all(&vault, &entry).unwrap().len(), 2);
}
