//! How batches pass processors: branches, keys, derived streams, time, counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use watershed_pipeline::*;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_batch_reaches_every_exporter_of_every_pipeline_of_its_receiver() {
    let bench = Bench::new();
    let (_stop, _running) = start(bench.graph(
        "
receivers: {input: , input/2: }
processors: {pass: {even: true}}
exporters: {local: , local/b: , far: }
service:
  pipelines:
    logs: {receivers: [input, input/2], processors: [pass], exporters: [local, local/b]}
    logs/all: {receivers: [input], exporters: [far]}
",
    ));
    bench.send("input", logs(0..4)).await.unwrap();
    bench.send("input/2", logs([8])).await.unwrap();
    settle().await;
    assert_eq!(bench.delivered("local"), [0, 2, 8]);
    assert_eq!(bench.delivered("local/b"), [0, 2, 8]);
    assert_eq!(bench.delivered("far"), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_no_pipeline_takes_is_refused_for_good() {
    let bench = Bench::new();
    let (_stop, _running) = start(bench.graph(
        "
receivers: {input: }
exporters: {local: }
service: {pipelines: {traces: {receivers: [input], exporters: [local]}}}
",
    ));
    let refusal = bench.send("input", logs([1])).await.unwrap_err();
    assert_eq!(refusal, Refusal::Final { reason: "no pipeline takes logs from the receiver `input`".into() });
}

const KEYED: &str = "
receivers: {input: }
processors: {pass: , pass/2: , pass/global: {global: true}, keyed: }
exporters: {local: }
service:
  pipelines: {logs: {receivers: [input], processors: [pass, keyed, pass/global, pass/2], exporters: [local]}}
";

#[tokio::test(start_paused = true)]
async fn a_key_always_meets_the_same_instance_whatever_stands_around_it() {
    let bench = Bench::new();
    let (_stop, _running) = start(bench.graph(KEYED));
    for round in 0..20 {
        bench.send("input", logs(round * 7..round * 7 + 13)).await.unwrap();
    }
    let mut instances: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for note in bench.notes().iter().filter(|note| note.starts_with("key")) {
        let (key, instance) = note.split_once(" instance ").unwrap();
        instances.entry(key.to_owned()).or_default().insert(instance.to_owned());
    }
    assert_eq!(instances.len(), 10);
    assert!(instances.values().all(|seen| seen.len() == 1), "{instances:?}");
    let used: BTreeSet<_> = instances.values().flatten().collect();
    assert_eq!(used.len(), 4, "all lanes have work");
    assert_eq!(bench.delivered("local").len(), 20 * 13);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_senders_pass_all_lanes_without_loss() {
    const SENDERS: i64 = 8;
    const BATCHES: i64 = 50;
    let bench = Bench::new();
    let (stop, running) = start(bench.graph(KEYED));
    let send = |sender: i64| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move {
            for batch in 0..BATCHES {
                let first = (sender * BATCHES + batch) * 10;
                bench.send("input", logs(first..first + 10)).await.unwrap();
            }
        })
    };
    for sender in (0..SENDERS).map(send).collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    stop.send(()).unwrap();
    let items = u64::try_from(SENDERS * BATCHES * 10).unwrap();
    assert_eq!(running.await.unwrap().unwrap().totals[0], Totals { accepted: items, sent: items });
    assert_eq!(bench.delivered("local"), (0..SENDERS * BATCHES * 10).collect::<Vec<_>>());
}

const DERIVED: &str = "
receivers: {input: }
processors: {derive: }
exporters: {local: , far: {sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}}
service:
  pipelines:
    logs: {receivers: [input], processors: [derive], exporters: [local]}
    logs/derived: {receivers: [derive], exporters: [far]}
";

#[tokio::test(start_paused = true)]
async fn derived_telemetry_goes_to_the_pipelines_that_name_the_processor() {
    let bench = Bench::new();
    let (_stop, _running) = start(bench.graph(DERIVED));
    bench.send("input", logs(10..15)).await.unwrap();
    assert_eq!(bench.delivered("local"), [10, 11, 12, 13, 14]);
    assert_eq!(bench.delivered("far"), [5]);
    assert_eq!(bench.count("otelcol_processor_derived_items", &[("processor", "derive")]), 1);
}

#[tokio::test(start_paused = true)]
async fn derived_telemetry_that_cannot_be_taken_refuses_the_send() {
    let bench = Bench::new();
    bench.script("far", |_| answer(Err(retry(None))));
    let (_stop, _running) = start(bench.graph(DERIVED));
    let refusal = bench.send("input", logs(10..15)).await.unwrap_err();
    assert_eq!(refusal, Refusal::Retry { reason: "far end is busy".into(), after: None });
}

#[tokio::test(start_paused = true)]
async fn a_connector_passes_on_only_what_it_derives() {
    let bench = Bench::new();
    let (_stop, _running) = start(bench.graph(
        "
receivers: {input: }
connectors: {derive: }
exporters: {local: , local/derived: }
service:
  pipelines:
    logs: {receivers: [input], exporters: [local, derive]}
    logs/derived: {receivers: [derive], exporters: [local/derived]}
",
    ));
    bench.send("input", logs(10..15)).await.unwrap();
    assert_eq!(bench.delivered("local"), [10, 11, 12, 13, 14]);
    assert_eq!(bench.delivered("local/derived"), [5]);
}

#[tokio::test(start_paused = true)]
async fn a_processor_that_refuses_is_heard_by_the_sender_and_the_count_is_kept() {
    let bench = Bench::new();
    let (_stop, _running) = start(bench.graph(
        "
receivers: {input: }
processors: {trouble: }
exporters: {local: }
service: {pipelines: {logs: {receivers: [input], processors: [trouble], exporters: [local]}}}
",
    ));
    let refusal = bench.send("input", logs(0..3)).await.unwrap_err();
    assert_eq!(refusal, Refusal::Retry { reason: "no room".into(), after: None });
    assert_eq!(bench.count("otelcol_processor_incoming_items", &[]), 3);
    assert_eq!(bench.count("otelcol_processor_refused_items", &[]), 3);
    assert_eq!(bench.count("otelcol_receiver_refused_log_records", &[]), 3);
}

#[tokio::test(start_paused = true)]
async fn held_batches_go_out_at_their_time_and_their_senders_hear_it_then() {
    let bench = Bench::new();
    let (_stop, _running) = start(bench.graph(
        "
receivers: {input: }
processors: {hold: {period: 3s}}
exporters: {local: }
service: {pipelines: {logs: {receivers: [input], processors: [hold], exporters: [local]}}}
",
    ));
    let send = |number| {
        let bench = Arc::clone(&bench);
        tokio::spawn(async move { bench.send("input", logs([number])).await })
    };
    let first = send(1);
    settle().await;
    tokio::time::advance(Duration::from_secs(1)).await;
    let second = send(2);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    let times: Vec<u128> = bench.attempts("local").iter().map(|attempt| attempt.at).collect();
    assert_eq!(times, [3000, 4000]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_a_processor_asked_for_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("numbers");
    let text = format!(
        "
receivers: {{input: }}
processors: {{listed: {{file: {}}}}}
exporters: {{local: }}
service: {{pipelines: {{logs: {{receivers: [input], processors: [listed], exporters: [local]}}}}}}
",
        file.display()
    );
    let bench = Bench::new();
    let errors = bench.build(&text).unwrap_err().to_string();
    assert!(errors.contains("processors.listed.file: can't read `"), "{errors}");
    std::fs::write(&file, "1").unwrap();
    let (_stop, _running) = start(bench.graph(&text));
    bench.send("input", logs(0..30)).await.unwrap();
    for (text, has_failed) in [("2\n20", false), ("no number", true)] {
        std::fs::write(&file, text).unwrap();
        // Time stands still while the engine reads.
        tokio::time::sleep(Duration::from_secs(6)).await;
        bench.send("input", logs(0..30)).await.unwrap();
        // Each lane asked for the file.
        let failures = bench.count("otelcol_processor_file_failures", &[("processor", "listed")]);
        assert_eq!(failures > 0, has_failed);
    }
    assert_eq!(bench.delivered("local"), [1, 2, 2, 20, 20]);
}
