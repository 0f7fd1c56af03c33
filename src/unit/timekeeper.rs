//! Watches the clocks: the system's, which may never have been set, and the satellites'. What happens to them is on record, so
//! that times can be corrected later, and on the status strip.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::alert::ago;
use crate::clock::{self, Clock, Moment};
use crate::screen::StatusItem;
use crate::tag::Told;

/// How often the clocks are noted when nothing happens to them.
const NOTE_EVERY: Duration = Duration::from_secs(600);
/// The system's clock is set where it moves by more than this between two looks; a service that trims it moves it by less.
const SET: TimeDelta = TimeDelta::seconds(1);
/// Between the two clocks no more than this may pass for a look to say anything of them.
const AT_ONCE: Duration = Duration::from_millis(100);
/// How long a jump is shown.
const SHOWN: Duration = Duration::from_secs(600);
/// The name on the strip.
pub(super) const NAME: &str = "Clock";

/// How the clocks stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) at: Moment,
    pub(super) system: DateTime<Utc>,
    pub(super) told: Option<Told>,
}

#[derive(Default)]
pub(super) struct Timekeeper {
    last: Option<Reading>,
    noted: Option<Moment>,
    /// The last jump: when, and what jumped by how much.
    jumped: Option<(Moment, String)>,
}

impl Timekeeper {
    /// Looks at the clocks; gives what is to be on record, if anything is.
    pub(super) fn look(&mut self, clock: &dyn Clock, told: impl Fn(Moment) -> Option<Told>) -> Option<Reading> {
        let at = clock.now();
        let system = clock.utc();
        if clock.now().since(at) > AT_ONCE {
            return None;
        }
        let reading = Reading { at, system, told: told(at) };
        let last = self.last.replace(reading);
        let happened = match last {
            None => true,
            Some(last) => self.compare(last, reading),
        };
        let due = self.noted.is_none_or(|noted| at.since(noted) >= NOTE_EVERY);
        if !happened && !due {
            return None;
        }
        self.noted = Some(at);
        Some(reading)
    }

    /// Whether something happened to the clocks from `last` to `now`.
    fn compare(&mut self, last: Reading, now: Reading) -> bool {
        let passed = TimeDelta::from_std(now.at.since(last.at)).unwrap_or_default();
        let moved = now.system - last.system - passed;
        if moved.abs() > SET {
            self.jumped = Some((now.at, format!("the system's clock was set by {}", by(moved))));
        }
        if let (Some(before), Some(told)) = (last.told, now.told)
            && before.jumps != told.jumps
        {
            let moved = told.utc - before.utc - passed;
            self.jumped = Some((now.at, format!("the receiver's time moved by {}", by(moved))));
        }
        let known = |reading: Reading| reading.told.map(|told| (told.weeks_added, told.jumps));
        moved.abs() > SET || known(last) != known(now)
    }

    /// How time is known.
    pub(super) fn status(&self, now: Moment) -> StatusItem {
        let Some(Reading { system, told, .. }) = self.last else { return StatusItem::ok(NAME, "starting", "") };
        let jumped = self.jumped.as_ref().filter(|(at, _)| now.since(*at) < SHOWN);
        match (told, jumped) {
            (Some(Told { weeks_added, .. }), _) if weeks_added != 0 => StatusItem::fault(
                NAME,
                "weeks off",
                format!(
                    "the receiver's count of weeks has rolled over, its date is {} weeks off: reads are kept, marked, and \
                     corrected when they are exported. Update or replace the receiver",
                    weeks_added.abs()
                ),
            ),
            (_, Some((at, what))) => StatusItem::warn(
                NAME,
                "jumped",
                format!("{what} {} ago: times from before are corrected when they are exported", ago(now.since(*at))),
            ),
            (Some(told), None) => {
                StatusItem::ok(NAME, "satellites", format!("to {:.1} s", told.uncertainty.as_secs_f64()))
            }
            (None, None) if !clock::plausible(system) => StatusItem::warn(
                NAME,
                "not set",
                "nothing has told the time yet: reads are kept, marked, and corrected once it is known. Check the computer's \
                 battery and the receiver",
            ),
            (None, None) => StatusItem::ok(NAME, "system", "no satellite tells the time"),
        }
    }
}

/// A jump in words.
fn by(moved: TimeDelta) -> String {
    let direction = if moved < TimeDelta::zero() { "back" } else { "ahead" };
    match moved.abs().num_seconds() {
        seconds @ ..=120 => format!("{seconds} s {direction}"),
        seconds @ ..=172_800 => format!("{} min {direction}", seconds / 60),
        seconds => format!("{} days {direction}", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::clock::SimulatedClock;
    use crate::screen::State;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    /// Clocks that are looked at once a second; each line is a second's events and what is said after it.
    struct Bench {
        clock: std::sync::Arc<SimulatedClock>,
        keeper: Timekeeper,
        told: Cell<Option<(DateTime<Utc>, i64, u32)>>,
    }

    impl Bench {
        fn second(&mut self) -> (bool, String) {
            self.clock.advance(Duration::from_secs(1));
            let told =
                self.told.get().map(|(utc, weeks_added, jumps)| (utc + TimeDelta::seconds(1), weeks_added, jumps));
            self.told.set(told);
            let told = |_| {
                let (utc, weeks_added, jumps) = told?;
                Some(Told { utc, uncertainty: Duration::from_secs(1), weeks_added, jumps })
            };
            let noted = self.keeper.look(&*self.clock, told).is_some();
            let item = self.keeper.status(self.clock.now());
            assert_eq!(item.state == State::Ok, matches!(&*item.word, "satellites" | "system"), "{item:?}");
            (noted, item.word)
        }

        fn seconds(&mut self, n: usize) -> Vec<(bool, String)> {
            (0..n).map(|_| self.second()).collect()
        }
    }

    fn bench(start: &str) -> Bench {
        Bench { clock: SimulatedClock::starting(utc(start)), keeper: Timekeeper::default(), told: Cell::new(None) }
    }

    #[test]
    fn a_car_without_a_battery_clock_says_so_until_satellites_tell_the_time() {
        let mut bench = bench("1970-01-01T00:00:00Z");
        assert_eq!(bench.second(), (true, "not set".into()));
        assert!(bench.seconds(599).iter().all(|(noted, word)| !noted && word == "not set"));
        assert!(bench.second().0, "noted from time to time");
        bench.told.set(Some((utc("2026-12-01T10:00:00Z"), 0, 0)));
        assert_eq!(bench.second(), (true, "satellites".into()));
        assert_eq!(bench.second(), (false, "satellites".into()));
        bench.told.set(None);
        assert_eq!(bench.second(), (true, "not set".into()));
    }

    #[test]
    fn a_jump_of_either_clock_is_noted_once_and_shown_for_a_while() {
        let mut bench = bench("2026-12-01T09:00:00Z");
        assert_eq!(bench.second(), (true, "system".into()));
        bench.clock.jump_to(utc("2026-12-01T10:00:00Z"));
        assert_eq!(bench.second(), (true, "jumped".into()));
        assert!(
            bench.keeper.status(bench.clock.now()).detail.starts_with("the system's clock was set by 59 min ahead")
        );
        assert_eq!(bench.second(), (false, "jumped".into()));
        assert_eq!(bench.seconds(599).last().map(|(_, word)| word.clone()), Some("system".into()));
        bench.told.set(Some((utc("2026-12-01T10:20:00Z"), 0, 0)));
        bench.seconds(2);
        bench.told.set(Some((utc("2026-12-01T10:21:00Z"), 0, 1)));
        assert_eq!(bench.second(), (true, "jumped".into()));
        assert!(bench.keeper.status(bench.clock.now()).detail.contains("the receiver's time moved by 58 s ahead"));
    }

    #[test]
    fn a_receiver_whose_weeks_have_rolled_over_is_a_fault() {
        let mut bench = bench("2026-12-01T09:00:00Z");
        bench.told.set(Some((utc("2026-12-01T10:00:00Z"), 1024, 0)));
        assert_eq!(bench.second(), (true, "weeks off".into()));
        assert_eq!(bench.keeper.status(bench.clock.now()).state, State::Fault);
    }
}
