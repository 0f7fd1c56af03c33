//! Who may sign on in the cars: kept here, signed, and handed down like a list.
//!
//! The file changes only by [`change_people`]; the running service sees that it did, and signs what is in it with a new end.
//! It signs anew each day, so that only a car which does not reach the office holds a roll that runs out.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::authority;
use super::files;
use super::store::Store;
use crate::clock::Clock;
use crate::fault::{Fault, Kind, Result};
use crate::people::{Change, MOST_BYTES, ROLL, Roll};

/// How long a roll counts in a car that does not reach the office.
const VALID: TimeDelta = TimeDelta::days(14);
/// How often the service signs it anew.
const RENEWED: TimeDelta = TimeDelta::days(1);
/// Room that signature and times take.
const ENVELOPE: usize = 256;

/// A change of the roll, on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeopleChange {
    /// When.
    pub utc: DateTime<Utc>,
    /// Who wanted it.
    pub by: String,
    /// What was done: "4512 added as crew".
    pub what: String,
}

/// Who may sign on in the cars of the office in `data`; `None`: nobody was ever set up.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn people(data: &Path) -> Result<Option<Roll>> {
    let path = files::people(data);
    match std::fs::read(&path) {
        Ok(bytes) => decoded(&path, &bytes).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::io("cannot read who may sign on", &path, error)),
    }
}

fn decoded(path: &Path, bytes: &[u8]) -> Result<Roll> {
    Roll::decode(bytes).map_err(|why| {
        Fault::new(Kind::Damaged, "cannot read who may sign on")
            .at(path.display())
            .because(why)
            .remedy("Bring the file back from a backup")
    })
}

/// Changes who may sign on, for `by`. The service, running or not yet, hands the new roll to the cars.
///
/// # Errors
/// Nobody says who wants it; the change makes no sense; there is no office; or the file cannot be written. Nothing is changed
/// then.
pub fn change_people(data: &Path, by: &str, change: Change, clock: &dyn Clock) -> Result<()> {
    if by.trim().is_empty() {
        return Err(Fault::new(Kind::Usage, "it is not said who changes the roll of people")
            .remedy("Say it with --by: it goes on record"));
    }
    if !files::authority(data).exists() {
        return Err(Fault::new(Kind::Missing, "there is no office here")
            .at(data.display())
            .remedy("Make one with outrider-office init"));
    }
    let _lock = files::hold(&data.join("people.lock"), "cannot change who may sign on")?;
    let utc = clock.utc();
    let none = || Roll { revision: 0, made: utc, expires: None, people: Vec::new() };
    let mut roll = people(data)?.unwrap_or_else(none);
    let what = change.words();
    roll.apply(change)?;
    (roll.revision, roll.made) = (roll.revision + 1, utc);
    let bytes = roll.encode();
    if bytes.len() + ENVELOPE > MOST_BYTES {
        return Err(Fault::new(Kind::Full, "there are more people than a roll has room for"));
    }
    let line = serde_json::to_string(&PeopleChange { utc, by: by.to_owned(), what })
        .map_err(|error| Fault::new(Kind::Internal, "cannot write who changed the roll").because(error))?;
    // On record first: a change that nobody answers for is worse than one that is told twice.
    files::append(&files::people_changes(data), &line)?;
    files::replace(&files::people(data), &bytes)
}

/// Every change of the roll of the office in `data`, oldest first.
///
/// # Errors
/// The record cannot be read or is damaged.
pub fn people_changes(data: &Path) -> Result<Vec<PeopleChange>> {
    files::lines(&files::people_changes(data), "the record of who changed the roll of people")
}

/// The roll that was handed out last: hash of the file, and when.
pub(crate) type HandedOut = ([u8; 32], DateTime<Utc>);

/// Signs the roll and puts it where cars are offered it, if it was changed or signed long ago. Says whether it did.
pub(crate) fn hand_out(
    data: &Path,
    store: &dyn Store,
    handed: &mut Option<HandedOut>,
    utc: DateTime<Utc>,
) -> Result<bool> {
    let path = files::people(data);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Fault::io("cannot read who may sign on", &path, error)),
    };
    let hash: [u8; 32] = Sha256::digest(&bytes).into();
    if handed.is_some_and(|(before, at)| before == hash && utc - at < RENEWED) {
        return Ok(false);
    }
    let mut roll = decoded(&path, &bytes)?;
    // Revisions only have to grow; the time in milliseconds does.
    let held = store.lists()?.into_iter().find(|info| info.list == ROLL).map_or(0, |info| info.revision);
    roll.revision = u64::try_from(utc.timestamp_millis()).unwrap_or(1).max(held + 1);
    (roll.made, roll.expires) = (utc, Some(utc + VALID));
    let signed = authority::lists_key(data)?.sign_roll(&roll.encode());
    store.put_list(ROLL, roll.revision, &mut &signed[..])?;
    *handed = Some((hash, utc));
    tracing::info!(people = roll.people.len(), "the roll of people is handed out");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::clock::SimulatedClock;
    use crate::office::{RedbStore, init};
    use crate::people::{Person, Pin, PinHash, Role};

    fn person(number: &str, role: Role) -> Person {
        let pin = Pin::typed(Zeroizing::new("480615".into()));
        Person { number: number.into(), name: "A. Example".into(), role, pin: PinHash::of(&pin).expect("hashed") }
    }

    #[test]
    fn the_roll_is_signed_when_it_changes_and_each_day_and_who_changed_it_is_on_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = SimulatedClock::starting("2026-12-01T10:00:00Z".parse().expect("a time"));
        let data = folder.path().join("office");
        let add = |by: &str, number: &str| change_people(&data, by, Change::Add(person(number, Role::Crew)), &*clock);
        assert_eq!(add("Sgt Example", "1").map_err(|fault| fault.kind()), Err(Kind::Missing), "no office yet");
        init(&data, &[], &*clock).expect("made");
        let store = RedbStore::open(&files::store(&data)).expect("opened");
        let mut handed = None;
        assert!(!hand_out(&data, &store, &mut handed, clock.utc()).expect("looked"), "nobody is set up");
        assert_eq!(add(" ", "1").map_err(|fault| fault.kind()), Err(Kind::Usage));
        add("Sgt Example", "1234").expect("added");

        let key = authority::lists_key(&data).expect("a key").verifying();
        let newest = || {
            let info = store.lists().expect("read").into_iter().find(|info| info.list == ROLL).expect("there");
            let piece = store.list_piece(ROLL, info.revision, 0, 0).expect("read").expect("there");
            let bytes = piece.plain().expect("unpacks");
            let roll = Roll::decode(key.open_roll(&bytes).expect("signed")).expect("a roll");
            assert_eq!(roll.revision, info.revision);
            roll
        };
        assert!(hand_out(&data, &store, &mut handed, clock.utc()).expect("signed"));
        let first = newest();
        assert_eq!((first.people.len(), first.expires), (1, Some(clock.utc() + VALID)));
        assert!(!hand_out(&data, &store, &mut handed, clock.utc()).expect("looked"), "nothing has changed");

        add("Sgt Example", "5678").expect("added");
        assert!(hand_out(&data, &store, &mut handed, clock.utc()).expect("signed"));
        assert!(newest().people.len() == 2 && newest().revision > first.revision, "in the same millisecond");
        clock.advance(std::time::Duration::from_secs(86_400));
        assert!(hand_out(&data, &store, &mut handed, clock.utc()).expect("signed"), "a day later");
        assert_eq!(newest().expires, Some(clock.utc() + VALID));

        change_people(&data, "Insp Example", Change::Remove("1234".into()), &*clock).expect("removed");
        assert!(change_people(&data, "Insp Example", Change::Remove("5678".into()), &*clock).is_err(), "the last one");
        let record = people_changes(&data).expect("read");
        let said: Vec<_> = record.iter().map(|change| (change.by.as_str(), change.what.as_str())).collect();
        let by = "Sgt Example";
        assert_eq!(said, [(by, "1234 added as crew"), (by, "5678 added as crew"), ("Insp Example", "1234 removed")]);
        let bytes = std::fs::read(files::people(&data)).expect("there");
        assert!(!bytes.windows(6).any(|window| window == b"480615"), "no PIN is kept");
    }
}
