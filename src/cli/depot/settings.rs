//! `outrider-office settings`: what the office sets in its cars.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::fault::{Fault, Kind, Result};
use crate::office::{self, SettingsChange};
use crate::settings::{Key, MOST_SHEET, SETTINGS, Sheet, Values};

/// What is set in the cars, and which car holds which revision of it
///
/// Examples:
///   outrider-office settings --data office
///   outrider-office settings --data office set --by "Insp Example" --why "shorter nights" settings.toml
///
/// What can be set is a small closed set, which can harm no crew: see outrider-office settings keys. Whatever is not set is
/// as each car's own configuration has it.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Settings {
    /// The office's folder
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    data: PathBuf,
    /// Print JSON on standard output and nothing else
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    order: Option<Order>,
}

#[derive(clap::Subcommand)]
enum Order {
    /// Set what a file says, in place of all that was set before; an empty file takes everything back
    ///
    /// Example: outrider-office settings --data office set --by "Insp Example" --why "shorter nights" settings.toml
    ///
    /// The file is TOML: the table cars for all, units.NAME over it for one. Connected cars get it at once, the others when they come.
    #[command(verbatim_doc_comment)]
    Set {
        /// Who wants it; goes on record
        #[arg(long, value_name = "NAME")]
        by: String,
        /// Why; goes on record
        #[arg(long, value_name = "WORDS")]
        why: String,
        /// The settings, TOML
        file: PathBuf,
    },
    /// Check a file, and print what each car would have
    ///
    /// Example: outrider-office settings check settings.toml
    #[command(verbatim_doc_comment)]
    Check {
        /// The settings, TOML
        file: PathBuf,
    },
    /// What can be set, and within which bounds
    ///
    /// Example: outrider-office settings keys
    #[command(verbatim_doc_comment)]
    Keys,
    /// Who set what, when and why
    ///
    /// Example: outrider-office settings --data office changes
    #[command(verbatim_doc_comment)]
    Changes,
}

impl Settings {
    pub(super) fn run(self, clock: &dyn Clock) -> Result<()> {
        match &self.order {
            None => self.show(),
            Some(Order::Set { by, why, file }) => self.set(file, by, why, clock),
            Some(Order::Check { file }) => {
                let sheet = Sheet::parse(&text(file)?).map_err(|why| {
                    Fault::new(Kind::Config, "these settings cannot be used")
                        .at(file.display())
                        .because(why)
                        .remedy("See what can be set with: outrider-office settings keys")
                })?;
                if self.json {
                    println!("{}", json!({"cars": sheet.cars.words(), "units": units(&sheet)}));
                } else {
                    print_sheet(&sheet);
                }
                Ok(())
            }
            Some(Order::Keys) => {
                for key in Key::ALL {
                    if self.json {
                        println!("{}", json!({"key": key.name(), "bounds": key.bounds_words(), "what": key.what()}));
                    } else {
                        println!("{:<16} {}: {}", key.name(), key.bounds_words(), key.what());
                    }
                }
                Ok(())
            }
            Some(Order::Changes) => {
                for change in office::settings_changes(&self.data)? {
                    if self.json {
                        println!("{}", serde_json::to_string(&change).unwrap_or_default());
                    } else {
                        print_head(&change);
                        change.text.lines().for_each(|line| println!("  {line}"));
                    }
                }
                Ok(())
            }
        }
    }

    fn set(&self, file: &Path, by: &str, why: &str, clock: &dyn Clock) -> Result<()> {
        let set = office::set_settings(&self.data, &text(file)?, by, why, clock);
        let set = set.map_err(|fault| if fault.kind() == Kind::Config { fault.at(file.display()) } else { fault })?;
        let sheet = set.sheet()?;
        let enrolled: BTreeSet<String> =
            office::units(&self.data, clock)?.into_iter().map(|enrolled| enrolled.unit).collect();
        for unit in sheet.units.keys().filter(|unit| !enrolled.contains(*unit)) {
            eprintln!("No unit is enrolled as {unit:?}: its settings wait for one.");
        }
        if self.json {
            println!("{}", json!({"revision": set.revision, "cars": sheet.cars.words(), "units": units(&sheet)}));
        } else {
            println!("revision {}; the cars get it when the service runs and they are connected", set.revision);
            print_sheet(&sheet);
        }
        Ok(())
    }

    fn show(&self) -> Result<()> {
        let stands = office::settings(&self.data)?;
        // Before the service first ran there is nothing to know of cars.
        let held: Vec<(String, Option<u64>)> = match office::fleet(&self.data) {
            Ok(fleet) => fleet.units.into_iter().map(|(unit, is)| (unit, is.lists.get(SETTINGS).copied())).collect(),
            Err(fault) if fault.kind() == Kind::Missing => Vec::new(),
            Err(fault) => return Err(fault),
        };
        if self.json {
            let cars: serde_json::Map<String, Value> =
                held.into_iter().map(|(unit, revision)| (unit, json!(revision))).collect();
            println!("{}", json!({"stands": stands, "held": cars}));
            return Ok(());
        }
        let Some(stands) = stands else {
            println!("Nothing is set: every car is as its own configuration has it.");
            return Ok(());
        };
        print_head(&stands);
        print_sheet(&stands.sheet()?);
        for (unit, revision) in held {
            let holds = match revision {
                Some(revision) if revision == stands.revision => "holds this revision".to_owned(),
                Some(revision) => format!("holds {}", made(revision)),
                None => "holds none: it takes none from the office, or has not been here since".to_owned(),
            };
            println!("{unit:<16} {holds}");
        }
        Ok(())
    }
}

/// An older revision, by when it was set: that is its number.
fn made(revision: u64) -> String {
    let at = i64::try_from(revision).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
    at.map_or_else(|| format!("revision {revision}"), |at| at.format("the one of %Y-%m-%d %H:%M:%S UTC").to_string())
}

fn text(file: &Path) -> Result<String> {
    let cannot = |error| Fault::io("cannot read the settings", file, error).remedy("Name a TOML file");
    let size = std::fs::metadata(file).map_err(cannot)?.len();
    if size > MOST_SHEET as u64 {
        return Err(Fault::new(Kind::Config, "this is no file of settings")
            .at(file.display())
            .because(format!("it has more than {MOST_SHEET} bytes")));
    }
    std::fs::read_to_string(file).map_err(cannot)
}

fn print_head(change: &SettingsChange) {
    println!(
        "revision {}, {}, {}: {}",
        change.revision,
        change.utc.format("%Y-%m-%d %H:%M:%S UTC"),
        change.by,
        change.why
    );
}

/// The words of a notice are part of it: whoever sets them is to see them.
fn line(values: &Values) -> String {
    values.words() + &values.notice().map_or_else(String::new, |notice| format!(": {notice:?}"))
}

fn print_sheet(sheet: &Sheet) {
    println!("  every car        {}", line(&sheet.cars));
    for unit in sheet.units.keys() {
        println!("  {unit:<16} {}", line(&sheet.of_unit(unit)));
    }
}

fn units(sheet: &Sheet) -> serde_json::Map<String, Value> {
    sheet.units.keys().map(|unit| (unit.clone(), json!(sheet.of_unit(unit).words()))).collect()
}
