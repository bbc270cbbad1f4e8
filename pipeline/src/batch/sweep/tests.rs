//! What a sweep offers and what it changes.

use proptest::prelude::*;

use super::*;
use crate::batch::{Number, Signal};
use crate::testing::any_batch;

/// Covers every text, removes every number, renames every key that is not yet covered.
#[derive(Default)]
struct Cover {
    uncovered: Vec<String>,
    removes: bool,
}

impl Sweep for Cover {
    type Verdict = ();

    fn key(&mut self, key: &str) -> ((), Option<String>) {
        ((), (key != "key").then(|| "key".to_owned()))
    }

    fn text(&mut self, _: TextPlace<()>, text: &[u8]) -> Edit {
        if text == b"covered" {
            return Edit::Keep;
        }
        self.uncovered.push(String::from_utf8(text.to_vec()).unwrap());
        Edit::Set("covered".into())
    }

    fn value(&mut self, _: TextPlace<()>, value: Value<'_>) -> Edit {
        self.uncovered.push(format!("{value:?}"));
        if self.removes { Edit::Remove } else { Edit::Set("covered".into()) }
    }
}

fn received(batch: &Batch) -> Batch {
    Batch::from_otlp(batch.signal(), batch.to_otlp()).unwrap()
}

proptest! {
    #[test]
    fn property_what_was_covered_is_covered_when_it_goes_out(
        mut batch in prop_oneof![any_batch(Signal::Logs), any_batch(Signal::Traces), any_batch(Signal::Metrics)],
        removes in any::<bool>(),
    ) {
        batch.sweep(&mut Cover { removes, ..Cover::default() });
        let mut again = received(&batch);
        let mut cover = Cover { removes, ..Cover::default() };
        let changed = again.sweep(&mut cover);
        prop_assert!(changed == 0, "{:?}", cover.uncovered);
    }

    #[test]
    fn property_a_sweep_that_keeps_everything_changes_no_byte(batch in any_batch(Signal::Traces)) {
        struct Keep;
        impl Sweep for Keep {
            type Verdict = ();
            fn key(&mut self, _: &str) -> ((), Option<String>) { ((), None) }
            fn text(&mut self, _: TextPlace<()>, _: &[u8]) -> Edit { Edit::Keep }
            fn value(&mut self, _: TextPlace<()>, _: Value<'_>) -> Edit { Edit::Keep }
        }
        let before = batch.to_otlp();
        let mut after = batch;
        prop_assert_eq!(after.sweep(&mut Keep), 0);
        prop_assert_eq!(after.to_otlp(), before);
    }
}

/// Drops whatever has this text, and notes the places it is offered.
struct DropAt(&'static str, bool, Vec<String>);

impl Sweep for DropAt {
    type Verdict = ();

    fn key(&mut self, _: &str) -> ((), Option<String>) {
        ((), None)
    }

    fn text(&mut self, place: TextPlace<()>, text: &[u8]) -> Edit {
        self.1 |= text == self.0.as_bytes();
        self.2.push(format!("{place:?}={}", std::str::from_utf8(text).unwrap()));
        Edit::Keep
    }

    fn value(&mut self, _: TextPlace<()>, _: Value<'_>) -> Edit {
        Edit::Keep
    }

    fn end(&mut self) -> End {
        if std::mem::take(&mut self.1) { End::Drop } else { End::Keep }
    }
}

fn two_services() -> Batch {
    let mut builder = Batch::builder(Signal::Logs);
    for service in ["shop", "bank"] {
        builder.begin_resource(|resource| resource.set_attribute("service.name", service));
        builder.begin_scope("orders", "1", |_| ());
        for body in ["good", "bad"] {
            builder.push(|log| log.set_body(body));
        }
    }
    builder.build()
}

#[test]
fn a_record_goes_alone_and_a_resource_with_its_records() {
    for (text, left) in [("bad", 2), ("shop", 2), ("orders", 0), ("none", 4)] {
        let mut batch = two_services();
        batch.sweep(&mut DropAt(text, false, Vec::new()));
        assert_eq!(received(&batch).len(), left, "{text}");
        assert_eq!(batch.is_empty(), left == 0);
    }
}

#[test]
fn a_metric_goes_with_its_points() {
    let mut builder = Batch::builder(Signal::Metrics);
    for name in ["good", "bad"] {
        builder.begin_number_metric(name, "1", None);
        builder.push_point(0, 1, Number::Int(1), |_| ());
    }
    let mut batch = builder.build();
    let mut sweep = DropAt("bad", false, Vec::new());
    batch.sweep(&mut sweep);
    assert_eq!(sweep.2, ["Name=good", "Unit=1", "Name=bad", "Unit=1"]);
    let names: Vec<_> = batch.points().map(|point| point.metric().name().to_owned()).collect();
    assert_eq!(names, ["good"]);
}

#[test]
fn a_shared_batch_is_left_to_its_other_holder() {
    let batch = two_services();
    let before = batch.to_otlp();
    let mut copy = batch.clone();
    assert!(copy.sweep(&mut Cover::default()) > 0);
    assert_eq!(batch.to_otlp(), before);
}

#[test]
fn several_attributes_of_one_holder_are_removed_together() {
    struct RemoveShort;
    impl Sweep for RemoveShort {
        type Verdict = bool;
        fn key(&mut self, key: &str) -> (bool, Option<String>) {
            (key.len() == 1, None)
        }
        fn text(&mut self, place: TextPlace<bool>, _: &[u8]) -> Edit {
            if place == TextPlace::Attribute(true) { Edit::Remove } else { Edit::Keep }
        }
        fn value(&mut self, _: TextPlace<bool>, _: Value<'_>) -> Edit {
            Edit::Keep
        }
    }
    let mut batch = Batch::builder(Signal::Logs)
        .record(|log| {
            for key in ["a", "stays", "b", "c", "too"] {
                log.set_attribute(key, key);
            }
        })
        .build();
    assert_eq!(batch.sweep(&mut RemoveShort), 3);
    let batch = received(&batch);
    let record = batch.records().next().unwrap();
    assert_eq!(record.attributes().iter().map(|(key, _)| key).collect::<Vec<_>>(), ["stays", "too"]);
}
