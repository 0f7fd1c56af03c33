//! `outrider metered`: what networks that cost money have carried.

use std::path::PathBuf;

use serde_json::json;

use crate::config::Config;
use crate::fault::{Fault, Kind, Result};
use crate::sync::car::{Costs, Ledger};

/// What networks that cost money by the byte have carried today, and what waits for another network
///
/// Examples:
///   outrider metered --config /etc/outrider/car.toml
///   outrider metered --config /etc/outrider/car.toml --json
///
/// Which networks cost money, and what may be spent, is set under [office.metered]. The running unit writes this down every five
/// seconds while it changes; nothing is asked of it, and of the journal nothing is read. Hits, reads as text, statements and
/// small changes of lists never wait, and are not counted.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Metered {
    /// The unit's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print a JSON line for each budget; sizes are bytes
    #[arg(long)]
    json: bool,
}

impl Metered {
    pub(super) fn run(self) -> Result<()> {
        let config = Config::load(&self.config)?;
        let metered = config.office.as_ref().and_then(|office| office.metered.as_ref()).ok_or_else(|| {
            Fault::new(Kind::Config, "the configuration names no network that costs money")
                .at(self.config.display())
                .remedy("Name their interfaces under [office.metered]; vehicle-config/usb-camera.toml explains it")
        })?;
        let ledger = Ledger::load(&config.data)?;
        let spent = ledger.as_ref().map_or([0; 3], Ledger::spent);
        let day = ledger.as_ref().and_then(|ledger| ledger.days.last()).map(|day| day.day.to_string());
        let now = ledger.as_ref().and_then(|ledger| ledger.costs.clone());
        let costs = now.clone().unwrap_or_else(|| Costs::spent_of(metered.budgets(), spent));
        let kept = ledger.map(|ledger| ledger.kept.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        if self.json {
            for cost in costs.kinds {
                let interface = now.as_ref().map(|now| &now.interface);
                let line = json!({
                    "kind": cost.kind, "day": day, "budget": cost.budget, "spent": cost.spent, "waiting": cost.waiting,
                    "interface": interface, "kept": kept,
                });
                println!("{line}");
            }
            return Ok(());
        }
        match (now, day, kept) {
            (Some(now), Some(day), Some(kept)) => println!("{day}: {now}\nwritten down {kept}"),
            (None, Some(day), Some(kept)) => {
                println!(
                    "{day}: {} used; the link goes by a network that costs nothing\nwritten down {kept}",
                    costs.used()
                );
            }
            _ => println!("nothing has gone by a network that costs money yet"),
        }
        Ok(())
    }
}
