//! Settings of the cars: kept here, signed, and handed down like a list, to each car those that are for it.
//!
//! The file changes only by [`set_settings`]; the running service sees that it did. In the store the settings for all cars lie
//! as "+settings", those of a single unit as "+settings/UNIT"; to a car both are "+settings".

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::authority;
use super::files;
use super::session::{ListInfo, StoredPiece, Wanted};
use super::store::Store;
use crate::clock::Clock;
use crate::fault::{Fault, Kind, Result};
use crate::hotlist::SigningKey;
use crate::settings::{Handed, SETTINGS, Sheet};

/// Settings as they were set once: the newest count, the others are on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsChange {
    /// Which revision they are.
    pub revision: u64,
    /// When.
    pub utc: DateTime<Utc>,
    /// Who wanted it.
    pub by: String,
    /// Why.
    pub why: String,
    /// What was set, as it was written; empty: everything was taken back.
    pub text: String,
}

impl SettingsChange {
    /// What is set.
    ///
    /// # Errors
    /// The text is none that this program takes.
    pub fn sheet(&self) -> Result<Sheet> {
        Sheet::parse(&self.text).map_err(|why| {
            Fault::new(Kind::Damaged, "the settings that were set cannot be used")
                .because(why)
                .remedy("Set them again with outrider-office settings set")
        })
    }
}

/// What is set in the cars of the office in `data`; `None`: nothing ever was.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn settings(data: &Path) -> Result<Option<SettingsChange>> {
    let path = files::settings(data);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::io("cannot read the settings", &path, error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Fault::new(Kind::Damaged, "cannot read the settings")
            .at(path.display())
            .because(error)
            .remedy("Set them again with outrider-office settings set, or bring the file back from a backup")
    })
}

/// Sets `text` in place of what was set before, for `by`. The service, running or not yet, hands it to the cars.
///
/// # Errors
/// Nobody says who wants it or why; a line of the text cannot be used; there is no office; or the file cannot be written.
/// Nothing is changed then.
pub fn set_settings(data: &Path, text: &str, by: &str, why: &str, clock: &dyn Clock) -> Result<SettingsChange> {
    for (said, option) in [(by, "--by"), (why, "--why")] {
        if said.trim().is_empty() {
            return Err(Fault::new(Kind::Usage, "it is not said who sets this, and why")
                .remedy(format!("Say it with {option}: it goes on record")));
        }
    }
    Sheet::parse(text).map_err(|why| {
        Fault::new(Kind::Config, "these settings cannot be used, nothing was changed")
            .because(why)
            .remedy("See what can be set with: outrider-office settings keys")
    })?;
    if !files::authority(data).exists() {
        return Err(Fault::new(Kind::Missing, "there is no office here")
            .at(data.display())
            .remedy("Make one with outrider-office init"));
    }
    // Two commands at once must not undo each other.
    let held = data.join("settings.lock");
    let lock = File::create(&held).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|error| Fault::io("cannot change the settings", &held, error))?;
    // A file that is damaged is to be replaced, and the time is later than whatever revision it had.
    let before = settings(data).ok().flatten().map_or(0, |before| before.revision);
    let utc = clock.utc();
    // Revisions only have to grow; the time in milliseconds does, also past a backup that was brought back.
    let revision = u64::try_from(utc.timestamp_millis()).unwrap_or(1).max(before + 1);
    let (by, why, text) = (by.to_owned(), why.to_owned(), text.to_owned());
    let change = SettingsChange { revision, utc, by, why, text };
    let json = serde_json::to_string(&change)
        .map_err(|error| Fault::new(Kind::Internal, "cannot write the settings").because(error))?;
    // On record first: a change that nobody answers for is worse than one that is told twice.
    files::append(&files::settings_changes(data), &json)?;
    files::replace(&files::settings(data), json.as_bytes())?;
    Ok(change)
}

/// Everything that was set in the cars of the office in `data`, oldest first.
///
/// # Errors
/// The record cannot be read or is damaged.
pub fn settings_changes(data: &Path) -> Result<Vec<SettingsChange>> {
    files::lines(&files::settings_changes(data), "the record of who set what")
}

/// Signs what was set and puts it where cars are offered it, if that was not done. Says whether it did.
pub(crate) fn hand_out(data: &Path, store: &dyn Store, handed: &mut Option<u64>) -> Result<bool> {
    let Some(change) = settings(data)? else { return Ok(false) };
    if *handed == Some(change.revision) {
        return Ok(false);
    }
    let held = store.lists()?.into_iter().find(|info| info.list == SETTINGS).map_or(0, |info| info.revision);
    let is_new = change.revision > held;
    if is_new {
        sign(&change, &authority::lists_key(data)?, store)?;
        tracing::info!(revision = change.revision, "settings are handed out");
    }
    *handed = Some(change.revision);
    Ok(is_new)
}

/// Those of single units first: a service that ends in between has handed out nothing to whom it is not for.
fn sign(change: &SettingsChange, key: &SigningKey, store: &dyn Store) -> Result<()> {
    let sheet = change.sheet()?;
    for unit in sheet.units.keys().map(String::as_str).chain([""]) {
        let values = sheet.of_unit(unit);
        let (revision, made, unknown) = (change.revision, change.utc, Vec::new());
        let handed = Handed { revision, made, unit: unit.to_owned(), values, unknown };
        store.put_list(&stored_as(unit), revision, &mut &key.sign_settings(&handed.encode())[..])?;
    }
    Ok(())
}

/// The name in the store of the settings of a unit; of all where it has none.
fn stored_as(unit: &str) -> String {
    if unit.is_empty() { SETTINGS.to_owned() } else { format!("{SETTINGS}/{unit}") }
}

/// The unit whose settings lie in the store under this name; empty: those of all. `None`: it is something else.
fn unit_of(list: &str) -> Option<&str> {
    let rest = list.strip_prefix(SETTINGS)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

/// What there is for this unit: all lists, and of settings the newest that are its own or for all.
pub(crate) fn of_unit<'l>(lists: &'l [ListInfo], unit: &str) -> Cow<'l, [ListInfo]> {
    if !lists.iter().any(|info| unit_of(&info.list).is_some()) {
        return Cow::Borrowed(lists);
    }
    // Of the same revision its own, which has what is for all in it.
    let its = |info: &&ListInfo| unit_of(&info.list).is_some_and(|of| of.is_empty() || of == unit);
    let newest = lists.iter().filter(its).max_by_key(|info| (info.revision, info.list.len()));
    let others = lists.iter().filter(|info| unit_of(&info.list).is_none()).cloned();
    others.chain(newest.map(|info| ListInfo { list: SETTINGS.to_owned(), ..info.clone() })).collect()
}

/// A piece of what a car of this unit wants.
pub(crate) fn piece(store: &dyn Store, unit: &str, wanted: &Wanted) -> Result<Option<StoredPiece>> {
    let of = |list: &str| store.list_piece(list, wanted.revision, wanted.base, wanted.offset);
    if wanted.list != SETTINGS {
        return of(&wanted.list);
    }
    match of(&stored_as(unit))? {
        Some(piece) => Ok(Some(piece)),
        None => of(SETTINGS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimulatedClock;
    use crate::office::{RedbStore, init};
    use crate::sync::wire::Lane;

    const FIRST: &str = "[cars]\nlongest_shift_h = 10\n[units.EX-01]\ndrill_days = 7\n";

    #[test]
    fn what_is_set_is_signed_for_whom_it_is_once_and_who_set_it_is_on_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = SimulatedClock::starting("2026-12-01T10:00:00Z".parse().expect("a time"));
        let data = folder.path().join("office");
        let set = |text: &str, by: &str, why: &str| set_settings(&data, text, by, why, &*clock);
        assert_eq!(set("", "Sgt Example", "x").map_err(|fault| fault.kind()), Err(Kind::Missing), "no office yet");
        init(&data, &[], &*clock).expect("made");
        for (text, by, why, kind) in [
            (FIRST, " ", "x", Kind::Usage),
            (FIRST, "x", "", Kind::Usage),
            ("[cars]\nkeep_hits_h = 1\n", "x", "x", Kind::Config),
            ("[cars]\nlongest_shift_h = 99\n", "x", "x", Kind::Config),
        ] {
            assert_eq!(set(text, by, why).map_err(|fault| fault.kind()), Err(kind));
        }
        assert!(!files::settings(&data).exists() && settings_changes(&data).expect("none").is_empty());

        let store = RedbStore::open(&files::store(&data)).expect("opened");
        let key = authority::lists_key(&data).expect("a key").verifying();
        let for_unit = |unit: &str| {
            let lists = store.lists().expect("read");
            let its = of_unit(&lists, unit).into_owned();
            let info = its.iter().find(|info| info.list == SETTINGS)?;
            assert_eq!(its.iter().filter(|info| info.list.starts_with(SETTINGS)).count(), 1, "no other unit's");
            let (list, revision) = (info.list.clone(), info.revision);
            let wanted = Wanted { list, revision, base: 0, offset: 0, lane: Lane::Urgent };
            let signed = piece(&store, unit, &wanted).expect("read").expect("there").plain().expect("unpacks");
            let handed = Handed::decode(key.open_settings(&signed).expect("signed")).expect("settings");
            assert!(handed.is_for(unit) && handed.revision == info.revision);
            Some(handed)
        };
        let mut handed = None;
        assert!(!hand_out(&data, &store, &mut handed).expect("looked"), "nothing is set");
        assert_eq!(for_unit("EX-01"), None);
        set(FIRST, "Sgt Example", "shorter nights").expect("set");
        assert!(hand_out(&data, &store, &mut handed).expect("signed"));
        assert!(!hand_out(&data, &store, &mut handed).expect("looked"), "nothing has changed");
        assert!(!hand_out(&data, &store, &mut None).expect("looked"), "nor for a service that starts again");
        let words = |unit: &str| for_unit(unit).expect("there").values.words();
        assert_eq!(
            (words("EX-01").as_str(), words("EX-02").as_str()),
            ("longest_shift_h 10, drill_days 7", "longest_shift_h 10")
        );
        let first = for_unit("EX-01").expect("there").revision;

        // EX-01 has none of its own any more: what is for all is newer.
        set("[cars]\nlongest_shift_h = 9\n", "Insp Example", "all alike").expect("set, in the same millisecond");
        assert!(hand_out(&data, &store, &mut handed).expect("signed"));
        assert_eq!(words("EX-01"), "longest_shift_h 9");
        assert!(for_unit("EX-01").expect("there").revision > first);
        // An empty file takes everything back.
        set("", "Insp Example", "as before").expect("set");
        assert!(hand_out(&data, &store, &mut handed).expect("signed"));
        assert_eq!(words("EX-01"), "nothing");

        let record = settings_changes(&data).expect("read");
        let said: Vec<_> = record.iter().map(|change| (change.by.as_str(), change.why.as_str())).collect();
        let inspector = "Insp Example";
        assert_eq!(said, [("Sgt Example", "shorter nights"), (inspector, "all alike"), (inspector, "as before")]);
        assert_eq!((record[0].text.as_str(), settings(&data).expect("read").as_ref()), (FIRST, record.last()));
    }

    #[test]
    fn a_service_that_ends_while_it_hands_out_leaves_no_unit_with_what_is_not_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = RedbStore::open(&folder.path().join("office.redb")).expect("opened");
        let key = SigningKey::from_bytes(&SigningKey::generate().expect("made")).expect("a key");
        let change = |revision, text: &str| SettingsChange {
            revision,
            utc: DateTime::UNIX_EPOCH,
            by: String::new(),
            why: String::new(),
            text: text.into(),
        };
        sign(&change(7, "[cars]\ndrill_days = 7\n"), &key, &store).expect("signed");
        let revision = |unit: &str| {
            let lists = store.lists().expect("read");
            of_unit(&lists, unit).iter().find(|info| info.list == SETTINGS).map(|info| info.revision)
        };
        // As far as its own, and no further.
        let own = Handed { revision: 8, unit: "EX-01".into(), ..Handed::default() };
        store.put_list(&stored_as("EX-01"), 8, &mut &key.sign_settings(&own.encode())[..]).expect("stored");
        assert_eq!((revision("EX-01"), revision("EX-02")), (Some(8), Some(7)));
        sign(&change(8, FIRST), &key, &store).expect("signed again by the next one");
        assert_eq!((revision("EX-01"), revision("EX-02"), revision("")), (Some(8), Some(8), Some(8)));
    }
}
