//! What a new word of a crew costs an office that has kept such words for years. It prints figures; docs/design/sync.md has some.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::verdicts::Verdicts;
use super::{Received, RedbStore, Store, crews, files};
use crate::hotlist::{Judgement, Said, SigningKey, Statement};
use crate::sync::{Item, Kind};

/// Stored before anything is measured: a hundred a day for almost three years, 250 in one commit.
const STORED: u64 = 100_000;
const COMMIT: u64 = 250;
const APART: TimeDelta = TimeDelta::hours(60);
const UNITS: u64 = 50;

fn said(number: u64, now: DateTime<Utc>) -> Received {
    let mark = format!("AB{:02}CDE", number % 100);
    let said = Said::Found { list: "pnc".into(), mark: mark.clone(), text: mark, judgement: Judgement::False };
    let payload = Statement { utc: now, said }.encode();
    let items = vec![Item { kind: Kind::Statement, key: number.to_be_bytes().to_vec(), payload }];
    Received { unit: format!("EX-{:02}", number % UNITS), items }
}

#[test]
fn a_new_word_costs_an_office_of_years_what_it_costs_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = RedbStore::open(&files::store(folder.path())).expect("opened");
    let bytes = SigningKey::generate().expect("made");
    let key = || SigningKey::from_bytes(&bytes);
    let start: DateTime<Utc> = "2024-01-01T10:00:00Z".parse().expect("a time");
    let mut now = start;
    for first in (0..STORED).step_by(COMMIT as usize) {
        let received: Vec<_> = (first..first + COMMIT).map(|number| said(number, now)).collect();
        store.put(&received, now).expect("stored");
        now += APART;
    }
    // None grows too old while it is measured.
    now += TimeDelta::hours(1);
    let mut verdicts = Verdicts::default();
    let begun = Instant::now();
    let mut written = crews::write(folder.path(), &store, None, now).expect("written");
    verdicts.hand_out(key, &store, now).expect("signed");
    println!("the first look at {STORED} statements: {:?}", begun.elapsed());
    let (mut write, mut hand_out) = (Duration::ZERO, Duration::ZERO);
    const NEW: u64 = 10;
    for number in STORED..STORED + NEW {
        now += TimeDelta::minutes(1);
        store.put(&[said(number, now)], now).expect("stored");
        let begun = Instant::now();
        written = crews::write(folder.path(), &store, Some(written), now).expect("written");
        write += begun.elapsed();
        let begun = Instant::now();
        assert!(verdicts.hand_out(key, &store, now).expect("signed"));
        hand_out += begun.elapsed();
    }
    println!(
        "each new one of {STORED}: {:?} for what crews made known, {:?} for the verdicts",
        write / NEW as u32,
        hand_out / NEW as u32
    );
    // What was written line by line is what one look at everything gives.
    let shown = crews::crews(folder.path()).expect("read");
    crews::write(folder.path(), &store, None, now).expect("written");
    assert!(shown.len() > NEW as usize && shown == crews::crews(folder.path()).expect("read"));
    assert!(!verdicts.hand_out(key, &store, now).expect("looked"), "nothing has changed");

    // An earlier program stored them without numbers.
    let all = store.arrived(Kind::Statement, 0).expect("read").len();
    drop(store);
    let database = redb::Database::open(files::store(folder.path())).expect("opened");
    let transaction = database.begin_write().expect("begun");
    let numbers = redb::TableDefinition::<(u8, u64, &str, &[u8]), ()>::new("arrivals");
    assert!(transaction.delete_table(numbers).expect("deleted"));
    transaction.commit().expect("kept");
    drop(database);
    let begun = Instant::now();
    let store = RedbStore::open(&files::store(folder.path())).expect("opened");
    println!("brought up to date from a store without numbers: {:?}", begun.elapsed());
    assert_eq!(store.arrived(Kind::Statement, 0).expect("read").len(), all);
}
