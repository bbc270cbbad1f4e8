//! Sections read as types: all mistakes at once, and only the mistakes.

#![cfg(test)]

use std::collections::BTreeMap;

use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, Endpoint, NonEmpty, Period, Secret, Section};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Config {
    endpoint: Endpoint,
    #[serde(default = "timeout")]
    timeout: Period,
    size: Option<ByteSize>,
    tls: Option<Tls>,
    #[serde(default)]
    patterns: Vec<Pattern>,
    #[serde(default)]
    rules: Vec<Rule>,
    password: Option<Secret>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    mode: Option<Mode>,
}

fn timeout() -> Period {
    Period::seconds(5)
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    insecure: bool,
    depth: u8,
}

impl Default for Tls {
    fn default() -> Self {
        Self { insecure: false, depth: 3 }
    }
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Pattern {
    CreditCard,
    Email,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    action: NonEmpty<Pattern>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Mode {
    Off,
    Hash {
        #[serde(default)]
        length: u8,
    },
    Fixed(String),
}

#[track_caller]
fn read(text: &str) -> Config {
    Section::from_text("redaction", text).unwrap().read().unwrap()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let errors = Section::from_text("redaction", text).unwrap().read::<Config>().unwrap_err();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(lines, expected);
}

#[test]
fn every_mistake_of_a_section_is_reported_at_once() {
    check(
        "endpoint: localhost
timeot: 3s
timeout: 5
size: many
tls: {insecure: 'true', depth: 300, x: 1}
patterns: [creditcard, email, iban]
rules:
  - {name: a, action: []}
  - {action: [emial]}
password: [hunter2]
labels: {a: 1, b: [2]}
mode: {hash: {length: '1', lenght: 2}}
",
        &[
            "redaction:1:11: redaction.endpoint: `localhost` is not an address to listen on; write `host:port`, such as `0.0.0.0:4317`",
            "redaction:2:1: redaction: unknown key `timeot`; did you mean `timeout`?",
            "redaction:3:10: redaction.timeout: `5` has no unit; write `5s` for seconds or `5ms` for milliseconds",
            "redaction:4:7: redaction.size: `many` is not a size; write `64MiB`, `10MB` or a number of bytes",
            "redaction:5:17: redaction.tls.insecure: expected `true` or `false`, found the text `true`",
            "redaction:5:32: redaction.tls.depth: expected a whole number from 0 to 255, found the number `300`",
            "redaction:5:37: redaction.tls: unknown key `x`; accepted keys: insecure, depth",
            "redaction:6:12: redaction.patterns: unknown value `creditcard`; did you mean `credit_card`?",
            "redaction:6:31: redaction.patterns: unknown value `iban`; accepted values: credit_card, email",
            "redaction:8:23: redaction.rules[0].action: needs at least one entry",
            "redaction:9:5: redaction.rules: missing `name`; add it",
            "redaction:9:15: redaction.rules[1].action: unknown value `emial`; did you mean `email`?",
            "redaction:10:11: redaction.password: expected a text, found a list",
            "redaction:11:19: redaction.labels.b: expected a text, found a list",
            "redaction:12:23: redaction.mode.hash.length: expected a whole number from 0 to 255, found the text `1`",
            "redaction:12:28: redaction.mode.hash: unknown key `lenght`; did you mean `length`?",
        ],
    );
}

#[test]
fn what_follows_from_a_reported_mistake_is_not_reported() {
    // The misspelled key is the missing one, and the list is empty only because its entry was wrong.
    check("endpont: h:1", &["redaction:1:1: redaction: unknown key `endpont`; did you mean `endpoint`?"]);
    check(
        "endpoint: h:1\nrules: [{name: a, action: [nothing]}]",
        &[
            "redaction:2:28: redaction.rules[0].action: unknown value `nothing`; accepted values: credit_card, email",
        ],
    );
}

#[test]
fn a_missing_setting_is_reported_at_its_section() {
    check("timeout: 1s", &["redaction:1:1: redaction: missing `endpoint`; add it"]);
    check("", &["redaction:1:1: redaction: missing `endpoint`; add it"]);
}

#[test]
fn all_missing_settings_are_reported_at_once() {
    #[derive(Debug, Deserialize)]
    struct Needy {
        _cert: String,
        _size: ByteSize,
        _period: Period,
        _endpoint: Endpoint,
        _on: bool,
        _pattern: Pattern,
        _rules: Vec<Rule>,
        _tls: Tls,
        _rule: Rule,
        _last: u8,
    }
    let errors = Section::from_text("x", "_size: many").unwrap().read::<Needy>().unwrap_err();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let mut expected =
        vec!["x:1:8: x._size: `many` is not a size; write `64MiB`, `10MB` or a number of bytes".to_owned()];
    // Nothing can stand in for a rule, so what is missing behind it is told when it is there.
    let missing = ["_cert", "_period", "_endpoint", "_on", "_pattern", "_rules", "_tls", "_rule"];
    expected.splice(0..0, missing.map(|key| format!("x:1:1: x: missing `{key}`; add it")));
    assert_eq!(lines, expected);
}

#[test]
fn a_key_without_a_value_means_the_default() {
    let config = read("endpoint: h:1\ntls:\ntimeout:\nsize: ~\npatterns:\nlabels: null\n");
    assert_eq!(config.tls, Some(Tls::default()));
    assert_eq!((config.timeout, config.size), (Period::seconds(5), None));
    assert!(config.patterns.is_empty() && config.labels.is_empty());
    check("endpoint:", &["redaction:1:1: redaction: missing `endpoint`; add it"]);
    check(
        "endpoint: h:1\npatterns: [email, ~]",
        &["redaction:2:19: redaction.patterns: expected one of: credit_card, email, found nothing"],
    );
}

#[test]
fn absence_is_not_emptiness() {
    assert_eq!(read("endpoint: h:1").tls, None);
}

#[test]
fn an_optional_value_can_be_switched_off() {
    #[derive(Deserialize)]
    #[serde(default)]
    struct Defaulted {
        limit: Option<u8>,
    }
    impl Default for Defaulted {
        fn default() -> Self {
            Self { limit: Some(7) }
        }
    }
    let limit = |text| Section::from_text("x", text).unwrap().read::<Defaulted>().unwrap().limit;
    assert_eq!((limit(""), limit("limit: null"), limit("limit: 3")), (Some(7), None, Some(3)));
}

#[test]
fn enums_are_words_or_maps_with_one_key() {
    let mode = |text: &str| read(&format!("endpoint: h:1\nmode: {text}")).mode;
    assert_eq!(mode("off"), Some(Mode::Off));
    assert_eq!(mode("hash"), Some(Mode::Hash { length: 0 }));
    assert_eq!(mode("{hash: {length: 4}}"), Some(Mode::Hash { length: 4 }));
    assert_eq!(mode("{fixed: 1.10}"), Some(Mode::Fixed("1.10".to_owned())));
    check(
        "endpoint: h:1\nmode: fixed",
        &["redaction:2:7: redaction.mode: `fixed` needs settings of its own; write them below `fixed:`"],
    );
    check(
        "endpoint: h:1\nmode: {off: , hash: }",
        &["redaction:2:7: redaction.mode: expected a map with one of: off, hash, fixed, found a map"],
    );
}

#[test]
fn secrets_stay_out_of_messages() {
    #[derive(Debug, Deserialize)]
    struct Guarded {
        _token: u8,
        _plain: Option<Secret>,
    }
    let text = "_token: hunter2\n_plain: {a: hunter2}";
    let errors = Section::from_text("x", text).unwrap().read::<Guarded>().unwrap_err().to_string();
    assert_eq!(
        errors,
        "x:1:9: x._token: expected a whole number from 0 to 255, found a text\nx:2:9: x._plain: expected a text, found a map"
    );
}

#[test]
fn the_engine_takes_its_keys_first() {
    let mut section = Section::from_text("otlp", "queue: {size: 1}\nendpoint: h:1\n").unwrap();
    let queue = section.take("queue").unwrap();
    assert_eq!(
        (queue.path(), queue.id(), queue.origin().to_string().as_str()),
        ("otlp.queue", "queue", "otlp:1:1")
    );
    assert_eq!(section.keys().collect::<Vec<_>>(), ["endpoint"]);
    assert!(section.take("queue").is_none());
    assert_eq!(section.read::<Config>().unwrap().endpoint, Endpoint::new("h", 1));
}

#[test]
fn errors_of_build_find_the_deepest_place_that_exists() {
    let section = Section::from_text("x", "a:\n  b.c: 1\n  list:\n    - {k: 1}\n    - {k: 2}\n").unwrap();
    for (path, expected) in [
        ("", "x:1:1: x: wrong"),
        ("a.b.c", "x:2:8: x.a.b.c: wrong"),
        ("a.list[1].k", "x:5:11: x.a.list[1].k: wrong"),
        ("a.list[7].k", "x:4:5: x.a.list[7].k: wrong"),
        ("a.none.deeper", "x:2:3: x.a.none.deeper: wrong"),
    ] {
        assert_eq!(section.build_error(BuildError::at(path, "wrong")).to_string(), expected);
    }
}

#[test]
fn hundreds_of_mistakes_end() {
    let labels: String = (0..500).map(|index| format!("  l{index}: []\n")).collect();
    let section = Section::from_text("x", &format!("endpoint: h:1\nlabels:\n{labels}")).unwrap();
    assert_eq!(section.read::<Config>().unwrap_err().iter().count(), 100);
}

#[test]
fn sections_can_be_shared_between_threads() {
    fn shareable<T: Clone + Send + Sync>(_: &T) {}
    shareable(&Section::from_text("x", "").unwrap());
}
