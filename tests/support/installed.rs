//! What tests need of other languages: installed below `target/` by the tests themselves, in fixed versions.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a command, which has to end well.
#[track_caller]
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{said}", output.status);
}

/// A folder below `target/` that is made once by `install`, for the content of the file that names the versions.
pub(crate) fn installed(name: &str, versions: &Path, install: impl FnOnce(&Path)) -> PathBuf {
    let wanted = std::fs::read_to_string(versions).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let done = folder.join("installed");
    if std::fs::read_to_string(&done).ok().as_ref() != Some(&wanted) {
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        install(&folder);
        std::fs::write(done, wanted).unwrap();
    }
    folder
}

/// A folder in which npm has installed what a `package.json` names, in `node_modules`.
pub(crate) fn npm(name: &str, package: &Path, then: impl FnOnce(&Path)) -> PathBuf {
    installed(name, package, |folder| {
        std::fs::copy(package, folder.join("package.json")).unwrap();
        run(Command::new("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(folder));
        then(folder);
    })
}
