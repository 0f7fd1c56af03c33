//! What time it was, as far as is known by now: reads keep the time that they were stored with, and beside it stands what the
//! marks of the clocks make of it.
//!
//! A read has its capture on the clock that never jumps, and so has every mark. Where satellites told the time before or after
//! the read in the same run, the read's own time follows from it, to within what the satellites' time and the drift since allow.

use std::collections::HashMap;
use std::time::Duration;

use redb::{ReadTransaction, ReadableTable};
use serde_json::{Value, json};

use super::archive::{Archive, EVENTS, Trouble};
use super::record::{StoredClock, StoredEvent, StoredRead, StoredTold, What, utc};
use super::vault::Row;
use crate::clock::plausible;
use crate::tag::drift;

/// Two clocks that move by this within a run, and by the same, have not moved: the one that never jumps stood still. Microseconds.
const STOOD_STILL: i64 = 2_000_000;

/// The marks of all runs.
#[derive(Default)]
pub(super) struct Reckoning(HashMap<u64, Vec<StoredClock>>);

/// When something happened, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reckoned {
    /// Microseconds since 1970.
    utc_us: i64,
    /// By how much it may be off; `None`: nobody knows.
    uncertainty_us: Option<u64>,
    basis: Basis,
}

/// What a time rests on, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Basis {
    Satellites,
    /// The receiver was off by a whole number of weeks, which was added.
    Weeks(i64),
    /// The system's clock, once it had been set.
    System,
}

impl Reckoned {
    /// As it is exported.
    pub(super) fn value(&self) -> Value {
        let basis = match self.basis {
            Basis::Satellites => "satellites".to_owned(),
            Basis::Weeks(weeks) => format!("satellites, {weeks} weeks added"),
            Basis::System => "the system's clock".to_owned(),
        };
        json!({
            "utc": super::export::time(self.utc_us),
            "uncertainty_s": self.uncertainty_us.map(|us| (us as f64 / 1e4).ceil() / 100.0),
            "basis": basis,
        })
    }
}

impl Archive {
    /// The marks that are there.
    pub(super) fn reckoning(&self, transaction: &ReadTransaction) -> Result<Reckoning, Trouble> {
        let mut reckoning = Reckoning::default();
        for row in transaction.open_table(EVENTS)?.iter()? {
            let (sequence, value) = row?;
            let event = self.decoded::<StoredEvent>(Row::Event(sequence.value()), value.value())?;
            if let Some(StoredEvent { run, what: Some(What::Clock(mark)), .. }) = event {
                reckoning.mark(run, mark);
            }
        }
        Ok(reckoning)
    }
}

impl Reckoning {
    fn mark(&mut self, run: u64, mark: StoredClock) {
        self.0.entry(run).or_default().push(mark);
    }

    /// When `read` was captured; `None` where no mark tells, or it was stored before captures were.
    pub(super) fn of(&self, read: &StoredRead) -> Option<Reckoned> {
        let (at, marks) = (i64::try_from(read.captured_us?).ok()?, self.0.get(&read.run)?);
        stretch(marks, at)
            .iter()
            .filter_map(|mark| {
                let (basis, utc_us, uncertain) = told(mark)?;
                let away = at.checked_sub(i64::try_from(mark.at_us).ok()?)?;
                let jumps = mark.told.as_ref().map_or(0, |told| told.jumps);
                // The best that is told; what the receiver said after it had changed its mind; what is nearest.
                let worth = (basis, std::cmp::Reverse(jumps), away.unsigned_abs());
                let drifted = drift(Duration::from_micros(away.unsigned_abs())).as_micros() as u64;
                let utc_us = utc_us.checked_add(away)?;
                Some((
                    worth,
                    Reckoned { utc_us, uncertainty_us: uncertain.map(|us| us.saturating_add(drifted)), basis },
                ))
            })
            .min_by_key(|(worth, _)| *worth)
            .map(|(_, reckoned)| reckoned)
    }
}

/// What a mark tells of UTC; a system's clock that has not been set tells nothing.
fn told(mark: &StoredClock) -> Option<(Basis, i64, Option<u64>)> {
    match &mark.told {
        Some(StoredTold { utc_us, uncertainty_us, weeks_added: 0, .. }) => {
            Some((Basis::Satellites, *utc_us, Some(*uncertainty_us)))
        }
        Some(StoredTold { utc_us, uncertainty_us, weeks_added, .. }) => {
            Some((Basis::Weeks(*weeks_added), *utc_us, Some(*uncertainty_us)))
        }
        None => plausible(utc(mark.system_us)).then_some((Basis::System, mark.system_us, None)),
    }
}

/// The marks of a run between which the clock that never jumps did not stand still, and within which `at` lies: a computer that
/// sleeps stops it, and then both other clocks have moved by the same.
fn stretch(marks: &[StoredClock], at: i64) -> &[StoredClock] {
    let (mut from, mut last): (usize, Option<&StoredClock>) = (0, None);
    for (index, mark) in marks.iter().enumerate() {
        let Some(told) = &mark.told else { continue };
        if let Some(before) = last
            && let Some(told_before) = &before.told
        {
            let passed = mark.at_us.saturating_sub(before.at_us) as i64;
            let moved = |now: i64, then: i64| now.saturating_sub(then).saturating_sub(passed);
            let satellites = moved(told.utc_us, told_before.utc_us);
            let apart = satellites.saturating_sub(moved(mark.system_us, before.system_us));
            if satellites.saturating_abs() > STOOD_STILL && apart.saturating_abs() < STOOD_STILL {
                if at < mark.at_us as i64 {
                    return &marks[from..index];
                }
                from = index;
            }
        }
        last = Some(mark);
    }
    &marks[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    /// 2026-12-01T10:00:00Z.
    const TEN: i64 = 1_796_119_200 * SECOND;

    fn mark(at: i64, system: i64, told: Option<(i64, i64, u32)>) -> StoredClock {
        let told = told.map(|(utc, weeks_added, jumps)| StoredTold {
            utc_us: utc * SECOND + TEN,
            uncertainty_us: 1_000_000,
            weeks_added,
            jumps,
        });
        StoredClock { at_us: (at * SECOND) as u64, system_us: system * SECOND, told }
    }

    /// When a read that was captured at second `at` of the run happened, seconds after ten o'clock.
    fn reckoned(marks: &[StoredClock], at: i64) -> Option<(i64, Option<u64>, Basis)> {
        let reckoning = Reckoning([(7, marks.to_vec())].into());
        let read = StoredRead { run: 7, captured_us: Some((at * SECOND) as u64), ..StoredRead::default() };
        assert_eq!(reckoning.of(&StoredRead { run: 8, ..read.clone() }), None, "another run");
        assert_eq!(reckoning.of(&StoredRead { captured_us: None, ..read.clone() }), None, "an old read");
        reckoning.of(&read).map(|found| ((found.utc_us - TEN) / SECOND, found.uncertainty_us, found.basis))
    }

    #[test]
    fn reads_of_a_car_that_woke_in_1970_get_their_time_once_satellites_have_told_it() {
        let early = [mark(0, 0, None)];
        assert_eq!(reckoned(&early, 20), None);
        let marks = [mark(0, 0, None), mark(60, 60, Some((0, 0, 0))), mark(660, 660, Some((600, 0, 0)))];
        assert_eq!(reckoned(&marks, 20), Some((-40, Some(1_002_000), Basis::Satellites)));
        assert_eq!(reckoned(&marks, 400), Some((340, Some(1_013_000), Basis::Satellites)), "from the nearest mark");
    }

    #[test]
    fn without_satellites_a_system_clock_that_was_set_later_is_better_than_1970() {
        let ten = TEN / SECOND;
        let marks = [mark(0, 0, None), mark(100, ten, None)];
        assert_eq!(reckoned(&marks, 20), Some((-80, None, Basis::System)));
    }

    #[test]
    fn a_receiver_that_is_weeks_off_is_corrected_and_one_that_is_right_later_is_preferred() {
        let mut marks = vec![mark(0, 0, None), mark(60, 60, Some((0, 1024, 0)))];
        assert_eq!(reckoned(&marks, 20), Some((-40, Some(1_002_000), Basis::Weeks(1024))));
        marks.push(mark(900, 900, Some((840, 0, 0))));
        assert_eq!(reckoned(&marks, 20).map(|found| found.2), Some(Basis::Satellites));
        let value = Reckoned { utc_us: TEN, uncertainty_us: Some(1_002_000), basis: Basis::Weeks(1024) }.value();
        assert_eq!(value["basis"], "satellites, 1024 weeks added");
        assert_eq!((&value["utc"], value["uncertainty_s"].as_f64()), (&"2026-12-01T10:00:00.000Z".into(), Some(1.01)));
    }

    #[test]
    fn what_a_receiver_says_after_it_has_changed_its_mind_holds_for_the_whole_run() {
        let marks = [mark(0, 0, Some((0, 0, 0))), mark(100, 100, Some((118, 0, 1)))];
        assert_eq!(reckoned(&marks, 10), Some((28, Some(1_004_500), Basis::Satellites)));
    }

    #[test]
    fn nothing_is_reckoned_across_a_computers_sleep() {
        // An hour passed between second 100 and second 101 of a clock that stood still.
        let marks = [mark(0, 0, Some((0, 0, 0))), mark(101, 3701, Some((3701, 0, 1)))];
        assert_eq!(reckoned(&marks, 50).map(|found| found.0), Some(50));
        assert_eq!(reckoned(&marks, 150).map(|found| found.0), Some(3750));
    }
}
