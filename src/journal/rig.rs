//! A crash rig: the journal on a disk that dies at every write in turn, loses what was not synced, tears what it was writing,
//! or only fails once. No read that was called committed is lost, and the journal opens every time.

use std::collections::HashMap;
use std::io::{Error, Result as Io};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Database, StorageBackend};

use super::archive::READS;
use super::record::{Prepared, StoredRead, Which};
use super::tests::{hour, keep, read};
use super::vault::Vault;
use super::*;
use crate::fault::Result;

const SECTOR: usize = 512;

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum How {
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
enum Cache {
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
struct Disk(Arc<Mutex<Platter>>);

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

    /// The power is back.
    fn restart(&self, cache: Cache) {
        let mut platter = self.platter();
        let Platter { synced, pending, .. } = &mut *platter;
        for pending in pending.drain(..) {
            match (cache, pending) {
                (Cache::Lost, _) => {}
                (Cache::Written, pending) => apply(synced, &pending),
                (Cache::Mixed, Pending::Write(at, data)) => {
                    for (index, sector) in data.chunks(SECTOR).enumerate() {
                        if fastrand::bool() {
                            apply(synced, &Pending::Write(at + index * SECTOR, sector.to_vec()));
                        }
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

const BATCHES: u64 = 5;
const READS_EACH: u64 = 3;

/// A unit on the disk: it commits, hears from the office, and purges.
struct Unit<'a> {
    disk: &'a Disk,
    vault: &'a Arc<Vault>,
    /// What each read is like.
    read: &'a StoredRead,
    /// The batch that comes next.
    next: u64,
    /// Passes that were called committed.
    kept: Vec<u64>,
}

impl Unit<'_> {
    fn open(&self) -> Result<Archive> {
        let database = Database::builder().set_cache_size(1 << 20).create_with_backend(self.disk.clone());
        let database = database.map_err(|error| crate::fault::Fault::database("cannot open", "rig".as_ref(), error))?;
        Archive::over(database, self.vault.clone())
    }

    /// Works from where it is to the end, or until the disk fails.
    fn work(&mut self) -> Result<()> {
        let archive = self.open()?;
        while self.next < BATCHES {
            let passes: Vec<u64> = (1..=READS_EACH).map(|n| self.next * READS_EACH + n).collect();
            let batch: Vec<Prepared> = passes
                .iter()
                .map(|pass| {
                    let jpeg = [&[0xff, 0xd8][..], &vec![*pass as u8; 3000]].concat();
                    let read = StoredRead { pass: *pass, ..self.read.clone() };
                    Prepared::Read { read, pictures: vec![(Which::Patch, jpeg)] }
                })
                .collect();
            archive.commit(&batch)?;
            self.kept.extend(passes);
            self.next += 1;
            let keys: Vec<_> = archive.pending(2, usize::MAX)?.into_iter().map(|item| item.key).collect();
            archive.acknowledge(&keys)?;
            if self.next == BATCHES / 2 {
                // Nothing is old enough to go; the run is noted.
                archive.purge(hour(1), &keep(true))?;
            }
        }
        Ok(())
    }

    /// Everything that was called committed is there, and the journal is whole and goes on.
    fn check(&mut self, case: &str) {
        let archive = self.open().unwrap_or_else(|fault| panic!("{case}: it does not open: {fault}"));
        archive.verify().unwrap_or_else(|fault| panic!("{case}: {fault}"));
        let kept = &self.kept;
        let there = archive.read("test", |transaction| {
            let reads = transaction.open_table(READS)?;
            for pass in kept {
                assert!(reads.get((1, *pass, 0))?.is_some(), "{case}: read {pass} is lost");
            }
            Ok(())
        });
        there.unwrap_or_else(|fault| panic!("{case}: {fault}"));
    }
}

#[test]
fn killed_failing_torn_or_short_at_every_write_in_turn_nothing_that_was_acknowledged_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = Arc::new(Vault::make(folder.path(), &Key::Beside).expect("made"));
    let Prepared::Read { read: stored, .. } =
        Prepared::new(Record::Read(Box::new(read(1, 1, "AB12CDE", hour(0)))), 1, 1)
    else {
        unreachable!("a read is prepared as a read")
    };
    // As `make` leaves it: a database that is empty, and whole.
    let blank = Disk::default();
    drop(Database::builder().create_with_backend(blank.clone()).expect("made"));
    blank.restart(Cache::Written);
    let image = blank.platter().synced.clone();
    let made = || {
        let disk = Disk::default();
        let mut platter = disk.platter();
        (platter.now, platter.synced) = (image.clone(), image.clone());
        drop(platter);
        disk
    };
    let whole = made();
    let mut unit = Unit { disk: &whole, vault: &vault, read: &stored, next: 0, kept: Vec::new() };
    unit.work().expect("a disk that works");
    let operations = whole.platter().operations;
    unit.check("a disk that works");

    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut acknowledged = 0;
    let ways = [Cache::Lost, Cache::Written, Cache::Mixed, Cache::Mixed]
        .iter()
        .flat_map(|cache| [(How::Killed, *cache), (How::Torn, *cache)])
        .chain([(How::Failed, Cache::Written), (How::Short, Cache::Written)]);
    for (how, cache) in ways {
        for at in 1..=operations {
            let case = format!("{how:?} at operation {at} of {operations}, cache {cache:?}");
            let disk = made();
            disk.platter().at = Some((at, how));
            let mut unit = Unit { disk: &disk, vault: &vault, read: &stored, next: 0, kept: Vec::new() };
            let failed = unit.work().is_err();
            // The end of a run closes the file, which may be where it strikes.
            assert!(failed || disk.platter().operations >= at, "{case}: it does not strike");
            if matches!(how, How::Killed | How::Torn) {
                disk.restart(cache);
            }
            unit.check(&case);
            // What was not called committed is written again, as the writer does.
            unit.work().unwrap_or_else(|fault| panic!("{case}: it does not go on: {fault}"));
            assert_eq!(unit.kept.len() as u64, BATCHES * READS_EACH, "{case}");
            unit.check(&case);
            acknowledged += unit.kept.len();
            *counts.entry(format!("{how:?}, cache {cache:?}")).or_default() += 1;
        }
    }
    let cases: u64 = counts.values().sum();
    println!(
        "{operations} operations a run, {cases} cases: {counts:?}; {acknowledged} reads acknowledged, 0 lost, 0 opens failed"
    );
    assert!(cases >= 1000, "only {cases} cases");
}
