//! The commands of the program: one file each, in which the comment of the struct is the help text.

mod components;
mod config_arguments;
mod doctor;
mod generate;
mod graph;
mod print_config;
mod progress;
mod queue;
mod redact;
mod run;
mod schema;
mod validate;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use watershed_pipeline::{Registry, Signal};

/// Gathers logs, traces and metrics, makes them safe and useful on the way, and delivers them.
///
/// One YAML file in the form of the OpenTelemetry Collector says what comes in, what happens to it and where it goes.
///
/// Exit codes: 0 all went well; 64 the arguments or the configuration are wrong; 1 anything else.
#[derive(Parser)]
#[command(name = "watershed", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Validate(validate::Validate),
    Components(components::Components),
    Schema(schema::Schema),
    Graph(graph::Graph),
    #[command(alias = "print-initial-config")]
    PrintConfig(print_config::PrintConfig),
    Generate(generate::Generate),
    Queue(queue::Queue),
    Doctor(doctor::Doctor),
    Redact(redact::Redact),
}

/// Why a command failed, in words for the terminal.
enum Failure {
    /// The arguments or the configuration are wrong.
    Usage(String),
    /// Anything else.
    Other(String),
}

/// The exit code for a command that was called wrongly: `EX_USAGE` of `sysexits.h`.
const EXIT_USAGE: u8 = 64;
const EXIT_FAILURE: u8 = 1;

pub(crate) fn run(registry: Registry, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // There is nobody to tell when the terminal is gone.
            drop(error.print());
            return if is_help { ExitCode::SUCCESS } else { EXIT_USAGE.into() };
        }
    };
    let outcome = match cli.command {
        Command::Run(command) => command.execute(registry),
        Command::Validate(command) => command.execute(&registry),
        Command::Components(command) => command.execute(&registry),
        Command::Schema(command) => command.execute(&registry),
        Command::Graph(command) => command.execute(&registry),
        Command::PrintConfig(command) => command.execute(),
        Command::Generate(command) => command.execute(),
        Command::Queue(command) => command.execute(),
        Command::Doctor(command) => command.execute(&registry),
        Command::Redact(command) => command.execute(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            complain(text);
            EXIT_USAGE.into()
        }
        Err(Failure::Other(text)) => {
            complain(text);
            EXIT_FAILURE.into()
        }
    }
}

impl From<watershed_config::ConfigErrors> for Failure {
    fn from(errors: watershed_config::ConfigErrors) -> Self {
        Self::Usage(errors.to_string())
    }
}

fn parse_signal(text: &str) -> Result<Signal, String> {
    let found = Signal::ALL.into_iter().find(|signal| signal.name() == text);
    found.ok_or_else(|| "choose `logs`, `traces` or `metrics`".to_owned())
}

/// Writes the result of a command to standard output. A reader that has gone away wants no more.
fn print(text: impl Display) {
    drop(write!(std::io::stdout().lock(), "{text}"));
}

/// Writes a line for people to standard error.
fn complain(text: impl Display) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// An error with everything that led to it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_description_of_the_arguments_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_shows_an_example_and_names_its_exit_codes() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_long_about().unwrap_or_default().to_string();
            assert!(help.contains("Example"), "{} has no example", command.get_name());
            assert!(help.contains("Exit codes"), "{} names no exit codes", command.get_name());
        }
    }
}
