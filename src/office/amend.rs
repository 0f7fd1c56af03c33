//! A small change of a published list: entries set or taken off, signed and handed to the cars without the whole list.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::changes::{self, ListChange};
use super::crews::crews;
use super::{authority, files, inbox};
use crate::clock;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::{Amendment, Entry, Hotlist, Mark, Said, SigningKey};

/// A list of no more entries is handed over whole behind each change, for cars that cannot use the change: it is small.
const SMALL: u64 = 200_000;
/// After so many changes a larger one is, too. The office keeps some more of them than that.
const CHANGES: usize = 24;

/// What is to become of a list.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Which list.
    pub list: String,
    /// Entries that their VRMs and patterns have from now on, and no others.
    pub set: Vec<Entry>,
    /// What is taken off.
    pub remove: Vec<Mark>,
    /// Entries of crews that are adopted, by the ids of their statements.
    pub adopt: Vec<String>,
    /// Who wants it.
    pub by: String,
    /// Why; crews are told it of what is taken off.
    pub why: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amended {
    /// The list's revision now.
    pub revision: u64,
    /// How many entries it has.
    pub count: u64,
    /// Whether the whole list was handed over, too.
    pub whole: bool,
}

/// Changes a list of the office in `data`, whose service, running or not yet, offers the change to the cars.
///
/// # Errors
/// Nobody says who and why; there is nothing to change, or something to take off that is not listed; the list was never
/// published; or the office's folder cannot be written. The list is then as it was.
pub fn amend(data: &Path, order: &Order, clock: clock::Shared) -> Result<Amended> {
    let what = "cannot change the list";
    let wrong =
        |why: &str, remedy: &str| Fault::new(Kind::Usage, what).at(&order.list).because(why.to_owned()).remedy(remedy);
    if order.by.trim().is_empty() || order.why.trim().is_empty() {
        return Err(wrong("it is not said who wants it, or why", "Say both: they go on record"));
    }
    let now = clock.utc();
    let mut amendments: Vec<Amendment> = Vec::new();
    for entry in adopted(data, order)?.into_iter().chain(order.set.iter().cloned()) {
        amendments.push(Amendment::Set(Box::new(dated(entry, order, now))));
    }
    amendments.extend(order.remove.iter().map(|mark| Amendment::Remove { mark: mark.clone(), why: order.why.clone() }));
    if amendments.is_empty() {
        return Err(wrong("there is nothing to set or take off", "Name entries"));
    }
    if !files::published(data).exists() {
        return Err(Fault::new(Kind::Missing, what)
            .at(data.display())
            .because("no list was ever published here")
            .remedy("Publish it with outrider-office publish first"));
    }
    let key = authority::lists_key(data)?;
    let store = Hotlist::open(&files::published(data), clock.clone())?;
    // Read before the list changes: what it does not say cannot be made good afterwards.
    let record = changes::changes(data)?;
    let held = store.status().into_iter().find(|list| list.id == order.list).map_or(0, |list| list.revision);
    let revision = u64::try_from(now.timestamp_millis()).unwrap_or(1).max(held + 1);
    let (base, mut change) = store.amend(&order.list, &amendments, Some(revision), &key)?;
    let unreadable = |error| Fault::io("cannot read the signed change", &files::published(data), error);
    inbox::offer_change(data, &order.list, revision, base, change.reader().map_err(unreadable)?)?;
    let count = store.status().into_iter().find(|list| list.id == order.list).map_or(0, |list| list.count);
    let whole = count <= SMALL || is_due(&record, &order.list, base);
    if whole {
        hand_over_whole(data, &store, &order.list, &key)?;
    }
    let marks = |wanted: fn(&Amendment) -> Option<&Mark>| {
        amendments.iter().filter_map(wanted).map(ToString::to_string).collect::<Vec<_>>()
    };
    changes::note(
        data,
        &ListChange {
            utc: now,
            list: order.list.clone(),
            revision,
            by: order.by.clone(),
            why: order.why.clone(),
            whole,
            set: marks(|amendment| match amendment {
                Amendment::Set(entry) => Some(&entry.vrm),
                Amendment::Remove { .. } => None,
            }),
            removed: marks(|amendment| match amendment {
                Amendment::Remove { mark, .. } => Some(mark),
                Amendment::Set(_) => None,
            }),
        },
    )?;
    Ok(Amended { revision, count, whole })
}

/// Whether a large list is to be handed over whole again: many changes have been made since, or the last revision was never
/// handed over, since the office ended in between.
fn is_due(record: &[ListChange], list: &str, base: u64) -> bool {
    let of_list = || record.iter().rev().filter(|change| change.list == list);
    of_list().next().is_none_or(|last| last.revision != base)
        || of_list().take_while(|change| !change.whole).count() + 1 >= CHANGES
}

fn hand_over_whole(data: &Path, store: &Hotlist, list: &str, key: &SigningKey) -> Result<()> {
    let mut signed = store.sign_whole(list, key)?;
    let bytes = signed.whole.reader();
    let bytes = bytes.map_err(|error| Fault::io("cannot read the signed list", &files::published(data), error))?;
    inbox::offer_revision(data, list, signed.revision, bytes)
}

/// The entries of crews that are adopted.
fn adopted(data: &Path, order: &Order) -> Result<Vec<Entry>> {
    if order.adopt.is_empty() {
        return Ok(Vec::new());
    }
    let known = crews(data)?;
    let entry = |id: &String| {
        let stated = known.iter().find(|stated| stated.id == *id);
        match stated.map(|stated| (&stated.unit, &stated.statement)) {
            Some((unit, Ok(statement))) => match &statement.said {
                Said::Entry(entry) if entry.source.is_empty() => {
                    Ok(Entry { source: format!("crew of {unit}"), ..Entry::clone(entry) })
                }
                Said::Entry(entry) => Ok(Entry::clone(entry)),
                _ => Err(Fault::new(Kind::Usage, "cannot adopt this").at(id).because("it is not an entry of a crew's")),
            },
            Some((_, Err(why))) => Err(Fault::new(Kind::Damaged, "cannot adopt this").at(id).because(why.clone())),
            None => Err(Fault::new(Kind::Missing, "no crew has made known anything of this id")
                .at(id)
                .remedy("outrider-office crews lists what they made known")),
        }
    };
    order.adopt.iter().map(entry).collect()
}

/// An entry says since when and from whom it is, as far as nobody has said otherwise.
fn dated(entry: Entry, order: &Order, now: DateTime<Utc>) -> Entry {
    Entry {
        added: entry.added.or(Some(now)),
        confirmed: entry.confirmed.or(Some(now)),
        source: if entry.source.is_empty() { order.by.clone() } else { entry.source },
        ..entry
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::clock::{Clock, SimulatedClock};
    use crate::hotlist::{Applied, Standing, Statement};
    use crate::office::{Publication, Received, RedbStore, Store, init, publish};
    use crate::sync::{Item, Kind as Sent};

    struct Depot {
        folder: tempfile::TempDir,
        clock: std::sync::Arc<SimulatedClock>,
    }

    impl Depot {
        fn new(list: &str) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let clock = SimulatedClock::starting("2026-12-01T10:00:00Z".parse().expect("a time"));
            let depot = Self { folder, clock };
            init(&depot.data(), &[], &*depot.clock).expect("made");
            let file = depot.folder.path().join("list.csv");
            std::fs::write(&file, list).expect("written");
            publish(&depot.data(), &Publication::of("pnc", &file, ""), depot.clock.clone()).expect("published");
            depot
        }

        fn data(&self) -> PathBuf {
            self.folder.path().join("office")
        }

        fn amend(&self, order: Order) -> Result<Amended> {
            self.clock.advance(std::time::Duration::from_secs(1));
            let order = Order { list: "pnc".into(), by: "Sgt Example".into(), ..order };
            amend(&self.data(), &order, self.clock.clone())
        }

        /// What waits for the service, by name, oldest first.
        fn waiting(&self) -> Vec<PathBuf> {
            let files = std::fs::read_dir(files::inbox(&self.data())).expect("an inbox");
            let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
            files.sort();
            files
        }
    }

    fn mark(text: &str) -> Mark {
        Mark::parse(text).expect("a mark")
    }

    #[test]
    fn a_recovered_vehicle_is_taken_off_by_a_change_and_the_car_hears_why() {
        let depot = Depot::new("vrm,reason\nAB12CDE,stolen\nCD34EFG,stolen\n");
        let car = Hotlist::open(&depot.folder.path().join("car.redb"), depot.clock.clone()).expect("opened");
        car.trust(vec![authority::lists_key(&depot.data()).expect("a key").verifying()]);
        let apply = |path: &Path| car.apply(std::fs::File::open(path).expect("there"), Some("pnc"));
        apply(&depot.waiting()[0]).expect("the whole list");
        std::fs::remove_file(&depot.waiting()[0]).expect("taken");

        let why = "recovered 14:02, stand down";
        let new = Entry { reason: "cloned".into(), ..Entry::bare(mark("EF56GHI")) };
        let order = Order { remove: vec![mark("ab12 cde")], set: vec![new], why: why.into(), ..Order::default() };
        let amended = depot.amend(order).expect("amended");
        assert_eq!((amended.count, amended.whole), (2, true), "a small list goes whole behind the change");
        let waiting = depot.waiting();
        assert_eq!(waiting.len(), 2);
        let change =
            waiting.iter().find(|path| path.display().to_string().matches('@').count() == 2).expect("a change");
        assert!(matches!(apply(change), Ok(Applied::Changed { changed: 2, count: 2, .. })));
        assert_eq!(car.standing("pnc", "AB12CDE"), Standing::Gone(why.into()));
        let found = car.lookup(&crate::plate::Vrm::parse("EF56GHI").expect("a VRM")).expect("looked up").remove(0).1;
        assert_eq!((found.source.as_str(), found.confirmed), ("Sgt Example", Some(depot.clock.utc())));
        // The whole list is the same state.
        let whole = waiting.iter().find(|path| *path != change).expect("a whole list");
        assert!(matches!(apply(whole), Ok(Applied::Held { .. })));

        let record = changes::changes(&depot.data()).expect("read");
        assert_eq!((record.len(), record[0].whole, record[0].by.as_str()), (2, true, ""));
        assert_eq!((record[1].by.as_str(), record[1].why.as_str()), ("Sgt Example", why));
        assert_eq!((&record[1].set, &record[1].removed), (&vec!["EF56GHI".into()], &vec!["AB12CDE".into()]));
    }

    #[test]
    fn what_makes_no_sense_changes_nothing() {
        let depot = Depot::new("vrm,reason\nAB12CDE,stolen\n");
        let before = depot.waiting();
        let refused = |order: Order, kind: Kind, words: &str| {
            let fault = depot.amend(order).expect_err(words);
            assert!(fault.kind() == kind && fault.to_string().contains(words), "{fault}");
            assert_eq!((depot.waiting(), changes::changes(&depot.data()).expect("read").len()), (before.clone(), 1));
        };
        let why = || "recovered".to_owned();
        refused(Order { remove: vec![mark("AB12CDE")], ..Order::default() }, Kind::Usage, "why");
        refused(Order { why: why(), ..Order::default() }, Kind::Usage, "nothing to set");
        let order = Order { remove: vec![mark("XX99XXX")], why: why(), ..Order::default() };
        refused(order, Kind::Missing, "XX99XXX is not on it");
        refused(Order { adopt: vec!["123".into()], why: why(), ..Order::default() }, Kind::Missing, "crews made known");
    }

    #[test]
    fn an_entry_of_a_crew_s_is_adopted() {
        let depot = Depot::new("vrm,reason\nAB12CDE,stolen\n");
        let now = depot.clock.utc();
        let entry = Entry { reason: "made off".into(), expires: Some(now), ..Entry::bare(mark("XY1?ABC")) };
        let statement = Statement { utc: now, said: Said::Entry(Box::new(entry)) };
        let store = RedbStore::open(&files::store(&depot.data())).expect("opened");
        let items = vec![Item { kind: Sent::Statement, key: b"1".to_vec(), payload: statement.encode() }];
        store.put(&[Received { unit: "car-7".into(), items }], now).expect("stored");
        super::super::crews::write(&depot.data(), &store, None, now).expect("written");
        let id = crews(&depot.data()).expect("read")[0].id.clone();
        let order = Order { adopt: vec![id], why: "seen by two crews".into(), ..Order::default() };
        assert_eq!(depot.amend(order).expect("amended").count, 2);
        let published = Hotlist::open(&files::published(&depot.data()), depot.clock.clone()).expect("opened");
        let vrm = crate::plate::Vrm::parse("XY12ABC").expect("a VRM");
        let adopted = published.lookup(&vrm).expect("looked up").remove(0).1;
        assert_eq!((adopted.reason.as_str(), adopted.source.as_str()), ("made off", "crew of car-7"));
    }

    #[test]
    fn a_large_list_goes_whole_when_changes_have_piled_up_or_one_was_lost() {
        let change = |revision, whole| ListChange {
            utc: DateTime::UNIX_EPOCH,
            list: "pnc".into(),
            revision,
            by: String::new(),
            why: String::new(),
            whole,
            set: Vec::new(),
            removed: Vec::new(),
        };
        let mut record = vec![change(1, true)];
        assert!(!is_due(&record, "pnc", 1) && is_due(&record, "pnc", 2) && is_due(&record, "other", 1));
        record.extend((2..=23).map(|revision| change(revision, false)));
        assert!(!is_due(&record, "pnc", 23));
        record.push(change(24, false));
        assert!(is_due(&record, "pnc", 24));
        record.push(change(25, true));
        assert!(!is_due(&record, "pnc", 25));
    }
}
