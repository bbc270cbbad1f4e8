//! Full speed for long, through the processors that remember: memory stays where it was after they had filled theirs.
//!
//! `SOAK_SECONDS` says how long (default 4; `make test-long` takes 600).
#![cfg(test)]

mod support {
    pub(crate) mod memory;
    pub(crate) mod outcome;
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::time::{Duration, Instant};

use support::memory::peak_memory;
use support::outcome::watershed;
use support::program::config_file;
use support::running::Running;

/// Every bound on memory is small, so that it is reached in the first part of the time.
const CONFIG: &str = "
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}}
processors:
  memory_limiter: {limit_mib: 64, spike_limit_mib: 16}
  redaction: {}
  correlation: {back_fill: {max_memory: 1MiB}}
  dedup: {key: [attributes.sequence], max_memory: 1MiB}
  debug_on_error: {max_memory: 1MiB}
  rate_limit: {records_per_second: 1000000, key: [trace_id], max_memory: 1MiB}
  tail_sampling:
    max_memory: 2MiB
    decision_cache: {sampled_cache_size: 1000, non_sampled_cache_size: 1000}
    policies: [{name: few, type: probabilistic, probabilistic: {sampling_percentage: 10}}]
exporters: {nop: {}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    logs: {receivers: [otlp], processors: [memory_limiter, redaction, correlation, dedup, debug_on_error, rate_limit], exporters: [nop]}
    traces: {receivers: [otlp], processors: [memory_limiter, redaction, correlation, tail_sampling], exporters: [nop]}
";

/// What may be added after the first third: allocators keep some memory, and senders do not all meet at the same moment.
const SLACK_MIB: u64 = 48;

#[test]
fn memory_stays_flat_at_full_speed() {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let length = Duration::from_secs(seconds);
    let running = Running::start(&config_file("soak.yaml", CONFIG));
    let address = running.address("protocol", "grpc").to_string();
    let began = Instant::now();
    let mut early = None;
    while began.elapsed() < length || early.is_none() {
        for signal in ["logs", "traces"] {
            let load = ["generate", signal, "--endpoint", &address, "--count", "20000", "--batch", "500"];
            let outcome = watershed(&[&load[..], &["--connections", "4"]].concat());
            // Memory that is short makes senders wait; what counts is that each is answered.
            let is_answered = outcome.code < 2 && outcome.stdout.contains("\"failed\":0");
            assert!(is_answered, "{}{}", outcome.stdout, outcome.stderr);
        }
        if early.is_none() && began.elapsed() >= length / 3 {
            early = Some(peak_memory(running.child.id()));
        }
    }
    let (early, late) = (early.unwrap(), peak_memory(running.child.id()));
    let (status, _, log) = running.stop();
    assert!(status.success(), "{log}");
    assert!(late <= early + SLACK_MIB, "{early} MiB after a third of the time, {late} MiB at the end");
}
