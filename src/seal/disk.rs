//! A disk in memory that dies at a chosen operation, loses what was not synced, tears what it was writing, or only fails once:
//! what crash rigs run on.

use std::io::{Error, Result as Io};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const SECTOR: usize = 512;

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum How {
    /// The power goes before it.
    Killed,
    /// The power goes in the middle of it.
    Torn,
    /// It fails, nothing was done, and the next one succeeds.
    Failed,
    /// It fails in the middle, and the next one succeeds.
    Short,
}

/// What the disk's cache gave to the platter before the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cache {
    Lost,
    Written,
    /// Some sectors, in no order.
    Mixed,
}

#[derive(Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Default)]
struct Platter {
    /// What the program sees.
    now: Vec<u8>,
    /// What is there when the power goes.
    synced: Vec<u8>,
    pending: Vec<Pending>,
    operations: u64,
    at: Option<(u64, How)>,
    dead: bool,
}

/// The disk; a clone is the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Platter>>);

fn apply(bytes: &mut Vec<u8>, pending: &Pending) {
    match pending {
        Pending::Length(length) => bytes.resize(*length, 0),
        Pending::Write(at, data) => {
            if bytes.len() < at + data.len() {
                bytes.resize(at + data.len(), 0);
            }
            bytes[*at..at + data.len()].copy_from_slice(data);
        }
    }
}

impl Platter {
    fn put(&mut self, pending: Pending) {
        apply(&mut self.now, &pending);
        self.pending.push(pending);
    }

    /// Counts an operation; whether it is the one that something happens to, and what.
    fn strikes(&mut self) -> Io<Option<How>> {
        if self.dead {
            return Err(Error::other("there is no power"));
        }
        self.operations += 1;
        let strikes = self.at.filter(|(at, _)| *at == self.operations).map(|(_, how)| how);
        self.dead = matches!(strikes, Some(How::Killed | How::Torn));
        Ok(strikes)
    }
}

impl Disk {
    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that holds these bytes, synced.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Platter { now: bytes.clone(), synced: bytes, ..Platter::default() })))
    }

    /// What is synced.
    pub(crate) fn image(&self) -> Vec<u8> {
        self.platter().synced.clone()
    }

    /// How often something was written, synced or made longer or shorter.
    pub(crate) fn operations(&self) -> u64 {
        self.platter().operations
    }

    /// Something is to happen at the operation of that number.
    pub(crate) fn strike(&self, at: u64, how: How) {
        self.platter().at = Some((at, how));
    }

    /// The process is gone, and another one comes; the power was never off, and what was not synced is not yet.
    pub(crate) fn respawn(&self) {
        let mut platter = self.platter();
        (platter.dead, platter.at) = (false, None);
    }

    /// The power is back.
    pub(crate) fn restart(&self, cache: Cache) {
        let mut platter = self.platter();
        let Platter { synced, pending, .. } = &mut *platter;
        for pending in pending.drain(..) {
            match (cache, pending) {
                (Cache::Lost, _) => {}
                (Cache::Written, pending) => apply(synced, &pending),
                (Cache::Mixed, Pending::Write(at, data)) => {
                    let (mut at, mut rest) = (at, &data[..]);
                    while !rest.is_empty() {
                        let (part, behind) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                        if fastrand::bool() {
                            apply(synced, &Pending::Write(at, part.to_vec()));
                        }
                        (at, rest) = (at + part.len(), behind);
                    }
                }
                (Cache::Mixed, length) => {
                    if fastrand::bool() {
                        apply(synced, &length);
                    }
                }
            }
        }
        platter.now = platter.synced.clone();
        (platter.dead, platter.at) = (false, None);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Io<u64> {
        Ok(self.platter().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Io<()> {
        let (platter, at) = (self.platter(), offset as usize);
        let bytes = platter.now.get(at..at + out.len()).ok_or_else(|| Error::other("beyond the end"))?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Io<()> {
        let mut platter = self.platter();
        match platter.strikes()? {
            None => {
                platter.put(Pending::Length(len as usize));
                Ok(())
            }
            Some(how) => Err(Error::other(format!("{how:?}"))),
        }
    }

    fn sync_data(&self) -> Io<()> {
        let mut platter = self.platter();
        if let Some(how) = platter.strikes()? {
            return Err(Error::other(format!("{how:?}")));
        }
        let Platter { synced, pending, .. } = &mut *platter;
        pending.drain(..).for_each(|pending| apply(synced, &pending));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Io<()> {
        let mut platter = self.platter();
        let strikes = platter.strikes()?;
        let done = match strikes {
            None => data,
            Some(How::Killed | How::Failed) => &[],
            Some(How::Torn | How::Short) => &data[..fastrand::usize(0..data.len().max(1))],
        };
        if !done.is_empty() {
            platter.put(Pending::Write(offset as usize, done.to_vec()));
        }
        strikes.map_or(Ok(()), |how| Err(Error::other(format!("{how:?}"))))
    }
}
