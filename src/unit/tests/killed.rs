//! Car and office as processes of their own, with real files and a real link between them, over a network that gets worse
//! and is cut; either is killed at any instant. No read may be lost or doubled. `OUTRIDER_KILL_ROUNDS` sets how many rounds.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use prost::Message;

use super::super::outbox::Store;
use super::*;
use crate::clock::RealClock;
use crate::office::{self, Publication, RedbStore, Store as _};
use crate::road::{Conditions, Relay};
use crate::sync::{Kind as Sent, Link, Outbox};

/// Tell a child what it is: the folder, and where the office is or is to be.
const FOLDER: &str = "OUTRIDER_KILLED_FOLDER";
const OFFICE: &str = "OUTRIDER_KILLED_OFFICE";
/// Set for the last car: it makes nothing new, and says when everything is delivered.
const LAST: &str = "OUTRIDER_KILLED_LAST";
const UNIT: &str = "EX-01";
const LIST: &str = "stolen";
const PATIENCE: Duration = Duration::from_secs(120);

fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Run by the test below in a process of its own.
#[test]
#[ignore = "is killed"]
fn child_that_is_the_office() {
    let (Some(folder), Some(listen)) = (told(FOLDER), told(OFFICE)) else { return };
    let data = Path::new(&folder).join("office");
    let listen: SocketAddr = listen.parse().expect("an address");
    let for_ever = std::future::pending();
    office::serve(&data, listen, RealClock::shared(), for_ever, |at| println!("said serving {at}")).expect("served");
}

/// Run by the test below in a process of its own: a journal and a hotlist as in the car, and the link over both.
#[test]
#[ignore = "is killed"]
fn child_that_is_the_car() {
    let (Some(folder), Some(address)) = (told(FOLDER), told(OFFICE)) else { return };
    let folder = Path::new(&folder);
    let (data, clock) = (folder.join("data"), RealClock::shared());
    let journal = Arc::new(Journal::open(&data, clock.clone()).expect("opened"));
    let hotlist = Arc::new(Hotlist::open(&data.join("hotlist.redb"), clock.clone()).expect("opened"));
    let settings = config::Office { address, identity: folder.join("identity") };
    let store = Arc::new(Store::new(&journal, &hotlist, &settings, &data, clock.clone()).expect("made"));
    let outbox: Arc<dyn Outbox> = store.clone();
    let link = Link::start(UNIT, &settings, outbox, clock.clone()).expect("started");
    if told(LAST).is_some() {
        let held =
            |revision: &str| store.lists_held().iter().any(|(list, held)| list == LIST && held.to_string() == revision);
        while store.unsent() > 0 || !told(LAST).is_some_and(|revision| held(&revision)) {
            clock.sleep(Duration::from_millis(20));
        }
        return println!("said delivered");
    }
    for pass in 1.. {
        let (run, when) = (journal.run(), When { utc: clock.utc(), trusted: true });
        let mut read = read(pass, if pass % 5 == 0 { "AB12CDE" } else { "CD34EFG" });
        read.id.run = run;
        let hit = hotlist.match_read(&read, when.utc).into_iter().next();
        let tagged = TaggedRead { read, when, place: None, drill: false };
        journal.record(Record::Read(Box::new(tagged.clone()))).expect("taken");
        if let Some(hit) = hit {
            journal.record(Record::Hit { read: Box::new(tagged), hit: Box::new(hit) }).expect("taken");
        }
        link.nudge();
        if fastrand::u8(..) < 100 {
            journal.flush().expect("on disk");
            println!("said kept {run} {pass}");
        }
        clock.sleep(Duration::from_millis(fastrand::u64(1..15)));
    }
}

/// A child and what it says.
struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Process {
    fn start(test: &str, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([&format!("unit::tests::killed::{test}"), "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (say, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // The harness writes before the first line, on the same one.
            let said = output.lines().map_while(Result::ok);
            said.filter_map(|line| Some(line.split_once("said ")?.1.to_owned())).all(|said| say.send(said).is_ok());
        });
        Self { child, lines }
    }

    fn wait_for(&self, what: &str) {
        while !self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it never said {what:?}")).starts_with(what)
        {
        }
    }

    /// Kills it where it stands; gives the rest of what it said.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
        self.lines.iter().collect()
    }
}

/// What a stored read or hit is of, as `journal/record.rs` has it.
#[derive(Clone, PartialEq, Message)]
struct Pass {
    #[prost(uint64, tag = "1")]
    run: u64,
    #[prost(uint64, tag = "2")]
    pass: u64,
}

#[test]
fn whatever_is_cut_and_whoever_is_killed_no_read_is_lost_or_doubled() {
    let rounds = told("OUTRIDER_KILL_ROUNDS").and_then(|rounds| rounds.parse().ok()).unwrap_or(40);
    let seed = told("OUTRIDER_KILL_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let (data, clock) = (folder.path().join("office"), RealClock::shared());
    office::init(&data, &[], &*clock).expect("made");
    office::enrol(&data, UNIT, &folder.path().join("identity"), &*clock).expect("enrolled");
    let csv = folder.path().join("list.csv");
    let publish = || {
        std::fs::write(&csv, "vrm,reason,priority\nAB12CDE,stolen,high\n").expect("written");
        office::publish(&data, &Publication::of(LIST, &csv, ""), clock.clone()).expect("published").revision
    };
    let mut revision = publish();

    // A port that is free; the office comes back to it each time.
    let port = std::net::UdpSocket::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).expect("a port");
    let (place, listen) = (folder.path().to_str().expect("text").to_owned(), port.to_string());
    let bad = |random: &mut fastrand::Rng| Conditions {
        loss: random.f64() * 0.1,
        late: 0.05,
        doubled: 0.05,
        ..Conditions::far(Duration::from_millis(random.u64(2..60)), 0.0)
    };
    let relay = Relay::start(port, bad(&mut random), seed).expect("started");
    let near = relay.address().to_string();
    let start_office = || {
        let office = Process::start("child_that_is_the_office", &[(FOLDER, &place), (OFFICE, &listen)]);
        office.wait_for("serving");
        office
    };
    let start_car = || Process::start("child_that_is_the_car", &[(FOLDER, &place), (OFFICE, &near)]);
    let (mut the_office, mut car) = (start_office(), start_car());

    let mut promised: Vec<Pass> = Vec::new();
    let mut happened: BTreeMap<&str, u32> = BTreeMap::new();
    let begun = Instant::now();
    let note = |said: Vec<String>, promised: &mut Vec<Pass>| {
        for line in said {
            let Some((run, pass)) = line.strip_prefix("kept ").and_then(|kept| kept.split_once(' ')) else { continue };
            promised.push(Pass { run: run.parse().expect("a run"), pass: pass.parse().expect("a pass") });
        }
    };
    for _ in 0..rounds {
        std::thread::sleep(Duration::from_millis(random.u64(50..500)));
        let what = match random.u8(0..10) {
            0..=2 => {
                note(car.kill(), &mut promised);
                car = start_car();
                "the car was killed"
            }
            3..=4 => {
                the_office.kill();
                the_office = start_office();
                "the office was killed"
            }
            5..=7 => {
                relay.cut();
                std::thread::sleep(Duration::from_millis(random.u64(20..1500)));
                relay.mend();
                "the network was cut"
            }
            8 => {
                relay.move_away();
                "the address changed"
            }
            _ => {
                revision = publish();
                relay.set(bad(&mut random));
                "a list was published, the network changed"
            }
        };
        *happened.entry(what).or_default() += 1;
    }
    note(car.kill(), &mut promised);
    // Whether there is anything to lose: reads that the killed car had, and the office has not.
    relay.set(Conditions::GOOD);
    let revision = revision.to_string();
    let last = Process::start("child_that_is_the_car", &[(FOLDER, &place), (OFFICE, &near), (LAST, &revision)]);
    last.wait_for("delivered");
    last.kill();
    the_office.kill();

    // Everything that the car's journal has is at the office, once, and that is at least what it called kept.
    let store = RedbStore::open(&data.join("office.redb")).expect("opens after the kill");
    let counts = store.count_by_unit().expect("counted")[UNIT];
    let stored = |kind| {
        let keys = store.keys(UNIT, kind).expect("read");
        let payload = |key: &Vec<u8>| store.get(UNIT, kind, key).expect("read").expect("there");
        keys.iter().map(payload).collect::<Vec<_>>()
    };
    let mut passes: Vec<(u64, u64)> = stored(Sent::Read)
        .iter()
        .map(|payload| Pass::decode(&payload[1..]).expect("a read"))
        .map(|pass| (pass.run, pass.pass))
        .collect();
    let total = passes.len();
    passes.sort_unstable();
    passes.dedup();
    assert_eq!(passes.len(), total, "a read is there twice");
    for Pass { run, pass } in &promised {
        assert!(passes.binary_search(&(*run, *pass)).is_ok(), "read {run}-{pass} is lost");
    }
    let journal = Journal::open(&folder.path().join("data"), clock.clone()).expect("opened");
    let verified = journal.archive().verify().expect("whole");
    assert_eq!((verified.reads, journal.status().unsent), (total as u64, 0));
    assert_eq!((counts.reads, counts.conflicts), (total as u64, 0));
    assert!(!promised.is_empty() && counts.hits > 0, "nothing happened");
    println!(
        "{rounds} rounds in {} s: {happened:?}; {} reads promised, {total} stored, {} hits, {} pictures; {} came twice and were stored once",
        begun.elapsed().as_secs(),
        promised.len(),
        counts.hits,
        counts.pictures,
        counts.duplicates
    );
}
