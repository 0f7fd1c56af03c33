//! The audit chain and what leaves the unit: nothing is changed unseen, and nothing goes out unsaid.

use std::path::Path;

use redb::{ReadableTable, TableDefinition};

use super::archive::{META, Trouble};
use super::tests::{clock, hour, keep, read, record_hit, record_read};
use super::*;
use crate::recognise::ReadId;

const DEEDS: TableDefinition<u64, &[u8]> = TableDefinition::new("deeds");
const SIGNATURES: TableDefinition<u64, &[u8]> = TableDefinition::new("signatures");
const CHAIN: TableDefinition<u8, &[u8]> = TableDefinition::new("chain");

fn search(who: &str, plate: &str, case: Option<&str>, hours: i64) -> Deed {
    Deed {
        act: Act::Searched,
        who: who.into(),
        reason: "seen near the scene".into(),
        case: case.map(str::to_owned),
        plate: Some(plate.into()),
        detail: String::new(),
        when: hour(hours),
    }
}

/// A journal with a chain of several records.
fn journal(folder: &Path) -> Journal {
    let journal = Journal::open(folder, clock()).expect("opened");
    record_read(&journal, read(1, 1, "AB12CDE", hour(0)));
    record_hit(&journal, read(1, 1, "AB12CDE", hour(0)));
    let id = ReadId { run: 1, pass: 1 };
    let verdict = Record::Verdict {
        read: id,
        list: "pnc".into(),
        verdict: "confirmed".into(),
        reason: "".into(),
        by: "".into(),
        when: hour(0),
    };
    journal.record(verdict).expect("taken");
    let deed = Deed::of_the_unit(Act::Set, "the start", "as configured".into(), hour(0));
    journal.record(Record::Deed(Box::new(deed))).expect("taken");
    journal.flush().expect("on disk");
    for hours in 1..6 {
        journal.archive().note(search("1234", "CD34EFG", Some("77/26"), hours)).expect("noted");
    }
    journal
}

#[test]
fn what_was_done_is_in_the_chain_with_person_and_reason_and_no_plate() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = journal(folder.path());
    let deeds = journal.archive().deeds().expect("read");
    let said: Vec<_> = deeds.iter().map(|deed| (deed.act.as_str(), deed.who.as_str())).collect();
    assert_eq!(
        said[..4],
        [("started", "the unit"), ("judged", "nobody signed on"), ("set", "the unit"), ("searched", "1234")]
    );
    assert_eq!((deeds[3].reason.as_str(), deeds[3].case.as_str()), ("seen near the scene", "77/26"));
    assert!(!format!("{deeds:?}").contains("CD34EFG"));
    assert_eq!(journal.archive().verify().expect("whole").deeds, 8);

    journal.purge(hour(26 + 24 * 7), &keep(false)).expect("purged");
    let last = journal.archive().deeds().expect("read").pop().expect("a record");
    assert_eq!(
        (last.act.as_str(), last.detail.as_str()),
        ("purged", "1 passes, 1 hits and 0 events; 2 were never sent")
    );

    // Two years on nobody can read it any more, and the chain still holds.
    journal.purge(hour(24 * 800), &keep(false)).expect("purged");
    let deeds = journal.archive().deeds().expect("read");
    assert!(deeds[..8].iter().all(|deed| deed.who.is_empty()), "{deeds:?}");
    assert_eq!(journal.archive().verify().expect("whole").deeds, deeds.len() as u64);
}

#[test]
fn who_looks_up_a_plate_again_and_again_without_a_case_is_flagged() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::open(folder.path(), clock()).expect("opened");
    let flagged = |who: &str, plate: &str, case: Option<&str>, hours| {
        journal.archive().note(search(who, plate, case, hours)).expect("noted")
    };
    assert!(!flagged("1234", "AB12CDE", None, 0));
    assert!(!flagged("1234", "AB12CDE", None, 1));
    assert!(!flagged("1234", "AB12CDE", Some("77/26"), 2), "it has a case");
    assert!(!flagged("5678", "AB12CDE", None, 3), "another person");
    assert!(!flagged("1234", "CD34EFG", None, 4), "another plate");
    assert!(flagged("1234", "AB12CDE", None, 5), "the third time");
    assert!(!flagged("1234", "AB12CDE", None, 24 * 60), "two months later");
    assert_eq!(journal.archive().verify().expect("whole").flagged, 1);
}

#[test]
fn a_purge_tells_what_went_and_why_and_which_keys_it_destroyed() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = journal(folder.path());
    record_read(&journal, read(1, 2, "CD34EFG", hour(0)));
    record_read(&journal, read(1, 3, "EF56GHJ", hour(20)));
    journal.flush().expect("on disk");
    let told = journal.archive().purge_and_tell(hour(26), &keep(true)).expect("purged");
    assert_eq!((told.pinned, told.waiting, told.purged), (1, 1, Purged::default()), "the office has nothing yet");
    let told = journal.archive().purge_and_tell(hour(26), &keep(false)).expect("purged");
    assert_eq!((told.purged.reads, told.pictures, told.pinned, told.waiting), (1, 2, 1, 0));
    let day: chrono::NaiveDate = "2026-12-01".parse().expect("a day");
    assert_eq!(told.keys, [("reads", day)]);
    assert_eq!(journal.archive().purge_and_tell(hour(26), &keep(false)).expect("purged").keys, []);
}

/// Changes the tables behind the unit's back.
fn meddle(archive: &Archive, with: impl FnOnce(&redb::WriteTransaction) -> Result<(), Trouble>) {
    archive.write("test", with).expect("written");
}

#[test]
fn an_edit_a_deletion_a_new_order_and_a_cut_are_found_and_the_first_bad_record_is_named() {
    type Crime = fn(&redb::WriteTransaction) -> Result<(), Trouble>;
    let crimes: [(&str, Crime, &str); 8] = [
        (
            "edited",
            |t| {
                let mut deeds = t.open_table(DEEDS)?;
                let mut value = deeds.get(5)?.expect("a record").value().to_vec();
                *value.last_mut().expect("bytes") ^= 1;
                deeds.insert(5, &value[..])?;
                Ok(())
            },
            "record 5 of the audit chain was changed",
        ),
        (
            "its hash edited",
            |t| {
                let mut deeds = t.open_table(DEEDS)?;
                let mut value = deeds.get(5)?.expect("a record").value().to_vec();
                value[0] ^= 1;
                deeds.insert(5, &value[..])?;
                Ok(())
            },
            "record 5 of the audit chain was changed",
        ),
        (
            "deleted",
            |t| {
                t.open_table(DEEDS)?.remove(4)?;
                Ok(())
            },
            "record 4 of the audit chain is missing",
        ),
        (
            "exchanged",
            |t| {
                let mut deeds = t.open_table(DEEDS)?;
                let [one, other] = [5, 6].map(|n| deeds.get(n).map(|v| v.map(|v| v.value().to_vec())));
                deeds.insert(5, &other?.expect("a record")[..])?;
                deeds.insert(6, &one?.expect("a record")[..])?;
                Ok(())
            },
            "record 5 of the audit chain was changed",
        ),
        (
            "cut off",
            |t| {
                t.open_table(DEEDS)?.remove(8)?;
                t.open_table(SIGNATURES)?.remove(8)?;
                Ok(())
            },
            "record 8 of the audit chain is missing: the chain had 8",
        ),
        (
            "cut off, and the counter with it",
            |t| {
                t.open_table(DEEDS)?.remove(8)?;
                t.open_table(SIGNATURES)?.remove(8)?;
                t.open_table(META)?.insert("deeds", 7)?;
                Ok(())
            },
            "record 8 of the audit chain is missing: the chain had 8",
        ),
        (
            "signed by somebody else",
            |t| {
                t.open_table(SIGNATURES)?.insert(7, &[7; 64][..])?;
                Ok(())
            },
            "record 7 of the audit chain has a signature that is not the unit's",
        ),
        (
            "with another key for the signatures",
            |t| {
                t.open_table(CHAIN)?.insert(4, &[7; 32][..])?;
                Ok(())
            },
            "the key that checks the audit chain's signatures is not the unit's",
        ),
    ];
    for (name, crime, said) in crimes {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = journal(folder.path());
        assert_eq!(journal.archive().verify().expect("whole").deeds, 8, "{name}");
        meddle(journal.archive(), crime);
        let fault = journal.archive().verify().expect_err(name).to_string();
        assert!(fault.contains(said), "{name}: {fault}");
    }
}

#[test]
fn a_bundle_is_checked_without_the_unit_and_whatever_was_done_to_it_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = journal(&folder.path().join("data"));
    let out = folder.path().join("bundle");
    let who = Deed {
        act: Act::Exported,
        who: "1234".into(),
        reason: "a <theft>".into(),
        case: Some("77/26".into()),
        plate: None,
        detail: "an evidence bundle".into(),
        when: hour(1),
    };
    assert_eq!(journal.archive().export_bundle(&out, &who, Sizes::Native).expect("exported"), 2);
    let signer = journal.archive().signer().expect("a key");
    let last = journal.archive().deeds().expect("read").pop().expect("a record");
    assert_eq!((last.act.as_str(), last.who.as_str(), last.case.as_str()), ("exported", "1234", "77/26"));
    assert!(journal.archive().export_bundle(&out, &who, Sizes::Native).is_err(), "it is there");
    drop(journal);

    let checked = verify_bundle(&out, Some(&signer)).expect("as it was made");
    assert_eq!((checked.files, checked.signer.as_str(), checked.who.as_str()), (5, signer.as_str(), "1234"));
    let report = std::fs::read_to_string(out.join("report.html")).expect("a report");
    for part in ["AB12CDE", "stolen", "a &lt;theft&gt;", "src=\"1-1-patch.jpg\"", "51.5"] {
        assert!(report.contains(part), "{part} is not in {report}");
    }
    let mut csv = csv::Reader::from_path(out.join("reads.csv")).expect("a table");
    let row = csv.records().next().expect("a row").expect("read");
    assert_eq!((&row[0], &row[4]), ("1-1", "AB12CDE"));

    let spoil = |name: &str, bytes: Option<&[u8]>, said: &str| {
        let path = out.join(name);
        let before = std::fs::read(&path).ok();
        match bytes {
            Some(bytes) => std::fs::write(&path, bytes).expect("written"),
            None => std::fs::remove_file(&path).expect("removed"),
        }
        let fault = verify_bundle(&out, None).expect_err(name).to_string();
        assert!(fault.contains(said), "{fault}");
        match before {
            Some(before) => std::fs::write(&path, before).expect("put back"),
            None => std::fs::remove_file(&path).expect("removed"),
        }
        verify_bundle(&out, None).expect("as it was");
    };
    spoil("1-1-patch.jpg", Some(b"another picture"), "1-1-patch.jpg was changed");
    spoil("reads.csv", None, "reads.csv is missing");
    spoil("more.jpg", Some(b"one more"), "more.jpg does not belong to it");
    spoil("manifest.sig", Some(b"00"), "manifest.sig is no signature");
    let manifest = std::fs::read_to_string(out.join("manifest.json")).expect("text");
    spoil("manifest.json", Some(manifest.replace("1234", "9999").as_bytes()), "manifest.sig is no signature");
    spoil("manifest.json", Some(b"{}"), "manifest.json makes no sense");
    let fault = verify_bundle(&out, Some(&"0".repeat(64))).expect_err("another unit").to_string();
    assert!(fault.contains("signed by another key"), "{fault}");
}
