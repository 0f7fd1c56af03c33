//! UTC as the satellites tell it, mapped onto the unit's monotonic clock.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::{Clock, Moment};

/// A point in the world's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// UTC.
    pub utc: DateTime<Utc>,
    /// Whether satellites told it; if not, it is the system's idea and may be far off.
    pub trusted: bool,
}

/// No satellite tells a time before this code was written. Receivers with a week-rollover fault are 1024 weeks
/// (19.6 years) behind, so the window is narrower than that.
const EARLIEST: i64 = 1_793_491_200; // 2026-11-01
const LATEST: i64 = EARLIEST + 19 * 365 * 86_400;

/// How many epochs are remembered.
const REMEMBERED: usize = 32;

/// How long the mapping outlives the last epoch: a computer's clock drifts by less than 0.1 s in that time.
const HOLDOVER: Duration = Duration::from_secs(30 * 60);

/// Maps moments to UTC by the satellite times that arrived at known moments.
///
/// A sentence always arrives later than the instant it tells, by a delay that varies; the arrival with the
/// least delay is the nearest to the truth. So the mapping is the greatest of the recent differences.
#[derive(Debug, Clone, Default)]
pub struct TrustedTime {
    /// UTC at the clock's start, one for each of the last epochs, and when the epoch arrived.
    origins: VecDeque<(DateTime<Utc>, Moment)>,
    /// How many times were refused because no satellite can mean them.
    pub absurd: u64,
}

impl TrustedTime {
    /// Notes that satellite time `utc` arrived at `now`. An absurd one (a receiver fresh from the factory, a week
    /// rollover) is counted and refused.
    pub fn offer(&mut self, utc: DateTime<Utc>, now: Moment) {
        let origin = (EARLIEST..LATEST)
            .contains(&utc.timestamp())
            .then(|| TimeDelta::from_std(now.since_start()).ok())
            .flatten()
            .and_then(|since| utc.checked_sub_signed(since));
        let Some(origin) = origin else {
            self.absurd += 1;
            return;
        };
        if self.origins.len() == REMEMBERED {
            self.origins.pop_front();
        }
        self.origins.push_back((origin, now));
    }

    /// UTC at `moment` by satellite; `None` before the first epoch and long after the last.
    pub fn at(&self, moment: Moment) -> Option<DateTime<Utc>> {
        let (_, last) = self.origins.back()?;
        if moment.since(*last) > HOLDOVER {
            return None;
        }
        let origin = self.origins.iter().map(|(origin, _)| *origin).max()?;
        origin.checked_add_signed(TimeDelta::from_std(moment.since_start()).ok()?)
    }

    /// UTC at `moment`, by satellite or else by the system's clock.
    pub fn when(&self, moment: Moment, clock: &dyn Clock) -> When {
        match self.at(moment) {
            Some(utc) => When { utc, trusted: true },
            None => system_time(moment, clock),
        }
    }
}

/// UTC at `moment` as far as the system knows.
pub(super) fn system_time(moment: Moment, clock: &dyn Clock) -> When {
    let (now, utc) = (clock.now(), clock.utc());
    let ago = TimeDelta::from_std(now.since(moment)).unwrap_or_default();
    When { utc: utc.checked_sub_signed(ago).unwrap_or(utc), trusted: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimulatedClock;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn after(ms: u64) -> Moment {
        Moment::at(Duration::from_millis(ms))
    }

    #[test]
    fn without_satellites_time_is_the_systems_and_says_so() {
        let clock = SimulatedClock::starting(utc("1970-01-01T00:00:10Z"));
        clock.advance(Duration::from_secs(5));
        let when = TrustedTime::default().when(after(3000), &*clock);
        assert_eq!(when, When { utc: utc("1970-01-01T00:00:13Z"), trusted: false });
    }

    #[test]
    fn the_least_delayed_epoch_decides_and_a_wrong_system_clock_does_not_matter() {
        let clock = SimulatedClock::starting(DateTime::UNIX_EPOCH);
        let mut time = TrustedTime::default();
        time.offer(utc("2026-12-01T10:00:00Z"), after(10_400));
        time.offer(utc("2026-12-01T10:00:01Z"), after(11_150));
        time.offer(utc("2026-12-01T10:00:02Z"), after(12_600));
        assert_eq!(time.when(after(11_000), &*clock), When { utc: utc("2026-12-01T10:00:00.850Z"), trusted: true });
    }

    #[test]
    fn absurd_times_are_refused() {
        let mut time = TrustedTime::default();
        for told in ["1980-01-06T00:00:00Z", "2007-04-15T10:00:00Z", "2082-01-01T00:00:00Z"] {
            time.offer(utc(told), after(1000));
        }
        assert_eq!((time.at(after(1000)), time.absurd), (None, 3));
    }

    #[test]
    fn trust_ends_some_time_after_the_last_epoch() {
        let mut time = TrustedTime::default();
        time.offer(utc("2026-12-01T10:00:00Z"), after(0));
        assert_eq!(time.at(Moment::at(HOLDOVER)), Some(utc("2026-12-01T10:30:00Z")));
        assert_eq!(time.at(Moment::at(HOLDOVER + Duration::from_millis(1))), None);
    }
}
