//! The room as a whole, on real files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::*;
use crate::clock::{Moment, RealClock, SimulatedClock};
use crate::fault::Kind;
use crate::plate::Vrm;
use crate::recognise::{Read, ReadId, Thumbnail};

const LIST: &str =
    "vrm,reason,priority,expires\nAB12CDE,stolen,high,\nCD34EFG,no insurance,low,2026-11-01\nAB12CDE,drugs,low,\n";

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn clock() -> Arc<SimulatedClock> {
    SimulatedClock::starting(utc("2026-12-01T10:00:00Z"))
}

fn read(text: &str) -> Read {
    let picture = Arc::new(Thumbnail { width: 1, height: 1, rgb: vec![0; 3] });
    Read {
        id: ReadId { run: 1, pass: 1 },
        camera: "front".into(),
        text: text.into(),
        raw: text.into(),
        confidence: 0.875,
        characters: Vec::new(),
        first_at: Moment::default(),
        last_at: Moment::default(),
        first_seen: Duration::ZERO,
        last_seen: Duration::ZERO,
        looks: 1,
        agreeing: 1,
        corners: [[0.0; 2]; 4],
        patch: picture.clone(),
        overview: picture,
    }
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
fn a_revision_travels_from_the_office_to_the_car() {
    let folder = tempfile::tempdir().expect("a folder");
    let office = Hotlist::open(&folder.path().join("office.redb"), clock()).expect("opened");
    let car = Hotlist::open(&folder.path().join("car.redb"), clock()).expect("opened");
    import(&office, "pnc", LIST).expect("imported");
    let first = office.export_revision("pnc").expect("exported");
    import(&office, "pnc", "vrm\nGH78IJK\n").expect("imported");
    let second = office.export_revision("pnc").expect("exported");

    assert_eq!(car.apply(&first).expect("applied"), Applied::Replaced { list: "pnc".into(), revision: 1, count: 3 });
    assert_eq!(car.export_revision("pnc").expect("exported"), first);
    assert_eq!(car.apply(&first).expect("again"), Applied::Held { list: "pnc".into(), revision: 1 });

    let mut damaged = second.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let refused = car.apply(&damaged).expect_err("damaged");
    assert_eq!(refused.kind(), Kind::Damaged);
    assert!(refused.to_string().contains("SHA-256"), "{refused}");
    assert!(car.apply(&second[..last]).is_err() && car.apply(b"vrm\nA1\n").is_err());
    assert_eq!(car.export_revision("pnc").expect("the old one is kept"), first);

    assert!(matches!(car.apply(&second), Ok(Applied::Replaced { revision: 2, count: 1, .. })));
    let refused = car.apply(&first).expect_err("older");
    assert_eq!(refused.kind(), Kind::Denied);
    assert!(refused.to_string().contains("revision 1 is not newer than 2"), "{refused}");
    assert_eq!(office.export_revision("none").map_err(|fault| fault.kind()), Err(Kind::Missing));
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

/// Not a test of right or wrong: prints how long a match takes against many entries.
#[test]
#[ignore = "measures; run it with --ignored --nocapture"]
fn how_long_a_match_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = RealClock::shared();
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock.clone()).expect("opened");
    let mark = |n: u32| {
        format!("{}{}{:02}{:03}", (b'A' + (n % 26) as u8) as char, n / 26 % 10, n / 260 % 100, n / 26_000 % 1000)
    };
    let count = 1_000_000;
    let mut text = String::from("vrm,reason\n");
    for n in 0..count {
        text += &format!("{},stolen\n", mark(n));
    }
    let start = clock.now();
    import(&hotlist, "big", &text).expect("imported");
    eprintln!("import of {count} entries: {:?}", clock.now().since(start));
    for (what, offset) in [("not listed", 20_000_000), ("listed", 0)] {
        let mut times: Vec<_> = (0..100_000)
            .map(|_| {
                let read = read(&mark(offset + fastrand::u32(0..count)));
                let start = clock.now();
                std::hint::black_box(hotlist.match_read(&read, clock.utc()));
                clock.now().since(start)
            })
            .collect();
        times.sort();
        eprintln!("{what}: p50 {:?}, p99 {:?}, max {:?}", times[50_000], times[99_000], times[99_999]);
    }
}
