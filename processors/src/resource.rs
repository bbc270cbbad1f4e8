//! Changes the attributes of resources: what produced the telemetry.
//!
//! ```yaml
//! resource:
//!   attributes:
//!     - {key: deployment.environment.name, value: production, action: insert}
//!     - {key: k8s.cluster.name, from_attribute: cluster, action: upsert}
//!     - {key: cluster, action: delete}
//! ```
//!
//! The actions are those of `attributes`, applied in their order: `insert`, `update`, `upsert`, `delete`, `hash`
//! (SHA-256; the Collector's default is SHA-1), `extract` and `convert`. A resource is changed once, however many
//! records it has.
//!
//! Signals: all. Order: kept. Loss: none. Memory: none of its own.

use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{Batch, Context, Out, Processor, ProcessorConfig};

use crate::actions::{Action, Actions};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What to change, in this order. Required.
    attributes: Vec<Action>,
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "resource";
    const SOURCE: &'static str = include_str!("resource.rs");
    type Processor = Resource;

    fn build(&self, _cx: &Context) -> Result<Resource, BuildError> {
        Ok(Resource { actions: Actions::compile(&self.attributes, "attributes")? })
    }
}

pub(crate) struct Resource {
    actions: Actions,
}

impl Processor for Resource {
    fn process(&mut self, mut batch: Batch, _now: Instant, out: &mut Out) {
        let metadata = batch.metadata().cloned();
        let actions = self.actions.bind(metadata.as_deref());
        batch.resources_mut(|resource| actions.apply(resource));
        out.push(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watershed_config::Section;
    use watershed_pipeline::{Kind, Signal, Value};

    #[track_caller]
    fn check(yaml: &str, expected: &str) {
        let mut builder = Batch::builder(Signal::Logs);
        builder.begin_resource(|resource| {
            resource.set_attribute("service.name", "shop");
            resource.set_attribute("cluster", "eu-1");
        });
        builder.push(|log| log.set_attribute("cluster", "of the record"));
        let config: Config = Section::from_text("resource", yaml).unwrap().read().unwrap();
        let cx = Context::detached(Kind::Processor, "resource".parse().unwrap());
        let mut out = Out::default();
        config.build(&cx).unwrap().process(builder.build(), Instant::now(), &mut out);
        let passed = out.take().remove(0);
        let record = passed.records().next().unwrap();
        let show = |(key, value): (&str, Value<'_>)| format!("{key}={}", value.to_text());
        let shown: Vec<_> = record.resource().attributes().iter().map(show).collect();
        assert_eq!(shown.join(" "), expected);
        assert_eq!(record.attribute("cluster"), Some(Value::Str("of the record")));
    }

    #[test]
    fn actions_change_the_resource_and_not_the_records() {
        check("attributes: [{key: a, value: 5, action: insert}]", "service.name=shop cluster=eu-1 a=5");
        check(
            "attributes: [{key: k8s, from_attribute: cluster, action: upsert}, {key: cluster, action: delete}]",
            "service.name=shop k8s=eu-1",
        );
    }

    #[test]
    fn an_empty_list_is_refused() {
        let config: Config = Section::from_text("resource", "attributes: []").unwrap().read().unwrap();
        let cx = Context::detached(Kind::Processor, "resource".parse().unwrap());
        let error = config.build(&cx).err().unwrap();
        assert_eq!(error.to_string(), "attributes: needs at least one action");
    }
}
