//! `outrider hotlist`: the lists that the car carries.

use std::path::{Path, PathBuf};

use crate::clock::{RealClock, Shared};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{Hotlist as Store, ImportOptions};
use crate::plate::Vrm;

/// Import, apply, list and look up hotlists.
///
/// Example: outrider hotlist import --data /var/lib/outrider --list stolen stolen.csv
///
/// The unit must not be running on the same data folder.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Hotlist {
    /// The unit's data folder
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    data: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Replace a list by a CSV file: headered columns in any order, or the 16 columns without header
    ///
    /// Example: outrider hotlist import --data /var/lib/outrider --list stolen stolen.csv
    #[command(verbatim_doc_comment)]
    Import {
        /// The list's id
        #[arg(long, value_name = "ID")]
        list: String,
        /// Only report what the file holds
        #[arg(long)]
        dry_run: bool,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
        /// The file
        file: PathBuf,
    },
    /// Apply a revision that an office exported
    Apply {
        /// The revision's file
        file: PathBuf,
    },
    /// The lists, their revisions, entries and age
    ///
    /// Example: outrider hotlist status --data /var/lib/outrider
    #[command(verbatim_doc_comment)]
    Status {
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// What the lists say of a VRM
    ///
    /// Example: outrider hotlist lookup --data /var/lib/outrider "AB12 CDE"
    #[command(verbatim_doc_comment)]
    Lookup {
        /// The VRM, spaces or not
        vrm: String,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
}

impl Hotlist {
    pub(super) fn run(self) -> Result<()> {
        let clock = RealClock::shared();
        match self.command {
            Command::Import { list, dry_run, json, file } => {
                let source = std::fs::File::open(&file)
                    .map_err(|error| Fault::io("cannot read the list", &file, error).remedy("Name a CSV file"))?;
                let options = ImportOptions { dry_run, ..ImportOptions::default() };
                let report = open(&self.data, clock)?.import(&list, source, &file, &options)?;
                if json {
                    println!("{}", serde_json::to_string(&report).unwrap_or_default());
                } else {
                    crate::cli::print_import(&file, &report);
                }
            }
            Command::Apply { file } => {
                let bytes =
                    std::fs::read(&file).map_err(|error| Fault::io("cannot read the revision", &file, error))?;
                let applied = open(&self.data, clock)?.apply(&bytes)?;
                println!("{applied:?}");
            }
            Command::Status { json } => {
                let now = clock.utc();
                for list in open(&self.data, clock)?.status() {
                    if json {
                        println!("{}", serde_json::to_string(&list).unwrap_or_default());
                    } else {
                        println!(
                            "{:<20} revision {:<14} {:>9} entries  produced {}  {} old",
                            list.id,
                            list.revision,
                            list.count,
                            list.produced.format("%Y-%m-%d %H:%M"),
                            crate::alert::ago(list.age(now))
                        );
                    }
                }
            }
            Command::Lookup { vrm, json } => {
                let parsed = Vrm::parse(&vrm)
                    .map_err(|why| Fault::new(Kind::Usage, format!("{vrm:?} is not a VRM")).because(why))?;
                let found = open(&self.data, clock)?.lookup(&parsed)?;
                for (list, entry) in &found {
                    if json {
                        println!("{}", serde_json::json!({"list": list.id, "revision": list.revision, "entry": entry}));
                    } else {
                        println!(
                            "{} in {} (revision {}): {}, priority {}, {} {} {}{}",
                            entry.vrm,
                            list.id,
                            list.revision,
                            entry.reason,
                            entry.priority,
                            entry.colour,
                            entry.make,
                            entry.model,
                            if entry.action.is_empty() { String::new() } else { format!(", {}", entry.action) }
                        );
                    }
                }
                if found.is_empty() && !json {
                    println!("{parsed} is on no list");
                }
            }
        }
        Ok(())
    }
}

fn open(data: &Path, clock: Shared) -> Result<Store> {
    std::fs::create_dir_all(data).map_err(|error| Fault::io("cannot make the data folder", data, error))?;
    Store::open(&data.join("hotlist.redb"), clock)
}
