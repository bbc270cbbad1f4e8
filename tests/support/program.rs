//! The built program, run to its end, and the files that it is given.

use std::path::{Path, PathBuf};
use std::process::Command;

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

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    // What the shell of the tester sets must not decide a test.
    command.env_remove("WATERSHED_LOG").current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Writes a configuration to a file of its own.
pub(crate) fn config_file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}
