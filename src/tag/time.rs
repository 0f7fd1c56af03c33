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

/// What satellites tell of one moment, and how well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// UTC.
    pub utc: DateTime<Utc>,
    /// By how much UTC may be off. What is known of a receiver is that it tells each epoch before the next one: so the true
    /// time is no earlier, and later by an epoch at most; to that comes what a computer's clock drifts since.
    pub uncertainty: Duration,
    /// Weeks that were added to what the receiver says, since its count of weeks has rolled over. Where it is not 0 nothing
    /// but the date of this program speaks for it, so it sets no time of a read; it is good for correcting one later.
    pub weeks_added: i64,
    /// How often the receiver has changed its mind: it said one time for long, then for long another one.
    pub jumps: u32,
}

/// No satellite tells a time before this code was written. Receivers with a week-rollover fault are 1024 weeks
/// (19.6 years) off, so the window is narrower than that.
const EARLIEST: i64 = 1_793_491_200; // 2026-11-01
const LATEST: i64 = EARLIEST + 19 * 365 * 86_400;

/// Satellites count weeks with ten bits: a receiver that takes them for the wrong ones is off by so many.
const ROLLOVER_WEEKS: i64 = 1024;

/// How many epochs are remembered.
const REMEMBERED: usize = 32;

/// How long the mapping outlives the last epoch: a computer's clock drifts by less than 0.1 s in that time.
const HOLDOVER: Duration = Duration::from_secs(30 * 60);

/// What a computer's clock drifts at the worst, parts of a million.
const DRIFT_PPM: u32 = 50;

/// An epoch may arrive earlier than its forerunners by this, or later by the second: it was delayed. What is beyond
/// contradicts them.
const EARLY: TimeDelta = TimeDelta::seconds(1);
const DELAYED: TimeDelta = TimeDelta::seconds(5);
/// So many epochs in a row must contradict what was told before, and agree with each other, to be believed instead.
const AGREEING: usize = 5;

/// What is taken for the time between two epochs until two were seen, and the least that is believed of it.
const EPOCH: Duration = Duration::from_secs(1);
const SHORTEST_EPOCH: Duration = Duration::from_millis(50);

/// Maps moments to UTC by the satellite times that arrived at known moments.
///
/// A sentence always arrives later than the instant it tells, by a delay that varies; the arrival with the
/// least delay is the nearest to the truth. So the mapping is the greatest of the recent differences.
///
/// A receiver that tells another time all of a sudden is not believed at once: one garbled date would move everything. Several
/// that agree are: the receiver has learnt better, or was wrong from the start.
#[derive(Debug, Clone, Default)]
pub struct TrustedTime {
    /// The last epochs that are believed.
    epochs: VecDeque<Epoch>,
    /// The last ones in a row that contradict these.
    doubted: Vec<Epoch>,
    /// Weeks that were added to those that are believed.
    weeks_added: i64,
    jumps: u32,
    last_told: Option<DateTime<Utc>>,
    /// The shortest time between two epochs.
    interval: Option<Duration>,
    /// How many times were refused because no satellite can mean them.
    pub absurd: u64,
}

/// UTC at the clock's start, by one epoch, and when that arrived.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    origin: DateTime<Utc>,
    at: Moment,
    weeks_added: i64,
}

impl Epoch {
    /// Whether both may come from one receiver that tells one time.
    fn agrees(&self, other: &Self) -> bool {
        self.weeks_added == other.weeks_added && (self.origin - other.origin).abs() <= EARLY
    }
}

impl TrustedTime {
    /// Notes that satellite time `utc` arrived at `now`. An absurd one (a receiver fresh from the factory, a week
    /// rollover) is counted and sets no time.
    pub fn offer(&mut self, utc: DateTime<Utc>, now: Moment) {
        let meant = meant(utc);
        if meant.is_none_or(|(_, weeks_added)| weeks_added != 0) {
            self.absurd += 1;
        }
        let Some((utc, weeks_added)) = meant else { return };
        let Some(origin) = TimeDelta::from_std(now.since_start()).ok().and_then(|since| utc.checked_sub_signed(since))
        else {
            return;
        };
        // A receiver that says one time again and again tells none.
        let last = self.last_told.replace(utc);
        if last == Some(utc) {
            return;
        }
        if let Some(step) = last.and_then(|last| (utc - last).to_std().ok())
            && step >= SHORTEST_EPOCH
        {
            self.interval = Some(self.interval.unwrap_or(EPOCH).min(step));
        }
        let epoch = Epoch { origin, at: now, weeks_added };
        match self.origin() {
            Some(believed) if !self.fits(&epoch, believed) => self.doubt(epoch, believed),
            _ => {
                self.doubted.clear();
                self.believe(epoch);
            }
        }
    }

    fn fits(&self, epoch: &Epoch, believed: DateTime<Utc>) -> bool {
        let early = epoch.origin - believed;
        epoch.weeks_added == self.weeks_added && (-DELAYED..=EARLY).contains(&early)
    }

    fn doubt(&mut self, epoch: Epoch, believed: DateTime<Utc>) {
        if self.doubted.first().is_some_and(|first| !first.agrees(&epoch)) {
            self.doubted.clear();
        }
        self.doubted.push(epoch);
        // What was told long ago has nobody who still says so.
        let alone = self.epochs.back().is_some_and(|last| epoch.at.since(last.at) > HOLDOVER);
        if self.doubted.len() >= AGREEING || alone {
            if (epoch.origin - believed).abs() > EARLY {
                self.jumps += 1;
            }
            self.epochs.clear();
            for epoch in std::mem::take(&mut self.doubted) {
                self.believe(epoch);
            }
        }
    }

    fn believe(&mut self, epoch: Epoch) {
        if self.epochs.len() == REMEMBERED {
            self.epochs.pop_front();
        }
        self.weeks_added = epoch.weeks_added;
        self.epochs.push_back(epoch);
    }

    /// UTC at the clock's start.
    fn origin(&self) -> Option<DateTime<Utc>> {
        self.epochs.iter().map(|epoch| epoch.origin).max()
    }

    /// What satellites tell of `moment`; `None` before the first epoch and long after the last.
    pub fn told(&self, moment: Moment) -> Option<Told> {
        let since = moment.since(self.epochs.back()?.at);
        if since > HOLDOVER {
            return None;
        }
        Some(Told {
            utc: self.origin()?.checked_add_signed(TimeDelta::from_std(moment.since_start()).ok()?)?,
            uncertainty: self.interval.unwrap_or(EPOCH) + drift(since),
            weeks_added: self.weeks_added,
            jumps: self.jumps,
        })
    }

    /// UTC at `moment` by satellite; `None` where they do not tell it, or as it seems a time that is weeks off.
    pub fn at(&self, moment: Moment) -> Option<DateTime<Utc>> {
        self.told(moment).filter(|told| told.weeks_added == 0).map(|told| told.utc)
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

/// What a computer's clock drifts within `time`.
pub fn drift(time: Duration) -> Duration {
    time * DRIFT_PPM / 1_000_000
}

/// What a satellite that tells `utc` can mean, and the weeks that had to be added for it.
fn meant(utc: DateTime<Utc>) -> Option<(DateTime<Utc>, i64)> {
    [0, ROLLOVER_WEEKS, -ROLLOVER_WEEKS].into_iter().find_map(|weeks| {
        let meant = utc.checked_add_signed(TimeDelta::weeks(weeks))?;
        (EARLIEST..LATEST).contains(&meant.timestamp()).then_some((meant, weeks))
    })
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
    fn a_receiver_whose_weeks_have_rolled_over_sets_no_time_and_tells_what_it_would_be() {
        let mut time = TrustedTime::default();
        let wrong = utc("2026-12-01T10:00:00Z") - TimeDelta::weeks(1024);
        assert_eq!(wrong.to_rfc3339(), "2007-04-17T10:00:00+00:00");
        for s in 0..3 {
            time.offer(wrong + TimeDelta::seconds(s), after(1000 * s as u64));
        }
        assert_eq!((time.at(after(2000)), time.absurd), (None, 3));
        let told = time.told(after(2000)).expect("weeks off, but told");
        assert_eq!((told.utc, told.weeks_added, told.jumps), (utc("2026-12-01T10:00:02Z"), 1024, 0));
        // A receiver that has learnt better is believed once it has said so for a while; that is no jump of the time.
        for s in 3..3 + AGREEING as u64 {
            assert_eq!(time.at(after(1000 * s)), None);
            time.offer(utc("2026-12-01T10:00:00Z") + TimeDelta::seconds(s as i64), after(1000 * s));
        }
        assert_eq!(time.at(after(9000)), Some(utc("2026-12-01T10:00:09Z")));
        assert_eq!(time.told(after(9000)).map(|told| (told.weeks_added, told.jumps)), Some((0, 0)));
    }

    #[test]
    fn one_garbled_date_moves_nothing_and_a_new_time_that_is_told_again_and_again_does() {
        let mut time = TrustedTime::default();
        let start = utc("2026-12-01T10:00:00Z");
        let mut at = 0;
        let mut offer = |time: &mut TrustedTime, off: i64| {
            at += 1000;
            time.offer(start + TimeDelta::milliseconds(at as i64) + TimeDelta::seconds(off), after(at));
            at
        };
        for _ in 0..10 {
            offer(&mut time, 0);
        }
        let at = offer(&mut time, 86_400);
        assert_eq!(time.at(after(at)), Some(start + TimeDelta::milliseconds(at as i64)));
        for off in [18, 40, 18, 18, 18, 18] {
            let at = offer(&mut time, off);
            assert_eq!(time.at(after(at)), Some(start + TimeDelta::milliseconds(at as i64)), "{off}");
        }
        // Before it knows the leap seconds a receiver is some seconds off.
        let at = offer(&mut time, 18);
        let told = time.told(after(at)).expect("told");
        assert_eq!((told.utc, told.jumps), (start + TimeDelta::milliseconds(at as i64 + 18_000), 1));
    }

    #[test]
    fn how_far_time_may_be_off_is_an_epoch_and_what_the_clock_has_drifted_since() {
        let mut time = TrustedTime::default();
        let start = utc("2026-12-01T10:00:00Z");
        time.offer(start, after(0));
        assert_eq!(time.told(after(0)).map(|told| told.uncertainty), Some(EPOCH));
        for step in 1..10 {
            time.offer(start + TimeDelta::milliseconds(200 * step), after(200 * step as u64));
        }
        assert_eq!(time.told(after(1800)).map(|told| told.uncertainty), Some(Duration::from_millis(200)));
        let later = after(1800 + 1_200_000);
        assert_eq!(time.told(later).map(|told| told.uncertainty), Some(Duration::from_millis(260)));
    }

    #[test]
    fn a_receiver_that_repeats_one_time_is_not_believed_for_ever() {
        let mut time = TrustedTime::default();
        for minute in 0..60 {
            time.offer(utc("2026-12-01T10:00:00Z"), after(60_000 * minute));
        }
        assert_eq!(time.at(after(3_540_000)).map(|utc| utc.to_rfc3339()), None);
    }

    #[test]
    fn trust_ends_some_time_after_the_last_epoch() {
        let mut time = TrustedTime::default();
        time.offer(utc("2026-12-01T10:00:00Z"), after(0));
        assert_eq!(time.at(Moment::at(HOLDOVER)), Some(utc("2026-12-01T10:30:00Z")));
        assert_eq!(time.at(Moment::at(HOLDOVER + Duration::from_millis(1))), None);
    }
}
