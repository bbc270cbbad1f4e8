//! Batches that wait for their next attempt, and those behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use watershed_pipeline::*;

use crate::support::*;

/// An exporter with so many consumers, which tries again every five seconds.
fn with(consumers: usize) -> String {
    format!(
        "
receivers: {{input: }}
exporters: {{far: {{
  sending_queue: {{num_consumers: {consumers}}},
  retry_on_failure: {{randomization_factor: 0, multiplier: 1}},
}}}}
service: {{pipelines: {{logs: {{receivers: [input], exporters: [far]}}}}}}
"
    )
}

/// A far end that takes numbers below a limit only.
fn takes_below(bench: &Bench, limit: i64) {
    bench.script("far", move |attempt| {
        answer(if attempt.items.iter().all(|number| *number < limit) { Ok(()) } else { Err(retry(None)) })
    });
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_does_not_keep_its_consumer_from_the_next() {
    let bench = Bench::new();
    takes_below(&bench, 100);
    let (_stop, _running) = start(bench.graph(&with(2)));
    for number in [100, 101, 102, 1] {
        bench.send("input", logs([number])).await.unwrap();
    }
    settle().await;
    assert_eq!(bench.delivered("far"), [1]);
    takes_below(&bench, i64::MAX);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.delivered("far"), [1, 100, 101, 102]);
    assert_eq!(bench.count("otelcol_exporter_queue_size", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn a_single_consumer_keeps_the_order() {
    let bench = Bench::new();
    takes_below(&bench, 100);
    let (_stop, _running) = start(bench.graph(&with(1)));
    for number in [100, 1] {
        bench.send("input", logs([number])).await.unwrap();
    }
    settle().await;
    assert_eq!(bench.attempts("far").len(), 1);
    takes_below(&bench, i64::MAX);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let sent: Vec<Vec<i64>> = bench.attempts("far").into_iter().map(|attempt| attempt.items).collect();
    assert_eq!(sent, [[100], [100], [1]]);
}

#[tokio::test(start_paused = true)]
async fn the_places_are_bounded_in_number_and_memory() {
    let small = logs([100]);
    let large = {
        let body = "x".repeat(9 << 20);
        Batch::builder(Signal::Logs).record(|log| log.set_body(body.as_str())).build()
    };
    // Beside those that found a place, each of the two consumers waits with one.
    for (batch, tried) in [(small, 102), (large, 3)] {
        let bench = Bench::new();
        bench.script("far", |_| answer(Err(retry(None))));
        let (_stop, _running) =
            start(bench.graph(&with(2).replace("num_consumers", "memory_quota: 1GiB, num_consumers")));
        for _ in 0..tried + 3 {
            bench.send("input", batch.clone()).await.unwrap();
        }
        settle().await;
        assert_eq!(bench.attempts("far").len(), tried);
        bench.script("far", |_| answer(Ok(())));
        tokio::time::sleep(Duration::from_secs(6)).await;
        let sent = bench.count("otelcol_exporter_sent_log_records", &[("exporter", "far")]);
        assert_eq!(sent, tried as i128 + 3);
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_attempts_at_once_than_consumers() {
    let bench = Bench::new();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&running), Arc::clone(&most));
    bench.script("far", move |attempt| {
        let (running, most) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
        Box::pin(async move {
            most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            running.fetch_sub(1, Ordering::Relaxed);
            if attempt.number < 40 { Err(retry(None)) } else { Ok(()) }
        })
    });
    let (_stop, _running) = start(bench.graph(&with(3)));
    for number in 0..40 {
        bench.send("input", logs([number])).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((bench.delivered("far").len(), most.load(Ordering::Relaxed)), (40, 3));
}

#[tokio::test(start_paused = true)]
async fn a_stop_goes_on_with_what_waits_and_counts_what_it_leaves() {
    for (is_back, delivered, dropped) in [(true, 5, 0), (false, 0, 5)] {
        let bench = Bench::new();
        takes_below(&bench, 0);
        let (stop, running) = start(bench.graph(&with(2)));
        for number in 0..5 {
            bench.send("input", logs([number])).await.unwrap();
        }
        settle().await;
        takes_below(&bench, if is_back { i64::MAX } else { 0 });
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
        assert_eq!((bench.delivered("far").len(), bench.dropped("far", "shutdown")), (delivered, dropped));
        assert_eq!(bench.count("otelcol_exporter_held_log_records", &[]), 0);
    }
}

#[tokio::test]
async fn what_waits_stays_on_disk_at_a_stop_and_its_lag_is_measured_after_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    takes_below(&bench, 0);
    let (stop, running) = start(bench.graph_with_storage(&with(2), directory.path()));
    for number in 0..5 {
        bench.send("input", logs([number])).await.unwrap();
    }
    while bench.attempts("far").len() < 5 {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap().dropped, vec![]);
    assert_eq!(bench.count("otelcol_exporter_held_log_records", &[]), 5);
    assert_eq!(lags(&bench), 0);

    let bench = Bench::new();
    let (stop, running) = start(bench.graph_with_storage(&with(2), directory.path()));
    while bench.delivered("far").len() < 5 {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(bench.delivered("far"), [0, 1, 2, 3, 4]);
    assert_eq!(lags(&bench), 5);
}

/// How many lags were measured.
fn lags(bench: &Bench) -> u64 {
    let all = bench.telemetry.distributions();
    all.iter().filter(|one| one.name == "otelcol_exporter_delivery_lag").map(Distribution::count).sum()
}
