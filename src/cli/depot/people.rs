//! `outrider-office people`: who may sign on in the cars.

use std::path::PathBuf;

use crate::cli::people::{Order, print_roll};
use crate::clock::Clock;
use crate::fault::Result;
use crate::office;

/// Say who may sign on in the cars: collar number, name, role, PIN
///
/// Example: outrider-office people --data office --by "Sgt Example" add --number 4512 --name "A. Example" --role crew
///
/// The roll is signed and handed down to every car as soon as the service runs and the car is connected, and anew each day.
/// A car that does not reach the office for fourteen days lets nobody sign on any more; its alerts go on. PINs are asked for,
/// or read from a file or descriptor; only what Argon2id makes of them is kept.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct People {
    /// The office's folder
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    data: PathBuf,
    /// Who changes the roll, for the record
    #[arg(long, global = true, value_name = "NAME", default_value = "")]
    by: String,
    #[command(subcommand)]
    order: Order,
}

impl People {
    pub(super) fn run(self, clock: &dyn Clock) -> Result<()> {
        let Some(change) = self.order.change()? else {
            match office::people(&self.data)? {
                Some(roll) => print_roll(&roll, self.order.json()),
                None => eprintln!("Nobody is set up: in the cars, names are what people say."),
            }
            return Ok(());
        };
        let words = change.words();
        office::change_people(&self.data, &self.by, change, clock)?;
        println!("{words}; the cars get the roll when the service runs and they are connected");
        Ok(())
    }
}
