//! What joins the rooms, with cameras and recognition that follow a script, on real files.

mod killed;
mod people;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use super::desk::{Tools, Worker};
use super::eye::{Eye, Recognise};
use super::*;
use crate::alert::{AlertId, Grade, Output, Verdict};
use crate::capture::{Event, Frame, Picture};
use crate::clock::SimulatedClock;
use crate::config::{self, Receiver as ReceiverConfig, ReceiverSource};
use crate::hotlist::{ImportOptions, Settings, Thresholds, Tone};
use crate::journal::{Key, make_token};
use crate::plate;
use crate::recognise::{Character, InView, ReadId, Thumbnail};

fn start() -> DateTime<Utc> {
    "2026-12-01T10:00:00Z".parse().expect("a time")
}

fn read(pass: u64, text: &str) -> Read {
    let picture = Arc::new(Thumbnail { width: 4, height: 2, rgb: vec![90; 24] });
    let characters = text
        .chars()
        .map(|character| {
            let mut p = [0.0; plate::ALPHABET_SIZE];
            p[plate::index_of(character).expect("a plate's character")] = 0.99;
            Character { p }
        })
        .collect();
    Read {
        id: ReadId { run: 1, pass },
        camera: "front".into(),
        text: text.into(),
        raw: text.into(),
        confidence: 0.98,
        characters,
        first_at: Moment::default(),
        last_at: Moment::default(),
        first_seen: Duration::ZERO,
        last_seen: Duration::from_millis(500),
        looks: 5,
        agreeing: 5,
        corners: [[0.0; 2]; 4],
        patch: picture.clone(),
        overview: picture,
    }
}

// ---- the desk ----

/// A desk with one list, a journal, and a log of the receiver that tells the time where `timed`.
struct Bench {
    folder: tempfile::TempDir,
    clock: Arc<SimulatedClock>,
    journal: Arc<Journal>,
    seen: Arc<Mutex<Vec<(Grade, String)>>>,
    roles: Vec<String>,
    settings: Settings,
    chart: Option<Arc<Chart>>,
    screen: Option<Handle>,
    /// What the clerk brings; a desk that is driven by hand gets it from here.
    news: (Sender<News>, Receiver<News>),
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = SimulatedClock::starting(start());
        let token = folder.path().join("token");
        make_token(&token).expect("made");
        let key = Key::Token(token);
        let journal = Arc::new(Journal::open_with(folder.path(), &key, clock.clone()).expect("opened"));
        Self {
            folder,
            clock,
            journal,
            seen: Arc::default(),
            roles: Vec::new(),
            settings: Settings::default(),
            chart: None,
            screen: None,
            news: channel(),
        }
    }

    fn worker(&self, list: &str, timed: bool, speaker: Speaker) -> Worker {
        let clock: Shared = self.clock.clone();
        let hotlist = Arc::new(Hotlist::open(&self.folder.path().join("hotlist.redb"), clock.clone()).expect("opened"));
        let settings = Some(self.settings.clone());
        let options = ImportOptions { produced: Some(start()), settings, ..ImportOptions::default() };
        hotlist.import("pnc", list.as_bytes(), Path::new("list.csv"), &options).expect("imported");
        let tagger = if timed {
            let path = self.folder.path().join("drive.nmea");
            std::fs::write(&path, crate::tag::sample("100000", 0.0, 6.0)).expect("written");
            let receiver =
                ReceiverConfig { source: ReceiverSource::File(path), baud: 9600, stale_s: 2.0, absent_s: 30.0 };
            Tagger::open(Some(&receiver), Arc::default(), clock.clone(), |_| {}).expect("a log")
        } else {
            Tagger::without(clock.clone())
        };
        let seen = self.seen.clone();
        Worker::new(Tools {
            clock,
            cameras: vec!["front".into()],
            counters: vec![Arc::default()],
            positions: vec![Arc::default()],
            has_receiver: timed,
            roles: self.roles.clone(),
            longest_shift: config::Crew::default().longest_shift(),
            tagger: Arc::new(tagger),
            clerk: super::clerk::Clerk::start(
                Some(hotlist.clone()),
                Some(self.journal.clone()),
                self.folder.path().to_owned(),
                self.news.0.clone(),
            )
            .expect("started"),
            hotlist: Some(hotlist),
            journal: Some(self.journal.clone()),
            speaker,
            screen: self.screen.clone(),
            chart: self.chart.clone(),
            link: None,
            observer: Box::new(move |told| {
                let alerts = told.changes.iter().map(|change| (change.alert().grade, change.alert().doubt.clone()));
                seen.lock().expect("whole").extend(alerts);
            }),
        })
    }

    /// The audit chain: what was done, by whom, why, for which case, and what more there is to say.
    fn deeds(&self) -> Vec<[String; 5]> {
        self.journal.flush().expect("on disk");
        let deeds = self.journal.archive().deeds().expect("read").into_iter();
        deeds.map(|deed| [deed.act, deed.who, deed.reason, deed.case, deed.detail]).collect()
    }

    /// The journal's lines of one kind.
    fn lines(&self, kind: &str) -> Vec<Value> {
        self.journal.flush().expect("on disk");
        let mut text = Vec::new();
        self.journal.archive().export_jsonl(&mut text).expect("exported");
        let lines = String::from_utf8(text).expect("text");
        lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .filter(|line: &Value| line["kind"] == kind)
            .collect()
    }
}

fn silent() -> Speaker {
    let off = config::Sound { enabled: false, ..config::Sound::default() };
    Speaker::start(&off, SimulatedClock::starting(start()), Box::new(DeviceSounder), |_, _| {}).expect("started")
}

/// Lets the desk hear `news`, then ends it.
fn hear(worker: Worker, news: Vec<News>) -> Outcome {
    let (sender, inbox) = channel();
    news.into_iter().chain([News::Stop]).for_each(|news| sender.send(news).expect("the desk listens"));
    worker.run(&inbox)
}

fn put_out(read: Read) -> News {
    News::Read(Box::new(read), Duration::from_millis(500))
}

#[test]
fn where_the_time_is_not_known_nothing_on_a_list_is_certain() {
    // By the satellites the entry has expired; the car's clock was never set, and would let it count.
    let list = "vrm,reason,expires,confirmed\nAB12CDE,stolen,2026-11-30,2026-11-29\nCD34EFG,stolen,,2026-11-29\n";
    let both = || vec![put_out(read(1, "AB12CDE")), put_out(read(2, "CD34EFG"))];
    let bench = Bench::new();
    hear(bench.worker(list, true, silent()), both());
    let grades: Vec<Grade> = bench.seen.lock().expect("whole").iter().map(|(grade, _)| *grade).collect();
    assert_eq!(grades, [Grade::Possible, Grade::Certain], "with satellites");

    let bench = Bench::new();
    bench.clock.jump_to(DateTime::UNIX_EPOCH);
    hear(bench.worker(list, false, silent()), both());
    for (grade, doubt) in bench.seen.lock().expect("whole").iter() {
        assert_eq!(*grade, Grade::Probable);
        assert!(doubt.contains("time unknown"), "{doubt}");
    }
    assert_eq!(bench.seen.lock().expect("whole").len(), 2);
}

#[test]
fn what_the_crew_finds_of_a_hit_reaches_the_lists_and_a_wrong_pair_is_silent() {
    let bench = Bench::new();
    let list = "vrm,reason\nAB12CDE,stolen\n";
    let answer = |verdict| News::Touch(Touch::Answered(crate::screen::Answer { alert: AlertId(1), verdict }));
    let seen = |text: &str| put_out(read(1, text));
    hear(bench.worker(list, true, silent()), vec![seen("AB12CDE"), answer(Verdict::WrongVehicle)]);
    assert_eq!(bench.seen.lock().expect("whole").len(), 1);
    let hotlist = Hotlist::open(&bench.folder.path().join("hotlist.redb"), bench.clock.clone()).expect("opened");
    let precision = hotlist.precision("pnc", start()).expect("read");
    assert_eq!((precision.true_hits, precision.false_hits, precision.silenced), (0, 1, 1));
    drop(hotlist);
    // The pair is silent from now on, but on record.
    hear(bench.worker(list, true, silent()), vec![put_out(read(2, "AB12CDE"))]);
    assert_eq!(bench.seen.lock().expect("whole").len(), 1, "the crew hears nothing of it");
    assert_eq!(bench.lines("read").iter().filter(|read| !read["hits"].as_array().expect("hits").is_empty()).count(), 2);
}

#[test]
fn a_hit_of_a_list_that_is_not_for_this_crew_is_on_record_and_nobody_is_told() {
    for (roles, told) in [(vec![], 0), (vec!["constable".to_owned()], 0), (vec!["Sergeant".to_owned()], 1)] {
        let settings = Settings { audience: vec!["sergeant".into()], ..Settings::default() };
        let bench = Bench { roles: roles.clone(), settings, ..Bench::new() };
        hear(bench.worker("vrm,reason\nAB12CDE,stolen\n", true, silent()), vec![put_out(read(1, "AB12CDE"))]);
        assert_eq!(bench.seen.lock().expect("whole").len(), told, "{roles:?}");
        assert_eq!(bench.lines("read")[0]["hits"].as_array().map(Vec::len), Some(1), "journal and office get it");
    }
}

#[test]
fn a_plate_laid_out_like_another_country_s_speaks_against_the_hit() {
    for (country, grade, against) in
        [("GB", Grade::Certain, ""), ("", Grade::Certain, ""), ("F", Grade::Possible, "contradicted")]
    {
        let bench = Bench::new();
        let list = format!("vrm,reason,country\nAB12CDE,stolen,{country}\n");
        hear(bench.worker(&list, true, silent()), vec![put_out(read(1, "AB12CDE"))]);
        assert_eq!(*bench.seen.lock().expect("whole"), [(grade, against.to_owned())], "{country:?}");
        let said = bench.lines("read")[0]["hits"][0]["against"].to_string();
        let expected = "the plate is laid out like one of GB, the entry is of F";
        assert_eq!(said.contains(expected), country == "F", "{said}");
    }
}

#[test]
fn a_doubtful_read_is_probable_where_the_list_says_so_and_sounds_like_it() {
    // Read as AB12CDF, but for a hair; the list takes what is more likely than not for probable.
    let mut doubtful = read(1, "AB12CDF");
    let last = doubtful.characters.last_mut().expect("a character");
    *last = Character { p: [0.0; plate::ALPHABET_SIZE] };
    last.p[plate::index_of('F').expect("F")] = 0.5;
    last.p[plate::index_of('E').expect("E")] = 0.499;
    doubtful.confidence = doubtful.characters.iter().map(|character| character.best().1).product();
    for (thresholds, expected) in [
        (Thresholds { certain: 0.9, probable: 0.5, possible: 0.3 }, Grade::Probable),
        (Thresholds { certain: 0.1, probable: 0.1, possible: 0.1 }, Grade::Probable),
        (Thresholds { certain: 0.99, probable: 0.98, possible: 0.3 }, Grade::Possible),
    ] {
        let settings = Settings { thresholds, tone: Tone::Bell, ..Settings::default() };
        let bench = Bench { settings, ..Bench::new() };
        let card = Recorder::default();
        let on = config::Sound { enabled: true, volume: 1.0, voice: None };
        let clock: Shared = bench.clock.clone();
        let speaker = Speaker::start(&on, clock, Box::new(card.clone()), |_, _| {}).expect("started");
        hear(bench.worker("vrm,reason\nAB12CDE,stolen\n", true, speaker), vec![put_out(doubtful.clone())]);
        let seen = bench.seen.lock().expect("whole").clone();
        assert_eq!(seen.iter().map(|(grade, _)| *grade).collect::<Vec<_>>(), [expected], "{thresholds:?}");
        assert!(seen[0].1.contains("not read as the listed plate: AB12CDE"), "{seen:?}");
        let played = card.0.lock().expect("whole").clone();
        // The words follow the tone.
        let tone = crate::alert::tone(Tone::Bell, expected);
        assert!(played.len() == 1 && played[0].starts_with(&tone) && played[0].len() > tone.len(), "{thresholds:?}");
    }
}

#[test]
fn the_driver_s_table_chooses_the_voice_of_the_tone_and_that_nobody_approved_it_is_on_record() {
    let table = include_str!("../../vehicle-config/driver/symbols.toml");
    for (approval, said) in [("", "NOT APPROVED"), ("by a test", "approved: by a test")] {
        let table = table.replace("tone = \"list\"", "tone = \"reed\"");
        let table = table.replace("approval = \"\"", &format!("approval = {approval:?}"));
        let chart = Some(Arc::new(Chart::parse(&table).expect("valid")));
        let bench = Bench { chart, ..Bench::new() };
        let card = Recorder::default();
        let clock: Shared = bench.clock.clone();
        let on = config::Sound { enabled: true, volume: 1.0, voice: None };
        let speaker = Speaker::start(&on, clock, Box::new(card.clone()), |_, _| {}).expect("started");
        let fault = Fault::new(Kind::Unavailable, "cannot open the driver's window");
        let news = vec![put_out(read(1, "AB12CDE")), News::Driver(fault)];
        hear(bench.worker("vrm,reason\nAB12CDE,stolen\n", true, speaker), news);
        let played = card.0.lock().expect("whole").clone();
        assert!(played[0].starts_with(&crate::alert::tone(Tone::Reed, Grade::Certain)));
        let note = bench.lines("note").remove(0)["text"].to_string();
        assert!(note.contains(said), "{note}");
        assert_eq!(bench.lines("fault")[0]["part"], "driver", "the alert went its way all the same");
    }
}

/// A sound card that keeps what it is given.
#[derive(Default, Clone)]
struct Recorder(Arc<Mutex<Vec<Vec<f32>>>>);

impl Sounder for Recorder {
    fn open(&mut self, _: Box<dyn Fn(String) + Send + Sync>) -> Result<Box<dyn Output>> {
        Ok(Box::new(self.clone()))
    }
}

impl Output for Recorder {
    fn play(&mut self, playback: crate::alert::Playback) {
        self.0.lock().expect("whole").push(playback.collect());
    }
}

#[test]
fn an_alert_whose_entry_is_taken_off_its_list_is_withdrawn() {
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\nCD34EFG,x\n", true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    let hotlist = worker.lists();
    assert_eq!(worker.standing(), [crate::alert::Standing::Open]);
    let options = ImportOptions { produced: Some(start()), ..ImportOptions::default() };
    hotlist.import("pnc", &b"vrm,reason\nCD34EFG,x\n"[..], Path::new("list.csv"), &options).expect("imported");
    worker.stand_down();
    let time = super::clerk::clock_time(start(), start());
    // Nobody has signed this list: it was imported at the car.
    let why = format!("taken off pnc at revision 2 at {time}");
    assert_eq!(worker.standing(), [crate::alert::Standing::Withdrawn(why)]);
}

#[test]
fn an_alert_whose_entry_comes_to_say_something_else_is_withdrawn_with_what_it_says() {
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\nCD34EFG,x\n", true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    worker.hear(put_out(read(2, "CD34EFG")));
    let hotlist = worker.lists();
    let options = ImportOptions { produced: Some(start()), ..ImportOptions::default() };
    let import = |list: &[u8]| hotlist.import("pnc", list, Path::new("list.csv"), &options).expect("imported");
    // Other words about the vehicle are no other reason.
    import(b"vrm,reason,colour\nAB12CDE,Stolen,RED\nCD34EFG,x,\n");
    worker.stand_down();
    assert_eq!(worker.standing(), [crate::alert::Standing::Open, crate::alert::Standing::Open]);
    import(b"vrm,reason\nAB12CDE,RECOVERED\nCD34EFG,x\n");
    worker.stand_down();
    let time = super::clerk::clock_time(start(), start());
    let why = format!("now listed as recovered at {time}");
    assert_eq!(worker.standing(), [crate::alert::Standing::Open, crate::alert::Standing::Withdrawn(why)]);
}

#[test]
fn what_another_crew_found_false_is_never_certain_and_is_said_beside_the_hit() {
    use crate::hotlist::{Judgement, Verdict as Found, Verdicts};
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\nCD34EFG,stolen\nEF56GHJ,stolen\n", true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    assert_eq!(worker.current().expect("an alert").grade, Grade::Certain);
    let found = |unit: &str, vrm: &str, judgement| Found {
        unit: unit.into(),
        utc: start(),
        list: "pnc".into(),
        mark: vrm.into(),
        text: vrm.into(),
        judgement,
    };
    let verdicts = vec![
        found("EX-02", "AB12CDE", Judgement::False),
        found("EX-02", "CD34EFG", Judgement::True),
        found("EX-01", "EF56GHJ", Judgement::False),
    ];
    worker.lists().hear("EX-01", Verdicts { revision: 1, verdicts });
    worker.hear(News::Lists);
    worker.stand_down();

    // The alert that stands is doubtful from now on, in words, on the screen and should it be said again.
    let time = start().with_timezone(&chrono::Local).format("%H:%M").to_string();
    let alert = worker.current().expect("an alert");
    assert_eq!(
        (alert.grade, alert.against.as_slice()),
        (Grade::Possible, &[format!("EX-02 found this false, {time}")][..])
    );
    assert!(alert.spoken.starts_with("Possible stolen. Contradicted. "), "{}", alert.spoken);
    // So is the same vehicle when it passes again, even when it is sure of everything else.
    worker.hear(put_out(read(2, "AB12CDE")));
    let alert = worker.current().expect("an alert");
    assert_eq!((alert.grade, alert.count, alert.against.len()), (Grade::Possible, 2, 1));
    assert!(alert.spoken.starts_with("Possible stolen. Contradicted. "), "{}", alert.spoken);

    // What another crew confirmed is said, and makes nothing surer; what this crew found is no news to it.
    worker.hear(put_out(read(3, "CD34EFG")));
    let alert = worker.current().expect("an alert");
    assert_eq!((alert.text.as_str(), alert.grade), ("CD34EFG", Grade::Certain));
    assert!(alert.entry_freshness.ends_with(&format!("; EX-02 confirmed this, {time}")), "{}", alert.entry_freshness);
    worker.hear(put_out(read(4, "EF56GHJ")));
    assert!(worker.standing().len() == 3 && worker.current().expect("an alert").grade == Grade::Certain);
}

#[test]
fn a_later_version_of_a_read_that_says_the_same_is_no_second_hit() {
    let bench = Bench::new();
    let list = "vrm,reason\nAB12CDE,stolen\n";
    let versions = ["AB12CDE", "AB12CDE", "AB12CDF", "AB12CDE"].map(|text| put_out(read(1, text)));
    hear(bench.worker(list, true, silent()), Vec::from(versions));
    let reads = bench.lines("read");
    assert_eq!(reads[0]["versions"].as_array().map(Vec::len), Some(3), "every version is kept");
    assert_eq!(reads[0]["hits"].as_array().map(Vec::len), Some(1));

    // Another vehicle of the same VRM is another hit.
    let bench = Bench::new();
    hear(bench.worker(list, true, silent()), vec![put_out(read(1, "AB12CDE")), put_out(read(2, "AB12CDE"))]);
    assert_eq!(bench.lines("read").iter().filter(|read| !read["hits"].as_array().expect("hits").is_empty()).count(), 2);
}

// ---- the crew ----

impl Bench {
    /// Lets the worker hear what the clerk brings, until it is what was waited for.
    fn hear_clerk(&self, worker: &mut Worker, wanted: impl Fn(&super::clerk::Brought) -> bool) {
        loop {
            let news = self.news.1.recv().expect("the clerk has a sender");
            let done = matches!(&news, News::Brought(brought) if wanted(brought));
            worker.hear(news);
            if done {
                return;
            }
        }
    }
}

fn touched(touch: Touch) -> News {
    News::Touch(touch)
}

#[test]
fn an_answer_is_kept_with_who_gave_it_and_what_it_rests_on() {
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\nCD34EFG,stolen\n", true, silent());
    let answer = |alert, verdict| crate::screen::Answer { alert: AlertId(alert), verdict };
    for news in [
        put_out(read(1, "AB12CDE")),
        touched(Touch::SignOn { number: "4512".into(), pin: None }),
        touched(Touch::Answered(answer(1, Verdict::Confirmed))),
        touched(Touch::Because(answer(1, Verdict::Confirmed), "checked: plate, country".into())),
        touched(Touch::Because(answer(9, Verdict::Confirmed), "of no alert".into())),
        touched(Touch::SignOff),
        put_out(read(2, "CD34EFG")),
        touched(Touch::Answered(answer(2, Verdict::Misread))),
    ] {
        worker.hear(news);
    }
    let verdicts = bench.lines("verdict");
    let kept: Vec<[&str; 4]> = verdicts
        .iter()
        .map(|line| ["id", "verdict", "reason", "by"].map(|field| line[field].as_str().expect("text")))
        .collect();
    assert_eq!(
        kept,
        [
            ["1-1", "Confirmed", "", "4512"],
            ["1-1", "Confirmed", "checked: plate, country", "4512"],
            ["1-2", "Misread", "", ""],
        ]
    );
    let deeds = bench.deeds();
    let said: Vec<[&str; 3]> = deeds.iter().map(|[act, who, reason, ..]| [act.as_str(), who, reason]).collect();
    assert_eq!(
        said[1..],
        [
            ["signed on", "4512", "a shift"],
            ["judged", "4512", "an alert"],
            ["judged", "4512", "checked: plate, country"],
            ["signed off", "4512", "the crew"],
            ["judged", "nobody signed on", "an alert"],
        ]
    );
}

#[test]
fn a_search_is_on_record_and_finds_what_lists_and_journal_have() {
    use super::clerk::Brought;
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason,make,colour\nAB12CDE,stolen,FORD,SILVER\n", true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    worker.hear(put_out(read(2, "CD34EFG")));
    let found = |worker: &mut Worker, touch: Touch| {
        worker.hear(touched(touch));
        bench.hear_clerk(worker, |brought| matches!(brought, Brought::Found(_)));
        worker.found()
    };
    let search =
        |text: &str| Touch::Search { text: text.into(), purpose: "Crime report".into(), case: None, read: None };
    let both = found(&mut worker, search("ab12 cde"));
    let heads: Vec<(&str, bool)> = both.rows.iter().map(|row| (row.head.as_str(), row.entry)).collect();
    assert_eq!(heads.len(), 2, "{both:?}");
    assert_eq!((heads[0], heads[1].1), (("STOLEN", true), false));
    assert!(both.rows[0].line == "Silver Ford" && both.rows[1].line.contains("AB12 CDE"), "{both:?}");
    let some = found(&mut worker, search("C*"));
    assert!(some.rows.len() == 1 && some.rows[0].line.contains("CD34 EFG"), "{some:?}");
    assert!(found(&mut worker, search("ZZ99ZZZ")).message.contains("On no list"));

    // The crew's own entry counts at once, and is found.
    let case = Some("77/26".to_owned());
    let add = Touch::Add { text: "CD34EFG".into(), reason: "Failed to stop".into(), case, hours: 4 };
    let added = found(&mut worker, add);
    assert!(
        added.rows[0].entry && added.rows[0].head == "FAILED TO STOP" && added.rows[0].detail.contains("until"),
        "{added:?}"
    );
    worker.hear(put_out(read(3, "CD34EFG")));
    assert!(bench.seen.lock().expect("whole").len() >= 2, "it is alerted");
    let deeds = bench.deeds();
    let nobody = "nobody signed on";
    assert_eq!(deeds[1][..3], ["searched", nobody, "Crime report"].map(str::to_owned), "{deeds:?}");
    assert_eq!(deeds[4][..4], ["entered", nobody, "Failed to stop", "77/26"].map(str::to_owned), "{deeds:?}");
    assert!(!format!("{deeds:?}{:?}", bench.lines("note")).contains("AB12CDE"), "only the plate's keyed hash is kept");
    // Something that is no VRM is told as such, not looked for.
    worker.hear(touched(search("?*")));
    assert!(worker.found().message.contains("cannot be looked up"));
}

#[test]
fn a_drill_goes_the_way_of_every_hit_and_is_marked_wherever_it_arrives() {
    use super::clerk::Brought;
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\n", true, silent());
    let drill = |worker: &mut Worker| {
        worker.hear(touched(Touch::Drill));
        bench.hear_clerk(worker, |brought| matches!(brought, Brought::DrillListed(_)));
    };
    drill(&mut worker);
    assert_eq!(worker.standing(), [crate::alert::Standing::Open], "it is an alert");
    let alert = worker.current().expect("on the screen");
    assert!(alert.drill && alert.headline == "TEST" && alert.spoken.starts_with("Drill. "), "{}", alert.spoken);
    worker.hear(News::Heard(alert.id, Moment::at(Duration::from_millis(80))));
    worker.hear(touched(Touch::Shown(alert.id, Moment::at(Duration::from_millis(90)))));
    worker.hear(touched(Touch::Drill));
    assert_eq!(worker.standing().len(), 1, "one at a time");
    let read = bench.lines("read").pop().expect("a read");
    assert!(read["drill"] == true && read["text"] == "DR01LLL", "{read}");
    assert!(read["hits"][0]["list"] == "crew" && read["hits"][0]["reason"] == "TEST", "{read}");
    // This bench has no camera that delivers and no office: the drill says so instead of going on for ever.
    bench.clock.advance(Duration::from_secs(31));
    worker.look_round();
    let note = bench.lines("note").pop().expect("a note")["text"].as_str().expect("text").to_owned();
    assert!(note.starts_with("drill: camera FAILED (nothing within 30 s), matching proved"), "{note}");
    assert!(note.contains("speaker proved (80 ms), screen proved (90 ms), uplink FAILED (no back office"), "{note}");
    // Answering ends it: nothing of it stays on the lists, no list's precision changes, and the next one is heard again.
    let answer = crate::screen::Answer { alert: alert.id, verdict: Verdict::Misread };
    worker.hear(touched(Touch::Answered(answer)));
    drill(&mut worker);
    assert_ne!(worker.current().expect("again").id, alert.id);
    let precision = worker.lists().precision("crew", start()).expect("read");
    assert_eq!((precision.true_hits, precision.false_hits, precision.silenced), (0, 0, 0));
    assert!(bench.lines("read").iter().filter(|read| read["drill"] == true).count() == 2);
}

#[test]
fn how_long_the_crew_waited_is_on_record_for_every_alert_and_in_sum_at_the_end() {
    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\n", true, silent());
    bench.clock.advance(Duration::from_millis(70));
    worker.hear(put_out(read(1, "AB12CDE")));
    worker.hear(News::Heard(AlertId(1), Moment::at(Duration::from_millis(110))));
    worker.hear(touched(Touch::Shown(AlertId(1), Moment::at(Duration::from_millis(130)))));
    bench.clock.advance(Duration::from_secs(1));
    worker.look_round();
    let timings = bench.lines("timing");
    let told: Vec<[Option<f64>; 3]> = timings
        .iter()
        .map(|line| ["to_desk_ms", "to_sound_ms", "to_screen_ms"].map(|field| line[field].as_f64()))
        .collect();
    assert_eq!(told, [[Some(70.0), Some(110.0), Some(130.0)]]);
    let outcome = hear(worker, Vec::new());
    assert_eq!(outcome.latencies[0].to_screen, Some(Duration::from_millis(130)));
    let notes = bench.lines("note");
    let sum = notes.last().expect("a sum")["text"].as_str().expect("text").to_owned();
    assert_eq!(sum, "camera to alert: sound p50 110 p95 110 p99 110 ms of 1; screen p50 130 p95 130 p99 130 ms of 1");
    assert_eq!(bench.lines("timing").len(), 1, "once");
}

#[test]
fn two_hundred_alerts_in_a_minute_all_wait_for_the_crew_are_timed_and_are_on_record() {
    let bench = Bench::new();
    let texts: Vec<String> =
        (0..200).map(|n| format!("AB{:02}CD{}", n % 100, if n < 100 { 'E' } else { 'F' })).collect();
    let list: String = texts.iter().map(|text| format!("{text},stolen\n")).collect();
    let mut worker = bench.worker(&format!("vrm,reason\n{list}"), true, silent());
    for (text, pass) in texts.iter().zip(1..) {
        let at = bench.clock.now();
        worker.hear(put_out(Read { first_at: at, last_at: at, ..read(pass, text) }));
        worker.hear(News::Heard(AlertId(pass), at.plus(Duration::from_millis(20))));
        bench.clock.advance(Duration::from_millis(300));
        worker.look_round();
    }
    assert_eq!(worker.standing().len(), 200, "none is dropped, none is answered by the machine");
    let hits =
        bench.lines("read").iter().filter(|read| read["hits"].as_array().is_some_and(|hits| hits.len() == 1)).count();
    assert_eq!(hits, 200, "on record");
    let outcome = hear(worker, Vec::new());
    assert_eq!(
        outcome.latencies.iter().filter(|latency| latency.to_sound == Some(Duration::from_millis(20))).count(),
        200
    );
    assert_eq!(bench.lines("timing").len(), 200);
}

/// A sound card that is missing until it is plugged in.
struct Card(Arc<AtomicBool>);

impl Sounder for Card {
    fn open(&mut self, _: Box<dyn Fn(String) + Send + Sync>) -> Result<Box<dyn Output>> {
        struct Mute;
        impl Output for Mute {
            fn play(&mut self, _: crate::alert::Playback) {}
        }
        match self.0.load(Ordering::Relaxed) {
            true => Ok(Box::new(Mute)),
            false => Err(Fault::new(Kind::Unavailable, "there is no sound card")),
        }
    }
}

#[test]
fn parts_that_fail_and_come_back_are_on_record() {
    let bench = Bench::new();
    let plugged = Arc::new(AtomicBool::new(false));
    let on = config::Sound::default();
    let clock: Shared = bench.clock.clone();
    let speaker = Speaker::start(&on, clock, Box::new(Card(plugged.clone())), |_, _| {}).expect("started");
    let until = |speaker: &Speaker, fault: bool| {
        while speaker.state().is_fault() != fault || speaker.state() == crate::alert::SoundState::Opening {
            std::thread::yield_now();
        }
    };
    until(&speaker, true);
    let mut worker = bench.worker("vrm,reason\nAB12CDE,stolen\n", true, speaker);
    let faults =
        |bench: &Bench, kind: &str, part: &str| bench.lines(kind).iter().filter(|line| line["part"] == part).count();
    worker.look_round();
    bench.clock.advance(Duration::from_secs(1));
    worker.look_round();
    assert_eq!((faults(&bench, "fault", "sound"), faults(&bench, "back", "sound")), (1, 0));
    plugged.store(true, Ordering::Relaxed);
    until(worker.speaker(), false);
    bench.clock.advance(Duration::from_secs(1));
    worker.look_round();
    assert_eq!((faults(&bench, "fault", "sound"), faults(&bench, "back", "sound")), (1, 1));

    hear(worker, vec![News::Display(Fault::new(Kind::Unavailable, "the display has gone"))]);
    assert_eq!(faults(&bench, "fault", "display"), 1);
    assert_eq!(bench.lines("fault").len(), 2, "what works says nothing: {:?}", bench.lines("fault"));
}

#[test]
fn a_long_run_does_not_grow() {
    let bench = Bench::new();
    let worker = bench.worker("vrm,reason\nAB12CDE,stolen\n", true, silent());
    let lost = (0..500).map(|n| News::Lost(0, Fault::new(Kind::Unavailable, format!("lost {n}")))).collect();
    let outcome = hear(worker, lost);
    assert_eq!(outcome.faults.len(), 100);
    assert_eq!(outcome.faults[0], "lost 0", "the first is the cause");
}

#[test]
fn a_certificate_that_is_not_renewed_is_a_fault_though_the_link_is_up() {
    use crate::fault::{Fault, Kind};
    use crate::screen::State;
    use crate::sync::{LinkState, Status};
    let status = |state, fault: Option<&str>| Status {
        state,
        unsent: 0,
        acknowledged: 0,
        lists: Vec::new(),
        list_fault: None,
        identity_fault: fault.map(|why| Arc::new(Fault::new(Kind::Denied, why))),
        costs: None,
    };
    let up = || LinkState::Connected { since: Moment::default() };
    let down = || LinkState::Down {
        since: Moment::default(),
        reason: Arc::new(Fault::new(Kind::Unavailable, "the office cannot be reached").remedy("Wait")),
    };
    assert!(matches!(board::linked(status(up(), None)), (false, item) if item.state == State::Ok));
    let costs = crate::sync::car::Costs::spent_of(config::Budgets::default(), [50_000_000, 0, 0]);
    let (failed, item) = board::linked(Status { costs: Some(costs), ..status(up(), None) });
    assert!(
        !failed && item.detail.contains("metered link") && item.detail.contains("50 of 50 MB of pictures"),
        "{item:?}"
    );
    let (failed, item) = board::linked(status(up(), Some("it runs out on 2028-11-30")));
    assert!(failed && item.state == State::Warn && item.word == "certificate", "{item:?}");
    assert!(item.detail.contains("runs out on 2028-11-30"), "{item:?}");
    let (failed, item) = board::linked(status(down(), Some("it runs out on 2028-11-30")));
    assert!(
        failed && item.word == "down" && item.detail.ends_with("cannot be reached. Wait. it runs out on 2028-11-30"),
        "{item:?}"
    );
}

#[test]
fn records_that_are_lost_show_on_the_strip() {
    use crate::journal::{Room, Status};
    use crate::screen::State;
    let well = board::kept(&Status { committed: 3, ..Status::default() });
    assert_eq!(well.state, State::Ok);
    let slow = board::kept(&Status { committed: 3, without_pictures: 2, ..Status::default() });
    assert_eq!(slow.state, State::Warn);
    let lost = board::kept(&Status { committed: 3, refused: 7, ..Status::default() });
    assert!(lost.state == State::Fault && lost.word == "7 lost" && lost.detail.contains("disk"));
    let open = board::kept(&Status { committed: 3, unprotected: true, ..Status::default() });
    assert!(open.state == State::Fault && open.word == "unprotected" && open.detail.contains("`key`"));
    let room = |room, given_up| board::kept(&Status { room, given_up, ..Status::default() });
    let low = room(Room::Low(1_900_000_000), 0);
    assert!(low.state == State::Warn && low.word == "filling up" && low.detail.starts_with("1.9 GB"), "{low:?}");
    let full = room(Room::Low(1_900_000_000), 7);
    assert!(full.state == State::Fault && full.detail.contains("; 7 pictures of reads without a hit went"), "{full:?}");
    let out = room(Room::Out(4096), 7);
    assert!(out.state == State::Fault && out.detail.contains("None is left"), "{out:?}");
    assert_eq!(room(Room::Enough, 7).state, State::Ok, "there is room again");
}

// ---- an eye ----

/// Recognition that says one read a frame at its end, and fails where the script says so.
#[derive(Default)]
struct Script {
    frames: u64,
    unfinished: VecDeque<Read>,
    fails: Vec<u64>,
    panics: Option<u64>,
}

impl Recognise for Script {
    fn frame(&mut self, _: &Frame, _: &mut dyn FnMut(Read)) -> Result<()> {
        self.frames += 1;
        assert_ne!(Some(self.frames), self.panics, "as the script says");
        if self.fails.contains(&self.frames) {
            return Err(Fault::new(Kind::Internal, "the network does not fit"));
        }
        self.unfinished.push_back(read(self.frames, "AB12CDE"));
        Ok(())
    }

    fn end(&mut self, put_out: &mut dyn FnMut(Read)) {
        self.unfinished.drain(..).for_each(put_out);
    }

    fn in_view(&self) -> Vec<InView> {
        Vec::new()
    }

    fn timings(&self) -> Timings {
        Timings::default()
    }
}

fn frame() -> Event {
    Event::Frame(Frame {
        camera: "front".into(),
        number: 0,
        at: Moment::default(),
        time: Duration::ZERO,
        picture: Picture::owned(2, 2, vec![0; 4]).expect("grey"),
    })
}

fn eye(events: Vec<Event>, recogniser: Script, news: Sender<News>) -> Eye<Script> {
    let mut events = events.into_iter();
    Eye {
        index: 0,
        feed: Box::new(move |_| events.next().unwrap_or(Event::End)),
        recogniser,
        position: Arc::new(AtomicU64::new(0)),
        screen: None,
        news,
        stop: Arc::default(),
    }
}

/// What the eye says, as letters: Read, Lost, Back, End.
fn said(events: Vec<Event>, recogniser: Script) -> String {
    let (sender, news) = channel();
    eye(events, recogniser, sender).run();
    news.try_iter()
        .map(|news| match news {
            News::Read(..) => 'R',
            News::Lost(..) => 'L',
            News::Back(_) => 'B',
            News::End(..) => 'E',
            _ => '?',
        })
        .collect()
}

#[test]
fn what_a_camera_saw_before_it_went_away_is_said_at_once() {
    let lost = || Event::Lost(Fault::new(Kind::Unavailable, "the cable is out"));
    assert_eq!(said(vec![frame(), lost(), Event::Back, frame()], Script::default()), "RLBRE");
    // A camera that is silent, but not long enough to be lost.
    let quiet = |count| (0..count).map(|_| Event::Quiet);
    let events: Vec<Event> = [frame()].into_iter().chain(quiet(30)).chain([lost()]).collect();
    assert_eq!(said(events, Script::default()), "RLE");
    let (sender, news) = channel();
    let events: Vec<Event> = [frame()].into_iter().chain(quiet(24)).collect();
    eye(events, Script::default(), sender).run();
    assert!(matches!(news.try_recv(), Ok(News::Read(..))));
}

#[test]
fn a_camera_whose_pictures_could_not_be_recognised_for_a_while_is_back_with_the_first_that_can() {
    let script = Script { fails: vec![2, 3], ..Script::default() };
    assert_eq!(said((0..5).map(|_| frame()).collect(), script), "LBRRRE");
}

#[test]
fn a_thread_that_panics_is_no_success() {
    let (news, inbox) = channel();
    let broken_eye = eye(vec![frame()], Script { panics: Some(1), ..Script::default() }, news.clone());
    let mut unit = Unit {
        eyes: vec![watched(0, broken_eye, news.clone()).expect("started")],
        news,
        stop: Arc::default(),
        keeper: None,
        desk: Some(thread("desk", || panic!("as the test wants it")).expect("started")),
        link: None,
        clock: SimulatedClock::starting(start()),
        panicked: Vec::new(),
    };
    unit.join_eyes();
    assert!(matches!(inbox.recv(), Ok(News::Lost(0, fault)) if fault.to_string().contains("eye-0")));
    let outcome = unit.stop();
    assert_eq!(outcome.panicked, ["eye-0", "desk"]);
    let fault = outcome.sound().expect_err("broken");
    assert!(fault.kind() == Kind::Internal && fault.to_string().contains("eye-0, desk"), "{fault}");
}

#[test]
fn a_disk_that_hangs_does_not_hold_the_end() {
    let (news, _inbox) = channel();
    let (disk, answers) = channel::<()>();
    let unit = Unit {
        eyes: Vec::new(),
        news,
        stop: Arc::default(),
        keeper: Some(thread("keeper", move || _ = answers.recv()).expect("started")),
        desk: Some(thread("desk", Outcome::default).expect("started")),
        link: None,
        clock: SimulatedClock::starting(start()),
        panicked: Vec::new(),
    };
    assert!(unit.stop().sound().is_ok(), "it ends without the keeper");
    drop(disk);
}

// ---- journal, link and office ----

#[cfg(feature = "office")]
#[test]
fn a_journal_that_begins_anew_does_not_lose_its_reads_at_the_office() {
    use crate::office::{Received, RedbStore, Store as _};
    use crate::sync::car::Budget;
    use crate::sync::{Kind as Sent, Outbox as _};

    let folder = tempfile::tempdir().expect("a folder");
    let clock: Shared = SimulatedClock::starting(start());
    let hotlist = Arc::new(Hotlist::open(&folder.path().join("hotlist.redb"), clock.clone()).expect("opened"));
    let office = RedbStore::open(&folder.path().join("office.redb")).expect("opened");
    for text in ["AB12CDE", "CD34EFG"] {
        let journal = Arc::new(Journal::open(folder.path(), clock.clone()).expect("opened"));
        assert_eq!(journal.run(), 1, "a new file counts from the start");
        let when = crate::tag::When { utc: start() + TimeDelta::minutes(1), trusted: true };
        let tagged = TaggedRead { read: read(1, text), when, place: None, drill: false };
        journal.record(Record::Read(Box::new(tagged))).expect("taken");
        journal.flush().expect("on disk");
        let settings = config::Office::at("localhost:1", folder.path());
        let outbox = outbox::Store::new(&journal, &hotlist, &settings, folder.path(), clock.clone()).expect("made");
        let waiting = outbox.pending(Budget::of(100, 1 << 20)).expect("read");
        let items: Vec<_> = waiting.into_iter().map(|waiting| waiting.item).collect();
        let keys: Vec<_> = items.iter().map(|item| item.key.clone()).collect();
        let outcome = office.put(&[Received { unit: "EX-01".into(), items }], start()).expect("stored");
        assert_eq!((outcome[0].stored, outcome[0].conflicts), (4, 0), "read, pictures, head of the chain");
        outbox.acknowledged(&keys).expect("noted");
        assert_eq!((outbox.unsent(), journal.status().unsent), (0, 0));
        drop((outbox, journal));
        std::fs::remove_file(folder.path().join("journal.redb")).expect("the disk is swapped");
    }
    let keys = office.keys("EX-01", Sent::Read).expect("read");
    let payloads: Vec<_> =
        keys.iter().map(|key| office.get("EX-01", Sent::Read, key).expect("read").expect("there")).collect();
    for text in ["AB12CDE", "CD34EFG"] {
        assert!(payloads.iter().any(|payload| payload.windows(7).any(|bytes| bytes == text.as_bytes())), "{text}");
    }
}

#[test]
fn the_office_gets_hits_then_the_crew_s_words_then_the_chain_s_head_then_reads_then_pictures_of_hits() {
    use crate::sync::car::{Budget, Waiting};
    use crate::sync::{Kind as Sent, Outbox as _};

    let bench = Bench::new();
    let mut worker = bench.worker("vrm,reason\nCD34EFG,stolen\n", true, silent());
    worker.hear(put_out(read(1, "AB12CDE")));
    worker.hear(put_out(read(2, "CD34EFG")));
    let alert = worker.current().expect("an alert");
    let judged = worker.lists().judge("pnc", "CD34EFG", &alert.text, crate::hotlist::Judgement::True, start());
    judged.expect("kept");
    bench.journal.flush().expect("on disk");
    let settings = config::Office::at("localhost:1", bench.folder.path());
    let lists = worker.lists();
    let outbox = outbox::Store::new(&bench.journal, &lists, &settings, bench.folder.path(), bench.clock.clone());
    let outbox = outbox.expect("made");
    let budget = Budget::of(100, 1 << 20);
    let items = outbox.pending(budget).expect("read");
    let kinds: Vec<Sent> = items.iter().map(|waiting| waiting.item.kind).collect();
    use Sent::{Head, Hit, Picture, Read, Statement};
    assert_eq!(kinds, [Hit, Statement, Head, Read, Read, Picture, Picture, Picture, Picture]);
    // Of the pictures those of the second pass, which has the hit, go first: behind the version and the run comes the pass.
    let pictures = |items: &[Waiting]| -> Vec<(u8, bool)> {
        let pictures = items.iter().filter(|waiting| waiting.item.kind == Picture);
        pictures.map(|waiting| (waiting.item.payload[4], waiting.of_hit)).collect()
    };
    assert_eq!(pictures(&items), [(2, true), (2, true), (1, false), (1, false)]);
    assert_eq!(outbox.pictures_unsent().expect("counted"), [2, 2]);

    // Pictures that wait for a network which costs nothing take nobody's place, however few are asked for.
    let others = outbox.pending(Budget { items: 5, hit_pictures: false, ..budget }).expect("read");
    assert_eq!(pictures(&others), [(1, false), (1, false)]);
    let texts = outbox.pending(Budget { pictures: false, hit_pictures: false, ..budget }).expect("read");
    assert_eq!(texts, items[..5]);
    let of_hits = outbox.pending(Budget { pictures: false, ..budget }).expect("read");
    assert_eq!(of_hits, items[..7]);
}

#[cfg(feature = "office")]
#[test]
fn what_a_crew_makes_known_reaches_the_office_and_what_that_makes_of_it_the_car() {
    use crate::clock::RealClock;
    use crate::hotlist::{Entry, Judgement, Mark, Said, Standing};
    use crate::office::{self, Order, Service};

    let folder = tempfile::tempdir().expect("a folder");
    let (depot, car) = (folder.path().join("office"), folder.path().join("car"));
    let clock = RealClock::shared();
    office::init(&depot, &[], &*clock).expect("made");
    office::enrol(&depot, "EX-01", &car.join("identity"), &*clock).expect("enrolled");
    let sheet = folder.path().join("list.csv");
    std::fs::write(&sheet, "vrm,reason\nAB12CDE,stolen\nCD34EFG,x\n").expect("written");
    let wanted = office::Publication::of("pnc", &sheet, "Sgt Example");
    office::publish(&depot, &wanted, clock.clone()).expect("published");
    let service = Service::start(&depot, "127.0.0.1:0".parse().expect("an address"), clock.clone()).expect("started");

    let journal = Arc::new(Journal::open(&car, clock.clone()).expect("opened"));
    let seals = journal.archive().lists_seal().expect("made");
    let hotlist = Arc::new(Hotlist::open_sealed(&car.join("hotlist.redb"), &seals, clock.clone()).expect("opened"));
    // What an earlier program left of a list that it was fetching.
    std::fs::create_dir(car.join("arriving")).expect("made");
    std::fs::write(car.join("arriving/706e63-1-0"), "AB12CDE").expect("written");
    let settings = config::Office::at(service.address().to_string(), car.join("identity"));
    let outbox = Arc::new(outbox::Store::new(&journal, &hotlist, &settings, &car, clock.clone()).expect("made"));
    let link = Link::start("EX-01", &settings, outbox, clock.clone()).expect("started");
    let until = |what: &str, happened: &dyn Fn() -> bool| {
        let start = clock.now();
        while !happened() {
            assert!(clock.now().since(start) < Duration::from_secs(60), "{what} did not happen: {:?}", link.status());
            clock.sleep(Duration::from_millis(5));
        }
    };
    until("the list", &|| hotlist.status().iter().any(|list| list.id == "pnc" && list.count == 2));

    // The crew takes up an entry, and finds a hit wrong. Entries know whole seconds.
    let now = DateTime::from_timestamp(clock.utc().timestamp(), 0).expect("a time");
    let entry = Entry {
        reason: "made off".into(),
        expires: Some(now + chrono::Days::new(1)),
        ..Entry::bare(Mark::parse("XY1?ABC").expect("a mark"))
    };
    hotlist.add_own(entry.clone(), now).expect("taken up");
    hotlist.judge("pnc", "CD34EFG", "CD34EFG", Judgement::False, now).expect("kept");
    link.nudge();
    let said = || -> Vec<Said> {
        let known = office::crews(&depot).unwrap_or_default();
        known.iter().map(|stated| stated.statement.clone().expect("understood").said).collect()
    };
    until("what the crew said", &|| said().len() == 2 && link.status().unsent == 0);
    assert!(said().iter().any(|said| matches!(said, Said::Entry(known) if **known == entry)));
    assert!(said().iter().any(|said| matches!(said, Said::Found { judgement: Judgement::False, .. })));
    assert_eq!(hotlist.statements(9).expect("read"), [], "what the office has stored is not sent again");

    // The office adopts the entry and takes a recovered vehicle off.
    let known = office::crews(&depot).expect("read");
    let adopt = known.iter().filter(|stated| matches!(&stated.statement, Ok(s) if matches!(s.said, Said::Entry(_))));
    let order = Order {
        list: "pnc".into(),
        adopt: adopt.map(|stated| stated.id.clone()).collect(),
        remove: vec![Mark::parse("AB12CDE").expect("a mark")],
        by: "Sgt Example".into(),
        why: "recovered 14:02, stand down".into(),
        ..Order::default()
    };
    office::amend(&depot, &order, clock.clone()).expect("amended");
    let gone = Standing::Gone("recovered 14:02, stand down".into());
    until("the change", &|| hotlist.standing("pnc", "AB12CDE") == gone);
    assert_eq!(hotlist.standing("pnc", "XY1?ABC"), Standing::Listed);
    let named = |folder: &Path| {
        let mut named = Vec::new();
        for file in std::fs::read_dir(folder).expect("a folder") {
            let path = file.expect("a file").path();
            let bytes = if path.is_file() { std::fs::read(&path).expect("read") } else { Vec::new() };
            // Nothing so short that chance would write it.
            for text in ["AB12CDE", "CD34EFG", "XY1?ABC", "stolen", "made off", "stand down", "Sgt Example"] {
                if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                    named.push(format!("{text} in {}", path.display()));
                }
            }
        }
        named
    };
    assert_eq!(named(&car), Vec::<String>::new(), "while it runs");
    assert!(!named(&depot).is_empty(), "the search finds what is there");
    assert!(!car.join("arriving").exists(), "nothing is left behind");
    drop((link, hotlist, journal));
    assert_eq!(named(&car), Vec::<String>::new(), "once it has ended");
    service.stop();
}
