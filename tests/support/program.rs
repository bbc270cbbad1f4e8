//! The built program, and the files that it is given.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The built program.
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
