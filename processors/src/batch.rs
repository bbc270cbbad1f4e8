//! Merges small batches into larger ones.
//!
//! ```yaml
//! batch:
//!   send_batch_size: 8192
//!   timeout: 200ms
//! ```
//!
//! A merged batch goes on as soon as it has `send_batch_size` items or its first item has waited for `timeout`.
//! Batches of different signals, or of different values of `metadata_keys`, are never merged. What goes on keeps only
//! the metadata named by `metadata_keys`.
//!
//! A sender is answered when the merged batch has been taken, not when it starts to wait (in the Collector it is
//! answered at once, and a crash loses the data). So a sender waits up to `timeout` longer, and a few senders that
//! wait for each answer send slower than without this processor. The queue of an exporter (`sending_queue.batch`)
//! merges without this price; prefer it, unless a processor behind this one needs large batches.
//!
//! Signals: all. Order: kept among what is merged. Loss: none. Memory: what waits, which the memory limit counts; each
//! lane merges for itself. Place it last. Counters: `batch_batch_size_trigger_send` and `batch_timeout_trigger_send`
//! (batches sent on because of size and time).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Period};
use watershed_pipeline::{
    Batch, Context, Counter, Metadata, Out, Processor, ProcessorConfig, Refusal, Signal, Unit,
};

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Items (log records, spans, data points) from which on a merged batch goes on. Default 8192; 0 sends everything
    /// on at once, cut to `send_batch_max_size`.
    #[serde(default = "send_batch_size")]
    send_batch_size: usize,
    /// How long the first item of a merged batch waits at most. Default 200ms; 0 sends everything on at once.
    #[serde(default = "timeout")]
    timeout: Period,
    /// The most items of a batch that goes on; larger ones are cut. Default 0, which means no limit.
    #[serde(default)]
    send_batch_max_size: usize,
    /// Request headers whose values are kept apart, such as a tenant. Needs `include_metadata` on the receiver.
    /// Default none.
    #[serde(default)]
    metadata_keys: Vec<String>,
    /// How many combinations of such values may wait at the same time; a sender with a further one is asked to try
    /// again. Default 1000; 0 means no limit.
    #[serde(default = "metadata_cardinality_limit")]
    metadata_cardinality_limit: usize,
}

fn send_batch_size() -> usize {
    8192
}

fn timeout() -> Period {
    Period::milliseconds(200)
}

fn metadata_cardinality_limit() -> usize {
    1000
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "batch";
    const SOURCE: &'static str = include_str!("batch.rs");
    type Processor = Batcher;

    fn build(&self, cx: &Context) -> Result<Batcher, BuildError> {
        let (size, max) = (self.send_batch_size, self.send_batch_max_size);
        if max > 0 && max < size {
            let message = format!("{max} is less than `send_batch_size`, which is {size}; raise it or set 0");
            return Err(BuildError::at("send_batch_max_size", message));
        }
        let mut keys: Vec<String> = self.metadata_keys.iter().map(|key| key.to_ascii_lowercase()).collect();
        keys.sort();
        if let Some(key) =
            keys.windows(2).find_map(|pair| pair.first().filter(|first| pair.get(1) == Some(first)))
        {
            return Err(BuildError::at(
                "metadata_keys",
                format!("`{key}` is there twice; case makes no difference"),
            ));
        }
        Ok(Batcher {
            waits: size > 0 && self.timeout.duration() > Duration::ZERO,
            config: self.clone(),
            held: BTreeMap::new(),
            by_size: cx.counter(
                "batch_batch_size_trigger_send",
                Unit::Requests,
                "Batches sent on because of size",
            ),
            by_time: cx.counter(
                "batch_timeout_trigger_send",
                Unit::Requests,
                "Batches sent on because of time",
            ),
        })
    }
}

pub(crate) struct Batcher {
    config: Config,
    /// Whether anything is held back at all.
    waits: bool,
    held: BTreeMap<Partition, Held>,
    by_size: Counter,
    by_time: Counter,
}

/// What may be merged: the signal, and the values of each metadata key.
type Partition = (Signal, Vec<Vec<String>>);

struct Held {
    batch: Batch,
    due: Instant,
}

impl Batcher {
    fn partition(&self, batch: &Batch) -> Partition {
        let values = |key: &String| {
            batch
                .metadata()
                .map_or_else(Vec::new, |metadata| metadata.values(key).map(str::to_owned).collect())
        };
        (batch.signal(), self.config.metadata_keys.iter().map(values).collect())
    }

    /// The metadata that all merged batches of a partition have in common.
    fn common_metadata(&self, partition: &Partition) -> Option<Arc<Metadata>> {
        let keys = self.config.metadata_keys.iter().zip(&partition.1);
        let headers: Vec<(String, String)> =
            keys.flat_map(|(key, values)| values.iter().map(|value| (key.clone(), value.clone()))).collect();
        (!headers.is_empty()).then(|| Arc::new(Metadata::new(headers, None)))
    }

    /// How many combinations of metadata wait for one signal.
    fn waiting(&self, signal: Signal) -> usize {
        self.held.keys().filter(|(own, _)| *own == signal).count()
    }

    /// Sends a batch on, cut to the largest size, while more than `leave` items are there; returns the rest.
    fn send(&self, mut batch: Batch, leave: usize, counter: &Counter, out: &mut Out) -> Option<Batch> {
        let max =
            if self.config.send_batch_max_size == 0 { usize::MAX } else { self.config.send_batch_max_size };
        while batch.len() > leave {
            let rest = batch.split_off(max);
            out.push(batch);
            counter.add(1);
            batch = rest?;
        }
        Some(batch)
    }

    fn send_due(&mut self, is_due: impl Fn(Instant) -> bool, out: &mut Out) {
        let held = std::mem::take(&mut self.held);
        for (partition, held) in held {
            if is_due(held.due) {
                self.send(held.batch, 0, &self.by_time, out);
            } else {
                self.held.insert(partition, held);
            }
        }
    }
}

impl Processor for Batcher {
    fn process(&mut self, mut batch: Batch, now: Instant, out: &mut Out) {
        if !self.waits {
            self.send(batch, 0, &self.by_size, out);
            return;
        }
        let partition = self.partition(&batch);
        let limit = self.config.metadata_cardinality_limit;
        let (merged, due) = match self.held.remove(&partition) {
            Some(mut held) => {
                held.batch.append(batch);
                (held.batch, held.due)
            }
            None if limit > 0 && self.waiting(partition.0) >= limit => {
                out.refuse(Refusal::Retry {
                    reason: format!("more than {limit} combinations of metadata are waiting to be merged"),
                    after: Some(self.config.timeout.duration()),
                });
                return;
            }
            None => {
                batch.set_metadata(self.common_metadata(&partition));
                (batch, now + self.config.timeout.duration())
            }
        };
        let size_before = merged.len();
        if let Some(rest) = self.send(merged, self.config.send_batch_size - 1, &self.by_size, out) {
            let due = if rest.len() == size_before { due } else { now + self.config.timeout.duration() };
            self.held.insert(partition, Held { batch: rest, due });
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.held.values().map(|held| held.due).min()
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        self.send_due(|due| due <= now, out);
    }

    fn drain(&mut self, _now: Instant, out: &mut Out) {
        self.send_due(|_| true, out);
    }

    fn held(&self) -> usize {
        self.held.values().map(|held| held.batch.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use watershed_config::Section;
    use watershed_pipeline::Kind;

    fn build(yaml: &str) -> Result<Batcher, String> {
        let section = Section::from_text("batch", yaml).unwrap();
        let config: Config = section.read().map_err(|errors| errors.to_string())?;
        let cx = Context::detached(Kind::Processor, "batch".parse().unwrap());
        config.build(&cx).map_err(|error| section.build_error(error).to_string())
    }

    fn logs(count: usize, tenant: Option<&str>) -> Batch {
        let mut builder = Batch::builder(Signal::Logs);
        (0..count).for_each(|_| builder.push(|_| ()));
        let mut batch = builder.build();
        let header = |value: &str| Arc::new(Metadata::new([("tenant".to_owned(), value.to_owned())], None));
        batch.set_metadata(tenant.map(header));
        batch
    }

    /// Feeds batches of these sizes, then moves time past the timeout, then drains: the sizes that came out each time.
    #[track_caller]
    fn check(yaml: &str, sizes: &[usize], expected: [&[usize]; 2]) {
        let mut batcher = build(yaml).unwrap();
        let (mut out, start) = (Out::default(), Instant::now());
        let lens = |out: &mut Out| out.take().iter().map(Batch::len).collect::<Vec<_>>();
        sizes.iter().for_each(|size| batcher.process(logs(*size, None), start, &mut out));
        assert_eq!(lens(&mut out), expected[0], "at once");
        if let Some(deadline) = batcher.deadline() {
            batcher.tick(deadline - Duration::from_nanos(1), &mut out);
            assert_eq!(lens(&mut out), [0; 0], "before the deadline");
            batcher.tick(deadline, &mut out);
        }
        assert_eq!(lens(&mut out), expected[1], "at the deadline");
        assert_eq!((batcher.held(), batcher.deadline()), (0, None));
    }

    #[test]
    fn batches_go_on_by_size_or_time() {
        check("send_batch_size: 10", &[4, 4], [&[], &[8]]);
        check("send_batch_size: 10", &[4, 4, 4, 1], [&[12], &[1]]);
        check("{send_batch_size: 10, send_batch_max_size: 10}", &[4, 21], [&[10, 10], &[5]]);
        check("{send_batch_size: 4, send_batch_max_size: 6}", &[23], [&[6, 6, 6, 5], &[]]);
        check("{send_batch_size: 0, send_batch_max_size: 2}", &[3, 1], [&[2, 1, 1], &[]]);
        check("timeout: 0s", &[3, 1], [&[3, 1], &[]]);
    }

    #[test]
    fn tenants_are_kept_apart_and_their_number_is_bounded() {
        let mut batcher = build("{metadata_keys: [Tenant], metadata_cardinality_limit: 2}").unwrap();
        let (mut out, now) = (Out::default(), Instant::now());
        for tenant in ["a", "b", "a"] {
            batcher.process(logs(1, Some(tenant)), now, &mut out);
        }
        batcher.process(logs(1, Some("c")), now, &mut out);
        assert_eq!(batcher.held(), 3);
        batcher.drain(now, &mut out);
        let passed = out.take();
        let tenant = |batch: &Batch| batch.metadata().unwrap().values("tenant").collect::<String>();
        let shown: Vec<_> = passed.iter().map(|batch| (tenant(batch), batch.len())).collect();
        assert_eq!(shown, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    }

    #[test]
    fn settings_that_do_not_fit_together_are_refused() {
        assert_eq!(
            build("{send_batch_size: 10, send_batch_max_size: 5}").err().unwrap(),
            "batch:1:44: batch.send_batch_max_size: 5 is less than `send_batch_size`, which is 10; raise it or set 0"
        );
        assert_eq!(
            build("metadata_keys: [a, b, A]").err().unwrap(),
            "batch:1:16: batch.metadata_keys: `a` is there twice; case makes no difference"
        );
    }

    proptest! {
        #[test]
        fn property_nothing_is_lost_and_no_size_is_passed(
            sizes in prop::collection::vec(0_usize..40, 0..20),
            size in 0_usize..20,
            more in 0_usize..20,
        ) {
            let max = size + more;
            let mut batcher = build(&format!("{{send_batch_size: {size}, send_batch_max_size: {max}}}")).unwrap();
            let (mut out, now) = (Out::default(), Instant::now());
            let mut passed = Vec::new();
            for items in &sizes {
                batcher.process(logs(*items, None), now, &mut out);
                passed.extend(out.take());
                prop_assert!(batcher.held() < size.max(1));
            }
            batcher.drain(now, &mut out);
            passed.extend(out.take());
            let total: usize = passed.iter().map(Batch::len).sum();
            prop_assert_eq!(total, sizes.iter().sum::<usize>());
            prop_assert!(max == 0 || passed.iter().all(|batch| batch.len() <= max));
        }
    }
}
