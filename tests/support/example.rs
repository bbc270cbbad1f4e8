//! Examples of this repository, run as they are but for addresses.

use std::path::Path;

use super::outcome::watershed;
use super::program::config_file;
use super::running::Running;

/// Any port instead of the usual ones, so that tests run side by side.
const ANY_PORTS: [&str; 3] = [
    "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0",
    "receivers.otlp.protocols.http.endpoint=127.0.0.1:0",
    "service.telemetry.metrics.readers=[{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]",
];

/// Starts an example. What the test `test` writes has that in its name.
pub(crate) fn start(test: &str, example: &str, more: &[&str], variables: &[(&str, &str)]) -> Running {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
    let config = config_file(&format!("{test}_{example}"), &std::fs::read_to_string(path).unwrap());
    let settings: Vec<&str> = ANY_PORTS.iter().chain(more).copied().collect();
    Running::start_with(&config, &settings, variables)
}

/// Starts a gateway, which has a health check too.
pub(crate) fn start_gateway(test: &str, example: &str, variables: &[(&str, &str)]) -> Running {
    start(test, example, &["extensions.health_check.endpoint=127.0.0.1:0"], variables)
}

/// Sends so many made-up records of a signal, all of which are taken.
#[track_caller]
pub(crate) fn generate(to: &Running, signal: &str, count: u32) {
    let endpoint = to.address("protocol", "grpc").to_string();
    let outcome = watershed(&["generate", signal, "--endpoint", &endpoint, "--count", &count.to_string()]);
    assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
}

/// Stops a program, which has to end well; says what it wrote.
#[track_caller]
pub(crate) fn stop(running: Running) -> String {
    let (status, _, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
    stderr
}
