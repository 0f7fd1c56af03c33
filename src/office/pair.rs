//! Both sides of the conversation in memory and in virtual time: bytes cut anywhere, lanes delivered in any order,
//! links lost and either side killed at any step. Nothing may be lost, doubled, or acknowledged too early.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::begun::Begun;
use super::session::{self as office, ListInfo, StoredPiece};
use crate::clock::Moment;
use crate::config::Budgets;
use crate::sync::car::{Budget, Day, Downloads, Event as CarEvent, Meter, Revision, Session as CarSession, Waiting};
use crate::sync::wire::{Breach, Item, Kind, Lane, PIECE};

mod drain;
mod metered;
mod pictures;
mod urgent;
mod version_4;
mod versions;

const UNIT: &str = "EX-01";
const LIST: &str = "stolen";

/// The car's journal: what survives the car.
#[derive(Default)]
struct Journal {
    made: BTreeMap<Vec<u8>, Item>,
    unsent: BTreeSet<(Kind, Vec<u8>)>,
    /// Pictures of reads with a hit.
    of_hits: BTreeSet<Vec<u8>>,
    lists: BTreeMap<String, (u64, Vec<u8>)>,
}

impl Journal {
    fn add(&mut self, kind: Kind, size: usize) {
        let number = self.made.len();
        let key = format!("{kind:?}-{number:04}").into_bytes();
        let payload = (0..size).map(|i| (i + number) as u8).collect();
        self.unsent.insert((kind, key.clone()));
        self.made.insert(key.clone(), Item { kind, key, payload });
    }

    fn pending(&self, budget: Budget) -> Vec<Waiting> {
        let all = self
            .unsent
            .iter()
            .map(|(_, key)| Waiting { item: self.made[key].clone(), of_hit: self.of_hits.contains(key) });
        let wanted = |waiting: &Waiting| if waiting.of_hit { budget.hit_pictures } else { budget.pictures };
        all.filter(|waiting| waiting.item.kind != Kind::Picture || wanted(waiting)).collect()
    }

    fn held(&self) -> Vec<(String, u64)> {
        self.lists.iter().map(|(list, (revision, _))| (list.clone(), *revision)).collect()
    }
}

/// The office's store: what survives the office.
#[derive(Default)]
struct Stored {
    things: BTreeMap<Vec<u8>, Item>,
    /// How often each thing was stored anew; more than once would be a double.
    times: BTreeMap<Vec<u8>, u32>,
    list: Option<(u64, Vec<u8>)>,
}

/// Bytes on their way, by direction and lane.
type Pipes = BTreeMap<(bool, Lane), VecDeque<u8>>;
const UP: bool = true;
const DOWN: bool = false;

struct Linked {
    car: CarSession,
    office: office::Session,
    pipes: Pipes,
    /// Received by the office, not committed.
    uncommitted: Vec<Item>,
    /// Acknowledged to the car, which has not told its journal yet.
    unsettled: Vec<Vec<u8>>,
    /// Come to the car, not applied.
    unapplied: Option<Revision>,
    list_bytes_carried: usize,
    /// What has gone up in all.
    carried_up: u64,
}

#[derive(Default)]
struct World {
    now: Moment,
    /// Whether the car's network costs money, and which day it is.
    metered: bool,
    day: i64,
    budgets: Budgets,
    meter: Meter,
    /// What is kept of what was spent.
    kept: Vec<Day>,
    journal: Journal,
    stored: Stored,
    link: Option<Linked>,
    downloads: Downloads,
    /// What the office has of a picture that was cut.
    begun: Option<Begun>,
    /// Pieces that the car has kept, by revision.
    arriving: BTreeMap<u64, Vec<u8>>,
    list_bytes_carried: usize,
}

#[derive(Debug, Clone)]
enum Step {
    Make(Kind, usize),
    Look,
    Deliver {
        up: bool,
        lane: Lane,
        bytes: usize,
    },
    Commit,
    Settle,
    Apply,
    Publish(usize),
    Cut,
    KillCar,
    KillOffice,
    Pass(u64),
    /// The car comes to a network that costs money, or leaves it.
    Metered(bool),
    /// The clock says another day.
    Day(i64),
}

impl World {
    fn connect(&mut self) {
        if self.link.is_none() {
            let downloads = std::mem::take(&mut self.downloads);
            let mut meter = std::mem::take(&mut self.meter);
            meter.set_budgets(self.budgets);
            let mut car = CarSession::open(UNIT, self.journal.held(), downloads, self.now).metering(meter);
            car.network(self.metered, self.utc(), 0);
            self.link = Some(Linked {
                car,
                office: office::Session::open(UNIT, self.begun.take(), self.now),
                pipes: Pipes::new(),
                uncommitted: Vec::new(),
                unsettled: Vec::new(),
                unapplied: None,
                list_bytes_carried: 0,
                carried_up: 0,
            });
        }
    }

    /// The link is lost with all that is on it. What the office had not committed is gone too: it may have died.
    fn cut(&mut self) {
        if let Some(mut link) = self.link.take() {
            self.meter = link.car.take_meter(link.carried_up);
            self.kept = self.meter.changed().unwrap_or(std::mem::take(&mut self.kept));
            self.downloads = link.car.into_downloads();
            self.begun = link.office.into_begun();
            self.list_bytes_carried += link.list_bytes_carried;
        }
    }

    fn step(&mut self, step: Step) -> Result<(), Breach> {
        self.connect();
        let Some(link) = &mut self.link else { return Ok(()) };
        match step {
            Step::Make(kind, size) => self.journal.add(kind, size),
            Step::Look => {
                if let Some(budget) = link.car.budget() {
                    link.car.offer(self.journal.pending(budget), self.now);
                }
            }
            Step::Deliver { up, lane, bytes } => {
                let pipe = link.pipes.entry((up, lane)).or_default();
                let bytes: Vec<u8> = pipe.drain(..bytes.min(pipe.len())).collect();
                if bytes.is_empty() {
                    return Ok(());
                }
                if up {
                    link.carried_up += bytes.len() as u64;
                    link.office.receive(lane, &bytes)?;
                } else {
                    if matches!(lane, Lane::Lists | Lane::Urgent) {
                        link.list_bytes_carried += bytes.len();
                    }
                    link.car.receive(lane, &bytes, self.now)?;
                }
            }
            Step::Commit => {
                let mut keys = Vec::new();
                for item in link.uncommitted.drain(..) {
                    keys.push(item.key.clone());
                    if !self.stored.things.contains_key(&item.key) {
                        *self.stored.times.entry(item.key.clone()).or_default() += 1;
                        self.stored.things.insert(item.key.clone(), item);
                    }
                }
                link.office.stored(keys);
            }
            Step::Settle => {
                let keys = std::mem::take(&mut link.unsettled);
                self.journal.unsent.retain(|(_, key)| !keys.contains(key));
                link.car.settled(&keys);
            }
            Step::Apply => {
                if let Some(revision) = link.unapplied.take() {
                    let bytes = self.arriving.remove(&revision.revision).unwrap_or_default();
                    self.journal.lists.insert(revision.list.clone(), (revision.revision, bytes));
                    link.car.list_done(&revision, true, self.journal.held());
                }
            }
            Step::Publish(size) => {
                let revision = self.stored.list.as_ref().map_or(1, |(revision, _)| revision + 1);
                self.stored.list = Some((revision, (0..size).map(|i| (i * 31 + revision as usize) as u8).collect()));
                link.office.lists(&self.stored.infos());
            }
            Step::Cut => {
                self.cut();
                return Ok(());
            }
            Step::KillCar => {
                let kept = self.kept.clone();
                self.cut();
                // What was not kept is forgotten.
                self.meter = Meter::new(self.budgets, kept.clone());
                self.kept = kept;
                self.downloads = Downloads::default();
                self.arriving.clear();
                return Ok(());
            }
            Step::KillOffice => {
                self.cut();
                self.begun = None;
                return Ok(());
            }
            Step::Pass(ms) => {
                self.now = self.now.plus(Duration::from_millis(ms));
                let late = link.car.tick(0, self.now).and_then(|()| link.office.tick(self.now));
                if late.is_err() {
                    self.cut();
                    return Ok(());
                }
            }
            Step::Metered(_) | Step::Day(_) => {
                match step {
                    Step::Metered(metered) => self.metered = metered,
                    Step::Day(day) => self.day = day,
                    _ => {}
                }
                let utc = self.utc();
                if let Some(link) = &mut self.link {
                    link.car.network(self.metered, utc, link.carried_up);
                }
            }
        }
        self.carry()
    }

    fn utc(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(21_000 + self.day)
    }

    /// What sessions ask of the parts around them.
    fn carry(&mut self) -> Result<(), Breach> {
        let Some(link) = &mut self.link else { return Ok(()) };
        if let Some(days) = link.car.meter().changed() {
            self.kept = days;
        }
        while let Some(event) = link.office.event() {
            match event {
                office::Event::Greeted(_) => {}
                office::Event::Store(items) => link.uncommitted.extend(items),
                office::Event::Holding(_) => link.office.lists(&self.stored.infos()),
                office::Event::Piece(wanted) => {
                    let bytes = self.stored.list.as_ref().filter(|(revision, _)| *revision == wanted.revision);
                    let offset = wanted.offset as usize;
                    let piece =
                        bytes.map(|(_, bytes)| StoredPiece::of(&bytes[offset..(offset + PIECE).min(bytes.len())]));
                    link.office.piece(wanted, piece);
                }
            }
        }
        while let Some(event) = link.car.event() {
            match event {
                CarEvent::Welcome => {}
                CarEvent::Acknowledged(keys) => {
                    for key in &keys {
                        assert_eq!(
                            self.stored.things.get(key),
                            self.journal.made.get(key),
                            "acknowledged before it was stored"
                        );
                    }
                    link.unsettled.extend(keys);
                }
                CarEvent::Unfit(kind) => panic!("unfit {kind:?}"),
                CarEvent::Piece(piece) => {
                    let kept = self.arriving.entry(piece.revision.revision).or_default();
                    kept.truncate(piece.offset as usize);
                    assert_eq!(kept.len() as u64, piece.offset, "a piece is missing");
                    kept.extend(piece.bytes);
                }
                CarEvent::Dropped(revision) => _ = self.arriving.remove(&revision.revision),
                CarEvent::List(revision) => link.unapplied = Some(revision),
            }
        }
        while let Some((lane, bytes)) = link.car.transmit() {
            link.pipes.entry((UP, lane)).or_default().extend(bytes);
        }
        while let Some((lane, bytes)) = link.office.transmit() {
            link.pipes.entry((DOWN, lane)).or_default().extend(bytes);
        }
        for lane in [Lane::Lists, Lane::Urgent] {
            if link.pipes.get(&(DOWN, lane)).is_none_or(VecDeque::is_empty) {
                link.office.list_lane_free(lane);
            }
        }
        Ok(())
    }

    /// Lets everything that is on its way arrive, until nothing is left to do: by a network that costs nothing.
    fn settle(&mut self) -> Result<(), Breach> {
        self.step(Step::Metered(false))?;
        for _ in 0..2000 {
            for lane in Lane::ALL {
                for up in [UP, DOWN] {
                    self.step(Step::Deliver { up, lane, bytes: usize::MAX })?;
                }
            }
            for step in [Step::Commit, Step::Settle, Step::Apply, Step::Look] {
                self.step(step)?;
            }
            let held = self.journal.lists.get(LIST).map_or(0, |(revision, _)| *revision);
            if self.journal.unsent.is_empty() && held == self.stored.list.as_ref().map_or(0, |(revision, _)| *revision)
            {
                return Ok(());
            }
        }
        panic!("it never comes to rest: {} unsent", self.journal.unsent.len());
    }

    fn check(&self) {
        assert_eq!(self.stored.things, self.journal.made, "lost, changed or made up");
        assert!(self.stored.times.values().all(|times| *times == 1), "stored twice");
        assert_eq!(self.journal.lists.get(LIST), self.stored.list.as_ref(), "the list arrived changed");
    }
}

impl Stored {
    fn infos(&self) -> Vec<ListInfo> {
        let info = |(revision, bytes): &(u64, Vec<u8>)| ListInfo {
            list: LIST.into(),
            revision: *revision,
            base: 0,
            size: bytes.len() as u64,
            sha256: Sha256::digest(bytes).into(),
        };
        self.list.iter().map(info).collect()
    }
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let lane = prop::sample::select(Lane::ALL.to_vec());
    prop_oneof![
        // Pictures of several parts; the rest is small.
        4 => (kind, 0..3000usize).prop_map(|(kind, size)| Step::Make(kind, if kind == Kind::Picture { size * 40 } else { size })),
        3 => Just(Step::Look),
        20 => (any::<bool>(), lane, prop_oneof![0..30usize, 0..4000usize, 0..60_000usize]).prop_map(|(up, lane, bytes)| Step::Deliver { up, lane, bytes }),
        3 => Just(Step::Commit),
        3 => Just(Step::Settle),
        2 => Just(Step::Apply),
        1 => (0..3 * PIECE).prop_map(Step::Publish),
        1 => Just(Step::Cut),
        1 => Just(Step::KillCar),
        1 => Just(Step::KillOffice),
        1 => (0..12_000u64).prop_map(Step::Pass),
        2 => any::<bool>().prop_map(Step::Metered),
        1 => (-2..3i64).prop_map(Step::Day),
    ]
}

/// How many rounds; `OUTRIDER_PAIR_ROUNDS` takes thousands.
fn cases() -> u32 {
    std::env::var("OUTRIDER_PAIR_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_doubled_whatever_is_cut(steps in prop::collection::vec(step(), 1..250)) {
        // Where the network costs money, no picture goes, and of the list only the first revision comes, and what is small.
        let budgets = Budgets { pictures_mb: 0, hit_pictures_mb: 0, lists_mb: 0 };
        let mut world = World { budgets, ..World::default() };
        for step in steps {
            world.step(step).expect("neither side breaks the rules");
        }
        world.settle().expect("neither side breaks the rules");
        world.check();
    }

    /// A hostile or broken peer of either side: any bytes on any lane are refused or skipped, never a panic, and
    /// never an acknowledgement of what was not sent.
    #[test]
    fn any_bytes_from_a_peer_are_survived(chunks in prop::collection::vec((prop::sample::select(Lane::ALL.to_vec()), prop::collection::vec(any::<u8>(), 0..200)), 0..30)) {
        let mut office = office::Session::open(UNIT, None, Moment::default());
        let mut car = CarSession::open(UNIT, Vec::new(), Downloads::default(), Moment::default());
        let mut office_lives = true;
        let mut car_lives = true;
        for (lane, bytes) in chunks {
            office_lives = office_lives && office.receive(lane, &bytes).is_ok();
            car_lives = car_lives && car.receive(lane, &bytes, Moment::default()).is_ok();
        }
        while let Some(event) = car.event() {
            prop_assert!(!matches!(event, CarEvent::Acknowledged(_)));
        }
    }
}

/// Both sides, past Welcome.
fn greeted() -> World {
    let mut world = World::default();
    world.connect();
    world.carry().expect("fine");
    for _ in 0..3 {
        for up in [UP, DOWN] {
            world.step(Step::Deliver { up, lane: Lane::Control, bytes: usize::MAX }).expect("fine");
        }
    }
    world
}

#[test]
fn a_hit_overtakes_pictures_and_reads_that_wait() {
    let mut world = greeted();
    for _ in 0..2000 {
        world.journal.add(Kind::Read, 100);
    }
    for _ in 0..20 {
        world.journal.add(Kind::Picture, 300_000);
    }
    world.step(Step::Look).expect("fine");
    let link = world.link.as_ref().expect("linked");
    let waiting = |lane| link.pipes.get(&(UP, lane)).map_or(0, VecDeque::len);
    assert!(waiting(Lane::Reads) < 2000 * 100, "reads on their way are bounded");
    assert!((300_000..600_000).contains(&waiting(Lane::Pictures)), "so are pictures");

    // Nothing of that has been delivered when a hit comes; it is on its way at once, and arrives alone.
    world.journal.add(Kind::Hit, 50);
    world.step(Step::Look).expect("fine");
    world.step(Step::Deliver { up: UP, lane: Lane::Hits, bytes: usize::MAX }).expect("fine");
    world.step(Step::Commit).expect("fine");
    assert!(world.stored.things.values().all(|item| item.kind == Kind::Hit) && world.stored.things.len() == 1);
    world.settle().expect("fine");
    world.check();
}

#[test]
fn a_list_goes_on_where_it_was_cut() {
    let mut world = greeted();
    world.step(Step::Publish(20 * PIECE)).expect("fine");
    for _ in 0..19 {
        for _ in 0..5 {
            for (up, lane) in [(DOWN, Lane::Control), (UP, Lane::Control), (DOWN, Lane::Lists)] {
                world.step(Step::Deliver { up, lane, bytes: PIECE / 2 }).expect("fine");
            }
        }
        world.step(Step::Cut).expect("fine");
    }
    world.settle().expect("fine");
    world.check();
    let carried = world.list_bytes_carried + world.link.as_ref().map_or(0, |link| link.list_bytes_carried);
    // A piece that is cut is sent again; the rest is not.
    assert!(carried < 20 * PIECE + 20 * PIECE + 4000, "{carried} bytes for a list of {}", 20 * PIECE);
}

#[test]
fn an_office_that_never_acknowledges_is_given_up_but_a_slow_network_is_not() {
    let mut world = greeted();
    world.journal.add(Kind::Picture, 300_000);
    world.step(Step::Look).expect("fine");
    let car = &mut world.link.as_mut().expect("linked").car;
    let mut now = world.now;
    let mut carried = 0;
    for _ in 0..10 {
        now = car.deadline().expect("waiting for an acknowledgement");
        carried += 30_000;
        car.tick(carried, now).expect("the picture moves");
    }
    now = car.deadline().unwrap_or(now);
    assert_eq!(car.tick(carried + 100, now), Err(Breach::Silent));
}

#[test]
fn another_name_or_version_is_refused() {
    let mut office = office::Session::open("EX-02", None, Moment::default());
    let mut car = CarSession::open(UNIT, Vec::new(), Downloads::default(), Moment::default());
    let (lane, hello) = car.transmit().expect("Hello");
    assert_eq!(office.receive(lane, &hello), Err(Breach::Name));
    let mut office = office::Session::open(UNIT, None, Moment::default());
    let future = b"\x0d\x0a\x0b\x08\x07\x10\x09\x1a\x05EX-01";
    assert_eq!(office.receive(Lane::Control, future), Err(Breach::Version { oldest: 7, newest: 9 }));
    let mut office = office::Session::open(UNIT, None, Moment::default());
    // A car that speaks this version and later ones is answered in this one.
    let newer = b"\x0d\x0a\x0b\x08\x01\x10\x09\x1a\x05EX-01";
    office.receive(Lane::Control, newer).expect("understood");
    let (lane, welcome) = office.transmit().expect("Welcome");
    car.receive(lane, &welcome, Moment::default()).expect("understood");
    assert_eq!(car.event(), Some(CarEvent::Welcome));
}

#[test]
fn an_office_of_an_earlier_version_is_not_sent_what_it_does_not_know_and_gets_the_rest() {
    use crate::sync::wire::encode;
    use crate::sync::wire::proto::{FromOffice, Upload, Welcome, from_office};
    for (version, known) in [(1, &["h"][..]), (2, &["s", "h"]), (3, &["s", "a", "h"])] {
        let mut car = CarSession::open(UNIT, Vec::new(), Downloads::default(), Moment::default());
        let welcome = Welcome { version, ..Welcome::default() };
        let mut bytes = Vec::new();
        encode(&FromOffice { message: Some(from_office::Message::Welcome(welcome)) }, &mut bytes);
        car.receive(Lane::Control, &bytes, Moment::default()).expect("understood");
        let item = |kind, key: &[u8]| Item { kind, key: key.to_vec(), payload: vec![7; 9] };
        let before = car.budget().expect("welcome");
        let items = vec![item(Kind::Statement, b"s"), item(Kind::Head, b"a"), item(Kind::Hit, b"h")];
        car.offer(items, Moment::default());
        let sent = std::iter::from_fn(|| car.transmit()).filter(|(lane, _)| *lane != Lane::Control);
        let keys: Vec<String> = sent
            .map(|(lane, bytes)| {
                assert_eq!(lane, Lane::Hits);
                let upload: Upload = prost::Message::decode_length_delimited(&bytes[..]).expect("an upload");
                String::from_utf8(upload.key).expect("text")
            })
            .collect();
        assert_eq!(keys, known, "version {version}");
        // What waits for a later office takes nobody's place.
        assert_eq!(car.budget().expect("welcome").items, before.items + 3 - known.len());
    }
}
