//! What processors hold at a stop: on disk until the next start, with nothing lost and nothing counted twice.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use watershed_pipeline::*;

use crate::support::*;

const GATHER: &str = "
receivers: {input: }
processors: {gather: , pass: }
exporters: {local: }
service: {pipelines: {logs: {receivers: [input], processors: [pass, gather], exporters: [local]}}}
";

/// Runs a graph with a storage directory and so many lanes, sends these batches one after another, and stops it.
async fn run_with(text: &str, storage: &Path, lanes: usize, batches: &[&[i64]]) -> Arc<Bench> {
    let bench = Bench::new();
    let mut environment = bench.environment();
    environment.storage = Some(storage.to_owned());
    environment.lanes = NonZeroUsize::new(lanes).unwrap();
    let graph = Graph::build(&document(text), &registry(), &environment).unwrap();
    let (stop, running) = start(graph);
    for batch in batches {
        bench.send("input", logs(batch.iter().copied())).await.unwrap();
    }
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running)
        .await
        .expect("a stop does not wait")
        .unwrap()
        .unwrap();
    bench
}

fn files(storage: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(storage.join(".processors")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| !path.ends_with("lock"));
    paths
}

/// The batches that reached the exporter.
fn exported(bench: &Bench) -> Vec<Vec<i64>> {
    let mut all: Vec<_> = bench.attempts("local").into_iter().map(|attempt| attempt.items).collect();
    all.iter_mut().for_each(|items| items.sort_unstable());
    all.sort();
    all
}

fn counts(bench: &Bench, names: [&str; 5]) -> [i128; 5] {
    names.map(|name| {
        let name = format!("otelcol_processor_{name}_items");
        bench.count(&name, &[("processor", "gather")])
    })
}

const COUNTED: [&str; 5] = ["incoming", "resumed", "outgoing", "suspended", "held"];

#[tokio::test]
async fn what_is_held_at_a_stop_comes_together_with_its_key_after_the_start_although_lanes_have_changed() {
    let directory = tempfile::tempdir().unwrap();
    let bench = run_with(GATHER, directory.path(), 4, &[&[1, 2, 3], &[11, 13, 23]]).await;
    assert_eq!(exported(&bench), [[3, 13, 23]]);
    assert_eq!(counts(&bench, COUNTED), [6, 0, 3, 3, 0]);
    assert_eq!(files(directory.path()).len(), 1);

    let bench = run_with(GATHER, directory.path(), 3, &[&[12], &[21, 33]]).await;
    assert_eq!(exported(&bench), [vec![1, 11, 21], vec![33]], "3 is complete, which is remembered");
    assert_eq!(counts(&bench, COUNTED), [3, 3, 4, 2, 0]);

    let bench = run_with(GATHER, directory.path(), 1, &[&[22, 5], &[31, 43]]).await;
    assert_eq!(exported(&bench), [vec![2, 12, 22], vec![31], vec![43]]);
    assert_eq!(counts(&bench, COUNTED), [4, 2, 5, 1, 0]);
    assert_eq!(files(directory.path()).len(), 1, "only what is held now");
}

#[tokio::test(start_paused = true)]
async fn without_a_storage_directory_a_stop_gives_everything_out() {
    let bench = Bench::new();
    let (stop, running) = start(bench.graph(GATHER));
    bench.send("input", logs([1, 2])).await.unwrap();
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(bench.delivered("local"), [1, 2]);
    assert_eq!(counts(&bench, COUNTED), [2, 0, 2, 0, 0]);
}

#[tokio::test]
async fn what_cannot_be_written_is_given_out_at_the_stop() {
    let directory = tempfile::tempdir().unwrap();
    // A file where a directory has to be.
    let storage = directory.path().join("file");
    std::fs::write(&storage, "").unwrap();
    let bench = run_with(GATHER, &storage, 4, &[&[1, 2], &[3]]).await;
    assert_eq!(bench.delivered("local"), [1, 2, 3]);
    assert_eq!(counts(&bench, COUNTED), [3, 3, 3, 3, 0], "handed over and taken back");
}

#[tokio::test]
async fn what_nobody_takes_up_stays_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    run_with(GATHER, directory.path(), 4, &[&[1, 2]]).await;
    let other = GATHER.replace("[pass, gather]", "[pass]");
    let bench = run_with(&other, directory.path(), 4, &[&[3]]).await;
    assert_eq!(bench.delivered("local"), [3]);
    let bench = run_with(GATHER, directory.path(), 4, &[&[11, 21]]).await;
    assert_eq!(exported(&bench), [[1, 11, 21]]);
}

#[tokio::test]
async fn a_damaged_file_is_put_aside_and_what_can_be_read_of_it_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    run_with(GATHER, directory.path(), 1, &[&[1], &[2]]).await;
    let path = files(directory.path()).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let bench = run_with(GATHER, directory.path(), 1, &[&[11, 21, 12, 22]]).await;
    assert_eq!(bench.count("otelcol_processor_resumed_items", &[]), 1);
    assert_eq!(exported(&bench).len(), 1, "one key is complete");
    let names: Vec<_> = files(directory.path());
    assert!(names.iter().any(|path| path.extension().is_some_and(|end| end == "damaged")), "{names:?}");
}

#[tokio::test]
async fn an_audit_pipeline_refuses_a_processor_that_leaves_out_records() {
    let text = GATHER.replace("logs:", "logs/shop_Audit:");
    let errors = Bench::new().build(&text).unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "test.yaml:5:80: service.pipelines.logs/shop_Audit.processors: `gather` leaves out records, and a pipeline \
          with `audit` in its name keeps all of them; remove it, or give the pipeline another name"
        ]
    );
}
