//! The lists on disk, and the snapshot of them that matching uses.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};

use super::block;
use super::entry::Entry;
use super::head::ListHead;
use super::index::{Index, Packed};
use super::judge::{PRECISION, SILENCED, Silenced};
use super::mark::Mark;
use super::matching::{self, Circumstances, Hit};
use super::signing::VerifyingKey;
use super::snapshot::{Listed, Patterns, Snapshot, classes};
use super::statement::STATEMENTS;
use super::takeover;
use super::verdicts::Heard;
use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::plate::{self, Vrm};
use crate::recognise::Read;
use crate::seal::{self, SealKey};

/// Version of the store's layout and its id, lists by id, and why entries were taken off (list and mark: when and why).
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(super) const LISTS: TableDefinition<&str, &[u8]> = TableDefinition::new("lists");
pub(super) const REMOVED: TableDefinition<(&str, &str), (i64, &str)> = TableDefinition::new("removed");

/// The tables of one generation of a list: blocks of entries by their last VRM, the index in chunks, and the entries of
/// each pattern as a block.
pub(super) type Blocks<'a> = TableDefinition<'a, u64, &'static [u8]>;
pub(super) type Chunks<'a> = TableDefinition<'a, u32, &'static [u8]>;
pub(super) type PatternRows<'a> = TableDefinition<'a, &'static str, &'static [u8]>;

const LAYOUT: u64 = 3;
/// Pages of the store that are held in memory; matching does not need them.
const CACHE: usize = 32 << 20;
/// The longest list id.
const LONGEST_ID: usize = 64;

/// Whether an entry still stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The list holds it.
    Listed,
    /// The list does not hold it any more, and why: "recovered".
    Gone(String),
}

/// The lists. May be shared by threads: matching never waits for an import.
pub struct Hotlist {
    pub(super) path: PathBuf,
    pub(super) database: Database,
    pub(super) clock: clock::Shared,
    /// Swapped whole after each change; the lock is held for as long as it takes to copy a pointer.
    snapshot: RwLock<Arc<Snapshot>>,
    /// Held by whoever changes a list, from reading the old revision to swapping the snapshot.
    pub(super) change: Mutex<()>,
    /// Whose revisions are taken.
    pub(super) trusted: RwLock<Vec<VerifyingKey>>,
    /// Tells this store from every other that the unit has had.
    pub(super) id: u64,
    /// The numbers of the statements that the office has stored and that are still kept.
    pub(super) stated: Mutex<BTreeSet<u64>>,
    /// What other crews found; gone when the program ends.
    pub(super) heard: RwLock<Heard>,
}

impl std::fmt::Debug for Hotlist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hotlist({}, {:?})", self.path.display(), self.snapshot())
    }
}

impl Hotlist {
    /// Opens the store at `path`, or makes one, in the clear: an office's, on a disk of its own.
    ///
    /// # Errors
    /// The file cannot be opened or made, is damaged or no such store, or another program has it open.
    pub fn open(path: &Path, clock: clock::Shared) -> Result<Self> {
        let database = builder().create(path).map_err(|error| Fault::database(OPEN, path, error))?;
        Self::over(database, path, clock)
    }

    /// Opens the store at `path`, or makes one, sealed with `key`: a car's. One that lies there in the clear is written anew,
    /// sealed, and overwritten.
    ///
    /// # Errors
    /// As [`Self::open`]; it is sealed under another key.
    pub fn open_sealed(path: &Path, key: &SealKey, clock: clock::Shared) -> Result<Self> {
        let database = seal::database(path, key, &builder()).map_err(|error| Fault::database(OPEN, path, error))?;
        Self::over(database, path, clock)
    }

    /// Opens the store at `path`, sealed with `key`; one that is damaged is moved aside, and an empty one made in its place,
    /// which the office fills again. Gives the fault that was met, to be told.
    ///
    /// # Errors
    /// As [`Self::open_sealed`], but for damage; or the damaged file cannot be moved.
    pub fn open_or_replace(path: &Path, key: &SealKey, clock: clock::Shared) -> Result<(Self, Option<Fault>)> {
        let fault = match Self::open_sealed(path, key, clock.clone()) {
            Ok(hotlist) => return Ok((hotlist, None)),
            Err(fault) if fault.kind() == Kind::Damaged => fault,
            Err(fault) => return Err(fault),
        };
        let begins = "the hotlist was damaged and begins empty";
        if !seal::is_sealed(path) {
            // Whatever can be read in it is not left lying about.
            seal::wipe(path).map_err(|error| Fault::io("cannot take the damaged hotlist away", path, error))?;
            let told = Fault::new(Kind::Damaged, begins)
                .at(path.display())
                .because(fault.to_string())
                .remedy("The office sends its lists again; import others again. It was not sealed, and is overwritten");
            return Ok((Self::open_sealed(path, key, clock)?, Some(told)));
        }
        let mut aside = path.to_owned().into_os_string();
        aside.push(format!(".damaged-{}", clock.utc().format("%Y%m%dT%H%M%S")));
        let aside = PathBuf::from(aside);
        std::fs::rename(path, &aside)
            .map_err(|error| Fault::io("cannot move the damaged hotlist aside", path, error))?;
        let hotlist = Self::open_sealed(path, key, clock)?;
        let told = Fault::new(Kind::Damaged, begins).at(path.display()).because(fault.to_string()).remedy(format!(
            "The office sends its lists again; import others again. The damaged file is {}",
            aside.display()
        ));
        Ok((hotlist, Some(told)))
    }

    /// The store in `database`; `path` is its name, for errors.
    pub(super) fn over(database: Database, path: &Path, clock: clock::Shared) -> Result<Self> {
        let transaction = begin(&database).map_err(|error| Fault::database(OPEN, path, error))?;
        let id = (|| {
            let mut meta = transaction.open_table(META)?;
            let layout = meta.get("layout")?.map(|layout| layout.value());
            if layout.is_none_or(|layout| layout == takeover::LAYOUT) {
                meta.insert("layout", LAYOUT)?;
            }
            let known = meta.get("id")?.map(|id| id.value());
            let id = known.unwrap_or_else(|| fastrand::u64(1..));
            if known.is_none() {
                meta.insert("id", id)?;
            }
            transaction.open_table(LISTS)?;
            transaction.open_table(REMOVED)?;
            transaction.open_table(SILENCED)?;
            transaction.open_table(PRECISION)?;
            transaction.open_table(STATEMENTS)?;
            if layout == Some(takeover::LAYOUT) {
                takeover::lists(&transaction)?;
            }
            Ok::<_, redb::Error>((layout, id))
        })()
        .map_err(|error| Fault::database(OPEN, path, error))
        .and_then(|(layout, id)| match layout {
            None | Some(LAYOUT | takeover::LAYOUT) => Ok(id),
            Some(other) => Err(Fault::new(Kind::Damaged, OPEN)
                .at(path.display())
                .because(format!("it has layout {other}, this program knows {LAYOUT}"))
                .remedy("Use the program that wrote it, or move the file away")),
        })?;
        transaction.commit().map_err(|error| Fault::database(OPEN, path, error))?;
        let hotlist = Self {
            path: path.to_owned(),
            database,
            clock,
            snapshot: RwLock::new(Arc::new(Snapshot::of(Vec::new(), Arc::default(), 0))),
            change: Mutex::default(),
            trusted: RwLock::default(),
            id,
            stated: Mutex::default(),
            heard: RwLock::default(),
        };
        hotlist.refresh(None).map_err(|fault| fault.remedy("Move the file away and import the lists again"))?;
        Ok(hotlist)
    }

    /// Takes revisions that are signed with one of these keys, and no others.
    pub fn trust(&self, keys: Vec<VerifyingKey>) {
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Takes a list away. False if there is none of that id.
    ///
    /// # Errors
    /// The disk fails; the list is then as it was.
    pub fn remove(&self, id: &str) -> Result<bool> {
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(head) = self.head(id) else { return Ok(false) };
        (|| {
            let transaction = begin(&self.database)?;
            transaction.open_table(LISTS)?.remove(id)?;
            delete_tables(&transaction, id, head.generation)?;
            transaction.commit()?;
            Ok::<_, redb::Error>(())
        })()
        .map_err(|error| Fault::database("cannot remove the list", &self.path, error))?;
        self.refresh(Some(id))?;
        Ok(true)
    }

    /// Every list, by id.
    pub fn status(&self) -> Vec<ListHead> {
        self.snapshot().lists.iter().map(|list| ListHead::clone(&list.head)).collect()
    }

    /// Counts the changes of lists and of what was found of their hits since the store was opened: while it stays the same,
    /// so does what a read matches.
    pub fn version(&self) -> u64 {
        self.snapshot().version
    }

    /// Whether `list` still holds the entry `mark` (a white list: still does not). What was listed when an alert was raised may not be any more.
    pub fn standing(&self, list: &str, mark: &str) -> Standing {
        let snapshot = self.snapshot();
        let Some(listed) = snapshot.list(list) else {
            return Standing::Gone("its list was taken away".into());
        };
        let holds = Mark::parse(mark).is_ok_and(|mark| listed.holds(&mark));
        match (holds, listed.head.settings.white) {
            (true, false) | (false, true) => return Standing::Listed,
            (true, true) => return Standing::Gone(format!("now on {}", listed.head.name)),
            (false, false) => {}
        }
        let why = self.database.begin_read().ok().and_then(|transaction| {
            let removed = transaction.open_table(REMOVED).ok()?;
            let key = plate::fold(mark);
            Some(removed.get((list, key.as_str())).ok()??.value().1.to_owned())
        });
        let why = why.filter(|why| !why.is_empty());
        Standing::Gone(
            why.unwrap_or_else(|| format!("taken off {} at revision {}", listed.head.name, listed.head.revision)),
        )
    }

    /// The reasons of the entries that `list` has under `mark`; none where it cannot say.
    pub fn reasons(&self, list: &str, mark: &str) -> Vec<String> {
        let snapshot = self.snapshot();
        let (Some(listed), Ok(mark)) = (snapshot.list(list), Mark::parse(mark)) else { return Vec::new() };
        if listed.head.settings.white {
            return Vec::new();
        }
        let entries = match &mark {
            Mark::Pattern(pattern) => listed.of_pattern(pattern.as_str()).to_vec(),
            Mark::Vrm(vrm) => {
                let entries = Packed::of(vrm.as_str()).and_then(|packed| listed.entries(packed).ok());
                entries.unwrap_or_default().into_iter().flatten().collect()
            }
        };
        let folded = plate::fold(mark.as_str());
        let is_of = |entry: &Entry| plate::fold(entry.vrm.as_str()) == folded;
        entries.into_iter().filter(is_of).map(|entry| entry.reason).collect()
    }

    /// Every entry with this VRM, shared glyphs taken for one, and every pattern that it fits.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn lookup(&self, vrm: &Vrm) -> Result<Vec<(ListHead, Entry)>> {
        let mut found = Vec::new();
        let Some(packed) = Packed::of(vrm.as_str()) else { return Ok(found) };
        for list in &self.snapshot().lists {
            if list.index.holds(packed) {
                let entries = list
                    .entries(packed)
                    .map_err(|error| Fault::database("cannot look the VRM up", &self.path, error))?;
                for entry in entries {
                    let entry = entry.map_err(|why| {
                        Fault::new(Kind::Damaged, "cannot read an entry").at(self.path.display()).because(why)
                    })?;
                    found.push((ListHead::clone(&list.head), entry));
                }
            }
            for number in list.patterns.automaton.matches(vrm.as_str()) {
                for entry in &list.patterns.entries[number as usize] {
                    found.push((ListHead::clone(&list.head), entry.clone()));
                }
            }
        }
        Ok(found)
    }

    /// What `read`, seen at `utc`, means against the lists; see [`Self::match_at`].
    pub fn match_read(&self, read: &Read, utc: DateTime<Utc>) -> Vec<Hit> {
        self.match_at(read, &Circumstances { utc, timed: true, ..Circumstances::default() })
    }

    /// What `read` means against the lists: the most trusted hit first. Never waits for a disk unless it is a hit, and never
    /// for an import; a store that cannot give the entry makes the hit poorer, not silent.
    pub fn match_at(&self, read: &Read, circumstances: &Circumstances) -> Vec<Hit> {
        let mut hits = matching::all(&self.snapshot(), read, circumstances);
        self.weigh(&mut hits, &read.text, circumstances.utc);
        hits
    }

    /// The part of [`Self::match_at`] that needs no probabilities: what the lists hold glyph by glyph.
    pub fn match_exact(&self, read: &Read, circumstances: &Circumstances) -> Vec<Hit> {
        matching::exact(&self.snapshot(), read, circumstances)
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn swap(&self, snapshot: Snapshot) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    pub(super) fn head(&self, id: &str) -> Option<Arc<ListHead>> {
        self.snapshot().list(id).map(|list| list.head.clone())
    }

    /// Makes the snapshot again from the last commit. Only the `changed` list is read again; `None`: all. The others keep
    /// what is in memory, but their entries are read by the new transaction too: the old one would keep every page that was
    /// freed since from being used again.
    pub(super) fn refresh(&self, changed: Option<&str>) -> Result<()> {
        let fault = |error| Fault::database("cannot read the hotlist", &self.path, error);
        let old = self.snapshot();
        let mut lists = Vec::new();
        let transaction = self.database.begin_read().map_err(|error| fault(error.into()))?;
        let mut heads = Vec::new();
        (|| {
            for head in transaction.open_table(LISTS)?.iter()? {
                let (id, head) = head?;
                heads.push((id.value().to_owned(), ListHead::decode(id.value(), head.value())));
            }
            Ok::<_, redb::Error>(())
        })()
        .map_err(fault)?;
        for (id, head) in heads {
            let head = head.map_err(|why| self.damaged(why))?;
            let kept = old.list(&id).filter(|_| changed.is_some_and(|changed| changed != id));
            lists.push(match kept {
                Some(list) => {
                    let names = Names::of(&id, head.generation);
                    let blocks = transaction.open_table(Blocks::new(&names.blocks));
                    let blocks = blocks.map_err(|error| self.unreadable(&id, error.into()))?;
                    Listed { blocks: Arc::new(blocks), head: Arc::new(head), ..list.clone() }
                }
                None => self.load(&transaction, head)?,
            });
        }
        let silenced = Arc::new(Silenced::read(&transaction).map_err(fault)?);
        self.swap(Snapshot::of(lists, silenced, old.version + 1));
        Ok(())
    }

    /// Reads one list: its index and its patterns.
    fn load(&self, transaction: &ReadTransaction, head: ListHead) -> Result<Listed> {
        let fault = |error| self.unreadable(&head.id, error);
        let names = Names::of(&head.id, head.generation);
        let table = |error: TableError| fault(error.into());
        let storage = |error: redb::StorageError| fault(error.into());
        let blocks = transaction.open_table(Blocks::new(&names.blocks)).map_err(table)?;
        let mut vrms = Vec::with_capacity(usize::try_from(head.count).unwrap_or_default().min(1 << 24));
        let chunks = transaction.open_table(Chunks::new(&names.chunks)).map_err(table)?;
        for chunk in chunks.iter().map_err(storage)? {
            let (_, chunk) = chunk.map_err(storage)?;
            Index::read_chunk(chunk.value(), &mut vrms).map_err(|why| self.damaged(why))?;
        }
        let index = Index::of_sorted(vrms);
        let mut patterns = Vec::new();
        let rows = transaction.open_table(PatternRows::new(&names.patterns)).map_err(table)?;
        for row in rows.iter().map_err(storage)? {
            let (_, row) = row.map_err(storage)?;
            let entries: std::result::Result<Vec<Entry>, String> =
                block::entries(Packed(0), row.value()).map(|entry| Entry::decode(entry?.1)).collect();
            patterns.push(entries.map_err(|why| self.damaged(why))?);
        }
        Ok(Listed {
            classes: Arc::new(classes(&index)),
            index: Arc::new(index),
            patterns: Arc::new(Patterns::of(patterns)),
            blocks: Arc::new(blocks),
            head: Arc::new(head),
        })
    }

    /// The folder that the store lies in.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn unreadable(&self, id: &str, error: redb::Error) -> Fault {
        match error {
            redb::Error::TableDoesNotExist(_) => self.damaged(format!("the entries of list {id} are missing")),
            other => Fault::database("cannot read the hotlist", &self.path, other),
        }
    }

    pub(super) fn damaged(&self, why: String) -> Fault {
        Fault::new(Kind::Damaged, "cannot read the hotlist").at(self.path.display()).because(why)
    }
}

/// The store's file in a car's data folder.
pub const FILE: &str = "hotlist.redb";
const OPEN: &str = "cannot open the hotlist";

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

/// A write transaction after which a power cut costs no scan of the file.
pub(super) fn begin(database: &Database) -> std::result::Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// The names of the tables of one generation of a list.
pub(super) struct Names {
    pub(super) blocks: String,
    pub(super) chunks: String,
    pub(super) patterns: String,
}

impl Names {
    pub(super) fn of(id: &str, generation: u64) -> Self {
        let name = |what| format!("{what}.{generation}.{id}");
        Self { blocks: name("blocks"), chunks: name("index"), patterns: name("patterns") }
    }
}

pub(super) fn delete_tables(
    transaction: &WriteTransaction,
    id: &str,
    generation: u64,
) -> std::result::Result<(), redb::Error> {
    let names = Names::of(id, generation);
    transaction.delete_table(Blocks::new(&names.blocks))?;
    transaction.delete_table(Chunks::new(&names.chunks))?;
    transaction.delete_table(PatternRows::new(&names.patterns))?;
    Ok(())
}

pub(super) fn check_id(id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(allowed) {
        return Err(Fault::new(Kind::Usage, format!("{id:?} cannot be a list's id"))
            .remedy(format!("Use 1 to {LONGEST_ID} letters, digits, hyphens, dots and underscores")));
    }
    Ok(())
}
