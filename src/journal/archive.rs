//! What lies on disk: one redb file, and the tables in it.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::queue::{self, Waiting};
use super::record::{Prepared, StoredRead, Which, decode, encode};
use crate::fault::{Fault, Kind, Result};

/// Numbers: layout, the journal's own id, run, sequence, and how many rows went into and out of each table.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Run, pass, version: a read.
pub(super) const READS: TableDefinition<(u64, u64, u32), &[u8]> = TableDefinition::new("reads");
/// Run, pass, version, which: a JPEG.
pub(super) const PICTURES: TableDefinition<(u64, u64, u32, u8), &[u8]> = TableDefinition::new("pictures");
/// Sequence: a hit.
pub(super) const HITS: TableDefinition<u64, &[u8]> = TableDefinition::new("hits");
/// Sequence: a verdict, a fault or a note.
pub(super) const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
/// Urgency, sequence: what waits for the office, see [`Waiting`].
pub(super) const OUTBOX: TableDefinition<(u8, u64), &[u8]> = TableDefinition::new("outbox");
/// Run: when a retention pass first saw it, seconds since 1970. See the purge.
pub(super) const RUNS: TableDefinition<u64, i64> = TableDefinition::new("runs");

const LAYOUT: u64 = 1;
const CACHE: usize = 32 << 20;
const FILE: &str = "journal.redb";
const REMEDY: &str = "Name a folder on a writable disk as `data` in the configuration";

/// The journal's file. Opening it counts no run and writes no record: what `outrider journal` works on.
#[derive(Debug)]
pub struct Archive {
    pub(super) path: PathBuf,
    id: u64,
    /// None while the disk has failed and the file could not be opened again.
    database: RwLock<Option<Database>>,
}

impl Archive {
    /// Opens the journal in `folder`, or makes folder and journal.
    ///
    /// # Errors
    /// The folder cannot be made or written to; the file is damaged or no journal; another program has it open.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .map_err(|error| Fault::io("cannot make the data folder", folder, error).remedy(REMEDY))?;
        let path = folder.join(FILE);
        let (database, id) = open(&path, Database::builder().set_cache_size(CACHE).create(&path))?;
        Ok(Self { path, id, database: RwLock::new(Some(database)) })
    }

    /// Opens the journal in `folder`, if there is one.
    ///
    /// # Errors
    /// There is none; else as [`Self::open`].
    pub fn open_existing(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(Fault::new(Kind::Missing, "there is no journal")
                .at(path.display())
                .remedy("Name the data folder of a unit that has run"));
        }
        let (database, id) = open(&path, existing(&path))?;
        Ok(Self { path, id, database: RwLock::new(Some(database)) })
    }

    /// Looks at the journal in `folder` without writing a byte to it. Gives how many things wait for the office; `None`
    /// if there is no journal yet.
    ///
    /// # Errors
    /// The file is damaged or no journal, cannot be read, or another program has it open.
    pub fn peek(folder: &Path) -> Result<Option<u64>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let look = || -> Result<u64, redb::Error> {
            let meta =
                Database::builder().set_cache_size(CACHE).open_read_only(&path)?.begin_read()?.open_table(META)?;
            Ok(queue::waiting(&meta)?)
        };
        look().map(Some).map_err(|error| match error {
            // The last run ended without closing the file; opening it for writing sets that right.
            redb::Error::RepairAborted => Fault::new(Kind::Unavailable, "the journal was not closed in good order")
                .at(path.display())
                .remedy("Start the unit once: it repairs the journal by itself"),
            error => Fault::database(CANNOT_OPEN, &path, error),
        })
    }

    /// Tells this journal from every other that the unit has had or will have.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Counts a start of the unit, durably; gives its number, from 1.
    pub(super) fn count_run(&self) -> Result<u64> {
        self.write("cannot write to the journal", |transaction| {
            let mut meta = transaction.open_table(META)?;
            let run = get(&meta, "run")? + 1;
            meta.insert("run", run)?;
            Ok(run)
        })
    }

    /// Commits all of `batch`, or nothing. Gives how many things wait for the office now.
    pub(super) fn commit(&self, batch: &[Prepared]) -> Result<u64> {
        self.write("cannot write to the journal", |transaction| {
            let mut tables = Tables::open(transaction)?;
            for record in batch {
                tables.insert(record)?;
            }
            tables.finish()
        })
    }

    /// Runs `change` in a transaction of its own and commits it.
    pub(super) fn write<T>(
        &self,
        what: &str,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = guard.as_ref() else { return Err(self.closed(what)) };
        (|| {
            let mut transaction = database.begin_write()?;
            // A car loses power daily: opening must not walk the whole file.
            transaction.set_quick_repair(true);
            let value = change(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })()
        .map_err(|error: redb::Error| Fault::database(what, &self.path, error))
    }

    /// Runs `look` on a snapshot.
    pub(super) fn read<T>(&self, what: &str, look: impl FnOnce(&ReadTransaction) -> Result<T, Trouble>) -> Result<T> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = guard.as_ref() else { return Err(self.closed(what)) };
        let transaction = database.begin_read().map_err(|error| Fault::database(what, &self.path, error))?;
        look(&transaction).map_err(|trouble| match trouble {
            Trouble::Database(error) => Fault::database(what, &self.path, error),
            Trouble::Damaged(why) => Fault::new(Kind::Damaged, what).at(self.path.display()).because(why),
            Trouble::Other(fault) => fault,
        })
    }

    /// Closes the file and opens it again: after a failure of the disk redb refuses to go on. Never makes one: where the
    /// disk is gone, an empty journal in its place would be taken for the whole.
    pub(super) fn reopen(&self) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = None;
        let (opened, id) = open(&self.path, existing(&self.path))?;
        if id != self.id {
            return Err(Fault::new(Kind::Unavailable, CANNOT_OPEN)
                .at(self.path.display())
                .because("another journal lies in the place of the one that this run began with")
                .remedy("Put the first one back, or start the unit again to go on with the other"));
        }
        *database = Some(opened);
        Ok(())
    }

    /// What a failed disk leaves behind.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn closed(&self, what: &str) -> Fault {
        Fault::new(Kind::Unavailable, what).at(self.path.display()).because("the disk has failed; it is tried again")
    }
}

/// What can go wrong while looking.
pub(super) enum Trouble {
    Database(redb::Error),
    Damaged(String),
    Other(Fault),
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

const CANNOT_OPEN: &str = "cannot open the journal";

/// The file at `path`, which is not made.
fn existing(path: &Path) -> Result<Database, redb::DatabaseError> {
    Database::builder().set_cache_size(CACHE).open(path)
}

/// Makes `database` a journal if it is not one yet; gives it and its id.
fn open(path: &Path, database: Result<Database, redb::DatabaseError>) -> Result<(Database, u64)> {
    let fault = |error: redb::Error| {
        let fault = Fault::database(CANNOT_OPEN, path, error);
        if fault.kind() == Kind::Denied { fault.remedy(REMEDY) } else { fault }
    };
    let database = database.map_err(|error| fault(error.into()))?;
    let (layout, id) = (|| {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        let numbers = {
            let mut meta = transaction.open_table(META)?;
            let layout = meta.get("layout")?.map(|layout| layout.value());
            if layout.is_none() {
                meta.insert("layout", LAYOUT)?;
            }
            let id = match get(&meta, "id")? {
                0 => {
                    let id = new_id();
                    meta.insert("id", id)?;
                    id
                }
                id => id,
            };
            (layout, id)
        };
        Tables::open(&transaction)?;
        transaction.open_table(RUNS)?;
        transaction.commit()?;
        Ok::<_, redb::Error>(numbers)
    })()
    .map_err(fault)?;
    match layout {
        None | Some(LAYOUT) => Ok((database, id)),
        Some(other) => Err(Fault::new(Kind::Damaged, CANNOT_OPEN)
            .at(path.display())
            .because(format!("it has layout {other}, this program knows {LAYOUT}"))
            .remedy("Use the program that wrote it, or move the file away")),
    }
}

/// A number that no other journal has. Each hasher of the standard library begins with keys from the operating system's
/// source of randomness, also where no clock is set.
fn new_id() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("journal").max(1)
}

pub(super) fn get(meta: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64, redb::StorageError> {
    Ok(meta.get(name)?.map_or(0, |value| value.value()))
}

/// The tables of one transaction, and what it changes of the numbers.
struct Tables<'t> {
    meta: Table<'t, &'static str, u64>,
    reads: Table<'t, (u64, u64, u32), &'static [u8]>,
    pictures: Table<'t, (u64, u64, u32, u8), &'static [u8]>,
    hits: Table<'t, u64, &'static [u8]>,
    events: Table<'t, u64, &'static [u8]>,
    outbox: Table<'t, (u8, u64), &'static [u8]>,
    sequence: u64,
    added: [(&'static str, u64); 5],
}

const READ: usize = 0;
const PICTURE: usize = 1;
const HIT: usize = 2;
const EVENT: usize = 3;
const WAITING: usize = 4;

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        let meta = transaction.open_table(META)?;
        let sequence = get(&meta, "sequence")?;
        Ok(Self {
            meta,
            reads: transaction.open_table(READS)?,
            pictures: transaction.open_table(PICTURES)?,
            hits: transaction.open_table(HITS)?,
            events: transaction.open_table(EVENTS)?,
            outbox: transaction.open_table(OUTBOX)?,
            sequence,
            added: [("reads.in", 0), ("pictures.in", 0), ("hits.in", 0), ("events.in", 0), ("outbox.in", 0)],
        })
    }

    fn insert(&mut self, record: &Prepared) -> Result<(), redb::Error> {
        match record {
            Prepared::Read { read, pictures } => self.insert_read(read, pictures),
            Prepared::Hit(hit) => {
                let sequence = self.next();
                self.hits.insert(sequence, &encode(hit)[..])?;
                self.added[HIT].1 += 1;
                self.offer(Waiting::Hit { sequence })
            }
            Prepared::Event(event) => {
                let sequence = self.next();
                self.events.insert(sequence, &encode(event)[..])?;
                self.added[EVENT].1 += 1;
                Ok(())
            }
        }
    }

    /// Keeps a read as the next version of its id. What is stored never changes, so that what the office acknowledges is
    /// what it got.
    fn insert_read(&mut self, read: &StoredRead, pictures: &[(Which, Vec<u8>)]) -> Result<(), redb::Error> {
        let (run, pass) = (read.run, read.pass);
        let newest = self.reads.range((run, pass, 0)..=(run, pass, u32::MAX))?.next_back().transpose()?;
        let version = newest.map_or(0, |(key, _)| key.value().2 + 1);
        self.reads.insert((run, pass, version), &encode(&StoredRead { version, ..read.clone() })[..])?;
        self.added[READ].1 += 1;
        self.offer(Waiting::Read { run, pass, version })?;
        for (which, jpeg) in pictures {
            let which = *which as u8;
            let mut known = false;
            for earlier in (0..version).rev() {
                if let Some(picture) = self.pictures.get((run, pass, earlier, which))? {
                    known = picture.value() == jpeg;
                    break;
                }
            }
            if !known {
                self.pictures.insert((run, pass, version, which), &jpeg[..])?;
                self.added[PICTURE].1 += 1;
                self.offer(Waiting::Picture { run, pass, version, which })?;
            }
        }
        Ok(())
    }

    fn offer(&mut self, waiting: Waiting) -> Result<(), redb::Error> {
        let sequence = self.next();
        self.outbox.insert((waiting.urgency(), sequence), &waiting.encode()[..])?;
        self.added[WAITING].1 += 1;
        Ok(())
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Writes the numbers; gives how many things wait for the office.
    fn finish(mut self) -> Result<u64, redb::Error> {
        self.meta.insert("sequence", self.sequence)?;
        for (name, added) in self.added {
            let before = get(&self.meta, name)?;
            self.meta.insert(name, before + added)?;
        }
        Ok(queue::waiting(&self.meta)?)
    }
}

/// A stored value decoded, or the trouble that it is.
pub(super) fn decoded<M: prost::Message + Default>(bytes: &[u8], what: impl std::fmt::Display) -> Result<M, Trouble> {
    decode(bytes).map_err(|why| Trouble::Damaged(format!("{what}: {why}")))
}
