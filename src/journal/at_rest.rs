//! What a stolen disk gives: nothing. On real files, and against the bytes that lie there.

use std::path::Path;

use redb::{Database, ReadableTable};
use zeroize::Zeroizing;

use super::archive::{EVENTS, FILE, HITS, META, OUTBOX, PICTURES, READS, RUNS, Trouble};
use super::keyfile::{self, Use};
use super::takeover;
use super::tests::{clock, hour, keep, lines, read, record_hit, record_read};
use super::vault::{Row, file_in};
use super::*;
use crate::config;
use crate::fault::Kind;
use crate::hotlist::{self, Hotlist, ImportOptions};
use crate::recognise::ReadId;
use crate::seal::SealKey;

const PLATES: [&str; 3] = ["AB12CDE", "WX70ZYO", "K1NGS"];

fn passphrase(text: &str) -> Key {
    Key::Passphrase(Passphrase::new(Zeroizing::new(text.into())).expect("long enough"))
}

fn secret() -> Key {
    passphrase("correct horse battery")
}

/// A run with reads, corrections, hits, verdicts, faults and notes, all of which name a plate.
fn drive(folder: &Path, key: &Key) -> Journal {
    let journal = Journal::open_with(folder, key, clock()).expect("opened");
    for (pass, plate) in PLATES.iter().enumerate() {
        let pass = pass as u64 + 1;
        record_read(&journal, read(1, pass, plate, hour(0)));
        record_read(&journal, read(1, pass, plate, hour(0)));
    }
    record_hit(&journal, read(1, 2, PLATES[1], hour(0)));
    // A version after the hit.
    record_read(&journal, read(1, 2, PLATES[1], hour(0)));
    let id = ReadId { run: 1, pass: 2 };
    for record in [
        Record::Verdict {
            read: id,
            list: "pnc".into(),
            verdict: "confirmed".into(),
            reason: "checked: plate".into(),
            by: "4512".into(),
            when: hour(0),
        },
        Record::Note { text: format!("looked up {}", PLATES[0]), when: hour(0) },
        Record::Fault { part: "camera".into(), text: format!("{} was too near", PLATES[2]), when: hour(0) },
    ] {
        journal.record(record).expect("taken");
    }
    journal.flush().expect("on disk");
    journal
}

/// The keys of what retention takes away.
fn day_keys(journal: &Journal) -> Vec<u32> {
    let kept = [Use::Deeds, Use::Chain, Use::Lists];
    let uses = journal.archive().vault.uses();
    uses.into_iter().filter(|(_, used)| !kept.contains(&used.purpose)).map(|(id, _)| id).collect()
}

/// Every way in which a plate may be written.
fn spellings(plate: &str) -> Vec<Vec<u8>> {
    let folded: String = plate
        .chars()
        .map(|c| {
            if c == 'O' {
                '0'
            } else if c == 'I' {
                '1'
            } else {
                c
            }
        })
        .collect();
    let spaced = format!("{} {}", &plate[..4.min(plate.len())], &plate[4.min(plate.len())..]);
    [plate.to_owned(), plate.to_lowercase(), spaced.clone(), spaced.to_lowercase(), folded]
        .into_iter()
        .flat_map(|text| {
            let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
            [text.clone().into_bytes(), wide(u16::to_le_bytes), wide(u16::to_be_bytes)]
        })
        .collect()
}

/// What of `needles` is in the raw bytes of any file in `folder`.
fn found(folder: &Path, needles: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let bytes = std::fs::read(&path).expect("read");
        for needle in needles {
            if bytes.windows(needle.len()).any(|window| window == needle) {
                found.push(format!("{:?} in {}", String::from_utf8_lossy(needle), path.display()));
            }
        }
    }
    found
}

/// What nobody is to find on the disk: plates, words, pictures.
fn needles() -> Vec<Vec<u8>> {
    let mut needles: Vec<Vec<u8>> = PLATES.iter().flat_map(|plate| spellings(plate)).collect();
    for word in ["stolen", "looked up", "confirmed", "too near", "front", "JFIF"] {
        needles.push(word.into());
    }
    needles.push(51.5f64.to_le_bytes().to_vec());
    needles
}

#[test]
fn a_copied_disk_yields_no_plate_no_place_and_no_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = drive(folder.path(), &secret());
    assert_eq!(found(folder.path(), &needles()), Vec::<String>::new(), "while it runs");
    let exported: Vec<String> = lines(journal.archive()).iter().map(ToString::to_string).collect();
    for plate in PLATES {
        assert!(exported.iter().any(|line| line.contains(plate)), "{plate} was recorded");
    }
    let keys: Vec<_> = journal.pending(4, usize::MAX).expect("read").into_iter().map(|item| item.key).collect();
    journal.acknowledge(&keys).expect("noted");
    journal.purge(hour(30), &keep(false)).expect("purged");
    drop(journal);
    assert_eq!(found(folder.path(), &needles()), Vec::<String>::new(), "once it has ended");
    // The search finds what is there.
    std::fs::write(folder.path().join("plain"), "a line with WX70 ZYO in it").expect("written");
    assert_eq!(found(folder.path(), &needles()).len(), 1);
}

#[test]
fn only_the_right_key_unlocks_and_the_others_hear_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    make_token(&one).expect("made");
    make_token(&other).expect("made");
    let keys = [Key::Beside, secret(), Key::Token(one.clone())];
    for key in &keys {
        let data = folder.path().join(format!("{:?}", key.protection()));
        drop(drive(&data, key));
        assert_eq!(Archive::protection_of(&data).expect("read"), Some(key.protection()));
        for wrong in &keys {
            if wrong.protection() != key.protection() {
                let fault = Archive::open_existing(&data, wrong).expect_err("another lock");
                assert_eq!(fault.kind(), Kind::Config);
                assert!(fault.to_string().contains("journal.keys: the journal is locked otherwise: it is "), "{fault}");
            }
        }
        let archive = Archive::open_existing(&data, key).expect("the right key");
        assert_eq!(archive.verify().expect("whole").reads, 7);
        assert_eq!(archive.protection(), key.protection());
    }
    for (key, wrong) in [(&keys[1], passphrase("correct horse batterz")), (&keys[2], Key::Token(other))] {
        let data = folder.path().join(format!("{:?}", key.protection()));
        let fault = Archive::open_existing(&data, &wrong).expect_err("a wrong key");
        assert_eq!(fault.kind(), Kind::Denied);
        assert!(fault.to_string().contains("does not unlock the journal"), "{fault}");
    }
    let gone = Key::Token(folder.path().join("gone"));
    let fault = Archive::open_existing(&folder.path().join("Token"), &gone).expect_err("no token");
    assert!(fault.to_string().contains("Put the token in"), "{fault}");
}

#[test]
fn a_value_that_is_moved_or_changed_is_found_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = drive(folder.path(), &secret());
    let archive = journal.archive();
    let value = |at: (u64, u64, u32)| {
        archive.read("test", |t| Ok(t.open_table(READS)?.get(at)?.expect("a read").value().to_vec())).expect("read")
    };
    let put = |at: (u64, u64, u32), value: &[u8]| {
        archive.write("test", |t| Ok(t.open_table(READS)?.insert(at, value).map(|_| ())?)).expect("written");
    };
    let (first, third) = (value((1, 1, 0)), value((1, 3, 0)));
    put((1, 3, 0), &first);
    let fault = archive.verify().expect_err("moved").to_string();
    assert!(fault.contains("read 1-3 was changed, or moved here"), "{fault}");
    for at in 0..third.len() {
        let mut bent = third.clone();
        bent[at] ^= 1;
        put((1, 3, 0), &bent);
        assert_eq!(archive.verify().expect_err("changed").kind(), Kind::Damaged, "byte {at}");
    }
    for length in [0, 1, 5, 20, third.len() - 1] {
        put((1, 3, 0), &third[..length]);
        assert_eq!(archive.verify().expect_err("cut short").kind(), Kind::Damaged, "{length} bytes");
    }
    put((1, 3, 0), &third);
    archive.verify().expect("whole again");
}

#[test]
fn what_is_purged_cannot_be_read_from_an_earlier_copy_of_the_disk_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE);
    drop(drive(folder.path(), &secret()));
    let copy = std::fs::read(&path).expect("copied");
    let journal = Journal::open_with(folder.path(), &secret(), clock()).expect("opened");
    let purged = journal.purge(hour(25), &keep(false)).expect("purged");
    assert_eq!((purged.reads, purged.hits), (2, 0));
    assert_eq!(journal.archive().verify().expect("whole").reads, 3, "a hit keeps its read, in all versions");
    drop(journal);

    // The thief puts the copy back, and has the passphrase: only the hit is left to be read.
    std::fs::write(&path, copy).expect("put back");
    let archive = Archive::open_existing(folder.path(), &secret()).expect("opens");
    let left = lines(&archive);
    let ids: Vec<_> = left.iter().filter(|line| line["kind"] == "read").map(|line| line["text"].clone()).collect();
    assert_eq!(ids, [PLATES[1]]);
    assert!(left[0]["pictures"]["patch"].is_string() && left[0]["hits"][0]["vrm"] == PLATES[1], "{}", left[0]);
    archive.verify().expect("what is gone is no damage");
    assert!(archive.pending(100, usize::MAX).expect("read").iter().all(|item| !item.payload.is_empty()));
    let purged = archive.purge(hour(26), &keep(false)).expect("swept");
    assert_eq!(purged.reads, 2);
    assert_eq!(archive.verify().expect("whole").reads, 3);
}

#[test]
fn a_day_key_stays_while_anything_needs_it_and_a_slot_is_used_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open_with(folder.path(), &secret(), clock()).expect("opened");
    let keys = |journal: &Journal| day_keys(journal).len();
    let mut sizes = Vec::new();
    // Keys of the audit chain go after a day here; their slots stay, since its records do.
    let keep = Keep::new(config::Journal { keep_audit_h: 24, ..config::Journal::default() }, false);
    for day in 0..6 {
        record_read(&journal, read(1, 2 * day + 1, PLATES[0], hour(24 * day as i64)));
        record_read(&journal, read(1, 2 * day + 2, PLATES[1], hour(24 * day as i64 + 9)));
        journal.flush().expect("on disk");
        // Half of yesterday is over: its key stays.
        let purged = journal.purge(hour(24 * day as i64 + 1), &keep).expect("purged");
        assert_eq!((purged.reads, keys(&journal)), (u64::from(day > 0), if day == 0 { 1 } else { 2 }));
        let purged = journal.purge(hour(24 * day as i64 + 10), &keep).expect("purged");
        assert_eq!((purged.reads, keys(&journal)), (u64::from(day > 0), 1));
        sizes.push(std::fs::metadata(file_in(folder.path())).expect("there").len());
    }
    assert!(sizes[5] - sizes[3] <= 2 * 128, "a slot a day, that of the audit chain: {sizes:?}");
    assert_eq!(journal.archive().verify().expect("whole").reads, 2);
    drop(journal);
    Archive::open_existing(folder.path(), &secret()).expect("opens").verify().expect("whole");
}

#[test]
fn a_key_that_is_in_use_again_is_not_destroyed() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = drive(folder.path(), &secret());
    let vault = &journal.archive().vault;
    let before = vault.uses();
    record_read(&journal, read(1, 9, PLATES[0], hour(0)));
    journal.flush().expect("on disk");
    let ids = day_keys(&journal);
    let destroyed = vault.destroy(&ids, &before).expect("written");
    assert_eq!((ids.len(), destroyed.len()), (3, 2), "all but the key of the day's reads");
    assert_eq!(lines(journal.archive()).iter().filter(|line| line["kind"] == "read").count(), 3);
}

#[test]
fn a_new_lock_makes_the_earlier_one_useless() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = drive(folder.path(), &Key::Beside);
    assert!(journal.status().unprotected);
    drop(journal);
    let before = std::fs::read(file_in(folder.path())).expect("read");
    let archive = Archive::open_existing(folder.path(), &Key::Beside).expect("opened");
    archive.lock_with(&secret()).expect("locked");
    archive.verify().expect("it goes on");
    drop(archive);
    let after = std::fs::read(file_in(folder.path())).expect("read");
    assert!(before[56..88].iter().any(|byte| *byte != 0) && after[56..88].iter().all(|byte| *byte == 0));
    assert_eq!(Archive::open_existing(folder.path(), &Key::Beside).expect_err("locked").kind(), Kind::Config);
    let journal = Journal::open_with(folder.path(), &secret(), clock()).expect("opened");
    assert!(!journal.status().unprotected);
    assert_eq!(journal.archive().verify().expect("whole").reads, 7);
}

#[test]
fn a_lock_of_which_one_copy_is_whole_opens_and_keys_that_are_missing_are_said() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(drive(folder.path(), &secret()));
    let path = file_in(folder.path());
    let whole = std::fs::read(&path).expect("read");
    for at in [10, 4096 + 120] {
        let mut torn = whole.clone();
        torn[at] ^= 0x40;
        std::fs::write(&path, &torn).expect("torn");
        Archive::open_existing(folder.path(), &secret()).expect("the other copy").verify().expect("whole");
    }
    let mut torn = whole.clone();
    (torn[10], torn[4096 + 120]) = (9, 9);
    for bytes in [torn, whole[..100].to_vec(), Vec::new()] {
        std::fs::write(&path, &bytes).expect("spoilt");
        assert_eq!(Archive::open_existing(folder.path(), &secret()).expect_err("spoilt").kind(), Kind::Damaged);
    }
    // A slot that is bent: what it sealed is named, not taken for purged.
    let mut bent = whole.clone();
    std::fs::write(&path, &whole).expect("put back");
    let slots = keyfile::read(&path).expect("whole").1;
    let reads = slots.iter().flatten().position(|slot| slot.purpose == Use::Reads).expect("a key of reads");
    bent[8192 + reads * 128 + 30] ^= 1;
    std::fs::write(&path, &bent).expect("bent");
    let archive = Archive::open_existing(folder.path(), &secret()).expect("the lock is whole");
    let fault = archive.verify().expect_err("a key is missing").to_string();
    assert!(fault.contains("the key of read 1-1 is missing"), "{fault}");
    assert!(archive.purge(hour(9999), &keep(false)).is_err(), "and nothing is swept away for it");
    drop(archive);

    std::fs::remove_file(&path).expect("removed");
    let fault = Archive::open_existing(folder.path(), &secret()).expect_err("no keys");
    assert!(fault.kind() == Kind::Missing && fault.to_string().contains("the file of its keys is missing"), "{fault}");
    assert!(!path.exists(), "no new keys for an old journal");
    let other = tempfile::tempdir().expect("a folder");
    drop(drive(other.path(), &secret()));
    std::fs::copy(file_in(other.path()), &path).expect("put there");
    let fault = Archive::open_existing(folder.path(), &secret()).expect_err("another's").to_string();
    assert!(fault.contains("the keys beside it are another journal's"), "{fault}");
}

#[test]
fn erasing_needs_no_key_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = drive(folder.path(), &secret());
    assert_eq!(Archive::erase(folder.path()).expect_err("it runs").kind(), Kind::Unavailable);
    drop(journal);
    let copy = std::fs::read(folder.path().join(FILE)).expect("copied");
    let keys = std::fs::File::open(file_in(folder.path())).expect("open");
    Archive::erase(folder.path()).expect("erased");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    let mut left = Vec::new();
    std::io::Read::read_to_end(&mut &keys, &mut left).expect("read");
    assert!(left.len() > 8192 && left.iter().all(|byte| *byte == 0), "overwritten where it lay");
    assert_eq!(Archive::erase(folder.path()).expect_err("twice").kind(), Kind::Missing);
    // A copy of the disk from before, without its keys.
    std::fs::write(folder.path().join(FILE), copy).expect("put back");
    assert_eq!(Archive::open_existing(folder.path(), &secret()).expect_err("no keys").kind(), Kind::Missing);
    // A damaged journal is erased too.
    std::fs::write(folder.path().join(FILE), b"damaged").expect("written");
    Archive::erase(folder.path()).expect("erased");
    drop(drive(folder.path(), &secret()));
}

/// Makes the journal in `folder` one of the first layout: nothing sealed, no keys.
fn as_the_first_program_wrote_it(folder: &Path, key: &Key) {
    let archive = Archive::open_existing(folder, key).expect("opened");
    let plain = folder.join("made");
    let into = Database::create(&plain).expect("made");
    let write = into.begin_write().expect("begun");
    archive
        .read("test", |from| {
            let opened = |row: Row, sealed: &[u8]| Ok::<_, Trouble>(archive.opened(row, sealed)?.expect("its key"));
            for row in from.open_table(READS)?.iter()? {
                let (key, value) = row?;
                let (run, pass, version) = key.value();
                let plain = opened(Row::Read(run, pass, version), value.value())?;
                write.open_table(READS)?.insert(key.value(), &plain[..])?;
            }
            for row in from.open_table(PICTURES)?.iter()? {
                let (key, value) = row?;
                let (run, pass, version, which) = key.value();
                let plain = opened(Row::Picture(run, pass, version, which), value.value())?;
                write.open_table(PICTURES)?.insert(key.value(), &plain[..])?;
            }
            for (table, name) in [(HITS, Row::Hit as fn(u64) -> Row), (EVENTS, Row::Event)] {
                for row in from.open_table(table)?.iter()? {
                    let (sequence, value) = row?;
                    let plain = opened(name(sequence.value()), value.value())?;
                    write.open_table(table)?.insert(sequence.value(), &plain[..])?;
                }
            }
            for row in from.open_table(OUTBOX)?.iter()? {
                let (key, value) = row?;
                write.open_table(OUTBOX)?.insert(key.value(), value.value())?;
            }
            for row in from.open_table(META)?.iter()? {
                let (name, number) = row?;
                if !["vault", "deeds"].contains(&name.value()) {
                    let number = if name.value() == "layout" { takeover::PLAIN } else { number.value() };
                    write.open_table(META)?.insert(name.value(), number)?;
                }
            }
            write.open_table(RUNS)?.insert(1, hour(0).utc.timestamp())?;
            Ok(())
        })
        .expect("written");
    write.commit().expect("written");
    drop((into, archive));
    std::fs::rename(plain, folder.join(FILE)).expect("put in its place");
    std::fs::remove_file(file_in(folder)).expect("removed");
}

#[test]
fn a_journal_of_the_first_layout_is_sealed_and_loses_nothing_killed_at_whatever_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let journal = drive(&data, &Key::Beside);
    let (exported, waiting) = (lines(journal.archive()), journal.pending(99, usize::MAX).expect("read"));
    drop(journal);
    as_the_first_program_wrote_it(&data, &Key::Beside);
    assert!(!found(&data, &needles()).is_empty(), "it is plain");
    let (path, plain, sealed) = (data.join(FILE), takeover::plain(&data), takeover::sealed(&data));
    let earlier = std::fs::read(&path).expect("copied");

    let check = |step: &str| {
        let archive = Archive::open(&data, &secret()).expect(step);
        assert_eq!(lines(&archive), exported, "{step}");
        assert_eq!(archive.pending(99, usize::MAX).expect("read"), waiting, "{step}");
        archive.verify().expect(step);
        drop(archive);
        assert_eq!(found(&data, &needles()), Vec::<String>::new(), "{step}");
        let mut names: Vec<_> =
            std::fs::read_dir(&data).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
        names.sort();
        assert_eq!(names, [file_in(Path::new("")).as_os_str(), FILE.as_ref()], "{step}");
    };
    check("in one go");
    let whole = std::fs::read(&path).expect("copied");

    std::fs::write(&path, &earlier).expect("put back");
    std::fs::write(&sealed, &whole[..whole.len() / 2]).expect("half written");
    check("killed while copying");
    let whole = std::fs::read(&path).expect("copied");
    std::fs::rename(&path, &sealed).expect("renamed");
    std::fs::write(&plain, &earlier).expect("put aside");
    check("killed between the renames");
    std::fs::write(&plain, &earlier).expect("put aside");
    check("killed before the plain one was overwritten");
    assert!(std::fs::read(&path).expect("read").len() >= whole.len() / 2);

    let key = keyfile::read(&file_in(&data)).expect("read").0.protection;
    assert_eq!(key, Protection::Passphrase);
}

#[test]
fn lists_that_came_before_the_journal_are_locked_and_erased_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(hotlist::FILE);
    let open = |seals: &SealKey| Hotlist::open_sealed(&path, seals, clock()).expect("opened");
    // Imported before the first start, when nothing was said of a key.
    let lists = open(&lists_seal(folder.path(), &Key::Beside).expect("made"));
    let sheet = format!("vrm,reason\n{},stolen\n", PLATES[0]);
    lists.import("pnc", sheet.as_bytes(), Path::new("list.csv"), &ImportOptions::default()).expect("imported");
    drop(lists);
    assert_eq!(Archive::protection_of(folder.path()).expect("read"), Some(Protection::None));
    let entries = |seals: &SealKey| open(seals).status().iter().map(|list| list.count).sum::<u64>();

    let journal = Journal::open_with(folder.path(), &secret(), clock()).expect("opened");
    assert_eq!(journal.archive().protection(), Protection::Passphrase);
    assert_eq!(entries(&journal.archive().lists_seal().expect("there")), 1);
    journal.archive().lock_with(&passphrase("another horse battery")).expect("locked");
    drop(journal);
    assert_eq!(lists_seal(folder.path(), &secret()).expect_err("the earlier one").kind(), Kind::Denied);
    assert_eq!(entries(&lists_seal(folder.path(), &passphrase("another horse battery")).expect("unlocked")), 1);
    // Retention leaves their key alone.
    let journal = Journal::open_with(folder.path(), &passphrase("another horse battery"), clock()).expect("opened");
    journal.purge(hour(24 * 2000), &keep(false)).expect("purged");
    assert_eq!(entries(&journal.archive().lists_seal().expect("there")), 1);
    drop(journal);

    Archive::erase(folder.path()).expect("erased");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing is left");
}

#[test]
fn a_token_that_is_missing_or_another_may_come_and_a_lock_of_another_kind_never_opens() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let key = Key::Token(one.clone());
    let why = |key: &Key| wanting(&data, key).expect("it may come").map(|fault| fault.kind());
    assert_eq!(why(&key), Some(Kind::Missing), "no token, and no journal yet");
    make_token(&one).expect("made");
    make_token(&other).expect("made");
    assert_eq!(why(&key), None);
    drop(Journal::open_with(&data, &key, clock()).expect("opened"));
    assert_eq!((why(&key), why(&Key::Token(other))), (None, Some(Kind::Denied)));
    std::fs::write(&one, "").expect("a stick that is not read yet");
    assert_eq!(why(&key), Some(Kind::Damaged));
    std::fs::remove_file(&one).expect("pulled out");
    assert_eq!(why(&key), Some(Kind::Missing));

    make_token(&one).expect("made");
    let passphrase = folder.path().join("passphrase");
    drop(Journal::open_with(&passphrase, &secret(), clock()).expect("opened"));
    assert_eq!(wanting(&passphrase, &key).expect_err("never").kind(), Kind::Config);
    assert!(wanting(&passphrase, &secret()).expect("asked for").is_none());
}
