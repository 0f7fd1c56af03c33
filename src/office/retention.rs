//! How long the office keeps who changed which list: it names vehicles and people, so that it goes when its time is over. The
//! service sees to that, and a command at any time; what was set and what went is on record, and that names no vehicle.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::record::BY_ITSELF;
use super::{changes, files};
use crate::clock::Clock;
use crate::config::LONGEST_H;
use crate::fault::{Fault, Kind, Result};

/// The service looks for what is over so often.
const LOOK: TimeDelta = TimeDelta::hours(1);

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// Who changed which list and why, hours.
    pub keep_changes_h: u32,
}

impl Default for Retention {
    fn default() -> Self {
        // Two years, as a car keeps who did what.
        Self { keep_changes_h: 17_520 }
    }
}

/// Something that was set or went, on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionChange {
    /// When.
    pub utc: DateTime<Utc>,
    /// Who wanted it; "the office" where its time was over.
    pub by: String,
    /// Why.
    pub why: String,
    /// What was done: "12 changes of lists from before 2026-01-01 00:00 UTC deleted".
    pub what: String,
}

/// How long the office in `data` keeps things.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn retention(data: &Path) -> Result<Retention> {
    let path = files::retention(data);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Retention::default()),
        Err(error) => return Err(Fault::io("cannot read how long things are kept", &path, error)),
    };
    let damaged = |why: String| {
        Fault::new(Kind::Damaged, "cannot read how long things are kept")
            .at(path.display())
            .because(why)
            .remedy("Set it again with outrider-office retention; until then nothing is deleted")
    };
    let retention: Retention = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    retention.check().map_err(damaged)?;
    Ok(retention)
}

impl Retention {
    /// Why it is no time to keep anything for, if so.
    fn check(self) -> Result<(), String> {
        match self.keep_changes_h {
            1..=LONGEST_H => Ok(()),
            hours => Err(format!("keep_changes_h is {hours}, must be 1 to {LONGEST_H} hours (ten years)")),
        }
    }
}

/// What was set and what went in the office in `data`, oldest first.
///
/// # Errors
/// The record cannot be read or is damaged.
pub fn retention_changes(data: &Path) -> Result<Vec<RetentionChange>> {
    files::lines(&files::retention_changes(data), "the record of what was deleted")
}

/// Sets how long the office in `data` keeps things from now on, and deletes what is over then. Gives how many changes of lists
/// went.
///
/// # Errors
/// Nobody says who and why; it is no time to keep anything for; there is no office; or its folder cannot be written.
pub fn set_retention(data: &Path, wanted: Retention, by: &str, why: &str, clock: &dyn Clock) -> Result<u64> {
    said(data, by, why)?;
    wanted.check().map_err(|why| Fault::new(Kind::Usage, "things cannot be kept so").because(why))?;
    let hours = wanted.keep_changes_h;
    let utc = clock.utc();
    let json = serde_json::to_vec(&wanted)
        .map_err(|error| Fault::new(Kind::Internal, "cannot write how long things are kept").because(error))?;
    note(data, utc, by, why, format!("changes of lists are kept for {hours} hours"))?;
    files::replace(&files::retention(data), &json)?;
    purge_at(data, by, why, utc)
}

/// Deletes what is over now. Gives how many changes of lists went.
///
/// # Errors
/// Nobody says who and why; there is no office; or its folder cannot be written.
pub fn purge(data: &Path, by: &str, why: &str, clock: &dyn Clock) -> Result<u64> {
    said(data, by, why)?;
    purge_at(data, by, why, clock.utc())
}

fn said(data: &Path, by: &str, why: &str) -> Result<()> {
    if by.trim().is_empty() || why.trim().is_empty() {
        return Err(Fault::new(Kind::Usage, "it is not said who wants it, or why")
            .remedy("Say it with --by and --why: both go on record"));
    }
    if !files::authority(data).exists() {
        return Err(Fault::new(Kind::Missing, "there is no office here")
            .at(data.display())
            .remedy("Make one with outrider-office init"));
    }
    Ok(())
}

fn purge_at(data: &Path, by: &str, why: &str, utc: DateTime<Utc>) -> Result<u64> {
    let before = utc - TimeDelta::hours(retention(data)?.keep_changes_h.into());
    changes::forget(data, before, |count| {
        let when = before.format("%Y-%m-%d %H:%M UTC");
        note(data, utc, by, why, format!("{count} changes of lists from before {when} deleted"))
    })
}

fn note(data: &Path, utc: DateTime<Utc>, by: &str, why: &str, what: String) -> Result<()> {
    let change = RetentionChange { utc, by: by.trim().to_owned(), why: why.trim().to_owned(), what };
    let line = serde_json::to_string(&change)
        .map_err(|error| Fault::new(Kind::Internal, "cannot write what was deleted").because(error))?;
    files::append(&files::retention_changes(data), &line)
}

/// When the service last looked, and what held then.
pub(crate) type Looked = Option<(DateTime<Utc>, Retention)>;

/// Deletes what is over: at the service's start, every hour, and when something else was set. Blocks on the disk.
pub(crate) fn keep_to(data: &Path, looked: &mut Looked, utc: DateTime<Utc>) -> Result<()> {
    let retention = retention(data)?;
    if looked.is_some_and(|(at, held)| held == retention && (utc - at).abs() < LOOK) {
        return Ok(());
    }
    // What fails is tried again in an hour, and said now.
    *looked = Some((utc, retention));
    let gone = purge_at(data, BY_ITSELF, "its time was over", utc)?;
    if gone > 0 {
        tracing::info!(gone, "changes of lists are deleted: their time is over");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::SimulatedClock;
    use crate::office::{ListChange, init};

    const HOUR: Duration = Duration::from_secs(3600);

    struct Desk {
        folder: tempfile::TempDir,
        clock: std::sync::Arc<SimulatedClock>,
    }

    impl Desk {
        fn new() -> Self {
            let clock = SimulatedClock::starting("2026-12-01T10:00:00Z".parse().expect("a time"));
            let desk = Self { folder: tempfile::tempdir().expect("a folder"), clock };
            init(desk.data(), &[], &*desk.clock).expect("made");
            desk
        }

        fn data(&self) -> &Path {
            self.folder.path()
        }

        fn change(&self, revision: u64) {
            let change = ListChange {
                utc: self.clock.utc(),
                list: "pnc".into(),
                revision,
                by: "Sgt Example".into(),
                why: "recovered".into(),
                whole: false,
                set: Vec::new(),
                removed: vec![format!("AB{revision:02}CDE")],
            };
            changes::note(self.data(), &change).expect("noted");
        }

        fn revisions(&self) -> Vec<u64> {
            changes::changes(self.data()).expect("read").iter().map(|change| change.revision).collect()
        }

        fn record(&self) -> Vec<(String, String)> {
            let record = retention_changes(self.data()).expect("read");
            record.into_iter().map(|line| (line.by, line.what)).collect()
        }
    }

    #[test]
    fn changes_go_when_their_time_is_over_and_that_is_on_record() {
        let desk = Desk::new();
        let mut looked = None;
        let mut look = || keep_to(desk.data(), &mut looked, desk.clock.utc()).expect("looked");
        look();
        assert_eq!(desk.record(), [], "nothing went");
        desk.change(1);
        desk.clock.advance(HOUR);
        desk.change(2);
        let two_years = HOUR * (Retention::default().keep_changes_h - 1);
        desk.clock.advance(two_years);
        look();
        assert_eq!(desk.revisions(), [1, 2], "two years are not over");
        desk.clock.advance(Duration::from_secs(60));
        look();
        assert_eq!(desk.revisions(), [1, 2], "it has looked within the hour");
        desk.clock.advance(HOUR - Duration::from_secs(61));
        look();
        assert_eq!(desk.revisions(), [1, 2]);
        desk.clock.advance(Duration::from_secs(1));
        look();
        assert_eq!(desk.revisions(), [2]);
        let record = desk.record();
        let before = "1 changes of lists from before 2026-12-01 11:00 UTC deleted".to_owned();
        assert_eq!(record, [("the office".to_owned(), before)]);
        let bytes = std::fs::read_to_string(files::changes(desk.data())).expect("read")
            + &std::fs::read_to_string(files::retention_changes(desk.data())).expect("read");
        assert!(!bytes.contains("AB01CDE") && bytes.contains("AB02CDE"), "{bytes}");
    }

    #[test]
    fn a_force_sets_its_own_time_and_a_running_service_keeps_to_it() {
        let desk = Desk::new();
        let mut looked = None;
        keep_to(desk.data(), &mut looked, desk.clock.utc()).expect("looked");
        desk.change(1);
        desk.clock.advance(HOUR * 30);
        desk.change(2);
        let set =
            |hours, by, why| set_retention(desk.data(), Retention { keep_changes_h: hours }, by, why, &*desk.clock);
        for (hours, by, why) in [(24, "", "policy"), (24, "Insp Example", " "), (0, "a", "b"), (u32::MAX, "a", "b")] {
            assert_eq!(set(hours, by, why).map_err(|fault| fault.kind()), Err(Kind::Usage), "{hours} {by:?} {why:?}");
        }
        assert_eq!((retention(desk.data()).expect("read"), desk.record()), (Retention::default(), Vec::new()));
        assert_eq!(set(24, "Insp Example", "policy 4.2").expect("set"), 1);
        assert_eq!((desk.revisions(), desk.record().len()), (vec![2], 2));
        // Set by a command, kept to by the service within the same hour.
        desk.clock.advance(HOUR / 2);
        keep_to(desk.data(), &mut looked, desk.clock.utc()).expect("looked");
        assert_eq!(desk.revisions(), [2]);
        desk.clock.advance(HOUR * 7 / 10);
        keep_to(desk.data(), &mut looked, desk.clock.utc()).expect("looked");
        std::fs::write(files::retention(desk.data()), "{\"keep_changes_h\":1}").expect("written");
        keep_to(desk.data(), &mut looked, desk.clock.utc()).expect("looked");
        assert_eq!(desk.revisions(), [0; 0]);

        // Where it cannot be known what holds, nothing goes.
        desk.change(3);
        desk.clock.advance(HOUR * 100);
        for damaged in ["{", "{\"keep_changes_h\":0}"] {
            std::fs::write(files::retention(desk.data()), damaged).expect("written");
            assert!(keep_to(desk.data(), &mut looked, desk.clock.utc()).is_err());
        }
        assert_eq!(purge(desk.data(), "a", "b", &*desk.clock).map_err(|fault| fault.kind()), Err(Kind::Damaged));
        assert_eq!(desk.revisions(), [3]);
        set(24, "Insp Example", "policy 4.2").expect("set");
        assert_eq!((desk.revisions().len(), purge(desk.data(), "a", "b", &*desk.clock).expect("looked")), (0, 0));
        // A line that cannot be read is no reason to drop it, and goes with no other.
        desk.change(4);
        files::append(&files::changes(desk.data()), "not a change").expect("written");
        desk.clock.advance(HOUR * 100);
        assert!(purge(desk.data(), "a", "b", &*desk.clock).is_err_and(|fault| fault.kind() == Kind::Damaged));
        assert_eq!(std::fs::read_to_string(files::changes(desk.data())).expect("read").lines().count(), 2);
    }

    #[test]
    fn a_change_that_comes_while_others_go_is_kept() {
        let desk = Desk::new();
        let old = desk.clock.utc() - TimeDelta::days(1000);
        std::thread::scope(|scope| {
            let noting = scope.spawn(|| (0..200).for_each(|revision| desk.change(revision)));
            while !noting.is_finished() {
                changes::forget(desk.data(), old, |_| Ok(())).expect("looked");
                let new = ListChange { utc: old - TimeDelta::days(1), ..line(1000) };
                changes::note(desk.data(), &new).expect("noted");
            }
        });
        changes::forget(desk.data(), old, |_| Ok(())).expect("looked");
        assert_eq!(desk.revisions(), (0..200).collect::<Vec<_>>());
    }

    fn line(revision: u64) -> ListChange {
        ListChange {
            utc: DateTime::UNIX_EPOCH,
            list: "pnc".into(),
            revision,
            by: String::new(),
            why: String::new(),
            whole: true,
            set: Vec::new(),
            removed: Vec::new(),
        }
    }
}
