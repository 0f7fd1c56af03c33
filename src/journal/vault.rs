//! The vault: every value that names a plate, a place or a person is sealed under the key of its day.
//!
//! A master key, locked as [`Key`] says, wraps the day keys; each day has one for reads, one for hits and one for events, since
//! these are kept for different times. Sealing is AES-256-GCM bound to the vault, the table and the row, so that a value
//! cannot be moved. Destroying a day key destroys what it sealed, wherever copies of it lie.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::keyfile::{self, Lock, Slot, Use};
use super::lock::{self, Key, Protection};
use crate::fault::{Fault, Kind, Result};
use crate::people::Cost;
use crate::seal::{self, SealKey, Secret};

/// The file of keys in the data folder.
const FILE: &str = "journal.keys";
/// The first byte of a sealed value. 1 is a plain one, as journals of layout 1 hold.
const SEALED: u8 = 2;
/// Version, key, nonce.
const HEAD: usize = 1 + 4 + NONCE_LEN;
const TAG: usize = 16;

/// A row whose value is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// Run, pass, version.
    Read(u64, u64, u32),
    /// Run, pass, version, which.
    Picture(u64, u64, u32, u8),
    /// Sequence.
    Hit(u64),
    /// Sequence.
    Event(u64),
    /// Number.
    Deed(u64),
    /// What the audit chain is kept with.
    Chain(u8),
    /// Who may sign on.
    People(u8),
    /// What the office set.
    Office(u8),
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(run, pass, _) => write!(f, "read {run}-{pass}"),
            Self::Picture(run, pass, ..) => write!(f, "a picture of read {run}-{pass}"),
            Self::Hit(sequence) => write!(f, "hit {sequence}"),
            Self::Event(sequence) => write!(f, "event {sequence}"),
            Self::Deed(number) => write!(f, "record {number} of the audit chain"),
            Self::Chain(part) => write!(f, "part {part} of what the audit chain is kept with"),
            Self::People(part) => write!(f, "part {part} of who may sign on"),
            Self::Office(part) => write!(f, "part {part} of what the office set"),
        }
    }
}

impl Row {
    /// What sealing binds a value to, beside its vault and key.
    fn name(self, into: &mut Vec<u8>) {
        let numbers = |into: &mut Vec<u8>, table: u8, numbers: &[u64]| {
            into.push(table);
            numbers.iter().for_each(|number| into.extend(number.to_be_bytes()));
        };
        match self {
            Self::Read(run, pass, version) => numbers(into, 1, &[run, pass, version.into()]),
            Self::Picture(run, pass, version, which) => numbers(into, 2, &[run, pass, version.into(), which.into()]),
            Self::Hit(sequence) => numbers(into, 3, &[sequence]),
            Self::Event(sequence) => numbers(into, 4, &[sequence]),
            Self::Deed(number) => numbers(into, 5, &[number]),
            Self::Chain(part) => numbers(into, 6, &[part.into()]),
            Self::People(part) => numbers(into, 7, &[part.into()]),
            Self::Office(part) => numbers(into, 8, &[part.into()]),
        }
    }
}

/// Which day a time lies in, from microseconds since 1970.
pub(super) fn day_of(us: i64) -> i32 {
    // The numbers of days fit by far.
    us.div_euclid(86_400_000_000) as i32
}

/// The number of the key that a value is sealed with; `None` for one that is not sealed.
pub(super) fn key_of(sealed: &[u8]) -> Option<u32> {
    match sealed.split_first_chunk::<5>()? {
        ([SEALED, id @ ..], _) => Some(u32::from_be_bytes(*id)),
        _ => None,
    }
}

/// The keys of a journal, unlocked.
pub(super) struct Vault {
    path: PathBuf,
    id: u64,
    state: RwLock<State>,
}

struct State {
    lock: Lock,
    master: LessSafeKey,
    /// What is in the file; `None` for a slot that makes no sense.
    slots: Vec<Option<Slot>>,
    keys: HashMap<u32, DayKey>,
    newest: HashMap<(Use, i32), u32>,
    /// Keys that were destroyed and whose rows may still be there.
    gone: HashSet<u32>,
    /// Slots of destroyed keys of which no row is left.
    free: Vec<usize>,
    /// What the files of lists are sealed with, once there are any.
    lists: Option<SealKey>,
}

/// A key, and how often it was used since the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub(super) purpose: Use,
    /// Days since 1970.
    pub(super) day: i32,
    pub(super) times: u64,
}

struct DayKey {
    key: Arc<LessSafeKey>,
    index: usize,
    /// How often something was sealed with it since the start.
    uses: u64,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({:?})", self.protection())
    }
}

/// Where the keys of the journal in `folder` lie.
pub(super) fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// What the journal in `folder` is locked with; `None` where there are no keys.
pub(super) fn protection(folder: &Path) -> Result<Option<Protection>> {
    let path = file_in(folder);
    if path.exists() { Ok(Some(keyfile::read(&path)?.0.protection)) } else { Ok(None) }
}

/// Why `key` does not unlock the keys in `folder` now, though it may later: a token that is not there, or another one; a
/// chip that does not answer. `None`: it does. `begun`: whether there is a journal that was locked with it.
pub(super) fn wanting(folder: &Path, key: &Key, begun: bool) -> Result<Option<Fault>> {
    match key {
        // Whoever typed it is there to type it again.
        Key::Beside | Key::Passphrase(_) => return Ok(None),
        Key::Token(token) => {
            if let Err(fault) = lock::read_token(token) {
                return Ok(Some(fault));
            }
        }
        Key::Tpm(_) => {}
    }
    let path = file_in(folder);
    if !path.exists() {
        return Ok(None);
    }
    let (lock, _) = keyfile::read(&path)?;
    if !begun && lock.protection == Protection::None {
        return Ok(None);
    }
    match unlock(&lock, key) {
        Ok(_) => Ok(None),
        Err(fault) if fault.kind() == Kind::Config => Err(fault.at(path.display())),
        Err(fault) => Ok(Some(fault)),
    }
}

impl Vault {
    /// Makes the keys of a new journal.
    pub(super) fn make(folder: &Path, key: &Key) -> Result<Self> {
        let path = file_in(folder);
        let vault = u64::from_be_bytes(seal::random()?).max(1);
        let (lock, master) = new_lock(vault, key)?;
        keyfile::make(&path, &lock, &[])?;
        Ok(Self::assemble(path, lock, aead(&master), Vec::new(), HashMap::new(), None))
    }

    /// Unlocks the keys that are there.
    pub(super) fn open(folder: &Path, key: &Key) -> Result<Self> {
        let path = file_in(folder);
        let (lock, slots) = keyfile::read(&path)?;
        let master = unlock(&lock, key).map_err(|fault| fault.at(path.display()))?;
        let master = aead(&master);
        let (mut secrets, mut lists) = (HashMap::new(), None);
        for slot in slots.iter().flatten() {
            if let Some(wrapped) = slot.wrapped {
                let secret = unwrap(&master, slot.nonce, slot.associated(lock.vault), wrapped).ok_or_else(|| {
                    Fault::new(Kind::Damaged, "a key of the journal was changed")
                        .at(path.display())
                        .because(format!("key {} is not what was written", slot.id))
                })?;
                secrets.insert(slot.id, aead(&secret));
                if slot.purpose == Use::Lists {
                    lists.get_or_insert(SealKey::new(secret));
                }
            }
        }
        Ok(Self::assemble(path, lock, master, slots, secrets, lists))
    }

    fn assemble(
        path: PathBuf,
        lock: Lock,
        master: LessSafeKey,
        slots: Vec<Option<Slot>>,
        secrets: HashMap<u32, LessSafeKey>,
        lists: Option<SealKey>,
    ) -> Self {
        let mut state = State {
            lock,
            master,
            slots: Vec::new(),
            keys: HashMap::new(),
            newest: HashMap::new(),
            gone: HashSet::new(),
            free: Vec::new(),
            lists,
        };
        let mut secrets = secrets;
        for (index, slot) in slots.iter().enumerate() {
            if let Some(slot) = slot {
                match secrets.remove(&slot.id) {
                    Some(key) => state.take(index, slot, key),
                    None => _ = state.gone.insert(slot.id),
                }
            }
        }
        state.slots = slots;
        Self { path, id: state.lock.vault, state: RwLock::new(state) }
    }

    /// Tells these keys from every other journal's.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// What the master key is locked with.
    pub(super) fn protection(&self) -> Protection {
        self.look().lock.protection
    }

    /// Seals `plain`, the value of `row`, under the key of its purpose and day. A key that is not there yet is made, and on
    /// disk before this returns.
    pub(super) fn seal(&self, purpose: Use, day: i32, row: Row, plain: &[u8]) -> Result<Vec<u8>> {
        let (id, key) = self.key_for(purpose, day)?;
        // A day key seals some 2^26 values at most; nonces drawn at random meet with odds of 1 in 2^45.
        let nonce = seal::random::<NONCE_LEN>()?;
        let mut out = Vec::with_capacity(HEAD + plain.len() + TAG);
        out.push(SEALED);
        out.extend(id.to_be_bytes());
        out.extend(nonce);
        out.extend(plain);
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), self.bound(id, row), &mut out[HEAD..])
            .map_err(|_| Fault::new(Kind::Internal, "a value could not be sealed").because(row.to_string()))?;
        out.extend(tag.as_ref());
        Ok(out)
    }

    /// What was sealed as the value of `row`. `None` once its key is destroyed.
    ///
    /// # Errors
    /// Why it is not what was written there.
    pub(super) fn open_value(&self, row: Row, sealed: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let wrong = || format!("{row} was changed, or moved here from another place");
        let id = key_of(sealed).filter(|_| sealed.len() >= HEAD + TAG).ok_or_else(wrong)?;
        let key = {
            let state = self.look();
            match state.keys.get(&id) {
                Some(day) => day.key.clone(),
                None if state.gone.contains(&id) => return Ok(None),
                None => return Err(format!("the key of {row} is missing")),
            }
        };
        let nonce = sealed[5..HEAD].try_into().expect("as long as a nonce");
        let mut plain = sealed[HEAD..].to_vec();
        let length = key
            .open_in_place(Nonce::assume_unique_for_key(nonce), self.bound(id, row), &mut plain)
            .map_err(|_| wrong())?
            .len();
        plain.truncate(length);
        Ok(Some(plain))
    }

    /// What a key is for, and its day.
    pub(super) fn describes(&self, id: u32) -> Option<(Use, i32)> {
        let state = self.look();
        let slot = state.slots.get(state.keys.get(&id)?.index)?.as_ref()?;
        Some((slot.purpose, slot.day))
    }

    /// The keys that are there, and how often each was used: what [`Self::destroy`] is to be told.
    pub(super) fn uses(&self) -> HashMap<u32, Used> {
        let state = self.look();
        let used = state.keys.iter().filter_map(|(id, key)| {
            let slot = state.slots.get(key.index)?.as_ref()?;
            Some((*id, Used { purpose: slot.purpose, day: slot.day, times: key.uses }))
        });
        used.collect()
    }

    /// Destroys the named keys, on disk before this returns; one that has been used since `uses` were counted stays. Gives
    /// what each was for, and its day.
    pub(super) fn destroy(&self, ids: &[u32], uses: &HashMap<u32, Used>) -> Result<Vec<(Use, i32)>> {
        let mut state = self.change();
        let mut dead = Vec::new();
        for id in ids {
            let Some(day) = state.keys.get(id).filter(|day| uses.get(id).is_some_and(|used| used.times == day.uses))
            else {
                continue;
            };
            if let Some(slot) = state.slots.get(day.index).copied().flatten() {
                dead.push((day.index, Slot { nonce: [0; NONCE_LEN], wrapped: None, ..slot }));
            }
        }
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        keyfile::write_slots(&self.path, self.id, &dead)?;
        for (index, slot) in &dead {
            state.keys.remove(&slot.id);
            state.newest.retain(|_, id| *id != slot.id);
            state.gone.insert(slot.id);
            state.slots[*index] = Some(*slot);
        }
        Ok(dead.into_iter().map(|(_, slot)| (slot.purpose, slot.day)).collect())
    }

    /// No row of a destroyed key is left, but for records of the audit chain, which stay: the slots of the others may be used
    /// again.
    pub(super) fn swept(&self) {
        let mut state = self.change();
        let dead = state
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.is_some_and(|slot| slot.wrapped.is_none() && slot.purpose != Use::Deeds));
        state.free = dead.map(|(index, _)| index).collect();
    }

    /// Locks the journal with `key` from now on, under a new master key.
    pub(super) fn lock_with(&self, key: &Key) -> Result<()> {
        let mut state = self.change();
        let (lock, master) = new_lock(self.id, key)?;
        let master = aead(&master);
        let mut slots = state.slots.clone();
        for slot in slots.iter_mut().flatten() {
            if let Some(wrapped) = slot.wrapped {
                let secret = unwrap(&state.master, slot.nonce, slot.associated(self.id), wrapped).ok_or_else(|| {
                    Fault::new(Kind::Internal, "a key of the journal is not what was read").at(self.path.display())
                })?;
                slot.nonce = seal::random()?;
                slot.wrapped = Some(wrap(&master, slot.nonce, slot.associated(self.id), &secret));
            }
        }
        let cannot = |error| Fault::io("cannot write the journal's keys", &self.path, error);
        let before = OpenOptions::new().write(true).open(&self.path).map_err(cannot)?;
        keyfile::make(&self.path, &lock, &slots)?;
        // The new file is in its place: what the earlier lock wrapped goes.
        seal::overwrite(&before).map_err(cannot)?;
        (state.lock, state.master, state.slots) = (lock, master, slots);
        Ok(())
    }

    /// What the files of lists are sealed with. A key that is not there yet is made, and on disk before this returns.
    pub(super) fn lists_seal(&self) -> Result<SealKey> {
        let mut state = self.change();
        if let Some(key) = &state.lists {
            return Ok(key.clone());
        }
        let key = SealKey::new(self.make_key(&mut state, Use::Lists, 0)?.1);
        state.lists = Some(key.clone());
        Ok(key)
    }

    /// Makes a key and puts it on disk; gives its number.
    fn make_key(&self, state: &mut State, purpose: Use, day: i32) -> Result<(u32, Secret)> {
        let secret = Zeroizing::new(seal::random::<32>()?);
        let id = 1 + state.slots.iter().flatten().map(|slot| slot.id).max().unwrap_or(0);
        let mut slot = Slot { id, purpose, day, nonce: seal::random()?, wrapped: None };
        slot.wrapped = Some(wrap(&state.master, slot.nonce, slot.associated(self.id), &secret));
        // The slot with the highest number stays, so that no number comes twice.
        let is_older = |index: &usize| state.slots.get(*index).copied().flatten().is_some_and(|dead| dead.id != id - 1);
        let index = state.free.iter().copied().find(is_older).unwrap_or(state.slots.len());
        keyfile::write_slots(&self.path, self.id, &[(index, slot)])?;
        if index == state.slots.len() {
            state.slots.push(None);
        }
        state.free.retain(|free| *free != index);
        state.slots[index] = Some(slot);
        state.take(index, &slot, aead(&secret));
        Ok((id, secret))
    }

    fn key_for(&self, purpose: Use, day: i32) -> Result<(u32, Arc<LessSafeKey>)> {
        let mut state = self.change();
        let id = match state.newest.get(&(purpose, day)) {
            Some(id) => *id,
            None => self.make_key(&mut state, purpose, day)?.0,
        };
        let day =
            state.keys.get_mut(&id).ok_or_else(|| Fault::new(Kind::Internal, "a key of the journal is missing"))?;
        day.uses += 1;
        Ok((id, day.key.clone()))
    }

    fn bound(&self, key: u32, row: Row) -> Aad<Vec<u8>> {
        let mut bytes = self.id.to_be_bytes().to_vec();
        bytes.extend(key.to_be_bytes());
        row.name(&mut bytes);
        Aad::from(bytes)
    }

    fn look(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, index: usize, slot: &Slot, key: LessSafeKey) {
        let newest = self.newest.entry((slot.purpose, slot.day)).or_default();
        *newest = (*newest).max(slot.id);
        self.keys.insert(slot.id, DayKey { key: Arc::new(key), index, uses: 0 });
    }
}

/// A new master key, and the lock that `key` opens.
fn new_lock(vault: u64, key: &Key) -> Result<(Lock, Secret)> {
    let beside = match key {
        Key::Beside => seal::random()?,
        _ => [0; 32],
    };
    let mut lock = Lock {
        vault,
        protection: key.protection(),
        cost: Cost::USUAL,
        salt: seal::random()?,
        beside,
        nonce: seal::random()?,
        wrapped: [0; 48],
        sealed: Vec::new(),
    };
    let master = Zeroizing::new(seal::random()?);
    let locking = match key {
        Key::Tpm(tpm) => {
            let (secret, sealed) = tpm.seal()?;
            lock.sealed = sealed;
            seal::derived(&*secret, &lock.salt, lock::TPM)
        }
        _ => lock::locking_key(key, &lock.salt, lock.cost, &lock.beside, &[])?,
    };
    let locking = aead(&locking);
    lock.wrapped = wrap(&locking, lock.nonce, lock.associated(), &master);
    Ok((lock, master))
}

fn unlock(lock: &Lock, key: &Key) -> Result<Secret> {
    if lock.protection != key.protection() {
        let has = match lock.protection {
            Protection::None => "it is not protected: its key lies beside it",
            Protection::Passphrase => "it is locked with a passphrase",
            Protection::Token => "it is locked with a key file",
            Protection::Tpm => "it is locked with the computer's TPM",
        };
        return Err(Fault::new(Kind::Config, "the journal is locked otherwise").because(has).remedy(match key {
            Key::Beside => "Set `key` under [journal] in the configuration, or give --passphrase-file or --key-file",
            Key::Passphrase(_) | Key::Token(_) | Key::Tpm(_) if lock.protection == Protection::None => {
                "Lock it first: see outrider journal lock --help"
            }
            Key::Passphrase(_) | Key::Token(_) | Key::Tpm(_) => {
                "Unlock it with what it is locked with, or see outrider journal lock --help"
            }
        }));
    }
    let locking = lock::locking_key(key, &lock.salt, lock.cost, &lock.beside, &lock.sealed)?;
    let locking = aead(&locking);
    unwrap(&locking, lock.nonce, lock.associated(), lock.wrapped).ok_or_else(|| match key {
        Key::Beside => Fault::new(Kind::Damaged, "the journal's lock makes no sense"),
        Key::Passphrase(_) => {
            Fault::new(Kind::Denied, "the passphrase does not unlock the journal").remedy("Type it again")
        }
        Key::Token(token) => Fault::new(Kind::Denied, "the key file does not unlock the journal")
            .because(format!("{} is another one", token.display()))
            .remedy("Put the token in that this journal was locked with"),
        Key::Tpm(_) => Fault::new(Kind::Damaged, "what the TPM gives does not unlock the journal"),
    })
}

fn aead(secret: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, secret).expect("32 bytes are a key"))
}

fn wrap(key: &LessSafeKey, nonce: [u8; NONCE_LEN], bound: Vec<u8>, secret: &[u8; 32]) -> [u8; 48] {
    let mut out = [0; 48];
    out[..32].copy_from_slice(secret);
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut out[..32])
        .expect("32 bytes are not too long");
    out[32..].copy_from_slice(tag.as_ref());
    out
}

fn unwrap(key: &LessSafeKey, nonce: [u8; NONCE_LEN], bound: Vec<u8>, mut wrapped: [u8; 48]) -> Option<Secret> {
    let plain = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut wrapped).ok()?;
    let secret = Zeroizing::new(<[u8; 32]>::try_from(&*plain).ok()?);
    Some(secret)
}
