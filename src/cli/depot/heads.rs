//! `outrider-office heads`: the heads of the cars' audit chains.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::fault::{Fault, Kind, Result};
use crate::office::{self, Anchored};

/// The heads of the cars' audit chains as they came, and whether a chain is still the one that was sent
///
/// Example: outrider-office heads --data office --unit car-01 --check heads.jsonl
///
/// Each car sends number and hash of the newest record of its audit chain, signed. Whoever has a car and its key can make a
/// new chain, but not take back what was sent. With --check, what outrider journal heads printed in the car is held against
/// it; ends with 1 if a record that was sent is another one now, or missing.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Heads {
    /// The office's folder
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Only this unit
    #[arg(long)]
    unit: Option<String>,
    /// What outrider journal heads printed in the car
    #[arg(long, value_name = "FILE", requires = "unit")]
    check: Option<PathBuf>,
    /// Print every head, as JSON lines
    #[arg(long, conflicts_with = "check")]
    json: bool,
}

impl Heads {
    pub(super) fn run(self) -> Result<()> {
        let wanted = |head: &Anchored| self.unit.as_ref().is_none_or(|unit| *unit == head.unit);
        let heads: Vec<Anchored> = office::heads(&self.data)?.into_iter().filter(wanted).collect();
        if self.json {
            heads.iter().for_each(|head| println!("{}", serde_json::to_string(head).unwrap_or_default()));
            return Ok(());
        }
        let mut newest = BTreeMap::new();
        for head in &heads {
            newest.insert((&head.unit, &head.vault), head);
        }
        for head in newest.values() {
            println!(
                "{:<16} chain {}  record {:>6} {}  {}  signed by {}",
                head.unit,
                head.vault,
                head.number,
                head.hash,
                head.received.format("%Y-%m-%d %H:%M UTC"),
                head.signer
            );
        }
        for found in office::findings(&heads) {
            println!("LOOK  {found}");
        }
        let (Some(file), Some(unit)) = (&self.check, &self.unit) else { return Ok(()) };
        let (there, wrong) = office::check_chain(unit, &heads, file)?;
        wrong.iter().for_each(|wrong| println!("WRONG {wrong}"));
        if wrong.is_empty() {
            println!("the chain is the one that was sent: {there} heads of it are in it");
            return Ok(());
        }
        Err(Fault::new(Kind::Damaged, format!("the audit chain of {unit} is not the one that was sent"))
            .at(file.display())
            .because(format!("{} things are wrong with it", wrong.len()))
            .remedy("Keep the car's disk as it is for examination"))
    }
}
