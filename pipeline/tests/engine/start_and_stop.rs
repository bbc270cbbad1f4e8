//! Order of start and stop, and what becomes of data in a stop.

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watershed_pipeline::*;

use crate::support::*;

const SIMPLE: &str = "
receivers: {input: , input/2: {port: 9}}
exporters: {local: , far: }
service: {pipelines: {logs: {receivers: [input, input/2], exporters: [local, far]}}}
";

#[tokio::test(start_paused = true)]
async fn exporters_start_then_every_port_is_bound_then_receivers_run_and_the_stop_goes_downstream() {
    let bench = Bench::new();
    let mut addresses = Vec::new();
    let outcome = run(bench.graph(SIMPLE), ready(()), |ready| addresses = ready.addresses.clone()).await;
    assert_eq!(outcome.unwrap(), Summary::default());
    let notes = bench.notes();
    assert_eq!(notes[..4], ["start far", "start local", "bind input", "bind input/2"]);
    assert_eq!(notes[notes.len() - 2..], ["flush far", "flush local"]);
    let addresses: Vec<String> = addresses.iter().map(|(id, by, at)| format!("{id} {by} {at}")).collect();
    assert_eq!(addresses, ["input test 127.0.0.1:0", "input/2 test 127.0.0.1:9"]);
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_taken_stops_the_start_before_any_receiver_runs() {
    let bench = Bench::new();
    let text = SIMPLE.replace("{port: 9}", "{bind_error: true}");
    let error = run(bench.graph(&text), pending(), |_| panic!("not ready")).await.unwrap_err();
    assert_eq!(error.to_string(), "`input/2` could not start");
    assert!(!bench.notes().iter().any(|note| note.starts_with("run")));
}

#[tokio::test(start_paused = true)]
async fn a_failing_receiver_stops_the_process_in_order_with_its_reason() {
    let bench = Bench::new();
    let text = SIMPLE.replace("{port: 9}", "{run_error: true}");
    let error = run(bench.graph(&text), pending(), |_| ()).await.unwrap_err();
    assert_eq!(error.to_string(), "`input/2` failed: lost its socket");
    assert!(bench.notes().contains(&"end input".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_fatal_export_and_a_panic_stop_the_process_and_the_sender_is_not_told_that_all_is_well() {
    for (far, reason) in [
        (Err(ExportError::Fatal { reason: "wrong password".into() }), "wrong password"),
        (Ok(()), "panicked: no luck; this is a defect, please report it"),
    ] {
        let bench = Bench::new();
        bench.script("local", move |_| match &far {
            Err(error) => answer(Err(error.clone())),
            Ok(()) => Box::pin(async { panic!("no luck") }),
        });
        let (_stop, running) = start(bench.graph(SIMPLE));
        assert!(bench.send("input", logs(0..3)).await.is_err());
        let error = running.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), format!("`local` failed: {reason}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_processor_stops_the_process_and_refuses_the_batch() {
    let bench = Bench::new();
    let (_stop, running) = start(bench.graph(
        "
receivers: {input: }
processors: {trouble: {panics: true}}
exporters: {local: }
service: {pipelines: {logs: {receivers: [input], processors: [trouble], exporters: [local]}}}
",
    ));
    assert!(matches!(bench.send("input", logs([1])).await, Err(Refusal::Retry { .. })));
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`trouble` failed: panicked: the sky falls; this is a defect, please report it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_with_an_end_waits_for_delivery_longer_than_a_stop_would_and_for_no_other_receiver() {
    let bench = Bench::new();
    bench.script("far", |attempt| {
        // The far end is down for the first five minutes or so.
        answer(if attempt.at < 300_000 { Err(retry(None)) } else { Ok(()) })
    });
    let graph = bench.graph(
        "
receivers: {input: {finite: true}, input/2: }
processors: {hold: {period: 1h, custody: true}}
exporters: {far: {retry_on_failure: {max_elapsed_time: 0}}}
service: {pipelines: {logs: {receivers: [input, input/2], processors: [hold], exporters: [far]}}}
",
    );
    assert!(graph.is_finite());
    let (_stop, running) = start(graph);
    bench.send("input", logs(0..3)).await.unwrap();
    let summary = running.await.unwrap().unwrap();
    assert_eq!(summary.lost_in_stop(), 0);
    assert_eq!(bench.delivered("far"), [0, 1, 2]);
}

const HOLDING: &str = "
receivers: {input: }
processors: {hold: {period: 1h, custody: true}, pass: {even: true}}
exporters: {far: {sending_queue: {num_consumers: 1}}}
service: {pipelines: {logs: {receivers: [input], processors: [hold, pass], exporters: [far]}}}
";

#[tokio::test(start_paused = true)]
async fn a_stop_delivers_what_processors_and_queues_hold() {
    let bench = Bench::new();
    let (stop, running) = start(bench.graph(&HOLDING.replace("custody: true", "custody: false")));
    let client = tokio::spawn({
        let bench = Arc::clone(&bench);
        async move { bench.send("input", logs(0..10)).await }
    });
    settle().await;
    assert_eq!(bench.count("otelcol_processor_held_items", &[]), 10);
    stop.send(()).unwrap();
    // The client still waits, so the receiver has to be ended before its batch is drained.
    let summary = running.await.unwrap().unwrap();
    assert_eq!(summary.lost_in_stop(), 0);
    assert!(client.await.unwrap().is_err(), "the connection was cut without an answer");
    assert_eq!(bench.delivered("far"), [0, 2, 4, 6, 8]);
}

#[tokio::test(start_paused = true)]
async fn accepted_records_are_delivered_or_counted_across_a_stop() {
    let bench = Bench::new();
    bench.script("far", |_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        })
    });
    let (stop, running) = start(bench.graph(HOLDING));
    for batch in 0..5 {
        bench.send("input", logs(batch * 10..batch * 10 + 10)).await.unwrap();
    }
    stop.send(()).unwrap();
    let summary = running.await.unwrap().unwrap();
    assert_eq!(summary.totals[0], Totals { accepted: 50, sent: 25 });
    assert_eq!(bench.count("otelcol_processor_dropped_items", &[("processor", "pass")]), 25);
    assert_eq!(summary.to_string(), "accepted 50 items, sent 25");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_by_the_deadline_is_counted_as_lost_in_the_stop() {
    let bench = Bench::new();
    bench.script("far", |_| answer(Err(retry(None))));
    let (stop, running) = start(bench.graph(HOLDING));
    for batch in 0..5 {
        bench.send("input", logs(batch * 10..batch * 10 + 10)).await.unwrap();
    }
    let began = Instant::now();
    stop.send(()).unwrap();
    let summary = running.await.unwrap().unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(10), "the deadline of the bench");
    assert_eq!(summary.lost_in_stop(), 25);
    assert_eq!(summary.to_string(), "accepted 50 items, sent 0, dropped 25 of logs at `far` (shutdown)");
    assert_eq!(bench.count("otelcol_exporter_held_log_records", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_request_ends_the_stop_at_once_with_the_numbers() {
    let bench = Bench::new();
    bench.script("far", |_| Box::pin(pending()));
    let running = Engine::start(bench.graph(HOLDING)).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (again, asked_again) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(running.run(async { drop(stopped.await) }, async { drop(asked_again.await) }));
    bench.send("input", logs(0..10)).await.unwrap();
    stop.send(()).unwrap();
    settle().await;
    let began = Instant::now();
    again.send(()).unwrap();
    let summary = running.await.unwrap().unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(summary.lost_in_stop(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_leaves_time_for_what_was_accepted() {
    let bench = Bench::new();
    let (stop, running) = start(bench.graph(&HOLDING.replace("{input: }", "{input: {hangs: true}}")));
    bench.send("input", logs([2, 4])).await.unwrap();
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap().lost_in_stop(), 0);
    assert_eq!(bench.delivered("far"), [2, 4]);
}
