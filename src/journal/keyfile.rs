//! The file of keys beside the journal: how the master key is locked, and a slot for each key that the master key wraps.
//!
//! It is not in the database, which never writes in place: an old copy of a key would stay behind in a free page. Here a slot
//! is overwritten where it lies, and synced, when its key is destroyed.
//!
//! ```text
//! 0      lock, first copy      4096   lock, second copy      8192   slots of 128 bytes
//! 512    of a TPM's lock: what the TPM sealed, the same at 4608
//! ```

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::lock::Protection;
use crate::fault::{Fault, Kind, Result};
use crate::files::sync_folder;
use crate::people::Cost;

const MAGIC: &[u8; 8] = b"OUTRKEYS";
const VERSION: u8 = 1;
/// Two copies a block apart: a write that is torn spoils one.
const COPIES: [u64; 2] = [0, 4096];
const SLOTS: u64 = 8192;
/// A divisor of the smallest sector: no slot lies across two.
const SLOT: usize = 128;
const LOCK: usize = 180;
/// Where behind the begin of a copy lies what a TPM made.
const SEALED: u64 = 512;
/// A file with more than this is none of ours: thirty years of days, three keys each.
const MOST: u64 = SLOTS + (1 << 16) * SLOT as u64;
const CANNOT_READ: &str = "cannot read the journal's keys";
const CANNOT_WRITE: &str = "cannot write the journal's keys";

/// How the master key is locked.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Lock {
    /// Tells this file of keys from every other; the journal names it.
    pub(super) vault: u64,
    pub(super) protection: Protection,
    pub(super) cost: Cost,
    pub(super) salt: [u8; 16],
    /// The key that the master key is wrapped by, where nothing protects it; else zeros.
    pub(super) beside: [u8; 32],
    pub(super) nonce: [u8; 12],
    /// The master key and its tag.
    pub(super) wrapped: [u8; 48],
    /// What a TPM needs to give its secret again, where one locks the master key; else empty. Lies behind each copy of the lock.
    pub(super) sealed: Vec<u8>,
}

impl Lock {
    /// What wrapping binds the master key to.
    pub(super) fn associated(&self) -> Vec<u8> {
        self.encode()[..88].to_vec()
    }

    fn encode(&self) -> [u8; LOCK] {
        let mut bytes = [0; LOCK];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8] = VERSION;
        bytes[9] = self.protection as u8;
        bytes[12..16].copy_from_slice(&self.cost.memory.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.cost.passes.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.vault.to_be_bytes());
        bytes[32..48].copy_from_slice(&self.salt);
        bytes[56..88].copy_from_slice(&self.beside);
        bytes[88..100].copy_from_slice(&self.nonce);
        bytes[100..148].copy_from_slice(&self.wrapped);
        let sum = Sha256::digest(&bytes[..148]);
        bytes[148..].copy_from_slice(&sum);
        bytes
    }

    fn decode(bytes: &[u8; LOCK], sealed: Vec<u8>) -> Option<Self> {
        let whole =
            bytes.starts_with(MAGIC) && bytes[8] == VERSION && bytes[148..] == Sha256::digest(&bytes[..148])[..];
        let protection = match bytes[9] {
            0 => Protection::None,
            1 => Protection::Passphrase,
            2 => Protection::Token,
            3 => Protection::Tpm,
            _ => return None,
        };
        whole.then(|| Self {
            vault: u64::from_be_bytes(part(bytes, 24)),
            protection,
            cost: Cost { memory: u32::from_be_bytes(part(bytes, 12)), passes: u32::from_be_bytes(part(bytes, 16)) },
            salt: part(bytes, 32),
            beside: part(bytes, 56),
            nonce: part(bytes, 88),
            wrapped: part(bytes, 100),
            sealed,
        })
    }

    /// What lies behind a copy of the lock: a length, the bytes, and their sum.
    fn encode_sealed(&self) -> Vec<u8> {
        if self.sealed.is_empty() {
            return Vec::new();
        }
        let bytes = [&(self.sealed.len() as u16).to_be_bytes()[..], &self.sealed].concat();
        let sum = Sha256::digest(&bytes);
        [&bytes[..], &sum].concat()
    }
}

/// What a TPM made, from the bytes behind a copy of the lock; empty where nothing whole is there.
fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(*bytes.first_chunk()?));
    let (sealed, rest) = bytes.split_at_checked(2 + length)?;
    (length > 0 && rest.first_chunk::<32>()?[..] == Sha256::digest(sealed)[..]).then(|| sealed[2..].to_vec())
}

/// `N` bytes from `at`; a caller names a place within `bytes`.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("as many bytes as were taken")
}

/// What a key is for. Day keys go when what they seal goes; the others stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Use {
    /// Reads of a day that are no hit, and their pictures.
    Reads = 1,
    /// Hits of a day, their reads and pictures.
    Hits = 2,
    /// Verdicts, faults and notes of a day.
    Events = 3,
    /// Records of the audit chain of a day.
    Deeds = 4,
    /// What the audit chain is kept with, and who may sign on: for good.
    Chain = 5,
    /// The files of lists: for good.
    Lists = 6,
}

impl Use {
    /// What it seals, in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Hits => "hits",
            Self::Events => "verdicts, faults and notes",
            Self::Deeds => "audit records",
            Self::Chain => "the audit chain",
            Self::Lists => "the lists",
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Reads, Self::Hits, Self::Events, Self::Deeds, Self::Chain, Self::Lists]
            .into_iter()
            .find(|purpose| *purpose as u8 == byte)
    }
}

/// A key, wrapped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Counts up, never used again.
    pub(super) id: u32,
    pub(super) purpose: Use,
    /// Days since 1970.
    pub(super) day: i32,
    pub(super) nonce: [u8; 12],
    /// The key and its tag; `None` once it is destroyed.
    pub(super) wrapped: Option<[u8; 48]>,
}

impl Slot {
    /// What wrapping binds the key to.
    pub(super) fn associated(&self, vault: u64) -> Vec<u8> {
        let mut bytes = vault.to_be_bytes().to_vec();
        bytes.push(self.purpose as u8);
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.day.to_be_bytes());
        bytes
    }

    fn encode(&self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[0] = if self.wrapped.is_some() { 1 } else { 2 };
        bytes[1] = self.purpose as u8;
        bytes[4..8].copy_from_slice(&self.id.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.day.to_be_bytes());
        if let Some(wrapped) = &self.wrapped {
            bytes[12..24].copy_from_slice(&self.nonce);
            bytes[24..72].copy_from_slice(wrapped);
        }
        let sum = Sha256::digest(&bytes[..72]);
        bytes[72..104].copy_from_slice(&sum);
        bytes
    }

    fn decode(bytes: &[u8; SLOT]) -> Option<Self> {
        if bytes[72..104] != Sha256::digest(&bytes[..72])[..] {
            return None;
        }
        Some(Self {
            id: u32::from_be_bytes(part(bytes, 4)),
            purpose: Use::of(bytes[1])?,
            day: i32::from_be_bytes(part(bytes, 8)),
            nonce: part(bytes, 12),
            wrapped: match bytes[0] {
                1 => Some(part(bytes, 24)),
                2 => None,
                _ => return None,
            },
        })
    }
}

/// Writes a new file of keys: whole or not at all.
pub(super) fn make(path: &Path, lock: &Lock, slots: &[Option<Slot>]) -> Result<()> {
    let made = path.with_extension("keys.new");
    (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&made)?;
        for at in COPIES {
            file.seek(SeekFrom::Start(at))?;
            file.write_all(&lock.encode())?;
            file.seek(SeekFrom::Start(at + SEALED))?;
            file.write_all(&lock.encode_sealed())?;
        }
        file.set_len(SLOTS)?;
        file.seek(SeekFrom::Start(SLOTS))?;
        for slot in slots {
            file.write_all(&slot.as_ref().map_or([0; SLOT], Slot::encode))?;
        }
        file.sync_all()?;
        std::fs::rename(&made, path)?;
        sync_folder(path)
    })()
    .map_err(|error| Fault::io(CANNOT_WRITE, path, error))
}

/// Reads a file of keys: the lock and the slots. `None` stands for a slot that makes no sense: its making was cut short
/// before anything was sealed with it, or it is damaged.
pub(super) fn read(path: &Path) -> Result<(Lock, Vec<Option<Slot>>)> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes))
        .map_err(|error| Fault::io(CANNOT_READ, path, error))?;
    let Some(found) = (bytes.len() as u64 <= MOST).then(|| parse(&bytes)).flatten() else {
        return Err(Fault::new(Kind::Damaged, CANNOT_READ)
            .at(path.display())
            .because("no copy of its lock is whole")
            .remedy("Without its keys a journal cannot be read by anybody: restore the file, or move both away"));
    };
    Ok(found)
}

/// The same, from the file's bytes; `None` where no copy of the lock is whole.
pub(super) fn parse(bytes: &[u8]) -> Option<(Lock, Vec<Option<Slot>>)> {
    let lock = COPIES.into_iter().find_map(|at| {
        let block = bytes.get(at as usize..)?;
        let behind = block.get(SEALED as usize..SLOTS as usize / 2);
        let lock = Lock::decode(block.first_chunk()?, behind.and_then(sealed).unwrap_or_default())?;
        // A copy that lacks what the TPM needs is not whole.
        (lock.protection != Protection::Tpm || !lock.sealed.is_empty()).then_some(lock)
    })?;
    let slots = bytes.get(SLOTS as usize..).unwrap_or_default();
    Some((lock, slots.chunks_exact(SLOT).map(|slot| Slot::decode(slot.try_into().ok()?)).collect()))
}

/// Makes the sums of a lock and of every slot right, so that whatever else is wrong is looked at.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn with_right_sums(bytes: &mut [u8]) {
    for at in COPIES {
        if let Some(lock) = bytes.get_mut(at as usize..at as usize + LOCK) {
            let sum = Sha256::digest(&lock[..148]);
            lock[148..].copy_from_slice(&sum);
        }
    }
    for slot in bytes.get_mut(SLOTS as usize..).unwrap_or_default().chunks_exact_mut(SLOT) {
        let sum = Sha256::digest(&slot[..72]);
        slot[72..104].copy_from_slice(&sum);
    }
}

/// Overwrites slots where they lie, and syncs. The file must still be that of `vault`.
pub(super) fn write_slots(path: &Path, vault: u64, slots: &[(usize, Slot)]) -> Result<()> {
    if read(path)?.0.vault != vault {
        return Err(Fault::new(Kind::Unavailable, CANNOT_WRITE)
            .at(path.display())
            .because("another journal's keys lie in the place of those that this run began with")
            .remedy("Put the first ones back, or start the unit again"));
    }
    (|| {
        let file = OpenOptions::new().write(true).open(path)?;
        for (index, slot) in slots {
            file.write_all_at(&slot.encode(), SLOTS + (*index * SLOT) as u64)?;
        }
        file.sync_all()
    })()
    .map_err(|error| Fault::io(CANNOT_WRITE, path, error))
}
