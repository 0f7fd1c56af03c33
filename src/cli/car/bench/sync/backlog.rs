//! What a car has collected, in memory: the same for either protocol.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::fault::{Fault, Result};
use crate::sync::car::{Budget, Piece, Revision, Waiting};
use crate::sync::{Item, Kind, Outbox};

/// Hits that wait.
const HITS: u64 = 5;
/// Bytes of a hit, a read and a picture, about as the journal makes them.
const HIT: usize = 900;
const READ: usize = 500;
const PICTURE: usize = 12_000;

/// What waits, by urgency and key; and a list that arrives.
pub(super) struct Backlog {
    unsent: Mutex<BTreeMap<(u8, Vec<u8>), Item>>,
    hits: AtomicU64,
    list: Option<PathBuf>,
    arrived: AtomicU64,
    held: Mutex<Vec<(String, u64)>>,
}

impl Backlog {
    /// Hits, and so many reads and pictures.
    pub(super) fn new(reads: usize, pictures: usize) -> Self {
        let backlog = Self {
            unsent: Mutex::default(),
            hits: AtomicU64::new(0),
            list: None,
            arrived: AtomicU64::new(0),
            held: Mutex::default(),
        };
        for _ in 0..HITS {
            backlog.add_hit();
        }
        (0..reads).for_each(|number| backlog.add(1, Kind::Read, number as u64, READ));
        (0..pictures).for_each(|number| backlog.add(2, Kind::Picture, number as u64, PICTURE));
        backlog
    }

    /// Nothing to send, and a file for a list.
    pub(super) fn keeping(list: PathBuf) -> Self {
        let backlog = Self { list: Some(list), ..Self::new(0, 0) };
        backlog.unsent().clear();
        backlog
    }

    fn unsent(&self) -> MutexGuard<'_, BTreeMap<(u8, Vec<u8>), Item>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, urgency: u8, kind: Kind, number: u64, size: usize) {
        // Pictures and sealed texts cannot be packed, and neither can this.
        let mut random = fastrand::Rng::with_seed(number << 8 | u64::from(urgency));
        let payload = std::iter::repeat_with(|| random.u8(..)).take(size).collect();
        let key = [&[urgency][..], &number.to_be_bytes(), &[0; 8]].concat();
        self.unsent().insert((urgency, key.clone()), Item { kind, key, payload });
    }

    /// One more hit; gives how many there were in all.
    pub(super) fn add_hit(&self) -> u64 {
        let number = self.hits.fetch_add(1, Ordering::Relaxed);
        self.add(0, Kind::Hit, number, HIT);
        number + 1
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> u64 {
        self.unsent().values().map(|item| (item.key.len() + item.payload.len()) as u64).sum()
    }

    /// Bytes of the list that have come.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// The hash of the list as it lies there.
    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        let mut hash = Sha256::new();
        std::io::copy(&mut File::open(self.list.as_ref()?).ok()?, &mut hash).ok()?;
        Some(hash.finalize().into())
    }
}

impl Outbox for Backlog {
    fn pending(&self, budget: Budget) -> Result<Vec<Waiting>> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        for item in self.unsent().values() {
            if items.len() >= budget.items || bytes >= budget.bytes {
                break;
            }
            bytes += item.payload.len();
            items.push(item.clone().into());
        }
        Ok(items)
    }

    fn unsent(&self) -> u64 {
        self.unsent().len() as u64
    }

    fn acknowledged(&self, keys: &[Vec<u8>]) -> Result<()> {
        let mut unsent = self.unsent();
        for key in keys {
            // The first byte of a key here is its urgency.
            unsent.remove(&(key.first().copied().unwrap_or(0), key.clone()));
        }
        Ok(())
    }

    fn lists_held(&self) -> Vec<(String, u64)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take_piece(&self, piece: &Piece) -> Result<()> {
        let Some(path) = &self.list else { return Ok(()) };
        let written = OpenOptions::new().create(true).truncate(false).write(true).open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(piece.offset))?;
            file.write_all(&piece.bytes)
        });
        written.map_err(|error| Fault::io("cannot keep a piece of the list", path, error))?;
        self.arrived.store(piece.offset + piece.bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn apply_list(&self, revision: &Revision) -> Result<()> {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = vec![(revision.list.clone(), revision.revision)];
        Ok(())
    }

    fn drop_list(&self, _: &Revision) {}
}
