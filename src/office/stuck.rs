//! An office whose disk takes nothing for a while: a car that comes back is spoken to all the same, though its last connection
//! has things that no one takes; and when the disk takes again, everything is there once.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::floods::{Rough, Upload};
use super::loopback::{Memory, Yard, anywhere, connected, wait, wait_until};
use super::{ListInfo, Outcome, Received, RedbStore, Service, Store, Stored, StoredPiece, UnitCounts, offer_revision};
use crate::fault::Result;
use crate::sync::Kind;
use crate::sync::wire::{Code, encode};

/// A store in which nothing can be put while it is shut.
struct Door {
    store: RedbStore,
    shut: Mutex<bool>,
    opened: Condvar,
}

impl Door {
    fn set(&self, shut: bool) {
        *self.shut.lock().expect("whole") = shut;
        self.opened.notify_all();
    }
}

impl Store for Door {
    fn put(&self, received: &[Received], at: DateTime<Utc>) -> Result<Vec<Outcome>> {
        drop(self.opened.wait_while(self.shut.lock().expect("whole"), |shut| *shut).expect("whole"));
        self.store.put(received, at)
    }

    fn count_by_unit(&self) -> Result<BTreeMap<String, UnitCounts>> {
        self.store.count_by_unit()
    }

    fn keys(&self, unit: &str, kind: Kind) -> Result<Vec<Vec<u8>>> {
        self.store.keys(unit, kind)
    }

    fn get(&self, unit: &str, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.store.get(unit, kind, key)
    }

    fn beside(&self, unit: &str, kind: Kind, key: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.store.beside(unit, kind, key)
    }

    fn arrived(&self, kind: Kind, after: u64) -> Result<Vec<Stored>> {
        self.store.arrived(kind, after)
    }

    fn put_list(&self, list: &str, revision: u64, bytes: &mut dyn Read) -> Result<ListInfo> {
        self.store.put_list(list, revision, bytes)
    }

    fn put_change(&self, list: &str, revision: u64, base: u64, bytes: &mut dyn Read) -> Result<ListInfo> {
        self.store.put_change(list, revision, base, bytes)
    }

    fn lists(&self) -> Result<Vec<ListInfo>> {
        self.store.lists()
    }

    fn list_piece(&self, list: &str, revision: u64, base: u64, offset: u64) -> Result<Option<StoredPiece>> {
        self.store.list_piece(list, revision, base, offset)
    }
}

/// Opens the door however the test ends: an office that ends waits for its store.
struct Opening(Arc<Door>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Sends reads, as large as they may be, until none is taken any more. Gives how many were sent whole.
async fn fill(rough: &Rough) -> u64 {
    let mut reads = rough.connection.open_uni().await.expect("opened");
    reads.write_all(&[2]).await.expect("written");
    for number in 0u64.. {
        let mut bytes = Vec::new();
        let payload = vec![number as u8; 900_000];
        encode(&Upload { kind: 2, key: number.to_be_bytes().to_vec(), payload }, &mut bytes);
        if tokio::time::timeout(Duration::from_secs(1), reads.write_all(&bytes)).await.is_err() {
            return number;
        }
    }
    unreachable!("an office takes no end of reads that it cannot store")
}

#[test]
fn a_car_that_comes_back_is_spoken_to_though_its_last_connection_is_stuck() {
    let yard = Yard::new();
    let mut door = None;
    let service = Service::over(&yard.data(), anywhere(), Arc::clone(&yard.clock), |path| {
        let store = RedbStore::open(path)?;
        let opened = Arc::new(Door { store, shut: Mutex::new(true), opened: Condvar::new() });
        door = Some(Arc::clone(&opened));
        Ok(opened)
    });
    let (service, door) = (service.expect("started"), door.expect("opened"));
    let _opening = Opening(Arc::clone(&door));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (rough, sent) = runtime.block_on(async {
        let rough = Rough::greeting(&yard.identity(), "EX-01", service.address()).await;
        let sent = fill(&rough).await;
        (rough, sent)
    });
    assert!(sent >= 4, "{sent}");

    offer_revision(&yard.data(), "stolen", 3, &vec![3; 300_000][..]).expect("offered");
    let outbox = Arc::new(Memory::default());
    outbox.add(Kind::Hit, 1, 100);
    let begun = Instant::now();
    let link = yard.link(service.address(), &outbox);
    wait(&link, "the list", |status| status.lists == [("stolen".to_owned(), 3)]);
    println!(
        "beside a stuck connection of the same car, a list is there {:?} after the start of the next",
        begun.elapsed()
    );
    assert!(connected(&link.status()) && link.status().acknowledged == 0, "nothing is acknowledged that is not stored");
    let end = runtime.block_on(rough.connection.closed());
    assert!(
        matches!(&end, quinn::ConnectionError::ApplicationClosed(close) if close.error_code == Code::Replaced.number().into()),
        "{end}"
    );

    door.set(false);
    wait(&link, "the hit", |status| status.unsent == 0);
    wait_until("the rest", || service.counts().is_ok_and(|counts| counts["EX-01"].reads > 0));
    drop(link);
    service.stop();
    let counts = door.count_by_unit().expect("read")["EX-01"];
    assert!(counts.reads <= sent && (counts.hits, counts.duplicates, counts.conflicts) == (1, 0, 0), "{counts:?}");
    for key in door.keys("EX-01", Kind::Read).expect("read") {
        let number = u64::from_be_bytes(key[..].try_into().expect("a number"));
        assert_eq!(door.get("EX-01", Kind::Read, &key).expect("read"), Some(vec![number as u8; 900_000]));
    }
}
