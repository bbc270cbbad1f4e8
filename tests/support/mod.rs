//! The built program as tests use it: started with a configuration, asked over loopback, stopped by a signal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A peer that is silent for so long is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program with these arguments, run to its end.
pub(crate) fn watershed(args: &[&str]) -> Outcome {
    let output = program().args(args).output().unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What a run to the end left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    // What the shell of the tester sets must not decide a test.
    command.env_remove("WATERSHED_LOG").current_dir(env!("CARGO_TARGET_TMPDIR"));
    // A queue belongs to one process, so each has a place of its own.
    let storage = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
    command.env("STATE_DIRECTORY", storage);
    command
}

/// Writes a configuration to a file of its own.
pub(crate) fn config_file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A running program. It is killed when this is dropped without [`Running::stop`].
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// The log lines up to `ready`.
    log: Vec<serde_json::Value>,
}

impl Running {
    /// Starts `run` and waits until it says that it is ready.
    pub(crate) fn start(config: &Path) -> Self {
        let mut child = program()
            .args(["run", "--set", "service.telemetry.logs.encoding=json", "--config"])
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut log = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "ended before it was ready: {log:#?}");
            let line: serde_json::Value =
                serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a line of the log: {line}"));
            log.push(line);
            if log.last().unwrap()["message"] == "ready" {
                return Self { child, stderr, log };
            }
        }
    }

    /// The address of which the log says so: `(field, value)` is for instance `("protocol", "http")`.
    pub(crate) fn address(&self, field: &str, value: &str) -> SocketAddr {
        let line = self.log.iter().find(|line| line[field] == value);
        let line = line.unwrap_or_else(|| panic!("no {field} {value} in {:#?}", self.log));
        line["address"].as_str().unwrap().parse().unwrap()
    }

    /// Asks for the stop with SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> (ExitStatus, String, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap(), stdout, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// One HTTP request, answered with status and body.
pub(crate) fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    content_type: &str,
    body: &[u8],
) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
