//! Queue, batching, retry and timeout in front of an exporter.

use std::sync::Arc;
use std::time::Duration;

use watershed_pipeline::*;

use crate::support::*;

/// A document with one exporter and these options.
fn with(options: &str) -> String {
    format!(
        "
receivers: {{input: }}
exporters: {{local: , far: {{{options}}}}}
service: {{pipelines: {{logs: {{receivers: [input], exporters: [far]}}}}}}
"
    )
}

fn send(bench: &Arc<Bench>, batch: Batch) -> tokio::task::JoinHandle<Result<(), Refusal>> {
    let bench = Arc::clone(bench);
    tokio::spawn(async move { bench.send("input", batch).await })
}

#[tokio::test(start_paused = true)]
async fn a_memory_queue_answers_on_admission_and_waiting_for_the_result_after_the_far_end() {
    for (options, answered) in [("", true), ("sending_queue: {wait_for_result: true}", false)] {
        let bench = Bench::new();
        bench.script("far", |_| Box::pin(std::future::pending()));
        let (_stop, _running) = start(bench.graph(&with(options)));
        let client = send(&bench, logs([1]));
        settle().await;
        assert_eq!(client.is_finished(), answered, "{options}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_the_sender_wait_or_refuses_it() {
    for (block, waits) in [(true, true), (false, false)] {
        let bench = Bench::new();
        let (open, gate) = tokio::sync::watch::channel(false);
        bench.script("far", move |_| {
            let mut gate = gate.clone();
            Box::pin(async move {
                drop(gate.wait_for(|open| *open).await);
                Ok(())
            })
        });
        let options = format!("timeout: 0, sending_queue: {{queue_size: 2, block_on_overflow: {block}}}");
        let (_stop, _running) = start(bench.graph(&with(&options)));
        bench.send("input", logs([1])).await.unwrap();
        bench.send("input", logs([2])).await.unwrap();
        let labels = [("exporter", "far"), ("data_type", "logs")];
        assert_eq!(bench.count("otelcol_exporter_queue_size", &labels), 2);
        assert_eq!(bench.count("otelcol_exporter_queue_capacity", &labels), 2);
        let third = send(&bench, logs([3]));
        settle().await;
        assert_eq!(third.is_finished(), !waits);
        open.send(true).unwrap();
        if waits {
            third.await.unwrap().unwrap();
            settle().await;
            assert_eq!(bench.delivered("far"), [1, 2, 3]);
        } else {
            let refusal = third.await.unwrap().unwrap_err();
            assert_eq!(refusal, Refusal::Retry { reason: "the sending queue is full".into(), after: None });
            assert_eq!(bench.count("otelcol_exporter_enqueue_failed_log_records", &[]), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_in_memory_is_bounded_in_bytes_unless_its_size_counts_them() {
    for (options, waits) in [
        ("memory_quota: 1MiB", true),
        ("memory_quota: 8MiB", false),
        ("memory_quota: 1MiB, sizer: bytes, queue_size: 8000000", false),
    ] {
        let bench = Bench::new();
        bench.script("far", |_| Box::pin(std::future::pending()));
        let (_stop, _running) =
            start(bench.graph(&with(&format!("timeout: 0, sending_queue: {{{options}}}"))));
        let large = || {
            Batch::builder(Signal::Logs).record(|log| log.set_body("x".repeat(700 << 10).as_str())).build()
        };
        bench.send("input", large()).await.unwrap();
        let second = send(&bench, large());
        settle().await;
        assert_eq!(!second.is_finished(), waits, "{options}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_whole_queue_is_let_in_alone() {
    let bench = Bench::new();
    let (_stop, _running) = start(bench.graph(&with("sending_queue: {memory_quota: 1MiB}")));
    for _ in 0..2 {
        let batch =
            Batch::builder(Signal::Logs).record(|log| log.set_body("x".repeat(3 << 20).as_str())).build();
        bench.send("input", batch).await.unwrap();
    }
    settle().await;
    assert_eq!(bench.count("otelcol_exporter_sent_log_records", &[("exporter", "far")]), 2);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_repeated_after_growing_intervals_and_not_before_the_far_end_asks() {
    let bench = Bench::new();
    bench.script("far", |attempt| match attempt.number {
        0 | 1 => answer(Err(retry(None))),
        2 => answer(Err(retry(Some(Duration::from_secs(60))))),
        _ => answer(Ok(())),
    });
    let (_stop, _running) = start(bench.graph(&with("retry_on_failure: {randomization_factor: 0}")));
    bench.send("input", logs(0..3)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    let times: Vec<u128> = bench.attempts("far").iter().map(|attempt| attempt.at).collect();
    assert_eq!(times, [0, 5000, 12_500, 72_500]);
    assert_eq!(bench.count("otelcol_exporter_sent_log_records", &[("exporter", "far")]), 3);
    assert_eq!(bench.count("otelcol_exporter_queue_size", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_repeated() {
    let bench = Bench::new();
    bench.script("far", |attempt| match attempt.number {
        0 => Box::pin(std::future::pending()),
        _ => answer(Ok(())),
    });
    let (_stop, _running) =
        start(bench.graph(&with("timeout: 2s, retry_on_failure: {randomization_factor: 0}")));
    bench.send("input", logs([1])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let times: Vec<u128> = bench.attempts("far").iter().map(|attempt| attempt.at).collect();
    assert_eq!(times, [0, 7000]);
}

#[tokio::test(start_paused = true)]
async fn giving_up_drops_with_a_reason_behind_a_queue_and_refuses_without_one() {
    for queue in [true, false] {
        let bench = Bench::new();
        bench.script("far", |_| answer(Err(retry(None))));
        let options =
            format!("sending_queue: {{enabled: {queue}}}, retry_on_failure: {{max_elapsed_time: 20s}}");
        let (_stop, _running) = start(bench.graph(&with(&options)));
        let outcome = bench.send("input", logs(0..3)).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(outcome.is_ok(), queue);
        assert_eq!(bench.dropped("far", "retry_timeout"), if queue { 3 } else { 0 });
        assert_eq!(bench.count("otelcol_exporter_send_failed_log_records", &[]), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_halved_until_it_fits_and_a_single_item_is_dropped() {
    let bench = Bench::new();
    bench.script("far", |attempt| {
        let too_large = attempt.items.len() > 2 || attempt.items.contains(&6);
        answer(if too_large { Err(ExportError::TooLarge { reason: "413".into() }) } else { Ok(()) })
    });
    let (_stop, _running) = start(bench.graph(&with("")));
    bench.send("input", logs(0..8)).await.unwrap();
    settle().await;
    let sizes: Vec<usize> = bench.attempts("far").iter().map(|attempt| attempt.items.len()).collect();
    assert_eq!(sizes, [8, 4, 2, 2, 4, 2, 2, 1, 1]);
    assert_eq!(bench.delivered("far"), [0, 1, 2, 3, 4, 5, 7]);
    assert_eq!(bench.dropped("far", "too_large"), 1);
    assert_eq!(bench.count("otelcol_exporter_sent_log_records", &[("exporter", "far")]), 7);
}

#[tokio::test(start_paused = true)]
async fn rejected_items_are_dropped_and_counted_and_a_waiting_sender_hears_a_final_refusal() {
    for (count, options, refused, dropped) in
        [(2, "", false, 2), (3, "", false, 3), (3, "sending_queue: {wait_for_result: true}", true, 0)]
    {
        let bench = Bench::new();
        bench.script("far", move |_| answer(Err(ExportError::Reject { count, reason: "bad record".into() })));
        let (_stop, _running) = start(bench.graph(&with(options)));
        let outcome = bench.send("input", logs(0..3)).await;
        settle().await;
        assert_eq!(outcome == Err(Refusal::Final { reason: "bad record".into() }), refused);
        assert_eq!(bench.dropped("far", "rejected"), dropped);
        assert_eq!(bench.count("otelcol_exporter_sent_log_records", &[]), 3 - i128::try_from(count).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_exporters_the_one_that_refuses_is_heard() {
    let bench = Bench::new();
    bench.script("far", |_| answer(Err(retry(None))));
    let text = with("sending_queue: {enabled: false}, retry_on_failure: {enabled: false}")
        .replace("[far]", "[local, far]");
    let (_stop, _running) = start(bench.graph(&text));
    let refusal = bench.send("input", logs([1])).await.unwrap_err();
    assert_eq!(refusal, Refusal::Retry { reason: "far end is busy".into(), after: None });
    assert_eq!(bench.delivered("local"), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_is_down_does_not_hold_up_the_others() {
    let bench = Bench::new();
    bench.script("far", |_| Box::pin(std::future::pending()));
    let text = with("timeout: 0, sending_queue: {enabled: false}").replace("[far]", "[far, local]");
    let (_stop, _running) = start(bench.graph(&text));
    let client = send(&bench, logs([1]));
    settle().await;
    assert_eq!(bench.delivered("local"), [1]);
    assert!(!client.is_finished());
}

#[tokio::test(start_paused = true)]
async fn batches_are_merged_up_to_a_size_or_an_age_and_split_at_the_maximum() {
    let bench = Bench::new();
    let options = "sending_queue: {batch: {min_size: 10, max_size: 12, flush_timeout: 1s}}";
    let (_stop, _running) = start(bench.graph(&with(options)));
    for start in [0, 4, 8] {
        bench.send("input", logs(start..start + 4)).await.unwrap();
    }
    bench.send("input", logs(100..130)).await.unwrap();
    settle().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let attempts = bench.attempts("far");
    let sizes: Vec<(usize, u128)> =
        attempts.iter().map(|attempt| (attempt.items.len(), attempt.at)).collect();
    assert_eq!(sizes, [(12, 0), (12, 0), (12, 0), (6, 1000)]);
    assert_eq!(bench.delivered("far").len(), 42);
}

#[tokio::test(start_paused = true)]
async fn merging_keeps_the_answers_of_all_senders_and_never_mixes_metadata() {
    let bench = Bench::new();
    let options = "sending_queue: {wait_for_result: true, batch: {min_size: 4, flush_timeout: 1s}}";
    bench.script("far", |attempt| {
        answer(if attempt.items.contains(&1) {
            Err(ExportError::Reject { count: 4, reason: "no".into() })
        } else {
            Ok(())
        })
    });
    let (_stop, _running) = start(bench.graph(&with(options)));
    let tenant = |name: &str, numbers: [i64; 2]| {
        let mut batch = logs(numbers);
        let headers = [("X-Tenant".to_owned(), name.to_owned())];
        batch.set_metadata(Some(Arc::new(Metadata::new(headers, None))));
        send(&bench, batch)
    };
    let clients = [tenant("a", [1, 2]), tenant("b", [3, 4]), tenant("a", [5, 6]), tenant("b", [7, 8])];
    let mut answers = Vec::new();
    for client in clients {
        answers.push(client.await.unwrap().is_ok());
    }
    assert_eq!(answers, [false, true, false, true]);
    assert_eq!(bench.delivered("far"), [3, 4, 7, 8]);
    assert_eq!(bench.attempts("far").len(), 2);
}
