//! What the crew said of hits: pairs that were wrong are silent for a time, and every list's precision is counted.

use std::collections::HashMap;
use std::sync::PoisonError;

use chrono::{DateTime, Utc};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::statement::{self, Said, Statement};
use super::store::{Hotlist, begin};
use crate::fault::{Fault, Result};
use crate::plate;

/// List, mark and read text: until when the pair is silent, seconds since 1970.
pub(super) const SILENCED: TableDefinition<(&str, &str, &str), i64> = TableDefinition::new("silenced");
/// List: how often its hits were true, false, not found.
pub(super) const PRECISION: TableDefinition<&str, (u64, u64, u64)> = TableDefinition::new("precision");

/// What the crew found a hit to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// The listed vehicle.
    True,
    /// Not the listed vehicle.
    False,
    /// The listed vehicle, but the entry no longer holds: as false as the other, and for the list's owner to mend.
    Outdated,
    /// The vehicle could not be found.
    NotFound,
}

impl Judgement {
    /// The number that it is kept and sent as. A number is never used again for something else.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::True => 1,
            Self::False => 2,
            Self::NotFound => 3,
            Self::Outdated => 4,
        }
    }

    /// The judgement of a number; `None` for one of a later program.
    pub(super) fn of_number(number: u32) -> Option<Self> {
        [Self::True, Self::False, Self::NotFound, Self::Outdated].into_iter().find(|known| known.number() == number)
    }
}

/// How often a list's hits were what it said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Precision {
    /// The listed vehicle.
    pub true_hits: u64,
    /// Not the listed vehicle, or an entry that no longer holds.
    pub false_hits: u64,
    /// The vehicle could not be found.
    pub not_found: u64,
    /// Pairs of read and entry that are silent now.
    pub silenced: u64,
}

impl Precision {
    /// The share of true hits among those that were judged true or false; `None` while there is none.
    pub fn share(&self) -> Option<f64> {
        let judged = self.true_hits + self.false_hits;
        (judged > 0).then(|| self.true_hits as f64 / judged as f64)
    }
}

/// A pair of read and entry that was judged wrong and is silent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SilentPair {
    /// The list that has the entry.
    pub list: String,
    /// The VRM or pattern as it is listed, shared glyphs as digits.
    pub mark: String,
    /// What was read, shared glyphs as digits.
    pub text: String,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// The pairs that are silent.
#[derive(Debug, Default)]
pub(super) struct Silenced(HashMap<(String, String, String), DateTime<Utc>>);

impl Silenced {
    /// Until when the pair is silent, if it is at `utc`.
    pub(super) fn until(&self, list: &str, mark: &str, text: &str, utc: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&key(list, mark, text)).copied().filter(|until| *until > utc)
    }

    pub(super) fn read(transaction: &redb::ReadTransaction) -> std::result::Result<Self, redb::Error> {
        let mut silenced = HashMap::new();
        for pair in transaction.open_table(SILENCED)?.iter()? {
            let (pair, until) = pair?;
            let (list, mark, text) = pair.value();
            if let Some(until) = DateTime::from_timestamp(until.value(), 0) {
                silenced.insert((list.to_owned(), mark.to_owned(), text.to_owned()), until);
            }
        }
        Ok(Self(silenced))
    }
}

/// A pair is one whatever was chosen for a shared glyph.
fn key(list: &str, mark: &str, text: &str) -> (String, String, String) {
    (list.to_owned(), plate::fold(mark), plate::fold(text))
}

impl Hotlist {
    /// Keeps what the crew found the hit of `list`'s entry `mark` on a read of `text` to be, and tells the office. A pair that is judged false is
    /// silent from now on, for as long as the list says; one judged true is silent no more. Waits for the disk.
    ///
    /// # Errors
    /// The disk fails; nothing is kept then.
    pub fn judge(&self, list: &str, mark: &str, text: &str, judgement: Judgement, utc: DateTime<Utc>) -> Result<()> {
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let silence =
            self.snapshot().list(list).map_or_else(Default::default, |list| list.head.settings.clone()).silence();
        let until = utc + silence;
        let pair = key(list, mark, text);
        let said = Said::Found { list: list.to_owned(), mark: mark.to_owned(), text: text.to_owned(), judgement };
        let stated = self.stated.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (|| {
            let transaction = begin(&self.database)?;
            write(&transaction, &pair, judgement, until, utc)?;
            statement::keep(&transaction, &Statement { utc, said }, &stated)?;
            transaction.commit()?;
            Ok::<_, redb::Error>(())
        })()
        .map_err(|error| Fault::database("cannot keep what was found of a hit", &self.path, error))?;
        // No list has changed, but what is silent has.
        self.refresh(Some(""))
    }

    /// The pairs that are silent at `utc`, in order.
    pub fn silent_pairs(&self, utc: DateTime<Utc>) -> Vec<SilentPair> {
        let snapshot = self.snapshot();
        let silent = snapshot.silenced.0.iter().filter(|(_, until)| **until > utc);
        let mut pairs: Vec<SilentPair> = silent
            .map(|((list, mark, text), until)| SilentPair {
                list: list.clone(),
                mark: mark.clone(),
                text: text.clone(),
                until: *until,
            })
            .collect();
        pairs.sort();
        pairs
    }

    /// How often the hits of `list` were what it said, and how many pairs are silent at `utc`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn precision(&self, list: &str, utc: DateTime<Utc>) -> Result<Precision> {
        use redb::ReadableDatabase;
        let counts = (|| {
            let transaction = self.database.begin_read()?;
            let counts = transaction.open_table(PRECISION)?.get(list)?.map(|counts| counts.value());
            Ok::<_, redb::Error>(counts.unwrap_or_default())
        })()
        .map_err(|error| Fault::database("cannot read the precision of a list", &self.path, error))?;
        let silenced =
            self.snapshot().silenced.0.iter().filter(|((id, ..), until)| id == list && **until > utc).count();
        Ok(Precision { true_hits: counts.0, false_hits: counts.1, not_found: counts.2, silenced: silenced as u64 })
    }
}

fn write(
    transaction: &WriteTransaction,
    (list, mark, text): &(String, String, String),
    judgement: Judgement,
    until: DateTime<Utc>,
    utc: DateTime<Utc>,
) -> std::result::Result<(), redb::Error> {
    let mut precision = transaction.open_table(PRECISION)?;
    let (mut right, mut wrong, mut lost) = precision.get(list.as_str())?.map_or((0, 0, 0), |counts| counts.value());
    let mut silenced = transaction.open_table(SILENCED)?;
    silenced.retain(|_, until| until > utc.timestamp())?;
    let pair = (list.as_str(), mark.as_str(), text.as_str());
    match judgement {
        Judgement::True => {
            right += 1;
            silenced.remove(pair)?;
        }
        Judgement::False | Judgement::Outdated => {
            wrong += 1;
            silenced.insert(pair, until.timestamp())?;
        }
        Judgement::NotFound => lost += 1,
    }
    precision.insert(list.as_str(), (right, wrong, lost))?;
    Ok(())
}
