//! Tests of the processor: settings, groups, failures. What each editor and function does is tested with the language.

use proptest::prelude::*;
use watershed_config::Section;
use watershed_pipeline::testing::{Drive, any_batch, build};
use watershed_pipeline::{Batch, Context, Kind, Refusal, Signal, Value};

use super::*;

/// Two resources with two log records each.
fn logs() -> Batch {
    let mut builder = Batch::builder(Signal::Logs);
    for service in ["shop", "bank"] {
        builder.begin_resource(|resource| resource.set_attribute("service.name", service));
        for (severity, body) in [(9, "plain"), (17, r#"{"user":"ann","took":12}"#)] {
            builder.push(|log| {
                log.set_severity_number(severity);
                log.set_body(body);
            });
        }
    }
    builder.build()
}

/// The records afterwards: attributes of the resource, a bar, attributes of the record.
fn show(batch: &Batch) -> Vec<String> {
    let entry = |(key, value): (&str, Value<'_>)| format!("{key}={}", value.to_text());
    let records = batch.records().map(|record| {
        let resource: Vec<_> = record.resource().attributes().iter().map(entry).collect();
        let own: Vec<_> = record.attributes().iter().map(entry).collect();
        format!("{} | {}", resource.join(" "), own.join(" "))
    });
    records.collect()
}

#[track_caller]
fn check(yaml: &str, expected: [&str; 4]) {
    let mut drive = Drive::new(build::<Config>(yaml).unwrap());
    let passed = drive.process(logs()).remove(0);
    let sent = Batch::from_otlp(Signal::Logs, passed.to_otlp()).unwrap();
    assert_eq!(show(&sent), expected, "{yaml}");
}

#[test]
fn statements_change_what_their_condition_means() {
    check(
        r#"log_statements: ['set(log.attributes["failed"], true) where log.severity_number >= SEVERITY_NUMBER_ERROR']"#,
        [
            "service.name=shop | ",
            "service.name=shop | failed=true",
            "service.name=bank | ",
            "service.name=bank | failed=true",
        ],
    );
    check(
        r#"log_statements:
  - context: log
    conditions: ['severity_number == 99', 'IsMatch(body, "^\\{")']
    statements:
      - merge_maps(attributes, ParseJSON(body), "upsert")
      - set(attributes["ms"], attributes["took"] * 1000)"#,
        [
            "service.name=shop | ",
            "service.name=shop | user=ann took=12 ms=12000",
            "service.name=bank | ",
            "service.name=bank | user=ann took=12 ms=12000",
        ],
    );
}

#[test]
fn a_value_moves_between_resource_and_record() {
    check(
        r#"log_statements:
  - set(log.attributes["service"], resource.attributes["service.name"])
  - delete_key(resource.attributes, "service.name")
  - set(resource.attributes["env"], "prod") where resource.attributes["env"] == nil"#,
        [
            "env=prod | service=shop",
            "env=prod | service=shop",
            "env=prod | service=bank",
            "env=prod | service=bank",
        ],
    );
}

#[test]
fn neighbours_on_the_same_thing_share_a_cache_and_groups_do_not() {
    let set = r#"set(log.cache["x"], 5)"#;
    let get = r#"set(log.attributes["x"], log.cache["x"])"#;
    check(
        &format!("log_statements: ['{set}', '{get}']"),
        [
            "service.name=shop | x=5",
            "service.name=shop | x=5",
            "service.name=bank | x=5",
            "service.name=bank | x=5",
        ],
    );
    check(
        &format!("log_statements: ['{set}', {{statements: ['{get}']}}, '{get}']"),
        ["service.name=shop | ", "service.name=shop | ", "service.name=bank | ", "service.name=bank | "],
    );
}

#[test]
fn a_group_without_a_context_is_on_the_most_detailed_of_its_paths() {
    let group = r#"log_statements:
  - conditions: ['log.severity_number > 9']
    statements: ['set(resource.attributes["seen"], true)']"#;
    check(
        group,
        [
            "service.name=shop seen=true | ",
            "service.name=shop seen=true | ",
            "service.name=bank seen=true | ",
            "service.name=bank seen=true | ",
        ],
    );
}

#[test]
fn a_statement_that_fails_is_counted_by_its_place() {
    let yaml = r#"log_statements:
  - merge_maps(log.attributes, ParseJSON(log.body), "upsert")
  - context: log
    statements: ['set(attributes["a"], 1)', 'set(severity_text, attributes["took"])']"#;
    let mut drive = Drive::new(build::<Config>(yaml).unwrap());
    assert_eq!(drive.process(logs()).len(), 1);
    let failed = drive.processor.logs.iter().flat_map(|stage| &stage.failed);
    let counted: Vec<_> = failed.map(|(place, counter)| (place.as_str(), counter.value())).collect();
    assert_eq!(
        counted,
        [
            ("log_statements[0]", 2),
            ("log_statements[1].statements[0]", 0),
            ("log_statements[1].statements[1]", 2)
        ]
    );
}

#[test]
fn with_propagate_a_failure_refuses_the_batch_for_good() {
    let statement = r#"set(log.body, ParseJSON(log.body))"#;
    for yaml in [
        format!("error_mode: propagate\nlog_statements: ['{statement}']"),
        format!("log_statements: [{{error_mode: propagate, statements: ['{statement}']}}]"),
    ] {
        let mut drive = Drive::new(build::<Config>(&yaml).unwrap());
        assert!(drive.process(logs()).is_empty());
        let Some(Refusal::Final { reason }) = drive.refusal() else { panic!("not refused") };
        assert!(reason.starts_with("transform: log_statements[0]"), "{reason}");
        assert!(reason.ends_with(": ParseJSON needs the text of one JSON object"), "{reason}");
    }
}

#[test]
fn other_signals_pass_unchanged() {
    let mut drive = Drive::new(build::<Config>("trace_statements: ['set(span.name, \"x\")']").unwrap());
    let before = logs().to_otlp();
    let batch = Batch::from_otlp(Signal::Logs, before.clone()).unwrap();
    assert_eq!(drive.process(batch).remove(0).to_otlp(), before);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let error = |yaml: &str| {
        let section = Section::from_text("transform", yaml).unwrap();
        let config = section.read::<Config>().map_err(|errors| errors.to_string())?;
        let cx = Context::detached(Kind::Processor, "transform".parse().unwrap());
        config.build(&cx).map(drop).map_err(|error| section.build_error(error).to_string())
    };
    for (yaml, expected) in [
        (
            "log_statements:\n  - sett(log.body, 1)",
            "transform:2:5: transform.log_statements: at character 1: unknown editor `sett`; did you mean `set`?",
        ),
        (
            "trace_statements:\n  - {context: log, statements: ['set(name, \"x\")']}",
            "transform:2:5: transform.trace_statements: unknown context `log` for traces; there is `span`, `spanevent`, `resource`, `scope`",
        ),
        (
            "metric_statements:\n  - {context: metric, statements: ['set(name, \"x\")', 'set(type, 1)']}",
            "transform:2:5: transform.metric_statements: statements[1]: at character 5: `type` can't be changed; what can of a metric is name, description, unit, attributes",
        ),
        (
            "error_mode: ignore",
            "transform:1:1: transform: has no statement; add one, such as `log_statements: ['set(log.attributes[\"env\"], \"prod\")']`",
        ),
    ] {
        assert_eq!(error(yaml), Err(expected.to_owned()));
    }
}

proptest! {
    #[test]
    fn property_no_batch_breaks_the_statements_of_any_signal(
        batch in prop::sample::select(Signal::ALL.to_vec()).prop_flat_map(any_batch),
    ) {
        let yaml = r#"
log_statements: ['set(log.attributes["a"], log.body)', 'flatten(log.attributes)', 'set(resource.attributes["n"], 1)']
trace_statements: ['set(spanevent.attributes["s"], span.name)', 'set(span.status.code, 2)', 'delete_matching_keys(span.attributes, ".")']
metric_statements: ['set(metric.name, metric.unit)', 'set(datapoint.value_int, 5)', 'limit(datapoint.attributes, 1)', 'set(scope.version, "9")']
"#;
        let signal = batch.signal();
        let (len, copy, before) = (batch.len(), batch.clone(), batch.to_otlp());
        let mut drive = Drive::new(build::<Config>(yaml).unwrap());
        let passed = drive.process(batch);
        let sent: Vec<Batch> =
            passed.iter().map(|batch| Batch::from_otlp(signal, batch.to_otlp()).unwrap()).collect();
        prop_assert_eq!(sent.iter().map(Batch::len).sum::<usize>(), len);
        prop_assert_eq!(sent.iter().flat_map(show).collect::<Vec<_>>(), passed.iter().flat_map(show).collect::<Vec<_>>());
        prop_assert_eq!(copy.to_otlp(), before, "a copy of the batch changed too");
    }
}
