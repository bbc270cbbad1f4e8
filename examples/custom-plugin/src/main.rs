//! watershed with a processor and an exporter of one's own: all that a custom program needs.

mod short_body;
mod tcp_lines;

use std::process::ExitCode;

use watershed_pipeline::{exporter, processor};

fn main() -> ExitCode {
    let registry = watershed::standard_registry()
        .with_processor(processor::<short_body::Config>())
        .with_exporter(exporter::<tcp_lines::Config>());
    watershed::run(registry, std::env::args_os())
}
