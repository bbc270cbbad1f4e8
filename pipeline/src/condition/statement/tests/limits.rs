//! What nothing can break: limits of what a statement may make of a record, and properties.

use super::*;

#[test]
fn values_are_never_nested_deeper_than_they_can_be_read_again() {
    let mut batch = logs();
    let nest = statements(r#"set(attributes["order"], [attributes["order"]])"#, Signal::Logs);
    let mut failed = 0;
    for _ in 0..200 {
        let count = |_, _| {
            failed += 1;
            ControlFlow::Continue(())
        };
        nest.apply(&mut batch, count).unwrap();
    }
    assert!(failed > 0);
    Batch::from_otlp(Signal::Logs, batch.to_otlp()).unwrap();
}

#[test]
fn what_records_share_can_not_be_blown_up_by_them() {
    let mut batch = Batch::builder(Signal::Logs).record(|log| log.set_body("x"));
    for _ in 0..100 {
        batch = batch.record(|log| log.set_body("x"));
    }
    let doubled = r#"resource.attributes["r"], resource.attributes["r"], body"#;
    let text = format!(
        r#"set(resource.attributes["r"], body) where resource.attributes["r"] == nil ; set(resource.attributes["r"], Concat([{doubled}], ""))"#
    );
    let (batch, failures) = after(&text, batch.build());
    let grown = batch.records().next().and_then(|log| log.resource().attribute("r")).unwrap().to_text().len();
    assert!((2048..=4096).contains(&grown), "{grown}");
    assert!(failures.iter().all(|failure| failure.contains("more than 4,096 bytes")), "{failures:?}");
}

#[test]
fn flattened_keys_have_a_limit() {
    let items = vec![AnyValue::Int(1); 100_000];
    let long = "k".repeat(10_000);
    let batch =
        Batch::builder(Signal::Logs).record(|log| log.set_attribute(&long, AnyValue::Array(items))).build();
    let (_, failures) = after("flatten(attributes)", batch);
    assert_eq!(failures, ["the flattened keys would have more than 1 MiB"]);
}

#[test]
fn a_map_of_too_many_entries_does_not_become_attributes() {
    let entries = (0..5000).map(|number| (format!("k{number}"), AnyValue::Int(number))).collect();
    let many = || {
        Batch::builder(Signal::Logs).record(|log| log.set_body(AnyValue::Map(Vec::clone(&entries)))).build()
    };
    for text in [r#"merge_maps(attributes, body, "upsert")"#, "set(attributes, body)"] {
        let (batch, failures) = after(text, many());
        assert_eq!(failures, ["there would be more than 1,024 entries"]);
        assert_eq!(batch.records().next().unwrap().attributes().len(), 0);
    }
}

/// Texts made of the pieces of statements, most of them wrong.
fn almost_statements() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "set(",
        "delete_key(",
        "flatten(",
        "append(",
        "limit(",
        "merge_maps(",
        "replace_match(",
        "truncate_all(",
        "attributes",
        "body",
        "severity_number",
        "[\"k\"]",
        "[0]",
        "\"{*,a\"",
        "12",
        "-1",
        "0.5",
        "0x0a",
        "nil",
        "true",
        ",",
        ")",
        "(",
        "[",
        "]",
        " where ",
        "==",
        "ParseJSON(",
        "Concat(",
        "Substring(",
        "cache",
        "\"upsert\"",
        "log.",
        "resource.",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Statements that do all kinds of things to log records.
const MANY: [&str; 16] = [
    r#"set(attributes["a"], body)"#,
    r#"set(body, attributes)"#,
    r#"set(body["x"], 1)"#,
    r#"set(attributes["b"]["c"], attributes)"#,
    r#"set(resource.attributes["n"], severity_number) where severity_number > 4"#,
    r#"set(scope.name, severity_text)"#,
    r#"set(trace_id, body)"#,
    r#"merge_maps(attributes, body, "upsert")"#,
    r#"merge_maps(resource.attributes, attributes, "insert")"#,
    "flatten(attributes)",
    r#"replace_all_patterns(attributes, "key", "^.", "z")"#,
    r#"replace_all_patterns(attributes, "value", "[a-m]", "")"#,
    "truncate_all(attributes, 2)",
    "limit(attributes, 1)",
    r#"append(body, attributes)"#,
    r#"delete_matching_keys(body, "a")"#,
];

proptest! {
    #[test]
    fn property_no_text_breaks_the_parser_or_a_record(text in any::<String>(), almost in almost_statements()) {
        for text in [text, almost] {
            if let Ok(statement) = Statement::for_signal(&text, Signal::Logs) {
                let mut batch = logs();
                let all = Statements::new(statement.context(), Vec::new(), vec![statement]);
                prop_assert!(all.apply(&mut batch, |_, _| ControlFlow::Continue(())).is_ok());
                prop_assert!(Batch::from_otlp(Signal::Logs, batch.to_otlp()).is_ok(), "{}", text);
            }
        }
    }

    #[test]
    fn property_a_statement_that_is_false_leaves_the_bytes(mut batch in any_batch(Signal::Logs), which in 0..MANY.len()) {
        let before = batch.to_otlp();
        let text = MANY[which].split(" where").next().unwrap();
        let copy = batch.clone();
        statements(&format!("{text} where severity_number == -7"), Signal::Logs)
            .apply(&mut batch, |_, _| ControlFlow::Continue(()))
            .unwrap();
        prop_assert_eq!(batch.to_otlp(), before.clone());
        drop(copy);
    }

    #[test]
    fn property_any_batch_can_be_read_after_any_statements(
        mut batch in any_batch(Signal::Logs),
        order in prop::collection::vec(0..MANY.len(), 1..12),
    ) {
        let (copy, before) = (batch.clone(), batch.to_otlp());
        let len = batch.len();
        for which in order {
            statements(MANY[which], Signal::Logs).apply(&mut batch, |_, _| ControlFlow::Continue(())).unwrap();
        }
        let again = Batch::from_otlp(Signal::Logs, batch.to_otlp()).unwrap();
        prop_assert_eq!(again.len(), len);
        prop_assert!(again.records().zip(batch.records()).all(|(again, own)| show(again.attributes()) == show(own.attributes())));
        prop_assert_eq!(copy.to_otlp(), before, "a copy of the batch changed too");
    }
}
