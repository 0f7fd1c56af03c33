//! What the office keeps: what cars sent, by unit and key, and the lists that cars are offered.
//!
//! [`Store`] is the seam at which another database can take the place of the embedded one.

use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::session::{ListInfo, StoredPiece};
use crate::fault::{Fault, Result};
use crate::sync::wire::{Item, Kind, PIECE};

/// Things that one unit sent.
#[derive(Debug)]
pub struct Received {
    /// Whose certificate it was.
    pub unit: String,
    /// What it sent.
    pub items: Vec<Item>,
}

/// What became of things that one unit sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// New ones, stored.
    pub stored: u64,
    /// Ones that were there already, and were not stored a second time.
    pub duplicates: u64,
    /// Ones of which another content was there already under the same key: stored beside it.
    pub conflicts: u64,
}

/// One thing as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Whose it is.
    pub unit: String,
    /// Its key.
    pub key: Vec<u8>,
    /// When it arrived.
    pub received: DateTime<Utc>,
    /// Its place among those of its kind, in the order in which they came: greater with each commit, and never less than the
    /// milliseconds from 1970 to its arrival.
    pub number: u64,
    /// What was sent.
    pub payload: Vec<u8>,
}

/// What came at `instant` or later has a greater number.
pub(crate) fn number_before(instant: DateTime<Utc>) -> u64 {
    milliseconds(instant).saturating_sub(1)
}

/// The kinds that [`Store::arrived`] gives: what is told on.
pub(crate) const TOLD_ON: [Kind; 2] = [Kind::Statement, Kind::Head];

/// How much of a unit's is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitCounts {
    /// Hits, each once.
    pub hits: u64,
    /// Reads, each once.
    pub reads: u64,
    /// Pictures, each once.
    pub pictures: u64,
    /// What the crew made known, each thing once.
    pub statements: u64,
    /// Heads of the audit chain, each once.
    pub heads: u64,
    /// Arrivals of something that was stored already.
    pub duplicates: u64,
    /// Arrivals of another content under a key that was stored already.
    pub conflicts: u64,
    /// When something new was last stored.
    pub last: Option<DateTime<Utc>>,
}

/// What the office keeps. Calls block; what a call has stored is durable when it returns.
pub trait Store: Send + Sync {
    /// Stores what is new, all in one commit.
    fn put(&self, received: &[Received], at: DateTime<Utc>) -> Result<Vec<Outcome>>;
    /// How much of each unit's is stored.
    fn count_by_unit(&self) -> Result<BTreeMap<String, UnitCounts>>;
    /// The keys of one unit's things of one kind, in order.
    fn keys(&self, unit: &str, kind: Kind) -> Result<Vec<Vec<u8>>>;
    /// The payload of one thing.
    fn get(&self, unit: &str, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Other contents that came under the key of one thing after it: a car frees what is acknowledged, so nothing that
    /// arrives is thrown away.
    fn beside(&self, unit: &str, kind: Kind, key: &[u8]) -> Result<Vec<Vec<u8>>>;
    /// What crews made known, or the heads of their cars' audit chains, of a number above `after`, in the order in which it
    /// came. It costs what it gives, however much is stored.
    fn arrived(&self, kind: Kind, after: u64) -> Result<Vec<Stored>>;
    /// Stores a revision of a list, which `bytes` gives, in place of the one before.
    fn put_list(&self, list: &str, revision: u64, bytes: &mut dyn Read) -> Result<ListInfo>;
    /// Stores what leads from revision `base` of a list to `revision`; of older changes the last few dozen are kept.
    fn put_change(&self, list: &str, revision: u64, base: u64, bytes: &mut dyn Read) -> Result<ListInfo>;
    /// The newest revision of each list, and the changes that are kept.
    fn lists(&self) -> Result<Vec<ListInfo>>;
    /// A piece of a revision, or of what leads to it from `base` (0: the whole list); `None` if it is not there (any more).
    /// At most [`PIECE`] bytes, and up to the next whole piece.
    fn list_piece(&self, list: &str, revision: u64, base: u64, offset: u64) -> Result<Option<StoredPiece>>;
}

type Pieces = TableDefinition<'static, (&'static str, u64, u64), (u32, &'static [u8])>;
type PlainPieces = TableDefinition<'static, (&'static str, u64, u64), &'static [u8]>;
type Things = TableDefinition<'static, (&'static str, &'static [u8]), &'static [u8]>;

type Beside = (&'static str, u8, &'static [u8], &'static [u8]);
type Arrival = (u8, u64, &'static str, &'static [u8]);

const HITS: Things = TableDefinition::new("hits");
const READS: Things = TableDefinition::new("reads");
const PICTURES: Things = TableDefinition::new("pictures");
const STATEMENTS: Things = TableDefinition::new("statements");
const HEADS: Things = TableDefinition::new("heads");
/// Unit, kind, key, SHA-256 of the payload: what came under a key that had another content already.
const BESIDE: TableDefinition<Beside, &[u8]> = TableDefinition::new("beside");
/// Kind, number, unit, key, of the kinds that are told on.
const ARRIVALS: TableDefinition<Arrival, ()> = TableDefinition::new("arrivals");
const UNITS: TableDefinition<&str, &[u8]> = TableDefinition::new("units");
const LISTS: TableDefinition<&str, &[u8]> = TableDefinition::new("lists");
/// List, revision, number: how long the piece is unpacked (0: it is not packed), and its bytes.
const PIECES: Pieces = TableDefinition::new("packed list pieces");
/// The same for changes, by list and the revision that they go on from.
const CHANGES: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("changes");
const CHANGE_PIECES: Pieces = TableDefinition::new("packed change pieces");
/// The pieces of an earlier program, none of them packed.
const PLAIN: [PlainPieces; 2] = [TableDefinition::new("list pieces"), TableDefinition::new("change pieces")];

/// Changes of a list that are kept: a car that missed more gets the whole list.
const CHANGES_KEPT: usize = 48;

/// Each thing is kept as: this version byte, the time of arrival (milliseconds since 1970, big-endian), the payload.
const VERSION: u8 = 1;
const HEADER: usize = 9;
/// Memory for database pages, bytes.
const CACHE: usize = 64 << 20;

/// The embedded store: one redb file, which only one process can open at a time.
pub struct RedbStore {
    path: PathBuf,
    /// Closed after a failure, and opened again by the next call: redb refuses further work after an I/O error.
    database: Mutex<Option<Arc<Database>>>,
}

impl RedbStore {
    /// Opens the store, or makes it.
    pub fn open(path: &Path) -> Result<Self> {
        let store = Self { path: path.to_owned(), database: Mutex::new(None) };
        store.database()?;
        Ok(store)
    }

    fn database(&self) -> Result<Arc<Database>> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*database {
            return Ok(Arc::clone(database));
        }
        let opened =
            Database::builder().set_cache_size(CACHE).create(&self.path).map_err(|error| self.broken(error))?;
        // Tables are there from the start, so that reading never finds one missing.
        let made = begin(&opened).and_then(|transaction| {
            for table in Kind::ALL.map(table) {
                transaction.open_table(table)?;
            }
            transaction.open_table(BESIDE)?;
            transaction.open_table(UNITS)?;
            transaction.open_table(LISTS)?;
            transaction.open_table(PIECES)?;
            transaction.open_table(CHANGES)?;
            transaction.open_table(CHANGE_PIECES)?;
            for (plain, packed) in PLAIN.into_iter().zip([PIECES, CHANGE_PIECES]) {
                take_over(&transaction, plain, packed)?;
            }
            number_what_came(&transaction)?;
            Ok(transaction.commit()?)
        });
        made.map_err(|error| self.broken(error))?;
        Ok(Arc::clone(database.insert(Arc::new(opened))))
    }

    /// Runs `work`; after a failure, the file is opened anew for the next.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T> {
        let database = self.database()?;
        work(&database).map_err(|error| {
            *self.database.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.broken(error)
        })
    }

    fn packed(&self, bytes: &mut dyn Read) -> Result<Packed> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Packed::of(folder, bytes).map_err(|error| Fault::io("cannot pack the list", folder, error))
    }

    fn broken(&self, error: impl Into<redb::Error>) -> Fault {
        Fault::database("the office's store does not work", &self.path, error)
    }
}

impl Store for RedbStore {
    fn put(&self, received: &[Received], at: DateTime<Utc>) -> Result<Vec<Outcome>> {
        self.with(|database| {
            let transaction = begin(database)?;
            let mut outcomes = Vec::with_capacity(received.len());
            {
                let mut tables = Vec::new();
                for kind in Kind::ALL {
                    tables.push(transaction.open_table(table(kind))?);
                }
                let mut beside = transaction.open_table(BESIDE)?;
                let mut arrivals = transaction.open_table(ARRIVALS)?;
                let mut numbers = BTreeMap::new();
                let mut units = transaction.open_table(UNITS)?;
                for Received { unit, items } in received {
                    let mut counts: UnitCounts =
                        decoded(units.get(unit.as_str())?.map(|value| value.value().to_vec()))?;
                    let mut outcome = Outcome::default();
                    for item in items {
                        let things = &mut tables[item.kind as usize];
                        let id = (unit.as_str(), item.key.as_slice());
                        let there = things.get(id)?.map(|value| value.value().get(HEADER..) == Some(&item.payload[..]));
                        match there {
                            Some(true) => outcome.duplicates += 1,
                            Some(false) => {
                                let digest = Sha256::digest(&item.payload);
                                let id = (unit.as_str(), item.kind as u8, item.key.as_slice(), &digest[..]);
                                if beside.get(id)?.is_some() {
                                    outcome.duplicates += 1;
                                } else {
                                    beside.insert(id, kept(at, &item.payload).as_slice())?;
                                    outcome.conflicts += 1;
                                }
                            }
                            None => {
                                things.insert(id, kept(at, &item.payload).as_slice())?;
                                outcome.stored += 1;
                                if TOLD_ON.contains(&item.kind) {
                                    let kind = item.kind as u8;
                                    let number = match numbers.get(&kind) {
                                        Some(number) => *number,
                                        None => next_number(&arrivals, kind, at)?,
                                    };
                                    numbers.insert(kind, number);
                                    arrivals.insert((kind, number, id.0, id.1), ())?;
                                }
                                match item.kind {
                                    Kind::Hit => counts.hits += 1,
                                    Kind::Read => counts.reads += 1,
                                    Kind::Picture => counts.pictures += 1,
                                    Kind::Statement => counts.statements += 1,
                                    Kind::Head => counts.heads += 1,
                                }
                                counts.last = Some(at);
                            }
                        }
                    }
                    counts.duplicates += outcome.duplicates;
                    counts.conflicts += outcome.conflicts;
                    units.insert(unit.as_str(), encoded(&counts)?.as_slice())?;
                    outcomes.push(outcome);
                }
            }
            transaction.commit()?;
            Ok(outcomes)
        })
    }

    fn count_by_unit(&self) -> Result<BTreeMap<String, UnitCounts>> {
        self.with(|database| {
            let units = database.begin_read()?.open_table(UNITS)?;
            let mut counts = BTreeMap::new();
            for unit in units.iter()? {
                let (unit, value) = unit?;
                counts.insert(unit.value().to_owned(), decoded(Some(value.value().to_vec()))?);
            }
            Ok(counts)
        })
    }

    fn keys(&self, unit: &str, kind: Kind) -> Result<Vec<Vec<u8>>> {
        self.with(|database| {
            let things = database.begin_read()?.open_table(table(kind))?;
            let mut keys = Vec::new();
            for thing in things.range((unit, &[][..])..)? {
                let (id, _) = thing?;
                let (owner, key) = id.value();
                if owner != unit {
                    break;
                }
                keys.push(key.to_vec());
            }
            Ok(keys)
        })
    }

    fn get(&self, unit: &str, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.with(|database| {
            let things = database.begin_read()?.open_table(table(kind))?;
            let value = things.get((unit, key))?;
            Ok(value.and_then(|value| value.value().get(HEADER..).map(<[u8]>::to_vec)))
        })
    }

    fn beside(&self, unit: &str, kind: Kind, key: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.with(|database| {
            let beside = database.begin_read()?.open_table(BESIDE)?;
            let mut payloads = Vec::new();
            for thing in beside.range((unit, kind as u8, key, &[][..])..=(unit, kind as u8, key, &[0xff; 32][..]))? {
                payloads.extend(thing?.1.value().get(HEADER..).map(<[u8]>::to_vec));
            }
            Ok(payloads)
        })
    }

    fn arrived(&self, kind: Kind, after: u64) -> Result<Vec<Stored>> {
        debug_assert!(TOLD_ON.contains(&kind), "{kind:?} is not numbered");
        self.with(|database| {
            let transaction = database.begin_read()?;
            let things = transaction.open_table(table(kind))?;
            let mut found = Vec::new();
            for arrival in transaction.open_table(ARRIVALS)?.range(arrivals_of(kind as u8, after.saturating_add(1)))? {
                let arrival = arrival?.0;
                let (_, number, unit, key) = arrival.value();
                let Some(value) = things.get((unit, key))? else { continue };
                let Some((received, payload)) = received(value.value()) else { continue };
                let (unit, key, payload) = (unit.to_owned(), key.to_vec(), payload.to_vec());
                found.push(Stored { unit, key, received, number, payload });
            }
            Ok(found)
        })
    }

    fn put_list(&self, list: &str, revision: u64, bytes: &mut dyn Read) -> Result<ListInfo> {
        let mut packed = self.packed(bytes)?;
        self.with(|database| {
            let transaction = begin(database)?;
            let info = {
                let mut pieces = transaction.open_table(PIECES)?;
                pieces.retain_in((list, 0, 0)..=(list, u64::MAX, u64::MAX), |_, _| false)?;
                packed.each(|index, piece| {
                    Ok(_ = pieces.insert((list, revision, index), (piece.unpacked, &piece.bytes[..]))?)
                })?;
                let (size, sha256) = (packed.size, packed.sha256);
                let info = ListInfo { list: list.to_owned(), revision, base: 0, size, sha256 };
                transaction.open_table(LISTS)?.insert(list, encoded(&StoredList::from(&info))?.as_slice())?;
                info
            };
            transaction.commit()?;
            Ok(info)
        })
    }

    fn put_change(&self, list: &str, revision: u64, base: u64, bytes: &mut dyn Read) -> Result<ListInfo> {
        let mut packed = self.packed(bytes)?;
        self.with(|database| {
            let transaction = begin(database)?;
            let info = {
                let mut changes = transaction.open_table(CHANGES)?;
                let mut pieces = transaction.open_table(CHANGE_PIECES)?;
                pieces.retain_in((list, base, 0)..=(list, base, u64::MAX), |_, _| false)?;
                packed.each(|index, piece| {
                    Ok(_ = pieces.insert((list, base, index), (piece.unpacked, &piece.bytes[..]))?)
                })?;
                let (size, sha256) = (packed.size, packed.sha256);
                let info = ListInfo { list: list.to_owned(), revision, base, size, sha256 };
                changes.insert((list, base), encoded(&StoredList::from(&info))?.as_slice())?;
                // Revisions grow, so that the oldest changes are the first.
                let kept: Vec<u64> = changes
                    .range((list, 0)..=(list, u64::MAX))?
                    .map(|change| Ok(change?.0.value().1))
                    .collect::<Result<_, redb::Error>>()?;
                for old in &kept[..kept.len().saturating_sub(CHANGES_KEPT)] {
                    changes.remove((list, *old))?;
                    pieces.retain_in((list, *old, 0)..=(list, *old, u64::MAX), |_, _| false)?;
                }
                info
            };
            transaction.commit()?;
            Ok(info)
        })
    }

    fn lists(&self) -> Result<Vec<ListInfo>> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let lists = transaction.open_table(LISTS)?;
            let mut infos = Vec::new();
            for list in lists.iter()? {
                let (list, value) = list?;
                let stored: StoredList = decoded(Some(value.value().to_vec()))?;
                infos.push(stored.info(list.value(), 0));
            }
            for change in transaction.open_table(CHANGES)?.iter()? {
                let (key, value) = change?;
                let stored: StoredList = decoded(Some(value.value().to_vec()))?;
                let (list, base) = key.value();
                infos.push(stored.info(list, base));
            }
            Ok(infos)
        })
    }

    fn list_piece(&self, list: &str, revision: u64, base: u64, offset: u64) -> Result<Option<StoredPiece>> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let (index, within) = (offset / PIECE as u64, (offset % PIECE as u64) as usize);
            let piece = match base {
                0 => transaction.open_table(PIECES)?.get((list, revision, index))?,
                _ => transaction.open_table(CHANGE_PIECES)?.get((list, base, index))?,
            };
            let Some(piece) = piece else { return Ok(None) };
            let (unpacked, bytes) = piece.value();
            let piece = StoredPiece { bytes: bytes.to_vec(), unpacked };
            if within == 0 {
                return Ok(Some(piece));
            }
            // A car of another program may have come to the middle of a piece.
            let plain =
                piece.plain().ok_or_else(|| redb::Error::Corrupted("a piece of a list cannot be unpacked".into()))?;
            Ok(plain.get(within..).map(|rest| StoredPiece { bytes: rest.to_vec(), unpacked: 0 }))
        })
    }
}

/// Packs the pieces that an earlier program kept.
fn take_over(transaction: &WriteTransaction, plain: PlainPieces, packed: Pieces) -> Result<(), redb::Error> {
    let mut into = transaction.open_table(packed)?;
    {
        let from = transaction.open_table(plain)?;
        for row in from.iter()? {
            let (key, bytes) = row?;
            let piece = StoredPiece::of(bytes.value());
            into.insert(key.value(), (piece.unpacked, &piece.bytes[..]))?;
        }
    }
    transaction.delete_table(plain)?;
    Ok(())
}

/// Numbers what an earlier program stored, of the kinds that are told on: it kept no numbers.
fn number_what_came(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let mut stored = 0;
    for kind in TOLD_ON {
        stored += transaction.open_table(table(kind))?.len()?;
    }
    if transaction.open_table(ARRIVALS)?.len()? == stored {
        return Ok(());
    }
    // It may have come after a later one, and stored things between numbered ones.
    transaction.delete_table(ARRIVALS)?;
    let mut arrivals = transaction.open_table(ARRIVALS)?;
    for kind in TOLD_ON {
        for thing in transaction.open_table(table(kind))?.iter()? {
            let (id, value) = thing?;
            let (unit, key) = id.value();
            let number = received(value.value()).map_or(0, |(received, _)| milliseconds(received));
            arrivals.insert((kind as u8, number, unit, key), ())?;
        }
    }
    Ok(())
}

/// Arrivals of one kind, of this number and above.
fn arrivals_of<'a>(kind: u8, number: u64) -> std::ops::Range<(u8, u64, &'a str, &'a [u8])> {
    (kind, number, "", &[])..(kind + 1, 0, "", &[])
}

/// The number of what is stored at `at`: it grows, though the clock may be set back.
fn next_number(arrivals: &impl ReadableTable<Arrival, ()>, kind: u8, at: DateTime<Utc>) -> Result<u64, redb::Error> {
    let newest = arrivals.range(arrivals_of(kind, 0))?.next_back().transpose()?;
    let after = newest.map_or(0, |(arrival, _)| arrival.value().1.saturating_add(1));
    Ok(milliseconds(at).max(after))
}

fn milliseconds(instant: DateTime<Utc>) -> u64 {
    u64::try_from(instant.timestamp_millis()).unwrap_or(0)
}

/// A transaction after which the file opens at once, however the office ended: without it redb walks the whole file.
fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// A revision cut into pieces and packed, in a file without a name beside the store: packing takes longer than storing, and
/// what cars send must not wait for it.
struct Packed {
    file: std::fs::File,
    size: u64,
    sha256: [u8; 32],
}

impl Packed {
    fn of(folder: &Path, bytes: &mut dyn Read) -> std::io::Result<Self> {
        let mut file = std::io::BufWriter::new(tempfile::tempfile_in(folder)?);
        let (mut size, mut hash) = (0, Sha256::new());
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            bytes.take(PIECE as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            size += piece.len() as u64;
            hash.update(&piece);
            let StoredPiece { bytes, unpacked } = StoredPiece::of(&piece);
            // No piece, packed or not, is longer than one.
            file.write_all(&unpacked.to_le_bytes())?;
            file.write_all(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes())?;
            file.write_all(&bytes)?;
        }
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        Ok(Self { file, size, sha256: hash.finalize().into() })
    }

    /// Gives the pieces one after the other.
    fn each(&mut self, mut keep: impl FnMut(u64, &StoredPiece) -> Result<(), redb::Error>) -> Result<(), redb::Error> {
        self.file.rewind()?;
        let mut file = std::io::BufReader::new(&self.file);
        for index in 0..self.size.div_ceil(PIECE as u64) {
            let (mut unpacked, mut length) = ([0; 4], [0; 4]);
            file.read_exact(&mut unpacked)?;
            file.read_exact(&mut length)?;
            let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
            file.read_exact(&mut bytes)?;
            keep(index, &StoredPiece { bytes, unpacked: u32::from_le_bytes(unpacked) })?;
        }
        Ok(())
    }
}

/// A payload as it is kept.
fn kept(at: DateTime<Utc>, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER + payload.len());
    value.push(VERSION);
    value.extend_from_slice(&at.timestamp_millis().to_be_bytes());
    value.extend_from_slice(payload);
    value
}

/// When a thing came, and its payload.
fn received(value: &[u8]) -> Option<(DateTime<Utc>, &[u8])> {
    let (header, payload) = value.split_at_checked(HEADER)?;
    let at = i64::from_be_bytes(header[1..].try_into().ok()?);
    Some((DateTime::from_timestamp_millis(at)?, payload))
}

/// A list's line in its table.
#[derive(Default, Serialize, Deserialize)]
struct StoredList {
    revision: u64,
    size: u64,
    sha256: [u8; 32],
}

impl StoredList {
    fn info(self, list: &str, base: u64) -> ListInfo {
        ListInfo { list: list.to_owned(), revision: self.revision, base, size: self.size, sha256: self.sha256 }
    }
}

impl From<&ListInfo> for StoredList {
    fn from(info: &ListInfo) -> Self {
        Self { revision: info.revision, size: info.size, sha256: info.sha256 }
    }
}

fn table(kind: Kind) -> Things {
    match kind {
        Kind::Hit => HITS,
        Kind::Read => READS,
        Kind::Picture => PICTURES,
        Kind::Statement => STATEMENTS,
        Kind::Head => HEADS,
    }
}

fn encoded<T: Serialize>(value: &T) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(value).map_err(|error| redb::Error::Corrupted(error.to_string()))
}

fn decoded<T: DeserializeOwned + Default>(value: Option<Vec<u8>>) -> Result<T, redb::Error> {
    let Some(value) = value else { return Ok(T::default()) };
    serde_json::from_slice(&value).map_err(|error| redb::Error::Corrupted(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: Kind, key: &str, payload: &str) -> Item {
        Item { kind, key: key.into(), payload: payload.into() }
    }

    fn received(unit: &str, items: Vec<Item>) -> Received {
        Received { unit: unit.into(), items }
    }

    #[test]
    fn a_second_arrival_changes_nothing_and_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("office.redb");
        let store = RedbStore::open(&path).expect("opened");
        let at = DateTime::UNIX_EPOCH;
        let first =
            received("EX-01", vec![item(Kind::Read, "1", "a"), item(Kind::Read, "1", "a"), item(Kind::Hit, "2", "b")]);
        let second = received("EX-02", vec![item(Kind::Read, "1", "c")]);
        let outcomes = store.put(&[first, second], at).expect("stored");
        assert_eq!(outcomes[0], Outcome { stored: 2, duplicates: 1, conflicts: 0 });
        assert_eq!(outcomes[1], Outcome { stored: 1, ..Outcome::default() });
        drop(store);

        let store = RedbStore::open(&path).expect("opened again");
        let outcomes = store.put(&[received("EX-01", vec![item(Kind::Read, "1", "other")])], at).expect("stored");
        assert_eq!(outcomes[0], Outcome { conflicts: 1, ..Outcome::default() });
        assert_eq!(store.get("EX-01", Kind::Read, b"1").expect("read"), Some(b"a".to_vec()));
        // The car is told that it is stored, and frees it: so it is stored, beside the first.
        let again = store.put(&[received("EX-01", vec![item(Kind::Read, "1", "other")])], at).expect("stored");
        assert_eq!(again[0], Outcome { duplicates: 1, ..Outcome::default() });
        assert_eq!(store.beside("EX-01", Kind::Read, b"1").expect("read"), vec![b"other".to_vec()]);
        assert!(store.beside("EX-02", Kind::Read, b"1").expect("read").is_empty());
        assert_eq!(store.get("EX-02", Kind::Read, b"1").expect("read"), Some(b"c".to_vec()));
        assert_eq!(store.keys("EX-01", Kind::Hit).expect("read"), vec![b"2".to_vec()]);
        let counts = store.count_by_unit().expect("read")["EX-01"];
        assert_eq!((counts.hits, counts.reads, counts.duplicates, counts.conflicts), (1, 1, 2, 1));
    }

    #[test]
    fn a_list_comes_back_in_pieces_from_any_byte() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = RedbStore::open(&folder.path().join("office.redb")).expect("opened");
        let bytes: Vec<u8> = (0..PIECE * 2 + 77).map(|i| (i * 7 % 251) as u8).collect();
        store.put_list("stolen", 1, &mut &b"old"[..]).expect("stored");
        let info = store.put_list("stolen", 2, &mut &bytes[..]).expect("stored");
        assert_eq!((info.size, info.sha256), (bytes.len() as u64, Sha256::digest(&bytes).into()));
        assert_eq!(store.lists().expect("read"), vec![info]);
        for start in [0, 5, PIECE - 1, PIECE, PIECE * 2 + 76] {
            let mut got = bytes[..start].to_vec();
            while let Some(piece) =
                store.list_piece("stolen", 2, 0, got.len() as u64).expect("read").filter(|p| p.length() > 0)
            {
                got.extend(piece.plain().expect("unpacks"));
            }
            assert!(got == bytes, "from {start}");
        }
        assert_eq!(store.list_piece("stolen", 1, 0, 0).expect("read"), None, "the older revision is gone");

        for base in 2..60 {
            let change = format!("change of {base}");
            store.put_change("stolen", base + 1, base, &mut change.as_bytes()).expect("stored");
        }
        let bases: Vec<u64> = store.lists().expect("read").iter().map(|info| info.base).collect();
        assert_eq!(bases, std::iter::once(0).chain(60 - CHANGES_KEPT as u64..60).collect::<Vec<_>>());
        assert_eq!(store.list_piece("stolen", 60, 59, 0).expect("read"), Some(StoredPiece::of(b"change of 59")));
        assert_eq!(store.list_piece("stolen", 3, 2, 0).expect("read"), None, "an old change is gone");
    }

    fn hour(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hours * 3600, 0).expect("a time")
    }

    /// Units and keys of the statements above this number, in the order in which they came.
    fn statements(store: &RedbStore, after: u64) -> Vec<(String, String)> {
        let found = store.arrived(Kind::Statement, after).expect("read");
        assert!(found.iter().all(|stored| stored.payload == b"said"));
        assert!(found.iter().all(|stored| stored.number >= milliseconds(stored.received)));
        found.into_iter().map(|stored| (stored.unit, String::from_utf8(stored.key).expect("text"))).collect()
    }

    fn named(names: &[(&str, &str)]) -> Vec<(String, String)> {
        names.iter().map(|(unit, key)| ((*unit).to_owned(), (*key).to_owned())).collect()
    }

    #[test]
    fn what_crews_made_known_is_kept_apart_and_found_by_when_it_came() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = RedbStore::open(&folder.path().join("office.redb")).expect("opened");
        let say = |unit: &str, key: &str, at| {
            let items =
                vec![item(Kind::Statement, key, "said"), item(Kind::Hit, key, "hit"), item(Kind::Head, key, "head")];
            store.put(&[received(unit, items)], at).expect("stored");
        };
        for (unit, key, at) in [("EX-02", "1", 1), ("EX-02", "2", 5), ("EX-01", "2", 9)] {
            say(unit, key, hour(at));
        }
        assert_eq!(statements(&store, 0), named(&[("EX-02", "1"), ("EX-02", "2"), ("EX-01", "2")]));
        assert_eq!(statements(&store, number_before(hour(5))), named(&[("EX-02", "2"), ("EX-01", "2")]));
        assert_eq!(store.count_by_unit().expect("read")["EX-02"].statements, 2);

        // The clock is set back by eight hours: what comes then is still behind what came before, with its own time.
        let newest = |kind| store.arrived(kind, 0).expect("read").last().map_or(0, |stored| stored.number);
        let (seen, heads) = (newest(Kind::Statement), newest(Kind::Head));
        say("EX-01", "3", hour(1));
        say("EX-01", "3", hour(1));
        assert_eq!(statements(&store, seen), named(&[("EX-01", "3")]));
        assert_eq!(store.arrived(Kind::Statement, seen).expect("read")[0].received, hour(1));
        assert_eq!(store.arrived(Kind::Head, heads).expect("read").len(), 1);
        // One commit after the other within a millisecond.
        let seen = newest(Kind::Statement);
        say("EX-00", "4", hour(1));
        assert_eq!(statements(&store, seen), named(&[("EX-00", "4")]));
        drop(store);
        let store = RedbStore::open(&folder.path().join("office.redb")).expect("opened again");
        assert_eq!(statements(&store, seen), named(&[("EX-00", "4")]), "numbers stay");
    }

    #[test]
    fn what_an_earlier_program_stored_is_numbered() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("office.redb");
        // As that program kept it.
        let earlier = |key: &str, at| {
            let database = Database::create(&path).expect("opened");
            let transaction = database.begin_write().expect("begun");
            for kind in TOLD_ON {
                let mut things = transaction.open_table(table(kind)).expect("there");
                things.insert(("EX-01", key.as_bytes()), kept(at, b"said").as_slice()).expect("stored");
            }
            transaction.commit().expect("kept");
        };
        earlier("a", hour(3));
        earlier("b", hour(2));
        let store = RedbStore::open(&path).expect("opened");
        assert_eq!(statements(&store, 0), named(&[("EX-01", "b"), ("EX-01", "a")]));
        assert_eq!(store.arrived(Kind::Head, number_before(hour(3))).expect("read").len(), 1);
        store.put(&[received("EX-01", vec![item(Kind::Statement, "c", "said")])], hour(4)).expect("stored");
        drop(store);
        // Back to that program, and to this one again.
        earlier("d", hour(5));
        let store = RedbStore::open(&path).expect("opened");
        assert_eq!(
            statements(&store, number_before(hour(3))),
            named(&[("EX-01", "a"), ("EX-01", "c"), ("EX-01", "d")])
        );
    }

    #[test]
    fn a_second_process_is_told_that_the_store_is_in_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("office.redb");
        let _store = RedbStore::open(&path).expect("opened");
        let fault = RedbStore::open(&path).err().expect("refused");
        assert_eq!(fault.kind(), crate::fault::Kind::Unavailable);
    }
}
