//! Bounds the memory that telemetry in flight may take, for the whole process.
//!
//! ```yaml
//! memory_limiter:
//!   limit_mib: 512
//!   spike_limit_mib: 128
//! ```
//!
//! The limit counts bytes of telemetry that has been received and not yet delivered, exactly and at the door: a
//! request that does not fit is answered with 503 or `UNAVAILABLE` before its body is read. Below
//! `limit − spike_limit` new requests are taken; the spike is left to what is already under way. Leave room beside
//! the limit for the program itself, about 100 MiB.
//!
//! One limiter serves all pipelines of the process, wherever it stands; of several, the one built last counts.
//! Without any, the process has a default limit. The Collector measures the heap once per `check_interval` instead,
//! so that settings of that measurement are accepted here and have no effect.
//!
//! Signals: all. Order: kept. Loss: none, refused senders are told. Memory: none of its own.

use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Percentage, Period};
use watershed_pipeline::{Batch, Context, Out, Processor, ProcessorConfig};

const MIB: u64 = 1 << 20;
/// The spike is one part of so many of the limit unless it is set.
const SPIKE_SHARE: u64 = 5;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The hard limit in MiB. Required unless `limit_percentage` is set; wins over it when both are.
    #[serde(default)]
    limit_mib: u32,
    /// How much of the limit new requests leave free, in MiB. Default 0, which means a fifth of the limit.
    #[serde(default)]
    spike_limit_mib: u32,
    /// The hard limit as a share of the memory that the process may use: its cgroup's limit, or the host's memory.
    #[serde(default)]
    limit_percentage: Option<Percentage>,
    /// How much new requests leave free, as a share of the same memory. Default 0, which means a fifth of the limit.
    #[serde(default)]
    spike_limit_percentage: Option<Percentage>,
    /// Accepted without effect: admission is exact at any moment, there is nothing to check from time to time.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    check_interval: Option<Period>,
    /// Accepted without effect: there is no garbage collector.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    min_gc_interval_when_soft_limited: Option<Period>,
    /// Accepted without effect: there is no garbage collector.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    min_gc_interval_when_hard_limited: Option<Period>,
    /// Accepted without effect: there is no garbage collector.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    max_gc_interval_when_soft_limited: Option<Period>,
    /// Accepted without effect: there is no garbage collector.
    #[expect(dead_code, reason = "accepted so that files of the Collector can be used as they are")]
    #[serde(default)]
    max_gc_interval_when_hard_limited: Option<Period>,
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "memory_limiter";
    const SOURCE: &'static str = include_str!("memory_limiter.rs");
    type Processor = MemoryLimiter;

    fn build(&self, cx: &Context) -> Result<MemoryLimiter, BuildError> {
        let limits = self.limits(watershed_pipeline::available_memory)?;
        cx.budget().set_limits(limits.soft, limits.hard);
        Ok(MemoryLimiter)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Limits {
    soft: usize,
    hard: usize,
}

impl Config {
    /// Computes both limits in bytes; asks for the memory of the host only when a percentage needs it.
    fn limits(&self, memory: impl FnOnce() -> Option<u64>) -> Result<Limits, BuildError> {
        if self.limit_mib > 0 {
            return self.fixed_limits();
        }
        let Some(share) = self.limit_percentage.filter(|share| share.fraction() > 0.0) else {
            return Err(BuildError::new(
                "has no limit; set `limit_mib`, for instance 512, or `limit_percentage`, for instance 75",
            ));
        };
        let spike = self.spike_limit_percentage.unwrap_or(Percentage::NONE);
        if spike >= share {
            return Err(BuildError::at(
                "spike_limit_percentage",
                format!("{spike} would leave nothing of the limit of {share}; choose a smaller spike"),
            ));
        }
        let memory = memory().ok_or_else(|| {
            BuildError::at(
                "limit_percentage",
                "the memory of this host is not known; set `limit_mib` instead",
            )
        })?;
        Ok(Limits::new(part_of(memory, share), part_of(memory, spike)))
    }

    fn fixed_limits(&self) -> Result<Limits, BuildError> {
        if self.spike_limit_mib >= self.limit_mib {
            return Err(BuildError::at(
                "spike_limit_mib",
                format!(
                    "{} would leave nothing of the limit of {} MiB; choose a smaller spike",
                    self.spike_limit_mib, self.limit_mib
                ),
            ));
        }
        Ok(Limits::new(u64::from(self.limit_mib) * MIB, u64::from(self.spike_limit_mib) * MIB))
    }
}

impl Limits {
    fn new(hard: u64, spike: u64) -> Self {
        let spike = if spike == 0 { hard / SPIKE_SHARE } else { spike };
        let bytes = |count| usize::try_from(count).unwrap_or(usize::MAX);
        Self { soft: bytes(hard.saturating_sub(spike)), hard: bytes(hard) }
    }
}

pub(crate) struct MemoryLimiter;

impl Processor for MemoryLimiter {
    fn process(&mut self, batch: Batch, _now: Instant, out: &mut Out) {
        out.push(batch);
    }
}

/// The share of so many bytes, rounded down.
fn part_of(bytes: u64, share: Percentage) -> u64 {
    // A float holds every byte count below 8 PiB exactly; a larger host loses some bytes to rounding.
    (bytes as f64 * share.fraction()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use watershed_config::Section;
    use watershed_pipeline::Kind;

    #[track_caller]
    fn check(yaml: &str, memory: Option<u64>, expected: Result<(u64, u64), &str>) {
        let config: Config = Section::from_text("memory_limiter", yaml).unwrap().read().unwrap();
        let limits = config.limits(|| memory).map_err(|error| error.to_string());
        let expected = expected.map(|(soft, hard)| Limits {
            soft: usize::try_from(soft * MIB).unwrap(),
            hard: usize::try_from(hard * MIB).unwrap(),
        });
        assert_eq!(limits, expected.map_err(str::to_owned));
    }

    #[test]
    fn the_spike_is_taken_off_the_limit_for_new_work() {
        check("{limit_mib: 500, spike_limit_mib: 200}", None, Ok((300, 500)));
        check("{check_interval: 1s, limit_mib: 500}", None, Ok((400, 500)));
        check("{limit_percentage: 50, spike_limit_percentage: 25}", Some(4000 * MIB), Ok((1000, 2000)));
        check("limit_percentage: 75", Some(1000 * MIB), Ok((600, 750)));
        check("{limit_mib: 100, limit_percentage: 75}", Some(1000 * MIB), Ok((80, 100)));
    }

    #[test]
    fn a_limiter_without_a_usable_limit_is_refused_with_the_fix() {
        let none = "has no limit; set `limit_mib`, for instance 512, or `limit_percentage`, for instance 75";
        check("", None, Err(none));
        check("limit_percentage: 0", Some(MIB), Err(none));
        check(
            "{limit_mib: 100, spike_limit_mib: 100}",
            None,
            Err("spike_limit_mib: 100 would leave nothing of the limit of 100 MiB; choose a smaller spike"),
        );
        check(
            "{limit_percentage: 20, spike_limit_percentage: 30}",
            Some(MIB),
            Err(
                "spike_limit_percentage: 30% would leave nothing of the limit of 20%; choose a smaller spike",
            ),
        );
        check(
            "limit_percentage: 20",
            None,
            Err("limit_percentage: the memory of this host is not known; set `limit_mib` instead"),
        );
    }

    #[test]
    fn building_sets_the_limits_of_the_process() {
        let config: Config = Section::from_text("memory_limiter", "limit_mib: 10").unwrap().read().unwrap();
        let cx = Context::detached(Kind::Processor, "memory_limiter".parse().unwrap());
        assert!(config.build(&cx).is_ok());
        assert_eq!((cx.budget().soft_limit(), cx.budget().hard_limit()), (8 << 20, 10 << 20));
    }
}
