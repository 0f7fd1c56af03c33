//! The network that a connection goes by, as far as it costs: which it is, when what it costs is counted, shown and kept.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Keeper;
use super::costs::{Costs, Ledger};
use super::interface;
use super::meter::{Charge, Day, Meter};
use crate::clock::Moment;
use crate::config::Metered;
use crate::fault::Result;

/// Between two counts of the pictures that wait.
const COUNT: Duration = Duration::from_secs(5);
/// Between two writes of what was spent: so much may be forgotten where the unit is killed.
const KEEP: Duration = Duration::from_secs(5);

/// How long the end of a connection waits for the disk.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of the network.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// Its interface, if it costs.
    metered: Option<String>,
    /// Pictures that wait, of reads without a hit and with one.
    waiting: [u64; 2],
    counted: Option<Moment>,
    /// The accounts that are to be kept, when that was begun last, and whether it is going on.
    days: Option<Vec<Day>>,
    written: Option<Moment>,
    keeping: bool,
    /// Whether it was logged that they cannot be kept.
    told: bool,
    shown: Option<Costs>,
}

impl Network {
    /// Takes notice of the address by which the office is reached now. Where there is none, nothing goes; the last one counts.
    pub(super) fn look(&mut self, toward: &std::io::Result<IpAddr>, metered: &Metered) {
        let Ok(address) = *toward else { return };
        let now = interface::costly(address, metered);
        if now != self.metered {
            match &now {
                Some(name) => tracing::info!("the link goes by {name}, a metered network"),
                None => tracing::info!("the link goes by a network that costs nothing"),
            }
            self.metered = now;
        }
    }

    pub(super) fn is_metered(&self) -> bool {
        self.metered.is_some()
    }

    /// Whether the pictures that wait are to be counted now.
    pub(super) fn is_to_count(&mut self, meter: &mut Meter, now: Moment) -> bool {
        while let Some(kind) = meter.news() {
            let mb = meter.budget(kind) / 1_000_000;
            tracing::warn!(
                "metered link: today's {mb} MB for {} are spent; the rest waits for another network",
                kind.words()
            );
            self.counted = None;
        }
        let holds = meter.holds(Charge::Pictures) || meter.holds(Charge::HitPictures);
        if !holds || self.counted.is_some_and(|last| now.since(last) < COUNT) {
            return false;
        }
        self.counted = Some(now);
        true
    }

    pub(super) fn count(&mut self, waiting: [u64; 2]) {
        self.waiting = waiting;
    }

    /// What it costs, with so many lists that wait.
    pub(super) fn costs(&self, meter: &Meter, lists: u64) -> Option<Costs> {
        let [pictures, of_hits] = self.waiting;
        self.metered.as_ref().map(|interface| Costs::of(interface, meter, [pictures, of_hits, lists]))
    }

    /// What is to be kept now, if something is.
    pub(super) fn is_to_keep(
        &mut self,
        meter: &mut Meter,
        costs: &Option<Costs>,
        utc: DateTime<Utc>,
        now: Moment,
    ) -> Option<Ledger> {
        self.days = meter.changed().or(self.days.take());
        self.shown.clone_from(costs);
        if self.keeping || self.written.is_some_and(|last| now.since(last) < KEEP) {
            return None;
        }
        let days = self.days.take()?;
        (self.keeping, self.written) = (true, Some(now));
        Some(Ledger { kept: utc, days, costs: costs.clone() })
    }

    /// The disk has answered.
    pub(super) fn kept(&mut self, kept: Result<()>, meter: &mut Meter) {
        self.keeping = false;
        match kept {
            Ok(()) => self.told = false,
            Err(fault) => {
                meter.unkept();
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!("what metered links cost is counted, and forgotten at the next start: {fault}");
                }
            }
        }
    }
}

impl Keeper {
    /// The meter, going on from what was kept.
    pub(super) async fn meter(&self) -> Meter {
        let budgets = *self.shared.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if self.settings.metered.is_none() {
            return Meter::new(budgets, Vec::new());
        }
        let outbox = Arc::clone(&self.outbox);
        let days = match tokio::task::spawn_blocking(move || outbox.ledger()).await {
            Ok(Ok(ledger)) => ledger.map(|ledger| ledger.days),
            Ok(Err(fault)) => {
                tracing::warn!("{fault}");
                None
            }
            // A panic of the outbox's; the next call tells.
            Err(_) => None,
        };
        Meter::new(budgets, days.unwrap_or_default())
    }

    /// Keeps what was spent at the end of a connection.
    pub(super) async fn keep_costs(&self, meter: &mut Meter, network: &Network) {
        let Some(days) = meter.changed().or_else(|| network.days.clone()) else { return };
        let ledger = Ledger { kept: self.clock.utc(), days, costs: network.shown.clone() };
        let outbox = Arc::clone(&self.outbox);
        let kept = tokio::task::spawn_blocking(move || outbox.keep_ledger(&ledger));
        // A disk that hangs holds up neither the next connection nor the end of the unit.
        if !matches!(tokio::time::timeout(PATIENCE, kept).await, Ok(Ok(Ok(())))) {
            meter.unkept();
        }
    }
}
