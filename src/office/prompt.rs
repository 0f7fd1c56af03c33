//! How soon what an administrator does counts in a connected car, and how many bytes it costs: real lists, real QUIC on the
//! loopback interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Order, Publication, Service, amend, enrol, init, publish};
use crate::clock::{RealClock, Shared};
use crate::config;
use crate::fault::Result;
use crate::hotlist::{Entry, Hotlist, Mark, Standing};
use crate::sync::car::{Budget, Piece, Revision, Waiting};
use crate::sync::wire::PIECE;
use crate::sync::{Link, Outbox, identity};

/// A car that holds lists and has nothing to send.
pub(super) struct Car {
    pub(super) hotlist: Hotlist,
    identity: PathBuf,
    arriving: Mutex<BTreeMap<(String, u64, u64), Vec<u8>>>,
}

impl Car {
    pub(super) fn new(lists: &Path, identity: &Path, clock: Shared) -> Self {
        let hotlist = Hotlist::open(lists, clock).expect("opened");
        Self { hotlist, identity: identity.to_owned(), arriving: Mutex::default() }
    }

    /// Its link to an office.
    pub(super) fn link(self: &Arc<Self>, office: SocketAddr, clock: Shared) -> Link {
        let settings = config::Office::at(office.to_string(), &self.identity);
        Link::start("EX-01", &settings, Arc::clone(self) as Arc<dyn Outbox>, clock).expect("started")
    }

    /// Bytes that have come of a whole list, unpacked.
    pub(super) fn come(&self, list: &str) -> u64 {
        let arriving = self.arriving.lock().expect("whole");
        arriving.iter().filter(|((of, _, base), _)| of == list && *base == 0).map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

fn key(revision: &Revision) -> (String, u64, u64) {
    (revision.list.clone(), revision.revision, revision.base)
}

impl Outbox for Car {
    fn pending(&self, _: Budget) -> Result<Vec<Waiting>> {
        Ok(Vec::new())
    }

    fn unsent(&self) -> u64 {
        0
    }

    fn acknowledged(&self, _: &[Vec<u8>]) -> Result<()> {
        Ok(())
    }

    fn lists_held(&self) -> Vec<(String, u64)> {
        self.hotlist.status().into_iter().map(|list| (list.id, list.revision)).collect()
    }

    fn take_piece(&self, piece: &Piece) -> Result<()> {
        let mut arriving = self.arriving.lock().expect("whole");
        let kept = arriving.entry(key(&piece.revision)).or_default();
        kept.truncate(piece.offset as usize);
        kept.extend(&piece.bytes);
        Ok(())
    }

    fn apply_list(&self, revision: &Revision) -> Result<()> {
        self.hotlist.trust(vec![identity::lists_key(&self.identity)?]);
        let bytes = self.arriving.lock().expect("whole").remove(&key(revision)).unwrap_or_default();
        self.hotlist.apply(&bytes[..], Some(&revision.list)).map(|_| ())
    }

    fn drop_list(&self, revision: &Revision) {
        self.arriving.lock().expect("whole").remove(&key(revision));
    }
}

/// A VRM of its own for each number below 175,760, in no order.
pub(super) fn vrm(number: usize) -> String {
    let number = number * 48_271 % 175_760;
    let letter = |n: usize| char::from(b'A' + (n % 26) as u8);
    let [a, b, c] = [letter(number), letter(number / 26), letter(number / 676)];
    format!("{a}{b}{:02}{c}XY", 51 + number / 17_576)
}

/// Waits until it is so; gives how long after `since` that was.
pub(super) fn until(since: Instant, what: &str, is_so: impl Fn() -> bool) -> Duration {
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(120), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
    since.elapsed()
}

#[test]
fn a_word_about_one_vehicle_and_a_change_of_ten_thousand_count_in_a_connected_car_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, identity) = (folder.path().join("office"), folder.path().join("identity"));
    let clock: Shared = RealClock::shared();
    init(&data, &[], &*clock).expect("made");
    enrol(&data, "EX-01", &identity, &*clock).expect("enrolled");
    let makes = ["FORD,FOCUS", "VW,GOLF", "BMW,320D", "TOYOTA,YARIS"];
    let row = |number: usize| format!("{},stolen,{},BLUE\n", vrm(number), makes[number % makes.len()]);
    let csv = folder.path().join("pnc.csv");
    let rows: String = (0..30_000).map(row).collect();
    std::fs::write(&csv, format!("vrm,reason,make,model,colour\n{rows}")).expect("written");
    publish(&data, &Publication::of("pnc", &csv, ""), clock.clone()).expect("published");

    let service = Service::start(&data, SocketAddr::from(([127, 0, 0, 1], 0)), clock.clone()).expect("started");
    let car = Arc::new(Car::new(&folder.path().join("car.redb"), &identity, clock.clone()));
    let _link = car.link(service.address(), clock.clone());
    let count = || car.hotlist.status().first().map_or(0, |list| list.count);
    until(Instant::now(), "the list", || count() == 30_000);

    let mark = |number| Mark::parse(&vrm(number)).expect("a mark");
    let order = |remove: Vec<Mark>, set: Vec<Entry>| Order {
        list: "pnc".into(),
        remove,
        set,
        by: "Sgt Example".into(),
        why: "recovered".into(),
        ..Order::default()
    };
    let mut took = Vec::new();
    for number in 0..5 {
        let begun = Instant::now();
        amend(&data, &order(vec![mark(number)], Vec::new()), clock.clone()).expect("amended");
        let gone = || car.hotlist.standing("pnc", &vrm(number)) == Standing::Gone("recovered".into());
        took.push(until(begun, "the withdrawal", gone));
    }
    took.sort();
    println!("one entry taken off, from the command's start to the car: {took:?}");

    let entries: Vec<Entry> = (30_000..35_000)
        .map(|number| Entry { reason: "stolen".into(), make: "FORD".into(), ..Entry::bare(mark(number)) })
        .collect();
    let begun = Instant::now();
    amend(&data, &order((10_000..15_000).map(mark).collect(), entries), clock.clone()).expect("amended");
    let done = Instant::now();
    until(begun, "the change", || {
        car.hotlist.standing("pnc", &vrm(34_999)) == Standing::Listed
            && car.hotlist.standing("pnc", &vrm(10_000)) != Standing::Listed
    });
    let (all, after) = (begun.elapsed(), done.elapsed());
    let infos = service.store().lists().expect("read");
    let change = infos.iter().filter(|info| info.base != 0).max_by_key(|info| info.revision).expect("there");
    let pieces = (0..change.size).step_by(PIECE).map(|offset| {
        let piece = service.store().list_piece("pnc", change.revision, change.base, offset).expect("read");
        piece.expect("there").bytes.len()
    });
    let packed: usize = pieces.sum();
    println!(
        "10,000 entries changed: {} bytes signed, {packed} on the wire; counts {after:?} after the command's end, {all:?} after \
         its start",
        change.size
    );
    assert!(packed < 300_000, "{packed} bytes");
    // Without what loads a machine that tests run on, each is under a second.
    assert!(took[0] < Duration::from_secs(1), "{took:?}");
}
