//! A store that is cut off at any write comes back with one revision or the other.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use redb::{Database, StorageBackend};

use super::super::revision::tests::{bytes, key};
use super::model::content;
use super::*;
use crate::seal::{SealKey, Sealed};

/// A disk in memory that stops taking writes after so many, and remembers what it had synced by then.
#[derive(Debug, Clone)]
struct Disk(Arc<Mutex<Image>>);

#[derive(Debug, Clone)]
struct Image {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync.
    loose: Vec<(u64, Vec<u8>)>,
    writes: usize,
    limit: usize,
}

impl Disk {
    fn of(bytes: Vec<u8>, limit: usize) -> Self {
        let image = Image { now: bytes.clone(), synced: bytes, loose: Vec::new(), writes: 0, limit };
        Self(Arc::new(Mutex::new(image)))
    }

    fn image(&self) -> Image {
        self.0.lock().expect("whole").clone()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Image) -> io::Result<T>) -> io::Result<T> {
        act(&mut self.0.lock().expect("whole"))
    }
}

impl Image {
    fn count(&mut self) -> io::Result<()> {
        self.writes += 1;
        if self.writes > self.limit { Err(io::Error::other("the power is cut")) } else { Ok(()) }
    }
}

fn put(bytes: &mut [u8], offset: u64, data: &[u8]) {
    bytes[offset as usize..][..data.len()].copy_from_slice(data);
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        self.with(|image| Ok(image.now.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.with(|image| {
            out.copy_from_slice(&image.now[offset as usize..][..out.len()]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.with(|image| {
            image.count()?;
            image.now.resize(len as usize, 0);
            // The length is there at once on the disks that matter; what was written may not be.
            image.synced.resize(len as usize, 0);
            image.loose.retain(|(offset, data)| offset + data.len() as u64 <= len);
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.with(|image| {
            image.count()?;
            image.synced = image.now.clone();
            image.loose.clear();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.with(|image| {
            image.count()?;
            put(&mut image.now, offset, data);
            image.loose.push((offset, data.to_vec()));
            Ok(())
        })
    }
}

/// Sealed, as a car has it.
fn open(disk: &Disk) -> crate::fault::Result<Hotlist> {
    let (path, key) = (Path::new("disk"), SealKey::new(zeroize::Zeroizing::new([7; 32])));
    let is_new = disk.image().now.is_empty();
    let sealed = if is_new { Sealed::make(disk.clone(), &key) } else { Sealed::open(disk.clone(), &key) };
    let sealed = sealed.map_err(|error| crate::fault::Fault::io("open", path, error))?;
    // A small cache, so that much is written before the end of the transaction.
    let database = Database::builder().set_cache_size(64 << 10).create_with_backend(sealed);
    Hotlist::over(database.map_err(|error| crate::fault::Fault::database("open", path, error))?, path, clock())
}

/// What is found on a disk after `change` was cut off at each of its writes: as a killed process leaves it, and as a power
/// cut does, some of what was not synced lost.
fn cut_everywhere(
    before: &[u8],
    change: impl Fn(&Hotlist) -> crate::fault::Result<()>,
    each: impl Fn(&Hotlist),
) -> usize {
    let whole = Disk::of(before.to_vec(), usize::MAX);
    let opened = {
        let hotlist = open(&whole).expect("opened");
        let opened = whole.image().writes;
        change(&hotlist).expect("nothing is cut");
        opened
    };
    let writes = whole.image().writes;
    let mut random = fastrand::Rng::with_seed(1);
    for limit in opened..writes {
        let disk = Disk::of(before.to_vec(), limit);
        let done = {
            let hotlist = open(&disk).expect("opened");
            change(&hotlist).is_ok()
        };
        let image = disk.image();
        let mut lost = image.synced.clone();
        for (offset, data) in image.loose.iter().filter(|_| random.bool()) {
            put(&mut lost, *offset, data);
        }
        for (what, bytes) in [("killed", image.now), ("power cut", lost)] {
            let hotlist =
                open(&Disk::of(bytes, usize::MAX)).unwrap_or_else(|fault| panic!("{what} at {limit}: {fault}"));
            each(&hotlist);
            if done {
                assert_eq!(hotlist.status()[0].revision, 2, "{what} at {limit}: what was done is lost");
            }
        }
    }
    writes - opened
}

fn sheet(reason: &str, from: usize) -> String {
    let lines: String = (from..from + 400).map(|n| format!("AB{:02}C{:02},{reason}\n", n % 90 + 10, n / 90)).collect();
    format!("vrm,reason\n{lines}A?*,{reason}\n")
}

#[test]
fn cut_off_at_any_write_of_an_import_or_a_change_it_has_one_revision_or_the_other() {
    let empty = Disk::of(Vec::new(), usize::MAX);
    drop(open(&empty).expect("made"));
    let key = key();
    let office = Disk::of(empty.image().now, usize::MAX);
    let office = open(&office).expect("opened");
    let publish = |text: &str| {
        let published = office.publish("pnc", text.as_bytes(), Path::new("x"), &ImportOptions::default(), &key);
        let published = published.expect("published").1.expect("not a trial");
        (bytes(published.whole), published.change.map(|(_, change)| bytes(change)))
    };
    let first = publish(&sheet("one", 0));
    let first_content = content(&office, "pnc");
    let mut lines = sheet("one", 40);
    lines.push_str("XY12ABC,two\n");
    let second = publish(&lines);
    let second_content = content(&office, "pnc");
    let change = second.1.expect("a change");

    let disk = Disk::of(empty.image().now, usize::MAX);
    {
        let car = open(&disk).expect("opened");
        car.trust(vec![key.verifying()]);
        // Numbered 1, as the office did.
        car.apply(&first.0[..], None).expect("applied");
    }
    let before = disk.image().now;
    let either = |hotlist: &Hotlist| {
        let found = content(hotlist, "pnc");
        match hotlist.status()[0].revision {
            1 => assert!(found == first_content, "revision 1 is a mixture"),
            2 => assert!(found == second_content, "revision 2 is a mixture"),
            other => panic!("revision {other}"),
        }
        let vrms: BTreeSet<_> = found.iter().map(|(vrm, _)| vrm).collect();
        assert_eq!(vrms.len(), found.len());
    };
    let trusting = |car: &Hotlist, bytes: &[u8]| {
        car.trust(vec![key.verifying()]);
        car.apply(bytes, None).map(|_| ())
    };
    let by_change = cut_everywhere(&before, |car| trusting(car, &change), either);
    let by_whole = cut_everywhere(&before, |car| trusting(car, &second.0), either);
    let by_import = cut_everywhere(
        &before,
        |car| car.import("pnc", lines.as_bytes(), Path::new("x"), &ImportOptions::default()).map(|_| ()),
        either,
    );
    for writes in [by_change, by_whole, by_import] {
        assert!(writes > 10, "only {writes} writes were cut");
    }
}
