//! What the service knows of its fleet: kept in memory while it runs, and written to a file for everybody else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::files;
use super::store::UnitCounts;
use crate::clock::RealClock;
use crate::fault::{Fault, Kind, Result};
use crate::sync::{Health, Position, Present};

/// The office at a glance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fleet {
    /// Whether the service was running when this was written.
    pub serving: bool,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// When this was written.
    pub written: Option<DateTime<Utc>>,
    /// The lists it offers, with their revisions.
    pub lists: BTreeMap<String, u64>,
    /// Connections that were refused since the service started.
    pub refused: u64,
    /// Why nothing can be stored, if so.
    pub store_fault: Option<String>,
    /// Every unit that ever sent something or was connected since the service started.
    pub units: BTreeMap<String, UnitStatus>,
}

/// One unit at a glance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitStatus {
    /// Whether it is connected.
    pub connected: bool,
    /// Since when it is, or was last, connected or not.
    pub since: Option<DateTime<Utc>>,
    /// Its program and version.
    pub program: String,
    /// The lists it holds, with their revisions.
    pub lists: BTreeMap<String, u64>,
    /// What of it is stored.
    pub stored: UnitCounts,
    /// Where it last said it was, for as long as that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Live<Position>>,
    /// What last worked in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Live<Health>>,
}

/// What a unit said of itself, and when that came here. Only the newest is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live<T> {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub said: T,
}

/// How long the office keeps where a unit was: it says where people are, and is of use only while it is news.
pub const POSITIONS_KEPT: TimeDelta = TimeDelta::minutes(10);

impl Fleet {
    /// Forgets positions that are older than [`POSITIONS_KEPT`], or of a time that has not come; says whether there was one.
    fn forget_positions(&mut self, now: DateTime<Utc>) -> bool {
        let mut forgotten = false;
        for unit in self.units.values_mut() {
            let is_old = |live: &mut Live<Position>| (now - live.at).abs() > POSITIONS_KEPT;
            forgotten |= unit.position.take_if(is_old).is_some();
        }
        forgotten
    }
}

/// What the office in `data` last knew; works while it is serving, and after.
pub fn fleet(data: &Path) -> Result<Fleet> {
    let path = files::status(data);
    let bytes = std::fs::read(&path).map_err(|error| {
        Fault::io("cannot read the office's status", &path, error)
            .remedy("Start the service once with outrider-office serve")
    })?;
    let mut fleet: Fleet = serde_json::from_slice(&bytes).map_err(|error| {
        Fault::new(Kind::Damaged, "the office's status cannot be read")
            .at(path.display())
            .because(error)
            .remedy("The running service writes it anew within a second")
    })?;
    // A service that was killed has forgotten nothing.
    fleet.forget_positions(RealClock::shared().utc());
    Ok(fleet)
}

/// The service's own copy.
#[derive(Debug, Default)]
pub(crate) struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    fleet: Fleet,
    dirty: bool,
    /// The store's counts have changed since they were read.
    counts_stale: bool,
    /// How often each thing happened since it was last logged, and when that was.
    logged: BTreeMap<String, (u64, DateTime<Utc>)>,
}

impl Inner {
    /// What happens every second, for days, is a line a minute.
    fn log(&mut self, what: &str, utc: DateTime<Utc>) {
        let what = if self.logged.len() < LOGGED || self.logged.contains_key(what) { what } else { "other trouble" };
        let (times, last) = self.logged.entry(what.to_owned()).or_insert((0, DateTime::UNIX_EPOCH));
        *times += 1;
        if (utc - *last).num_seconds().abs() >= LOG_PAUSE {
            tracing::warn!(times = *times, "{what}");
            (*times, *last) = (0, utc);
        }
    }
}

/// The same thing is logged again, with a count, after so many seconds.
const LOG_PAUSE: i64 = 60;
/// Different things remembered; a stranger must not be able to fill the memory.
const LOGGED: usize = 64;

impl Board {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn serving(&self, address: Option<SocketAddr>) {
        let mut inner = self.lock();
        inner.fleet.serving = address.is_some();
        inner.fleet.address = address;
        if address.is_none() {
            for unit in inner.fleet.units.values_mut() {
                // Nobody will be there to forget it later.
                (unit.connected, unit.position) = (false, None);
            }
        }
        inner.dirty = true;
        inner.counts_stale = true;
    }

    pub(crate) fn unit(&self, unit: &str, change: impl FnOnce(&mut UnitStatus)) {
        let mut inner = self.lock();
        change(inner.fleet.units.entry(unit.to_owned()).or_default());
        inner.dirty = true;
    }

    /// A unit has said how it is.
    pub(crate) fn present(&self, unit: &str, present: Present, at: DateTime<Utc>) {
        self.unit(unit, |status| {
            status.position = present.position.map(|said| Live { at, said }).or(status.position.take());
            status.health = present.health.map(|said| Live { at, said }).or(status.health.take());
        });
    }

    /// Forgets positions that are no news any more.
    pub(crate) fn forget_positions(&self, now: DateTime<Utc>) {
        let mut inner = self.lock();
        let forgotten = inner.fleet.forget_positions(now);
        inner.dirty |= forgotten;
    }

    pub(crate) fn lists(&self, lists: BTreeMap<String, u64>) {
        let mut inner = self.lock();
        inner.dirty |= inner.fleet.lists != lists;
        inner.fleet.lists = lists;
    }

    pub(crate) fn store_changed(&self, fault: Option<&Fault>) {
        let mut inner = self.lock();
        inner.fleet.store_fault = fault.map(ToString::to_string);
        inner.dirty = true;
        inner.counts_stale = true;
    }

    /// Whether the store's counts have to be read again; asking settles it.
    pub(crate) fn take_stale(&self) -> bool {
        std::mem::take(&mut self.lock().counts_stale)
    }

    pub(crate) fn counts(&self, counts: BTreeMap<String, UnitCounts>) {
        let mut inner = self.lock();
        for (unit, counts) in counts {
            inner.fleet.units.entry(unit).or_default().stored = counts;
        }
        inner.dirty = true;
    }

    /// Counts a refused connection, and logs its cause if that was not just done.
    pub(crate) fn refused(&self, cause: &str, utc: DateTime<Utc>) {
        let mut inner = self.lock();
        inner.fleet.refused += 1;
        inner.dirty = true;
        inner.log(&format!("a connection is refused: {cause}"), utc);
    }

    /// Logs the office's own trouble, if that was not just done.
    pub(crate) fn trouble(&self, fault: &Fault, utc: DateTime<Utc>) {
        self.lock().log(&fault.to_string(), utc);
    }

    /// The fleet, if it has changed since it was last taken.
    pub(crate) fn take_changed(&self, utc: DateTime<Utc>) -> Option<Fleet> {
        let mut inner = self.lock();
        std::mem::take(&mut inner.dirty).then(|| {
            inner.fleet.written = Some(utc);
            inner.fleet.clone()
        })
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.lock().fleet.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_forgotten_after_its_time_and_only_the_newest_is_kept() {
        let board = Board::default();
        let at = |minutes: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let present = |lat| Present {
            position: Some(Position { lat, lon: 0.0, speed_mps: None, course: None, age_s: 0.0 }),
            health: Some(Health::default()),
        };
        let seen = || board.lock().fleet.units["EX-01"].position.as_ref().map(|live| live.said.lat);
        board.present("EX-01", present(51.0), at(0));
        board.present("EX-01", present(52.0), at(1));
        // What says nothing of the position leaves it.
        board.present("EX-01", Present { position: None, ..present(0.0) }, at(9));
        board.forget_positions(at(11));
        assert_eq!(seen(), Some(52.0));
        let _ = board.take_changed(at(11));
        board.forget_positions(at(12));
        assert_eq!(seen(), None);
        let written = board.take_changed(at(12)).expect("the file is written anew");
        let json = serde_json::to_string(&written).expect("written");
        assert!(!json.contains("lat") && json.contains("health"), "{json}");
    }
}
