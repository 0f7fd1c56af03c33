//! `outrider people`: who may sign on at this car, where no office says so.

use std::path::PathBuf;

use super::person::PinFile;
use super::unlock::Unlock;
use crate::cli::people::{Order, print_roll};
use crate::clock::RealClock;
use crate::fault::{Fault, Kind, Result};
use crate::journal::{Act, Archive, Deed, SetUp};
use crate::people::{Change, Right, Role, Roll};
use crate::tag::When;

/// Say who may sign on at this car, where no office hands the roll down.
///
/// Example, the first one: outrider people --data /var/lib/outrider add --number 77 --role supervisor
///
/// Whoever can unlock the journal may put the first person on the roll, who must be a supervisor and chooses the PIN; from
/// then on a supervisor is needed. Where the car has an office, use outrider-office people instead. The unit must not be
/// running on the same data folder, and must have run once.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct People {
    /// The unit's data folder
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    data: PathBuf,
    #[command(flatten)]
    unlock: Unlock,
    /// Collar number of the supervisor who does it
    #[arg(long, global = true, value_name = "NUMBER")]
    who: Option<String>,
    #[command(flatten)]
    pin: PinFile,
    #[command(subcommand)]
    order: Order,
}

impl People {
    pub(super) fn run(self) -> Result<()> {
        let archive = Archive::open_existing(&self.data, &self.unlock.key(&self.data)?)?;
        let before = archive.set_up();
        let who = self.pin.admit(&archive, self.who.as_deref(), Right::People, "outrider people")?;
        let Some(change) = self.order.change()? else {
            match before {
                SetUp::Roll(kept) => print_roll(&kept.roll, self.order.json()),
                SetUp::Nobody => eprintln!("Nobody is set up: names are what people say."),
                SetUp::Damaged(fault) => return Err(Fault::new(fault.kind(), fault.to_string())),
            }
            return Ok(());
        };
        let when = When { utc: RealClock::shared().utc(), trusted: false };
        let (first, mut roll) = match before {
            SetUp::Roll(kept) => (false, kept.roll.clone()),
            _ => (true, Roll { revision: 0, made: when.utc, expires: None, people: Vec::new() }),
        };
        let words = change.words();
        // The first one answers for it.
        let who = match &change {
            Change::Add(person) if first => person.number.clone(),
            _ => who,
        };
        roll.apply(change)?;
        if !roll.people.iter().any(|person| person.role == Role::Supervisor) {
            return Err(Fault::new(Kind::Usage, "nobody could change the roll any more")
                .because("there would be no supervisor on it")
                .remedy(if first { "Begin with a supervisor: --role supervisor" } else { "Add another one first" }));
        }
        (roll.revision, roll.made) = (roll.revision + 1, when.utc);
        let why = if first { "the first person of this car" } else { "outrider people" };
        archive.keep_roll(roll, false, Deed { who, ..Deed::of_the_unit(Act::Set, why, words.clone(), when) })?;
        println!("{words}");
        if first {
            println!("From now on search, export and entries in this car need a collar number and a PIN.");
        }
        Ok(())
    }
}
