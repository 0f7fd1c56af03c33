//! `outrider-office names`: under which names and addresses cars reach the office.

use std::path::PathBuf;

use crate::clock::Clock;
use crate::fault::Result;
use crate::office;

/// The names and addresses by which cars may reach the office; or add one
///
/// Examples:
///   outrider-office names --data office
///   outrider-office names --data office --add anpr.example.org --by "Sgt Example" --why "second address"
///
/// A running service shows the new certificate within a second, and drops no car. The cars trust the office's authority and
/// need nothing new, but for the address in their configuration where they are to use the new one.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Names {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// A name or address to add, without a port; may be repeated
    #[arg(long = "add", value_name = "HOST", requires_all = ["by", "why"])]
    add: Vec<String>,
    /// Who wants it; goes on record
    #[arg(long, value_name = "NAME", requires = "add")]
    by: Option<String>,
    /// Why; goes on record
    #[arg(long, value_name = "WORDS", requires = "add")]
    why: Option<String>,
    /// Print a JSON list
    #[arg(long, conflicts_with = "add")]
    json: bool,
}

impl Names {
    pub(super) fn run(self, clock: &dyn Clock) -> Result<()> {
        let Self { data, add, by, why, json } = self;
        if let (Some(by), Some(why)) = (by, why) {
            let new = office::add_names(&data, &add, &by, &why, clock)?;
            match &new[..] {
                [] => println!("The office has these names already; nothing was changed."),
                new => println!("Cars may reach the office by {} too.", new.join(", ")),
            }
            return Ok(());
        }
        let names = office::names(&data)?;
        if json {
            println!("{}", serde_json::to_string(&names).unwrap_or_default());
        } else {
            names.iter().for_each(|name| println!("{name}"));
        }
        Ok(())
    }
}
