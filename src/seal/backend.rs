//! A storage for redb whose every block is sealed.
//!
//! ```text
//! block of the file   holds
//! 0                   magic, salt of the file's key, and a seal that only that key opens
//! 1-2, 3-4            two copies of redb's header block, sealed, each with a number
//! 5                   the seals (nonce, tag) of the 128 blocks that follow, 32 bytes each
//! 6-133               those blocks
//! 134, 135-262 ...    and so on
//! ```
//! redb never writes a block that its last commit refers to, but for its header. So a block and its seal need not reach the disk
//! together: both are there when a sync returns, and until then nothing refers to them. The seals of a group of blocks lie in
//! one block of their own, none across two sectors, so that a write that is torn between sectors spoils none that it did not
//! change.
//!
//! The header is written where the copy lies that is *not* the one of the last sync. Whatever becomes of that write, the
//! header of the last sync is there, as if the write had never reached the disk; redb expects that.
//!
//! What does not open is an error, never zeros: a database that was handed garbage would believe it. That holds for a block that was
//! never written too.

use std::collections::BTreeSet;
use std::io;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{BackendError, StorageBackend};
use ring::aead::LessSafeKey;

use super::{BLOCK, Seal, SealKey, drawn};

pub(super) const MAGIC: &[u8; 8] = b"OUTSEAL1";
/// Where the salt lies, and the seal that tells the right key.
const SALT: usize = MAGIC.len();
const CHECK: usize = SALT + 32;
const CHECK_END: usize = CHECK + Seal::LENGTH;
/// The blocks at which the two copies of the header begin.
const COPIES: [u64; 2] = [1, 3];
/// A copy: number, how many blocks were sealed, seal, the block.
const COPY: usize = 8 + 8 + Seal::LENGTH + BLOCK;
/// Blocks before the first group.
const FIRST: u64 = 5;
/// Blocks of a group, their seals apart.
const GROUP: u64 = 128;
/// What a seal takes on disk: a divisor of a sector.
const SLOT: usize = BLOCK / GROUP as usize;
/// A file whose key has sealed so many blocks is written anew under another one: two of 2^31 nonces of 96 bits drawn at random
/// meet with odds of 1 in 2^35.
#[cfg(not(test))]
pub(super) const WORN: u64 = 1 << 31;
/// A test has no time for 8 TiB.
#[cfg(test)]
pub(super) const WORN: u64 = 2000;

/// Keeps what is written to it sealed, on another storage.
#[derive(Debug)]
pub struct Sealed<B> {
    inner: B,
    key: Key,
    state: RwLock<State>,
}

struct Key(LessSafeKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

#[derive(Debug)]
struct State {
    /// Blocks that redb sees, the header's among them.
    blocks: u64,
    /// What the header block holds, and the number of its newest copy.
    head: Vec<u8>,
    number: u64,
    /// Which copy the last sync has put on the disk, and which was written since.
    synced: usize,
    fresh: Option<usize>,
    /// The seal of each block after the header.
    seals: Vec<Seal>,
    /// Groups whose seals have changed since the last sync.
    changed: BTreeSet<u64>,
    /// How many blocks were sealed with this key.
    sealed: u64,
}

/// How many blocks of the storage below a file of so many blocks takes.
fn below(blocks: u64) -> u64 {
    let after_head = blocks.saturating_sub(1);
    FIRST + after_head + after_head.div_ceil(GROUP)
}

/// How many blocks a file has whose storage has so many: the other way round.
fn above(below: u64) -> u64 {
    let (groups, rest) = ((below - FIRST) / (GROUP + 1), (below - FIRST) % (GROUP + 1));
    1 + groups * GROUP + rest.saturating_sub(1)
}

/// Where in the storage a block lies, in bytes; not for the header's.
fn place_of(block: u64) -> u64 {
    let after_head = block - 1;
    (FIRST + after_head + after_head / GROUP + 1) * BLOCK as u64
}

/// Where in the storage the seals of a group lie, in bytes.
fn seals_of(group: u64) -> u64 {
    (FIRST + group * (GROUP + 1)) * BLOCK as u64
}

/// What the seal of a block is bound to. The file's salt is in its key.
fn bound(block: u64) -> [u8; 9] {
    let mut bytes = [b'b'; 9];
    bytes[1..].copy_from_slice(&block.to_be_bytes());
    bytes
}

/// What the seal of a copy of the header is bound to.
fn bound_head(number: u64, sealed: u64) -> [u8; 17] {
    let mut bytes = [b'h'; 17];
    bytes[1..9].copy_from_slice(&number.to_be_bytes());
    bytes[9..].copy_from_slice(&sealed.to_be_bytes());
    bytes
}

fn damaged(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

impl<B: StorageBackend> Sealed<B> {
    /// Makes a sealed file in a storage that is empty.
    ///
    /// # Errors
    /// The storage fails, or the operating system has no random bytes.
    pub fn make(inner: B, key: &SealKey) -> io::Result<Self> {
        let salt = drawn::<32>()?;
        let key = key.of_file(&salt);
        let mut first = [MAGIC, &salt[..]].concat();
        let seal = Seal::close(&key, &first, &mut [])?;
        first.extend(seal.0);
        inner.set_len(FIRST * BLOCK as u64)?;
        inner.write(0, &first)?;
        inner.sync_data()?;
        Ok(Self { inner, key: Key(key), state: RwLock::new(State::of(0)) })
    }

    /// Opens a sealed file.
    ///
    /// # Errors
    /// The storage fails; it holds no sealed file, one that is sealed under another key, or a damaged one.
    pub fn open(inner: B, key: &SealKey) -> io::Result<Self> {
        let length = inner.len()?;
        if length < FIRST * BLOCK as u64 || !length.is_multiple_of(BLOCK as u64) {
            return Err(damaged("it was cut short"));
        }
        let mut first = [0; CHECK_END];
        inner.read(0, &mut first)?;
        if !first.starts_with(MAGIC) {
            return Err(damaged("it is no sealed file"));
        }
        let salt = first[SALT..CHECK].try_into().expect("as long as a salt");
        let key = key.of_file(&salt);
        let check = Seal(first[CHECK..].try_into().expect("as long as a seal"));
        if !check.open(&key, &first[..CHECK], &mut []) {
            return Err(damaged("it is sealed under another key, or its first block is damaged"));
        }
        // A copy of the header that a killed process wrote may be in the system's memory only: it counts as synced below.
        inner.sync_data()?;
        let mut state = State::of(above(length / BLOCK as u64));
        let mut written = false;
        for (copy, at) in COPIES.into_iter().enumerate() {
            let mut bytes = [0; COPY];
            inner.read(at * BLOCK as u64, &mut bytes)?;
            written |= bytes.iter().any(|byte| *byte != 0);
            state.consider(&key, copy, &mut bytes);
        }
        if state.number == 0 {
            if written || state.blocks > 1 {
                return Err(damaged("no copy of its header is whole"));
            }
            state.blocks = 0;
        }
        let seals = state.seals.len() as u64;
        for group in 0..seals.div_ceil(GROUP) {
            let mut bytes = [0; BLOCK];
            inner.read(seals_of(group), &mut bytes)?;
            let from = (group * GROUP) as usize;
            for (seal, slot) in state.seals[from..].iter_mut().zip(bytes.chunks_exact(SLOT)) {
                seal.0.copy_from_slice(&slot[..Seal::LENGTH]);
            }
        }
        Ok(Self { inner, key: Key(key), state: RwLock::new(state) })
    }

    /// Whether its key has sealed so much that the file is to be written anew, under another one.
    pub fn is_worn(&self) -> bool {
        self.look().sealed >= WORN
    }

    fn look(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `each` for every run of blocks between `offset` and `end`, past the header's, that lie side by side in the
    /// storage: first block, how many, and which bytes are meant, from the run's begin.
    fn runs(
        mut offset: u64,
        end: u64,
        mut each: impl FnMut(u64, usize, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        const SIZE: u64 = BLOCK as u64;
        while offset < end {
            let block = offset / SIZE;
            let group_end = ((block - 1) / GROUP + 1) * GROUP + 1;
            let until = end.min(group_end * SIZE);
            let from = (offset - block * SIZE) as usize;
            each(block, until.div_ceil(SIZE) as usize - block as usize, from..from + (until - offset) as usize)?;
            offset = until;
        }
        Ok(())
    }

    /// Reads whole blocks that lie side by side, and opens them.
    fn read_run(&self, first: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(place_of(first), out)?;
        let state = self.look();
        for (block, bytes) in (first..).zip(out.chunks_exact_mut(BLOCK)) {
            let seal = state.seals.get(block as usize - 1).copied().unwrap_or(Seal::NONE);
            if seal == Seal::NONE {
                return Err(damaged(format!("block {block} was never written, or its seal is lost")));
            }
            if !seal.open(&self.key.0, &bound(block), bytes) {
                return Err(damaged(format!("block {block} is not what was written there")));
            }
        }
        Ok(())
    }

    /// What a block holds that is to be written in part.
    fn before(&self, block: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.look().seals.get(block as usize - 1).is_some_and(|seal| *seal != Seal::NONE);
        if written { self.read_run(block, out) } else { Ok(()) }
    }

    /// Seals whole blocks that lie side by side, and writes them.
    fn write_run(&self, first: u64, plain: &mut [u8]) -> io::Result<()> {
        let mut seals = Vec::with_capacity(plain.len() / BLOCK);
        for (block, bytes) in (first..).zip(plain.chunks_exact_mut(BLOCK)) {
            seals.push(Seal::close(&self.key.0, &bound(block), bytes)?);
        }
        self.inner.write(place_of(first), plain)?;
        let mut state = self.change();
        state.sealed += seals.len() as u64;
        state.changed.insert((first - 1) / GROUP);
        let at = first as usize - 1;
        state.seals[at..at + seals.len()].copy_from_slice(&seals);
        Ok(())
    }

    /// Writes into the header block: at once the whole of it, into the copy that the last sync has not.
    fn write_head(&self, from: usize, data: &[u8]) -> io::Result<()> {
        let mut state = self.change();
        state.head[from..from + data.len()].copy_from_slice(data);
        state.number += 1;
        state.sealed += 1;
        let copy = 1 - state.synced;
        let mut block = state.head.clone();
        let seal = Seal::close(&self.key.0, &bound_head(state.number, state.sealed), &mut block)?;
        let bytes = [&state.number.to_be_bytes()[..], &state.sealed.to_be_bytes(), &seal.0, &block].concat();
        self.inner.write(COPIES[copy] * BLOCK as u64, &bytes)?;
        state.fresh = Some(copy);
        Ok(())
    }

    fn within(&self, offset: u64, length: usize) -> io::Result<u64> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.look().blocks * BLOCK as u64);
        end.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the end of the file"))
    }
}

impl State {
    fn of(blocks: u64) -> Self {
        Self {
            blocks,
            head: vec![0; BLOCK],
            number: 0,
            // The first header goes into the first copy.
            synced: 1,
            fresh: None,
            seals: vec![Seal::NONE; blocks.saturating_sub(1) as usize],
            changed: BTreeSet::new(),
            sealed: 0,
        }
    }

    /// Takes a copy of the header, if it is whole and newer than what is known.
    fn consider(&mut self, key: &LessSafeKey, copy: usize, bytes: &mut [u8; COPY]) {
        let number = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
        let sealed = u64::from_be_bytes(bytes[8..16].try_into().expect("eight bytes"));
        let seal = Seal(bytes[16..16 + Seal::LENGTH].try_into().expect("as long as a seal"));
        let block = &mut bytes[16 + Seal::LENGTH..];
        if number > self.number && seal.open(key, &bound_head(number, sealed), block) {
            self.head.copy_from_slice(block);
            (self.number, self.sealed, self.synced) = (number, sealed, copy);
        }
    }

    /// The seals of a group as they lie on disk.
    fn group(&self, group: u64) -> Vec<u8> {
        let mut bytes = vec![0; BLOCK];
        let seals = self.seals.iter().skip((group * GROUP) as usize);
        for (slot, seal) in bytes.chunks_exact_mut(SLOT).zip(seals) {
            slot[..Seal::LENGTH].copy_from_slice(&seal.0);
        }
        bytes
    }
}

impl<B: StorageBackend> StorageBackend for Sealed<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.look().blocks * BLOCK as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = self.within(offset, out.len())?;
        let mut out = out;
        let mut offset = offset;
        if offset < BLOCK as u64 {
            let from = offset as usize;
            let (head, rest) = out.split_at_mut(out.len().min(BLOCK - from));
            head.copy_from_slice(&self.look().head[from..from + head.len()]);
            (out, offset) = (rest, BLOCK as u64);
        }
        let mut at = 0;
        Self::runs(offset, end, |first, blocks, bytes| {
            let part = &mut out[at..at + bytes.len()];
            at += bytes.len();
            if bytes.len() == blocks * BLOCK {
                return self.read_run(first, part);
            }
            let mut whole = vec![0; blocks * BLOCK];
            self.read_run(first, &mut whole)?;
            part.copy_from_slice(&whole[bytes]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if !len.is_multiple_of(BLOCK as u64) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a sealed file is as long as its blocks"));
        }
        let blocks = len / BLOCK as u64;
        let mut state = self.change();
        self.inner.set_len(below(blocks) * BLOCK as u64)?;
        let cut = blocks < state.blocks;
        state.blocks = blocks;
        let after_head = blocks.saturating_sub(1);
        state.seals.resize(after_head as usize, Seal::NONE);
        let groups = after_head.div_ceil(GROUP);
        state.changed.retain(|group| *group < groups);
        if cut && !after_head.is_multiple_of(GROUP) {
            state.changed.insert(groups - 1);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Nobody who reads is to wait for the disk. redb has one writer, which is the one that syncs.
        let (groups, fresh) = {
            let mut state = self.change();
            let changed = std::mem::take(&mut state.changed);
            let groups: Vec<_> = changed.into_iter().map(|group| (group, state.group(group))).collect();
            (groups, state.fresh.take())
        };
        let done = groups
            .iter()
            .try_for_each(|(group, bytes)| self.inner.write(seals_of(*group), bytes))
            .and_then(|()| self.inner.sync_data());
        let mut state = self.change();
        match (&done, fresh) {
            (Ok(()), Some(copy)) => state.synced = copy,
            (Ok(()), None) => {}
            (Err(_), _) => {
                state.fresh = state.fresh.or(fresh);
                state.changed.extend(groups.into_iter().map(|(group, _)| group));
            }
        }
        done
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = self.within(offset, data.len())?;
        let (mut data, mut offset) = (data, offset);
        if offset < BLOCK as u64 {
            let from = offset as usize;
            let (head, rest) = data.split_at(data.len().min(BLOCK - from));
            if !head.is_empty() {
                self.write_head(from, head)?;
            }
            (data, offset) = (rest, BLOCK as u64);
        }
        let mut at = 0;
        Self::runs(offset, end, |first, blocks, bytes| {
            let mut plain = vec![0; blocks * BLOCK];
            if bytes.start > 0 {
                self.before(first, &mut plain[..BLOCK])?;
            }
            if !bytes.end.is_multiple_of(BLOCK) && (blocks > 1 || bytes.start == 0) {
                let last = (blocks - 1) * BLOCK;
                self.before(first + blocks as u64 - 1, &mut plain[last..])?;
            }
            let part = &data[at..at + bytes.len()];
            at += bytes.len();
            plain[bytes].copy_from_slice(part);
            self.write_run(first, &mut plain)
        })
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
