//! The built program at work: started with a configuration, asked over loopback, stopped by a signal.

use std::fs::{File, read_to_string};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use super::program::program;

/// A running program. It is killed when this is dropped without [`Running::stop`].
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: PathBuf,
    stderr: Option<BufReader<ChildStderr>>,
    /// The log lines up to `ready`.
    log: Vec<serde_json::Value>,
}

impl Running {
    /// Starts `run` and waits until it says that it is ready.
    pub(crate) fn start(config: &Path) -> Self {
        Self::start_with(config, &[], &[])
    }

    /// [`Running::start`] with values for `--set` and for variables of the environment.
    pub(crate) fn start_with(config: &Path, settings: &[&str], variables: &[(&str, &str)]) -> Self {
        // A file takes everything at once; a pipe that nobody reads would stop the program.
        let stdout = config.with_extension("stdout");
        let child = program()
            .args(["run", "--set", "service.telemetry.logs.encoding=json", "--config"])
            .arg(config)
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .envs(variables.iter().copied())
            .stdout(File::create(&stdout).unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut running = Self { child, stdout, stderr: None, log: Vec::new() };
        let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
        while running.log.last().is_none_or(|line| line["message"] != "ready") {
            let mut line = String::new();
            assert_ne!(
                stderr.read_line(&mut line).unwrap(),
                0,
                "ended before it was ready: {:#?}",
                running.log
            );
            let parsed = serde_json::from_str(&line);
            running.log.push(parsed.unwrap_or_else(|_| panic!("not a line of the log: {line}")));
        }
        running.stderr = Some(stderr);
        running
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
        let mut stderr = String::new();
        self.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        (status, read_to_string(&self.stdout).unwrap(), stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
