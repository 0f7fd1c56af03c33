//! What waits for the office: nothing before it is committed, everything until it is acknowledged.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use redb::{ReadTransaction, ReadableTable};

use super::archive::{Archive, HITS, META, OUTBOX, PICTURES, READS, Trouble, get};
use super::record::{SentPicture, StoredHit, StoredRead, encode};
use super::vault::Row;
use crate::fault::Result;

/// What sort of thing waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemKind {
    /// A hit.
    Hit,
    /// A read, as text.
    Read,
    /// A picture of a read.
    Picture,
    /// The head of the audit chain.
    Head,
}

/// One thing for the office. The same key always has the same payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Names it for good within the unit: the journal's id, sort, sequence.
    pub key: Vec<u8>,
    /// A version byte and a message of `journal/record.rs`.
    pub payload: Vec<u8>,
    /// A picture of a read with a hit.
    pub of_hit: bool,
}

/// Which pictures are wanted of what waits; everything else is, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Those of reads without a hit.
    pub pictures: bool,
    /// Those of reads with a hit.
    pub hit_pictures: bool,
}

impl Wanted {
    /// All of them.
    pub const ALL: Self = Self { pictures: true, hit_pictures: true };

    fn has(self, urgency: u8) -> bool {
        match urgency {
            Waiting::PICTURES_OF_HITS => self.hit_pictures,
            Waiting::PICTURES => self.pictures,
            _ => true,
        }
    }
}

// Payloads hold who drove where: they stay out of logs and panics.
impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Item({:?}, {:02x?}, {} bytes)", self.kind, self.key, self.payload.len())
    }
}

/// A row of the outbox: where the thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Hit { sequence: u64 },
    Read { run: u64, pass: u64, version: u32 },
    Picture { run: u64, pass: u64, version: u32, which: u8 },
}

impl Waiting {
    /// The urgency of pictures of reads with a hit. An earlier program gave it to all pictures.
    pub(super) const PICTURES_OF_HITS: u8 = 2;
    /// The urgency of the other pictures; 3 is that of no row, but part of the keys of heads.
    pub(super) const PICTURES: u8 = 4;
    /// Every urgency that a row can have, the most urgent first.
    const ALL: [u8; 4] = [0, 1, Self::PICTURES_OF_HITS, Self::PICTURES];

    /// The first part of its row's key: hits go before reads before pictures, those of reads with a hit first.
    pub(super) fn urgency(self, has_hit: bool) -> u8 {
        match self {
            Self::Picture { .. } if !has_hit => Self::PICTURES,
            other => other.sort(),
        }
    }

    /// What it is: the first byte of its row, and part of the key that names it for the office. That stays the same when a hit
    /// makes a picture more urgent.
    fn sort(self) -> u8 {
        match self {
            Self::Hit { .. } => 0,
            Self::Read { .. } => 1,
            Self::Picture { .. } => Self::PICTURES_OF_HITS,
        }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = vec![self.sort()];
        match self {
            Self::Hit { sequence } => bytes.extend(sequence.to_be_bytes()),
            Self::Read { run, pass, version } | Self::Picture { run, pass, version, .. } => {
                bytes.extend(run.to_be_bytes());
                bytes.extend(pass.to_be_bytes());
                bytes.extend(version.to_be_bytes());
            }
        }
        if let Self::Picture { which, .. } = self {
            bytes.push(which);
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let version = || Some(u32::from_be_bytes(bytes.get(17..21)?.try_into().ok()?));
        match (bytes.first()?, bytes.len()) {
            (0, 9) => Some(Self::Hit { sequence: long(1)? }),
            (1, 21) => Some(Self::Read { run: long(1)?, pass: long(9)?, version: version()? }),
            (2, 22) => Some(Self::Picture { run: long(1)?, pass: long(9)?, version: version()?, which: bytes[21] }),
            _ => None,
        }
    }

    fn kind(self) -> ItemKind {
        match self {
            Self::Hit { .. } => ItemKind::Hit,
            Self::Read { .. } => ItemKind::Read,
            Self::Picture { .. } => ItemKind::Picture,
        }
    }

    /// What the office is to store, as it was before it was sealed.
    pub(super) fn payload(self, transaction: &ReadTransaction, archive: &Archive) -> Result<Payload, Trouble> {
        let (row, sealed) = match self {
            Self::Hit { sequence } => {
                (Row::Hit(sequence), transaction.open_table(HITS)?.get(sequence)?.map(|hit| hit.value().to_vec()))
            }
            Self::Read { run, pass, version } => (
                Row::Read(run, pass, version),
                transaction.open_table(READS)?.get((run, pass, version))?.map(|read| read.value().to_vec()),
            ),
            Self::Picture { run, pass, version, which } => (
                Row::Picture(run, pass, version, which),
                transaction.open_table(PICTURES)?.get((run, pass, version, which))?.map(|jpeg| jpeg.value().to_vec()),
            ),
        };
        let Some(sealed) = sealed else { return Ok(Payload::Missing) };
        Ok(match (archive.opened(row, &sealed)?, self) {
            (None, _) => Payload::Gone,
            (Some(jpeg), Self::Picture { run, pass, version, which }) => {
                let journal = archive.id();
                Payload::There(encode(&SentPicture { run, pass, version, which: which.into(), jpeg, journal }))
            }
            (Some(plain), _) => Payload::There(plain),
        })
    }
}

/// The second part of the key of a head, where other things have their sort.
const HEAD: u8 = 3;

/// What a row of the outbox names.
pub(super) enum Payload {
    There(Vec<u8>),
    /// Its day's key is destroyed; the next purge takes the row away.
    Gone,
    /// Nothing, which cannot be.
    Missing,
}

impl Archive {
    /// The next things for the office: hits before reads before pictures of reads with a hit before other pictures, oldest
    /// first, at most `items`; ends after the one with which the payloads reach `bytes`.
    ///
    /// # Errors
    /// The disk fails, or the journal is damaged.
    pub fn pending(&self, items: usize, bytes: usize) -> Result<Vec<Item>> {
        self.pending_of(Wanted::ALL, items, bytes)
    }

    /// The same without the pictures that are not wanted: they take nobody's place.
    ///
    /// # Errors
    /// As there.
    pub fn pending_of(&self, wanted: Wanted, items: usize, bytes: usize) -> Result<Vec<Item>> {
        self.read("cannot read what waits for the office", |transaction| {
            let (mut found, mut size) = (Vec::new(), 0);
            let outbox = transaction.open_table(OUTBOX)?;
            let urgencies = Waiting::ALL.into_iter().filter(|urgency| wanted.has(*urgency));
            let rows = urgencies.map(|urgency| outbox.range((urgency, 0)..=(urgency, u64::MAX)));
            for row in rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
                if found.len() >= items || size >= bytes {
                    break;
                }
                let (key, value) = row?;
                let (urgency, sequence) = key.value();
                let waiting = Waiting::decode(value.value())
                    .ok_or_else(|| Trouble::Damaged(format!("row {sequence} of the outbox makes no sense")))?;
                let payload = match waiting.payload(transaction, self)? {
                    Payload::There(payload) => payload,
                    Payload::Gone => continue,
                    Payload::Missing => {
                        return Err(Trouble::Damaged(format!("what row {sequence} of the outbox names is missing")));
                    }
                };
                size += payload.len();
                let key = [&self.id().to_be_bytes()[..], &[waiting.sort()], &sequence.to_be_bytes()].concat();
                let kind = waiting.kind();
                let of_hit = kind == ItemKind::Picture && urgency == Waiting::PICTURES_OF_HITS;
                found.push(Item { kind, key, payload, of_hit });
            }
            Ok(found)
        })
    }

    /// The head of the audit chain, unless the office has acknowledged it to this process. It is no row of the outbox: only
    /// the newest is worth sending, and what was sent before is for the office to know, not for a disk that can be put back.
    ///
    /// # Errors
    /// The disk fails, or the journal is damaged.
    pub fn unanchored(&self) -> Result<Option<Item>> {
        let anchored = self.anchored.load(Ordering::Relaxed);
        let Some(head) = self.head()?.filter(|head| head.number > anchored) else { return Ok(None) };
        // The hash is part of the key: another record of the same number is another thing, and the office is to see both.
        let key = [&self.id().to_be_bytes()[..], &[HEAD], &head.number.to_be_bytes(), &head.hash[..8]].concat();
        Ok(Some(Item { kind: ItemKind::Head, key, payload: head.encode(), of_hit: false }))
    }

    /// The office has stored these: they need not be kept for it any more. Keys that nothing has, and those of another
    /// journal, are passed over. Gives how many things still wait.
    ///
    /// # Errors
    /// The disk fails; nothing is acknowledged then.
    pub fn acknowledge(&self, keys: &[Vec<u8>]) -> Result<u64> {
        self.write("cannot note what the office has stored", |transaction| {
            let mut outbox = transaction.open_table(OUTBOX)?;
            let (mut stored, mut anchored) = (0, 0);
            for key in keys {
                let Some((journal, [sort, sequence @ ..])) = key.split_first_chunk() else { continue };
                if u64::from_be_bytes(*journal) != self.id() {
                    continue;
                }
                if *sort == HEAD {
                    let number = sequence.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
                    anchored = anchored.max(number);
                } else if let Ok(sequence) = sequence.try_into().map(u64::from_be_bytes) {
                    let mut gone = outbox.remove((*sort, sequence))?.is_some();
                    if !gone && *sort == Waiting::PICTURES_OF_HITS {
                        gone = outbox.remove((Waiting::PICTURES, sequence))?.is_some();
                    }
                    stored += u64::from(gone);
                }
            }
            self.anchored.fetch_max(anchored, Ordering::Relaxed);
            let mut meta = transaction.open_table(META)?;
            for name in ["outbox.out", "uploaded"] {
                let before = get(&meta, name)?;
                meta.insert(name, before + stored)?;
            }
            Ok(waiting(&meta)?)
        })
    }

    /// When what has waited longest for the office happened; `None` if nothing waits.
    ///
    /// # Errors
    /// The disk fails, or the journal is damaged.
    pub fn oldest_unsent(&self) -> Result<Option<DateTime<Utc>>> {
        self.read("cannot read what waits for the office", |transaction| {
            let outbox = transaction.open_table(OUTBOX)?;
            let reads = transaction.open_table(READS)?;
            let mut oldest: Option<DateTime<Utc>> = None;
            // Each urgency has an order of its own.
            for urgency in Waiting::ALL {
                let Some(row) = outbox.range((urgency, 0)..=(urgency, u64::MAX))?.next() else { continue };
                let utc = match Waiting::decode(row?.1.value()) {
                    Some(Waiting::Hit { sequence }) => match transaction.open_table(HITS)?.get(sequence)? {
                        Some(hit) => self
                            .decoded::<StoredHit>(Row::Hit(sequence), hit.value())?
                            .and_then(|hit| hit.read)
                            .map(|read| read.utc()),
                        None => None,
                    },
                    Some(Waiting::Read { run, pass, version } | Waiting::Picture { run, pass, version, .. }) => {
                        match reads.get((run, pass, version))? {
                            Some(read) => {
                                let row = Row::Read(run, pass, version);
                                self.decoded::<StoredRead>(row, read.value())?.map(|read| read.utc())
                            }
                            None => None,
                        }
                    }
                    None => None,
                };
                oldest = [oldest, utc].into_iter().flatten().min();
            }
            Ok(oldest)
        })
    }

    /// How many pictures wait for the office: of reads without a hit, and of those with one.
    ///
    /// # Errors
    /// The disk fails.
    pub fn pictures_unsent(&self) -> Result<[u64; 2]> {
        self.read("cannot count the pictures that wait for the office", |transaction| {
            let outbox = transaction.open_table(OUTBOX)?;
            let mut counts = [0; 2];
            for (count, urgency) in counts.iter_mut().zip([Waiting::PICTURES, Waiting::PICTURES_OF_HITS]) {
                *count = outbox.range((urgency, 0)..=(urgency, u64::MAX))?.count() as u64;
            }
            Ok(counts)
        })
    }

    /// How many things wait for the office.
    ///
    /// # Errors
    /// The disk fails.
    pub fn unsent(&self) -> Result<u64> {
        self.read("cannot read what waits for the office", |transaction| Ok(waiting(&transaction.open_table(META)?)?))
    }
}

/// How many things wait, by the numbers.
pub(super) fn waiting(meta: &impl ReadableTable<&'static str, u64>) -> Result<u64, redb::StorageError> {
    Ok(get(meta, "outbox.in")?.saturating_sub(get(meta, "outbox.out")?))
}
