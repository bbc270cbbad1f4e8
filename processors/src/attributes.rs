//! Changes the attributes of log records, spans and data points.
//!
//! ```yaml
//! attributes:
//!   include:
//!     match_type: strict
//!     services: [checkout]
//!   actions:
//!     - {key: environment, value: production, action: insert}
//!     - {key: user.email, action: hash}
//!     - {pattern: ^internal\., action: delete}
//!     - {key: http.url, pattern: '^(?P<http_scheme>[a-z]+)://', action: extract}
//!     - {key: http.status_code, action: convert, converted_type: int}
//! ```
//!
//! The actions are applied in their order, to every record that `include` means and `exclude` does not. `hash` is
//! SHA-256 in hexadecimal; the Collector's default is SHA-1, and SHA-256 behind a gate. Hashing guessable values, such
//! as addresses, does not make them secret. `redaction` hides values for good.
//!
//! Signals: all. Order: kept. Loss: none. Memory: the compiled expressions. For attributes of resources use
//! `resource`, which changes each of them once.

mod selection;

use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{Batch, Context, Out, Processor, ProcessorConfig, Record};

use crate::actions::{Action, Actions};
use selection::{Properties, Selection};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What to change, in this order. Required.
    actions: Vec<Action>,
    /// The only records to change. Default: all.
    #[serde(default)]
    include: Option<Properties>,
    /// Records to leave alone, even if included. Default: none.
    #[serde(default)]
    exclude: Option<Properties>,
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "attributes";
    const SOURCE: &'static str = include_str!("attributes.rs");
    type Processor = AttributeChanger;

    fn build(&self, _cx: &Context) -> Result<AttributeChanger, BuildError> {
        let compile = |properties: &Option<Properties>, path| {
            properties.as_ref().map(|properties| properties.compile(path)).transpose()
        };
        Ok(AttributeChanger {
            actions: Actions::compile(&self.actions, "actions")?,
            include: compile(&self.include, "include")?,
            exclude: compile(&self.exclude, "exclude")?,
        })
    }
}

pub(crate) struct AttributeChanger {
    actions: Actions,
    include: Option<Selection>,
    exclude: Option<Selection>,
}

impl AttributeChanger {
    fn is_meant(&self, record: Record<'_>) -> bool {
        self.include.as_ref().is_none_or(|include| include.matches(record))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.matches(record))
    }
}

impl Processor for AttributeChanger {
    fn process(&mut self, mut batch: Batch, _now: Instant, out: &mut Out) {
        // Taking a record in hand copies a batch that is shared; do not when none is meant.
        if !batch.records().any(|record| self.is_meant(record)) {
            return out.push(batch);
        }
        let metadata = batch.metadata().cloned();
        let actions = self.actions.bind(metadata.as_deref());
        let mut records = batch.records_mut();
        while let Some(mut record) = records.next() {
            if self.is_meant(record.view()) {
                actions.apply(&mut record);
            }
        }
        out.push(batch);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use watershed_config::Section;
    use watershed_pipeline::testing::any_batch;
    use watershed_pipeline::{AnyValue, Kind, Metadata, Number, Signal, Value};

    fn logs() -> Batch {
        let mut builder = Batch::builder(Signal::Logs);
        builder.begin_resource(|resource| resource.set_attribute("service.name", "shop"));
        builder.begin_scope("orders", "1.2", |_| ());
        builder.push(|log| {
            log.set_body("paid");
            log.set_severity_number(13);
            log.set_severity_text("Warn");
            log.set_attribute("user", "ann");
            log.set_attribute("code", "51");
            log.set_attribute("url", "https://shop/pay");
        });
        let mut batch = builder.build();
        let headers = [("X-Tenant".to_owned(), "a".to_owned()), ("x-tenant".to_owned(), "b".to_owned())];
        batch.set_metadata(Some(Arc::new(Metadata::new(headers, Some(IpAddr::V4(Ipv4Addr::LOCALHOST))))));
        batch
    }

    fn build(yaml: &str) -> Result<AttributeChanger, String> {
        let section = Section::from_text("attributes", yaml).unwrap();
        let config: Config = section.read().map_err(|errors| errors.to_string())?;
        let cx = Context::detached(Kind::Processor, "attributes".parse().unwrap());
        config.build(&cx).map_err(|error| section.build_error(error).to_string())
    }

    fn process(yaml: &str, batch: Batch) -> Batch {
        let mut out = Out::default();
        build(yaml).unwrap().process(batch, Instant::now(), &mut out);
        let passed = out.take().remove(0);
        // What goes out must show the change too, not the bytes as received.
        Batch::from_otlp(passed.signal(), passed.to_otlp()).unwrap()
    }

    fn show(record: Record<'_>) -> String {
        let one = |(key, value): (&str, Value<'_>)| match value {
            Value::Str(text) => format!("{key}='{text}'"),
            Value::Double(number) => format!("{key}={number:?}"),
            other => format!("{key}={}", other.to_text()),
        };
        record.attributes().iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Applies one action to a log record with the attributes user='ann' code='51' url='https://shop/pay'.
    #[track_caller]
    fn check(action: &str, expected: &str) {
        let passed = process(&format!("actions: [{action}]"), logs());
        assert_eq!(passed.records().map(show).collect::<String>(), expected);
    }

    const BEFORE: &str = "user='ann' code='51' url='https://shop/pay'";

    #[test]
    fn insert_update_and_upsert_differ_in_what_must_be_there_before() {
        check("{key: new, value: 5, action: insert}", &format!("{BEFORE} new=5"));
        check("{key: user, value: 5, action: insert}", BEFORE);
        check("{key: new, value: 5, action: update}", BEFORE);
        check("{key: user, value: true, action: update}", "user=true code='51' url='https://shop/pay'");
        check("{key: new, value: '5', action: upsert}", &format!("{BEFORE} new='5'"));
        check("{key: user, value: 1.5, action: upsert}", "user=1.5 code='51' url='https://shop/pay'");
        check("{key: new, value: [1, {a: b}], action: upsert}", &format!("{BEFORE} new=[1,{{\"a\":\"b\"}}]"));
    }

    #[test]
    fn values_are_copied_from_attributes_and_from_the_request() {
        check("{key: new, from_attribute: user, action: insert}", &format!("{BEFORE} new='ann'"));
        check("{key: new, from_attribute: none, action: insert}", BEFORE);
        check(
            "{key: new, from_attribute: none, default_value: x, action: insert}",
            &format!("{BEFORE} new='x'"),
        );
        check("{key: new, from_context: metadata.x-tenant, action: insert}", &format!("{BEFORE} new='a;b'"));
        check("{key: new, from_context: metadata.other, action: insert}", BEFORE);
        check(
            "{key: new, from_context: client.address, action: insert}",
            &format!("{BEFORE} new='127.0.0.1'"),
        );
    }

    #[test]
    fn delete_hash_extract_and_convert() {
        check("{key: user, action: delete}", "code='51' url='https://shop/pay'");
        check("{pattern: '^u', action: delete}", "code='51'");
        check("{key: user, pattern: '^c', action: delete}", "url='https://shop/pay'");
        check("{key: none, action: hash}", BEFORE);
        check(
            "{pattern: '^us', action: hash}",
            "user='49915e0d7d4b402e3017d010bc1c0e83cac6c797d6c16e66340fe3268693a6a1' code='51' url='https://shop/pay'",
        );
        check(
            "{key: url, pattern: '^(?P<scheme>[a-z]+)://', action: extract}",
            &format!("{BEFORE} scheme='https'"),
        );
        check("{key: url, pattern: '^(?P<scheme>[A-Z]+)://', action: extract}", BEFORE);
        check(
            "{key: code, converted_type: int, action: convert}",
            "user='ann' code=51 url='https://shop/pay'",
        );
        check(
            "{key: code, converted_type: double, action: convert}",
            "user='ann' code=51.0 url='https://shop/pay'",
        );
        check("{key: user, converted_type: int, action: convert}", BEFORE);
        check("{key: user, converted_type: string, action: convert}", BEFORE);
    }

    /// Whether a log record with these properties is changed.
    #[track_caller]
    fn check_selection(selection: &str, expected: bool) {
        for (rule, expected) in [("include", expected), ("exclude", !expected)] {
            let yaml = format!("{rule}: {{{selection}}}\nactions: [{{key: new, value: x, action: insert}}]");
            let passed = process(&yaml, logs());
            let is_changed = passed.records().all(|record| record.attribute("new").is_some());
            assert_eq!(is_changed, expected, "{yaml}");
        }
    }

    #[test]
    fn all_properties_must_match_and_any_value_of_each() {
        check_selection("match_type: strict, services: [other, shop]", true);
        check_selection("match_type: strict, services: [sho]", false);
        check_selection("match_type: regexp, services: [^sh, x]", true);
        check_selection("match_type: strict, services: [shop], log_bodies: [other]", false);
        check_selection("match_type: regexp, log_bodies: [ai], log_severity_texts: ['(?i)WARN']", true);
        check_selection("match_type: strict, log_severity_number: {min: 13}", true);
        check_selection("match_type: strict, log_severity_number: {min: WARN2}", false);
        check_selection("match_type: strict, span_names: [paid]", false);
        check_selection("match_type: strict, metric_names: [paid]", false);
        check_selection("match_type: strict, attributes: [{key: user}, {key: code, value: '51'}]", true);
        check_selection("match_type: strict, attributes: [{key: code, value: 51}]", false);
        check_selection("match_type: regexp, attributes: [{key: code, value: '^5'}]", true);
        check_selection("match_type: strict, resources: [{key: service.name, value: shop}]", true);
        check_selection("match_type: strict, libraries: [{name: orders, version: '1.2'}]", true);
        check_selection("match_type: strict, libraries: [{name: orders, version: '2'}]", false);
    }

    #[test]
    fn data_points_are_changed_too() {
        let mut builder = Batch::builder(Signal::Metrics);
        builder.begin_number_metric("cpu", "1", None);
        builder.push_point(0, 1, Number::Int(1), |point| point.set_attribute("pod", "a"));
        let yaml = "{include: {match_type: strict, metric_names: [cpu]}, actions: [{key: b, value: 1, action: insert}]}";
        let passed = process(yaml, builder.build());
        assert_eq!(passed.records().map(show).collect::<String>(), "pod='a' b=1");
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        for (yaml, expected) in [
            ("actions: []", "attributes:1:10: attributes.actions: needs at least one action"),
            (
                "actions: [{key: a, action: insert}]",
                "attributes:1:11: attributes.actions[0]: `insert` needs exactly one of `value`, `from_attribute` and `from_context`",
            ),
            (
                "actions: [{key: a, action: delete, value: 5}]",
                "attributes:1:43: attributes.actions[0].value: has no meaning for `delete`; remove it",
            ),
            (
                "actions: [{key: a, action: extract, pattern: '(a)'}]",
                "attributes:1:46: attributes.actions[0].pattern: every group needs a name, which becomes a key: `(?P<user>[a-z]+)`; write groups that only group as `(?:…)`",
            ),
            (
                "actions: [{pattern: '(', action: delete}]",
                "attributes:1:21: attributes.actions[0].pattern: `(` is not a regular expression: unclosed group",
            ),
            (
                "actions: [{key: a, from_context: auth.subject, action: insert}]",
                "attributes:1:34: attributes.actions[0].from_context: `auth.subject` is not known; write `metadata.<header>` or `client.address`",
            ),
            (
                "{include: {match_type: strict}, actions: [{key: a, action: delete}]}",
                "attributes:1:11: attributes.include: names no property; add one, such as `services: [checkout]`",
            ),
            (
                "{include: {match_type: regexp, services: ['(']}, actions: [{key: a, action: delete}]}",
                "attributes:1:42: attributes.include.services: `(` is not a regular expression: unclosed group",
            ),
        ] {
            assert_eq!(build(yaml).err().unwrap(), expected);
        }
    }

    #[test]
    fn a_shared_batch_is_not_copied_when_nothing_in_it_is_meant() {
        let batch = logs();
        let copy = batch.clone();
        let before = batch.records().next().map(|record| record.attributes().len());
        let yaml =
            "{include: {match_type: strict, services: [none]}, actions: [{key: user, action: delete}]}";
        let passed = process(yaml, copy);
        assert_eq!(passed.records().next().map(|record| record.attributes().len()), before);
        assert_eq!(
            AnyValue::from("ann"),
            batch.records().next().unwrap().attribute("user").unwrap().to_any_value()
        );
    }

    proptest! {
        #[test]
        fn property_one_attribute_is_set_and_the_others_stay(batch in any_batch(Signal::Metrics)) {
            let others = |batch: &Batch| -> Vec<Vec<(String, AnyValue)>> {
                let of = |record: Record<'_>| {
                    let kept = record.attributes().iter().filter(|(key, _)| *key != "new");
                    kept.map(|(key, value)| (key.to_owned(), value.to_any_value())).collect()
                };
                batch.records().map(of).collect()
            };
            prop_assume!(!batch.is_empty());
            let before = others(&batch);
            let passed = process("actions: [{key: new, value: x, action: upsert}]", batch);
            prop_assert!(passed.records().all(|record| record.attribute("new") == Some(Value::Str("x"))));
            prop_assert_eq!(format!("{:?}", others(&passed)), format!("{before:?}"));
        }
    }
}
