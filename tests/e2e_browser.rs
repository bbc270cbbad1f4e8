//! `examples/browser-logger`: its own tests under node, and at work in a real Chromium that sends to the built program.
//!
//! Chromium is that of the npm package `@sparticuz/chromium`, installed below `target/` by the test itself in the version that
//! `tests/browser/package.json` names. It runs without its sandbox, so that it also runs as root, and opens only the example.
#![cfg(test)]

mod support {
    pub(crate) mod installed;
    pub(crate) mod outcome;
    pub(crate) mod program;
    #[expect(dead_code, reason = "the example is started for the pages of an origin")]
    pub(crate) mod running;
}

use std::collections::BTreeSet;
use std::fs::{File, read_to_string};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::installed::{npm, run};
use support::outcome::watershed;
use support::program::{config_file, program};
use support::running::Running;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/browser-logger");
const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");

#[test]
fn the_tests_of_the_browser_logger_pass() {
    run(Command::new("node").args(["--test", "--test-reporter=spec", EXAMPLE]));
}

#[test]
fn the_rules_beside_the_browser_logger_are_those_of_its_configuration() {
    let config = format!("{EXAMPLE}/watershed.yaml");
    let outcome = watershed(&["redact", "--config", &config, "--export", "json"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let path = format!("{EXAMPLE}/redaction.json");
    if read_to_string(&path).unwrap() != outcome.stdout {
        std::fs::write(&path, outcome.stdout).unwrap();
        panic!("{path} was out of date and has been written anew; look at it and commit it");
    }
}

#[test]
fn a_page_and_the_program_hide_the_same_in_texts() {
    let texts = format!("{DRIVER}/texts.txt");
    let redact = |command: &mut Command| {
        let output = command.stdin(File::open(&texts).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let by_program = redact(program().args(["redact", "--lines"]));
    let by_page = redact(Command::new("node").arg(format!("{DRIVER}/redact.mjs")));
    assert_eq!(by_page, by_program);
}

/// The folder of the browser.
fn chromium() -> PathBuf {
    let driver = Path::new(DRIVER);
    npm("chromium", &driver.join("package.json"), |folder| {
        run(Command::new("node").arg(driver.join("chromium.js")).arg(folder));
    })
}

/// Starts the example for the pages of an origin.
fn start(origin: &str) -> Running {
    let config = read_to_string(format!("{EXAMPLE}/watershed.yaml")).unwrap();
    let config = config_file("browser-logger.yaml", &config);
    let settings = ["receivers.http.endpoint=127.0.0.1:0", "service.telemetry.metrics.level=none"];
    Running::start_with(&config, &settings, &[("BROWSER_ORIGIN", origin)])
}

/// Uses the page of the example. Returns what `page.js` says of it, and the records that the program wrote.
fn use_page() -> (Value, Vec<Value>) {
    let mut driver = Command::new("node")
        .arg(format!("{DRIVER}/page.js"))
        .arg(chromium())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
    let running = start(&said.next().unwrap().unwrap());
    writeln!(driver.stdin.take().unwrap(), "http://{}", running.address("protocol", "http")).unwrap();
    let seen = said.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    assert!(driver.wait().unwrap().success(), "page.js failed; see above");
    let (status, stdout, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
    (seen.unwrap(), stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn what_a_page_logs_in_a_real_browser_arrives_once_and_without_secrets() {
    let (seen, records) = use_page();
    let of = |message: &str| {
        let found: Vec<&Value> = records.iter().filter(|record| record["message"] == message).collect();
        assert_eq!(found.len(), 1, "{message} in {records:#?}");
        found[0]
    };

    // Batches.
    (0..12).for_each(|number| assert_eq!(of(&format!("record {number}"))["service"], "demo-page"));
    assert_eq!((&seen["atOnce"], &seen["later"]), (&Value::from(10), &Value::from(2)));
    let requests = seen["requests"].as_array().unwrap();
    assert!(
        requests.iter().all(|request| request["status"] == 200 && request["method"] == "POST"),
        "no preflights and no refusals: {requests:#?}"
    );

    // Repeats: the first and a summary.
    let repeats: BTreeSet<_> = records
        .iter()
        .filter(|record| record["message"] == "the same again")
        .map(|record| record["metadata"]["dedup.count"].as_u64())
        .collect();
    assert_eq!(repeats, [None, Some(19)].into());

    // Secrets are hidden in the page already.
    assert_eq!(of("login with password=****")["metadata"]["user"]["apiKey"], "****");
    let sent = seen["requests"].to_string();
    assert!(!sent.contains("hunter2") && !sent.contains(r#""apiKey":"abc""#), "{sent}");

    // Sent again after an answer was lost, after it was offline, and by a beacon when the page was closed.
    let sent_twice = |request: &&Value| request["records"][0]["message"] == "sent twice";
    assert_eq!(requests.iter().filter(sent_twice).count(), 2);
    of("sent twice");
    assert_eq!(seen["stored"], 1);
    of("logged offline");
    of("goodbye");

    // One session; a trace for each request.
    let sessions: BTreeSet<_> =
        records.iter().map(|record| record["metadata"]["session.id"].as_str().unwrap()).collect();
    assert_eq!(sessions.len(), 1);
    let trace = of("request begins")["correlation_id"].as_str().unwrap();
    assert_eq!((trace.len(), of("request ended")["correlation_id"].as_str()), (32, Some(trace)));
    assert_eq!(of("uncaught error")["metadata"]["exception.message"], "no such item");
}
