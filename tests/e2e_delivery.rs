//! Nothing that was accepted is lost when the program is stopped under load, and overload is refused within the
//! memory limit.
#![cfg(test)]

mod support {
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::program::{config_file, program};
use support::running::Running;

const RECEIVER: &str = "receivers:\n  otlp:\n    protocols:\n      grpc: {endpoint: 127.0.0.1:0}\n      http: {endpoint: 127.0.0.1:0}\n";

fn generate(endpoint: &str, count: &str) -> Child {
    program()
        .args(["generate", "logs", "--endpoint", endpoint, "--count", count, "--batch", "100"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn report(generator: Child) -> Value {
    let output = generator.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_was_accepted_before_a_stop_under_load_is_delivered() {
    let far_end_config = config_file(
        "far_end.yaml",
        &format!(
            "{RECEIVER}exporters: {{stdout: }}\nservice:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
             logs: {{receivers: [otlp], exporters: [stdout]}}\n"
        ),
    );
    let far_end = Running::start(&far_end_config);
    let config = config_file(
        "stopped_under_load.yaml",
        &format!(
            "{RECEIVER}processors: {{batch: {{timeout: 50ms}}}}\nexporters:\n  otlp_http: {{endpoint: 'http://{}'}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
             logs: {{receivers: [otlp], processors: [batch], exporters: [otlp_http]}}\n",
            far_end.address("protocol", "http")
        ),
    );
    let running = Running::start(&config);
    let mut generator = generate(&running.address("protocol", "grpc").to_string(), "100000000");
    // Any moment will do, so long as the load has begun: wait for the first record at the far end.
    let output = far_end_config.with_extension("stdout");
    while std::fs::metadata(&output).unwrap().len() == 0 {
        assert!(generator.try_wait().unwrap().is_none(), "the generator ended");
        std::thread::yield_now();
    }
    let (status, _, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
    let asked = Command::new("kill").args(["-INT", &generator.id().to_string()]).status().unwrap();
    assert!(asked.success(), "the generator ended");
    let report = report(generator);
    let (_, stdout, _) = far_end.stop();
    let mut sequences: Vec<u64> = stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["metadata"]["sequence"].as_u64().unwrap())
        .collect();
    let delivered = sequences.len() as u64;
    sequences.sort_unstable();
    sequences.dedup();
    let accepted = report["accepted"].as_u64().unwrap();
    let unknown = report["failed"].as_u64().unwrap();
    assert!(accepted > 0, "{report}");
    assert_eq!(sequences.len() as u64, delivered, "nothing is doubled");
    assert!(
        (accepted..=accepted + unknown).contains(&delivered),
        "{delivered} delivered of {accepted} accepted and {unknown} without an answer"
    );
}

#[test]
fn overload_is_refused_within_the_memory_limit() {
    // Nobody listens on port 9 (discard) of the loopback address: every attempt is tried again later.
    let config = config_file(
        "overload.yaml",
        &format!(
            "{RECEIVER}processors: {{memory_limiter: {{limit_mib: 40, spike_limit_mib: 10}}}}\n\
             exporters:\n  otlp_http: {{endpoint: 'http://127.0.0.1:9', sending_queue: {{storage: memory}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
             logs: {{receivers: [otlp], processors: [memory_limiter], exporters: [otlp_http]}}\n",
        ),
    );
    let running = Running::start(&config);
    for protocol in ["grpc", "http"] {
        let endpoint = running.address("protocol", protocol).to_string();
        let output = program()
            .args(["generate", "logs", "--endpoint", &endpoint, "--protocol", protocol])
            .args(["--count", "300000", "--batch", "1000"])
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["failed"], 0, "every client gets an answer: {report}");
        assert!(report["refused"].as_u64().unwrap() > 200_000, "{report}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("memory limit reached"), "{said}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024;
    assert!(peak < 80, "{peak} MiB at a limit of 40 MiB for telemetry in flight");
}
