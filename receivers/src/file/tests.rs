//! The receiver behind an outlet, and what is wrong with settings.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use tempfile::TempDir;
use watershed_config::{ComponentId, Section};
use watershed_pipeline::testing::Probe;
use watershed_pipeline::{Budget, Kind, Refusal, Shared, Telemetry, Value, shutdown};

use super::*;

#[track_caller]
fn refused(yaml: &str, expected: &str) {
    let section = Section::from_text("file", yaml).unwrap();
    let error = match section.read::<Config>() {
        Err(errors) => errors.to_string(),
        Ok(config) => match config.build(&Context::detached(Kind::Receiver, "file".parse().unwrap())) {
            Err(error) => section.build_error(error).to_string(),
            Ok(_) => "nothing".to_owned(),
        },
    };
    assert!(error.contains(expected), "{yaml}: {error}");
}

#[test]
fn wrong_settings_are_refused_with_place_and_advice() {
    refused("", "file.include: is required; name files such as `[/var/log/*.log]`");
    refused("include: ['/a/[']", "file.include: `/a/[` is not a pattern of paths");
    refused("{include: [a], encoding: big5}", "file.encoding: `big5` is not available; choose `utf-8`");
    refused("{include: [a], acquire_fs_lock: true}", "file.acquire_fs_lock: is not available; remove it");
    refused("{include: [a], header: {pattern: x}}", "file.header: is not available");
    refused("{include: [a], ordering_criteria: {top_n: 2}}", "file.ordering_criteria: is not available");
    refused("{include: [a], delete_after_read: true}", "file.delete_after_read: needs `start_at: beginning`");
    refused("{include: [a], fingerprint_size: 1}", "file.fingerprint_size: `1B` must be from 16B to 64KiB");
    refused("{include: [a], multiline: {}}", "file.multiline: needs exactly one of");
    refused(
        "{include: [a], multiline: {line_end_pattern: '('}}",
        "file.multiline.line_end_pattern: `(` is not",
    );
    refused("{include: [a], attributes: {a: EXPR(1)}}", "file.attributes.a: expressions are not available");
}

#[test]
fn settings_of_the_collector_are_read() {
    refused(
        "include: [/var/log/pods/*/*/*.log]\nexclude: []\nstart_at: end\npoll_interval: 200ms\n\
         fingerprint_size: 1kb\nmax_log_size: 1MiB\nmax_log_size_behavior: truncate\nmax_concurrent_files: 1024\n\
         encoding: utf-8\ninclude_file_path: true\nstorage: file_storage\ncompression: ''\npolls_to_archive: 3\n\
         multiline: {line_start_pattern: '^x', omit_pattern: false}\n\
         retry_on_failure: {enabled: true, initial_interval: 1s, max_interval: 30s, max_elapsed_time: 5m}\n",
        "nothing",
    );
}

#[test]
fn retries_wait_longer_and_longer_and_end_only_if_told_to() {
    let delays = |yaml: &str| -> Vec<Option<u64>> {
        let retry: RetrySettings = Section::from_text("retry", yaml).unwrap().read().unwrap();
        let delay = |attempt| retry.delay(attempt, Duration::from_secs(10), None);
        [1, 2, 6, 4_000_000].map(|attempt| delay(attempt).map(|delay| delay.as_secs())).into()
    };
    assert_eq!(delays("{}"), [Some(1), Some(2), Some(30), Some(30)]);
    assert_eq!(delays("{max_elapsed_time: 12s}"), [Some(1), Some(2), None, None]);
    assert_eq!(delays("{enabled: false}"), [None; 4]);
}

/// A receiver of the files of a directory, at work.
struct Work {
    root: TempDir,
    probe: Probe,
    trigger: Option<watershed_pipeline::ShutdownTrigger>,
    task: tokio::task::JoinHandle<Result<(), RunError>>,
}

impl Work {
    async fn start(root: TempDir, yaml: &str, until_eof: bool, probe: Probe) -> Self {
        let yaml = format!("include: ['{}/*.log']\nstart_at: beginning\n{yaml}", root.path().display());
        let config: Config = Section::from_text("file", &yaml).unwrap().read().unwrap();
        let mut shared = Shared::default();
        shared.insert(Arc::new(StorageDirectory(root.path().join("state"))));
        if until_eof {
            shared.insert(Arc::new(UntilEof::default()));
        }
        let id: ComponentId = "file".parse().unwrap();
        let budget = Budget::new(1 << 30, 1 << 30);
        let cx = Context::new(Kind::Receiver, id, Telemetry::new(), budget, Arc::new(shared));
        let mut receiver = config.build(&cx).unwrap();
        receiver.bind().await.unwrap();
        assert_eq!(receiver.is_finite(), until_eof);
        let (trigger, shutdown) = shutdown();
        let task = tokio::spawn(Box::new(receiver).run(probe.outlet(), shutdown));
        Self { root, probe, trigger: Some(trigger), task }
    }

    fn write(&self, text: &str) {
        append(&self.root, text);
    }

    async fn stop(mut self) -> TempDir {
        self.trigger.take().unwrap().stop();
        self.task.await.unwrap().unwrap();
        self.root
    }
}

fn append(root: &TempDir, text: &str) {
    let path = root.path().join("a.log");
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn bodies(probe: &Probe) -> Vec<String> {
    let batches = probe.batches();
    let logs = batches.iter().flat_map(watershed_pipeline::Batch::logs);
    logs.map(|log| log.body().and_then(Value::as_str).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_written_is_heard_of_and_a_restart_goes_on() {
    let work = Work::start(tempfile::tempdir().unwrap(), "", false, Probe::new()).await;
    work.write("one\n");
    work.probe.received(1).await;
    work.write("two\n");
    work.probe.received(2).await;
    assert_eq!(bodies(&work.probe), ["one", "two"]);
    let root = work.stop().await;
    append(&root, "three\n");
    let work = Work::start(root, "", false, Probe::new()).await;
    work.probe.received(1).await;
    assert_eq!(bodies(&work.probe), ["three"]);
    work.stop().await;
}

#[tokio::test]
async fn what_was_refused_is_sent_again_and_nothing_overtakes_it() {
    let probe = Probe::new();
    probe.refuse(Refusal::Retry { reason: "busy".into(), after: None });
    let root = tempfile::tempdir().unwrap();
    append(&root, "one\n");
    let retry = "retry_on_failure: {initial_interval: 1ms, max_interval: 1ms}";
    let work = Work::start(root, retry, false, probe).await;
    work.probe.received(3).await;
    work.write("two\n");
    work.probe.take();
    while bodies(&work.probe).last().unwrap() != "two" {
        let sent = work.probe.batches().len();
        work.probe.received(sent + 1).await;
    }
    let bodies = bodies(&work.probe);
    let ones = bodies.iter().take_while(|body| *body == "one").count();
    assert_eq!((ones + 1, bodies.len() - ones), (bodies.len(), 1));
    work.stop().await;
}

#[tokio::test]
async fn what_was_on_its_way_at_the_stop_is_read_again() {
    let probe = Probe::new();
    probe.refuse(Refusal::Retry { reason: "busy".into(), after: None });
    let root = tempfile::tempdir().unwrap();
    append(&root, "one\n");
    let retry = "retry_on_failure: {initial_interval: 1ms, max_interval: 1ms}";
    let work = Work::start(root, retry, false, probe).await;
    work.probe.received(1).await;
    let Work { root, task, .. } = work;
    task.abort();
    drop(task.await);
    let work = Work::start(root, "", false, Probe::new()).await;
    work.probe.received(1).await;
    assert_eq!(bodies(&work.probe), ["one"]);
    work.stop().await;
}

#[tokio::test]
async fn several_rounds_that_are_taken_during_one_step_all_count_as_delivered() {
    let root = tempfile::tempdir().unwrap();
    // Rounds are taken at once, while a step has many files to look at.
    for file in 0..300 {
        let text: String = (0..2000).map(|line| format!("{file} {line}\n")).collect();
        fs::write(root.path().join(format!("{file}.log")), text).unwrap();
    }
    let work = Work::start(root, "", true, Probe::new()).await;
    let Work { root, probe, task, .. } = work;
    tokio::time::timeout(Duration::from_secs(60), task).await.unwrap().unwrap().unwrap();
    assert_eq!(bodies(&probe).len(), 300 * 2000);
    let work = Work::start(root, "", true, Probe::new()).await;
    work.task.await.unwrap().unwrap();
    assert!(bodies(&work.probe).is_empty());
}

#[tokio::test]
async fn until_the_end_means_that_everything_is_delivered() {
    let root = tempfile::tempdir().unwrap();
    let text: String = (0..100_000).map(|number| format!("line {number}\n")).collect();
    append(&root, &text);
    append(&root, "unfinished");
    let work = Work::start(root, "", true, Probe::new()).await;
    work.task.await.unwrap().unwrap();
    let bodies = bodies(&work.probe);
    assert_eq!((bodies.len(), bodies.last().unwrap().as_str()), (100_001, "unfinished"));
}
