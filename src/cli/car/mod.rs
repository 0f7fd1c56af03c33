//! `outrider`: the car's program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod config;
mod read;

/// The number plate reader that rides in a patrol car.
#[derive(Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Read(read::Read),
    Config(config::Config),
    Bench(bench::Bench),
}

/// Runs the program.
pub fn main() -> ExitCode {
    super::log_to_standard_error();
    let result = match Arguments::parse().command {
        Command::Read(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Bench(command) => command.run(),
    };
    super::finish("outrider", result)
}
