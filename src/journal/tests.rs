//! The room as a whole, on real files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use redb::ReadableTable;
use serde_json::Value;

use super::archive::{META, READS};
use super::record::{SentPicture, StoredHit, StoredRead, decode};
use super::*;
use crate::clock::{Moment, RealClock, Shared, SimulatedClock};
use crate::config;
use crate::fault::Kind;
use crate::hotlist::{Hotlist, ImportOptions, Settings};
use crate::plate;
use crate::recognise::{Character, Read, ReadId, Thumbnail};
use crate::tag::{Place, TaggedRead, When};

/// As configured by default, with an office or without.
pub(super) fn keep(office: bool) -> Keep {
    Keep::new(config::Journal::default(), office)
}

pub(super) fn hour(hours: i64) -> When {
    let start: DateTime<Utc> = "2026-12-01T10:00:00Z".parse().expect("a time");
    When { utc: start + TimeDelta::hours(hours), trusted: true }
}

pub(super) fn clock() -> Shared {
    SimulatedClock::starting(hour(0).utc)
}

fn picture(width: usize, height: usize, grey: u8) -> Arc<Thumbnail> {
    Arc::new(Thumbnail { width, height, rgb: vec![grey; width * height * 3] })
}

/// A read of pass `pass` of run `run`, seen at `when`.
pub(super) fn read(run: u64, pass: u64, text: &str, when: When) -> TaggedRead {
    let characters = text
        .chars()
        .map(|character| {
            let mut p = [0.0; plate::ALPHABET_SIZE];
            p[plate::index_of(character).expect("a plate's character")] = 0.75;
            p[0] += 0.125;
            Character { p }
        })
        .collect();
    TaggedRead {
        read: Read {
            id: ReadId { run, pass },
            camera: "front".into(),
            text: text.into(),
            raw: text.into(),
            confidence: 0.875,
            characters,
            first_at: Moment::default(),
            last_at: Moment::default(),
            first_seen: Duration::from_millis(1500),
            last_seen: Duration::from_millis(2250),
            looks: 9,
            agreeing: 7,
            corners: [[10.0, 20.0], [110.0, 20.0], [110.0, 42.5], [10.0, 42.5]],
            patch: picture(100, 24, 200),
            overview: picture(320, 180, 90),
        },
        when,
        place: Some(Place {
            lat: 51.5,
            lon: -0.1,
            speed_mps: Some(13.25),
            course: None,
            age: Duration::from_millis(300),
            stale: false,
        }),
        drill: false,
    }
}

pub(super) fn record_read(journal: &Journal, read: TaggedRead) {
    journal.record(Record::Read(Box::new(read))).expect("taken");
}

pub(super) fn record_hit(journal: &Journal, read: TaggedRead) {
    record_hit_of(journal, read, Settings::default());
}

/// A hit of a list that is used like that.
fn record_hit_of(journal: &Journal, read: TaggedRead, settings: Settings) {
    let folder = tempfile::tempdir().expect("a folder");
    let hotlist = Hotlist::open(&folder.path().join("hotlist.redb"), clock()).expect("opened");
    let csv = format!("vrm,reason,priority\n{},stolen,high\n", read.read.text);
    let options = ImportOptions { settings: Some(settings), ..ImportOptions::default() };
    hotlist.import("pnc", csv.as_bytes(), Path::new("list.csv"), &options).expect("imported");
    let hit = hotlist.match_read(&read.read, read.when.utc).remove(0);
    journal.record(Record::Hit { read: Box::new(read), hit: Box::new(hit) }).expect("taken");
}

pub(super) fn lines(archive: &Archive) -> Vec<Value> {
    let mut text = Vec::new();
    archive.export_jsonl(&mut text).expect("exported");
    String::from_utf8(text).expect("text").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn what_was_recorded_is_exported_with_its_pictures() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let journal = Journal::open(&data, clock()).expect("opened");
    assert_eq!(journal.run(), 1);
    let first = read(1, 1, "AB12CDF", hour(0));
    record_read(&journal, first.clone());
    record_hit(&journal, first.clone());
    // The same pass, read better; its overview is the same picture.
    let mut better = read(1, 1, "AB12CDE", hour(0));
    better.read.patch = picture(120, 28, 180);
    record_read(&journal, better);
    record_read(&journal, read(1, 2, "CD34EFG", hour(1)));
    record_read(&journal, read(1, 2, "", hour(1)));
    let when = hour(1);
    for record in [
        Record::Verdict {
            read: ReadId { run: 1, pass: 1 },
            list: "pnc".into(),
            verdict: "confirmed".into(),
            reason: "checked: plate".into(),
            by: "4512".into(),
            when,
        },
        Record::Fault { part: "receiver".into(), text: "gone".into(), when },
        Record::Fault { part: "receiver".into(), text: String::new(), when },
        Record::Note { text: "started".into(), when },
        Record::Timing {
            read: ReadId { run: 1, pass: 1 },
            to_desk: Duration::from_micros(80_250),
            to_sound: Some(Duration::from_millis(95)),
            to_screen: None,
            when,
        },
    ] {
        journal.record(record).expect("taken");
    }
    journal.flush().expect("on disk");

    let lines = lines(journal.archive());
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["read", "read", "verdict", "fault", "back", "note", "timing"]);
    let verdict = &lines[2];
    assert_eq!((&verdict["reason"], &verdict["by"]), (&"checked: plate".into(), &"4512".into()));
    let timing = &lines[6];
    assert_eq!((timing["to_desk_ms"].as_f64(), timing["to_sound_ms"].as_f64()), (Some(80.3), Some(95.0)));
    assert!(timing["to_screen_ms"].is_null() && timing["id"] == "1-1");
    let line = &lines[0];
    assert_eq!(
        (&line["id"], &line["text"], &line["utc"]),
        (&"1-1".into(), &"AB12CDE".into(), &"2026-12-01T10:00:00.000Z".into())
    );
    assert_eq!(
        (line["place"]["lat"].as_f64(), line["place"]["age_s"].as_f64(), line["last_seen"].as_f64()),
        (Some(51.5), Some(0.3), Some(2.25))
    );
    assert_eq!((&line["characters"][0]["char"], line["characters"][0]["p"].as_f64()), (&"A".into(), Some(0.75)));
    assert_eq!((&line["versions"][0]["text"], line["versions"].as_array().map(Vec::len)), (&"AB12CDF".into(), Some(1)));
    let hit = &line["hits"][0];
    assert_eq!(
        (&hit["read_as"], &hit["reason"], &hit["how"], &hit["against"]),
        (&"AB12CDF".into(), &"stolen".into(), &"exact".into(), &Value::Array(vec![]))
    );
    // A withdrawn read keeps what was read.
    assert_eq!((&lines[1]["text"], &lines[1]["versions"][0]["text"]), (&"".into(), &"CD34EFG".into()));

    let exported = folder.path().join("export");
    assert_eq!(journal.archive().export_folder(&exported, Sizes::Native).expect("exported"), 7);
    let mut names: Vec<_> = std::fs::read_dir(&exported)
        .expect("a folder")
        .map(|file| file.expect("a file").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert_eq!(names, ["1-1-overview.jpg", "1-1-patch.jpg", "1-2-overview.jpg", "1-2-patch.jpg", "reads.jsonl"]);
    let patch = image::open(exported.join("1-1-patch.jpg")).expect("a JPEG").to_rgb8();
    assert_eq!(patch.dimensions(), (120, 28));
    assert!(patch.get_pixel(60, 14).0.iter().all(|v| v.abs_diff(180) < 4));
    assert_eq!(journal.archive().export_folder(&exported, Sizes::Native).expect_err("twice").kind(), Kind::Usage);

    let small = folder.path().join("small");
    journal.archive().export_folder(&small, Sizes::National).expect("exported");
    let patch = image::open(small.join("1-1-patch.jpg")).expect("a JPEG");
    assert!(patch.width() <= 120 && patch.height() <= 60);

    let verified = journal.archive().verify().expect("whole");
    assert_eq!((verified.reads, verified.hits, verified.events, verified.pictures), (4, 1, 5, 5));
}

#[test]
fn the_office_gets_hits_first_and_each_thing_until_it_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    assert!(journal.pending(10, 1 << 20).expect("read").is_empty());
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    record_read(&journal, read(1, 2, "CD34EFG", hour(0)));
    record_hit(&journal, read(1, 2, "CD34EFG", hour(0)));
    journal.flush().expect("on disk");
    assert_eq!(journal.status().unsent, 7);

    let kinds = |items: &[Item]| items.iter().map(|item| item.kind).collect::<Vec<_>>();
    use ItemKind::{Hit, Picture, Read};
    let items = journal.pending(100, 1 << 20).expect("read");
    assert_eq!(kinds(&items), [Hit, Read, Read, Picture, Picture, Picture, Picture]);
    assert_eq!(kinds(&journal.pending(2, 1 << 20).expect("read")), [Hit, Read]);
    assert_eq!(kinds(&journal.pending(100, 1).expect("read")), [Hit]);
    let hit: StoredHit = decode(&items[0].payload).expect("a hit");
    assert_eq!((hit.vrm.as_str(), hit.read.expect("its read").pass), ("CD34EFG", 2));
    let first: StoredRead = decode(&items[1].payload).expect("a read");
    assert_eq!((first.text.as_str(), first.version), ("AB12CDE", 0));
    let pictures = items[3..].iter().map(|item| decode::<SentPicture>(&item.payload).expect("a picture"));
    let pictures: Vec<_> = pictures.map(|sent| (sent.pass, sent.which, sent.jpeg[..2] == [0xff, 0xd8])).collect();
    assert_eq!(pictures, [(2, 0, true), (2, 1, true), (1, 0, true), (1, 1, true)], "those of the hit come first");

    // A correction while the first version is on its way is another thing, and the first stays what it was.
    record_read(&journal, read(1, 1, "AB12CDF", hour(0)));
    journal.flush().expect("on disk");
    let again = journal.pending(100, 1 << 20).expect("read");
    assert_eq!(again[1], items[1]);
    assert_eq!(kinds(&again), [Hit, Read, Read, Read, Picture, Picture, Picture, Picture]);
    assert_eq!(
        decode::<StoredRead>(&again[3].payload).map(|read| (read.text, read.version)),
        Ok(("AB12CDF".into(), 1))
    );

    let keys: Vec<_> = items[..3].iter().map(|item| item.key.clone()).chain([vec![], vec![9; 40]]).collect();
    journal.acknowledge(&keys).expect("noted");
    journal.acknowledge(&keys).expect("noted twice");
    assert_eq!(journal.status().unsent, 5);
    drop(journal);

    let journal = Journal::open(folder.path(), clock()).expect("opened again");
    assert_eq!((journal.run(), journal.status().unsent), (2, 5));
    assert_eq!(journal.pending(100, 1 << 20).expect("read"), again[3..]);
    let verified = journal.archive().verify().expect("whole");
    assert_eq!((verified.runs, verified.uploaded, verified.unsent), (2, 3, 5));
}

#[test]
fn a_picture_that_a_hit_makes_urgent_stays_the_same_thing() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    record_read(&journal, read(1, 2, "CD34EFG", hour(0)));
    journal.flush().expect("on disk");
    let pictures = || -> Vec<Item> {
        let pending = journal.pending(100, 1 << 20).expect("read");
        pending.into_iter().filter(|item| item.kind == ItemKind::Picture).collect()
    };
    let before = pictures();
    record_hit(&journal, read(1, 2, "CD34EFG", hour(0)));
    // A version that comes after the hit, with a picture of its own, is as urgent.
    record_read(&journal, read(1, 2, "CD34EFH", hour(0)));
    journal.flush().expect("on disk");
    let after = pictures();
    let urgent: Vec<Item> = before[2..].iter().map(|item| Item { of_hit: true, ..item.clone() }).collect();
    assert_eq!(after[..2], urgent, "the same keys and payloads, earlier");
    assert_eq!(after[after.len() - 2..], before[..2]);

    // One that was on its way when the hit came is acknowledged under the key that it had.
    let unsent = journal.status().unsent;
    journal.acknowledge(&before.iter().map(|item| item.key.clone()).collect::<Vec<_>>()).expect("noted");
    assert_eq!(journal.status().unsent, unsent - 4);
    assert_eq!(pictures(), after[2..after.len() - 2]);
    journal.archive().verify().expect("whole");
}

/// What is on disk, by its text.
fn texts(journal: &Journal) -> Vec<String> {
    lines(journal.archive()).iter().filter_map(|line| line["text"].as_str()).map(str::to_owned).collect()
}

#[test]
fn what_the_office_is_still_to_get_is_kept_until_it_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    record_read(&journal, read(1, 2, "CD34EFG", hour(0)));
    record_hit(&journal, read(1, 2, "CD34EFG", hour(0)));
    record_read(&journal, read(1, 3, "EF56GHI", hour(20)));
    journal.flush().expect("on disk");
    let all = ["AB12CDE", "CD34EFG", "EF56GHI"];

    // Never sent: beyond its keep time, and kept.
    assert_eq!(journal.purge(hour(500), &keep(true)).expect("purged"), Purged::default());
    assert_eq!(texts(&journal), all);

    // Once the office has it in full, age decides; a hit keeps its read.
    let keys: Vec<_> = journal.pending(100, 1 << 20).expect("read").into_iter().map(|item| item.key).collect();
    assert_eq!(keys.len(), 1 + 3 + 6);
    journal.acknowledge(&keys[..8]).expect("noted");
    let wrong = When { trusted: false, utc: DateTime::UNIX_EPOCH };
    assert_eq!(journal.purge(wrong, &keep(true)).expect("purged"), Purged::default());
    assert_eq!(journal.purge(hour(24), &keep(true)).expect("purged"), Purged::default());
    let gone = |reads, hits| Purged { reads, hits, ..Purged::default() };
    assert_eq!(journal.purge(hour(25), &keep(true)).expect("purged"), gone(1, 0));
    assert_eq!(texts(&journal), all[1..], "a hit keeps its read, a picture that waits too");
    journal.acknowledge(&keys).expect("noted");
    assert_eq!(journal.purge(hour(168), &keep(true)).expect("purged"), gone(1, 0));
    assert_eq!(texts(&journal), ["CD34EFG"]);
    assert_eq!(journal.purge(hour(169), &keep(true)).expect("purged"), gone(1, 1));
    assert!(texts(&journal).is_empty());
    let verified = journal.archive().verify().expect("whole");
    assert_eq!((verified.reads, verified.pictures, verified.hits, verified.unsent), (0, 0, 0, 0));
}

#[test]
fn nothing_waits_for_the_office_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    record_hit(&journal, read(1, 1, "AB12CDE", hour(0)));
    record_read(&journal, read(1, 2, "CD34EFG", hour(1)));
    journal.flush().expect("on disk");
    let gone = journal.purge(hour(721), &keep(true)).expect("purged");
    assert_eq!(gone, Purged { reads: 1, hits: 1, unsent: 2, events: 0 });
    assert_eq!(texts(&journal), ["CD34EFG"]);
    assert_eq!(journal.status().unsent, 3);
    journal.archive().verify().expect("whole");
    assert_eq!(journal.pending(100, 1 << 20).expect("read").len(), 3);
}

#[test]
fn without_an_office_age_alone_decides_of_reads_hits_and_events() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    record_read(&journal, read(1, 2, "CD34EFG", hour(0)));
    record_hit(&journal, read(1, 2, "CD34EFG", hour(0)));
    journal.record(Record::Note { text: "started".into(), when: hour(0) }).expect("taken");
    journal.flush().expect("on disk");
    assert_eq!(journal.purge(hour(25), &keep(false)).expect("purged").reads, 1);
    let gone = journal.purge(hour(169), &keep(false)).expect("purged");
    assert_eq!((gone.reads, gone.hits, gone.events), (1, 1, 0));
    assert_eq!(journal.status().unsent, 0);
    assert_eq!(journal.purge(hour(2161), &keep(false)).expect("purged").events, 1);
    let verified = journal.archive().verify().expect("whole");
    assert_eq!((verified.reads, verified.hits, verified.events, verified.unsent), (0, 0, 0, 0));
}

#[test]
fn a_hit_is_kept_as_long_as_its_list_asks_and_the_car_allows() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    for (pass, asked) in [(1, Some(2)), (2, None), (3, Some(300)), (4, Some(9000))] {
        let read = read(1, pass, "AB12CDE", hour(0));
        record_read(&journal, read.clone());
        record_hit_of(&journal, read, Settings { keep_hits_h: asked, ..Settings::default() });
    }
    journal.flush().expect("on disk");
    let hours = config::Journal { longest_hits_h: Some(336), ..config::Journal::default() };
    let keep = Keep::new(hours, false);
    let gone = |at| {
        let purged = journal.purge(hour(at), &keep).expect("purged");
        (purged.hits, purged.reads)
    };
    // The read itself stays for as long as one without a hit does.
    assert_eq!([gone(2), gone(3), gone(25)], [(0, 0), (1, 0), (0, 1)]);
    assert_eq!([gone(168), gone(169), gone(300), gone(301)], [(0, 0), (1, 1), (0, 0), (1, 1)]);
    assert_eq!([gone(336), gone(337)], [(0, 0), (1, 1)]);
    journal.archive().verify().expect("whole");
}

#[test]
fn a_keep_time_longer_than_time_itself_keeps_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    journal.flush().expect("on disk");
    let hours = config::Journal {
        keep_reads_h: u32::MAX,
        keep_hits_h: u32::MAX,
        longest_hits_h: None,
        keep_unsent_h: u32::MAX,
        keep_events_h: u32::MAX,
        keep_audit_h: u32::MAX,
        ..config::Journal::default()
    };
    assert_eq!(journal.purge(hour(9999), &Keep::new(hours, false)).expect("purged"), Purged::default());
}

#[test]
fn a_car_that_woke_in_1970_does_not_lose_its_first_reads_to_retention() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    record_read(&journal, read(1, 1, "AB12CDE", When { utc: DateTime::UNIX_EPOCH, trusted: false }));
    journal.flush().expect("on disk");
    assert_eq!(journal.purge(hour(0), &keep(false)).expect("purged").reads, 0);
    assert_eq!(journal.purge(hour(24), &keep(false)).expect("purged").reads, 0);
    assert_eq!(journal.purge(hour(25), &keep(false)).expect("purged").reads, 1);
}

#[test]
fn without_a_receiver_a_system_clock_that_may_be_right_is_enough_for_retention() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    let system = |hours| When { trusted: false, ..hour(hours) };
    record_read(&journal, read(1, 1, "AB12CDE", system(0)));
    journal.flush().expect("on disk");
    assert_eq!(journal.purge(system(1), &keep(false)).expect("purged").reads, 0);
    assert_eq!(journal.purge(system(26), &keep(false)).expect("purged").reads, 1);

    // A clock behind what satellites told, or behind an earlier pass, is not believed; nor is one that was never set.
    record_read(&journal, read(1, 2, "CD34EFG", hour(30)));
    record_read(&journal, read(2, 1, "CD34EFG", system(3)));
    journal.flush().expect("on disk");
    let believes = |when: When| journal.archive().believes(when.utc).expect("read");
    assert!(!believes(hour(29)) && believes(hour(31)));
    assert!(!believes(When { utc: DateTime::UNIX_EPOCH, trusted: false }));
    assert!(!believes(hour(-1)), "before the pass at hour 1");
}

#[test]
fn the_keys_and_payloads_of_two_journals_never_meet() {
    let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let items = [&one, &other].map(|folder| {
        let journal = Journal::open(folder.path(), clock()).expect("opened");
        record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
        record_hit(&journal, read(1, 1, "AB12CDE", hour(0)));
        journal.flush().expect("on disk");
        journal.pending(100, 1 << 20).expect("read")
    });
    for (a, b) in items[0].iter().zip(&items[1]) {
        assert_eq!(a.kind, b.kind);
        assert_ne!(a.key, b.key);
        assert_ne!(a.payload, b.payload, "what the office stores says whose run 1 it is");
        assert!(a.key.len() <= crate::sync::wire::KEY_LIMIT);
    }
    // An acknowledgement of the other's is none of ours; the id outlives the run.
    let journal = Journal::open(one.path(), clock()).expect("opened again");
    let keys: Vec<_> = items[1].iter().map(|item| item.key.clone()).collect();
    journal.acknowledge(&keys).expect("passed over");
    assert_eq!(journal.pending(100, 1 << 20).expect("read"), items[0]);
}

#[test]
fn a_journal_that_cannot_be_opened_is_a_clear_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.redb");
    assert_eq!(Archive::open_existing(folder.path(), &Key::Beside).expect_err("none").kind(), Kind::Missing);

    // Not even root can make a folder below a file.
    std::fs::write(folder.path().join("file"), b"").expect("written");
    let fault = Journal::open(&folder.path().join("file/data"), clock()).expect_err("no folder");
    assert!(fault.to_string().contains("file/data: cannot make the data folder"), "{fault}");
    assert!(fault.to_string().ends_with("Name a folder on a writable disk as `data` in the configuration."), "{fault}");

    std::fs::write(&path, b"not a journal\n".repeat(1000)).expect("written");
    let fault = Journal::open(folder.path(), clock()).expect_err("foreign");
    assert_eq!(fault.kind(), Kind::Damaged, "{fault}");
    assert!(fault.to_string().contains("journal.redb: cannot open the journal: "), "{fault}");
    std::fs::remove_file(&path).expect("removed");

    let journal = Journal::open(folder.path(), clock()).expect("opened");
    let fault = Journal::open(folder.path(), clock()).expect_err("open twice");
    assert_eq!(fault.kind(), Kind::Unavailable);
    assert!(fault.to_string().contains("Another program has it open"), "{fault}");
    for pass in 1..20 {
        record_read(&journal, read(1, pass, "AB12CDE", hour(0)));
    }
    drop(journal);
    let whole = std::fs::read(&path).expect("read");
    for part in [0, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(&path, &whole[..part]).expect("cut short");
        match Journal::open(folder.path(), clock()) {
            // An empty file is a journal that nothing has been written to.
            Ok(_) => assert_eq!(part, 0),
            Err(fault) => assert_eq!(fault.kind(), Kind::Damaged, "{fault}"),
        }
    }
}

#[test]
fn a_disk_that_is_gone_is_not_taken_for_an_empty_journal() {
    let (folder, away) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (path, aside) = (folder.path().join("journal.redb"), away.path().join("journal.redb"));
    let archive = Archive::open(folder.path(), &Key::Beside).expect("made");
    archive.lose();
    std::fs::rename(&path, &aside).expect("gone");
    assert_eq!(archive.reopen().expect_err("gone").kind(), Kind::Missing);
    assert!(!path.exists(), "nothing was made in its place");

    // Another disk with a journal of its own.
    drop(Archive::open(folder.path(), &Key::Beside).expect("another"));
    let fault = archive.reopen().expect_err("another").to_string();
    assert!(fault.contains("another journal"), "{fault}");
    std::fs::rename(&aside, &path).expect("back");
    archive.reopen().expect("the same");
}

#[test]
fn looking_at_a_journal_writes_nothing_and_makes_none() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(Archive::peek(folder.path()).expect("none"), None);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    assert_eq!(Archive::peek(folder.path()).expect_err("in use").kind(), Kind::Unavailable);
    drop(journal);
    let path = folder.path().join("journal.redb");
    let before = std::fs::read(&path).expect("read");
    assert_eq!(Archive::peek(folder.path()).expect("there"), Some(3));
    assert!(std::fs::read(&path).expect("read") == before);
    std::fs::write(&path, b"no journal".repeat(999)).expect("written");
    assert_eq!(Archive::peek(folder.path()).expect_err("none").kind(), Kind::Damaged);
}

#[test]
fn verification_names_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    journal.flush().expect("on disk");
    let archive = journal.archive();
    let good = archive
        .write("test", |transaction| {
            let mut reads = transaction.open_table(READS)?;
            let good = reads.get((1, 1, 0))?.expect("the read").value().to_vec();
            reads.insert((1, 1, 0), &[1, 0xff, 0xff][..])?;
            Ok(good)
        })
        .expect("damaged");
    let fault = archive.verify().expect_err("damaged");
    assert_eq!(fault.kind(), Kind::Damaged);
    assert!(fault.to_string().contains("read 1-1"), "{fault}");
    archive
        .write("test", |transaction| {
            transaction.open_table(READS)?.insert((1, 1, 0), &good[..])?;
            transaction.open_table(META)?.insert("reads.in", 5)?;
            Ok(())
        })
        .expect("miscounted");
    let fault = archive.verify().expect_err("miscounted");
    assert!(fault.to_string().contains("1 reads are there, but 5 were written and 0 taken away"), "{fault}");
}

#[test]
fn a_disk_that_goes_away_is_a_fault_and_nothing_is_lost_once_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    journal.archive().lose();
    let held = redb::Database::open(folder.path().join("journal.redb")).expect("held by another program");
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    let fault = loop {
        if let Some(fault) = journal.status().fault {
            break fault;
        }
        std::thread::yield_now();
    };
    assert!(fault.to_string().contains("journal.redb: cannot "), "{fault}");
    assert!(journal.pending(10, 10).is_err());
    record_read(&journal, read(1, 2, "CD34EFG", hour(0)));

    drop(held);
    while journal.status().committed < 2 {
        std::thread::yield_now();
    }
    journal.flush().expect("on disk");
    assert!(journal.status().fault.is_none());
    assert_eq!((journal.status().seen, journal.status().refused), (2, 0));
    assert_eq!(lines(journal.archive()).len(), 2);
}

#[test]
fn the_unit_can_end_while_the_disk_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    journal.archive().lose();
    let _held = redb::Database::open(folder.path().join("journal.redb")).expect("held by another program");
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let flushed = journal.flush().map_err(|fault| fault.to_string());
        drop(journal);
        done.send(flushed)
    });
    // The limit only ends a test that has failed.
    let flushed = ended.recv_timeout(Duration::from_secs(60)).expect("it ends");
    assert!(flushed.expect_err("nothing was written").contains("journal.redb"));
}

/// Not a test of right or wrong: prints how many reads a second are kept.
#[test]
#[ignore = "measures; run it with --ignored --nocapture"]
fn how_fast_reads_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = RealClock::shared();
    let journal = Journal::open(folder.path(), clock.clone()).expect("opened");
    let reads: Vec<_> = (0..1000).map(|pass| read(journal.run(), pass, "AB12CDE", hour(0))).collect();
    let (start, mut longest) = (clock.now(), Duration::ZERO);
    for read in reads {
        let before = clock.now();
        record_read(&journal, read);
        longest = longest.max(clock.now().since(before));
    }
    journal.flush().expect("on disk");
    let (status, took) = (journal.status(), clock.now().since(start));
    eprintln!(
        "1000 reads with pictures of 320x180 and 100x24: {took:?}, {} commits, longest wait of the caller {longest:?}",
        status.commits
    );
}

#[test]
fn passes_are_found_by_what_their_newest_version_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    record_read(&journal, read(1, 1, "AB12CDF", hour(0)));
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    record_read(&journal, read(1, 2, "AB12CDE", hour(1)));
    record_read(&journal, read(1, 2, "", hour(1)));
    record_read(&journal, read(1, 3, "ABI2CDE", hour(2)));
    journal.flush().expect("on disk");
    let ids = |mark: &str| {
        let fits = crate::hotlist::Mark::parse(mark).expect("a mark").fitting();
        let passed = journal.archive().passed(fits).expect("looked through");
        passed.iter().map(|passed| (passed.id.pass, passed.utc)).collect::<Vec<_>>()
    };
    assert_eq!(ids("AB12CDE"), [(1, hour(0).utc), (3, hour(2).utc)]);
    assert_eq!(ids("AB*DE").len(), 2);
    assert!(ids("AB12CDF").is_empty(), "an earlier version does not count");
}
