//! `outrider`: the car's program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod config;
#[cfg(feature = "office")]
mod demo;
mod doctor;
mod enrol;
mod evaluate;
mod film;
mod hotlist;
mod journal;
mod metered;
mod people;
mod person;
mod read;
mod replay;
mod run;
mod sound;
mod unlock;

/// The number plate reader that rides in a patrol car.
///
/// Example: outrider demo
///
/// See outrider COMMAND --help for the others, each with an example.
#[derive(Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true, verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    #[cfg(feature = "office")]
    Demo(demo::Demo),
    Read(read::Read),
    Replay(replay::Replay),
    Evaluate(evaluate::Evaluate),
    Hotlist(hotlist::Hotlist),
    Journal(journal::Journal),
    People(people::People),
    Enrol(enrol::Enrol),
    Metered(metered::Metered),
    Doctor(doctor::Doctor),
    Sound(sound::Sound),
    Config(config::Config),
    Bench(bench::Bench),
}

/// Runs the program.
pub fn main() -> ExitCode {
    super::log_to_standard_error();
    let result = match Arguments::parse().command {
        Command::Run(command) => command.run(),
        #[cfg(feature = "office")]
        Command::Demo(command) => command.run(),
        Command::Read(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Hotlist(command) => command.run(),
        Command::Journal(command) => command.run(),
        Command::People(command) => command.run(),
        Command::Enrol(command) => command.run(),
        Command::Metered(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Sound(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Bench(command) => command.run(),
    };
    super::finish("outrider", result)
}
