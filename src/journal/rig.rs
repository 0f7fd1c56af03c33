//! A crash rig: the journal on a disk that dies at every write in turn, loses what was not synced, tears what it was writing,
//! or only fails once. No read that was called committed is lost, and the journal opens every time.

use std::collections::HashMap;
use std::sync::Arc;

use redb::Database;

use super::archive::READS;
use super::record::{Prepared, StoredRead, Which};
use super::tests::{hour, keep, read};
use super::vault::Vault;
use super::*;
use crate::fault::Result;
use crate::seal::disk::{Cache, Disk, How};

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
    let image = blank.image();
    let made = || Disk::of(image.clone());
    let whole = made();
    let mut unit = Unit { disk: &whole, vault: &vault, read: &stored, next: 0, kept: Vec::new() };
    unit.work().expect("a disk that works");
    let operations = whole.operations();
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
            disk.strike(at, how);
            let mut unit = Unit { disk: &disk, vault: &vault, read: &stored, next: 0, kept: Vec::new() };
            let failed = unit.work().is_err();
            // The end of a run closes the file, which may be where it strikes.
            assert!(failed || disk.operations() >= at, "{case}: it does not strike");
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
