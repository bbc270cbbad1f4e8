//! Cuts long bodies of log records and says how long they were.
//!
//! ```yaml
//! short_body:
//!   characters_max: 80
//! ```
//!
//! Signals: logs; others pass unchanged. Order: kept. Loss: the end of long bodies, by design; the original
//! length stays in the attribute `body.length`. Memory: none.

use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{Batch, Context, Counter, Out, Processor, ProcessorConfig, Unit, Value};

/// The settings of `short_body`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Characters of a body that are kept. Default 200.
    #[serde(default = "two_hundred")]
    characters_max: usize,
}

fn two_hundred() -> usize {
    200
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "short_body";
    const SOURCE: &'static str = include_str!("short_body.rs");
    type Processor = ShortBody;

    fn build(&self, cx: &Context) -> Result<ShortBody, BuildError> {
        if self.characters_max == 0 {
            return Err(BuildError::at(
                "characters_max",
                "must be at least 1; to drop bodies, use another processor",
            ));
        }
        let cut = cx.counter("short_body_cut", Unit::Values, "Bodies that were cut.");
        Ok(ShortBody { characters_max: self.characters_max, cut })
    }
}

pub(crate) struct ShortBody {
    characters_max: usize,
    cut: Counter,
}

impl Processor for ShortBody {
    fn process(&mut self, mut batch: Batch, _now: Instant, out: &mut Out) {
        let mut records = batch.records_mut();
        while let Some(mut record) = records.next() {
            let Some(Value::Str(body)) = record.log().and_then(|log| log.body()) else { continue };
            let Some((end, _)) = body.char_indices().nth(self.characters_max) else { continue };
            let short = body.get(..end).unwrap_or_default().to_owned();
            let length = i64::try_from(body.len()).unwrap_or(i64::MAX);
            record.set_body(short);
            record.set_attribute("body.length", length);
            self.cut.add(1);
        }
        out.push(batch);
    }
}

#[cfg(test)]
mod tests {
    use watershed_pipeline::{Kind, Signal};

    use super::*;

    fn check(config: &str, body: &str, expected: &str) {
        let section = watershed_config::Section::from_text("short_body", config).unwrap();
        let config: Config = section.read().unwrap();
        let cx = Context::detached(Kind::Processor, "short_body".parse().unwrap());
        let mut processor = config.build(&cx).unwrap();
        let batch = Batch::builder(Signal::Logs).record(|log| log.set_body(body)).build();
        let mut out = Out::default();
        processor.process(batch, Instant::now(), &mut out);
        let batches = out.take();
        let log = batches[0].logs().next().unwrap();
        assert_eq!(log.body(), Some(Value::Str(expected)));
    }

    #[test]
    fn long_bodies_are_cut_between_characters() {
        check("characters_max: 3", "größer", "grö");
    }

    #[test]
    fn short_bodies_stay() {
        check("", "short", "short");
    }
}
