//! The `watershed` program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    watershed::run(watershed::standard_registry(), std::env::args_os())
}
