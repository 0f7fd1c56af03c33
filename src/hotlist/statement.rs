//! What the crew makes known to the office: entries of its own, and what it found of hits.
//!
//! A statement is written in the transaction of the change that it tells of, so that neither is there without the other,
//! and kept until the office has stored it. Its key is the same however often it is sent.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use chrono::{DateTime, Utc};
use prost::Message;
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::entry::Entry;
use super::judge::Judgement;
use super::mark::Mark;
use super::revision::StoredRemoval;
use super::store::{Hotlist, META, begin};
use crate::fault::{Fault, Result};

/// Counts from 1: when it was made (seconds since 1970), and the statement.
pub(super) const STATEMENTS: TableDefinition<u64, (i64, &[u8])> = TableDefinition::new("statements");
const COUNTER: &str = "statements";

/// Something that the crew makes known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// When, by the car's time.
    pub utc: DateTime<Utc>,
    /// What.
    pub said: Said,
}

/// What the crew makes known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It has taken up an entry of its own.
    Entry(Box<Entry>),
    /// It has taken its own entries of a VRM or pattern off again.
    Removal {
        /// Which.
        mark: Mark,
        /// Why.
        why: String,
    },
    /// What it found a hit to be.
    Found {
        /// The list that has the entry.
        list: String,
        /// The VRM or pattern as it is listed.
        mark: String,
        /// What the camera read.
        text: String,
        /// What they found.
        judgement: Judgement,
    },
}

const VERSION: u8 = 1;

/// A statement as it is kept and sent. A number is never used again for something else.
#[derive(Clone, PartialEq, Message)]
struct StoredStatement {
    #[prost(int64, tag = "1")]
    utc: i64,
    #[prost(oneof = "Stored", tags = "2, 3, 4")]
    said: Option<Stored>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Stored {
    /// An entry as lists keep it.
    #[prost(bytes, tag = "2")]
    Entry(Vec<u8>),
    #[prost(message, tag = "3")]
    Removal(StoredRemoval),
    #[prost(message, tag = "4")]
    Found(StoredFound),
}

#[derive(Clone, PartialEq, Message)]
struct StoredFound {
    #[prost(string, tag = "1")]
    list: String,
    #[prost(string, tag = "2")]
    mark: String,
    #[prost(string, tag = "3")]
    text: String,
    /// 1 true, 2 false, 3 not found, 4 outdated.
    #[prost(uint32, tag = "4")]
    judgement: u32,
}

impl Statement {
    /// The bytes that are kept and sent.
    pub fn encode(&self) -> Vec<u8> {
        let said = match &self.said {
            Said::Entry(entry) => Stored::Entry(entry.encode()),
            Said::Removal { mark, why } => Stored::Removal(StoredRemoval { mark: mark.to_string(), why: why.clone() }),
            Said::Found { list, mark, text, judgement } => Stored::Found(StoredFound {
                list: list.clone(),
                mark: mark.clone(),
                text: text.clone(),
                judgement: judgement.number(),
            }),
        };
        let mut bytes = vec![VERSION];
        StoredStatement { utc: self.utc.timestamp(), said: Some(said) }.encode_raw(&mut bytes);
        bytes
    }

    /// The statement in `bytes`.
    ///
    /// # Errors
    /// A clause saying why there is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored = match bytes {
            [VERSION, rest @ ..] => StoredStatement::decode(rest).map_err(|error| error.to_string())?,
            _ => return Err("it is a statement of another version".into()),
        };
        let said = match stored.said.ok_or("it says something that this program does not know")? {
            Stored::Entry(bytes) => Said::Entry(Box::new(Entry::decode(&bytes)?)),
            Stored::Removal(StoredRemoval { mark, why }) => {
                Said::Removal { mark: Mark::parse(&mark).map_err(|error| error.to_string())?, why }
            }
            Stored::Found(StoredFound { list, mark, text, judgement }) => Said::Found {
                list,
                mark,
                text,
                judgement: Judgement::of_number(judgement)
                    .ok_or("it judges a hit in a way that this program does not know")?,
            },
        };
        Ok(Self { utc: DateTime::from_timestamp(stored.utc, 0).ok_or("its time is none")?, said })
    }
}

/// Keeps a statement for the office, and lets go of those that it has stored.
pub(super) fn keep(
    transaction: &WriteTransaction,
    statement: &Statement,
    stored: &BTreeSet<u64>,
) -> std::result::Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    let number = meta.get(COUNTER)?.map_or(0, |number| number.value()) + 1;
    meta.insert(COUNTER, number)?;
    let mut statements = transaction.open_table(STATEMENTS)?;
    statements.insert(number, (statement.utc.timestamp(), &statement.encode()[..]))?;
    statements.retain(|number, _| !stored.contains(&number))?;
    Ok(())
}

impl Hotlist {
    /// What the office has not stored yet, oldest first, `limit` at most: a key that names it for good, and its bytes.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn statements(&self, limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let stored = self.stated.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (|| {
            let statements = self.database.begin_read()?.open_table(STATEMENTS)?;
            let mut found = Vec::new();
            for row in statements.iter()? {
                let (number, row) = row?;
                if found.len() >= limit {
                    break;
                }
                if !stored.contains(&number.value()) {
                    found.push((self.key(number.value()), row.value().1.to_vec()));
                }
            }
            Ok::<_, redb::Error>(found)
        })()
        .map_err(|error| Fault::database("cannot read what the crew makes known", &self.path, error))
    }

    /// How many statements the office has not stored yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn unstated(&self) -> Result<u64> {
        let stored = self.stated.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (|| {
            let mut count = 0;
            for row in self.database.begin_read()?.open_table(STATEMENTS)?.iter()? {
                count += u64::from(!stored.contains(&row?.0.value()));
            }
            Ok::<_, redb::Error>(count)
        })()
        .map_err(|error| Fault::database("cannot read what the crew makes known", &self.path, error))
    }

    /// The office has stored these; keys of anything else are passed over. Waits for no disk: should the unit end before
    /// they are let go of, they are sent again under the same keys.
    pub fn stated(&self, keys: &[Vec<u8>]) {
        let numbers = keys.iter().filter_map(|key| {
            let (own, number) = key.split_last_chunk()?;
            (own == self.own_key()).then(|| u64::from_be_bytes(*number))
        });
        self.stated.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers);
    }

    /// Lets go of what the office has stored, and of what was made known before `before`. Gives how many of the latter
    /// there were.
    ///
    /// # Errors
    /// The disk fails; what is kept stays.
    pub fn tidy_statements(&self, before: DateTime<Utc>) -> Result<u64> {
        let stored = self.stated.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fault = |error| Fault::database("cannot let go of what the crew made known", &self.path, error);
        let due = (|| {
            let statements = self.database.begin_read()?.open_table(STATEMENTS)?;
            for row in statements.iter()? {
                let (number, row) = row?;
                if stored.contains(&number.value()) || row.value().0 < before.timestamp() {
                    return Ok(true);
                }
            }
            Ok::<_, redb::Error>(false)
        })()
        .map_err(fault)?;
        if !due {
            return Ok(0);
        }
        let forgotten = (|| {
            let mut forgotten = 0;
            let transaction = begin(&self.database)?;
            transaction.open_table(STATEMENTS)?.retain(|number, (at, _)| {
                let has = stored.contains(&number);
                forgotten += u64::from(!has && at < before.timestamp());
                !has && at >= before.timestamp()
            })?;
            transaction.commit()?;
            Ok::<_, redb::Error>(forgotten)
        })()
        .map_err(fault)?;
        self.stated.lock().unwrap_or_else(PoisonError::into_inner).retain(|number| !stored.contains(number));
        Ok(forgotten)
    }

    /// What all keys of this store begin with. A store that was begun anew counts from 1 again, under another id.
    fn own_key(&self) -> [u8; 9] {
        let mut key = [b's'; 9];
        key[..8].copy_from_slice(&self.id.to_be_bytes());
        key
    }

    fn key(&self, number: u64) -> Vec<u8> {
        [&self.own_key()[..], &number.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::entry::tests::entry;
    use super::*;

    #[test]
    fn a_statement_survives_being_kept() {
        let utc = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let found =
            |judgement| Said::Found { list: "pnc".into(), mark: "AB*".into(), text: "AB12CDE".into(), judgement };
        for said in [
            Said::Entry(Box::new(entry("AB1?CDE", "made off"))),
            Said::Removal { mark: Mark::parse("AB*").expect("a mark"), why: "stood down".into() },
            found(Judgement::True),
            found(Judgement::False),
            found(Judgement::NotFound),
            found(Judgement::Outdated),
        ] {
            let statement = Statement { utc, said };
            assert_eq!(Statement::decode(&statement.encode()), Ok(statement));
        }
        assert!(Statement::decode(&[]).is_err() && Statement::decode(&[9]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_decoding(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Statement::decode(&bytes);
            let _ = Statement::decode(&[&[VERSION], &bytes[..]].concat());
        }
    }
}
