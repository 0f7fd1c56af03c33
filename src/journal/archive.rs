//! What lies on disk: one redb file, and the tables in it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::chain::{self, Act, Deed};
use super::keyfile::Use;
use super::lock::{Key, Protection};
use super::people::{self, People};
use super::queue::{self, Waiting};
use super::record::{Prepared, StoredDeed, StoredHit, StoredRead, Which, decode, encode};
use super::room::{RESERVE_FILE, WITHIN};
use super::settings::{self, Steered};
use super::takeover;
use super::vault::{self, Row, Vault, day_of, key_of};
use crate::fault::{Fault, Kind, Result};
use crate::hotlist;
use crate::seal::{self, SealKey};
use crate::tag::When;

/// Numbers: layout, the journal's own id, that of its keys, run, sequence, and how many rows went into and out of each table.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Run, pass, version: a read, sealed.
pub(super) const READS: TableDefinition<(u64, u64, u32), &[u8]> = TableDefinition::new("reads");
/// Run, pass, version, which: a JPEG, sealed.
pub(super) const PICTURES: TableDefinition<(u64, u64, u32, u8), &[u8]> = TableDefinition::new("pictures");
/// Sequence: a hit, sealed.
pub(super) const HITS: TableDefinition<u64, &[u8]> = TableDefinition::new("hits");
/// Sequence: a verdict, a fault or a note, sealed.
pub(super) const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
/// Urgency, sequence: what waits for the office, see [`Waiting`].
pub(super) const OUTBOX: TableDefinition<(u8, u64), &[u8]> = TableDefinition::new("outbox");
/// Run: when a retention pass first saw it, seconds since 1970. See the purge.
pub(super) const RUNS: TableDefinition<u64, i64> = TableDefinition::new("runs");

/// 1 was the same, but for nothing being sealed: see [`takeover`].
const LAYOUT: u64 = 2;
pub(super) const CACHE: usize = 32 << 20;
pub(super) const FILE: &str = "journal.redb";
const REMEDY: &str = "Name a folder on a writable disk as `data` in the configuration";

/// The journal's file. Opening it counts no run and writes no record: what `outrider journal` works on.
#[derive(Debug)]
pub struct Archive {
    pub(super) path: PathBuf,
    id: u64,
    pub(super) vault: Arc<Vault>,
    /// None while the disk has failed and the file could not be opened again.
    database: RwLock<Option<Database>>,
    pub(super) people: People,
    pub(super) steered: Steered,
    /// The number of the newest record of the audit chain that the office has acknowledged to this process.
    pub(super) anchored: AtomicU64,
}

impl Archive {
    /// Opens the journal in `folder`, or makes folder and journal. One that is made is locked with `key`.
    ///
    /// # Errors
    /// The folder cannot be made or written to; the file is damaged or no journal; another program has it open; the key does
    /// not unlock it.
    pub fn open(folder: &Path, key: &Key) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .map_err(|error| Fault::io("cannot make the data folder", folder, error).remedy(REMEDY))?;
        takeover::finish(folder)?;
        let path = folder.join(FILE);
        if !path.exists() {
            make(&path)?;
        }
        // An empty file is a journal too.
        let database = Database::builder().set_cache_size(CACHE).create(&path);
        Self::unlock(folder, path, database, key)
    }

    /// Opens the journal in `folder`, if there is one.
    ///
    /// # Errors
    /// There is none; else as [`Self::open`].
    pub fn open_existing(folder: &Path, key: &Key) -> Result<Self> {
        takeover::finish(folder)?;
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(Fault::new(Kind::Missing, "there is no journal")
                .at(path.display())
                .remedy("Name the data folder of a unit that has run"));
        }
        let database = existing(&path);
        Self::unlock(folder, path, database, key)
    }

    fn unlock(
        folder: &Path,
        path: PathBuf,
        database: Result<Database, redb::DatabaseError>,
        key: &Key,
    ) -> Result<Self> {
        let mut database = database.map_err(|error| cannot_open(&path, error))?;
        let Numbers { layout, vault: of, .. } = numbers(&database).map_err(|error| cannot_open(&path, error))?;
        known(&path, layout)?;
        let vault = match (vault::file_in(folder).exists(), of) {
            (true, None) => begun(folder, key)?,
            (true, Some(_)) => Vault::open(folder, key)?,
            (false, None) => Vault::make(folder, key)?,
            (false, Some(_)) => {
                return Err(Fault::new(Kind::Missing, CANNOT_OPEN)
                    .at(vault::file_in(folder).display())
                    .because("the file of its keys is missing")
                    .remedy(
                        "Put the file back; without it nobody can read the journal: move it away to begin a new one",
                    ));
            }
        };
        if of.is_some_and(|of| of != vault.id()) {
            return Err(Fault::new(Kind::Damaged, CANNOT_OPEN)
                .at(path.display())
                .because("the keys beside it are another journal's")
                .remedy("Put the file of its own keys back, or move both away to begin a new one"));
        }
        if layout == Some(takeover::PLAIN) {
            takeover::seal(folder, database, &vault)?;
            database = existing(&path).map_err(|error| cannot_open(&path, error))?;
        }
        let id = prepare(&database, vault.id()).map_err(|error| cannot_open(&path, error))?;
        let database = RwLock::new(Some(database));
        let archive = Self {
            path,
            id,
            vault: Arc::new(vault),
            database,
            people: People::default(),
            steered: Steered::default(),
            anchored: AtomicU64::new(0),
        };
        archive.learn_people();
        archive.learn_settings();
        Ok(archive)
    }

    /// What the journal in `folder` is locked with; `None` if there is no journal yet.
    ///
    /// # Errors
    /// The file of keys cannot be read, or is damaged.
    pub fn protection_of(folder: &Path) -> Result<Option<Protection>> {
        vault::protection(folder)
    }

    /// What the files of lists beside the journal are sealed with.
    ///
    /// # Errors
    /// It is not there yet, and cannot be written to the file of keys.
    pub fn lists_seal(&self) -> Result<SealKey> {
        self.vault.lists_seal()
    }

    /// What this journal is locked with.
    pub fn protection(&self) -> Protection {
        self.vault.protection()
    }

    /// Locks the journal with `key` from now on, under a new master key.
    ///
    /// # Errors
    /// The file of keys cannot be written; the earlier lock holds then.
    pub fn lock_with(&self, key: &Key) -> Result<()> {
        self.vault.lock_with(key)
    }

    /// Destroys the keys of the journal in `folder`, then removes it, and the lists that were sealed with them: nobody can read
    /// them any more, wherever copies of them lie. Needs no key: whoever must be rid of it in a hurry may have none.
    ///
    /// # Errors
    /// There is no journal; another program has it open; the disk refuses.
    pub fn erase(folder: &Path) -> Result<()> {
        let (path, keys) = (folder.join(FILE), vault::file_in(folder));
        if !path.exists() && !keys.exists() {
            return Err(Fault::new(Kind::Missing, "there is no journal to erase")
                .at(folder.display())
                .remedy("Name the data folder of a unit that has run"));
        }
        // Held until the keys are gone. A damaged file is no reason to keep them.
        let held = path.exists().then(|| existing(&path));
        if let Some(Err(redb::DatabaseError::DatabaseAlreadyOpen)) = &held {
            return Err(cannot_open(&path, redb::DatabaseError::DatabaseAlreadyOpen));
        }
        let cannot = |path: &Path, error| Fault::io("cannot erase", path, error);
        if keys.exists() {
            seal::wipe(&keys).map_err(|error| cannot(&keys, error))?;
        }
        drop(held);
        let lists = folder.join(hotlist::FILE);
        let of_lists = [seal::plain_of(&lists), seal::sealed_of(&lists), lists];
        let of_reads = [path, takeover::plain(folder), takeover::sealed(folder), folder.join(RESERVE_FILE)];
        for path in of_reads.into_iter().chain(of_lists) {
            if path.exists() {
                seal::wipe(&path).map_err(|error| cannot(&path, error))?;
            }
        }
        Ok(())
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
    pub(super) fn count_run(&self, now: When) -> Result<u64> {
        self.write("cannot write to the journal", |transaction| {
            let run = {
                let mut meta = transaction.open_table(META)?;
                let run = get(&meta, "run")? + 1;
                meta.insert("run", run)?;
                run
            };
            let version = format!("run {run}, version {}", env!("CARGO_PKG_VERSION"));
            let started = Deed::of_the_unit(Act::Started, "a shift", version, now);
            chain::append(transaction, &self.vault, vec![StoredDeed::of(started, run)])?;
            Ok(run)
        })
    }

    /// Commits all of `batch`, or nothing. Gives how many things wait for the office now.
    pub(super) fn commit(&self, batch: &[Prepared]) -> Result<u64> {
        self.write("cannot write to the journal", |transaction| {
            let mut tables = Tables::open(transaction, &self.vault)?;
            for record in batch {
                tables.insert(record)?;
            }
            let unsent = tables.finish()?;
            chain::append(transaction, &self.vault, batch.iter().filter_map(Prepared::deed).collect())?;
            Ok(unsent)
        })
    }

    /// Runs `change` in a transaction of its own and commits it.
    pub(super) fn write<T>(
        &self,
        what: &str,
        change: impl FnOnce(&WriteTransaction) -> Result<T, Trouble>,
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
        .map_err(|trouble| self.fault(what, trouble))
    }

    /// Runs `look` on a snapshot.
    pub(super) fn read<T>(&self, what: &str, look: impl FnOnce(&ReadTransaction) -> Result<T, Trouble>) -> Result<T> {
        let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = guard.as_ref() else { return Err(self.closed(what)) };
        let transaction = database.begin_read().map_err(|error| Fault::database(what, &self.path, error))?;
        look(&transaction).map_err(|trouble| self.fault(what, trouble))
    }

    fn fault(&self, what: &str, trouble: Trouble) -> Fault {
        match trouble {
            Trouble::Database(error) => Fault::database(what, &self.path, error),
            Trouble::Damaged(why) => Fault::new(Kind::Damaged, what).at(self.path.display()).because(why),
            Trouble::Other(fault) => fault,
        }
    }

    /// What was sealed as the value of `row`; `None` once its day's key is destroyed: such a row counts as purged.
    pub(super) fn opened(&self, row: Row, sealed: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        self.vault.open_value(row, sealed).map_err(Trouble::Damaged)
    }

    /// The same, decoded.
    pub(super) fn decoded<M: prost::Message + Default>(&self, row: Row, sealed: &[u8]) -> Result<Option<M>, Trouble> {
        let plain = self.opened(row, sealed)?;
        plain.map(|plain| decode(&plain).map_err(|why| Trouble::Damaged(format!("{row}: {why}")))).transpose()
    }

    /// Closes the file and opens it again: after a failure of the disk redb refuses to go on. Never makes one: where the
    /// disk is gone, an empty journal in its place would be taken for the whole.
    pub(super) fn reopen(&self) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = None;
        let opened = existing(&self.path).map_err(|error| cannot_open(&self.path, error))?;
        let is = numbers(&opened).map_err(|error| cannot_open(&self.path, error))?;
        if (is.vault, is.id) != (Some(self.vault.id()), Some(self.id)) {
            return Err(Fault::new(Kind::Unavailable, CANNOT_OPEN)
                .at(self.path.display())
                .because("another journal lies in the place of the one that this run began with")
                .remedy("Put the first one back, or start the unit again to go on with the other"));
        }
        *database = Some(opened);
        Ok(())
    }

    /// A journal in a database of a test's own.
    #[cfg(test)]
    pub(super) fn over(database: Database, vault: Arc<Vault>) -> Result<Self> {
        let path = PathBuf::from("rig");
        let id = prepare(&database, vault.id()).map_err(|error| cannot_open(&path, error))?;
        Ok(Self {
            path,
            id,
            vault,
            database: RwLock::new(Some(database)),
            people: People::default(),
            steered: Steered::default(),
            anchored: AtomicU64::new(0),
        })
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

/// What the files of lists in `folder` are sealed with, where there may be no journal yet: lists may come first. The keys
/// are made then, locked with `key`.
///
/// # Errors
/// The folder cannot be made or written to, or the key does not unlock what is there.
pub fn lists_seal(folder: &Path, key: &Key) -> Result<SealKey> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Fault::io("cannot make the data folder", folder, error).remedy(REMEDY))?;
    let there = vault::file_in(folder).exists() || folder.join(FILE).exists();
    if there { Vault::open(folder, key)? } else { Vault::make(folder, key)? }.lists_seal()
}

/// Why `key` does not unlock what is in `folder` now, though it may later, without a hand on the computer: its token is not
/// there, or is another one; its chip does not answer. `None`: it does.
///
/// # Errors
/// It never will: the journal is locked otherwise, or its file of keys is damaged.
pub fn wanting(folder: &Path, key: &Key) -> Result<Option<Fault>> {
    vault::wanting(folder, key, folder.join(FILE).exists())
}

/// The keys of a journal that is not there yet. Where lists came first and nobody said what to lock them with, they are locked
/// with `key` from now on.
fn begun(folder: &Path, key: &Key) -> Result<Vault> {
    if vault::protection(folder)? != Some(Protection::None) {
        return Vault::open(folder, key);
    }
    let vault = Vault::open(folder, &Key::Beside)?;
    if key.protection() != Protection::None {
        vault.lock_with(key)?;
    }
    Ok(vault)
}

/// The file at `path`, which is not made.
fn existing(path: &Path) -> Result<Database, redb::DatabaseError> {
    Database::builder().set_cache_size(CACHE).open(path)
}

/// Makes an empty database beside its place and puts it there when it is whole: killed while it is being made, a file is none
/// that could be opened.
fn make(path: &Path) -> Result<()> {
    let new = path.with_extension("redb.new");
    let cannot = |error| {
        let fault = Fault::io("cannot make the journal", &new, error);
        if fault.kind() == Kind::Denied { fault.remedy(REMEDY) } else { fault }
    };
    if new.exists() {
        std::fs::remove_file(&new).map_err(cannot)?;
    }
    drop(Database::builder().set_cache_size(CACHE).create(&new).map_err(|error| cannot_open(&new, error))?);
    std::fs::File::open(&new)
        .and_then(|file| file.sync_all())
        .and_then(|()| std::fs::rename(&new, path))
        .and_then(|()| crate::files::sync_folder(path))
        .map_err(cannot)
}

/// What a journal says of itself, where it is one already.
#[derive(Default)]
struct Numbers {
    layout: Option<u64>,
    vault: Option<u64>,
    id: Option<u64>,
}

fn numbers(database: &Database) -> Result<Numbers, redb::Error> {
    let meta = match database.begin_read()?.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Numbers::default()),
        Err(error) => return Err(error.into()),
    };
    let number = |name| Ok::<_, redb::Error>(meta.get(name)?.map(|number| number.value()));
    Ok(Numbers { layout: number("layout")?, vault: number("vault")?, id: number("id")? })
}

fn known(path: &Path, layout: Option<u64>) -> Result<()> {
    match layout {
        None | Some(takeover::PLAIN | LAYOUT) => Ok(()),
        Some(other) => Err(Fault::new(Kind::Damaged, CANNOT_OPEN)
            .at(path.display())
            .because(format!("it has layout {other}, this program knows {LAYOUT}"))
            .remedy("Use the program that wrote it, or move the file away")),
    }
}

/// Makes `database` a journal if it is not one yet; gives its id.
pub(super) fn prepare(database: &Database, vault: u64) -> Result<u64, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    let id = {
        let mut meta = transaction.open_table(META)?;
        meta.insert("layout", LAYOUT)?;
        meta.insert("vault", vault)?;
        match get(&meta, "id")? {
            0 => {
                let id = new_id();
                meta.insert("id", id)?;
                id
            }
            id => id,
        }
    };
    for table in [HITS, EVENTS] {
        transaction.open_table(table)?;
    }
    transaction.open_table(READS)?;
    transaction.open_table(PICTURES)?;
    transaction.open_table(OUTBOX)?;
    transaction.open_table(RUNS)?;
    chain::prepare(&transaction)?;
    people::prepare(&transaction)?;
    settings::prepare(&transaction)?;
    transaction.commit()?;
    Ok(id)
}

fn cannot_open(path: &Path, error: impl Into<redb::Error>) -> Fault {
    let fault = Fault::database(CANNOT_OPEN, path, error);
    if fault.kind() == Kind::Denied { fault.remedy(REMEDY) } else { fault }
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
    vault: &'t Vault,
    meta: Table<'t, &'static str, u64>,
    reads: Table<'t, (u64, u64, u32), &'static [u8]>,
    pictures: Table<'t, (u64, u64, u32, u8), &'static [u8]>,
    hits: Table<'t, u64, &'static [u8]>,
    events: Table<'t, u64, &'static [u8]>,
    outbox: Table<'t, (u8, u64), &'static [u8]>,
    sequence: u64,
    added: [(&'static str, u64); 5],
    /// What was written into the tables.
    bytes: Cell<u64>,
}

/// Pictures that wait for the office among which those of a pass are looked for when there is a hit on it.
const LATE: usize = 1024;

const READ: usize = 0;
const PICTURE: usize = 1;
const HIT: usize = 2;
const EVENT: usize = 3;
const WAITING: usize = 4;

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction, vault: &'t Vault) -> Result<Self, redb::Error> {
        let meta = transaction.open_table(META)?;
        let sequence = get(&meta, "sequence")?;
        Ok(Self {
            vault,
            meta,
            reads: transaction.open_table(READS)?,
            pictures: transaction.open_table(PICTURES)?,
            hits: transaction.open_table(HITS)?,
            events: transaction.open_table(EVENTS)?,
            outbox: transaction.open_table(OUTBOX)?,
            sequence,
            added: [("reads.in", 0), ("pictures.in", 0), ("hits.in", 0), ("events.in", 0), ("outbox.in", 0)],
            bytes: Cell::new(0),
        })
    }

    fn insert(&mut self, record: &Prepared) -> Result<(), Trouble> {
        match record {
            Prepared::Read { read, pictures } => self.insert_read(read, pictures),
            Prepared::Hit(hit) => self.insert_hit(hit),
            Prepared::Event(event) => {
                let sequence = self.next();
                let sealed = self.seal(Use::Events, day_of(event.utc_us), Row::Event(sequence), &encode(event))?;
                self.events.insert(sequence, &sealed[..])?;
                self.added[EVENT].1 += 1;
                Ok(())
            }
            // It goes into the chain, once the rest is in.
            Prepared::Deed(_) => Ok(()),
        }
    }

    fn insert_hit(&mut self, hit: &StoredHit) -> Result<(), Trouble> {
        let sequence = self.next();
        let day = hit.read.as_ref().map_or(0, |read| day_of(read.utc_us));
        let sealed = self.seal(Use::Hits, day, Row::Hit(sequence), &encode(hit))?;
        self.hits.insert(sequence, &sealed[..])?;
        self.added[HIT].1 += 1;
        if let Some(read) = &hit.read {
            self.pin(read.run, read.pass)?;
        }
        Ok(self.offer(Waiting::Hit { sequence }, true)?)
    }

    /// Seals all that is there of a pass under the keys of hits: it is kept as long as the hit on it, and the key of the day's
    /// reads may go before.
    fn pin(&mut self, run: u64, pass: u64) -> Result<(), Trouble> {
        let mut reads = Vec::new();
        for row in self.reads.range((run, pass, 0)..=(run, pass, u32::MAX))? {
            let (key, sealed) = row?;
            let row = Row::Read(run, pass, key.value().2);
            reads.extend(self.pinned(row, sealed.value())?.map(|sealed| (key.value(), sealed)));
        }
        let mut pictures = Vec::new();
        for row in self.pictures.range((run, pass, 0, 0)..=(run, pass, u32::MAX, u8::MAX))? {
            let (key, sealed) = row?;
            let (.., version, which) = key.value();
            let row = Row::Picture(run, pass, version, which);
            pictures.extend(self.pinned(row, sealed.value())?.map(|sealed| (key.value(), sealed)));
        }
        for (key, sealed) in reads {
            self.reads.insert(key, &sealed[..])?;
        }
        for (key, sealed) in pictures {
            self.pictures.insert(key, &sealed[..])?;
        }
        self.hurry(run, pass)
    }

    /// Puts the pictures of a pass that wait for the office before those of passes without a hit.
    fn hurry(&mut self, run: u64, pass: u64) -> Result<(), Trouble> {
        let mut found = Vec::new();
        // A hit follows its read within seconds: whatever is further back than that stays where it is.
        for row in self.outbox.range((Waiting::PICTURES, 0)..)?.rev().take(LATE) {
            let (key, value) = row?;
            if let Some(Waiting::Picture { run: r, pass: p, .. }) = Waiting::decode(value.value())
                && (r, p) == (run, pass)
            {
                found.push((key.value().1, value.value().to_vec()));
            }
        }
        for (sequence, value) in found {
            self.outbox.remove((Waiting::PICTURES, sequence))?;
            self.outbox.insert((Waiting::PICTURES_OF_HITS, sequence), &value[..])?;
        }
        Ok(())
    }

    /// A value sealed anew under the key of its day's hits; `None` if it is so already, or its key is gone.
    fn pinned(&self, row: Row, sealed: &[u8]) -> Result<Option<Vec<u8>>, Trouble> {
        match key_of(sealed).and_then(|key| self.vault.describes(key)) {
            Some((Use::Reads, day)) => match self.vault.open_value(row, sealed).map_err(Trouble::Damaged)? {
                Some(plain) => self.seal(Use::Hits, day, row, &plain).map(Some),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn seal(&self, purpose: Use, day: i32, row: Row, plain: &[u8]) -> Result<Vec<u8>, Trouble> {
        let sealed = self.vault.seal(purpose, day, row, plain).map_err(Trouble::Other)?;
        self.bytes.set(self.bytes.get() + sealed.len() as u64);
        Ok(sealed)
    }

    /// Keeps a read as the next version of its id. What is stored never changes, so that what the office acknowledges is
    /// what it got. All versions of a pass and their pictures are sealed for the same purpose.
    fn insert_read(&mut self, read: &StoredRead, pictures: &[(Which, Vec<u8>)]) -> Result<(), Trouble> {
        let (run, pass, day) = (read.run, read.pass, day_of(read.utc_us));
        let newest = self.reads.range((run, pass, 0)..=(run, pass, u32::MAX))?.next_back().transpose()?;
        let (version, purpose) = newest.map_or((0, Use::Reads), |(key, sealed)| {
            let purpose = key_of(sealed.value()).and_then(|key| self.vault.describes(key));
            (key.value().2 + 1, purpose.map_or(Use::Reads, |(purpose, _)| purpose))
        });
        let sealed =
            self.seal(purpose, day, Row::Read(run, pass, version), &encode(&StoredRead { version, ..read.clone() }))?;
        self.reads.insert((run, pass, version), &sealed[..])?;
        self.added[READ].1 += 1;
        let has_hit = purpose == Use::Hits;
        self.offer(Waiting::Read { run, pass, version }, has_hit)?;
        for (which, jpeg) in pictures {
            let which = *which as u8;
            let mut known = false;
            for earlier in (0..version).rev() {
                if let Some(picture) = self.pictures.get((run, pass, earlier, which))? {
                    let picture = self.vault.open_value(Row::Picture(run, pass, earlier, which), picture.value());
                    known = picture.map_err(Trouble::Damaged)?.as_ref() == Some(jpeg);
                    break;
                }
            }
            if !known {
                let sealed = self.seal(purpose, day, Row::Picture(run, pass, version, which), jpeg)?;
                self.pictures.insert((run, pass, version, which), &sealed[..])?;
                self.added[PICTURE].1 += 1;
                self.offer(Waiting::Picture { run, pass, version, which }, has_hit)?;
            }
        }
        Ok(())
    }

    fn offer(&mut self, waiting: Waiting, has_hit: bool) -> Result<(), redb::Error> {
        let sequence = self.next();
        self.outbox.insert((waiting.urgency(has_hit), sequence), &waiting.encode()[..])?;
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
        let within = get(&self.meta, WITHIN)?;
        if within > 0 {
            self.meta.insert(WITHIN, within.saturating_sub(self.bytes.get()))?;
        }
        for (name, added) in self.added {
            let before = get(&self.meta, name)?;
            self.meta.insert(name, before + added)?;
        }
        Ok(queue::waiting(&self.meta)?)
    }
}
