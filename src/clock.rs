//! The one place where time comes from.
//!
//! Two kinds of time are kept apart. A [`Moment`] is monotonic: it never jumps, orders everything that
//! happens in one run, and measures latency. UTC is what the world calls it, may be wrong at start-up
//! (a car computer without a battery wakes in 1970) and is mapped on afterwards by the tag room.
//! Nothing else under `src/` asks the operating system for the time or sleeps.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// A monotonic instant: time since the clock was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The moment `since` after the clock's start.
    pub const fn at(since: Duration) -> Self {
        Self(since)
    }

    /// Time since the clock's start.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `later` after this one.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0 + later)
    }
}

/// A source of time. Rooms hold a [`Shared`] one, so that tests can turn it by hand.
pub trait Clock: Send + Sync {
    /// Monotonic time.
    fn now(&self) -> Moment;
    /// The system's idea of UTC; may be far off until a satellite fix has been seen.
    fn utc(&self) -> DateTime<Utc>;
    /// Waits. A simulated clock advances itself instead.
    fn sleep(&self, time: Duration);
}

/// No unit was built before 2026-01-01, seconds since 1970: a clock that says less has not been set.
const EARLIEST: i64 = 1_767_225_600;

/// Whether a clock that says `utc` may have been set; one without a battery wakes in 1970.
pub fn plausible(utc: DateTime<Utc>) -> bool {
    utc.timestamp() >= EARLIEST
}

/// The same of a day, counted from 1970.
pub fn plausible_day(day: i32) -> bool {
    i64::from(day) * 86_400 >= EARLIEST
}

/// A clock that rooms share.
pub type Shared = Arc<dyn Clock>;

/// The operating system's clocks.
#[derive(Debug)]
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// A clock that starts now.
    pub fn shared() -> Shared {
        Arc::new(Self { start: Instant::now() })
    }
}

impl Clock for RealClock {
    fn now(&self) -> Moment {
        Moment(self.start.elapsed())
    }

    fn utc(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct SimulatedClock {
    state: Mutex<(Duration, DateTime<Utc>)>,
}

impl SimulatedClock {
    /// A clock at its start, which is `utc` to the world.
    pub fn starting(utc: DateTime<Utc>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new((Duration::ZERO, utc)) })
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.0 += time;
        state.1 += time;
    }

    /// Sets UTC without touching monotonic time: a jump.
    pub fn jump_to(&self, utc: DateTime<Utc>) {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).1 = utc;
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Moment {
        Moment(self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).0)
    }

    fn utc(&self) -> DateTime<Utc> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).1
    }

    fn sleep(&self, time: Duration) {
        self.advance(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_clock_moves_only_when_told_and_jumps_only_in_utc() {
        let clock = SimulatedClock::starting(DateTime::UNIX_EPOCH);
        let before = clock.now();
        clock.sleep(Duration::from_secs(3));
        assert_eq!(clock.now().since(before), Duration::from_secs(3));
        let there = DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
        clock.jump_to(there);
        assert_eq!(clock.now().since(before), Duration::from_secs(3));
        assert_eq!(clock.utc(), there);
    }
}
