//! People in the car: who may see and do what, who is on record, and the roll that the office hands down.

use zeroize::Zeroizing;

use super::super::clerk::Brought;
use super::*;
use crate::journal::{Act, Deed, SetUp};
use crate::people::{Person, Pin, PinHash, Role, Roll};
use crate::screen::{Answer, Found, Handle};

fn pin(text: &str) -> Pin {
    Pin::typed(Zeroizing::new(text.to_owned()))
}

fn person(number: &str, role: Role, digits: &str) -> Person {
    Person { number: number.into(), name: String::new(), role, pin: PinHash::of(&pin(digits)).expect("hashed") }
}

/// A crew member, a supervisor and a technician.
fn people() -> Vec<Person> {
    vec![
        person("1234", Role::Crew, "480615"),
        person("PS77", Role::Supervisor, "719302"),
        person("T9", Role::Technician, "305927"),
    ]
}

impl Bench {
    /// A desk in a car where people are set up, with a screen.
    fn with_people() -> Self {
        let bench = Bench::new();
        let screen = Handle::headless(&config::Screen::default(), bench.clock.clone());
        let bench = Bench { screen: Some(screen), ..bench };
        bench.hand_down(1, people());
        bench
    }

    fn hand_down(&self, revision: u64, people: Vec<Person>) {
        let expires = Some(start() + TimeDelta::days(14));
        let when = When { utc: start(), trusted: true };
        let deed = Deed::of_the_unit(Act::Set, "a test", String::new(), when);
        let roll = Roll { revision, made: start(), expires, people };
        self.journal.archive().keep_roll(roll, true, deed).expect("kept");
    }

    fn sign_on(&self, worker: &mut Worker, number: &str, digits: &str) {
        worker.hear(touched(Touch::SignOn { number: number.into(), pin: Some(pin(digits)) }));
        self.hear_clerk(worker, |brought| matches!(brought, Brought::SignedOn(_)));
    }

    /// What is on the screen now.
    fn view(&self, worker: &mut Worker) -> crate::screen::View {
        self.clock.advance(Duration::from_millis(600));
        worker.look_round();
        worker.hear(touched(Touch::Recall));
        worker.show();
        self.screen.as_ref().expect("there is one").latest()
    }
}

const LIST: &str = "vrm,reason\nAB12CDE,stolen\nCD34EFG,stolen\n";

fn search(text: &str) -> Touch {
    Touch::Search { text: text.into(), purpose: "Crime report".into(), case: None, read: None }
}

#[test]
fn before_anybody_signs_on_alerts_go_on_and_nothing_else_is_shown_or_found() {
    let bench = Bench::with_people();
    let mut worker = bench.worker(LIST, true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    let view = bench.view(&mut worker);
    assert!(view.alert.is_some() && view.reads.is_empty() && view.map.marks.is_empty(), "{:?}", view.reads);
    assert!(view.no_reads.contains("sign on") && view.shift.asks_pin);
    let crew = view.status.iter().find(|item| item.name == "Crew").expect("on the strip");
    assert_eq!((crew.word.as_str(), crew.state), ("nobody", crate::screen::State::Warn));
    let add = Touch::Add { text: "EF56GHJ".into(), reason: "Stolen".into(), case: None, hours: 1 };
    for touch in [search("AB12CDE"), add] {
        worker.hear(touched(touch));
        assert!(worker.found().message.contains("Sign on"), "{:?}", worker.found());
    }
    let answer = Answer { alert: worker.current().expect("there").id, verdict: Verdict::Confirmed };
    worker.hear(touched(Touch::Answered(answer)));
    let acts: Vec<String> = bench.deeds().into_iter().map(|[act, ..]| act).collect();
    assert_eq!(acts, ["started", "set", "judged"], "nothing was looked up or entered");

    bench.sign_on(&mut worker, "1234", "480615");
    let view = bench.view(&mut worker);
    assert_eq!((view.reads.len(), view.shift.who.as_str(), view.shift.role.as_str()), (1, "1234", "crew"));
    worker.hear(touched(search("AB12CDE")));
    bench.hear_clerk(&mut worker, |brought| matches!(brought, Brought::Found(_)));
    assert_eq!(worker.found().rows.len(), 2);
    worker.hear(touched(Touch::SignOff));
    let view = bench.view(&mut worker);
    assert!(view.reads.is_empty() && view.found.is_none(), "what was found was for whoever has gone");
}

#[test]
fn while_a_technician_is_signed_on_alerts_wait_for_the_crew_but_a_drill_does_not() {
    let bench = Bench::with_people();
    let card = Recorder::default();
    let on = config::Sound { enabled: true, volume: 1.0, voice: None };
    let clock: Shared = bench.clock.clone();
    let (heard, ears) = channel();
    let hear = Mutex::new(heard);
    let tell = move |alert: AlertId, _| _ = hear.lock().expect("whole").send(alert);
    let speaker = Speaker::start(&on, clock, Box::new(card), tell).expect("started");
    let mut worker = bench.worker(LIST, true, speaker);
    bench.sign_on(&mut worker, "T9", "305927");
    worker.hear(put_out(read(1, "AB12CDE")));
    let view = bench.view(&mut worker);
    assert!(view.alert.is_none() && view.waiting == 0 && view.reads.is_empty() && view.shift.holds_alerts);
    assert_eq!(worker.standing().len(), 1, "it waits");
    let blind = Answer { alert: worker.current().expect("it waits").id, verdict: Verdict::Misread };
    worker.hear(touched(Touch::Answered(blind)));
    assert_eq!(worker.standing().len(), 1, "what is not on the screen cannot be answered");
    worker.hear(touched(search("AB12CDE")));
    assert!(worker.found().message.contains("may not see reads"), "{:?}", worker.found());
    worker.hear(touched(Touch::Drill));
    bench.hear_clerk(&mut worker, |brought| matches!(brought, Brought::DrillListed(_)));
    let drill = worker.shown().expect("the drill");
    assert!(drill.drill, "{}", drill.headline);
    assert_eq!(ears.recv(), Ok(drill.id), "the first that is heard");
    worker.hear(touched(Touch::Answered(Answer { alert: drill.id, verdict: Verdict::Confirmed })));
    assert!(worker.shown().is_none());
    worker.hear(touched(Touch::SignOff));
    let shown = worker.shown().expect("it is the crew's now");
    assert_eq!(shown.text, "AB12CDE");
    assert_eq!(ears.recv(), Ok(shown.id), "once the technician has gone");
}

#[test]
fn a_wrong_pin_is_told_with_its_wait_and_the_longest_shift_ends_by_itself() {
    let bench = Bench::with_people();
    let mut worker = bench.worker(LIST, true, silent());
    for wait in [0, 0, 30] {
        bench.sign_on(&mut worker, "1234", "111111");
        let shift = worker.shift();
        assert_eq!((shift.who.as_str(), shift.wait_s), ("", wait));
        assert!(shift.refused.to_lowercase().contains("number or pin"), "{}", shift.refused);
    }
    bench.clock.advance(Duration::from_millis(10_500));
    assert_eq!(worker.shift().wait_s, 20, "it counts down");
    bench.sign_on(&mut worker, "1234", "480615");
    assert_eq!((worker.shift().who.as_str(), worker.shift().wait_s), ("", 20), "the right one comes too early");
    bench.clock.advance(Duration::from_secs(20));
    bench.sign_on(&mut worker, "1234", "480615");
    assert_eq!(worker.shift().who, "1234");
    bench.clock.advance(config::Crew::default().longest_shift() - Duration::from_secs(1));
    worker.look_round();
    assert_eq!(worker.shift().who, "1234");
    bench.clock.advance(Duration::from_secs(1));
    worker.look_round();
    assert_eq!(worker.shift().who, "");
    let [act, who, why, ..] = bench.deeds().pop().expect("a deed");
    assert_eq!([act.as_str(), &who, &why], ["signed off", "1234", "the longest shift is over"]);
}

#[test]
fn whoever_is_taken_off_the_roll_is_signed_off() {
    let bench = Bench::with_people();
    let mut worker = bench.worker(LIST, true, silent());
    bench.sign_on(&mut worker, "PS77", "719302");
    bench.hand_down(2, people()[..1].to_vec());
    bench.clock.advance(Duration::from_secs(1));
    worker.look_round();
    assert_eq!(worker.shift().who, "");
    // A name that was said before the roll came is none any more.
    let bench = Bench::new();
    let mut worker = bench.worker(LIST, true, silent());
    worker.hear(touched(Touch::SignOn { number: "1234".into(), pin: None }));
    assert_eq!(worker.shift().who, "1234");
    bench.hand_down(1, people());
    worker.look_round();
    assert_eq!(worker.shift().who, "");
}

#[test]
fn searches_settings_and_verdicts_of_the_screen_are_in_the_chain_and_looking_up_again_and_again_is_flagged() {
    let bench = Bench::with_people();
    let mut worker = bench.worker(LIST, true, silent());
    bench.sign_on(&mut worker, "1234", "480615");
    let found = |worker: &mut Worker, case: Option<&str>| -> Arc<Found> {
        let touch = Touch::Search {
            text: "AB12CDE".into(),
            purpose: "Check of a read".into(),
            case: case.map(str::to_owned),
            read: Some(ReadId { run: 1, pass: 3 }),
        };
        worker.hear(touched(touch));
        bench.hear_clerk(worker, |brought| matches!(brought, Brought::Found(_)));
        worker.found()
    };
    let flagged = |found: &Found| found.rows.first().is_some_and(|row| row.head == "ON RECORD");
    for (case, expected) in [(None, false), (None, false), (Some("77/26"), false), (None, true)] {
        assert_eq!(flagged(&found(&mut worker, case)), expected, "{case:?}");
    }
    worker.hear(touched(Touch::Volume(0.6)));
    worker.hear(touched(Touch::Mute(Some(Grade::Possible))));
    let deeds = bench.deeds();
    let of: Vec<_> = deeds.iter().filter(|[_, who, ..]| who == "1234").collect();
    assert_eq!(of[3][2..], ["Check of a read", "77/26", "lists and reads, on the screen, for read 1-3"], "{of:?}");
    assert_eq!(of[5][4], "the volume is 60 %");
    assert_eq!((of[6][0].as_str(), of[6][4].as_str()), ("set", "alerts up to possible are mute"));
    assert_eq!(bench.journal.archive().verify().expect("whole").flagged, 1);
}

#[test]
fn a_role_that_signs_on_is_on_board_for_the_lists() {
    let settings = Settings { audience: vec!["supervisor".into()], ..Settings::default() };
    let bench = Bench { settings, ..Bench::with_people() };
    let mut worker = bench.worker(LIST, true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    bench.sign_on(&mut worker, "1234", "480615");
    worker.hear(put_out(read(2, "AB12CDE")));
    assert!(bench.seen.lock().expect("whole").is_empty(), "it is not for them");
    bench.sign_on(&mut worker, "PS77", "719302");
    worker.hear(put_out(read(3, "AB12CDE")));
    assert_eq!(bench.seen.lock().expect("whole").len(), 1);
}

#[cfg(feature = "office")]
#[test]
fn the_office_hands_the_roll_down_and_keeps_heads_that_show_a_journal_that_was_put_back() {
    use crate::clock::RealClock;
    use crate::office::{self, Service};
    use crate::people::Change;

    let folder = tempfile::tempdir().expect("a folder");
    let (depot, car) = (folder.path().join("office"), folder.path().join("car"));
    let clock = RealClock::shared();
    office::init(&depot, &[], &*clock).expect("made");
    office::enrol(&depot, "EX-01", &car.join("identity"), &*clock).expect("enrolled");
    let add = |person| office::change_people(&depot, "Sgt Example", Change::Add(person), &*clock).expect("added");
    add(person("1234", Role::Crew, "480615"));
    let service = Service::start(&depot, "127.0.0.1:0".parse().expect("an address"), clock.clone()).expect("started");
    let settings = config::Office::at(service.address().to_string(), car.join("identity"));
    let hotlist = Arc::new(Hotlist::open(&car.join("hotlist.redb"), clock.clone()).expect("opened"));

    let drive = || {
        let journal = Arc::new(Journal::open(&car, clock.clone()).expect("opened"));
        let outbox = Arc::new(outbox::Store::new(&journal, &hotlist, &settings, &car, clock.clone()).expect("made"));
        let link = Link::start("EX-01", &settings, outbox, clock.clone()).expect("started");
        (journal, link)
    };
    let until = |what: &str, happened: &dyn Fn() -> bool| {
        let start = clock.now();
        while !happened() {
            assert!(clock.now().since(start) < Duration::from_secs(60), "{what} did not happen");
            clock.sleep(Duration::from_millis(5));
        }
    };
    let many = |journal: &Journal| match journal.archive().set_up() {
        SetUp::Roll(kept) => kept.roll.people.len(),
        _ => 0,
    };
    let anchored = |journal: &Journal| {
        let head = journal.archive().head().expect("read").expect("a head");
        office::heads(&depot).expect("read").iter().any(|kept| kept.signed && kept.hash == hex::encode(head.hash))
    };

    let (journal, link) = drive();
    until("the roll", &|| many(&journal) == 1);
    until("its head", &|| anchored(&journal));
    // Somebody new comes down while the car is connected.
    add(person("PS77", Role::Supervisor, "719302"));
    until("the new roll", &|| many(&journal) == 2);
    let when = When { utc: clock.utc(), trusted: true };
    journal.archive().sign_on("PS77", &pin("719302"), "a test", when, Moment::default()).expect("signed on");
    assert!(!car.join("arriving").exists(), "the roll lies on no disk before it is sealed");
    until("its head", &|| anchored(&journal));
    drop((link, journal));

    // Somebody keeps a copy, signs on, and puts the copy back.
    let files = ["journal.redb", "journal.keys"];
    let copy = |from: &Path, to: &Path| files.iter().for_each(|file| _ = std::fs::copy(from.join(file), to.join(file)));
    let aside = folder.path().join("aside");
    std::fs::create_dir(&aside).expect("made");
    copy(&car, &aside);
    let (journal, link) = drive();
    for _ in 0..3 {
        journal.archive().sign_on("PS77", &pin("719302"), "a test", when, Moment::default()).expect("signed on");
    }
    link.nudge();
    until("the head", &|| anchored(&journal));
    let path = folder.path().join("heads.jsonl");
    let check = |journal: &Journal| {
        let chain = journal.archive().chain().expect("whole");
        let head = serde_json::json!({"vault": format!("{:016x}", chain.vault), "signer": hex::encode(&chain.signer)});
        let hashes = (1_u64..).zip(&chain.hashes);
        let hashes = hashes.map(|(number, hash)| serde_json::json!({"number": number, "hash": hex::encode(hash)}));
        let lines: Vec<String> = std::iter::once(head).chain(hashes).map(|line| line.to_string()).collect();
        std::fs::write(&path, lines.join("\n")).expect("written");
        office::check_chain("EX-01", &office::heads(&depot).expect("read"), &path).expect("read")
    };
    let (there, wrong) = check(&journal);
    assert!(there >= 3 && wrong.is_empty(), "{there} {wrong:?}");
    assert!(office::findings(&office::heads(&depot).expect("read")).is_empty());
    drop((link, journal));
    copy(&aside, &car);
    let (journal, link) = drive();
    journal.archive().verify().expect("the car cannot tell");
    let (_, wrong) = check(&journal);
    assert!(wrong.iter().any(|wrong| wrong.contains("is missing") || wrong.contains("is not the one")), "{wrong:?}");
    until("the head", &|| anchored(&journal));
    let found = office::findings(&office::heads(&depot).expect("read"));
    assert!(found.iter().any(|found| found.contains("went back")), "{found:?}");
    drop(link);
    service.stop();
}
