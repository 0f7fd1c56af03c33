//! The lists on disk, and the snapshot of them that matching uses.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use prost::Message;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::Serialize;

use super::entry::{Entry, Priority};
use super::index::{Index, Packed};
use super::matching::Hit;
use super::revision::{self, Keyed, RevisionHead};
use super::sheet::{Remark, Sheet};
use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::plate::Vrm;
use crate::recognise::Read;

/// Version of the store's layout, lists by id, and the entries of one generation of a list.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const LISTS: TableDefinition<&str, &[u8]> = TableDefinition::new("lists");
type Entries<'a> = TableDefinition<'a, (u64, u32), &'static [u8]>;

const LAYOUT: u64 = 1;
/// Pages of the store that are held in memory; matching does not need them.
const CACHE: usize = 32 << 20;
/// The largest CSV file, bytes.
const LARGEST: u64 = 2 << 30;
/// The longest list id.
const LONGEST_ID: usize = 64;

/// What is known of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListHead {
    /// Names it for good: "pnc".
    pub id: String,
    /// For people.
    pub name: String,
    /// Grows with every change.
    pub revision: u64,
    /// When its source made it; when it was received, where that is not said.
    pub produced: DateTime<Utc>,
    /// When it came into this store.
    pub received: DateTime<Utc>,
    /// How many entries it has.
    pub count: u64,
    /// The priority of entries that name none.
    pub priority: Priority,
    /// SHA-256 of its revision's bytes.
    #[serde(skip)]
    pub(super) hash: [u8; 32],
    #[serde(skip)]
    generation: u64,
}

impl ListHead {
    /// Time since the list was produced; zero if that lies ahead of `utc`.
    pub fn age(&self, utc: DateTime<Utc>) -> Duration {
        (utc - self.produced).to_std().unwrap_or_default()
    }
}

/// A head as it is stored: a version byte, then this. A number is never used again for something else.
#[derive(Clone, PartialEq, Message)]
struct StoredHead {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(int64, tag = "3")]
    produced: i64,
    #[prost(int64, tag = "4")]
    received: i64,
    #[prost(uint64, tag = "5")]
    count: u64,
    #[prost(uint32, tag = "6")]
    priority: u32,
    #[prost(bytes = "vec", tag = "7")]
    hash: Vec<u8>,
    #[prost(uint64, tag = "8")]
    generation: u64,
}

const HEAD_VERSION: u8 = 1;

/// How a file is to be imported.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// The list's name for people; default: as it was, or its id.
    pub name: Option<String>,
    /// The priority of entries that name none; default: as it was, or medium.
    pub priority: Option<Priority>,
    /// When the file was made; default: now.
    pub produced: Option<DateTime<Utc>>,
    /// Its revision; default: one more than is held.
    pub revision: Option<u64>,
    /// Only report, change nothing.
    pub dry_run: bool,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many entries the list has now (or would have).
    pub accepted: u64,
    /// How many lines said exactly what another line said.
    pub repeated: u64,
    /// Lines that count, of which something could not be used.
    pub corrected: Vec<Remark>,
    /// Lines that do not count.
    pub refused: Vec<Remark>,
    /// The list's revision now (or then).
    pub revision: u64,
    /// Whether it was a trial that changed nothing.
    pub dry_run: bool,
}

/// What came of a revision that was handed down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The list is replaced.
    Replaced {
        /// Which list.
        list: String,
        /// The revision it has now.
        revision: u64,
        /// How many entries that has.
        count: u64,
    },
    /// The same revision was held already.
    Held {
        /// Which list.
        list: String,
        /// The revision.
        revision: u64,
    },
}

/// The lists. May be shared by threads: matching never waits for an import.
#[derive(Debug)]
pub struct Hotlist {
    path: PathBuf,
    database: Database,
    clock: Hidden,
    /// Swapped whole after each change; the lock is held for as long as it takes to copy a pointer.
    snapshot: RwLock<Arc<Snapshot>>,
    /// Held by whoever changes a list, from reading the old revision to swapping the snapshot.
    change: Mutex<()>,
}

struct Hidden(clock::Shared);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("clock")
    }
}

/// All lists as of one commit. VRMs are in memory, so that a read that is not listed costs no disk; entries are read
/// by a transaction that stays open for as long as the snapshot lives, so neither a writer nor its fsync is in
/// the way, and what the index promises is there.
#[derive(Default)]
struct Snapshot {
    lists: Vec<Listed>,
}

struct Listed {
    head: Arc<ListHead>,
    index: Arc<Index>,
    entries: ReadOnlyTable<(u64, u32), &'static [u8]>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({} lists)", self.lists.len())
    }
}

impl Hotlist {
    /// Opens the store at `path`, or makes one.
    ///
    /// # Errors
    /// The file cannot be opened or made, is damaged or no such store, or another program has it open.
    pub fn open(path: &Path, clock: clock::Shared) -> Result<Self> {
        let what = "cannot open the hotlist";
        let database = Database::builder()
            .set_cache_size(CACHE)
            .create(path)
            .map_err(|error| Fault::database(what, path, error))?;
        let transaction = begin(&database).map_err(|error| Fault::database(what, path, error))?;
        (|| {
            let mut meta = transaction.open_table(META)?;
            let layout = meta.get("layout")?.map(|layout| layout.value());
            if layout.is_none() {
                meta.insert("layout", LAYOUT)?;
            }
            transaction.open_table(LISTS)?;
            Ok::<_, redb::Error>(layout)
        })()
        .map_err(|error| Fault::database(what, path, error))
        .and_then(|layout| match layout {
            None | Some(LAYOUT) => Ok(()),
            Some(other) => Err(Fault::new(Kind::Damaged, what)
                .at(path.display())
                .because(format!("it has layout {other}, this program knows {LAYOUT}"))
                .remedy("Use the program that wrote it, or move the file away")),
        })?;
        transaction.commit().map_err(|error| Fault::database(what, path, error))?;
        let hotlist = Self {
            path: path.to_owned(),
            database,
            clock: Hidden(clock),
            snapshot: RwLock::default(),
            change: Mutex::default(),
        };
        hotlist.refresh(None).map_err(|fault| fault.remedy("Move the file away and import the lists again"))?;
        Ok(hotlist)
    }

    /// Replaces the list `id` by what the CSV in `reader` says. `file` is its name, for errors.
    ///
    /// # Errors
    /// Nothing in it can be used, or the disk fails. The list is then as it was.
    pub fn import(
        &self,
        id: &str,
        mut reader: impl std::io::Read,
        file: &Path,
        options: &ImportOptions,
    ) -> Result<Report> {
        let what = "cannot import the list";
        check_id(id)?;
        let remedy = "Name a CSV file with a header that has a column \"vrm\", or one of the 16-column layout";
        let mut bytes = Vec::new();
        reader.by_ref().take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| Fault::io(what, file, error))?;
        let damaged = |why: String| Fault::new(Kind::Damaged, what).at(file.display()).because(why).remedy(remedy);
        if bytes.len() as u64 > LARGEST {
            return Err(damaged(format!("it has more than {LARGEST} bytes")));
        }
        let changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.head(id);
        let priority = options.priority.or(old.as_ref().map(|head| head.priority)).unwrap_or_default();
        let sheet = Sheet::read(&bytes, priority).map_err(damaged)?;
        drop(bytes);
        if sheet.entries.is_empty() {
            return Err(damaged(match sheet.refused.first() {
                Some(first) => format!(
                    "none of its {} lines can be used; line {}: {}",
                    sheet.refused.len(),
                    first.line,
                    first.reason
                ),
                None => "it has a header and no lines".into(),
            }));
        }
        let held = old.as_ref().map_or(0, |head| head.revision);
        let revision = options.revision.unwrap_or(held + 1);
        if revision <= held {
            return Err(Fault::new(Kind::Usage, what)
                .at(file.display())
                .because(format!("its revision {revision} is not newer than {held}, which is held")));
        }
        let lines = sheet.entries.len();
        let mut entries: Vec<Keyed> =
            sheet.entries.iter().filter_map(|entry| Some((Packed::of(entry.vrm.as_str())?, entry.encode()))).collect();
        entries.sort();
        entries.dedup();
        let now = self.clock.0.utc();
        let head = RevisionHead {
            id: id.to_owned(),
            name: options.name.clone().or(old.map(|head| head.name.clone())).unwrap_or_else(|| id.to_owned()),
            revision,
            produced: options.produced.unwrap_or(now),
            priority,
            count: entries.len() as u64,
        };
        if !options.dry_run {
            let hash = hash(&head, &entries);
            self.replace(&head, hash, &entries)?;
        }
        drop(changing);
        Ok(Report {
            accepted: entries.len() as u64,
            repeated: (lines - entries.len()) as u64,
            corrected: sheet.corrected,
            refused: sheet.refused,
            revision,
            dry_run: options.dry_run,
        })
    }

    /// Replaces a list by a revision that [`Self::export_revision`] gave.
    ///
    /// # Errors
    /// The bytes are damaged, not a revision, older than what is held, or another list under the same number; or the
    /// disk fails. The list is then as it was.
    pub fn apply(&self, bytes: &[u8]) -> Result<Applied> {
        let what = "cannot use the list's revision";
        let (head, entries) = revision::decode(bytes)
            .map_err(|why| Fault::new(Kind::Damaged, what).because(why).remedy("Have it sent again"))?;
        check_id(&head.id)?;
        let hash = revision::hash_of(bytes).unwrap_or_default();
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = self.head(&head.id) {
            if held.revision == head.revision && held.hash == hash {
                return Ok(Applied::Held { list: head.id, revision: head.revision });
            }
            if held.revision >= head.revision {
                return Err(Fault::new(Kind::Denied, what).at(&head.id).because(format!(
                    "revision {} is not newer than {}, which is held",
                    head.revision, held.revision
                )));
            }
        }
        self.replace(&head, hash, &entries)?;
        Ok(Applied::Replaced { list: head.id, revision: head.revision, count: head.count })
    }

    /// The bytes of a list's revision: what the back office hands down.
    ///
    /// # Errors
    /// There is no such list, or the store cannot be read.
    pub fn export_revision(&self, id: &str) -> Result<Vec<u8>> {
        let what = "cannot export the list";
        let snapshot = self.snapshot();
        let Some(list) = snapshot.lists.iter().find(|list| list.head.id == id) else {
            return Err(Fault::new(Kind::Missing, what).at(id).because("there is no such list"));
        };
        let head = RevisionHead {
            id: list.head.id.clone(),
            name: list.head.name.clone(),
            revision: list.head.revision,
            produced: list.head.produced,
            priority: list.head.priority,
            count: list.head.count,
        };
        let fault = |error| Fault::database(what, &self.path, error);
        let entries = list.entries.iter().map_err(fault)?;
        revision::encode(&head, entries.map(|entry| entry.map(|(_, value)| value.value().to_vec()))).map_err(fault)
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
            transaction.delete_table(TableDefinition::<(u64, u32), &[u8]>::new(&table(id, head.generation)))?;
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

    /// Every entry with this VRM, shared glyphs taken for one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn lookup(&self, vrm: &Vrm) -> Result<Vec<(ListHead, Entry)>> {
        let mut found = Vec::new();
        let Some(packed) = Packed::of(vrm.as_str()) else { return Ok(found) };
        for list in self.snapshot().lists.iter().filter(|list| list.index.holds(packed)) {
            for entry in
                list.entries(packed).map_err(|error| Fault::database("cannot look the VRM up", &self.path, error))?
            {
                let entry = entry.map_err(|why| {
                    Fault::new(Kind::Damaged, "cannot read an entry").at(self.path.display()).because(why)
                })?;
                found.push((ListHead::clone(&list.head), entry));
            }
        }
        Ok(found)
    }

    /// What `read`, seen at `utc`, means against the lists: the most urgent first. Never waits for a disk unless it is a
    /// hit, and never for an import; a store that cannot give the entry makes the hit poorer, not silent.
    pub fn match_read(&self, read: &Read, utc: DateTime<Utc>) -> Vec<Hit> {
        let mut hits = Vec::new();
        let Some(packed) = Packed::of(&read.text) else { return hits };
        for list in self.snapshot().lists.iter().filter(|list| list.index.holds(packed)) {
            let bare = || Vrm::parse(&read.text).map(Entry::bare);
            let entries = list.entries(packed).unwrap_or_else(|_| vec![Err(String::new())]);
            for entry in entries {
                let entry = match entry {
                    Ok(entry) => Some(entry),
                    Err(_) => None,
                };
                let Some(entry_or_bare) = entry.clone().or_else(|| bare().ok()) else { continue };
                hits.push(Hit::exact(list.head.clone(), entry, || entry_or_bare, read.confidence, utc));
            }
        }
        hits.sort_by_key(|hit| (hit.against.len(), std::cmp::Reverse(hit.entry.priority)));
        hits
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn head(&self, id: &str) -> Option<Arc<ListHead>> {
        self.snapshot().lists.iter().find(|list| list.head.id == id).map(|list| list.head.clone())
    }

    /// Puts a whole list in the place of what was there, in one transaction: the new generation is written beside the
    /// old one, then the head points to it.
    fn replace(&self, head: &RevisionHead, hash: [u8; 32], entries: &[Keyed]) -> Result<()> {
        let old = self.head(&head.id);
        let generation = old.as_ref().map_or(0, |head| head.generation) + 1;
        (|| {
            let transaction = begin(&self.database)?;
            {
                let name = table(&head.id, generation);
                let mut written = transaction.open_table(Entries::new(&name))?;
                let (mut last, mut number) = (None, 0);
                for (packed, bytes) in entries {
                    number = if last == Some(packed) { number + 1 } else { 0 };
                    last = Some(packed);
                    written.insert((packed.0, number), &bytes[..])?;
                }
                let stored = StoredHead {
                    name: head.name.clone(),
                    revision: head.revision,
                    produced: head.produced.timestamp(),
                    received: self.clock.0.utc().timestamp(),
                    count: head.count,
                    priority: head.priority.number(),
                    hash: hash.to_vec(),
                    generation,
                };
                let mut bytes = vec![HEAD_VERSION];
                stored.encode_raw(&mut bytes);
                transaction.open_table(LISTS)?.insert(head.id.as_str(), &bytes[..])?;
            }
            if let Some(old) = &old {
                transaction.delete_table(Entries::new(&table(&head.id, old.generation)))?;
            }
            transaction.commit()?;
            Ok::<_, redb::Error>(())
        })()
        .map_err(|error| Fault::database("cannot store the list", &self.path, error))?;
        self.refresh(Some(&head.id))
    }

    /// Makes the snapshot again from the last commit. Only the index of the `changed` list is read again; `None`: all.
    fn refresh(&self, changed: Option<&str>) -> Result<()> {
        let what = "cannot read the hotlist";
        let old = self.snapshot();
        let mut lists = Vec::new();
        (|| {
            let transaction = self.database.begin_read()?;
            for head in transaction.open_table(LISTS)?.iter()? {
                let (id, head) = head?;
                lists.push((id.value().to_owned(), decode_head(id.value(), head.value())));
            }
            Ok::<_, redb::Error>(transaction)
        })()
        .map_err(|error| Fault::database(what, &self.path, error))
        .and_then(|transaction| {
            let mut fresh = Snapshot::default();
            for (id, head) in lists {
                let damaged = |why: String| Fault::new(Kind::Damaged, what).at(self.path.display()).because(why);
                let head = head.map_err(damaged)?;
                let entries =
                    transaction.open_table(Entries::new(&table(&id, head.generation))).map_err(
                        |error| match error {
                            TableError::TableDoesNotExist(_) => {
                                damaged(format!("the entries of list {id} are missing"))
                            }
                            other => Fault::database(what, &self.path, other),
                        },
                    )?;
                let kept =
                    old.lists.iter().find(|list| list.head.id == id && changed.is_some_and(|changed| changed != id));
                let index = match kept {
                    Some(list) => list.index.clone(),
                    None => {
                        let mut vrms = Vec::with_capacity(usize::try_from(head.count).unwrap_or_default().min(1 << 24));
                        for entry in entries.iter().map_err(|error| Fault::database(what, &self.path, error))? {
                            let (key, _) = entry.map_err(|error| Fault::database(what, &self.path, error))?;
                            vrms.push(Packed(key.value().0));
                        }
                        Arc::new(Index::of_sorted(vrms))
                    }
                };
                fresh.lists.push(Listed { head: Arc::new(head), index, entries });
            }
            *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
            Ok(())
        })
    }
}

impl Listed {
    /// The entries with this VRM, each or why it cannot be read.
    fn entries(&self, packed: Packed) -> Result<Vec<Result<Entry, String>>, redb::StorageError> {
        self.entries
            .range((packed.0, 0)..=(packed.0, u32::MAX))?
            .map(|entry| Ok(Entry::decode(entry?.1.value())))
            .collect()
    }
}

/// A write transaction after which a power cut costs no scan of the file.
fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

fn table(id: &str, generation: u64) -> String {
    format!("entries.{generation}.{id}")
}

fn hash(head: &RevisionHead, entries: &[Keyed]) -> [u8; 32] {
    let Ok(bytes) =
        revision::encode::<std::convert::Infallible>(head, entries.iter().map(|(_, bytes)| Ok(bytes.clone())));
    revision::hash_of(&bytes).unwrap_or_default()
}

fn decode_head(id: &str, bytes: &[u8]) -> Result<ListHead, String> {
    let stored = match bytes {
        [HEAD_VERSION, rest @ ..] => StoredHead::decode(rest).map_err(|error| error.to_string())?,
        _ => return Err(format!("the head of list {id} is of another version")),
    };
    let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or("a date of a list is none");
    Ok(ListHead {
        id: id.to_owned(),
        name: stored.name,
        revision: stored.revision,
        produced: time(stored.produced)?,
        received: time(stored.received)?,
        count: stored.count,
        priority: Priority::from_number(stored.priority).ok_or("a list's priority is none")?,
        hash: stored.hash.try_into().unwrap_or_default(),
        generation: stored.generation,
    })
}

fn check_id(id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(allowed) {
        return Err(Fault::new(Kind::Usage, format!("{id:?} cannot be a list's id"))
            .remedy(format!("Use 1 to {LONGEST_ID} letters, digits, hyphens, dots and underscores")));
    }
    Ok(())
}
