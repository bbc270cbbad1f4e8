//! The queue on disk in front of an exporter: stop, restart, refusal for good, and what the numbers say.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use watershed_pipeline::*;

use crate::support::*;

/// One exporter with these options.
fn with(options: &str) -> String {
    format!(
        "
receivers: {{input: }}
exporters: {{far: {{{options}}}}}
service: {{pipelines: {{logs: {{receivers: [input], exporters: [far]}}}}}}
"
    )
}

/// Runs a graph with a queue in `storage` while `work` is done, and stops it.
async fn run_with<F: Future<Output = ()>>(
    bench: &Arc<Bench>,
    options: &str,
    storage: &Path,
    work: impl FnOnce(Arc<Bench>) -> F,
) -> Summary {
    let (stop, running) = start(bench.graph_with_storage(&with(options), storage));
    work(Arc::clone(bench)).await;
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running)
        .await
        .expect("a stop does not wait")
        .unwrap()
        .unwrap()
}

/// Waits until something is so, because a thread of its own has to do it.
async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it does not come to be");
}

const HELD: &str = "otelcol_exporter_held_log_records";
const SENT: &str = "otelcol_exporter_sent_log_records";

#[tokio::test]
async fn what_a_dead_far_end_leaves_is_not_dropped_by_a_stop_and_goes_out_first_after_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    bench.script("far", |_| answer(Err(retry(None))));
    let summary = run_with(&bench, "", directory.path(), |bench| async move {
        bench.send("input", logs([1, 2])).await.unwrap();
        bench.send("input", logs([3])).await.unwrap();
        until(|| !bench.attempts("far").is_empty()).await;
    })
    .await;
    assert_eq!((summary.dropped, summary.totals[0].accepted), (vec![], 3));
    assert_eq!(bench.count(HELD, &[]), 3, "accepted = sent + dropped + held");

    let bench = Bench::new();
    run_with(&bench, "", directory.path(), |bench| async move {
        bench.send("input", logs([4])).await.unwrap();
        until(|| bench.count(SENT, &[]) == 4).await;
    })
    .await;
    assert_eq!(bench.delivered("far"), [1, 2, 3, 4]);
    assert_eq!(bench.count(HELD, &[]), 0);

    let bench = Bench::new();
    run_with(&bench, "", directory.path(), |_| async {}).await;
    assert!(bench.delivered("far").is_empty(), "what was delivered is not delivered again");
}

#[tokio::test]
async fn a_batch_keeps_its_id_over_attempts_and_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let ids = Arc::new(std::sync::Mutex::new(Vec::new()));
    for run in 0..2 {
        let bench = Bench::new();
        let seen = Arc::clone(&ids);
        bench.observe("far", move |batch| seen.lock().unwrap().push(batch.id()));
        bench.script("far", |_| answer(Err(retry(None))));
        let options = "retry_on_failure: {initial_interval: 1ms}";
        run_with(&bench, options, directory.path(), |bench| async move {
            if run == 0 {
                bench.send("input", logs([1])).await.unwrap();
            }
            until(|| bench.attempts("far").len() > 1).await;
        })
        .await;
    }
    let mut ids = ids.lock().unwrap().clone();
    assert!(ids.len() >= 4);
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_ne!(ids[0], 0);
}

#[tokio::test]
async fn what_is_refused_for_good_becomes_a_dead_letter_that_can_be_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    bench.script("far", |_| answer(Err(ExportError::Reject { count: 2, reason: "bad rows".into() })));
    let summary = run_with(&bench, "", directory.path(), |bench| async move {
        bench.send("input", logs([1, 2])).await.unwrap();
        until(|| bench.dropped("far", "rejected") == 2).await;
    })
    .await;
    assert_eq!(summary.dropped.len(), 1);
    assert_eq!(bench.count("otelcol_exporter_dead_letters", &[]), 2);

    let queue = storage::Queue::find(directory.path()).unwrap().pop().unwrap();
    let letters = queue.records(storage::Part::DeadLetters).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].items, letters[0].reason.as_str()), (2, "bad rows"));
    assert_eq!(queue.replay().unwrap(), 1);
    assert!(queue.records(storage::Part::DeadLetters).unwrap().is_empty());

    let bench = Bench::new();
    run_with(&bench, "", directory.path(), |bench| async move {
        until(|| bench.count(SENT, &[]) == 2).await;
    })
    .await;
    assert_eq!(bench.delivered("far"), [1, 2]);
}

#[tokio::test]
async fn a_second_process_is_refused_the_queue_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (Bench::new(), Bench::new());
    let graph = first.graph_with_storage(&with(""), directory.path());
    let _running = Engine::start(graph).await.unwrap();
    let error = Engine::start(second.graph_with_storage(&with(""), directory.path())).await.err().unwrap();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(error.to_string(), "`far` could not start");
    assert!(source.contains("is in use by another process"), "{source}");
}

#[tokio::test]
async fn a_full_quota_is_back_pressure_and_gives_way_when_the_far_end_takes_data() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    let (open, gate) = tokio::sync::watch::channel(false);
    bench.script("far", move |_| {
        let mut gate = gate.clone();
        Box::pin(async move {
            drop(gate.wait_for(|open| *open).await);
            Ok(())
        })
    });
    let options = "timeout: 0, sending_queue: {quota: 1MiB, block_on_overflow: false}";
    run_with(&bench, options, directory.path(), |bench| async move {
        let mut taken = 0;
        let large = |number| {
            let mut batch = logs([number]);
            let mut records = batch.records_mut();
            while let Some(mut record) = records.next() {
                record.set_attribute("text", "x".repeat(60_000));
            }
            batch
        };
        let refusal = loop {
            match bench.send("input", large(taken)).await {
                Ok(()) => taken += 1,
                Err(refusal) => break refusal,
            }
        };
        assert!(taken > 10, "{taken}");
        assert_eq!(refusal, Refusal::Retry { reason: "the sending queue is full".into(), after: None });
        open.send(true).unwrap();
        until(|| bench.count(SENT, &[]) == i128::from(taken)).await;
        // Space comes back when the thread of the queue has removed the file.
        loop {
            if bench.send("input", large(taken)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        until(|| bench.count(HELD, &[]) == 0).await;
    })
    .await;
}
