//! What the office sets in the car: that each key does what it says, and that no office can set more.

use super::super::clerk::Brought;
use super::*;
use crate::hotlist::SigningKey;
use crate::screen::{Handle, State, StatusItem, View};
use crate::settings::{Handed, Key as Set, MOST_BYTES, SETTINGS, Sheet};
use crate::sync::car::{Piece, Revision};
use crate::sync::{Outbox as _, Pace};

impl Bench {
    fn with_screen() -> Self {
        let bench = Bench::new();
        let screen = Handle::headless(&config::Screen::default(), bench.clock.clone());
        Bench { screen: Some(screen), ..bench }
    }

    /// The office sets this in place of what was set before.
    fn set(&self, sheet: &str) {
        let archive = self.journal.archive();
        let revision = archive.settings().map_or(1, |set| set.revision + 1);
        let values = Sheet::parse(sheet).expect("a sheet").cars;
        let handed = Handed { revision, made: start(), values, ..Handed::default() };
        let bytes = handed.encode();
        archive.keep_settings(handed, &bytes, When { utc: start(), trusted: true }).expect("kept");
    }

    fn seen_now(&self, worker: &mut Worker) -> View {
        self.clock.advance(Duration::from_millis(600));
        worker.look_round();
        worker.show();
        self.screen.as_ref().expect("there is one").latest()
    }
}

fn item<'v>(view: &'v View, name: &str) -> Option<&'v StatusItem> {
    view.status.iter().find(|item| item.name == name)
}

/// The grade of a hit of a list that has had no news for so many hours.
fn grade_after(bench: &Bench, worker: &mut Worker, hours: i64) -> Grade {
    let produced = Some(start() - TimeDelta::hours(hours));
    let options = ImportOptions { produced, ..ImportOptions::default() };
    worker.lists().import("old", &b"vrm,reason\nGH78JKL,stolen\n"[..], Path::new("x"), &options).expect("imported");
    let pass = 100 + bench.seen.lock().expect("whole").len() as u64;
    worker.hear(put_out(read(pass, "GH78JKL")));
    let grade = bench.seen.lock().expect("whole").last().expect("an alert").0;
    worker.hear(touched(Touch::Answered(crate::screen::Answer {
        alert: worker.current().expect("an alert").id,
        verdict: Verdict::Confirmed,
    })));
    bench.clock.advance(Duration::from_secs(3600));
    grade
}

#[test]
fn each_key_changes_what_it_says_and_a_car_that_takes_none_stays_as_it_is() {
    for heeds in [true, false] {
        for key in Set::ALL {
            let bench = Bench { heeds, ..Bench::with_screen() };
            let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\n", true, silent());
            match key {
                Set::LongestShift => {
                    worker.hear(touched(Touch::SignOn { number: "1234".into(), pin: None }));
                    bench.set("[cars]\nlongest_shift_h = 10\n");
                    bench.clock.advance(Duration::from_secs(10 * 3600));
                    worker.look_round();
                    assert_eq!(worker.shift().who.is_empty(), heeds);
                    bench.clock.advance(Duration::from_secs(2 * 3600));
                    worker.look_round();
                    assert_eq!(worker.shift().who, "", "the car's own");
                }
                Set::ListsStale => {
                    // After a day no hit is certain, after a week it is possible and no more: the car's own.
                    assert_eq!(grade_after(&bench, &mut worker, 30), Grade::Probable);
                    bench.set("[cars]\nlists_stale_h = 24\n");
                    assert_eq!(grade_after(&bench, &mut worker, 20), Grade::Certain);
                    let grade = if heeds { Grade::Possible } else { Grade::Probable };
                    assert_eq!(grade_after(&bench, &mut worker, 30), grade);
                }
                Set::Drill => {
                    let due = |bench: &Bench, worker: &mut Worker| item(&bench.seen_now(worker), "Drill").cloned();
                    assert_eq!(due(&bench, &mut worker), None);
                    bench.set("[cars]\ndrill_days = 7\n");
                    let told = due(&bench, &mut worker);
                    assert_eq!(told.as_ref().is_some_and(|item| item.detail.contains("none is known of")), heeds);
                    let eight = start() - TimeDelta::days(8);
                    bench.journal.archive().note_drill(eight).expect("noted");
                    let told = due(&bench, &mut worker);
                    assert_eq!(told.as_ref().is_some_and(|item| item.detail.contains("8 d")), heeds, "{told:?}");
                    worker.hear(touched(Touch::Drill));
                    bench.hear_clerk(&mut worker, |brought| matches!(brought, Brought::DrillListed(_)));
                    bench.clock.advance(Duration::from_secs(31));
                    worker.look_round();
                    while bench.journal.archive().drilled() == Some(eight) {
                        std::thread::yield_now();
                    }
                    assert_eq!(due(&bench, &mut worker), None, "there was one just now");
                }
                Set::Health | Set::Position => {
                    assert_eq!(worker.pace().0, Pace::default());
                    bench.set("[cars]\nhealth_s = 60\nposition_s = 5\n");
                    let seldom = Pace::no_faster(Some(Duration::from_secs(60)), Some(Duration::from_secs(5)));
                    assert_eq!(worker.pace().0, if heeds { seldom } else { Pace::default() });
                }
                Set::MeteredPictures | Set::MeteredHitPictures | Set::MeteredLists => {
                    let own = config::Budgets::default();
                    assert_eq!(worker.pace().1, own);
                    bench.set("[cars]\nmetered_pictures_mb = 1\nmetered_hit_pictures_mb = 2\nmetered_lists_mb = 3\n");
                    let set = config::Budgets { pictures_mb: 1, hit_pictures_mb: 2, lists_mb: 3 };
                    assert_eq!(worker.pace().1, if heeds { set } else { own });
                }
                Set::Notice => {
                    bench.set("[cars]\nnotice = \"Bridge closed\"\n");
                    let notice = bench.seen_now(&mut worker).notice;
                    assert_eq!(notice.text, if heeds { "Bridge closed" } else { "" });
                    assert_eq!(notice.head.starts_with("From the office, "), heeds);
                    assert!(bench.seen.lock().expect("whole").is_empty(), "it is no alert");
                    bench.set("");
                    assert_eq!(bench.seen_now(&mut worker).notice, crate::screen::Notice::default(), "taken back");
                }
            }
        }
    }
}

#[test]
fn the_crew_sees_what_the_office_set_and_what_was_refused() {
    let bench = Bench::with_screen();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\n", true, silent());
    let view = bench.seen_now(&mut worker);
    assert!(item(&view, "Settings").is_none() && view.figures.iter().all(|figure| figure.name != "Set by the office"));
    bench.set("[cars]\nlongest_shift_h = 10\ndrill_days = 7\n");
    let view = bench.seen_now(&mut worker);
    let settings = item(&view, "Settings").expect("on the strip");
    assert_eq!(settings.detail, "set by the office, revision 1: longest_shift_h 10, drill_days 7");
    let figure = view.figures.iter().find(|figure| figure.name == "Set by the office").expect("on its page");
    assert_eq!((figure.word.as_str(), figure.detail.as_str()), ("2 settings", "revision 1"));
    bench.journal.archive().refuse_settings(&Fault::new(Kind::Damaged, "drill_days is 0, must be 1 to 90"));
    let view = bench.seen_now(&mut worker);
    let settings = item(&view, "Settings").expect("on the strip");
    assert_eq!((settings.state, settings.word.as_str()), (State::Warn, "refused"));
    assert!(settings.detail.contains("must be 1 to 90") && settings.detail.contains("What stands: set by the office"));
    let [fault] = &bench.lines("fault")[..] else { panic!("{:?}", bench.lines("fault")) };
    assert_eq!(fault["part"], "settings");
    bench.set("");
    let view = bench.seen_now(&mut worker);
    assert!(item(&view, "Settings").is_none(), "everything is the car's own again");
    assert_eq!(bench.lines("back").len(), 1);
}

/// A car with the key of its office, and the way by which things are handed down to it.
struct Car {
    folder: tempfile::TempDir,
    journal: Arc<Journal>,
    outbox: outbox::Store,
}

impl Car {
    fn at(folder: tempfile::TempDir, office: &SigningKey, settings: bool) -> Self {
        let clock: Shared = SimulatedClock::starting(start());
        std::fs::write(folder.path().join("lists.pub"), office.verifying().to_string()).expect("written");
        let journal = Arc::new(Journal::open(folder.path(), clock.clone()).expect("opened"));
        let hotlist = Arc::new(Hotlist::open(&folder.path().join("hotlist.redb"), clock.clone()).expect("opened"));
        let office = config::Office { settings, ..config::Office::at("localhost:1", folder.path()) };
        let outbox = outbox::Store::new(&journal, &hotlist, &office, folder.path(), clock).expect("made").of("EX-01");
        Self { folder, journal, outbox }
    }

    fn hand_down(&self, revision: u64, signed: &[u8]) -> Result<()> {
        let revision = Revision { list: SETTINGS.into(), revision, base: 0 };
        let (half, rest) = signed.split_at(signed.len() / 2);
        for (offset, bytes) in [(0, half), (half.len(), rest)] {
            let piece = Piece { revision: revision.clone(), offset: offset as u64, bytes: bytes.to_vec() };
            self.outbox.take_piece(&piece)?;
        }
        self.outbox.apply_list(&revision)
    }

    fn held(&self) -> Option<u64> {
        self.outbox.lists_held().into_iter().find(|(list, _)| list == SETTINGS).map(|(_, revision)| revision)
    }

    fn words(&self) -> String {
        self.journal.archive().settings().map_or_else(String::new, |set| set.words())
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&SigningKey::generate().expect("made")).expect("a key")
}

fn of_unit(unit: &str, revision: u64) -> Handed {
    let values = Sheet::parse("[cars]\ndrill_days = 7\n").expect("a sheet").cars;
    Handed { revision, made: start(), unit: unit.into(), values, ..Handed::default() }
}

#[test]
fn a_hostile_office_a_replay_and_another_unit_s_settings_change_nothing() {
    let (office, other) = (key(), key());
    let car = Car::at(tempfile::tempdir().expect("a folder"), &office, true);
    let good = office.sign_settings(&of_unit("EX-01", 7).encode());
    car.hand_down(7, &good).expect("taken");
    assert_eq!((car.held(), car.words().as_str()), (Some(7), "revision 7: drill_days 7"));

    let signed = |bytes: &[u8]| office.sign_settings(bytes);
    let mut cut = signed(&of_unit("", 9).encode());
    cut.pop();
    let roll = office.sign_roll(&of_unit("", 9).encode());
    for (what, revision, bytes, why) in [
        ("another key's", 9, other.sign_settings(&of_unit("", 9).encode()), "not signed by the office"),
        ("signed as something else", 9, roll, "not signed by the office"),
        ("cut short", 9, cut, "not signed by the office"),
        ("nothing", 9, Vec::new(), "not signed by the office"),
        ("played again", 7, good.clone(), "is not newer than 7"),
        ("an older one", 6, signed(&of_unit("EX-01", 6).encode()), "is not newer than 7"),
        ("played again under a new number", 9, good, "another revision than was offered"),
        ("another unit's", 9, signed(&of_unit("EX-02", 9).encode()), "they are for \"EX-02\""),
        ("out of bounds", 9, signed(&of_unit("", 9).encode_with("longest_shift_h", 1000)), "must be 1 to 24"),
        ("twice", 9, signed(&of_unit("", 9).encode_with("drill_days", 7)), "set twice"),
        ("no settings", 9, signed(b"\x01\xff\xff\xff"), ""),
        ("absurdly long", 9, signed(&vec![1; MOST_BYTES + 1]), "too large"),
    ] {
        let fault = car.hand_down(revision, &bytes).expect_err(what);
        assert!(fault.to_string().contains(why), "{what}: {fault}");
        assert_eq!((car.held(), car.words().as_str()), (Some(7), "revision 7: drill_days 7"), "{what}");
        car.outbox.drop_list(&Revision { list: SETTINGS.into(), revision, base: 0 });
    }
    assert!(car.journal.archive().settings_refused().is_some(), "the crew is told");

    // What is retention, loudness or a path to a newer office is nothing here.
    let newer = of_unit("", 10).encode_with("keep_reads_h", 0);
    car.hand_down(10, &signed(&newer)).expect("the rest counts");
    assert_eq!(car.words(), "revision 10: drill_days 7; not known to this car: keep_reads_h");
    assert!(car.journal.archive().settings_refused().is_none());

    // A restart forgets nothing, and lets nothing older in.
    let Car { folder, journal, outbox } = car;
    drop((outbox, journal));
    let car = Car::at(folder, &office, true);
    assert_eq!(car.held(), Some(10));
    let fault = car.hand_down(9, &signed(&of_unit("", 9).encode())).expect_err("older");
    assert!(fault.to_string().contains("is not newer than 10"), "{fault}");
    let deeds = car.journal.archive().deeds().expect("read");
    assert_eq!(deeds.iter().filter(|deed| deed.who == "the office").count(), 2, "those that counted");
    car.journal.archive().verify().expect("whole");
}

#[test]
fn a_car_that_takes_no_settings_takes_none_and_tells_of_none() {
    let office = key();
    let car = Car::at(tempfile::tempdir().expect("a folder"), &office, false);
    let fault = car.hand_down(7, &office.sign_settings(&of_unit("", 7).encode())).expect_err("it takes none");
    assert!(fault.to_string().contains("settings = false under [office]"), "{fault}");
    assert!(car.held().is_none() && car.words().is_empty() && car.journal.archive().settings_refused().is_none());
}

#[test]
fn what_the_office_sets_counts_in_a_connected_car_after_a_restart_and_until_it_is_taken_back() {
    use crate::clock::RealClock;
    use crate::office::{self, Service};

    let folder = tempfile::tempdir().expect("a folder");
    let (depot, car) = (folder.path().join("office"), folder.path().join("car"));
    let clock = RealClock::shared();
    office::init(&depot, &[], &*clock).expect("made");
    office::enrol(&depot, "EX-01", &car.join("identity"), &*clock).expect("enrolled");
    let set = |text: &str| office::set_settings(&depot, text, "Insp Example", "a test", &*clock).expect("set").revision;
    let service = Service::start(&depot, "127.0.0.1:0".parse().expect("an address"), clock.clone()).expect("started");
    let settings = config::Office::at(service.address().to_string(), car.join("identity"));
    let hotlist = Arc::new(Hotlist::open(&car.join("hotlist.redb"), clock.clone()).expect("opened"));
    let drive = || {
        let journal = Arc::new(Journal::open(&car, clock.clone()).expect("opened"));
        let outbox = outbox::Store::new(&journal, &hotlist, &settings, &car, clock.clone()).expect("made").of("EX-01");
        let link = Link::start("EX-01", &settings, Arc::new(outbox), clock.clone()).expect("started");
        (journal, link)
    };
    let until = |what: &str, happened: &dyn Fn() -> bool| {
        let start = clock.now();
        while !happened() {
            assert!(clock.now().since(start) < Duration::from_secs(60), "{what} did not happen");
            clock.sleep(Duration::from_millis(5));
        }
    };
    let holds = |revision| {
        office::fleet(&depot)
            .is_ok_and(|fleet| fleet.units.get("EX-01").is_some_and(|unit| unit.lists.get(SETTINGS) == Some(&revision)))
    };
    let words = |journal: &Journal| journal.archive().settings().map_or_else(String::new, |set| set.values.words());

    let (journal, link) = drive();
    let first = set("[cars]\nlongest_shift_h = 10\n[units.EX-01]\ndrill_days = 7\nnotice = \"Bridge closed\"\n");
    until("the settings", &|| words(&journal) == "longest_shift_h 10, drill_days 7, notice of 13 characters");
    until("what the car says it holds", &|| holds(first));
    drop((link, journal));
    let journal = Journal::open(&car, clock.clone()).expect("opened");
    assert_eq!(words(&journal), "longest_shift_h 10, drill_days 7, notice of 13 characters", "without a network");
    drop(journal);

    // Taken back while the car was away.
    let second = set("");
    let (journal, link) = drive();
    until("their end", &|| words(&journal) == "nothing" && holds(second));
    drop((link, journal));
    let journal = Journal::open(&car, clock.clone()).expect("opened");
    let said: Vec<String> = journal
        .archive()
        .deeds()
        .expect("read")
        .into_iter()
        .filter(|deed| deed.who == "the office")
        .map(|deed| deed.detail)
        .collect();
    let own = "the car's own";
    assert_eq!(
        said,
        [
            format!(
                "revision {first}: longest_shift_h from {own} to 10, drill_days from {own} to 7, a notice of 13 characters"
            ),
            format!(
                "revision {second}: longest_shift_h from 10 to {own}, drill_days from 7 to {own}, the notice is taken back"
            ),
        ]
    );
}
