//! Files with mistakes, and exactly what people are told about them.

#![cfg(test)]

use watershed_config::{Source, Sources, load};

/// Loads the texts as `a.yaml`, `b.yaml`, … and compares everything that is reported.
#[track_caller]
fn check(texts: &[&str], expected: &[&str]) {
    let names = ["a.yaml", "b.yaml", "c.yaml"];
    let files = names.iter().zip(texts).map(|(name, text)| Source::text(*name, *text)).collect();
    let errors = load(&Sources { files, set: vec![] }, &|_| None).expect_err("a mistake is found");
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(lines, expected);
}

#[test]
fn every_mistake_of_the_structure_is_reported_at_once() {
    check(
        &["receivers:
  otlp:
  1bad:
procesors:
  batch:
processors:
  batch:
  redaction/a b:
exporters:
  debug:
service:
  extensions: [health_chek]
  pipelines:
    logs:
      receivers: [otpl]
      processors: [batch, batch, debug]
      exporters: []
    trace:
      receivers: [otlp]
    profiles:
      receivers: [otlp]
      exporters: [debug]
    metrics:
      reciever: [otlp]
      exporters: debug
"],
        &[
            "a.yaml:3:3: receivers: `1bad` is not a type of component; a type is a letter followed by letters, digits and `_`",
            "a.yaml:4:1: unknown key `procesors`; did you mean `processors`?",
            "a.yaml:8:3: processors: the name `a b` holds a space or control character; remove it",
            "a.yaml:12:16: service.extensions: extension `health_chek` is not configured; add it under `extensions`",
            "a.yaml:15:19: service.pipelines.logs.receivers: receiver `otpl` is not configured; did you mean `otlp`?",
            "a.yaml:16:27: service.pipelines.logs.processors: `batch` is listed twice; remove one",
            "a.yaml:16:34: service.pipelines.logs.processors: processor `debug` is not configured; it is configured under `exporters`, not under `processors`",
            "a.yaml:17:7: service.pipelines.logs: needs at least one of `exporters`",
            "a.yaml:18:5: service.pipelines: unknown signal `trace`; did you mean `traces`?",
            "a.yaml:20:5: service.pipelines: profiles are not supported; a pipeline carries logs, traces or metrics",
            "a.yaml:23:5: service.pipelines.metrics: needs at least one of `receivers`",
            "a.yaml:24:7: service.pipelines.metrics: unknown key `reciever`; did you mean `receivers`?",
            "a.yaml:25:18: service.pipelines.metrics.exporters: expected a list, found the text `debug`; write `[a, b]`",
        ],
    );
}

#[test]
fn places_are_those_of_the_file_that_won() {
    check(
        &[
            "receivers: {otlp: }\nexporters: {debug: }\nservice:\n  pipelines:\n    logs: {receivers: [otlp], exporters: [debug]}\n",
            "service:\n  pipelines:\n    logs:\n      exporters: [debgu]\n",
            "service:\n  pipelines:\n    logs/x: {receivers: [nothing], exporters: [debug]}\n",
        ],
        &[
            "b.yaml:4:19: service.pipelines.logs.exporters: exporter `debgu` is not configured; did you mean `debug`?",
            "c.yaml:3:26: service.pipelines.logs/x.receivers: receiver `nothing` is not configured; add it under `receivers`, or use one of: otlp",
        ],
    );
}

#[test]
fn text_that_is_not_yaml_is_reported_with_its_place() {
    for (text, expected) in [
        ("a:\n\tb: 1\n", "a.yaml:2:1: a tab in the indentation; use spaces"),
        ("a:\n  b: 1\n \t c: 2\n", "a.yaml:3:2: a tab in the indentation; use spaces"),
        ("", "a.yaml: is empty; it should hold at least `receivers`, `exporters` and `service`"),
        ("# nothing\n", "a.yaml: is empty; it should hold at least `receivers`, `exporters` and `service`"),
        ("- a\n", "a.yaml:1:1: expected a map with `receivers`, `exporters` and `service`, found a list"),
        (
            "just words\n",
            "a.yaml:1:1: expected a map with `receivers`, `exporters` and `service`, found a text",
        ),
        ("a: !custom 1\n", "a.yaml:1:4: unknown tag `!custom`; remove it"),
        ("a: 1\n---\nb: 1\n", "a.yaml:2:1: a second YAML document; keep one document in a file"),
        ("[a]: 1\n", "a.yaml:1:1: a key is a list or map; keys are plain text"),
        ("a: &x [*x]\n", "a.yaml:1:8: an alias inside the value that it stands for"),
        (
            "a: {<<: {b: 1}, <<: {b: 1}}\n",
            "a.yaml:1:17: duplicate key `<<`, given first at a.yaml:1:5; remove one of them",
        ),
        ("a: {<<: 1}\n", "a.yaml:1:9: `<<` takes a map or a list of maps"),
    ] {
        check(&[text], &[expected]);
    }
}

#[test]
fn syntax_mistakes_of_all_files_are_reported() {
    let parse_error = "not valid YAML: ";
    let files = vec![Source::text("a.yaml", "a: [1\n"), Source::text("b.yaml", "b: *nowhere\n")];
    let errors = load(&Sources { files, set: vec![] }, &|_| None).expect_err("both are broken");
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("a.yaml:") && lines[0].contains(parse_error), "{lines:?}");
    assert!(lines[1].starts_with("b.yaml:1:4: ") && lines[1].contains(parse_error), "{lines:?}");
}

#[test]
fn all_duplicate_keys_are_reported_with_both_places() {
    check(
        &["a:\n  x: 1\n  y: 2\n  x: 3\nb:\n  - {k: 1, k: 2}\na: 1\n"],
        &[
            "a.yaml:4:3: duplicate key `x`, given first at a.yaml:2:3; remove one of them",
            "a.yaml:6:12: duplicate key `k`, given first at a.yaml:6:6; remove one of them",
            "a.yaml:7:1: duplicate key `a`, given first at a.yaml:1:1; remove one of them",
        ],
    );
}

#[test]
fn aliases_cannot_blow_up_memory() {
    let mut text = String::from("l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let below = format!("*l{}, ", level - 1).repeat(10);
        text.push_str(&format!("l{level}: &l{level} [{below}]\n"));
    }
    let errors =
        load(&Sources { files: vec![Source::text("a.yaml", text)], set: vec![] }, &|_| None).unwrap_err();
    assert!(
        errors.to_string().ends_with("aliases repeat more than 100000 values or 16 MiB; write fewer of them"),
        "{errors}"
    );
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("a: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    check(&[&text], &["a.yaml:1:259: more than 64 lists and maps inside each other"]);
    let aliased =
        format!("a: &a {}1{}\nb: {}*a{}", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
    check(&[&aliased], &["a.yaml:2:44: more than 64 lists and maps inside each other"]);
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let text = format!("a: {}", "x".repeat(16 * 1024 * 1024));
    check(&[&text], &["a.yaml: larger than 16 MiB; split it into several files"]);
}

#[test]
fn files_that_cannot_be_read_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("binary.yaml");
    std::fs::write(&binary, b"a: 1\nb: \xff\n").unwrap();
    let missing = folder.path().join("missing.yaml");
    let files =
        vec![Source::File(binary.clone()), Source::from(format!("file:{}", missing.display()).as_str())];
    let errors = load(&Sources { files, set: vec!["novalue".to_owned()] }, &|_| None).unwrap_err();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let (binary, missing) = (binary.display(), missing.display());
    assert_eq!(
        lines,
        [
            format!("{binary}: `{binary}` is not UTF-8 text: the first wrong byte is in line 2"),
            format!("{missing}: cannot read `{missing}`: No such file or directory (os error 2)"),
            "--set novalue: no `=`; write `--set service.telemetry.logs.level=debug`".to_owned(),
        ]
    );
}

#[test]
fn without_a_source_nothing_is_guessed() {
    let errors = load(&Sources::default(), &|_| None).unwrap_err();
    assert_eq!(errors.to_string(), "no configuration given; name a file with `--config`");
}

#[test]
fn what_could_be_understood_is_kept_for_further_checks() {
    let text = "receivers: {otlp: {port: x}}\nexporters: {debug: }\nservice: {pipelines: {logs: {receivers: [otlp], exporters: [nope]}}}";
    let mut errors =
        load(&Sources { files: vec![Source::text("a.yaml", text)], set: vec![] }, &|_| None).unwrap_err();
    let document = errors.take_document().expect("the structure was read");
    assert_eq!(document.receivers[0].1.keys().collect::<Vec<_>>(), ["port"]);
}
