//! The built program, run to its end.

use super::program::program;

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
