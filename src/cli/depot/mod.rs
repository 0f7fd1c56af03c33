//! `outrider-office`: the back office's program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::clock::RealClock;
use crate::fault::Result;
use crate::office;

mod enrol;
mod heads;
mod lists;
mod names;
mod people;
mod retention;
mod settings;
mod simulate;

/// The back office of Outrider: takes in what cars read, hands them their lists.
///
/// Example, a first office in order:
///   outrider-office init --data office --name office.example.org
///   outrider-office publish --data office --list stolen stolen.csv
///   outrider-office serve --data office --listen 0.0.0.0:4433
///   outrider-office enrol --data office --unit car-01 --by "Sgt Example"
/// The last one prints a code, which outrider enrol takes in the car.
#[derive(Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true, verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an office: its authority, its own identity, its store
    ///
    /// Example: outrider-office init --data office --name office.example.org
    #[command(verbatim_doc_comment)]
    Init {
        /// The office's folder, made if it is not there
        #[arg(long, value_name = "FOLDER")]
        data: PathBuf,
        /// A name or address by which cars reach it; may be repeated
        #[arg(long = "name", value_name = "HOST", default_value = "localhost")]
        names: Vec<String>,
    },
    Names(names::Names),
    Enrol(enrol::Enrol),
    Codes(enrol::Codes),
    Units(enrol::Units),
    Revoke(enrol::Revoke),
    /// Serve the cars until asked to end (Ctrl-C)
    ///
    /// Example: outrider-office serve --data office --listen 0.0.0.0:4433
    #[command(verbatim_doc_comment)]
    Serve {
        /// The office's folder
        #[arg(long, value_name = "FOLDER")]
        data: PathBuf,
        /// Address and UDP port to listen on
        #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:4433")]
        listen: SocketAddr,
    },
    /// Publish a list: connected cars get it at once, the others when they connect
    ///
    /// Example: outrider-office publish --data office --list stolen stolen.csv
    #[command(verbatim_doc_comment)]
    Publish {
        /// The office's folder
        #[arg(long, value_name = "FOLDER")]
        data: PathBuf,
        /// The list's id: letters, digits, '-', '_'
        #[arg(long, value_name = "ID")]
        list: String,
        /// Its name for people; default: as before
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// How the list is to be used, TOML: owner, thresholds, covert, hours, area ...; default: as before
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
        /// Only report what the file holds
        #[arg(long)]
        dry_run: bool,
        /// Who publishes it, for the record
        #[arg(long, value_name = "NAME", default_value = "")]
        by: String,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
        /// The list, CSV
        file: PathBuf,
    },
    Amend(Box<lists::Amend>),
    Changes(lists::Changes),
    Crews(lists::Crews),
    People(people::People),
    Settings(settings::Settings),
    Heads(heads::Heads),
    Retention(retention::Keep),
    Purge(retention::Purge),
    Simulate(simulate::Simulate),
    /// What each unit has sent, when it was last heard of, what works in it, and where it is
    ///
    /// A unit says where it is only if live_position is switched on in its configuration: it says where its crew is. The newest
    /// position is kept, for ten minutes.
    ///
    /// Example: outrider-office fleet --data office --json
    #[command(verbatim_doc_comment)]
    Fleet {
        /// The office's folder
        #[arg(long, value_name = "FOLDER")]
        data: PathBuf,
        /// Print one JSON object on standard output and nothing else
        #[arg(long)]
        json: bool,
    },
}

/// Runs the program.
pub fn main() -> ExitCode {
    super::log_to_standard_error();
    super::finish("outrider-office", run(Arguments::parse().command))
}

fn run(command: Command) -> Result<()> {
    let clock = RealClock::shared();
    match command {
        Command::Init { data, names } => {
            office::init(&data, &names, &*clock)?;
            println!("An office for {} is in {}.", names.join(", "), data.display());
            println!("Next: outrider-office enrol --data {} --unit NAME --by NAME", data.display());
        }
        Command::Names(command) => command.run(&*clock)?,
        Command::Enrol(command) => command.run(&*clock)?,
        Command::Codes(command) => command.run(&*clock)?,
        Command::Units(command) => command.run(&*clock)?,
        Command::Revoke(command) => command.run(&*clock)?,
        Command::Serve { data, listen } => {
            office::serve(&data, listen, clock, office::signalled(), |address| {
                println!("serving on {address} (UDP)");
            })?;
        }
        Command::Amend(command) => command.run(clock)?,
        Command::Changes(command) => command.run()?,
        Command::Crews(command) => command.run()?,
        Command::People(command) => command.run(&*clock)?,
        Command::Settings(command) => command.run(&*clock)?,
        Command::Heads(command) => command.run()?,
        Command::Retention(command) => command.run(&*clock)?,
        Command::Purge(command) => command.run(&*clock)?,
        Command::Simulate(command) => command.run(&clock)?,
        Command::Publish { data, list, name, settings, dry_run, by, json, file } => {
            let settings = settings.as_deref().map(super::list_settings).transpose()?;
            let size = std::fs::metadata(&file).map_or(0, |data| data.len());
            let bar = super::bar(size);
            let watch = Some(super::watch(bar.clone()));
            let wanted = office::Publication { list: &list, file: &file, name, settings, dry_run, by: &by, watch };
            let report = office::publish(&data, &wanted, clock);
            bar.finish_and_clear();
            super::print_report(&file, &report?, json);
        }
        Command::Fleet { data, json } => {
            let fleet = office::fleet(&data)?;
            let text = if json { serde_json::to_string(&fleet) } else { serde_json::to_string_pretty(&fleet) };
            println!("{}", text.unwrap_or_default());
        }
    }
    Ok(())
}
