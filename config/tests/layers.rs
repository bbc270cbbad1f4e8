//! Several sources over each other, and `${…}` inside values.

#![cfg(test)]

use serde::Deserialize;
use watershed_config::{Document, Loaded, Source, Sources, load};

const BASE: &str = "
receivers:
  otlp: {endpoint: a, ports: [1, 2], nested: {x: 1, y: 2}}
exporters:
  debug:
service:
  pipelines:
    logs: {receivers: [otlp], exporters: [debug]}
";

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "PW" => "0123",
        "PORT" => "4317",
        "LIST" => "[1, 2]",
        "EMPTY" => "",
        "B" => "C",
        "A_C" => "nested",
        "EXPRESSION" => "${env:PW}",
        "CONFIG" => "service: {telemetry: {level: debug}}",
        "PEM" => "-----BEGIN KEY-----\nabc: def\n-----END KEY-----",
        _ => return None,
    };
    Some(value.to_owned())
}

#[track_caller]
fn loaded(files: &[&str], set: &[&str]) -> Loaded {
    let files =
        files.iter().enumerate().map(|(index, text)| Source::text(format!("{index}.yaml"), *text)).collect();
    let set = set.iter().map(|argument| (*argument).to_owned()).collect();
    load(&Sources { files, set }, &environment).expect("the sources are good")
}

/// The receiver's settings after everything was merged, as YAML.
#[track_caller]
fn check_receiver(files: &[&str], set: &[&str], expected: &str) {
    let text = loaded(files, set).document.effective(false);
    let start = text.find("  otlp:").expect("the receiver is there");
    let end = text.find("exporters:").expect("exporters follow");
    let lines: Vec<&str> =
        text[start..end].lines().skip(1).map(|line| line.strip_prefix("    ").unwrap()).collect();
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn maps_merge_and_everything_else_replaces() {
    let over = "receivers: {otlp: {ports: [3], nested: {y: 5, z: 6}, endpoint: b}}";
    check_receiver(&[BASE, over], &[], "endpoint: b\nports:\n  - 3\nnested:\n  x: 1\n  y: 5\n  z: 6");
}

#[test]
fn set_wins_over_files_and_reads_yaml() {
    check_receiver(
        &[BASE],
        &["receivers.otlp.nested={y: [1]}", "receivers::otlp::endpoint=h:1", "receivers.otlp.ports=[]"],
        "endpoint: h:1\nports: []\nnested:\n  x: 1\n  y:\n    - 1",
    );
}

#[test]
fn an_emptied_section_is_a_warning() {
    let loaded = loaded(&[BASE, "receivers:\n  otlp:\n"], &[]);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "1.yaml:2:3: receivers.otlp: no value here, so the section at 0.yaml:3:9 is emptied; remove the key to keep it"
        ]
    );
    assert!(loaded.document.receivers[0].1.is_null());
}

#[test]
fn the_collectors_ways_to_name_a_source_work() {
    let files = vec![
        Source::text("a.yaml", BASE),
        Source::from("yaml:receivers::otlp::nested::x: 7"),
        Source::from("env:CONFIG"),
    ];
    let mut document =
        load(&Sources { files, set: vec![] }, &environment).expect("the sources are good").document;
    assert!(document.effective(false).contains("x: 7"));
    let telemetry = document.service.take_section("telemetry").expect("it is there");
    assert_eq!((telemetry.path(), telemetry.id()), ("service.telemetry", "telemetry"));
    assert!(document.service.unknown_keys(&[]).is_empty());
}

#[test]
fn sections_of_the_service_that_nobody_takes_are_unknown() {
    let document = loaded(&[BASE, "service: {telemtry: {}}"], &[]).document;
    let errors: Vec<String> =
        document.service.unknown_keys(&["telemetry"]).iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["1.yaml:1:11: service: unknown key `telemtry`; did you mean `telemetry`?"]);
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let text = BASE.replace(
        "receivers:\n",
        "receivers:\n  base: &base {a: 1, b: {c: 2}}\n  more: &more {b: 9, d: 4}\n  list: {<<: [*base, *more], a: 3}\n",
    );
    let yaml = loaded(&[&text], &[]).document.effective(false);
    assert!(yaml.contains("  list:\n    a: 3\n    b:\n      c: 2\n    d: 4\n"), "{yaml}");
}

#[derive(Debug, PartialEq, Deserialize)]
struct Values {
    text: String,
    number: u16,
    list: Vec<u8>,
}

#[track_caller]
fn with_settings(settings: &str) -> (Document, Vec<String>) {
    let text = BASE.replace("{endpoint: a, ports: [1, 2], nested: {x: 1, y: 2}}", settings);
    let loaded = loaded(&[&text], &[]);
    (loaded.document, loaded.warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn a_whole_expression_has_the_type_of_the_setting() {
    let (document, warnings) = with_settings("{text: '${env:PW}', number: '${PORT}', list: \"x\"}");
    assert!(warnings.is_empty());
    let errors = document.receivers[0].1.read::<Values>().unwrap_err();
    assert_eq!(errors.to_string(), "0.yaml:3:54: receivers.otlp.list: expected a list, found the text `x`");
    let (document, _) = with_settings("\n    text: ${env:PW}\n    number: ${env:PORT}\n    list: ${LIST}");
    let values: Values = document.receivers[0].1.read().unwrap();
    assert_eq!(values, Values { text: "0123".to_owned(), number: 4317, list: vec![1, 2] });
}

#[test]
fn text_keeps_what_the_variable_holds() {
    #[derive(Deserialize)]
    struct Config {
        value: String,
    }
    for (expression, expected) in [
        ("${env:LIST}", "[1, 2]"),
        ("${env:PEM}", "-----BEGIN KEY-----\nabc: def\n-----END KEY-----"),
        ("'a ${env:PW} b'", "a 0123 b"),
        ("${env:A_${env:B}}", "nested"),
        ("${env:NONE:-default}", "default"),
        ("${NONE:-a:-b}", "a:-b"),
        ("${env:EMPTY:-${env:PW}}", "0123"),
        ("${env:NONE:-}", ""),
        ("${env:EMPTY}", ""),
        ("${env:EXPRESSION}", "${env:PW}"),
        ("costs $$5 or $5$$", "costs $5 or $5$"),
        ("$${env:PW}", "${env:PW}"),
        ("1.10", "1.10"),
        ("0o17", "0o17"),
        ("true", "true"),
    ] {
        let (document, _) = with_settings(&format!("\n    value: {expression}"));
        let config: Config = document.receivers[0].1.read().unwrap();
        assert_eq!(config.value, expected, "{expression}");
    }
}

#[test]
fn a_file_can_stand_for_a_value() {
    #[derive(Deserialize)]
    struct Config {
        token: String,
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "007\n").unwrap();
    let (document, _) = with_settings(&format!("\n    token: ${{file:{}}}", path.display()));
    assert_eq!(document.receivers[0].1.read::<Config>().unwrap().token, "007");
}

#[test]
fn a_variable_that_is_not_set_is_a_warning() {
    let (_, warnings) = with_settings("{text: '${env:NONE}'}");
    assert_eq!(
        warnings,
        ["0.yaml:3:16: receivers.otlp.text: environment variable `NONE` is not set; it counts as empty"]
    );
}

#[test]
fn bad_expressions_are_reported_with_their_place() {
    for (expression, message) in [
        (
            "${env:1X}",
            "`1X` is not a name of an environment variable; use letters, digits and `_`, or write `$$` for a `$`",
        ),
        ("${env:A", "`${` without `}`; close it, or write `$$` for a `$`"),
        ("${http:x}", "unknown source `http` in `${http:x}`; use `env` or `file`"),
        ("${file:/nowhere}", "cannot read `/nowhere`: No such file or directory (os error 2)"),
    ] {
        let text = BASE.replace("endpoint: a", &format!("endpoint: '{expression}'"));
        let sources = Sources { files: vec![Source::text("a.yaml", text)], set: vec![] };
        let errors = load(&sources, &environment).unwrap_err();
        assert_eq!(errors.to_string(), format!("a.yaml:3:20: receivers.otlp.endpoint: {message}"));
    }
    let deep = format!("{}A{}", "${env:".repeat(40), "}".repeat(40));
    let text = BASE.replace("endpoint: a", &format!("endpoint: '{deep}'"));
    let errors =
        load(&Sources { files: vec![Source::text("a.yaml", text)], set: vec![] }, &environment).unwrap_err();
    assert!(errors.to_string().ends_with("more than 16 expressions inside each other"), "{errors}");
}

#[test]
fn the_effective_document_reads_back_and_hides_secrets() {
    let settings = "
    password: hunter2
    auth: {token: abc, key_file: /etc/key}
    headers: {x: y}
    quoted: '12'
    money: $$5
    lines: \"a\\nb\"
    yes: 'no: yes'";
    let (document, _) = with_settings(settings);
    let shown = document.effective(true);
    assert!(!shown.contains("hunter2") && !shown.contains("abc") && !shown.contains(" y\n"), "{shown}");
    assert!(shown.contains("password: '***'") && shown.contains("key_file: /etc/key"), "{shown}");
    let whole = document.effective(false);
    assert_eq!(loaded(&[&whole], &[]).document.effective(false), whole);
    assert!(whole.contains("quoted: \"12\"") && whole.contains("money: $$5"), "{whole}");
}

#[test]
fn a_setting_that_could_not_be_expanded_is_not_missing_as_well() {
    let text = BASE.replace(
        "endpoint: a, ports: [1, 2], nested: {x: 1, y: 2}",
        "text: '${env:1X}', number: many, list: []",
    );
    let mut errors =
        load(&Sources { files: vec![Source::text("a.yaml", text)], set: vec![] }, &environment).unwrap_err();
    let document = errors.take_document().expect("the structure was read");
    let section = &document.receivers[0].1;
    let more = section.read::<Values>().unwrap_err();
    assert_eq!(
        more.to_string(),
        "a.yaml:3:37: receivers.otlp.number: expected a whole number from 0 to 65535, found the text `many`"
    );
}

#[test]
fn a_large_document_is_merged_in_reasonable_steps() {
    // Quadratic work over this many keys would not end while anyone waits.
    let many: String = (0..50_000).map(|index| format!("    k{index}: {index}\n")).collect();
    let text = BASE
        .replace("  otlp: {endpoint: a, ports: [1, 2], nested: {x: 1, y: 2}}\n", &format!("  otlp:\n{many}"));
    let document = loaded(&[&text, &format!("receivers:\n  otlp:\n{many}")], &[]).document;
    assert_eq!(document.receivers[0].1.keys().count(), 50_000);
}
