//! What the commands about people have in common: how somebody is described, and how PINs are typed.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::fault::{Fault, Kind, Result};
use crate::people::{Change, Person, Pin, PinHash, Role, Roll, number};

/// A change of the roll, as it is ordered on a command line. A PIN never stands there.
#[derive(clap::Subcommand)]
pub(super) enum Order {
    /// Put somebody on the roll; the PIN is asked for twice
    ///
    /// Example: people add --number 4512 --name "A. Example" --role crew
    #[command(verbatim_doc_comment)]
    Add {
        /// Collar number
        #[arg(long, value_name = "NUMBER")]
        number: String,
        /// Name
        #[arg(long, default_value = "")]
        name: String,
        /// crew, supervisor or technician
        #[arg(long)]
        role: String,
        /// The new PIN: the first line of a file or of a descriptor such as /dev/fd/4. Left out: it is asked for
        #[arg(long, value_name = "FILE")]
        new_pin_file: Option<PathBuf>,
    },
    /// Change somebody's name, role or PIN
    ///
    /// Example: people change --number 4512 --new-pin
    #[command(verbatim_doc_comment)]
    Change {
        /// Collar number
        #[arg(long, value_name = "NUMBER")]
        number: String,
        /// The name from now on
        #[arg(long)]
        name: Option<String>,
        /// crew, supervisor or technician
        #[arg(long)]
        role: Option<String>,
        /// Ask for a new PIN, twice
        #[arg(long)]
        new_pin: bool,
        /// The new PIN: the first line of a file or of a descriptor such as /dev/fd/4
        #[arg(long, value_name = "FILE", conflicts_with = "new_pin")]
        new_pin_file: Option<PathBuf>,
    },
    /// Take somebody off the roll
    ///
    /// Example: people remove --number 4512
    #[command(verbatim_doc_comment)]
    Remove {
        /// Collar number
        #[arg(long, value_name = "NUMBER")]
        number: String,
    },
    /// Print who is on the roll
    ///
    /// Example: people list
    #[command(verbatim_doc_comment)]
    List {
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
}

impl Order {
    /// The change that is ordered; `None`: the roll is to be printed.
    pub(super) fn change(&self) -> Result<Option<Change>> {
        Ok(match self {
            Self::List { .. } => None,
            Self::Add { number: text, name, role, new_pin_file } => {
                let (number, role) = (number(text)?, parsed(role)?);
                let pin = PinHash::of(&new_pin(new_pin_file.as_deref(), &number)?)?;
                Some(Change::Add(Person { number, name: name.clone(), role, pin }))
            }
            Self::Change { number: text, name, role, new_pin: asks, new_pin_file } => {
                let (number, role) = (number(text)?, role.as_deref().map(parsed).transpose()?);
                let wants_pin = *asks || new_pin_file.is_some();
                if name.is_none() && role.is_none() && !wants_pin {
                    return Err(Fault::new(Kind::Usage, "there is nothing to change")
                        .remedy("Give --name, --role, --new-pin or --new-pin-file"));
                }
                let pin = wants_pin.then(|| PinHash::of(&new_pin(new_pin_file.as_deref(), &number)?)).transpose()?;
                Some(Change::Alter { number, name: name.clone(), role, pin })
            }
            Self::Remove { number: text } => Some(Change::Remove(number(text)?)),
        })
    }

    /// Whether JSON is wanted.
    pub(super) fn json(&self) -> bool {
        matches!(self, Self::List { json: true })
    }
}

fn parsed(role: &str) -> Result<Role> {
    Role::parse(role).ok_or_else(|| {
        Fault::new(Kind::Usage, format!("{role:?} is no role")).remedy("Use crew, supervisor or technician")
    })
}

/// Prints a roll: as JSON lines, or for people.
pub(super) fn print_roll(roll: &Roll, json: bool) {
    for person in &roll.people {
        if json {
            println!(
                "{}",
                serde_json::json!({"number": person.number, "name": person.name, "role": person.role.word()})
            );
        } else {
            println!("{:<16} {:<10} {}", person.number, person.role.word(), person.name);
        }
    }
}

/// A new PIN of the person with this number, from a file or typed twice.
fn new_pin(file: Option<&Path>, number: &str) -> Result<Pin> {
    let text = match file {
        Some(file) => Pin::line_of(file)?,
        None => {
            let asked = |words: &str| hidden(words, "cannot ask for the PIN", "--new-pin-file");
            let first = asked(&format!("New PIN of {number}, 6 digits at least: "))?;
            if *asked("Once more: ")? != *first {
                return Err(Fault::new(Kind::Usage, "the two PINs are not the same").remedy("Start again"));
            }
            first
        }
    };
    Pin::new(text, number)
}

/// What somebody types where nobody reads along.
pub(super) fn hidden(words: &str, cannot: &str, option: &str) -> Result<Zeroizing<String>> {
    rpassword::prompt_password(words).map(Zeroizing::new).map_err(|error| {
        Fault::new(Kind::Unavailable, cannot)
            .because(error)
            .remedy(format!("Start the program on a terminal, or name a file or a descriptor with {option}"))
    })
}
