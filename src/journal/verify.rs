//! Whether everything that should be there is, and makes sense.

use std::collections::HashSet;

use redb::{ReadableTable, ReadableTableMetadata};
use serde::Serialize;

use super::archive::{Archive, EVENTS, HITS, META, OUTBOX, PICTURES, READS, Trouble, get};
use super::chain;
use super::queue::{Payload, Waiting};
use super::record::{StoredEvent, StoredHit, StoredRead};
use super::vault::Row;
use crate::fault::Result;

/// What a verified journal holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many times the unit was started.
    pub runs: u64,
    /// Versions of reads.
    pub reads: u64,
    /// Pictures.
    pub pictures: u64,
    /// Hits.
    pub hits: u64,
    /// Verdicts, faults and notes.
    pub events: u64,
    /// Records of the audit chain.
    pub deeds: u64,
    /// Of these: the same person has looked up the same plate again and again without a case number.
    pub flagged: u64,
    /// Things that wait for the office.
    pub unsent: u64,
    /// Things that the office has stored, ever.
    pub uploaded: u64,
}

impl Archive {
    /// Unseals and decodes every record, follows every reference and the audit chain, and compares what is there with what was counted.
    ///
    /// # Errors
    /// The first thing that is wrong, by its number; or the disk fails.
    pub fn verify(&self) -> Result<Verified> {
        self.read("the journal is not as it was written", |transaction| {
            let meta = transaction.open_table(META)?;
            let (reads, pictures) = (transaction.open_table(READS)?, transaction.open_table(PICTURES)?);
            let (hits, events) = (transaction.open_table(HITS)?, transaction.open_table(EVENTS)?);
            let outbox = transaction.open_table(OUTBOX)?;
            let chain = chain::verify(transaction, &self.vault, |_| ())?;
            let found = Verified {
                deeds: chain.deeds,
                flagged: chain.flagged,
                runs: get(&meta, "run")?,
                uploaded: get(&meta, "uploaded")?,
                reads: reads.len()?,
                pictures: pictures.len()?,
                hits: hits.len()?,
                events: events.len()?,
                unsent: outbox.len()?,
            };
            for (name, there) in [
                ("reads", found.reads),
                ("pictures", found.pictures),
                ("hits", found.hits),
                ("events", found.events),
                ("outbox", found.unsent),
            ] {
                let (into, out) = (get(&meta, &format!("{name}.in"))?, get(&meta, &format!("{name}.out"))?);
                if into.checked_sub(out) != Some(there) {
                    return Err(Trouble::Damaged(format!(
                        "{there} {name} are there, but {into} were written and {out} taken away"
                    )));
                }
            }
            let mut passes = HashSet::new();
            for row in reads.iter()? {
                let (key, value) = row?;
                let (run, pass, version) = key.value();
                passes.insert((run, pass));
                let row = Row::Read(run, pass, version);
                let Some(read) = self.decoded::<StoredRead>(row, value.value())? else { continue };
                if (read.run, read.pass, read.version) != (run, pass, version) {
                    return Err(Trouble::Damaged(format!("read {run}-{pass} says that it is {}", read.id())));
                }
            }
            for row in pictures.iter()? {
                let (key, value) = row?;
                let (run, pass, version, which) = key.value();
                let jpeg = self.opened(Row::Picture(run, pass, version, which), value.value())?;
                if jpeg.is_some_and(|jpeg| !jpeg.starts_with(&[0xff, 0xd8])) || !passes.contains(&(run, pass)) {
                    return Err(Trouble::Damaged(format!(
                        "a picture of read {run}-{pass} is none, or its read is missing"
                    )));
                }
            }
            for row in hits.iter()? {
                let (sequence, value) = row?;
                self.decoded::<StoredHit>(Row::Hit(sequence.value()), value.value())?;
            }
            for row in events.iter()? {
                let (sequence, value) = row?;
                self.decoded::<StoredEvent>(Row::Event(sequence.value()), value.value())?;
            }
            for row in outbox.iter()? {
                let (key, value) = row?;
                let there = match Waiting::decode(value.value()) {
                    Some(waiting) => !matches!(waiting.payload(transaction, self)?, Payload::Missing),
                    None => false,
                };
                if !there {
                    return Err(Trouble::Damaged(format!("row {} of the outbox names nothing", key.value().1)));
                }
            }
            Ok(found)
        })
    }
}
