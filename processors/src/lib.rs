//! The processors of watershed: what changes, drops or holds telemetry between receiver and exporter.
//!
//! A processor is synchronous and pure: it owns no task, no clock and no channel. This crate refuses to know any
//! async runtime, network or file library; only
//! `memory_limiter` and `resource_detection` look at the host, once, when they are built.
//!
//! Each component is one file, whose module comment is its page in the manual. Read `resource.rs` first, the
//! shortest; `actions.rs` is what it shares with `attributes.rs`.

mod actions;
mod attributes;
mod batch;
mod correlation;
mod debug_on_error;
mod dedup;
mod error_mode;
mod filter;
mod key;
mod lookup;
mod memory;
mod memory_limiter;
mod probabilistic_sampler;
mod probability;
mod rate_limit;
mod redaction;
mod resource;
mod resource_detection;
mod tail_sampling;
mod transform;

use watershed_pipeline::{ProcessorFactory, processor};

pub use redaction::{Redactor, RuleFile};

/// Every processor, in the order of the manual.
pub static ALL: &[ProcessorFactory] = &[
    processor::<attributes::Config>(),
    processor::<batch::Config>(),
    processor::<correlation::Config>(),
    processor::<debug_on_error::Config>(),
    processor::<dedup::Config>(),
    processor::<filter::Config>(),
    processor::<lookup::Config>(),
    processor::<memory_limiter::Config>(),
    processor::<probabilistic_sampler::Config>(),
    processor::<rate_limit::Config>(),
    processor::<redaction::Config>(),
    processor::<resource::Config>(),
    processor::<resource_detection::Config>(),
    processor::<tail_sampling::Config>(),
    processor::<transform::Config>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_keeps_the_contract() {
        watershed_pipeline::testing::contract::processors(ALL).unwrap();
    }

    #[test]
    fn the_list_is_sorted_and_has_no_name_twice() {
        let names: Vec<_> = ALL.iter().map(|factory| factory.description.type_name).collect();
        assert!(names.is_sorted_by(|left, right| left < right), "{names:?}");
    }
}
