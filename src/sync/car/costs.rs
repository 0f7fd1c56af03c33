//! What is shown and kept of what metered networks cost.

use std::fmt;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::meter::{Charge, Day, Meter};
use crate::config::Budgets;
use crate::fault::{Fault, Kind, Result};
use crate::files;

/// The file in the unit's data folder that says what was spent on which day. It names no plate, place or person.
pub const METERED_FILE: &str = "metered.json";

/// What the network that is used now costs today. Shown as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// The network's interface: "wwan0".
    pub interface: String,
    /// What was spent of each budget.
    pub kinds: [Cost; 3],
}

/// One budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Of what.
    pub kind: Charge,
    /// What may be spent a day, bytes.
    pub budget: u64,
    /// What was spent today, bytes.
    pub spent: u64,
    /// How many pictures or lists wait because it is spent.
    pub waiting: u64,
}

impl Costs {
    /// What was spent of `budgets`, with nothing known of what waits.
    pub fn spent_of(budgets: Budgets, spent: [u64; 3]) -> Self {
        let budget = budgets.bytes();
        let cost = |kind: Charge| Cost { kind, budget: budget[kind as usize], spent: spent[kind as usize], waiting: 0 };
        Self { interface: String::new(), kinds: Charge::ALL.map(cost) }
    }

    /// As `meter` has it, with so many of each kind waiting.
    pub(super) fn of(interface: &str, meter: &Meter, waiting: [u64; 3]) -> Self {
        let cost = |kind: Charge| Cost {
            kind,
            budget: meter.budget(kind),
            spent: meter.spent(kind),
            waiting: if meter.holds(kind) { waiting[kind as usize] } else { 0 },
        };
        Self { interface: interface.to_owned(), kinds: Charge::ALL.map(cost) }
    }

    /// "3.4 of 50 MB of pictures, ...".
    pub fn used(&self) -> String {
        self.kinds.map(|cost| format!("{} of {}", cost.used(), cost.kind.words())).join(", ")
    }
}

impl Cost {
    /// "50 of 50 MB".
    pub fn used(&self) -> String {
        format!("{} of {} MB", megabytes(self.spent), megabytes(self.budget))
    }

    /// "312 pictures"; `None`: none waits.
    pub fn waits(&self) -> Option<String> {
        let (one, many) = match self.kind {
            Charge::Pictures => ("picture", "pictures"),
            Charge::HitPictures => ("picture of a hit", "pictures of hits"),
            Charge::Lists => ("whole list", "whole lists"),
        };
        match self.waiting {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        }
    }
}

/// Megabytes as bills have them, with a decimal while they are few.
fn megabytes(bytes: u64) -> String {
    let tenths = (bytes + 50_000) / 100_000;
    if tenths >= 100 || tenths.is_multiple_of(10) {
        ((tenths + 5) / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metered link ({}): {} used today", self.interface, self.used())?;
        let waiting: Vec<String> = self.kinds.iter().filter_map(Cost::waits).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let one = self.kinds.iter().map(|cost| cost.waiting).sum::<u64>() == 1;
        write!(f, "; {} {} for another network", waiting.join(" and "), if one { "waits" } else { "wait" })
    }
}

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// When it was kept, by the unit's clock.
    pub kept: DateTime<Utc>,
    /// What was spent, the day that counts last.
    pub days: Vec<Day>,
    /// How it was then; `None`: the network cost nothing.
    pub costs: Option<Costs>,
}

impl Ledger {
    /// What was spent of each kind on the day that counts last.
    pub fn spent(&self) -> [u64; 3] {
        self.days.last().map_or([0; 3], |day| day.spent)
    }

    /// What a unit has kept in this folder; `None`: nothing yet.
    ///
    /// # Errors
    /// The disk fails, or the file is damaged.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(METERED_FILE);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| Fault::io("cannot read what metered links have cost", &path, error))?,
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Fault::new(Kind::Damaged, "what metered links have cost cannot be read")
                .at(path.display())
                .because(error)
                .remedy("The unit counts anew and replaces the file; nothing else is lost")
        })
    }

    /// Keeps it there: a power cut leaves the old or the new.
    ///
    /// # Errors
    /// The disk fails.
    pub fn keep(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_vec(self)
            .map_err(|error| Fault::new(Kind::Internal, "cannot write what metered links have cost").because(error))?;
        files::replace(&folder.join(METERED_FILE), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(spent: [u64; 3], waiting: [u64; 3]) -> Costs {
        let budgets = [50_000_000, 200_000_000, 100_000_000];
        let kinds = Charge::ALL.map(|kind| {
            let i = kind as usize;
            Cost { kind, budget: budgets[i], spent: spent[i], waiting: waiting[i] }
        });
        Costs { interface: "wwan0".into(), kinds }
    }

    #[test]
    fn people_are_told_what_was_spent_and_what_waits() {
        assert_eq!(
            costs([49_970_000, 3_440_000, 0], [312, 0, 0]).to_string(),
            "metered link (wwan0): 50 of 50 MB of pictures, 3.4 of 200 MB of pictures of hits, 0 of 100 MB of whole lists used \
             today; 312 pictures wait for another network"
        );
        assert!(costs([0; 3], [0, 0, 1]).to_string().ends_with("used today; 1 whole list waits for another network"));
        assert!(
            costs([0; 3], [2, 1, 0])
                .to_string()
                .ends_with("; 2 pictures and 1 picture of a hit wait for another network")
        );
        assert!(costs([1; 3], [0; 3]).to_string().ends_with(" used today"));
        assert_eq!(
            [0, 40_000, 60_000, 999_999, 9_949_999, 10_449_999].map(megabytes),
            ["0", "0", "0.1", "1", "9.9", "10"]
        );
    }

    #[test]
    fn what_is_kept_is_read_again_and_half_a_file_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Ledger::load(folder.path()).expect("nothing"), None);
        let ledger = Ledger { kept: DateTime::UNIX_EPOCH, days: Vec::new(), costs: Some(costs([1, 2, 3], [4, 5, 6])) };
        ledger.keep(folder.path()).expect("kept");
        assert_eq!(Ledger::load(folder.path()).expect("read"), Some(ledger));
        let path = folder.path().join(METERED_FILE);
        let whole = std::fs::read(&path).expect("there");
        std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
        let why = Ledger::load(folder.path()).expect_err("damaged").to_string();
        assert!(why.contains(METERED_FILE) && why.contains("counts anew"), "{why}");
    }
}
