//! The follower on real files: rotations of every kind, restarts and crashes, with a clock that the test moves.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use tempfile::TempDir;
use watershed_config::Section;
use watershed_pipeline::storage::StorageDirectory;
use watershed_pipeline::{Budget, Context, Kind, Shared, Telemetry, Value};

use super::super::Config;
use super::*;

/// A directory of files, a follower of them, and a clock.
struct Bench {
    root: TempDir,
    yaml: String,
    follower: Option<Follower>,
    now: Instant,
    /// What was read, in order.
    lines: Vec<String>,
    telemetry: Telemetry,
}

impl Bench {
    /// Follows `*.log*` in a directory of its own, from the beginning, with more settings.
    fn new(yaml: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("logs")).unwrap();
        let pattern = root.path().join("logs/*.log*");
        let mut text = format!("include: ['{}']\n{yaml}\n", pattern.display());
        if !yaml.contains("start_at") {
            text += "start_at: beginning\n";
        }
        let mut bench = Self {
            root,
            yaml: text,
            follower: None,
            now: Instant::now(),
            lines: Vec::new(),
            telemetry: Telemetry::new(),
        };
        bench.start();
        bench
    }

    fn start(&mut self) {
        let config: Config = Section::from_text("file", &self.yaml).unwrap().read().unwrap();
        let mut shared = Shared::default();
        shared.insert(Arc::new(StorageDirectory(self.root.path().join("state"))));
        let budget = Budget::new(1 << 30, 1 << 30);
        let id = "file".parse().unwrap();
        let cx = Context::new(Kind::Receiver, id, self.telemetry.clone(), budget, Arc::new(shared));
        let mut receiver = watershed_pipeline::ReceiverConfig::build(&config, &cx).unwrap();
        receiver.open().unwrap();
        self.follower = receiver.follower;
    }

    fn follower(&mut self) -> &mut Follower {
        self.follower.as_mut().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("logs").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// Reads one round and keeps it, without saying that it was delivered.
    fn round(&mut self) -> Option<Round> {
        let now = self.now;
        let round = self.follower().read(now, SystemTime::UNIX_EPOCH).ok()?;
        for log in round.batch.logs() {
            self.lines.push(match log.body().unwrap() {
                Value::Str(text) => text.to_owned(),
                other => format!("{other:?}"),
            });
        }
        Some(round)
    }

    /// Looks, reads and delivers everything, without writing positions.
    fn read(&mut self) {
        let now = self.now;
        self.follower().look(now, SystemTime::now());
        while let Some(round) = self.round() {
            self.follower().deliver(&round);
            if self.yaml.contains("max_concurrent_files: 2\n") {
                assert!(self.open_files().len() <= 2, "{:?}", self.open_files());
            }
        }
    }

    /// The files of the bench that this process has open.
    fn open_files(&self) -> Vec<PathBuf> {
        let own = self.root.path().join("logs");
        let handles = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let paths = handles.filter_map(|handle| fs::read_link(handle.path()).ok());
        paths.filter(|path| path.starts_with(&own)).collect()
    }

    fn step(&mut self) {
        self.read();
        let now = self.now;
        self.follower().checkpoint(now);
    }

    fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// What was read since the last call.
    fn taken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    fn restart(&mut self) {
        self.follower().close();
        self.crash();
    }

    fn crash(&mut self) {
        self.follower = None;
        self.start();
    }

    fn count(&self, name: &str) -> i128 {
        let samples = self.telemetry.samples();
        let name = format!("otelcol_receiver_file_{name}");
        samples.iter().find(|sample| sample.name == name).unwrap().value
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// What may happen to one log and to its reader.
#[derive(Clone, Debug)]
enum Event {
    Write(u8),
    /// `a.log` becomes `a.log.<n>`.
    Rename,
    /// `a.log` gets a name that is not looked for.
    RenameAway,
    CopyTruncate,
    Delete,
    /// The newest rotated file becomes an archive.
    Compress(bool),
    Step,
    Advance(u64),
    Restart,
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..5_u8).prop_map(Event::Write),
        2 => Just(Event::Rename),
        1 => Just(Event::RenameAway),
        2 => Just(Event::CopyTruncate),
        1 => Just(Event::Delete),
        2 => any::<bool>().prop_map(Event::Compress),
        4 => Just(Event::Step),
        2 => (0..8_u64).prop_map(Event::Advance),
        1 => Just(Event::Restart),
        1 => Just(Event::Crash),
    ]
}

/// Plays events on one log; gives the lines that were written, and the bench.
fn play(events: &[Event], with_crashes: bool) -> (Vec<String>, Bench) {
    let mut bench = Bench::new("max_concurrent_files: 2\nfingerprint_size: 64");
    let mut written = Vec::new();
    let mut rotated: Vec<String> = Vec::new();
    let mut number = 0;
    let mut is_open = false;
    for event in events {
        match event {
            Event::Write(count) => {
                for _ in 0..*count {
                    let line = format!("{} line {}.", written.len(), "x".repeat(written.len() * 7 % 50));
                    bench.write("a.log", format!("{line}\n"));
                    written.push(line);
                }
            }
            Event::Rename if bench.path("a.log").exists() => {
                number += 1;
                let name = format!("a.log.{number}");
                fs::rename(bench.path("a.log"), bench.path(&name)).unwrap();
                rotated.push(name);
                is_open = false;
            }
            // What has no name that is looked for can only be read while it is open.
            Event::RenameAway if is_open => {
                number += 1;
                fs::rename(bench.path("a.log"), bench.root.path().join(number.to_string())).unwrap();
                bench.read();
                is_open = false;
            }
            Event::Delete if is_open => {
                fs::remove_file(bench.path("a.log")).unwrap();
                bench.read();
                is_open = false;
            }
            Event::CopyTruncate if bench.path("a.log").exists() => {
                number += 1;
                let name = format!("a.log.{number}");
                fs::copy(bench.path("a.log"), bench.path(&name)).unwrap();
                fs::File::create(bench.path("a.log")).unwrap();
                rotated.push(name);
            }
            Event::Compress(zstd) => {
                let Some(name) = rotated.pop() else { continue };
                let text = fs::read(bench.path(&name)).unwrap();
                let packed = if *zstd { zstd::encode_all(text.as_slice(), 1).unwrap() } else { gzip(&text) };
                bench.write(&format!("{name}.packed"), packed);
                fs::remove_file(bench.path(&name)).unwrap();
            }
            Event::Step => {
                bench.step();
                is_open = bench.open_files().contains(&bench.path("a.log"));
            }
            Event::Advance(seconds) => bench.advance(*seconds),
            Event::Restart => {
                bench.restart();
                is_open = false;
            }
            Event::Crash if with_crashes => {
                bench.read();
                bench.crash();
                is_open = false;
            }
            _ => {}
        }
    }
    for _ in 0..3 {
        bench.step();
        bench.advance(10);
    }
    (written, bench)
}

#[test]
fn thousands_of_files_are_read_with_few_handles_and_in_turn() {
    let mut bench = Bench::new("max_concurrent_files: 20");
    for file in 0..2000 {
        bench.write(&format!("{file}.log"), format!("{file} a\n{file} b\n"));
    }
    bench.step();
    assert_eq!(bench.taken().len(), 4000);
    assert!(bench.open_files().len() <= 20, "{}", bench.open_files().len());
    for file in (0..2000).step_by(100) {
        bench.write(&format!("{file}.log"), format!("{file} c\n"));
    }
    bench.restart();
    bench.step();
    assert_eq!(bench.taken().len(), 20);
}

#[test]
fn a_large_file_does_not_keep_others_waiting() {
    let mut bench = Bench::new("");
    bench.write("large.log", "x".repeat(99).replace('x', "0123456789\n").repeat(5000));
    bench.write("small.log", "small\n");
    let now = bench.now;
    bench.follower().look(now, SystemTime::now());
    let round = bench.round().unwrap();
    assert!(bench.lines.contains(&"small".to_owned()));
    assert!(round.bytes < 2 * ROUND as u64, "{}", round.bytes);
}

#[test]
fn at_the_first_start_reading_begins_at_the_end_and_later_files_at_their_beginning() {
    let mut bench = Bench::new("start_at: end");
    bench.write("old.log", "old\n");
    bench.step();
    bench.write("old.log", "new\n");
    bench.write("late.log", "late\n");
    bench.restart();
    bench.step();
    let mut taken = bench.taken();
    taken.sort();
    assert_eq!(taken, ["late", "new"]);
}

#[test]
fn an_unfinished_line_counts_as_finished_after_a_silence() {
    let mut bench = Bench::new("force_flush_period: 2s");
    bench.write("a.log", "one\ntw");
    bench.step();
    assert_eq!(bench.taken(), ["one"]);
    bench.advance(1);
    bench.write("a.log", "o");
    bench.step();
    bench.advance(1);
    bench.step();
    assert!(bench.taken().is_empty());
    let deadline = bench.follower().deadline().unwrap();
    assert!(deadline <= bench.now + Duration::from_secs(1));
    bench.advance(1);
    bench.step();
    assert_eq!(bench.taken(), ["two"]);
}

#[test]
fn a_round_that_is_not_delivered_is_read_again_after_a_restart() {
    let mut bench = Bench::new("");
    bench.write("a.log", "one\ntwo\n");
    let now = bench.now;
    bench.follower().look(now, SystemTime::now());
    bench.round().unwrap();
    assert_eq!(bench.taken(), ["one", "two"]);
    bench.restart();
    bench.step();
    assert_eq!(bench.taken(), ["one", "two"]);
    bench.restart();
    bench.step();
    assert!(bench.taken().is_empty());
}

#[test]
fn lines_larger_than_a_block_are_read_in_one_piece() {
    let mut bench = Bench::new("max_log_size: 4MiB");
    let long = "y".repeat(3 << 20);
    bench.write("a.log", format!("{long}\nend\n"));
    bench.step();
    let taken = bench.taken();
    assert_eq!((taken.len(), taken[0].len(), taken[1].as_str()), (2, 3 << 20, "end"));
}

#[test]
fn other_encodings_are_decoded_and_broken_text_is_counted() {
    let mut bench = Bench::new("encoding: utf-16le");
    let wide: Vec<u8> = "\u{FEFF}grüße\nzwei\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    bench.write("a.log", wide);
    bench.step();
    assert_eq!(bench.taken(), ["grüße", "zwei"]);
    let mut bench = Bench::new("");
    bench.write("a.log", b"good\nb\xFFd\n");
    bench.step();
    assert_eq!(bench.taken(), ["good", "b\u{FFFD}d"]);
    assert_eq!(bench.count("encoding_errors"), 1);
}

#[test]
fn files_are_deleted_once_they_are_delivered() {
    let mut bench = Bench::new("delete_after_read: true");
    bench.write("a.log", "one\n");
    let now = bench.now;
    bench.follower().look(now, SystemTime::now());
    let round = bench.round().unwrap();
    assert!(bench.path("a.log").exists());
    bench.follower().deliver(&round);
    assert!(!bench.path("a.log").exists());
}

#[test]
fn containers_lines_that_wait_for_others_are_read_again_after_a_crash() {
    let mut bench = Bench::new("format: cri");
    bench.write("a.log", "2024-12-19T10:30:15.1Z stdout F whole\n2024-12-19T10:30:15.2Z stdout P be");
    bench.write("a.log", "gin \n");
    bench.step();
    assert_eq!(bench.taken(), ["whole"]);
    bench.crash();
    bench.write("a.log", "2024-12-19T10:30:15.3Z stdout F end\n");
    bench.step();
    assert_eq!(bench.taken(), ["begin end"]);
}

#[test]
fn records_say_where_they_come_from() {
    let mut bench = Bench::new(
        "{include_file_path: true, include_file_record_number: true, include_file_record_offset: true}"
            .trim_matches(['{', '}'])
            .replace(", ", "\n")
            .as_str(),
    );
    bench.write("a.log", "one\ntwo\n");
    let now = bench.now;
    bench.follower().look(now, SystemTime::now());
    let round = bench.round().unwrap();
    let last = round.batch.records().last().unwrap();
    let path = bench.path("a.log").display().to_string();
    assert_eq!(last.attribute("log.file.name"), Some(Value::Str("a.log")));
    assert_eq!(last.attribute("log.file.path"), Some(Value::Str(&path)));
    assert_eq!(last.attribute("log.file.record_number"), Some(Value::Int(2)));
    assert_eq!(last.attribute("log.file.record_offset"), Some(Value::Int(4)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn property_every_line_is_read_once_however_files_are_rotated(events in proptest::collection::vec(event(), 0..40)) {
        let (mut written, mut bench) = play(&events, false);
        let mut read = bench.taken();
        read.sort();
        written.sort();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn property_no_line_is_lost_in_a_crash(events in proptest::collection::vec(event(), 0..40)) {
        let (written, mut bench) = play(&events, true);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        bench.taken().into_iter().for_each(|line| *counts.entry(line).or_default() += 1);
        let lost: Vec<_> = written.iter().filter(|line| !counts.contains_key(*line)).collect();
        prop_assert!(lost.is_empty(), "{:?}", lost);
        prop_assert_eq!(counts.len(), written.len(), "lines that nobody wrote");
    }
}
