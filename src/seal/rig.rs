//! A crash rig: a sealed database on a disk that dies at every write in turn. What was committed is there, nothing else is, and
//! the file opens every time.

use std::collections::{BTreeMap, HashMap};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::disk::{Cache, Disk, How};
use super::tests::key;
use super::*;

const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
const ROUNDS: u64 = 5;

type Rows = BTreeMap<u64, Vec<u8>>;

/// A database that is opened, written to in several transactions, and closed.
struct Work<'a> {
    disk: &'a Disk,
    /// What was committed, and what the commit that was on its way when the disk died would have made of it.
    kept: Rows,
    next: Rows,
    round: u64,
}

fn open(disk: &Disk) -> Result<Database, redb::Error> {
    let sealed = Sealed::open(disk.clone(), &key())?;
    Ok(Database::builder().set_cache_size(64 << 10).create_with_backend(sealed)?)
}

impl<'a> Work<'a> {
    fn on(disk: &'a Disk) -> Self {
        Self { disk, kept: Rows::new(), next: Rows::new(), round: 0 }
    }

    fn run(&mut self) -> Result<(), redb::Error> {
        let database = open(self.disk)?;
        while self.round < ROUNDS {
            // Small rows, a large one that takes several blocks, and in the fourth round most goes again.
            let added = (self.round * 7..).take(12).map(|n| (n, vec![n as u8; if n % 7 == 5 { 12_000 } else { 700 }]));
            let added: Rows = added.collect();
            self.next = self.kept.clone();
            self.next.extend(added.clone());
            if self.round == 3 {
                self.next.retain(|number, _| number % 5 == 0);
            }
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            {
                let mut rows = transaction.open_table(ROWS)?;
                for (number, value) in &added {
                    rows.insert(number, &value[..])?;
                }
                rows.retain(|number, _| self.next.contains_key(&number))?;
            }
            transaction.commit()?;
            self.kept = self.next.clone();
            self.round += 1;
        }
        Ok(())
    }

    /// Everything that was called committed is there, and nothing else, but for a commit that was on its way.
    fn check(&mut self, case: &str) {
        let database = open(self.disk).unwrap_or_else(|error| panic!("{case}: it does not open: {error}"));
        let transaction = database.begin_read().expect("begins");
        let there: Rows = match transaction.open_table(ROWS) {
            Ok(rows) => {
                let rows =
                    rows.iter().expect("reads").map(|row| row.map(|(n, value)| (n.value(), value.value().to_vec())));
                rows.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{case}: {error}"))
            }
            Err(redb::TableError::TableDoesNotExist(_)) => Rows::new(),
            Err(error) => panic!("{case}: {error}"),
        };
        if there == self.next && self.next != self.kept {
            // The power went after the commit and before it was told.
            (self.kept, self.round) = (self.next.clone(), self.round + 1);
        }
        assert!(there == self.kept, "{case}: rows are lost or mixed");
    }
}

#[test]
fn killed_failing_torn_or_short_at_every_write_in_turn_a_sealed_file_opens_with_what_was_committed() {
    let blank = Disk::default();
    drop(Sealed::make(blank.clone(), &key()).expect("made"));
    drop(open(&blank).expect("opened"));
    blank.restart(Cache::Written);
    let image = blank.image();
    let whole = Disk::of(image.clone());
    let mut work = Work::on(&whole);
    work.run().expect("a disk that works");
    let operations = whole.operations();
    work.check("a disk that works");

    let mut counts: HashMap<String, u64> = HashMap::new();
    let caches = [Cache::Lost, Cache::Written, Cache::Mixed, Cache::Mixed, Cache::Mixed];
    let ways = caches.iter().flat_map(|cache| [(How::Killed, Some(*cache)), (How::Torn, Some(*cache))]).chain([
        (How::Failed, None),
        (How::Short, None),
        (How::Killed, None),
    ]);
    for (how, cache) in ways {
        for at in 1..=operations {
            let case = format!("{how:?} at operation {at} of {operations}, cache {cache:?}");
            let disk = Disk::of(image.clone());
            disk.strike(at, how);
            let mut work = Work::on(&disk);
            let failed = work.run().is_err();
            assert!(failed || disk.operations() >= at, "{case}: it does not strike");
            match cache {
                Some(cache) => disk.restart(cache),
                None => disk.respawn(),
            }
            if cache.is_none() && how == How::Killed {
                // Only the process died. Before what it wrote is on the disk, the power goes while the next one works.
                disk.strike(disk.operations() + fastrand::u64(1..30), How::Torn);
                let _ = work.run();
                disk.restart(Cache::Mixed);
            }
            work.check(&case);
            work.run().unwrap_or_else(|error| panic!("{case}: it does not go on: {error}"));
            work.check(&case);
            assert_eq!(work.round, ROUNDS, "{case}");
            *counts.entry(format!("{how:?}, cache {cache:?}")).or_default() += 1;
        }
    }
    let cases: u64 = counts.values().sum();
    println!("{operations} operations a run, {cases} cases: {counts:?}; nothing lost, 0 opens failed");
    assert!(cases >= 2000, "only {cases} cases");
}
