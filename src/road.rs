//! Bad networks on this machine, for tests and measurements: packets between two programs are delayed, lost, doubled,
//! reordered, held back by a narrow link, cut off, or come from another address all of a sudden.
//!
//! [`Relay`] stands between UDP programs and needs nothing of the machine; [`Tunnel`] is a network device, so that TCP meets
//! the same, and needs the right to make one. What befalls a packet is drawn from a seed by [`Fate`].

mod relay;
#[cfg(all(feature = "vehicle", target_os = "linux"))]
mod tunnel;

pub use relay::{Carried, Relay};
#[cfg(all(feature = "vehicle", target_os = "linux"))]
pub use tunnel::Tunnel;

use std::time::Duration;

/// How a network is, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// How long each packet takes one way.
    pub delay: Duration,
    /// How many packets of one are lost.
    pub loss: f64,
    /// How many packets of one take up to `delay` longer, and so arrive after later ones.
    pub late: f64,
    /// How many packets of one arrive twice.
    pub doubled: f64,
    /// How many bytes a second pass one way; what comes faster waits, and is lost when it would wait half a second.
    pub rate: Option<u64>,
    /// Whether nothing passes at all.
    pub cut: bool,
}

/// The longest wait for a narrow link.
const QUEUE: Duration = Duration::from_millis(500);

impl Conditions {
    /// Nothing befalls a packet.
    pub const GOOD: Self = Self { delay: Duration::ZERO, loss: 0.0, late: 0.0, doubled: 0.0, rate: None, cut: false };

    /// A round trip of `rtt`, and so many packets of one lost.
    pub fn far(rtt: Duration, loss: f64) -> Self {
        Self { delay: rtt / 2, loss, ..Self::GOOD }
    }
}

/// What befalls the packets of one direction.
#[derive(Debug)]
pub struct Fate {
    random: fastrand::Rng,
    /// When the narrow link has sent what is before it.
    free: Duration,
}

impl Fate {
    /// The same seed draws the same lots.
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), free: Duration::ZERO }
    }

    /// When a packet of `bytes` that is sent at `now` arrives: not at all, once, or twice.
    pub fn of(&mut self, bytes: usize, conditions: &Conditions, now: Duration) -> [Option<Duration>; 2] {
        // Drawn in any case, so that what befalls one packet does not hang on what befell another.
        let [lost, late, doubled, later] = std::array::from_fn(|_| self.random.f64());
        if conditions.cut || lost < conditions.loss {
            return [None, None];
        }
        let mut leaves = now;
        if let Some(rate) = conditions.rate {
            let begins = self.free.max(now);
            if begins - now > QUEUE {
                return [None, None];
            }
            leaves = begins + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            self.free = leaves;
        }
        let mut arrives = leaves + conditions.delay;
        if late < conditions.late {
            arrives += conditions.delay.max(Duration::from_millis(5)).mul_f64(later);
        }
        [Some(arrives), (doubled < conditions.doubled).then_some(arrives)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_lost_late_and_doubled_as_often_as_said_and_the_same_for_one_seed() {
        let bad = Conditions { late: 0.1, doubled: 0.05, ..Conditions::far(Duration::from_millis(100), 0.02) };
        let draw = |seed| {
            let mut fate = Fate::new(seed);
            (0..20_000).map(|_| fate.of(1200, &bad, Duration::ZERO)).collect::<Vec<_>>()
        };
        let fates = draw(7);
        assert_eq!(fates, draw(7));
        assert_ne!(fates, draw(8));
        let share = |of: &dyn Fn(&[Option<Duration>; 2]) -> bool| {
            fates.iter().filter(|fate| of(fate)).count() as f64 / fates.len() as f64
        };
        assert!((0.016..0.024).contains(&share(&|fate| fate[0].is_none())));
        assert!((0.045..0.055).contains(&share(&|fate| fate[1].is_some())));
        assert!((0.09..0.11).contains(&share(&|fate| fate[0].is_some_and(|at| at > Duration::from_millis(50)))));
        let cut = Conditions { cut: true, ..Conditions::GOOD };
        assert_eq!(Fate::new(1).of(1, &cut, Duration::ZERO), [None, None]);
    }

    #[test]
    fn a_narrow_link_passes_so_many_bytes_a_second_and_drops_what_would_wait_too_long() {
        let narrow = Conditions { rate: Some(10_000), ..Conditions::GOOD };
        let mut fate = Fate::new(1);
        let arrivals: Vec<_> = (0..100).map(|_| fate.of(1000, &narrow, Duration::ZERO)[0]).collect();
        assert_eq!(arrivals[0], Some(Duration::from_millis(100)));
        assert_eq!(arrivals[4], Some(Duration::from_millis(500)));
        assert_eq!(arrivals.iter().flatten().count(), 6, "{arrivals:?}");
    }
}
