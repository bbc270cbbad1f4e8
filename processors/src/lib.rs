//! The processors of watershed: what changes, drops or holds telemetry between receiver and exporter.
//!
//! A processor is synchronous and pure: it owns no task, no clock and no channel. This crate refuses to know any
//! async runtime, network or file library; only `memory_limiter` looks at the host's memory, once, when it is built.
//!
//! Each component is one file, whose module comment is its page in the manual. Read `resource.rs` first, the
//! shortest; `actions.rs` is what it shares with `attributes.rs`.

mod actions;
mod attributes;
mod batch;
mod filter;
mod memory_limiter;
mod resource;

use watershed_pipeline::{ProcessorFactory, processor};

/// Every processor, in the order of the manual.
pub static ALL: &[ProcessorFactory] = &[
    processor::<attributes::Config>(),
    processor::<batch::Config>(),
    processor::<filter::Config>(),
    processor::<memory_limiter::Config>(),
    processor::<resource::Config>(),
];

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use watershed_config::Section;
    use watershed_pipeline::{Batch, Context, Kind, Number, Out, Processor, ProcessorConfig, Signal};

    use super::*;

    /// One small batch of each signal.
    fn batches() -> [Batch; 3] {
        let record =
            |signal| Batch::builder(signal).record(|record| record.set_attribute("key", "value")).build();
        let mut points = Batch::builder(Signal::Metrics);
        points.begin_number_metric("cpu", "1", None);
        points.push_point(0, 1, Number::Int(1), |_| ());
        [record(Signal::Logs), record(Signal::Traces), points.build()]
    }

    /// The YAML at the top of the component's page.
    fn example<C: ProcessorConfig>() -> Section {
        let page = processor::<C>().description.page();
        let yaml = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        Section::from_text(C::TYPE, yaml).unwrap().take(C::TYPE).unwrap()
    }

    /// What every processor must do, whatever it is for.
    fn keeps_the_contract<C: ProcessorConfig>() {
        let cx = Context::detached(Kind::Processor, C::TYPE.parse().unwrap());
        let mut built = example::<C>().read::<C>().unwrap().build(&cx).unwrap();

        let unknown = Section::from_text(C::TYPE, "no_such_key: 1").unwrap().read::<C>().err().unwrap();
        assert!(unknown.to_string().contains("unknown key `no_such_key`"), "{unknown}");

        let (mut out, start) = (Out::default(), Instant::now());
        for batch in batches() {
            built.process(batch, start, &mut out);
        }
        let end = built.deadline().unwrap_or(start) + Duration::from_secs(1);
        built.tick(end, &mut out);
        built.drain(end, &mut out);
        assert_eq!(
            (built.held(), built.deadline()),
            (0, None),
            "{} keeps something after the drain",
            C::TYPE
        );
        let passed: usize = out.take().iter().map(Batch::len).sum();
        assert!(passed <= 3, "{} made items", C::TYPE);
    }

    #[test]
    fn every_processor_keeps_the_contract() {
        keeps_the_contract::<attributes::Config>();
        keeps_the_contract::<batch::Config>();
        keeps_the_contract::<filter::Config>();
        keeps_the_contract::<memory_limiter::Config>();
        keeps_the_contract::<resource::Config>();
    }

    #[test]
    fn the_list_is_sorted_and_has_each_processor_once() {
        let names: Vec<_> = ALL.iter().map(|factory| factory.description.type_name).collect();
        assert!(names.is_sorted_by(|left, right| left < right), "{names:?}");
        assert_eq!(names.len(), 5);
    }
}
