//! The program `watershed` as a library, so that a program with components of its own is three lines long.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     let registry = watershed::standard_registry();
//!     // Here a custom program adds its own: `.with_processor(processor::<my::Config>())`.
//!     watershed::run(registry, std::env::args_os())
//! }
//! ```
//!
//! This crate refuses to know what a batch looks like inside and what a component does. Read in this order:
//! `cli.rs` and `cli/` (one file a command), `setup.rs` (configuration to something that can run), `extensions.rs` and `extensions/`,
//! `admin.rs`, `telemetry.rs` and `telemetry/` (what the process says about itself), `manual.rs` (documents made
//! from the components), `generate.rs` (the load generator).

mod admin;
mod cli;
mod extensions;
mod generate;
mod manual;
mod memory;
mod process;
mod setup;
mod telemetry;

use std::ffi::OsString;
use std::process::ExitCode;

pub use manual::{reference, schema};
use watershed_pipeline::Registry;

/// Every component that comes with watershed.
#[must_use]
pub fn standard_registry() -> Registry {
    Registry::new(watershed_receivers::ALL, watershed_processors::ALL, watershed_exporters::ALL)
        .with_extensions(extensions::ALL)
}

/// Does what the arguments say, of which the first is the name of the program.
///
/// The exit code is 0 when all went well, 64 when the arguments or the configuration are wrong, and 1 for the rest.
#[must_use]
pub fn run(registry: Registry, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::run(registry, args)
}
