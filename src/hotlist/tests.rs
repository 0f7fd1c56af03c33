//! The room as a whole, on real files.

mod chain;
mod kill;
mod model;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::likely::tests::saying;
use super::*;
use crate::clock::SimulatedClock;
use crate::fault::Kind;
use crate::plate::Vrm;
use crate::recognise::{Character, Read};
use crate::seal::SealKey;

const LIST: &str =
    "vrm,reason,priority,expires\nAB12CDE,stolen,high,\nCD34EFG,no insurance,low,2026-11-01\nAB12CDE,drugs,low,\n";

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn clock() -> Arc<SimulatedClock> {
    SimulatedClock::starting(utc("2026-12-01T10:00:00Z"))
}

fn read(text: &str) -> Read {
    Read { text: text.into(), ..typed(text, Vec::new(), 0.875) }
}

/// A read of `text` whose characters are sure but for one place.
fn doubtful(text: &str, place: usize, alternatives: &[(char, f32)]) -> Read {
    let places: Vec<Vec<(char, f32)>> = text.chars().map(|c| vec![(c, 0.999)]).collect();
    let mut places: Vec<&[(char, f32)]> = places.iter().map(Vec::as_slice).collect();
    places[place] = alternatives;
    let characters: Vec<Character> = saying(&places);
    let confidence = characters.iter().map(|character| character.best().1).product();
    Read { characters, confidence, looks: 5, agreeing: 3, ..read(text) }
}

/// A list that takes weaker hits than others do.
fn import_daring(hotlist: &Hotlist, id: &str, text: &str) {
    let thresholds = Thresholds { possible: 0.3, ..Thresholds::default() };
    let settings = Some(Settings { thresholds, ..Settings::default() });
    let options = ImportOptions { settings, ..ImportOptions::default() };
    hotlist.import(id, text.as_bytes(), Path::new("list.csv"), &options).expect("imported");
}

fn import(hotlist: &Hotlist, id: &str, text: &str) -> crate::fault::Result<Report> {
    hotlist.import(id, text.as_bytes(), Path::new("list.csv"), &ImportOptions::default())
}

fn vrm(text: &str) -> Vrm {
    Vrm::parse(text).expect("a VRM")
}

#[test]
fn a_listed_vehicle_is_a_hit_with_everything_that_is_known_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    let report = import(&hotlist, "pnc", LIST).expect("imported");
    assert_eq!((report.accepted, report.repeated, report.revision, report.refused), (3, 0, 1, vec![]));

    let now = utc("2026-12-01T11:00:00Z");
    let hits = hotlist.match_read(&read("AB12CDE"), now);
    let said: Vec<_> = hits.iter().map(|hit| (hit.entry.reason.as_str(), hit.entry.priority)).collect();
    assert_eq!(said, [("stolen", Priority::High), ("drugs", Priority::Low)]);
    assert_eq!((hits[0].how, hits[0].probability, hits[0].against.as_slice()), (How::Exact, 0.875, &[][..]));
    assert_eq!(hits[0].grade, Grade::Probable, "0.875 is below the list's threshold for certain");
    assert_eq!((hits[0].list.id.as_str(), hits[0].list_age), ("pnc", Duration::from_secs(3600)));

    // One glyph for two characters: whichever the layout or the list chose.
    assert_eq!(hotlist.match_read(&read("ABI2CDE"), now).len(), 2);
    for other in ["AB12CDF", "AB12CD", "", "AB12CDEAB12CDE"] {
        assert!(hotlist.match_read(&read(other), now).is_empty(), "{other:?}");
    }
}

#[test]
fn an_expired_entry_and_a_stale_list_speak_against_the_hit() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    import(&hotlist, "pnc", LIST).expect("imported");
    let on = utc("2026-11-02T00:00:00Z");
    let against = |now: &str| hotlist.match_read(&read("CD34EFG"), utc(now))[0].against.clone();
    assert_eq!(against("2026-11-01T23:59:59Z"), []);
    assert_eq!(against("2026-12-01T10:00:00Z"), [Contradiction::Expired { on }]);
    let age = Duration::from_secs(14 * 86_400);
    assert_eq!(against("2026-12-15T10:00:00Z"), [Contradiction::Expired { on }, Contradiction::ListStale { age }]);

    // Sooner, where somebody says so, and never later.
    let stale = |hours: i64, set: u64| {
        let utc = utc("2026-12-01T10:00:00Z") + chrono::TimeDelta::hours(hours);
        let lists_stale = Some(Duration::from_secs(set * 3600));
        let seen = Circumstances { utc, timed: true, lists_stale, ..Circumstances::default() };
        hotlist.match_at(&read("AB12CDE"), &seen)[0].against.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(stale(24, 24), Vec::<String>::new());
    assert_eq!(stale(25, 24), ["the list is 25 hours old"]);
    assert_eq!(stale(7 * 24, 1000), Vec::<String>::new());
    assert_eq!(stale(8 * 24, 1000), ["the list is 8 days old"]);
}

#[test]
fn a_list_is_replaced_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hotlist.redb");
    let hotlist = Hotlist::open(&path, clock()).expect("opened");
    import(&hotlist, "pnc", LIST).expect("imported");
    import(&hotlist, "local", "vrm\nEF56GHI\n").expect("imported");
    let before = hotlist.status();

    for (text, why) in [
        ("", "it is empty"),
        ("vrm,reason\n", "a header and no lines"),
        ("vrm,reason\nAB12CDE\n???,x\n", "none of its 2 lines can be used; line 2: it has 1 columns"),
        ("hello\n", "not a header naming"),
    ] {
        let fault = import(&hotlist, "pnc", text).expect_err(why);
        assert_eq!(fault.kind(), Kind::Damaged);
        assert!(
            fault.to_string().starts_with("list.csv: cannot import the list: ") && fault.to_string().contains(why),
            "{fault}"
        );
    }
    let trial = ImportOptions { dry_run: true, ..ImportOptions::default() };
    let report = hotlist.import("pnc", &b"vrm\nGH78IJK\n!\n"[..], Path::new("x"), &trial).expect("a trial");
    assert_eq!((report.accepted, report.refused[0].line, report.revision, report.dry_run), (1, 3, 2, true));
    let older = ImportOptions { revision: Some(1), ..ImportOptions::default() };
    assert!(hotlist.import("pnc", &b"vrm\nGH78IJK\n"[..], Path::new("x"), &older).is_err());
    assert_eq!(hotlist.status(), before);

    // The good lines load although others are broken.
    let report = import(&hotlist, "pnc", "vrm\nGH78IJK\n!\nGH78IJK\n").expect("imported");
    assert_eq!((report.accepted, report.repeated, report.refused.len(), report.revision), (1, 1, 1, 2));
    drop(hotlist);
    let hotlist = Hotlist::open(&path, clock()).expect("opened again");
    assert!(hotlist.lookup(&vrm("AB12CDE")).expect("looked up").is_empty());
    let found = hotlist.lookup(&vrm("gh78ijk")).expect("looked up");
    assert_eq!((found.len(), found[0].0.revision, found[0].1.vrm.as_str()), (1, 2, "GH78IJK"));
    assert_eq!(hotlist.match_read(&read("EF56GHI"), utc("2026-12-01T10:00:00Z")).len(), 1);
    assert!(hotlist.remove("local").expect("removed") && !hotlist.remove("local").expect("nothing to remove"));
    assert_eq!(hotlist.status().len(), 1);
    assert!(import(&hotlist, "../x", LIST).is_err_and(|fault| fault.kind() == Kind::Usage));
}

#[test]
fn a_file_that_is_no_store_is_a_clear_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hotlist.redb");
    std::fs::write(&path, b"vrm,reason\nAB12CDE,stolen\n".repeat(1000)).expect("written");
    let fault = Hotlist::open(&path, clock()).expect_err("foreign");
    assert_eq!(fault.kind(), Kind::Damaged, "{fault}");
    assert!(fault.to_string().contains("hotlist.redb: cannot open the hotlist: "), "{fault}");

    std::fs::remove_file(&path).expect("removed");
    let hotlist = Hotlist::open(&path, clock()).expect("opened");
    import(&hotlist, "pnc", LIST).expect("imported");
    let fault = Hotlist::open(&path, clock()).expect_err("open twice");
    assert_eq!(fault.kind(), Kind::Unavailable);
    assert!(fault.to_string().contains("Another program has it open"), "{fault}");
    drop(hotlist);

    let whole = std::fs::read(&path).expect("read");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("cut short");
    let fault = Hotlist::open(&path, clock()).expect_err("cut short");
    assert_eq!(fault.kind(), Kind::Damaged, "{fault}");
    let fault = Hotlist::open(&folder.path().join("no/such/hotlist.redb"), clock()).expect_err("no folder");
    assert_eq!(fault.kind(), Kind::Missing, "{fault}");
}

#[test]
fn matching_goes_on_while_lists_are_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    import(&hotlist, "pnc", "vrm,reason\nAB12CDE,0\n").expect("imported");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let matcher = scope.spawn(|| {
            let (mut last, mut matches) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let hits = hotlist.match_read(&read("AB12CDE"), utc("2026-12-01T10:00:00Z"));
                assert_eq!(hits.len(), 1, "one revision at a time");
                let revision: u32 = hits[0].entry.reason.parse().expect("a revision");
                assert!(revision >= last && hits[0].against.is_empty());
                (last, matches) = (revision, matches + 1);
            }
            matches
        });
        for revision in 1..30 {
            import(&hotlist, "pnc", &format!("vrm,reason\nAB12CDE,{revision}\nCD34EFG,x\n")).expect("imported");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(matcher.join().expect("no match failed") > 0);
    });
}

#[test]
fn a_list_that_stays_does_not_make_the_file_grow_while_others_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hotlist.redb");
    let hotlist = Hotlist::open(&path, clock()).expect("opened");
    import(&hotlist, "stays", LIST).expect("imported");
    let size = |hotlist: &Hotlist, rounds: usize| {
        for round in 0..rounds {
            let lines: String = (0..2000).map(|n| format!("AB{:02}C{:02},{round}\n", n % 90 + 10, n / 90)).collect();
            import(hotlist, "changes", &format!("vrm,reason\n{lines}")).expect("imported");
            hotlist.judge("stays", "AB12CDE", "AB12CDE", Judgement::False, utc("2026-12-01T10:00:00Z")).expect("kept");
        }
        std::fs::metadata(&path).expect("there").len()
    };
    let early = size(&hotlist, 8);
    let late = size(&hotlist, 40);
    assert!(late <= 2 * early, "{early} bytes grew to {late}");
}

#[test]
fn what_the_looks_allow_is_weighed_and_says_what_is_weak() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    import_daring(&hotlist, "pnc", "vrm,reason\nAB12CDE,stolen\nA812CDE,typed wrong\n");
    let utc = utc("2026-12-01T10:00:00Z");
    // Read as another vehicle, which may be the listed one.
    let read = doubtful("AB12CDF", 6, &[('F', 0.6), ('E', 0.399)]);
    let hits = hotlist.match_read(&read, utc);
    let [hit] = &hits[..] else { panic!("{hits:?}") };
    assert_eq!((hit.entry.vrm.as_str(), hit.how, hit.looks, hit.agreeing), ("AB12CDE", How::Probable, 5, 3));
    assert!(hit.probability > 0.6 && hit.probability < 0.95 && hit.grade <= Grade::Probable, "{hit:?}");
    let weakest = hit.weakest.expect("characters");
    assert_eq!((weakest.place, weakest.listed, weakest.read), (6, Some('E'), Some('F')));
    assert!((weakest.p - 0.399).abs() < 1e-3);
    assert_eq!(read.text, "AB12CDF", "what was read stays as it was");

    // A sure read of another vehicle is no hit, however near a listed one is.
    assert!(hotlist.match_read(&doubtful("AB12CDF", 6, &[('F', 0.999)]), utc).is_empty());
    // Two listed neighbours share what the looks say; the exact one is not certain.
    let hits = hotlist.match_read(&doubtful("AB12CDE", 1, &[('B', 0.55), ('8', 0.449)]), utc);
    let said: Vec<_> = hits.iter().map(|hit| (hit.entry.vrm.as_str(), hit.how)).collect();
    assert_eq!(said, [("AB12CDE", How::Exact), ("A812CDE", How::Probable)]);
    assert!(hits[0].probability < 0.6 && hits[0].grade < Grade::Certain, "{:?}", hits[0]);
}

#[test]
fn what_reading_lost_or_added_is_allowed_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    let thresholds = Thresholds { possible: 0.02, ..Thresholds::default() };
    let options =
        ImportOptions { settings: Some(Settings { thresholds, ..Settings::default() }), ..ImportOptions::default() };
    hotlist.import("pnc", &b"vrm\nAB12CDE\n"[..], Path::new("x"), &options).expect("imported");
    let utc = utc("2026-12-01T10:00:00Z");
    let hits = hotlist.match_read(&doubtful("AB2CDE", 0, &[('A', 0.999)]), utc);
    let weakest = hits[0].weakest.expect("characters");
    assert_eq!((weakest.place, weakest.listed, weakest.read), (2, Some('1'), None));
    assert!(hits[0].grade == Grade::Possible && hits[0].probability < 0.5);
    let hits = hotlist.match_read(&doubtful("AB12LCDE", 4, &[('L', 0.4)]), utc);
    let weakest = hits[0].weakest.expect("characters");
    assert_eq!((weakest.place, weakest.listed, weakest.read), (4, None, Some('L')));
    assert!(hits[0].probability > 0.9 && hits[0].grade == Grade::Probable, "approximate is never certain");
}

#[test]
fn patterns_are_matched_with_what_the_plate_may_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    import_daring(&hotlist, "pnc", "vrm,reason\nAB??CDE,one\n*8*,two\nAB*,three\n");
    let said = |read: &Read| -> Vec<(String, How)> {
        let hits = hotlist.match_read(read, utc("2026-12-01T10:00:00Z"));
        let mut said: Vec<_> = hits.iter().map(|hit| (hit.entry.vrm.to_string(), hit.how)).collect();
        assert!(hits.iter().all(|hit| hit.grade < Grade::Certain));
        said.sort_by(|a, b| a.0.cmp(&b.0));
        said
    };
    assert_eq!(said(&read("AB12CDE")), [("AB*".to_owned(), How::Pattern), ("AB??CDE".to_owned(), How::Pattern)]);
    // The doubtful place is one that the pattern leaves open: that does not weaken it.
    let open = hotlist.match_read(&doubtful("AB12CDE", 2, &[('1', 0.5), ('7', 0.499)]), utc("2026-12-01T10:00:00Z"));
    assert!(open.iter().all(|hit| hit.probability > 0.95), "{open:?}");
    assert_eq!(said(&doubtful("AB12CDE", 3, &[('2', 0.5), ('8', 0.499)])).len(), 3);
    assert!(said(&read("XY12CDE")).is_empty());
    let found = hotlist.lookup(&vrm("AB12CDE")).expect("looked up");
    assert_eq!(found.len(), 2);
}

#[test]
fn a_list_counts_where_and_when_its_owner_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    let settings = Settings::parse("covert = true\narea = [[51.0, 0.0], [51.0, 1.0], [52.0, 1.0], [52.0, 0.0]]\n");
    let options = ImportOptions { settings: Some(settings.expect("settings")), ..ImportOptions::default() };
    hotlist.import("here", &b"vrm\nAB12CDE\n"[..], Path::new("x"), &options).expect("imported");
    let at = |place, timed| {
        let utc = utc("2026-12-01T10:00:00Z");
        hotlist.match_at(&read("AB12CDE"), &Circumstances { utc, timed, place, ..Circumstances::default() })
    };
    let hits = at(Some((51.5, 0.5)), true);
    assert!(hits.len() == 1 && hits[0].against.is_empty() && hits[0].is_silent(&[]));
    assert!(at(Some((50.5, 0.5)), true).is_empty());
    assert_eq!(at(None, true)[0].against, [Contradiction::PlaceUnknown]);

    let now = utc("2026-12-01T10:00:00Z").with_timezone(&chrono::Local).time();
    let hours = |from: i64, until: i64| {
        let time = |minutes| now.overflowing_add_signed(chrono::Duration::minutes(minutes)).0;
        let settings = Settings { hours: Some(Hours { from: time(from), until: time(until) }), ..Settings::default() };
        let options = ImportOptions { settings: Some(settings), ..ImportOptions::default() };
        hotlist.import("here", &b"vrm\nAB12CDE\n"[..], Path::new("x"), &options).expect("imported");
        (at(None, true).len(), at(None, false))
    };
    assert_eq!((hours(-10, 10).0, hours(10, 20).0), (1, 0));
    // By a clock that nobody has set it may be any hour: the list counts, and the hit says so.
    let unknown = hours(10, 20).1;
    assert_eq!((unknown[0].against.as_slice(), unknown[0].grade), (&[Contradiction::TimeUnknown][..], Grade::Possible));
}

#[test]
fn what_is_not_for_this_crew_is_silent() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    let settings = Settings { audience: vec!["sergeant".into()], ..Settings::default() };
    let options = ImportOptions { settings: Some(settings), ..ImportOptions::default() };
    hotlist.import("pnc", LIST.as_bytes(), Path::new("x"), &options).expect("imported");
    let hit = hotlist.match_read(&read("AB12CDE"), utc("2026-12-01T10:00:00Z")).remove(0);
    assert!(hit.is_silent(&[]) && hit.is_silent(&["constable".into()]));
    assert!(!hit.is_silent(&["constable".into(), "Sergeant".into()]));
}

#[test]
fn a_white_list_tells_who_is_not_on_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    let options = ImportOptions {
        settings: Some(Settings { white: true, ..Settings::default() }),
        name: Some("Residents".into()),
        ..ImportOptions::default()
    };
    hotlist.import("res", &b"vrm\nAB12CDE\nXY*\n"[..], Path::new("x"), &options).expect("imported");
    let at = |read: &Read| hotlist.match_read(read, utc("2026-12-01T10:00:00Z"));
    assert!(at(&read("AB12CDE")).is_empty() && at(&read("XY12CDE")).is_empty());
    let hits = at(&read("CD34EFG"));
    assert_eq!((hits.len(), hits[0].how, hits[0].entry.reason.as_str()), (1, How::Absent, "not on Residents"));
    assert!(hits[0].grade < Grade::Certain);
    // It may well be one that is on the list.
    let weak = at(&doubtful("AB12CDF", 6, &[('F', 0.3), ('E', 0.69)]));
    assert!(weak.is_empty(), "{weak:?}");
    assert_eq!(hotlist.standing("res", "CD34EFG"), Standing::Listed);
    assert_eq!(hotlist.standing("res", "AB12CDE"), Standing::Gone("now on Residents".into()));
}

#[test]
fn what_the_camera_saw_otherwise_speaks_against_the_hit() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    import(&hotlist, "pnc", "vrm,country,class,colour\nAB12CDE,GB,car,silver\nAB123CD,GB,,\n").expect("imported");
    let sure = |text: &str| Read { confidence: 0.99, ..read(text) };
    let circumstances = |country: &str, class: &str, colour: &str| {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Circumstances {
            utc: utc("2026-12-01T10:00:00Z"),
            timed: true,
            place: None,
            country: known(country),
            class: known(class),
            colour: known(colour),
            lists_stale: None,
        }
    };
    let at =
        |country, class, colour| hotlist.match_at(&sure("AB12CDE"), &circumstances(country, class, colour)).remove(0);
    assert_eq!(at("UK", "Car", "grey").grade, Grade::Certain);
    assert_eq!(at("", "", "").grade, Grade::Certain);
    let hit = at("F", "motorcycle", "red");
    let said: Vec<String> = hit.against.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "the plate is laid out like one of F, the entry is of GB",
            "the camera saw a motorcycle, the entry says car",
            "the camera saw red, the entry says silver"
        ]
    );
    assert_eq!(hit.grade, Grade::Possible);
    let hit = hotlist.match_at(&sure("AB123CD"), &circumstances("", "", "")).remove(0);
    assert_eq!((hit.against, hit.grade), (vec![Contradiction::Layout], Grade::Possible));
}

#[test]
fn a_pair_that_was_judged_wrong_is_silent_for_a_time_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hotlist.redb");
    let hotlist = Hotlist::open(&path, clock()).expect("opened");
    import(&hotlist, "pnc", LIST).expect("imported");
    let now = utc("2026-12-01T10:00:00Z");
    let silent =
        |hotlist: &Hotlist, text: &str, at: DateTime<Utc>| hotlist.match_read(&read(text), at)[0].is_silent(&[]);
    assert!(!silent(&hotlist, "AB12CDE", now));
    hotlist.judge("pnc", "CD34EFG", "CD34EFG", Judgement::True, now).expect("kept");
    hotlist.judge("pnc", "AB12CDE", "AB12CDE", Judgement::False, now).expect("kept");
    hotlist.judge("pnc", "AB12CDE", "AB12CDE", Judgement::NotFound, now).expect("kept");
    let until = now + chrono::Days::new(30);
    assert!(silent(&hotlist, "ABI2CDE", now) && silent(&hotlist, "AB12CDE", until - chrono::Duration::seconds(1)));
    assert!(!silent(&hotlist, "AB12CDE", until) && !silent(&hotlist, "CD34EFG", now));
    let expected = Precision { true_hits: 1, false_hits: 1, not_found: 1, silenced: 1 };
    assert_eq!(hotlist.precision("pnc", now).expect("read"), expected);
    assert_eq!(expected.share(), Some(0.5));
    let pair = |until| SilentPair { list: "pnc".into(), mark: "AB12CDE".into(), text: "AB12CDE".into(), until };
    assert_eq!((hotlist.silent_pairs(now), hotlist.silent_pairs(until)), (vec![pair(until)], vec![]));
    // Neither a new revision nor a restart forgets it; a better judgement does.
    import(&hotlist, "pnc", LIST).expect("imported");
    drop(hotlist);
    let hotlist = Hotlist::open(&path, clock()).expect("opened");
    assert!(silent(&hotlist, "AB12CDE", now));
    hotlist.judge("pnc", "AB12CDE", "AB12CDE", Judgement::True, now).expect("kept");
    assert!(!silent(&hotlist, "AB12CDE", now));
}

#[test]
fn a_damaged_store_is_said_moved_aside_and_begun_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hotlist.redb");
    let key = SealKey::passing().expect("drawn");
    let (hotlist, fault) = Hotlist::open_or_replace(&path, &key, clock()).expect("opened");
    assert!(fault.is_none());
    import(&hotlist, "pnc", LIST).expect("imported");
    drop(hotlist);
    let whole = std::fs::read(&path).expect("read");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("cut short");
    let (hotlist, fault) = Hotlist::open_or_replace(&path, &key, clock()).expect("opened");
    let fault = fault.expect("it is said").to_string();
    assert!(fault.contains("begins empty") && fault.contains("damaged-20261201T100000"), "{fault}");
    assert!(hotlist.status().is_empty());
    import(&hotlist, "pnc", LIST).expect("imported again");
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 2, "the damaged one is kept");
    drop(hotlist);

    // One in the clear is taken over, and not kept where that cannot be done.
    let plain = folder.path().join("plain.redb");
    import(&Hotlist::open(&plain, clock()).expect("opened"), "pnc", LIST).expect("imported");
    let whole = std::fs::read(&plain).expect("read");
    let (hotlist, fault) = Hotlist::open_or_replace(&plain, &key, clock()).expect("opened");
    assert!(fault.is_none() && !hotlist.status().is_empty());
    drop(hotlist);
    std::fs::write(&plain, &whole[..whole.len() / 2]).expect("cut short, in the clear");
    let (hotlist, fault) = Hotlist::open_or_replace(&plain, &key, clock()).expect("opened");
    assert!(fault.expect("it is said").to_string().contains("is overwritten"));
    assert!(hotlist.status().is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 3, "and no copy of it is kept");
}

#[test]
fn the_crews_own_entries_need_a_reason_and_an_end_and_count_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    let now = utc("2026-12-01T10:00:00Z");
    let later = now + chrono::Duration::hours(8);
    let entry = |mark: &str, reason: &str, expires| Entry {
        reason: reason.into(),
        expires,
        ..Entry::bare(Mark::parse(mark).expect("a mark"))
    };
    for (bad, why) in [
        (entry("AB12CDE", " ", Some(later)), "no reason"),
        (entry("AB12CDE", "x", None), "no expiry"),
        (entry("AB12CDE", "x", Some(now)), "expired already"),
    ] {
        let fault = hotlist.add_own(bad, now).expect_err(why);
        assert!(fault.kind() == Kind::Usage && fault.to_string().contains(why), "{fault}");
    }
    assert!(hotlist.status().is_empty());
    hotlist.add_own(entry("AB12CDE", "made off without paying", Some(later)), now).expect("taken up");
    let head = hotlist.add_own(entry("XY*", "convoy", Some(later)), now).expect("taken up");
    assert_eq!((head.id.as_str(), head.count, head.patterns), (OWN, 2, 1));
    let said = |text: &str| {
        hotlist.match_read(&read(text), now).iter().map(|hit| hit.entry.reason.clone()).collect::<Vec<_>>()
    };
    assert_eq!((said("AB12CDE"), said("XY12ABC")), (vec!["made off without paying".into()], vec!["convoy".into()]));
    // An entry for a month is as fresh on the last day: nobody has to bring the crew's list up to date.
    let long = entry("EF56GHI", "banned driver", Some(now + chrono::Days::new(30)));
    hotlist.add_own(long, now).expect("taken up");
    let hit = hotlist.match_read(&read("EF56GHI"), now + chrono::Days::new(29)).remove(0);
    assert_eq!((hit.against, hit.list_age), (vec![], Duration::ZERO));
    assert!(hotlist.remove_own(&Mark::parse("EF56GHI").expect("a mark"), "done", now).expect("removed"));
    // A second one of the same VRM stands beside the first; what has expired goes.
    let head = hotlist.add_own(entry("AB12CDE", "again", Some(later + chrono::Days::new(1))), now).expect("taken up");
    assert_eq!(head.count, 3);
    let head = hotlist.add_own(entry("AB12CDE", "third", Some(later + chrono::Days::new(2))), later).expect("taken up");
    assert_eq!(head.count, 3);
    assert!(hotlist.remove_own(&Mark::parse("xy*").expect("a mark"), "stood down", now).expect("removed"));
    assert!(!hotlist.remove_own(&Mark::parse("xy*").expect("a mark"), "stood down", now).expect("nothing"));
    assert!(said("XY12ABC").is_empty());
    assert_eq!(hotlist.standing(OWN, "XY*"), Standing::Gone("stood down".into()));

    let fits = Mark::parse("AB1?CDO").expect("a mark").fitting();
    assert!(fits("ABI2CD0") && !fits("AB12CDE"));
    let fits = Mark::parse("AB10CDE").expect("a mark").fitting();
    assert!(fits("ABIOCDE") && !fits("AB10CD"));
}

#[test]
fn what_the_crew_makes_known_is_kept_until_the_office_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hotlist.redb");
    let hotlist = Hotlist::open(&path, clock()).expect("opened");
    let now = utc("2026-12-01T10:00:00Z");
    let entry = Entry {
        reason: "made off".into(),
        expires: Some(now + chrono::Days::new(1)),
        ..Entry::bare(Mark::parse("AB1?CDE").expect("a mark"))
    };
    hotlist.add_own(entry.clone(), now).expect("taken up");
    hotlist.judge("pnc", "CD34EFG", "CD34EFG", Judgement::False, now).expect("kept");
    assert!(hotlist.remove_own(&entry.vrm, "stood down", now).expect("removed"));
    // What is refused is not made known.
    hotlist.add_own(entry.clone(), now + chrono::Days::new(2)).expect_err("it has expired");
    let said = |hotlist: &Hotlist| -> Vec<Said> {
        let statements = hotlist.statements(10).expect("read");
        statements.iter().map(|(_, bytes)| Statement::decode(bytes).expect("a statement").said).collect()
    };
    let found =
        Said::Found { list: "pnc".into(), mark: "CD34EFG".into(), text: "CD34EFG".into(), judgement: Judgement::False };
    let removal = Said::Removal { mark: entry.vrm.clone(), why: "stood down".into() };
    assert_eq!(said(&hotlist), [Said::Entry(Box::new(entry)), found, removal.clone()]);
    let keys: Vec<Vec<u8>> = hotlist.statements(10).expect("read").into_iter().map(|(key, _)| key).collect();
    assert_eq!((hotlist.statements(2).expect("read").len(), hotlist.unstated().expect("read")), (2, 3));

    // Stored by the office; of the last one the car does not hear. Killed before it lets go of them, it sends them again
    // under the same keys.
    hotlist.stated(&[keys[0].clone(), keys[1].clone(), b"of the journal's".to_vec(), vec![]]);
    assert_eq!((said(&hotlist), hotlist.unstated().expect("read")), (vec![removal.clone()], 1));
    drop(hotlist);
    let hotlist = Hotlist::open(&path, clock()).expect("opened");
    assert_eq!(hotlist.statements(10).expect("read").into_iter().map(|(key, _)| key).collect::<Vec<_>>(), keys);
    hotlist.stated(&keys[..2]);
    // The next one lets go of what the office has stored; neither is counted twice.
    hotlist.judge("pnc", "AB12CDE", "AB12CDE", Judgement::Outdated, now).expect("kept");
    assert_eq!((said(&hotlist).len(), hotlist.unstated().expect("read")), (2, 2));
    hotlist.stated(&[hotlist.statements(9).expect("read")[1].0.clone()]);
    assert_eq!(hotlist.tidy_statements(now).expect("tidied"), 0);
    drop(hotlist);
    let hotlist = Hotlist::open(&path, clock()).expect("opened");
    assert_eq!(said(&hotlist), [removal]);
    // Nothing waits for ever, and that is counted.
    assert_eq!(hotlist.tidy_statements(now + chrono::Days::new(30)).expect("tidied"), 1);
    assert_eq!((said(&hotlist), hotlist.unstated().expect("read")), (vec![], 0));
    // A store that begins anew does not use the keys of the old one again.
    let other = Hotlist::open(&folder.path().join("other.redb"), clock()).expect("opened");
    other.judge("pnc", "AB12CDE", "AB12CDE", Judgement::True, now).expect("kept");
    assert!(!keys.contains(&other.statements(1).expect("read")[0].0));
}

#[test]
fn the_files_of_a_sealed_store_name_no_vehicle_no_list_and_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, key) = (folder.path().join(FILE), SealKey::passing().expect("drawn"));
    // Begun in the clear, as an earlier program did, then taken over.
    import(&Hotlist::open(&path, clock()).expect("opened"), "stolen-cars", LIST).expect("imported");
    let mark = |text: &str| Mark::parse(text).expect("a mark");
    let now = utc("2026-12-01T10:00:00Z");
    for _ in 0..2 {
        let hotlist = Hotlist::open_sealed(&path, &key, clock()).expect("opened");
        assert_eq!(hotlist.match_read(&read("AB12CDE"), now).len(), 2);
        import(&hotlist, "pattern-list", "vrm,note\nZZ9*,ask for sergeant Miller\n").expect("imported");
        let expires = Some(now + chrono::Days::new(1));
        let own = Entry { reason: "seen by constable Jones".into(), expires, ..Entry::bare(mark("XY12ABC")) };
        hotlist.add_own(own, now).expect("added");
        hotlist.judge("stolen-cars", "AB12CDE", "AB12CDE", Judgement::False, now).expect("kept");
    }
    let mut needles: Vec<Vec<u8>> = Vec::new();
    for text in
        ["AB12CDE", "CD34EFG", "XY12ABC", "ZZ9*", "stolen-cars", "pattern-list", "Miller", "Jones", "no insurance"]
    {
        needles.push(text.into());
        needles.push(text.to_lowercase().into());
    }
    for vrm in ["AB12CDE", "CD34EFG", "XY12ABC"] {
        let packed = super::index::Packed::of(vrm).expect("a VRM").0;
        needles.extend([packed.to_le_bytes().to_vec(), packed.to_be_bytes().to_vec()]);
    }
    let look = |path: &Path| {
        let bytes = std::fs::read(path).expect("read");
        needles.iter().filter(|needle| bytes.windows(needle.len()).any(|window| window == &needle[..])).count()
    };
    let files: Vec<_> =
        std::fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file").path()).collect();
    assert_eq!(files, std::slice::from_ref(&path));
    assert_eq!(look(&path), 0);
    // The search finds what is there.
    let plain = folder.path().join("plain.redb");
    import(&Hotlist::open(&plain, clock()).expect("opened"), "stolen-cars", LIST).expect("imported");
    assert!(look(&plain) > 5);
}
